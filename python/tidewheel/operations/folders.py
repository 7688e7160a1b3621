"""Folders of runs: for their user alone, and in the hands of one process at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from tidewheel.errors import InputError

LOCK_FILE = "run.lock"
"""It stays when a run ends: removing it would let two processes hold the lock, each on a file of its own."""


def make_private(folder: Path, *, with_contents: bool = False) -> None:
    """Make a folder that only its user may enter, or take everybody else's permissions from one that is there.

    Args:
        folder: The folder; the one above it is made for its user alone as well, where it is not there yet.
        with_contents: Take them from everything in it too; links are not followed.

    Raises:
        InputError: It cannot be made, or belongs to somebody else.
    """
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        for path in folder.rglob("*") if with_contents else ():
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o700)
    except OSError as error:
        raise InputError(f"cannot write in {folder}: {error.strerror}") from error


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`, which is there, while the block runs; wait for whoever holds it.

    Raises:
        InputError: The file system has no locks, or the lock's file cannot be written.
    """
    file = folder / LOCK_FILE
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise InputError(f"cannot write in {folder}: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError as error:
                raise InputError(f"{file} cannot be locked: {error.strerror}") from error
            # Whoever removes the folder while we wait removes the file too: then it is locked for us alone.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), file.stat()):
                    yield
                    return
        finally:
            os.close(descriptor)
