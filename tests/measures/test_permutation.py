"""`measures.permutation`: the statistic against a slow reference, levels by simulation, edges."""

import math

import numpy as np
import pytest
from scipy import stats

from tidewheel.measures import permutation, serial
from tidewheel.measures.serial import UnitSample


@pytest.fixture
def rng():
    return np.random.default_rng(20131022)


def draw(rng, units, phi=0.0, shift=0.0, sizes=None, values=3):
    found = rng.normal(size=(units, values))
    for i in range(1, units):
        found[i] = phi * found[i - 1] + math.sqrt(1 - phi**2) * found[i]
    sizes = np.full(units, 10.0) if sizes is None else sizes
    return UnitSample(found + shift, sizes, np.full(units, 0.1))


def pooled_phi(samples, noise):
    """The lag-one correlation of all values together, as `correct_phi` corrects it."""
    off = [one.values - one.values.mean(axis=0) for one in samples]
    c0, c1 = sum((x**2).sum() for x in off), sum((x[1:] * x[:-1]).sum() for x in off)
    units = sum(len(x) for x in off)
    return serial.correct_phi(np.array([c0]), np.array([c1]), noise, units, 2)[0][0]


def statistic_slowly(reference, current, kind):
    """The formula of `compare_units`, with the whole matrix R."""
    samples = (reference, current)
    units = [len(one.values) for one in samples]
    noise = sum(one.noise.sum() for one in samples) * (1 - 2 / sum(units))
    phi = pooled_phi(samples, noise)
    matrices = [phi ** np.abs(np.subtract.outer(np.arange(k), np.arange(k))) for k in units]
    c0 = sum(((one.values - one.values.mean(axis=0)) ** 2).sum() for one in samples)
    inflated = sum(matrix.sum() / k for matrix, k in zip(matrices, units, strict=True))
    between = max((c0 - noise) / (sum(units) - inflated), 1e-3 * c0 / sum(units))
    weights = [one.sizes / one.sizes.sum() for one in samples]
    v = between * sum(w @ matrix @ w for w, matrix in zip(weights, matrices, strict=True))
    v += sum((w**2 * one.noise).sum() for w, one in zip(weights, samples, strict=True))
    d = weights[0] @ reference.values - weights[1] @ current.values
    if kind == "largest":
        return np.abs(d).max() / math.sqrt(v / len(d))
    return math.sqrt((d**2).sum() / v)


@pytest.mark.parametrize("kind", ["largest", "square"])
@pytest.mark.parametrize("units", [(12, 9), (150, 90)])
@pytest.mark.parametrize("phi", [0.0, 0.6])
def test_the_statistic_is_that_of_the_formula(rng, kind, units, phi):
    one, other = (draw(rng, k, phi, sizes=rng.integers(1, 50, k).astype(float)) for k in units)
    found = permutation.compare_units(one, other, kind)
    assert found.statistic == pytest.approx(statistic_slowly(one, other, kind), rel=1e-9)
    assert found.serial == serial.estimate_serial([one, other])
    assert 0 < found.pvalue <= 1


def test_every_permutation_is_measured_as_if_it_were_the_data(rng):
    one, other = draw(rng, 7, 0.5), draw(rng, 6, 0.5)
    units = permutation._Units.join(one, other, "largest", permuted=True)
    orders = permutation._orders(13, 0, 20)
    joined = [np.concatenate(pair) for pair in ((one.values, other.values), (one.noise, other.noise))]
    for order, measured in zip(orders, permutation._measure(units, orders)[0], strict=True):
        sides = (
            UnitSample(joined[0][part], np.full(len(part), 10.0), joined[1][part])
            for part in (order[:7], order[7:])
        )
        assert measured == pytest.approx(statistic_slowly(*sides, "largest"), rel=1e-9)


def test_a_test_of_two_means_is_student_s(rng):
    # One value, no noise, exchangeable: nearly the two-sample t test, whose p it gives within simulation.
    one, other = (UnitSample(rng.normal(m, 1, (30, 1)), np.ones(30), np.zeros(30)) for m in (0.0, 0.55))
    found = permutation.compare_units(one, other, "largest")
    assert found.pvalue == pytest.approx(stats.ttest_ind(one.values, other.values).pvalue[0], abs=0.025)


@pytest.mark.parametrize("kind", ["largest", "square"])
@pytest.mark.parametrize(
    ("units", "phi"), [((40, 40), 0.0), ((40, 40), 0.6), ((120, 100), 0.3), ((30, 8), 0.0)]
)
def test_levels(rng, kind, units, phi):
    # 300 undrifted pairs; up to 7 % may alarm in truth, so 3 binomial standard errors above it.
    alarms = []
    for _ in range(300):
        found = permutation.compare_units(*(draw(rng, k, phi) for k in units), kind)
        alarms.append(found.pvalue <= 0.05 and not found.serial.is_unsettled)
    assert np.mean(alarms) <= 0.07 + 3 * math.sqrt(0.07 * 0.93 / 300)


def test_a_large_difference_has_a_p_below_what_permutations_count(rng):
    found = permutation.compare_units(draw(rng, 30), draw(rng, 30, shift=5.0), "largest")
    # C(60, 30) is 1.2e17: no p-value may be less than one assignment in so many.
    assert (1 - 1e-9) / math.comb(60, 30) <= found.pvalue < 1e-6


@pytest.mark.parametrize("kind", ["largest", "square"])
@pytest.mark.parametrize("units", [(10, 10), (150, 100)])
def test_units_that_are_all_equal(kind, units):
    def constant(k, value):
        return UnitSample(np.full((k, 2), value), np.ones(k), np.zeros(k))

    assert permutation.compare_units(*(constant(k, 0.5) for k in units), kind).pvalue == 1.0
    apart = permutation.compare_units(constant(units[0], 0.2), constant(units[1], 0.7), kind)
    assert 0 < apart.pvalue < 0.001


def test_few_units_are_not_permuted():
    # 5 + 5 units can be assigned in 252 ways, 8 + 8 in 12,870.
    assert not permutation.has_permutations(5, 5)
    assert not permutation.has_permutations(100_000, 4)
    assert permutation.has_permutations(8, 8)


@pytest.mark.parametrize("df", [5.0, 30.0, 200.0])
def test_the_tail_of_student(df):
    for x in (0.0, 1.0, 3.0):
        assert permutation._student_sf(x, df) == pytest.approx(2 * stats.t.sf(x, df), rel=0.05)
    assert permutation._student_sf(math.inf, df) == 0.0
