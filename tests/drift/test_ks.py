"""`drift.ks`: the exact distance and SciPy's p-values."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from tidewheel import _native, drift
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

ALTERNATIVES = ("two-sided", "less", "greater")
METHODS = ("auto", "exact", "asymp")


def by_fractions(reference, current, alternative="two-sided"):
    """The distance as its definition has it, in fractions, and the least place where it is attained."""
    best = None
    for at in sorted({*reference, *current}):
        f = Fraction(sum(value <= at for value in reference), len(reference))
        g = Fraction(sum(value <= at for value in current), len(current))
        d = {"two-sided": abs(f - g), "less": g - f, "greater": f - g}[alternative]
        if best is None or d > best[0]:
            best = (d, at, 1 if f > g else -1)
    return best


def scipy_ks(reference, current, **options):
    """SciPy's result, and whether it gave up its exact p-value; it says so in a warning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = stats.ks_2samp(reference, current, **options)
    return result, any("Exact calculation unsuccessful" in str(warning.message) for warning in caught)


def assert_as_scipy(reference, current, method, alternative):
    ours = drift.ks(reference, current, method=method, alternative=alternative)
    theirs, gave_up = scipy_ks(reference, current, method=method, alternative=alternative)
    assert ours.statistic == pytest.approx(theirs.statistic, abs=1e-12)
    if np.isnan(theirs.pvalue):
        assert (method, alternative, len(reference), len(current)) == ("asymp", "two-sided", 1, 1)
        assert ours.pvalue == 1.0
    elif gave_up and ours.method == "exact":
        # SciPy's sum was rounded to a little more than 1, so it took the asymptotic value instead.
        assert ours.pvalue == pytest.approx(1.0, abs=1e-12)
    else:
        assert ours.pvalue == pytest.approx(theirs.pvalue, rel=1e-9, abs=1e-300)


def test_certain_distances_have_p_one_where_scipy_rounds_beyond():
    # Every order of 7 and 7 values has a distance of at least 1/7.
    reference, current = [0.0] * 7, [1.0] + [0.0] * 6
    assert scipy_ks(reference, current)[1]
    assert drift.ks(reference, current).pvalue == 1.0
    for method in METHODS:
        assert_as_scipy(reference, current, method, "two-sided")


def test_hand_worked_example():
    # F - G is 1/3, 2/3, 2/3 - 1/2 = 1/6, 1 - 1/2 = 1/2, 0 at 1, 2, 3, 4, 5: two of three before the first of two.
    result = drift.ks([1.0, 2.0, 4.0], [3.0, 5.0])
    assert result.statistic == pytest.approx(2 / 3)
    assert (result.location, result.sign, result.n, result.m) == (2.0, 1, 3, 2)
    # Of the 10 orders of three and two values, 6 have a distance of 2/3 or more.
    assert result.pvalue == pytest.approx(0.6)
    assert result.method == "exact"


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@given(
    reference=st.lists(st.integers(-6, 6), min_size=1, max_size=25),
    current=st.lists(st.integers(-6, 6), min_size=1, max_size=25),
)
def test_distance_is_its_definition(alternative, reference, current):
    result = drift.ks(reference, current, alternative=alternative)
    d, at, sign = by_fractions(reference, current, alternative)
    assert result.statistic == pytest.approx(float(d), abs=1e-15)
    if alternative != "two-sided" or d > 0:
        both = {by_fractions(reference, current, side)[0] for side in ("less", "greater")}
        if alternative != "two-sided" or len(both) == 2:
            assert result.location == at
        if alternative == "two-sided" and len(both) == 2:
            assert result.sign == sign


floats = hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(-5, 5, width=16))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("alternative", ALTERNATIVES)
@settings(max_examples=60, deadline=None)
@given(reference=floats, current=floats)
def test_numbers_are_scipys(method, alternative, reference, current):
    assert_as_scipy(reference, current, method, alternative)


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize(
    ("n", "m", "shift"),
    [
        pytest.param(300, 300, 0.2, id="equal sizes"),
        pytest.param(333, 500, 0.1, id="coprime"),
        pytest.param(400, 800, 0.3, id="multiple"),
        pytest.param(1000, 999, 0.05, id="one-sided counts overflow a double"),
        pytest.param(20_000, 15_000, 0.01, id="beyond exact"),
        pytest.param(20_000, 15_000, 1.0, id="p is 0 in SciPy"),
        pytest.param(1, 5_000, 2.0, id="one against many"),
        pytest.param(50_000, 60_000, 0.0, id="no shift"),
    ],
)
def test_large_samples_are_scipys(rng, n, m, shift, alternative):
    reference, current = rng.normal(size=n), rng.normal(shift, 1, m)
    for method in ("auto", "asymp"):
        assert_as_scipy(reference, current, method, alternative)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 100, 140, 141, 300, 1_000, 20_000, 100_001, 1_000_000, 1_000_001])
def test_asymptotic_law_is_scipys_kstwo(n):
    # Two samples of 2 n have the effective size n.
    # SciPy takes seconds for one value at a million.
    z = (
        np.concatenate([np.linspace(0.2, 3, 57), [4, 6, 10, 15, 19.2, 19.3]])
        if n < 100_000
        else np.array([0.5, 1.6, 19.3])
    )
    for d in z[z < np.sqrt(n)] / np.sqrt(n):
        ours, exact = _native.ks_pvalue(float(d), 2 * n, 2 * n, "two-sided", "asymp")
        assert not exact
        assert ours == pytest.approx(stats.kstwo.sf(d, n), rel=1e-9, abs=1e-300)


def test_limit_laws():
    for z in (0.3, 0.8, 1.0, 1.36, 2.0, 5.0):
        assert _native.kolmogorov_sf(z) == pytest.approx(special.kolmogorov(z), rel=1e-11, abs=0)
    # With an estimated scale: the mean over chi-square, here by a Monte Carlo of 400,000.
    w = np.random.default_rng(0).chisquare(8, 400_000) / 8
    assert _native.kolmogorov_sf(1.5, 8) == pytest.approx(
        special.kolmogorov(1.5 * np.sqrt(w)).mean(), rel=0.01
    )


@pytest.mark.parametrize("x", [1e-9, 0.3, 2.0, 9.0, 40.0, 300.0])
def test_other_laws_are_scipys(x):
    for df in (1, 2, 9, 50):
        assert _native.chi2_sf(x, df) == pytest.approx(stats.chi2.sf(x, df), rel=1e-11, abs=0)
        assert _native.f_sf(x, df, 7) == pytest.approx(stats.f.sf(x, df, 7), rel=1e-11, abs=0)
    assert _native.normal_sf(x) == pytest.approx(stats.norm.sf(x), rel=1e-11, abs=1e-300)
    assert _native.normal_sf(-x) == pytest.approx(stats.norm.sf(-x), rel=1e-11)


SHAPES = {
    "normal": lambda z: z,
    "log-normal over many decades": lambda z: np.exp(6 * z),
    "heavy tails": lambda z: 1 / z,
    "few values": lambda z: np.floor(3 * z),
    "one heavy atom": lambda z: np.where(z < 0.3, 0.0, z),
    "huge": lambda z: np.clip(z, -1.7, 1.7) * 1e308,
    "subnormal": lambda z: z * 5e-322,
    "with infinities": lambda z: np.where(z > 2, np.inf, np.where(z < -2, -np.inf, z)),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_large_samples_by_cells_are_exact(rng, shape):
    # Beyond 16,384 rows cells are counted and only some refined: the sorted way must give the same.
    reference, current = shape(rng.normal(size=30_011)), shape(rng.normal(0.02, 1, size=20_021))
    at = np.sort(np.concatenate([reference, current]))
    f, g = (np.searchsorted(np.sort(side), at, side="right") for side in (reference, current))
    numerator = np.abs(f * len(current) - g * len(reference)).max()
    assert drift.ks(reference, current).statistic == numerator / (len(reference) * len(current))


def test_same_sample_has_distance_zero(rng):
    values = rng.normal(size=50_000)
    result = drift.ks(values, values[::-1])
    assert (result.statistic, result.pvalue) == (0.0, 1.0)


def test_strictly_monotone_maps_change_nothing(rng):
    reference, current = rng.normal(size=20_000), rng.normal(0.1, 1.2, size=12_000)
    plain, mapped = drift.ks(reference, current), drift.ks(np.exp(reference), np.exp(current))
    assert (plain.statistic, plain.pvalue, plain.sign) == (mapped.statistic, mapped.pvalue, mapped.sign)
    assert mapped.location == np.exp(plain.location)


def test_swapping_swaps_the_sign(rng):
    one, other = rng.normal(size=20_000), rng.normal(0.1, 1, size=12_000)
    forth, back = drift.ks(one, other), drift.ks(other, one)
    assert (forth.statistic, forth.pvalue, forth.sign) == (back.statistic, back.pvalue, -back.sign)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_integers_beyond_two_to_53_keep_their_order(dtype):
    base = 1 << 62
    reference, current = np.array([base, base + 2], dtype), np.array([base + 1, base + 3], dtype)
    result = drift.ks(reference, current)
    assert (result.statistic, result.location) == (0.5, base)
    assert drift.ks(reference, current - 1).location == base + 2 - 2


EDGE_CASES = {
    "one value each, equal": ([1.0], [1.0], 0.0),
    "one value each, different": ([1.0], [2.0], 1.0),
    "all equal": ([3.0] * 5, [3.0] * 7, 0.0),
    "zeros of both signs": ([0.0, -0.0], [-0.0], 0.0),
    "NaN left out": ([1.0, np.nan, 2.0], [1.0, 2.0, np.nan], 0.0),
    "infinities rank": ([-np.inf, 1.0], [1.0, np.inf], 0.5),
    "integers": ([1, 2, 3], [4, 5], 1.0),
    "booleans": ([True, False], [True, True], 0.5),
    "missing objects": ([1.0, None, 2.0], [1.0, 2.0], 0.0),
}


@pytest.mark.parametrize(("reference", "current", "expected"), EDGE_CASES.values(), ids=EDGE_CASES.keys())
def test_edge_cases(reference, current, expected):
    assert drift.ks(reference, current).statistic == expected


def test_what_is_left_out_is_counted():
    result = drift.ks([1.0, np.nan, None, np.inf], np.array([1.0, np.nan, np.nan]))
    # None among floats is missing, NaN is NaN.
    assert result.beside == drift.Beside(missing=(1, 0), nan=(1, 2), infinite=(1, 0))


REFUSED = {
    "empty": (
        ([], [1.0]),
        {},
        InputError,
        "`reference` and `current` must each hold at least one number; got 0 and 1",
    ),
    "all NaN": (([1.0], [np.nan]), {}, InputError, "got 1 and 0"),
    "strings": ((["a"], [1.0]), {}, InputTypeError, "'reference' must hold numbers; got string"),
    "two dimensions": (
        (np.ones((2, 2)), [1.0]),
        {},
        InputError,
        "'reference' must be one-dimensional; got 2 dimensions",
    ),
    "a scalar": ((1.0, [1.0]), {}, InputTypeError, "'reference' must be one-dimensional; got float"),
    "complex": ((np.ones(2, complex), [1.0]), {}, InputTypeError, "got complex128"),
    "method": (
        ([1.0], [1.0]),
        {"method": "best"},
        UnknownNameError,
        "'exact', 'asymp', 'accurate'; got 'best'",
    ),
    "alternative": (([1.0], [1.0]), {"alternative": "more"}, UnknownNameError, "'greater'; got 'more'"),
    "times of two kinds": (
        (np.array([1], "M8[s]"), np.array([1], "m8[s]")),
        {},
        InputTypeError,
        "`current` must hold datetime[s] as `reference` does; got duration[s]: times must be of one kind",
    ),
}


@pytest.mark.parametrize(("samples", "options", "error", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(samples, options, error, text):
    with pytest.raises(error) as caught:
        drift.ks(*samples, **options)
    assert text in str(caught.value)
