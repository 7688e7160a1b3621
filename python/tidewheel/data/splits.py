"""Splits that a figure can be trusted on: later rows are held out, and no unit is on both sides.

What belongs here: cutting a frame in two. What does not: which rows have a label (`predictions.labels`).
"""

from datetime import datetime, timedelta

import polars as pl

from tidewheel.errors import InputError

Split = tuple[pl.DataFrame, pl.DataFrame]


def split_by_time(frame: pl.DataFrame, *, event_time: str, unit: str | None, boundary_utc: datetime) -> Split:
    """Split into the rows before a moment and the rows from it on.

    Args:
        frame: the rows, in any order; the order is kept.
        event_time: column of times in UTC.
        unit: column of what is independent; None takes every row for independent.
        boundary_utc: aware; a row at this very moment is held out.

    Returns:
        Training rows and held-out rows, each at least one.

    Raises:
        InputError: a side has no row, a time is missing, the boundary has no zone, or a unit has rows on both sides.

    Example:
        >>> rows = pl.DataFrame({"at": ["2013-03-31", "2013-04-01"]}).select(pl.col("at").str.to_datetime(time_zone="UTC"))
        >>> boundary = rows["at"][1]
        >>> [part.height for part in split_by_time(rows, event_time="at", unit=None, boundary_utc=boundary)]
        [1, 1]
    """
    if boundary_utc.tzinfo is None:
        raise InputError(f"`boundary_utc` must carry a time zone; got {boundary_utc.isoformat()}")
    _check_times(frame, event_time)
    train = frame.filter(pl.col(event_time) < boundary_utc)
    holdout = frame.filter(pl.col(event_time) >= boundary_utc)
    for part, side in ((train, "before"), (holdout, "from")):
        if part.is_empty():
            raise InputError(
                f"both sides of the split must have rows; none of {frame.height} is {side} {boundary_utc.isoformat()}"
            )
    if unit is not None:
        _check_no_unit_cut(train, holdout, event_time, unit, boundary_utc)
    return train, holdout


def split_holdout(frame: pl.DataFrame, *, event_time: str, unit: str | None, holdout_days: int) -> Split:
    """Hold out the last `holdout_days` days, moved forward to the next moment that cuts no unit.

    The last row's time less the days is where the cut would fall; a unit that began before it stays in training as a whole.
    With days as units and rows until the last evening, exactly `holdout_days` days are held out.

    Raises:
        InputError: a side has no row, a time is missing, or units overlap in time so that no moment cuts none.
    """
    if holdout_days < 1:
        raise InputError(f"`holdout_days` must be at least 1; got {holdout_days}")
    _check_times(frame, event_time)
    first, last = frame.select(first=pl.col(event_time).min(), last=pl.col(event_time).max()).row(0)
    if first == last:
        raise InputError(
            f"the event time `{event_time}` must differ between rows, or none can be held out; "
            f"all {frame.height} have {last}"
        )
    boundary = last - timedelta(days=holdout_days)
    if unit is None:
        return split_by_time(frame, event_time=event_time, unit=None, boundary_utc=boundary)
    begins = frame.group_by(unit).agg(pl.col(event_time).min())[event_time]
    cut = begins.filter(begins > boundary).min()
    if not isinstance(cut, datetime):
        raise InputError(
            f"the last {holdout_days} days must begin at least one unit `{unit}`; none begins after {boundary.isoformat()}"
        )
    return split_by_time(frame, event_time=event_time, unit=unit, boundary_utc=cut)


def _check_times(frame: pl.DataFrame, event_time: str) -> None:
    """Refuse times that are missing or have no zone: nobody can say on which side they belong."""
    dtype = frame.schema.get(event_time)
    if not isinstance(dtype, pl.Datetime) or dtype.time_zone is None:
        raise InputError(f"the event time `{event_time}` must be a column of times with a zone; got {dtype}")
    n_missing = frame[event_time].null_count()
    if n_missing:
        raise InputError(f"the event time `{event_time}` must be known in every row; {n_missing} are missing")


def _check_no_unit_cut(
    train: pl.DataFrame, holdout: pl.DataFrame, event_time: str, unit: str, boundary_utc: datetime
) -> None:
    """Refuse a boundary with rows of one unit on both sides, and say where the next one would be."""
    cut = train.join(holdout, on=unit, how="semi", nulls_equal=True)[unit].unique().sort()
    if cut.is_empty():
        return
    uncut = holdout.join(train, on=unit, how="anti", nulls_equal=True)
    later = uncut.select(pl.col(event_time).min()).item()
    hint = f"; the next unit begins at {later.isoformat()}" if later is not None else ""
    raise InputError(
        f"no unit `{unit}` may be on both sides of a split; {boundary_utc.isoformat()} cuts {cut.len()}, "
        f"first {cut[0]!r}{hint}"
    )
