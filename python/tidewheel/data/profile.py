"""A first look at columns before anybody trains: which of them know the answer too well?

What belongs here: measuring columns against the label, one at a time. What does not: what a model may see, which is said in
`[features]` of the project file.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewheel.errors import InputError, InputTypeError, UnknownNameError

AUC_SUSPECT = 0.95
"""One column of real foreknowledge rarely orders cases this well; a copy of the label, or what follows from it, does."""

AUC_SUSPECT_MISSING = 0.9
"""A column that is missing together with the label is filled in by the event itself: a cancelled flight has no time of
departure. Columns known before the event are missing for reasons of their own, so a lower border is safe here."""

ROWS_MIN = 20
"""Below this many rows of each class a high AUC happens by chance: the check says nothing then."""


@dataclass(frozen=True, slots=True)
class LeakageSuspect:
    """Name a column that no model should see, the AUC with which it alone tells the label (None: not measured), and why."""

    column: str
    auc: float | None
    reason: str


def leakage_suspects(
    frame: pl.DataFrame,
    label: str,
    columns: Iterable[str],
    *,
    known_later: Iterable[str] = (),
    auc_max: float = AUC_SUSPECT,
) -> tuple[LeakageSuspect, ...]:
    """Find columns that alone tell the label too well, or that are known only after the event.

    The strength of a column is the area under the ROC curve of its own order, or of the reverse order, whichever is larger:
    AUC = (sum of the average ranks of the positive rows - p (p + 1) / 2) / (p n), with p positive and n negative rows. Being
    missing is tried as well, as a column of its own. A text column is ordered by the label's mean for each value, learned
    on every other row and used on the rest, so that many rare values do not look like knowledge. Rows without a label
    are left out here, but a column that is missing where the label is missing (AUC above 0.9) is a suspect too. What has
    fewer than 20 rows of either class is not measured.

    Args:
        frame: rows with the label and the columns.
        label: a boolean column.
        columns: names to look at.
        known_later: names of columns that the event itself brings about; suspects whatever they measure.
        auc_max: the largest AUC, in [0.5, 1], that is no suspicion.

    Returns:
        The suspects, in the order of `columns`.

    Raises:
        UnknownNameError: a column is not in the frame.
        InputTypeError: the label is not boolean.
        InputError: `auc_max` is outside [0.5, 1].

    Example:
        >>> rows = pl.DataFrame({"late": [False] * 50 + [True] * 50, "delay": range(100), "weekday": [1, 2, 3, 4, 5] * 20})
        >>> [(suspect.column, suspect.auc) for suspect in leakage_suspects(rows, "late", ["delay", "weekday"])]
        [('delay', 1.0)]
    """
    columns, later = tuple(columns), frozenset(known_later)
    unknown = [name for name in (label, *columns) if name not in frame.columns]
    if unknown:
        raise UnknownNameError(
            f"columns must be in the frame, which has {', '.join(frame.columns)}; got {unknown[0]}"
        )
    if frame.schema[label] != pl.Boolean:
        raise InputTypeError(f"the label `{label}` must be boolean; got {frame.schema[label]}")
    if not 0.5 <= auc_max <= 1.0:
        raise InputError(f"`auc_max` must be in [0.5, 1]; got {auc_max}")
    known = frame.filter(pl.col(label).is_not_null())
    unlabelled = frame[label].is_null().to_numpy()
    suspects = []
    for name in columns:
        auc = _strength(known[name].alias("values"), known[label])
        together = _auc(_missing(frame[name].alias("values")), unlabelled)
        if name in later:
            suspects.append(LeakageSuspect(name, auc, "known only after the event"))
        elif auc is not None and auc > auc_max:
            suspects.append(LeakageSuspect(name, auc, f"alone tells the label with an AUC of {auc:.3f}"))
        elif together is not None and together > AUC_SUSPECT_MISSING:
            reason = (
                f"is missing where the label is, with an AUC of {together:.3f}: the event seems to fill it in"
            )
            suspects.append(LeakageSuspect(name, auc, reason))
    return tuple(suspects)


def _strength(column: pl.Series, label: pl.Series) -> float | None:
    """Give the larger AUC of the column's values and of its being missing."""
    positive = label.to_numpy()
    missing = _missing(column)
    present = missing == 0
    measured = (_auc(missing, positive), _auc_of_values(column.filter(pl.Series(present)), positive[present]))
    return max((auc for auc in measured if auc is not None), default=None)


def _missing(column: pl.Series) -> npt.NDArray[np.float64]:
    """Give 1 where a value is null or NaN, else 0."""
    missing = column.is_null()
    if column.dtype.is_float():
        missing |= column.is_nan().fill_null(False)
    return missing.to_numpy().astype(np.float64)


def _auc_of_values(column: pl.Series, positive: npt.NDArray[np.bool_]) -> float | None:
    """Give the AUC of the values of a column without missing ones."""
    if column.dtype in (pl.String, pl.Categorical, pl.Enum):
        return _auc_of_texts(column.cast(pl.String), positive)
    if column.dtype.is_numeric() or column.dtype == pl.Boolean or column.dtype.is_temporal():
        return _auc(column.to_physical().cast(pl.Float64).to_numpy(), positive)
    return None


def _auc_of_texts(column: pl.Series, positive: npt.NDArray[np.bool_]) -> float | None:
    """Order texts by the label's mean on the even rows and give the AUC of that order on the odd rows."""
    rows = pl.DataFrame({"text": column, "label": pl.Series(positive, dtype=pl.Float64)})
    means = rows.gather_every(2).group_by("text").agg(pl.col("label").mean().alias("score"))
    judged = rows.gather_every(2, offset=1).join(means, on="text", how="left", maintain_order="left")
    overall = float(positive.mean()) if positive.size else 0.0
    return _auc(judged["score"].fill_null(overall).to_numpy(), judged["label"].to_numpy() > 0)


def _auc(score: npt.NDArray[np.float64], positive: npt.NDArray[np.bool_]) -> float | None:
    """Give the AUC of a score in its better direction, or None where a class has too few rows."""
    n_positive = int(np.count_nonzero(positive))
    n_negative = positive.size - n_positive
    if min(n_positive, n_negative) < ROWS_MIN:
        return None
    ranks = pl.Series(score).rank("average").to_numpy()
    wins = float(ranks[positive].sum()) - n_positive * (n_positive + 1) / 2
    auc = wins / (n_positive * n_negative)
    return max(auc, 1.0 - auc)
