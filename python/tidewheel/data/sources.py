"""Where rows come from: the function named in the project file; `tables` has files named on the command line.

Whether columns and values are right is seen to in `contract`; versions that Tidewheel wrote itself are in `versions`.
"""

import polars as pl

from tidewheel.errors import InputError, InputTypeError
from tidewheel.project.files import load_reference
from tidewheel.project.settings import Data


def read_source(data: Data) -> pl.DataFrame:
    """Call the function named by `[data].source` and return its rows.

    Raises:
        UnknownNameError: the reference names no function.
        InputTypeError: the function returned something else than a polars DataFrame.
        InputError: the function returned no row.
    """
    frame = load_reference(data.source)()
    if not isinstance(frame, pl.DataFrame):
        raise InputTypeError(f"`{data.source}` must return a polars DataFrame; got {type(frame).__name__}")
    return _with_rows(frame, f"`{data.source}`")


def _with_rows(frame: pl.DataFrame, place: str) -> pl.DataFrame:
    """Refuse a table without rows: every later figure would be a division by zero in disguise."""
    if frame.is_empty():
        raise InputError(f"{place} must have at least one row; got none, with {frame.width} columns")
    return frame
