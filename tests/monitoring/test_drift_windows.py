import numpy as np
import polars as pl
import pytest

from tidewheel.errors import InputError
from tidewheel.monitoring.drift_windows import compare_window
from tidewheel.project.settings import Features

FEATURES = Features(numeric=("temp", "distance"), categorical=("carrier",))


def make_rows(days: int, warmer: float = 0.0, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    n = days * 100
    return pl.DataFrame(
        {
            "day": np.repeat(np.arange(days), 100),
            "temp": np.repeat(rng.normal(warmer, 1.0, days), 100) + 0.1 * rng.normal(size=n),
            "distance": rng.integers(100, 3000, n),
            "carrier": rng.choice(["UA", "AA", "B6"], n),
            "late": rng.random(n) < 0.2,
        }
    )


def test_only_features_are_compared_and_days_are_the_units() -> None:
    reference = make_rows(90)
    report = compare_window(reference, make_rows(30, warmer=3.0, seed=1), FEATURES, unit="day")
    assert [column.name for column in report.columns] == ["temp", "distance", "carrier"]
    assert report.drifted == ("temp",)
    few_days = make_rows(8, seed=3)
    calm = compare_window(reference, few_days, FEATURES, unit="day")
    by_row = compare_window(reference, few_days, FEATURES, unit=None)
    assert calm.drifted == ()
    assert by_row.drifted == ("temp",), "the day effect would not be noticed by rows"


@pytest.mark.parametrize(
    ("reference", "current", "message"),
    [
        (make_rows(5), make_rows(5).drop("temp"), "a window must have the column `temp`"),
        (make_rows(5).drop("day"), make_rows(5), "the reference must have the column `day`"),
        (make_rows(5), make_rows(5).head(0), "a window must have one row or more to be compared; got none"),
    ],
    ids=["no feature", "no unit", "no row"],
)
def test_what_cannot_be_compared_is_refused(
    reference: pl.DataFrame, current: pl.DataFrame, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        compare_window(reference, current, FEATURES, unit="day")
