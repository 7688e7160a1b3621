"""Every name of an open vocabulary, however rare: how far the samples can be apart, and a test that no choice flatters.

The classes that `column_tests` tests are the reference's most frequent names and one class for all others; what moves inside
that class does not show there. Here all names count. Those that a profile's window cannot know, because the reference
never had them, are counted by the bucket of their hash. Pure: counts in, counts out.
"""

import zlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tidewheel.drift.table import design_effect
from tidewheel.drift.table.design_effect import Design

#: Buckets of strings that the reference never had, as in Rust.
BUCKETS = 256
#: With the counts themselves the seed, so that a report gives the same p-values every time.
SEED = 20_131_021

_Counts = npt.NDArray[np.int64]
_Buffer = bytes | npt.NDArray[np.generic]


class Counted(Protocol):
    """What knows the rows of all names: `_native.CategoryComparison`, or `counted.CategoryCounts`."""

    @property
    def known(self) -> "tuple[_Buffer, _Buffer, _Buffer]":
        """Per string of the reference its rows, its current rows (8 bytes each) and its bucket (1 byte)."""

    @property
    def unseen_buckets(self) -> list[int]:
        """Current rows of all other strings, per bucket."""


@dataclass(frozen=True, eq=False, slots=True)
class AllNames:
    """Both samples' rows of every name.

    Attributes:
        reference: Reference rows per string that the reference has, in an order that the counts alone decide.
        current: Current rows of the same strings.
        buckets: Bucket of each.
        unseen: Current rows per bucket of the strings that the reference never has.
    """

    reference: _Counts
    current: _Counts
    buckets: _Counts
    unseen: _Counts

    @classmethod
    def read(cls, found: Counted) -> "AllNames":
        """Read what was counted, and order it: from rows and from a profile the same names come in another order."""
        known = found.known
        r, c = (np.frombuffer(side, dtype=np.int64) for side in known[:2])
        buckets = np.frombuffer(known[2], dtype=np.uint8).astype(np.int64)
        width = int(c.max(initial=0)) + 1
        if int(r.max(initial=0)) < 2**62 // (width * BUCKETS):
            # One integer a name sorts in a tenth of the time that three take.
            packed, buckets = np.divmod(np.sort((r * width + c) * BUCKETS + buckets), BUCKETS)
            r, c = np.divmod(packed, width)
        else:
            order = np.lexsort((buckets, c, r))
            r, c, buckets = r[order], c[order], buckets[order]
        return cls(r, c, buckets, np.array(found.unseen_buckets, dtype=np.int64))

    @property
    def rows(self) -> tuple[int, int]:
        """Rows of both samples."""
        return int(self.reference.sum()), int(self.current.sum() + self.unseen.sum())

    @property
    def total_variation(self) -> float:
        """The distance of both samples' shares over all names: `1 - sum_i min(r_i / n, c_i / m)`.

        Its mean is at least the distance of the laws, since the mean of `|r_i / n - c_i / m|` is at least `|p_i - q_i|`:
        what sampling adds makes it larger, never smaller. With many rare names it is large without any drift.
        """
        n, m = self.rows
        return max(0.0, 1.0 - float(np.minimum(self.reference / n, self.current / m).sum()))


@dataclass(frozen=True, eq=False, slots=True)
class Held:
    """Rows held out of the choice of a set of names.

    Attributes:
        hits: Held-out rows of both samples whose name is in the set; of rows with weights, in equal rows.
        rows: Held-out rows of both samples.
        design: What they are worth.
        units: Of rows that come in units, held-out rows per unit, those in the set and all others, in time order.
    """

    hits: tuple[float, float]
    rows: tuple[float, float]
    design: Design
    units: tuple[_Counts, _Counts] | None = None


def hold_out(names: AllNames) -> Held | None:
    """Choose the names that the current sample has more of by half of the rows, and count them in the other half.

    Each row goes to one half by the toss of a coin: of a name with r rows a binomial number. Names that the reference's
    first half has are classes of their own, all other strings share the 256 classes of their buckets. The set holds the
    classes of which the current sample's first half has a larger share than the reference's, which for a bucket is what
    Good and Turing expect of strings not seen. Given the first halves the set is fixed, so its shares in the second halves
    are two plain proportions: their test keeps its level whatever the vocabulary, and their difference is on average at
    most the total variation, which is the largest difference that any set of names has.

    Returns:
        The counts; None where a half has no row.
    """
    # One seed for all columns would toss the same coins for their names of the same rank: in columns of one law the same
    # names would be chosen, wrong in all of them or in none.
    seed = [SEED, *(zlib.crc32(side.tobytes()) for side in (names.reference, names.current, names.unseen))]
    generator = np.random.Generator(np.random.PCG64(seed))
    r, c, unseen = (generator.binomial(side, 0.5) for side in (names.reference, names.current, names.unseen))
    is_class = r > 0
    bucket = names.buckets[~is_class]
    # What the first half never had, Good and Turing (1953) expect as often as strings that it had once.
    once = np.bincount(names.buckets[r == 1], minlength=BUCKETS)
    firsts = [
        np.concatenate([r[is_class], once]),
        np.concatenate([c[is_class], unseen + _add_up(bucket, c[~is_class])]),
    ]
    wholes = [
        np.concatenate([names.reference[is_class], _add_up(bucket, names.reference[~is_class])]),
        np.concatenate([names.current[is_class], names.unseen + _add_up(bucket, names.current[~is_class])]),
    ]
    n, m = int(r.sum()), int(c.sum() + unseen.sum())
    seconds = [wholes[0] - np.concatenate([r[is_class], np.zeros_like(once)]), wholes[1] - firsts[1]]
    if not (n and m and seconds[0].any() and seconds[1].any()):
        return None
    chosen = firsts[1] / m > firsts[0] / n
    hits, rows = ([int(side[keep].sum()) for side in seconds] for keep in (chosen, slice(None)))
    return Held((hits[0], hits[1]), (rows[0], rows[1]), design_effect.independent(*rows))


def _add_up(bucket: _Counts, counts: _Counts) -> _Counts:
    # Sums of counts are exact in float64: a window holds at most 2^46 rows.
    return np.bincount(bucket, weights=counts, minlength=BUCKETS).astype(np.int64)


def hold_out_units(
    names: tuple[_Counts, _Counts], units: tuple[_Counts, _Counts], phi: float = 0.0
) -> Held | None:
    """Do as `hold_out` does, with halves of whole units: rows of one unit resemble each other across halves of rows.

    Where units resemble the ones before them too (`phi` above 0) the halves are the earlier and the later units: of halves
    that are tossed each unit would have neighbours in the other, and what one half chose the other would find again.

    Args:
        names: The name of each row of both samples as a number, the same on both sides; -1 where it is missing.
        units: The unit of each row as a number, in time order.
        phi: The serial dependence of the units, as in `design_effect.estimate_design`.

    Returns:
        The counts, and what they are worth by the spread between the units held out; None where there are fewer than three
        reference units, or two current ones.
    """
    generator = np.random.Generator(np.random.PCG64(SEED))
    kinds = max(int(side.max(initial=-1)) for side in names) + 1
    firsts, seconds = [], []
    for name, unit in zip(names, units, strict=True):
        there = name >= 0
        _, unit = np.unique(unit[there], return_inverse=True)
        count = int(unit.max(initial=-1)) + 1
        places = np.arange(count) if phi > 0 else generator.permutation(count)
        is_first = (places < count // 2)[unit]
        firsts.append(np.bincount(name[there][is_first], minlength=kinds))
        seconds.append((name[there][~is_first], unit[~is_first]))
    if not all(side.any() for side in firsts) or not all(len(name) for name, _ in seconds):
        return None
    chosen = firsts[1] / firsts[1].sum() > firsts[0] / firsts[0].sum()
    tables = []
    for name, unit in seconds:
        hits, rows = (np.bincount(unit[keep]) for keep in (chosen[name], slice(None)))
        hits = np.pad(hits, (0, len(rows) - len(hits)))
        tables.append(np.column_stack([hits, rows - hits])[rows > 0])
    if len(tables[0]) < design_effect.UNITS_NEEDED:
        return None
    design = design_effect.estimate_design(tables[0], tables[1], ordered=False, phi=phi)
    hits_of, rows_of = ([int(table[:, :k].sum()) for table in tables] for k in (1, 2))
    return Held((hits_of[0], hits_of[1]), (rows_of[0], rows_of[1]), design, (tables[0], tables[1]))
