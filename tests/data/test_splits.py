from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tidewheel.data.splits import split_by_time, split_holdout
from tidewheel.errors import InputError

START = datetime(2013, 1, 1, 5, tzinfo=UTC)
"""Midnight in New York: the days of these rows are local days, as in the flights example."""


def days(n_days: int, rows_per_day: int = 3) -> pl.DataFrame:
    moments = [
        (day, START + timedelta(days=day, hours=23 * row / max(rows_per_day - 1, 1)))
        for day in range(n_days)
        for row in range(rows_per_day)
    ]
    return pl.DataFrame(
        {"day": [f"d{day:03}" for day, _ in moments], "at": [moment for _, moment in moments]},
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


@settings(deadline=None)
@given(n_days=st.integers(2, 60), cut=st.integers(1, 59), seed=st.integers(0, 9))
def test_sides_are_disjoint_complete_and_in_order(n_days: int, cut: int, seed: int) -> None:
    assume(cut < n_days)
    frame = days(n_days).sample(fraction=1.0, shuffle=True, seed=seed)
    boundary = START + timedelta(days=cut)
    train, holdout = split_by_time(frame, event_time="at", unit="day", boundary_utc=boundary)
    assert pl.concat([train, holdout]).sort("at").equals(frame.sort("at"))
    assert train["day"].n_unique() == cut
    assert not set(train["day"]) & set(holdout["day"])
    assert train.select(pl.col("at").max()).item() < boundary <= holdout.select(pl.col("at").min()).item()


def test_a_row_at_the_boundary_is_held_out() -> None:
    train, holdout = split_by_time(
        days(2, 1), event_time="at", unit=None, boundary_utc=START + timedelta(days=1)
    )
    assert (train.height, holdout.height) == (1, 1)


@settings(deadline=None)
@given(n_days=st.integers(2, 60), holdout_days=st.integers(1, 59))
def test_the_last_days_are_held_out_whole(n_days: int, holdout_days: int) -> None:
    assume(holdout_days < n_days)
    train, holdout = split_holdout(days(n_days), event_time="at", unit="day", holdout_days=holdout_days)
    assert holdout["day"].n_unique() == holdout_days
    assert train["day"].n_unique() == n_days - holdout_days


def test_without_a_unit_the_holdout_is_cut_by_the_clock() -> None:
    train, holdout = split_holdout(days(3), event_time="at", unit=None, holdout_days=1)
    assert (train.height, holdout.height) == (5, 4)


MIDNIGHT_UTC = datetime(2013, 1, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("frame", "unit", "boundary", "words"),
    [
        (days(4), "day", MIDNIGHT_UTC, "no unit `day` may be on both sides of a split; 2013-01-03T00:00:00+00:00 cuts 1, "
         "first 'd001'; the next unit begins at 2013-01-03T05:00:00+00:00"),
        (days(4), "day", START, "both sides of the split must have rows; none of 12 is before 2013-01-01T05:00:00+00:00"),
        (days(4), "day", START + timedelta(days=9), "none of 12 is from 2013-01-10T05:00:00+00:00"),
        (days(4), "day", MIDNIGHT_UTC.replace(tzinfo=None),
         "`boundary_utc` must carry a time zone; got 2013-01-03T00:00:00"),
        (days(4).with_columns(pl.lit(None, pl.String).alias("day")), "day", MIDNIGHT_UTC, "cuts 1, first None"),
        (days(4).with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias("at")), None, MIDNIGHT_UTC,
         "the event time `at` must be known in every row; 12 are missing"),
        (days(4).with_columns(pl.col("at").dt.replace_time_zone(None)), None, MIDNIGHT_UTC,
         "the event time `at` must be a column of times with a zone; got Datetime"),
        (days(4).drop("at"), None, MIDNIGHT_UTC, "the event time `at` must be a column of times with a zone; got None"),
    ],
    ids=["cut unit", "nothing before", "nothing after", "no zone", "unit unknown", "time missing", "naive times",
         "no column"],
)  # fmt: skip
def test_a_split_that_would_deceive_is_refused(
    frame: pl.DataFrame, unit: str | None, boundary: datetime, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        split_by_time(frame, event_time="at", unit=unit, boundary_utc=boundary)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("frame", "holdout_days", "words"),
    [
        (days(4), 0, "`holdout_days` must be at least 1; got 0"),
        (days(4), 9, "both sides of the split must have rows"),
        (days(4).with_columns(day=pl.lit("always")), 1, "the last 1 days must begin at least one unit `day`"),
        (
            pl.concat([days(4), days(4).with_columns(day=pl.lit("always"))]),
            1,
            "no unit `day` may be on both sides",
        ),
    ],
    ids=["no days", "too many days", "one unit", "overlapping units"],
)
def test_a_holdout_that_cannot_be_had_is_refused(frame: pl.DataFrame, holdout_days: int, words: str) -> None:
    with pytest.raises(InputError) as caught:
        split_holdout(frame, event_time="at", unit="day", holdout_days=holdout_days)
    assert words in str(caught.value)


@pytest.mark.parametrize("unit", [None, "day"])
def test_a_time_that_never_differs_holds_nothing_out(unit: str | None) -> None:
    frame = days(5).with_columns(at=pl.lit(START))
    with pytest.raises(
        InputError, match=r"the event time `at` must differ between rows.*; all 15 have 2013-01-01"
    ):
        split_holdout(frame, event_time="at", unit=unit, holdout_days=2)
