"""Wasserstein distance of two raw samples against SciPy, in the same run."""

import time

import numpy as np
import pytest
from scipy import stats

from test_psi import report
from tidewheel import drift

SHAPES = {
    "normal": lambda z: z,
    "log-normal": np.exp,
    "rounded": lambda z: np.round(z, 2),
}
#: What the design asks for. Rounded values, which SciPy sorts faster, are shown only.
MUST, AIM = 30.0, 80.0
#: Where nothing drifted F and G cross everywhere, and chance decides whether a tenth or half of a million rows are sorted.
MUST_UNDRIFTED = 10.0


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shift", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("rows", [1_000_000, 10_000_000])
def test_two_raw_samples(benchmark, rows, shape, shift, threads):
    rng = np.random.default_rng(2)
    reference, current = shape(rng.normal(size=rows)), shape(rng.normal(shift, 1, rows))
    start = time.perf_counter()
    expected = stats.wasserstein_distance(reference, current)
    rival_s = time.perf_counter() - start
    assert drift.wasserstein(reference, current, threads=threads).statistic == pytest.approx(
        expected, rel=1e-11
    )
    benchmark.pedantic(
        drift.wasserstein, (reference, current), {"threads": threads}, rounds=7, warmup_rounds=1
    )
    rival = "scipy.stats.wasserstein_distance"
    is_asked = shape is not SHAPES["rounded"]
    must = MUST if shift else MUST_UNDRIFTED
    row = "Wasserstein, both raw" if is_asked and shift else None
    ratio = report(benchmark, rival_s, rows, rival, row=row, must=MUST, aim=AIM)
    assert not is_asked or ratio >= must
