"""Cut a prediction log into windows of event time.

What belongs here: which window a row is in, and when a window is over. What does not: what is measured in it
(`monitoring.performance`, `monitoring.drift_windows`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from tidewheel.errors import InputError


@dataclass(frozen=True, slots=True)
class Window:
    """Name a stretch of event time, from `starts_utc` up to but without `ends_utc`."""

    name: str
    starts_utc: datetime
    ends_utc: datetime

    @property
    def month(self) -> int:
        """Number of the month, 1 to 12, as its own clock tells it."""
        return int(self.name[5:7])

    def is_over(self, now_utc: datetime, after_days: float = 0.0) -> bool:
        """Say whether it ended at least `after_days` before `now_utc`."""
        return now_utc >= self.ends_utc + timedelta(days=after_days)


def month_of(at_utc: datetime, *, time_zone: str = "UTC") -> Window:
    """Give the calendar month of a moment, as a clock in `time_zone` tells it.

    Raises:
        InputError: `at_utc` has no zone.

    Example:
        >>> from datetime import UTC
        >>> night = datetime(2013, 6, 1, 2, 0, tzinfo=UTC)
        >>> month_of(night).name, month_of(night, time_zone="America/New_York").name
        ('2013-06', '2013-05')
    """
    if at_utc.tzinfo is None:
        raise InputError(f"`at_utc` must carry a time zone; got {at_utc.isoformat()}")
    zone, utc = ZoneInfo(time_zone), ZoneInfo("UTC")
    local = at_utc.astimezone(zone)
    first = datetime(local.year, local.month, 1, tzinfo=zone)
    following = datetime(local.year + local.month // 12, local.month % 12 + 1, 1, tzinfo=zone)
    return Window(f"{first:%Y-%m}", first.astimezone(utc), following.astimezone(utc))


def cut_months(
    log: pl.DataFrame, *, at: str = "at_utc", time_zone: str = "UTC"
) -> tuple[tuple[Window, pl.DataFrame], ...]:
    """Cut a log into calendar months of event time, in order; a month without a row does not appear.

    Where the unit is a local day, pass the zone of its clock, so that no day lies in two months.

    Args:
        log: Any frame with the column `at`, of times with a zone.
        at: Column of the event time.
        time_zone: Whose calendar.

    Returns:
        Each window with its rows, in the order of `log`. Together they are all rows of `log`.

    Raises:
        InputError: The column is missing, is no time with a zone, or lacks a value.
    """
    kind = log.schema.get(at)
    if not isinstance(kind, pl.Datetime) or kind.time_zone is None:
        raise InputError(f"the event time `{at}` must be a column of times with a zone; got {kind}")
    if missing := log[at].null_count():
        raise InputError(f"the event time `{at}` must be known in every row; {missing} are missing")
    # By name: where clocks go back over midnight, one month begins at two instants.
    month = pl.col(at).dt.convert_time_zone(time_zone).dt.strftime("%Y-%m").alias("month")
    parts = log.group_by(month, maintain_order=True)
    cut = [(month_of(rows[at][0], time_zone=time_zone), rows) for _, rows in parts]
    return tuple(sorted(cut, key=lambda part: part[0].starts_utc))
