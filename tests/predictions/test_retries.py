import math
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from tidewheel.predictions.retries import keep_worst, merge_sends

START = datetime(2013, 4, 1, tzinfo=UTC)


def sends(*rows: dict[str, object]) -> pl.DataFrame:
    """Make sends a minute apart; `place` says which is which."""
    given = {"request_id": "r", "row": 0, "score": 0.5, "error": None}
    return pl.DataFrame(
        [
            {"place": place, "wall_utc": START + timedelta(minutes=place), **given, **row}
            for place, row in enumerate(rows)
        ],
        schema_overrides={"error": pl.String, "score": pl.Float64},
    )


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([], []),
        ([{}], [0]),
        ([{}, {}, {}], [0]),
        ([{}, {"error": "timeout"}, {}], [1]),
        ([{}, {"error": "timeout"}, {"error": "other"}], [1]),
        ([{}, {"score": None}], [1]),
        ([{}, {"score": math.nan}], [1]),
        ([{}, {"score": math.inf}], [1]),
        ([{"row": 0}, {"row": 1}, {"row": 0}, {"row": 1}], [0, 1]),
        ([{"request_id": "s"}, {}, {"request_id": "s", "error": "timeout"}], [1, 2]),
        ([{"wall_utc": START + timedelta(days=1)}, {}], [1]),
        ([{"wall_utc": START}, {"wall_utc": START}], [0]),
    ],
    ids=[
        "none",
        "one",
        "alike",
        "an error",
        "the first error",
        "no score",
        "nan",
        "infinite",
        "rows of one request",
        "in the order of the rows",
        "first by time",
        "first in order at one time",
    ],
)
def test_the_worst_send_of_each_row_is_kept(rows: list[dict[str, object]], kept: list[int]) -> None:
    log = sends(*rows) if rows else sends({}).clear()
    found = keep_worst(log)
    assert found["place"].to_list() == kept
    assert found.equals(log[kept])


def test_what_is_counted_apart_is_kept_apart() -> None:
    log = sends({}, {}, {}).with_columns(arm=pl.Series(["candidate", "baseline", "candidate"]))
    assert keep_worst(log, ["arm", "not there"])["place"].to_list() == [0, 1]


def test_without_a_name_every_row_is_a_send_of_its_own() -> None:
    log = sends({}, {}).drop("request_id")
    assert keep_worst(log).equals(log)


def test_flags_are_merged_into_the_first_send() -> None:
    log = sends({}, {"request_id": "s"}, {}).with_columns(is_slow=pl.Series([False, False, True]))
    found = merge_sends(log.lazy(), ["is_slow"]).collect()
    assert found.select("place", "is_slow").rows() == [(0, True), (1, False)]
