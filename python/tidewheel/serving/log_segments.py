"""The files in which a process keeps records until they are in Delta, and the locks that say whose they are.

What belongs here: segments that only grow, and the folder of each writer with its lock. What does not: moving segments into
Delta (`serving.prediction_log`).

    <folder>/segments/<writer>/lock                          locked while the writer lives
    <folder>/segments/<writer>/000000001.predictions.jsonl   numbered from 1, apart for each table
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tidewheel.serving.log_records import TableName


@dataclass(slots=True)
class Segment:
    """The segments of one table: the open one is a file that only grows."""

    table: TableName
    number: int = 0
    handle: int | None = None
    size: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def append(self, place: Path, lines: bytes) -> None:
        """Write whole lines by one system call, or nothing."""
        if self.handle is None:
            self.number += 1
            path = place / f"{self.number:09d}.{self.table}.jsonl"
            self.handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
            self.size = 0
        try:
            written = os.write(self.handle, lines)
            if written < len(lines):
                raise OSError(
                    f"prediction log: {written} of {len(lines)} bytes written; the disk may be full"
                )
        except OSError:
            # Half a line would spoil the next: cut it off, and leave the segment in case that failed, too.
            with suppress(OSError):
                os.ftruncate(self.handle, self.size)
            self.seal()
            raise
        self.size += len(lines)

    def seal(self) -> None:
        """Close the open segment; the next record opens a new one."""
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None


@contextmanager
def _gate(folder: Path) -> Iterator[None]:
    """Let one process at a time open or claim writers' folders."""
    segments = folder / "segments"
    segments.mkdir(parents=True, exist_ok=True)
    gate = os.open(segments / ".gate", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield
    finally:
        os.close(gate)


def open_place(folder: Path, writer: str) -> tuple[Path, int]:
    """Make a writer's folder and lock it; behind the gate nobody takes it for a dead one's before it is locked."""
    place = folder / "segments" / writer
    with _gate(folder):
        place.mkdir()
        lock = _try_lock(place)
    assert lock is not None, "a folder made just now is nobody else's"
    os.write(lock, f"{os.getpid()}\n".encode())  # for people; the lock is what counts
    return place, lock


def claim_dead(folder: Path) -> list[tuple[Path, int]]:
    """Lock the folders that no living process holds."""
    claimed = []
    with _gate(folder):
        for place in sorted(path for path in (folder / "segments").iterdir() if path.is_dir()):
            lock = _try_lock(place)
            if lock is not None:
                claimed.append((place, lock))
    return claimed


def _try_lock(place: Path) -> int | None:
    """Lock a writer's folder; None if its writer lives, or if the folder has just been removed."""
    try:
        lock = os.open(place / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError:
        return None
    try:
        # Not a process id with its start time: that is read before it is acted on, and differs between containers.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def remove_place(place: Path) -> None:
    """Remove a writer's folder, which no segment is left in."""
    with suppress(FileNotFoundError):
        (place / "lock").unlink()
    with suppress(OSError):
        place.rmdir()
