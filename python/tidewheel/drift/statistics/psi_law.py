"""The law of the population stability index when nothing has drifted.

On bins laid at the quantiles of a continuous reference the law depends on the sizes, the bins and the smoothing alone: the
bins' true shares are sums of spacings of n uniform values, hence Dirichlet, and the current counts are multinomial given
these. Elsewhere (ties, strings, given edges) it is taken conditionally on the pooled counts, as in a permutation test.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewheel import _native

#: From this size on of both samples the first-order law is right to about a tenth of its standard error
#: (Yurdakul and Naranjo 2020, and the simulations behind this module); below it is simulated.
FIRST_ORDER_FROM = 5_000
#: So many rows are expected in the least bin of the smaller sample: with 20 of them in 50 bins 3.9 % pass its 5 % point,
#: with 100 4.9 %.
EXPECTED_ROWS = 100
#: NumPy draws hypergeometric numbers up to this total; beyond, drawing with replacement is the same to nine digits.
HYPERGEOMETRIC_BELOW = 1_000_000_000
#: Simulated samples: a p-value of 0.05 is then known to 0.002, and no p-value falls under 0.0001.
DRAWS = 9_999
#: Fixed, so that a call gives the same p-value every time.
SEED = 20_131_018
#: The share of undrifted samples that exceed `critical_value`.
LEVEL = 0.05

_FloatArray = npt.NDArray[np.float64]


def psi_pvalue(
    statistic: float,
    reference: tuple[int, ...],
    current: tuple[int, ...],
    smoothing: str | float,
    *,
    continuous: bool,
    laid: bool = False,
) -> tuple[float, float]:
    """Compute the p-value of an index, and the critical value at 5 %.

    From 5,000 rows a side and 100 expected rows a bin on, the law is `(1/n + 1/m) chi2(B - 1)`, B counting the bins that
    are not empty on both sides; below, the p-value is `(1 + #{simulated >= statistic}) / 10,000` over 9,999 samples
    simulated once and cached. Bins laid on values with ties lie between bins that are fixed and bins whose shares are
    spacings: the larger p-value of both laws is taken.

    Args:
        statistic: The index.
        reference: Counts of the reference.
        current: Counts of the current sample.
        smoothing: As given to `psi`.
        continuous: True for quantile bins without ties.
        laid: True for bins laid on the reference's values, ties or not.

    Returns:
        The p-value in (0, 1] and the critical value.

    Cost: 10 to 50 ms for the first call with given sizes, then a binary search.
    """
    used = [(r, c) for r, c in zip(reference, current, strict=True) if r or c]
    n, m = sum(reference), sum(current)
    if len(used) < 2:
        return 1.0, 0.0
    pooled = tuple(r + c for r, c in used)
    least = min(pooled) * min(n, m) / (n + m)
    if min(n, m) >= FIRST_ORDER_FROM and least >= EXPECTED_ROWS:
        scale = 1 / n + 1 / m
        return _native.chi2_sf(statistic / scale, len(used) - 1), scale * _chi2_quantile(len(used) - 1)
    laws = [] if continuous else [_conditional_law(pooled, n, smoothing)]
    if continuous or laid:
        laws.append(_spacings_law(reference, m, smoothing, continuous))
    found = [_rank(statistic, law) for law in laws]
    return max(pvalue for pvalue, _ in found), max(critical for _, critical in found)


def _rank(statistic: float, law: _FloatArray) -> tuple[float, float]:
    exceeding = law.size - int(np.searchsorted(law, statistic * (1 - 1e-12), side="left"))
    critical = law[int(np.ceil((1 - LEVEL) * (law.size + 1))) - 1]
    return (1 + exceeding) / (law.size + 1), float(critical)


@lru_cache(maxsize=64)
def _chi2_quantile(df: int) -> float:
    low, high = 0.0, 10.0 * df + 50.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _native.chi2_sf(middle, df) > LEVEL else (low, middle)
    return high


@lru_cache(maxsize=256)
def _spacings_law(
    reference: tuple[int, ...], m: int, smoothing: str | float, continuous: bool
) -> _FloatArray:
    generator = np.random.Generator(np.random.PCG64(SEED))
    spacings = np.array(reference, dtype=np.float64)
    if continuous:
        # An interior edge is itself a reference value, the first of its bin: the spacings below the first edge are one
        # more than the values there, and n values make n + 1 spacings.
        spacings[0] += 1
    else:
        # With ties a bin may be empty; half a row keeps it possible.
        spacings = np.maximum(spacings, 0.5)
    shares = generator.dirichlet(spacings, size=DRAWS)
    current = generator.multinomial(m, shares)
    fixed = np.broadcast_to(np.array(reference), current.shape)
    return np.sort(psi_of_rows(fixed, current, smoothing))


@lru_cache(maxsize=256)
def _conditional_law(pooled: tuple[int, ...], n: int, smoothing: str | float) -> _FloatArray:
    generator = np.random.Generator(np.random.PCG64(SEED))
    totals = np.array(pooled)
    total = int(totals.sum())
    if total < HYPERGEOMETRIC_BELOW:
        reference = generator.multivariate_hypergeometric(totals, n, size=DRAWS, method="marginals")
        return np.sort(psi_of_rows(reference, totals - reference, smoothing))
    one, other = (generator.multinomial(rows, totals / total, size=DRAWS) for rows in (n, total - n))
    return np.sort(psi_of_rows(one, other, smoothing))


def psi_of_rows(
    reference: npt.NDArray[Any], current: npt.NDArray[Any], smoothing: str | float
) -> _FloatArray:
    """Compute the index of each row of counts, which need not be whole; see `psi.psi` for `smoothing`."""
    used = (reference > 0) | (current > 0)
    bins = used.sum(axis=1, keepdims=True)
    p, q = (smooth_shares(counts, bins, smoothing) for counts in (reference, current))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(used & (p != q), (p - q) * np.log(p / q), 0.0)
    total: _FloatArray = terms.sum(axis=1)
    return total


def smooth_shares(
    counts: npt.NDArray[Any], bins: npt.NDArray[np.integer], smoothing: str | float
) -> _FloatArray:
    """Turn rows of counts into shares, given each row's number of bins in use; see `psi.psi` for `smoothing`."""
    total = counts.sum(axis=1, keepdims=True)
    if smoothing == "jeffreys":
        return np.asarray((counts + 0.5) / (total + bins / 2))
    if smoothing == "laplace":
        return np.asarray((counts + 1.0) / (total + bins))
    shares = np.asarray(counts / total)
    return shares if smoothing == "none" else np.maximum(shares, float(smoothing))
