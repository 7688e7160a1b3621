"""Retrain: ask the policy about the open findings, write its answer down, and train where it says so.

The order of things alone: when to retrain is in `retraining.policy`, on which rows in `retraining.window`, how a candidate
is judged in `train`. "Do nothing" is a decision too, and is recorded with its reason.
"""

from datetime import datetime
from functools import partial

from tidewheel.evidence.records import Decision
from tidewheel.lifecycle.host import ALONE, Host
from tidewheel.lifecycle.ingest import ingest, refusal_of
from tidewheel.lifecycle.train import Offer, train
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.operations.progress import announce
from tidewheel.retraining.policy import RETRAIN, RetrainDecision, decide_retraining

ACTOR = "retrain policy"


def retrain(workplace: Workplace, now_utc: datetime, host: Host = ALONE) -> Offer | None:
    """Decide about the open findings; where they ask for it, train the candidate anew on what is known by now.

    Args:
        workplace: the project.
        now_utc: event time.
        host: who runs the steps.

    Returns:
        What the gates said of the retrained candidate; None when nothing was to be done. One that was refused before it was
        trained has no id: it is no retraining, spends no budget, and its finding stays open.
    """
    decision = host.run("decide about retraining", partial(decide, workplace, now_utc))
    if decision.action != RETRAIN:
        return None
    name = workplace.settings.model.retrained
    delta_version = host.run("keep a data version", partial(ingest, workplace, now_utc))
    refusal = refusal_of(workplace, delta_version)
    if refusal is not None:
        return Offer(name, "", "fail", "data", refusal)
    (offer,) = train(
        workplace, now_utc, delta_version=delta_version, candidates=[name], retraining=True, host=host
    )
    if offer.model_id:
        host.run("record the retraining", partial(settle, workplace, decision, now_utc))
    return offer


def decide(workplace: Workplace, now_utc: datetime) -> RetrainDecision:
    """Ask the policy; write its answer into the ledger unless it is to retrain, which is recorded once it is done."""
    with workplace.ledger() as ledger:
        decision = decide_retraining(
            ledger.findings(), workplace.settings.retrain, ledger.decisions(), now_utc
        )
        if decision.action != RETRAIN:
            subject = decision.finding_id or workplace.settings.scope.name
            answer = Decision(decision.action, subject, ACTOR, decision.reason, now_utc)
            # The same answer to the same findings is written once, however many turns ask.
            ledger.append(answer, cause=f"{ACTOR}: {decision.action} {subject}: {decision.reason}")
    announce(decision.action, decision.reason[:100], at=f"{now_utc:%d %B}")
    return decision


def settle(workplace: Workplace, decision: RetrainDecision, now_utc: datetime) -> None:
    """Write the retraining into the ledger, for its cause and for what it settles beside it: all at once, and once.

    A run that was killed before has settled nothing: the finding still asks, and the next run trains again.
    """
    assert decision.finding_id is not None, "a retraining has a cause"
    mine = Decision(RETRAIN, decision.finding_id, ACTOR, decision.reason, now_utc)
    reason = f"answered by the retraining on account of {decision.finding_id}"
    others = [
        Decision("settle", answered, ACTOR, reason, now_utc)
        for answered in decision.answers
        if answered != decision.finding_id
    ]
    with workplace.ledger() as ledger:
        ledger.append_all([(row, f"{row.action} {row.subject}") for row in [mine, *others]])
