"""The fresh process in which a package is tried before anybody relies on it; `packaging.check_package` starts it with `-m`.

What belongs here: loading, replaying, timing, and one line of JSON about it. Whether the numbers suffice is for the gate
`package` to say.
"""

import json
import sys
import time

from tidewheel.model.packaging import Package, load_package

CALLS = 500
"""Single-row requests that are timed; the 95th percentile has an upper bound at 95 % confidence from 59 on."""

CALLS_MIN = 60
WARM_UP_CALLS = 20

TIMED_S_MAX = 30.0
"""A model far over its budget is timed no longer than this, but for the least number of calls."""


def time_requests(package: Package, latency_ms: float) -> list[float]:
    """Time single-row requests one after the other, in milliseconds; a model over its budget is timed less often."""
    rows = [request.row for request in package.golden]
    for call in range(WARM_UP_CALLS):
        package.score_rows([rows[call % len(rows)]])
    found: list[float] = []
    end = time.perf_counter() + min(CALLS * latency_ms / 1000.0, TIMED_S_MAX)
    while len(found) < CALLS_MIN or (len(found) < CALLS and time.perf_counter() < end):
        row = rows[len(found) % len(rows)]
        start = time.perf_counter()
        package.score_rows([row])
        found.append((time.perf_counter() - start) * 1000.0)
    return found


def main(folder: str, digest: str, latency_ms: str) -> None:
    """Load, replay and time; print what was found as one line of JSON."""
    package = load_package(folder, digest)
    answer = {
        "golden": len(package.golden),
        "mismatches": package.count_golden_mismatches(),
        "milliseconds": time_requests(package, float(latency_ms)),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
