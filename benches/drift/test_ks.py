"""Exact Kolmogorov-Smirnov against SciPy, in the same run: two raw samples, and a reference sorted once."""

import time

import numpy as np
import pytest
from scipy import stats

from test_psi import case, report
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


def rival(reference, current):
    """SciPy's result and the seconds it took, the lesser of two times."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        result = stats.ks_2samp(reference, current)
        times.append(time.perf_counter() - start)
    return result, min(times)


def check(found, expected):
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-12)
    assert found.pvalue == pytest.approx(expected.pvalue, rel=1e-9)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("rows", RAW)
def test_two_raw_samples(request, benchmark, rows, shape, threads):
    reference, current = samples(rows, shape)
    expected, rival_s = rival(reference, current)
    check(drift.ks(reference, current, threads=threads), expected)
    benchmark.pedantic(drift.ks, (reference, current), {"threads": threads}, rounds=21, warmup_rounds=1)
    must, aim = RAW[rows]
    row = None if must is None else f"KS, exact D, both raw, {rows:,} each{case(request)}"
    ratio = report(benchmark, rival_s, rows, RIVAL, row=row, must=must, aim=aim)
    assert must is None or ratio >= must


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("rows", [1_000_000, 10_000_000])
def test_fitted_reference(request, benchmark, rows, shape, threads):
    reference, current = samples(rows, shape)
    expected, rival_s = rival(reference, current)
    fitted = drift.fit_ks(reference)
    check(drift.ks(fitted, current, threads=threads), expected)
    benchmark.pedantic(drift.ks, (fitted, current), {"threads": threads}, rounds=21, warmup_rounds=1)
    row = f"KS, exact D, fitted reference, {rows:,}{case(request)}"
    ratio = report(benchmark, rival_s, rows, RIVAL, row=row, must=FITTED_MUST, aim=FITTED_AIM)
    assert ratio >= FITTED_MUST
