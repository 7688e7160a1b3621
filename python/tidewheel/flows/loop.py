"""The flows: each opens the project once, in one environment, and has Prefect host a use case of `lifecycle`.

`now_utc` is an event time; without one it is the wall clock. `environment` is a name under `[environments]` of the project
file. What each raises is what its use case raises.
"""

from datetime import UTC, datetime
from functools import partial

from tidewheel.evidence.records import Finding
from tidewheel.flows.host import prefect_host
from tidewheel.flows.own_flow import own_flow
from tidewheel.lifecycle.channels import ChannelName
from tidewheel.lifecycle.ingest import ingest
from tidewheel.lifecycle.rehearse import rehearse
from tidewheel.lifecycle.release import release
from tidewheel.lifecycle.retrain import retrain as retrain_if_asked
from tidewheel.lifecycle.story import Story
from tidewheel.lifecycle.train import Offer
from tidewheel.lifecycle.train import train as train_candidates
from tidewheel.lifecycle.turn import Turn, turn
from tidewheel.lifecycle.watch import watch
from tidewheel.lifecycle.workplace import LOCAL, Workplace
from tidewheel.rollout.facts import RolloutFacts


@own_flow(name="data")
def data(project: str, now_utc: datetime | None = None, environment: str = LOCAL) -> int:
    """Keep a version of the data set as it is known at `now_utc` and return its Delta version; see `ingest`."""
    workplace = Workplace.open(project, environment)
    step = partial(ingest, workplace, now_utc or datetime.now(UTC))
    return prefect_host(workplace).run("keep a data version", step)


@own_flow(name="train")
def train(
    project: str,
    delta_version: int | None = None,
    candidates: list[str] | None = None,
    now_utc: datetime | None = None,
    retraining: bool = False,
    environment: str = LOCAL,
) -> list[Offer]:
    """Measure the baselines, train candidates, and judge and package those that deserve it; see `lifecycle.train`."""
    workplace = Workplace.open(project, environment)
    return train_candidates(
        workplace,
        now_utc or datetime.now(UTC),
        delta_version=delta_version,
        candidates=candidates,
        retraining=retraining,
        host=prefect_host(workplace),
    )


@own_flow(name="deploy")
def deploy(
    project: str,
    model_id: str,
    channel: ChannelName = "http",
    now_utc: datetime | None = None,
    requests: int | None = None,
    environment: str = LOCAL,
) -> RolloutFacts | None:
    """Release a model whose gates stand: install the first, try a later one in shadow and canary; see `release`."""
    workplace = Workplace.open(project, environment)
    step = partial(release, workplace, model_id, channel, now_utc, requests)
    return prefect_host(workplace).run("release a model", step)


@own_flow(name="monitor")
def monitor(project: str, now_utc: datetime | None = None, environment: str = LOCAL) -> list[Finding]:
    """Judge every mature month of the log that was not judged yet; return the new findings; see `watch`."""
    workplace = Workplace.open(project, environment)
    host = prefect_host(workplace)
    return host.run("look at the log", partial(watch, workplace, now_utc or datetime.now(UTC), host))


@own_flow(name="retrain")
def retrain(project: str, now_utc: datetime | None = None, environment: str = LOCAL) -> Offer | None:
    """Decide about the open findings, and train anew where they ask for it; see `lifecycle.retrain`."""
    workplace = Workplace.open(project, environment)
    return retrain_if_asked(workplace, now_utc or datetime.now(UTC), prefect_host(workplace))


@own_flow(name="lifecycle")
def lifecycle(
    project: str,
    now_utc: datetime | None = None,
    channel: ChannelName = "batch",
    environment: str = LOCAL,
) -> Turn:
    """Turn the loop once; see `turn`."""
    workplace = Workplace.open(project, environment)
    return turn(workplace, now_utc, channel, prefect_host(workplace))


@own_flow(name="rehearsal")
def rehearsal(
    project: str,
    first_utc: datetime,
    last_utc: datetime,
    requests: int | None = None,
    environment: str = LOCAL,
) -> Story:
    """Live through the months from `first_utc` to `last_utc`, and tell what came of it; see `rehearse`."""
    workplace = Workplace.open(project, environment)
    return rehearse(workplace, first_utc, last_utc, requests, prefect_host(workplace))
