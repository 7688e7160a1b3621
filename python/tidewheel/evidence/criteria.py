"""Criteria of the gates: what a measurement is, and how one is judged.

What belongs here: pure judging of measurements by the criteria of the project file, and the default criteria. What does not:
measuring (`model`, `serving`, `monitoring`) and writing the evidence down (`ledger`).
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tidewheel.measures.measurement import Measurement
from tidewheel.project.settings import Criterion, Stage

Verdict = Literal["pass", "fail", "undecided", "no data"]


_WORST_FIRST: tuple[Verdict, ...] = ("fail", "no data", "undecided", "pass")


@dataclass(frozen=True, slots=True)
class Judgement:
    """Hold one criterion applied to one measurement; `measurement` is None when there was nothing to measure."""

    metric: str
    comparison: str
    threshold: float
    relative_to: str | None
    measurement: Measurement | None
    verdict: Verdict
    reason: str
    dry_run: bool = False


def decide_gate(
    stage: Stage, criteria: Sequence[Criterion], measurements: Sequence[Measurement]
) -> tuple[Verdict, tuple[Judgement, ...]]:
    """Judge the measurements of one stage by its criteria.

    A criterion passes when the one-sided bound lies beyond the threshold, fails when the opposite bound lies on the wrong
    side of it, and is undecided between. The gate's verdict is the worst of its criteria, in the order fail, no data,
    undecided, pass; criteria marked `dry_run` are judged and shown, and do not count.

    Args:
        stage: the stage, for the words.
        criteria: what is asked; measurements are found by metric, `relative_to` and confidence.
        measurements: what was measured; those that no criterion asks for are left aside.

    Returns:
        The verdict, and one judgement for each criterion. A stage without criteria passes, with no judgement.

    Example:
        >>> auc = Measurement("roc_auc", 0.71, 0.69, 0.73, 0.95, n_rows=27_000, n_units=31)
        >>> asked = Criterion(metric="roc_auc", comparison=">", threshold=0.6)
        >>> decide_gate("model", [asked], [auc])[0]
        'pass'
    """
    judgements = tuple(_judge(stage, criterion, measurements) for criterion in criteria)
    counted = [row.verdict for row in judgements if not row.dry_run]
    verdict = min(counted, key=_WORST_FIRST.index) if counted else "pass"
    return verdict, judgements


def _judge(stage: Stage, criterion: Criterion, measurements: Sequence[Measurement]) -> Judgement:
    asked = (criterion.metric, criterion.relative_to)
    fitting = [row for row in measurements if (row.metric, row.relative_to) == asked]
    measured = _at_confidence(criterion.confidence, fitting)
    verdict, reason = (
        _absent(stage, criterion, fitting) if measured is None else _verdict(criterion, measured)
    )
    return Judgement(
        metric=criterion.metric,
        comparison=criterion.comparison,
        threshold=criterion.threshold,
        relative_to=criterion.relative_to,
        measurement=measured,
        verdict=verdict,
        reason=reason,
        dry_run=criterion.dry_run,
    )


def _at_confidence(confidence: float, fitting: Sequence[Measurement]) -> Measurement | None:
    """Find the last measurement with bounds at `confidence`; what was counted, not estimated, holds at every confidence."""
    # Close is enough: one writes 0.95, another computes 1 - alpha.
    same = [row for row in fitting if math.isclose(row.confidence, confidence)]
    counted = [row for row in fitting if row.lower == row.upper]
    chosen = same or counted
    return chosen[-1] if chosen else None


def _absent(stage: Stage, criterion: Criterion, fitting: Sequence[Measurement]) -> tuple[Verdict, str]:
    if fitting:
        had = ", ".join(f"{row.confidence:g}" for row in fitting)
        return (
            "no data",
            f"{_name(criterion)} was not measured at confidence {criterion.confidence:g}, only at {had}",
        )
    return "no data", f"{_name(criterion)} was not measured at stage {stage}"


def _name(criterion: Criterion) -> str:
    return (
        f"{criterion.metric} against {criterion.relative_to}" if criterion.relative_to else criterion.metric
    )


def _verdict(criterion: Criterion, measured: Measurement) -> tuple[Verdict, str]:
    what = _name(criterion)
    if not all(map(math.isfinite, (measured.value, measured.lower, measured.upper))):
        return (
            "no data",
            f"{what} has no finite value ({measured.value}, bounds {measured.lower}, {measured.upper})",
        )
    upward = criterion.comparison in (">", ">=")
    bound, opposite = (measured.lower, measured.upper) if upward else (measured.upper, measured.lower)
    required = f"{criterion.comparison} {criterion.threshold:g}"
    side = "lower" if upward else "upper"
    # First, since bounds on too few units are not to be trusted in either direction.
    if measured.n_units < criterion.units_min:
        return "undecided", f"{what} rests on {measured.n_units} units; {criterion.units_min} are required"
    if not _holds(opposite, criterion):
        return (
            "fail",
            f"{what} is {number(measured.value)}, at best {number(opposite)}; {required} is required",
        )
    if _holds(bound, criterion):
        return (
            "pass",
            f"{what} is {number(measured.value)}, {side} bound {number(bound)}; {required} is required",
        )
    needed = _needed(criterion, measured, bound)
    return (
        "undecided",
        f"{what} is {number(measured.value)}, {side} bound {number(bound)}; {required} is required; {needed}",
    )


def _holds(value: float, criterion: Criterion) -> bool:
    match criterion.comparison:
        case ">":
            return value > criterion.threshold
        case ">=":
            return value >= criterion.threshold
        case "<":
            return value < criterion.threshold
        case "<=":
            return value <= criterion.threshold


def _needed(criterion: Criterion, measured: Measurement, bound: float) -> str:
    """Say how many units would decide if the estimate stays: the bound's distance shrinks with the root of their number."""
    room, reach = abs(measured.value - criterion.threshold), abs(measured.value - bound)
    if room * 1000 <= reach or not _holds(measured.value, criterion):
        return "more units will not decide for it while the estimate stays where it is"
    units = math.ceil(measured.n_units * (reach / room) ** 2) + 1
    return f"about {units:,} units would decide, there are {measured.n_units:,}"


def number(value: float) -> str:
    """Write a measured value: four digits, and counts in full.

    Example:
        >>> number(0.71234), number(13_020.0)
        ('0.7123', '13,020')
    """
    return f"{value:,.0f}" if 1000 <= abs(value) < math.inf else f"{value:.4g}"


def deciding_reasons(judgements: Sequence[Judgement], verdict: Verdict) -> str:
    """Give the reasons of the judgements that made the verdict, in one line."""
    deciding = [row.reason for row in judgements if row.verdict == verdict and not row.dry_run]
    return "; ".join(deciding) or "no criterion is set for this stage"


def criteria_sha256(criteria: Sequence[Criterion]) -> str:
    """Digest criteria, as 64 hex digits: the same conditions give the same digest, in whatever order they stand.

    Example:
        >>> criteria_sha256([])[:8]
        '4f53cda1'
    """
    rows = sorted(json.dumps(row.model_dump(mode="json"), sort_keys=True) for row in criteria)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
