"""PSI and histograms against NumPy, in the same run, one thread each unless said."""

import time

import numpy as np
import pytest

from tidewheel import drift

ROWS = 10_000_000
#: What the first cut must reach, per core.
PSI_MUST = 5.0


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(1)
    return rng.normal(size=ROWS), rng.normal(0.02, 1, ROWS)


def least_s(call, rounds=3):
    """The least time of a rival over a few rounds, with a warm-up."""
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def report(benchmark, rival_s, rows, rival):
    ours_s = benchmark.stats.stats.min
    ratio = rival_s / ours_s
    benchmark.extra_info.update(ratio=ratio, rival=rival, ns_per_value=ours_s / rows * 1e9)
    print(
        f"\n{ours_s / rows * 1e9:.2f} ns a value, {rival} {rival_s / rows * 1e9:.2f}: {ratio:.1f} times faster"
    )
    return ratio


@pytest.mark.parametrize("threads", [1, 2])
def test_psi_of_ten_quantile_bins_fitted_reference(benchmark, samples, threads):
    reference, current = samples
    fitted = drift.fit_bins(reference, bins=10)
    edges = fitted.edges.astype(float).copy()
    edges[0], edges[-1] = current.min(), current.max()
    expected = np.histogram(current, edges)[0]
    assert drift.psi(fitted, current, threads=threads).current_counts == tuple(expected)
    benchmark.pedantic(drift.psi, (fitted, current), {"threads": threads}, rounds=7, warmup_rounds=1)
    rival_s = least_s(lambda: np.histogram(current, edges))
    ratio = report(benchmark, rival_s, ROWS, "numpy.histogram with edges")
    assert ratio >= PSI_MUST


@pytest.mark.parametrize("bins", [10, 100])
def test_histogram_of_even_bins(benchmark, samples, bins):
    _, current = samples
    assert (drift.histogram(current, bins, (-6, 6))[0] == np.histogram(current, bins, (-6, 6))[0]).all()
    benchmark.pedantic(drift.histogram, (current, bins, (-6, 6)), {"threads": 1}, rounds=5, warmup_rounds=1)
    rival_s = least_s(lambda: np.histogram(current, bins, (-6, 6)), rounds=2)
    assert report(benchmark, rival_s, ROWS, "numpy.histogram") > 1
