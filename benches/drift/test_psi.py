"""PSI and histograms against NumPy, in the same run, one thread each unless said."""

import numpy as np
import pytest

from race import race, report
from tidewheel import drift

ROWS, ROUNDS = 10_000_000, 31
#: What the design asks for, per core, and what it hopes for.
MUST, AIM = 8.0, 12.0
#: Ten even bins are not in the design's table: comparing with eleven edges is what they cost.
MUST_TEN_EVEN = 4.0


@pytest.fixture(scope="module")
def samples():
    rng = np.random.default_rng(1)
    return rng.normal(size=ROWS), rng.normal(0.02, 1, ROWS)


@pytest.mark.parametrize("threads", [1, 2])
def test_psi_of_ten_quantile_bins_fitted_reference(benchmark, samples, threads):
    reference, current = samples
    fitted = drift.fit_bins(reference, bins=10)
    edges = fitted.edges.astype(float).copy()
    edges[0], edges[-1] = current.min(), current.max()
    found = race(
        benchmark,
        lambda: drift.psi(fitted, current, threads=threads),
        lambda: np.histogram(current, edges),
        ROUNDS,
    )
    assert found.ours.current_counts == tuple(found.rival[0])
    row = f"PSI, 10 quantile bins, fitted reference, {threads} thread{'s' * (threads > 1)}"
    ratio = report(benchmark, found, ROWS, "numpy.histogram with edges", row=row, must=MUST, aim=AIM)
    assert ratio >= MUST


@pytest.mark.parametrize("bins", [10, 100])
def test_histogram_of_even_bins(benchmark, samples, bins):
    _, current = samples
    found = race(
        benchmark,
        lambda: drift.histogram(current, bins, (-6, 6), threads=1),
        lambda: np.histogram(current, bins, (-6, 6)),
        ROUNDS,
    )
    assert (found.ours[0] == found.rival[0]).all()
    must = MUST if bins == 100 else MUST_TEN_EVEN
    row = f"uniform histogram, {bins} bins"
    assert report(benchmark, found, ROWS, "numpy.histogram", row=row, must=must, aim=AIM) >= must
