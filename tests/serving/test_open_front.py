"""What strangers may do to a front on a real Ray head: hold connections, name other hosts, send other kinds, look for open
ports; and what is left of it when a replica, a package or the ledger is gone.

Everything here was possible, or without end, before.
"""

import contextlib
import http.client
import json
import os
import resource
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from running_server import ROW, Server, wait_for
from served_models import Models, plan_of
from tidewheel.evidence.store import Ledger
from tidewheel.operations.haproxy import HEAD_S
from tidewheel.operations.ports import find_listeners, is_loopback
from tidewheel.operations.runfile import Run, find_processes
from tidewheel.predictions.log import read_log
from tidewheel.serving.control_ray import Control

DEADLINE_S = 5.0
"""What `[serving].deadline_s` is, and the head of the tests was started with."""

HALF_HEADS, HALF_BODIES = 4200, 300


@pytest.fixture(scope="module")
def server(control: Control, models: Models, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(control, models, tmp_path_factory.mktemp("open"), log_flush_s=0.5)
    made.deploy()
    yield made
    made.ledger.close()


@contextlib.contextmanager
def held_connections(port: int, n: int, beginning: bytes) -> Iterator[list[socket.socket]]:
    """Hold `n` connections on which no more than the beginning of a request was sent."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as held:
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        sockets = [
            held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in range(n)
        ]
        for one in sockets:
            one.sendall(beginning)
        yield sockets


def half_body(announced: int, sent: int) -> bytes:
    head = (
        "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {announced}\r\n\r\n"
    )
    return head.encode() + b'{"inputs": [' + b" " * sent


@pytest.mark.parametrize(
    ("n", "beginning"),
    [
        (HALF_HEADS, b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: "),
        (HALF_BODIES, half_body(1000, 100)),
        (HALF_BODIES, half_body(200_000, 100_000)),
    ],
    ids=["half-sent heads", "half-sent bodies", "half-sent bodies larger than a buffer"],
)
def test_connections_held_half_way_keep_nobody_from_an_answer(
    server: Server, n: int, beginning: bytes
) -> None:
    with held_connections(server.port, n, beginning) as held:
        for path, body in [("/health", None), ("/predict", {"inputs": [ROW]})] * 3:
            began = time.monotonic()
            assert server.ask(path, body)[0] == 200
            assert time.monotonic() - began <= HEAD_S + 1.0
        # And they are sent away in turn.
        assert held[0].recv(4096).startswith(b"HTTP/1.1 408")


def stopped(server: Server) -> psutil.Process:
    (status,) = server.control.status()
    return psutil.Process(status["pid"])


def test_a_stopped_replica_makes_callers_wait_no_longer_than_the_deadline(server: Server) -> None:
    process = stopped(server)
    answers: list[tuple[int, float, dict[str, str]]] = []

    def ask() -> None:
        began = time.monotonic()
        status, _, headers = server.ask("/predict", {"inputs": [ROW]})
        answers.append((status, time.monotonic() - began, headers))

    process.suspend()
    try:
        callers = [threading.Thread(target=ask) for _ in range(20)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(timeout=60)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()
    assert len(answers) == 20
    assert {status for status, _, _ in answers} == {503}
    assert {headers["retry-after"] for _, _, headers in answers} == {"1"}
    assert max(waited for _, waited, _ in answers) <= DEADLINE_S + 0.5
    wait_for(lambda: answers_again(server))


def answers_again(server: Server) -> bool:
    try:
        return server.ask("/predict", {"inputs": [ROW]})[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def test_a_websocket_is_refused_in_words(server: Server) -> None:
    status, told, _ = server.ask(
        "/predict", Connection="Upgrade", Upgrade="websocket", Sec_WebSocket_Version="13",
        Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    assert (status, "HTTP" in told["error"]) == (400, True)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "8.8.8.8", "localhost.evil.example"],
)
@pytest.mark.parametrize("path", ["/predict", "/status", "/docs", "/health", "/openapi.json"])
def test_another_host_is_refused_on_every_path(server: Server, host: str, path: str) -> None:
    body = {"inputs": [ROW]} if path == "/predict" else None
    status, told, _ = server.ask(path, body, Host=host)
    expected = "the header Host must be a loopback address or one of [serving].hosts"
    assert (status, told["error"]) == (400, f"{expected}; got {host!r}")


@pytest.mark.parametrize("host", ["localhost", "LocalHost:99", "127.0.0.1", "127.8.8.8:80", "[::1]:8000"])
def test_loopback_has_many_names(server: Server, host: str) -> None:
    assert server.ask("/predict", {"inputs": [ROW]}, Host=host)[0] == 200


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
    ],
)
def test_predictions_are_asked_for_in_json(server: Server, kind: str, status: int) -> None:
    found, told, _ = server.ask("/predict", {"inputs": [ROW]}, Content_Type=kind)
    assert found == status
    if status == 415:
        got = repr(kind) if kind else "nothing"
        assert told["error"] == f"the header Content-Type must be application/json; got {got}"


def test_the_documentation_shows_no_real_row(server: Server, models: Models) -> None:
    package = json.loads((Path(models.simple.package) / "golden.json").read_text(encoding="utf-8"))
    page = server.ask("/docs")[1]
    for golden in package:
        assert f"{golden['row']['load']}" not in page
    made_up = json.loads(page.split("<pre>")[1].split("</pre>")[0].replace("&quot;", '"'))
    assert server.ask("/predict", {"inputs": made_up["inputs"]})[0] == 200


def test_everything_listens_on_loopback_alone_with_replicas_and_arms(server: Server, run: Run) -> None:
    server.try_candidate()
    try:
        found = find_listeners(find_processes(list(run.services.values()), run.run_id))
    finally:
        server.end_trial()
    assert sum("Scorer" in name for name in found.values()) >= 2, "the arms have ports"
    assert server.port in {port for _, port in found}
    assert {place: name for place, name in found.items() if not is_loopback(place[0])} == {}


@pytest.fixture
def moved_package(server: Server, tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Make a copy of the champion's package the one in force, so that it can be taken away."""
    folder = tmp_path / "champion"
    shutil.copytree(server.models.simple.package, folder)
    server.swap(packages={server.models.simple.model_id: str(folder)})
    server.control.push_plan(server.plan)
    yield lambda: folder
    if not folder.exists():
        shutil.move(f"{folder}.away", folder)
    server.control.push_plan(server.swap(packages=plan_of(server.models.simple).packages))


def test_a_replica_starts_without_the_champions_package_and_heals(
    server: Server, moved_package: Callable[[], Path]
) -> None:
    folder = moved_package()
    shutil.move(folder, f"{folder}.away")
    os.kill(stopped(server).pid, signal.SIGKILL)
    wait_for(lambda: answers_again(server))
    told = server.predict(request_id="gone-1")
    assert (told["rung"], told["predictions"]) == ("heuristic", [0.3])
    status, health, _ = server.ask("/health")
    assert (status, health["status"]) == (503, "failing")
    (problem,) = server.ask("/status")[1]["problems"]
    assert problem.startswith(
        f"the champion {server.models.simple.model_id[:12]} cannot be loaded, heuristic answers:"
    )
    assert health["problems"] == [problem]
    # What a request looks like is known all the same.
    assert server.ask("/predict", {"inputs": [{**ROW, "shop": "east"}]})[0] == 422
    (row,) = server.logged("gone").to_dicts()
    assert (row["rung"], row["assigned_model"]) == ("heuristic", server.models.simple.model_id)
    assert row["error"]
    shutil.move(f"{folder}.away", folder)
    wait_for(lambda: server.ask("/health")[0] == 200)
    assert server.predict()["rung"] == "champion"
    assert server.ask("/status")[1]["problems"] == []


def problem_of(server: Server) -> str:
    health = server.ask("/health")[1]
    return "; ".join(health.get("problems", []))


def replica_logs(run: Run) -> str:
    """Give what Serve keeps of its replicas' log lines, print and standard error."""
    folder = run.temp / "r" / "session_latest" / "logs" / "serve"
    return "".join(file.read_text(encoding="utf-8") for file in folder.glob("replica_*.log"))


def test_a_plan_that_will_not_load_is_told_and_followed_once_it_does(
    server: Server, run: Run, tmp_path: Path
) -> None:
    trees, before = server.models.trees, server.plan
    away = tmp_path / "trees"
    server.swap(champion=trees.model_id, packages={trees.model_id: str(away)},
                digests={trees.model_id: trees.files_sha256})  # fmt: skip
    wait_for(lambda: f"plan {server.plan.generation} cannot be followed" in problem_of(server))
    assert server.ask("/health")[0] == 503
    wait_for(lambda: f"plan {server.plan.generation} cannot be followed" in replica_logs(run), 5.0)
    assert server.predict()["model_version"] == before.champion
    shutil.copytree(trees.package, away)
    wait_for(lambda: problem_of(server) == "")
    assert server.predict()["model_version"] == trees.model_id
    server.control.push_plan(
        server.swap(champion=before.champion, packages=before.packages, digests=before.digests)
    )


def test_a_ledger_that_is_replaced_older_or_gone_is_told_and_followed_once_it_is_newer(
    server: Server, tmp_path: Path
) -> None:
    server.ledger.close()
    file = server.folder / "ledger.sqlite"
    for path in server.folder.glob("ledger.sqlite*"):
        shutil.move(path, tmp_path / path.name)
    wait_for(lambda: "the ledger cannot be followed" in problem_of(server))
    assert server.ask("/health")[0] == 503
    assert server.predict()["rung"] == "champion"
    first = plan_of(server.models.simple)
    with Ledger.open(tmp_path / "older.sqlite") as older:
        older.swap_plan(first, expected_generation=0)
    shutil.move(tmp_path / "older.sqlite", file)
    wait_for(lambda: "the ledger is older than this server" in problem_of(server))
    with Ledger.open(file) as replaced:
        for generation in range(1, server.plan.generation):
            replaced.swap_plan(first, expected_generation=generation)
        wait_for(lambda: "another plan of generation" in problem_of(server) or problem_of(server) == "")
        newer = replaced.swap_plan(first, expected_generation=server.plan.generation)
    wait_for(lambda: server.ask("/status")[1]["generation"] == newer.generation)
    assert problem_of(server) == ""
    server.ledger, server.plan = Ledger.open(file), newer


def test_requests_are_logged_through_all_of_this(server: Server, run: Run) -> None:
    assert server.logged("gone").height == 1
    assert read_log(server.log).height > 10
    # Once: not by Serve as well, for a tenth of what an answer costs.
    assert "POST /" not in replica_logs(run)
