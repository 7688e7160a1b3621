"""What columns are judged by: the level, the statistic that decides, and the thresholds set for columns and parts.

Parts without a threshold of their own have the default of their test (`decision.DISTANCE_THRESHOLD` and its neighbours).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from tidewheel.drift import arguments
from tidewheel.errors import InputError, UnknownNameError

#: Thresholds set, by part and by the names of columns; `arguments.ALL_COLUMNS` stands for all.
Thresholds = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Rule:
    """What one column is judged by.

    Attributes:
        alpha: Level of tests and bounds.
        thresholds: Thresholds set, by part; all names together ("tail") have that of "values" unless they have their own.
        own_decider: The statistic that shall decide this column; None if none is named.
        common_decider: The statistic that shall decide all columns that it is defined for.
    """

    alpha: float
    thresholds: Mapping[str, float] = field(default_factory=dict)
    own_decider: str | None = None
    common_decider: str | None = None

    def choose(self, column: str, kind: str) -> str:
        """Give the statistic that decides a column of a kind of `arguments.DECIDERS`.

        Raises:
            InputError: the one named for this column is not defined for its kind.
        """
        known = arguments.DECIDERS[kind]
        if self.own_decider is not None and self.own_decider not in known:
            listed = " or ".join(map(repr, known))
            raise InputError(
                f"`decide_by[{column!r}]` must be {listed} for a {kind} column; got {self.own_decider!r}"
            )
        chosen = self.own_decider or self.common_decider
        return chosen if chosen in known else known[0]

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
        deciders: Statistics that decide, as `arguments.read_deciders` gives them.
    """

    alpha: float
    thresholds: Thresholds = field(default_factory=dict)
    deciders: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, alpha: float, thresholds: object, decide_by: object = None) -> Self:
        """Read what a user set; raise what `arguments.read_thresholds` and `arguments.read_deciders` do."""
        return cls(alpha, arguments.read_thresholds(thresholds), arguments.read_deciders(decide_by))

    def of(self, column: str) -> Rule:
        """Give the rule of a column: part by part its own threshold goes before that of all columns."""
        common, own = (self.thresholds.get(name, {}) for name in (arguments.ALL_COLUMNS, column))
        own_decider, common_decider = (self.deciders.get(name) for name in (column, arguments.ALL_COLUMNS))
        return Rule(self.alpha, {**common, **own}, own_decider, common_decider)

    def check_known(self, whose: str, *known: Iterable[str]) -> None:
        """Refuse settings of columns that none of `known` has; see `check_known`."""
        for argument, names in (("thresholds", self.thresholds), ("decide_by", self.deciders)):
            check_known(argument, names, whose, *known)

    def tell(self) -> list[str]:
        """Say in sentences which thresholds were set, and what decides otherwise than by default."""
        told = [f"{_whose(name)} {_list(parts)}" for name, parts in self.thresholds.items() if parts]
        found = [f"Thresholds set: {'; '.join(told)}."] if told else []
        by_index = [_whose(name) for name, statistic in self.deciders.items() if statistic == "psi"]
        if by_index:
            others = [repr(name) for name, statistic in self.deciders.items() if statistic == "ks"]
            but = f" but {', '.join(others)}" if arguments.ALL_COLUMNS in self.deciders and others else ""
            found.append(
                "Numbers and times are decided by the population stability index (`decide_by`), not by the "
                f"Kolmogorov-Smirnov distance, in {', '.join(by_index)}{but}."
            )
        return found


def check_known(argument: str, names: Iterable[str], whose: str, *known: Iterable[str]) -> None:
    """Refuse names of columns that none of `known` has; `whose` names the first of these in the UnknownNameError."""
    tables = [list(one) for one in known]
    for name in names:
        if name != arguments.ALL_COLUMNS and not any(name in one for one in tables):
            listed = ", ".join(map(repr, tables[0])) or "no columns"
            raise UnknownNameError(
                f"`{argument}` must name columns of {whose}; it has {listed}, not {name!r}"
            )


def _whose(name: str) -> str:
    return "all columns" if name == arguments.ALL_COLUMNS else repr(name)


def _list(parts: Mapping[str, float]) -> str:
    return ", ".join(f"{part} {threshold:g}" for part, threshold in parts.items())
