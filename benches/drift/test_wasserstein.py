"""Wasserstein distance of two raw samples against SciPy, in the same run."""

import time

import numpy as np
import pytest
from scipy import stats

from tidewheel import drift

SHAPES = {
    "normal": lambda z: z,
    "log-normal": np.exp,
    "rounded": lambda z: np.round(z, 2),
}
#: What the design asks for. Rounded values, which SciPy sorts faster, are shown only.
MUST = 30.0
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
    ours_s = benchmark.stats.stats.min
    ratio = rival_s / ours_s
    benchmark.extra_info.update(
        ratio=ratio, rival="scipy.stats.wasserstein_distance", ns_per_current_value=ours_s / rows * 1e9
    )
    print(
        f"\n{ours_s / rows * 1e9:.1f} ns a current value, SciPy {rival_s / rows * 1e9:.0f}: {ratio:.0f} times faster"
    )
    if shape is not SHAPES["rounded"]:
        assert ratio >= (MUST if shift else MUST_UNDRIFTED)
