"""Pictures from counts: what `records.Shape` holds, made from the blocks of a profile.

Of rows the Rust core counts shapes itself. Here only a profile's blocks are known, so rows are spread evenly inside their
block; a block is a thin slice of the reference, a picture has some thirty bins. No statistic comes from here.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tidewheel.drift.report.records import Shape

#: Most bins between the two outer ones, as in the Rust core's pictures: each day of a month has its own.
BINS = 32
#: Names of a category that a picture shows; all others are counted together.
NAMES_SHOWN = 10
#: And names that the current sample has often, at most.
RISEN_SHOWN = 5
#: Shares that may be left out at either end, the most first: outliers must not squeeze everything else into one bin.
_TAILS = (0.1, 0.05, 0.01, 0.0)
#: The widest range is taken that is at most so many times as wide as the narrowest.
_STRETCH = 4.0
#: Bins are at least this wide beside the largest end, so that arithmetic can tell them apart.
_RESOLUTION = 1e-13
#: Bins reach this much of a width beyond both ends.
_MARGIN = 0.01

_Counts = npt.NDArray[np.int64]
_Edges = npt.NDArray[np.float64]


def from_blocks(
    edges: npt.NDArray[np.generic], reference: _Counts, current: _Counts, dtype: str
) -> Shape | None:
    """Count both samples on even bins, given their counts in blocks.

    Args:
        edges: Edges of the blocks, increasing; block i holds [edges[i - 1], edges[i]), the outer ones are open.
        reference: Reference rows per block; one more than edges.
        current: Current rows per block.
        dtype: Type of the column.

    Returns:
        The shape, rows of the outer blocks beyond it; None without an edge, without a row on a side, or where the range is
        too wide for float64.
    """
    places = edges.astype(np.float64)
    if not len(places) or not reference.any() or not current.any():
        return None
    ends = [_ends(places, counts) for counts in (reference, current)]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    laid = _lay(low, high, _are_whole(places))
    if laid is None:
        return None
    start, width, bins, shift = laid
    with np.errstate(over="ignore"):
        at = (start + width * np.arange(bins + 1) + shift).astype(np.float64)
    if not np.isfinite(at).all():
        return None
    r, c = (_spread(places, counts, at) for counts in (reference, current))
    return Shape(r, c, (), float(start), float(width), dtype)


def from_names(
    names: Sequence[str],
    reference: _Counts,
    current: _Counts,
    dtype: str,
    risen: Sequence[tuple[str, int, int]] = (),
) -> Shape:
    """Keep the first names with their counts, and count all others together.

    Args:
        names: Names, the reference's most frequent first.
        reference: Reference rows of these, then of others.
        current: Current rows of the same.
        dtype: Type of the column.
        risen: Further names with the rows of both sides, the current sample's most frequent first: a name is shown too if
            the current sample has it at least as often as the rarest name shown, and in a hundredth of its rows.
    """
    k = min(len(names), NAMES_SHOWN)
    further = list(zip(names[k:], reference[k:].tolist(), current[k:].tolist(), strict=False))
    least = max(float(current.sum()) / 100, 1.0, float(current[:k].min(initial=0)))
    ranked = sorted([*further, *risen], key=lambda one: -one[2])[:RISEN_SHOWN]
    shown = [one for one in ranked if one[2] >= least]
    sides = []
    for side, counts in enumerate((reference, current), start=1):
        apart = [*counts[:k].tolist(), *(one[side] for one in shown)]
        sides.append((*apart, int(counts.sum()) - sum(apart)))
    return Shape(sides[0], sides[1], (*names[:k], *(one[0] for one in shown)), None, None, dtype)


def _ends(edges: _Edges, counts: _Counts) -> tuple[float, float]:
    """Find where a sample begins and ends, without its tails where these are long."""
    below = np.cumsum(counts[:-1]) / counts.sum()
    last = len(edges) - 1
    ranges = []
    for tail in _TAILS:
        first = max(int(np.searchsorted(below, tail, side="right")) - 1, 0)
        after = min(int(np.searchsorted(below, 1 - tail, side="left")), last)
        ranges.append((float(edges[min(first, last)]), float(edges[after])))
    widths = [high - low for low, high in ranges]
    narrowest = next((width for width in widths if width > 0), math.inf)
    fitting = [ends for ends, width in zip(ranges, widths, strict=True) if width <= _STRETCH * narrowest]
    return fitting[-1] if fitting else ranges[-1]


def _are_whole(edges: _Edges) -> bool:
    # A value with a block of its own has the next number after it as an edge too.
    return bool((np.abs(edges - np.rint(edges)) <= 1e-9 * np.maximum(np.abs(edges), 1)).all())


def _lay(low: float, high: float, whole: bool) -> tuple[float, float, int, float] | None:
    """Lay even bins: where they start, their width and number, and how far their edges lie before what they hold."""
    largest = max(abs(low), abs(high))
    if whole:
        first, values = round(low), math.ceil(high) - round(low)
        whole_width = max(math.ceil(values / BINS), 1)
        return first - 0.5, float(whole_width), max(math.ceil(values / whole_width), 1), 0.5
    width = max((high - low) / (BINS - 2 * _MARGIN), largest * _RESOLUTION)
    if not (math.isfinite(width) and width > 1e-300):
        return None
    bins = min(max(math.ceil((high - low) / width + 2 * _MARGIN), 1), BINS)
    return low - _MARGIN * width, width, bins, 0.0


def _spread(edges: _Edges, counts: _Counts, at: _Edges) -> tuple[int, ...]:
    """Count below, between and above places, rows lying evenly inside their blocks."""
    before = np.rint(np.interp(at, edges, np.cumsum(counts[:-1]).astype(np.float64))).astype(np.int64)
    return tuple(np.diff(before, prepend=0, append=counts.sum()).tolist())
