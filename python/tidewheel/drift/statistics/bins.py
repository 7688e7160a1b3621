"""Bins: laid on a reference, given by edges, or one for each frequent string; and counts of both samples over them.

`histogram`, `psi` and `divergences` are computed from these counts; counting is done in Rust.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift import arguments
from tidewheel.drift.reading import inputs, instants
from tidewheel.drift.statistics.results import Beside, BinnedCounts, ReferenceBins, ReferenceRanks
from tidewheel.errors import InputError, InputTypeError

#: Strings of the reference that get a bin of their own in `psi`; all others share one. More bins than this make the index
#: depend on noise in rare strings.
MOST_CATEGORIES = 50

#: More bins than this are a slip; their edges alone would take more than 128 MiB.
MOST_BINS = 1 << 24

#: Products of four counts stay inside the range of floats if these lie in here.
_COUNTS = (1e-60, 1e60)

_SHORT_FLOATS = ("float16", "float32")
_STRATEGIES = ("quantile", "uniform")


def read_bins(bins: object, column: _native.Column) -> int | npt.NDArray[np.float64]:
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


def lay_even(low: Any, high: Any, bins: int, dtype: Any = np.float64) -> npt.NDArray[Any]:
    """Lay `bins` + 1 even edges from `low` to `high`, both finite."""
    if np.isfinite(high - low):
        return np.linspace(low, high, bins + 1, dtype=dtype)
    # Between the ends of the range of floats lies more than a float can hold; between their halves it does not.
    return np.linspace(low / 2, high / 2, bins + 1, dtype=dtype) * 2


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
    asked = read_bins(bins, column)
    if not isinstance(asked, int):
        return _count_reference(column, asked[1:-1], "edges", threads)
    if strategy == "quantile":
        fitted, interior = fit_quantiles(column, asked, threads)
        return _reference_bins(column, interior, fitted.counts, fitted.parts, fitted.continuous, strategy)
    ends, _ = _native.find_range(column, threads)
    if ends is None:
        raise InputError("`reference` must hold at least one finite value; got none")
    edges = lay_even(float(ends[0]), float(ends[1]), asked)
    return _count_reference(column, np.unique(edges[1:-1]), strategy, threads)


def fit_quantiles(
    column: _native.Column, bins: int, threads: int | None
) -> tuple[_native.FittedBins, npt.NDArray[Any]]:
    """Fit bins at a column's quantiles; return them, and their interior edges in the column's `domain`."""
    fitted = _native.fit_quantiles(column, bins, threads)
    if column.kind == "temporal" and any(isinstance(edge, float) for edge in fitted.edges):
        # Times of 32 bits are cut as floats are, just above a value; those of 64 bits are cut at the next one.
        fitted = _native.fit_quantiles(column.scaled(column.dtype, 1), bins, threads)
    return fitted, np.array(fitted.edges, dtype=domain(column))


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


def read_counts(reference: object, current: object) -> BinnedCounts:
    """Take two vectors of counts over the same bins, one number per bin, instead of samples.

    Raises:
        InputError: counts that are negative, not finite, too small or large to multiply, or of another length; a side
            that is empty.
        InputTypeError: counts that are not numbers.
    """
    sides = (_read_side("reference", reference), _read_side("current", current))
    if len(sides[0]) != len(sides[1]):
        raise InputError(f"both sides must have as many bins; got {len(sides[0])} and {len(sides[1])}")
    binned = BinnedCounts(*sides)
    check_filled(binned)
    return binned


def check_filled(binned: BinnedCounts) -> None:
    """Refuse counts of which a side is empty."""
    n, m = sum(binned.reference), sum(binned.current)
    if n == 0 or m == 0:
        raise InputError(f"both sides must hold at least one value; got {n} and {m}")


def _read_side(name: str, counts: object) -> tuple[float, ...]:
    array = inputs.read_vector(name, counts)
    if array.dtype.kind not in "iuf":
        raise InputTypeError(f"`{name}` must hold counts; got {array.dtype}")
    refused = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if refused.size:
        at = refused[0]
        raise InputError(
            f"`{name}` must hold counts, finite and at least 0; got {array[at].item()} at index {at}"
        )
    least, most = _COUNTS
    refused = np.flatnonzero((array != 0) & ((array < least) | (array > most)))
    if refused.size:
        at = refused[0]
        raise InputError(
            f"`{name}` must hold counts that are 0 or lie between {least:g} and {most:g}; "
            f"got {array[at].item()} at index {at}"
        )
    return tuple(array.tolist())


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
