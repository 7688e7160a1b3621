"""`drift.psi` and `drift.fit_bins`."""

import math
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel import drift
from tidewheel.drift.statistics import psi_law
from tidewheel.drift.statistics.psi import psi_of_counts
from tidewheel.errors import InputError, InputTypeError, UnknownNameError


def by_definition(reference, current, smoothing):
    used = [(r, c) for r, c in zip(reference, current, strict=True) if r or c]
    n, m, bins = sum(reference), sum(current), len(used)
    add = {"jeffreys": Fraction(1, 2), "laplace": Fraction(1), "none": Fraction(0)}[smoothing]
    p = [(r + add) / (n + bins * add) for r, _ in used]
    q = [(c + add) / (m + bins * add) for _, c in used]
    return math.fsum(float(a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))


def test_hand_worked_example():
    # Median 3 splits the reference 2 to 2 and the current sample 1 to 3: (1/4) ln 2 - (1/4) ln (2/3) = (1/4) ln 3.
    result = drift.psi([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 3.5, 9.0], bins=2, smoothing="none")
    assert result.statistic == pytest.approx(math.log(3) / 4)
    assert result.edges.tolist() == [-np.inf, 3.0, np.inf]
    assert (result.reference_counts, result.current_counts) == ((2, 2), (1, 3))


counts = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=12).filter(
    lambda pairs: sum(r for r, _ in pairs) and sum(c for _, c in pairs)
)


@pytest.mark.parametrize("smoothing", ["jeffreys", "laplace"])
@given(pairs=counts)
def test_index_is_its_definition(smoothing, pairs):
    reference, current = (list(side) for side in zip(*pairs, strict=True))
    value = psi_of_counts(reference, current, smoothing)
    assert value == pytest.approx(by_definition(reference, current, smoothing), rel=1e-12, abs=1e-15)
    assert value >= 0
    assert value == pytest.approx(psi_of_counts(current, reference, smoothing))
    # Bins empty on both sides change nothing.
    assert value == psi_of_counts([*reference, 0], [*current, 0], smoothing)


def test_a_clip_is_a_least_share():
    # Shares 1, 0 against 1/2, 1/2, the 0 raised to 0.01.
    expected = 0.5 * math.log(2) + (0.5 - 0.01) * math.log(50)
    assert psi_of_counts([4, 0], [2, 2], 0.01) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "bins"), [(100, 10), (101, 10), (7, 10), (10_000, 13), (100_003, 20)])
def test_quantile_bins_hold_equal_numbers(rng, n, bins):
    fitted = drift.fit_bins(rng.normal(size=n), bins=bins)
    ends = [i * n // min(bins, n) for i in range(min(bins, n) + 1)]
    assert fitted.counts == tuple(np.diff(ends))
    assert fitted.continuous


@given(values=st.lists(st.integers(0, 12), min_size=1, max_size=300), bins=st.integers(1, 15))
def test_ties_lose_no_value(values, bins):
    fitted = drift.fit_bins(values, bins=bins)
    assert sum(fitted.counts) == len(values)
    assert fitted.counts == tuple(np.histogram(values, fitted.edges.astype(float))[0])
    # A value on which two edges fall has a bin of its own.
    ranks = [i * len(values) // min(bins, len(values)) for i in range(1, min(bins, len(values)))]
    quantiles = [sorted(values)[rank] for rank in ranks]
    for value in {value for value in quantiles if quantiles.count(value) > 1}:
        at = fitted.edges.tolist().index(value)
        assert fitted.counts[at] == values.count(value)


def test_one_outlier_moves_nothing(rng):
    reference, current = rng.normal(size=20_000), rng.normal(1, 1, size=20_000)
    before = drift.psi(reference, current).statistic
    current[0] = 1e300
    assert before == pytest.approx(1.0, rel=0.2)
    assert drift.psi(reference, current).statistic == pytest.approx(before, rel=0.01)


def test_fitted_bins_give_the_same_result(rng):
    reference, current = rng.normal(size=5_000), rng.normal(0.1, 1, size=4_000)
    fitted = drift.fit_bins(reference, bins=8)
    one, other = drift.psi(reference, current, bins=8), drift.psi(fitted, current)
    assert (one.statistic, one.pvalue, one.current_counts) == (
        other.statistic,
        other.pvalue,
        other.current_counts,
    )


def test_uniform_and_given_edges(rng):
    reference, current = rng.random(1_000), rng.random(900) * 1.2
    uniform = drift.psi(reference, current, bins=4, strategy="uniform")
    edges = np.linspace(reference.min(), reference.max(), 5)
    assert uniform.edges[1:-1].tolist() == edges[1:-1].tolist()
    given_edges = drift.psi(reference, current, bins=edges)
    assert given_edges.current_counts == uniform.current_counts
    # The outer bins are open.
    assert sum(uniform.current_counts) == 900


def test_strings_have_a_bin_each():
    result = drift.psi(["a", "a", "b", None], ["a", "c", "b", "b"], smoothing="jeffreys")
    assert result.categories == ("a", "b", "other")
    assert (result.reference_counts, result.current_counts) == ((2, 1, 0), (1, 2, 1))
    assert (result.unseen, result.missing) == (1, (1, 0))


@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 400), (2_000, 300), (6_000, 7_000)])
def test_pvalues_are_calibrated_without_drift(n, m):
    # 1,500 undrifted pairs: 5 % must be rejected, within four standard errors. Of 600 the first-order law's 1.8 % passes.
    rng = np.random.default_rng(n + m)
    pvalues = np.array([drift.psi(rng.normal(size=n), rng.normal(size=m)).pvalue for _ in range(1_500)])
    assert (pvalues <= 0.05).mean() == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 1_500))


def test_critical_value_belongs_to_its_pvalue():
    counts = (30,) * 10
    for smoothing in ("jeffreys", "laplace", 0.001):
        _, critical = psi_law.psi_pvalue(0.0, counts, counts, smoothing, continuous=True)
        pvalue, _ = psi_law.psi_pvalue(critical, counts, counts, smoothing, continuous=True)
        assert pvalue == pytest.approx(0.05, abs=0.002)


def test_law_does_not_jump_where_it_changes():
    limit = psi_law.FIRST_ORDER_FROM
    below, above = ((size // 10,) * 10 for size in (limit - 10, limit + 10))
    _, simulated = psi_law.psi_pvalue(0.0, below, below, "jeffreys", continuous=True)
    _, formula = psi_law.psi_pvalue(0.0, above, above, "jeffreys", continuous=True)
    assert simulated == pytest.approx(formula, rel=0.04)


EDGE_CASES = {
    "one value each": ([1.0], [1.0], 0.0),
    "all equal": ([2.0] * 30, [2.0] * 20, 0.0),
    "missing and NaN left out": ([1.0, None, 2.0, np.nan], [1.0, 2.0], 0.0),
    "same": (list(range(50)), list(range(50)), 0.0),
}


@pytest.mark.parametrize(("reference", "current", "expected"), EDGE_CASES.values(), ids=EDGE_CASES.keys())
def test_edge_cases(reference, current, expected):
    assert drift.psi(reference, current, smoothing="none").statistic == pytest.approx(expected)


def test_a_constant_that_moved_is_seen():
    result = drift.psi([2.0] * 300, [3.0] * 200)
    assert result.statistic > 5
    assert result.pvalue < 0.001


def test_infinite_values_are_counted_apart():
    result = drift.psi(np.array([1.0, 2.0, np.inf]), np.array([1.0, 2.0, -np.inf, np.nan]), bins=2)
    assert (result.n, result.m, result.beside) == (2, 2, drift.Beside(nan=(0, 1), infinite=(1, 1)))
    values, infinite = np.arange(200.0), [np.inf, -np.inf, np.inf]
    for bins in (2, 40):
        plain, beside = (
            drift.psi(values, values, bins=bins),
            drift.psi([*values, *infinite], [*infinite, *values], bins=bins),
        )
        assert beside.edges.tolist() == plain.edges.tolist()
        assert (beside.reference_counts, beside.current_counts) == (
            plain.reference_counts,
            plain.current_counts,
        )


def test_integers_beyond_two_to_53_are_binned_exactly():
    base = 1 << 60
    result = drift.psi(base + np.arange(100), base + np.arange(50), bins=4)
    assert result.edges.dtype == np.int64
    assert result.edges.tolist()[1:-1] == [base + 25, base + 50, base + 75]
    assert result.current_counts == (25, 25, 0, 0)


REFUSED = {
    "empty reference": (
        ([], [1.0]),
        {},
        InputError,
        "`reference` must hold at least one finite value; got none",
    ),
    "empty current": (([1.0], []), {}, InputError, "both sides must hold at least one value; got 1 and 0"),
    "bins": (([1.0], [1.0]), {"bins": 0}, InputError, "`bins` must be at least 1; got 0"),
    "edges": (([1.0], [1.0]), {"bins": [0, 2, 1, 3]}, InputError, "got 1.0 after 2.0 at index 2"),
    "strategy": (
        ([1.0], [1.0]),
        {"strategy": "sturges"},
        UnknownNameError,
        "'quantile', 'uniform'; got 'sturges'",
    ),
    "smoothing": (([1.0], [1.0]), {"smoothing": "add"}, UnknownNameError, "or a number; got 'add'"),
    "clip": (([1.0], [1.0]), {"smoothing": 1.0}, InputError, "must lie between 0 and 1; got 1.0"),
    "mixed kinds": (
        (["a"], [1.0]),
        {},
        InputTypeError,
        "`current` must hold strings as `reference` does; got float64",
    ),
    "times of two kinds": (
        (np.array([1], "M8[s]"), np.array([1], "m8[s]")),
        {},
        InputTypeError,
        "`current` must hold datetime[s] as `reference` does; got duration[s]: times must be of one kind",
    ),
    "mixed the other way": (([1.0], ["a"]), {}, InputTypeError, "'current' must hold numbers; got string"),
}


@pytest.mark.parametrize(("samples", "options", "error", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(samples, options, error, text):
    with pytest.raises(error) as caught:
        drift.psi(*samples, **options)
    assert text in str(caught.value)


TIMES = np.datetime64("2026-01-01", "ms") + np.arange(1_000) * np.timedelta64(3_600_000, "ms")


@pytest.mark.parametrize("unit", ["us", "ns", "s", "D"])
@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
def test_bins_of_times_count_other_units_where_they_belong(strategy, unit):
    bins = drift.fit_bins(TIMES, strategy=strategy)
    assert drift.psi(bins, TIMES).statistic == 0.0
    current = TIMES.astype(f"M8[{unit}]")
    expected = drift.psi(bins, current.astype("M8[ms]")).current_counts
    for found in (drift.psi(bins, current), drift.psi(TIMES, current, strategy=strategy)):
        assert found.current_counts == expected
    with pytest.raises(
        InputTypeError, match=r"must hold datetime\[ms\] as `reference` does; got datetime\[us, UTC\]"
    ):
        drift.psi(bins, pa.array([0], pa.timestamp("us", "UTC")))


def test_bins_of_numbers_take_no_times():
    bins = drift.fit_bins(np.arange(100.0))
    with pytest.raises(InputTypeError, match=r"must hold numbers as `reference` does; got datetime\[ms\]"):
        drift.psi(bins, TIMES)
    # Of numbers all types go together.
    assert drift.psi(bins, np.arange(100, dtype=np.int16)).statistic == 0.0
    assert (bins.dtype, bins.kind) == ("float64", "number")


def test_edges_of_times_are_read_in_the_unit_of_the_values():
    edges = np.array(["2026-01-01", "2026-01-11", "2026-03-01"], "M8[ms]")
    assert drift.fit_bins(TIMES, bins=edges).counts == (240, 760)
    assert drift.fit_bins(TIMES, bins=edges.astype("M8[D]")).counts == (240, 760)
    with pytest.raises(
        InputTypeError,
        match=r"`bins` must not have a finer unit than the values; got datetime\[us\] for datetime\[ms\]",
    ):
        drift.fit_bins(TIMES, bins=edges.astype("M8[us]"))
    with pytest.raises(
        InputTypeError, match=r"`bins` must hold datetime\[ms\] as `reference` does; got duration"
    ):
        drift.fit_bins(TIMES, bins=edges.astype(np.int64).astype("m8[ms]"))


class Once:
    """An Arrow array that gives itself away once, as a stream does."""

    def __init__(self, values):
        self._values = values

    def __arrow_c_array__(self, requested_schema=None):
        values, self._values = self._values, None
        return values.__arrow_c_array__()


def test_a_reference_is_read_once():
    assert drift.psi(Once(pa.array([1.0, 2.0, 3.0])), [1.0, 2.0, 3.0]).statistic == 0.0
