"""Count the threads that a drift call uses, by looking at this process from a thread beside it."""

import threading
import time
from pathlib import Path

import numpy as np

from tidewheel import drift

#: A thread that starts another gives it its name, so the name tells the call's threads from all others.
NAME = "drift-call"
CALLS, LIMIT_S = 5, 60.0


def named() -> int:
    """Count the threads of this process that have our name."""
    found = 0
    for task in Path("/proc/self/task").iterdir():
        try:
            found += (task / "comm").read_text().strip() == NAME
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
    return found


def most_threads(threads: int | None = None, wanted: int = 1) -> int:
    """Run calls that have work for many threads and return the most that were seen at once.

    On a busy machine a thread may end before anybody looks: calls go on until `wanted` are seen, up to a limit.
    """
    values = np.random.default_rng(0).normal(size=3_000_000)
    done, most = threading.Event(), 0

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, named())

    watcher = threading.Thread(target=watch)
    watcher.start()
    comm = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
    before = comm.read_text()
    comm.write_text(NAME)
    try:
        end, calls = time.monotonic() + LIMIT_S, 0
        while calls < CALLS or (most < wanted and time.monotonic() < end):
            drift.histogram(values, 200, threads=threads)
            calls += 1
    finally:
        comm.write_text(before)
        done.set()
        watcher.join()
    return most
