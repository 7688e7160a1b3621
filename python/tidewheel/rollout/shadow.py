"""Compare what champion and candidate said to the same requests, before any label is there.

What belongs here: agreement, differences, drift of the scores, where they disagree most. What does not: judging quality by
labels (`rollout.guards`). A comparison gates nothing by itself; it says what a rollout would change, and for whom.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from tidewheel import drift
from tidewheel.errors import InputError
from tidewheel.predictions.retries import PAIR_WITHIN, keep_worst
from tidewheel.rollout.outcomes import check_columns

SLICE_PAIRS_MIN = 30
"""Slices of fewer pairs are not ranked: the worst of many small ones is noise."""


@dataclass(frozen=True, slots=True)
class SliceDisagreement:
    """Hold one slice: the pairs whose `column` is `value`, and the share of them on which the models disagree."""

    column: str
    value: str
    pairs: int
    disagreement: float
    mean_difference: float


@dataclass(frozen=True, slots=True)
class ShadowComparison:
    """Hold the comparison of all pairs; `mean_difference` is candidate - champion, `psi` is of the scores.

    `unscored` pairs lack a finite score of either model and count as nothing else. Of the pairs on which the two
    disagree, `raised` were positive only for the candidate, `lowered` only for the champion. NaN where there was no pair.
    """

    pairs: int
    unscored: int
    agreement: float
    raised: int
    lowered: int
    mean_difference: float
    mean_absolute_difference: float
    psi: float
    slices: tuple[SliceDisagreement, ...]


def compare_pairs(
    pairs: pl.DataFrame, threshold: float = 0.5, *, slice_by: Sequence[str] = (), slices_max: int = 10
) -> ShadowComparison:
    """Compare the scores of both models pair by pair.

    What a caller sent again is one pair of the same two models, the worst one (`predictions.retries`).

    Args:
        pairs: Columns score_champion and score_candidate in [0, 1], those of `slice_by`, and as far as they are there those
            that name a pair: request_id, row, champion, candidate.
        threshold: A score at or above it is a positive answer, in [0, 1].
        slice_by: Columns whose values are slices, each ranked apart (a null is a slice of its own).
        slices_max: How many slices to keep, the most disagreement first.

    Returns:
        The comparison.

    Raises:
        InputError: A column is missing, or `threshold` lies outside [0, 1].

    Example:
        >>> pairs = pl.DataFrame({"score_champion": [0.2, 0.4, 0.7], "score_candidate": [0.3, 0.6, 0.8]})
        >>> found = compare_pairs(pairs)
        >>> round(found.agreement, 3), found.raised, found.lowered, round(found.mean_difference, 3)
        (0.667, 1, 0, 0.133)
    """
    if not 0.0 <= threshold <= 1.0:
        raise InputError(f"`threshold` must lie in [0, 1]; got {threshold!r}")
    check_columns(pairs, ["score_champion", "score_candidate", *slice_by], "a table of pairs")
    champion, candidate = (
        pl.col("score_champion").cast(pl.Float64),
        pl.col("score_candidate").cast(pl.Float64),
    )
    pairs = keep_worst(pairs, PAIR_WITHIN)
    scored = pairs.filter(champion.is_finite().fill_null(False), candidate.is_finite().fill_null(False))
    unscored = pairs.height - scored.height
    if scored.height == 0:
        return ShadowComparison(0, unscored, math.nan, 0, 0, math.nan, math.nan, math.nan, ())
    judged = scored.with_columns(
        difference=candidate - champion,
        raised=(candidate >= threshold) & (champion < threshold),
        lowered=(candidate < threshold) & (champion >= threshold),
    )
    raised, lowered = int(judged["raised"].sum()), int(judged["lowered"].sum())
    psi = drift.psi(scored["score_champion"].to_numpy(), scored["score_candidate"].to_numpy())
    return ShadowComparison(
        pairs=judged.height,
        unscored=unscored,
        agreement=1.0 - (raised + lowered) / judged.height,
        raised=raised,
        lowered=lowered,
        mean_difference=_mean(judged["difference"]),
        mean_absolute_difference=_mean(judged["difference"].abs()),
        psi=float(psi.statistic),
        slices=_slices(judged, slice_by)[:slices_max],
    )


def _slices(judged: pl.DataFrame, slice_by: Sequence[str]) -> tuple[SliceDisagreement, ...]:
    found = []
    for column in slice_by:
        table = judged.group_by(pl.col(column).cast(pl.String).alias("value")).agg(
            pairs=pl.len(),
            disagreement=(pl.col("raised") | pl.col("lowered")).mean(),
            mean_difference=pl.col("difference").mean(),
        )
        for value, pairs, disagreement, difference in table.filter(
            pl.col("pairs") >= SLICE_PAIRS_MIN
        ).iter_rows():
            name = "(missing)" if value is None else value
            found.append(SliceDisagreement(column, name, pairs, disagreement, difference))
    return tuple(sorted(found, key=lambda each: (-each.disagreement, -each.pairs, each.column, each.value)))


def _mean(values: pl.Series) -> float:
    mean = values.mean()
    assert isinstance(mean, float), "the mean of one or more floats is a float"
    return mean
