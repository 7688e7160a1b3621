from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as rival

from tidewheel.errors import InputError, UnknownNameError
from tidewheel.measures.metrics import (
    METRICS,
    Sample,
    brier,
    interval,
    log_loss,
    measure,
    measure_overfit,
    paired_gain,
    roc_auc,
)
from tidewheel.model.evaluation import measure_all
from tidewheel.project.settings import Criterion

TIED = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])), min_size=2, max_size=60
)


def clustered(seed: int, n_units: int = 30, n: int = 1500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw rows whose label and score lean the same way within a unit."""
    rng = np.random.default_rng(seed)
    units = rng.integers(0, n_units, n)
    lean, tilt = rng.normal(size=n_units), rng.normal(size=n_units)
    truth = rng.normal(size=n)
    labels = truth + lean[units] > 1.0
    scores = 1 / (1 + np.exp(-0.7 * truth - 0.5 * tilt[units] - 0.7 * rng.normal(size=n)))
    return labels.astype(float), scores, units


def auc_by_pairs(labels: np.ndarray, scores: np.ndarray) -> float:
    """Count every pair, one by one, in exact numbers."""
    won, pairs = Fraction(0), 0
    for a in scores[labels == 1]:
        for b in scores[labels == 0]:
            won += Fraction(1, 2) if a == b else Fraction(int(a > b))
            pairs += 1
    return float(won / pairs)


@settings(max_examples=60, deadline=None)
@given(rows=TIED)
def test_auc_with_ties_equals_counting_pairs_and_scikit_learn(rows: list[tuple[bool, float]]) -> None:
    labels, scores = np.array([row[0] for row in rows], dtype=float), np.array([row[1] for row in rows])
    if labels.min() == labels.max():
        labels[0] = 1 - labels[0]
    assert roc_auc(labels, scores) == pytest.approx(auc_by_pairs(labels, scores), abs=1e-12)
    assert roc_auc(labels, scores) == pytest.approx(rival.roc_auc_score(labels, scores), abs=1e-12)


def test_metrics_by_hand() -> None:
    labels, scores = np.array([1, 0, 1, 0]), np.array([0.9, 0.4, 0.4, 0.2])
    assert roc_auc(labels, scores) == 3.5 / 4
    assert brier(labels, scores) == pytest.approx((0.01 + 0.16 + 0.36 + 0.04) / 4)
    assert log_loss(labels, scores) == pytest.approx(-np.log([0.9, 0.6, 0.4, 0.8]).mean())


def test_losses_equal_scikit_learn() -> None:
    labels, scores, _ = clustered(0)
    assert brier(labels, scores) == pytest.approx(rival.brier_score_loss(labels, scores), rel=1e-12)
    assert log_loss(labels, scores) == pytest.approx(rival.log_loss(labels, scores), rel=1e-12)


def test_a_certain_and_wrong_score_has_a_finite_loss() -> None:
    assert log_loss(np.array([1, 0]), np.array([0.0, 0.0])) == pytest.approx(-np.log(1e-15) / 2)


@pytest.mark.parametrize("metric", METRICS)
def test_a_measurement_holds_value_bounds_and_counts(metric: str) -> None:
    labels, scores, units = clustered(1)
    found = measure(metric, labels, scores, units, confidence=0.9, draws=300)
    expected = {"roc_auc": roc_auc, "brier": brier, "log_loss": log_loss}[metric](labels, scores)
    assert found.value == pytest.approx(expected, rel=1e-14)
    assert found.lower < found.value < found.upper
    assert (found.metric, found.confidence, found.n_rows, found.n_units) == (metric, 0.9, 1500, 30)
    assert found.relative_to is None


@pytest.mark.parametrize("metric", METRICS)
def test_a_paired_difference_is_narrower_than_its_parts(metric: str) -> None:
    labels, scores, units = clustered(2)
    rng = np.random.default_rng(0)
    against = np.clip(scores + rng.normal(scale=0.02, size=scores.size), 0.001, 0.999)
    found = measure(metric, labels, scores, units, against=against, relative_to="simple", draws=300)
    alone, other = (measure(metric, labels, each, units, draws=300) for each in (scores, against))
    assert found.relative_to == "simple"
    assert found.value == pytest.approx(alone.value - other.value, abs=1e-12)
    assert found.upper - found.lower < 0.3 * (alone.upper - alone.lower)


def test_a_model_against_itself_differs_by_exactly_nothing() -> None:
    labels, scores, units = clustered(3)
    found = measure("roc_auc", labels, scores, units, against=scores, relative_to="simple")
    assert (found.value, found.lower, found.upper) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("metric", METRICS)
def test_faultless_scores_have_no_bounds(metric: str) -> None:
    labels, _, units = clustered(3)
    found = measure(metric, labels, labels, units)
    assert (found.lower, found.upper) == (-np.inf, np.inf)
    assert interval(metric, Sample(labels, labels, units)).method == "none: faultless scores"


def test_a_constant_score_has_an_auc_of_one_half_for_certain() -> None:
    labels, _, units = clustered(3)
    found = measure("roc_auc", labels, np.full(labels.size, 0.3), units)
    assert (found.value, found.lower, found.upper) == pytest.approx((0.5, 0.5, 0.5), abs=1e-12)


def test_seeds_and_names_of_units() -> None:
    labels, scores, units = clustered(4)
    first = measure("roc_auc", labels, scores, units, seed=1, draws=200)
    assert measure("roc_auc", labels, scores, units, seed=1, draws=200) == first
    assert measure("roc_auc", labels, scores, units, seed=2, draws=200) != first
    assert (
        measure("roc_auc", labels, scores, np.array([f"d{u:02d}" for u in units]), seed=1, draws=200) == first
    )


def test_clustering_widens_what_naive_bounds_hide() -> None:
    labels, scores, units = clustered(5)
    naive, honest = measure("roc_auc", labels, scores, None), measure("roc_auc", labels, scores, units)
    assert honest.upper - honest.lower > 1.5 * (naive.upper - naive.lower)
    assert naive.n_units == 1500


@pytest.mark.parametrize(
    ("n_units", "method"), [(1, "none: a single unit"), (2, "t"), (19, "t"), (20, "bootstrap-t"), (1001, "t")]
)
def test_the_method_is_said_and_depends_on_the_units(n_units: int, method: str) -> None:
    labels, scores, _ = clustered(6, n=4004)
    found = interval("roc_auc", Sample(labels, scores, np.arange(4004) % n_units), draws=200)
    assert (found.method, found.n_units) == (method, n_units)
    assert np.isfinite([found.low, found.high]).all() == (n_units > 1)


def test_a_two_sided_interval_is_two_one_sided_bounds() -> None:
    labels, scores, units = clustered(7)
    found = interval("brier", Sample(labels, scores, units), confidence=0.9, draws=300, seed=3)
    bounds = measure("brier", labels, scores, units, confidence=0.95, draws=300, seed=3)
    assert (found.value, found.low, found.high) == (bounds.value, bounds.lower, bounds.upper)


def test_the_overfit_gap_is_seen_and_bounded() -> None:
    labels, scores, units = clustered(8)
    learnt_by_heart = np.clip(0.7 * labels + 0.3 * scores, 0, 1)
    found = measure_overfit(Sample(labels, scores, units), Sample(labels, learnt_by_heart, units), draws=300)
    assert found.metric == "overfit_gap"
    assert found.value == pytest.approx(roc_auc(labels, learnt_by_heart) - roc_auc(labels, scores))
    assert 0 < found.lower < found.value < found.upper
    assert found.n_units == 30


def test_criteria_say_what_is_measured_and_how_surely() -> None:
    labels, scores, units = clustered(9)
    held_out, fitted = Sample(labels, scores, units), Sample(labels, scores, units)
    criteria = [
        Criterion(metric="roc_auc", comparison=">", threshold=0.6, confidence=0.9),
        Criterion(metric="roc_auc", comparison=">", threshold=0.5, confidence=0.9),
        Criterion(metric="brier", comparison="<", threshold=0.0, relative_to="majority"),
        Criterion(metric="brier", comparison="<", threshold=0.0, relative_to="champion"),
        Criterion(metric="overfit_gap", comparison="<", threshold=0.1),
        Criterion(metric="latency_p95_ms", comparison="<=", threshold=50),
    ]
    against = {"majority": np.full(labels.size, labels.mean())}
    found = measure_all(criteria, held_out, against=against, fitted=fitted, draws=200)
    assert [(each.metric, each.relative_to, each.confidence) for each in found] == [
        ("roc_auc", None, 0.9),
        ("brier", "majority", 0.95),
        ("overfit_gap", None, 0.95),
    ]
    assert measure_all(criteria[4:], held_out) == ()


def test_the_gain_is_the_mean_of_the_months() -> None:
    labels, scores, units = clustered(10, n_units=90, n=6000)
    months = units // 30 + 5
    worse = np.clip(scores + np.random.default_rng(0).normal(scale=0.3, size=scores.size), 0, 1)
    found = paired_gain(labels, scores, worse, units, months, draws=500)
    by_month = [roc_auc(labels[months == m], scores[months == m]) for m in (5, 6, 7)]
    worse_by_month = [roc_auc(labels[months == m], worse[months == m]) for m in (5, 6, 7)]
    assert found.value == pytest.approx(np.mean(by_month) - np.mean(worse_by_month), abs=1e-12)
    assert 0 < found.low < found.value < found.high
    assert (found.n_rows, found.n_units, found.method) == (6000, 90, "bootstrap-t")


@pytest.mark.parametrize(
    ("labels", "scores", "units", "message"),
    [
        ([], [], None, r"at least one row; got shape \(0,\)"),
        ([0, 1], [0.5], None, "same length; got 2 labels, 1 scores"),
        ([0, 1], [0.5, 0.5], ["a"], "got 2 labels, 2 scores, 1 units"),
        ([0, 2], [0.5, 0.5], None, "a label must be 0 or 1; got 2.0 at row 1"),
        ([0, np.nan], [0.5, 0.5], None, "a label must be 0 or 1; got nan at row 1"),
        ([0, 1], [np.nan, 0.5], None, "a score must be finite; got nan at row 0"),
        ([0, 1], [0.5, np.inf], None, "a score must be finite; got inf at row 1"),
        ([1, 1], [0.5, 0.5], None, "needs labels of both kinds; got 2 labels, all 1"),
    ],
    ids=["empty", "lengths", "units", "label 2", "no label", "NaN", "infinite", "one kind"],
)
def test_what_cannot_be_measured_is_refused(
    labels: list[float], scores: list[float], units: list[str] | None, message: str
) -> None:
    named = None if units is None else np.array(units)
    with pytest.raises(InputError, match=message):
        measure("roc_auc", np.array(labels), np.array(scores), named)


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(
        UnknownNameError, match="metric 'auc' is not known; known are roc_auc, brier, log_loss"
    ):
        measure("auc", np.array([0, 1]), np.array([0.5, 0.5]), None)
