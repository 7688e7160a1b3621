"""A rung scores in the event loop what it has shown to score quickly, and everything else in a thread, with a deadline."""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tidewheel.serving.rungs import QUICK_S, Row, Rung


class Model:
    """Score with a time that depends on the number of rows, and say in which thread."""

    def __init__(self, takes_s: Callable[[int], float]) -> None:
        self.takes_s = takes_s
        self.threads: list[str] = []
        self.active = self.most_active = 0
        self.released = threading.Event()

    def score(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        self.active += 1
        self.most_active = max(self.active, self.most_active)
        self.threads.append(threading.current_thread().name)
        takes_s = self.takes_s(len(rows))
        if takes_s == math.inf:
            self.released.wait(30)
        elif takes_s:
            self.released.wait(takes_s)
        self.active -= 1
        return np.zeros(len(rows))


async def ask(rung: Rung, n_rows: int, patience_s: float = 30.0) -> NDArray[np.float64]:
    rows = [{"a": 1}] * n_rows
    if rung.is_quick(n_rows):
        return rung.score(rows)
    return await rung.score_apart(rows, time.monotonic() + patience_s)


def in_loop(model: Model) -> list[bool]:
    return [not name.startswith("rung") for name in model.threads]


def test_what_was_quick_runs_in_the_loop_and_what_was_not_in_the_thread() -> None:
    model = Model(lambda n: 0.0 if n < 100 else 3 * QUICK_S)

    async def run() -> None:
        rung = Rung("champion", "m", model.score)
        for n_rows in (1, 1, 50, 50, 1, 100, 1, 100, 50):
            await ask(rung, n_rows)
            await asyncio.sleep(0)

    asyncio.run(run())
    assert in_loop(model) == [False, True, False, True, True, False, True, False, True]


def test_a_model_that_becomes_slow_leaves_the_loop_and_comes_back() -> None:
    slow = [False]
    model = Model(lambda n: 3 * QUICK_S if slow[0] else 0.0)

    async def run() -> None:
        rung = Rung("champion", "m", model.score)
        for is_slow in (False, False, True, True, False, False):
            slow[0] = is_slow
            await ask(rung, 1)
            await asyncio.sleep(0)

    asyncio.run(run())
    #                          first, quick, slow in loop, slow, quick again, back
    assert in_loop(model) == [False, True, True, False, False, True]


def test_a_function_runs_once_at_a_time_and_waiting_for_the_thread_does_not_keep_it_busy() -> None:
    model = Model(lambda n: 0.0 if n < 10 else 3 * QUICK_S)

    async def run() -> None:
        rung = Rung("champion", "m", model.score)
        await ask(rung, 1)
        await asyncio.gather(*(ask(rung, n) for n in [100, *[1] * 20]))

    asyncio.run(run())
    assert model.most_active == 1
    assert in_loop(model)[2:] == [True] * 20


def test_a_model_that_hangs_costs_the_first_callers_their_deadline_and_nobody_else_any_time() -> None:
    model = Model(lambda n: math.inf)

    async def run() -> None:
        rung = Rung("champion", "m", model.score)
        waiting = [asyncio.create_task(ask(rung, 1, 0.3)) for _ in range(3)]
        began = time.monotonic()
        for each in waiting:
            with pytest.raises(TimeoutError, match=r"champion did not answer within 0\.3 s"):
                await each
        assert time.monotonic() - began < 5.0
        began = time.monotonic()
        with pytest.raises(TimeoutError, match="champion still works on a request that is overdue"):
            await ask(rung, 1, 30.0)
        assert time.monotonic() - began < 5.0
        model.takes_s = lambda n: 0.0
        model.released.set()
        async with asyncio.timeout(30):
            while True:  # what hung has ended: the rung is there again
                try:
                    assert (await ask(rung, 2)).tolist() == [0.0, 0.0]
                    return
                except TimeoutError:
                    await asyncio.sleep(0.01)

    asyncio.run(run())


def test_a_caller_who_leaves_does_not_make_the_rung_overdue() -> None:
    model = Model(lambda n: math.inf)

    async def run() -> None:
        rung = Rung("champion", "m", model.score)
        first = asyncio.create_task(ask(rung, 1))
        async with asyncio.timeout(30):
            while not model.active:
                await asyncio.sleep(0.01)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        second = asyncio.create_task(ask(rung, 1))
        await asyncio.sleep(0)
        model.released.set()
        assert (await second).tolist() == [0.0]

    asyncio.run(run())


def test_errors_of_a_model_are_its_own_in_thread_and_loop() -> None:
    def broken(rows: Sequence[Row]) -> NDArray[np.float64]:
        if len(rows) > 1:
            raise ValueError("too many")
        return np.zeros(1)

    async def run() -> None:
        rung = Rung("previous", "m", broken)
        await ask(rung, 1)
        for n_rows in (2, 3):
            with pytest.raises(ValueError, match="too many"):
                await ask(rung, n_rows)
        with pytest.raises(TimeoutError):
            await rung.score_apart([{}] * 2, time.monotonic() - 1.0)

    asyncio.run(run())
