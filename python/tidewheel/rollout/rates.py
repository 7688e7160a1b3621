"""Bound what two arms differ by, at every look of a rollout together.

What belongs here: the statistics of the guards, in numbers only. What does not: verdicts and their words
(`rollout.guards`), counting a log (`rollout.guards` too).

Three things are bounded, each so that peeking costs nothing: `difference_bounds` for the mean over keys of
something in [0, 1], at the looks of `look_sizes`; `ratio_bounds` for a paired mean over units, at every unit;
`sample_ratio_pvalue` for the split itself, at every key.
"""

import math

import numpy as np
from numpy.typing import NDArray

from tidewheel.errors import InputError

Values = NDArray[np.float64]

STEP = 0.001
"""Bounds of differences of rates are rounded outward to this step: finer than any margin a rollout can afford."""

_GRID = np.linspace(0.0, 1.0, round(1.0 / STEP) + 1)

FIRST_LOOK = 32
"""Requests in both arms at the first look: the fewest at which a candidate that fails always can be told."""

LOOK_GROWTH = 1.5
"""Each look waits for half as many requests again, so at most a third of the requests is not yet looked at."""

PLANNED_LOOKS = 12
"""Looks that share `_PLANNED_ALPHA` equally: from 32 to 2,768 requests, the size of a usual canary."""

_PLANNED_ALPHA = 0.9

# Bets as shares of the largest one that cannot lose more than everything, with the prior weight of each. A rate is shown
# to be low mostly by failures that do not happen, where the whole stake is best; to be high by rare failures, where the
# best stake is about as small as the excess rate. Halving costs at most 17 % of the best growth. The stake of 0 keeps its
# weight whatever comes, so that an arm which cannot speak about a hypothesis does not speak against the other arm.
_LOW_BETS = (1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 0.0)
_LOW_WEIGHTS = (0.45, 0.15, 0.12, 0.08, 0.06, 0.04, 0.10)
_HIGH_BETS = (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256, 0.0)
_HIGH_WEIGHTS = (0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.60)

EFFECT_SPREAD = 0.5
"""Prior variance of (mean over standard deviation) in `ratio_bounds`: narrowest at 10 to 30 units (see the tests)."""

_SPLIT_PRIOR = 50.0
"""Beta(50, 50) prior of the split under its alternative: aimed at splits such as 60 to 40, the size of a real fault."""


def look_sizes(n_requests: int) -> tuple[int, ...]:
    """List the numbers of requests (both arms together) at which the arms are compared, as far as `n_requests` reaches.

    Why looks at all: a key's mean keeps moving while its requests come, so betting key by key in order of
    arrival is no martingale, and repeating a fixed-sample bound at will is no promise. At a look all keys
    seen so far are an exchangeable sample, whatever correlates inside a key; the looks share alpha
    (`look_alpha`), so the bounds of all looks hold together and whoever peeks in between only reads the last
    look again.

    Example:
        >>> look_sizes(250)
        (32, 48, 72, 108, 162, 243)
    """
    sizes: list[int] = []
    while (size := math.ceil(FIRST_LOOK * LOOK_GROWTH ** len(sizes))) <= n_requests:
        sizes.append(size)
    return tuple(sizes)


def look_alpha(look: int, alpha: float) -> float:
    """Give the part of `alpha` spent at one look; over all looks the parts sum to `alpha`.

    The first 12 looks share 90 % equally, look k from then on gets 10 % / ((k - 11) (k - 10)).

    Args:
        look: Number of the look, from 0.
        alpha: Chance of error of all looks together, in (0, 1).
    """
    if look < PLANNED_LOOKS:
        return alpha * _PLANNED_ALPHA / PLANNED_LOOKS
    beyond = look - PLANNED_LOOKS + 1
    return alpha * (1.0 - _PLANNED_ALPHA) / (beyond * (beyond + 1))


def difference_bounds(
    candidate: Values, baseline: Values, alpha_lower: float, alpha_upper: float
) -> tuple[float, float]:
    """Bound mean(candidate) - mean(baseline) of two independent samples of values in [0, 1], without assuming a law.

    Betting (Waudby-Smith and Ramdas 2024). For values y in [0, 1] and a stake c in [0, 1], prod(1 - c + c y / m)
    has mean 1 if the mean of y is m, and less if it is below: an e-value. Mixed over stakes that are fixed
    beforehand it does not depend on the order of the keys. The difference is at least d only if for some b the
    baseline has mean b and the candidate at least b + d; that is refused where (e-value of "candidate is below
    b + d") x (e-value of "baseline is above b") is 1 / alpha or more for *every* b. One e-value for both arms
    spends alpha once, where two intervals joined by a union bound spend it twice. No failure in either arm bounds
    the difference below 0.05 at the looks of a canary (`look_alpha` of 0.05) with 133 keys an arm.

    Args:
        candidate: Shape (n,), float64 in [0, 1]: one value for each key of the arm.
        baseline: Shape (m,), likewise.
        alpha_lower: Chance that the lower bound is too high, in (0, 1).
        alpha_upper: Chance that the upper bound is too low, in (0, 1).

    Returns:
        (lower, upper) in [-1, 1], rounded outward to 0.001. An empty arm may have any mean in [0, 1].

    Raises:
        InputError: A value outside [0, 1] or not finite.

    Cost: O(1000 (u + v)) for u and v distinct values.

    Source: I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting, JRSS B 86
    (2024).

    Example:
        >>> never, always = np.zeros(200), np.ones(200)
        >>> difference_bounds(never, never, 0.05, 0.05)
        (-0.021, 0.021)
        >>> difference_bounds(always, never, 0.05, 0.05)
        (0.942, 1.0)
    """
    low = _EvidenceOfArm(candidate, "candidate")
    base = _EvidenceOfArm(baseline, "baseline")
    upper = _upper_bound(low, base, alpha_upper)
    lower = -_upper_bound(base, low, alpha_lower)
    return lower, upper


class _EvidenceOfArm:
    """Hold the log e-values of one arm at each mean of the grid: that its mean is below it, that it is above it."""

    def __init__(self, values: Values, name: str) -> None:
        if values.size and not (np.all(values >= 0.0) and np.all(values <= 1.0)):
            wrong = int(np.flatnonzero(~((values >= 0.0) & (values <= 1.0)))[0])
            raise InputError(f"`{name}` must lie in [0, 1]; got {values[wrong]} at index {wrong}")
        distinct, counts = np.unique(values, return_counts=True)
        self.below = _log_evidence(1.0 - distinct, counts, 1.0 - _GRID, _LOW_BETS, _LOW_WEIGHTS)
        self.above = _log_evidence(distinct, counts, _GRID, _HIGH_BETS, _HIGH_WEIGHTS)


def _log_evidence(
    values: Values,
    counts: NDArray[np.int64],
    means: Values,
    bets: tuple[float, ...],
    weights: tuple[float, ...],
) -> Values:
    """Give the log e-value that the mean of `values` is above each of `means`."""
    # A mean of exactly 0 is refuted by any positive value; the smallest double stands in for it.
    ratios = values[None, :] / np.maximum(means, np.finfo(np.float64).tiny)[:, None]
    total = np.full(means.shape, -np.inf)
    with np.errstate(divide="ignore", over="ignore"):
        for bet, weight in zip(bets, weights, strict=True):
            wealth = np.log1p(bet * (ratios - 1.0)) @ counts.astype(np.float64)
            total = np.logaddexp(total, math.log(weight) + wealth)
    # Finite stand-ins, so that evidence without end on one side and none on the other adds up to a number.
    limited: Values = np.nan_to_num(total, nan=-1e300, posinf=1e300, neginf=-1e300)
    return limited


def _upper_bound(candidate: _EvidenceOfArm, baseline: _EvidenceOfArm, alpha: float) -> float:
    """Find the smallest d on the grid at which "the difference is d or more" is refused."""
    needed = -math.log(alpha)
    last = _GRID.size - 1
    cells = np.arange(last)

    def is_refused(step: int) -> bool:
        # For b in the cell [g_i, g_i+1] both e-values are replaced by what they are at the less telling end: the evidence
        # "below" grows with the mean, the evidence "above" falls.
        ends = cells[(cells + step) < last]
        evidence = candidate.below[np.maximum(ends + step, 0)] + baseline.above[ends + 1]
        return bool(np.min(evidence) >= needed)

    refused, kept = last, -last
    while refused - kept > 1:
        middle = (refused + kept) // 2
        if is_refused(middle):
            refused = middle
        else:
            kept = middle
    return round(refused * STEP, 9)


def ratio_bounds(sums: Values, sizes: Values, alpha: float) -> tuple[float, float, float]:
    """Bound sum(sums) / sum(sizes) over independent units, so that the bounds hold at every number of units together.

    The Bayes factor of the t statistic with a normal prior of variance g = 1/2 on the standardised mean, (1 +
    n g)^(-1/2) [(1 + t^2 / v) / (1 + t^2 / (v (1 + n g)))]^((v + 1) / 2), v = n - 1, is a martingale for
    normal unit values of any variance (the prior of the scale is the right Haar measure), so the ratios r
    whose linearised units (sums - r sizes) keep it below 1 / (2 alpha) form a confidence sequence; each side
    misses with half the chance. It is the Robbins mixture made honest at ten units, where a plug-in variance
    is not. Exact for normal units, approximate otherwise: the caller states a burn-in, and strongly skewed
    units (a few giant days) break the promise.

    Args:
        sums: Shape (n,), float64: the sum of the values of each unit.
        sizes: Shape (n,), float64, positive: the number of values of each unit.
        alpha: Chance that one bound ever misses on its side, in (0, 0.5).

    Returns:
        (ratio, lower, upper); the bounds are -inf and inf while the units are too few or too unlike in size
        to tell.

    Raises:
        InputError: No unit, arrays of different length, a size not positive, or a value not finite.

    Source: M. Perez-Ortiz, T. Lardy, R. de Heide and P. Gruenwald, E-statistics, group invariance and
    anytime-valid testing, Annals of Statistics 52 (2024).

    Example:
        >>> sums = np.array([1.0, 3.0, 2.0, 2.0, 1.5, 2.5, 2.0, 2.0, 1.0, 3.0, 2.0, 2.0])
        >>> [round(bound, 3) for bound in ratio_bounds(sums, np.full(12, 10.0), 0.05)]
        [0.2, 0.14, 0.26]
    """
    n = sums.size
    if n == 0 or sums.shape != sizes.shape:
        raise InputError(f"`sums` and `sizes` must be of one length of 1 or more; got {n} and {sizes.size}")
    if not (np.all(np.isfinite(sums)) and np.all(np.isfinite(sizes)) and np.all(sizes > 0.0)):
        raise InputError("`sums` and `sizes` must be finite and `sizes` positive; got a value that is not")
    ratio = float(sums.sum() / sizes.sum())
    limit = _t_squared_limit(n, alpha)
    if not math.isfinite(limit):
        return ratio, -math.inf, math.inf
    # Fieller: n mean(S - rN)^2 < limit var(S - rN) is a quadratic in r. Centred at the ratio, where mean(S - rN) = 0.
    rest = sums - ratio * sizes
    variance, covariance, spread = rest.var(ddof=1), np.cov(rest, sizes)[0, 1], sizes.var(ddof=1)
    square = n * sizes.mean() ** 2 - limit * spread
    if square <= 0.0:
        return ratio, -math.inf, math.inf
    middle = -limit * covariance / square
    half = math.sqrt(max(middle**2 + limit * variance / square, 0.0))
    return ratio, ratio + float(middle) - half, ratio + float(middle) + half


def _t_squared_limit(n: int, alpha: float) -> float:
    """Give the t^2 at which the Bayes factor of n units reaches 1 / (2 alpha); inf where it never does."""
    if n < 2:
        return math.inf
    shrink = 1.0 + n * EFFECT_SPREAD
    growth = (math.sqrt(shrink) / (2.0 * alpha)) ** (2.0 / n)
    return math.inf if growth >= shrink else (n - 1) * (growth - 1.0) / (1.0 - growth / shrink)


def units_needed(gap: float, spread: float, alpha: float, *, most: int = 10_000) -> int | None:
    """Count the units at which a bound of `ratio_bounds` lies `gap` from the ratio, for unit values of one size.

    Args:
        gap: Distance from the ratio to the value that the bound has to reach; positive.
        spread: Standard deviation of the unit means.
        alpha: As in `ratio_bounds`.
        most: Where to give up.

    Returns:
        The number of units, or None if `gap` is not positive or more than `most` are needed.

    Example:
        >>> units_needed(0.005, 0.004, 0.05), units_needed(0.002, 0.004, 0.05)
        (9, 35)
    """
    if gap <= 0.0:
        return None
    enough = (n for n in range(2, most + 1) if spread * math.sqrt(_t_squared_limit(n, alpha) / n) <= gap)
    return next(enough, None)


def sample_ratio_pvalue(n_candidate: int, n_baseline: int) -> float:
    """Give an anytime-valid p-value of "each new key falls into either arm with chance 1/2".

    1 / B where B = Beta(50 + n, 50 + m) / Beta(50, 50) * 2^(n + m) is the Bayes factor against the even
    split: a martingale in the order in which keys turn up, so the chance that p ever falls to a is at most a.

    Source: M. Lindon and A. Malek, Anytime-valid inference for multinomial count data, NeurIPS 2022.

    Example:
        >>> sample_ratio_pvalue(100, 100), round(sample_ratio_pvalue(200, 100), 6)
        (1.0, 6e-06)
    """
    prior = _SPLIT_PRIOR
    n = n_candidate + n_baseline
    log_factor = (
        _log_beta(prior + n_candidate, prior + n_baseline) - _log_beta(prior, prior) + n * math.log(2.0)
    )
    return min(1.0, math.exp(-log_factor)) if log_factor > -700.0 else 1.0


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
