"""Exact Kolmogorov-Smirnov against SciPy, in the same run: two raw samples, and a reference sorted once."""

import numpy as np
import pytest
from scipy import stats

from race import case, race, report
from tidewheel import drift

SHAPES = {
    "normal": lambda z: z,
    "log-normal": np.exp,
    "rounded": lambda z: np.round(z, 2),
}
#: The design's "must" and "aim" by rows a side; fewer rows are shown only.
RAW = {100_000: (None, None), 1_000_000: (40.0, 80.0), 10_000_000: (25.0, 50.0)}
FITTED_MUST, FITTED_AIM = 50.0, 100.0
RIVAL = "scipy.stats.ks_2samp"


def samples(rows, shape):
    rng = np.random.default_rng(2)
    return shape(rng.normal(size=rows)), shape(rng.normal(0.01, 1, rows))


def run(benchmark, left, reference, current, threads):
    """Race ours, the first sample as it is or fitted, against two runs of SciPy; compare what they found."""
    found = race(
        benchmark,
        lambda: drift.ks(left, current, threads=threads),
        lambda: stats.ks_2samp(reference, current),
        rounds=22,
        rival_every=11,
    )
    assert found.ours.statistic == pytest.approx(found.rival.statistic, abs=1e-12)
    assert found.ours.pvalue == pytest.approx(found.rival.pvalue, rel=1e-9)
    return found


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("rows", RAW)
def test_two_raw_samples(request, benchmark, rows, shape, threads):
    reference, current = samples(rows, shape)
    found = run(benchmark, reference, reference, current, threads)
    must, aim = RAW[rows]
    row = None if must is None else f"KS, exact D, both raw, {rows:,} each{case(request)}"
    ratio = report(benchmark, found, rows, RIVAL, row=row, must=must, aim=aim)
    assert must is None or ratio >= must


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("rows", [1_000_000, 10_000_000])
def test_fitted_reference(request, benchmark, rows, shape, threads):
    reference, current = samples(rows, shape)
    found = run(benchmark, drift.fit_ks(reference), reference, current, threads)
    row = f"KS, exact D, fitted reference, {rows:,}{case(request)}"
    ratio = report(benchmark, found, rows, RIVAL, row=row, must=FITTED_MUST, aim=FITTED_AIM)
    assert ratio >= FITTED_MUST
