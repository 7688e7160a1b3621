"""The file of `tidewheel drift --thresholds`: TOML or JSON, thresholds per column in the words of `drift.compare`."""

import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tidewheel.drift import arguments
from tidewheel.drift.table import rules
from tidewheel.errors import InputError


def read_thresholds(path: Path) -> dict[str, dict[str, float]]:
    """Read thresholds by column and part; the file's ending says what it is.

    Raises:
        InputError: the file cannot be read, is neither TOML nor JSON, names a key twice, or holds what
            `arguments.read_thresholds` refuses; the message names file, key and value.
    """
    if path.suffix not in {".toml", ".json"}:
        raise InputError(f"`--thresholds` must be a file that ends in .toml or .json; got {path}")
    try:
        text = path.read_text(encoding="utf-8")
        found = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text, object_pairs_hook=_once)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} must be {path.suffix[1:].upper()} in UTF-8: {error}") from error
    try:
        return arguments.read_thresholds(found)
    except InputError as error:
        raise _at(path, error) from error


def check_columns(path: Path, thresholds: rules.Thresholds, whose: str, *known: Iterable[str]) -> None:
    """Refuse thresholds of columns that none of `known` has; `whose` they are is told, and the file."""
    try:
        rules.check_known("thresholds", thresholds, whose, *known)
    except InputError as error:
        raise _at(path, error) from error


def _at(path: Path, error: InputError) -> InputError:
    return type(error)(f"{path}: {error}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"it names {name!r} twice")
    return dict(pairs)
