"""The project file `tidewheel.toml` as records: one pydantic model for each section.

What belongs here: the sections, their types, ranges and defaults. What does not: reading the file and wording its errors
(`project.files`), judging a measurement by a criterion (`evidence.criteria`). Needs the extra `cli` or `lifecycle`.
"""

import math
from ipaddress import IPv4Address
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError


def _check_parameter(value: object) -> object:
    """Refuse what no model takes, in one sentence; the union below would give one for each of its four types."""
    if not isinstance(value, (bool, int, float, str)):
        raise PydanticCustomError("parameter", "must be a number, text, true or false")
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("parameter", "must be a finite number")
    return value


# Strict: pydantic would take "5", true and 1 for one another, and what a file says must be what it means.
Number = Annotated[float, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Share = Annotated[float, Field(strict=True, ge=0.0, le=1.0)]
ArmShare = Annotated[float, Field(strict=True, ge=0.0, le=0.5)]
"""Share of the keys in one arm of a canary; the baseline arm takes as many again, so that half is the most there is."""
Probability = Annotated[float, Field(strict=True, gt=0.0, lt=1.0)]
Alpha = Annotated[float, Field(strict=True, gt=0.0, lt=0.5)]
"""Chance of a wrong verdict."""
Confidence = Annotated[float, Field(strict=True, gt=0.5, lt=1.0)]
"""Chance that a one-sided bound holds."""
Positive = Annotated[float, Field(strict=True, gt=0.0)]
NotNegative = Annotated[float, Field(strict=True, ge=0.0)]
Count = Annotated[int, Field(strict=True, ge=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
REFERENCE_PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
Reference = Annotated[str, StringConstraints(pattern=REFERENCE_PATTERN)]
"""Python code of the user's, as `module:function`."""
HOST_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"
HostName = Annotated[str, StringConstraints(pattern=HOST_PATTERN, max_length=253)]
"""Name of a machine, without a port."""
Parameter = Annotated[float | int | str | bool, BeforeValidator(_check_parameter)]
"""One parameter of a model, passed on as it is written."""

Stage = Literal[
    "scope", "data", "labels", "baseline", "model", "package", "shadow", "canary", "monitoring", "retrain"
]


def is_loopback(host: str) -> bool:
    """Say whether a host is an IPv4 address that only this machine reaches."""
    try:
        return IPv4Address(host).is_loopback
    except ValueError:
        return False


class Section(BaseModel):
    """Refuse unknown keys, numbers that are not finite, and later changes in every section."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Scope(Section):
    """Say what the model is for and what binds it: `[scope]`."""

    name: Name
    objective: str
    business_metric: str = ""
    direction: Literal["up", "down"] = "up"
    amount: Number | None = None
    unit_value: Number | None = None
    task: Literal["binary"] = "binary"
    decision: str = ""
    latency_ms: Positive = 50.0
    explainability: Literal["none", "some", "full"] = "none"
    protected: tuple[str, ...] = ()
    labelling: str = ""


class Risk(Section):
    """Describe one way to fail and how it would be detected: an entry of `[[risks]]`."""

    failure: str
    likelihood: Literal["low", "medium", "high"]
    impact: Literal["low", "medium", "high"]
    owner: str
    detector: str
    response: str


class Data(Section):
    """Say where rows come from and which columns name them: `[data]`.

    `unit` is the column whose values are independent of each other (a day, a customer); every interval is clustered by it.
    `key` is the column by which a rollout routes requests. `time_zone` is the clock of its days and months.
    """

    name: Name
    source: Reference
    row_id: str
    key: str
    event_time: str
    unit: str | None = None
    holdout_days: Count = 28
    time_zone: str = "UTC"

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError("must be a time zone such as 'UTC' or 'America/New_York'")
        return name


class Column(Section):
    """State what one column must look like: `[contract.columns.<name>]`."""

    type: Literal["int", "float", "string", "bool", "datetime"]
    nullable: Flag = False
    minimum: Number | None = None
    maximum: Number | None = None
    allowed: tuple[str, ...] | None = None
    unique: Flag = False


class Contract(Section):
    """State what every row must look like, and how many may fail: `[contract]`."""

    columns: dict[str, Column] = Field(min_length=1)
    quarantine_share_max: Share = 0.05


class Labels(Section):
    """Say where the label is, when it becomes known and when a window of them is mature: `[labels]`."""

    column: str
    known_at: str
    maturity_days: NotNegative = 1.0
    coverage_min: Share = 0.9


class Features(Section):
    """Name the columns that a model may see: `[features]`."""

    numeric: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()


class Baselines(Section):
    """Name the baselines beside random and majority, which are always measured: `[baselines]`."""

    heuristic: Reference
    simple: Name = "simple"


class Candidate(Section):
    """Describe one model to train: an entry of `[[model.candidates]]`."""

    name: Name
    family: Literal["logistic", "xgboost"]
    parameters: dict[str, Parameter] = Field(default_factory=dict)


class Model(Section):
    """Say what is trained, and from which seed: `[model]`.

    `candidates` are offered in this order; the loop retrains `retrained`.
    """

    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    candidates: tuple[Candidate, ...] = Field(min_length=1)
    retrained: Name
    bootstrap_draws: Annotated[int, Field(strict=True, ge=100)] = 1000


class Criterion(Section):
    """State one condition of a gate: an entry of `[[gates.<stage>.criteria]]`.

    The one-sided bound of `metric` at `confidence` (not the point estimate) must lie beyond `threshold`. With
    `relative_to`, the metric is the paired difference to that model on the same rows.
    """

    metric: str
    comparison: Literal[">", ">=", "<", "<="]
    threshold: Number
    relative_to: Literal["champion", "simple", "heuristic", "majority", "random"] | None = None
    confidence: Confidence = 0.95
    units_min: Count = 1
    dry_run: Flag = False


class Gate(Section):
    """Collect the criteria of one stage: `[gates.<stage>]`."""

    criteria: tuple[Criterion, ...] = ()


class Serving(Section):
    """Say how the front answers: `[serving]`.

    A caller waits at most `deadline_s` for an answer, and gets 503 with Retry-After then. `hosts` are the names by which
    requests may call this server in their `Host` header, beside addresses that are loopback.
    """

    host: str = "127.0.0.1"
    hosts: tuple[HostName, ...] = ()
    port: Annotated[int, Field(strict=True, ge=0, le=65535)] = 0
    replicas: Count = 1
    batch_rows_max: Count = 1000
    body_bytes_max: Count = 1_000_000
    deadline_s: Positive = 5.0
    candidate_timeout_ms: Positive = 500.0
    shadow_every_ms: Positive = 20.0
    shadow_queue_max: Count = 10_000
    log_flush_s: Positive = 2.0
    lease_s: Positive = 60.0

    @field_validator("host")
    @classmethod
    def _loopback(cls, host: str) -> str:
        if host != "localhost" and not is_loopback(host):
            raise ValueError(
                "must be an address of this machine alone, such as '127.0.0.1': the server has no tokens yet, "
                "and whoever reaches it may ask it"
            )
        return host


class Guard(Section):
    """Bound the harm of one bounded outcome per request: an entry of `[[rollout.guards]]`.

    `margin` is the largest acceptable rise of the mean over the baseline arm; a rise beyond `harm` is rolled back.
    """

    metric: Literal["error_rate", "slow_rate", "non_finite_rate"]
    margin: Share
    harm: Share


class Quality(Section):
    """Decide quality on shadow pairs whose labels are due: `[rollout.quality]`.

    The mean gain of `metric` (signed so that up is good) is tested over units: of the loss per pair, or of the ROC AUC
    within each unit, which a shift of all scores or of the share of positives from unit to unit leaves alone.
    """

    metric: Literal["brier", "log_loss", "roc_auc"] = "brier"
    margin: Share = 0.002
    harm: Share = 0.01
    units_min: Count = 10
    claim: Literal["non-inferior", "better"] = "non-inferior"


class Rollout(Section):
    """Say how a candidate is released: `[rollout]`."""

    share_shadow: Share = 1.0
    share_canary: ArmShare = 0.1
    alpha: Alpha = 0.05
    keys_min: Count = 50
    guards: tuple[Guard, ...] = (
        Guard(metric="error_rate", margin=0.05, harm=0.05),
        Guard(metric="slow_rate", margin=0.10, harm=0.20),
        Guard(metric="non_finite_rate", margin=0.05, harm=0.05),
    )
    quality: Quality = Quality()
    shadow_days: Count = 14
    canary_days: Count = 7


class Monitoring(Section):
    """Say which windows are watched and what counts as a finding: `[monitoring]`."""

    window: Literal["month"] = "month"
    alpha: Alpha = 0.05
    metric: Literal["roc_auc", "brier", "log_loss"] = "roc_auc"
    loss_max: Positive = 0.02
    label_shift_max: Positive = 0.03
    drifted_columns_min: Count = 1


class Retrain(Section):
    """Say when a model is retrained, on what, and who approves: `[retrain]`."""

    triggers: tuple[Literal["performance", "covariate shift", "label shift"], ...] = (
        "performance",
        "label shift",
    )
    cooldown_days: NotNegative = 14.0
    budget_per_year: Count = 12
    window: Literal["all", "sliding"] = "all"
    window_days: Count = 365
    approval: Literal["automatic", "manual"] = "automatic"


class Environment(Section):
    """Give the addresses of one environment: `[environments.<name>]`; what is left out runs on this machine."""

    prefect_api_url: str | None = None
    mlflow_tracking_uri: str | None = None
    ledger_url: str | None = None
    data_uri: str | None = None


class Settings(Section):
    """Hold a whole project file, checked."""

    scope: Scope
    risks: tuple[Risk, ...] = ()
    data: Data
    contract: Contract
    labels: Labels
    features: Features
    baselines: Baselines
    model: Model
    gates: dict[Stage, Gate] = Field(default_factory=dict)
    serving: Serving = Serving()
    rollout: Rollout = Rollout()
    monitoring: Monitoring = Monitoring()
    retrain: Retrain = Retrain()
    environments: dict[Name, Environment] = Field(default_factory=dict)
