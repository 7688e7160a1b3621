"""Files at which polars stops because of one column: read all the same, so that the column costs no more than itself.

Types of Arrow that polars does not have, dictionaries whose missing entries have odd codes, and JSON lines whose values are
of several kinds. Regular files are read as polars reads them; see `tables`.
"""

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import polars as pl

from tidewheel.errors import InputError, MissingExtraError

#: Digits of a decimal that polars reads; Arrow has twice as many.
_MOST_DIGITS = 38

_Source = Path | io.BytesIO
_STOPS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


def open_typed(
    path: Path, sources: Sequence[_Source], frame: pl.LazyFrame, known: str, in_memory: bool
) -> pl.LazyFrame:
    """Open parquet or Arrow files of one schema, through pyarrow where polars stops.

    Args:
        path: Where the first of them is, for errors.
        sources: What is read.
        frame: The same as polars opens it.
        known: "parquet" or "arrow".
        in_memory: Read all rows at once. Else Arrow files are read once to see that they can be.

    Raises:
        MissingExtraError: polars stops, and pyarrow is not installed.
        PolarsError: nobody can read the files.
    """
    try:
        if in_memory:
            return frame.collect().lazy()
        if known == "arrow":
            # Codes of missing entries of a dictionary may be anything; pandas writes -1, and any row may be the first.
            frame.null_count().collect(engine="streaming")
        elif any(
            (getattr(dtype, "precision", None) or 0) > _MOST_DIGITS
            for dtype in frame.collect_schema().values()
        ):
            raise pl.exceptions.InvalidOperationError(f"decimals of more than {_MOST_DIGITS} digits")
    except _STOPS as stopped:
        return _read_with_pyarrow(path, sources, known, stopped)
    return frame


def _read_with_pyarrow(
    path: Path, sources: Sequence[_Source], known: str, stopped: BaseException
) -> pl.LazyFrame:
    try:
        # Few files are so, and pyarrow takes long to import.
        from pyarrow import ArrowException, feather, parquet
    except ImportError as lacking:
        raise MissingExtraError(f"{path} needs pyarrow to be read: {stopped}") from lacking
    read = parquet.read_table if known == "parquet" else feather.read_table
    try:
        tables = [read(source) for source in sources]
    except (ArrowException, OSError) as error:
        raise stopped from error
    frames = [pl.DataFrame([_take(name, table[name]) for name in table.column_names]) for table in tables]
    return pl.concat(frames).lazy()


def _take(name: str, column: Any) -> pl.Series:
    """Take a column of pyarrow as what it holds; where polars has no type for it, as objects."""
    kind = str(column.type)
    if kind.startswith("decimal256"):
        column = column.cast("double")
    elif kind.startswith("run_end_encoded"):
        # See above: two more of pyarrow's parts.
        from pyarrow import chunked_array, compute

        decoded = [compute.run_end_decode(chunk) for chunk in column.chunks]
        column = chunked_array(decoded, column.type.value_type)
    try:
        return pl.Series(name, column)
    except (ValueError, TypeError, NotImplementedError, *_STOPS):
        return pl.Series(name, column.to_pylist(), dtype=pl.Object)


def open_json(path: Path, source: _Source, in_memory: bool) -> pl.LazyFrame:
    """Open JSON lines; a column whose values are of several kinds is one of text, as it would be in a CSV.

    Args:
        path: Where they are, for errors.
        source: What is read.
        in_memory: Read all rows at once. Else they are read once to see that they have the types found.

    Raises:
        InputError: a line is no JSON object.
    """
    try:
        frame = pl.scan_ndjson(source, infer_schema_length=None)
        if in_memory:
            return frame.collect().lazy()
        frame.null_count().collect(engine="streaming")
    except _STOPS:
        return _read_json(path, source).lazy()
    return frame


def _read_json(path: Path, source: _Source) -> pl.DataFrame:
    """Read all rows one by one: slower than polars, and never at a loss."""
    rows = []
    text = source.read_bytes() if isinstance(source, Path) else source.getvalue()
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError as error:
            raise InputError(
                f"{path} must have a JSON object on each line; line {number} is none: {error}"
            ) from error
        if isinstance(row, dict):
            rows.append(row)
        elif line.strip():
            raise InputError(
                f"{path} must have a JSON object on each line; line {number} is a {type(row).__name__}"
            )
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame([_make_column(_write(name), [row.get(name) for row in rows]) for name in names])


def _make_column(name: str, values: list[Any]) -> pl.Series:
    kinds = {_kind_of(value) for value in values} - {NoneType}
    if kinds <= {int, float} and kinds != {int}:
        return pl.Series(name, [None if value is None else float(value) for value in values], pl.Float64)
    if len(kinds) == 1 and (known := _TYPES.get(next(iter(kinds)))):
        return pl.Series(name, values, known)
    return pl.Series(name, [None if value is None else _write(value) for value in values], pl.String)


def _write(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    # JSON can write half of a pair of surrogates, polars cannot hold it.
    return text.encode(errors="backslashreplace").decode()


def _kind_of(value: object) -> type:
    if not isinstance(value, int) or -(2**63) <= value < 2**63:
        return type(value)
    # A number that no float holds is no more than its digits.
    return float if -_MOST_FLOAT <= value <= _MOST_FLOAT else str


_MOST_FLOAT = int(sys.float_info.max)
#: Types of columns whose values are all of one kind; those of several are text.
_TYPES = {bool: pl.Boolean, int: pl.Int64, list: pl.Object, dict: pl.Object}
