"""Units of times: what can be compared, and the same instants in one unit.

A type is written "date[D]", "datetime[us]", "datetime[ns, UTC]" (aware of a zone, whichever it is), "time[s]" or
"duration[ms]"; its values count the unit since 1970, since midnight, or from nothing.
"""

from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from tidewheel import _native

#: Length of each unit in attoseconds.
_LENGTHS = {
    "D": 86_400 * 10**18,
    "h": 3_600 * 10**18,
    "m": 60 * 10**18,
    "s": 10**18,
    "ms": 10**15,
    "us": 10**12,
    "ns": 10**9,
    "ps": 10**6,
    "fs": 10**3,
    "as": 1,
}
_MOST = np.iinfo(np.int64).max


class Typed(Protocol):
    """What has a type: a column, or what a profile knows of one."""

    @property
    def kind(self) -> str:
        """What statistics make of it."""

    @property
    def dtype(self) -> str:
        """The type of the values."""


_Some = TypeVar("_Some", bound=Typed)


def from_numpy(array: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], str]:
    """Return the counts of an array of NumPy's times, and the name of their type; multiples of a unit become the unit."""
    unit, multiple = np.datetime_data(array.dtype)
    kind = array.dtype.kind
    longer = {"Y": "D", "M": "D", "W": "D"} if kind == "M" else {"Y": "M", "W": "D"}
    base = longer.get(unit, unit)
    if (base, multiple) != (unit, 1) and unit != "generic":
        array = array.astype(f"{kind}8[{base}]")
    counts = array.view(np.dtype("i8").newbyteorder(array.dtype.byteorder))
    if kind == "m":
        return counts, f"duration[{base}]"
    return counts, f"date[{base}]" if base == "D" else f"datetime[{base}]"


def are_comparable(one: str, other: str) -> bool:
    """Say whether two types of times count the same thing, in whatever units; naive and aware times do not."""
    return one == other or (_family(one) == _family(other) and _family(one) is not None)


def _family(dtype: str) -> str | None:
    kind, unit, zone = _parse(dtype)
    if unit not in _LENGTHS:
        return None
    # A date is the midnight it begins with.
    return {"date": "datetime"}.get(kind, kind) + zone


def _parse(dtype: str) -> tuple[str, str, str]:
    kind, _, rest = dtype.rstrip("]").partition("[")
    unit, _, zone = rest.partition(", ")
    return kind, unit, zone


def is_time(dtype: str) -> bool:
    """Say whether a type is one of times."""
    return _parse(dtype)[0] in {"date", "datetime", "time", "duration"}


def is_finer(one: str, other: str) -> bool:
    """Say whether one of two comparable types has the finer unit."""
    return one != other and _LENGTHS[_parse(one)[1]] < _LENGTHS[_parse(other)[1]]


def find_factor(one: str, other: str) -> int:
    """Say how many units of another comparable type, whose unit is not the coarser one, a unit of the first is."""
    return _LENGTHS[_parse(one)[1]] // _LENGTHS[_parse(other)[1]]


def explain(one: str, other: str) -> str:
    """Say why two types of times cannot be compared."""
    zones = {_parse(dtype)[2] for dtype in (one, other)}
    if len(zones) == 2 and {_parse(dtype)[0] for dtype in (one, other)} <= {"date", "datetime"}:
        return (
            f"times with a zone and times without one cannot be compared; got {one} and {other}: "
            "give both a zone, or neither"
        )
    return f"times must be of one kind in both tables; got {one} and {other}"


def align(one: _native.Column, other: _native.Column) -> tuple[_native.Column, _native.Column]:
    """Bring two columns of comparable times to the finer one's unit; all other columns stay as they are."""
    if one.dtype == other.dtype or not one.kind == other.kind == "temporal":
        return one, other
    lengths = [_LENGTHS[_parse(column.dtype)[1]] for column in (one, other)]
    if lengths[0] == lengths[1]:
        return one, other
    finer, coarser = (one, other) if lengths[0] < lengths[1] else (other, one)
    # Beyond a factor of 2^63 every time but 1970 lies at an end of the range, as it should.
    scaled = coarser.scaled(finer.dtype, min(max(lengths) // min(lengths), _MOST))
    return (finer, scaled) if finer is one else (scaled, finer)


def convert(column: _native.Column, dtype: str) -> _native.Column:
    """Count comparable times in the unit of another type; what lies between two of its units counts as the earlier one."""
    if column.kind != "temporal" or column.dtype == dtype:
        return column
    had, wanted = (_LENGTHS[_parse(name)[1]] for name in (column.dtype, dtype))
    if had >= wanted:
        return column.scaled(dtype, min(had // wanted, _MOST))
    return column.scaled(dtype, -min(wanted // had, _MOST))
