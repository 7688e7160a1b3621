from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from tidewheel.errors import InputError
from tidewheel.project.settings import Retrain
from tidewheel.retraining.window import training_rows

START = datetime(2013, 1, 1, tzinfo=UTC)
ROWS = pl.DataFrame(
    {
        "at": [START + timedelta(hours=6 * step) for step in range(400)],
        "day": [f"day {step // 4}" for step in range(400)],
        "row": range(400),
    }
)


def keep(retrain: Retrain, days: float, unit: str | None = "day") -> pl.DataFrame:
    return training_rows(ROWS, retrain, START + timedelta(days=days), event_time="at", unit=unit)


def test_all_rows_until_now_in_their_order() -> None:
    assert keep(Retrain(), 50.0)["row"].to_list() == list(range(200))


def test_a_sliding_window_cuts_no_unit() -> None:
    sliding = Retrain(window="sliding", window_days=10)
    assert keep(sliding, 50.0)["day"].unique(maintain_order=True).to_list() == [
        f"day {n}" for n in range(41, 50)
    ]
    assert keep(sliding, 50.1)["day"][0] == "day 41"
    assert keep(sliding, 50.0)["day"].value_counts()["count"].to_list() == [4] * 9
    assert keep(sliding, 50.0, unit=None).height == 39


def test_a_window_without_rows_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"the training window \(all, 365 days\) must have rows before .* none of 400"
    ):
        keep(Retrain(), 0.0)
    with pytest.raises(InputError, match="must carry a time zone"):
        training_rows(ROWS, Retrain(), datetime(2013, 2, 1), event_time="at", unit=None)
