"""Python objects as columns: what lists hold, and NumPy and pandas columns of type object."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift.reading import arrays

Mask = npt.NDArray[np.bool_]


def read_objects(
    name: str, items: list[Any], there: Mask | None = None, *, nan_is_missing: bool = False
) -> _native.Column:
    """Read objects of one kind: numbers, decimals, booleans, strings, dates, times; None is missing, and NaN but in numbers.

    Args:
        name: The column's name.
        items: One object per row.
        there: False for rows that are missing whatever they hold; None if there are none.
        nan_is_missing: Count NaN among numbers as missing too, as pandas does.

    Returns:
        The column; without a value it has no type, and with objects of another kind, or of several, none that is supported.
    """
    present = np.array([not is_missing(item) for item in items], dtype=np.bool_)
    present = present if there is None else present & there
    if not nan_is_missing and all(map(_is_number, items, present.tolist())):
        # As they would count in an array of floats: whether a list has None too must not matter.
        nan = np.array([isinstance(item, float | np.floating) for item in items], dtype=np.bool_)
        present |= nan if there is None else nan & there
    kinds = {type(item) for item, keep in zip(items, present.tolist(), strict=True) if keep}
    if not kinds:
        return _native.Column.null(name, len(items))
    for fits, read in _READERS:
        if all(fits(kind) for kind in kinds):
            column = read(name, items, present)
            if column is not None:
                return column
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    reason = f"it must hold numbers alone, strings alone or times alone; got objects of type {names}"
    missing = len(items) - int(present.sum())
    return _native.Column.unsupported(name, "object", len(items), missing, reason)


def is_missing(item: object) -> bool:
    """Say whether an object of a column stands for no value."""
    if item is None or type(item).__name__ in {"NAType", "NaTType"}:
        return True
    try:
        # NaN differs from itself; arrays say so of each of their values, and are there.
        differs = item != item
    except ArithmeticError:
        # A signalling NaN among decimals.
        return True
    return isinstance(differs, bool | np.bool_) and bool(differs)


def _is_number(item: object, present: bool) -> bool:
    return not present or (_is_plain(type(item)) and not isinstance(item, bool))


def _is_plain(kind: type) -> bool:
    # NumPy's spans of time are integers by their class.
    return issubclass(kind, int | float | np.integer | np.floating) and not issubclass(kind, np.timedelta64)


def _fill(items: list[Any], present: Mask, instead: Any) -> list[Any]:
    return [item if keep else instead for item, keep in zip(items, present.tolist(), strict=True)]


def _read_booleans(name: str, items: list[Any], present: Mask) -> _native.Column:
    values = np.array([bool(item) for item in _fill(items, present, False)])
    return _native.Column.from_bits(name, arrays.pack(values), len(items), arrays.pack(present))


def _read_numbers(name: str, items: list[Any], present: Mask) -> _native.Column | None:
    filled = _fill(items, present, 0)
    numbers = np.array(filled)
    if numbers.dtype.kind not in arrays.PLAIN_KINDS or numbers.dtype.itemsize > arrays.LARGEST_NUMBER_BYTES:
        # Whole numbers beyond 64 bits.
        try:
            numbers = np.array([float(item) for item in filled])
        except OverflowError:
            return None
    return arrays.read_plain(name, numbers, numbers.dtype.name, present)


def _read_decimals(name: str, items: list[Any], present: Mask) -> _native.Column | None:
    try:
        numbers = np.array([float(item) for item in _fill(items, present, 0)])
    except OverflowError:
        # A whole number beside decimals that is larger than any float.
        return None
    return arrays.read_plain(name, numbers, "decimal", present)


def _read_strings(name: str, items: list[Any], present: Mask) -> _native.Column:
    # Half of a pair of surrogates is no UTF-8; as the three bytes it would have it is a name like others.
    encoded = [item.encode(errors="surrogatepass") for item in _fill(items, present, "")]
    offsets = np.zeros(len(items) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    data = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    return _native.Column.from_strings(name, offsets, data, arrays.pack(present))


def _read_datetimes(name: str, items: list[Any], present: Mask) -> _native.Column | None:
    midnight = dt.time()
    times = [
        item if isinstance(item, dt.datetime) else dt.datetime.combine(item, midnight)
        for item, keep in zip(items, present.tolist(), strict=True)
        if keep
    ]
    aware = {time.tzinfo is not None for time in times}
    if len(aware) > 1:
        return None
    if aware == {True}:
        times = [time.astimezone(dt.UTC).replace(tzinfo=None) for time in times]
    dtype = "datetime[us, UTC]" if aware == {True} else "datetime[us]"
    return _read_counts(name, np.array(times, dtype="M8[us]"), present, dtype)


def _read_dates(name: str, items: list[Any], present: Mask) -> _native.Column:
    dates = [item for item, keep in zip(items, present.tolist(), strict=True) if keep]
    return _read_counts(name, np.array(dates, dtype="M8[D]"), present, "date[D]")


def _read_clocks(name: str, items: list[Any], present: Mask) -> _native.Column:
    day = dt.datetime(1970, 1, 1)
    clocks = [
        dt.datetime.combine(day, item.replace(tzinfo=None))
        for item, keep in zip(items, present.tolist(), strict=True)
        if keep
    ]
    return _read_counts(name, np.array(clocks, dtype="M8[us]"), present, "time[us]")


def _read_durations(name: str, items: list[Any], present: Mask) -> _native.Column:
    durations = [item for item, keep in zip(items, present.tolist(), strict=True) if keep]
    return _read_counts(name, np.array(durations, dtype="m8[us]"), present, "duration[us]")


def _read_scalars(name: str, items: list[Any], present: Mask) -> _native.Column:
    """Read NumPy's own times, which have units of their own."""
    first = next(item for item, keep in zip(items, present.tolist(), strict=True) if keep)
    return arrays.read(name, np.array(_fill(items, present, type(first)("NaT"))))


def _read_counts(name: str, times: npt.NDArray[Any], present: Mask, dtype: str) -> _native.Column:
    counts = np.zeros(len(present), dtype=np.int64)
    counts[present] = times.view(np.int64)
    return arrays.read_plain(name, counts, dtype, present)


def _read_periods(name: str, items: list[Any], present: Mask) -> _native.Column:
    # A period of pandas is where it begins, so that quarters and months have one line of time.
    starts = [
        item.start_time.to_datetime64() if keep else np.datetime64("NaT")
        for item, keep in zip(items, present.tolist(), strict=True)
    ]
    return arrays.read(name, np.array(starts, dtype="M8[ns]"))


def _read_intervals(name: str, items: list[Any], present: Mask) -> _native.Column:
    return _read_strings(name, [str(item) for item in _fill(items, present, "")], present)


def _is_subclass(*kinds: type) -> Callable[[type], bool]:
    return lambda kind: issubclass(kind, kinds)


def _is_named(name: str) -> Callable[[type], bool]:
    return lambda kind: kind.__name__ == name and kind.__module__.partition(".")[0] == "pandas"


_Reader = Callable[[str, list[Any], Mask], _native.Column | None]

#: The first kind that all objects are of; a kind that is a special case of another comes before it.
_READERS: tuple[tuple[Callable[[type], bool], _Reader], ...] = (
    (_is_subclass(bool, np.bool_), _read_booleans),
    (_is_subclass(np.timedelta64), _read_scalars),
    (_is_subclass(np.datetime64), _read_scalars),
    (_is_plain, _read_numbers),
    (_is_subclass(Decimal, int, float), _read_decimals),
    (_is_subclass(str), _read_strings),
    (lambda kind: issubclass(kind, dt.date) and not issubclass(kind, dt.datetime), _read_dates),
    (_is_subclass(dt.date), _read_datetimes),
    (_is_subclass(dt.time), _read_clocks),
    (_is_subclass(dt.timedelta), _read_durations),
    (_is_named("Period"), _read_periods),
    (_is_named("Interval"), _read_intervals),
)
