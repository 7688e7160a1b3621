"""Categories against polars' `value_counts`, in the same run, one thread each."""

import numpy as np
import polars as pl
import pytest

from race import race, report
from tidewheel import drift

ROWS = 2_000_000
#: The design's "must" and "aim" for fifty strings.
MUST, AIM = 1.0, 3.0
SHORT = [f"value {i}" for i in range(50)]
LONG = [f"a value of many letters, number {i}" for i in range(50)]
#: Words and whether all rows of a long one share its bytes, as polars has them after most operations.
SHAPES = {
    "short words": (SHORT, True),
    "long words": (LONG, True),
    "long words, a copy for each row": (LONG, False),
}


@pytest.mark.parametrize(("words", "shared"), SHAPES.values(), ids=SHAPES.keys())
def test_fifty_strings(benchmark, words, shared):
    rng = np.random.default_rng(6)
    places = rng.integers(0, len(words), ROWS)
    current = pl.Series("s", words).gather(places) if shared else pl.Series([words[i] for i in places])
    reference = current.head(100)
    found = race(benchmark, lambda: drift.psi(reference, current, threads=1), current.value_counts, rounds=15)
    expected = dict(found.rival.iter_rows())
    assert all(
        expected[name] == count
        for name, count in zip(found.ours.categories[:-1], found.ours.current_counts, strict=False)
    )
    row = f"string categories (polars), 50 values{', over 12 bytes' * (words is LONG)}{', copied' * (not shared)}"
    ratio = report(benchmark, found, ROWS, "polars value_counts", row=row, must=MUST, aim=AIM)
    assert ratio >= MUST
