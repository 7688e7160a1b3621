"""Statistics of two samples, or of one: histogram, population stability index, Kolmogorov-Smirnov.

Each function takes anything one-dimensional (NumPy, polars, pandas, Arrow, sequences) and returns a record from `results`.
Tables are compared in `comparison`; the law of PSI is in `psi_law`; counting is done in Rust.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift import arguments, inputs, instants, psi_law, vocabulary
from tidewheel.drift.results import Beside, BinnedCounts, PsiResult, ReferenceBins, ReferenceRanks
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

#: Strings of the reference that get a bin of their own in `psi`; all others share one. More bins than this make the index
#: depend on noise in rare strings.
MOST_CATEGORIES = 50

#: More bins than this are a slip; their edges alone would take more than 128 MiB.
MOST_BINS = 1 << 24

_SHORT_FLOATS = ("float16", "float32")
_STRATEGIES = ("quantile", "uniform")
_SMOOTHINGS = ("jeffreys", "laplace", "none")


def histogram(
    values: object,
    bins: int | Sequence[float] | npt.NDArray[Any] = 10,
    range: tuple[float, float] | None = None,  # noqa: A002 - NumPy's name
    weights: object = None,
    *,
    threads: int | None = None,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Count values per bin, as `numpy.histogram` does.

    Bins are `[e_i, e_(i+1))`, the last one closed; values outside are not counted. Even edges of float16 and float32 values
    are numbers of that type, as NumPy's are, and hence a little less even. Unlike NumPy's, missing values are
    understood, and edges must increase strictly. Missing, NaN and infinite values belong to no bin.

    Args:
        values: One-dimensional numbers.
        bins: Number of bins of equal width, at least 1, or B + 1 edges that increase strictly.
        range: Least and greatest edge for equal widths; by default the least and greatest value.
        weights: One finite number per value, none of them missing; counts become sums of weights, added in the order of the
            rows on one thread. Negative ones subtract, as NumPy's do.
        threads: Most threads to use; by default `TIDEWHEEL_THREADS`, else one per core.

    Returns:
        Counts of shape (B,), int64, or float64 with weights; edges of shape (B + 1,), float64.

    Raises:
        InputError: edges do not increase strictly; a weight is missing, NaN or infinite; `range` is not finite and
            increasing; values that are missing, NaN or infinite without a `range` (they have no place on a range taken
            from the data); lengths differ.
        InputTypeError: `values` or `weights` do not hold numbers, or `bins` is neither a whole number nor edges.

    Cost: O(n).

    Source: `numpy.histogram`, whose edges and counts these are bit for bit, without weights; docs/agreement.md names the two
    kinds of data where NumPy's counts are not those of its own edges.

    Example:
        >>> from tidewheel import drift
        >>> counts, edges = drift.histogram([1.0, 2.0, 2.5, 4.0], bins=3)
        >>> counts.tolist(), edges.tolist()
        ([1, 2, 1], [1.0, 2.0, 3.0, 4.0])
    """
    column = inputs.read_numbers("values", values)
    asked = _read_bins(bins, column)
    edges = _even_edges(column, asked, range, threads) if isinstance(asked, int) else asked
    edges_column = inputs.read_array("edges", edges)
    if weights is None:
        slots, _ = _native.count_slots(column, edges_column, closed=True, threads=threads)
        return np.array(slots[1 : len(edges)], dtype=np.int64), edges
    weights_column = inputs.read_numbers("weights", weights)
    if len(weights_column) != len(column):
        raise InputError(
            f"`weights` must have one number per value; got {len(weights_column)} for {len(column)}"
        )
    if weights_column.kind == "temporal":
        raise InputTypeError(f"`weights` must hold numbers; got {weights_column.dtype}")
    sums = _native.sum_weights(column, weights_column, edges_column)
    return np.array(sums[1 : len(edges)], dtype=np.float64), edges


def _read_bins(bins: object, column: _native.Column) -> int | npt.NDArray[np.float64]:
    """Read how many bins there are, or their edges, strictly increasing numbers; of times in the unit of the column."""
    if isinstance(bins, int | np.integer) and not isinstance(bins, bool):
        if not 1 <= bins <= MOST_BINS:
            bound = "at least 1" if bins < 1 else f"at most {MOST_BINS:,}"
            raise InputError(f"`bins` must be {bound}; got {bins}")
        return int(bins)
    if isinstance(bins, str | bytes | bool) or not hasattr(bins, "__len__"):
        raise InputTypeError(f"`bins` must be a whole number of bins, or their edges; got {bins!r}")
    edges = inputs.read_vector("bins", bins)
    if edges.dtype.kind in "mM":
        edges = _read_times("bins", edges, column)
    try:
        # Not strings that look like numbers, and no complex ones.
        edges = edges.astype(np.float64, casting="unsafe" if edges.dtype.kind == "O" else "same_kind")
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"`bins` must hold numbers as edges; got {edges.dtype}") from error
    if len(edges) < 2:
        raise InputError(f"`bins` must hold at least 2 edges; got {len(edges)}")
    wrong = np.flatnonzero(~(edges[1:] > edges[:-1]))
    if wrong.size:
        at = int(wrong[0]) + 1
        raise InputError(
            f"`bins` must hold edges that increase strictly; got {edges[at]} after {edges[at - 1]} at index {at}"
        )
    return edges


def _read_times(name: str, edges: npt.NDArray[Any], column: _native.Column) -> npt.NDArray[np.float64]:
    """Read edges of times in the unit of the column; between two of its units, where a finer one may lie, is no edge."""
    check_times(column, inputs.read_array(name, edges), name)
    counts, dtype = instants.from_numpy(edges)
    if instants.is_finer(dtype, column.dtype):
        raise InputTypeError(
            f"`{name}` must not have a finer unit than the values; got {dtype} for {column.dtype}"
        )
    factor = instants.find_factor(dtype, column.dtype)
    return np.where(np.isnat(edges), np.nan, counts.astype(np.float64) * factor)


def _lay_even(low: Any, high: Any, bins: int, dtype: Any = np.float64) -> npt.NDArray[Any]:
    if np.isfinite(high - low):
        return np.linspace(low, high, bins + 1, dtype=dtype)
    # Between the ends of the range of floats lies more than a float can hold; between their halves it does not.
    return np.linspace(low / 2, high / 2, bins + 1, dtype=dtype) * 2


def _even_edges(
    column: _native.Column, bins: int, ends: tuple[float, float] | None, threads: int | None
) -> npt.NDArray[np.float64]:
    # NumPy lays even edges in the type of the values where they are floats, stepping from end to end in that type.
    dtype = np.dtype(column.dtype if column.dtype in _SHORT_FLOATS else "float64")
    if ends is None:
        found, parts = _native.find_range(column, threads)
        beside = parts.missing + parts.nan + parts.infinite_above + parts.infinite_below
        if beside:
            raise InputError(
                "`values` must be finite when `range` is taken from them; "
                f"got {beside} missing, NaN or infinite: pass `range`"
            )
        ends = (dtype.type(found[0]), dtype.type(found[1])) if found is not None else (0.0, 1.0)
    low, high = (end if isinstance(end, np.floating) else float(end) for end in _read_ends(ends))
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise InputError(f"`range` must be finite and increasing; got ({low}, {high})")
    if low == high:
        low, high = low - 0.5, high + 0.5
    with np.errstate(over="ignore"):
        return _lay_even(low, high, bins, np.result_type(low, high, dtype)).astype(np.float64)


def _read_ends(ends: Any) -> tuple[Any, Any]:
    if isinstance(ends, str | bytes) or not hasattr(ends, "__len__") or len(ends) != 2:
        raise InputTypeError(f"`range` must be a pair of numbers; got {ends!r}")
    low, high = ends
    for end in (low, high):
        arguments.check_number("range", end)
    return low, high


def fit_bins(
    reference: object,
    *,
    bins: int | Sequence[float] | npt.NDArray[Any] = 10,
    strategy: str = "quantile",
    threads: int | None = None,
) -> ReferenceBins:
    """Learn the bins of a reference once, to compare many current samples with it by `psi`.

    "quantile": interior edge i is the order statistic of rank floor(i n / B), so that every bin holds n / B values. Tied
    edges are laid once, and a value on which two of them fall (an atom heavier than a bin) gets a bin of its own.
    "uniform": equal widths between the least and greatest finite value. Given edges are used as they are. In all three the
    outer bins are open, so no current value falls outside, and one outlier moves nothing.

    Args:
        reference: One-dimensional numbers.
        bins: Number of bins, at least 1, or B + 1 edges that increase strictly.
        strategy: "quantile" or "uniform"; unused with given edges.
        threads: Most threads to use.

    Returns:
        The bins with the reference's counts.

    Raises:
        InputError: no finite value, `bins` below 1, or edges that do not increase strictly.
        UnknownNameError: an unknown `strategy`.
        InputTypeError: the reference does not hold numbers.

    Cost: O(n); nothing is sorted but the few values around each quantile.

    Example:
        >>> from tidewheel import drift
        >>> drift.fit_bins(range(100), bins=4).edges.tolist()
        [-9223372036854775808, 25, 50, 75, 9223372036854775807]
    """
    return _fit_bins(inputs.read_numbers("reference", reference), bins, strategy, threads)


def _fit_bins(column: _native.Column, bins: object, strategy: str, threads: int | None) -> ReferenceBins:
    arguments.check_choice("strategy", strategy, _STRATEGIES)
    asked = _read_bins(bins, column)
    if not isinstance(asked, int):
        return _count_reference(column, asked[1:-1], "edges", threads)
    if strategy == "quantile":
        fitted = _native.fit_quantiles(column, asked, threads)
        interior = np.array(fitted.edges, dtype=domain(column))
        return _reference_bins(column, interior, fitted.counts, fitted.parts, fitted.continuous, strategy)
    ends, _ = _native.find_range(column, threads)
    if ends is None:
        raise InputError("`reference` must hold at least one finite value; got none")
    edges = _lay_even(float(ends[0]), float(ends[1]), asked)
    return _count_reference(column, np.unique(edges[1:-1]), strategy, threads)


def domain(column: _native.Column) -> np.dtype[Any]:
    """Return the type in which a column's edges are kept: 64-bit integers stay integers, all else is float64."""
    wide = {"uint64": np.dtype(np.uint64), "int64": np.dtype(np.int64)}
    timed = np.dtype(np.int64) if column.kind == "temporal" else np.dtype(np.float64)
    return wide.get(column.dtype, timed)


def _count_reference(
    column: _native.Column, interior: npt.NDArray[Any], strategy: str, threads: int | None
) -> ReferenceBins:
    slots, parts = _native.count_slots(
        column, inputs.read_array("edges", interior), closed=False, threads=threads
    )
    return _reference_bins(column, interior, slots, parts, continuous=False, strategy=strategy)


def _reference_bins(
    column: _native.Column,
    interior: npt.NDArray[Any],
    counts: list[int],
    parts: _native.Parts,
    continuous: bool,
    strategy: str,
) -> ReferenceBins:
    edges = np.empty(len(interior) + 2, dtype=interior.dtype)
    edges[1:-1] = interior
    floats = interior.dtype.kind == "f"
    edges[0], edges[-1] = (
        (-np.inf, np.inf) if floats else (np.iinfo(edges.dtype).min, np.iinfo(edges.dtype).max)
    )
    infinite = parts.infinite_above + parts.infinite_below
    return ReferenceBins(
        edges,
        tuple(counts),
        parts.missing,
        parts.nan,
        infinite,
        continuous,
        strategy,
        column.dtype,
        column.kind,
    )


def psi(
    reference: object,
    current: object,
    *,
    bins: int | Sequence[float] | npt.NDArray[Any] = 10,
    strategy: str = "quantile",
    smoothing: str | float = "jeffreys",
    threads: int | None = None,
) -> PsiResult:
    """Compute the population stability index of two samples, with its p-value.

    `PSI = sum_i (p_i - q_i) ln(p_i / q_i)`, where p_i and q_i are the reference's and the current sample's smoothed shares
    of bin i. Bins are laid by `fit_bins` on the reference alone; strings have one bin each for the reference's 50 most
    frequent and one for all others, seen or unseen. Bins empty on both sides are left out before smoothing. Missing, NaN
    and infinite values belong to no bin and are counted in the result.

    The p-value: on quantile bins without ties the index has a law that depends only on the sizes, B and the smoothing, and
    it is exact up to simulation (9,999 samples, a fixed seed). With strings or given edges the law is conditional on the
    pooled counts, which is exact for bins fixed beforehand; with ties the larger p-value of both laws is taken. From 5,000
    rows a side and 100 expected rows a bin on, the first-order law `(1/n + 1/m) chi2(B - 1)` is used. Strings that are among
    the 50 by chance (`vocabulary.gather_chance`) count as others for the p-value and the critical value. Rows are taken as
    independent; fixed limits such as 0.1 and 0.2 mean different things at different sizes, `critical_value` does not.

    Args:
        reference: One-dimensional numbers or strings, or the `ReferenceBins` of an earlier `fit_bins`.
        current: One-dimensional, of the same kind.
        bins: As in `fit_bins`; unused for strings and with `ReferenceBins`.
        strategy: As in `fit_bins`.
        smoothing: "jeffreys": (c + 1/2) / (n + B/2); "laplace": (c + 1) / (n + B); a number in (0, 1): shares are at least
            that; "none": an empty bin makes the index infinite.
        threads: Most threads to use.

    Returns:
        The index, its p-value, its 5 % critical value, the bins and the counts.

    Raises:
        InputError: a side without a finite value (or string), or `bins`, edges or a clip that are not acceptable.
        UnknownNameError: an unknown `strategy` or `smoothing`.
        InputTypeError: numbers on one side and strings on the other.

    Cost: O(n + m), about one nanosecond per current value on one core.

    Source: Yurdakul and Naranjo, Statistical properties of the population stability index, Journal of Risk Model
    Validation 14 (2020), for the first-order law.

    Example:
        >>> from tidewheel import drift
        >>> result = drift.psi([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 3.5, 4.0], bins=2, smoothing="none")
        >>> result.reference_counts, result.current_counts, round(result.statistic, 4)
        ((2, 2), (1, 3), 0.2747)
    """
    check_smoothing(smoothing)
    counted = count_both(reference, current, bins=bins, strategy=strategy, threads=threads)
    sides = tuple(map(int, counted.reference)), tuple(map(int, counted.current))
    statistic = psi_of_counts(*sides, smoothing)
    pvalue, critical = _psi_pvalue(statistic, sides, counted, smoothing)
    return PsiResult(
        statistic,
        pvalue,
        critical,
        counted.edges,
        counted.categories,
        *sides,
        counted.beside,
        counted.unseen,
        smoothing,
        n=sum(sides[0]),
        m=sum(sides[1]),
    )


def _psi_pvalue(
    statistic: float,
    sides: tuple[tuple[int, ...], tuple[int, ...]],
    counted: BinnedCounts,
    smoothing: str | float,
) -> tuple[float, float]:
    if counted.categories is not None and all(map(sum, sides)):
        r, c = (np.array(side, dtype=np.float64) for side in sides)
        gathered = vocabulary.gather_chance(r, c, (r.sum(), c.sum()))
        sides = tuple(map(int, gathered[0])), tuple(map(int, gathered[1]))
        statistic = psi_of_counts(*sides, smoothing)
    return psi_law.psi_pvalue(statistic, *sides, smoothing, continuous=counted.continuous, laid=counted.laid)


def check_smoothing(smoothing: str | float) -> None:
    """Refuse a smoothing that is neither a known name nor a least share."""
    if isinstance(smoothing, str):
        if smoothing not in _SMOOTHINGS:
            known = ", ".join(map(repr, _SMOOTHINGS))
            raise UnknownNameError(f"`smoothing` must be one of {known} or a number; got {smoothing!r}")
        return
    arguments.check_number("smoothing", smoothing)
    if not 0 < smoothing < 1:
        raise InputError(f"`smoothing` as a least share must lie between 0 and 1; got {smoothing}")


def psi_of_counts(reference: Sequence[int], current: Sequence[int], smoothing: str | float) -> float:
    """Compute the index of two vectors of counts; see `psi`."""
    name, clip = (smoothing, 0.0) if isinstance(smoothing, str) else ("clip", float(smoothing))
    return _native.psi(list(reference), list(current), name, clip)


def count_both(
    reference: object,
    current: object,
    *,
    bins: int | Sequence[float] | npt.NDArray[Any] = 10,
    strategy: str = "quantile",
    threads: int | None = None,
) -> BinnedCounts:
    """Count two samples over the bins of the reference: what `psi` and `divergences` are computed from.

    Arguments and errors are those of `psi`. Cost: O(n + m).
    """
    if isinstance(reference, ReferenceBins):
        values = inputs.read_numbers("current", current)
        check_times(reference, values)
        # Bins hold [a, b): a finer time counts where the reference's unit that it falls into does.
        return _count_numbers(reference, instants.convert(values, reference.dtype), threads)
    column = inputs.read_array("reference", reference)
    if column.kind == "string":
        return _count_strings(column, current, threads)
    return count_both(_fit_bins(column, bins, strategy, threads), current, threads=threads)


def _count_numbers(reference: ReferenceBins, values: _native.Column, threads: int | None) -> BinnedCounts:
    interior = inputs.read_array("edges", reference.edges[1:-1])
    counts, parts = _native.count_slots(values, interior, closed=False, threads=threads)
    beside = Beside(
        (reference.missing, parts.missing),
        (reference.nan, parts.nan),
        (reference.infinite, parts.infinite_above + parts.infinite_below),
    )
    return BinnedCounts(
        reference.counts,
        tuple(counts),
        edges=reference.edges,
        beside=beside,
        continuous=reference.continuous,
        laid=reference.strategy in _STRATEGIES,
    )


def _count_strings(column: _native.Column, current: object, threads: int | None) -> BinnedCounts:
    values = inputs.read_array("current", current)
    if values.kind != "string":
        raise InputTypeError(f"`current` must hold strings as `reference` does; got {values.dtype}")
    (found,) = _native.compare_categories([column], [values], MOST_CATEGORIES, threads)
    return BinnedCounts(
        tuple(found.reference_counts),
        tuple(found.current_counts),
        categories=(*found.names, "other"),
        beside=Beside((found.reference.missing, found.current.missing)),
        unseen=found.unseen,
    )


def match_times(reference: _native.Column, current: _native.Column) -> tuple[_native.Column, _native.Column]:
    """Bring times to one unit; refuse them beside numbers or times of another kind, whose numbers mean something else."""
    check_times(reference, current)
    return instants.align(reference, current)


def match_ranks(reference: ReferenceRanks, current: _native.Column) -> _native.Column:
    """Bring current times to the unit of a sorted reference, which must not be the coarser one."""
    check_times(reference, current)
    if reference.kind != "temporal":
        return current
    if current.kind == "temporal" and instants.is_finer(current.dtype, reference.dtype):
        raise InputTypeError(
            f"`current` must not have a finer unit than the sorted reference; got {current.dtype} for {reference.dtype}: "
            f"fit the reference in the finer unit"
        )
    return instants.convert(current, reference.dtype)


def check_times(reference: instants.Typed, current: _native.Column, name: str = "current") -> None:
    """Refuse times beside numbers or times of another kind; units may differ."""
    wanted, got = (side.dtype if side.kind == "temporal" else None for side in (reference, current))
    if current.kind == "null" or wanted == got:
        return
    told = f"`{name}` must hold {wanted or 'numbers'} as `reference` does; got {current.dtype}"
    if wanted is None or got is None:
        raise InputTypeError(told)
    if not instants.are_comparable(wanted, got):
        raise InputTypeError(f"{told}: {instants.explain(wanted, got)}")


def count_beside(reference: _native.Parts, current: _native.Parts) -> Beside:
    """Gather what two passes met beside finite numbers."""
    both = (reference, current)
    missing, nan, infinite = (
        [parts.missing for parts in both],
        [parts.nan for parts in both],
        [parts.infinite_above + parts.infinite_below for parts in both],
    )
    return Beside((missing[0], missing[1]), (nan[0], nan[1]), (infinite[0], infinite[1]))
