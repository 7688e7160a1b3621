"""Progress of long work, told to whoever listens: steps and counts go out as log records, and nothing is printed here.

The functions that do the work call `announce`; the command line attaches a handler that draws it (`cli.progress`). Without
a listener an announcement costs a microsecond and has no effect.
"""

import logging
from dataclasses import dataclass

LOGGER = logging.getLogger("tidewheel.progress")
LOGGER.propagate = False
LOGGER.setLevel(logging.INFO)
LOGGER.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Step:
    """Hold one announcement: what is being done, and how much of it (`total` 0: not known)."""

    name: str
    detail: str = ""
    done: int = 0
    total: int = 0
    at: str = ""
    """The event time it is about, in words ("April", "2013-04-02"); empty when it has none."""


def announce(name: str, detail: str = "", *, done: int = 0, total: int = 0, at: str = "") -> None:
    """Tell whoever listens that step `name` is under way, with `done` of `total` parts finished.

    Example:
        >>> announce("train", "regularised", done=1, total=3)
    """
    LOGGER.info("%s", name, extra={"step": Step(name, detail, done, total, at)})
