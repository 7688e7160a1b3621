"""Entry of the `tidewheel` command: it starts even in the base install, to say what else to install.

Exit codes: 0 it went well; 1 the answer is no (drift found, a gate refused, a check failed); 2 wrong use, with nothing
written; 3 a service failed or a record does not match; 130 interrupted.
"""

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from tidewheel.errors import InputError, MissingExtraError, PortInUseError, TidewheelError

WRONG_USE = 2
FAILED = 3
INTERRUPTED = 130

#: What must be ended in order: servers, their clients, and what these left to be done at the end.
SERVICES = {"prefect", "ray", "mlflow"}


def start() -> NoReturn:
    """Run the command and end the process: what the script `tidewheel` does.

    A command without services ends at once. To free polars and hundreds of modules one by one would take a sixth of the
    time of `tidewheel drift` on small tables, and change nothing that anybody sees.
    """
    try:
        code: object = main()
    except SystemExit as left:
        code = left.code
    if isinstance(code, int) and not SERVICES & sys.modules.keys() and threading.active_count() == 1:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            # Nobody reads on: the usual end says so.
            sys.exit(code)
        os._exit(code)
    sys.exit(code)  # type: ignore[arg-type]


def main() -> int:
    """Run the `tidewheel` command with the arguments of this process and return its exit code."""
    try:
        # The commands need typer and rich, which the base install does not have.
        from tidewheel.cli.app import run_command
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("tidewheel"):
            raise
        print(f"tidewheel: the command needs {error.name}; install `tidewheel[cli]` for drift and doctor, or "
              "`tidewheel[lifecycle]` for everything", file=sys.stderr)  # fmt: skip
        return WRONG_USE
    except KeyboardInterrupt:
        return INTERRUPTED
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    try:
        return run_command(sys.argv[1:])
    except (InputError, PortInUseError, MissingExtraError) as error:
        print(f"tidewheel: {error}", file=sys.stderr)
        return WRONG_USE
    except TidewheelError as error:
        print(f"tidewheel: {error}", file=sys.stderr)
        return FAILED


def leave(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does when asked to by a signal: what was started is stopped on the way out."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    start()
