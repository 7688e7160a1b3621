"""Calling the command of a user: what it says, and how it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tidewheel.cli.main import main
from tidewheel.operations.runfile import MARKER, Run


class Told(NamedTuple):
    """What a command said and how it ended."""

    code: int
    out: str
    err: str


Command = Callable[..., Told]

PROGRAM = Path(sys.executable).with_name("tidewheel")


def environment() -> dict[str, str]:
    """Give this process's environment without what the tests set for Prefect."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}


def shell(*arguments: object, timeout_s: float = 240.0) -> Told:
    """Call the command in a process of its own, as a user would."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(),
    )
    return Told(done.returncode, done.stdout, done.stderr)


def in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Give what calls the command in this process, as often as wanted."""

    def call(*arguments: object) -> Told:
        monkeypatch.setattr(sys, "argv", ["tidewheel", *map(str, arguments)])
        try:
            code = main()
        except SystemExit as end:
            code = int(end.code or 0)
        caught = capsys.readouterr()
        return Told(code, caught.out, caught.err)

    return call


class Demo:
    """A running `tidewheel demo`, which can be watched, killed and waited for; and the processes that it started."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.services = folder / "state" / "services"
        self.lines: list[str] = []
        self.sessions: set[int] = set()
        self.marks: set[bytes] = set()
        self._process = subprocess.Popen(
            [PROGRAM, "demo", "--out", folder, *options],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Whoever runs the tests in the background ignores Ctrl-C, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def watch(self, words: str) -> None:
        """Wait until the demo announces a step whose line has these words."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line)
            if words in line:
                self.note()
                return
        raise AssertionError(f"the demo ended without {words!r}:\n" + "".join(self.lines))

    def watch_services(self, limit_s: float = 60.0) -> None:
        """Wait until the first service has been started, which then is far from ready."""
        deadline = time.monotonic() + limit_s
        while not self.sessions:
            assert time.monotonic() < deadline, "no service was started"
            time.sleep(0.01)
            self.note()

    def note(self) -> None:
        """Remember what the run file names at this moment."""
        run = Run.read(self.services)
        if run is not None:
            self.marks.add(f"{MARKER}={run.run_id}".encode())
            self.sessions |= {service.session for service in run.services.values()}

    def send(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it as `kill -9` does."""
        self.send(signal.SIGKILL)
        self._process.communicate()
        self.note()

    def finish(self) -> Told:
        """Wait for its end."""
        out, err = self._process.communicate()
        return Told(self._process.returncode, out, "".join(self.lines) + err)

    def living(self) -> list[psutil.Process]:
        """Find the processes that it started and that still run: by their sessions, and by the marker they inherited."""
        found = []
        for process in psutil.process_iter():
            try:
                is_ours = os.getsid(process.pid) in self.sessions
                marks = set(Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0"))
                if (is_ours or marks & self.marks) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (OSError, psutil.Error):
                continue
        return found
