"""Arrays and tables of any library as columns that Rust can read.

Arrow data come in without a copy, NumPy data too where they lie contiguous, aligned and in the machine's byte order (other
layouts, float16 and strings are copied once). Nothing here computes; see `statistics` and `comparison`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.errors import InputError, InputTypeError

_PLAIN_KINDS = "iuf"
_LARGEST_NUMBER_BYTES = 8
_HALF_BYTES = 2


def read_array(name: str, values: object) -> _native.Column:
    """Read anything one-dimensional.

    Args:
        name: How errors call it.
        values: A NumPy array (also masked), a pandas or polars series, an Arrow array, or a sequence.

    Returns:
        The column; it borrows the memory where it can.

    Raises:
        InputError: `values` is not one-dimensional.
        InputTypeError: the values have a type that no statistic takes.
    """
    if isinstance(values, np.ndarray):
        return _read_numpy(name, values)
    if _is_pandas(values):
        return _read_pandas(name, values)
    if hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__"):
        column = _native.read_array(name, values)
        if column.kind == "unsupported":
            raise InputTypeError(f"{name!r} must hold numbers, times or strings; got {column.dtype}")
        return column
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
        raise InputTypeError(f"{name!r} must be one-dimensional; got {type(values).__name__}")
    return _read_numpy(name, np.asarray(values))


def read_numbers(name: str, values: object) -> _native.Column:
    """Read anything one-dimensional that holds numbers, booleans or times; else raise InputTypeError."""
    column = read_array(name, values)
    if column.kind == "string":
        raise InputTypeError(f"{name!r} must hold numbers; got {column.dtype}")
    return column


def read_table(name: str, table: Any) -> dict[str, _native.Column]:
    """Read a table: polars, pandas, Arrow, a mapping of arrays, or a 2-D NumPy array (columns "0", "1", ...).

    Raises:
        InputTypeError: `table` is none of these.
        InputError: a name occurs twice, or columns differ in length.
    """
    if isinstance(table, np.ndarray):
        if table.ndim != 2:
            raise InputError(f"`{name}` must be a table; got an array of {table.ndim} dimensions")
        columns = [_read_numpy(str(index), table[:, index]) for index in range(table.shape[1])]
    elif isinstance(table, Mapping):
        columns = [read_array(str(key), values) for key, values in table.items()]
    elif _is_pandas(table) and hasattr(table, "columns"):
        columns = [_read_pandas(str(key), table.iloc[:, index]) for index, key in enumerate(table.columns)]
    elif hasattr(table, "__arrow_c_stream__") or hasattr(table, "__arrow_c_array__"):
        columns = _native.read_table(table)
    else:
        raise InputTypeError(
            f"`{name}` must be a polars, pandas or Arrow table, a mapping of arrays or a 2-D array; "
            f"got {type(table).__name__}"
        )
    return name_columns(name, columns)


def name_columns(table: str, columns: list[_native.Column]) -> dict[str, _native.Column]:
    """Put columns under their names; raise InputError if two are named alike or they differ in length."""
    named: dict[str, _native.Column] = {}
    for column in columns:
        if column.name in named:
            raise InputError(f"`{table}` must not name two columns alike; got {column.name!r} twice")
        if named and len(column) != len(next(iter(named.values()))):
            expected = len(next(iter(named.values())))
            raise InputError(
                f"`{table}` must have columns of one length; got {len(column)} rows in {column.name!r}, "
                f"{expected} before"
            )
        named[column.name] = column
    return named


def _is_pandas(values: object) -> bool:
    # By the name of the module, so that pandas is never imported here.
    return type(values).__module__.partition(".")[0] == "pandas"


def _read_pandas(name: str, series: Any) -> _native.Column:
    if isinstance(series.dtype, np.dtype):
        return _read_numpy(name, series.to_numpy())
    try:
        return read_array(name, _ArrowOnly(series))
    except ImportError:
        # The Arrow interface of pandas needs pyarrow; without it its own types come as Python objects.
        return _read_numpy(name, series.to_numpy(dtype=object))


class _ArrowOnly:
    """Show of a pandas series its Arrow interface alone."""

    def __init__(self, series: Any) -> None:
        self._series = series

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._series.__arrow_c_stream__(requested_schema)


def _read_numpy(name: str, array: npt.NDArray[Any]) -> _native.Column:
    if array.ndim != 1:
        raise InputError(f"{name!r} must be one-dimensional; got {array.ndim} dimensions")
    missing = None
    if isinstance(array, np.ma.MaskedArray):
        missing = ~np.ma.getmaskarray(array)
        array = array.data
    kind = array.dtype.kind
    if kind in _PLAIN_KINDS and array.dtype.itemsize <= _LARGEST_NUMBER_BYTES:
        return _read_plain(name, array, array.dtype.name, missing)
    if kind in "mM":
        there = ~np.isnat(array)
        return _read_plain(
            name, array.view(_like_int64(array)), _time_name(array.dtype), _both(there, missing)
        )
    if kind == "b":
        return _native.Column.from_bits(
            name, _pack(array), len(array), None if missing is None else _pack(missing)
        )
    if kind in "OUT":
        return _read_objects(name, array.tolist(), missing)
    raise InputTypeError(f"{name!r} must hold numbers, times or strings; got {array.dtype}")


def _like_int64(array: npt.NDArray[Any]) -> np.dtype[Any]:
    return np.dtype("i8").newbyteorder(array.dtype.byteorder)


def _time_name(dtype: np.dtype[Any]) -> str:
    unit = np.datetime_data(dtype)[0]
    if dtype.kind == "m":
        return f"duration[{unit}]"
    return "date[D]" if unit == "D" else f"datetime[{unit}]"


def _both(there: npt.NDArray[np.bool_], also: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_] | None:
    there = there if also is None else there & also
    return None if there.all() else there


def _pack(bits: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    return np.packbits(bits, bitorder="little")


def _read_plain(
    name: str, array: npt.NDArray[Any], dtype: str, there: npt.NDArray[np.bool_] | None
) -> _native.Column:
    is_half = array.dtype.kind == "f" and array.dtype.itemsize == _HALF_BYTES
    target = np.dtype("f4") if is_half else array.dtype.newbyteorder("=")
    plain = np.require(array, dtype=target, requirements=["C", "A"])
    packed = None if there is None else _pack(there)
    return _native.Column.from_buffer(name, dtype, target.str[1:], plain, packed)


def is_missing(item: object) -> bool:
    """Say whether an object of a column stands for no value."""
    # NaN differs from itself; pandas' NA refuses to say.
    return item is None or type(item).__name__ in {"NAType", "NaTType"} or bool(item != item)


def _read_objects(name: str, items: list[Any], there: npt.NDArray[np.bool_] | None) -> _native.Column:
    present = np.array([not is_missing(item) for item in items], dtype=np.bool_)
    present = present if there is None else present & there
    kept = [item for item, keep in zip(items, present, strict=True) if keep]
    types = {type(item) for item in kept}
    if types <= {bool, np.bool_} and types:
        values = np.array([bool(item) if keep else False for item, keep in zip(items, present, strict=True)])
        return _native.Column.from_bits(name, _pack(values), len(items), _pack(present))
    if types and all(issubclass(kind, int | float | np.number) for kind in types):
        numbers = np.array([item if keep else 0 for item, keep in zip(items, present, strict=True)])
        if numbers.dtype.kind in _PLAIN_KINDS:
            return _read_plain(name, numbers, numbers.dtype.name, present)
    if all(issubclass(kind, str) for kind in types):
        encoded = [item.encode() if keep else b"" for item, keep in zip(items, present, strict=True)]
        offsets = np.zeros(len(items) + 1, dtype=np.int64)
        np.cumsum([len(text) for text in encoded], out=offsets[1:])
        data = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        return _native.Column.from_strings(name, offsets, data, _pack(present))
    names = ", ".join(sorted(kind.__name__ for kind in types))
    raise InputTypeError(f"{name!r} must hold numbers alone or strings alone; got objects of type {names}")
