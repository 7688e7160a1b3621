"""`drift.histogram` against `numpy.histogram`."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tidewheel import drift
from tidewheel.errors import InputError, InputTypeError


def test_hand_worked_example():
    counts, edges = drift.histogram([0.0, 1.0, 1.0, 2.0, 3.0], bins=[0, 1, 2, 3])
    # The last bin alone is closed.
    assert counts.tolist() == [1, 2, 2]
    assert (counts.dtype, edges.dtype) == (np.int64, np.float64)


@given(
    values=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=200),
    bins=st.integers(1, 60),
    dtype=st.sampled_from(["f8", "f4", ">f8"]),
)
def test_even_bins_are_numpys(values, bins, dtype):
    values = np.array(values, dtype)
    try:
        expected, expected_edges = np.histogram(values, bins)
    except ValueError:
        assume(False)
    counts, edges = drift.histogram(values, bins)
    assert edges.tolist() == expected_edges.tolist()
    assert counts.tolist() == expected.tolist()


@given(
    values=st.lists(st.integers(-30, 30), max_size=200),
    # Up to 16 edges are compared with each value; more are found by a table.
    edges=st.one_of(
        st.lists(st.integers(-25, 25), min_size=least, max_size=45, unique=True) for least in (2, 20)
    ),
)
def test_values_on_edges_are_numpys(values, edges):
    values, edges = np.array(values) / 2, np.sort(np.array(edges)) / 2
    near = np.concatenate([values, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf), edges])
    assert drift.histogram(near, edges)[0].tolist() == np.histogram(near, edges)[0].tolist()


@pytest.mark.parametrize("bins", [10, 100, 5000])
def test_large_samples_are_numpys(rng, bins):
    values = rng.normal(size=300_000)
    assert (drift.histogram(values, bins)[0] == np.histogram(values, bins)[0]).all()
    ends = (-1.5, 0.25)
    assert (drift.histogram(values, bins, ends)[0] == np.histogram(values, bins, ends)[0]).all()


def test_uneven_edges_over_many_decades(rng):
    values, edges = np.exp(8 * rng.normal(size=50_000)), np.exp(np.linspace(-30, 30, 200))
    assert (drift.histogram(values, edges)[0] == np.histogram(values, edges)[0]).all()


def test_weights_are_summed_per_bin(rng):
    values, weights = rng.normal(size=1000), rng.random(1000)
    counts, _ = drift.histogram(values, 20, weights=weights)
    assert counts == pytest.approx(np.histogram(values, 20, weights=weights)[0])


def test_weights_may_be_negative_and_values_missing():
    # NumPy's convention for the signs; a value without a bin takes its own weight with it and shifts no other.
    counts, _ = drift.histogram(
        [0.0, None, 1.0, np.nan, 1.5], [0, 1, 2], weights=[-1.0, 8.0, 2.0, 16.0, -0.5]
    )
    assert counts.tolist() == [-1.0, 1.5]
    counts, _ = drift.histogram(
        np.ma.array([0.0, 9.0, 1.0], mask=[0, 1, 0]), [0, 1, 2], weights=[1.0, 8.0, 2.0]
    )
    assert counts.tolist() == [1.0, 2.0]


def test_even_edges_between_the_ends_of_floats():
    greatest = np.finfo(np.float64).max
    values = np.array([-greatest, -1.0, 1.0, greatest])
    counts, edges = drift.histogram(values, 4)
    # By fractions: -1, -1/2, 0, 1/2 and 1 times the greatest float.
    assert edges == pytest.approx([-greatest, -greatest / 2, 0.0, greatest / 2, greatest], rel=1e-15)
    assert counts.tolist() == [1, 1, 1, 1]
    assert drift.fit_bins(values, bins=4, strategy="uniform").edges[1:-1].tolist() == edges[1:-1].tolist()


EDGE_CASES = {
    "empty": ([], 3, None, [0, 0, 0]),
    "one value": ([5.0], 2, None, [0, 1]),
    "all equal": ([5.0] * 4, 2, None, [0, 4]),
    "NaN outside a given range": ([0.0, np.nan, 1.0], 2, (0, 1), [1, 1]),
    "infinite outside a given range": ([0.0, np.inf, -np.inf], 2, (0, 1), [1, 0]),
    "missing": ([0.0, None, 1.0], 2, (0, 1), [1, 1]),
    "zeros of both signs": ([0.0, -0.0], [-1, 0, 1], None, [0, 2]),
    "the greatest double": ([1.7976931348623157e308], [0, 1.7976931348623157e308], None, [1]),
    "integers": (np.arange(10), 5, None, [2, 2, 2, 2, 2]),
    "booleans": ([True, False, True], 2, None, [1, 2]),
}


@pytest.mark.parametrize(("values", "bins", "ends", "expected"), EDGE_CASES.values(), ids=EDGE_CASES.keys())
def test_edge_cases(values, bins, ends, expected):
    assert drift.histogram(values, bins, ends)[0].tolist() == expected


REFUSED = {
    "NaN without a range": (
        {"values": [1.0, np.nan]},
        InputError,
        "got 1 missing, NaN or infinite: pass `range`",
    ),
    "no bins": ({"values": [1.0], "bins": 0}, InputError, "`bins` must be at least 1; got 0"),
    "one edge": ({"values": [1.0], "bins": [1.0]}, InputError, "`bins` must hold at least 2 edges; got 1"),
    "tied edges": ({"values": [1.0], "bins": [1, 2, 2]}, InputError, "got 2.0 after 2.0 at index 2"),
    "falling edges": ({"values": [1.0], "bins": [3, 5, 3]}, InputError, "got 3.0 after 5.0 at index 2"),
    "falling range": (
        {"values": [1.0], "range": (2, 1)},
        InputError,
        "`range` must be finite and increasing; got (2.0, 1.0)",
    ),
    "infinite range": ({"values": [1.0], "range": (0, np.inf)}, InputError, "must be finite"),
    "weights of another length": ({"values": [1.0], "weights": [1.0, 2.0]}, InputError, "got 2 for 1"),
    "strings": ({"values": ["a"]}, InputTypeError, "'values' must hold numbers; got string"),
    "a NaN weight": (
        {"values": [1.0, 2.0], "weights": [1.0, np.nan]},
        InputError,
        "`weights` must hold a number everywhere; got a missing value or NaN at index 1",
    ),
    "a missing weight": (
        {"values": [1.0, 2.0], "weights": pa.array([None, 1.0])},
        InputError,
        "got a missing value or NaN at index 0",
    ),
    "a masked weight": (
        {"values": [1.0, 2.0], "weights": np.ma.array([1.0, 2.0], mask=[0, 1])},
        InputError,
        "got a missing value or NaN at index 1",
    ),
    "an infinite weight": (
        {"values": [1.0, 2.0], "weights": [1.0, -np.inf]},
        InputError,
        "`weights` must be finite; got -inf at index 1",
    ),
    "times for weights": (
        {"values": [1.0], "weights": np.array([1], "m8[s]")},
        InputTypeError,
        "`weights` must hold numbers; got duration[s]",
    ),
    "edges of two dimensions": ({"values": [1.0], "bins": np.ones((2, 2))}, InputError, "got 2 dimensions"),
}


@pytest.mark.parametrize(("arguments", "error", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(arguments, error, text):
    with pytest.raises(error) as caught:
        drift.histogram(**arguments)
    assert text in str(caught.value)
