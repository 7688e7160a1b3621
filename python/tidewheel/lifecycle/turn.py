"""One turn of the whole loop.

The first turn makes a data version, trains, and deploys the first model that its gates let through. Each later turn looks at
the log, and retrains and releases where the findings ask for it and the gates let it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from tidewheel.evidence.history import champion_of
from tidewheel.lifecycle.channels import ChannelName
from tidewheel.lifecycle.host import ALONE, Host
from tidewheel.lifecycle.ingest import ingest, refusal_of
from tidewheel.lifecycle.release import release
from tidewheel.lifecycle.retrain import retrain
from tidewheel.lifecycle.train import Offer, train
from tidewheel.lifecycle.waiting import undecided_offer
from tidewheel.lifecycle.watch import watch
from tidewheel.lifecycle.workplace import Workplace


@dataclass(frozen=True)
class Turn:
    """Hold what one turn did, in words, and whether a gate or a rollout said no."""

    steps: tuple[str, ...]
    refused: bool


def turn(
    workplace: Workplace,
    now_utc: datetime | None = None,
    channel: ChannelName = "batch",
    host: Host = ALONE,
) -> Turn:
    """Turn the loop once.

    Args:
        workplace: the project.
        now_utc: event time; the wall clock if None, and a rollout then replays the source's last days.
        channel: how a rollout gets its rows answered; "http" needs a server for replaying.
        host: who runs the steps.
    """
    at_utc = now_utc or datetime.now(UTC)
    with workplace.ledger() as ledger:
        champion = champion_of(ledger, workplace.settings.scope.name)
    if champion is None:
        return first_turn(workplace, at_utc, host)
    found = host.run("look at the log", partial(watch, workplace, at_utc, host))
    steps = [f"monitor: {finding.kind} ({finding.verdict})" for finding in found] or [
        "monitor: no new window"
    ]
    waiting = undecided_offer(workplace)
    if waiting is not None and workplace.settings.retrain.approval == "automatic":
        # It passed its gates in a turn that ended before the rollout did.
        return release_offer(workplace, waiting, channel, now_utc, host, steps)
    offer = retrain(workplace, at_utc, host)
    if offer is None:
        return Turn((*steps, "retrain: nothing to do"), refused=False)
    steps.append(f"retrain: {offer.name} {offer.verdict} at gate {offer.gate}")
    if not offer.passed or workplace.settings.retrain.approval == "manual":
        return Turn(tuple(steps), refused=not offer.passed)
    return release_offer(workplace, offer.model_id, channel, now_utc, host, steps)


def release_offer(
    workplace: Workplace,
    model_id: str,
    channel: ChannelName,
    now_utc: datetime | None,
    host: Host,
    steps: list[str],
) -> Turn:
    """Roll a model out that passed its gates, and end the turn with what came of it."""
    facts = host.run("release a model", partial(release, workplace, model_id, channel, now_utc))
    verdict = facts.verdict if facts is not None else "deploy"
    return Turn((*steps, f"deploy: {verdict}"), refused=verdict == "refuse")


def first_turn(workplace: Workplace, now_utc: datetime, host: Host) -> Turn:
    """Make the first version, train everything once, and install the first candidate in order that passed."""
    delta_version = host.run("keep a data version", partial(ingest, workplace, now_utc))
    refusal = refusal_of(workplace, delta_version)
    if refusal is not None:
        return Turn((f"data: {refusal}",), refused=True)
    offers = train(workplace, now_utc, delta_version=delta_version, host=host)
    steps = [f"data: version {delta_version}", *map(in_words, offers)]
    passed = next((offer for offer in offers if offer.passed), None)
    if passed is None:
        return Turn(tuple(steps), refused=True)
    host.run("release a model", partial(release, workplace, passed.model_id, "batch", now_utc))
    return Turn((*steps, f"deploy: {passed.name} is the first model"), refused=False)


def in_words(offer: Offer) -> str:
    """Say what became of a candidate."""
    return f"train: {offer.name} {offer.verdict} at gate {offer.gate}"
