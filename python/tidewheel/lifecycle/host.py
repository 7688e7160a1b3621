"""Who runs the steps of the loop, and whom it tells of what no record holds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tidewheel.drift import DriftReport
from tidewheel.monitoring.windows import Window

R = TypeVar("R")


class Runner(Protocol):
    """Run a step under a name that people see, and return what it returns."""

    def __call__(self, name: str, step: Callable[[], R], /) -> R:
        """Run the step."""
        ...


@dataclass(frozen=True)
class Host:
    """What surrounds a use case.

    Attributes:
        run: Runs a step; a scheduler may record, retry or show it.
        show_drift: Takes the drift report of a window; the ledger keeps its finding alone.
    """

    run: Runner
    show_drift: Callable[[Window, DriftReport], None]


def _run_here(_: str, step: Callable[[], R], /) -> R:
    return step()


def _show_nobody(_: Window, __: DriftReport) -> None:
    return None


#: Steps are plain calls, and nobody looks on.
ALONE = Host(_run_here, _show_nobody)
