from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.errors import InputError
from tidewheel.monitoring.windows import cut_months, month_of

NEW_YORK = "America/New_York"
moments = st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))


@given(moments, st.sampled_from(["UTC", NEW_YORK, "Pacific/Auckland"]))
def test_a_moment_lies_in_its_month_and_months_join(at: datetime, zone: str) -> None:
    month = month_of(at, time_zone=zone)
    assert month.starts_utc <= at < month.ends_utc
    following = month_of(month.ends_utc, time_zone=zone)
    assert following.starts_utc == month.ends_utc
    assert month_of(month.ends_utc - timedelta(microseconds=1), time_zone=zone) == month


def test_december_ends_the_year() -> None:
    december = month_of(datetime(2013, 12, 31, 23, 59, tzinfo=UTC))
    assert (december.name, december.ends_utc) == ("2013-12", datetime(2014, 1, 1, tzinfo=UTC))


def test_a_window_is_over_after_its_end_and_then_some_days() -> None:
    may = month_of(datetime(2013, 5, 5, tzinfo=UTC))
    ends = datetime(2013, 6, 1, tzinfo=UTC)
    assert [may.is_over(ends - timedelta(seconds=1)), may.is_over(ends)] == [False, True]
    assert [may.is_over(ends + timedelta(days=2), 2.0), may.is_over(ends + timedelta(days=2), 2.1)] == [
        True,
        False,
    ]


def make_log(hours: int = 24 * 91) -> pl.DataFrame:
    at = [datetime(2013, 4, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(hours)]
    return pl.DataFrame({"at_utc": at, "row": range(hours)})


@pytest.mark.parametrize("zone", ["UTC", NEW_YORK])
def test_every_row_is_in_one_window_in_order(zone: str) -> None:
    log = make_log().sample(fraction=1.0, shuffle=True, seed=0)
    cut = cut_months(log, time_zone=zone)
    before = ["2013-03"] if zone == NEW_YORK else []
    assert [window.name for window, _ in cut] == [*before, "2013-04", "2013-05", "2013-06"]
    assert sum(rows.height for _, rows in cut) == log.height
    for window, rows in cut:
        assert rows["at_utc"].is_between(window.starts_utc, window.ends_utc, closed="left").all()
        assert rows["row"].to_list() == [row for row in log["row"] if row in set(rows["row"])]


def test_no_row_no_window() -> None:
    assert cut_months(make_log(0).with_columns(pl.col("at_utc").cast(pl.Datetime("us", "UTC")))) == ()


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (
            make_log(3).drop("at_utc"),
            "the event time `at_utc` must be a column of times with a zone; got None",
        ),
        (make_log(3).with_columns(pl.col("at_utc").dt.replace_time_zone(None)), "with a zone; got Datetime"),
        (
            make_log(3).with_columns(pl.when(pl.col("row") > 0).then("at_utc").alias("at_utc")),
            "1 are missing",
        ),
    ],
    ids=["missing column", "no zone", "missing value"],
)
def test_times_that_cannot_be_placed_are_refused(log: pl.DataFrame, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cut_months(log)


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(InputError, match="must carry a time zone"):
        month_of(datetime(2013, 4, 1))


def test_a_month_is_one_window_where_clocks_go_back_over_its_first_midnight() -> None:
    first = datetime(
        2020, 11, 1, 4, 30, tzinfo=UTC
    )  # half past midnight in Havana, an hour before it strikes again
    log = pl.DataFrame({"at_utc": [first, first + timedelta(hours=1), first + timedelta(days=3)]})
    ((window, rows),) = cut_months(log, time_zone="America/Havana")
    assert (window.name, rows.height) == ("2020-11", 3)
