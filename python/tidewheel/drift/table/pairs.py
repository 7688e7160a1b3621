"""Columns of two tables as pairs.

Which columns to look at, which one table lacks or has in another type, and what a side without values is taken for.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from tidewheel import _native
from tidewheel.drift.reading import inputs, instants
from tidewheel.drift.table import unit_order
from tidewheel.drift.table.counted import Parts
from tidewheel.drift.table.measured import Measured, differ
from tidewheel.errors import InputError, InputTypeError

#: What a report calls the kinds of columns.
NUMERIC = {"number": "numeric", "temporal": "temporal"}
CATEGORICAL = {"string": "categorical", "boolean": "categorical"}


def name_further(names: Iterable[str]) -> list[str]:
    """Say in a sentence which columns only the current side has; nothing where there are none."""
    listed = ", ".join(names)
    return [f"Not compared, since the reference lacks them: {listed}."] if listed else []


def choose_columns(
    tables: Mapping[str, Mapping[str, object]],
    known: Sequence[str],
    columns: Sequence[str] | None,
    exclude: Sequence[str],
) -> list[str]:
    """Choose the columns to look at.

    Args:
        tables: The tables by the name of their argument.
        known: Columns by default.
        columns: Columns asked for; None for all.
        exclude: Columns to leave out.

    Returns:
        The names; each is in one of the tables at least.

    Raises:
        InputError: a name is in none of the tables, or `exclude` leaves nothing.
    """
    for name in (*(columns or ()), *exclude):
        if not any(name in table for table in tables.values()):
            listed = " or ".join(f"`{side}`, which has {_list(table)}" for side, table in tables.items())
            raise InputError(f"column {name!r} must be in {listed}")
    chosen = [name for name in (known if columns is None else columns) if name not in set(exclude)]
    if exclude and not chosen:
        raise InputError("`exclude` must leave at least one column; got all of them")
    return chosen


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "no columns"


def find_differing(
    names: Sequence[str], reference: inputs.Table, current: inputs.Table
) -> dict[str, Measured]:
    """Find the columns that one table lacks, or that have another type there."""
    rows = reference.n_rows, current.n_rows
    found = {}
    for name in names:
        one, other = reference.get(name), current.get(name)
        if one is not None and other is not None:
            if not is_comparable(one, other) and not (count_void(one) or count_void(other)):
                told = other_type(one.dtype, [other.dtype], unreadable(one, other))
                found[name] = differ(name, f"{one.dtype} and {other.dtype}", rows, told)
        elif one is not None:
            found[name] = differ(name, one.dtype, rows, LACKING)
        elif other is not None:
            found[name] = differ(name, other.dtype, rows, "the reference lacks this column")
    return found


#: Why a column that the current side lacks is no column to compare; a label in the reference is the usual case.
LACKING = (
    "the current table lacks this column; if it need not have it, as with a label, "
    "leave it out by `exclude` (`--exclude`)"
)


def other_type(reference: str, current: Iterable[str], reason: str = "", rows: str = "") -> str:
    """Say which types a column has, in how many rows, and why they do not go together where that is not plain."""
    types = (
        f"the type is {reference} in the reference, but {' and '.join(current)} in the current table{rows}"
    )
    return f"{types}: {reason}" if reason else types


class Read(instants.Typed, Protocol):
    """What was read of a column, or what a profile knows of one."""

    @property
    def reason(self) -> str:
        """Why no statistic takes it; empty if one does."""


Pair = tuple[_native.Column, _native.Column]


def pair_columns(
    name: str, reference: Mapping[str, _native.Column], current: Mapping[str, _native.Column]
) -> Pair:
    """Find a column in both tables; raise if one lacks it, or if its types cannot be compared."""
    for side, table in (("reference", reference), ("current", current)):
        if name not in table:
            raise InputError(f"column {name!r} must be in `{side}`; it has {_list(table)}")
    one, other = reference[name], current[name]
    reason = unreadable(one, other)
    if reason:
        # Where one side cannot be read or matched, neither is: the column says why, and all others are compared.
        one, other = (
            _native.Column.unsupported(name, side.dtype, len(side), side.missing, reason)
            for side in (one, other)
        )
        return one, other
    if not is_comparable(one, other):
        raise InputTypeError(
            f"column {name!r} must have one type in both tables; got {one.dtype} and {other.dtype}"
        )
    return instants.align(one, other)


def count_void(column: _native.Column) -> _native.Parts | Parts | None:
    """Count a column without any value, which goes with any type: all rows are missing or NaN; None if it has one.

    Libraries give such a column whatever type they like: pandas float64 or object, a reader of CSV a string.
    """
    if column.kind == "unsupported":
        return None
    parts = count_row_kinds(column, None)
    return parts if parts.missing + parts.nan == parts.rows else None


def unreadable(one: Read, other: Read) -> str:
    """Say why two columns cannot be compared, if one has a type that is not supported or if their times do not match."""
    found = [side for side in (one, other) if side.kind == "unsupported"]
    if found:
        return "; ".join(dict.fromkeys(side.reason for side in found))
    if one.kind == other.kind == "temporal" and not instants.are_comparable(one.dtype, other.dtype):
        return instants.explain(one.dtype, other.dtype)
    return ""


def is_comparable(one: instants.Typed, other: instants.Typed) -> bool:
    """Say whether two columns have one type, as far as statistics care; columns without a value go with any."""
    kinds = {one.kind, other.kind}
    if "null" in kinds:
        return True
    if len(kinds) > 1:
        return False
    return one.kind != "temporal" or instants.are_comparable(one.dtype, other.dtype)


def kind_of(pair: Pair) -> str:
    """Return what statistics make of a pair: what they make of the side that has values."""
    kinds = {column.kind for column in pair} - {"null"}
    return kinds.pop() if len(kinds) == 1 else "null"


def fill(name: str, pair: Pair) -> Pair:
    """Give a side without values the other's type, so that what else the other holds is counted."""
    names = kind_of(pair) in CATEGORICAL
    one, other = (
        column
        if column.kind != "null"
        else _no_names(name, len(column))
        if names
        else _native.Column.null(name, len(column))
        for column in pair
    )
    return one, other


def _no_names(name: str, rows: int) -> _native.Column:
    nothing = np.zeros(0, dtype=np.uint8)
    bits = np.zeros((rows + 7) // 8, dtype=np.uint8)
    return _native.Column.from_strings(name, np.zeros(rows + 1, dtype=np.int64), nothing, bits)


def number_names(pair: Pair) -> tuple[list[str], unit_order.Tables]:
    """Number the strings of all rows, both sides alike; -1 where one is missing. Gives the strings, and both sides' rows."""
    numbers: dict[str, int] = {}
    sides = []
    for column in pair:
        codes = unit_order.read_codes(_native.encode_units(column))
        _, first = np.unique(codes, return_index=True)
        names = _native.gather_strings(column, inputs.read_array("rows", first.astype(np.int64)))
        known = [-1 if name is None else numbers.setdefault(name, len(numbers)) for name in names]
        sides.append(np.array(known, dtype=np.int64)[codes])
    return list(numbers), (sides[0], sides[1])


def sides_of(pairs: Mapping[str, Pair]) -> tuple[list[_native.Column], list[_native.Column]]:
    """Return the reference's columns, and the current table's in the same order."""
    return [one for one, _ in pairs.values()], [other for _, other in pairs.values()]


def count_row_kinds(column: _native.Column, threads: int | None) -> _native.Parts | Parts:
    """Count the missing, NaN and infinite rows of a column of any type."""
    if column.kind in NUMERIC:
        return _native.find_range(column, threads)[1]
    return Parts(len(column), missing=column.missing)


def name_kind(dtypes: Sequence[str], reason: str) -> str:
    """Name the kind of a column that is not computed: by the first type that a statistic takes, else by its types."""
    for dtype in dtypes if not reason else ():
        if dtype in {"string", "bool"}:
            return CATEGORICAL["string"]
        if instants.is_time(dtype):
            return NUMERIC["temporal"]
        if dtype.startswith(("int", "uint", "float", "decimal")):
            return NUMERIC["number"]
    return " and ".join(dict.fromkeys(dtypes))
