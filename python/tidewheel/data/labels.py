"""Labels that come late: which are known by now, and how many.

What belongs here: the clock of the labels, as pure functions of a frame and a given moment. What does not: joining labels to
predictions (`monitoring.performance`).
"""

from datetime import datetime

import polars as pl

from tidewheel.errors import InputError
from tidewheel.project.settings import Labels


def labels_due(frame: pl.DataFrame, labels: Labels, now_utc: datetime) -> pl.DataFrame:
    """Keep the rows whose label is known at `now_utc`: it has a value, and its time has come (the moment itself included).

    Raises:
        InputError: `now_utc` has no zone.

    Example:
        >>> labels = Labels(column="late", known_at="at")
        >>> rows = pl.DataFrame({"late": [True, None], "at": ["2013-01-01", None]}).with_columns(
        ...     pl.col("at").str.to_datetime(time_zone="UTC"))
        >>> labels_due(rows, labels, rows["at"][0])["late"].to_list()
        [True]
    """
    if now_utc.tzinfo is None:
        raise InputError(f"`now_utc` must carry a time zone; got {now_utc.isoformat()}")
    return frame.filter(pl.col(labels.column).is_not_null() & (pl.col(labels.known_at) <= now_utc))


def coverage(frame: pl.DataFrame, labels: Labels, now_utc: datetime) -> float:
    """Give the share of rows whose label is known at `now_utc`, in [0, 1].

    Rows that never get a label (a cancelled flight) count as not covered: nobody can tell them from those still to come.

    Raises:
        InputError: there is no row, or `now_utc` has no zone.
    """
    if frame.is_empty():
        raise InputError("the coverage of labels needs at least one row; got none")
    return labels_due(frame, labels, now_utc).height / frame.height


def is_mature(frame: pl.DataFrame, labels: Labels, event_time: str, now_utc: datetime) -> bool:
    """Tell whether a window may be judged: its last row is `maturity_days` old and enough of its labels are known.

    Raises:
        InputError: there is no row, or `now_utc` has no zone.
    """
    covered = coverage(frame, labels, now_utc) >= labels.coverage_min
    last = frame.select(pl.col(event_time).max()).item()
    age_days = (now_utc - last).total_seconds() / 86_400
    return covered and age_days >= labels.maturity_days
