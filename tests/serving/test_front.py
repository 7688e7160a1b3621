"""Answering without Ray: the ladder, the arms, the lease, the shadow, the swap, what the log gets."""

import asyncio
import json
import math
import shutil
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deltalake.exceptions import DeltaError

from served_models import Models, NotFinite, load_raising, plan_of
from tidewheel.errors import InputError, IntegrityError
from tidewheel.evidence.records import Plan
from tidewheel.model.packaging import load_package
from tidewheel.predictions.log import PredictionLog, read_log, read_pairs
from tidewheel.rollout.routing import Arm, arm_for
from tidewheel.serving.control_ray import contract_of
from tidewheel.serving.front import Answer, Front, FrontOptions
from tidewheel.serving.rungs import Row

ROW = {"load": 0.3, "size": 4.0, "shop": "north"}


def heuristic(columns: Any) -> Any:
    return np.full(len(columns["load"]), 0.25)


def broken(columns: Any) -> Any:
    raise ValueError("no rule for this")


class Arms:
    """Stand in for the applications of the two arms: answers 0.5, or as told."""

    def __init__(self) -> None:
        self.asked: list[tuple[Arm, int]] = []
        self.delay_s = 0.0
        self.tell: Callable[[Arm, Sequence[Row]], Coroutine[Any, Any, Sequence[float]]] = self.half

    async def half(self, arm: Arm, rows: Sequence[Row]) -> Sequence[float]:
        return [0.5] * len(rows)

    async def __call__(self, arm: Arm, plan: Plan, rows: Sequence[Row]) -> Sequence[float]:
        self.asked.append((arm, len(rows)))
        await asyncio.sleep(self.delay_s)
        return await self.tell(arm, rows)


class Place:
    """One front with a log of its own, and everything it can be asked."""

    def __init__(self, folder: Path, plan: Plan, **changes: Any) -> None:
        given = {"load": load_package, "heuristic": heuristic, **changes}
        options = FrontOptions("orders", "", str(folder), **given.pop("options", {}))
        self.folder = folder
        self.arms = Arms()
        self.log = PredictionLog(folder, "test", math.inf)
        self.front = Front(options, "test", plan, self.log, self.arms, given["load"], given["heuristic"])

    async def ask(self, key: str = "anna", rows: Sequence[Any] = (ROW,), **more: Any) -> dict[str, Any]:
        answer = await self.answer({"inputs": list(rows), "key": key, **more})
        assert answer.status == 200, answer.body
        told: dict[str, Any] = json.loads(answer.body)
        return told

    async def answer(self, body: dict[str, Any]) -> Answer:
        return await self.front.predict(json.dumps(body).encode())

    def logged(self) -> list[dict[str, Any]]:
        self.log.flush()
        return read_log(self.folder).sort("wall_utc", "row").to_dicts()


@pytest.fixture
def open_place(tmp_path: Path, models: Models) -> Any:
    opened: list[Place] = []

    def make(plan: Plan | None = None, **changes: Any) -> Place:
        place = Place(tmp_path / "log", plan or plan_of(models.simple), **changes)
        opened.append(place)
        return place

    yield make
    for place in opened:
        place.front.close()


def key_of(plan: Plan, arm: Arm) -> str:
    return next(key for key in map(str, range(1000)) if arm_for(plan, key) == arm)


async def canary(models: Models, open_place: Any, **changes: Any) -> tuple[Place, Plan]:
    plan = plan_of(models.simple, models.trees, share_canary=0.4, share_shadow=1.0)
    place = open_place(plan, **changes)
    await place.front.apply_plan(plan, grant=True)
    return place, plan


def test_the_champion_answers_and_the_log_says_so(models: Models, open_place: Any) -> None:
    place = open_place()
    rows = [ROW, {**ROW, "shop": "west"}]
    told = asyncio.run(place.ask("anna", rows, request_id="order-1"))
    expected = load_package(models.simple.package, models.simple.files_sha256).score_rows(rows)
    assert told == {
        "predictions": expected.tolist(),
        "request_id": "order-1",
        "model_version": models.simple.model_id,
        "rung": "champion",
        "generation": 1,
    }
    first, second = place.logged()
    assert [first["row"], second["row"]] == [0, 1]
    assert [first["score"], second["score"]] == expected.tolist()
    assert json.loads(second["inputs"]) == rows[1]
    assert (first["key"], first["arm"], first["assigned_model"]) == (
        "anna",
        "champion",
        models.simple.model_id,
    )
    assert (first["error"], first["source"], first["rung"]) == (None, "http", "champion")
    assert first["at_utc"] == first["wall_utc"]
    assert first["latency_ms"] > 0


def test_event_time_is_taken_in_replay_mode_only(open_place: Any) -> None:
    place = open_place(options={"replay": True})
    asyncio.run(place.ask(at_utc="2013-04-01T05:15:00+00:00"))
    assert place.logged()[0]["at_utc"].isoformat() == "2013-04-01T05:15:00+00:00"
    refused = asyncio.run(open_place().answer({"inputs": [ROW], "at_utc": "2013-04-01T05:15:00+00:00"}))
    assert refused.status == 422


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b'{"inputs": [{"load": 0.3, "size": 4.0, "shop": "east"}]}', 422, "`shop` in row 0"),
        (b'{"inputs": [{"load": 0.3, "size": 4.0}]}', 422, "`shop` in row 0"),
        (b'{"inputs": [{"load": NaN, "size": 4.0, "shop": "west"}]}', 422, "`load` in row 0"),
        (b'{"inputs": [' + b" " * 2000 + b"]}", 413, "`body`"),
        (b"{", 400, "`body`"),
    ],
    ids=["not allowed", "missing", "NaN", "too large", "no JSON"],
)
def test_a_refused_request_is_answered_and_not_logged(
    open_place: Any, body: bytes, status: int, words: str
) -> None:
    place = open_place(options={"body_bytes_max": 1000})
    answer = asyncio.run(place.front.predict(body))
    assert answer.status == status
    assert words in json.loads(answer.body)["error"]
    assert place.logged() == []
    assert place.front.status()["counts"] == {f"refused {status}": 1}


def test_the_split_is_sticky_and_goes_by_the_plan(models: Models, open_place: Any) -> None:
    async def run() -> None:
        place, plan = await canary(models, open_place)
        for key in map(str, range(60)):
            arm = arm_for(plan, key)
            told = [await place.ask(key), await place.ask(key)]
            assert [one["rung"] for one in told] == [arm, arm]
            assert (
                told[0]["model_version"] == (models.trees if arm == "candidate" else models.simple).model_id
            )
        await place.front.flush_log()

    asyncio.run(run())


@pytest.mark.parametrize("arm", ["candidate", "baseline"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raises", "RuntimeError: it broke"),
        ("slow", "timeout"),
        ("NaN", "non-finite"),
        ("short", "wrong number"),
    ],
)
def test_a_failing_arm_falls_to_the_champion_and_is_counted_on_the_arm(
    models: Models, open_place: Any, arm: Arm, fault: str, words: str
) -> None:
    async def tell(_: Arm, rows: Sequence[Row]) -> Sequence[float]:
        match fault:
            case "raises":
                raise RuntimeError("it broke")
            case "slow":
                await asyncio.Event().wait()
            case "NaN":
                return [math.nan] * len(rows)
        return []

    async def run() -> tuple[Place, dict[str, Any]]:
        place, plan = await canary(models, open_place, options={"candidate_timeout_ms": 50})
        place.arms.tell = tell
        return place, await place.ask(key_of(plan, arm))

    place, told = asyncio.run(run())
    assert (told["rung"], told["model_version"]) == ("champion", models.simple.model_id)
    (row,) = place.logged()
    assigned = models.trees if arm == "candidate" else models.simple
    assert (row["arm"], row["assigned_model"]) == (arm, assigned.model_id)
    assert words in row["error"]
    assert place.front.status()["counts"][f"failed {arm}"] == 1


def test_the_ladder_goes_down_to_the_heuristic_and_then_to_503(models: Models, open_place: Any) -> None:
    place = open_place(load=load_raising)
    told = asyncio.run(place.ask())
    assert (told["rung"], told["model_version"], told["predictions"]) == ("heuristic", "heuristic", [0.25])
    (row,) = place.logged()
    assert row["error"] == "RuntimeError: the model is broken"
    assert row["assigned_model"] == models.simple.model_id
    for nobody in (None, broken):
        place = open_place(load=load_raising, heuristic=nobody)
        answer = asyncio.run(place.answer({"inputs": [ROW], "request_id": "r"}))
        assert answer.status == 503
        assert json.loads(answer.body)["request_id"] == "r"
        row = place.logged()[-1]
        assert (row["score"], row["rung"], row["model_version"]) == (None, None, None)


def test_the_previous_champion_answers_before_the_heuristic(models: Models, open_place: Any) -> None:
    def load(folder: Path | str, digest: str) -> Any:
        package = load_package(folder, digest)
        return NotFinite(package) if package.model_id == models.trees.model_id else package

    plan = replace(plan_of(models.trees, models.simple), candidate=None, previous=models.simple.model_id)
    place = open_place(plan, load=load)
    told = asyncio.run(place.ask())
    assert (told["rung"], told["model_version"]) == ("previous", models.simple.model_id)
    assert "non-finite" in place.logged()[0]["error"]


def test_the_shadow_sees_what_the_champion_answered(models: Models, open_place: Any) -> None:
    async def run() -> Place:
        place, plan = await canary(models, open_place)
        key = key_of(plan, "champion")
        for index in range(50):
            await place.ask(key, request_id=f"r{index}")
        await place.ask(key_of(plan, "candidate"))
        told = await place.front.flush_log()
        assert (told["pairs"], told["shadow_rows_waiting"]) == (50, 0)
        return place

    place = asyncio.run(run())
    pairs = read_pairs(place.folder)
    assert pairs["request_id"].n_unique() == 50
    assert set(pairs["champion"]) == {models.simple.model_id}
    assert set(pairs["candidate"]) == {models.trees.model_id}
    assert pairs["score_candidate"].to_list() == [0.5] * 50
    assert pairs["score_champion"].null_count() == 0
    shadow_calls = [n for arm, n in place.arms.asked if arm == "candidate" and n > 1]
    assert sum(shadow_calls) == 50
    assert len(shadow_calls) < 10


def test_a_failing_shadow_is_kept_as_an_error_and_harms_nobody(models: Models, open_place: Any) -> None:
    async def tell(arm: Arm, rows: Sequence[Row]) -> Sequence[float]:
        raise RuntimeError("the shadow broke")

    async def run() -> Place:
        place, plan = await canary(models, open_place)
        place.arms.tell = tell
        assert (await place.ask(key_of(plan, "champion")))["rung"] == "champion"
        await place.front.flush_log()
        return place

    (pair,) = read_pairs(asyncio.run(run()).folder).to_dicts()
    assert pair["score_candidate"] is None
    assert pair["error"] == "RuntimeError: the shadow broke"


def test_a_full_shadow_queue_drops_and_counts(models: Models, open_place: Any) -> None:
    async def run() -> dict[str, Any]:
        place, plan = await canary(models, open_place, options={"shadow_queue_max": 3})
        key = key_of(plan, "champion")
        for _ in range(5):
            await place.ask(key)
        await place.front.flush_log()
        shadow: dict[str, Any] = place.front.status()["shadow"]
        return shadow

    assert asyncio.run(run()) == {"dropped": 2, "kept": 3, "rows_waiting": 0}


def test_without_a_lease_the_candidate_gets_nothing(models: Models, open_place: Any) -> None:
    async def run() -> Place:
        plan = plan_of(models.simple, models.trees, share_canary=0.4, share_shadow=1.0)
        place: Place = open_place(plan, options={"lease_s": 0.2})
        key = key_of(plan, "candidate")
        assert (await place.ask(key))["rung"] == "champion"
        await place.front.apply_plan(plan, grant=True)
        assert (await place.ask(key))["rung"] == "candidate"
        place.front.renew_lease(plan.generation + 1)  # another plan's: ignored
        async with asyncio.timeout(10):
            while (await place.ask(key))["rung"] == "candidate":
                await asyncio.sleep(0.02)
        assert place.front.status()["lease_s"] == 0.0
        place.front.renew_lease(plan.generation)
        assert (await place.ask(key))["rung"] == "candidate"
        return place

    place = asyncio.run(run())
    rows = place.logged()
    assert rows[0]["arm"] == rows[-2]["arm"] == "champion"
    assert {row["error"] for row in rows} == {None}


def test_a_new_plan_is_followed_and_an_older_one_ignored(models: Models, open_place: Any) -> None:
    async def run() -> None:
        place = open_place()
        models_by_id = plan_of(models.simple, models.trees)
        second = replace(models_by_id, generation=2, champion=models.trees.model_id, candidate=None,
                         previous=models.simple.model_id)  # fmt: skip
        assert await place.front.apply_plan(second, grant=True) == {
            "replica": "test", "generation": 2, "error": None}  # fmt: skip
        assert (await place.ask())["model_version"] == models.trees.model_id
        assert [rung.name for rung in place.front.in_force.rungs] == ["champion", "previous", "heuristic"]
        told = await place.front.apply_plan(plan_of(models.simple), grant=True)
        assert told["generation"] == 2
        assert (await place.ask())["model_version"] == models.trees.model_id

    asyncio.run(run())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"digests": {}}, "InputError"),
        ({"share_canary": 0.7}, "share_canary"),
        ({"wrong digest": True}, "IntegrityError"),
    ],
    ids=["no digest", "share", "digest"],
)
def test_a_plan_that_cannot_be_loaded_changes_nothing(
    models: Models, open_place: Any, change: dict[str, Any], words: str
) -> None:
    both = plan_of(models.simple, models.trees)
    if change.pop("wrong digest", None):
        change["digests"] = dict.fromkeys(both.digests, "0" * 64)
    second = replace(
        both, generation=2, champion=models.trees.model_id, candidate=models.simple.model_id, **change
    )

    async def run() -> dict[str, Any]:
        place = open_place()
        told: dict[str, Any] = await place.front.apply_plan(second, grant=True)
        assert (await place.ask())["model_version"] == models.simple.model_id
        return told

    told = asyncio.run(run())
    assert told["generation"] == 1
    assert words in told["error"]


def test_golden_requests_are_replayed_before_a_swap(models: Models, open_place: Any) -> None:
    class Drifted(NotFinite):
        def count_golden_mismatches(self) -> int:
            return 3

    with pytest.raises(IntegrityError, match="3 of its scores differ"):
        open_place(load=lambda folder, digest: Drifted(load_package(folder, digest)))


def test_a_package_of_another_model_is_refused(models: Models, open_place: Any) -> None:
    plan = plan_of(models.simple)
    swapped = replace(plan, champion="f" * 64, packages={"f" * 64: models.simple.package},
                      digests={"f" * 64: models.simple.files_sha256})  # fmt: skip
    with pytest.raises(IntegrityError, match="must hold model ffff"):
        open_place(swapped)
    with pytest.raises(InputError, match="folder and digest"):
        open_place(replace(plan, packages={}))


def test_whoever_missed_a_push_follows_the_ledger_without_a_lease(models: Models, open_place: Any) -> None:
    plans = [plan_of(models.simple, models.trees, generation=2, share_canary=0.4)]
    failures = [InputError("the ledger is away")]

    def read_plan() -> Plan:
        if failures:
            raise failures.pop()
        return plans[0]

    async def run() -> None:
        place = open_place(options={"poll_s": 0.02})
        following = asyncio.create_task(place.front.follow(read_plan))
        async with asyncio.timeout(10):
            while place.front.status()["generation"] == 1:
                await asyncio.sleep(0.02)
        following.cancel()
        assert place.front.status()["lease_s"] == 0.0
        assert place.front.status()["counts"]["failed polls"] == 1

    asyncio.run(run())


class Hanging:
    """A model that answers when it is let go."""

    def __init__(self, package: Any, released: threading.Event) -> None:
        self.package, self.released = package, released
        self.model_id, self.columns = package.model_id, package.columns

    def score_rows(self, rows: Sequence[Row]) -> Any:
        self.released.wait(60)
        return self.package.score_rows(rows)

    def count_golden_mismatches(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("rule", "status", "rung"), [(heuristic, 200, "heuristic"), (None, 503, None)], ids=["rule", "nobody"]
)
def test_a_request_is_answered_before_its_deadline_whatever_the_champion_does(
    models: Models, open_place: Any, rule: Any, status: int, rung: str | None
) -> None:
    released = threading.Event()
    place: Place = open_place(
        load=lambda folder, digest: Hanging(load_package(folder, digest), released),
        heuristic=rule,
        options={"deadline_s": 1.0},
    )

    async def run() -> None:
        for expected in (
            "champion did not answer within",
            "champion still works on a request that is overdue",
        ):
            began = time.monotonic()
            answer = await place.answer({"inputs": [ROW], "request_id": "late"})
            assert time.monotonic() - began < 1.0
            told = json.loads(answer.body)
            assert (answer.status, told.get("rung"), told["request_id"]) == (status, rung, "late")
            assert expected in place.logged()[-1]["error"]

    try:
        asyncio.run(run())
    finally:
        released.set()


def test_an_arm_takes_no_longer_than_the_deadline(models: Models, open_place: Any) -> None:
    async def run() -> Place:
        place, plan = await canary(
            models, open_place, options={"candidate_timeout_ms": 60_000.0, "deadline_s": 1.0}
        )
        place.arms.delay_s = 60.0
        began = time.monotonic()
        assert (await place.ask(key_of(plan, "candidate")))["rung"] == "champion"
        assert time.monotonic() - began < 1.0
        return place

    (row,) = asyncio.run(run()).logged()
    assert row["error"].startswith("timeout: candidate did not answer within")


class Store:
    """Packages, some of which are away."""

    def __init__(self, *away: str) -> None:
        self.away = set(away)

    def load(self, folder: Path | str, digest: str) -> Any:
        package = load_package(folder, digest)
        if package.model_id in self.away:
            raise InputError(f"{folder} is gone")
        return package


def test_a_front_starts_without_packages_tells_it_and_heals(models: Models, open_place: Any) -> None:
    simple, trees = models.simple, models.trees
    plan = replace(plan_of(trees, simple), candidate=None, previous=simple.model_id)
    store = Store(trees.model_id, simple.model_id)
    contract = contract_of(models.settings)

    async def run() -> None:
        place: Place = open_place(plan, load=store.load, options={"poll_s": 0.02, "contract": contract})
        assert (await place.ask())["rung"] == "heuristic"
        assert (await place.answer({"inputs": [{**ROW, "shop": "east"}]})).status == 422
        champion, previous = place.front.problems
        assert champion.startswith(
            f"the champion {trees.model_id[:12]} cannot be loaded, heuristic answers: Input"
        )
        assert previous.startswith(
            f"the previous champion {simple.model_id[:12]} cannot be loaded: InputError:"
        )
        assert place.front.status()["problems"] == [champion, previous]
        health = place.front.health()
        assert (health.status, json.loads(health.body)["problems"]) == (503, [champion, previous])
        assert "is gone" in place.logged()[0]["error"]
        following = asyncio.create_task(place.front.follow(lambda: plan))
        async with asyncio.timeout(30):
            for back, rung in ((simple, "previous"), (trees, "champion")):
                store.away.remove(back.model_id)
                while (await place.ask())["rung"] != rung:
                    await asyncio.sleep(0.02)
        following.cancel()
        assert place.front.problems == []
        assert place.front.health().status == 200

    asyncio.run(run())


def test_a_plan_is_followed_although_its_fallback_is_gone(models: Models, open_place: Any) -> None:
    store = Store(models.simple.model_id)

    async def run() -> None:
        place: Place = open_place(plan_of(models.trees), load=store.load)
        told = await place.front.apply_plan(
            replace(
                plan_of(models.trees, models.simple),
                generation=2,
                candidate=None,
                previous=models.simple.model_id,
            ),
            grant=False,
        )
        assert (told["generation"], told["error"]) == (2, None)
        assert [rung.name for rung in place.front.in_force.rungs] == ["champion", "heuristic"]
        assert "previous champion" in place.front.problems[0]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"generation": 3, "champion": "f" * 64}, "plan 3 cannot be followed: InputError"),
        ({"generation": 1}, "the ledger is older than this server: its plan has generation 1, generation 2"),
        ({"generation": 2, "salt": "another"}, "the ledger holds another plan of generation 2"),
        (InputError("the ledger is gone"), "the ledger cannot be followed: InputError: the ledger is gone"),
    ],
    ids=["will not load", "older", "another", "gone"],
)
def test_a_front_says_why_it_does_not_follow_and_that_it_follows_again(
    models: Models, open_place: Any, caplog: pytest.LogCaptureFixture, found: Any, words: str
) -> None:
    mine = replace(plan_of(models.simple), generation=2)
    told: list[Any] = [found if isinstance(found, Exception) else replace(mine, **found)]

    def read_plan() -> Plan:
        if isinstance(told[0], Exception):
            raise told[0]
        plan: Plan = told[0]
        return plan

    async def run() -> None:
        place: Place = open_place(mine, options={"poll_s": 0.02})
        following = asyncio.create_task(place.front.follow(read_plan))
        async with asyncio.timeout(30):
            while not place.front.problems:
                await asyncio.sleep(0.02)
            (problem,) = place.front.problems
            assert words in problem
            assert place.front.health().status == 503
            assert (await place.ask())["generation"] == 2
            told[0] = replace(mine, generation=4)
            while place.front.problems:
                await asyncio.sleep(0.02)
        following.cancel()
        assert (await place.ask())["generation"] == 4

    asyncio.run(run())
    lines = [record.message for record in caplog.records]
    assert [words in line for line in lines] == [True, False], (
        "one line for each change, however often it looks"
    )
    assert lines[1].endswith("follows the ledger again")


def test_callers_are_answered_while_the_log_is_full(
    models: Models, open_place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: PredictionLog, records: Sequence[Any]) -> None:
        raise OSError(28, "No space left on device")

    place = open_place()
    monkeypatch.setattr(PredictionLog, "append", full)
    assert asyncio.run(place.ask())["rung"] == "champion"
    assert place.front.status()["counts"]["not logged"] == 1


def test_the_status_shows_what_the_log_lost_and_what_waits(models: Models, open_place: Any) -> None:
    async def run() -> None:
        place = open_place()
        await place.ask(request_id="sealed")
        table = place.folder / "predictions"
        table.write_text("in the way")
        for _ in range(2):
            with pytest.raises((DeltaError, OSError)):
                await place.front.flush_log()
        told = place.front.status()["log"]
        assert (told["failed_moves"], told["waiting"], told["lost"]) == (2, 1, 0)
        assert datetime.fromisoformat(told["failing_since"]) <= datetime.now(UTC)
        assert str(table) in told["last_error"]
        (problem,) = place.front.problems
        assert problem.startswith(
            "1 rows of the prediction log wait in segments; moving them into Delta has failed"
        )
        assert place.front.health().status == 503
        shutil.rmtree(place.folder / "segments")
        table.unlink()
        await place.ask(request_id="later")
        await place.front.flush_log()
        told = place.front.status()["log"]
        assert (told["failed_moves"], told["failing_since"], told["last_error"]) == (2, None, None)
        assert (told["predictions"], told["waiting"], told["lost"]) == (1, 0, 1)
        assert [row["request_id"] for row in place.logged()] == ["later"]
        assert place.front.status()["counts"].get("not logged") is None
        assert place.front.problems == []

    asyncio.run(run())


def test_a_caller_that_gives_up_leaves_a_row(models: Models, open_place: Any) -> None:
    async def run() -> Place:
        place, plan = await canary(models, open_place, options={"candidate_timeout_ms": 60_000.0})
        place.arms.delay_s = 30.0
        asked = asyncio.create_task(place.ask(key_of(plan, "candidate"), request_id="gone"))
        await asyncio.sleep(0.05)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        return place

    (row,) = asyncio.run(run()).logged()
    assert (row["request_id"], row["arm"], row["score"], row["rung"]) == ("gone", "candidate", None, None)
    assert row["error"].startswith("cancelled: the caller left after")
    assert row["latency_ms"] >= 40
