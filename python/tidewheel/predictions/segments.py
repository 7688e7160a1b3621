"""The files in which a process keeps records until they are in Delta, and the locks that say whose they are.

What belongs here: segments that only grow, the folder of each writer with its lock, and making both again when somebody
removed them. What does not: moving segments into Delta (`predictions.log`).

    <folder>/segments/<writer>                               a folder, itself locked while the writer lives
    <folder>/segments/<writer>/000000001.predictions.jsonl   numbered from 1, apart for each table
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tidewheel.predictions.records import TableName

OPEN_ATTEMPTS = 3
"""A folder can be removed again between making it and opening a file in it; whoever removes it is done soon."""

COPY_BYTES = 1 << 20
"""A segment is rescued by so many bytes at a time, so that a long one does not fill the memory."""


class Place:
    """The folder of one living writer: locked, and made again when it is not where it was made.

    `path` is where it is, `descriptor` the open folder itself, on which the lock hangs.

    Args:
        folder: Of the log.
        writer: Its name among all writers of the log.

    Raises:
        OSError: The folder cannot be made.
    """

    def __init__(self, folder: Path, writer: str) -> None:
        self._folder = folder
        self._writer = writer
        self._renewing = threading.Lock()
        self.path, self.descriptor = open_place(folder, writer)

    def renew(self) -> None:
        """Make the folder and lock it again if it was removed, moved away or replaced; else do nothing.

        Raises:
            OSError: It cannot be made.
        """
        with self._renewing:
            if not _is_at(self.descriptor, self.path):
                gone = self.descriptor
                self.path, self.descriptor = open_place(self._folder, self._writer)
                os.close(gone)

    def create(self, name: str) -> int:
        """Open a new file in the folder, for appending and for reading.

        Raises:
            OSError: The folder or the file cannot be made.
        """
        for _ in range(OPEN_ATTEMPTS - 1):
            with suppress(FileNotFoundError, BlockingIOError):
                return self._create(name)
        return self._create(name)

    def close(self) -> None:
        """Give the lock up."""
        os.close(self.descriptor)

    def _create(self, name: str) -> int:
        self.renew()
        return os.open(self.path / name, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)


@dataclass(slots=True)
class Segment:
    """The segments of one table: the open one is a file that only grows.

    `number` is the last one that was tried; `opened`, `name`, `rows` and `size` are of the open segment; `sealed` counts the
    rows of each closed one that is not yet moved, by number.
    """

    table: TableName
    number: int = 0
    handle: int | None = None
    opened: int = 0
    name: bytes = b""
    size: int = 0
    rows: int = 0
    sealed: dict[int, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def waiting(self) -> int:
        """Count the rows that are not yet moved."""
        return self.rows + sum(tuple(self.sealed.values()))

    def append(self, place: Place, lines: bytes, rows: int) -> None:
        """Write whole lines by one system call, or nothing; once this returns they are in a file of `place`.

        A file that somebody removed takes lines as if nothing had happened, so after each write it is looked for in its
        folder: by name, since to ask the file itself for its links, and with them its times, makes the next write dearer
        by as much again. The file can still be read by its descriptor: all it holds goes into a new segment, in a folder
        made again. A file or folder that was moved away or replaced is noticed when the segment is sealed.

        Raises:
            OSError: The disk is full, or the folder cannot be made again; what was kept before stays kept.
        """
        handle = self.handle
        if handle is None:
            handle = self._open(self._create(place))
        try:
            written = os.write(handle, lines)
            if written < len(lines):
                raise OSError(
                    f"prediction log: {written} of {len(lines)} bytes written; the disk may be full"
                )
            if not os.access(self.name, os.F_OK, dir_fd=place.descriptor):
                self._rescue(place, self.size + len(lines))
        except OSError:
            # Half a line would spoil the next: cut it off, and leave the segment in case that failed, too.
            with suppress(OSError):
                os.ftruncate(handle, self.size)
            with suppress(OSError):
                self.seal(place)
            raise
        self.size += len(lines)
        self.rows += rows

    def seal(self, place: Place) -> None:
        """Close the open segment, rescued if it is not where it was made; the next record opens a new one.

        Raises:
            OSError: It cannot be rescued; then it stays open.
        """
        if self.handle is None:
            return
        if not _is_at(self.handle, place.path / self._name(self.opened)):
            self._rescue(place, self.size)
        os.close(self.handle)
        self.sealed[self.opened] = self.rows
        self.handle, self.size, self.rows = None, 0, 0

    def _create(self, place: Place) -> int:
        self.number += 1
        return place.create(self._name(self.number))

    def _open(self, handle: int) -> int:
        self.handle, self.opened = handle, self.number
        self.name = self._name(self.opened).encode()
        return handle

    def _name(self, number: int) -> str:
        return f"{number:09d}.{self.table}.jsonl"

    def _rescue(self, place: Place, size: int) -> None:
        """Go on in a new segment, with the first `size` bytes of the open one."""
        assert self.handle is not None, "only an open segment can be read by its descriptor"
        copy = self._create(place)
        try:
            _copy(self.handle, copy, size)
        except OSError:
            os.close(copy)
            with suppress(OSError):
                (place.path / self._name(self.number)).unlink()
            raise
        os.close(self.handle)
        # What somebody put in its place is not what was appended: moved beside the copy, it would double rows.
        with suppress(OSError):
            (place.path / self._name(self.opened)).unlink()
        self._open(copy)


def _copy(source: int, target: int, size: int) -> None:
    """Append the first `size` bytes of a file to another one."""
    done = 0
    while done < size:
        part = os.pread(source, min(COPY_BYTES, size - done), done)
        if not part:
            return  # somebody cut it; the move counts what is missing
        written = os.write(target, part)
        if written < len(part):
            raise OSError(f"prediction log: {written} of {len(part)} bytes copied; the disk may be full")
        done += written


def _is_at(file: int, path: Path) -> bool:
    """Say whether an open file or folder is the one that its path names."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


@contextmanager
def _gate(folder: Path) -> Iterator[int]:
    """Let one process at a time open or claim writers' folders; give a descriptor of the folder they are in.

    Who waited at the gate of a folder that was removed meanwhile goes to the gate of the new one.
    """
    segments = folder / "segments"
    while True:
        segments.mkdir(parents=True, exist_ok=True)
        home = os.open(segments, os.O_RDONLY | os.O_DIRECTORY)
        try:
            gate = os.open(".gate", os.O_RDWR | os.O_CREAT, 0o644, dir_fd=home)
            try:
                fcntl.flock(gate, fcntl.LOCK_EX)
                if _is_at(gate, segments / ".gate"):
                    yield home
                    return
            finally:
                os.close(gate)
        finally:
            os.close(home)


def open_place(folder: Path, writer: str) -> tuple[Path, int]:
    """Make a writer's folder and lock it; behind the gate nobody takes it for a dead one's before it is locked.

    A folder of that name that nobody holds, as a copy put back leaves it, is taken as it is.

    Raises:
        OSError: The folder cannot be made, or somebody is just taking it for a dead writer's.
    """
    place = folder / "segments" / writer
    with _gate(folder):
        place.mkdir(exist_ok=True)
        lock = _try_lock(place)
    if lock is None:
        raise BlockingIOError(
            f"{place} must be free to be locked; another process holds it, or has removed it"
        )
    return place, lock


def claim_dead(folder: Path) -> list[tuple[Path, int]]:
    """Lock the folders that no living process holds."""
    claimed = []
    with _gate(folder) as home:
        # Listed by descriptor: were the folder removed just now, its successor holds places that are not locked yet.
        for name in sorted(os.listdir(home)):
            place = folder / "segments" / name
            lock = _try_lock(place)
            if lock is not None:
                claimed.append((place, lock))
    return claimed


def _try_lock(place: Path) -> int | None:
    """Lock a writer's folder; None if its writer lives, or if it is no folder any more.

    The folder itself is locked and not a file in it, which could be removed while the segments stay.
    """
    try:
        lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        # Not a process id with its start time: that is read before it is acted on, and differs between containers.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    if not _is_at(lock, place):
        os.close(lock)
        return None
    return lock


def remove_place(place: Path) -> None:
    """Remove a writer's folder, which no segment is left in."""
    with suppress(OSError):
        (place / "lock").unlink()  # writers of earlier builds kept their lock in a file
    with suppress(OSError):
        place.rmdir()
