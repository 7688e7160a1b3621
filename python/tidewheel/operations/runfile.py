"""The run file: which processes one project has started, and how they are found and ended again, whatever happened since.

Every service starts in an OS session of its own and inherits the marker `TIDEWHEEL_RUN=<run id>`. The run file is written
before the first process starts, so that a start killed half-way leaves a marker to search for. Processes are found by
process id *and* start time, by session, and by marker; never by name. Who starts what: `operations.services`.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from tidewheel.errors import InputError, ServiceError

RUN_FILE = "run.json"
MARKER = "TIDEWHEEL_RUN"
"""Environment variable that all processes of a run inherit."""

FORMAT_VERSION = 2

SHORT_FOLDER = "/tmp"
"""Sockets live here: their addresses are limited to 107 bytes, and Ray's are nearly 80 below its own folder."""

LEADER_S, TERM_S, KILL_S = 8.0, 2.0, 10.0
"""Ray's head ends within 0.4 s of being asked and Prefect's server within 3 s (2 busy cores); what then is still there
has lost its parent."""

ORPHAN_S = 1.0
"""Children that their service did not wait for are gone a little later by themselves."""

POLL_S = 0.05

START_TOLERANCE_S = 1.0
"""Start times are compared with the kernel's clock ticks; two runs of one process id are minutes apart at least."""


@dataclass(frozen=True, slots=True)
class Service:
    """Name one started process: `session` is its OS session, `created` its start time in seconds since 1970."""

    name: str
    pid: int
    created: float
    session: int
    log: str
    ports: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """Hold one run: its id, its folders and its services. `folder` is kept; `temp` goes when the run is reaped."""

    run_id: str
    folder: Path
    temp: Path
    owner: int
    """Process id of whoever began the run, and its start time in seconds since 1970."""
    owner_created: float
    services: dict[str, Service] = field(default_factory=dict)

    @classmethod
    def begin(cls, folder: Path) -> "Run":
        """End what an earlier run left in `folder`, then begin a new one; its file is on disk when this returns.

        Raises:
            InputError: `folder` cannot be made or written, or another process is at work in it.
            ServiceError: Something of the earlier run could not be ended.
        """
        check_owner(folder)
        reap(folder)
        run_id = secrets.token_hex(8)
        temp = Path(SHORT_FOLDER) / f"tw-{run_id[:8]}"
        run = cls(run_id, folder.resolve(), temp, os.getpid(), psutil.Process().create_time())
        try:
            folder.mkdir(parents=True, exist_ok=True)
            run._write()
            temp.mkdir(mode=0o700)
        except OSError as error:
            raise InputError(f"cannot write in {folder}: {error.strerror}") from error
        return run

    @classmethod
    def read(cls, folder: Path) -> "Run | None":
        """Give the run of `folder` as its file tells it, or None without one.

        Raises:
            InputError: The run file is not one.
        """
        file = folder / RUN_FILE
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise InputError(f"{file} is not a run file: {error}") from error
        if known.get("format_version") != FORMAT_VERSION:
            raise InputError(
                f"{file} must have format_version {FORMAT_VERSION}; got {known.get('format_version')!r}"
            )
        services = {name: Service(**service) for name, service in known["services"].items()}
        owner, created = known["owner"], known["owner_created"]
        return cls(known["run_id"], folder.resolve(), Path(known["temp"]), owner, created, services)

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        ports: Mapping[str, int] | None = None,
    ) -> Service:
        """Start `command` in its own OS session, its output in `<folder>/<name>.log`, and note it in the run file.

        Args:
            name: The service's name in this run; a later start of the same name takes its place.
            command: Program and arguments.
            environment: The whole environment, to which the marker is added.
            ports: The service's ports by what they are for.

        Raises:
            ServiceError: The program cannot be started.
        """
        log = self.folder / f"{name}.log"
        try:
            with log.open("wb") as output:
                process = subprocess.Popen(
                    command,
                    env={**environment, MARKER: self.run_id},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self.folder,
                    start_new_session=True,
                )
            created = psutil.Process(process.pid).create_time()
        except (OSError, psutil.Error) as error:
            raise ServiceError(f"{name} could not be started: {error}; its log is {log}") from error
        service = Service(name, process.pid, created, process.pid, str(log), dict(ports or {}))
        self.services[name] = service
        self._write()
        return service

    def is_alive(self, name: str) -> bool:
        """Say whether the service's own process runs."""
        return _own_process(self.services[name]) is not None

    def _write(self) -> None:
        known = {**asdict(self), "folder": None, "temp": str(self.temp), "format_version": FORMAT_VERSION}
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".part", delete=False) as file:
            json.dump(known, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, self.folder / RUN_FILE)


def check_owner(folder: Path) -> None:
    """Refuse to take over a folder while the process that began its run is still at work.

    Raises:
        InputError: it is; the message names it.
    """
    run = Run.read(folder)
    if run is None or run.owner == os.getpid():
        return
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(run.owner)
        if _is_same(process, run.owner_created):
            raise InputError(
                f"{_describe(process)} is at work in {folder}; wait for it, or end it, then try again"
            )


def reap(folder: Path, *, only: str | None = None) -> list[str]:
    """End all processes of the run of `folder`, living or dead: ask, wait, kill, and wait until they are gone.

    The calling process and its ancestors are spared, whatever they have inherited. A signal that asks this process to end,
    such as a second Ctrl-C, waits until all is done.

    Args:
        folder: The run's folder; nothing happens if it has no run file.
        only: End one service (by its process and session) and leave the rest and the run's folders alone.

    Returns:
        One line for each process that was ended.

    Raises:
        ServiceError: A process is still there after it was killed.
    """
    run = Run.read(folder)
    if run is None:
        return []
    with signals_held():
        return _reap(run, only)


def _reap(run: Run, only: str | None) -> list[str]:
    services = [one for name, one in run.services.items() if only in (None, name)]
    marker = run.run_id if only is None else None
    ended: dict[int, str] = {}
    leaders = [process for one in services if (process := _own_process(one)) is not None]
    ended.update({one.pid: _describe(one) for one in leaders})
    # Services first, on their own: they end their children in the right order, which is quicker than killing them.
    _signal(leaders, signal.SIGTERM, LEADER_S)
    # A process may start another one while it is being ended: look again until nobody is found.
    for number in (signal.SIGTERM, *[signal.SIGKILL] * 5):
        found = _wait_for_nobody(services, marker, ORPHAN_S if leaders else 0.0)
        if not found:
            break
        ended.update({one.pid: _describe(one) for one in found})
        _signal(found, number, TERM_S if number == signal.SIGTERM else KILL_S)
    else:
        raise ServiceError(
            f"could not end {_describe(found[0])} of run {run.run_id}; end it by hand, then try again"
        )
    if only is None:
        shutil.rmtree(run.temp, ignore_errors=True)
        (run.folder / RUN_FILE).unlink(missing_ok=True)
    else:
        del run.services[only]
        run._write()
    return list(ended.values())


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Let signals that ask this process to end wait until the block is left; only the main thread gets signals.

    `reap` holds them itself; whoever does something else before it, while already ending, holds them for both.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    former = {
        number: signal.signal(number, lambda number, _: arrived.append(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        for arrival in arrived[:1]:
            signal.raise_signal(arrival)


def find_processes(services: Sequence[Service], marker: str | None) -> list[psutil.Process]:
    """Find the living processes of these services: their own, those with the marker, and those of both's sessions."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    wanted = None if marker is None else f"{MARKER}={marker}".encode()
    sessions = {one.session for one in services if _is_session_ours(one)}
    own = {process.pid for one in services if (process := _own_process(one)) is not None}
    living: dict[int, tuple[int, psutil.Process]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid in spared or process.status() == psutil.STATUS_ZOMBIE:
                continue
            session = os.getsid(process.pid)
            living[process.pid] = (session, process)
            if wanted is not None and wanted in Path(f"/proc/{process.pid}/environ").read_bytes().split(
                b"\0"
            ):
                own.add(process.pid)
    # Ray's processes write their titles over their environment: whoever is in a session led by one of ours is ours.
    sessions |= own & {session for session, _ in living.values()}
    sessions.discard(os.getsid(0))
    return [process for pid, (session, process) in living.items() if pid in own or session in sessions]


def _own_process(service: Service) -> psutil.Process | None:
    """Give the service's process if the one with its id is still the one that was started, and not a zombie."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(service.pid)
        if _is_same(process, service.created):
            return process
    return None


def _is_same(process: psutil.Process, created: float) -> bool:
    """Say whether a process is the one that started at `created`, and not a zombie."""
    same = abs(process.create_time() - created) < START_TOLERANCE_S
    return same and process.status() != psutil.STATUS_ZOMBIE


def _is_session_ours(service: Service) -> bool:
    """Say whether the session is still the service's: its leader is gone (its id stays taken) or is the same process."""
    try:
        leader = psutil.Process(service.session)
        return abs(leader.create_time() - service.created) < START_TOLERANCE_S
    except psutil.NoSuchProcess:
        return True


def _describe(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"process {process.pid}: {' '.join(process.cmdline())[:80].strip()}"
    return f"process {process.pid}"


def _wait_for_nobody(services: Sequence[Service], marker: str | None, limit_s: float) -> list[psutil.Process]:
    """Give whoever is still there after at most `limit_s`."""
    deadline = time.monotonic() + limit_s
    while (found := find_processes(services, marker)) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return found


def _signal(processes: Sequence[psutil.Process], number: signal.Signals, limit_s: float) -> None:
    """Send a signal to each process, then wait until all are gone or `limit_s` is over."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
    psutil.wait_procs(processes, timeout=limit_s)
