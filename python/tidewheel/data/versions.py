"""Versions of a data set: a Delta table in which every version is the whole data set, and a hash of what it holds.

A version is read back and compared with its hash before anybody hears of it; one that reads differently later is an
IntegrityError, never a warning. Which rows are let in is decided in `data.contract`; `ledger` keeps the record of a version.
"""

import hashlib
import json
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from tidewheel.errors import ConflictError, InputError, InputTypeError, IntegrityError
from tidewheel.evidence.records import DataVersion

HASH_VERSION = 1
"""Version of the construction in `content_sha256`; a change of it changes every hash."""

QUARANTINE_SUFFIX = "_quarantine"

ATTEMPTS_MAX = 20
"""Commits in a row that are refused as lost while no other writer's version appears: then something else is wrong."""

_PAUSE_S, _PAUSE_MAX_S = 0.01, 0.25
"""A writer that lost n times waits for a random part of n pauses, up to the longest, so that not all come back at once.

Six processes that write 40 contents each to one table on 2 cores lost up to 20 times in a row without a pause.
"""

_KEPT_FOR_EVER = {
    # A version that evidence rests on must stay readable: the log is never shortened, and nothing here vacuums.
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}

_WIDER: dict[Any, pl.DataType] = {
    pl.UInt8: pl.Int16(),
    pl.UInt16: pl.Int32(),
    pl.UInt32: pl.Int64(),
    pl.UInt64: pl.Int64(),
    pl.Int128: pl.Int64(),
    pl.UInt128: pl.Int64(),
    pl.Float16: pl.Float32(),
    pl.Categorical: pl.String(),
    pl.Enum: pl.String(),
}
"""What Delta does not have, and the type that holds the same values; a value that does not fit is refused."""

_TYPE_NAMES: dict[Any, str] = {
    pl.Int8: "int8",
    pl.Int16: "int16",
    pl.Int32: "int32",
    pl.Int64: "int64",
    pl.Float32: "float32",
    pl.Float64: "float64",
    pl.Boolean: "bool",
    pl.String: "string",
    pl.Binary: "binary",
    pl.Date: "date",
}
"""What Delta keeps as it is, beside times in UTC, and its name in the hash."""

_CONTENT_MARK, _CONTRACT_MARK = "tidewheel.content_sha256", "tidewheel.contract_sha256"
"""Names under which a commit of the table carries its hashes."""

_ONE_FILE_BYTES = 1 << 40

_MILLISECONDS_MAX = (1 << 63) // 1000 - 1

_ROWS_AT_ONCE = 1 << 16
"""Texts turned into one run of bytes at a time: bounds the memory of hashing."""


def canonical(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the frame in the types that a Delta table keeps, with the same columns in the same order.

    Times become microseconds in UTC (those without a zone are taken for UTC, finer ones are cut), categories become text,
    unsigned and 128-bit integers become the next wider signed type, 16-bit floats become 32-bit ones. Everything else is
    either kept or refused: a frame that passes reads back from Delta exactly as it is.

    Raises:
        InputTypeError: a column's type has no such form (Null, Time, Duration, Decimal, List, Array, Struct, Object).
        InputError: two columns differ only in case (Delta takes them for one), or a value does not fit the wider type.
    """
    folded: dict[str, str] = {}
    for name in frame.columns:
        other = folded.setdefault(name.lower(), name)
        if other != name:
            raise InputError(
                f"column names must differ in more than case, for Delta; got `{other}` and `{name}`"
            )
    return pl.DataFrame(
        [_canonical_column(name, frame[name].alias("values")).alias(name) for name in frame.columns]
    )


def content_sha256(frame: pl.DataFrame) -> str:
    """Hash what a frame holds: its column names, their types and all values, whatever the order of rows and columns.

    Two frames have the same hash if and only if (up to a collision of SHA-256) their canonical forms have the same
    columns, in any order, and the same rows, in any order, each as often. Null, NaN and 0.0 differ; so do 0.0 and -0.0; all
    NaN are one.

    The construction (version 1), from the canonical form with columns sorted by name: rows are sorted over all columns
    from the first to the last (null first; numbers, dates and times as integers, floats by their bits as signed integers,
    text and bytes bytewise). SHA-256 takes the header as JSON in ASCII (hash version, names and types, number of rows) and
    a newline, then for each column one byte a row (1 where there is a value), then the values little-endian and zero where
    there is none: fixed width for numbers and times, a byte for booleans; for text (UTF-8) and bytes all lengths as int64,
    then all bytes. Neither library versions nor machines enter.

    Cost: one sort of the rows; 0.7 s for 337,000 rows of 23 columns on 2 cores.

    Example:
        >>> content_sha256(pl.DataFrame({"a": [1, 2]})) == content_sha256(pl.DataFrame({"a": [2, 1]}))
        True
        >>> content_sha256(pl.DataFrame({"a": [1, 2]})) == content_sha256(pl.DataFrame({"a": [1.0, 2.0]}))
        False
    """
    frame = canonical(frame)
    names = sorted(frame.columns)
    rows = _keys(frame, names)
    if rows.width:
        rows = rows.sort(rows.columns, nulls_last=False)
    header = {
        "hash_version": HASH_VERSION,
        "columns": [[name, _type_name(frame.schema[name])] for name in names],
        "n_rows": frame.height,
    }
    digest = hashlib.sha256(
        json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode("ascii") + b"\n"
    )
    for column in rows:
        _feed(digest, column)
    return digest.hexdigest()


def write_version(
    frame: pl.DataFrame,
    uri: Path | str,
    *,
    name: str,
    contract_sha256: str,
    event_time: str,
    quarantined: pl.DataFrame | None = None,
) -> DataVersion:
    """Write a frame as the next version of a Delta table, read it back, and say what was written.

    Rows are stored in order of `event_time`, then of all columns, so that the same content is always read in the same
    order. Content that the table already holds under the same contract is not written again: the first version that
    reads back as this content is returned. One that does not, because a file of it was lost or changed, or because its
    writer was not alone, is passed over, and the content is written anew. Quarantined rows go to a table of their own at
    `<uri>_quarantine`, before the others, and likewise only once.

    Any number of threads and processes may write at once, to a new table as well: they wait for each other.

    Args:
        frame: the rows; not changed.
        uri: folder of the Delta table, or its address in an object store; created if it is not there.
        name: name of the data set.
        contract_sha256: hash of the contract that the rows keep.
        event_time: column of times with a zone, without missing values.
        quarantined: rows that do not keep the contract, with their reasons.

    Raises:
        InputError: there is no row, a column cannot be stored, an event time is missing, or the folder cannot be written.
        IntegrityError: what reads back is not what was written.
        ConflictError: the table refuses one attempt after the other as lost, and no other writer's version appears.

    Cost: one read of each commit of the table (0.1 ms on a local disk); reading back the version, and before it each one
    that bears the same hash and does not hold the content. A writer that loses to another one writes its file again, and
    leaves the former one behind.

    Source: Delta's optimistic concurrency; versions are found by the hash in their commit, never by counting.
    """
    uri = str(uri).rstrip("/")
    frame = canonical(frame)
    starts_utc, ends_utc = _period(frame, event_time, name)
    marks = {_CONTRACT_MARK: contract_sha256}
    if quarantined is not None and not quarantined.is_empty():
        rejected = canonical(quarantined)
        _keep(_ordered(rejected), f"{uri}{QUARANTINE_SUFFIX}", marks)
    delta_version, sha256 = _keep(_ordered(frame, event_time), uri, marks)
    return DataVersion(
        name=name,
        delta_version=delta_version,
        content_sha256=sha256,
        n_rows=frame.height,
        contract_sha256=contract_sha256,
        starts_utc=starts_utc,
        ends_utc=ends_utc,
        uri=uri,
    )


def read_version(uri: Path | str, delta_version: int, content_sha256: str | None = None) -> pl.DataFrame:
    """Read the rows of one version, in the order in which they were stored.

    Args:
        uri: folder of the Delta table, or its address in an object store.
        delta_version: which version.
        content_sha256: what the rows must hash to; None does not ask.

    Raises:
        InputError: there is no such table, or it has no such version.
        IntegrityError: the version exists but cannot be read, or its rows have another hash.
    """
    table = _open(str(uri), delta_version)
    try:
        frame = pl.read_delta(table)
    # polars, deltalake and the system have no ancestor of their errors in common, and polars panics on a file cut short.
    except (Exception, pl.exceptions.PanicException) as error:
        raise IntegrityError(
            f"version {delta_version} of {uri} is recorded but cannot be read: {error}"
        ) from error
    if len(table.file_uris()) > 1:  # another tool rewrote the table: the order of its files says nothing
        frame = _ordered(frame)
    if content_sha256 is not None:
        _check_content(frame, content_sha256, f"version {delta_version} of {uri}")
    return frame


def _check_content(frame: pl.DataFrame, expected: str, place: str) -> None:
    """Refuse rows that do not hash to what was recorded."""
    found = content_sha256(frame)
    if found != expected:
        raise IntegrityError(
            f"{place} must hold the content {expected}, as recorded; its {frame.height} rows hash to {found}"
        )


def _keep(frame: pl.DataFrame, uri: str, marks: dict[str, str]) -> tuple[int, str]:
    """Write a canonical frame unless the table has it already; return the version that holds it, and its hash.

    This is a compare-and-swap on the table's version: all versions up to n are looked at, then the frame becomes version
    n + 1 or is not committed at all. So of several writers of the same content one writes it, and the others find it. An
    attempt that loses to another writer is made again however often that happens: each time somebody's version was kept.
    """
    sha256 = content_sha256(frame)
    marks = {**marks, _CONTENT_MARK: sha256}
    table, version = _look(uri, marks, 0)
    n_lost = n_in_vain = 0
    while version is None:
        if n_in_vain == ATTEMPTS_MAX:
            raise ConflictError(
                f"{uri} was changed by other writers during each of {ATTEMPTS_MAX} attempts; try again"
            )
        seen = _n_versions(table)  # before the commit: it moves the table on to its own version
        committed = _commit_next(frame, uri, table, marks)
        if not committed:
            n_lost += 1
            time.sleep(random.uniform(0.0, min(n_lost * _PAUSE_S, _PAUSE_MAX_S)))
        table, version = _look(uri, marks, seen)
        if committed and version is None:
            raise IntegrityError(
                f"{uri} took {frame.height} rows, but none of its versions has their hash {sha256}"
            )
        n_in_vain = 0 if _n_versions(table) > seen else n_in_vain + 1
    return version, sha256


def _look(uri: str, marks: dict[str, str], start: int) -> tuple[DeltaTable | None, int | None]:
    """Open the table, and find the first version from `start` on that carries these marks and holds their content.

    Marks alone prove nothing: the rows may be lost or changed since, or were never what the marks say. Such a version is
    passed over, so that its content can be written anew.
    """
    table = _open_newest(uri)
    if table is None:
        return None, None
    # Not `DeltaTable.history()`: it numbers the commits backwards from the version that was opened, but lists those that
    # came since as well, so that each commit of another writer shifts all numbers.
    log = DeltaStorageHandler(table.table_uri)
    versions = range(start, _n_versions(table))
    held = (
        version
        for version in versions
        if marks.items() <= _commit_info(log, version).items() and _holds(uri, version, marks[_CONTENT_MARK])
    )
    return table, next(held, None)


def _open_newest(uri: str) -> DeltaTable | None:
    """Open the newest version of a table; None if there is no table yet."""
    try:
        return DeltaTable(uri)
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise InputError(
            f"{uri} must be a Delta table or a new folder; it cannot be opened: {error}"
        ) from error


def _n_versions(table: DeltaTable | None) -> int:
    """Count the versions of a table as it was opened."""
    return 0 if table is None else int(table.version()) + 1


def _commit_info(log: DeltaStorageHandler, version: int) -> dict[str, Any]:
    """Read what one commit says of itself; nothing if another tool shortened the log, or somebody spoilt it here."""
    try:
        with log.open_input_file(f"_delta_log/{version:020d}.json") as file:
            actions = [json.loads(line) for line in file.read().splitlines()]
    except (FileNotFoundError, ValueError):
        return {}
    found: list[dict[str, Any]] = [action["commitInfo"] for action in actions if "commitInfo" in action]
    return found[0] if found else {}


def _holds(uri: str, version: int, sha256: str) -> bool:
    """Say whether a version can be read and its rows have this hash."""
    try:
        read_version(uri, version, sha256)
    except IntegrityError:
        return False
    return True


def _commit_next(frame: pl.DataFrame, uri: str, table: DeltaTable | None, marks: dict[str, str]) -> bool:
    """Commit the frame as the whole content of the version after the one opened; False if another writer came first."""
    n_versions = _n_versions(table)
    try:
        write_deltalake(
            uri if table is None else table,
            frame,
            # A table that appears meanwhile must not be overwritten unseen.
            mode="error" if table is None else "overwrite",
            schema_mode=None if table is None else "overwrite",
            configuration=_KEPT_FOR_EVER,
            # No retries: those of deltalake would put the rows of a lost first commit beside those of the winner.
            commit_properties=CommitProperties(custom_metadata=marks, max_commit_retries=0),
            # One file, so that rows are read in the order in which they were written.
            target_file_size=_ONE_FILE_BYTES,
        )
    except CommitFailedError:
        return False
    except (DeltaError, OSError) as error:
        # A lost race has errors of several kinds; what tells it from a folder that cannot be written is the winner.
        if _n_versions(_open_newest(uri)) == n_versions:
            raise InputError(f"a data version cannot be written to {uri}: {error}") from error
        return False
    return True


def _open(uri: str, delta_version: int) -> DeltaTable:
    """Open one version of a table, or say which versions there are."""
    try:
        table = DeltaTable(uri)
        newest = table.version()
    except (DeltaError, OSError) as error:
        raise InputError(f"{uri} must be a Delta table; it cannot be opened: {error}") from error
    if not 0 <= delta_version <= newest:
        raise InputError(f"{uri} has the versions 0 to {newest}; got {delta_version}")
    try:
        table.load_as_version(delta_version)
    except (DeltaError, OSError) as error:
        raise IntegrityError(
            f"version {delta_version} of {uri} is recorded but cannot be opened: {error}"
        ) from error
    return table


def _period(frame: pl.DataFrame, event_time: str, name: str) -> tuple[datetime, datetime]:
    """Give the first and the last event time, both of which a version must have."""
    if frame.is_empty():
        raise InputError(
            f"a version of `{name}` must have at least one row; got none, with {frame.width} columns"
        )
    dtype = frame.schema.get(event_time)
    if not isinstance(dtype, pl.Datetime):
        raise InputTypeError(
            f"the event time `{event_time}` of `{name}` must be a column of times; got {dtype}"
        )
    times = frame[event_time]
    if times.null_count():
        raise InputError(
            f"the event time `{event_time}` of `{name}` must be known in every row; {times.null_count()} are missing"
        )
    first, last = frame.select(first=pl.col(event_time).min(), last=pl.col(event_time).max()).row(0)
    return first.astimezone(UTC), last.astimezone(UTC)


def _canonical_column(name: str, column: pl.Series) -> pl.Series:
    """Give one column in the type that Delta keeps."""
    dtype = column.dtype
    if dtype.base_type() in _TYPE_NAMES:
        return column
    if isinstance(dtype, pl.Datetime):
        return _canonical_times(name, column, dtype)
    wider = _WIDER.get(dtype.base_type())
    if wider is None:
        raise InputTypeError(
            f"column `{name}` has the type {dtype}, which a Delta table does not keep as it is; "
            f"cast it to an integer, float, boolean, text, date or time with a zone"
        )
    try:
        return column.cast(wider)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"column `{name}` of type {dtype} must fit into {wider}: {error}") from error


def _canonical_times(name: str, column: pl.Series, dtype: pl.Datetime) -> pl.Series:
    """Give times as microseconds in UTC."""
    if dtype.time_unit == "ms" and (column.to_physical().abs() > _MILLISECONDS_MAX).any():
        raise InputError(f"column `{name}` has times beyond what microseconds in 64 bits can hold")
    column = column.dt.cast_time_unit("us")
    return (
        column.dt.replace_time_zone("UTC") if dtype.time_zone is None else column.dt.convert_time_zone("UTC")
    )


def _ordered(frame: pl.DataFrame, *first: str) -> pl.DataFrame:
    """Put the rows in an order that their content alone decides: by the columns named first, then by all."""
    keys = _keys(frame, [*first, *sorted(frame.columns)])
    return frame[keys.select(pl.arg_sort_by(keys.columns, nulls_last=False)).to_series()]


def _keys(frame: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Give sortable columns under numbers: polars takes a name such as "^a.*$" for a pattern, even a series' own."""
    return pl.DataFrame([_sortable(frame[name].alias(str(number))) for number, name in enumerate(names)])


def _sortable(column: pl.Series) -> pl.Series:
    """Give a column whose order is total and whose equal values are identical: integers, booleans, text or bytes."""
    if column.dtype not in (pl.Float32, pl.Float64):
        return column.to_physical()
    floats = column.fill_null(0.0).to_numpy().copy()
    floats[np.isnan(floats)] = np.nan  # NaN has many bit patterns, and they all mean the same
    bits = pl.Series(column.name, floats.view(np.int32 if column.dtype == pl.Float32 else np.int64))
    return bits.set(column.is_null(), None)


def _feed(digest: "hashlib._Hash", column: pl.Series) -> None:
    """Add one sorted column to the digest: which rows have a value, then the values."""
    digest.update(column.is_not_null().to_numpy().astype(np.uint8).tobytes())
    if column.dtype not in (pl.String, pl.Binary):
        values = column.cast(pl.UInt8) if column.dtype == pl.Boolean else column
        array = values.fill_null(0).to_numpy()
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        return
    text = column.cast(pl.Binary).fill_null(b"")
    digest.update(text.bin.size().cast(pl.Int64).to_numpy().astype("<i8").tobytes())
    for start in range(0, text.len(), _ROWS_AT_ONCE):
        digest.update(b"".join(text.slice(start, _ROWS_AT_ONCE).to_list()))


def _type_name(dtype: pl.DataType) -> str:
    """Name a canonical type in words of our own: those of a library change with it."""
    return "datetime_us_utc" if isinstance(dtype, pl.Datetime) else _TYPE_NAMES[dtype.base_type()]
