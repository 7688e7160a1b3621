"""The run file, and ending what a run left: with small processes of our own, in sessions of their own."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tidewheel.errors import InputError, ServiceError
from tidewheel.operations.folders import LOCK_FILE
from tidewheel.operations.runfile import MARKER, RUN_FILE, Run, find_processes, reap

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('stubborn', 'w'); time.sleep(600)"
FAMILY = """
    import subprocess, sys, time
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    same = subprocess.Popen(sleep, env={})
    other = subprocess.Popen(sleep, start_new_session=True)
    open("family.part", "w").write(f"{same.pid} {other.pid}")
    import os; os.rename("family.part", "family")
    time.sleep(600)
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    begun = Run.begin(tmp_path / "services")
    yield begun
    reap(begun.folder)


def wait_for(condition: Callable[[], object], limit_s: float = 20.0) -> None:
    pause = psutil.Popen(["sleep", str(limit_s)])  # the limit: a condition is looked at until it ends
    try:
        while not condition():
            assert pause.poll() is None, "the condition did not come true in time"
    finally:
        pause.kill()
        pause.wait()


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != MARKER}


def test_a_started_service_has_its_own_session_and_stands_in_the_file(run: Run) -> None:
    service = run.start("sleeper", SLEEP, environment(), {"http": 4711})
    assert service.session == service.pid == os.getsid(service.pid)
    read = Run.read(run.folder)
    assert read == run
    assert read is not None
    assert read.services["sleeper"].ports == {"http": 4711}
    assert read.is_alive("sleeper")


def test_reaping_ends_the_family_in_both_sessions(run: Run) -> None:
    service = run.start("family", [sys.executable, "-c", textwrap.dedent(FAMILY)], environment())
    wait_for((run.folder / "family").exists)
    pids = [service.pid, *map(int, (run.folder / "family").read_text().split())]
    ended = reap(run.folder)
    assert len(ended) == 3
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)
    assert not run.temp.exists()
    assert not (run.folder / RUN_FILE).exists()
    assert reap(run.folder) == []


def test_orphans_are_found_after_their_leader_was_killed(run: Run) -> None:
    service = run.start("family", [sys.executable, "-c", textwrap.dedent(FAMILY)], environment())
    wait_for((run.folder / "family").exists)
    os.kill(service.pid, signal.SIGKILL)
    wait_for(lambda: not run.is_alive("family"))
    assert len(reap(run.folder)) == 2


def test_a_start_killed_before_it_was_noted_is_found_by_its_marker(run: Run) -> None:
    started = subprocess.Popen(SLEEP, env={**environment(), MARKER: run.run_id}, start_new_session=True)
    assert [one.pid for one in find_processes([], run.run_id)] == [started.pid]
    assert len(reap(run.folder)) == 1
    assert not psutil.pid_exists(started.pid)
    started.wait()  # psutil took its status


def test_whoever_ignores_the_request_is_killed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidewheel.operations.runfile.LEADER_S", 0.2)
    service = run.start("stubborn", [sys.executable, "-c", STUBBORN], environment())
    wait_for((run.folder / "stubborn").exists)
    assert len(reap(run.folder)) == 1
    assert not psutil.pid_exists(service.pid) or psutil.Process(service.pid).status() == "zombie"


def test_a_process_id_used_again_is_left_alone(run: Run) -> None:
    stranger = subprocess.Popen(SLEEP, env=environment(), start_new_session=True)
    try:
        service = run.start("sleeper", SLEEP, environment())
        aged = replace(service, pid=stranger.pid, session=stranger.pid, created=service.created - 3600.0)
        assert find_processes([aged], None) == []
    finally:
        stranger.kill()
        stranger.wait()


def test_one_service_can_be_ended_alone(run: Run) -> None:
    run.start("one", SLEEP, environment())
    run.start("two", SLEEP, environment())
    assert len(reap(run.folder, only="one")) == 1
    read = Run.read(run.folder)
    assert read is not None
    assert list(read.services) == ["two"]
    assert read.is_alive("two")
    assert run.temp.exists()


def test_a_new_run_ends_the_former_one(run: Run) -> None:
    service = run.start("sleeper", SLEEP, environment())
    begun = Run.begin(run.folder)
    assert begun.run_id != run.run_id
    assert not psutil.pid_exists(service.pid) or psutil.Process(service.pid).status() == "zombie"
    assert not run.temp.exists()


def test_the_caller_and_its_ancestors_are_spared(run: Run) -> None:
    script = f"""
        import sys
        from pathlib import Path
        from tidewheel.operations.runfile import reap
        print(len(reap(Path({str(run.folder)!r}))))
    """
    run.start("sleeper", SLEEP, environment())
    inherited = {**environment(), MARKER: run.run_id}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=inherited,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr


def test_sockets_below_the_temporary_folder_have_short_addresses(run: Run) -> None:
    assert len(str(run.temp)) <= 16
    assert run.temp.is_symlink()
    assert run.temp.resolve().parent == run.folder
    assert run.temp.stat().st_mode & 0o777 == run.folder.stat().st_mode & 0o777 == 0o700


def test_the_state_of_a_project_is_its_users_alone(tmp_path: Path) -> None:
    run = Run.begin(tmp_path / "state" / "services")
    try:
        assert {folder.stat().st_mode & 0o777 for folder in (run.folder, run.folder.parent)} == {0o700}
    finally:
        reap(run.folder)


def test_a_folder_that_others_could_enter_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    run = Run.begin(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    run.start("writer", [sys.executable, "-c", "open('written', 'w')"], environment())
    wait_for((tmp_path / "written").exists)
    assert (tmp_path / "written").stat().st_mode & 0o077 == 0
    reap(tmp_path)


REAPER = """
    import os, signal, sys
    from pathlib import Path
    from tidewheel.operations import runfile

    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests in the background ignores it
    signal_sent = runfile._signal
    def impatient(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        signal_sent(*arguments)
    runfile._signal = impatient
    try:
        runfile.reap(Path(sys.argv[1]))
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_a_signal_waits_until_all_is_reaped(run: Run) -> None:
    service = run.start("family", [sys.executable, "-c", textwrap.dedent(FAMILY)], environment())
    wait_for((run.folder / "family").exists)
    pids = [service.pid, *map(int, (run.folder / "family").read_text().split())]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(REAPER), run.folder],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)
    assert not (run.folder / RUN_FILE).exists()


SERVICE = {"name": "ray", "pid": 1, "created": 0.0, "session": 1, "log": "ray.log", "ports": {}}
WHOLE = {"run_id": "0123456789abcdef", "owner": 0, "owner_created": 0.0, "services": {}, "format_version": 3}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not a run file: Expecting property name.*; end the processes that `grep -l TIDEWHEEL_RUN"),
        ("", "is not a run file: .*remove the file"),
        ("[]", "is not a run file: it holds no object"),
        ("\udcff", "is not a run file: .*utf-8"),
        (json.dumps({"format_version": 9}), "format_version 3; got 9; use the Tidewheel that wrote it"),
        (json.dumps({"format_version": "9"}), "format_version 3; got '9'; end the processes"),
        (json.dumps({"format_version": 2}), "format_version 3; got 2; end the processes"),
        (json.dumps(WHOLE | {"format_version": 2}), "format_version 3; got 2; `tidewheel serve down` ends"),
        (json.dumps({"format_version": 3}), "is not a run file: KeyError"),
        (json.dumps(WHOLE | {"services": []}), "is not a run file: AttributeError"),
        (json.dumps(WHOLE | {"services": {"ray": {"pid": 1}}}), "is not a run file: TypeError"),
        (json.dumps(WHOLE | {"run_id": "../../home"}), "is not a run file: it has a run_id"),
        (json.dumps(WHOLE | {"owner": "me"}), "is not a run file: TypeError"),
        (json.dumps(WHOLE | {"services": {"ray": SERVICE | {"pid": "1"}}}), "is not a run file: TypeError"),
        (json.dumps(WHOLE | {"services": {"ray": SERVICE | {"pid": -1}}}), "process id that is none"),
        (json.dumps(WHOLE | {"run_id": 7}), "is not a run file: TypeError"),
    ],
    ids=["cut", "empty", "no object", "no UTF-8", "newer", "no number", "older, no id", "older", "fields", "services",
         "a service", "a path as id", "an owner", "a word as process", "no process", "a number as id"],
)  # fmt: skip
def test_a_file_that_is_no_run_file_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / RUN_FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=words):
        Run.read(tmp_path)


def test_a_folder_in_the_place_of_the_run_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / RUN_FILE).mkdir()
    for act in (Run.read, Run.begin, reap):
        with pytest.raises(InputError, match=r"is not a run file: .*Is a directory"):
            act(tmp_path)


@pytest.mark.parametrize(
    "more", [{}, {"services": {"sleeper": {"pid": "one"}}}], ids=["services", "marker alone"]
)
def test_of_an_older_format_is_ended_what_can_be_found(
    run: Run, tmp_path: Path, more: dict[str, object]
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    service = run.start("sleeper", SLEEP, environment())
    known = json.loads((run.folder / RUN_FILE).read_text(encoding="utf-8"))
    older = known | {"format_version": 2, "temp": str(precious), "owner": 0} | more
    (run.folder / RUN_FILE).write_text(json.dumps(older), encoding="utf-8")
    run.temp.unlink()
    run.temp.mkdir()  # as the older format had it
    assert len(reap(run.folder)) == 1
    assert not psutil.pid_exists(service.pid) or psutil.Process(service.pid).status() == "zombie"
    assert not run.temp.exists()
    assert precious.is_dir()


def refuse_call(number: int) -> Callable[..., None]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("symlink", "cannot be made a link to .*run-"),
        ("mknod", "must be on a file system with Unix sockets; got: "),
    ],
    ids=["no links", "no sockets"],
)
def test_a_file_system_without_links_or_sockets_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    if name == "symlink":
        monkeypatch.setattr(os, "symlink", refuse_call(errno.EPERM))
    else:

        class Unbound(socket.socket):
            bind = refuse_call(errno.EPERM)

        monkeypatch.setattr(socket, "socket", Unbound)
    with pytest.raises(InputError, match=words):
        Run.begin(tmp_path / "services")
    assert {path.name for path in (tmp_path / "services").iterdir()} == {LOCK_FILE}
    assert links_into(tmp_path) == []


def links_into(folder: Path) -> list[Path]:
    """List what there is in `/tmp` of runs in and below a folder."""
    links = [path for path in Path("/tmp").glob("tw-*") if path.is_symlink()]
    return [path for path in links if path.readlink().is_relative_to(folder)]


WORKER = """
    import contextlib, io, signal, sys
    from pathlib import Path
    from tidewheel.errors import InputError
    from tidewheel.operations.runfile import Run
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # what is ended leaves no zombie for others to wait for
    project, sleep = Path(sys.argv[1]), [sys.executable, "-c", "import time; time.sleep(600)"]
    if sys.argv[2] == "down":
        from tidewheel.cli.projects import stop_serving
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            if sys.argv[2] == "down":
                with contextlib.redirect_stdout(io.StringIO()):
                    stop_serving(project)
                print("down", flush=True)
            else:
                run = Run.begin(project / "state" / "services")
                run.start("sleeper", sleep, {})
                print("begun", run.run_id, run.services["sleeper"].pid, flush=True)
        except InputError as error:
            print("refused", error, flush=True)
        except BaseException as error:
            print("failed", repr(error), flush=True)
"""

ROUNDS = 25


def living(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_of_commands_that_begin_at_once_exactly_one_begins(small_project: Path) -> None:
    """Each round starts with a service whose starter is dead: all want to end it and to begin, and one more to end all."""
    folder = small_project / "state" / "services"
    roles = ["up", "down", "up", "up"]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WORKER), small_project, role],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for role in roles
    ]

    def hear(worker: "subprocess.Popen[str]") -> str:
        assert worker.stdout is not None
        return worker.stdout.readline()

    try:
        assert {hear(worker) for worker in workers} == {"ready\n"}
        former: list[int] = []
        for turn in range(ROUNDS):
            for worker in workers[turn % 4 :] + workers[: turn % 4]:
                assert worker.stdin is not None
                worker.stdin.write("go\n")
                worker.stdin.flush()
            told = [hear(worker) for worker in workers]
            begun = [
                (worker, line.split())
                for worker, line in zip(workers, told, strict=True)
                if line[:5] == "begun"
            ]
            assert len(begun) == 1, told
            (winner, (_, run_id, pid)) = begun[0]
            others = [line for worker, line in zip(workers, told, strict=True) if worker is not winner]
            assert all(f"process {winner.pid}: " in line and "is at work in" in line
                       for line in others if not line.startswith("down")), told  # fmt: skip
            assert living(int(pid)), told
            assert [one for one in former if living(one)] == []
            former.append(int(pid))
            run = Run.read(folder)
            assert run is not None
            assert (run.run_id, run.owner) == (run_id, winner.pid)
            assert links_into(folder) == [run.temp]
            assert {path.name for path in folder.iterdir()} == {
                RUN_FILE,
                LOCK_FILE,
                "sleeper.log",
                run.own.name,
            }
            known = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
            (folder / RUN_FILE).write_text(json.dumps(known | {"owner_created": 1.0}), encoding="utf-8")
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
        reap(folder)
    assert not living(former[-1])
    assert links_into(folder) == []


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="cannot write in"):
        Run.begin(tmp_path / "file" / "below")


def test_a_program_that_is_not_there_is_refused(run: Run) -> None:
    with pytest.raises(ServiceError, match=r"ghost could not be started: .*its log is .*ghost\.log"):
        run.start("ghost", ["/nonexistent/program"], environment())


def test_a_folder_is_not_taken_from_whoever_is_at_work_in_it(tmp_path: Path) -> None:
    run = Run.begin(tmp_path)
    owner = psutil.Popen(SLEEP)
    try:
        known = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
        known |= {"owner": owner.pid, "owner_created": owner.create_time()}
        (tmp_path / "run.json").write_text(json.dumps(known), encoding="utf-8")
        with pytest.raises(InputError, match=rf"process {owner.pid}.* is at work in"):
            Run.begin(tmp_path)
    finally:
        owner.kill()
        owner.wait()
    assert Run.begin(tmp_path).run_id != run.run_id
    reap(tmp_path)
