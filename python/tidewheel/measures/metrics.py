"""What is measured of a model on rows it has not seen, with intervals clustered by `[data].unit`.

What belongs here: the metrics, paired differences to a comparator, the overfit gap, and the mean monthly gain. What does
not: how units are drawn (`measures.resampling`) and whether a measurement suffices (`evidence.criteria`). Pure: seeds are
passed in, labels and scores are arrays.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tidewheel.errors import InputError, UnknownNameError
from tidewheel.measures.measurement import Measurement
from tidewheel.measures.resampling import Bounds, Difference, Statistic, UnitAuc, UnitMean, bound

LOG_LOSS_FLOOR = 1e-15
"""A score is kept this far from 0 and 1 before its logarithm: scikit-learn's floor before it took the one of the dtype."""


OVERFIT_GAP = "overfit_gap"
"""AUC on the rows a model was fitted to less its AUC on held-out rows."""


@dataclass(frozen=True)
class Sample:
    """Hold the labels, scores and units of the same rows; `units` None takes each row as independent.

    Labels are 0 and 1 (or bool), scores are probabilities of 1; both finite, of the same length.
    """

    labels: np.ndarray
    scores: np.ndarray
    units: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """Hold a value with its two-sided interval at `confidence`; `method` says how the interval was made."""

    value: float
    low: float
    high: float
    confidence: float
    n_rows: int
    n_units: int
    method: str


def roc_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Compute the area under the ROC curve: the share of pairs (late, not late) ranked rightly, ties counted one half.

    Raises:
        InputError: Labels of one kind only, or a value that is not finite.

    Example:
        >>> roc_auc(np.array([0, 1, 0, 1]), np.array([0.1, 0.8, 0.4, 0.4]))
        0.875
    """
    return _statistic("roc_auc", *_checked(labels, scores, None)).at_ones()[0]


def brier(labels: np.ndarray, scores: np.ndarray) -> float:
    """Compute the mean squared difference between score and label.

    Example:
        >>> brier(np.array([0, 1]), np.array([0.5, 0.5]))
        0.25
    """
    return _statistic("brier", *_checked(labels, scores, None)).at_ones()[0]


def log_loss(labels: np.ndarray, scores: np.ndarray) -> float:
    """Compute the mean negative log likelihood (natural logarithm); scores are kept 1e-15 away from 0 and 1.

    Example:
        >>> round(log_loss(np.array([0, 1]), np.array([0.5, 0.5])), 6)
        0.693147
    """
    return _statistic("log_loss", *_checked(labels, scores, None)).at_ones()[0]


def _squared_errors(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    errors: np.ndarray = (scores - labels) ** 2
    return errors


def _log_losses(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    likelihood = np.where(labels == 1, scores, 1.0 - scores)
    losses: np.ndarray = -np.log(np.clip(likelihood, LOG_LOSS_FLOOR, 1.0))
    return losses


ROW_LOSSES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "brier": _squared_errors,
    "log_loss": _log_losses,
}


METRICS = ("roc_auc", *ROW_LOSSES)
"""Metrics of scores on labelled rows, as named in criteria."""


FAULTLESS = {"roc_auc": (0.0, 1.0), "brier": (0.0,), "log_loss": (0.0,)}
"""Values at which no draw of units differs from another, although the next unit well may."""


def measure(
    metric: str,
    labels: np.ndarray,
    scores: np.ndarray,
    units: np.ndarray | None,
    *,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
    against: np.ndarray | None = None,
    relative_to: str | None = None,
) -> Measurement:
    """Measure one metric, or its paired difference to a comparator, with a one-sided bound on each side.

    Args:
        metric: One of `METRICS`.
        labels: (n,) of 0 and 1.
        scores: (n,) probabilities of 1.
        units: (n,) names of the units that are independent of each other, or None: each row is one.
        confidence: Of each bound.
        draws: Bootstrap draws over units.
        seed: Seed of the draws.
        against: (n,) scores of the comparator on the same rows; the value is `metric(scores) - metric(against)`.
        relative_to: Name of the comparator, put into the measurement.

    Returns:
        Value and bounds. A single unit bounds nothing, and neither do faultless scores (an AUC of 1, a loss of 0: no draw
        differs from another, the next unit may): these bounds are -inf and inf, which no gate lets pass.

    Raises:
        InputError: Different lengths, no rows, a label other than 0 and 1, a score that is not finite, or labels of one
            kind only where both are needed.
        UnknownNameError: `metric` is not one of `METRICS`.
    """
    sample = Sample(labels, scores, units)
    bounds, n_units = _bounds(metric, sample, against, confidence, draws, seed)
    return Measurement(
        metric, bounds.value, bounds.lower, bounds.upper, confidence, len(labels), n_units, relative_to
    )


def measure_overfit(
    held_out: Sample, fitted: Sample, *, confidence: float = 0.95, draws: int = 1000, seed: int = 0
) -> Measurement:
    """Measure the AUC on the rows that a model was fitted to less its AUC on held-out rows, as metric `overfit_gap`.

    The two sets of rows share no unit, so units are drawn in each on its own; `n_rows` and `n_units` are the held-out ones.
    """
    parts = [_checked(sample.labels, sample.scores, sample.units) for sample in (fitted, held_out)]
    strata = [(factor, _statistic("roc_auc", *part)) for factor, part in zip((1.0, -1.0), parts, strict=True)]
    bounds = bound(strata, confidence=confidence, draws=draws, rng=np.random.default_rng(seed))
    n_rows, n_units = parts[1][0].size, parts[1][3]
    return Measurement(OVERFIT_GAP, bounds.value, bounds.lower, bounds.upper, confidence, n_rows, n_units)


def interval(
    metric: str,
    sample: Sample,
    *,
    against: np.ndarray | None = None,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Give a metric (or its paired difference to `against`) with its two-sided interval, for reports."""
    bounds, n_units = _bounds(metric, sample, against, (1.0 + confidence) / 2.0, draws, seed)
    n_rows = len(sample.labels)
    return Interval(bounds.value, bounds.lower, bounds.upper, confidence, n_rows, n_units, bounds.method)


def paired_gain(
    labels: np.ndarray,
    scores_a: np.ndarray,
    scores_b: np.ndarray,
    units: np.ndarray | None,
    months: np.ndarray,
    *,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Give the mean over months of `AUC(a) - AUC(b)`, with a two-sided interval clustered by unit within each month.

    Args:
        labels: (n,) of 0 and 1.
        scores_a: (n,) scores whose gain is asked for.
        scores_b: (n,) scores it is compared with, on the same rows.
        units: (n,) names of the independent units; a unit must not span two months.
        months: (n,) names of the months; each counts the same, however many rows it has.
        confidence: Of the interval.
        draws: Bootstrap draws; units are drawn within each month.
        seed: Seed of the draws.
    """
    names, code = np.unique(months, return_inverse=True)
    strata: list[tuple[float, Statistic]] = []
    for month in range(names.size):
        rows = code == month
        chosen = None if units is None else units[rows]
        first, second = (_checked(labels[rows], scores[rows], chosen) for scores in (scores_a, scores_b))
        strata.append(
            (1.0 / names.size, Difference(_statistic("roc_auc", *first), _statistic("roc_auc", *second)))
        )
    rng = np.random.default_rng(seed)
    bounds = bound(strata, confidence=(1.0 + confidence) / 2.0, draws=draws, rng=rng)
    n_units = sum(statistic.n_units for _, statistic in strata)
    return Interval(bounds.value, bounds.lower, bounds.upper, confidence, len(labels), n_units, bounds.method)


def _bounds(
    metric: str, sample: Sample, against: np.ndarray | None, confidence: float, draws: int, seed: int
) -> tuple[Bounds, int]:
    """Bound one metric or paired difference, and count the units; faultless scores are left without bounds."""
    labels, scores, codes, n_units = _checked(sample.labels, sample.scores, sample.units)
    statistic = _statistic(metric, labels, scores, codes, n_units)
    if against is not None:
        statistic = Difference(statistic, _statistic(metric, *_checked(labels, against, sample.units)))
    found = bound([(1.0, statistic)], confidence=confidence, draws=draws, rng=np.random.default_rng(seed))
    if against is None and found.lower == found.upper and found.value in FAULTLESS[metric]:
        return Bounds(found.value, -np.inf, np.inf, "none: faultless scores"), n_units
    return found, n_units


def _statistic(
    metric: str, labels: np.ndarray, scores: np.ndarray, codes: np.ndarray, n_units: int
) -> Statistic:
    if metric == "roc_auc":
        if labels.min() == labels.max():
            raise InputError(
                f"`roc_auc` needs labels of both kinds; got {labels.size} labels, all {labels[0]:g}"
            )
        return UnitAuc(labels, scores, codes, n_units)
    if metric in ROW_LOSSES:
        return UnitMean(ROW_LOSSES[metric](labels, scores), codes, n_units)
    raise UnknownNameError(f"metric {metric!r} is not known; known are {', '.join(METRICS)}")


def _checked(
    labels: np.ndarray, scores: np.ndarray, units: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Give labels and scores as float64 and units as codes 0..n_units-1, or refuse them."""
    labels, scores = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.size == 0:
        raise InputError(f"labels must be one-dimensional with at least one row; got shape {labels.shape}")
    if scores.shape != labels.shape or (units is not None and len(units) != labels.size):
        sizes = f"{labels.size} labels, {scores.size} scores" + (
            "" if units is None else f", {len(units)} units"
        )
        raise InputError(f"labels, scores and units must have the same length; got {sizes}")
    for name, wrong in (("label", (labels != 0) & (labels != 1)), ("score", ~np.isfinite(scores))):
        if wrong.any():
            index = int(np.argmax(wrong))
            got = (labels if name == "label" else scores)[index]
            required = "be 0 or 1" if name == "label" else "be finite"
            raise InputError(f"a {name} must {required}; got {got} at row {index}")
    if units is None:
        return labels, scores, np.arange(labels.size), labels.size
    names, codes = np.unique(units, return_inverse=True)
    return labels, scores, codes, names.size
