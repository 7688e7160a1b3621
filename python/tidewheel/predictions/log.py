"""The prediction log: every answered request, kept before it is answered, in Delta soon after.

What belongs here: writing, moving, recovering and reading. What does not: what a record holds (`predictions.records`), files
and locks (`predictions.segments`), what is made of the log (`rollout.outcomes`, `monitoring`).

The durability is "acknowledged". A record is a line in a local segment before the answer goes out, written by one system
call, so it survives the end of the process (not of the machine). From time to time a segment is sealed and moved into the
Delta table, exactly once: the commit that adds the rows also says "writer W, segment N" (an application transaction of
Delta's), so whoever finds segment N of W again knows by the table whether its rows are in. A segment is deleted only after
that. The lock of a writer's folder belongs to its process and is dropped by the system with it: what is not locked was
left by a dead writer, and is moved by the next one that starts or flushes. Two processes that met on one segment could
not both commit it: Delta refuses the second.

Folders and segments that somebody removes are made again at the next append or move, and what the open segment held is
written again. Gone are the rows of a sealed segment that was removed before it was moved: they are counted as lost.

The Delta tables are `<folder>/predictions` and `<folder>/pairs`.
"""

import logging
import math
import os
import random
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import msgspec
import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from tidewheel.errors import ConflictError, InputError
from tidewheel.predictions.records import (
    FORMAT_VERSION,
    SCHEMAS,
    Pair,
    Prediction,
    TableName,
    parse_each,
    parse_lines,
)
from tidewheel.predictions.segments import Place, Segment, claim_dead, remove_place

ATTEMPTS_MAX = 20
"""Appends seldom conflict (only over who creates the table); each lost attempt means that another writer won."""

ERROR_LENGTH_MAX = 300
"""The text of an error is kept up to this length: one line of it names the table and the cause."""

COMMIT_BYTES = 64 << 20
"""Segments are moved by so many bytes at a time: bounds the memory after a long time without Delta."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Moved:
    """Count what was moved into Delta: rows of each table, and lines that had to be left out.

    `torn` lines were cut off by the end of their process, before any answer; `unreadable` ones are something else, and
    their segment is kept under another name. `lost` rows were appended by a living writer and were gone when they were to
    be moved: their segment had been removed or cut. What a dead writer lost is not known.
    """

    predictions: int = 0
    pairs: int = 0
    torn: int = 0
    unreadable: int = 0
    lost: int = 0

    def __add__(self, other: "Moved") -> "Moved":
        return Moved(
            self.predictions + other.predictions,
            self.pairs + other.pairs,
            self.torn + other.torn,
            self.unreadable + other.unreadable,
            self.lost + other.lost,
        )


class PredictionLog:
    """Write a prediction log: one for each process that answers; its threads may share it.

    Opening it moves what dead writers left. Use it as a context manager, or `close` it: then everything is in Delta.
    Whatever else ends the process, nothing is lost: the next writer, or `recover`, moves it. While a folder cannot be made
    again or the disk is full, `append` raises and `problem` says so; both heal by themselves.

    Args:
        folder: Of the log, on a disk of this machine; made if need be.
        writer: Name of the process, such as the id of the replica; it need not be unique.
        flush_s: Seconds between two moves into Delta; inf to move only by `flush`.

    Raises:
        InputError: `writer` is empty, holds a slash or begins with a point, or `flush_s` is not positive.
        OSError: The folder cannot be written.
    """

    def __init__(self, folder: Path | str, writer: str, flush_s: float = 2.0) -> None:
        if not writer or "/" in writer or writer.startswith("."):
            raise InputError(f"`writer` must be a name without slashes or a leading point; got {writer!r}")
        if not flush_s > 0.0:
            raise InputError(f"`flush_s` must be positive; got {flush_s!r}")
        self._folder = Path(folder)
        self._flush_s = flush_s
        # A name may come again with the next process; the transactions that Delta remembers of it would, too.
        self._writer = f"{writer}-{uuid4().hex[:12]}"
        self._place = Place(self._folder, self._writer)
        self._is_open = True
        self._segments = {name: Segment(name) for name in SCHEMAS}
        self._encode_lines = msgspec.json.Encoder().encode_lines
        self._moving = threading.Lock()
        self._moved = Moved()
        self._failures = 0
        self._failing_since: datetime | None = None
        self._last_error: str | None = None
        self._append_error: str | None = None
        self._closing = threading.Event()
        self._try_flush()
        self._thread = threading.Thread(target=self._flush_often, name=f"log of {writer}", daemon=True)
        if flush_s < math.inf:
            self._thread.start()

    @property
    def moved(self) -> Moved:
        """Count what was moved into Delta so far, by this writer and of dead ones."""
        return self._moved

    @property
    def failures(self) -> int:
        """Count the moves that failed since the log was opened, whoever asked for them; the rows waited meanwhile."""
        return self._failures

    @property
    def failing_since(self) -> datetime | None:
        """Give the wall time of the first of the moves that have failed in a row up to now; None if the last one did not."""
        return self._failing_since

    @property
    def last_error(self) -> str | None:
        """Say why the last move failed; None if it did not."""
        return self._last_error

    @property
    def lost(self) -> int:
        """Count the rows that are gone: their segments were removed or cut before they could be moved."""
        return self._moved.lost

    @property
    def waiting(self) -> int:
        """Count the rows that were appended and are not yet in Delta."""
        return sum(segment.waiting for segment in self._segments.values())

    @property
    def problem(self) -> str | None:
        """Say in one sentence what is wrong with the log now; None if nothing is.

        Rows that cannot be kept come before rows that wait. That they cannot be kept is taken back by the next append or
        move that succeeds. Rows `lost` are no problem of now: what lost them is over.
        """
        # Each is read once: another thread may take it back in between.
        append_error, since, last_error = self._append_error, self._failing_since, self._last_error
        if append_error is not None:
            return f"the prediction log cannot keep rows: {append_error}"
        if since is not None:
            return (
                f"{self.waiting} rows of the prediction log wait in segments; moving them into Delta has failed since "
                f"{since:%Y-%m-%d %H:%M:%S} UTC: {last_error}"
            )
        return None

    def append(self, records: Sequence[Prediction]) -> None:
        """Keep predictions; once this returns they outlive the process.

        Raises:
            OSError: The disk is full, or the folder is gone and cannot be made again; then none of `records` is kept.
            InputError: The log is closed.

        Cost: some 7 us for one record, one of them for looking whether its segment was removed.
        """
        self._append(self._segments["predictions"], records)

    def append_pairs(self, records: Sequence[Pair]) -> None:
        """Keep pairs, just as `append` keeps predictions."""
        self._append(self._segments["pairs"], records)

    def flush(self) -> Moved:
        """Move everything that was appended before this call, and what dead writers left, into Delta.

        Returns:
            The count of what this call moved.

        Raises:
            DeltaError, OSError: The table cannot be written; the rows wait in their segments.
            ConflictError: Other writers won too often; likewise.
        """
        moved = Moved()
        with self._moving:
            try:
                for part in self._move_all():
                    self._moved += part
                    moved += part
            except Exception as error:
                self._failures += 1
                self._failing_since = self._failing_since or datetime.now(UTC)
                self._last_error = _words(error)
                raise
            self._failing_since = self._last_error = self._append_error = None
        return moved

    def close(self) -> Moved:
        """Move what is left and give the writer's folder up; closing twice does no harm.

        Raises:
            DeltaError, OSError, ConflictError: As `flush`; the rows wait until the process has ended.
        """
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        if not self._is_open:
            return Moved()
        moved = self.flush()
        remove_place(self._place.path)
        self._place.close()
        self._is_open = False
        return moved

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, segment: Segment, records: Sequence[Prediction] | Sequence[Pair]) -> None:
        if not records:
            return
        lines = self._encode_lines(records)
        with segment.lock:
            if self._closing.is_set():
                raise InputError("the prediction log must be open to be appended to; it is closed")
            try:
                segment.append(self._place, lines, len(records))
            except OSError as error:
                self._append_error = _words(error)
                raise
            self._append_error = None

    def _move_all(self) -> Iterator[Moved]:
        """Move what was appended up to now, then what dead writers left; count each commit once it is made."""
        self._place.renew()
        last = {name: self._seal(segment) for name, segment in self._segments.items()}
        sealed = {name: segment.sealed for name, segment in self._segments.items()}
        yield from _move(self._folder, self._place.path, last, sealed)
        yield from _recover(self._folder)

    def _seal(self, segment: Segment) -> int:
        with segment.lock:
            segment.seal(self._place)
            return segment.number

    def _flush_often(self) -> None:
        while not self._closing.wait(self._flush_s):
            self._try_flush()

    def _try_flush(self) -> None:
        try:
            self.flush()
        except Exception as error:
            # Serving goes on, whatever it is: the rows are safe where they are, and the next round takes them along.
            _logger.warning("prediction log %s: rows wait in segments: %s", self._folder, error)


def recover(folder: Path | str) -> Moved:
    """Move what dead writers left in `folder` into Delta; segments of living ones are left alone.

    Returns:
        The count of what was moved; nothing if there is no such folder.

    Raises:
        DeltaError, OSError, ConflictError: As `PredictionLog.flush`; what could not be moved stays for the next call.
    """
    return sum(_recover(Path(folder)), Moved())


def read_log(
    uri: Path | str, *, where: pl.Expr | None = None, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """Read the predictions that are in Delta; none if there is no log yet.

    Rows still in segments are not among them: `PredictionLog.flush` moves a living writer's, `recover` a dead one's.

    Args:
        uri: Folder of the log.
        where: Which rows; all if None. Files and columns that it does not need are not read.
        columns: Some of `PREDICTION_SCHEMA`; all if None.
    """
    return _read(uri, "predictions", where, columns)


def read_pairs(uri: Path | str, *, where: pl.Expr | None = None) -> pl.DataFrame:
    """Read the pairs that are in Delta, with the columns of `PAIR_SCHEMA`; `where` as in `read_log`."""
    return _read(uri, "pairs", where, None)


def append_batch(
    uri: Path | str, predictions: pl.DataFrame | None = None, pairs: pl.DataFrame | None = None
) -> None:
    """Add the answers of a batch, in one commit for each table; an empty frame commits nothing.

    Args:
        uri: Folder of the log.
        predictions: Columns of `PREDICTION_SCHEMA`, of these types or such as cast to them.
        pairs: Columns of `PAIR_SCHEMA`, likewise.

    Raises:
        InputError: A column is missing, or has a value that its type cannot hold. Then nothing is written.
        ConflictError: Other writers won too often.
    """
    given: dict[TableName, pl.DataFrame | None] = {"predictions": predictions, "pairs": pairs}
    frames = {name: _shaped(frame, name) for name, frame in given.items() if frame is not None}
    for name, frame in frames.items():
        if frame.height:
            _commit(Path(uri) / name, frame, None)


def _shaped(frame: pl.DataFrame, table: TableName) -> pl.DataFrame:
    schema = SCHEMAS[table]
    missing = [name for name in schema if name not in frame.columns]
    if missing:
        raise InputError(f"`{table}` must have the column `{missing[0]}`; got {', '.join(frame.columns)}")
    try:
        return frame.select(pl.col(name).cast(kind) for name, kind in schema.items())
    except pl.exceptions.PolarsError as error:
        raise InputError(f"the columns of `{table}` must have their types; {error}") from error


def _read(
    uri: Path | str, table: TableName, where: pl.Expr | None, columns: Sequence[str] | None
) -> pl.DataFrame:
    names = list(SCHEMAS[table]) if columns is None else list(columns)
    found = _open_table(Path(uri) / table)
    rows = pl.LazyFrame(schema=SCHEMAS[table]) if found is None else pl.scan_delta(found)
    if where is not None:
        rows = rows.filter(where)
    return rows.select(pl.col(name).cast(SCHEMAS[table][name]) for name in names).collect()


def _open_table(uri: Path) -> DeltaTable | None:
    try:
        return DeltaTable(str(uri))
    except TableNotFoundError:
        return None


def _commit(uri: Path, frame: pl.DataFrame, transaction: tuple[str, int] | None) -> None:
    """Append a frame in one commit; with a transaction (writer, number) only if it is not in the table already."""
    marks = [Transaction(*transaction)] if transaction else None
    properties = CommitProperties(
        app_transactions=marks, custom_metadata={"tidewheel.log_format": str(FORMAT_VERSION)}
    )
    for attempt in range(ATTEMPTS_MAX):
        table = _open_table(uri)
        if (
            table is not None
            and transaction is not None
            and _committed(table, transaction[0]) >= transaction[1]
        ):
            return
        try:
            uri.mkdir(parents=True, exist_ok=True)
            write_deltalake(table or str(uri), frame, mode="append", commit_properties=properties)
        except CommitFailedError:
            _wait_a_little(attempt)
        except DeltaError:
            # Without a table, whoever creates it first wins, and the error of the loser is of any kind.
            if table is not None or _open_table(uri) is None:
                raise
        else:
            return
    raise ConflictError(f"{uri} must take an append within {ATTEMPTS_MAX} attempts; other writers won each")


def _wait_a_little(attempt: int) -> None:
    """Step aside for a random while, longer each time, so that two losers do not meet again."""
    time.sleep(random.uniform(0.0, min(0.01 * 2.0**attempt, 0.5)))


def _committed(table: DeltaTable | None, writer: str) -> int:
    """Give the number of the last segment of `writer` whose rows are in the table; 0 if none is."""
    return 0 if table is None else table.transaction_version(writer) or 0


def _words(error: Exception) -> str:
    """Give an error's kind and its first line; Delta's may go on for many."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:ERROR_LENGTH_MAX]


def _recover(folder: Path) -> Iterator[Moved]:
    """Move what dead writers left, and count each commit once it is made."""
    if not (folder / "segments").is_dir():
        return
    with ExitStack() as locks:
        claimed = claim_dead(folder)
        for _, lock in claimed:
            locks.callback(os.close, lock)
        for place, _ in claimed:
            yield from _move(folder, place, None, None)
            remove_place(place)


def _move(
    folder: Path,
    place: Path,
    last: Mapping[TableName, int] | None,
    known: Mapping[TableName, dict[int, int]] | None,
) -> Iterator[Moved]:
    """Move the sealed segments of one writer: those up to number `last` of each table, or all of a dead one's.

    Of a living writer it is `known` how many rows each of them holds; what is settled is taken out of there. A file that it
    does not know is a copy that somebody put back: its rows are in, or were rescued into another segment.
    """
    for table in SCHEMAS:
        segments = {int(path.name.split(".")[0]): path for path in sorted(place.glob(f"*.{table}.jsonl"))}
        rows = dict.fromkeys(segments, 0) if known is None else known[table]
        ends = math.inf if last is None else last[table]
        for number in segments.keys() - rows.keys():
            if number <= ends:
                segments[number].unlink(missing_ok=True)
        due = sorted(number for number in tuple(rows) if number <= ends)
        if not due:
            continue
        committed = _committed(_open_table(folder / table), place.name)
        sealed, lost = [], 0
        for number in due:
            if number <= committed:  # its rows are in: the writer was ended between commit and deletion
                rows.pop(number)
                if number in segments:
                    segments[number].unlink(missing_ok=True)
            elif number in segments:
                sealed.append((number, segments[number]))
            else:
                lost += rows.pop(number)
        if lost:
            _logger.error(
                "prediction log %s: %d rows lost: their segments of %s are gone", folder, lost, table
            )
            yield Moved(lost=lost)
        for batch in _batches(sealed):
            yield _move_batch(folder, place.name, table, batch, rows)


def _batches(segments: list[tuple[int, Path]]) -> Iterator[list[tuple[int, Path]]]:
    batch: list[tuple[int, Path]] = []
    size = 0
    for number, path in segments:
        batch.append((number, path))
        size += path.stat().st_size
        if size >= COMMIT_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _move_batch(
    folder: Path, writer: str, table: TableName, batch: list[tuple[int, Path]], known: dict[int, int]
) -> Moved:
    """Move some segments in one commit, then delete them; rows that are `known` of and not found are lost."""
    frames, moved = [], Moved()
    for number, path in batch:
        frame, counted = _read_segment(path, table)
        frames.append(frame)
        moved += counted + Moved(lost=max(0, known.get(number, 0) - frame.height - counted.unreadable))
        if counted.unreadable:
            aside = folder / "unreadable"
            aside.mkdir(exist_ok=True)
            shutil.copyfile(path, aside / f"{writer}.{path.name}")
            _logger.error("prediction log: %d unreadable lines kept in %s", counted.unreadable, aside)
    rows = pl.concat(frames)
    if rows.height:
        _commit(folder / table, rows, (writer, batch[-1][0]))
    for number, path in batch:
        known.pop(number, None)
        path.unlink(missing_ok=True)
    return moved


def _read_segment(path: Path, table: TableName) -> tuple[pl.DataFrame, Moved]:
    """Read a segment's whole lines; what follows the last line end was never acknowledged."""
    content = path.read_bytes()
    whole, _, rest = content.rpartition(b"\n")
    lines = whole.count(b"\n") + 1 if whole else 0
    unreadable = 0
    try:
        frame = parse_lines(whole, table) if whole else pl.DataFrame(schema=SCHEMAS[table])
    except pl.exceptions.PolarsError:
        frame = parse_each(whole, table)
        unreadable = lines - frame.height
    torn = 1 if rest else 0
    if table == "predictions":
        return frame, Moved(predictions=frame.height, torn=torn, unreadable=unreadable)
    return frame, Moved(pairs=frame.height, torn=torn, unreadable=unreadable)
