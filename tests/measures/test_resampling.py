import numpy as np
import pytest

from tidewheel.measures.resampling import Difference, Statistic, UnitAuc, UnitMean, bound


def rows_of_days(
    rng: np.random.Generator, n_days: int, per_day: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw days of different lengths on which labels and scores lean, each in its own way."""
    sizes = rng.integers(per_day // 2, 2 * per_day, n_days)
    days = np.repeat(np.arange(n_days), sizes)
    lean, skew = 0.6 * rng.normal(size=n_days), 0.4 * rng.normal(size=n_days)
    truth = rng.normal(size=days.size)
    labels = (truth + lean[days] + rng.normal(size=days.size) > 1.0).astype(float)
    scores = 1 / (1 + np.exp(-(truth + skew[days])))
    scores = np.round(scores, 2)
    return labels, scores, days


def statistics(seed: int) -> dict[str, tuple[Statistic, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    labels, scores, days = rows_of_days(rng, 25, 12)
    other = np.round(np.clip(scores + rng.normal(scale=0.1, size=scores.size), 0, 1), 2)
    auc, worse = UnitAuc(labels, scores, days, 25), UnitAuc(labels, other, days, 25)
    mean = UnitMean((scores - labels) ** 2, days, 25)
    data = (labels, scores, other, days)
    return {"auc": (auc, *data), "difference": (Difference(auc, worse), *data), "mean": (mean, *data)}


def slow_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    above, below = scores[labels == 1][:, None], scores[labels == 0]
    return float((above > below).mean() + 0.5 * (above == below).mean())


def slow(kind: str, labels: np.ndarray, scores: np.ndarray, other: np.ndarray) -> float:
    if kind == "mean":
        return float(((scores - labels) ** 2).mean())
    found = slow_auc(labels, scores)
    return found - slow_auc(labels, other) if kind == "difference" else found


@pytest.mark.parametrize("kind", ["auc", "difference", "mean"])
def test_a_draw_equals_repeating_its_rows(kind: str) -> None:
    statistic, labels, scores, other, days = statistics(0)[kind]
    weights = np.random.default_rng(1).multinomial(25, np.full(25, 1 / 25), size=20)
    fast, _ = statistic.at(weights.astype(float))
    for drawn, value in zip(weights, fast, strict=True):
        rows = np.repeat(np.arange(days.size), drawn[days])
        assert value == pytest.approx(slow(kind, labels[rows], scores[rows], other[rows]), abs=1e-12)


@pytest.mark.parametrize("kind", ["auc", "difference", "mean"])
def test_the_sample_itself_is_the_draw_of_ones(kind: str) -> None:
    statistic = statistics(2)[kind][0]
    value, derivatives = statistic.at_ones()
    values, by_weight = statistic.at(np.ones((1, 25)))
    assert value == pytest.approx(values[0], abs=1e-14)
    np.testing.assert_allclose(derivatives, by_weight[0], atol=1e-14)


@pytest.mark.parametrize("kind", ["auc", "difference", "mean"])
def test_derivatives_are_the_slopes_by_each_weight(kind: str) -> None:
    statistic = statistics(3)[kind][0]
    weights = np.random.default_rng(0).integers(0, 4, 25).astype(float)
    _, derivatives = statistic.at(weights[None])
    step = 1e-5
    for unit in range(25):
        nudged = np.repeat(weights[None], 2, axis=0)
        nudged[:, unit] += (-step, step)
        low, high = statistic.at(nudged)[0]
        assert derivatives[0, unit] == pytest.approx((high - low) / (2 * step), abs=1e-8)


def slow_bootstrap_t(
    kind: str,
    labels: np.ndarray,
    scores: np.ndarray,
    other: np.ndarray,
    days: np.ndarray,
    weights: np.ndarray,
) -> tuple[float, float]:
    """Repeat rows, leave out one unit at a time for each standard error, and take the quantiles: as a textbook says it."""

    def value_and_error(units: np.ndarray) -> tuple[float, float]:
        rows = np.concatenate([np.flatnonzero(days == unit) for unit in units])
        value = slow(kind, labels[rows], scores[rows], other[rows])
        without = []
        for place in range(units.size):
            kept = np.concatenate([np.flatnonzero(days == unit) for unit in np.delete(units, place)])
            without.append(slow(kind, labels[kept], scores[kept], other[kept]))
        spread = np.array(without) - np.mean(without)
        return value, float(np.sqrt((units.size - 1) / units.size * (spread**2).sum()))

    value, error = value_and_error(np.unique(days))
    ratios = []
    for drawn in weights:
        drawn_value, drawn_error = value_and_error(np.repeat(np.arange(drawn.size), drawn))
        ratios.append((drawn_value - value) / drawn_error)
    low, high = np.quantile(ratios, [0.05, 0.95])
    return value - high * error, value - low * error


@pytest.mark.parametrize("kind", ["auc", "mean"])
def test_bootstrap_t_agrees_with_a_slow_and_obvious_one(kind: str) -> None:
    statistic, *data = statistics(4)[kind]
    draws = 60
    weights = np.random.default_rng(9).multinomial(25, np.full(25, 1 / 25), size=draws)
    found = bound([(1.0, statistic)], confidence=0.95, draws=draws, rng=np.random.default_rng(9))
    lower, upper = slow_bootstrap_t(kind, *data, weights)
    width = upper - lower
    assert found.method == "bootstrap-t"
    # Leaving a unit out and the derivative are two forms of one standard error, equal up to 1 / units.
    assert found.lower == pytest.approx(lower, abs=0.05 * width)
    assert found.upper == pytest.approx(upper, abs=0.05 * width)


def test_few_units_get_student_by_hand() -> None:
    losses, days = np.array([1.0, 2.0, 3.0, 6.0]), np.array([0, 1, 2, 3])
    found = bound([(1.0, UnitMean(losses, days, 4))], confidence=0.95, draws=10, rng=np.random.default_rng(0))
    error = np.std(losses, ddof=1) / 2
    assert found.method == "t"
    assert found.lower == pytest.approx(3.0 - 2.353363 * error, abs=1e-5)
    assert found.upper == pytest.approx(3.0 + 2.353363 * error, abs=1e-5)


def test_strata_add_up_and_few_units_in_one_of_them_count() -> None:
    rng = np.random.default_rng(0)
    many = UnitMean(rng.normal(size=100), np.arange(100), 100)
    few = UnitMean(10 * rng.normal(size=5), np.arange(5), 5)
    found = bound([(0.5, many), (0.5, few)], confidence=0.95, draws=200, rng=rng)
    assert found.value == pytest.approx(0.5 * many.at_ones()[0] + 0.5 * few.at_ones()[0])
    assert found.method == "t"


def test_draws_that_lack_a_kind_of_label_fall_back_to_student() -> None:
    labels = np.zeros(200)
    labels[:10] = 1
    days = np.arange(200) // 8
    statistic = UnitAuc(labels, np.random.default_rng(1).random(200), days, 25)
    found = bound([(1.0, statistic)], confidence=0.95, draws=300, rng=np.random.default_rng(0))
    assert found.method == "t"
    assert np.isfinite([found.lower, found.upper]).all()


REPEATS = 400


def coverage(repeats: int, *, clustered: bool) -> tuple[float, float]:
    """Give how often each one-sided bound holds, over many data sets whose true difference is known to be 0.

    The two scores are alike in law, each with noise of its own and a lean of its own on each day.
    """
    held = np.zeros(2)
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        labels, _, days = rows_of_days(rng, 30, 30)
        leans = 0.8 * rng.normal(size=(2, 30))
        scores = [labels * (0.8 + lean[days]) + rng.normal(size=labels.size) for lean in leans]
        codes = days if clustered else np.arange(labels.size)
        first, second = (UnitAuc(labels, score, codes, codes.max() + 1) for score in scores)
        found = bound([(1.0, Difference(first, second))], confidence=0.95, draws=300, rng=rng)
        held += (found.lower <= 0.0, found.upper >= 0.0)
    lower, upper = held / repeats
    return float(lower), float(upper)


def test_bounds_clustered_by_unit_hold_as_often_as_they_say() -> None:
    # Three standard errors of a share of 400 are 0.033.
    assert coverage(REPEATS, clustered=True) == pytest.approx((0.95, 0.95), abs=0.033)


def test_bounds_that_take_rows_as_independent_do_not() -> None:
    assert max(coverage(100, clustered=False)) < 0.88


def test_the_mean_of_a_skewed_loss_is_bounded_as_often_as_stated() -> None:
    held = np.zeros(2)
    for seed in range(REPEATS):
        rng = np.random.default_rng(seed)
        days = np.repeat(np.arange(25), 20)
        losses = rng.lognormal(sigma=0.7, size=25)[days] * rng.lognormal(sigma=0.5, size=days.size)
        truth = np.exp(0.5 * (0.7**2 + 0.5**2))
        found = bound([(1.0, UnitMean(losses, days, 25))], confidence=0.95, draws=400, rng=rng)
        held += (found.lower <= truth, found.upper >= truth)
    assert held / REPEATS == pytest.approx((0.95, 0.95), abs=0.04)
