"""Bounds for statistics of rows that are independent only between units (days, customers).

What belongs here: AUC and means as functions of one weight per unit, and the bounds got by drawing units again. What does
not: the metrics and what is compared with what (`measures.metrics`). Pure: the random generator is passed in.

Both statistics come with their derivative by each unit's weight (the infinitesimal jackknife), so a draw costs one row of
a matrix product, whatever the number of rows, and every draw has a standard error of its own, which bootstrap-t needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tidewheel.measures.quantiles import upper_quantile

FREEDOM_MIN = 19.0
"""With fewer degrees of freedom (20 units) the tails of bootstrap-t rest on a handful of units; a t bound is steadier."""

UNITS_MAX = 1000
"""Above this many units the t bound is as good, and the matrix of pairs of units would be large."""

ROUNDING = 1e-12
"""A standard error below this is what rounding leaves of zero."""

LOST_DRAWS_MAX = 0.01
"""A draw may hold labels of one kind only; with more such draws than this, the t bound is used."""


class Statistic(Protocol):
    """Give a statistic of weighted units: one number for each row of weights, and its derivative by each weight."""

    @property
    def n_units(self) -> int:
        """Number of units."""

    def at_ones(self) -> tuple[float, np.ndarray]:
        """Give the statistic of the sample as it is, and its derivatives (n_units,)."""

    def at(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the statistic (draws,) and its derivatives (draws, n_units) at weights (draws, n_units)."""


class UnitMean:
    """Mean over rows of a loss: sum of the units' sums over sum of the units' row counts."""

    def __init__(self, losses: np.ndarray, codes: np.ndarray, n_units: int) -> None:
        self.n_units = n_units
        self._sums = np.bincount(codes, losses, minlength=n_units)
        self._counts = np.bincount(codes, minlength=n_units).astype(np.float64)

    def at_ones(self) -> tuple[float, np.ndarray]:
        """Give the mean and its derivatives at the sample itself."""
        mean, derivatives = self.at(np.ones((1, self.n_units)))
        return float(mean[0]), derivatives[0]

    def at(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give means and derivatives at `weights`."""
        total = weights @ self._counts
        mean = (weights @ self._sums) / total
        return mean, (self._sums - mean[:, None] * self._counts) / total[:, None]


class UnitAuc:
    """Area under the ROC curve, from the number of concordant pairs between each two units.

    With `C[g, h]` the number of pairs (positive row of unit g, negative row of unit h) in which the positive scores higher,
    ties counted one half, and `p`, `q` the units' numbers of positive and negative rows,
    `AUC(w) = w'Cw / (w'p * w'q)`. This equals the AUC of the rows repeated as often as their units were drawn.
    """

    def __init__(self, labels: np.ndarray, scores: np.ndarray, codes: np.ndarray, n_units: int) -> None:
        self.n_units = n_units
        positive = labels == 1
        self._p = np.bincount(codes[positive], minlength=n_units).astype(np.float64)
        self._q = np.bincount(codes[~positive], minlength=n_units).astype(np.float64)
        order = np.argsort(scores[positive], kind="stable")
        self._above = scores[positive][order]
        self._above_codes = codes[positive][order]
        self._below = scores[~positive]
        self._below_codes = codes[~positive]
        self._pairs: np.ndarray | None = None

    def at_ones(self) -> tuple[float, np.ndarray]:
        """Give the AUC and its derivatives at the sample itself, from ranks alone: O(n log n)."""
        below = np.sort(self._below)
        won = np.bincount(self._above_codes, _ranks(below, self._above), minlength=self.n_units)
        beaten = self._above.size - _ranks(self._above, self._below)
        lost = np.bincount(self._below_codes, beaten, minlength=self.n_units)
        auc, derivatives = self._at(won[None], lost[None], np.ones((1, self.n_units)))
        return float(auc[0]), derivatives[0]

    def at(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give AUCs and derivatives at `weights`; O(n * units) once, then a matrix product."""
        if self._pairs is None:
            self._pairs = self._count_pairs()
        won, lost = weights @ self._pairs.T, weights @ self._pairs
        return self._at(won, lost, weights)

    def _at(self, won: np.ndarray, lost: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Put together pairs won by each unit's positives and lost by its negatives, at `weights`."""
        positives, negatives = weights @ self._p, weights @ self._q
        with np.errstate(invalid="ignore", divide="ignore"):
            auc = (weights * won).sum(axis=1) / (positives * negatives)
            derivatives = (won + lost) / (positives * negatives)[:, None]
            derivatives -= auc[:, None] * (self._p / positives[:, None] + self._q / negatives[:, None])
        return auc, derivatives

    def _count_pairs(self) -> np.ndarray:
        pairs = np.zeros((self.n_units, self.n_units))
        order = np.argsort(self._below_codes, kind="stable")
        borders = np.cumsum(np.bincount(self._below_codes, minlength=self.n_units))[:-1]
        for unit, below in enumerate(np.split(self._below[order], borders)):
            if below.size:
                ranks = _ranks(np.sort(below), self._above)
                pairs[:, unit] = np.bincount(self._above_codes, ranks, minlength=self.n_units)
        return pairs


class Difference:
    """Difference of two statistics of the same rows: paired, since both see the same draw of units."""

    def __init__(self, first: Statistic, second: Statistic) -> None:
        self.n_units = first.n_units
        self._first = first
        self._second = second

    def at_ones(self) -> tuple[float, np.ndarray]:
        """Give the difference and its derivatives at the sample itself."""
        (first, by_first), (second, by_second) = self._first.at_ones(), self._second.at_ones()
        return first - second, by_first - by_second

    def at(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give differences and derivatives at `weights`."""
        (first, by_first), (second, by_second) = self._first.at(weights), self._second.at(weights)
        return first - second, by_first - by_second


@dataclass(frozen=True, slots=True)
class Bounds:
    """Hold a value and the one-sided bound on each side; `method` says how they were made."""

    value: float
    lower: float
    upper: float
    method: str


def bound(
    strata: Sequence[tuple[float, Statistic]], *, confidence: float, draws: int, rng: np.random.Generator
) -> Bounds:
    """Bound the sum of `factor * statistic` over strata that share no unit, each side at `confidence`.

    With derivatives `d_g` the variance of one statistic is `G / (G - 1) * sum(d_g^2)` (infinitesimal jackknife). With few
    units (fewer than 19 degrees of freedom by Welch and Satterthwaite), very many, or draws without both labels, the
    bounds are `value -+ t * se`. Otherwise they are bootstrap-t: units are drawn with replacement within each stratum, and
    the quantiles of `(value* - value) / se*` take the place of Student's. One unit alone bounds nothing: -inf and inf.

    Args:
        strata: Factor and statistic of each stratum.
        confidence: Of each one-sided bound, in (0.5, 1).
        draws: Number of bootstrap draws.
        rng: Source of the draws.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 12 and 22.
    """
    value, error, freedom = _estimate(strata)
    if not np.isfinite(error):
        return Bounds(value, -np.inf, np.inf, "none: a single unit")
    if error <= ROUNDING:
        return Bounds(value, value, value, "exact: no unit differs")
    reach = upper_quantile(2.0 * (1.0 - confidence), freedom) * error
    student = Bounds(value, value - reach, value + reach, "t")
    if freedom < FREEDOM_MIN or max(statistic.n_units for _, statistic in strata) > UNITS_MAX:
        return student
    ratios = _draw_ratios(strata, value, draws, rng)
    kept = ratios[np.isfinite(ratios)]
    if kept.size < (1.0 - LOST_DRAWS_MAX) * draws:
        return student
    low, high = np.quantile(kept, [1.0 - confidence, confidence])
    return Bounds(value, float(value - high * error), float(value - low * error), "bootstrap-t")


def _estimate(strata: Sequence[tuple[float, Statistic]]) -> tuple[float, float, float]:
    """Give value, standard error and degrees of freedom (Welch and Satterthwaite)."""
    value, variances = 0.0, []
    for factor, statistic in strata:
        at_ones, derivatives = statistic.at_ones()
        value += factor * at_ones
        if statistic.n_units < 2:
            return value, float("inf"), 0.0
        variances.append(factor**2 * float(_variance(np.ones_like(derivatives), derivatives)))
    total = sum(variances)
    parts = [v**2 / (statistic.n_units - 1) for v, (_, statistic) in zip(variances, strata, strict=True)]
    return value, float(np.sqrt(total)), total**2 / sum(parts) if total > 0.0 else 0.0


def _draw_ratios(
    strata: Sequence[tuple[float, Statistic]], value: float, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw the studentised statistic."""
    values, variances = np.zeros(draws), np.zeros(draws)
    for factor, statistic in strata:
        n = statistic.n_units
        weights = rng.multinomial(n, np.full(n, 1.0 / n), size=draws).astype(np.float64)
        drawn, derivatives = statistic.at(weights)
        values += factor * drawn
        variances += factor**2 * _variance(weights, derivatives)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios: np.ndarray = (values - value) / np.sqrt(variances)
    return ratios


def _variance(weights: np.ndarray, derivatives: np.ndarray) -> np.ndarray:
    n = derivatives.shape[-1]
    variance: np.ndarray = n / (n - 1) * (weights * derivatives**2).sum(axis=-1)
    return variance


def _ranks(ascending: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Count the values below each query, ties one half."""
    ranks: np.ndarray = 0.5 * (
        np.searchsorted(ascending, queries, side="left") + np.searchsorted(ascending, queries, side="right")
    )
    return ranks
