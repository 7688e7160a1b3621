"""Compare the inputs of a window with those of the reference, by the drift core.

What belongs here: which columns are compared, on which rows. What does not: how (`tidewheel.drift`), what a
moved column means (`monitoring.triage`).
"""

import polars as pl

from tidewheel import drift
from tidewheel.errors import InputError
from tidewheel.project.settings import Features


def compare_window(
    reference: pl.DataFrame,
    current: pl.DataFrame,
    features: Features,
    *,
    unit: str | None,
    alpha: float = 0.05,
) -> drift.DriftReport:
    """Compare the features of a window's rows with the reference's, clustered by unit.

    Args:
        reference: Rows that the model was fitted to: the features, and `unit`.
        current: Rows of the window, likewise.
        features: Which columns are compared.
        unit: Column of what is independent; None takes each row for a unit.
        alpha: Level over all columns together (false discovery rate).

    Returns:
        The report of the drift core; `drifted` names the columns that moved significantly and materially.

    Raises:
        InputError: A side has no row or lacks a column.
    """
    names = [*features.numeric, *features.categorical]
    for side, frame in (("the reference", reference), ("a window", current)):
        wanted = names if unit is None else [*names, unit]
        missing = [name for name in wanted if name not in frame.columns]
        if missing:
            raise InputError(f"{side} must have the column `{missing[0]}`; got {', '.join(frame.columns)}")
        if frame.height == 0:
            raise InputError(f"{side} must have one row or more to be compared; got none")
    return drift.compare(reference, current, columns=names, unit=unit, alpha=alpha)
