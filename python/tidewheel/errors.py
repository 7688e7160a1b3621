"""Every error that Tidewheel raises on purpose, by what the caller can do about it.

    TidewheelError
    |-- InputError (also a ValueError)     a value, column, row or file is not acceptable: fix the call
    |   |-- InputTypeError (also TypeError) a value or column has the wrong type
    |   |-- SettingsError                  `tidewheel.toml` is not acceptable: fix the file
    |   |-- RequestError                   a request to the server is not acceptable: its caller reads why
    |   `-- UnknownNameError (LookupError) the name is not known: use one of those listed
    |-- ServiceError                       a service did not start or answer: look at its log, try again
    |   `-- PortInUseError                 somebody else listens there: choose another port
    |-- ConflictError                      somebody else changed it first: read again, then decide again
    |-- IntegrityError                     recorded and actual contents differ: somebody has to look
    `-- MissingExtraError (ImportError)    an optional part is not installed: install the extra it names

Standard library only; no other module of Tidewheel defines an exception. The Rust extension raises these same classes.
"""

import json
from collections.abc import Mapping, Sequence


class TidewheelError(Exception):
    """Stand above every error that Tidewheel raises on purpose."""


class InputError(TidewheelError, ValueError):
    """Refuse a value, column, row or file that is not acceptable; the message names it and its place."""


class InputTypeError(InputError, TypeError):
    """Refuse a value or column of the wrong type; the message names what was required and what was got."""


class SettingsError(InputError):
    """Refuse a project file; the message names the file, the dotted path, what was expected and what was got."""


class RequestError(InputError):
    """Refuse a request to the server; `status` is the HTTP status, and each problem names what is not acceptable.

    A problem has the fields `row` (index in the request, or None), `field`, `expected` and `got`.
    """

    def __init__(self, status: int, problems: Sequence[Mapping[str, object]]) -> None:
        self.status = status
        self.problems = tuple(problems)
        super().__init__("; ".join(_sentence(problem) for problem in self.problems))

    def body(self) -> bytes:
        """Give the answer's body: JSON with `error`, one sentence on the first problem, and all `problems`."""
        error = _sentence(self.problems[0]) if self.problems else "the request is not acceptable"
        return json.dumps({"error": error, "problems": [dict(problem) for problem in self.problems]}).encode()

    def __reduce__(self) -> tuple[type["RequestError"], tuple[int, tuple[Mapping[str, object], ...]]]:
        return RequestError, (self.status, self.problems)


def _sentence(problem: Mapping[str, object]) -> str:
    place = "" if problem["row"] is None else f" in row {problem['row']}"
    return f"`{problem['field']}`{place} must be {problem['expected']}; got {problem['got']}"


class UnknownNameError(InputError, LookupError):
    """Refuse a name that is not known; the message lists the known ones."""


class ServiceError(TidewheelError):
    """Report a service that did not start, stopped, or did not answer in time; the message names its log."""


class PortInUseError(ServiceError):
    """Report a port on which another process already listens."""


class ConflictError(TidewheelError):
    """Report that a compare-and-swap lost: the state changed since it was read."""


class IntegrityError(TidewheelError):
    """Report recorded contents that differ from the actual ones: a changed past, a wrong digest."""


class MissingExtraError(TidewheelError, ImportError):
    """Report an optional part that is not installed; the message names the extra that brings it."""
