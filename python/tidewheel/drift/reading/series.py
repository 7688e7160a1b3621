"""Columns of pandas, polars and pyarrow, told by the names of their modules: none of these is imported here."""

from typing import Any

import numpy as np

from tidewheel import _native
from tidewheel.drift.reading import arrays, objects

#: Types of polars that hold no plain values; exporting some of them ends the process.
_NESTED = {"List", "Array", "Struct"}
_OPAQUE = {"Object", "Unknown"}


def library(values: object) -> str:
    """Name the library an object is of."""
    return type(values).__module__.partition(".")[0]


def column_name(key: object) -> str:
    """Name a column by its key in a table; half a pair of surrogates is written as an escape."""
    return str(key).encode(errors="backslashreplace").decode()


def read_pandas(name: str, values: Any) -> _native.Column:
    """Read a series, an index or an extension array of pandas; NaN is missing there."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        return read_numpy(name, np.asarray(values), nan_is_missing=True)
    kind = type(dtype).__name__
    if kind == "SparseDtype":
        return read_numpy(name, np.asarray(values), nan_is_missing=True)
    if kind == "CategoricalDtype":
        return _read_categories(name, values)
    if kind in {"PeriodDtype", "IntervalDtype"}:
        return objects.read_objects(name, list(values), nan_is_missing=True)
    return _read_exported(name, values)


def _read_categories(name: str, values: Any) -> _native.Column:
    held = getattr(values, "cat", values)
    categories = held.categories
    if any(not isinstance(word, str) for word in categories):
        words = [_word(word) for word in categories]
        if len(set(words)) < len(words) or len({type(word) for word in categories}) > 1:
            kinds = ", ".join(sorted({type(word).__name__ for word in categories}))
            missing = int((np.asarray(held.codes) < 0).sum())
            reason = f"its categories must be of one type; got {kinds}"
            return _native.Column.unsupported(name, "category", len(values), missing, reason)
        values = held.rename_categories(words)
    return _read_exported(name, values)


def _word(word: Any) -> str:
    """Write a category as a declared column's numbers are written, so that both have one name."""
    if isinstance(word, bool | np.bool_):
        return str(word).lower()
    if isinstance(word, float | np.floating) and float(word).is_integer():
        return str(int(word))
    if hasattr(word, "isoformat"):
        return str(word).removesuffix(" 00:00:00")
    return str(word)


def _read_exported(name: str, values: Any) -> _native.Column:
    try:
        column = _native.read_array(name, _ArrowOnly(values))
    except (ImportError, ValueError, TypeError, NotImplementedError, AttributeError):
        # The Arrow interface of pandas needs pyarrow, an index has none, and pyarrow does not take every type.
        return objects.read_objects(name, list(values), nan_is_missing=True)
    if column.kind == "unsupported":
        return objects.read_objects(name, list(values), nan_is_missing=True)
    return column


class _ArrowOnly:
    """Show of a series or an index of pandas its Arrow interface alone."""

    def __init__(self, values: Any) -> None:
        self._values = values

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        values = self._values
        if not hasattr(values, "__arrow_c_stream__"):
            values = values.to_series()
        return values.__arrow_c_stream__(requested_schema)


def read_numpy(name: str, array: Any, *, nan_is_missing: bool = False) -> _native.Column:
    """Read a NumPy array of any type."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "OUT":
        return arrays.read(name, array, nan_is_missing=nan_is_missing)
    masked = arrays.read_mask(array)
    there = None if masked is None else ~masked
    items = array.tolist() if masked is None else array.data.tolist()
    return objects.read_objects(name, items, there, nan_is_missing=nan_is_missing)


def read_polars(name: str, series: Any) -> _native.Column:
    """Read a polars series."""
    kind = series.dtype.base_type().__name__
    if kind in _NESTED | _OPAQUE:
        dtype = "nested" if kind in _NESTED else kind.lower()
        reason = f"the type {series.dtype} is not supported"
        return _native.Column.unsupported(name, dtype, len(series), int(series.null_count()), reason)
    # Polars ends the process when it exports a name with a zero byte.
    return _native.read_array(name, series.alias("") if "\0" in series.name else series)


def can_export(name: str, dtype: Any) -> bool:
    """Say whether a column of a polars table may leave it together with others."""
    return "\0" not in name and dtype.base_type().__name__ not in _NESTED | _OPAQUE


def is_cut_short(schema: Any) -> bool:
    """Say whether a stream tells less than its schema of pyarrow.

    Of extension types it says how they are stored, of a name what stands before a zero byte.
    """
    return any(hasattr(field.type, "extension_name") or "\0" in field.name for field in schema)


def read_pyarrow(name: str, values: Any) -> _native.Column:
    """Read an array of pyarrow; extension types are read as what they are stored as, where that is what they mean."""
    extension = getattr(values.type, "extension_name", "")
    if extension == "arrow.bool8":
        values = values.cast("bool")
    if extension.startswith("pandas."):
        # A period is stored as its number among periods of its own length: the numbers of two columns do not compare.
        reason = f"the extension type {extension} is not supported; convert it to times"
        return _native.Column.unsupported(name, extension, len(values), int(values.null_count), reason)
    return _native.read_array(name, values)
