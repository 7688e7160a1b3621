"""The front on a real Ray head behind HAProxy, asked over HTTP while arms fail, plans change and replicas are killed."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from running_server import ROW, Server, wait_for
from served_models import Models, plan_of
from tidewheel.errors import ConflictError, ServiceError
from tidewheel.model.packaging import load_package
from tidewheel.predictions.log import read_pairs
from tidewheel.rollout.routing import arm_for
from tidewheel.serving.control_ray import Control
from tidewheel.serving.replay import replay

REPLICAS = 2


@pytest.fixture(scope="module")
def server(control: Control, models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # A lease of 5 s, renewed every second where a test needs it, so that one that runs out does so soon.
    made = Server(
        control,
        models,
        tmp_path_factory.mktemp("server"),
        replicas=REPLICAS,
        lease_s=5.0,
        body_bytes_max=5000,
        candidate_timeout_ms=500.0,
        log_flush_s=0.5,
    )
    made.deploy()
    yield made
    made.ledger.close()


def test_a_prediction_is_the_champions(server: Server) -> None:
    champion = server.models.simple
    expected = load_package(champion.package, champion.files_sha256).score_rows([ROW]).tolist()
    assert server.predict(request_id="one") == {
        "predictions": expected,
        "request_id": "one",
        "model_version": champion.model_id,
        "rung": "champion",
        "generation": server.plan.generation,
    }


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"inputs": [ROW, {**ROW, "shop": "east"}]}, 422, "`shop` in row 1 must be one of"),
        ({"inputs": [{**ROW, "load": 99}]}, 422, "`load` in row 0"),
        ({"inputs": []}, 422, "`inputs`"),
        (b'{"inputs": [{"load": NaN, "size": 1.0, "shop": "west"}]}', 422, "`load` in row 0"),
        (b"{", 400, "`body` must be JSON"),
        ({"inputs": [ROW] * 200}, 413, "at most 5000 bytes"),
        (b" " * 3_000_000, 413, "at most 5000 bytes"),
    ],
    ids=["not allowed", "out of range", "no row", "NaN", "no JSON", "too large", "much too large"],
)
def test_bad_requests_are_refused_with_field_and_row(
    server: Server, body: Any, status: int, words: str
) -> None:
    found, told, _ = server.ask("/predict", body)
    assert found == status
    assert words in told["error"]
    assert told["problems"][0].keys() == {"row", "field", "expected", "got"}


def test_the_pages(server: Server) -> None:
    assert server.ask("/health")[:2] == (200, {"status": "ok", "generation": server.plan.generation})
    status = server.ask("/status")[1]
    assert status["champion"] == server.models.simple.model_id
    assert status["replica"] in {one["replica"] for one in server.control.status()}
    openapi = server.ask("/openapi.json")[1]
    assert list(openapi["components"]["schemas"]["Row"]["properties"]) == ["load", "size", "shop"]
    found, page, headers = server.ask("/docs")
    assert (found, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<code>shop</code>" in page
    assert "http://" not in page.replace("http://localhost", "")
    assert server.ask("/nowhere")[0] == 404
    assert server.ask("/predict")[0] == server.ask("/status", b"", "DELETE")[0] == 405


def test_every_replica_acknowledges_a_plan(server: Server) -> None:
    told = server.control.push_plan(server.swap())
    assert len({one["replica"] for one in told}) == REPLICAS == server.control.count_replicas()
    assert {one["generation"] for one in told} == {server.plan.generation}
    assert {one["generation"] for one in server.control.status()} == {server.plan.generation}
    with pytest.raises(ConflictError, match="comes too late"):
        server.control.push_plan(replace(server.plan, generation=server.plan.generation - 1))


def test_a_plan_that_cannot_be_loaded_is_refused_by_every_replica(server: Server) -> None:
    trees = server.models.trees
    wrong = replace(server.plan, generation=server.plan.generation + 1, champion=trees.model_id,
                    packages={trees.model_id: trees.package}, digests={trees.model_id: "0" * 64})  # fmt: skip
    with pytest.raises(ServiceError, match=r"was refused by .*IntegrityError"):
        server.control.push_plan(wrong)
    assert server.predict()["model_version"] == server.models.simple.model_id


def test_a_rollout_splits_shadows_and_logs(server: Server) -> None:
    plan = server.try_candidate()
    with server.control.keep_lease(plan.generation, lease_s=3.0):
        requests = server.requests(600, "rollout")
        result = replay(server.front.predict_url, requests, connections=8)
        log = server.logged("rollout")
    assert (result.statuses, result.errors) == ({200: 600}, 0)
    assert log.height == log["request_id"].n_unique() == 600
    expected = {one["request_id"]: arm_for(plan, one["key"]) for one in requests}
    assert dict(zip(log["request_id"], log["arm"], strict=True)) == expected
    assert log["error"].null_count() == 600
    assert (log["rung"] == log["arm"]).all()
    assert (log["model_version"] == log["assigned_model"]).all()
    assert set(log["arm"]) == {"champion", "candidate", "baseline"}
    pairs = read_pairs(server.log).filter(pl.col("request_id").str.starts_with("rollout-"))
    shadowed = log.filter(pl.col("arm") == "champion")
    assert sorted(pairs["request_id"]) == sorted(shadowed["request_id"])
    joined = pairs.join(log, on="request_id")
    assert joined["score_champion"].to_list() == joined["score"].to_list()
    trees = load_package(server.models.trees.package, server.models.trees.files_sha256)
    rows = [json.loads(text) for text in joined["inputs"]]
    assert joined["score_candidate"].to_list() == pytest.approx(trees.score_rows(rows).tolist())


def test_a_lease_that_runs_out_stops_the_candidate(server: Server) -> None:
    plan = server.plan
    assert plan.candidate is not None
    key = next(key for key in map(str, range(1000)) if arm_for(plan, key) == "candidate")
    server.control.renew_lease(plan.generation)
    assert server.predict(key)["rung"] == "candidate"
    wait_for(lambda: all(one["lease_s"] == 0.0 for one in server.control.status()))
    assert server.predict(key, request_id="lease-1")["rung"] == "champion"
    (row,) = server.logged("lease").to_dicts()
    assert (row["arm"], row["error"]) == ("champion", None)
    server.end_trial()


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ("served_models:load_raising", "the model is broken"),
        ("served_models:load_slow", "timeout"),
        ("served_models:load_not_finite", "non-finite"),
    ],
    ids=["raising", "slow", "not finite"],
)
def test_a_failing_candidate_falls_to_the_champion_and_is_counted(
    server: Server, load: str, words: str
) -> None:
    plan = server.try_candidate(load, share_shadow=0.0)
    name = f"fault{plan.generation}"
    with server.control.keep_lease(plan.generation, lease_s=3.0):
        keys = [key for key in map(str, range(200)) if arm_for(plan, key) == "candidate"][:4]
        requests = [{"inputs": [ROW], "key": key, "request_id": f"{name}-{key}"} for key in keys]
        result = replay(server.front.predict_url, requests, connections=4)
    assert result.statuses == {200: 4}
    log = server.logged(name)
    assert set(log["arm"]) == {"candidate"}
    assert set(log["assigned_model"]) == {server.models.trees.model_id}
    assert set(log["rung"]) == {"champion"}
    assert set(log["model_version"]) == {server.models.simple.model_id}
    # The baseline arm is loaded in the same way and fails, too: the loader stands for the model, not for the arm.
    assert all(words in error for error in log["error"])
    server.end_trial()


class Caller:
    """Ask without pause from several threads, and note what became of each request."""

    def __init__(self, server: Server, name: str, threads: int = 4) -> None:
        self.server, self.name = server, name
        self.answers: dict[str, tuple[int, Any]] = {}
        self.failures: list[str] = []
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(threads)]

    def __enter__(self) -> "Caller":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        index = 0
        while not self._ending.is_set():
            index += 1
            request_id = f"{self.name}-{number}-{index}"
            try:
                body = {"inputs": [ROW], "key": request_id, "request_id": request_id}
                status, told, _ = self.server.ask("/predict", body)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{request_id}: {error!r}")
            else:
                self.answers[request_id] = (status, told)

    def models(self) -> Sequence[str]:
        return [told["model_version"] for status, told in list(self.answers.values()) if status == 200]


def test_the_champion_is_swapped_under_load_without_a_dropped_request(server: Server) -> None:
    simple, trees = server.models.simple, server.models.trees
    both = plan_of(simple, trees)
    with Caller(server, "swap") as caller:
        wait_for(lambda: len(caller.answers) > 50)
        plan = server.swap(
            champion=trees.model_id, previous=simple.model_id, packages=both.packages, digests=both.digests
        )
        server.control.push_plan(plan)
        promoted = len(caller.answers)
        wait_for(lambda: len(caller.answers) > promoted + 50)
        server.control.push_plan(server.swap(champion=simple.model_id, previous=trees.model_id))
        back = len(caller.answers)
        wait_for(lambda: len(caller.answers) > back + 50)
    assert caller.failures == []
    assert {status for status, _ in caller.answers.values()} == {200}
    assert set(caller.models()) == {simple.model_id, trees.model_id}
    log = server.logged("swap")
    assert log.height == log["request_id"].n_unique() == len(caller.answers)
    assert set(log["error"]) == {None}


def test_a_killed_replica_loses_and_doubles_nothing_that_was_answered(server: Server) -> None:
    pids = {one["pid"] for one in server.control.status()}
    with Caller(server, "kill") as caller:
        wait_for(lambda: len(caller.answers) > 50)
        os.kill(min(pids), signal.SIGKILL)

        def is_back() -> bool:
            try:
                now = {one["pid"] for one in server.control.status()}
            except ServiceError:
                return False
            return len(now) == REPLICAS and min(pids) not in now

        wait_for(is_back)
        after = len(caller.answers)
        wait_for(lambda: len(caller.answers) > after + 50)
    answered = {request_id for request_id, (status, _) in caller.answers.items() if status == 200}
    lost = len(caller.failures) + len(caller.answers) - len(answered)
    assert lost <= 8, "only what was on its way to the killed replica may fail"
    log = server.logged("kill")
    assert log["request_id"].n_unique() == log.height
    assert answered <= set(log["request_id"])
    assert {one["generation"] for one in server.control.status()} == {server.plan.generation}
    places = [path for path in (server.log / "segments").iterdir() if path.is_dir()]
    assert len(places) == REPLICAS, "what the killed replica left is moved and its folder removed"


def test_a_front_without_a_plan_says_so(control: Control, models: Models, tmp_path: Path) -> None:
    server = Server(control, models, tmp_path / "server")
    server.settings = server.settings.model_copy(
        update={"scope": server.settings.scope.model_copy(update={"name": "nobody"})}
    )
    with pytest.raises(ServiceError, match="must hold a plan named 'nobody'"):
        server.deploy()


def test_the_ladder_ends_with_the_heuristic_and_then_503(
    control: Control, models: Models, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = Server(control, models, tmp_path_factory.mktemp("ladder"))
    server.deploy("served_models:load_raising")
    told = server.predict(request_id="ladder-1")
    assert (told["rung"], told["predictions"]) == ("heuristic", [0.3])
    server.deploy("served_models:load_raising", heuristic="served_models:no_rule")
    status, told, headers = server.ask("/predict", {"inputs": [ROW], "request_id": "ladder-2"})
    assert (status, headers["retry-after"], told["request_id"]) == (503, "1", "ladder-2")
    log = server.logged("ladder").sort("request_id").to_dicts()
    assert [row["rung"] for row in log] == ["heuristic", None]
    assert {row["error"] for row in log} == {"RuntimeError: the model is broken"}
    server.ledger.close()


def test_a_replica_imports_no_flows_tracking_or_training() -> None:
    code = (
        "import sys, tidewheel.serving.application_ray, tidewheel.model.packaging\n"
        "print([name for name in ('prefect', 'mlflow', 'optuna', 'sklearn', 'xgboost', 'pandera') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
