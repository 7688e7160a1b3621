"""Calling the command of a user: what it says, and how it ends."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Told(NamedTuple):
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Told]

PROGRAM = Path(sys.executable).with_name("tidewheel")


def environment() -> dict[str, str]:
    """Give this process's environment without what the tests set for Prefect."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}


def shell(*arguments: object, timeout_s: float = 240.0) -> Told:
    """Call the command in a process of its own, as a user would."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(),
    )
    return Told(done.returncode, done.stdout, done.stderr)
