"""How a monitor watches one column: which counts it keeps of the stream, and how far a segment lies from the reference.

Counts, also those of the reference, may have further axes before the last one, so that `benches/over_time.py` judges
thousands of simulated streams with these very lines. A part's bounds hold together but with the error of the reference
and that of the segment, at any number of rows (`bands`); `alpha_spending` has the errors, `monitor` the columns.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tidewheel.drift.over_time import bands
from tidewheel.drift.over_time.alpha_spending import BLOCKS, Promise, lengths
from tidewheel.drift.over_time.bands import Floats
from tidewheel.drift.profile.column_state import BESIDE, Numbers, Others, Profiled, Words
from tidewheel.drift.table.counted import Counts
from tidewheel.drift.table.decision import DISTANCE_THRESHOLD, SHARE_THRESHOLD, VARIATION_THRESHOLD
from tidewheel.drift.table.open_vocabulary import BUCKETS

#: Groups of a numeric column whose rows are kept apart: D at their borders is short of D by a hundredth at most where the
#: reference is continuous, and 14 levels of them (a year of hours) take 90 kB.
GROUPS = 100

#: Places of what is kept of a column, with the sign by which they are added up.
Places = tuple[tuple[int, int], ...]
MISSING: Places = ((0, 1),)
#: Of numbers are kept: missing, NaN, and the values below each border of the groups, from minus infinity alone to all.
FIRST_BELOW = 2
NAN: Places = ((1, 1),)
INFINITE: Places = ((FIRST_BELOW, 1), (-1, 1), (-2, -1))
ROWS_OF_NUMBERS: Places = ((0, 1), (1, 1), (-1, 1))
#: Of strings: missing, all others, the unseen, the strings of each bucket of the hash, and the named ones.
FIRST_BUCKET = 3
FIRST_NAME = FIRST_BUCKET + BUCKETS
VALUES_OF_WORDS: Places = ((1, 1),)
ROWS_OF_WORDS: Places = ((0, 1), (1, 1))
UNSEEN: Places = ((2, 1),)


class Part(Protocol):
    """What is watched of a column: its values or a share."""

    @property
    def name(self) -> str:
        """Name as in reports: "values", "missing", "nan", "infinite" or "unseen"."""

    @property
    def threshold(self) -> float:
        """Distance up to which the stream may stray."""

    def bound(self, sums: Counts, x: Floats, design_effect: float) -> tuple[Counts, Floats, Floats]:
        """Estimate the distance of segments, and bound it from below.

        Args:
            sums: What is kept of the segments, of shape (segments, ..., places).
            x: ln(1 / error) of each segment.
            design_effect: Rows that count for one.

        Returns:
            Rows, distances and lower bounds (negative when far from anything), each of shape (segments, ...).
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
        below = reference[..., FIRST_BELOW:]
        rows = below[..., -1]
        reach = bands.reach_of_distribution(x, rows / design_effect)
        return cls(below[..., :-1] / rows[..., None], reach, threshold)

    def bound(self, sums: Counts, x: Floats, design_effect: float) -> tuple[Counts, Floats, Floats]:
        """See `Part.bound`."""
        rows = sums[..., -1]
        gaps = sums[..., FIRST_BELOW:-1] / np.maximum(rows, 1)[..., None] - self.shares
        distance = np.where(rows > 0, np.abs(gaps).max(axis=-1), 0.0)
        reach = bands.reach_of_distribution(_beside(x, rows), rows / design_effect)
        return rows, distance, distance - self.reach - reach


@dataclass(frozen=True, eq=False)
class Names:
    """Categories: the total variation that the named ones' shares prove, or those of buckets.

    Any set of strings proves a part of the distance. The reference's most frequent strings are not the stream's: so all
    strings, known or not, are also told apart by the bucket of their hash, 256 sets that no sample has chosen. A string that
    becomes frequent shows there whatever it was before. Both bounds share the error.

    Attributes:
        shares: Shares of the reference's named strings.
        lower: Lower bounds of their probabilities.
        upper: Upper bounds.
        bucket_shares: Shares of the reference's strings per bucket.
        bucket_lower: Lower bounds of their probabilities.
        bucket_upper: Upper bounds.
        threshold: Distance up to which the stream may stray.
    """

    shares: Floats
    lower: Floats
    upper: Floats
    bucket_shares: Floats
    bucket_lower: Floats
    bucket_upper: Floats
    threshold: float
    name = "values"

    @classmethod
    def fit(cls, reference: Counts, x: float, design_effect: float, threshold: float) -> "Names":
        """Learn the reference's names."""
        rows = float(_pick(reference, VALUES_OF_WORDS))
        names, buckets = reference[FIRST_NAME:] / rows, reference[FIRST_BUCKET:FIRST_NAME] / rows
        x = x + math.log(2)
        of_names = bands.name_intervals(x, names, rows / design_effect)
        of_buckets = bands.share_interval(x + math.log(BUCKETS), buckets, rows / design_effect)
        return cls(names, *of_names, buckets, *of_buckets, threshold)

    def bound(self, sums: Counts, x: Floats, design_effect: float) -> tuple[Counts, Floats, Floats]:
        """See `Part.bound`."""
        rows = _pick(sums, VALUES_OF_WORDS)
        x = _beside(x, rows) + np.log(2)
        of_names, of_buckets = (sums[..., FIRST_NAME:], sums[..., FIRST_BUCKET:FIRST_NAME])
        names = _prove(of_names, rows, x, design_effect, (self.shares, self.lower, self.upper))
        buckets = _prove(
            of_buckets, rows, x, design_effect, (self.bucket_shares, self.bucket_lower, self.bucket_upper)
        )
        distance, lower = (np.maximum(one, other) for one, other in zip(names, buckets, strict=True))
        return rows, np.where(rows > 0, distance, 0.0), lower


def _prove(
    counts: Counts, rows: Counts, x: Floats, design_effect: float, reference: tuple[Floats, Floats, Floats]
) -> tuple[Floats, Floats]:
    """Measure and bound from below the total variation over classes that need not be all there are."""
    known, known_lower, known_upper = reference
    shares = counts / np.maximum(rows, 1)[..., None]
    x = (x + np.log(len(known)))[..., None]
    lower, upper = bands.share_interval(x, shares, (rows / design_effect)[..., None])
    less = np.maximum(known_lower - upper, 0).sum(axis=-1)
    more = np.maximum(lower - known_upper, 0).sum(axis=-1)
    rest = np.abs(shares.sum(axis=-1) - known.sum())
    # Shares of a third or a seventh add up to a little more than 1.
    distance = np.minimum((np.abs(shares - known).sum(axis=-1) + rest) / 2, 1.0)
    return distance, np.maximum(less, more)


@dataclass(frozen=True, eq=False)
class Share:
    """The share of rows in some places: missing, NaN, infinite, or unseen.

    Attributes:
        name: "missing", "nan", "infinite" or "unseen".
        places: The places.
        of: The places of all rows.
        share: The reference's share.
        lower: Lower bound of its probability.
        upper: Upper bound.
        threshold: Difference up to which the stream may stray.
    """

    name: str
    places: Places
    of: Places
    share: Floats
    lower: Floats
    upper: Floats
    threshold: float

    @classmethod
    def fit(
        cls,
        name: str,
        places: Places,
        of: Places,
        reference: Counts,
        x: float,
        design_effect: float,
        threshold: float,
    ) -> "Share":
        """Learn a share of the reference's rows, of which there is at least one."""
        rows = _pick(reference, of)
        share = _pick(reference, places) / rows
        lower, upper = bands.share_interval(x, share, rows / design_effect)
        return cls(name, places, of, share, lower, upper, threshold)

    def bound(self, sums: Counts, x: Floats, design_effect: float) -> tuple[Counts, Floats, Floats]:
        """See `Part.bound`."""
        rows = _pick(sums, self.of)
        share = _pick(sums, self.places) / np.maximum(rows, 1)
        lower, upper = bands.share_interval(_beside(x, rows), share, rows / design_effect)
        distance = np.where(rows > 0, np.abs(share - self.share), 0.0)
        return rows, distance, np.maximum(lower - self.upper, self.lower - upper)


def _pick(counts: Counts, places: Places) -> Counts:
    return functools.reduce(np.add, [sign * counts[..., place] for place, sign in places])


def _beside(x: Floats, rows: Counts) -> Floats:
    """Give x, one per segment, as many axes as the rows have."""
    return x.reshape(x.shape + (1,) * (rows.ndim - x.ndim))


@dataclass(frozen=True, eq=False)
class Watched:
    """One column as a monitor watches it.

    Attributes:
        name: Its name.
        keep: Turns a window's counts, of shape (..., places), into what is kept of them, which adds up as they do.
        parts: What is watched.
        kept: Places that are kept.
    """

    name: str
    keep: Callable[[Counts], Counts]
    parts: tuple[Part, ...]
    kept: int

    def is_possible(self, sums: Counts) -> bool:
        """Say whether segments of shape (blocks, kept places) can be counts of rows, each with those of the one before."""
        if isinstance(self.keep, KeepWords):
            buckets, names = sums[:, FIRST_BUCKET:FIRST_NAME], sums[:, FIRST_NAME:]
            is_sound = (sums[:, 1] == buckets.sum(axis=-1)).all() and (
                sums[:, 1] >= sums[:, 2] + names.sum(axis=-1)
            ).all()
        else:
            is_sound = (np.diff(sums[:, FIRST_BELOW:], axis=-1) >= 0).all()
        return bool(is_sound and (np.diff(sums, axis=0) >= 0).all())


def keep_numbers(counts: Counts, starts: Counts) -> Counts:
    """Keep of numbers the missing, the NaN, and the values below the borders of groups; see `FIRST_BELOW`."""
    groups = np.add.reduceat(counts, starts, axis=-1)
    line = [groups[..., 2:3], groups[..., BESIDE:], groups[..., 3:4]]
    below = np.concatenate(line, axis=-1).cumsum(axis=-1)
    return np.concatenate([groups[..., :2], below], axis=-1)


@dataclass(frozen=True, eq=False)
class KeepWords:
    """Keep of strings the missing, all others, the unseen, those of each bucket, and the named; see `FIRST_BUCKET`.

    Attributes:
        order: Places of the strings and of the unseen ones, bucket by bucket.
        starts: Where each bucket starts in that order; each has the place of its unseen strings at least.
        named: Strings with a class of their own.
    """

    order: npt.NDArray[np.intp]
    starts: npt.NDArray[np.intp]
    named: int

    @classmethod
    def fit(cls, column: Words) -> "KeepWords":
        """Learn where the strings of a column are counted."""
        bucket = np.concatenate([column.buckets, np.arange(BUCKETS)])
        order = np.argsort(bucket, kind="stable")
        return cls(order, np.searchsorted(bucket[order], np.arange(BUCKETS)), column.named)

    def __call__(self, counts: Counts) -> Counts:
        """Turn a window's counts, of shape (..., places), into what is kept of them."""
        places = counts[..., BESIDE:]
        buckets = np.add.reduceat(places[..., self.order], self.starts, axis=-1)
        values = buckets.sum(axis=-1, keepdims=True)
        unseen = places[..., -BUCKETS:].sum(axis=-1, keepdims=True)
        return np.concatenate([counts[..., :1], values, unseen, buckets, places[..., : self.named]], axis=-1)


def count_parts(column: Profiled) -> int:
    """Count what is watched of a column: to know it is to know each one's part of alpha."""
    if isinstance(column, Others):
        return 0
    return 4 if isinstance(column, Numbers) else 3


def watch(
    column: Numbers | Words, error: float, thresholds: Mapping[str, float], design_effect: float
) -> Watched:
    """Learn a column.

    Args:
        column: The column of a profile.
        error: What each part's bands of the reference may fail with.
        thresholds: Distance up to which the stream may stray, by part; those of verdicts where it is not given.
        design_effect: Rows that count for one.

    Returns:
        The column. Without values in the reference there is nothing to compare values with, and shares alone are watched.
    """
    x = math.log(1 / error)
    if isinstance(column, Numbers):
        return _watch_numbers(column, x, thresholds, design_effect)
    return _watch_words(column, x, thresholds, design_effect)


def _watch_numbers(
    column: Numbers, x: float, thresholds: Mapping[str, float], design_effect: float
) -> Watched:
    keep = functools.partial(keep_numbers, starts=_group(column.reference))
    kept = keep(column.reference)
    parts: list[Part] = []
    if kept[-1]:
        of_values = thresholds.get("values", DISTANCE_THRESHOLD)
        parts.append(Line.fit(kept, x, design_effect, of_values))
    for name, places in (("missing", MISSING), ("nan", NAN), ("infinite", INFINITE)):
        of_share = thresholds.get(name, SHARE_THRESHOLD)
        parts.append(Share.fit(name, places, ROWS_OF_NUMBERS, kept, x, design_effect, of_share))
    return Watched(column.name, keep, tuple(parts), len(kept))


def _watch_words(column: Words, x: float, thresholds: Mapping[str, float], design_effect: float) -> Watched:
    keep = KeepWords.fit(column)
    kept = keep(column.reference)
    parts: list[Part] = []
    rows = int(_pick(kept, VALUES_OF_WORDS))
    if rows:
        of_values = thresholds.get("values", VARIATION_THRESHOLD)
        parts.append(Names.fit(kept, x, design_effect, of_values))
        once = int((column.counts == 1).sum())
        most = bands.most_unseen(x, once, rows / design_effect)
        expected, of_unseen = np.array(once / rows), thresholds.get("unseen", SHARE_THRESHOLD)
        parts.append(Share("unseen", UNSEEN, VALUES_OF_WORDS, expected, np.zeros(()), most, of_unseen))
    of_missing = thresholds.get("missing", SHARE_THRESHOLD)
    parts.append(Share.fit("missing", MISSING, ROWS_OF_WORDS, kept, x, design_effect, of_missing))
    return Watched(column.name, keep, tuple(parts), len(kept))


def _group(reference: Counts) -> Counts:
    below = reference[BESIDE:].cumsum()
    if len(below) <= GROUPS:
        return np.arange(len(reference))
    # A border before each block in which another hundredth of the rows begins.
    number = (below - reference[BESIDE:]) * GROUPS // max(int(below[-1]), 1)
    places = np.flatnonzero(np.diff(number, prepend=-1))
    return np.concatenate([np.arange(BESIDE), BESIDE + places])


#: Of each level what is kept of its last block, of its last two, and so on: arrays of shape (blocks, ..., places).
Levels = list[Counts]


def advance(levels: Levels, counts: Counts, look: int) -> Iterator[tuple[int, int, Counts]]:
    """Take the counts of one look into the levels, and give the segments that end with it.

    Args:
        levels: The levels so far, from the shortest blocks on; changed.
        counts: What is kept of the look, of shape (..., places).
        look: Number of the look, from 1.

    Yields:
        For each level on which a block is complete: the level, the block's number, and the segments' counts, of shape
        (segments, ..., places), in the order of `alpha_spending.lengths`.
    """
    block = counts[None]
    for level in range(look.bit_length()):
        if level == len(levels):
            levels.append(block[:0])
        levels[level] = sums = np.concatenate([block, levels[level][: BLOCKS - 1] + block])
        first = lengths(level)[0]
        if len(sums) >= first:
            yield level, look >> level, sums[first - 1 :]
        if (look >> level) % 2 or len(sums) == 1:
            return
        block = sums[1:2]


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
        found = part.bound(sums, x, design_effect)
        best = found[-1].argmax(axis=0)
        rows, distance, lower = (np.take_along_axis(values, best[None], axis=0)[0] for values in found)
        judged.append(Judged(part, looks[best], rows, distance, lower))
    return judged
