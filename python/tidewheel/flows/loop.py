"""The flow `lifecycle`: one turn of the whole loop, for now.

The first turn makes a data version, trains, and deploys the first model that its gates let through. Each later turn looks at
the log, and retrains and releases where the findings ask for it and the gates let it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from tidewheel.flows.channels import ChannelName
from tidewheel.flows.ingest import data, refusal_of
from tidewheel.flows.own_flow import own_flow
from tidewheel.flows.retraining import retrain
from tidewheel.flows.rollout import STAGES_BEFORE, deploy
from tidewheel.flows.training import Offer, train
from tidewheel.flows.watching import monitor
from tidewheel.ledger.history import champion_of
from tidewheel.operations.workplace import Workplace


@dataclass(frozen=True)
class Turn:
    """Hold what one turn did, in words, and whether a gate or a rollout said no."""

    steps: tuple[str, ...]
    refused: bool


@own_flow(name="lifecycle")
def lifecycle(
    project: str, now_utc: datetime | None = None, channel: ChannelName = "batch", environment: str = "local"
) -> Turn:
    """Turn the loop once.

    Args:
        project: folder of the project file.
        now_utc: event time; the wall clock if None, and a rollout then replays the source's last days.
        channel: how a rollout gets its rows answered; "http" needs a server for replaying.
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
    waiting = undecided_offer(workplace)
    if waiting is not None and workplace.settings.retrain.approval == "automatic":
        # It passed its gates in a turn that ended before the rollout did.
        return release_offer(project, waiting, channel, now_utc, environment, steps)
    offer = retrain(project, at_utc, environment)
    if offer is None:
        return Turn((*steps, "retrain: nothing to do"), refused=False)
    steps.append(f"retrain: {offer.name} {offer.verdict} at gate {offer.gate}")
    if not offer.passed or workplace.settings.retrain.approval == "manual":
        return Turn(tuple(steps), refused=not offer.passed)
    return release_offer(project, offer.model_id, channel, now_utc, environment, steps)


def release_offer(
    project: str,
    model_id: str,
    channel: ChannelName,
    now_utc: datetime | None,
    environment: str,
    steps: list[str],
) -> Turn:
    """Roll a model out that passed its gates, and end the turn with what came of it."""
    facts = deploy(project, model_id, channel, now_utc, environment=environment)
    verdict = facts.verdict if facts is not None else "deploy"
    return Turn((*steps, f"deploy: {verdict}"), refused=verdict == "refuse")


def undecided_offer(workplace: Workplace) -> str | None:
    """Give the newest model if it passed its gates and nobody has decided about it, else None.

    A crash, a server that was away, or `retrain.approval = "manual"` leave such a model behind.
    """
    with workplace.ledger() as ledger:
        models = ledger.model_versions()
        if not models:
            return None
        newest = models[-1].model_id
        decided = {decision.subject for decision in ledger.decisions()}
        retrained = [one.at_utc for one in ledger.decisions() if one.action == "retrain"]
        gates = {row.stage: row.verdict for row in ledger.evidence(subject=newest)}
    passed = all(gates.get(stage) == "pass" for stage in STAGES_BEFORE)
    return newest if passed and retrained and newest not in decided else None


def first_turn(project: str, at_utc: datetime, environment: str) -> Turn:
    """Make the first version, train everything once, and install the first candidate in order that passed."""
    delta_version = data(project, at_utc, environment)
    refusal = refusal_of(project, delta_version, environment)
    if refusal is not None:
        return Turn((f"data: {refusal}",), refused=True)
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
