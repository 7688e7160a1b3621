"""Ours and a rival timed in turn, and what a bench says of it.

Machines are shared: for seconds all may run at half speed. What ran in the same round met the same machine, so a ratio
is the median over the rounds, and nanoseconds are the least.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def time_s(call: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Race:
    """Seconds of each round, and what the last calls returned."""

    ours_s: list[float]
    rival_s: list[float]
    ours: Any
    rival: Any

    @property
    def ratio(self) -> float:
        """How many times faster ours was than the rival in the same round, the median."""
        return statistics.median(rival / ours for ours, rival in zip(self.ours_s, self.rival_s, strict=True))


def race(
    benchmark,
    ours: Callable[[], Any],
    rival: Callable[[], Any],
    rounds: int,
    rival_every: int = 1,
) -> Race:
    """Time the rival and ours in turn; a slow rival runs in every so many rounds alone, and counts for those in between.

    Ours runs once before: a first call also starts what later ones share.
    """
    rival_s, found = [], None

    def run_rival():
        nonlocal found
        if len(rival_s) % rival_every:
            rival_s.append(rival_s[-1])
            return
        start = time.perf_counter()
        found = rival()
        rival_s.append(time.perf_counter() - start)

    ours()
    result = benchmark.pedantic(ours, setup=run_rival, rounds=rounds)
    return Race(benchmark.stats.stats.data, rival_s, result, found)


def case(request):
    """What sets this case apart from the others of its row."""
    parameters = request.node.callspec.params
    named = request.node.callspec.id.split("-")
    threads = parameters["threads"]
    # Ids are rows, shape (whose name may hold a hyphen), perhaps a shift, and threads.
    return f", {'-'.join(named[1:-1])}, {threads} thread{'s' * (threads > 1)}"


def report(benchmark, found: Race, rows: int, rival: str, row=None, must=None, aim=None) -> float:
    """Print how many times faster than the rival this was, note it for the table of results, and return it."""
    ours_ns, rival_ns = (min(times) / rows * 1e9 for times in (found.ours_s, found.rival_s))
    ratio = found.ratio
    benchmark.extra_info.update(ratio=ratio, rival=rival, ns_per_value=ours_ns)
    if row is not None:
        benchmark.extra_info.update(row=row, must=must, aim=aim)
    print(f"\n{ours_ns:.2f} ns a value, {rival} {rival_ns:.2f}: {ratio:.1f} times faster")
    return ratio
