"""Files that a command writes: refused before the work begins, and written all or none.

Each is written beside its place first and then moved there, so that a full disk or a killed command leaves what was there.
"""

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile

from tidewheel.errors import InputError


def check_outputs(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Refuse outputs that cannot be written, are named twice, or are one of the inputs.

    Raises:
        InputError: with the path and the reason; nothing has been written.
    """
    taken = [path.resolve() for path in inputs]
    for path in outputs:
        place = path.resolve()
        if any(place == other or other in place.parents for other in taken):
            raise InputError(f"cannot write {path}: another file of this command is there")
        taken.append(place)
        if path.is_dir():
            raise InputError(f"cannot write {path}: it is a folder")
        try:
            if not _is_special(path):
                TemporaryFile(dir=place.parent).close()
            elif not os.access(path, os.W_OK):
                # Not opened to see: the reader of a pipe would take the closing for the end.
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from error


def write_outputs(contents: Mapping[Path, str | bytes]) -> None:
    """Write texts (as UTF-8) and bytes to their files, all or none.

    Raises:
        InputError: one of them cannot be written; none is changed (but for a failing move after the first, which only
            another process can cause once `check_outputs` has passed).
    """
    written = {
        path: data if isinstance(data, bytes) else data.encode("utf-8") for path, data in contents.items()
    }
    staged: dict[Path, Path] = {}
    path = Path()
    try:
        for path, data in written.items():
            if not _is_special(path):
                with NamedTemporaryFile(dir=path.resolve().parent, delete=False) as file:
                    staged[path] = Path(file.name)
                    file.write(data)
                # As any other new file: the temporary one is its owner's alone.
                staged[path].chmod(0o666 & ~_umask())
        for path, data in written.items():
            if path in staged:
                staged[path].replace(path.resolve())
                del staged[path]
            else:
                path.write_bytes(data)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        for left in staged.values():
            left.unlink(missing_ok=True)


def _is_special(path: Path) -> bool:
    """A device or pipe, such as /dev/stdout: written to, never replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _umask() -> int:
    # The system tells its mask only by setting one.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
