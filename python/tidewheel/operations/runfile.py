"""The run file: which processes one project has started, and how they are found and ended again, whatever happened since.

Every service starts in an OS session of its own and inherits the marker `TIDEWHEEL_RUN=<run id>`. The run file is written
before the first process starts, so that a start killed half-way leaves a marker to search for. Processes are found by
process id *and* start time, by session, and by marker; never by name. Who looks at a run, ends it or begins another holds
the folder's lock meanwhile. Who starts what: `operations.services`.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from tidewheel.errors import InputError, ServiceError
from tidewheel.operations.folders import locked, make_private
from tidewheel.operations.shortcuts import mend_link, remove_link

RUN_FILE = "run.json"
MARKER = "TIDEWHEEL_RUN"
"""Environment variable that all processes of a run inherit."""

FORMAT_VERSION = 3

SHORT_FOLDER = "/tmp"
"""Links to the folders of runs lie here, whatever TMPDIR says: the addresses of sockets are limited to 107 bytes, and Ray's
are nearly 80 below its own folder."""

RUN_ID = re.compile("[0-9a-f]{16}")
"""Paths are made from the id, and folders of these paths removed: a run file cannot name any others."""

LEADER_S, TERM_S, KILL_S = 8.0, 2.0, 10.0
"""Ray's head ends within 0.4 s of being asked and Prefect's server within 3 s (2 busy cores); what then is still there
has lost its parent."""

ORPHAN_S = 1.0
"""Children that their service did not wait for are gone a little later by themselves."""

POLL_S = 0.05

START_TOLERANCE_S = 1.0
"""Start times are compared with the kernel's clock ticks; two runs of one process id are minutes apart at least."""


BY_HAND = (
    f"end the processes that `grep -l {MARKER} /proc/[0-9]*/environ` lists, as far as they are of this project, and "
    "remove the file"
)


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
    """Hold one run: its id, its folder and its services. The folder is kept; `own` and `temp` go when the run is reaped."""

    run_id: str
    folder: Path
    owner: int
    """Process id of whoever began the run, and its start time in seconds since 1970; 0 once it is done with it."""
    owner_created: float
    services: dict[str, Service] = field(default_factory=dict)

    @property
    def own(self) -> Path:
        """Folder of the run's own files, such as tokens: only its user may enter it."""
        return self.folder / f"run-{self.run_id}"

    @property
    def temp(self) -> Path:
        """Short path of `own`, for sockets: a symbolic link that whoever lives as long as the run keeps."""
        return Path(SHORT_FOLDER) / f"tw-{self.run_id[:8]}"

    @classmethod
    def begin(cls, folder: Path, refuse: Callable[["Run"], None] | None = None) -> "Run":
        """End what an earlier run left in `folder`, then begin a new one; its file is on disk when this returns.

        Of several processes that begin at once, one does; the others wait for it and are refused.

        Args:
            folder: Where the run's files are; only its user may enter it from then on.
            refuse: Looks at the earlier run before it is ended, and raises if it shall not be.

        Raises:
            InputError: `folder` cannot be made or written, holds no Unix sockets, or another process is at work in it.
            ServiceError: Something of the earlier run could not be ended.
        """
        make_private(folder)
        with locked(folder):
            _end_former(folder, refuse)
            run_id = secrets.token_hex(8)
            run = cls(run_id, folder.resolve(), os.getpid(), psutil.Process().create_time())
            try:
                run._write()
                run.own.mkdir(mode=0o700)
            except OSError as error:
                raise InputError(f"cannot write in {folder}: {error.strerror}") from error
            try:
                run._make_link()
            except InputError:
                _clear(run)
                raise
        return run

    @classmethod
    def read(cls, folder: Path) -> "Run | None":
        """Give the run of `folder` as its file tells it, or None without one.

        Raises:
            InputError: The run file is not one, or has another format.
        """
        known = _read_file(folder)
        if known is None:
            return None
        version = known.get("format_version")
        if version != FORMAT_VERSION:
            is_newer = isinstance(version, int) and version > FORMAT_VERSION
            other = "use the Tidewheel that wrote it" if is_newer else BY_HAND
            remedy = "`tidewheel serve down` ends what it names" if _is_older(known) else other
            raise InputError(
                f"{folder / RUN_FILE} must have format_version {FORMAT_VERSION}; got {version!r}; {remedy}"
            )
        return _run_of(folder, known)

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
                    umask=0o077,
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

    def release(self) -> None:
        """Say that whoever began the run is done with it: what was started goes on, and anybody may end it."""
        replace(self, owner=0)._write()

    def check_link(self) -> None:
        """Make the short link again if it is gone.

        Raises:
            ServiceError: It cannot be made, or something that is not ours is in its place.
        """
        try:
            # The link must be its user's: the superuser, who may look at anybody's run, makes none.
            wrong = mend_link(self.temp, self.own) if self.own.stat().st_uid == os.geteuid() else ""
        except OSError as error:
            wrong = f"{self.temp} cannot be made again: {error.strerror}"
        if wrong:
            raise ServiceError(f"{wrong}; `tidewheel serve down`, then start again")

    def _make_link(self) -> None:
        """Make the short link, and try a socket through it.

        Raises:
            InputError: one of both is not to be had there.
        """
        try:
            wrong = mend_link(self.temp, self.own)
        except OSError as error:
            wrong = f"{self.temp} cannot be made a link to {self.own}: {error.strerror}"
        if wrong:
            raise InputError(wrong)
        trial = self.temp / "trial.sock"
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(str(trial))
            trial.unlink()
        except OSError as error:
            raise InputError(
                f"{self.folder} must be on a file system with Unix sockets; got: {error.strerror}; "
                "move the project to a local disk"
            ) from error

    def _write(self) -> None:
        known = {**asdict(self), "folder": None, "format_version": FORMAT_VERSION}
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".part", delete=False) as file:
            json.dump(known, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.replace(file.name, self.folder / RUN_FILE)


def _read_file(folder: Path) -> dict[str, Any] | None:
    file = folder / RUN_FILE
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is not a run file: {error}; {BY_HAND}") from error
    if not isinstance(known, dict):
        raise InputError(f"{file} is not a run file: it holds no object; {BY_HAND}")
    return known


def _run_of(folder: Path, known: Mapping[str, Any]) -> Run:
    try:
        services = {name: Service(**service) for name, service in known["services"].items()}
        run = Run(known["run_id"], folder.resolve(), known["owner"], known["owner_created"], services)
        is_whole = RUN_ID.fullmatch(run.run_id) is not None and run.owner >= 0
        is_whole &= all(one.pid > 0 and one.session > 0 and one.created >= 0 for one in services.values())
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{folder / RUN_FILE} is not a run file: {error!r}; {BY_HAND}") from error
    if not is_whole:
        raise InputError(
            f"{folder / RUN_FILE} is not a run file: it has a run_id or process id that is none; {BY_HAND}"
        )
    return run


def _is_older(known: Mapping[str, Any]) -> bool:
    version, run_id = known.get("format_version"), known.get("run_id")
    is_older = isinstance(version, int) and version < FORMAT_VERSION
    return is_older and isinstance(run_id, str) and RUN_ID.fullmatch(run_id) is not None


def _former(folder: Path) -> Run | None:
    """Give the run of `folder` for ending it: of an older format, what can be found by its marker at least."""
    known = _read_file(folder)
    if known is None or not _is_older(known):
        return Run.read(folder)
    try:
        return _run_of(folder, known)
    except InputError:
        return Run(known["run_id"], folder.resolve(), 0, 0.0)


def _end_former(folder: Path, refuse: Callable[[Run], None] | None) -> list[str]:
    # Whether a server of an older format still answers cannot be told: who asks is sent to `serve down`.
    run = _former(folder) if refuse is None else Run.read(folder)
    if run is None:
        return []
    owner = _owner_at_work(run)
    if owner is not None:
        raise InputError(f"{owner} is at work in {run.folder}; wait for it, or end it, then try again")
    if refuse is not None:
        refuse(run)
    with signals_held():
        return _reap(run, None)


def owner_at_work(folder: Path) -> str | None:
    """Name the process that began the run of `folder` and is still at work in it; None if nobody is, or it is this one.

    Raises:
        InputError: The run file is none.
    """
    run = _former(folder)
    return None if run is None else _owner_at_work(run)


def _owner_at_work(run: Run) -> str | None:
    if run.owner in (0, os.getpid()):
        return None
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(run.owner)
        if _is_same(process, run.owner_created):
            return _describe(process)
    return None


def end_former(folder: Path, refuse: Callable[[Run], None] | None = None) -> list[str]:
    """End what an earlier run left in `folder`, unless whoever began it is still at work.

    Args:
        folder: The run's folder; nothing happens if it has no run file.
        refuse: Looks at the run before it is ended, and raises if it shall not be.

    Returns:
        One line for each process that was ended.

    Raises:
        InputError: It is at work, and named; or the run file is none.
        ServiceError: A process is still there after it was killed.
    """
    if _read_file(folder) is None:
        return []
    with locked(folder):
        return _end_former(folder, refuse)


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
        InputError: The run file is none.
        ServiceError: A process is still there after it was killed.
    """
    if _read_file(folder) is None:
        return []
    with locked(folder):
        run = _former(folder)
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
        _clear(run)
    else:
        del run.services[only]
        run._write()
    return list(ended.values())


def _clear(run: Run) -> None:
    """Remove the run's files and its link."""
    shutil.rmtree(run.own, ignore_errors=True)
    remove_link(run.temp, run.own)
    (run.folder / RUN_FILE).unlink(missing_ok=True)


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
        words = " ".join(process.cmdline()).split()  # a program given in words has line ends
        return f"process {process.pid}: {' '.join(words)[:80].strip()}"
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
