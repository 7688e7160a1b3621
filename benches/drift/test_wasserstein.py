"""Wasserstein distance of two raw samples against SciPy, in the same run."""

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
#: What the design asks for, and hopes for. Undrifted shapes have the least to spare: there F and G cross in many cells,
#: whose rows are sorted, and chance decides how many these are.
MUST, AIM = 30.0, 80.0
#: SciPy takes seconds for the many rows.
ROUNDS, RIVAL_EVERY = 15, {1_000_000: 5, 10_000_000: 15}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shift", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("rows", [1_000_000, 10_000_000])
def test_two_raw_samples(request, benchmark, rows, shape, shift, threads):
    rng = np.random.default_rng(2)
    reference, current = shape(rng.normal(size=rows)), shape(rng.normal(shift, 1, rows))
    found = race(
        benchmark,
        lambda: drift.wasserstein(reference, current, threads=threads),
        lambda: stats.wasserstein_distance(reference, current),
        ROUNDS,
        rival_every=RIVAL_EVERY[rows],
    )
    assert found.ours.statistic == pytest.approx(found.rival, rel=1e-11)
    rival = "scipy.stats.wasserstein_distance"
    row = f"Wasserstein, both raw, {rows:,} each{case(request)}"
    ratio = report(benchmark, found, rows, rival, row=row, must=MUST, aim=AIM)
    assert ratio >= MUST
