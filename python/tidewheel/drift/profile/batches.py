"""What a batch has of a profile's columns: one that can be counted, or a note why it cannot."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tidewheel import _native
from tidewheel.drift.profile import column_state, serialization
from tidewheel.drift.table.counted import Counts
from tidewheel.drift.table.pairs import count_row_kinds, count_void, is_comparable, unreadable

#: Why a float is no current value of a reference of whole numbers beyond 2^53.
ROUNDED = "beyond 2^53 a float stands for several whole numbers, which the reference tells apart"


@dataclass(slots=True)
class Notes:
    """What batches had that is no number: names, types and reasons, which add up as sets.

    Attributes:
        further: Columns that the profile does not have.
        lacking: Columns that a batch came without.
        types: Columns with another type, and the type.
        unread: Columns that could not be read, or whose times do not match the reference's, and why.
    """

    further: set[str] = field(default_factory=set)
    lacking: set[str] = field(default_factory=set)
    types: set[tuple[str, str]] = field(default_factory=set)
    unread: set[tuple[str, str]] = field(default_factory=set)

    def add(self, other: "Notes") -> None:
        """Add what another window or batch had."""
        self.further |= other.further
        self.lacking |= other.lacking
        self.types |= other.types
        self.unread |= other.unread

    def add_rounded(self, found: Sequence[column_state.Batch], vectors: Sequence[Counts]) -> None:
        """Note the columns of a batch some of whose floats could not be placed among whole numbers, given its counts."""
        for column, vector in zip(found, vectors, strict=True):
            if isinstance(column, _native.Column) and vector[column_state.MISTYPED]:
                self.types.add((column.name, column.dtype))
                self.unread.add((column.name, ROUNDED))

    def write(self, to: serialization.Writer) -> None:
        """Write what `read` reads."""
        for texts in (
            sorted(self.further),
            sorted(self.lacking),
            [one for pair in sorted(self.types) for one in pair],
            [one for pair in sorted(self.unread) for one in pair],
        ):
            to.number(len(texts))
            for text in texts:
                to.text(text)

    @classmethod
    def read(cls, source: serialization.Reader, columns: Sequence[str]) -> "Notes":
        """Read the notes of a window of a profile with these columns."""
        further, lacking, types, unread = ([source.text() for _ in range(source.number())] for _ in range(4))
        if len(types) % 2 or len(unread) % 2:
            raise source.refuse("got a column without the type that it had, or without a reason")
        if not {*lacking, *types[::2], *unread[::2]} <= set(columns) or set(further) & set(columns):
            raise source.refuse("got notes of a column that the profile does not have")
        pairs = (set(zip(texts[::2], texts[1::2], strict=True)) for texts in (types, unread))
        return cls(set(further), set(lacking), *pairs)


def find_column(
    column: column_state.Profiled, found: _native.Column | None, notes: Notes
) -> column_state.Batch:
    """Give a batch's column, if it can be counted, or say which rows these are."""
    if found is None:
        notes.lacking.add(column.name)
        return None
    if is_comparable(column, found):
        return found
    parts = count_void(found)
    if parts is None and column.is_void:
        parts = count_row_kinds(found, None)
    if parts is not None:
        return parts
    notes.types.add((column.name, found.dtype))
    reason = unreadable(column, found)
    if reason:
        notes.unread.add((column.name, reason))
    return column_state.Mistyped(count_row_kinds(found, None))
