"""Choose the rows that a retraining learns from.

What belongs here: which stretch of time. What does not: whether to retrain (`retraining.policy`), holding rows out
(`data.splits`).
"""

from datetime import datetime, timedelta

import polars as pl

from tidewheel.errors import InputError
from tidewheel.project.settings import Retrain


def training_rows(
    frame: pl.DataFrame, retrain: Retrain, now_utc: datetime, *, event_time: str, unit: str | None
) -> pl.DataFrame:
    """Keep the rows of the training window, in their order.

    "all" keeps everything before `now_utc`; "sliding" what is less than `window_days` older than that, without any unit that
    began earlier, so that no unit is cut.

    Args:
        frame: Rows with the columns `event_time` and `unit`.
        retrain: `window` and `window_days`.
        now_utc: The time of retraining; rows at or after it are left out.
        event_time: Column of times with a zone.
        unit: Column of what is independent; None takes each row for a unit.

    Raises:
        InputError: No row is left, or `now_utc` has no zone.
    """
    if now_utc.tzinfo is None:
        raise InputError(f"`now_utc` must carry a time zone; got {now_utc.isoformat()}")
    rows = frame.filter(pl.col(event_time) < now_utc)
    if retrain.window == "sliding":
        first = pl.col(event_time) if unit is None else pl.col(event_time).min().over(unit)
        rows = rows.filter(first > now_utc - timedelta(days=retrain.window_days))
    if rows.height == 0:
        raise InputError(
            f"the training window ({retrain.window}, {retrain.window_days} days) must have rows before "
            f"{now_utc.isoformat()}; none of {frame.height} is in it"
        )
    return rows
