"""What rows are worth that come in clusters, or count with weights: design effects from counts per unit (day, user).

Rows of one unit resemble each other, so n rows tell less than n independent ones would. For a share y with intra-unit
correlation rho the variance is larger by the design effect `1 + (sum_k n_k^2 / n - 1) rho`, n_k being the rows of unit k.
rho is estimated by the one-way analysis of variance over units (Donner and Koval 1980), pooled over several shares of the
same column; how well it is known is Satterthwaite's (1946) approximation. Pure: counts in, numbers out.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tidewheel.measures import serial

#: The current sample helps to estimate rho from this many units on; with fewer its own mean is hardly known.
UNITS_TO_JOIN = 5
#: With fewer reference units there is nothing to estimate a spread from.
UNITS_NEEDED = 2

_FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Design:
    """How much rows are worth in both samples.

    Attributes:
        n: Rows of the reference that the same number of independent rows would be worth: n / design effect.
        m: The same of the current sample.
        correlation: The intra-unit correlation, at least 0.
        df: Degrees of freedom of the variance of a share's difference; None when rows are taken as independent, infinite
            where weights say what they are worth, so that nothing is estimated.
        effect: The design effect of the current sample: its rows over `m`.
        dimension: In how many directions units differ from each other, between 1 (one day is fuller than another) and the
            number of shares (each share varies by itself). A statistic over all shares has so many times the degrees of
            freedom.
        roughness: Of both sides, how many times as many of these rows a class needs for sums to be as good as normal: 1,
            or more where few rows have much of the weight.
    """

    n: float
    m: float
    correlation: float = 0.0
    df: float | None = None
    effect: float = 1.0
    dimension: float = 1.0
    roughness: tuple[float, float] = (1.0, 1.0)

    @property
    def is_estimated(self) -> bool:
        """Whether what rows are worth was estimated from the spread between units."""
        return self.df is not None and math.isfinite(self.df)

    @property
    def smaller(self) -> float:
        """Rows of the smaller sample, of which a class must expect enough for the limit laws."""
        return min(self.n / self.roughness[0], self.m / self.roughness[1])

    @property
    def df_joint(self) -> float | None:
        """Degrees of freedom of the variance that all shares have together; None when rows are taken as independent."""
        return None if self.df is None else max(1.0, self.df * self.dimension)

    def repeat(self, times: float) -> "Design":
        """Give the design of so many times as many rows, or units, of the same kind."""
        df = None if self.df is None else self.df * times
        return replace(self, n=self.n * times, m=self.m * times, df=df)


def independent(n: float, m: float) -> Design:
    """Take rows as independent."""
    return Design(float(n), float(m))


def weigh(reference: _FloatArray, current: _FloatArray) -> Design:
    """Take rows as independent, and count them with weights, of which both sides have one above 0.

    `(sum w)^2 / sum w^2` equal rows have the variance of a weighted share (Kish 1965): exactly so, given the weights, where
    these do not depend on the values.

    Example:
        >>> weigh(np.array([1.0, 1.0, 2.0]), np.array([5.0, 5.0])).n
        2.6666666666666665
    """
    n, m = (count_equal(side) for side in (reference, current))
    roughness = _roughness(reference, n), _roughness(current, m)
    return Design(n, m, df=math.inf, effect=len(current) / m, dimension=math.inf, roughness=roughness)


def _roughness(weights: _FloatArray, size: float) -> float:
    """Compare the fourth moment of a weighted sum with that of as many equal rows: `n sum w^4 / (sum w^2)^2`."""
    squares = (weights / weights.max()) ** 2
    return max(1.0, float(size * (squares**2).sum() / squares.sum() ** 2))


def count_equal(weights: _FloatArray) -> float:
    """Count how many equal rows rows of these weights are worth; 0 without a row."""
    if not len(weights):
        return 0.0
    # Weights may be of any size, their squares may not.
    parts = weights / weights.max()
    return float(parts.sum() ** 2 / (parts**2).sum())


def estimate_design(
    reference: npt.NDArray[np.integer], current: npt.NDArray[np.integer], *, ordered: bool, phi: float = 0.0
) -> Design:
    """Estimate the design from counts per unit and class.

    Args:
        reference: Counts of shape (units, classes).
        current: The same of the current sample.
        ordered: True when classes are bins in order: then the shares below each edge are pooled (what the
            Kolmogorov-Smirnov distance is made of), else the shares of each class.
        phi: Serial dependence of the units, which are in time order then (`measures.serial`). The part of a sample's
            variance that is between units grows by `serial.inflate`, and degrees of freedom shrink.

    Returns:
        The design. Rows of the current sample are deflated by the reference's correlation at their own unit sizes, so a
        single current unit needs no spread of its own.
        Fewer than two reference units give no degrees of freedom (`df=0`): nothing can be said.
    """
    one, other = _shares_wanted(reference, ordered), _shares_wanted(current, ordered)
    samples = [one, other] if len(other) >= UNITS_TO_JOIN else [one]
    n, m = float(one[:, -1].sum()), float(other[:, -1].sum())
    if len(one) < UNITS_NEEDED:
        return Design(n, m, 0.0, 0.0)
    shares = sum(table[:, :-1].sum(axis=0) for table in samples) / sum(
        table[:, -1].sum() for table in samples
    )
    spread = _spread(samples, np.ones_like(shares) if ordered else np.maximum(shares, 1e-12))
    rho = spread.correlation
    if phi > 0 and spread.df_within <= 0:
        rho = 1.0  # One row a unit: all of the variance is between units.
    effects = _effect(one, rho, phi), _effect(other, rho, phi)
    df = serial.discount_df(spread.df(samples, [one, other]), phi)
    return Design(n / effects[0], m / effects[1], rho, df, effects[1], spread.dimension)


def _shares_wanted(table: npt.NDArray[np.integer], ordered: bool) -> _FloatArray:
    """Turn counts into those below each edge, or leave them, with the unit's rows as last column; drop empty units."""
    rows = table.sum(axis=1)
    if not rows.all():
        table, rows = table[rows > 0], rows[rows > 0]
    classes = table.cumsum(axis=1)[:, :-1] if ordered else table
    wanted = np.empty((len(table), classes.shape[1] + 1))
    wanted[:, :-1], wanted[:, -1] = classes, rows
    return wanted


@dataclass(frozen=True, slots=True)
class _Spread:
    """The analysis of variance over units.

    Attributes:
        between: Mean square between units, summed over shares.
        within: Mean square within them.
        df_between: Units less samples.
        df_within: Rows less units.
        size: Rows of a unit, as the expectation of `between` weighs them.
        dimension: As in `Design`.
    """

    between: float
    within: float
    df_between: float
    df_within: float
    size: float
    dimension: float

    @property
    def correlation(self) -> float:
        """The intra-unit correlation, at least 0; 0 where nothing can be compared."""
        total = self.between + (self.size - 1) * self.within
        if self.df_within <= 0 or self.df_between <= 0 or total <= 0:
            return 0.0
        return float(np.clip((self.between - self.within) / total, 0.0, 1.0))

    def df(self, samples: list[_FloatArray], compared: list[_FloatArray]) -> float:
        """Compute the degrees of freedom of the variance of a difference between the samples compared.

        That variance is `A between + B within` (Satterthwaite 1946). A counts for more than the whole where the units
        compared are larger than those that the spread was estimated from. Units of unequal sizes make `between` vary more
        than chi-square does, as their weights `1 + (n_k - 1) rho` say.
        """
        n_k = np.concatenate([table[:, -1] for table in samples])
        weights = 1 + (n_k - 1) * self.correlation
        df_between = max(1.0, float(self.df_between * weights.sum() ** 2 / (n_k.size * (weights**2).sum())))
        if self.df_within <= 0 or self.df_between <= 0:
            return df_between
        a = sum((side[:, -1] ** 2).sum() / side[:, -1].sum() ** 2 for side in compared) / self.size
        b = sum(1 / side[:, -1].sum() for side in compared) - a
        between, within = max(self.between, self.within), self.within
        terms = (a * between) ** 2 / df_between + (b * within) ** 2 / self.df_within
        return float(np.clip((a * between + b * within) ** 2 / terms, 1.0, None)) if terms > 0 else df_between


def _spread(samples: list[_FloatArray], scale: _FloatArray) -> _Spread:
    """Analyse the variance of shares, divided by `scale`: 1 for sums over edges, the share itself for chi-square."""
    within = rows = units = size = 0.0
    scatter = np.zeros((scale.size, scale.size))
    for table in samples:
        n_k = table[:, -1:]
        n = n_k.sum()
        mean = table[:, :-1].sum(axis=0) / n
        # Block by block: many units take no copies of their table.
        for start in range(0, len(table), serial.BLOCK):
            part = slice(start, start + serial.BLOCK)
            shares = table[part, :-1] / n_k[part]
            off = np.sqrt(n_k[part] / scale) * (shares - mean)
            scatter += off.T @ off
            within += float((n_k[part] * shares * (1 - shares) / scale).sum())
        size += float(n - (n_k**2).sum() / n)
        rows, units = rows + float(n), units + len(table)
    df_between, df_within = units - len(samples), rows - units
    between, square = float(np.trace(scatter)), float((scatter**2).sum())
    dimension = max(1.0, between**2 / square) if square > 0 else 1.0
    return _Spread(
        between / max(df_between, 1),
        within / max(df_within, 1),
        df_between,
        df_within,
        size / max(df_between, 1),
        dimension,
    )


def _effect(table: _FloatArray, rho: float, phi: float) -> float:
    n_k = table[:, -1]
    n = n_k.sum()
    if not n:
        return 1.0
    inflation = serial.inflate(n_k, phi) if phi > 0 else 1.0
    return max(1.0, float(1 + ((n_k**2).sum() / n * inflation - 1) * rho))
