"""The rungs of the ladder in a replica's process: quick ones score in the event loop, slow ones in a thread of their own.

A call into a thread costs a tenth of a request, and a call that blocks the loop costs everybody. So a rung scores in the
loop only as many rows as it has shown to score quickly; more go to its thread, whose time is the evidence for the next.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Row = Mapping[str, Any]
RungName = Literal["champion", "previous", "heuristic"]
Score = Callable[[Sequence[Row]], NDArray[np.float64]]

QUICK_S = 0.02
"""Longest call in the event loop: other requests wait for it. Scoring one row takes a hundredth of it."""


class Rung:
    """Hold one step of the ladder; its methods belong to one event loop, and its function runs once at a time.

    Args:
        name: Its name.
        model: The model id it answers for.
        score: Gives one score for each row.
    """

    def __init__(self, name: RungName, model: str, score: Score) -> None:
        self.name: RungName = name
        self.model = model
        self._score = score
        self._quick_rows = 0
        self._thread: ThreadPoolExecutor | None = None
        self._n_waiting = 0
        self._idle = asyncio.Event()
        self._late_since: float | None = None

    def is_quick(self, n_rows: int) -> bool:
        """Say whether so many rows may be scored in the event loop: as many were quick, and the thread is idle."""
        return n_rows <= self._quick_rows and not self._n_waiting

    def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Score rows at once, in the event loop."""
        began = time.monotonic()
        scores = self._score(rows)
        if time.monotonic() - began > QUICK_S:
            self._quick_rows = len(rows) - 1
        return scores

    async def score_apart(self, rows: Sequence[Row], until: float) -> NDArray[np.float64]:
        """Score rows in the rung's thread, or in the loop once the thread is idle where so many have become quick.

        Raises:
            TimeoutError: It was not done by `until` (a time of `time.monotonic`), or an earlier call is overdue: only
                those who asked first wait for a model that hangs.
        """
        if self._late_since is not None:
            late_s = time.monotonic() - self._late_since
            raise TimeoutError(f"{self.name} still works on a request that is overdue for {late_s:.1f} s")
        began = time.monotonic()
        try:
            async with asyncio.timeout(until - began):
                while self._n_waiting and len(rows) <= self._quick_rows:
                    await self._idle.wait()
                if self.is_quick(len(rows)):
                    return self.score(rows)
                return await self._in_thread(rows, until)
        except TimeoutError:
            raise TimeoutError(f"{self.name} did not answer within {max(until - began, 0.0):.3g} s") from None

    async def _in_thread(self, rows: Sequence[Row], until: float) -> NDArray[np.float64]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, f"rung {self.name}")
        loop = asyncio.get_running_loop()
        self._n_waiting += 1
        self._idle.clear()
        call = self._thread.submit(self._timed, rows)
        call.add_done_callback(lambda done: self._tell(loop, done, len(rows)))
        try:
            # Shielded: cancelling it would cancel the call, and whether that succeeds is what we have to know.
            return (await asyncio.shield(asyncio.wrap_future(call)))[0]
        except asyncio.CancelledError:
            # A caller who leaves says nothing about the rung; a call that began and is not done in time does.
            if not call.cancel() and not call.done() and time.monotonic() >= until:
                self._late_since = time.monotonic()
            raise

    def _timed(self, rows: Sequence[Row]) -> tuple[NDArray[np.float64], float]:
        began = time.monotonic()
        return self._score(rows), time.monotonic() - began

    def _tell(
        self, loop: asyncio.AbstractEventLoop, call: Future[tuple[NDArray[np.float64], float]], n_rows: int
    ) -> None:
        """Hand a call that ended, in whichever thread, to the event loop; it may be closed by then."""
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._note, call, n_rows)

    def _note(self, call: Future[tuple[NDArray[np.float64], float]], n_rows: int) -> None:
        """Learn from a call that ended, whoever still waits for it."""
        self._n_waiting -= 1
        if not self._n_waiting:
            self._idle.set()
        if call.cancelled():
            return
        self._late_since = None
        if call.exception() is None:
            is_quick = call.result()[1] <= QUICK_S
            self._quick_rows = (
                max(self._quick_rows, n_rows) if is_quick else min(self._quick_rows, n_rows - 1)
            )
