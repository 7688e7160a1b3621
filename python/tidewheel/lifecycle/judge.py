"""Judge measurements at a gate: ask the project's criteria, and write the evidence.

Every stage ends here, so that the first deployment and each retraining meet the very same criteria.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tidewheel.evidence.criteria import Judgement, Verdict, criteria_sha256, decide_gate, deciding_reasons
from tidewheel.evidence.gates import criteria_of
from tidewheel.evidence.records import DataVersion, Evidence
from tidewheel.evidence.store import Ledger
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.measures.measurement import Measurement
from tidewheel.project.settings import Criterion, Stage


@dataclass(frozen=True)
class Judged:
    """Hold what a gate said, and the sequence number of the evidence in the ledger."""

    stage: Stage
    subject: str
    verdict: Verdict
    judgements: tuple[Judgement, ...]
    sequence: int

    @property
    def reason(self) -> str:
        """The judgements that decided, in words."""
        return deciding_reasons(self.judgements, self.verdict)


def judge(
    workplace: Workplace,
    ledger: Ledger,
    stage: Stage,
    subject: str,
    measurements: Sequence[Measurement],
    data: DataVersion,
    now_utc: datetime,
    *,
    shown: Sequence[Criterion] = (),
) -> Judged:
    """Decide one gate for `subject` on data version `data`, and record the evidence.

    Criteria that are only `shown` stand beside the project's own in the record; the evidence is not bound to them.
    """
    criteria = criteria_of(workplace.settings, stage)
    verdict, judgements = decide_gate(stage, [*criteria, *shown], measurements)
    evidence = Evidence(
        stage=stage,
        subject=subject,
        criteria_sha256=criteria_sha256(criteria),
        judgements=judgements,
        verdict=verdict,
        data_name=data.name,
        data_version=data.delta_version,
        data_sha256=data.content_sha256,
        at_utc=now_utc,
    )
    return Judged(stage, subject, verdict, judgements, ledger.append(evidence))


def exact(metric: str, value: float, *, n_rows: int, n_units: int, confidence: float = 0.95) -> Measurement:
    """Make a measurement that was counted, not estimated: both bounds are the value itself."""
    return Measurement(metric, value, value, value, confidence, n_rows, n_units)
