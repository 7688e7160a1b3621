"""What a monitor says when it has looked: the records of a look, in plain data."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tidewheel.drift.profile import serialization
from tidewheel.errors import UnknownNameError

#: The part of a column that rows came without, or with another type.
SCHEMA = "schema"


@dataclass(frozen=True, slots=True)
class ColumnLook:
    """What one look says of one column: its part and segment that come nearest to an alarm, or go furthest beyond.

    Attributes:
        name: Name of the column.
        alarm: Whether the lower bound is above the threshold.
        part: "values", "missing", "nan", "infinite" or "unseen"; "schema" where rows of the look came without the column, or
            with another type.
        looks: Looks of the segment, which ends with this look.
        rows: Its rows.
        distance: Its distance from the reference sample: Kolmogorov-Smirnov D at up to 101 borders for numbers, total
            variation for strings, a difference of shares else.
        lower: Lower bound of its law's distance from the reference's law, at least 0. All lower bounds of all looks hold
            together with probability 1 - alpha ("ever").
        threshold: Distance up to which the stream may stray.
    """

    name: str
    alarm: bool
    part: str
    looks: int
    rows: int
    distance: float
    lower: float
    threshold: float

    @property
    def sentence(self) -> str:
        """One sentence: what was found, how surely, and over how many looks."""
        if self.part == SCHEMA:
            return (
                f"schema: {self.rows:,} rows of the last look came without this column, or with another type."
            )
        side = "above" if self.alarm else "not above"
        looks = "the last look" if self.looks == 1 else f"the last {self.looks:,} looks"
        return (
            f"{self.part}: over {looks} ({self.rows:,} rows) the distance to the reference is {self.distance:.3g}, at "
            f"least {self.lower:.3g} beyond sampling error, which is {side} {self.threshold:g}."
        )


@dataclass(frozen=True, slots=True)
class Look:
    """What a monitor says when it has seen one more window.

    Attributes:
        number: Looks so far, this one included.
        rows: Rows of the window.
        alarm: Whether any column alarms.
        columns: What is known per column, in the order of the profile.
        promise: What is promised about false alarms, in one sentence.
        at: When or what the window was, as `observe` was told; empty if it was not.
    """

    number: int
    rows: int
    alarm: bool
    columns: tuple[ColumnLook, ...]
    promise: str
    at: str = ""

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the columns that alarm."""
        return tuple(column.name for column in self.columns if column.alarm)

    def __getitem__(self, name: str) -> ColumnLook:
        """Give a column by its name; raise UnknownNameError if it is not watched."""
        for column in self.columns:
            if column.name == name:
                return column
        known = ", ".join(repr(column.name) for column in self.columns)
        raise UnknownNameError(f"`name` must be one of {known}; got {name!r}")


#: Parts by their number in bytes.
_PARTS = ("values", "missing", "nan", "infinite", "unseen", SCHEMA)


def write_looks(to: serialization.Writer, looks: Collection[Look]) -> None:
    """Write what `read_looks` reads: names and the promise are the monitor's own."""
    to.number(len(looks))
    for look in looks:
        to.number(look.number)
        to.number(look.rows)
        to.text(look.at)
        counts = [(one.alarm, _PARTS.index(one.part), one.looks, one.rows) for one in look.columns]
        to.counts(np.array(counts, dtype=np.int64).ravel())
        to.values(
            np.array(
                [(one.distance, one.lower, one.threshold) for one in look.columns], dtype=np.float64
            ).ravel()
        )


def read_looks(
    source: serialization.Reader, columns: Sequence[str], promise: str, most: int
) -> Iterator[Look]:
    """Read looks at these columns.

    Raises:
        InputError: there are more than `most`, or one says what no look can.
    """
    for _ in range(source.number(most)):
        number, rows, at = source.number(), source.number(), source.text()
        counts = source.counts().reshape(-1, 4) if columns else np.zeros((0, 4), dtype=np.int64)
        numbers = source.values("f8")
        if len(counts) != len(columns) or len(numbers) != 3 * len(columns):
            raise source.refuse(f"got a look at {len(counts)} columns instead of {len(columns)}")
        if (counts[:, 0] > 1).any() or (counts[:, 1] >= len(_PARTS)).any():
            raise source.refuse("got a look with a part that does not exist")
        found = []
        for name, (alarm, part, looks, n), (distance, lower, threshold) in zip(
            columns, counts.tolist(), numbers.reshape(-1, 3).tolist(), strict=True
        ):
            if not all(0 <= value <= 1 for value in (distance, lower, threshold)):
                raise source.refuse("got a look with a distance beyond 1")
            found.append(ColumnLook(name, bool(alarm), _PARTS[part], looks, n, distance, lower, threshold))
        alarm = any(one.alarm for one in found)
        yield Look(number, rows, alarm, tuple(found), promise, at)
