"""The short symbolic link that stands for a run's folder, since the address of a Unix socket is limited to 107 bytes.

Only the link lies in `/tmp`, where a cleaner may remove it; everything else lies in the project. `operations.runfile` makes
and removes the link, the Ray head keeps it while it lives (`serving.head_ray`).
"""

import contextlib
import os
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path

KEEP_S = 0.25
"""Time between two looks at the link, which cost 10 microseconds each: a replica takes a second to start."""

TRIES = 3
"""Looks at one link in a row: two processes of a run may make it at the same moment."""


def mend_link(link: Path, folder: Path) -> str:
    """Make `link` point to `folder` again if it does not; what another user put in its place is left alone.

    What this user's own programs put there while the link was gone (they make folders on the way to their files) is
    replaced.

    Returns:
        What is wrong with the link in words; empty if it stands now.

    Raises:
        OSError: The link cannot be made, or what is in its place cannot be removed.
    """
    for _ in range(TRIES):
        with contextlib.suppress(FileNotFoundError):
            found = link.lstat()
            if found.st_uid != os.geteuid():
                return f"{link} must be a link of user {os.geteuid()}; it belongs to user {found.st_uid}"
            if stat.S_ISLNK(found.st_mode) and link.readlink() == folder:
                return ""
            remove_link(link, folder)
        with contextlib.suppress(FileExistsError):  # another process of the run was quicker, or somebody else
            link.symlink_to(folder)
            return ""
    return f"{link} must be a link to {folder}; something else takes its place again and again"


def remove_link(link: Path, folder: Path) -> None:
    """Remove the link to `folder`, or what this user's programs put in its place; nothing is followed."""
    with contextlib.suppress(FileNotFoundError):
        found = link.lstat()
        # The superuser ends the runs of others too, and with them their links.
        is_link = stat.S_ISLNK(found.st_mode) and link.readlink() == folder
        if not is_link and found.st_uid != os.geteuid():
            return
        if stat.S_ISDIR(found.st_mode):
            shutil.rmtree(link, ignore_errors=True)
        else:
            link.unlink()


def keep_link(link: Path, folder: Path, ended: threading.Event, tell: Callable[[str], None]) -> None:
    """Look after the link until `ended` is set; `tell` gets what is wrong with it, once each time that changes."""
    told = ""
    while not ended.wait(KEEP_S):
        try:
            wrong = mend_link(link, folder)
        except OSError as error:
            wrong = f"{link} cannot be made again: {error.strerror}"
        if wrong and wrong != told:
            tell(wrong)
        told = wrong
