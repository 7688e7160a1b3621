"""Answer a table of rows as the server would: the same plan, routing, arms, shadow and fallback, without a server.

What belongs here: who answers each row, and what of it goes into the log. What does not: writing the log
(`predictions.log`), loading packages (`model.packaging`).

Rows of the champion's arm are scored all at once. The time of that call divided by its rows is no request's latency, so
theirs stays unknown; rows of the candidate's and the baseline's arm are scored one by one, in the order of the table, and
timed: that is what the guard for slowness compares.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidewheel.errors import InputError
from tidewheel.evidence.records import Plan
from tidewheel.predictions.records import PAIR_SCHEMA, PREDICTION_SCHEMA
from tidewheel.rollout.routing import Arm, assigned_model, router_of
from tidewheel.serving.failures import words

HEURISTIC = "heuristic"
"""Stands in the log for the fallback: as the model that answered, and as its rung."""

_UTC = pl.Datetime("us", "UTC")

Scores = NDArray[np.float64]


class Scoring(Protocol):
    """Score rows, as `model.packaging.Package` does."""

    def scores(self, columns: Any, /) -> Scores:
        """Give one score for each row of a frame."""

    def score_rows(self, rows: Sequence[Mapping[str, Any]], /) -> Scores:
        """Give one score for each request."""


TableScorer = Callable[[pl.DataFrame], Scores]
"""Gives one score for each row of a frame of features."""


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """Hold what was answered, as `prediction_log.append_batch` takes it; predictions keep the order of the rows."""

    predictions: pl.DataFrame
    pairs: pl.DataFrame


@dataclass(frozen=True, slots=True)
class _Rung:
    """A step of the ladder: its name, the model it logs, and how it scores a frame."""

    name: str
    model: str
    scores: TableScorer


class _Answers:
    """What is known of each row so far: it is open until a rung has given it a finite score."""

    def __init__(self, n_rows: int) -> None:
        self.score: Scores = np.full(n_rows, math.nan)
        self.latency_ms: Scores = np.full(n_rows, math.nan)
        self.rung: list[str | None] = [None] * n_rows
        self.model: list[str | None] = [None] * n_rows
        self.error: list[str | None] = [None] * n_rows

    def put(self, index: int, rung: str, model: str, score: float, error: str | None) -> None:
        """Take what a rung said of a row; the error of the first rung that failed is kept."""
        if error is None:
            self.score[index], self.rung[index], self.model[index] = score, rung, model
        elif self.error[index] is None:
            self.error[index] = f"{rung}: {error}"


def score_batch(
    frame: pl.DataFrame,
    *,
    plan: Plan,
    packages: Mapping[str, Scoring],
    row_id: str,
    key: str,
    event_time: str,
    features: Sequence[str],
    wall_utc: datetime,
    heuristic: TableScorer | None = None,
    timeout_ms: float = math.inf,
    timer: Callable[[], float] = time.perf_counter,
) -> BatchAnswer:
    """Answer every row of a table by a plan; each row is a request of its own.

    The ladder is the server's: the assigned model, then the champion, the previous champion, the heuristic. A rung fails on
    a row if it raises or if its score is not finite; if it raises on many rows at once, each is tried alone. `error` is
    why the assigned model failed, whoever answered in the end; if nobody did, score, model and rung are null. Rows of the
    champion's arm whose keys are shadowed give pairs.

    Args:
        frame: Columns `row_id`, `key`, `event_time` and `features`. A row without a key is routed by its id.
        plan: Who answers.
        packages: By model id: the champion, the candidate if there is one, the previous champion if it is to help out.
        row_id: Column that becomes the request's id.
        key: Column of the routing key.
        event_time: Column of the time of the event; without a zone it is taken for UTC.
        features: Columns that the models see and that are logged as inputs.
        wall_utc: The time now.
        heuristic: The last rung.
        timeout_ms: An answer of the candidate's or the baseline's arm that took longer is a failure, as over HTTP.
        timer: A clock in seconds that never goes back.

    Raises:
        InputError: A column is missing, `row_id` has a null, `packages` lacks a model of the plan, or a share of the plan is
        out of range.

    Cost: some 5 us for each row of the champion's arm, 30 us for each other row, beside the models' own time.
    """
    envelope = _envelope(frame, row_id, key, event_time, features)
    inputs = frame.select(features)
    _check_packages(plan, packages)
    router = router_of(plan)
    keys = envelope["key"].to_list()
    arms = router.arms(keys)
    answers = _Answers(frame.height)
    _score_timed(answers, inputs, arms, plan, packages, timeout_ms, timer)
    for rung in _ladder(plan, packages, heuristic):
        _score_open(answers, inputs, rung)
    predictions = _predictions(envelope, answers, arms, plan, wall_utc)
    shadowed = [
        index for index, arm in enumerate(arms) if arm == "champion" and router.is_shadowed(keys[index])
    ]
    if plan.candidate is None or not shadowed:
        return BatchAnswer(predictions, pl.DataFrame(schema=PAIR_SCHEMA))
    said = _try_scores(packages[plan.candidate].scores, inputs[shadowed])
    return BatchAnswer(predictions, _pairs(predictions[shadowed], *said, plan))


def _envelope(
    frame: pl.DataFrame, row_id: str, key: str, event_time: str, features: Sequence[str]
) -> pl.DataFrame:
    """Give what a request says beside its row, and the row as JSON, under the names of the log."""
    for name in (row_id, key, event_time, *features):
        if name not in frame.columns:
            raise InputError(f"`frame` must have the column `{name}`; got {', '.join(frame.columns)}")
    if frame[row_id].null_count():
        raise InputError(f"`{row_id}` must name every row; got {frame[row_id].null_count()} nulls")
    time_type = frame.schema[event_time]
    if not isinstance(time_type, pl.Datetime):
        raise InputError(f"`{event_time}` must hold times; got {time_type}")
    at_utc = pl.col(event_time) if time_type.time_zone else pl.col(event_time).dt.replace_time_zone("UTC")
    request_id = pl.col(row_id).cast(pl.String)
    return frame.select(
        request_id=request_id,
        key=pl.col(key).cast(pl.String).fill_null(request_id),
        at_utc=at_utc.cast(_UTC),
        inputs=pl.struct(features).struct.json_encode(),
    )


def _check_packages(plan: Plan, packages: Mapping[str, Scoring]) -> None:
    for model in (plan.champion, plan.candidate):
        if model is not None and model not in packages:
            raise InputError(f"`packages` must hold {model}, which the plan names; got {', '.join(packages)}")


def _ladder(plan: Plan, packages: Mapping[str, Scoring], heuristic: TableScorer | None) -> tuple[_Rung, ...]:
    """Give the rungs below the candidate's and the baseline's arm, in order."""
    rungs = [_Rung("champion", plan.champion, packages[plan.champion].scores)]
    if plan.previous is not None and plan.previous in packages:
        rungs.append(_Rung("previous", plan.previous, packages[plan.previous].scores))
    if heuristic is not None:
        rungs.append(_Rung(HEURISTIC, HEURISTIC, heuristic))
    return tuple(rungs)


def _score_timed(
    answers: _Answers,
    inputs: pl.DataFrame,
    arms: Sequence[Arm],
    plan: Plan,
    packages: Mapping[str, Scoring],
    timeout_ms: float,
    timer: Callable[[], float],
) -> None:
    """Score the rows of the candidate's and the baseline's arm one by one, taking turns as the rows do."""
    warm: set[Arm] = set()
    for index, arm in enumerate(arms):
        if arm == "champion":
            continue
        model = assigned_model(plan, arm)
        rows = [inputs.row(index, named=True)]
        if arm not in warm:
            # A first call fills caches; a server has replayed golden requests by then.
            with suppress(Exception):
                packages[model].score_rows(rows)
            warm.add(arm)
        score, error = math.nan, None
        began = timer()
        try:
            score = float(packages[model].score_rows(rows)[0])
        except Exception as failure:
            error = words(failure)
        latency_ms = (timer() - began) * 1000.0
        if error is None and latency_ms > timeout_ms:
            error = f"no answer within {timeout_ms:g} ms"
        answers.latency_ms[index] = latency_ms
        answers.put(index, arm, model, score, error or _non_finite(score))


def _score_open(answers: _Answers, inputs: pl.DataFrame, rung: _Rung) -> None:
    """Let a rung score the rows that nobody has answered yet, all at once."""
    rows = [index for index, name in enumerate(answers.rung) if name is None]
    if rows:
        scores, errors = _try_scores(rung.scores, inputs[rows])
        for index, score, error in zip(rows, scores.tolist(), errors, strict=True):
            answers.put(index, rung.name, rung.model, score, error)


def _try_scores(scores: TableScorer, inputs: pl.DataFrame) -> tuple[Scores, list[str | None]]:
    """Score a frame; give the scores, NaN where there is none, and for each row why."""
    try:
        found = np.asarray(scores(inputs), dtype=np.float64)
        if found.shape != (inputs.height,):
            raise InputError(f"a model must give one score for each row; got shape {found.shape}")
    except Exception as failure:
        if inputs.height == 1:
            return np.array([math.nan]), [words(failure)]
        each = [_try_scores(scores, inputs[index : index + 1]) for index in range(inputs.height)]
        return np.concatenate([score for score, _ in each]), [error for _, (error,) in each]
    if np.isfinite(found).all():
        return found, [None] * found.size
    return found, [_non_finite(score) for score in found.tolist()]


def _non_finite(score: float) -> str | None:
    return None if math.isfinite(score) else f"non-finite score {score}"


def _predictions(
    envelope: pl.DataFrame, answers: _Answers, arms: Sequence[Arm], plan: Plan, wall_utc: datetime
) -> pl.DataFrame:
    assigned = {arm: assigned_model(plan, arm) for arm in set(arms)}
    answered = envelope.with_columns(
        row=pl.lit(0, pl.Int64),
        wall_utc=pl.lit(wall_utc).cast(_UTC),
        generation=pl.lit(plan.generation, pl.Int64),
        arm=pl.Series(arms, dtype=pl.String),
        assigned_model=pl.Series([assigned[arm] for arm in arms], dtype=pl.String),
        model_version=pl.Series(answers.model, dtype=pl.String),
        rung=pl.Series(answers.rung, dtype=pl.String),
        score=pl.Series(answers.score).fill_nan(None),
        latency_ms=pl.Series(answers.latency_ms).fill_nan(None),
        error=pl.Series(answers.error, dtype=pl.String),
        source=pl.lit("batch"),
    )
    return answered.select(*PREDICTION_SCHEMA)


def _pairs(
    predictions: pl.DataFrame, candidate_scores: Scores, candidate_errors: Sequence[str | None], plan: Plan
) -> pl.DataFrame:
    """Pair the champion's own scores with the candidate's; what another rung said is not the champion's."""
    is_own = pl.col("rung") == "champion"
    candidate_error = pl.Series(candidate_errors, dtype=pl.String)
    return predictions.select(
        "request_id",
        "row",
        "key",
        "at_utc",
        "wall_utc",
        "generation",
        champion=pl.lit(plan.champion),
        candidate=pl.lit(plan.candidate),
        score_champion=pl.when(is_own).then("score"),
        # Infinity would not survive JSON over HTTP; here it is left out likewise.
        score_candidate=pl.Series(
            np.where(np.isfinite(candidate_scores), candidate_scores, math.nan)
        ).fill_nan(None),
        error=pl.coalesce("error", "candidate: " + candidate_error),
    )
