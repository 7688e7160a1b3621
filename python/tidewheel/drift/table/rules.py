"""What columns are judged by: the level, and the thresholds that were set for single columns and parts.

Parts without a threshold of their own have the default of their test (`decision.DISTANCE_THRESHOLD` and its neighbours).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tidewheel.drift import arguments
from tidewheel.errors import UnknownNameError

#: Thresholds set, by part and by the names of columns; `arguments.ALL_COLUMNS` stands for all.
Thresholds = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Rule:
    """What one column is judged by.

    Attributes:
        alpha: Level of tests and bounds.
        thresholds: Thresholds set, by part; all names together ("tail") have that of "values" unless they have their own.
    """

    alpha: float
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def threshold(self, part: str, default: float) -> float:
        """Give a part's threshold: the one that was set, else the default of its test."""
        if part == "tail":
            default = self.threshold("values", default)
        return self.thresholds.get(part, default)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the columns of a report are judged by.

    Attributes:
        alpha: Level of tests and bounds.
        thresholds: Thresholds set, as `arguments.read_thresholds` gives them.
    """

    alpha: float
    thresholds: Thresholds = field(default_factory=dict)

    def of(self, column: str) -> Rule:
        """Give the rule of a column: part by part its own threshold goes before that of all columns."""
        common, own = (self.thresholds.get(name, {}) for name in (arguments.ALL_COLUMNS, column))
        return Rule(self.alpha, {**common, **own})

    def tell(self) -> list[str]:
        """Say in a sentence which thresholds were set; nothing where none was."""
        told = [f"{_whose(name)} {_list(parts)}" for name, parts in self.thresholds.items() if parts]
        return [f"Thresholds set: {'; '.join(told)}."] if told else []


def check_known(thresholds: Thresholds, whose: str, *known: Iterable[str]) -> None:
    """Refuse thresholds of columns that none of `known` has; `whose` names the first of these in the UnknownNameError."""
    names = [list(one) for one in known]
    for name in thresholds:
        if name != arguments.ALL_COLUMNS and not any(name in one for one in names):
            listed = ", ".join(map(repr, names[0])) or "no columns"
            raise UnknownNameError(
                f"`thresholds` must name columns of {whose}; it has {listed}, not {name!r}"
            )


def _whose(name: str) -> str:
    return "all columns" if name == arguments.ALL_COLUMNS else repr(name)


def _list(parts: Mapping[str, float]) -> str:
    return ", ".join(f"{part} {threshold:g}" for part, threshold in parts.items())
