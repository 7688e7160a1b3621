"""Profiles learned in parts over the same splitters add up to the profile of all rows."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewheel import drift
from tidewheel.errors import InputError, InputTypeError


def table(rng, rows):
    names = rng.choice([f"user {i}" for i in range(80)] + ["é"], rows)
    return pl.DataFrame(
        {
            "speed": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
            "count": rng.integers(0, 9, rows),
            "name": pl.Series(names).replace("user 3", None),
            "ok": rng.random(rows) < 0.3,
            "none": pl.Series([None] * rows, dtype=pl.Null),
            "nested": [[1]] * rows,
        }
    )


def test_by_hand():
    splitters = drift.Profile.fit({"x": [1.0, 2.0, 3.0], "k": ["b", "b", "c"]})
    parts = [
        drift.Profile.fit({"x": values, "k": names}, splitters=splitters)
        for values, names in (([0.0, 2.0], ["a", "c"]), ([2.5, 9.0, None], ["c", "b", None]))
    ]
    joined = drift.Profile.join(parts)
    x, k = joined._columns
    # Edges 1, 2 and 3: one row below, none in [1, 2), two in [2, 3), one above; one is missing.
    assert x.edges.tolist() == splitters._columns[0].edges.tolist()
    assert (x.reference[0], x.reference.sum()) == (1, 5)
    assert (k.text, k.counts.tolist(), k.missing) == (b"cab", [2, 1, 1], 1)
    assert joined.n_rows == 5


@settings(max_examples=25)
@given(
    seed=st.integers(0, 9999),
    rows=st.integers(1, 400),
    cuts=st.lists(st.integers(0, 400), max_size=5),
)
def test_parts_add_up_to_the_whole(seed, rows, cuts):
    rng = np.random.default_rng(seed)
    splitters = drift.Profile.fit(table(rng, 100))
    whole = table(rng, rows)
    places = [0, *sorted(min(cut, rows) for cut in cuts), rows]
    parts = [drift.Profile.fit(whole[start:end], splitters=splitters) for start, end in pairwise(places)]
    joined = drift.Profile.join([parts[i] for i in rng.permutation(len(parts))])
    assert joined == drift.Profile.fit(whole, splitters=splitters)
    assert drift.Profile.from_bytes(joined.to_bytes()) == joined


def test_splitters_of_all_rows_change_nothing():
    rows = table(np.random.default_rng(1), 3000)
    profile = drift.Profile.fit(rows, statistics=["ks"])
    assert drift.Profile.fit(rows, splitters=profile) == profile


def test_a_part_without_strings_joins():
    splitters = drift.Profile.fit({"k": ["a", "b"]})
    part = pl.DataFrame({"k": pl.Series([None, None], dtype=pl.Null)})
    joined = drift.Profile.join(
        [drift.Profile.fit(part, splitters=splitters), drift.Profile.fit({"k": ["b"]}, splitters=splitters)]
    )
    assert joined == drift.Profile.fit({"k": [None, None, "b"]}, splitters=splitters)


X = drift.Profile.fit({"x": [1.0, 2.0, 3.0]})


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: drift.Profile.join([]), InputError, "`parts` must hold at least one profile; got none"),
        (
            lambda: drift.Profile.join([X, drift.Profile.fit({"x": [1.0, 2.0, 4.0]})]),
            InputError,
            "profiles must have the same splitters to be joined; column 'x' has other edges or another type",
        ),
        (
            lambda: drift.Profile.join([X, drift.Profile.fit({"x": ["a"]})]),
            InputError,
            "profiles must have the same splitters to be joined; column 'x' has other edges or another type",
        ),
        (
            lambda: drift.Profile.join([drift.Profile.fit({"x": ["a"]}), drift.Profile.fit({"x": [True]})]),
            InputError,
            "profiles must have the same splitters to be joined; column 'x' has other edges or another type",
        ),
        (
            lambda: drift.Profile.join([X, drift.Profile.fit({"y": [1.0]})]),
            InputError,
            "profiles must have the same columns, statistics and kinds to be joined",
        ),
        (
            lambda: drift.Profile.fit({"x": [1.0]}, splitters=X, columns=["x"]),
            InputError,
            "`splitters` must be given without `columns`, `exclude`, `statistics` and `kinds`: it has all",
        ),
        (
            lambda: drift.Profile.fit({"y": [1.0]}, splitters=X),
            InputError,
            "column 'x' must be in `reference`; it has 'y'",
        ),
        (
            lambda: drift.Profile.fit({"x": ["a"]}, splitters=X),
            InputTypeError,
            "column 'x' must have the reference's type float64; got string",
        ),
    ],
    ids=["none", "edges", "words", "bool", "columns", "both", "missing", "type"],
)
def test_wrong_use(call, error, text):
    with pytest.raises(error) as raised:
        call()
    assert str(raised.value) == text
