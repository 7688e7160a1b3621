"""The units (days, users) of both tables, read and put in time order, and counts per unit in that order."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift.reading import inputs
from tidewheel.drift.table import design_effect
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

#: ISO dates, months, weeks and quarters, with or without a time of day, are in time order where they are in that of text.
_DATE = re.compile(r"\d{4}-(\d\d|W\d\d|Q[1-4])(-\d\d?([T ].*)?)?")
_BY_NAME = ("value", "appearance")

Table = npt.NDArray[np.int64]
Tables = tuple[Table, Table]
Pair = tuple[_native.Column, _native.Column]
#: As `compare` takes it: None, "value", "appearance", or the units themselves in order.
Order = str | Sequence[Any] | None


@dataclass(frozen=True, eq=False, slots=True)
class _Side:
    """The units of one table, and their codes (which are in order of first appearance) in time order."""

    units: _native.Units
    order: npt.NDArray[np.int64]

    def sort(self, counts: Table) -> Table:
        """Shape counts into a row per unit, in time order; a copy only where that is not the order they have."""
        table = counts.reshape(self.units.count, -1)
        return table if (np.diff(self.order) > 0).all() else table[self.order]

    def find_places(self) -> Table:
        """Give each row its unit's place in time order."""
        return np.argsort(self.order)[read_codes(self.units)]


@dataclass(frozen=True, eq=False, slots=True)
class OrderedUnits:
    """The units of both tables."""

    reference: _Side
    current: _Side

    @classmethod
    def read(cls, name: str, pair: Pair, order: Order) -> Self:
        """Read the units and put them in order.

        Without a word, or with "value", units are ordered by their values: numbers, times, and strings that are all numbers
        or all ISO dates. Other strings stay in order of first appearance, or, with "value", go by their letters. Missing
        rows form one unit, the last. A sequence may name more units than there are.

        Raises:
            InputError: fewer than two units in the reference, or a sequence that lacks a unit or names one twice.
            InputTypeError: units of a type that no statistic takes, or a sequence of another type than the units have.
            UnknownNameError: another word than "value" or "appearance".
        """
        if isinstance(order, str) and order not in _BY_NAME:
            raise UnknownNameError(
                f"`unit_order` must be one of {', '.join(map(repr, _BY_NAME))} or a sequence of units; got {order!r}"
            )
        for column in pair:
            if column.kind == "unsupported":
                raise InputTypeError(
                    f"unit {name!r} must hold values of one type in both tables: {column.reason}"
                )
        units = [_native.encode_units(column) for column in pair]
        if units[0].count < design_effect.UNITS_NEEDED:
            raise InputError(
                f"unit {name!r} must have at least {design_effect.UNITS_NEEDED} values in `reference`; "
                f"got {units[0].count}"
            )
        if isinstance(order, str) and order == "appearance":
            return cls(*(_Side(one, np.arange(one.count)) for one in units))
        values = [_values(column, one) for column, one in zip(pair, units, strict=True)]
        if order is None or isinstance(order, str):
            keys = _keys(values, by_letters=order == "value")
        else:
            keys = _places(name, pair[0], values, order)
        return cls(
            *(_Side(one, np.argsort(key, kind="stable")) for one, key in zip(units, keys, strict=True))
        )

    @property
    def counts(self) -> tuple[int, int]:
        """How many units there are on both sides."""
        return self.reference.units.count, self.current.units.count

    @property
    def places(self) -> Tables:
        """The place in time order of each row's unit."""
        one, other = (side.find_places() for side in (self.reference, self.current))
        return one, other

    def tables(self, pair: Pair, count: Callable[[_native.Column, _native.Units], bytes]) -> Tables:
        """Count rows per unit and class, units in time order."""
        one, other = (
            side.sort(np.frombuffer(count(column, side.units), dtype=np.int64))
            for column, side in zip(pair, (self.reference, self.current), strict=True)
        )
        return one, other


def read_codes(units: _native.Units) -> Table:
    """Read the unit of each row, numbered in order of first appearance."""
    rows = inputs.read_array("rows", np.arange(len(units), dtype=np.int64))
    return np.frombuffer(_native.gather_units(units, rows), dtype=np.uint32).astype(np.int64)


_Values = npt.NDArray[np.float64] | list[str | None]


def _values(column: _native.Column, units: _native.Units) -> _Values:
    """Read the value of each unit, in order of first appearance; NaN or None for missing rows."""
    # Codes count up as units appear: a unit's first row is where the largest code so far grows.
    reached = np.maximum.accumulate(read_codes(units))
    first = inputs.read_array("rows", np.flatnonzero(np.diff(reached, prepend=-1)))
    if column.kind in ("string", "boolean"):
        return _native.gather_strings(column, first)
    if column.kind == "null":
        return np.full(units.count, np.nan)
    numbers, there = _native.gather_numbers(column, first)
    found = np.frombuffer(numbers, dtype=np.float64)
    return np.where(np.frombuffer(there, dtype=np.uint8) > 0, found, np.nan)


def _keys(values: Sequence[_Values], *, by_letters: bool) -> list[npt.NDArray[Any]]:
    if any(isinstance(one, np.ndarray) for one in values):
        return [np.asarray(one) if isinstance(one, np.ndarray) else np.arange(len(one)) for one in values]
    names = [[text for text in one if text is not None] for one in values]
    flat = [text for one in names for text in one]
    numbers = _parse(flat)
    if numbers is not None:
        ranks = dict(zip(flat, numbers, strict=True))
    elif by_letters or all(map(_DATE.fullmatch, flat)):
        ranks = {text: float(rank) for rank, text in enumerate(sorted(set(flat)))}
    else:
        return [np.arange(len(one)) for one in values]
    return [
        np.array([np.inf if text is None else ranks[text] for text in one], dtype=np.float64)
        for one in values
    ]


def _parse(texts: Sequence[str]) -> list[float] | None:
    try:
        return [float(text) for text in texts]
    except ValueError:
        return None


def _places(
    name: str, column: _native.Column, values: Sequence[_Values], order: Sequence[Any]
) -> list[npt.NDArray[Any]]:
    """Find each unit's place in a sequence; missing rows come last."""
    listed = _read_sequence(name, column, order)
    places: dict[Any, int] = {}
    for place, value in enumerate(listed):
        if places.setdefault(value, place) != place:
            raise InputError(
                f"`unit_order` must name each unit once; got {order[place]!r} at index {places[value]} and {place}"
            )
    found = []
    for side, one in zip(("reference", "current"), values, strict=True):
        items = one.tolist() if isinstance(one, np.ndarray) else one
        gone = [item for item in items if not _is_missing(item) and item not in places]
        if gone:
            raise InputError(
                f"`unit_order` must name every unit of {name!r}; {len(gone)} of `{side}` are not in it"
                f"{', the first being ' + repr(gone[0]) if isinstance(gone[0], str) else ''}"
            )
        found.append(np.array([len(places) if _is_missing(item) else places[item] for item in items]))
    return found


def _is_missing(item: Any) -> bool:
    return item is None or item != item


def _read_sequence(name: str, column: _native.Column, order: Sequence[Any]) -> list[Any]:
    """Read a sequence as the units' own type: floats for numbers and times, text else."""
    values: Any = order
    try:
        if column.kind == "temporal" and not hasattr(order, "__arrow_c_stream__"):
            # "date[D]", "datetime[us]", "duration[ms]"
            step = column.dtype.partition("[")[2].rstrip("]").partition(",")[0]
            kind = "timedelta64" if column.dtype.startswith("duration") else "datetime64"
            return [float(one) for one in np.array(list(order), dtype=f"{kind}[{step}]").astype(np.int64)]
        listed = inputs.read_array("unit_order", values)
    except (TypeError, ValueError) as error:
        raise InputTypeError(
            f"`unit_order` must hold units of {name!r}, which are {column.dtype}; {error}"
        ) from error
    rows = inputs.read_array("rows", np.arange(len(listed), dtype=np.int64))
    text = column.kind in ("string", "boolean")
    if (listed.kind in ("string", "boolean")) != text or (listed.kind == "temporal") != (
        column.kind == "temporal"
    ):
        raise InputTypeError(
            f"`unit_order` must hold units of {name!r}, which are {column.dtype}; got {listed.dtype}"
        )
    if text:
        return list(_native.gather_strings(listed, rows))
    return list(np.frombuffer(_native.gather_numbers(listed, rows)[0], dtype=np.float64).tolist())
