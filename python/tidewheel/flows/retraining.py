"""The flow `retrain`: ask the policy about the open findings, write its answer down, and train where it says so.

What belongs here: the order of things. What does not: when to retrain (`retrain.policy`), on which rows (`retrain.window`),
how a candidate is judged (`flows.training`). "Do nothing" is a decision too, and is recorded with its reason.
"""

from datetime import UTC, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from tidewheel.flows.ingest import data, refusal_of
from tidewheel.flows.own_flow import own_flow
from tidewheel.flows.training import Offer, train
from tidewheel.ledger.records import Decision
from tidewheel.operations.progress import announce
from tidewheel.operations.workplace import Workplace
from tidewheel.retrain.policy import RETRAIN, RetrainDecision, decide_retraining

ACTOR = "retrain policy"


@own_flow(name="retrain")
def retrain(project: str, now_utc: datetime | None = None, environment: str = "local") -> Offer | None:
    """Decide about the open findings; where they ask for it, train the candidate anew on what is known by now.

    Args:
        project: folder of the project file.
        now_utc: event time; the wall clock if None.
        environment: a name under `[environments]` of the project file.

    Returns:
        What the gates said of the retrained candidate; None when nothing was to be done.
    """
    at_utc = now_utc or datetime.now(UTC)
    decision = decide(project, at_utc, environment)
    if decision.action != RETRAIN:
        return None
    workplace = Workplace.open(project, environment)
    delta_version = data(project, at_utc, environment)
    name = workplace.settings.model.retrained
    refusal = refusal_of(project, delta_version, environment)
    if refusal is not None:
        return Offer(name, "", "fail", "data", refusal)
    (offer,) = train(
        project,
        delta_version,
        [name],
        at_utc,
        retraining=True,
        environment=environment,
    )
    settle(project, decision, at_utc, environment)
    return offer


@task(name="decide about retraining", cache_policy=NO_CACHE)
def decide(project: str, now_utc: datetime, environment: str) -> RetrainDecision:
    """Ask the policy; write its answer into the ledger unless it is to retrain, which is recorded once it is done."""
    workplace = Workplace.open(project, environment)
    with workplace.ledger() as ledger:
        decision = decide_retraining(
            ledger.findings(), workplace.settings.retrain, ledger.decisions(), now_utc
        )
        if decision.action != RETRAIN:
            subject = decision.finding_id or workplace.settings.scope.name
            ledger.append(Decision(decision.action, subject, ACTOR, decision.reason, now_utc))
    announce(decision.action, decision.reason[:100], at=f"{now_utc:%d %B}")
    return decision


@task(name="record the retraining", cache_policy=NO_CACHE)
def settle(project: str, decision: RetrainDecision, now_utc: datetime, environment: str) -> None:
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
    with Workplace.open(project, environment).ledger() as ledger:
        ledger.append_all([(row, f"{row.action} {row.subject}") for row in [mine, *others]])
