"""`serve down` and what `serve up` and the demo end themselves: from the run file alone, and never what is at work."""

import json
import os
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from command_line import Command, in_process
from tidewheel.cli.demo import services, take_folder
from tidewheel.cli.projects import prefect_for
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.operations.ports import LOOPBACK
from tidewheel.operations.runfile import MARKER, Run, find_processes, reap
from tidewheel.operations.services import PREFECT, RAY, answers, ray_address

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
LISTEN = f"""
    import socket, sys, time
    with socket.socket() as one:
        one.bind(("{LOOPBACK}", 0))
        one.listen()
        open(sys.argv[1] + ".part", "w").write(str(one.getsockname()[1]))
        import os; os.rename(sys.argv[1] + ".part", sys.argv[1])
        time.sleep(600)
"""


@pytest.fixture
def tidewheel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return in_process(monkeypatch, capsys)


@pytest.fixture
def project(small_project: Path) -> Iterator[Path]:
    yield small_project
    for folder in ("services", "prefect"):
        home = small_project / "state" / folder
        if (home / "run.json").is_file():
            reap(home)


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != MARKER}


def begin(project: Path, folder: str = "services") -> tuple[Run, int]:
    """Begin a run with one process."""
    run = Run.begin(project / "state" / folder)
    return run, run.start("sleeper", SLEEP, environment()).pid


def change(run: Run, **fields: object) -> None:
    file = run.folder / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | fields), encoding="utf-8")


def is_living(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_for(condition: Callable[[], object], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


@pytest.fixture
def other() -> Iterator[psutil.Popen]:
    """Be another process at work."""
    process = psutil.Popen(SLEEP)
    yield process
    if process.poll() is None:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", ["", "tidewheel.toml"], ids=["folder", "file"])
@pytest.mark.parametrize(
    "text", ["[data", None, "[data]\nrowid = 1\n"], ids=["no TOML", "missing", "not acceptable"]
)
def test_a_server_is_ended_whatever_became_of_the_project_file(
    tidewheel: Command, project: Path, text: str | None, name: str
) -> None:
    _, pid = begin(project)
    _, prefect_pid = begin(project, "prefect")
    if text is None:
        (project / "tidewheel.toml").unlink()
    else:
        (project / "tidewheel.toml").write_text(text, encoding="utf-8")
    assert tidewheel("serve", "down", "-p", project / name)[:2] == (0, "2 processes ended.\n")
    assert not is_living(pid)
    assert not is_living(prefect_pid)


def test_a_folder_that_is_no_project_is_named(tidewheel: Command, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        told = tidewheel("serve", "down", "-p", folder)
        assert told.code == 2
        assert f"{folder} must be a project's folder; it has neither tidewheel.toml nor `state`" in told.err


@pytest.mark.parametrize(
    "text", ["", '{"run_id": "01', "[]", '{"format_version": 3}'], ids=["empty", "cut", "list", "part"]
)
def test_of_a_torn_run_file_it_says_what_to_do(tidewheel: Command, project: Path, text: str) -> None:
    run, pid = begin(project)
    whole = (run.folder / "run.json").read_text(encoding="utf-8")
    (run.folder / "run.json").write_text(text, encoding="utf-8")
    try:
        told = tidewheel("serve", "down", "-p", project)
        assert is_living(pid)
    finally:
        (run.folder / "run.json").write_text(whole, encoding="utf-8")
    assert told.code == 2
    assert len(told.err.splitlines()) == 1
    assert "run.json is not a run file: " in told.err
    assert "`grep -l TIDEWHEEL_RUN /proc/[0-9]*/environ` lists" in told.err


def test_a_run_of_an_older_format_is_ended(tidewheel: Command, project: Path) -> None:
    run, pid = begin(project)
    change(run, format_version=2, services={}, temp=str(project))
    told = tidewheel("serve", "up", "-p", project)
    assert told.code == 2
    assert "must have format_version 3; got 2; `tidewheel serve down` ends what it names" in told.err
    assert is_living(pid)
    assert tidewheel("serve", "down", "-p", project)[:2] == (0, "1 processes ended.\n")
    assert not is_living(pid)
    assert (project / "tidewheel.toml").exists()


def test_the_prefect_server_of_a_run_at_work_is_left_to_it(
    tidewheel: Command, project: Path, other: psutil.Popen
) -> None:
    run, pid = begin(project, "prefect")
    change(run, owner=other.pid, owner_created=other.create_time())
    told = tidewheel("serve", "down", "-p", project)
    assert told.code == 0
    assert told.out.startswith(f"Nothing was running.\nprocess {other.pid}: ")
    assert is_living(pid)
    other.kill()
    other.wait()
    assert tidewheel("serve", "down", "-p", project)[:2] == (0, "1 processes ended.\n")


@pytest.mark.parametrize("command", ["down", "up"])
def test_a_server_that_is_being_started_is_left_to_its_starter(
    tidewheel: Command, project: Path, other: psutil.Popen, command: str
) -> None:
    run, pid = begin(project)
    change(run, owner=other.pid, owner_created=other.create_time())
    told = tidewheel("serve", command, "-p", project)
    assert told.code == 2
    assert f"process {other.pid}: " in told.err
    assert "is at work in" in told.err
    assert is_living(pid)
    run.release()  # its starter is done with it
    assert tidewheel("serve", "down", "-p", project)[:2] == (0, "1 processes ended.\n")


def test_an_orphan_of_ours_does_not_hold_the_port_against_us(tidewheel: Command, project: Path) -> None:
    run = Run.begin(project / "state" / "services")
    heard = run.folder / "port"
    pid = run.start("orphan", [sys.executable, "-c", textwrap.dedent(LISTEN), str(heard)], environment()).pid
    wait_for(heard.exists)
    told = tidewheel("serve", "up", "-p", project, "--port", heard.read_text(encoding="utf-8"))
    assert told.code == 2
    assert "has no ledger yet" in told.err  # the port is looked at before the ledger
    assert not is_living(pid)
    assert not os.path.lexists(run.temp)


def test_a_prefect_server_that_the_user_names_is_used_as_he_says(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example/api")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "his:own")
    before = dict(os.environ)
    with prefect_for(Workplace.open(project)):
        assert dict(os.environ) == before
    assert not (project / "state").exists()


def test_a_demo_holds_its_folder_before_it_empties_it(tmp_path: Path) -> None:
    """Another demo in the same folder would elsewise empty it under this one."""
    folder = take_folder(tmp_path / "demo")
    home = folder / "state" / "services"
    try:
        (folder / "state" / "ledger.sqlite").touch()
        (home / "prefect").mkdir(exist_ok=True)
        (folder / "linked").symlink_to(tmp_path)
        assert take_folder(folder) == folder
        run = Run.read(home)
        assert run is not None
        assert run.owner == os.getpid()
        left = {str(path.relative_to(folder)) for path in folder.rglob("*")}
        own = {"run.json", "run.lock", run.own.name}
        assert left == {
            ".tidewheel-demo",
            "state",
            "state/services",
            *(f"state/services/{name}" for name in own),
        }
    finally:
        reap(home)


def test_a_kept_server_is_ray_alone(
    tidewheel: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo's Prefect server ends with the command, also where its server is kept."""
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_HOME"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # as before when the test ends
    home = project / "state" / "services"
    with services(project, keep=True):
        run = Run.read(home)
        assert run is not None
        assert set(run.services) == {RAY, PREFECT}
        url = os.environ["PREFECT_API_URL"]
        assert os.environ["PREFECT_API_AUTH_STRING"].startswith("tidewheel:")
        assert answers(f"{url}/health")
        started = find_processes([run.services[PREFECT]], None)
        assert started != []
    kept = Run.read(home)
    assert kept is not None
    assert set(kept.services) == {RAY}
    assert ray_address(kept) is not None
    assert not answers(f"{url}/health")
    assert [one for one in started if is_living(one.pid)] == []
    assert tidewheel("serve", "down", "-p", project).code == 0
    assert find_processes(list(run.services.values()), run.run_id) == []
    assert not os.path.lexists(run.temp)
