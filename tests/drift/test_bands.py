"""Bounds at any number of rows: hand-worked, never beaten by exact tails, and honest where the sample chose the names."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from tidewheel.drift.over_time import bands


def test_hand_worked_examples():
    # ln 2 + ln 20 = ln 40; sqrt(ln 40 / 200).
    assert bands.reach_of_distribution(math.log(20), 100) == pytest.approx(
        math.sqrt(math.log(40) / 200), rel=1e-14
    )
    lower, upper = bands.share_interval(math.log(20), 0.0, 100)
    # Of a share of 0 the rare form counts: twice y = ln 40 / 100; the flat one would say sqrt(y / 2) = 0.136.
    assert (lower, upper) == (0.0, pytest.approx(2 * math.log(40) / 100, rel=1e-14))
    half = math.sqrt(math.log(40) / 200)
    assert bands.share_interval(math.log(20), 0.5, 100) == pytest.approx((0.5 - half, 0.5 + half), rel=1e-14)
    reach = (1 + math.sqrt(2)) * math.sqrt(math.log(40) / 10_000)
    assert bands.most_unseen(math.log(20), 50, 10_000) == pytest.approx(0.005 + reach, rel=1e-14)


def test_without_rows_nothing_is_known():
    assert bands.share_interval(1.0, 0.0, 0) == (0.0, 1.0)
    assert bands.reach_of_distribution(1.0, 0) > 1


@given(st.integers(1, 300), st.floats(0.0005, 0.9995), st.floats(0.5, 20))
def test_intervals_of_shares_fail_no_more_often_than_stated(rows, p, x):
    shares = np.arange(rows + 1) / rows
    lower, upper = bands.share_interval(x, shares, rows)
    failing = (p < lower) | (p > upper)
    assert binom.pmf(np.arange(rows + 1)[failing], rows, p).sum() <= math.exp(-x) * (1 + 1e-9)


@given(st.integers(1, 10_000), st.integers(0, 10_000), st.floats(0.1, 30))
def test_intervals_of_shares_mirror(rows, count, x):
    share = min(count, rows) / rows
    lower, upper = bands.share_interval(x, share, rows)
    other_lower, other_upper = bands.share_interval(x, 1 - share, rows)
    assert 0 <= lower <= share <= upper <= 1
    assert lower == pytest.approx(1 - other_upper, abs=1e-12)
    assert upper == pytest.approx(1 - other_lower, abs=1e-12)


def test_names_chosen_by_the_sample_keep_their_bounds(rng):
    # A vocabulary of Zipf's kind, mostly rare names; the most frequent 50 of each sample are looked at.
    p = 1 / np.arange(1, 20_001) ** 1.1
    p /= p.sum()
    rows, error, failed = 2_000, 0.2, 0
    for _ in range(300):
        counts = rng.multinomial(rows, p)
        chosen = np.argsort(counts)[-50:]
        lower, upper = bands.name_intervals(math.log(1 / error), counts[chosen] / rows, rows)
        failed += bool(((p[chosen] < lower) | (p[chosen] > upper)).any())
    assert failed <= 300 * error


def test_the_unseen_stay_below_their_bound(rng):
    p = 1 / np.arange(1, 50_001)
    p /= p.sum()
    rows, error, failed, tight = 1_000, 0.3, 0, 0
    for _ in range(300):
        counts = rng.multinomial(rows, p)
        missing, once = p[counts == 0].sum(), int((counts == 1).sum())
        failed += missing > bands.most_unseen(math.log(1 / error), once, rows)
        tight += missing > once / rows
    assert failed <= 300 * error
    # The estimate alone is exceeded in half of the samples: the bound has work to do.
    assert tight > 100
