"""Serial dependence of units in time order: how much a unit's value resembles the one before it, and what that costs.

Model: the value of unit i is its sample's mean, plus a between-unit part with correlation `phi^|i - j|` (an autoregression
of order 1), plus independent noise, since a unit's value comes from its rows. Pure: arrays in, numbers out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: phi is never taken to be larger: at 0.97 forty units are worth one.
LARGEST_PHI = 0.97
#: The between-unit share is never taken to be less; it divides.
LEAST_BETWEEN = 0.05
#: Units worked on at once: 60,000 of them take no copy of their values.
BLOCK = 4_096
#: Correlations below this are taken as none.
NEGLIGIBLE = 1e-16
#: With no more units than that on both sides together a visible correlation is enough for no test to keep its level.
FEW_UNITS = 40
#: With fewer effective units than that a scale is a guess, and an effect has no bounds worth telling.
LEAST_EFFECTIVE = 4.0
#: What counts as visible: the lag-one correlation in its standard errors under independence.
VISIBLE_ERRORS = 1.0
#: Tests take phi so many standard errors larger than its estimate: half of one lets 11 % of pairs of 40 + 40 units alarm at
#: phi 0.9, a whole one only 2 % at phi 0.6 (300 pairs of numbers each).
CAUTION_ERRORS = 0.75

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class UnitSample:
    """The values of a sample's units, in time order.

    Attributes:
        values: Shape (units, values), float64: for each unit one or more means or shares of its rows.
        sizes: Shape (units,): rows of each unit, positive; the sample's value is the mean weighted by them.
        noise: Shape (units,): variance of a unit's value that its rows explain, summed over the values; 0 where unknown.
        noise_share: Largest part of that variance that lies in one direction of the values, in (0, 1].
    """

    values: FloatArray
    sizes: FloatArray
    noise: FloatArray
    noise_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Serial:
    """Serial dependence of units, along the direction of the values in which units differ most.

    Attributes:
        phi: Correlation of the between-unit parts of neighbours, in [0, 0.97].
        lag_one: Correlation of neighbours' values, noise and all; its bias of -1 / units removed.
        between: Share of the variance along the direction that is between units, in [0.05, 1].
        share: Share of the values' variance that lies along the direction.
        units: Units of each sample.
    """

    phi: float
    lag_one: float
    between: float
    share: float
    units: tuple[int, ...]

    @property
    def error(self) -> float:
        """Standard error of `lag_one` if units were independent."""
        return 1 / math.sqrt(sum(self.units))

    @property
    def is_visible(self) -> bool:
        """Whether neighbours resemble each other by more than a standard error."""
        return self.lag_one > VISIBLE_ERRORS * self.error

    @property
    def cautious_phi(self) -> float:
        """The phi that tests rely on: 0.75 standard errors above the estimate, at most 0.97; 0 where none is visible."""
        if not self.is_visible:
            return 0.0
        return min(LARGEST_PHI, self.phi + CAUTION_ERRORS * self.error / self.between)

    @property
    def effective(self) -> float:
        """The independent units that the samples' means are worth at the cautious phi, of all samples together."""
        part = self.share * self.between
        inflations = (1 + part * (float(sum_correlations(k, self.cautious_phi)) - 1) for k in self.units)
        return sum(k / inflation for k, inflation in zip(self.units, inflations, strict=True))

    @property
    def is_unsettled(self) -> bool:
        """Whether nothing can be told: phi is visible, with 40 units or fewer, or with fewer than 4 effective ones."""
        few = sum(self.units) <= FEW_UNITS or self.effective < LEAST_EFFECTIVE
        return self.is_visible and few


def estimate_serial(samples: Sequence[UnitSample]) -> Serial:
    """Estimate the serial dependence of units, pooled over samples.

    Values are projected on the direction in which units differ most: pooled over all directions, those of mere noise would
    hide it. `rho = c1 / c0 K / (K - s)`, c0 being the sum of squares of the projections about their sample's unweighted
    mean, c1 the sum of products of neighbours, K the units and s the samples. Noise has no part in c1, so
    `phi = rho / lambda`, lambda being the between-unit share `1 - noise / c0`. The estimate is low by about
    `(1 + 3 phi) s / K` (Marriott and Pope 1954; Kendall 1954), which is added. Units of unequal sizes count alike: weights
    would make few large units decide.

    Args:
        samples: One sample or more; fewer than three units in all give phi 0.

    Returns:
        The estimate.

    Cost: O(units x values^2 + values^3).

    Example:
        >>> import numpy as np
        >>> values = np.array([1.0, 2.0, 1.0, 2.0, 1.0, 2.0])[:, None]
        >>> found = estimate_serial([UnitSample(values, np.ones(6), np.zeros(6))])
        >>> found.phi, round(found.lag_one, 3)
        (0.0, -0.833)
    """
    units = tuple(len(sample.values) for sample in samples)
    total, count = sum(units), len(units)
    scatter, lagged = _sum_products(samples)
    if total <= count + 1 or np.trace(scatter) <= 0:
        return Serial(0.0, 0.0, 1.0, 1.0, units)
    direction = np.linalg.eigh(scatter)[1][:, -1]
    c0, c1 = (float(direction @ products @ direction) for products in (scatter, lagged))
    noise = sum(float(sample.noise.sum()) * sample.noise_share for sample in samples) * (1 - count / total)
    phi, between = correct_phi(np.array([c0]), np.array([c1]), noise, total, count)
    lag_one = c1 / c0 * total / (total - count) + count / total
    return Serial(float(phi[0]), lag_one, float(between[0]), c0 / float(np.trace(scatter)), units)


def _sum_products(samples: Sequence[UnitSample]) -> tuple[FloatArray, FloatArray]:
    """Sum the products of all pairs of values about their sample's mean: within units, and of units with the next ones."""
    scatter, lagged = np.zeros((2, *(samples[0].values.shape[1],) * 2))
    for sample in samples:
        mean = sample.values.mean(axis=0)
        for start in range(0, len(sample.values), BLOCK):
            off = sample.values[start : start + BLOCK + 1] - mean
            scatter += off[:BLOCK].T @ off[:BLOCK]
            lagged += off[1:].T @ off[:-1]
    return scatter, lagged


def correct_phi(
    c0: FloatArray, c1: FloatArray, noise: float, units: int, samples: int
) -> tuple[FloatArray, FloatArray]:
    """Turn sums of squares and of neighbours' products into phi and the between-unit share; see `estimate_serial`."""
    total = np.maximum(c0, np.finfo(np.float64).tiny)
    between = np.clip(1 - noise / total, LEAST_BETWEEN, 1.0)
    phi = c1 / total * (units / (units - samples)) / between
    phi = phi + (1 + 3 * np.maximum(phi, 0.0)) * samples / units
    return np.clip(phi, 0.0, LARGEST_PHI), between


def sum_correlations(units: int, phi: FloatArray | float) -> FloatArray:
    """Compute the mean row sum of `R`, `R_ij = phi^|i - j|`: how many times the variance of a plain mean is inflated.

    `1 + 2 sum_{j=1}^{K-1} (1 - j / K) phi^j`, in closed form; phi in [0, 1).
    """
    phi = np.asarray(phi, dtype=np.float64)
    tail = phi / (1 - phi) - phi * (1 - phi**units) / (units * (1 - phi) ** 2)
    return np.asarray(1 + 2 * tail)


def correlate_weights(weights: FloatArray, phi: FloatArray | float) -> FloatArray:
    """Compute `w' R w` along the last axis, `R_ij = phi^|i - j|`: the variance of a weighted mean of unit variances.

    Args:
        weights: Shape (..., units), in time order.
        phi: Shape (...) or a number, in [0, 1).

    Cost: O(units) by the recursion `a_i = phi (a_{i-1} + w_{i-1})`; lag by lag where phi^j vanishes before the units end;
    O(1) for equal weights.

    Example:
        >>> import numpy as np
        >>> float(correlate_weights(np.array([0.5, 0.5]), 0.5))
        0.75
    """
    phi = np.asarray(phi, dtype=np.float64)
    if weights.size and weights.min() == weights.max():
        units = weights.shape[-1]
        return np.asarray(float(weights.flat[0]) ** 2 * units * sum_correlations(units, phi))
    largest = float(phi.max(initial=0.0))
    reach = math.ceil(math.log(NEGLIGIBLE) / math.log(largest)) if largest > 0 else 0
    if reach < weights.shape[-1]:
        total = np.asarray((weights**2).sum(axis=-1))
        for j in range(1, reach + 1):
            total = total + 2 * phi**j * (weights[..., j:] * weights[..., :-j]).sum(axis=-1)
        return total
    lagged = np.zeros(np.broadcast_shapes(weights.shape[:-1], phi.shape))
    total = np.zeros_like(lagged)
    for i in range(weights.shape[-1]):
        total = total + weights[..., i] * (weights[..., i] + 2 * lagged)
        lagged = phi * (lagged + weights[..., i])
    return total


def inflate(weights: FloatArray, phi: float) -> float:
    """Compute by how much serial dependence multiplies the variance of a weighted mean: `w' R w / w' w`, at least 1."""
    own = float((weights**2).sum())
    return float(correlate_weights(weights, phi)) / own if own > 0 else 1.0


def effective_units(weights: FloatArray, phi: float = 0.0) -> float:
    """Count the independent units of one size whose mean has the same variance: `(sum w)^2 / w' R w`.

    Without serial dependence it is Kish's (1965) number, `(sum w)^2 / sum w^2`.
    """
    variance = float(correlate_weights(weights, phi))
    return float(weights.sum()) ** 2 / variance if variance > 0 else 0.0


def discount_df(df: float, phi: float) -> float:
    """Count the degrees of freedom that a variance of serially dependent values keeps: `df (1 - phi^2) / (1 + phi^2)`.

    Source: Bayley and Hammersley, Supplement to the Journal of the Royal Statistical Society 8 (1946) 184-197.
    """
    return df * (1 - phi**2) / (1 + phi**2)
