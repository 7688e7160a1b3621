"""Measure a model at work, on predictions whose labels have come.

What belongs here: joining late labels, saying how far a figure can be trusted yet, comparing it with a reference.
What does not: the metrics and their bounds (`measures.metrics`), what a fall means (`monitoring.triage`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import polars as pl

from tidewheel.errors import InputError
from tidewheel.measures.measurement import Measurement
from tidewheel.measures.metrics import measure
from tidewheel.measures.resampling import UnitMean, bound
from tidewheel.monitoring.windows import Window
from tidewheel.predictions.labels import labels_due
from tidewheel.project.settings import Labels

EVENTS_MIN = 10
"""Rows of either kind that a share needs before its interval means anything: none at all would look exact."""

LabelState = Literal["none", "provisional", "matured"]

LOSSES = ("brier", "log_loss")
"""Metrics that are better when small."""


@dataclass(frozen=True, slots=True)
class WindowPerformance:
    """Hold what one model did in one window, as far as labels tell.

    "matured": the window is over for `maturity_days` and `coverage_min` of its rows have a label. "provisional": some labels
    are there, but those that come first need not be like the rest. `measurement` is None while nothing can be measured, and
    `reason` says why.
    """

    window: Window
    model_id: str
    n_rows: int
    n_labelled: int
    state: LabelState
    measurement: Measurement | None
    reason: str

    @property
    def coverage(self) -> float:
        """Give the share of rows with a label, in [0, 1]; NaN without rows."""
        return self.n_labelled / self.n_rows if self.n_rows else math.nan


def join_labels(
    log: pl.DataFrame,
    table: pl.DataFrame,
    labels: Labels,
    now_utc: datetime,
    *,
    row_id: str,
    columns: Sequence[str] = (),
) -> pl.DataFrame:
    """Put the label that is known at `now_utc` beside each prediction.

    Args:
        log: Predictions, with the column request_id.
        table: Rows with `row_id`, the label and the time it becomes known; more rows than predictions are welcome.
        labels: Which columns these are.
        now_utc: Labels that become known later stay null.
        row_id: Column of `table` that is the request id.
        columns: Further columns of `table` to bring along (the unit, features), known whether the label is or not.

    Returns:
        `log`, every row once and in order, with the columns label and label_at_utc (null where not known) and `columns`.

    Raises:
        InputError: A row id occurs twice in `table`, a column is missing, or `now_utc` has no zone.
    """
    wanted = [row_id, labels.column, labels.known_at, *columns]
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise InputError(
            f"a table of labels must have the column `{missing[0]}`; got {', '.join(table.columns)}"
        )
    if table[row_id].is_duplicated().any():
        twice = table.filter(pl.col(row_id).is_duplicated())[row_id][0]
        raise InputError(f"a row id must occur once in a table of labels; `{row_id}` {twice!r} occurs again")
    known = labels_due(table.select(row_id, labels.column, labels.known_at), labels, now_utc).select(
        pl.col(row_id).alias("request_id"),
        pl.col(labels.column).alias("label"),
        pl.col(labels.known_at).alias("label_at_utc"),
    )
    beside = table.select(pl.col(row_id).alias("request_id"), *dict.fromkeys(columns))
    return log.join(beside, on="request_id", how="left", maintain_order="left").join(
        known, on="request_id", how="left", maintain_order="left"
    )


def measure_window(
    window: Window,
    rows: pl.DataFrame,
    labels: Labels,
    now_utc: datetime,
    *,
    model_id: str,
    metric: str,
    unit: str | None,
    alpha: float = 0.05,
    draws: int = 1000,
    seed: int = 0,
) -> WindowPerformance:
    """Measure one model's answers of one window.

    Args:
        window: The window.
        rows: Its predictions, each answered row once (`predictions.retries.keep_worst`): columns score, label (null while
            not known), and `unit`.
        labels: When a window is mature.
        now_utc: The time of judging.
        model_id: Whose answers these are.
        metric: As in `measures.metrics.METRICS`.
        unit: Column of what is independent; None takes each row for a unit.
        alpha: Chance that one bound misses.
        draws: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The measurement with its bounds, or none with the reason. Rows without a finite score count as rows, never as
        labelled.
    """
    scored = rows.filter(pl.col("label").is_not_null(), pl.col("score").is_finite().fill_null(False))
    n_rows, n_labelled = rows.height, scored.height
    if n_labelled == 0:
        reason = f"none of {n_rows} predictions has a label yet"
        return WindowPerformance(window, model_id, n_rows, 0, "none", None, reason)
    state, reason = _label_state(window, n_labelled / n_rows, labels, now_utc)
    values = scored["label"].cast(pl.Float64).to_numpy()
    if metric == "roc_auc" and values.min() == values.max():
        reason = f"all {n_labelled} labels are {values[0]:g}, so nothing can be ranked"
        return WindowPerformance(window, model_id, n_rows, n_labelled, state, None, reason)
    measurement = measure(
        metric,
        values,
        scored["score"].cast(pl.Float64).to_numpy(),
        None if unit is None else scored[unit].to_numpy(),
        confidence=1.0 - alpha,
        draws=draws,
        seed=seed,
    )
    return WindowPerformance(window, model_id, n_rows, n_labelled, state, measurement, reason)


def _label_state(
    window: Window, coverage: float, labels: Labels, now_utc: datetime
) -> tuple[Literal["provisional", "matured"], str]:
    if not window.is_over(now_utc, labels.maturity_days):
        return "provisional", f"{window.name} is not yet over for {labels.maturity_days:g} days"
    if coverage < labels.coverage_min:
        return (
            "provisional",
            f"{coverage:.1%} of the labels are there, {labels.coverage_min:.1%} are required",
        )
    return "matured", f"{coverage:.1%} of the labels are there"


def compare_measurements(current: Measurement, reference: Measurement) -> Measurement:
    """Bound how much worse `current` is than `reference`, measured on other rows: the loss, up is bad.

    The bounds of two independent measurements combine by the recovery of their variances: each end of the loss lies from it
    by the root of the sum of squares of the two distances that push it that way (Zou and Donner 2008).

    Raises:
        InputError: Another metric or another confidence.

    Example:
        >>> spring = Measurement("roc_auc", 0.70, 0.67, 0.73, 0.95, 1000, 30)
        >>> summer = Measurement("roc_auc", 0.60, 0.56, 0.64, 0.95, 1000, 30)
        >>> loss = compare_measurements(summer, spring)
        >>> round(loss.value, 3), round(loss.lower, 3), round(loss.upper, 3)
        (0.1, 0.05, 0.15)
    """
    if (current.metric, current.confidence) != (reference.metric, reference.confidence):
        raise InputError(
            "two measurements must be of one metric at one confidence; got "
            f"{current.metric} at {current.confidence} and {reference.metric} at {reference.confidence}"
        )
    sign = 1.0 if current.metric in LOSSES else -1.0
    rise = sign * (current.value - reference.value)
    ends = [(each.value - each.lower, each.upper - each.value) for each in (current, reference)]
    (current_down, current_up), (reference_down, reference_up) = (
        ends if sign > 0 else [end[::-1] for end in ends]
    )
    return Measurement(
        f"{current.metric} loss",
        rise,
        rise - math.hypot(current_down, reference_up),
        rise + math.hypot(current_up, reference_down),
        current.confidence,
        current.n_rows,
        min(current.n_units, reference.n_units),
        "reference",
    )


def measure_label_shift(
    current: pl.DataFrame,
    reference: pl.DataFrame,
    *,
    label: str = "label",
    unit: str | None,
    alpha: float = 0.05,
    draws: int = 1000,
    seed: int = 0,
) -> Measurement | None:
    """Bound how much the share of positives moved: current - reference, units drawn apart in each.

    Args:
        current: Rows of a window, with `label` (null while not known) and `unit`.
        reference: Rows that the model was fitted to, likewise.
        label: Column of the label.
        unit: Column of what is independent; None takes each row for a unit.
        alpha: Chance that one bound misses.
        draws: Bootstrap draws.
        seed: Seed of the draws.

    Returns:
        The shift as metric "positive_share"; None where a side has fewer than `EVENTS_MIN` rows of either kind, of which no
        variance can be told.
    """
    parts = [frame.filter(pl.col(label).is_not_null()) for frame in (current, reference)]
    positives = [int(part[label].cast(pl.Int64).sum()) for part in parts]
    if any(min(n, part.height - n) < EVENTS_MIN for n, part in zip(positives, parts, strict=True)):
        return None
    strata = [(sign, _share(part, label, unit)) for sign, part in zip((1.0, -1.0), parts, strict=True)]
    found = bound(strata, confidence=1.0 - alpha, draws=draws, rng=np.random.default_rng(seed))
    n_units = min(statistic.n_units for _, statistic in strata)
    return Measurement(
        "positive_share",
        found.value,
        found.lower,
        found.upper,
        1.0 - alpha,
        parts[0].height,
        n_units,
        "reference",
    )


def _share(rows: pl.DataFrame, label: str, unit: str | None) -> UnitMean:
    values = rows[label].cast(pl.Float64).to_numpy()
    if unit is None:
        return UnitMean(values, np.arange(values.size), values.size)
    names, codes = np.unique(rows[unit].to_numpy(), return_inverse=True)
    return UnitMean(values, codes, names.size)
