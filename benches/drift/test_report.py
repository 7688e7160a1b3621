"""How time grows with rows, columns and threads. The whole report of a table: `test_whole_report.py`."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from race import Race, race, time_s
from tidewheel import drift

#: Nanoseconds a value at 1e8 rows over those at 1e6; seconds of 1,000 columns over those of 1,000 times one.
GROWTH_MUST, GROWTH_AIM = 1.3, 1.1
FEW, MANY = 1_000_000, 100_000_000
#: How many times faster two threads are than one, on two cores; rows a side, as the other rows of the table have them.
THREADS_MUST, THREADS_AIM, THREADS_ROWS, THREADS_ROUNDS = 1.8, 1.9, 10_000_000, 301

FITTED_CALLS = {
    "PSI": lambda fitted, values: drift.psi(fitted[0], values, threads=1),
    "histogram": lambda fitted, values: drift.histogram(values, 100, (-6, 6), threads=1),
    "KS": lambda fitted, values: drift.ks(fitted[1], values, threads=1),
}
CALLS = {"PSI": drift.psi, "KS": drift.ks, "Wasserstein": drift.wasserstein}


@pytest.mark.parametrize("call", FITTED_CALLS.values(), ids=FITTED_CALLS.keys())
def test_growth_with_rows(benchmark, call):
    """As many rows at once, and as a hundred calls of one sample, which stays in the cache where it fits."""
    rng = np.random.default_rng(8)
    reference = rng.normal(size=FEW)
    fitted = drift.fit_bins(reference), drift.fit_ks(reference)
    many = np.tile(rng.normal(0.02, 1, MANY // 10), 10)
    few = rng.normal(0.02, 1, FEW)
    found = race(
        benchmark,
        lambda: call(fitted, many),
        lambda: [call(fitted, few) for _ in range(MANY // FEW)],
        rounds=7,
    )
    name = next(name for name, function in FITTED_CALLS.items() if function is call)
    note_growth(benchmark, found, MANY, f"{name}, ns a value at 1e8 rows over 1e6")


def test_growth_with_columns(benchmark):
    rng = np.random.default_rng(9)
    reference, current = rng.normal(size=(1_000, 20_000)), rng.normal(0.02, 1, (1_000, 20_000))
    named = [{str(i): column for i, column in enumerate(side)} for side in (reference, current)]
    found = race(
        benchmark,
        lambda: drift.compare(*named, threads=1),
        lambda: [
            drift.compare({"0": r}, {"0": c}, threads=1) for r, c in zip(reference, current, strict=True)
        ],
        rounds=3,
    )
    note_growth(benchmark, found, reference.size, "1,000 columns over 1,000 times one")


def note_growth(benchmark, found: Race, values, row):
    growth = 1 / found.ratio
    many_ns, few_ns = (min(times) / values * 1e9 for times in (found.ours_s, found.rival_s))
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


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_two_threads(benchmark, call):
    """What two threads make of two cores: the least times, of rounds in turn.

    Two processors of a virtual machine are often halves of one core, or wait for others' work: then nothing is twice as
    fast. What these two could do stands beside the ratio, from the same rounds: the same rows as two halves, each
    compared by a thread of its own that knows nothing of the other.
    """
    rng = np.random.default_rng(10)
    sides = rng.normal(size=THREADS_ROWS), rng.normal(0.02, 1, THREADS_ROWS)
    halves = list(zip(*(np.split(side, 2) for side in sides), strict=True))
    one_s, halves_s = [], []
    with ThreadPoolExecutor(2) as pool:

        def both_halves():
            list(pool.map(lambda half: call(*half, threads=1), halves))

        def others():
            one_s.append(time_s(lambda: call(*sides, threads=1)))
            halves_s.append(time_s(both_halves))

        benchmark.pedantic(call, sides, {"threads": 2}, setup=others, rounds=THREADS_ROUNDS)
    two_s = benchmark.stats.stats.data
    ratio, possible = min(one_s) / min(two_s), min(one_s) / min(halves_s)
    name = next(name for name, function in CALLS.items() if function is call)
    benchmark.extra_info.update(
        row=f"threads: {name}, two over one",
        rival="itself",
        ratio=ratio,
        must=THREADS_MUST,
        aim=THREADS_AIM,
        ns_per_value=min(two_s) / THREADS_ROWS * 1e9,
        halves_over_one=possible,
    )
    print(f"\n{name}: two threads are {ratio:.2f} times as fast as one, two halves at once {possible:.2f}")
    assert ratio >= THREADS_MUST
