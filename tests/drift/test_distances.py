"""`drift.wasserstein`, `energy_distance`, `cramer_von_mises`, `anderson_darling`: definitions, SciPy, edge cases."""

import math
import warnings
from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from tidewheel import drift
from tidewheel.drift.statistics.rank_tests import cramer_von_mises_sf
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

INF = math.inf


def scipy_anderson(reference, current):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return stats.anderson_ksamp([reference, current], variant="midrank")


RIVALS = {
    drift.wasserstein: stats.wasserstein_distance,
    drift.energy_distance: stats.energy_distance,
    drift.cramer_von_mises: lambda r, c: stats.cramervonmises_2samp(r, c).statistic,
    drift.anderson_darling: lambda r, c: scipy_anderson(r, c).statistic,
}
DISTANCES = [drift.wasserstein, drift.energy_distance]
TESTS = [drift.cramer_von_mises, drift.anderson_darling]

each = pytest.mark.parametrize("function", RIVALS, ids=lambda function: function.__name__)
distance = pytest.mark.parametrize("function", DISTANCES, ids=lambda function: function.__name__)


def differences(reference, current):
    """`F - G` after each distinct value but the last, and the gap to the next, in fractions."""
    places = sorted({*reference, *current})
    for at, after in pairwise(places):
        f = Fraction(sum(value <= at for value in reference), len(reference))
        g = Fraction(sum(value <= at for value in current), len(current))
        yield f - g, Fraction(after) - Fraction(at)


def by_fractions(reference, current):
    return float(sum((abs(d) * gap for d, gap in differences(reference, current)), Fraction(0)))


def energy_by_pairs(reference, current):
    def mean(xs, ys):
        return sum(abs(Fraction(x) - Fraction(y)) for x in xs for y in ys) / (len(xs) * len(ys))

    return math.sqrt(2 * mean(reference, current) - mean(reference, reference) - mean(current, current))


def criterion_by_ranks(reference, current):
    """T from the ranks, as its docstring has it."""
    pooled = sorted([*reference, *current])
    n, m, total = len(reference), len(current), len(reference) + len(current)

    def squares(side):
        ranks = [
            Fraction(2 * sum(z < x for z in pooled) + sum(z == x for z in pooled) + 1, 2)
            for x in sorted(side)
        ]
        return sum((rank - i) ** 2 for i, rank in enumerate(ranks, 1))

    u = n * squares(reference) + m * squares(current)
    return float(u / (n * m * total) - Fraction(4 * n * m - 1, 6 * total))


def in_long_doubles(reference, current):
    """Wasserstein's distance by sorting, with 64 bits of fraction."""
    r, c = np.sort(reference), np.sort(current)
    pooled = np.sort(np.concatenate([r, c]))
    i, j = (np.searchsorted(side, pooled[:-1], side="right") for side in (r, c))
    d = np.abs(i * len(c) - j * len(r)).astype(np.longdouble)
    gaps = pooled[1:].astype(np.longdouble) - pooled[:-1].astype(np.longdouble)
    return float((d * gaps).sum() / (np.longdouble(len(r)) * len(c)))


def test_hand_worked_examples():
    # F - G is 1/2 on [0, 1) and on [2, 3), else 0.
    reference, current = [0.0, 2.0], [1.0, 3.0]
    assert drift.wasserstein(reference, current).statistic == 1.0
    assert drift.energy_distance(reference, current).statistic == 1.0
    # Ranks 1, 3 and 2, 4: U = 2 (0 + 1) + 2 (1 + 4) = 12, T = 12 / 16 - 15 / 24. Of the 6 orders all but the two
    # alternating ones reach it, and these have just that.
    found = drift.cramer_von_mises(reference, current)
    assert (found.statistic, found.pvalue, found.method) == (0.125, 1.0, "exact")


samples = st.lists(st.integers(-9, 9), min_size=2, max_size=25)


@given(reference=samples, current=samples)
def test_distances_are_their_definitions(reference, current):
    assert drift.wasserstein(reference, current).statistic == pytest.approx(
        by_fractions(reference, current), rel=1e-15
    )
    assert drift.energy_distance(reference, current).statistic == pytest.approx(
        energy_by_pairs(reference, current), rel=1e-14
    )


@given(reference=samples, current=samples)
def test_criterion_is_its_definition(reference, current):
    assert drift.cramer_von_mises(reference, current).statistic == criterion_by_ranks(reference, current)


floats = hnp.arrays(np.float64, st.integers(2, 60), elements=st.floats(-5, 5, width=16))


@settings(max_examples=60, deadline=None)
@given(reference=floats, current=floats)
def test_numbers_are_scipys(reference, current):
    for function in DISTANCES:
        assert function(reference, current).statistic == pytest.approx(
            RIVALS[function](reference, current), rel=1e-12, abs=1e-15
        )
    ours, theirs = drift.cramer_von_mises(reference, current), stats.cramervonmises_2samp(reference, current)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-12, abs=1e-13)
    assert ours.pvalue == pytest.approx(theirs.pvalue, rel=1e-12 if ours.method == "exact" else 0, abs=2e-7)
    assume(len(reference) + len(current) > 4)
    assume(len({*reference.tolist(), *current.tolist()}) > 1)
    ours, theirs = drift.anderson_darling(reference, current), scipy_anderson(reference, current)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-11, abs=1e-13)
    assert ours.pvalue == pytest.approx(theirs.pvalue, rel=1e-10)


@pytest.mark.parametrize(("n", "m", "shift"), [(300, 500, 0.1), (7, 2_000, 0.5), (5_000, 4_000, 0.0)])
def test_larger_samples_are_scipys(rng, n, m, shift):
    reference, current = rng.normal(size=n), np.round(rng.normal(shift, 1, m), 1)
    for function, rival in RIVALS.items():
        assert function(reference, current).statistic == pytest.approx(rival(reference, current), rel=1e-11)
    ours, theirs = drift.cramer_von_mises(reference, current), stats.cramervonmises_2samp(reference, current)
    assert (ours.method, ours.pvalue) == ("asymptotic", pytest.approx(theirs.pvalue, abs=2e-7))
    assert drift.anderson_darling(reference, current).pvalue == pytest.approx(
        scipy_anderson(reference, current).pvalue, rel=1e-9
    )


SHAPES = {
    "normal": lambda z: z,
    "far from zero": lambda z: z + 1e9,
    "log-normal over many decades": lambda z: np.exp(6 * z),
    "heavy tails": lambda z: 1 / z,
    "rounded": lambda z: np.round(z, 2),
    "few values": lambda z: np.floor(3 * z),
    "one heavy atom": lambda z: np.where(z < 0.3, 0.0, z),
    "huge": lambda z: np.clip(z, -1.7, 1.7) * 5e307,
    "near the least normal float": lambda z: z * 1e-300,
    "float32": lambda z: z.astype(np.float32),
    "whole numbers": lambda z: np.round(z * 1_000).astype(np.int64),
    "unsigned": lambda z: np.round(np.abs(z) * 1_000).astype(np.uint64),
    "constant": lambda z: np.full_like(z, 3.0),
    "one outlier": lambda z: np.where(np.arange(z.size) == 77, 1e200, z),
}


@pytest.mark.parametrize("shift", [0.0, 0.02, 2.0])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_large_samples_by_cells_are_exact(rng, shape, shift):
    # Beyond 16,384 rows cells are counted and only some sorted: the sorted way must give the same, to the last digits.
    reference, current = shape(rng.normal(size=50_011)), shape(rng.normal(shift, 1, size=40_021))
    expected = in_long_doubles(reference, current)
    found = drift.wasserstein(reference, current).statistic
    assert found == pytest.approx(expected, rel=1e-13, abs=0)
    swapped = drift.wasserstein(current, reference).statistic
    assert swapped == pytest.approx(expected, rel=1e-13, abs=0)


@pytest.mark.parametrize("jitter", [1e-3, 1e-6, 1e-9, 1e-12])
def test_differences_far_below_a_cell_keep_their_digits(rng, jitter):
    reference = np.round(3 * rng.normal(size=40_000), 1)
    current = rng.permutation(reference) + jitter * rng.random(40_000)
    assert drift.wasserstein(reference, current).statistic == pytest.approx(
        in_long_doubles(reference, current), rel=1e-13, abs=0
    )


@given(
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=30),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_large_samples_of_any_values_are_exact(values, seed):
    # Values drawn again and again: heavy atoms, any magnitudes, and twice as many rows as are sorted outright.
    rng = np.random.default_rng(seed)
    pool = np.array(values)
    reference, current = rng.choice(pool, 20_000), rng.choice(pool, 14_000)
    found, expected = drift.wasserstein(reference, current).statistic, in_long_doubles(reference, current)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-300)


@distance
def test_same_sample_has_distance_zero(rng, function):
    values = rng.normal(size=30_000)
    assert function(values, rng.permutation(values)).statistic == 0


@distance
def test_shifts_and_scales(rng, function):
    reference, current = rng.normal(size=20_000), rng.normal(0.3, 1.2, size=12_000)
    plain = function(reference, current).statistic
    root = 0.5 if function is drift.energy_distance else 1
    assert function(reference + 64, current + 64).statistic == pytest.approx(plain, rel=1e-10)
    assert function(-reference, -current).statistic == pytest.approx(plain, rel=1e-13)
    assert function(1024 * reference, 1024 * current).statistic == pytest.approx(
        1024**root * plain, rel=1e-13
    )
    assert function(np.repeat(reference, 3), np.repeat(current, 3)).statistic == pytest.approx(
        plain, rel=1e-13
    )
    assert function(current, reference).statistic == pytest.approx(plain, rel=1e-13)


def test_a_shift_is_its_own_wasserstein_distance(rng):
    values = np.round(rng.normal(size=30_000), 6)
    for shift in (1e-5, 0.25, 3.0, 1e6):
        assert drift.wasserstein(values, values + shift).statistic == pytest.approx(shift, rel=1e-9)


@pytest.mark.parametrize("function", TESTS, ids=lambda function: function.__name__)
def test_tests_are_symmetric_and_free_of_monotone_maps(rng, function):
    reference, current = rng.normal(size=900), rng.normal(0.1, 1.2, size=700)
    plain = function(reference, current)
    for other in (function(current, reference), function(np.exp(reference), np.exp(current))):
        assert other.statistic == pytest.approx(plain.statistic, rel=1e-12)
        assert other.pvalue == pytest.approx(plain.pvalue, rel=1e-11)


def test_integers_beyond_two_to_53_keep_their_digits(rng):
    base = 1 << 62
    steps = rng.integers(0, 50, 20_000)
    for dtype in (np.int64, np.uint64):
        values = (base + steps).astype(dtype)
        assert drift.wasserstein(values, values + dtype(3)).statistic == pytest.approx(3.0, rel=1e-12)
    assert drift.wasserstein(np.array([-(2**63)]), np.array([2**63 - 1])).statistic == 2.0**64


def test_results_do_not_depend_on_threads_or_chunks(rng):
    reference, current = rng.normal(size=700_001), np.round(rng.normal(0.003, 1.01, 600_000), 3)
    one = drift.wasserstein(reference, current, threads=1).statistic
    for threads in (2, 3, 8):
        assert drift.wasserstein(reference, current, threads=threads).statistic == one
    cut = pl.concat(
        [pl.Series(current[:1]), pl.Series(current[1:300_007]), pl.Series(current[300_007:])], rechunk=False
    )
    assert drift.wasserstein(reference, cut, threads=2).statistic == one


def limit_tail_by_bessel(x):
    """One less the series that Csorgo and Faraway (1996) give."""
    k = np.arange(80)
    q = (4 * k + 1) ** 2 / (16 * x)
    weights = np.exp(special.gammaln(k + 0.5) - special.gammaln(k + 1)) / (np.pi**1.5 * np.sqrt(x))
    return 1 - float((weights * np.sqrt(4 * k + 1) * np.exp(-2 * q) * special.kve(0.25, q)).sum())


@pytest.mark.parametrize("x", [0.003, 0.01, 0.05, 0.2, 0.461, 0.743, 1.0, 2.5, 4.0])
def test_limit_law_is_the_series(x):
    assert cramer_von_mises_sf(x) == pytest.approx(limit_tail_by_bessel(x), abs=1e-13)


def test_small_tails_keep_their_digits():
    # The lower end of the first half-wave decides: there |sin t| is t - pi.
    for x in (10.0, 30.0, 100.0):
        leading = 2 / (math.pi**1.5 * math.sqrt(x)) * math.exp(-(math.pi**2) * x / 2)
        assert cramer_von_mises_sf(x) == pytest.approx(leading, rel=0.1 / x, abs=0)
    assert (cramer_von_mises_sf(0.0), cramer_von_mises_sf(1e9)) == (1.0, 0.0)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (2, 5), (4, 4), (3, 6), (5, 4)])
def test_exact_pvalues_are_shares_of_all_orders(n, m):
    orders = []
    for chosen in combinations(range(n + m), n):
        rest = [i for i in range(n + m) if i not in chosen]
        orders.append((criterion_by_ranks(chosen, rest), chosen, rest))
    for t, chosen, rest in orders:
        expected = sum(other >= t - 1e-12 for other, _, _ in orders) / len(orders)
        found = drift.cramer_von_mises(chosen, rest)
        assert (found.method, found.pvalue) == ("exact", pytest.approx(expected, rel=1e-14))


def test_methods_of_the_criterion(rng):
    small, large = rng.normal(size=15), rng.normal(size=30)
    assert drift.cramer_von_mises(small, large).method == "asymptotic"
    exact = drift.cramer_von_mises(small, large, method="exact")
    theirs = stats.cramervonmises_2samp(small, large, method="exact")
    assert (exact.method, exact.pvalue) == ("exact", pytest.approx(theirs.pvalue, rel=1e-12))
    asymptotic = drift.cramer_von_mises(small, small + 0.1, method="asymptotic")
    theirs = stats.cramervonmises_2samp(small, small + 0.1, method="asymptotic")
    assert asymptotic.pvalue == pytest.approx(theirs.pvalue, abs=2e-7)


def test_pvalues_beyond_the_table_say_so():
    ranks = np.arange(50.0)
    assert (drift.anderson_darling(ranks, ranks).pvalue, drift.anderson_darling(ranks, ranks).method) == (
        0.25,
        "at least",
    )
    far = drift.anderson_darling(ranks, ranks + 100)
    assert (far.pvalue, far.method) == (0.001, "at most")


EDGE_CASES = {
    "one value each": ([1.0], [3.5], 2.5),
    "one value each, equal": ([1.0], [1.0], 0.0),
    "all equal": ([3.0] * 5, [3.0] * 7, 0.0),
    "zeros of both signs": ([0.0, -0.0], [-0.0], 0.0),
    "NaN left out": ([1.0, np.nan, 2.0], [1.0, 2.0, np.nan], 0.0),
    "missing left out": ([1.0, None, 2.0], pl.Series([1.0, None, 4.0]), 1.0),
    "equal shares of infinity": ([-INF, 1.0, INF, 4.0], [-INF, 2.0, INF, 5.0], 0.5),
    "more infinities on a side": ([1.0, INF], [1.0, INF, INF], INF),
    "infinities of both signs": ([INF], [-INF], INF),
    "infinities alone": ([INF, INF], [INF], 0.0),
    "largest floats": ([-8e307], [8e307], 1.6e308),
    "booleans": ([True, False], [True, True], 0.5),
    "pandas": (pd.Series([1.0, 2.0]), pd.Series([2, 3]), 1.0),
    "days": (np.array(["2013-01-01"], "M8[D]"), np.array(["2013-01-31"], "M8[D]"), 30.0),
    "durations": (np.array([5, 7], "m8[s]"), np.array([6, 8], "m8[s]"), 1.0),
}


@pytest.mark.parametrize(("reference", "current", "expected"), EDGE_CASES.values(), ids=EDGE_CASES.keys())
def test_edge_cases(reference, current, expected):
    assert drift.wasserstein(reference, current).statistic == expected
    found = drift.energy_distance(reference, current).statistic
    assert (found == 0) == (expected == 0)
    assert math.isinf(found) == math.isinf(expected)


@pytest.mark.parametrize("copies", [1, 9_000])
def test_infinities_in_samples_of_any_size(copies):
    reference, current = np.repeat([-INF, 0.0, INF], copies), np.repeat([-INF, 2.0, INF], copies)
    assert drift.wasserstein(reference, current).statistic == pytest.approx(2 / 3, rel=1e-15)
    current[0] = 0.0
    assert drift.wasserstein(reference, current).statistic == INF


@each
def test_what_is_left_out_is_counted(function):
    found = function(np.array([1.0, np.nan, 2.0, INF]), pl.Series([1.0, None, float("nan"), 3.0, INF]))
    assert found.beside == drift.Beside(missing=(0, 1), nan=(1, 1), infinite=(1, 1))
    assert (found.n, found.m) == (3, 3)


REFUSED = {
    "empty": (([], [1.0]), InputError, "must each hold at least one number; got 0 and 1"),
    "all NaN": (([1.0], [np.nan]), InputError, "got 1 and 0"),
    "strings": ((["a"], [1.0]), InputTypeError, "'reference' must hold numbers; got string"),
    "two dimensions": ((np.ones((2, 2)), [1.0]), InputError, "must be one-dimensional; got 2 dimensions"),
    "times of two kinds": (
        (np.array([1], "M8[s]"), np.array([1], "m8[s]")),
        InputTypeError,
        "`current` must hold datetime[s] as `reference` does; got duration[s]: times must be of one kind",
    ),
}


@each
@pytest.mark.parametrize(("samples", "error", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(function, samples, error, text):
    with pytest.raises(error) as caught:
        function(*samples)
    assert text in str(caught.value)


REFUSED_BY_TESTS = {
    "one number": (
        drift.cramer_von_mises,
        ([1.0], [1.0, 2.0]),
        {},
        InputError,
        "at least two numbers; got 1 and 2",
    ),
    "method": (
        drift.cramer_von_mises,
        ([1.0], [1.0]),
        {"method": "asymp"},
        UnknownNameError,
        "'auto', 'exact', 'asymptotic'; got 'asymp'",
    ),
    "too many orders": (
        drift.cramer_von_mises,
        (np.arange(515.0), np.arange(515.0)),
        {"method": "exact"},
        InputError,
        "got 515 and 515: use 'asymptotic'",
    ),
    "three numbers": (
        drift.anderson_darling,
        ([1.0], [1.0, 2.0]),
        {},
        InputError,
        "at least 4 numbers in all; got 3",
    ),
    "all equal": (
        drift.anderson_darling,
        ([2.0] * 3, [2.0] * 3),
        {},
        InputError,
        "two different numbers; all are equal",
    ),
}


@pytest.mark.parametrize(
    ("function", "samples", "options", "error", "text"),
    REFUSED_BY_TESTS.values(),
    ids=REFUSED_BY_TESTS.keys(),
)
def test_refusals_of_tests(function, samples, options, error, text):
    with pytest.raises(error) as caught:
        function(*samples, **options)
    assert text in str(caught.value)


def far_apart(name, rows):
    """Two samples near the ends of the range of floats; the distances of their values are more than a float holds."""
    rng = np.random.default_rng(5)
    greatest = np.finfo(np.float64).max
    make = {
        "two values": lambda: rng.choice([-1.0, 1.0], rows),
        "one of them spread": lambda: np.where(rng.random(rows) < 0.3, -1.0, rng.uniform(0.9, 1, rows)),
        "steps": lambda: rng.integers(-50, 51, rows) / 50,
        "even": lambda: rng.uniform(-1, 1, rows),
    }[name]
    return make() * greatest, make() * greatest * 0.97


def area(reference, current, power):
    """`int |F - G|^power` in fractions."""
    places = sorted({*reference, *current})
    below = [np.searchsorted(np.sort(side), places, side="right").tolist() for side in (reference, current)]
    n, m = len(reference), len(current)
    gaps = zip(places, places[1:], *below, strict=False)
    return sum(
        abs(Fraction(i, n) - Fraction(j, m)) ** power * (Fraction(b) - Fraction(a)) for a, b, i, j in gaps
    )


@pytest.mark.parametrize("rows", [3, 1_000, 20_000])
@pytest.mark.parametrize("name", ["two values", "one of them spread", "steps", "even"])
def test_wasserstein_near_the_greatest_floats(name, rows):
    reference, current = far_apart(name, rows)
    expected = area(reference.tolist(), current.tolist(), 1)
    expected = float(expected) if expected <= np.finfo(np.float64).max else np.inf
    assert drift.wasserstein(reference, current).statistic == pytest.approx(expected, rel=1e-12)


def test_wasserstein_of_many_rows_near_the_greatest_floats():
    # Sums over cells overflow here: former code gave 0.
    reference, current = far_apart("steps", 150_000)
    expected = area(reference.tolist(), current.tolist(), 1)
    assert drift.wasserstein(reference, current).statistic == pytest.approx(float(expected), rel=1e-12)


def test_distances_that_are_the_greatest_float_or_more():
    greatest = np.finfo(np.float64).max
    assert drift.wasserstein([-greatest, greatest], [greatest, greatest]).statistic == greatest
    assert drift.wasserstein([0.0], [greatest]).statistic == greatest
    # Twice the greatest float, which is none.
    assert drift.wasserstein([-greatest], [greatest]).statistic == np.inf
    assert drift.energy_distance([-greatest], [greatest]).statistic == pytest.approx(
        2 * np.sqrt(greatest), rel=1e-15
    )


@pytest.mark.parametrize("name", ["two values", "steps", "even"])
def test_energy_distance_near_the_greatest_floats(name):
    reference, current = far_apart(name, 500)
    quarter = area(reference.tolist(), current.tolist(), 2) / 2
    assert drift.energy_distance(reference, current).statistic == pytest.approx(
        2 * np.sqrt(float(quarter)), rel=1e-12
    )
