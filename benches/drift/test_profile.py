"""Counting into a window against NumPy's histogram over the same edges, in the same run, one thread each."""

import numpy as np
import pytest

from race import race, report
from tidewheel import drift
from tidewheel.drift.profile.column_state import BESIDE

ROWS = 5_000_000
#: Rows of the reference, and with them blocks: 4 sqrt(n), at least 1,024 and at most 16,384.
REFERENCES = {"1,024 blocks": 60_000, "4,000 blocks": 1_000_000, "16,384 blocks": 20_000_000}
SHAPES = {"normal": lambda z: z, "log-normal": np.exp, "rounded": lambda z: np.round(z, 2)}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("rows", REFERENCES.values(), ids=REFERENCES.keys())
def test_updating_a_window(benchmark, rows, shape):
    rng = np.random.default_rng(4)
    profile = drift.Profile.fit({"x": shape(rng.normal(size=rows))})
    current = shape(rng.normal(0.02, 1, ROWS))
    edges = np.concatenate([[-1e300], profile._columns[0].edges, [1e300]])
    window = profile.window()
    window.update({"x": current})
    assert (window.counts()[0][BESIDE:] == np.histogram(current, edges)[0]).all()
    found = race(
        benchmark,
        lambda: window.update({"x": current}, threads=1),
        lambda: np.histogram(current, edges),
        rounds=5,
        rival_every=5,
    )
    shape_name = next(name for name, made in SHAPES.items() if made is shape)
    row = f"updating a window, reference of {rows:,} rows, {shape_name}"
    benchmark.extra_info.update(row=row, must=1)
    assert report(benchmark, found, ROWS, "numpy.histogram with edges") > 1


def test_small_batches(benchmark):
    # What a batch of a stream costs beside its rows: 25 columns of 1,000 rows.
    rng = np.random.default_rng(5)
    profile = drift.Profile.fit(rng.normal(size=(100_000, 25)))
    batch = rng.normal(size=(1_000, 25))
    window = profile.window()
    edges = [np.concatenate([[-1e300], column.edges, [1e300]]) for column in profile._columns]
    found = race(
        benchmark,
        lambda: window.update(batch),
        lambda: [np.histogram(batch[:, i], edges[i]) for i in range(25)],
        rounds=301,
    )
    benchmark.extra_info.update(row="updating a window by a batch of 1,000 rows, 25 columns")
    report(benchmark, found, batch.size, "numpy.histogram with edges")
