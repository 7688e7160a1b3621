"""The Kolmogorov-Smirnov test of two samples, and a reference sorted once for many of them.

The distance is found in Rust without sorting the current sample; further rank tests are in `rank_tests`.
"""

from tidewheel import _native
from tidewheel.drift import arguments
from tidewheel.drift.reading import inputs
from tidewheel.drift.statistics.bins import count_beside, match_ranks, match_times
from tidewheel.drift.statistics.results import KsResult, ReferenceRanks

_METHODS = ("auto", "exact", "asymp", "accurate")
_ALTERNATIVES = ("two-sided", "less", "greater")


def ks(
    reference: object,
    current: object,
    *,
    method: str = "auto",
    alternative: str = "two-sided",
    threads: int | None = None,
) -> KsResult:
    """Test with Kolmogorov and Smirnov whether two samples come from one law.

    `D = max_x |F(x) - G(x)|`, F and G being the right-continuous empirical distribution functions of the reference and the
    current sample. D is computed in integers, hence exact; ties are counted as they are. The current sample is not sorted.
    Missing values and NaN are left out and counted in the result (SciPy's answer to NaN is NaN); infinities rank as values.
    Integers beyond 2^53 keep their order, except against floats.

    Args:
        reference: One-dimensional numbers or times, or the `ReferenceRanks` of an earlier `fit_ks`.
        current: One-dimensional, of the same kind.
        method: "exact": by counting lattice paths; "asymp": by the one-sample law at the effective size; "auto": exact up to
            10,000 values a side. Where SciPy falls back from exact to asymptotic, these do too; see `KsResult.method`.
            "accurate": by counting lattice paths at any size where that costs at most 1e9 points, and for equal sizes
            always; beyond that by the path's first crossing of the line, `sum_y H(x, y) h / (a (x + y))` as derived in
            `rust/core/src/expansion.rs`. No branch of it falls to 0 before p leaves the range of a float.
        alternative: "two-sided"; "greater": F > G somewhere; "less": F < G somewhere.
        threads: Most threads to use.

    Returns:
        The distance, its p-value, where it is attained (the least such value) and the sign of F - G there.

    Raises:
        InputError: a side without a number.
        UnknownNameError: an unknown `method` or `alternative`.
        InputTypeError: a side does not hold numbers, or times are compared with another type.

    Cost: O(n + m) and sorting of a few percent of the rows; O((n + m) log(n + m)) for samples that hardly differ. An exact
    p-value visits 2 D n m lattice points (n m if one-sided) at about 0.3 ns each, and fewer than n for equal sizes:
    "accurate" counts up to 350,000 values a side at usual distances, within half a second; its expansion takes 1 ms.

    Accuracy: counted p-values are right to 1e-12 relative, from 1 down to 1e-300. "asymp" is off by several percent at
    1,000 values a side, more in the tail. The expansion of "accurate" is right to 3e-4 where one size is a multiple of the
    other, and to 1e-9 in the tail; else it is off by up to 1.5 z / s^(1/2) of p, s being the smaller size and
    z = D (nm/(n+m))^(1/2): by so much the true law jumps there.

    Source: Hodges, Arkiv foer Matematik 3 (1958) 469-486; Simard and L'Ecuyer, Journal of Statistical Software 39(11)
    (2011); for "accurate" Takacs, Combinatorial Methods in the Theory of Stochastic Processes (1967). For the other methods
    `scipy.stats.ks_2samp` gives the same numbers, but for two cases where this gives 1: one value a side with "asymp" (there
    NaN), and an exact p of 1 that SciPy's sum rounds beyond 1 (there the asymptotic p).

    Example:
        >>> from tidewheel import drift
        >>> result = drift.ks([1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 6.0])
        >>> result.statistic, result.location, result.sign, round(result.pvalue, 6)
        (0.5, 2.0, 1, 0.771429)
    """
    arguments.check_choice("method", method, _METHODS)
    arguments.check_choice("alternative", alternative, _ALTERNATIVES)
    if isinstance(reference, ReferenceRanks):
        c = match_ranks(reference, inputs.read_numbers("current", current))
        found = reference._ranks.ks_distance(c, alternative, threads)
    else:
        r, c = inputs.read_numbers("reference", reference), inputs.read_numbers("current", current)
        r, c = match_times(r, c)
        found = _native.ks_distance(r, c, alternative, threads)
    pvalue, exact = _native.ks_pvalue(found.statistic, found.n, found.m, alternative, method)
    beside = count_beside(found.reference, found.current)
    how = "exact" if exact else "expansion" if method == "accurate" else "asymp"
    return KsResult(found.statistic, pvalue, found.location, found.sign, how, beside, n=found.n, m=found.m)


def fit_ks(reference: object) -> ReferenceRanks:
    """Sort a reference once, to compare many current samples with it by `ks`.

    Kept are the distinct values, how many rows lie up to each of them, and the rows in each of some thousand cells. `ks`
    then counts a current sample into the cells and looks closer only where the distance may be attained: distance, place
    and p-value are those of `ks` with the raw reference, for current samples of any numeric type.

    Args:
        reference: One-dimensional numbers or times; copied.

    Returns:
        The sorted reference; it does not change, and several threads may use it.

    Raises:
        InputError: a reference without a number.
        InputTypeError: the reference does not hold numbers.

    Cost: O(n log n) on one thread, and 16 bytes for each distinct value. Afterwards O(m) for m current values, and sorting
    of a few percent of them. A current sample of another 64-bit type converts the reference anew each time.

    Example:
        >>> from tidewheel import drift
        >>> reference = drift.fit_ks([1.0, 2.0, 3.0, 4.0])
        >>> drift.ks(reference, [3.0, 4.0, 5.0, 6.0]) == drift.ks([1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 6.0])
        True
    """
    column = inputs.read_numbers("reference", reference)
    ranks = _native.Ranks(column)
    parts = ranks.parts
    infinite = parts.infinite_above + parts.infinite_below
    n = parts.rows - parts.missing - parts.nan
    return ReferenceRanks(column.dtype, column.kind, n, parts.missing, parts.nan, infinite, ranks)
