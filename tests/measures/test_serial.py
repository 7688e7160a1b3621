"""`measures.serial`: phi, inflation and effective units, by hand, against slow references and by simulation."""

import math

import numpy as np
import pytest

from tidewheel.measures import serial
from tidewheel.measures.serial import UnitSample


@pytest.fixture
def rng():
    return np.random.default_rng(20131022)


def sample(values, sizes=None, noise=0.0):
    values = np.asarray(values, dtype=np.float64)
    values = values.reshape(len(values), -1)
    sizes = np.ones(len(values)) if sizes is None else np.asarray(sizes, dtype=np.float64)
    return UnitSample(values, sizes, np.full(len(values), float(noise)))


def autoregression(rng, units, phi):
    values = rng.normal(size=units)
    for i in range(1, units):
        values[i] = phi * values[i - 1] + math.sqrt(1 - phi**2) * values[i]
    return values


def test_phi_by_hand():
    # Mean 0, c0 = 10, c1 = 2 + 0 - 0 + 2 = 4; rho = 4 / 10 * 5 / 4 = 0.5, and (1 + 3 * 0.5) / 5 = 0.5 more.
    found = serial.estimate_serial([sample([-2.0, -1.0, 0.0, 1.0, 2.0])])
    assert found.phi == serial.LARGEST_PHI
    assert found.lag_one == pytest.approx(0.7)
    # With noise of 0.5 a unit: 0.5 * 5 * (1 - 1 / 5) = 2 of the 10 are noise.
    assert serial.estimate_serial([sample([-2.0, -1.0, 0.0, 1.0, 2.0], noise=0.5)]).between == 0.8


def test_the_weights_sum_is_that_of_the_whole_matrix(rng):
    for phi in (0.0, 0.3, 0.97):
        matrix = phi ** np.abs(np.subtract.outer(np.arange(30), np.arange(30)))
        weights = rng.exponential(size=(4, 30))
        expected = [w @ matrix @ w for w in weights]
        assert serial.correlate_weights(weights, phi) == pytest.approx(expected, rel=1e-12)
        equal = np.full(30, 1 / 30)
        assert serial.correlate_weights(equal, phi) == pytest.approx(equal @ matrix @ equal, rel=1e-12)
        assert serial.sum_correlations(30, phi) == pytest.approx(matrix.sum() / 30, rel=1e-12)


def test_effective_units_are_those_of_kish_without_dependence():
    assert serial.effective_units(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)
    assert serial.effective_units(np.ones(2), 0.5) == pytest.approx(4 / 3)
    assert serial.inflate(np.ones(2), 0.5) == pytest.approx(1.5)
    assert serial.inflate(np.zeros(2), 0.5) == 1.0
    assert serial.effective_units(np.zeros(2)) == 0.0
    assert serial.discount_df(10.0, 0.5) == pytest.approx(6.0)


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.6])
def test_phi_is_recovered(rng, phi):
    # 400 pairs of 40 units: the mean of the estimates is phi, but for the cut at 0, within 0.04.
    found = [
        serial.estimate_serial([sample(autoregression(rng, 40, phi)) for _ in range(2)]) for _ in range(400)
    ]
    lag_one = np.mean([one.lag_one for one in found])
    assert lag_one == pytest.approx(phi, abs=0.05)
    assert np.mean([one.phi for one in found]) == pytest.approx(max(phi, 0.05), abs=0.04)


def test_noise_of_rows_does_not_hide_dependence(rng):
    # Half of the values' variance is noise: neighbours correlate by 0.3, their between-unit parts by 0.6.
    found = [
        serial.estimate_serial(
            [sample(autoregression(rng, 200, 0.6) + rng.normal(size=200), noise=1.0) for _ in range(2)]
        )
        for _ in range(100)
    ]
    assert np.mean([one.phi for one in found]) == pytest.approx(0.6, abs=0.04)
    assert np.mean([one.between for one in found]) == pytest.approx(0.5, abs=0.04)


EDGES = {
    "one unit": [[1.0]],
    "one unit a side": [[1.0], [2.0]],
    "three units of two samples": [[1.0, 2.0], [3.0]],
    "all equal": [[2.0] * 30, [2.0] * 30],
}


@pytest.mark.parametrize("values", EDGES.values(), ids=EDGES.keys())
def test_nothing_to_see_is_no_dependence(values):
    found = serial.estimate_serial([sample(one) for one in values])
    assert (found.phi, found.is_visible, found.is_unsettled) == (0.0, False, False)


def test_when_nothing_can_be_told():
    def made(phi, units, lag_one=0.5):
        return serial.Serial(phi, lag_one, 1.0, 1.0, units)

    # 0.97 leaves 40 + 40 units the worth of 2 x 1.4, 90 + 30 that of 2.0 + 1.3 and 900 + 300 that of 14.2 + 5.1.
    assert made(0.96, (40, 40)).is_unsettled
    assert made(0.96, (90, 30)).is_unsettled
    assert not made(0.96, (900, 300)).is_unsettled
    assert not made(0.8, (90, 30)).is_unsettled
    # Few units and a visible correlation are enough.
    assert made(0.3, (20, 20)).is_unsettled
    assert not made(0.3, (21, 20)).is_unsettled
    assert not made(0.9, (10, 10), lag_one=0.1).is_unsettled


def test_caution_and_effective_units_by_hand():
    # 0.75 errors of 1 / sqrt(100), divided by the half of the variance that is between units.
    found = serial.Serial(0.5, 0.3, 0.5, 0.8, (60, 40))
    assert found.error == 0.1
    assert found.cautious_phi == pytest.approx(0.65)
    matrices = [0.65 ** np.abs(np.subtract.outer(np.arange(k), np.arange(k))) for k in (60, 40)]
    worth = sum(k / (1 + 0.4 * (one.sum() / k - 1)) for k, one in zip((60, 40), matrices, strict=True))
    assert found.effective == pytest.approx(worth, rel=1e-12)
    independent = serial.Serial(0.1, 0.05, 0.5, 0.8, (60, 40))
    assert (independent.cautious_phi, independent.effective) == (0.0, 100.0)


def test_phi_is_that_of_the_direction_in_which_units_differ_most(rng):
    # One direction of four moves slowly, the others are noise, of which the sample tells the size.
    found = []
    for _ in range(200):
        noise = rng.normal(0.0, 0.7, (100, 4))
        values = noise + np.outer(autoregression(rng, 100, 0.8), [0.5, 0.5, -0.5, -0.5])
        found.append(serial.estimate_serial([UnitSample(values, np.ones(100), np.full(100, 4 * 0.49), 0.25)]))
    assert np.mean([one.phi for one in found]) == pytest.approx(0.8, abs=0.06)
    # The variance is 1 + 0.49 along it, and 0.49 along the three others.
    assert np.mean([one.share for one in found]) == pytest.approx(1.49 / 2.96, abs=0.05)
    assert np.mean([one.between for one in found]) == pytest.approx(1 / 1.49, abs=0.05)
