"""Confidence bounds of the population stability index, from counts.

The index of samples is larger than that of their laws: on average by `(B - 1)(1/n + 1/m)` where these are equal. Its bounds
must hold where the laws are close, and the index is a chi-square, and where they are not, and it is nearly normal.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from tidewheel import _native

#: A bin with fewer rows on either side says little of its own share: the logarithm of that share may be anything.
FEW_ROWS = 5
#: Halvings of an interval; bounds are then known to nine digits.
_HALVINGS = 40

_FloatArray = npt.NDArray[np.float64]


def bound_psi(
    reference: Sequence[float], current: Sequence[float], alpha: float
) -> tuple[float, float, float]:
    """Estimate the index of the laws of two samples over fixed bins, and bound it from both sides.

    With the samples' index `PSI = sum (p - q) ln(p / q)`, smoothed by Jeffreys, and `s = 1/n + 1/m`, the estimate is
    `PSI - (B - 1) s`, at least 0. Each bound is the outer one of two, at level alpha / 2:

    - `PSI / s` as a chi-square with B - 1 degrees of freedom and noncentrality `psi / s`: right where laws are close;
    - the normal law of PSI by the delta method, below less its bias to second order: right where they are not.

    For bins with fewer than 5 rows on a side the upper bound grows by what the Clopper-Pearson intervals of their shares,
    at alpha / (2 B), allow.

    Args:
        reference: Reference rows per bin; bins empty on both sides are left out.
        current: Current rows per bin.
        alpha: Level, in (0, 1).

    Returns:
        The estimate, the lower and the upper bound; the upper one is infinite where a bin may be empty on one side. With
        fewer than two bins in use all are 0.

    Source: Sankaran, Biometrika 50 (1963) 199-204, for the law of the noncentral chi-square.

    Example:
        >>> value, lower, upper = bound_psi([100] * 10, [60] * 5 + [140] * 5, 0.05)
        >>> round(value, 3), round(lower, 3), round(upper, 3)
        (0.15, 0.077, 0.24)
    """
    sides = np.array([reference, current], dtype=np.float64)
    sides = sides[:, sides.sum(axis=0) > 0]
    bins = sides.shape[1]
    if bins < 2:
        return 0.0, 0.0, 0.0
    n, m = sides.sum(axis=1).tolist()
    p, q = (sides + 0.5) / (np.array([[n], [m]]) + bins / 2)
    terms = (p - q) * np.log(p / q)
    psi, scale = float(terms.sum()), 1 / n + 1 / m
    z = _bisect(lambda at: _native.normal_sf(at) > alpha / 2, 0.0, 40.0)
    normal, bias = z * _deviation(p, q, n, m), _bias(p, q, n, m)
    noncentral = (scale * _noncentrality(psi / scale, bins - 1, side) for side in (z, -z))
    lower = max(0.0, min(next(noncentral), psi - bias - normal))
    upper = max(next(noncentral), psi + normal) + _allow(sides, terms, alpha / (2 * bins))
    return max(0.0, psi - (bins - 1) * scale), lower, upper


def _deviation(p: _FloatArray, q: _FloatArray, n: float, m: float) -> float:
    """Compute the standard deviation of the index by the delta method."""
    variance = 0.0
    for one, other, rows in ((p, q, n), (q, p, m)):
        slope = np.log(one / other) + 1 - other / one
        variance += float((one * slope**2).sum() - (one * slope).sum() ** 2) / rows
    return math.sqrt(max(0.0, variance))


def _bias(p: _FloatArray, q: _FloatArray, n: float, m: float) -> float:
    """Compute the mean of the index beyond that of the laws, to second order."""
    sides = ((1 + other / one) * (1 - one) / rows for one, other, rows in ((p, q, n), (q, p, m)))
    return sum(float(side.sum()) for side in sides) / 2


def _noncentrality(x: float, df: int, z: float) -> float:
    """Find the noncentrality of a chi-square that lies so many normal deviations below x; 0 if there is none."""
    if _normalize(x, df, 0.0) <= z:
        return 0.0
    return _bisect(lambda noncentrality: _normalize(x, df, noncentrality) > z, 0.0, 4 * x + 200.0)


def _normalize(x: float, df: int, noncentrality: float) -> float:
    """Turn a noncentral chi-square into a standard normal number (Sankaran 1963)."""
    mean, third = df + noncentrality, df + 3 * noncentrality
    half = df + 2 * noncentrality
    h = 1 - 2 * mean * third / (3 * half**2)
    spread, slope = half / mean**2, (h - 1) * (1 - 3 * h)
    center = 1 + h * spread * (h - 1 - 0.5 * (2 - h) * slope * spread)
    return float(((x / mean) ** h - center) / (h * math.sqrt(2 * spread) * (1 + 0.5 * slope * spread)))


def _allow(sides: _FloatArray, terms: _FloatArray, level: float) -> float:
    """Add up by how much the index may be larger in bins of few rows."""
    found, (n, m) = 0.0, sides.sum(axis=1).tolist()
    for at in np.flatnonzero(sides.min(axis=0) < FEW_ROWS).tolist():
        (p_low, p_high), (q_low, q_high) = (
            _clopper(float(side[at]), rows, level) for side, rows in zip(sides, (n, m), strict=True)
        )
        found += max(0.0, max(_term(p_high, q_low), _term(q_high, p_low)) - float(terms[at]))
    return found


def _term(larger: float, smaller: float) -> float:
    if larger <= smaller:
        return 0.0
    return (larger - smaller) * math.log(larger / smaller) if smaller > 0 else math.inf


def _clopper(hits: float, rows: float, level: float) -> tuple[float, float]:
    """Bound a share by the binomial law, at this level on each side."""
    low = _bisect(lambda share: _reach(hits, rows, share) < level, 0.0, 1.0) if hits > 0 else 0.0
    # Of so many hits or fewer: of the misses or more.
    high = (
        1 - _bisect(lambda share: _reach(rows - hits, rows, share) < level, 0.0, 1.0) if hits < rows else 1.0
    )
    return low, high


def _reach(hits: float, rows: float, share: float) -> float:
    """Compute the probability of at least so many hits (above 0), which need not be whole."""
    misses, odds = rows - hits, share / (1 - share)
    return _native.f_sf(hits / ((misses + 1) * odds), 2 * (misses + 1), 2 * hits)


def _bisect(is_below: Callable[[float], bool], low: float, high: float) -> float:
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return low
