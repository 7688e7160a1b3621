"""Models that passed their gates and wait for a rollout."""

from collections.abc import Mapping

from tidewheel.errors import InputError
from tidewheel.evidence.gates import criteria_in_force
from tidewheel.evidence.records import ModelVersion
from tidewheel.evidence.store import Ledger
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.retraining.policy import RETRAIN

STAGES_BEFORE = ("model", "package")
"""Gates whose evidence must stand before a model may answer anything."""


def check_gates(ledger: Ledger, model: ModelVersion, criteria: Mapping[str, str]) -> None:
    """Refuse a model unless evidence that stands says that it passed; the ledger is asked, never the caller.

    Raises:
        InputError: a gate is missing, did not pass, or its evidence does not stand any more.
        IntegrityError: a row of the ledger is not as it was written.
    """
    standing = ledger.standing(model.model_id, model.data_version, criteria)
    who = f"{model.name} ({model.model_id[:12]}) may not be deployed"
    for stage in STAGES_BEFORE:
        rows = [row for row in standing if row.evidence.stage == stage]
        if not rows or rows[-1].evidence.verdict != "pass":
            raise InputError(f"{who}: gate {stage}: {rows[-1].evidence.verdict if rows else 'never judged'}")
        if not rows[-1].stands:
            raise InputError(f"{who}: gate {stage} passed, and {rows[-1].why}; train it again")


def undecided_offer(workplace: Workplace, *, retrained: bool = True) -> str | None:
    """Give the newest model if its gates stand and nobody has decided about it, else None.

    A crash, a server that was away, or `retrain.approval = "manual"` leave such a model behind. Where the criteria or the
    rows have changed since it waits for nothing: it has to be judged again.

    Args:
        workplace: the project.
        retrained: look only at models that a retraining made; one that somebody trained by hand is his to release.
    """
    with workplace.ledger() as ledger:
        models = ledger.model_versions()
        if not models:
            return None
        newest = models[-1]
        if newest.model_id in {decision.subject for decision in ledger.decisions()}:
            return None
        if retrained and not any(decision.action == RETRAIN for decision in ledger.decisions()):
            return None
        try:
            check_gates(ledger, newest, criteria_in_force(workplace.settings))
        except InputError:
            return None
    return newest.model_id
