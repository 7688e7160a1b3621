"""Say what kind of trouble a window shows, and what each kind asks for. First cut: four kinds, told apart by their bounds.

What belongs here: facts of a window in, findings with reasons out. What does not: measuring (`monitoring.performance`,
`monitoring.drift_windows`), deciding whether to retrain (`retraining.policy`).

| kind | told by | asks for |
|---|---|---|
| schema | requests or rows that break the contract | repair of the source; never retraining on it |
| performance | the matured metric is surely worse than its reference, by more than `loss_max` | retraining |
| label shift | the share of positives surely moved, by more than `label_shift_max` | retraining |
| covariate shift | at least `drifted_columns_min` features drifted | watching: whether it hurts shows in performance |
| none | nothing of the above | nothing, or waiting for labels |

Performance that falls beyond what the inputs explain (concept drift) is not yet told apart from performance that falls with
them; the finding says what else moved.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tidewheel.data.contract import RuleResult
from tidewheel.drift import DriftReport
from tidewheel.evidence.records import Finding
from tidewheel.measures.measurement import Measurement
from tidewheel.monitoring.performance import WindowPerformance, compare_measurements
from tidewheel.monitoring.windows import Window
from tidewheel.project.settings import Monitoring

Kind = Literal["schema", "performance", "label shift", "covariate shift", "none"]

UNITS_MIN = 10
"""With fewer units the bounds of a clustered measurement are too unsure of their own width to act on."""

SCHEMA_SHARE_MAX = 0.01
"""Share of rows that may break the contract before it is a finding of its own: a stray bad row is quarantined anyway."""

WAIT_FOR_LABELS = "wait for labels"
"""What a finding asks for that could not be told yet: the window is looked at again."""

ACTIONS: dict[Kind, str] = {
    "schema": "repair the source",
    "performance": "retrain",
    "label shift": "retrain",
    "covariate shift": "watch",
    "none": "nothing",
}


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """Hold what is known about one model in one window.

    `reference` is the held-out measurement of the model when it was judged; `label_shift` and `drift` compare the window
    with the rows the model was fitted to. What is None was not measured and is said to be open. Rows that broke the
    contract are `n_violating` of `n_requests`, by rule in `violations`.
    """

    performance: WindowPerformance
    reference: Measurement | None = None
    label_shift: Measurement | None = None
    drift: DriftReport | None = None
    n_requests: int = 0
    n_violating: int = 0
    violations: tuple[RuleResult, ...] = ()

    @property
    def window(self) -> Window:
        """Give the window."""
        return self.performance.window


def find(facts: WindowFacts, monitoring: Monitoring, at_utc: datetime) -> tuple[Finding, ...]:
    """Say what a window shows: one finding for each kind that fired, or one of kind "none".

    Args:
        facts: What was measured.
        monitoring: `loss_max`, `label_shift_max`, `drifted_columns_min`.
        at_utc: When this is judged.

    Returns:
        At least one finding, in the order of `Kind`. The same facts give the same `finding_id`, whenever they are judged: it
        digests kind, verdict, model and window.

    Raises:
        InputError: `facts.reference` is of another metric or confidence than the window's measurement.
    """
    loss, loss_open = _loss(facts)
    fired = [
        finding
        for finding in (
            _schema(facts, at_utc),
            _performance(facts, loss, monitoring, at_utc),
            _label_shift(facts, monitoring, at_utc),
            _covariate_shift(facts, monitoring, at_utc),
        )
        if finding is not None
    ]
    return tuple(fired) or (_none(facts, loss, loss_open, monitoring, at_utc),)


def _loss(facts: WindowFacts) -> tuple[Measurement | None, str]:
    """Give the loss against the reference if it may be judged, else what is missing."""
    performance = facts.performance
    if performance.state != "matured" or performance.measurement is None:
        return None, f"performance is {performance.state}: {performance.reason}"
    if facts.reference is None:
        return None, "there is no reference to compare performance with"
    loss = compare_measurements(performance.measurement, facts.reference)
    if loss.n_units < UNITS_MIN:
        return None, f"performance rests on {loss.n_units} units, {UNITS_MIN} are required"
    return loss, ""


def _schema(facts: WindowFacts, at_utc: datetime) -> Finding | None:
    if facts.n_violating <= SCHEMA_SHARE_MAX * facts.n_requests or facts.n_violating == 0:
        return None
    rules = sorted(facts.violations, key=lambda rule: (-rule.n_failed, rule.column, rule.rule))
    named = ", ".join(f"{rule.column} ({rule.rule}, {rule.n_failed} rows)" for rule in rules[:3])
    reason = f"{facts.n_violating} of {facts.n_requests} rows break the contract" + (
        f": {named}" if named else ""
    )
    columns = tuple(dict.fromkeys(rule.column for rule in rules))
    return _finding("schema", "degraded", facts, at_utc, reason, columns=columns)


def _performance(
    facts: WindowFacts, loss: Measurement | None, monitoring: Monitoring, at_utc: datetime
) -> Finding | None:
    now, reference = facts.performance.measurement, facts.reference
    if loss is None or now is None or reference is None or loss.lower <= monitoring.loss_max:
        return None
    moved = [name for name, has in _moved(facts, monitoring) if has]
    beside = (
        f"; beside it moved {' and '.join(moved)}" if moved else "; neither inputs nor labels surely moved"
    )
    reason = (
        f"{now.metric} is {now.value:.3f} against {reference.value:.3f} when the model was judged: worse by at least "
        f"{loss.lower:.3f}, and {monitoring.loss_max:g} is allowed{beside}"
    )
    columns = facts.drift.drifted if facts.drift else ()
    return _finding("performance", "degraded", facts, at_utc, reason, (now, loss), columns)


def _moved(facts: WindowFacts, monitoring: Monitoring) -> tuple[tuple[str, bool], ...]:
    drifted = len(facts.drift.drifted) if facts.drift else 0
    return (
        ("the share of positives", _has_shifted(facts.label_shift, monitoring)),
        (f"{drifted} features", drifted >= monitoring.drifted_columns_min),
    )


def _has_shifted(shift: Measurement | None, monitoring: Monitoring) -> bool:
    if shift is None or shift.n_units < UNITS_MIN:
        return False
    return shift.lower > monitoring.label_shift_max or shift.upper < -monitoring.label_shift_max


def _label_shift(facts: WindowFacts, monitoring: Monitoring, at_utc: datetime) -> Finding | None:
    shift = facts.label_shift
    if shift is None or facts.performance.state != "matured" or not _has_shifted(shift, monitoring):
        return None
    reason = (
        f"the share of positives moved by {shift.value:+.3f} (between {shift.lower:+.3f} and {shift.upper:+.3f}) from what "
        f"the model was fitted to, and {monitoring.label_shift_max:g} is allowed"
    )
    return _finding("label shift", "drifted", facts, at_utc, reason, (shift,))


def _covariate_shift(facts: WindowFacts, monitoring: Monitoring, at_utc: datetime) -> Finding | None:
    if facts.drift is None or len(facts.drift.drifted) < monitoring.drifted_columns_min:
        return None
    columns = facts.drift.drifted
    reason = (
        f"{len(columns)} of {len(facts.drift.columns)} features drifted ({', '.join(columns[:5])}"
        f"{', ...' if len(columns) > 5 else ''}); {monitoring.drifted_columns_min} or more are a finding"
    )
    return _finding("covariate shift", "drifted", facts, at_utc, reason, columns=columns)


def _none(
    facts: WindowFacts, loss: Measurement | None, loss_open: str, monitoring: Monitoring, at_utc: datetime
) -> Finding:
    """Say that nothing was found: because all is well, or because it cannot be told yet."""
    if loss is None:
        return _finding("none", "undecided", facts, at_utc, loss_open, action=WAIT_FOR_LABELS)
    if loss.upper <= monitoring.loss_max:
        reason = f"performance is worse by at most {loss.upper:.3f}, and {monitoring.loss_max:g} is allowed"
        return _finding("none", "stable", facts, at_utc, reason, (loss,))
    reason = (
        f"the loss of performance lies between {loss.lower:.3f} and {loss.upper:.3f}, and {monitoring.loss_max:g} is "
        f"allowed; the {loss.n_units} units of this window cannot tell"
    )
    return _finding("none", "undecided", facts, at_utc, reason, (loss,))


def _finding(
    kind: Kind,
    verdict: Literal["drifted", "degraded", "stable", "undecided"],
    facts: WindowFacts,
    at_utc: datetime,
    reason: str,
    measurements: Sequence[Measurement] = (),
    columns: Sequence[str] = (),
    action: str | None = None,
) -> Finding:
    window, model_id = facts.window, facts.performance.model_id
    cause = "\n".join([kind, verdict, model_id, window.starts_utc.isoformat(), window.ends_utc.isoformat()])
    return Finding(
        finding_id=hashlib.sha256(cause.encode()).hexdigest(),
        kind=kind,
        model_id=model_id,
        starts_utc=window.starts_utc,
        ends_utc=window.ends_utc,
        at_utc=at_utc,
        verdict=verdict,
        columns=tuple(columns),
        measurements=tuple(measurements),
        action=ACTIONS[kind] if action is None else action,
        reason=f"{window.name}: {reason}",
    )
