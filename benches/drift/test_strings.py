"""Categories against polars' `value_counts`, in the same run, one thread each."""

import numpy as np
import polars as pl
import pytest

from test_psi import least_s, report
from tidewheel import drift

ROWS = 2_000_000
#: The design's "must" and "aim" for fifty strings. Beyond twelve bytes each row is hashed as a whole: shown only.
MUST, AIM = 1.0, 3.0
SHAPES = {
    "short words": [f"value {i}" for i in range(50)],
    "long words": [f"a value of many letters, number {i}" for i in range(50)],
}


@pytest.mark.parametrize("words", SHAPES.values(), ids=SHAPES.keys())
def test_fifty_strings(benchmark, words):
    rng = np.random.default_rng(6)
    current = pl.Series("s", words).gather(rng.integers(0, 50, ROWS))
    reference = current.head(100)
    expected = dict(current.value_counts().iter_rows())
    result = drift.psi(reference, current, threads=1)
    assert all(
        expected[name] == count
        for name, count in zip(result.categories[:-1], result.current_counts, strict=False)
    )
    benchmark.pedantic(drift.psi, (reference, current), {"threads": 1}, rounds=7, warmup_rounds=1)
    rival_s = least_s(current.value_counts, rounds=5)
    is_asked = words is SHAPES["short words"]
    row = "string categories (polars), 50 values" if is_asked else None
    ratio = report(benchmark, rival_s, ROWS, "polars value_counts", row=row, must=MUST, aim=AIM)
    assert not is_asked or ratio >= MUST
