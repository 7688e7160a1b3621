"""How time grows with rows, columns and threads. The whole report of a table: `test_whole_report.py`."""

import time

import numpy as np
import pytest

from test_psi import least_s
from tidewheel import drift

#: Nanoseconds a value at 1e8 rows over those at 1e6; seconds of 1,000 columns over those of 1,000 times one.
GROWTH_MUST, GROWTH_AIM = 1.3, 1.1
#: How many times faster two threads are than one.
THREADS_MUST, THREADS_AIM = 1.8, 1.9


CALLS = {
    "PSI": lambda fitted, values: drift.psi(fitted[0], values, threads=1),
    "histogram": lambda fitted, values: drift.histogram(values, 100, (-6, 6), threads=1),
    "KS": lambda fitted, values: drift.ks(fitted[1], values, threads=1),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_growth_with_rows(benchmark, call):
    rng = np.random.default_rng(8)
    reference = rng.normal(size=1_000_000)
    fitted = drift.fit_bins(reference), drift.fit_ks(reference)
    few = rng.normal(0.02, 1, 1_000_000)
    many = np.tile(rng.normal(0.02, 1, 10_000_000), 10)
    benchmark.pedantic(call, (fitted, many), rounds=3)
    many_ns = benchmark.stats.stats.min / len(many) * 1e9
    few_ns = least_s(lambda: call(fitted, few), rounds=15) / len(few) * 1e9
    note_growth(benchmark, many_ns, few_ns, "ns a value at 1e8 rows over 1e6")


def test_growth_with_columns(benchmark):
    rng = np.random.default_rng(9)
    reference, current = rng.normal(size=(1_000, 20_000)), rng.normal(0.02, 1, (1_000, 20_000))
    named = [{str(i): column for i, column in enumerate(side)} for side in (reference, current)]
    one = [{"0": side[0]} for side in (reference, current)]
    benchmark.pedantic(drift.compare, named, {"threads": 1}, rounds=2)
    many_ns = benchmark.stats.stats.min / reference.size * 1e9
    one_ns = least_s(lambda: drift.compare(*one, threads=1), rounds=15) / reference.shape[1] * 1e9
    note_growth(benchmark, many_ns, one_ns, "1,000 columns over 1,000 times one")


def note_growth(benchmark, many_ns, few_ns, row):
    growth = many_ns / few_ns
    benchmark.extra_info.update(
        row=f"growth: {row}",
        rival="itself",
        ratio=growth,
        must=GROWTH_MUST,
        aim=GROWTH_AIM,
        ns_per_value=many_ns,
    )
    print(f"\n{row}: {many_ns:.2f} ns over {few_ns:.2f}: {growth:.2f}")
    assert growth <= GROWTH_MUST


def test_two_threads(benchmark):
    # One and two threads in turn, so that a busy machine slows both; so often that two once have both cores for themselves.
    rng = np.random.default_rng(10)
    reference, current = rng.normal(size=4_000_000), rng.normal(0.02, 1, 4_000_000)
    times = {1: [], 2: []}
    for _ in range(101):
        for threads, taken in times.items():
            start = time.perf_counter()
            drift.ks(reference, current, threads=threads)
            taken.append(time.perf_counter() - start)
    benchmark.pedantic(drift.ks, (reference, current), {"threads": 2}, rounds=3)
    ratio = min(times[1]) / min(times[2])
    benchmark.extra_info.update(
        row="threads: two over one", rival="itself", ratio=ratio, must=THREADS_MUST, aim=THREADS_AIM,
        ns_per_value=min(times[2]) / len(current) * 1e9,
    )  # fmt: skip
    print(f"\ntwo threads are {ratio:.2f} times as fast as one")
    assert ratio >= THREADS_MUST
