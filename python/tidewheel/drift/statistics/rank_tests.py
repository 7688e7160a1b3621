"""Tests of two samples by the ranks of their values, beside Kolmogorov and Smirnov's (`ks`); none decides a verdict."""

import math

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift import arguments
from tidewheel.drift.statistics.bins import count_beside
from tidewheel.drift.statistics.results import RankTestResult
from tidewheel.drift.statistics.wasserstein import count_numbers, read_pair
from tidewheel.errors import InputError

#: Up to this size of the larger sample `cramer_von_mises(method="auto")` counts the exact law, as SciPy does.
EXACT_UP_TO = 20
#: Below this the limit law of Cramer and von Mises is 1 to more digits than a float has; SciPy's bound.
_CERTAIN_BELOW = 0.003
#: Nodes per half-wave of the limit law's integral: 1e-14 relative at any argument (test_distances.py).
_NODES = 256
#: Half-waves: at the least argument the last is below 1e-17 of the whole.
_WAVES = 26

#: Scholz and Stephens (1987), table 2: critical values of the standardised statistic, b0 + b1 + b2 for two samples, and
#: their levels. Between them ln p is taken as a parabola, as SciPy takes it.
_LEVELS = np.array([0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.001])
_CRITICAL = np.array(
    [
        0.675 - 0.245 - 0.105,
        1.281 + 0.25 - 0.305,
        1.645 + 0.678 - 0.362,
        1.96 + 1.149 - 0.391,
        2.326 + 1.822 - 0.396,
        2.573 + 2.364 - 0.345,
        3.085 + 3.615 - 0.154,
    ]
)
#: The variance of the Anderson-Darling statistic divides by N - 3.
_LEAST_POOLED = 4

_Frequencies = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


def cramer_von_mises(reference: object, current: object, *, method: str = "auto") -> RankTestResult:
    """Test by Cramer and von Mises' criterion whether two samples come from one law.

    `T = U / (n m N) - (4 n m - 1) / (6 N)` with `U = n sum_i (R_i - i)^2 + m sum_j (S_j - j)^2` and N = n + m, R_i and S_j
    being the ranks of the sorted samples' values in the pooled one; tied values share their mean rank. Without ties
    that is `n m / N^2` times the sum of `(F - G)^2` over the pooled values. U is computed in integers. Missing values
    and NaN are left out and counted; infinities rank as values.

    Args:
        reference: One-dimensional numbers or times, at least 2.
        current: One-dimensional, of the same kind, at least 2.
        method: "exact": by counting all orders of the values, taken as untied; "asymptotic": by the limit law, after
            matching mean and variance; "auto": exact up to 20 values a side.

    Returns:
        T, its p-value and how that was computed.

    Raises:
        InputError: a side with fewer than two numbers, or "exact" with more orders than a float holds (n = m = 515).
        UnknownNameError: an unknown `method`.
        InputTypeError: a side does not hold numbers, or times are compared with another type or unit.

    Cost: O(N log N), on one thread; the exact p-value takes up to 0.5 s for 20 values a side and grows steeply.

    Source: Anderson, Annals of Mathematical Statistics 33 (1962) 1148-1159; Xiao, Gordon and Yakovlev, Journal of
    Statistical Software 17(8) (2006), for counting; Smirnov (1936) for the limit law.
    `scipy.stats.cramervonmises_2samp` gives the same T and exact p, and the same asymptotic p up to its own error of about
    1e-7; small ones keep their digits here.

    Example:
        >>> from tidewheel import drift
        >>> result = drift.cramer_von_mises([1.0, 2.0, 3.0, 4.0], [3.5, 5.0, 6.0, 7.0])
        >>> round(result.statistic, 6), round(result.pvalue, 6), result.method
        (0.5, 0.057143, 'exact')
    """
    arguments.check_choice("method", method, ("auto", "exact", "asymptotic"))
    quadruple, *parts = _native.cramer_von_mises(*read_pair(reference, current))
    n, m = map(count_numbers, parts)
    if min(n, m) < 2:
        raise InputError(f"`reference` and `current` must each hold at least two numbers; got {n} and {m}")
    pairs, total = n * m, n + m
    # T as a fraction of whole numbers, rounded once.
    statistic = (6 * quadruple - 4 * pairs * (4 * pairs - 1)) / (24 * pairs * total)
    if method == "auto":
        method = "exact" if max(n, m) <= EXACT_UP_TO else "asymptotic"
    if method == "exact":
        pvalue = _exact_pvalue(quadruple, n, m)
    else:
        expected = (1 + 1 / total) / 6
        variance = (
            (total + 1) * (4 * pairs * total - 3 * (n * n + m * m) - 2 * pairs) / (180 * total**2 * pairs)
        )
        pvalue = cramer_von_mises_sf(1 / 6 + (statistic - expected) / math.sqrt(45 * variance))
    return RankTestResult(statistic, pvalue, method, count_beside(*parts), n, m)


def _exact_pvalue(quadruple: int, n: int, m: int) -> float:
    """Share of all orders of n and m values whose criterion reaches the one given.

    An order is a path from (0, 0) to (n, m); with L = lcm(n, m) its criterion in whole numbers is the sum over its points
    of `(L i/n - L j/m)^2`. With ties the observed one need not be whole and is rounded down, as SciPy does.
    """
    try:
        paths = float(math.comb(n + m, n))
    except OverflowError:
        raise InputError(
            f"`method` 'exact' must have sizes whose orders a float can count; got {n} and {m}: use 'asymptotic'"
        ) from None
    lcm, pairs = math.lcm(n, m), n * m
    observed = lcm**2 * (n + m) * (6 * quadruple - 4 * pairs * (4 * pairs - 1)) // (24 * pairs**2)
    # Per j: the values that the criterion can have at (i, j), and the number of paths for each.
    nothing: _Frequencies = np.empty(0, dtype=np.int64), np.empty(0)
    column = [nothing] * (m + 1)
    for i in range(n + 1):
        below = nothing
        for j in range(m + 1):
            if i == j == 0:
                below = np.zeros(1, dtype=np.int64), np.ones(1)
            else:
                below = _merge(below, column[j])
                below = below[0] + (lcm // n * i - lcm // m * j) ** 2, below[1]
            column[j] = below
    values, counts = column[m]
    return min(1.0, float(counts[values >= observed].sum()) / paths)


def _merge(one: _Frequencies, other: _Frequencies) -> _Frequencies:
    values, order = np.unique(np.concatenate([one[0], other[0]]), return_inverse=True)
    counts = np.bincount(order, np.concatenate([one[1], other[1]]), len(values))
    return values.astype(np.int64), counts.astype(np.float64)


def cramer_von_mises_sf(x: float) -> float:
    """Compute the upper tail of the limit law of Cramer and von Mises' criterion.

    `P(W > x) = (2 / pi) sum_k (-1)^(k+1) int_((2k-1) pi)^(2k pi) exp(-x t^2 / 2) / sqrt(t |sin t|) dt`, each integral by
    Gauss and Chebyshev's rule, whose weight has the two singular ends. No difference from 1 is taken, so small tails keep
    their digits.
    """
    if x < _CERTAIN_BELOW:
        return 1.0
    start = (2 * np.arange(1, _WAVES + 1)[:, None] - 1) * np.pi
    half = (np.arange(_NODES) + 0.5) * np.pi / (2 * _NODES)
    # A node's distances from both ends of its half-wave; |sin t| is the sine of either.
    behind, ahead = np.pi * np.cos(half) ** 2, np.pi * np.sin(half) ** 2
    t = start + behind
    weight = np.sqrt(behind * ahead / (t * np.sin(np.minimum(behind, ahead))))
    # Each half-wave's mean over the nodes, times pi.
    waves = (np.exp(-x * t * t / 2) * weight).mean(axis=1)
    signs = np.where(np.arange(_WAVES) % 2 == 0, 1.0, -1.0)
    return float(np.clip(2 * math.fsum(waves * signs), 0.0, 1.0))


def anderson_darling(reference: object, current: object) -> RankTestResult:
    """Test by Anderson and Darling's criterion whether two samples come from one law; it weighs the tails more.

    `A^2 = (N - 1) / N^2 (1/n + 1/m) sum_z l_z (m M_z - n B_z)^2 / (S_z (N - S_z) - N l_z / 4)` over the distinct pooled
    values z, l_z being the number of rows equal to z, M_z and B_z the reference's and the current sample's rows below z
    plus half of those equal to it, S_z their sum. The statistic is A^2 less its mean 1, over its standard deviation
    without drift; it may be negative. Missing values and NaN are left out and counted; infinities rank as values.

    The p-value is interpolated between seven critical values, so it lies between 0.001 and 0.25, and 0.001 or 0.25
    itself says no more than "at most" or "at least"; `RankTestResult.method` tells (SciPy warns).

    Args:
        reference: One-dimensional numbers or times.
        current: One-dimensional, of the same kind.

    Returns:
        The standardised statistic, its p-value, and "interpolated", "at most" or "at least".

    Raises:
        InputError: a side without a number, fewer than 4 numbers in all, or all of them equal.
        InputTypeError: a side does not hold numbers, or times are compared with another type or unit.

    Cost: O(N log N), on one thread, and three arrays of N floats.

    Source: Scholz and Stephens, Journal of the American Statistical Association 82 (1987) 918-924;
    `scipy.stats.anderson_ksamp` with midranks.

    Example:
        >>> from tidewheel import drift
        >>> result = drift.anderson_darling([1.0, 2.0, 3.0, 4.0, 5.0], [3.5, 5.5, 6.5, 7.5, 8.5])
        >>> round(result.statistic, 6), round(result.pvalue, 6), result.method
        (2.912827, 0.021065, 'interpolated')
    """
    square, *parts = _native.anderson_darling(*read_pair(reference, current))
    n, m = map(count_numbers, parts)
    if n + m < _LEAST_POOLED:
        raise InputError(
            f"`reference` and `current` must hold at least {_LEAST_POOLED} numbers in all; got {n + m}"
        )
    if square is None:
        raise InputError("`reference` and `current` must hold two different numbers; all are equal")
    statistic = (square - 1) / math.sqrt(_anderson_darling_variance(n, m))
    pvalue, method = _interpolate_pvalue(statistic)
    return RankTestResult(statistic, pvalue, method, count_beside(*parts), n, m)


def _anderson_darling_variance(n: int, m: int) -> float:
    """The variance of A^2 of two samples without drift: Scholz and Stephens' equation 4 with k = 2."""
    total = n + m
    inverse = 1 / n + 1 / m
    # Harmonic sums counted from the far end: sums[t] = 1/(N-1) + ... + 1/(N-1-t).
    sums = np.cumsum(1 / np.arange(total - 1, 1, -1, dtype=np.float64))
    h = float(sums[-1]) + 1
    g = float((sums / np.arange(2, total)).sum())
    a = 4 * g - 6 + (10 - 6 * g) * inverse
    b = 4 * (2 * g - 4) + 8 * h + (2 * g - 14 * h - 4) * inverse + 4 * g - 6
    c = 4 * (6 * h + 2 * g - 2) + 2 * (4 * h - 4 * g + 6) + (2 * h - 6) * inverse + 4 * h
    d = 4 * (2 * h + 6) - 8 * h
    return (((a * total + b) * total + c) * total + d) / ((total - 1) * (total - 2) * (total - 3))


def _interpolate_pvalue(statistic: float) -> tuple[float, str]:
    if statistic < _CRITICAL[0]:
        return float(_LEVELS[0]), "at least"
    if statistic > _CRITICAL[-1]:
        return float(_LEVELS[-1]), "at most"
    parabola = np.polyfit(_CRITICAL, np.log(_LEVELS), 2)
    return math.exp(np.polyval(parabola, statistic)), "interpolated"
