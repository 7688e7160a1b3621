import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from tidewheel.errors import InputError
from tidewheel.measures.measurement import Measurement
from tidewheel.monitoring.performance import (
    compare_measurements,
    join_labels,
    measure_label_shift,
    measure_window,
)
from tidewheel.monitoring.windows import month_of
from tidewheel.project.settings import Labels

START = datetime(2013, 5, 1, tzinfo=UTC)
MAY = month_of(START)
LABELS = Labels(column="late", known_at="landed_at", maturity_days=2.0, coverage_min=0.9)


def make_table() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "flight_id": ["a", "b", "c", "d", "e"],
            "late": [True, False, True, None, False],
            "landed_at": [START + timedelta(hours=hour) for hour in (1, 2, 3, 4)] + [None],
            "day": ["2013-05-01"] * 5,
        }
    )


LOG = pl.DataFrame({"request_id": ["c", "a", "x", "d", "b"], "score": [0.1, 0.2, 0.3, 0.4, 0.5]})


def test_labels_are_joined_as_far_as_they_are_known() -> None:
    joined = join_labels(
        LOG, make_table(), LABELS, START + timedelta(hours=2), row_id="flight_id", columns=["day"]
    )
    assert joined["request_id"].to_list() == LOG["request_id"].to_list()
    assert joined["label"].to_list() == [None, True, None, None, False]
    assert joined["label_at_utc"].is_not_null().to_list() == [False, True, False, False, True]
    assert joined["day"].is_null().to_list() == [False, False, True, False, False]
    later = join_labels(LOG, make_table(), LABELS, START + timedelta(days=9), row_id="flight_id")
    assert later["label"].to_list() == [True, True, None, None, False]


def test_tables_that_cannot_be_joined_are_refused() -> None:
    twice = pl.concat([make_table(), make_table().head(1)])
    with pytest.raises(InputError, match="`flight_id` 'a' occurs again"):
        join_labels(LOG, twice, LABELS, START, row_id="flight_id")
    with pytest.raises(InputError, match="must have the column `late`; got "):
        join_labels(LOG, make_table().drop("late"), LABELS, START, row_id="flight_id")


def make_window(labelled: float = 1.0, days: int = 31, per_day: int = 60, skill: float = 0.3) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    n = days * per_day
    label = rng.random(n) < 0.25
    return pl.DataFrame(
        {
            "score": np.clip(0.3 + skill * label + 0.2 * rng.normal(size=n), 0.0, 1.0),
            "label": pl.Series(label),
            "day": np.repeat(np.arange(days), per_day),
            "row": np.arange(n),
        }
    ).with_columns(label=pl.when(pl.col("row") < labelled * n).then("label"))


def state_of(rows: pl.DataFrame, now: datetime, **changed: object):  # type: ignore[no-untyped-def]  # a shorthand
    return measure_window(
        MAY,
        rows,
        LABELS,
        now,
        **{"model_id": "m", "metric": "roc_auc", "unit": "day", "draws": 200} | changed,
    )


AFTER = MAY.ends_utc + timedelta(days=2)


@pytest.mark.parametrize(
    ("labelled", "now", "state"),
    [
        (1.0, AFTER, "matured"),
        (0.9, AFTER, "matured"),
        (0.89, AFTER, "provisional"),
        (1.0, AFTER - timedelta(seconds=1), "provisional"),
        (0.0, AFTER, "none"),
    ],
    ids=["all", "just enough", "too few", "too early", "none"],
)
def test_a_figure_matures_by_coverage_and_age(labelled: float, now: datetime, state: str) -> None:
    found = state_of(make_window(labelled), now)
    assert found.state == state
    assert (found.measurement is None) == (state == "none")
    assert found.coverage == pytest.approx(labelled, abs=1e-3)


def test_the_measurement_is_clustered_by_unit() -> None:
    found = state_of(make_window(), AFTER)
    assert found.measurement is not None
    assert (found.measurement.metric, found.measurement.n_units, found.measurement.n_rows) == (
        "roc_auc",
        31,
        1860,
    )
    assert 0.8 < found.measurement.lower < found.measurement.value < found.measurement.upper < 0.95
    assert state_of(make_window(), AFTER, unit=None).measurement.n_units == 1860


def test_answers_without_a_score_count_as_unlabelled() -> None:
    rows = make_window().with_columns(score=pl.when(pl.col("row") % 5 > 0).then("score"))
    found = state_of(rows, AFTER)
    assert (found.state, found.n_labelled) == ("provisional", 1488)


def test_what_cannot_be_ranked_says_so() -> None:
    found = state_of(make_window().with_columns(label=pl.lit(False)), AFTER)
    assert found.measurement is None
    assert found.reason == "all 1860 labels are 0, so nothing can be ranked"
    assert (
        state_of(make_window().with_columns(label=pl.lit(False)), AFTER, metric="brier").measurement
        is not None
    )
    empty = state_of(make_window().head(0), AFTER)
    assert (empty.state, empty.measurement) == ("none", None)
    assert math.isnan(empty.coverage)


def figure(metric: str, value: float, down: float, up: float, confidence: float = 0.95) -> Measurement:
    return Measurement(metric, value, value - down, value + up, confidence, 1000, 30)


def test_the_loss_is_up_for_worse_whatever_the_metric() -> None:
    auc = compare_measurements(figure("roc_auc", 0.6, 0.03, 0.05), figure("roc_auc", 0.7, 0.04, 0.02))
    assert (auc.value, auc.lower, auc.upper) == pytest.approx(
        (0.1, 0.1 - math.hypot(0.05, 0.04), 0.1 + math.hypot(0.03, 0.02))
    )
    brier = compare_measurements(figure("brier", 0.18, 0.03, 0.05), figure("brier", 0.15, 0.04, 0.02))
    assert (brier.value, brier.lower, brier.upper) == pytest.approx(
        (0.03, 0.03 - math.hypot(0.03, 0.02), 0.03 + math.hypot(0.05, 0.04))
    )


@pytest.mark.parametrize("other", [figure("brier", 0.1, 0.1, 0.1), figure("roc_auc", 0.7, 0.1, 0.1, 0.9)])
def test_unlike_measurements_are_not_compared(other: Measurement) -> None:
    with pytest.raises(InputError, match="of one metric at one confidence"):
        compare_measurements(figure("roc_auc", 0.6, 0.1, 0.1), other)


def test_label_shift_counts_units_not_rows() -> None:
    rng = np.random.default_rng(1)

    def make_days(mean: float, days: int) -> pl.DataFrame:
        shares = np.clip(rng.normal(mean, 0.12, days), 0.0, 1.0)
        label = rng.random((days, 300)) < shares[:, None]
        return pl.DataFrame({"label": label.ravel(), "day": np.repeat(np.arange(days), 300)})

    covered = 0
    for _ in range(60):
        current, reference = make_days(0.30, 30), make_days(0.25, 90)
        by_day = measure_label_shift(current, reference, unit="day", draws=200)
        assert by_day is not None
        covered += by_day.lower <= 0.05 <= by_day.upper
    by_row = measure_label_shift(current, reference, unit=None, draws=200)
    assert by_row is not None
    assert covered >= 0.8 * 60
    assert by_day.upper - by_day.lower > 3 * (by_row.upper - by_row.lower)
    assert (by_day.n_units, by_day.n_rows) == (30, 9000)


def test_label_shift_without_labels_is_not_measured() -> None:
    rows = pl.DataFrame({"label": [True, None], "day": [1, 2]})
    assert measure_label_shift(rows, rows.tail(1), unit="day") is None
    assert measure_label_shift(rows.head(0), rows, unit="day") is None


def test_a_side_without_any_positive_row_is_not_taken_for_exact() -> None:
    reference = pl.DataFrame({"label": [0, 1] * 500, "day": [index // 50 for index in range(1000)]})
    window = pl.DataFrame({"label": [0] * 24, "day": list(range(24))})
    assert measure_label_shift(window, reference, unit="day") is None
    assert measure_label_shift(reference, window, unit="day") is None
