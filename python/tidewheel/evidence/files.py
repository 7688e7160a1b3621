"""Which file lies at a ledger's address, and that nobody opens a new one while somebody still has the former one open.

SQLite finds the side files `-wal` and `-shm` by name. Were a file opened while those of the file that lay there before are
still in use, their rows would be read as its own, and written into it. The lock beside the ledger, `<path>-lock`, prevents
that among all who open it by Tidewheel: it names the file in use, whose users share it.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidewheel.errors import ConflictError, InputError, ServiceError

FileId = tuple[int, int]
"""Device and number of a file: another one at the same path has others."""

_STEP_S = 0.002


class LedgerFile:
    """Look at the file of a SQLite ledger, and hold it while a transaction uses it; safe to use from several threads."""

    def __init__(self, path: Path, shown: str, timeout_s: float) -> None:
        self._path = path
        self._shown = shown
        self._timeout_s = timeout_s
        self._held = threading.local()

    def find(self) -> FileId:
        """Say which file lies at the address.

        Raises:
            InputError: there is none, or it cannot be reached.
        """
        try:
            found = self._path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InputError(
                f"the ledger {self._shown} is gone: its file was moved or deleted; put it back"
            ) from error
        except OSError as error:
            raise InputError(f"cannot open the ledger {self._shown}: {error.strerror}") from error
        return found.st_dev, found.st_ino

    def exists(self) -> bool:
        """Say whether a file lies at the address at all."""
        return self._path.exists()

    def is_at(self, file: FileId) -> bool:
        """Say whether this file lies at the address now."""
        try:
            return self.find() == file
        except InputError:
            return False

    @contextmanager
    def hold(self) -> Iterator[FileId]:
        """Hold the file that lies at the address now, together with others who use it, until all is closed again.

        Raises:
            InputError: there is no file.
            ServiceError: somebody who uses the file that lay there before does not end.
        """
        file = self.find()
        try:
            lock = os.open(f"{self._path}-lock", os.O_RDWR | os.O_CREAT, 0o666)
        except (
            OSError
        ):  # a folder that cannot be written: nobody writes to its ledger, and nobody replaces it
            lock = None
        try:
            if lock is not None:
                self._share(lock, b"%d %d\n" % file)
            self._held.file = file
            yield file
        finally:
            self._held.file = None
            if lock is not None:
                os.close(lock)

    def check_opened(self) -> None:
        """Check, after the file was opened and before it is read, that it is the one held.

        Raises:
            ConflictError: another one came to lie at the address meanwhile; nothing was read or written.
        """
        held = getattr(self._held, "file", None)
        if held is not None and not self.is_at(held):
            raise ConflictError(f"the ledger {self._shown} was replaced while it was opened; open it again")

    def _share(self, lock: int, name: bytes) -> None:
        """Wait until the lock names this file, and share it; whoever gets it alone meanwhile writes the name into it."""
        until = time.monotonic() + self._timeout_s
        while not (_take(lock, fcntl.LOCK_SH) and os.pread(lock, 64, 0) == name):
            fcntl.flock(lock, fcntl.LOCK_UN)
            if _take(lock, fcntl.LOCK_EX):  # so nobody has the former file open any more
                os.ftruncate(lock, 0)
                os.pwrite(lock, name, 0)
                fcntl.flock(lock, fcntl.LOCK_UN)
            elif time.monotonic() > until:
                raise ServiceError(
                    f"the ledger {self._shown} was replaced, and a process that uses its former file does not end; "
                    "try again"
                )
            else:
                time.sleep(_STEP_S)


def _take(lock: int, kind: int) -> bool:
    """Take a lock if nobody else has it in another way."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
