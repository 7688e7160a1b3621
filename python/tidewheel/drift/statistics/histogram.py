"""Counts of values per bin, with or without weights, as `numpy.histogram` gives them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift import arguments
from tidewheel.drift.reading import inputs
from tidewheel.drift.statistics.bins import _SHORT_FLOATS, lay_even, read_bins
from tidewheel.errors import InputError, InputTypeError


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
    asked = read_bins(bins, column)
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
        return lay_even(low, high, bins, np.result_type(low, high, dtype)).astype(np.float64)


def _read_ends(ends: Any) -> tuple[Any, Any]:
    if isinstance(ends, str | bytes) or not hasattr(ends, "__len__") or len(ends) != 2:
        raise InputTypeError(f"`range` must be a pair of numbers; got {ends!r}")
    low, high = ends
    for end in (low, high):
        arguments.check_number("range", end)
    return low, high
