"""Who may speak to our own Prefect server: the calls of an attack on the same machine, with and without the secret."""

import base64
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from tidewheel.errors import ServiceError
from tidewheel.operations.runfile import Run, find_processes, reap
from tidewheel.operations.services import PREFECT, prefect_environment, start_prefect, wait_prefect

ORIGIN = "http://elsewhere.example"


class Listener:
    """Listen on a port as a proxy would, and answer nothing."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def was_asked(self) -> bool:
        """Say whether somebody has connected."""
        self._socket.setblocking(False)
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True


class Answer(NamedTuple):
    status: int
    allowed: str | None
    body: Any


class Server:
    """Our own Prefect server, and what it answers."""

    def __init__(self, folder: Path) -> None:
        # As a home of an older version would be: open to all, with a result that all can read.
        home = folder / "prefect"
        (home / "storage").mkdir(parents=True)
        (home / "storage" / "result").write_text("{}", encoding="utf-8")
        for path in (folder, home, home / "storage"):
            path.chmod(0o755)
        self.run = Run.begin(folder)
        self.home = home
        self.url = start_prefect(self.run)
        wait_prefect(self.run)

    def ask(
        self, method: str, path: str, body: Any = None, *, secret: bool = False, **headers: str
    ) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if secret:
            known = prefect_environment(self.run)["PREFECT_API_AUTH_STRING"]
            sent["Authorization"] = "Basic " + base64.b64encode(known.encode()).decode()
        if body is not None:
            sent["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url.removesuffix("/api") + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return self._read(answer)
        except urllib.error.HTTPError as error:
            return self._read(error)

    @staticmethod
    def _read(answer: Any) -> Answer:
        text = answer.read()
        is_json = answer.headers.get_content_type() == "application/json"
        return Answer(
            answer.status,
            answer.headers.get("Access-Control-Allow-Origin"),
            json.loads(text) if is_json and text else None,
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("access")
    try:
        yield Server(folder)
    finally:
        reap(folder)


NOBODY = "00000000-0000-0000-0000-000000000000"


def completed(block: str | None = None) -> dict[str, Any]:
    """Give the body that sets a run completed, with a result that is loaded from a file of the attacker's."""
    record = {
        "type": "reference",
        "storage_key": "/tmp/of-an-attacker",
        "storage_block_id": block,
        "serializer": {"type": "pickle"},
        "expiration": None,
        "prefect_version": "3.8.8",
    }
    return {"state": {"type": "COMPLETED", "data": record}, "force": True}


PENDING = {"state": {"type": {"any_": ["PENDING"]}}}
CALLS = {
    "pending flow runs": ("POST", "/api/flow_runs/filter", {"flow_runs": PENDING}, 200),
    "pending task runs": ("POST", "/api/task_runs/filter", {"task_runs": PENDING}, 200),
    "a flow run's state": ("POST", f"/api/flow_runs/{NOBODY}/set_state", completed(), 404),
    "a task run's state": ("POST", f"/api/task_runs/{NOBODY}/set_state", completed(), 404),
    "block types": ("POST", "/api/block_types/filter", {}, 200),
    "settings": ("GET", "/api/admin/settings", None, 200),
    "version": ("GET", "/api/admin/version", None, 200),
    "a path like the open one": ("GET", "/api/variables/name/health", None, 404),
}


@pytest.mark.parametrize(
    "origin", [{}, {"Origin": ORIGIN}, {"Origin": "null"}], ids=["no origin", "foreign", "null"]
)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_without_the_secret_nothing_is_read_or_written(
    server: Server, call: tuple[str, str, Any, int], origin: dict[str, str]
) -> None:
    method, path, body, status = call
    assert server.ask(method, path, body, **origin)[:2] == (401, None)
    assert server.ask(method, path, body, secret=True, **origin)[:2] == (status, None)


@pytest.mark.parametrize("origin", ["", ORIGIN], ids=["another user", "a page of another site"])
def test_the_whole_attack_fails_at_each_step(server: Server, origin: str) -> None:
    """Find a run that is pending, make a place whose files load, and set the run completed with a file of that place."""
    headers = {"Origin": origin} if origin else {}
    name = f"ours {len(origin)}"

    def both(method: str, path: str, body: Any = None, *, status: int) -> Any:
        assert server.ask(method, path, body, **headers)[:2] == (401, None)
        told = server.ask(method, path, body, secret=True, **headers)
        assert told[:2] == (status, None), told
        return told.body

    flow = both("POST", "/api/flows/", {"name": name}, status=201)["id"]
    begun = both("POST", "/api/flow_runs/", {"flow_id": flow, "state": {"type": "PENDING"}}, status=201)["id"]
    pending = both(
        "POST", "/api/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["PENDING"]}}}}, status=200
    )
    assert begun in {run["id"] for run in pending}
    kind = both("GET", "/api/block_types/slug/remote-file-system", status=200)["id"]
    (schema, *_) = both(
        "POST",
        "/api/block_schemas/filter",
        {"block_schemas": {"block_type_id": {"any_": [kind]}}},
        status=200,
    )
    place = {"name": f"theirs-{len(origin)}", "data": {"basepath": "memory://theirs"},
             "block_type_id": kind, "block_schema_id": schema["id"]}  # fmt: skip
    block = both("POST", "/api/block_documents/", place, status=201)["id"]
    told = both("POST", f"/api/flow_runs/{begun}/set_state", completed(block), status=201)
    assert told["status"] == "ACCEPT"
    task = {"flow_run_id": begun, "task_key": "ours", "dynamic_key": "0", "state": {"type": "PENDING"}}
    begun = both("POST", "/api/task_runs/", task, status=201)["id"]
    both("POST", f"/api/task_runs/{begun}/set_state", completed(block), status=201)


@pytest.mark.parametrize(
    "given",
    ["Basic", "Basic !", "Bearer x", "Basic " + base64.b64encode(b"tidewheel:").decode(),
     "Basic " + base64.b64encode(b"tidewheel:" + b"0" * 64).decode()],
    ids=["nothing", "no base64", "another scheme", "no secret", "another secret"],
)  # fmt: skip
def test_another_secret_is_none(server: Server, given: str) -> None:
    assert server.ask("POST", "/api/flow_runs/filter", {}, Authorization=given)[:2] == (401, None)


@pytest.mark.parametrize("path", ["/api/flow_runs/filter", "/api/block_documents/", "/api/health"])
def test_a_browser_that_asks_first_is_allowed_no_origin(server: Server, path: str) -> None:
    asked = {"Origin": ORIGIN, "Access_Control_Request_Method": "POST",
             "Access_Control_Request_Headers": "authorization, content-type"}  # fmt: skip
    status, allowed, _ = server.ask("OPTIONS", path, **asked)
    assert status >= 400
    assert allowed is None


OPEN = {
    "/api/health": True,
    "/ui-settings": {"auth": "BASIC"},
    "/openapi.json": {"openapi": "3.1.0"},
    "/docs": None,
    "/redoc": None,
}
"""What stays open without the secret: it says that a Prefect server is here and which calls it has; Prefect has no setting
for these pages."""


@pytest.mark.parametrize("path", OPEN)
def test_what_stays_open_tells_nothing_of_ours(server: Server, path: str) -> None:
    status, allowed, body = server.ask("GET", path, Origin=ORIGIN)
    assert (status, allowed) == (200, None)
    known = OPEN[path]
    assert {**body, **known} == body if isinstance(known, dict) else body == known
    assert prefect_environment(server.run)["PREFECT_API_AUTH_STRING"].split(":")[1] not in json.dumps(body)


def test_the_secret_is_in_files_of_this_user_alone_and_on_no_command_line(server: Server) -> None:
    secret = prefect_environment(server.run)["PREFECT_API_AUTH_STRING"].split(":")[1]
    assert len(secret) == 64
    for process in find_processes(list(server.run.services.values()), server.run.run_id):
        assert secret not in " ".join(process.cmdline())
    (kept,) = [path for path in server.run.own.iterdir() if path.read_text(encoding="utf-8") == secret]
    assert oct(kept.stat().st_mode & 0o777) == "0o600"
    assert secret not in Path(server.run.services[PREFECT].log).read_text(encoding="utf-8")
    for folder in (server.run.folder, server.run.own, server.home):
        assert oct(folder.stat().st_mode & 0o777) == "0o700"
    for path in server.home.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_server_listens_on_loopback_alone(server: Server) -> None:
    found = [
        connection.laddr.ip
        for process in find_processes(list(server.run.services.values()), server.run.run_id)
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(found) == {"127.0.0.1"}


def test_each_run_has_another_secret_and_none_without_a_server(server: Server, tmp_path: Path) -> None:
    run = Run.begin(tmp_path)
    try:
        with pytest.raises(ServiceError, match="knows no service 'prefect'"):
            prefect_environment(run)
    finally:
        reap(tmp_path)


def test_a_proxy_of_the_caller_never_sees_the_secret(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with Listener() as heard:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{heard.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("NO_PROXY", "example.org")
        for name, value in prefect_environment(server.run).items():
            monkeypatch.setenv(name, value)
        assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "example.org,127.0.0.1"
        settings = {
            setting: os.environ[setting.name] for setting in (PREFECT_API_URL, PREFECT_API_AUTH_STRING)
        }
        with temporary_settings(settings), get_client(sync_client=True) as client:
            client.read_flows()
        assert not heard.was_asked()


def test_what_the_caller_has_set_for_prefect_opens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("prefect_server_api_cors_allowed_origins", "*")
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "known:to-others")
    run = Run.begin(tmp_path)
    try:
        start_prefect(run, background_services=False)
        environment = psutil.Process(run.services[PREFECT].pid).environ()
        mine = {name.upper(): value for name, value in environment.items()}
        assert "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS" not in mine
        assert mine["PREFECT_SERVER_API_AUTH_STRING"] == prefect_environment(run)["PREFECT_API_AUTH_STRING"]
        assert os.environ["PREFECT_SERVER_API_AUTH_STRING"] == "known:to-others"
    finally:
        reap(tmp_path)
