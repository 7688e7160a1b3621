"""Where rows come from: the function named in the project file, or a file or folder given on the command line.

What belongs here: getting a frame with at least one row, or saying why there is none. What does not: whether its columns
and values are right (`data.contract`), versions that Tidewheel wrote itself (`data.versions`).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from glob import glob
from pathlib import Path

import polars as pl

from tidewheel.errors import InputError, InputTypeError, TidewheelError
from tidewheel.project.files import load_reference
from tidewheel.project.settings import Data

DELTA_LOG = "_delta_log"
"""The folder that makes a folder a Delta table."""

_Types = Mapping[str, type[pl.DataType]]

_SCANNERS: dict[str, Callable[[list[Path], _Types | None], pl.LazyFrame]] = {
    # Names are taken as they are: `find_files` has expanded patterns already.
    ".parquet": lambda files, _: pl.scan_parquet(files, glob=False),
    ".csv": lambda files, types: _scan_csv(files, types),
    ".arrow": lambda files, _: pl.scan_ipc(files, glob=False),
    ".ipc": lambda files, _: pl.scan_ipc(files, glob=False),
    ".feather": lambda files, _: pl.scan_ipc(files, glob=False),
}

ROWS_INFERRED = 10_000
"""Rows of a CSV from which types are inferred that a caller who knows the others leaves open."""


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
    """Read a table into memory: see `scan_table` for what can be read.

    Raises:
        InputError: there is no such file or folder, its kind is unknown, it cannot be read, or it has no row.
    """
    with reading(path):
        return _with_rows(scan_table(path).collect(), str(path))


def scan_table(path: Path | str, types: _Types | None = None) -> pl.LazyFrame:
    """Open a table without reading its rows.

    A table is a parquet, CSV or Arrow (`.arrow`, `.ipc`, `.feather`) file, the folder of a Delta table, or a pattern (`*`,
    `?`, `[...]`, `**`) of files of one kind, whose rows follow each other.

    The newest version of a Delta table is read. The types of a CSV's columns are inferred from all of its rows, which reads
    it twice; with `types` those are taken for the columns named, and others inferred from its first rows.

    Raises:
        InputError: there is no such file or folder, or its kind is unknown. What cannot be read raises later: see `reading`.
    """
    files = find_files(path)
    if files[0].is_dir() and len(files) == 1:
        if (files[0] / DELTA_LOG).is_dir():
            return pl.scan_delta(str(files[0]))
        raise InputError(
            f"a folder must be a Delta table to be read as one; {path} has no {DELTA_LOG}. "
            f"Name a folder of other files by a pattern such as '{path}/*.parquet'"
        )
    endings = {file.suffix.lower() for file in files}
    scanner = _SCANNERS.get(files[0].suffix.lower())
    if scanner is None or len(endings) > 1:
        got = files[0].name if len(endings) == 1 else f"files ending in {', '.join(sorted(endings))}"
        raise InputError(
            f"a table must be a folder of Delta or files of one kind, ending in {', '.join(_SCANNERS)}; got {got}"
        )
    return scanner(files, types)


def _scan_csv(files: list[Path], types: _Types | None) -> pl.LazyFrame:
    with files[0].open(encoding="utf-8", errors="replace") as file:
        header = file.readline().rstrip()
    if "," not in header and any(sign in header for sign in ";\t|"):
        # It would be read as a single column of strings.
        raise InputError(
            f"{files[0]} must have its columns separated by commas; its first line is {header!r}"
        )
    rows = None if types is None else ROWS_INFERRED
    return pl.scan_csv(
        files, glob=False, try_parse_dates=True, infer_schema_length=rows, schema_overrides=types
    )


def find_files(path: Path | str) -> list[Path]:
    """Return the file or folder at a path, or else the files that a pattern matches, in order of their names.

    Raises:
        InputError: there is nothing.
    """
    if Path(path).exists():
        return [Path(path)]
    found = sorted(map(Path, glob(str(path), recursive=True)))
    if not found:
        raise InputError(f"a table must be an existing file or folder; there is nothing at {path}")
    return found


@contextmanager
def reading(place: Path | str) -> Iterator[None]:
    """Turn whatever goes wrong while a table is read into an InputError that names the place."""
    try:
        yield
    except TidewheelError:
        raise
    except pl.exceptions.NoDataError as error:
        raise InputError(f"{place} must have at least one row; the file is empty") from error
    # polars, deltalake and the system have no ancestor of their errors in common, and polars panics on a file cut short.
    except (Exception, pl.exceptions.PanicException) as error:
        # Further lines tell a programmer which options to set.
        reason = str(error).partition("\n")[0]
        raise InputError(f"{place} cannot be read as a table: {reason}") from error


def _with_rows(frame: pl.DataFrame, place: str) -> pl.DataFrame:
    """Refuse a table without rows: every later figure would be a division by zero in disguise."""
    if frame.is_empty():
        raise InputError(f"{place} must have at least one row; got none, with {frame.width} columns")
    return frame
