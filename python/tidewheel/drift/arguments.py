"""Arguments that are no data, checked where a call begins: names of columns, choices, levels.

Each check raises one of `errors` with what was required and what was got. How many threads may be used is checked by the
extension, bins by `statistics.bins`.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import index
from typing import Any

import numpy as np

from tidewheel.drift.reading.series import column_name
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

#: What a column can be declared to be.
DECLARED = ("categorical", "numeric")
#: The tests inside a column, by the names that reports have for them.
PARTS = ("values", "tail", "missing", "nan", "infinite", "unseen")
#: The statistics that can decide a column of numbers or times, and one of categories, the default first.
DECIDERS = {"numeric": ("ks", "psi"), "categorical": ("total_variation",)}
#: Stands for all columns where something is set per column.
ALL_COLUMNS = "*"


def check_choice(argument: str, value: object, known: Sequence[str]) -> None:
    """Refuse what is not among the known names."""
    if not isinstance(value, str) or value not in known:
        raise UnknownNameError(f"`{argument}` must be one of {', '.join(map(repr, known))}; got {value!r}")


def check_instance(argument: str, value: object, kind: type) -> None:
    """Refuse what is not an object of the class."""
    if not isinstance(value, kind):
        raise InputTypeError(f"`{argument}` must be a {kind.__name__}; got {type(value).__name__}")


def check_number(argument: str, value: Any) -> None:
    """Refuse what is not a number (a bool is none)."""
    try:
        is_number = not isinstance(value, str | bytes | bool) and float(value) == value
    except (TypeError, ValueError, OverflowError):
        is_number = False
    # NaN differs from itself; it is a number whose range its caller refuses.
    if not is_number and not (isinstance(value, float) and value != value):
        raise InputTypeError(f"`{argument}` must be a number; got {value!r}")


def check_flag(argument: str, value: object) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool | np.bool_):
        raise InputTypeError(f"`{argument}` must be True or False; got {value!r}")


def check_whole(argument: str, value: object) -> None:
    """Refuse what is not a whole number (a bool is none)."""
    try:
        index("" if isinstance(value, bool) else value)  # type: ignore[arg-type]
    except TypeError as error:
        raise InputTypeError(f"`{argument}` must be a whole number; got {value!r}") from error


def check_share(argument: str, value: Any) -> None:
    """Refuse what is not a number between 0 and 1, both excluded."""
    check_number(argument, value)
    if not 0 < value < 1:
        raise InputError(f"`{argument}` must lie between 0 and 1; got {value}")


def read_items(argument: str, items: object) -> list[Any]:
    """Read a sequence of names; a string is none, for its letters would be taken for names."""
    if isinstance(items, str | bytes) or not isinstance(items, Iterable):
        raise InputTypeError(f"`{argument}` must be a list of names; got {items!r}")
    return list(items)


def read_names(argument: str, names: object) -> list[str]:
    """Read names of columns, each once and in order, in the form in which tables are read.

    Args:
        argument: The argument's name.
        names: A sequence of them; what is no string is taken by its text, as the names of a pandas table are.

    Raises:
        InputTypeError: a string, which is no sequence of names; what is no sequence; or an item that names no column.
        InputError: no name at all.
    """
    found = list(dict.fromkeys(read_name(argument, name) for name in read_items(argument, names)))
    if not found:
        raise InputError(f"`{argument}` must name at least one column; got none")
    return found


def read_name(argument: str, name: object) -> str:
    """Read the name of one column; see `read_names`."""
    if name is None or isinstance(name, bool | bytes | list | dict | set):
        raise InputTypeError(f"`{argument}` must name columns by strings; got {name!r}")
    return column_name(name)


def read_excluded(exclude: object) -> list[str]:
    """Read the names of columns to leave out, each once; none for None or an empty sequence."""
    items = [] if exclude is None else read_items("exclude", exclude)
    return list(dict.fromkeys(read_name("exclude", item) for item in items))


def read_kinds(kinds: object) -> dict[str, str]:
    """Read what columns are declared to be, by the names that they have; nothing for None.

    Raises:
        InputTypeError: `kinds` is no mapping, or a key names no column.
        UnknownNameError: an unknown kind.
    """
    if kinds is None:
        return {}
    if not isinstance(kinds, Mapping):
        raise InputTypeError(f"`kinds` must map names of columns to kinds; got {kinds!r}")
    found = {read_name("kinds", key): kind for key, kind in kinds.items()}
    for name, kind in found.items():
        check_choice(f"kinds[{name!r}]", kind, DECLARED)
    return found


def read_thresholds(thresholds: object) -> dict[str, dict[str, float]]:
    """Read thresholds per column and part; nothing for None.

    Args:
        thresholds: Per name of a column, or "*" for all columns, a number in (0, 1), which is that of the parts "values" and
            "tail", or a mapping of parts (`PARTS`) to such numbers.

    Returns:
        Thresholds by part, by the names of columns.

    Raises:
        InputTypeError: `thresholds` is no mapping, a key names no column, or a threshold is no number.
        InputError: a threshold lies outside (0, 1).
        UnknownNameError: an unknown part.

    Example:
        >>> read_thresholds({"*": 0.2, "lane": {"missing": 0.01}})
        {'*': {'values': 0.2, 'tail': 0.2}, 'lane': {'missing': 0.01}}
    """
    if thresholds is None:
        return {}
    if not isinstance(thresholds, Mapping):
        raise InputTypeError(f"`thresholds` must map names of columns to thresholds; got {thresholds!r}")
    return {
        (name := read_name("thresholds", key)): _read_parts(f"thresholds[{name!r}]", found)
        for key, found in thresholds.items()
    }


def _read_parts(argument: str, found: object) -> dict[str, float]:
    if not isinstance(found, Mapping):
        check_share(argument, found)
        return dict.fromkeys(("values", "tail"), float(found))  # type: ignore[arg-type]
    for part, threshold in found.items():
        if part not in PARTS:
            raise UnknownNameError(
                f"`{argument}` must name parts of {', '.join(map(repr, PARTS))}; got {part!r}"
            )
        check_share(f"{argument}[{part!r}]", threshold)
    return {part: float(threshold) for part, threshold in found.items()}


def read_deciders(decide_by: object) -> dict[str, str]:
    """Read which statistic decides columns, by their names; nothing for None.

    Args:
        decide_by: One of `DECIDERS` for all columns that it is defined for, or a mapping of names of columns, or "*" for
            all, to such statistics.

    Raises:
        InputTypeError: a key names no column.
        UnknownNameError: an unknown statistic.
    """
    if decide_by is None:
        return {}
    known = [name for names in DECIDERS.values() for name in names]
    if not isinstance(decide_by, Mapping):
        check_choice("decide_by", decide_by, known)
        return {ALL_COLUMNS: str(decide_by)}
    found = {read_name("decide_by", key): name for key, name in decide_by.items()}
    for column, name in found.items():
        check_choice(f"decide_by[{column!r}]", name, known)
    return found
