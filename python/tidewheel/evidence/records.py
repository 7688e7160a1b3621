"""The records that the ledger keeps, as frozen dataclasses of plain values.

What belongs here: names and types of what is recorded. What does not: how it is stored and chained (`evidence.store`), who
decides what (the deciding modules of each stage). Times are aware UTC datetimes; digests are SHA-256 in 64 hex digits.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from tidewheel.evidence.criteria import Judgement, Verdict, deciding_reasons
from tidewheel.measures.measurement import Measurement


@dataclass(frozen=True, slots=True)
class DataVersion:
    """Identify the rows of one version of a data set: Delta version and our own content hash."""

    name: str
    delta_version: int
    content_sha256: str
    n_rows: int
    contract_sha256: str
    starts_utc: datetime
    ends_utc: datetime
    uri: str


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """Identify one trained model, what it was made of, and where its package lies."""

    name: str
    model_id: str
    files_sha256: str
    family: str
    data_name: str
    data_version: int
    data_sha256: str
    code_sha256: str
    settings_sha256: str
    seed: int
    environment: dict[str, str]
    package: str
    mlflow_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Bind one verdict to its subject, its criteria and the data version it was measured on."""

    stage: str
    subject: str
    criteria_sha256: str
    judgements: tuple[Judgement, ...]
    verdict: Verdict
    data_name: str
    data_version: int
    data_sha256: str
    at_utc: datetime

    @property
    def reason(self) -> str:
        """The judgements that decided, in words."""
        return deciding_reasons(self.judgements, self.verdict)


@dataclass(frozen=True, slots=True)
class Decision:
    """Record who decided what about which model, why, and on which evidence (sequence numbers of the ledger)."""

    action: str
    subject: str
    actor: str
    reason: str
    at_utc: datetime
    evidence: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """Record what monitoring found in one window, and what it asks for; `finding_id` is the same for the same cause."""

    finding_id: str
    kind: str
    model_id: str
    starts_utc: datetime
    ends_utc: datetime
    at_utc: datetime
    verdict: Literal["drifted", "degraded", "stable", "undecided"]
    columns: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    action: str
    reason: str

    @property
    def middle_utc(self) -> datetime:
        """Middle of the window: it tells the month, which begins a day earlier or later elsewhere in the world."""
        return self.starts_utc + (self.ends_utc - self.starts_utc) / 2

    @property
    def month(self) -> int:
        """Month of the window."""
        return self.middle_utc.month


@dataclass(frozen=True, slots=True)
class Plan:
    """State which models answer: changed only by compare-and-swap on `generation`.

    Shares are of routing keys, in [0, 1]. `share_canary` of the keys is answered by the candidate, the same share by a
    copy of the champion behind the same kind of handle (the baseline arm), the rest by the champion.
    """

    name: str
    generation: int
    champion: str
    candidate: str | None = None
    previous: str | None = None
    share_canary: float = 0.0
    share_shadow: float = 0.0
    salt: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    """Folder of the package of each model named here, by model id."""
    digests: dict[str, str] = field(default_factory=dict)
    """`files_sha256` of each of these packages, by model id."""


Record = DataVersion | ModelVersion | Evidence | Decision | Finding | Plan
