"""Quantiles of laws whose upper tails are known."""

import math
from collections.abc import Callable

from tidewheel import _native


def upper_quantile(level: float, df: float | None) -> float:
    """Find z with P(|Z| > z) = level for a standard normal Z, or Student's with `df` degrees of freedom (at least 1)."""
    if df is None or math.isinf(df):
        return math.sqrt(bisect(lambda square: _native.chi2_sf(square, 1.0), level))
    return math.sqrt(bisect(lambda square: _native.f_sf(square, 1.0, max(df, 1.0)), level))


def bisect(tail: Callable[[float], float], level: float) -> float:
    """Find where a decreasing tail reaches a level."""
    low, high = 0.0, 1.0
    while tail(high) > level and high < 1e12:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle) > level else (low, middle)
    return high
