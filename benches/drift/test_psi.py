"""PSI and histograms against NumPy, in the same run, one thread each unless said."""

import time

import numpy as np
import pytest

from tidewheel import drift

ROWS = 10_000_000
#: So many that both sides meet a moment in which nothing else wants the memory: reading is most of the work here.
ROUNDS = 31
#: What the design asks for, per core, and what it hopes for.
MUST, AIM = 8.0, 12.0
#: Ten even bins are not in the design's table: comparing with eleven edges is what they cost.
MUST_TEN_EVEN = 4.0


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(1)
    return rng.normal(size=ROWS), rng.normal(0.02, 1, ROWS)


def least_s(call, rounds=ROUNDS):
    """The least time of a rival over some rounds, with a warm-up."""
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def case(request):
    """What sets this case apart from the others of its row."""
    parameters = request.node.callspec.params
    named = request.node.callspec.id.split("-")
    threads = parameters["threads"]
    # Ids are rows, shape (whose name may hold a hyphen), perhaps a shift, and threads.
    return f", {'-'.join(named[1:-1])}, {threads} thread{'s' * (threads > 1)}"


def report(benchmark, rival_s, rows, rival, row=None, must=None, aim=None):
    """Print how many times faster than the rival this was, note it for the table of results, and return it."""
    ours_s = benchmark.stats.stats.min
    ratio = rival_s / ours_s
    benchmark.extra_info.update(ratio=ratio, rival=rival, ns_per_value=ours_s / rows * 1e9)
    if row is not None:
        benchmark.extra_info.update(row=row, must=must, aim=aim)
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
    benchmark.pedantic(drift.psi, (fitted, current), {"threads": threads}, rounds=ROUNDS, warmup_rounds=1)
    rival_s = least_s(lambda: np.histogram(current, edges))
    row = f"PSI, 10 quantile bins, fitted reference, {threads} thread{'s' * (threads > 1)}"
    ratio = report(benchmark, rival_s, ROWS, "numpy.histogram with edges", row=row, must=MUST, aim=AIM)
    assert ratio >= MUST


@pytest.mark.parametrize("bins", [10, 100])
def test_histogram_of_even_bins(benchmark, samples, bins):
    _, current = samples
    assert (drift.histogram(current, bins, (-6, 6))[0] == np.histogram(current, bins, (-6, 6))[0]).all()
    benchmark.pedantic(
        drift.histogram, (current, bins, (-6, 6)), {"threads": 1}, rounds=ROUNDS, warmup_rounds=1
    )
    rival_s = least_s(lambda: np.histogram(current, bins, (-6, 6)))
    must = MUST if bins == 100 else MUST_TEN_EVEN
    row = f"uniform histogram, {bins} bins"
    assert report(benchmark, rival_s, ROWS, "numpy.histogram", row=row, must=must, aim=AIM) >= must
