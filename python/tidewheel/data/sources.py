"""Where rows come from: the function named in the project file, or a file or folder given on the command line.

What belongs here: getting a frame with at least one row, or saying why there is none. What does not: whether its columns
and values are right (`data.contract`), versions that Tidewheel wrote itself (`data.versions`).
"""

from collections.abc import Callable
from pathlib import Path

import polars as pl

from tidewheel.errors import InputError, InputTypeError
from tidewheel.project.files import load_reference
from tidewheel.project.settings import Data

DELTA_LOG = "_delta_log"
"""The folder that makes a folder a Delta table."""

_READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".csv": lambda path: pl.read_csv(path, try_parse_dates=True, infer_schema_length=None),
    ".arrow": pl.read_ipc,
    ".ipc": pl.read_ipc,
    ".feather": pl.read_ipc,
}


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


def read_table(path: Path | str) -> pl.DataFrame:
    """Read a table from a parquet, CSV, Arrow (`.arrow`, `.ipc`, `.feather`) file or from the folder of a Delta table.

    The newest version of a Delta table is read. The types of a CSV's columns are inferred from all of its rows.

    Raises:
        InputError: there is no such file or folder, its kind is unknown, it cannot be read, or it has no row.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"a table must be an existing file or folder; there is nothing at {path}")
    try:
        frame = _reader(path)(path)
    except pl.exceptions.NoDataError as error:
        raise InputError(f"{path} must have at least one row; the file is empty") from error
    except InputError:
        raise
    # polars, deltalake and the system have no ancestor of their errors in common, and polars panics on a file cut short.
    except (Exception, pl.exceptions.PanicException) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from error
    return _with_rows(frame, str(path))


def _reader(path: Path) -> Callable[[Path], pl.DataFrame]:
    """Choose how to read by what lies there."""
    if path.is_dir():
        if (path / DELTA_LOG).is_dir():
            return lambda folder: pl.read_delta(str(folder))
        raise InputError(f"a folder must be a Delta table to be read as one; {path} has no {DELTA_LOG}")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"a table must be a folder of Delta or a file ending in {', '.join(_READERS)}; got {path.name}"
        )
    return reader


def _with_rows(frame: pl.DataFrame, place: str) -> pl.DataFrame:
    """Refuse a table without rows: every later figure would be a division by zero in disguise."""
    if frame.is_empty():
        raise InputError(f"{place} must have at least one row; got none, with {frame.width} columns")
    return frame
