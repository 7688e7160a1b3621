"""Some rows of a table, taken in the library that holds it: all types stay what they are.

Only wanted columns are taken, and whole columns at a time: no row is looked at in Python, but for lists of objects.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewheel.drift.reading import series
from tidewheel.drift.reading.series import column_name
from tidewheel.errors import MissingExtraError

#: Numbers of rows.
Rows = npt.NDArray[np.int64]
#: Takes rows of a table, in the order of their numbers given.
Take = Callable[[Rows], Any]


def hold(table: Any) -> Any:
    """Make a table whose rows can be taken: a stream of Arrow data is read, sequences become arrays; others are themselves.

    Raises:
        MissingExtraError: Arrow data of another library, and neither pyarrow nor polars is installed to take rows of it.
    """
    if isinstance(table, Mapping):
        return {key: _hold_values(values) for key, values in table.items()}
    library = series.library(table)
    if library == "pyarrow" and hasattr(table, "read_all"):
        return table.read_all()
    if library in {"polars", "pandas", "pyarrow"} or not _is_arrow(table):
        return table
    return _read_arrow(table, "table", "DataFrame")


def _hold_values(values: Any) -> Any:
    if isinstance(values, np.ndarray) or series.library(values) in {"polars", "pandas", "pyarrow"}:
        return values
    if _is_arrow(values):
        return _read_arrow(values, "chunked_array", "Series")
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
        return values  # Refused where the table is read.
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.ndim == 1 and array.dtype.kind not in "OUS":
        return array
    # As objects, since NumPy writes numbers among strings as strings.
    return np.fromiter(values, dtype=object, count=len(values))


def _is_arrow(values: Any) -> bool:
    return hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__")


def _read_arrow(values: Any, in_pyarrow: str, in_polars: str) -> Any:
    # Both are optional: the base install has NumPy alone.
    try:
        import pyarrow as pa
    except ImportError:
        try:
            import polars as pl
        except ImportError as error:
            raise MissingExtraError(
                f"`by` needs pyarrow or polars to take rows of {type(values).__name__}: install tidewheel[data]"
            ) from error
        return getattr(pl, in_polars)(values)
    return getattr(pa, in_pyarrow)(values)


def select(source: Any, names: Sequence[str]) -> Take:
    """Give what takes rows of some columns of a table that was read; the result is a table of the same kind, or a mapping.

    Args:
        source: The table, as `hold` gives it; of a polars lazy frame its rows.
        names: Names of its columns.
    """
    if series.library(source) == "pandas":
        places = [column_name(key) for key in source.columns]
        narrow = source.iloc[:, [places.index(name) for name in names]]
        return lambda rows: narrow.take(rows)
    held = _hold_columns(source, names)
    return lambda rows: {name: _take(values, rows) for name, values in held.items()}


def _hold_columns(source: Any, names: Sequence[str]) -> dict[str, Any]:
    if isinstance(source, Mapping):
        found = {column_name(key): values for key, values in source.items()}
        return {name: _plain(found[name]) for name in names}
    if isinstance(source, np.ndarray):
        return {name: source[:, int(name)] for name in names}
    if series.library(source) == "polars":
        # Rows of a whole frame are taken by the threads of polars, which a forked process does not have, and waits for.
        keys = {column_name(key): key for key in source.columns}
        return {name: source.get_column(keys[name]) for name in names}
    places = [column_name(key) for key in source.schema.names]
    return {name: _plain(source.column(places.index(name))) for name in names}


def _plain(values: Any) -> Any:
    """Write an array of pyarrow in a type of which it can take rows: it cannot of views and of runs."""
    if series.library(values) != "pyarrow":
        return values
    kind = str(values.type)
    if kind == "string_view":
        return values.cast("large_string")
    if kind.startswith("run_end_encoded"):
        # Imported only where values are pyarrow's own.
        import pyarrow.compute as pc

        return pc.run_end_decode(values)
    return values


def _take(values: Any, rows: Rows) -> Any:
    if isinstance(values, np.ndarray) or series.library(values) == "polars":
        return values[rows]
    return values.take(rows)
