"""Tables in files, as the commands take them: parquet, Arrow, CSV and its like, JSON lines, Delta; also many.

Many files are one table whose rows follow each other. Its columns and their types do not depend on the order of the files,
and a file read alone has the types that it has among others wherever its values allow no second reading (`text`).
"""

import codecs
import gzip
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import polars as pl

from tidewheel.data import irregular
from tidewheel.data.text import LOOKED_AT, TextOptions, guess_numbers, has_codes, is_rounded, settle
from tidewheel.errors import InputError, TidewheelError

DELTA_LOG = "_delta_log"
"""The folder that makes a folder a Delta table."""

STANDARD_INPUT = Path("-")
"""A table to be read from standard input."""

_Format = Literal["parquet", "arrow", "csv", "json"]
_FORMATS: dict[str, _Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".arrow": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
    ".jsonl": "json",
    ".ndjson": "json",
}
_PACKED = (".csv", ".tsv", ".jsonl", ".ndjson")
_GZIP = b"\x1f\x8b"
_SEPARATORS = ",;\t|"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: Bytes in which the first line, and rows enough to guess types from, are looked for.
_HEAD = 1 << 16
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_CATEGORIES = (pl.Categorical, pl.Enum)
_PLAIN = TextOptions()


@dataclass(frozen=True, slots=True)
class _File:
    """A file to read.

    Attributes:
        path: Its path, for errors too.
        parts: What the folders `name=value` above it say.
        data: Its bytes, where it has to be unpacked or decoded first.
    """

    path: Path
    parts: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = None

    @property
    def source(self) -> Path | io.BytesIO:
        """What polars reads."""
        return self.path if self.data is None else io.BytesIO(self.data)

    def head(self, length: int) -> bytes:
        """Return the first bytes."""
        if self.data is not None:
            return self.data[:length]
        with self.path.open("rb") as file:
            return file.read(length)


def read_table(path: Path | str, options: TextOptions = _PLAIN) -> pl.DataFrame:
    """Read a table into memory: see `scan_table` for what can be read.

    Raises:
        InputError: there is no such file or folder, its kind is unknown, it cannot be read, or it has no row.
    """
    with reading(path):
        frame = scan_table(path, options, in_memory=True).collect()
        if frame.is_empty():
            # Every later figure would be a division by zero in disguise.
            raise InputError(f"{path} must have at least one row; got none, with {frame.width} columns")
        return frame


def scan_table(path: Path | str, options: TextOptions = _PLAIN, *, in_memory: bool = False) -> pl.LazyFrame:
    """Open a table without keeping its rows.

    A table is a file of parquet (`.parquet`, `.pq`), Arrow (`.arrow`, `.ipc`, `.feather`), text with a line of names
    (`.csv`, `.tsv`; separated by commas, semicolons, tabs or bars; UTF-8, or UTF-16 with its byte order mark), or JSON lines
    (`.jsonl`, `.ndjson`); texts also packed (`.csv.gz`). Or the folder of a Delta table, a folder of folders `name=value`,
    or a pattern (`*`, `?`, `[...]`, `**`) of files of one kind; folders `name=value` below where a pattern begins give a
    column. `-` is standard input, in any of these formats.

    Args:
        path: Where the table is.
        options: How text is to be read.
        in_memory: Text is read at once. Else it is read in batches: once to find its types, and again for its rows.

    Raises:
        InputError: there is no such file or folder, or its kind is unknown. What cannot be read raises later: see `reading`.
    """
    place = Path(path)
    if place.is_dir() and (place / DELTA_LOG).is_dir():
        return pl.scan_delta(str(place))
    files = [_open(file) for file in _list_files(place)]
    formats = {_format(file) for file in files}
    known = formats.pop() if len(formats) == 1 else None
    if known is None:
        endings = sorted({file.path.suffix.lower() for file in files})
        got = files[0].path.name if len(endings) == 1 else f"files ending in {', '.join(endings)}"
        raise InputError(
            f"a table must be a folder of Delta or files of one kind, ending in {', '.join(_FORMATS)}; got {got}"
        )
    if known == "csv":
        numbers = _read_numbers(files[0]) if in_memory and options == _PLAIN and len(files) == 1 else None
        frame = _scan_text(files) if numbers is None else _join([(files[0], numbers)], place)
    elif known == "json":
        opened = [
            (file, irregular.open_json(file.path, file.source, in_memory)) for file in files if file.head(1)
        ]
        frame = _join(opened, place)
    else:
        return _join(_scan_typed(files, known, in_memory), place)
    if in_memory:
        frame = frame.collect().lazy()
    return settle(frame, options, times_alone=known == "json", in_memory=in_memory)


def find_files(path: Path | str) -> list[Path]:
    """Return the file or folder at a path, or else the files that a pattern matches, in order of their names.

    Raises:
        InputError: there is nothing.
    """
    if path == STANDARD_INPUT:
        return []
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


def _list_files(place: Path) -> list[_File]:
    if place == STANDARD_INPUT:
        return [_File(place, data=sys.stdin.buffer.read())]
    files = find_files(place)
    root = place
    if len(files) == 1 and files[0].is_dir():
        if not any(child.is_dir() and "=" in child.name for child in files[0].iterdir()):
            raise InputError(
                f"a folder must be a Delta table to be read as one; {place} has no {DELTA_LOG}. "
                f"Name a folder of other files by a pattern such as '{place}/*.parquet'"
            )
        hidden = ("_", ".")
        files = sorted(
            file for file in place.rglob("*") if file.is_file() and not file.name.startswith(hidden)
        )
    elif place in files:
        return [_File(place)]
    else:
        root = _fixed(place)
    return [_File(file, _parse_folders(file, root)) for file in files]


def _fixed(pattern: Path) -> Path:
    """Return the folders of a pattern before the first that has a sign of a pattern."""
    at = next(at for at, part in enumerate(pattern.parts) if has_magic(part))
    return Path(*pattern.parts[:at])


def _parse_folders(file: Path, root: Path) -> dict[str, str]:
    folders = file.parts[len(root.parts) : -1]
    pairs = (folder.partition("=") for folder in folders if "=" in folder)
    return {unquote(name): unquote(value) for name, _, value in pairs if name}


def _open(file: _File) -> _File:
    """Unpack and decode a text, which polars does not do for every format or encoding."""
    head = file.head(2)
    packed = head == _GZIP and (file.data is not None or Path(file.path.stem).suffix.lower() in _PACKED)
    if not packed and head not in _UTF_16:
        return file
    if head in _UTF_16 and _format(file) not in {"csv", "json"}:
        return file
    data = file.path.read_bytes() if file.data is None else file.data
    data = gzip.decompress(data) if packed else data
    if data[:2] in _UTF_16:
        data = data.decode("utf-16").encode()
    return _File(file.path, file.parts, data)


def _format(file: _File) -> _Format | None:
    if file.path != STANDARD_INPUT:
        suffix = file.path.suffix.lower()
        if suffix == ".gz":
            suffix = Path(file.path.stem).suffix.lower()
            return _FORMATS[suffix] if suffix in _PACKED else None
        return _FORMATS.get(suffix)
    head = file.head(6)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head == b"ARROW1":
        return "arrow"
    return "json" if head.lstrip().startswith(b"{") else "csv"


def _scan_text(files: Sequence[_File]) -> pl.LazyFrame:
    """Open files with a line of names as columns of text."""
    groups: dict[tuple[object, ...], list[_File]] = {}
    for file in files:
        header = file.head(_HEAD).partition(b"\n")[0].rstrip(b"\r").removeprefix(codecs.BOM_UTF8)
        if header or len(files) == 1:
            # What is in memory already is read by itself.
            key = header, tuple(file.parts.items()), id(file) if file.data is not None else None
            groups.setdefault(key, []).append(file)
    if not groups:
        raise pl.exceptions.NoDataError("empty")
    scanned = []
    for group in groups.values():
        first = group[0].head(_HEAD).partition(b"\n")[0].decode(errors="replace")
        sources = [file.source for file in group]
        frame = pl.scan_csv(
            sources[0] if group[0].data is not None else sources,  # type: ignore[arg-type]
            glob=False,
            infer_schema=False,
            separator=_separator(group[0].path, first),
        )
        scanned.append((group[0], frame))
    return _join(scanned, group[0].path)


def _read_numbers(file: _File) -> pl.LazyFrame | None:
    """Read a text whose numbers polars parses on the way, in a third of the time; None where `settle` has to look at all.

    The types are those that `settle` gives: a value that is no number after all ends the attempt, and so do codes.
    """
    head = file.head(_HEAD)
    lines = head.rpartition(b"\n")[0] if len(head) == _HEAD else head
    separator = _separator(file.path, lines.partition(b"\n")[0].decode(errors="replace"))
    try:
        first = pl.read_csv(lines, infer_schema=False, separator=separator, n_rows=LOOKED_AT)
        guessed = guess_numbers(first)
        data = file.path.read_bytes() if file.data is None else file.data
        if not guessed or has_codes(data, separator):
            return None
        frame = pl.read_csv(data, infer_schema=False, separator=separator, schema_overrides=guessed)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        # The way that takes any text says what is wrong with it.
        return None
    floats = [name for name, dtype in guessed.items() if dtype == pl.Float64]
    if any(is_rounded(frame[name]) for name in floats):
        return None
    # "NaN" in a text is a mark of a missing value.
    return frame.with_columns(pl.col(floats).fill_nan(None)).lazy()


def _separator(path: Path, header: str) -> str:
    """Tell what separates the names of the first line, by how often it stands outside quotes."""
    bare = "".join(header.split('"')[::2])
    counts = {sign: bare.count(sign) for sign in _SEPARATORS}
    if Path(path.name.removesuffix(".gz")).suffix.lower() == ".tsv" and counts["\t"]:
        return "\t"
    if counts[","]:
        return ","
    best = max(counts, key=lambda sign: counts[sign])
    return best if counts[best] else ","


def _scan_typed(files: Sequence[_File], known: _Format, in_memory: bool) -> list[tuple[_File, pl.LazyFrame]]:
    """Open parquet or Arrow files, those of one schema together."""
    schema = pl.read_parquet_schema if known == "parquet" else pl.read_ipc_schema
    groups: dict[tuple[object, ...], list[_File]] = {}
    for file in files:
        columns = tuple(schema(file.source).items()) if len(files) > 1 else ()
        groups.setdefault((columns, tuple(file.parts.items())), []).append(file)
    found = []
    for group in groups.values():
        sources = [file.source for file in group]
        source = sources[0] if group[0].data is not None else sources
        if known == "parquet":
            frame = pl.scan_parquet(source, glob=False, hive_partitioning=False)  # type: ignore[arg-type]
        else:
            frame = pl.scan_ipc(source, glob=False, hive_partitioning=False)  # type: ignore[arg-type]
        held = [file.source for file in group]
        found.append((group[0], irregular.open_typed(group[0].path, held, frame, known, in_memory)))
    return found


def _join(scanned: Sequence[tuple[_File, pl.LazyFrame]], place: Path) -> pl.LazyFrame:
    """Put the rows of frames after each other, with the columns of all of them, in types that hold all their values."""
    if not scanned:
        raise pl.exceptions.NoDataError("empty")
    frames = _add_parts(scanned)
    if len(frames) == 1:
        return frames[0]
    schemas = [frame.collect_schema() for frame in frames]
    common = {}
    for name in dict.fromkeys(name for schema in schemas for name in schema):
        types = list(dict.fromkeys(schema[name] for schema in schemas if name in schema))
        common[name] = _widest(name, types, place)
    cast = [
        frame.with_columns(
            pl.col(name).cast(common[name]) for name, dtype in schema.items() if dtype != common[name]
        )
        for frame, schema in zip(frames, schemas, strict=True)
    ]
    return pl.concat(cast, how="diagonal")


def _widest(name: str, types: list[pl.DataType], place: Path) -> pl.DataType:
    left = [dtype for dtype in types if dtype != pl.Null]
    if len(left) < 2:
        return left[0] if left else types[0]
    alike = all(dtype.is_numeric() for dtype in left) or len({dtype.base_type() for dtype in left}) == 1
    alike = alike or all(dtype.base_type() in {pl.String, *_CATEGORIES} for dtype in left)
    if not alike:
        raise InputError(
            f"column {name!r} must have one type in all files of {place}; got {', '.join(map(str, left))}"
        )
    empty = [pl.DataFrame(schema={name: dtype}) for dtype in left]
    return pl.concat(empty, how="vertical_relaxed").schema[name]


def _add_parts(scanned: Sequence[tuple[_File, pl.LazyFrame]]) -> list[pl.LazyFrame]:
    """Add what the names of folders say, typed as text is."""
    names = list(dict.fromkeys(name for file, _ in scanned for name in file.parts))
    if not names:
        return [frame for _, frame in scanned]
    values = {
        name: [None if file.parts.get(name) == _HIVE_NULL else file.parts.get(name) for file, _ in scanned]
        for name in names
    }
    typed = settle(
        pl.LazyFrame(values, schema=dict.fromkeys(names, pl.String)), _PLAIN, in_memory=True
    ).collect()
    found = []
    for at, (_, frame) in enumerate(scanned):
        new = [name for name in names if name not in frame.collect_schema()]
        found.append(
            frame.with_columns(pl.lit(typed[name][at], typed[name].dtype).alias(name) for name in new)
        )
    return found
