"""Files at which polars stops because of one column: read all the same, so that the column costs no more than itself.

Types of Arrow that polars does not have, dictionaries whose missing entries have odd codes, and JSON lines whose values are
of several kinds. Regular files are read as polars reads them; see `tables`.
"""

import io
import json
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
        if isinstance(source, io.BytesIO):
            source.seek(0)
        return pl.scan_ndjson(source, schema=_find_json_types(path, source))
    return frame


def _find_json_types(path: Path, source: _Source) -> dict[str, pl.DataType]:
    """Find the type of each column by a look at every row, one by one: slower than polars, and never at a loss."""
    kinds: dict[str, set[type]] = {}
    text = source.read_bytes() if isinstance(source, Path) else source.getvalue()
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            row = json.loads(line) if line.strip() else {}
        except ValueError as error:
            raise InputError(
                f"{path} must have a JSON object on each line; line {number} is none: {error}"
            ) from error
        if not isinstance(row, dict):
            raise InputError(
                f"{path} must have a JSON object on each line; line {number} is a {type(row).__name__}"
            )
        for name, value in row.items():
            kinds.setdefault(name, set()).add(_kind_of(value))
    return {name: _TYPES.get(frozenset(found - {NoneType}), pl.String()) for name, found in kinds.items()}


def _kind_of(value: object) -> type:
    # Whole numbers beyond 64 bits are read as floats.
    return float if isinstance(value, int) and not -(2**63) <= value < 2**63 else type(value)


#: Types of columns whose values are of these kinds; all others are text. What is inside a nested one is never looked at.
_TYPES = {
    frozenset[type](): pl.Null(),
    frozenset({bool}): pl.Boolean(),
    frozenset({int}): pl.Int64(),
    frozenset({float}): pl.Float64(),
    frozenset({int, float}): pl.Float64(),
    frozenset({list}): pl.List(pl.String),
    frozenset({dict}): pl.Struct([]),
}
