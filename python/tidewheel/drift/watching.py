"""How a monitor watches one column: which counts it keeps of the stream, and how far a segment lies from the reference.

Counts, also those of the reference, may have further axes before the last one, so that `benches/over_time.py` judges
thousands of simulated streams with these very lines. A part's bounds hold together but with the error of the reference
and that of the segment, at any number of rows (`bands`); `spending` has the errors, `monitor` the columns.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tidewheel.drift import bands
from tidewheel.drift.bands import Floats
from tidewheel.drift.decision import DISTANCE_THRESHOLD, SHARE_THRESHOLD, VARIATION_THRESHOLD
from tidewheel.drift.profiled import BESIDE, Numbers, Others, Profiled
from tidewheel.drift.spending import BLOCKS, Promise, lengths
from tidewheel.drift.states import Counts

#: Groups of a numeric column whose rows are kept apart: D at their borders is short of D by a hundredth at most where the
#: reference is continuous, and 14 levels of them (a year of hours) take 90 kB.
GROUPS = 100

MISSING, NAN = 0, 1


class Part(Protocol):
    """What is watched of a column: its values or a share."""

    @property
    def name(self) -> str:
        """Name as in reports: "values", "missing", "nan", "infinite" or "unseen"."""

    @property
    def threshold(self) -> float:
        """Distance up to which the stream may stray."""

    def bound(self, sums: Counts, x: Floats, design_effect: float) -> tuple[Floats, Floats]:
        """Estimate the distance of segments, and bound it from below.

        Args:
            sums: Counts of shape (segments, ..., places).
            x: ln(1 / error) of each segment.
            design_effect: Rows that count for one.

        Returns:
            Distances and lower bounds (negative when far from anything), both of shape (segments, ...).
        """


@dataclass(frozen=True, eq=False)
class Line:
    """Numbers: the Kolmogorov-Smirnov distance at the borders of the groups.

    Attributes:
        shares: Shares of the reference's values below each border.
        reach: How far they may be from their law's.
        threshold: Distance up to which the stream may stray.
    """

    shares: Floats
    reach: Floats
    threshold: float
    name = "values"

    @classmethod
    def fit(cls, reference: Counts, x: float, design_effect: float, threshold: float) -> "Line":
        """Learn the reference's values, of which there is at least one."""
        below = _order(reference).cumsum(axis=-1)
        rows = below[..., -1]
        reach = bands.reach_of_distribution(x, rows / design_effect)
        return cls(below[..., :-1] / rows[..., None], reach, threshold)

    def bound(self, sums: Counts, x: Floats, design_effect: float) -> tuple[Floats, Floats]:
        """See `Part.bound`."""
        below = _order(sums).cumsum(axis=-1)
        rows = below[..., -1]
        distance = np.abs(below[..., :-1] / np.maximum(rows, 1)[..., None] - self.shares).max(axis=-1)
        distance = np.where(rows > 0, distance, 0.0)
        reach = bands.reach_of_distribution(_beside(x, rows), rows / design_effect)
        return distance, distance - self.reach - reach


@dataclass(frozen=True, eq=False)
class Names:
    """Categories: the total variation that the named ones' shares prove.

    Attributes:
        shares: Shares of the reference's named strings.
        lower: Lower bounds of their probabilities.
        upper: Upper bounds.
        threshold: Distance up to which the stream may stray.
    """

    shares: Floats
    lower: Floats
    upper: Floats
    threshold: float
    name = "values"

    @classmethod
    def fit(cls, reference: Counts, x: float, design_effect: float, threshold: float) -> "Names":
        """Learn the reference's names."""
        rows = reference[BESIDE:].sum()
        shares = reference[BESIDE:-2] / rows
        lower, upper = bands.name_intervals(x, shares, rows / design_effect)
        return cls(shares, lower, upper, threshold)

    def bound(self, sums: Counts, x: Floats, design_effect: float) -> tuple[Floats, Floats]:
        """See `Part.bound`."""
        rows = sums[..., BESIDE:].sum(axis=-1)
        shares = sums[..., BESIDE:-2] / np.maximum(rows, 1)[..., None]
        x = _beside(x, rows) + np.log(len(self.shares))
        lower, upper = bands.share_interval(x[..., None], shares, (rows / design_effect)[..., None])
        less = np.maximum(self.lower - upper, 0).sum(axis=-1)
        more = np.maximum(lower - self.upper, 0).sum(axis=-1)
        rest = np.abs(shares.sum(axis=-1) - self.shares.sum())
        distance = (np.abs(shares - self.shares).sum(axis=-1) + rest) / 2
        return np.where(rows > 0, distance, 0.0), np.maximum(less, more)


@dataclass(frozen=True, eq=False)
class Share:
    """The share of rows in some places: missing, NaN, infinite, or unseen.

    Attributes:
        name: "missing", "nan", "infinite" or "unseen".
        places: The places.
        share: The reference's share.
        lower: Lower bound of its probability.
        upper: Upper bound.
        threshold: Difference up to which the stream may stray.
    """

    name: str
    places: tuple[int, ...]
    share: Floats
    lower: Floats
    upper: Floats
    threshold: float

    @classmethod
    def fit(
        cls, name: str, places: tuple[int, ...], reference: Counts, x: float, effect: float, threshold: float
    ) -> "Share":
        """Learn a share of the reference's rows, of which there is at least one."""
        rows = reference.sum(axis=-1)
        share = reference[..., list(places)].sum(axis=-1) / rows
        return cls(name, places, share, *bands.share_interval(x, share, rows / effect), threshold)

    def bound(self, sums: Counts, x: Floats, design_effect: float) -> tuple[Floats, Floats]:
        """See `Part.bound`."""
        rows = sums.sum(axis=-1)
        if self.name == "unseen":
            rows = rows - sums[..., MISSING]
        share = sums[..., list(self.places)].sum(axis=-1) / np.maximum(rows, 1)
        lower, upper = bands.share_interval(_beside(x, rows), share, rows / design_effect)
        distance = np.where(rows > 0, np.abs(share - self.share), 0.0)
        return distance, np.maximum(lower - self.upper, self.lower - upper)


def _order(counts: Counts) -> Counts:
    """Order counts as the values lie: minus infinity, the groups, plus infinity."""
    return np.concatenate([counts[..., 2:3], counts[..., BESIDE:], counts[..., 3:4]], axis=-1)


def _beside(x: Floats, rows: Counts) -> Floats:
    """Give x, one per segment, as many axes as the rows have."""
    return x.reshape(x.shape + (1,) * (rows.ndim - x.ndim))


@dataclass(frozen=True, eq=False)
class Watched:
    """One column as a monitor watches it.

    Attributes:
        name: Its name.
        starts: First place of each group in a window's vector, after the places that are kept as they are.
        parts: What is watched.
    """

    name: str
    starts: Counts
    parts: tuple[Part, ...]

    def gather(self, vector: Counts) -> Counts:
        """Add up a window's places per group."""
        found: Counts = np.add.reduceat(vector, self.starts, axis=-1)
        return found


def count_parts(column: Profiled) -> int:
    """Count what is watched of a column: to know it is to know each one's part of alpha."""
    if isinstance(column, Others):
        return 0
    return 4 if isinstance(column, Numbers) else 3


def watch(column: Profiled, error: float, threshold: float | None, effect: float) -> Watched:
    """Learn a column.

    Args:
        column: The column of a profile, of numbers or strings.
        error: What each part's bands of the reference may fail with.
        threshold: Distance up to which the stream may stray; None for the thresholds of verdicts.
        effect: Rows that count for one.

    Returns:
        The column. Without values in the reference there is nothing to compare values with, and shares alone are watched.
    """
    x = math.log(1 / error)
    reference = column.reference
    starts = _group(reference) if isinstance(column, Numbers) else np.arange(len(reference))
    kept = np.add.reduceat(reference, starts)
    of_shares = SHARE_THRESHOLD if threshold is None else threshold
    beside: dict[str, tuple[int, ...]] = {"missing": (MISSING,)}
    parts: list[Part] = []
    if isinstance(column, Numbers):
        beside |= {"nan": (NAN,), "infinite": (2, 3)}
        if kept[2:].sum():
            parts.append(Line.fit(kept, x, effect, DISTANCE_THRESHOLD if threshold is None else threshold))
    elif not isinstance(column, Others) and kept[BESIDE:].sum():
        parts.append(Names.fit(kept, x, effect, VARIATION_THRESHOLD if threshold is None else threshold))
        once, rows = int((column.counts == 1).sum()), int(kept[BESIDE:].sum())
        most = bands.most_unseen(x, once, rows / effect)
        parts.append(Share("unseen", (len(kept) - 1,), np.array(once / rows), np.zeros(()), most, of_shares))
    parts += [Share.fit(name, at, kept, x, effect, of_shares) for name, at in beside.items()]
    return Watched(column.name, starts, tuple(parts))


def _group(reference: Counts) -> Counts:
    below = reference[BESIDE:].cumsum()
    if len(below) <= GROUPS:
        return np.arange(len(reference))
    # A border before each block in which another hundredth of the rows begins.
    number = (below - reference[BESIDE:]) * GROUPS // max(int(below[-1]), 1)
    places = np.flatnonzero(np.diff(number, prepend=-1))
    return np.concatenate([np.arange(BESIDE), BESIDE + places])


#: Blocks of each level, oldest first: arrays of shape (blocks, ..., places).
Levels = list[Counts]


def advance(levels: Levels, counts: Counts, look: int) -> Iterator[tuple[int, int, Counts]]:
    """Take the counts of one look into the blocks, and give the segments that end with it.

    Args:
        levels: Blocks of the levels so far; changed. At least as many as `spending.BLOCKS` of each are kept.
        counts: Counts of shape (..., places).
        look: Number of the look, from 1.

    Yields:
        For each level on which a block is complete: the level, the block's number, and the segments' counts, of shape
        (segments, ..., places), in the order of `spending.lengths`.
    """
    block = counts[None]
    for level in range(look.bit_length()):
        if level == len(levels):
            levels.append(block[:0])
        levels[level] = np.concatenate([levels[level][1 - BLOCKS :], block])
        ends = levels[level]
        first = lengths(level)[0]
        if len(ends) >= first:
            yield level, look >> level, ends[::-1].cumsum(axis=0)[first - 1 :]
        if (look >> level) % 2 or len(ends) == 1:
            return
        block = ends[-2:].sum(axis=0, keepdims=True)


@dataclass(frozen=True, eq=False)
class Judged:
    """What one look says of one part of a column, for each stream.

    Attributes:
        part: The part.
        looks: Looks of the segment that comes nearest to an alarm, or goes furthest beyond.
        rows: Its rows.
        distance: Its distance from the reference.
        lower: Lower bound of the distance of its law from the reference's; may be negative.
    """

    part: Part
    looks: Counts
    rows: Counts
    distance: Floats
    lower: Floats

    @property
    def alarm(self) -> npt.NDArray[np.bool_]:
        """Whether the stream is further from the reference than the threshold allows."""
        return self.lower > self.part.threshold


def judge(
    watched: Watched,
    segments: Sequence[tuple[int, int, Counts]],
    promise: Promise,
    parts: int,
    design_effect: float,
) -> list[Judged]:
    """Judge the segments that end with a look.

    Args:
        watched: The column.
        segments: What `advance` gives, at least one.
        promise: Says which error each may make.
        parts: Parts of all columns, which share that error.
        design_effect: Rows that count for one.

    Returns:
        One record per part, in their order.
    """
    sums = np.concatenate([found for _, _, found in segments])
    tested = [
        (level, block, length) for level, block, found in segments for length in lengths(level)[: len(found)]
    ]
    errors = [promise.of_segment(*segment) / parts for segment in tested]
    looks = np.array([length << level for level, _, length in tested])
    x = -np.log(np.array(errors))
    judged = []
    for part in watched.parts:
        distance, lower = part.bound(sums, x, design_effect)
        best = lower.argmax(axis=0)
        distance, lower, rows = (
            np.take_along_axis(values, best[None], axis=0)[0]
            for values in (distance, lower, sums.sum(axis=-1))
        )
        judged.append(Judged(part, looks[best], rows, distance, lower))
    return judged
