"""Where rows come from: the function named in the project file; `tables` has files named on the command line.

Whether columns and values are right is seen to in `contract`; versions that Tidewheel wrote itself are in `versions`.
"""

from typing import Any

import polars as pl

from tidewheel.errors import InputError, InputTypeError
from tidewheel.project.files import load_reference
from tidewheel.project.settings import Data


def read_source(data: Data) -> pl.DataFrame:
    """Call the function named by `[data].source` and return its rows.

    Raises:
        UnknownNameError: the reference names no function.
        InputTypeError: the function returned something else than a table of polars, pandas or Arrow.
        InputError: the function returned no row, or a table that polars cannot read.
    """
    return _with_rows(_as_polars(load_reference(data.source)(), f"`{data.source}`"), f"`{data.source}`")


def _as_polars(table: Any, place: str) -> pl.DataFrame:
    """Take a table of any of the libraries that people have tables in; a pandas index is no column."""
    if isinstance(table, pl.LazyFrame):
        return table.collect()
    if isinstance(table, pl.DataFrame):
        return table
    library = type(table).__module__.partition(".")[0]
    if library not in ("pandas", "pyarrow") or not hasattr(table, "columns"):
        raise InputTypeError(
            f"{place} must return a table of polars, pandas or Arrow; got {type(table).__name__}"
        )
    try:
        return pl.from_pandas(table) if library == "pandas" else pl.DataFrame(pl.from_arrow(table))
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise InputError(f"{place} must return a table that polars can read: {error}") from error


def _with_rows(frame: pl.DataFrame, place: str) -> pl.DataFrame:
    """Refuse a table without rows: every later figure would be a division by zero in disguise."""
    if frame.is_empty():
        raise InputError(f"{place} must have at least one row; got none, with {frame.width} columns")
    return frame
