"""Reading `tidewheel.toml`: the file as a whole is checked before anything runs, and every error says where and what.

What belongs here: finding the file, parsing it, listing its errors, and the user's Python code named as `module:function`.
What does not: which keys exist (`project.settings`), what contradicts itself (`project.checks`), the sentences
(`project.wording`) and the lines (`project.places`).
"""

import hashlib
import importlib
import json
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tidewheel.errors import SettingsError, UnknownNameError
from tidewheel.project.checks import find_contradictions
from tidewheel.project.places import Place, find_places, nearest_line
from tidewheel.project.settings import REFERENCE_PATTERN, Settings
from tidewheel.project.wording import describe, nearest

ERRORS_SHOWN = 20
"""So many errors of one file are listed; a file in another format altogether would fill the screen."""

PROJECT_FILE = "tidewheel.toml"


def read_settings(path: Path) -> Settings:
    """Read and check a project file.

    Args:
        path: the file `tidewheel.toml`.

    Raises:
        SettingsError: the file is missing, is no TOML, has an unknown key or a value that is not acceptable, or its sections
            contradict each other. The message names the file, the line, the dotted path, what was expected and what was
            got, one line for each error, all at once and in the order of the file.
    """
    text = _read_text(path)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(_not_toml(path, text, str(error))) from error
    try:
        settings = Settings.model_validate(content)
    except ValidationError as error:
        raise SettingsError(_listed(path, text, map(describe, map(dict, error.errors())))) from error
    if found := list(find_contradictions(settings)):
        raise SettingsError(_listed(path, text, found))
    return settings


def settings_sha256(settings: Settings) -> str:
    """Digest the checked settings, as 64 hex digits; order and layout of the file do not matter."""
    text = json.dumps(settings.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def load_reference(reference: str) -> Callable[..., Any]:
    """Import the user's function named `module:function`.

    An error that the module raises while it is imported is the user's own and passes through.

    Raises:
        UnknownNameError: the reference has another form, or there is no such module or function; the message lists the
            module's functions.
    """
    if re.fullmatch(REFERENCE_PATTERN, reference) is None:
        raise UnknownNameError(f"a reference must have the form 'module:function'; got {reference!r}")
    module_name, _, name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # A module that the user's module imports and that is missing is another story, with its own message.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise UnknownNameError(
            f"{reference!r} names a module that cannot be found: {error.name}; is its folder on PYTHONPATH?"
        ) from error
    function = getattr(module, name, None)
    if function is not None and not callable(function):
        raise UnknownNameError(
            f"{name!r} of {module_name} is no function; it is of type {type(function).__name__}"
        )
    if function is None:
        own = [
            key
            for key, value in vars(module).items()
            if callable(value)
            and getattr(value, "__module__", None) == module_name
            and not key.startswith("_")
        ]
        raise UnknownNameError(f"{module_name} has no function {name!r}{nearest(name, sorted(own))}")
    return function  # type: ignore[no-any-return]


def _read_text(path: Path) -> str:
    try:
        # Editors on Windows put a byte order mark first, which TOML does not know.
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise SettingsError(f"there is no project file {path}; give its folder with --project") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        wrong = error.object[error.start]
        raise SettingsError(f"{path}:{line}: the file must be UTF-8; got the byte 0x{wrong:02x}") from error
    except OSError as error:
        raise SettingsError(f"cannot read the project file {path}: {error.strerror}") from error


def _not_toml(path: Path, text: str, words: str) -> str:
    """Put the parser's place before its words: "Invalid value (at line 3, column 5)" or "(at end of document)"."""
    said = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", words, re.DOTALL)
    if said is None:
        return f"{path}: is not TOML: {words}"
    line = said[2] or text.rstrip("\n").count("\n") + 1
    place = f", column {said[3]}" if said[3] else ", where the file ends"
    return f"{path}:{line}: is not TOML: {said[1][:1].lower()}{said[1][1:]}{place}"


def _listed(path: Path, text: str, found: Iterable[tuple[Place, str]]) -> str:
    """List errors in the order of the file, those without a line first: a table is missing altogether."""
    places = find_places(text)
    placed = sorted(
        ((nearest_line(places, where) or 0, ".".join(where), words) for where, words in found),
        key=lambda row: row[0],
    )
    lines = [f"{path}:{line}: {dotted}: {words}" if line else f"{path}: {dotted}: {words}"
             for line, dotted, words in placed]  # fmt: skip
    more = f"\n... and {len(lines) - ERRORS_SHOWN} more" if len(lines) > ERRORS_SHOWN else ""
    return "\n".join(lines[:ERRORS_SHOWN]) + more
