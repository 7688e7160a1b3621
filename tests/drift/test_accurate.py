"""`drift.ks(method="accurate")` against whole numbers, and the p-value of reports where it turns asymptotic."""

import csv
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel import _native, drift
from tidewheel.drift.table import column_tests
from tidewheel.drift.table.design_effect import independent

#: Made by benches/exact_ks.py with Python's whole numbers and mpmath.
GOLDEN = Path(__file__).parent / "golden" / "ks_exact.csv"
#: Relative errors of the two ways; the expansion's sum of up to 9,000 terms keeps fewer digits.
COUNTED, EXPANDED = 1e-12, 1e-9


def accurate(d, n, m, alternative="two-sided"):
    return _native.ks_pvalue(d, n, m, alternative, "accurate")


def golden_rows():
    with GOLDEN.open() as file:
        return [
            (int(row["n"]), int(row["m"]), int(row["h"]), row["alternative"], row["p"])
            for row in csv.DictReader(file)
        ]


def test_counts_are_those_of_whole_numbers():
    rows = golden_rows()
    assert {exact for *_, exact in map(check_golden, rows)} == {True, False}
    assert min(float(p) for *_, p in rows) < 1e-297
    assert max(float(p) for *_, p in rows) == 1.0


def check_golden(row):
    n, m, h, alternative, expected = row
    found, exact = accurate(h / math.lcm(n, m), n, m, alternative)
    # Most are far below what `approx` takes for 0.
    assert found == pytest.approx(float(expected), rel=COUNTED if exact else EXPANDED, abs=0), row
    return *row, exact


def test_hand_worked_example():
    # Of the 10 orders of three and two values, 6 have a distance of 2/3 or more.
    result = drift.ks([1.0, 2.0, 4.0], [3.0, 5.0], method="accurate")
    assert (result.pvalue, result.method) == (pytest.approx(0.6, rel=1e-15), "exact")


@pytest.mark.parametrize("alternative", ["two-sided", "less", "greater"])
@given(n=st.integers(1, 150), m=st.integers(1, 150), share=st.floats(0, 1))
def test_counted_where_exact_is(alternative, n, m, share):
    d = round(share * math.lcm(n, m)) / math.lcm(n, m)
    exact, counted = _native.ks_pvalue(d, n, m, alternative, "exact")
    if counted:
        assert accurate(d, n, m, alternative) == (exact, True)


def test_one_side_is_counted_where_scipy_gives_up():
    # The number of paths overflows a float, so "exact" turns asymptotic; shares of paths do not.
    asymptotic, counted = _native.ks_pvalue(0.05, 1_000, 999, "greater", "exact")
    assert not counted
    exact, counted = accurate(0.05, 1_000, 999, "greater")
    assert counted
    assert abs(asymptotic / exact - 1) > 0.001


@pytest.mark.parametrize(
    ("n", "m", "counted"),
    [
        pytest.param(350_000, 349_999, True, id="as large as is promised"),
        pytest.param(100_000_000, 100_000_000, True, id="equal sizes"),
        pytest.param(1_000_000, 1_000_001, False, id="beyond a billion points"),
        pytest.param(5, 1_000_000_000, False, id="tiny beside huge"),
    ],
)
def test_sizes_that_are_counted(n, m, counted):
    d = 1.36 * math.sqrt((n + m) / (n * m))
    p, exact = accurate(d, n, m)
    assert exact == counted
    assert p == pytest.approx(0.0495, rel=0.01 if min(n, m) > 5 else 0.5)


def test_the_way_is_named(rng):
    reference, current = rng.normal(size=1_000_000), rng.normal(0.002, 1, 1_000_001)
    assert drift.ks(reference, current, method="accurate").method == "expansion"
    assert drift.ks(reference, current[:-1], method="accurate").method == "exact"


def test_tails_reach_the_least_floats():
    # Where sizes are large the law is exp(-2 z^2) twice, to the last digits that a float can hold.
    for n, m in ((10**9, 10**9), (10**7, 3 * 10**7), (10**7, 3 * 10**7 + 1)):
        p, _ = accurate(18.5 * math.sqrt((n + m) / (n * m)), n, m)
        assert math.log(p) == pytest.approx(math.log(2) - 2 * 18.5**2, rel=1e-4)
    assert accurate(19.2 * math.sqrt(2e-9), 10**9, 10**9)[0] > 0


@given(
    n=st.integers(1, 10**12),
    m=st.integers(10**9 + 1, 10**12),
    z=st.floats(0.01, 30),
    alternative=st.sampled_from(["two-sided", "less", "greater"]),
)
def test_expanded_pvalues_lie_between_zero_and_one_and_fall(n, m, z, alternative):
    root = math.sqrt((n + m) / (n * m))
    low, high = min(1.0, z * root), min(1.0, 1.01 * z * root)
    (p, counted), (further, _) = accurate(low, n, m, alternative), accurate(high, n, m, alternative)
    assert not counted
    # Near 1 the coarse sum over heights has an error of its own.
    assert 0 <= further <= p * (1 + 1e-9) + (1e-5 if z < 0.5 else 0.0)
    assert p <= 1


def least_rejected(n, m, alpha):
    """The least distance on the lattice that a report's test rejects."""
    lcm = math.lcm(n, m)

    def is_rejected(h):
        distance = SimpleNamespace(lower=h / lcm, upper=h / lcm, n=n, m=m)
        return column_tests.compare_numbers(distance, independent(n, m), alpha).pvalue <= alpha

    if not is_rejected(lcm):
        return math.inf
    low, high = 0, lcm
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_rejected(middle) else (middle, high)
    return high / lcm


@pytest.mark.parametrize("alpha", [0.05, 0.001])
@pytest.mark.parametrize(
    ("n", "m"),
    [
        (1, 30), (5, 5), (7, 50), (50, 50), (50, 5_000), (50, 50_000), (500, 501), (500, 50_000), (5_000, 5_000),
        (5_000, 5_003), (5_000, 50_000), (7_000, 7_001), (9_000, 9_100), (20, 400_000), (50_000, 50_000),
    ],
)  # fmt: skip
def test_reports_keep_their_level_at_all_sizes(n, m, alpha):
    """The share of undrifted columns that a report's test rejects, by the true law, is at most nominal."""
    d = least_rejected(n, m, alpha)
    if d == math.inf:
        # Too few orders for any to be rare enough.
        assert 2 / math.comb(n + m, n) > alpha
        return
    size = accurate(d, n, m)[0]
    counted = n == m or 2 * d * n * m < column_tests.EXACT_POINTS
    assert size <= alpha * (1 if counted else 1.02)
    if min(n, m) > 5:
        assert size > alpha * (0.5 if n * m <= 2_500 else 0.85)
