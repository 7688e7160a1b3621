"""Pictures from a profile's blocks: near to those from rows, by hand and by the properties that a picture must have."""

import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel import drift
from tidewheel.drift.report import page, pictures
from tidewheel.drift.table import shapes


def both(reference, current):
    """Draw one column from rows and from counts."""
    by_rows = drift.compare({"x": reference}, {"x": current})["x"].shape
    by_counts = drift.Profile.fit({"x": reference}).compare({"x": current})["x"].shape
    return by_rows, by_counts


def test_by_hand():
    # Blocks: below 0; [0, 2); [2, 4); 4 and above. Bins of whole numbers 0 to 3; the rows of a block go half to each.
    shape = shapes.from_blocks(
        np.array([0.0, 2.0, 4.0]), np.array([0, 10, 20, 0]), np.array([3, 4, 0, 5]), "int64"
    )
    assert (shape.low, shape.width) == (-0.5, 1.0)
    assert shape.reference_counts == (0, 5, 5, 10, 10, 0)
    assert shape.current_counts == (3, 2, 2, 0, 0, 5)


EXACT = {
    "few numbers": ([1.0, 2.0, 4.0] * 40, [2.0, 2.0, 4.0] * 30),
    "one number": ([5.0] * 50, [5.0] * 20),
    "zeros": ([0.0, -0.0] * 50, [0.0] * 20),
    "days": (np.arange("2020-01-01", "2020-01-20", dtype="M8[D]"), np.arange("2020-01-03", "2020-01-19", dtype="M8[D]")),
    "names": (["a"] * 50 + ["b"] * 30 + [f"rare{i:02}" for i in range(12)], ["b"] * 40 + ["new"] * 20),
    "booleans": ([True, False, False] * 20, [True] * 30 + [None] * 5),
}  # fmt: skip


@pytest.mark.parametrize(("reference", "current"), EXACT.values(), ids=EXACT.keys())
def test_few_values_are_drawn_as_from_rows(reference, current):
    by_rows, by_counts = both(reference, current)
    assert by_counts == by_rows


@pytest.mark.parametrize(
    "shape", [lambda z: z, np.exp, lambda z: np.round(z, 1), lambda z: np.round(z * 900)]
)
def test_many_values_are_drawn_nearly_as_from_rows(rng, shape):
    reference, current = shape(rng.normal(size=30_000)), shape(rng.normal(0.5, 1, 20_000))
    by_rows, by_counts = both(reference, current)
    starts = by_rows.low, by_counts.low
    ends = [one.low + one.width * (len(one.reference_counts) - 2) for one in (by_rows, by_counts)]
    span = ends[0] - starts[0]
    # The range is chosen from 512 rows a side there and from all here.
    assert abs(starts[0] - starts[1]) < 0.2 * span
    edges = by_counts.low + by_counts.width * np.arange(len(by_counts.reference_counts) - 1)
    for values, counts in ((reference, by_counts.reference_counts), (current, by_counts.current_counts)):
        expected = np.histogram(values, [-1e300, *edges, 1e300])[0]
        assert sum(counts) == len(values)
        assert np.abs(expected - counts).max() <= 0.02 * len(values)


@given(
    st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=30),
    st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=30),
)
def test_every_row_is_counted_once(reference, current):
    shape = both(reference, current)[1]
    if shape is not None:
        assert (sum(shape.reference_counts), sum(shape.current_counts)) == (len(reference), len(current))
        assert min(*shape.reference_counts, *shape.current_counts) >= 0
        assert len(shape.reference_counts) == len(shape.current_counts) <= shapes.BINS + 2
        assert "NaN" not in pictures.draw(shape)


def test_what_lies_beyond_the_picture_is_said_below_it(rng):
    reference, current = rng.normal(size=5_000), rng.normal(3, 1, 5_000)
    report = drift.Profile.fit({"x": reference}).compare({"x": current})
    beyond = pictures.outside(report["x"].shape)
    assert beyond[1] > 0.1
    assert f"beyond the picture {beyond[0]:.1%} → {beyond[1]:.1%}" in report.to_html()
    assert page.BEYOND_TOLD < 0.1
    assert not re.search(
        r"beyond the picture \d", drift.compare({"x": reference}, {"x": reference}).to_html()
    )


def test_nothing_to_draw():
    report = drift.Profile.fit({"x": pl.Series([None, None], dtype=pl.Float64)}).compare({"x": [1.0, 2.0]})
    assert report["x"].shape is None
    assert "nothing to draw" in report.to_html()
