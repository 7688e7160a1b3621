"""What is wrong with a project file, in sentences: what was required, what was got, and which known name is nearest.

What belongs here: words for pydantic's errors. What does not: where an error stands (`project.places`) and what is wrong
across sections (`project.checks`).
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from tidewheel.project.places import Place
from tidewheel.project.settings import HOST_PATTERN, REFERENCE_PATTERN, Settings

SHOWN_MAX = 60
"""So many characters of a value are shown; a whole section in one line helps nobody."""

_EXPECTED = {
    "bool_type": "must be true or false",
    "dict_type": "must be a table of names",
    "float_type": "must be a number",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "model_type": "must be a table",
    "string_type": "must be text",
    "tuple_type": "must be a list",
}


_PATTERNS = {
    REFERENCE_PATTERN: "must name Python code as 'module:function'",
    HOST_PATTERN: "must be the name of a machine, without a port",
}


def nearest(name: str, known: Sequence[str]) -> str:
    """Name the known word nearest to `name`, else all known ones, as the end of a sentence.

    Example:
        >>> nearest("keys_mn", ["alpha", "keys_min"])
        "; did you mean 'keys_min'?"
        >>> nearest("x", ["alpha", "keys_min"])
        "; known are 'alpha', 'keys_min'"
    """
    # Upper case and dashes for underscores are slips as well, and difflib counts each as a wrong letter.
    plain = {word.lower().replace("-", "_"): word for word in known}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), plain, n=1)
    if close:
        return f"; did you mean {plain[close[0]]!r}?"
    return f"; known are {', '.join(map(repr, known))}" if known else ""


def describe(error: Mapping[str, Any]) -> tuple[Place, str]:
    """Put one of pydantic's errors into words: its place in the file, and what is wrong there."""
    where = tuple(str(part) for part in error["loc"])
    if where and where[-1] == "[key]":
        return where[:-1], _name_words(where[-2], error)
    match error["type"]:
        case "extra_forbidden":
            return where, f"unknown key {where[-1]!r}{_unknown_words(where)}"
        case "missing":
            kind = "table" if len(where) == 1 else "key"
            return where, f"the {kind} {where[-1]!r} is required and missing"
        case _:
            return where, f"{_expected(error)}; got {shown(error['input'])}{_nearest_choice(error)}"


def shown(value: object) -> str:
    """Show a value as it was got, cut when it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 3]}..."


def _unknown_words(where: Place) -> str:
    name, section = where[-1], where[:-1]
    known = _keys_at(section)
    guess = nearest(name, known)
    homes = [home for home, keys in _key_homes() if name in keys]
    if "did you mean" not in guess and homes:
        return f"; it belongs to {' or '.join(homes)}"
    if "did you mean" in guess and section:
        return f"{guess} Known are {', '.join(map(repr, known))}"
    return guess


def _name_words(name: str, error: Mapping[str, Any]) -> str:
    """Word a wrong name of a table among tables, such as the stage of a gate."""
    choices = _choices(error)
    if choices:
        return f"unknown name {name!r}{nearest(name, choices)}"
    return f"the name {_expected(error)}; got {name!r}"


def _expected(error: Mapping[str, Any]) -> str:
    if error["type"] in _EXPECTED:
        return _EXPECTED[error["type"]]
    pattern = error.get("ctx", {}).get("pattern")
    if pattern in _PATTERNS:
        return _PATTERNS[pattern]
    # "Value error, " comes before the words of our own validators.
    words = str(error["msg"]).removeprefix("Value error, ")
    for subject in ("Input should ", "String should ", "Tuple should ", "Dictionary should "):
        words = words.replace(subject, "must ")
    return words


def _nearest_choice(error: Mapping[str, Any]) -> str:
    choices = _choices(error)
    guess = nearest(str(error["input"]), choices) if choices else ""
    return guess if "did you mean" in guess else ""


def _choices(error: Mapping[str, Any]) -> list[str]:
    if error["type"] != "literal_error":
        return []
    return str(error["ctx"]["expected"]).replace(" or ", ", ").replace("'", "").split(", ")


def _keys_at(where: Place) -> list[str]:
    """List the keys that the table at `where` may have, by walking the annotations of the settings."""
    annotation: Any = Settings
    for part in where:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            annotation = annotation.model_fields[part].annotation
        else:
            # A table of names or a list: the part is a name or a number, and what is inside has the last argument's type.
            annotation = [inner for inner in get_args(annotation) if inner is not ...][-1]
    is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return list(annotation.model_fields) if is_section else []


def _key_homes(annotation: Any = Settings, name: str = "") -> Iterator[tuple[str, list[str]]]:
    """Walk through all sections: how each is written in the file, and its keys."""
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        wraps = get_origin(annotation) is dict
        for inner in get_args(annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _key_homes(inner, f"{name}.<name>" if wraps else name)
        return
    yield f"[{name}]" if name else "the top of the file", list(annotation.model_fields)
    for key, field in annotation.model_fields.items():
        yield from _key_homes(field.annotation, f"{name}.{key}" if name else key)
