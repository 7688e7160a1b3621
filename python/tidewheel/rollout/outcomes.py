"""Count what came of a rollout's requests, by arm and routing key.

What belongs here: the counts and how they are taken from a prediction log. What does not: bounds (`rollout.rates`) and
verdicts (`rollout.guards`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidewheel.errors import InputError
from tidewheel.predictions.retries import merge_sends
from tidewheel.rollout.rates import Values, look_sizes

Counts = NDArray[np.int64]

_COLUMNS = {
    "key": pl.String,
    "arm": pl.String,
    "assigned_model": pl.String,
    "model_version": pl.String,
    "score": pl.Float64,
    "latency_ms": pl.Float64,
    "error": pl.String,
    "generation": pl.Int64,
}


@dataclass(frozen=True, slots=True)
class ArmOutcomes:
    """Hold what was counted in one arm: arrays of shape (n_keys,), int64, one place for each key.

    `n_timed` are the requests whose latency is known; `n_slow` of them were slow.
    """

    n_requests: Counts
    n_errors: Counts
    n_timed: Counts
    n_slow: Counts
    n_non_finite: Counts

    @property
    def n_keys(self) -> int:
        """Count the keys."""
        return int(self.n_requests.size)

    def shares(self, metric: str) -> Values:
        """Give each key's share of bad requests, shape (at most n_keys,), in [0, 1]: each key counts once.

        The key, not the request, is what the hash draws. Requests of one key resemble each other; a test by
        request takes 20 alike for 20 independent ones.
        """
        bad, of = {
            "error_rate": (self.n_errors, self.n_requests),
            "slow_rate": (self.n_slow, self.n_timed),
            "non_finite_rate": (self.n_non_finite, self.n_requests),
        }[metric]
        known = of > 0
        return bad[known] / of[known]


@dataclass(frozen=True, slots=True)
class Look:
    """Hold both arms as they stood when `n_requests` requests had come to them."""

    n_requests: int
    candidate: ArmOutcomes
    baseline: ArmOutcomes


@dataclass(frozen=True, slots=True)
class CanaryOutcomes:
    """Hold the looks that the requests so far allow (see `rates.look_sizes`), and everything up to now."""

    looks: tuple[Look, ...]
    latest: Look


def outcomes_from_log(
    log: pl.DataFrame, *, candidate: str, champion: str, slow_ms: float, from_generation: int = 0
) -> CanaryOutcomes:
    """Count a prediction log by arm and key, at every look that it allows.

    A request counts for the arm it was *assigned* to. It failed if it carries an error, or if another model than
    the assigned one answered; it was slow if it took longer than `slow_ms`; it was non-finite if its score is NaN
    or infinite or its error says "non-finite". Only rows of the arms "candidate" and "baseline" count, so that
    both are read at the same time and behind the same handle.

    What a caller sent again counts once in each arm, see `predictions.retries`: it failed, was slow or non-finite if any of
    its sends was, and it stands where its first send stands, with that one's key. So a retry that comes after a look can
    make this look worse, and cannot move any other request from one look to the next.

    Args:
        log: Columns key, arm, assigned_model, model_version, score, latency_ms, error, generation, request_id and
            wall_utc (or, where that is missing, at_utc), which orders the requests; and row where requests have several.
        candidate: Model of the candidate arm.
        champion: Model of the baseline arm.
        slow_ms: Latency above which a request was slow.
        from_generation: Generation of the plan with which this rollout began; earlier rows belong to another one.

    Returns:
        The looks in order, and all requests so far. The same log always gives the same, however often it is asked.

    Raises:
        InputError: A column is missing.
    """
    order = "wall_utc" if "wall_utc" in log.columns else "at_utc"
    check_columns(log, [*_COLUMNS, "request_id", order], "a prediction log")
    row = [name for name in ("row",) if name in log.columns]
    arms = (
        log.lazy()
        .with_columns(pl.col(name).cast(kind) for name, kind in _COLUMNS.items())
        .filter(
            pl.col("generation") >= from_generation,
            ((pl.col("arm") == "candidate") & (pl.col("assigned_model") == candidate))
            | ((pl.col("arm") == "baseline") & (pl.col("assigned_model") == champion)),
        )
        .sort(order, "request_id", *row, "key")
        .select(
            "arm",
            "request_id",
            *row,
            "key",
            is_error=pl.col("error").is_not_null()
            | pl.col("model_version").ne_missing(pl.col("assigned_model")),
            is_timed=pl.col("latency_ms").is_not_null(),
            is_slow=pl.col("latency_ms").fill_null(0.0) > slow_ms,
            is_non_finite=(pl.col("score").is_not_null() & ~pl.col("score").is_finite())
            | pl.col("error").fill_null("").str.contains("non-finite", literal=True),
        )
        .pipe(merge_sends, ("is_error", "is_timed", "is_slow", "is_non_finite"), within=["arm"])
        .collect()
    )
    looks = tuple(_look(arms.head(size)) for size in look_sizes(arms.height))
    return CanaryOutcomes(looks, _look(arms))


def _look(rows: pl.DataFrame) -> Look:
    sums = rows.group_by("arm", "key").agg(
        n_requests=pl.len().cast(pl.Int64),
        n_errors=pl.col("is_error").sum().cast(pl.Int64),
        n_timed=pl.col("is_timed").sum().cast(pl.Int64),
        n_slow=pl.col("is_slow").sum().cast(pl.Int64),
        n_non_finite=pl.col("is_non_finite").sum().cast(pl.Int64),
    )
    # Sums of floats depend on their order; the order of groups is arbitrary.
    sums = sums.sort("key")
    return Look(rows.height, _arm(sums, "candidate"), _arm(sums, "baseline"))


def _arm(sums: pl.DataFrame, arm: str) -> ArmOutcomes:
    own = sums.filter(pl.col("arm") == arm)
    return ArmOutcomes(
        n_requests=own["n_requests"].to_numpy(),
        n_errors=own["n_errors"].to_numpy(),
        n_timed=own["n_timed"].to_numpy(),
        n_slow=own["n_slow"].to_numpy(),
        n_non_finite=own["n_non_finite"].to_numpy(),
    )


def check_columns(frame: pl.DataFrame, columns: Iterable[str], what: str) -> None:
    """Refuse a frame that lacks one of `columns`.

    Raises:
        InputError: Names the first missing column and those that are there.
    """
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(f"{what} must have the column `{missing[0]}`; got {', '.join(frame.columns)}")
