"""A user's own project by commands alone: run a turn, look at it, serve the champion, ask it, stop it."""

import json
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from command_line import shell
from small_project import PROJECT
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.operations.runfile import Run, find_processes

ROW = {"load": 0.3, "size": 4.0, "shop": "north"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay out a project as a user would, and run its first turn."""
    folder = tmp_path_factory.mktemp("orders")
    (folder / "tidewheel.toml").write_text(PROJECT, encoding="utf-8")
    shutil.copy(Path(__file__).parents[1] / "projects" / "small_project.py", folder)
    told = shell("run", "-p", folder)
    assert told.code == 0, told.err
    assert "deploy: simple is the first model" in told.out
    return folder


@pytest.fixture(scope="module")
def url(project: Path) -> Iterator[str]:
    """Start the server, and stop it at the end; nothing of it is left."""
    told = shell("serve", "up", "-p", project)
    assert told.code == 0, told.err
    run = Run.read(project / "state" / "services")
    assert run is not None
    found = find_processes(list(run.services.values()), run.run_id)
    yield told.out.split(" answers at ")[1].split("/predict")[0]
    told = shell("serve", "down", "-p", project)
    assert told.code == 0
    assert "processes ended" in told.out
    assert [one for one in found if one.is_running() and one.status() != "zombie"] == []
    assert shell("serve", "status", "-p", project).code == 1


def ask(url: str, body: Any) -> tuple[int, Any]:
    kind = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/predict", json.dumps(body).encode(), kind)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_champion_answers(project: Path, url: str) -> None:
    status, told = ask(url, {"inputs": [ROW], "key": "anna"})
    assert status == 200
    champion = json.loads(shell("status", "-p", project, "--json").out)["champion"]
    assert told["model_version"] == champion["model_id"]
    assert 0.0 < told["predictions"][0] < 1.0


def test_a_malformed_body_is_told_field_and_row(url: str) -> None:
    status, told = ask(url, {"inputs": [ROW, {"load": "much", "size": 4.0, "shop": "north"}]})
    assert status == 422
    assert "`load` in row 1" in told["error"]
    assert told["problems"][0]["field"] == "load"
    assert told["problems"][0]["row"] == 1


def test_serve_status_says_what_answers(project: Path, url: str) -> None:
    told = shell("serve", "status", "-p", project)
    assert told.code == 0
    assert json.loads(told.out)["candidate"] is None


def test_a_running_server_follows_the_plan_in_the_ledger(project: Path, url: str) -> None:
    with Workplace.open(project).ledger() as ledger:
        trees, plan = ledger.model_version("trees"), ledger.plan("orders")
        assert plan is not None
        other = replace(
            plan,
            champion=trees.model_id,
            packages={trees.model_id: trees.package},
            digests={trees.model_id: trees.files_sha256},
        )
        ledger.swap_plan(other, expected_generation=plan.generation)
        wait_for_champion(url, trees.model_id)
        ledger.swap_plan(plan, expected_generation=plan.generation + 1)
        wait_for_champion(url, plan.champion)


def wait_for_champion(url: str, model_id: str) -> None:
    deadline, pause = time.monotonic() + 60, threading.Event()
    while ask(url, {"inputs": [ROW]})[1]["model_version"] != model_id:
        assert time.monotonic() < deadline, "the server did not follow"
        pause.wait(0.2)


def test_a_second_server_is_refused(project: Path, url: str) -> None:
    for more in ([], ["--port", url.rsplit(":", 1)[1]]):
        told = shell("serve", "up", "-p", project, *more)
        assert told.code == 2
        assert f"runs already at {url}" in told.err


def test_a_model_that_passed_its_gates_waits_until_it_is_rolled_out(project: Path) -> None:
    """The first turn trains all candidates and deploys the first one; the other is there for who wants it."""
    assert "passed its gates and waits; `tidewheel run --stage deploy` rolls it out" in " ".join(
        shell("status", "-p", project).out.split()
    )
    told = shell("run", "-p", project, "--stage", "deploy")
    assert told.code in (0, 1)
    assert "deploy: " in told.out
    told = shell("run", "-p", project, "--stage", "deploy")
    assert told.code == 2
    assert "no model that passed its gates waits for its rollout" in " ".join(told.err.split())


def test_status_and_evidence(project: Path) -> None:
    assert "answers, trained on orders@0" in shell("status", "-p", project).out
    told = shell("evidence", "-p", project, "--json")
    stages = {row["evidence"]["stage"]: row for row in json.loads(told.out)["evidence"]}
    assert {"data", "model", "package"} <= set(stages)
    assert {row["evidence"]["data_version"] for row in stages.values()} == {0}
    assert "simple" in shell("evidence", "simple", "-p", project).out
    told = shell("evidence", "forest", "-p", project)
    assert told.code == 2
    assert "forest" in told.err


def test_another_turn_finds_nothing_to_do(project: Path) -> None:
    told = shell("run", "-p", project)
    assert told.code == 0, told.err
    assert "retrain: nothing to do" in told.out
