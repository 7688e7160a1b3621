"""The scorecard of a year: what the loop was worth, month by month, against the model that was never retrained.

Both columns score the same rows. Each row is scored by the model that was in force at its event time; a model that was
trained on a row never scores it (`check_unseen`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from tidewheel.errors import IntegrityError
from tidewheel.evidence.history import Reign
from tidewheel.measures.metrics import Interval, paired_gain, roc_auc
from tidewheel.project.settings import Settings

Scorer = Callable[[pl.DataFrame], np.ndarray]


@dataclass(frozen=True, slots=True)
class MonthRow:
    """Hold one month of the scorecard; AUCs are None where a month has labels of one kind only."""

    month: int
    n_rows: int
    n_late: int
    static_auc: float
    loop_auc: float
    champion: str
    """Name of the model in force at the month's end."""


@dataclass(frozen=True)
class Scorecard:
    """Hold the months, and the mean gain of the loop from `gain_from_month` on with its 95 % interval."""

    months: tuple[MonthRow, ...]
    gain: Interval
    gain_from_month: int


def score_year(
    rows: pl.DataFrame,
    reigns: Sequence[Reign],
    static: Reign,
    scorers: Mapping[str, Scorer],
    settings: Settings,
    *,
    gain_from_month: int,
    draws: int,
    seed: int,
) -> Scorecard:
    """Score every labelled row by the model in force and by the frozen one, and compare them month by month.

    Args:
        rows: Labelled rows of the months to score, with event time, unit, label and feature columns.
        reigns: Models by the event time from which they answered, in order.
        static: The model that is frozen.
        scorers: For each model id, a function from rows to scores in [0, 1].
        settings: The project's settings: names of the columns.
        gain_from_month: First month that counts for the gain.
        draws: Bootstrap draws over units.
        seed: Seed of the bootstrap.

    Raises:
        IntegrityError: a model would score a row it was trained on.
    """
    event_time = settings.data.event_time
    rows = rows.sort(event_time, settings.data.row_id)
    in_force = models_in_force(rows[event_time], reigns)
    loop = np.full(rows.height, np.nan)
    for reign in reigns:
        mine = in_force == reigns.index(reign)
        if mine.any():
            chosen = rows.filter(pl.Series(mine))
            check_unseen(chosen[event_time], reign)
            loop[mine] = scorers[reign.model_id](chosen)
    frozen = scorers[static.model_id](rows)
    check_unseen(rows[event_time], static)
    labels = rows[settings.labels.column].to_numpy().astype(np.float64)
    unit = settings.data.unit or settings.data.row_id
    # A local day may reach into the next month of UTC; a unit counts for the month in which it began.
    months = rows.select(pl.col(event_time).min().over(unit).dt.month()).to_series().to_numpy()
    table = tuple(
        MonthRow(
            month=int(month),
            n_rows=int((months == month).sum()),
            n_late=int(labels[months == month].sum()),
            static_auc=roc_auc(labels[months == month], frozen[months == month]),
            loop_auc=roc_auc(labels[months == month], loop[months == month]),
            champion=reigns[int(in_force[months == month][-1])].name,
        )
        for month in np.unique(months)
    )
    counted = months >= gain_from_month
    units = rows[unit].to_numpy()
    gain = paired_gain(
        labels[counted],
        loop[counted],
        frozen[counted],
        units[counted],
        months[counted],
        draws=draws,
        seed=seed,
    )
    return Scorecard(table, gain, gain_from_month)


def models_in_force(event_times: pl.Series, reigns: Sequence[Reign]) -> np.ndarray:
    """Give for each event time the index of the model that answered then.

    Raises:
        IntegrityError: an event time lies before the first reign.
    """
    starts = pl.Series([reign.from_utc for reign in reigns]).dt.epoch("us").to_numpy()
    index = np.searchsorted(starts, event_times.dt.epoch("us").to_numpy(), side="right") - 1
    if index.size and index.min() < 0:
        earliest = event_times.to_list()[int(index.argmin())]
        raise IntegrityError(
            f"no model was in force at {earliest}; the first one answers from {reigns[0].from_utc}"
        )
    return index


def check_unseen(event_times: pl.Series, reign: Reign) -> None:
    """Refuse to score rows that the model was trained on.

    Raises:
        IntegrityError: the earliest row lies before the end of the training rows.
    """
    earliest = event_times.min()
    if isinstance(earliest, datetime) and earliest < reign.trained_until_utc:
        raise IntegrityError(
            f"model {reign.name} ({reign.model_id[:12]}) was trained on rows up to {reign.trained_until_utc}, and is "
            f"asked to score one of {earliest}"
        )
