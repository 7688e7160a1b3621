"""The flow `lifecycle`: one turn of the whole loop, for now.

The first turn makes a data version, trains, and deploys the first model that its gates let through. Each later turn looks at
the log, and retrains and releases where the findings ask for it and the gates let it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from prefect import flow

from tidewheel.flows.channels import ChannelName
from tidewheel.flows.ingest import data
from tidewheel.flows.retraining import retrain
from tidewheel.flows.rollout import deploy
from tidewheel.flows.training import Offer, train
from tidewheel.flows.watching import monitor
from tidewheel.ledger.history import champion_of
from tidewheel.operations.workplace import Workplace


@dataclass(frozen=True)
class Turn:
    """Hold what one turn did, in words, and whether a gate or a rollout said no."""

    steps: tuple[str, ...]
    refused: bool


@flow(name="lifecycle")
def lifecycle(
    project: str, now_utc: datetime | None = None, channel: ChannelName = "http", environment: str = "local"
) -> Turn:
    """Turn the loop once.

    Args:
        project: folder of the project file.
        now_utc: event time; the wall clock if None.
        channel: how a rollout gets its rows answered.
        environment: a name under `[environments]` of the project file.
    """
    at_utc = now_utc or datetime.now(UTC)
    workplace = Workplace.open(project, environment)
    with workplace.ledger() as ledger:
        champion = champion_of(ledger, workplace.settings.scope.name)
    if champion is None:
        return first_turn(project, at_utc, environment)
    found = monitor(project, at_utc, environment)
    steps = [f"monitor: {finding.kind} ({finding.verdict})" for finding in found] or [
        "monitor: no new window"
    ]
    offer = retrain(project, at_utc, environment)
    if offer is None:
        return Turn((*steps, "retrain: nothing to do"), refused=False)
    steps.append(f"retrain: {offer.name} {offer.verdict} at gate {offer.gate}")
    if not offer.passed or workplace.settings.retrain.approval == "manual":
        return Turn(tuple(steps), refused=not offer.passed)
    facts = deploy(project, offer.model_id, channel, at_utc, environment=environment)
    verdict = facts.verdict if facts is not None else "deploy"
    return Turn((*steps, f"deploy: {verdict}"), refused=verdict == "refuse")


def first_turn(project: str, at_utc: datetime, environment: str) -> Turn:
    """Make the first version, train everything once, and install the first candidate in order that passed."""
    delta_version = data(project, at_utc, environment)
    offers = train(project, delta_version, None, at_utc, environment=environment)
    steps = [f"data: version {delta_version}", *map(in_words, offers)]
    passed = next((offer for offer in offers if offer.passed), None)
    if passed is None:
        return Turn(tuple(steps), refused=True)
    deploy(project, passed.model_id, "batch", at_utc, environment=environment)
    return Turn((*steps, f"deploy: {passed.name} is the first model"), refused=False)


def in_words(offer: Offer) -> str:
    """Say what became of a candidate."""
    return f"train: {offer.name} {offer.verdict} at gate {offer.gate}"
