"""The tests inside a column: of numbers, of categories, of shares. Counts in, a `decision.Part` out.

One decision test per kind: numbers by Kolmogorov-Smirnov, or the population stability index where that is asked for,
categories by chi-square, shares by the difference of two proportions. With clustered rows (`design_effect.Design.df`
given) each uses effective sizes, and F and Student laws; with weights effective sizes alone.
"""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift.report.records import Effect
from tidewheel.drift.statistics import psi_law, ties, vocabulary
from tidewheel.drift.statistics.divergences import chi_square_of_counts
from tidewheel.drift.statistics.psi import psi_of_counts
from tidewheel.drift.statistics.psi_bounds import bound_psi
from tidewheel.drift.table.counted import CategoryCounts, Distance, NumberCounts, WeighedCounts
from tidewheel.drift.table.decision import (
    DISTANCE_THRESHOLD,
    INDEX_THRESHOLD,
    SHARE_THRESHOLD,
    VARIATION_THRESHOLD,
    Part,
    kolmogorov_quantile,
    square_tail,
)
from tidewheel.drift.table.design_effect import Design
from tidewheel.drift.table.open_vocabulary import Held
from tidewheel.measures.quantiles import upper_quantile

#: The exact Kolmogorov-Smirnov p-value visits 2 D n m lattice points; so many cost under a millisecond, and beyond them
#: the asymptotic p is right to 2 % at 0.05 (test_accurate.py). For equal sizes it costs less and is used up to any size.
EXACT_POINTS = 2_000_000
#: Chi-square needs this many expected rows in each cell (Cochran); rarer categories are pooled, or permuted.
EXPECTED_ROWS = 5.0
#: Up to this many rows in the smaller sample a table with rare cells is permuted instead of pooled.
PERMUTE_UP_TO = 1_000
#: Fisher's test up to so many tables (0.5 ms). The normal law is off by up to 0.007 at 100 expected rows, 0.0006 at 10,000.
FISHER_TABLES = 20_000
#: Permutations: p-values near 0.05 are then known to 0.002.
PERMUTATIONS = 9_999
#: Fixed, so that a report gives the same p-values every time.
SEED = 20_131_019

Distances = _native.KsDistance | _native.KsEnclosure | Distance
_FloatArray = npt.NDArray[np.float64]


def compare_numbers(
    distance: Distances,
    design: Design,
    alpha: float,
    threshold: float = DISTANCE_THRESHOLD,
) -> Part:
    """Test whether numbers come from one law, by Kolmogorov-Smirnov.

    The effect is the distance D; its bounds are Dvoretzky, Kiefer and Wolfowitz's at the effective size n m / (n + m), which
    Wei and Dudley (2012) prove for two samples of one law. In the limit one law is the extreme case: the tail of the
    error's supremum goes with (a / n + b / m) / sqrt(a^2 / n + b^2 / m), (a, b) being the direction in which (F, G) passes
    (1/2, 1/2), where its variance is greatest (Piterbarg 1996), and that is largest for a = b. At finite sizes
    `benches/calibration.py` measures them. With clusters the limit law at the effective sizes is used, its scale being
    estimated with the design's degrees of freedom.

    Where counts per block leave D an interval, the statistic is the least D, the p-value the largest, and the bounds of
    the effect reach from the lower one at the least D to the upper one at the greatest; `Part.ends` holds both ends.
    """
    if isinstance(distance, _native.KsDistance) or distance.lower == distance.upper:
        return _distance_part(_ends(distance)[0], distance.n, distance.m, design, alpha, threshold)
    least, most = (
        _distance_part(d, distance.n, distance.m, design, alpha, threshold) for d in _ends(distance)
    )
    effect = Effect(
        "least possible Kolmogorov-Smirnov D",
        least.statistic,
        least.effect.lower,
        most.effect.upper,
        threshold,
    )

    def repeated(times: float) -> tuple[Effect, float]:
        low, high = (end.repeated(times) for end in (least, most) if end.repeated is not None)
        return replace(effect, lower=low[0].lower, upper=high[0].upper), low[1]

    test = "Kolmogorov-Smirnov, from counts"
    return Part(
        "values", test, least.statistic, least.pvalue, effect, design, ends=(least, most), repeated=repeated
    )


def name_distance(distance: Distances) -> dict[str, float]:
    """Name the distance "ks" where it is known, else its bounds "ks_lower" and "ks_upper"."""
    lower, upper = _ends(distance)
    return {"ks": lower} if lower == upper else {"ks_lower": lower, "ks_upper": upper}


def _ends(distance: Distances) -> tuple[float, float]:
    if isinstance(distance, _native.KsDistance):
        return distance.statistic, distance.statistic
    return distance.lower, distance.upper


def _distance_part(d: float, n: int, m: int, design: Design, alpha: float, threshold: float) -> Part:
    if not design.is_estimated:
        method = "accurate" if n == m or 2 * d * n * m <= EXACT_POINTS else "asymp"
        pvalue, _ = _native.ks_pvalue(d, n, m, "two-sided", method)
    else:
        size = design.n * design.m / (design.n + design.m)
        pvalue = _native.kolmogorov_sf(math.sqrt(size) * d, design.df_joint)
    band = kolmogorov_quantile(alpha, design.df_joint) * math.sqrt(1 / design.n + 1 / design.m)

    def repeated(times: float) -> tuple[Effect, float]:
        # An exact p-value of so many rows, or the quantile of another law with estimated scale, would take milliseconds.
        narrower = band / math.sqrt(times)
        if design.is_estimated:
            larger = design.repeat(times).df_joint
            narrower *= upper_quantile(alpha, larger) / upper_quantile(alpha, design.df_joint)
        square = times * d * d * design.n * design.m / (design.n + design.m)
        return _distance_effect(d, narrower, threshold), min(1.0, 2 * math.exp(-2 * square))

    effect = _distance_effect(d, band, threshold)
    return Part("values", "Kolmogorov-Smirnov", d, pvalue, effect, design, repeated=repeated)


def _distance_effect(d: float, band: float, threshold: float) -> Effect:
    return Effect("Kolmogorov-Smirnov D", d, max(0.0, d - band), min(1.0, d + band), threshold)


def compare_bins(
    found: _native.NumericComparison | NumberCounts,
    design: Design,
    alpha: float,
    threshold: float = INDEX_THRESHOLD,
) -> Part:
    """Test whether numbers come from one law, by the population stability index over the report's bins.

    The p-value is that of `psi_law`; the effect is the index beyond what chance alone makes it, with the bounds of
    `psi_bounds.bound_psi`. Both sides have a finite value, and rows are independent and count alike.
    """
    r, c = (tuple(map(int, side)) for side in (found.reference_counts, found.current_counts))
    statistic = psi_of_counts(r, c, "jeffreys")
    pvalue, _ = psi_law.psi_pvalue(statistic, r, c, "jeffreys", continuous=found.continuous, laid=True)

    def repeated(times: float) -> tuple[Effect, float]:
        one, other = ([count * times for count in side] for side in (r, c))
        bounds = bound_psi(one, other, alpha)
        return Effect("population stability index beyond chance", *bounds, threshold), 0.0

    test = "population stability index"
    return Part("values", test, statistic, pvalue, repeated(1.0)[0], design, repeated=repeated)


def condition_on_ties(part: Part, reference: npt.NDArray[np.int64], current: npt.NDArray[np.int64]) -> Part:
    """Give the test of numbers the p-value that holds given the ties, from rows per distinct value.

    It is never larger than that of continuous samples, whose distance is looked at in more places; where that one is below
    one in a million it stays.
    """
    if part.pvalue < ties.COUNTED_ABOVE:
        return part
    pvalue = min(part.pvalue, max(ties.tied_pvalue(reference, current), ties.COUNTED_ABOVE))
    return replace(part, test="Kolmogorov-Smirnov, given ties", pvalue=pvalue)


def compare_categories(
    reference: npt.ArrayLike,
    current: npt.ArrayLike,
    design: Design,
    alpha: float,
    whole: float = 0.0,
    threshold: float = VARIATION_THRESHOLD,
    kept: npt.NDArray[np.bool_] | None = None,
) -> Part:
    """Test whether categories have the same shares, by the two-sample chi-square (no correction for continuity).

    The last class is all strings without a name of their own; names that are there by chance join it first
    (`vocabulary.gather_chance`). Two classes are then tested by Fisher. Classes with fewer than 5 expected rows are pooled,
    or, with up to 1,000 rows in the smaller sample, the table is permuted. With clusters the statistic at the effective
    sizes has Rao and Scott's F law of second order: units that differ in few directions leave it few degrees of freedom.

    The effect is the total variation distance; its bounds come from McDiarmid's inequality. The lower one is that of the
    gathered classes, less the most that sampling alone adds on average. The upper one is that of all names: `whole` is their
    distance, if the last class has several (`open_vocabulary.AllNames.total_variation`); its mean is at least the distance
    of the laws, so with all that merged classes could hide no larger distance is left out.

    With weights `kept` says which names are classes: a row of much weight would make its name one by chance. Nothing is
    permuted then, and classes are pooled that expect fewer than 5 rows of `Design.smaller`.
    """
    r, c = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    gathered = _gather((r, c), design, kept)
    (effect, is_open), counts = _variation((r, c), gathered, design, alpha, whole, threshold), (r, c)

    def repeated(times: float) -> tuple[Effect, float]:
        larger, sides = design.repeat(times), (counts[0] * times, counts[1] * times)
        # Gathering, the dearest step, moves the lower bound alone.
        is_beyond = effect.value > effect.threshold
        classes = _gather(sides, larger, kept) if is_beyond else sides
        # The distance over all names is one of shares: it stays.
        return _variation(sides, classes, larger, alpha, whole, threshold)[0], 0.0

    def part(test: str, statistic: float, pvalue: float) -> Part:
        return Part("values", test, statistic, pvalue, effect, design, is_open=is_open, repeated=repeated)

    n, m = r.sum(), c.sum()
    r, c = gathered[0] * (design.n / n), gathered[1] * (design.m / m)
    expected = design.smaller * (r + c) / (design.n + design.m)
    if not design.is_estimated and len(r) == 2 and _tables(r, c) <= FISHER_TABLES:
        # Whole numbers already, but for rows that count with weights.
        statistic, table = chi_square_of_counts(r.tolist(), c.tolist()), (r[0], c[0], design.n, design.m)
        return part("Fisher", statistic, fisher(*map(round, table)))
    if design.df is None and min(n, m) <= PERMUTE_UP_TO and (expected < EXPECTED_ROWS).any():
        return part("chi-square, permuted", *_permute(r, c))
    r, c = _pool(r, expected), _pool(c, expected)
    statistic, cells = chi_square_of_counts(r.tolist(), c.tolist()), len(r)
    if cells < 2:
        pvalue = 1.0
    elif design.is_estimated:
        assert design.df_joint is not None
        pvalue = _native.f_sf(statistic / (cells - 1), min(design.dimension, cells - 1), design.df_joint)
    else:
        pvalue = _native.chi2_sf(statistic, cells - 1)
    return part("chi-square", statistic, pvalue)


def _gather(
    sides: tuple[_FloatArray, _FloatArray], design: Design, kept: npt.NDArray[np.bool_] | None
) -> tuple[_FloatArray, _FloatArray]:
    if kept is None:
        return vocabulary.gather_chance(*sides, (design.n, design.m))
    return vocabulary.join(*sides, kept)


def compare_names(
    held: Held, values: Part, alpha: float, whole: float = 0.0, threshold: float = VARIATION_THRESHOLD
) -> Part:
    """Test all names together, by the share of those that the current sample's first half has more of.

    The test is that of two shares, in the rows held out (`open_vocabulary.hold_out`). The effect is the total variation
    distance over all names: its value and lower bound are those of this share's difference, which no set of names has
    larger, its upper bound is that of `values`, which was given the same `whole`.
    """
    part = compare_share("tail", held.hits, held.rows, held.design, alpha)

    def bound(share: Effect, names: Effect) -> Effect:
        upper = max(names.upper, share.value)
        return Effect("total variation over all names", share.value, share.lower, upper, threshold)

    def repeated(times: float) -> tuple[Effect, float]:
        share, names = (one.repeated(times)[0] if one.repeated else one.effect for one in (part, values))
        return bound(share, names), 0.0

    effect = bound(part.effect, values.effect)
    is_merged = max(values.effect.value, values.effect.lower) < threshold <= whole
    is_open = is_merged and effect.lower <= threshold
    test = f"{part.test}, held-out half"
    return replace(part, test=test, effect=effect, is_open=is_open, repeated=repeated)


def _tables(reference: _FloatArray, current: _FloatArray) -> float:
    """Count the tables of two classes with these margins, less one."""
    n, m, total = reference.sum(), current.sum(), reference[0] + current[0]
    return float(min(total, n) - max(0.0, total - m))


def _pool(counts: _FloatArray, expected: _FloatArray) -> _FloatArray:
    rare = expected < EXPECTED_ROWS
    if not rare.any():
        return counts
    if expected[rare].sum() < EXPECTED_ROWS and not rare.all():
        # Too few even together: they join the rarest of the others.
        rare[np.argmin(np.where(rare, np.inf, expected))] = True
    return np.append(counts[~rare], counts[rare].sum())


def _permute(reference: _FloatArray, current: _FloatArray) -> tuple[float, float]:
    statistic = chi_square_of_counts(reference.tolist(), current.tolist())
    generator = np.random.Generator(np.random.PCG64(SEED))
    totals = np.rint(reference + current).astype(np.int64)
    n = round(float(reference.sum()))
    m = int(totals.sum()) - n
    exceeding = drawn = 0
    # A tenth of the permutations settles most columns: p is then above a tenth, and known to 0.01.
    for number in (PERMUTATIONS // 10, PERMUTATIONS - PERMUTATIONS // 10):
        ours = generator.multivariate_hypergeometric(totals, n, size=number, method="marginals")
        spread = (ours * math.sqrt(m / n) - (totals - ours) * math.sqrt(n / m)) ** 2 / totals
        exceeding += int((spread.sum(axis=1) >= statistic * (1 - 1e-9)).sum())
        drawn += number
        if exceeding > drawn // 10:
            break
    return statistic, (1 + exceeding) / (drawn + 1)


def _variation(
    counts: tuple[_FloatArray, _FloatArray],
    gathered: tuple[_FloatArray, _FloatArray],
    design: Design,
    alpha: float,
    whole: float,
    threshold: float,
) -> tuple[Effect, bool]:
    """Bound the distance; say also whether only names without a class of their own take it beyond the threshold."""
    inverse = 1 / design.n + 1 / design.m
    value, certain = (float(np.abs(r / r.sum() - c / c.sum()).sum() / 2) for r, c in (counts, gathered))
    p, q = (side / side.sum() for side in gathered)
    bias = 0.5 * float(np.sqrt(p * (1 - p) / design.n + q * (1 - q) / design.m).sum())
    reach = math.sqrt(math.log(2 / alpha) * inverse / 2)
    if design.is_estimated:
        reach *= upper_quantile(alpha, design.df_joint) / upper_quantile(alpha, None)
    lower, upper = max(0.0, certain - bias - reach), min(1.0, max(value, whole) + reach)
    is_open = max(value, lower) < threshold <= whole
    return Effect("total variation", value, lower, upper, threshold), is_open


def compare_share(
    name: str,
    counts: tuple[float, float],
    rows: tuple[float, float],
    design: Design,
    alpha: float,
    threshold: float = SHARE_THRESHOLD,
) -> Part:
    """Test whether a share (missing, NaN, infinite) is the same in both samples.

    By Fisher's exact test, whose size is never above its level, where it has up to 20,000 tables to add up; by the pooled
    two-proportion test beyond, which has no lattice left to speak of. The effect is the absolute difference of the shares,
    its bounds from Newcombe's (1998) combination of Wilson intervals. With clusters the square has Fisher's F law at the
    effective sizes, and where fewer than 5 effective rows are expected Fisher's test of these counts too.
    """
    (a, b), (n, m) = counts, rows
    p, q = a / n, b / m
    pooled = (a + b) / (n + m)
    variance = pooled * (1 - pooled) * (1 / design.n + 1 / design.m)
    square = (p - q) ** 2 / variance if variance > 0 else 0.0
    test, pvalue = "two shares", square_tail(square, 1.0, design.df)
    hits = round(p * design.n), round(q * design.m)
    if design.is_estimated:
        if min(pooled, 1 - pooled) * min(design.n, design.m) < EXPECTED_ROWS:
            pvalue = max(pvalue, fisher(*hits, math.ceil(design.n), math.ceil(design.m)))
    else:
        sizes = round(design.n), round(design.m)
        if min(sum(hits), sizes[0]) - max(0, sum(hits) - sizes[1]) <= FISHER_TABLES:
            test, pvalue = "Fisher", fisher(*hits, *sizes)

    z = upper_quantile(alpha, design.df)

    def repeated(times: float) -> tuple[Effect, float]:
        larger = design.repeat(times)
        at = upper_quantile(alpha, larger.df) if design.is_estimated else z
        bounds = _newcombe(p, q, larger, at)
        return Effect(f"difference of the {name} share", abs(p - q), *bounds, threshold), 0.0

    return Part(name, test, math.sqrt(square), pvalue, repeated(1.0)[0], design, repeated=repeated)


def _wilson(p: float, n: float, z: float) -> tuple[float, float]:
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _newcombe(p: float, q: float, design: Design, z: float) -> tuple[float, float]:
    (p_low, p_high), (q_low, q_high) = _wilson(p, design.n, z), _wilson(q, design.m, z)
    low = (p - q) - math.hypot(p - p_low, q_high - q)
    high = (p - q) + math.hypot(p_high - p, q - q_low)
    least = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return least, min(1.0, max(abs(low), abs(high)))


def fisher(a: int, b: int, n: int, m: int) -> float:
    """Compute Fisher's exact two-sided p-value for a of n against b of m, by the sum of tables no likelier than this one."""
    total = a + b
    low, high = max(0, total - m), min(total, n)
    count = np.arange(low, high + 1)
    # The log of each table's probability relative to the first, by the ratio of neighbours.
    steps = np.log((n - count[:-1]) * (total - count[:-1])) - np.log(
        (count[:-1] + 1.0) * (m - total + count[:-1] + 1.0)
    )
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    weights = np.exp(logs - logs.max())
    return float(min(1.0, weights[weights <= weights[a - low] * (1 + 1e-7)].sum() / weights.sum()))


def compare_unseen(
    found: _native.CategoryComparison | CategoryCounts | WeighedCounts,
    design: Design,
    alpha: float,
    threshold: float = SHARE_THRESHOLD,
) -> Part:
    """Test whether more rows have strings the reference never had than its own rare strings announce.

    Good and Turing: a reference of n rows with n1 strings seen once leaves an expected share n1 / n unseen, with variance
    about (n1 + 2 n2) / n^2. One-sided; few rows are tested by their binomial law given both samples' rows of that kind,
    where this p-value is the larger. The effect is the share beyond that expectation; its bounds combine the share's Wilson
    interval with the expectation's own error, as Newcombe (1998) does: the test's variance is that of no drift, and with a
    large reference and few current rows far too small for a share that rose.
    """
    n, m = sum(found.reference_counts), sum(found.current_counts)
    once, unseen = found.seen_once, found.unseen
    expected, share = once / n, unseen / m
    pooled = max(expected, (once + unseen + 1) / (n + m + 2))
    # A reference that happens to have no string once or twice must not make its own error nothing: the pooled share says
    # how many it should have had, and one more row stands for what it says of those seen twice.
    own = (n * pooled + 2 * found.seen_twice + 1) / (n * design.n)
    variance = pooled * (1 - pooled) / design.m + own
    z = (share - expected) / math.sqrt(variance)
    tail = _native.normal_sf(z) if design.df is None or not design.is_estimated else _student_sf(z, design.df)
    few = _binomial_tail(share * design.m, expected * design.n, design.m / (design.n + design.m))
    value, quantile = max(0.0, share - expected), upper_quantile(alpha, design.df)

    def repeated(times: float) -> tuple[Effect, float]:
        # The expectation's own variance shrinks with the size.
        larger = design.repeat(times)
        at = upper_quantile(alpha, larger.df) if design.is_estimated else quantile
        low, high = _wilson(share, larger.m, at)
        own_reach = at * math.sqrt(own / times)
        lower = max(0.0, share - expected - math.hypot(share - low, own_reach))
        upper = min(1.0, value + math.hypot(high - share, own_reach))
        return Effect("unseen share beyond expectation", value, lower, upper, threshold), 0.0

    return Part("unseen", "Good-Turing", z, max(tail, few), repeated(1.0)[0], design, repeated=repeated)


def _binomial_tail(hits: float, misses: float, share: float) -> float:
    """Compute the probability of at least so many hits among hits and misses; counts need not be whole."""
    if hits <= 0:
        return 1.0
    odds = share / (1 - share)
    return _native.f_sf(hits / ((misses + 1) * odds), 2 * (misses + 1), 2 * hits)


def _student_sf(z: float, df: float) -> float:
    half = _native.f_sf(z * z, 1.0, max(df, 1.0)) / 2
    return half if z >= 0 else 1 - half
