"""Labels that come late: which are known by now.

What belongs here: the clock of the labels, as a pure function of a frame and a moment. What does not: joining labels to
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
