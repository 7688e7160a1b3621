import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidewheel.errors import InputError
from tidewheel.evidence.records import Plan
from tidewheel.model.training import train
from tidewheel.predictions.log import append_batch, read_log, read_pairs
from tidewheel.predictions.records import PAIR_SCHEMA, PREDICTION_SCHEMA
from tidewheel.project.settings import Candidate, Features
from tidewheel.rollout.outcomes import outcomes_from_log
from tidewheel.rollout.routing import router_of
from tidewheel.serving.batch import BatchAnswer, score_batch
from tidewheel.serving.failures import ERROR_LENGTH_MAX

WALL = datetime(2026, 1, 1, tzinfo=UTC)
SOLO = Plan("flights", 3, champion="a")
SHADOW = replace(SOLO, candidate="b", share_shadow=1.0, salt="april")
CANARY = replace(SHADOW, generation=4, share_canary=0.1)


class Model:
    """Score `factor * x`; fail on rows whose x is in `raises`, give NaN on those in `strange`."""

    def __init__(self, factor: float, *, raises: Sequence[float] = (), strange: Sequence[float] = ()) -> None:
        self.factor, self.raises, self.strange = factor, raises, strange
        self.tables: list[int] = []
        self.rows = 0

    def scores(self, columns: Any) -> np.ndarray:
        self.tables.append(len(columns["x"]))
        return self._scores(np.asarray(columns["x"], dtype=float))

    def score_rows(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        self.rows += len(rows)
        return self._scores(np.array([row["x"] for row in rows], dtype=float))

    def _scores(self, x: np.ndarray) -> np.ndarray:
        if np.isin(x, self.raises).any():
            raise ValueError("no such x")
        return np.where(np.isin(x, self.strange), np.nan, self.factor * x)


def rows(n: int, keys: int = 1000) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [f"r{index}" for index in range(n)],
            "flight": [f"UA{index % keys}" for index in range(n)],
            "at": [datetime(2013, 4, 1, tzinfo=UTC) + timedelta(seconds=index) for index in range(n)],
            "x": np.arange(n) / n,
            "dest": ["IAH", None] * (n // 2) + ["IAH"] * (n % 2),
            "late": [True] * n,
        }
    )


def answer(frame: pl.DataFrame, plan: Plan, packages: Mapping[str, Any], **rest: Any) -> BatchAnswer:
    given = {"row_id": "id", "key": "flight", "event_time": "at", "features": ["x", "dest"], "wall_utc": WALL}
    return score_batch(frame, plan=plan, packages=packages, **{**given, **rest})


def test_a_champion_alone_answers_every_row_in_order() -> None:
    frame, champion = rows(100), Model(0.5)
    found = answer(frame, SOLO, {"a": champion})
    assert found.predictions.schema == PREDICTION_SCHEMA
    assert found.predictions["request_id"].to_list() == frame["id"].to_list()
    assert found.predictions["score"].to_list() == (frame["x"] * 0.5).to_list()
    assert found.predictions.row(1, named=True) == {
        "request_id": "r1",
        "row": 0,
        "key": "UA1",
        "at_utc": datetime(2013, 4, 1, 0, 0, 1, tzinfo=UTC),
        "wall_utc": WALL,
        "generation": 3,
        "arm": "champion",
        "assigned_model": "a",
        "model_version": "a",
        "rung": "champion",
        "score": 0.005,
        "latency_ms": None,
        "error": None,
        "source": "batch",
        "inputs": '{"x":0.01,"dest":null}',
    }
    assert found.pairs.schema == PAIR_SCHEMA
    assert found.pairs.height == 0
    assert champion.tables == [100]
    assert champion.rows == 0


def test_arms_are_those_of_the_router_and_only_compared_arms_are_timed() -> None:
    frame, champion, candidate = rows(5000), Model(0.5), Model(0.25)
    found = answer(frame, CANARY, {"a": champion, "b": candidate}).predictions
    assert found["arm"].to_list() == router_of(CANARY).arms(frame["flight"])
    counts = Counter(found["arm"])
    assert set(counts) == {"champion", "candidate", "baseline"}
    expected = {"champion": ("a", 0.5), "candidate": ("b", 0.25), "baseline": ("a", 0.5)}
    for arm, (model, factor) in expected.items():
        part = found.filter(pl.col("arm") == arm)
        x = frame.filter(pl.Series(found["arm"] == arm))["x"]
        assert set(part.select("assigned_model", "model_version", "rung").rows()) == {(model, model, arm)}
        assert part["score"].to_list() == (x * factor).to_list()
        assert part["latency_ms"].null_count() == (part.height if arm == "champion" else 0)
    # One row more for each arm: the first call, which is not timed.
    assert (champion.rows, candidate.rows) == (counts["baseline"] + 1, counts["candidate"] + 1)


def test_pairs_are_of_shadowed_keys_of_the_champions_arm() -> None:
    frame = rows(5000)
    for plan in (SHADOW, CANARY, replace(CANARY, share_shadow=0.5), replace(CANARY, share_shadow=0.0)):
        router = router_of(plan)
        found = answer(frame, plan, {"a": Model(0.5), "b": Model(0.25)})
        shadowed = frame.filter(
            [router.arm(key) == "champion" and router.is_shadowed(key) for key in frame["flight"]]
        )
        assert found.pairs.schema == PAIR_SCHEMA
        assert found.pairs["request_id"].to_list() == shadowed["id"].to_list()
        assert found.pairs["score_champion"].to_list() == (shadowed["x"] * 0.5).to_list()
        assert found.pairs["score_candidate"].to_list() == (shadowed["x"] * 0.25).to_list()
        assert set(found.pairs.select("champion", "candidate", "generation", "error").rows()) <= {
            ("a", "b", plan.generation, None)
        }


def first_of(arm: str, frame: pl.DataFrame, n: int = 2) -> list[float]:
    """Give x of the first rows of an arm."""
    return frame.filter([router_of(CANARY).arm(key) == arm for key in frame["flight"]])["x"].head(n).to_list()


@pytest.mark.parametrize(
    ("arm", "broken", "rungs"),
    [
        ("candidate", ["b"], ["champion"]),
        ("candidate", ["a", "b"], ["previous"]),
        ("candidate", ["a", "b", "p"], ["heuristic"]),
        ("candidate", ["a", "b", "p", "heuristic"], [None]),
        ("baseline", ["a"], ["previous"]),
        ("champion", ["a"], ["previous"]),
        ("champion", ["a", "p"], ["heuristic"]),
        ("champion", ["a", "p", "heuristic"], [None]),
    ],
)
@pytest.mark.parametrize("way", ["raises", "strange"])
def test_the_ladder_answers_and_the_assigned_arm_keeps_the_failure(
    arm: str, broken: list[str], rungs: list[str | None], way: str
) -> None:
    frame = rows(2000)
    bad = first_of(arm, frame)
    models = {
        name: Model(factor, **({way: bad} if name in broken else {}))  # type: ignore[arg-type]
        for name, factor in {"a": 0.5, "b": 0.25, "p": 0.125, "heuristic": 0.0625}.items()
    }
    plan = replace(CANARY, previous="p")
    found = answer(frame, plan, models, heuristic=models["heuristic"].scores).predictions
    hit = found.filter(pl.Series(frame["x"].is_in(bad)))
    assert hit["arm"].to_list() == [arm] * 2
    assert hit["rung"].unique().to_list() == rungs
    why = f"{arm}: ValueError: no such x" if way == "raises" else f"{arm}: non-finite score nan"
    assert hit["error"].unique().to_list() == [why]
    answered = {"champion": "a", "previous": "p", "heuristic": "heuristic", None: None}[rungs[0]]
    assert hit["model_version"].unique().to_list() == [answered]
    assert hit["assigned_model"].unique().to_list() == ["b" if arm == "candidate" else "a"]
    expected = [None if answered is None else models[answered].factor * x for x in bad]
    assert hit["score"].to_list() == expected
    assert found.filter(pl.Series(~frame["x"].is_in(bad)))["error"].null_count() == found.height - 2


def test_pairs_say_who_failed() -> None:
    frame = rows(2000)
    mine, theirs = first_of("champion", frame, 4)[:2], first_of("champion", frame, 4)[2:]
    packages = {"a": Model(0.5, raises=mine), "b": Model(0.25, strange=theirs)}
    pairs = answer(frame, CANARY, packages, heuristic=Model(0.1).scores).pairs
    found = dict(
        zip(
            pairs["request_id"],
            pairs.select("score_champion", "score_candidate", "error").rows(),
            strict=True,
        )
    )
    names = dict(zip(frame["x"], frame["id"], strict=True))
    for x in mine:
        assert found[names[x]] == (None, 0.25 * x, "champion: ValueError: no such x")
    for x in theirs:
        assert found[names[x]] == (0.5 * x, None, "candidate: non-finite score nan")
    assert pairs["error"].null_count() == pairs.height - 4


def test_a_table_that_fails_is_tried_row_by_row() -> None:
    champion = Model(0.5, raises=[0.0, 0.5])
    found = answer(rows(100), SOLO, {"a": champion}).predictions
    assert found["score"].null_count() == 2
    assert champion.tables == [100] + [1] * 100


def test_a_model_that_gives_the_wrong_number_of_scores_fails() -> None:
    class Short(Model):
        def scores(self, columns: Any) -> np.ndarray:
            return super().scores(columns)[:-1]

    found = answer(rows(3), SOLO, {"a": Short(1.0)}, heuristic=Model(0.1).scores).predictions
    assert found["rung"].to_list() == ["heuristic"] * 3
    assert (
        found["error"][0] == "champion: InputError: a model must give one score for each row; got shape (0,)"
    )


def test_long_errors_are_cut() -> None:
    class Wordy(Model):
        def scores(self, columns: Any) -> np.ndarray:
            raise ValueError("x" * 1000)

    (error,) = answer(rows(1), SOLO, {"a": Wordy(1.0)}).predictions["error"]
    assert len(error) == len("champion: ") + ERROR_LENGTH_MAX


def ticking(steps_s: Sequence[float]) -> Iterator[float]:
    """Give a clock's readings: before and after each call, `steps_s` apart in turn."""
    now = 0.0
    while True:
        for step in steps_s:
            yield now
            now += step
            yield now


def test_latency_is_that_of_one_row_and_too_slow_is_a_failure() -> None:
    frame = rows(400)
    clock = ticking([0.002, 0.9])
    packages = {"a": Model(0.5), "b": Model(0.25)}
    found = answer(frame, CANARY, packages, timeout_ms=500.0, timer=lambda: next(clock)).predictions
    timed = found.filter(pl.col("arm") != "champion")
    assert timed["latency_ms"].round(6).to_list() == [2.0, 900.0] * (timed.height // 2) + [2.0] * (
        timed.height % 2
    )
    slow = timed.filter(pl.col("latency_ms") > 500)
    assert set(slow["rung"]) == {"champion"}
    assert set(slow["error"]) == {f"{arm}: no answer within 500 ms" for arm in ("candidate", "baseline")}
    assert timed.filter(pl.col("latency_ms") < 500)["error"].null_count() == timed.height - slow.height


def test_the_guards_can_count_it(tmp_path: Any) -> None:
    frame = rows(5000)
    bad = first_of("candidate", frame, 3)
    found = answer(frame, CANARY, {"a": Model(0.5), "b": Model(0.25, strange=bad)})
    append_batch(tmp_path, found.predictions, found.pairs)
    log = read_log(tmp_path)
    assert log.schema == found.predictions.schema
    assert read_pairs(tmp_path).equals(found.pairs)
    latest = outcomes_from_log(log, candidate="b", champion="a", slow_ms=1e6, from_generation=4).latest
    arms = Counter(found.predictions["arm"])
    assert latest.candidate.n_requests.sum() == latest.candidate.n_timed.sum() == arms["candidate"]
    assert latest.baseline.n_requests.sum() == latest.baseline.n_timed.sum() == arms["baseline"]
    assert (latest.candidate.n_errors.sum(), latest.candidate.n_non_finite.sum()) == (3, 3)
    assert (latest.baseline.n_errors.sum(), latest.candidate.n_slow.sum()) == (0, 0)


def test_a_row_without_a_key_is_routed_by_its_id_and_naive_times_are_utc() -> None:
    frame = rows(4).with_columns(
        flight=pl.Series(["UA1", None, None, "UA1"]),
        at=pl.col("at").dt.replace_time_zone(None).dt.cast_time_unit("ns"),
    )
    found = answer(frame, CANARY, {"a": Model(0.5), "b": Model(0.25)}).predictions
    assert found["key"].to_list() == ["UA1", "r1", "r2", "UA1"]
    assert found["at_utc"].to_list() == rows(4)["at"].to_list()


def test_no_row_gives_empty_tables() -> None:
    found = answer(rows(2).head(0), CANARY, {"a": Model(0.5), "b": Model(0.25)}, heuristic=Model(0.1).scores)
    assert (found.predictions.schema, found.pairs.schema) == (PREDICTION_SCHEMA, PAIR_SCHEMA)
    assert found.predictions.height == found.pairs.height == 0


@pytest.mark.parametrize(
    ("frame", "plan", "packages", "text"),
    [
        (rows(2).drop("x"), SOLO, ["a"], "`frame` must have the column `x`; got id, flight, at, dest, late"),
        (rows(2).drop("flight"), SOLO, ["a"], "`frame` must have the column `flight`; got id"),
        (rows(2).with_columns(id=pl.lit(None)), SOLO, ["a"], "`id` must name every row; got 2 nulls"),
        (rows(2).with_columns(at=pl.lit("noon")), SOLO, ["a"], "`at` must hold times; got String"),
        (rows(2), SHADOW, ["a"], "`packages` must hold b, which the plan names; got a"),
        (rows(2), replace(SOLO, share_canary=0.7), ["a"], r"`share_canary` must lie in \[0, 0.5\]"),
    ],
    ids=["no feature", "no key", "null id", "no time", "no candidate", "share"],
)
def test_what_cannot_be_answered_is_refused(
    frame: pl.DataFrame, plan: Plan, packages: list[str], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        answer(frame, plan, {name: Model(0.5) for name in packages})


def test_real_models_say_the_same_in_every_arm() -> None:
    """The table of the champion's arm and the single rows of the others go through one encoder and one scorer."""
    frame = rows(600, keys=600).with_columns(late=pl.col("x") > 0.4)
    features = Features(numeric=("x",), categorical=("dest",))
    model = train(Candidate(name="simple", family="logistic"), features, frame, "late", 0).predictor
    found = answer(frame, CANARY, {"a": model, "b": model}).predictions
    assert found["error"].null_count() == 600
    assert len(set(found["arm"])) == 3
    assert found["score"].to_list() == model.scores(frame).tolist()
    assert json.loads(found["inputs"][0]) == {"x": 0.0, "dest": "IAH"}


def test_a_month_takes_about_a_second() -> None:
    frame = rows(30_000)
    began = time.process_time()
    answer(frame, CANARY, {"a": Model(0.5), "b": Model(0.25)})
    assert time.process_time() - began < 3.0
