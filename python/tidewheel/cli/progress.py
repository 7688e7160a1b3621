"""Draw the announcements of long work: a live line with a bar on a terminal, a plain line a step in a pipe."""

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from tidewheel.operations.progress import LOGGER, Step


class _Console(Console):
    """Write to standard error as long as somebody reads it: whoever looks away does not end the work."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), sys.stderr.fileno())


class _Listener(logging.Handler):
    """Turn announcements into progress bars (terminal) or lines (pipe)."""

    def __init__(self, console: Console, bars: Progress) -> None:
        super().__init__()
        self._console = console
        self._bars = bars
        self._task = bars.add_task("starting", total=None)
        self._last = ""
        self._began = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        step: Step | None = getattr(record, "step", None)
        if step is None:
            return
        words = " ".join(
            part
            for part in (
                f"[bold]{step.name}[/]",
                escape(step.detail),
                f"[dim]{step.at}[/]" if step.at else "",
            )
            if part
        )
        if self._console.is_terminal:
            self._bars.update(self._task, description=words, completed=step.done, total=step.total or None)
        if words != self._last:
            self._console.print(f"[dim]{time.monotonic() - self._began:6.1f} s[/]  {words}", highlight=False)
            self._last = words


@contextmanager
def drawn() -> Iterator[None]:
    """Draw announcements on standard error until the block ends."""
    console = _Console(stderr=True, highlight=False)
    if not console.is_terminal:
        console.width = 200
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        listener = _Listener(console, bars)
        LOGGER.addHandler(listener)
        try:
            yield
        finally:
            LOGGER.removeHandler(listener)
