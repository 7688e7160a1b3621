"""What a monitor said, look after look: as records, a table, a summary in words, and a page with a chart per column."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from os import PathLike
from typing import TYPE_CHECKING, Any, overload

from tidewheel.drift.over_time import history_page
from tidewheel.drift.over_time.looks import ColumnLook, Look
from tidewheel.drift.report.report import write
from tidewheel.drift.report.text import align
from tidewheel.errors import InputTypeError, MissingExtraError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

#: A row of the table, and its types.
SCHEMA: dict[str, type] = {
    "look": int,
    "at": str,
    "column": str,
    "alarm": bool,
    "part": str,
    "looks": int,
    "rows": int,
    "distance": float,
    "lower": float,
    "threshold": float,
}
#: Alarms that the summary tells; the table has all.
ALARMS_TOLD = 20


class History(Sequence[Look]):
    """The looks of a monitor, oldest first; `Monitor.history` makes it.

    It is a sequence of `Look`, and prints as a summary. A notebook shows the page's charts.

    Example:
        >>> from tidewheel import drift
        >>> monitor = drift.Monitor(drift.Profile.fit({"speed": [i % 50 for i in range(50_000)]}))
        >>> for hour in range(24):
        ...     look = monitor.observe({"speed": [20 * (hour > 20) + i % 50 for i in range(1_000)]}, at=f"{hour}:00")
        >>> len(monitor.history), [look.at for look in monitor.history.alarms]
        (24, ['21:00', '22:00', '23:00'])
    """

    def __init__(self, looks: Iterable[Look], columns: Sequence[str], promise: str, dropped: int = 0) -> None:
        self._looks = tuple(looks)
        self._columns, self._promise, self._dropped = tuple(columns), promise, dropped

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns watched."""
        return self._columns

    @property
    def promise(self) -> str:
        """What the monitor promises about false alarms, in one sentence."""
        return self._promise

    @property
    def dropped(self) -> int:
        """Looks before the first one here that the monitor kept no longer."""
        return self._dropped

    @property
    def alarms(self) -> tuple[Look, ...]:
        """The looks at which a column alarmed."""
        return tuple(look for look in self._looks if look.alarm)

    def of(self, column: str) -> tuple[ColumnLook, ...]:
        """Give what each look says of one column, in order.

        Raises:
            UnknownNameError: the column is not watched.
        """
        if column not in self._columns:
            known = ", ".join(map(repr, self._columns))
            raise UnknownNameError(f"`column` must be one of {known}; got {column!r}")
        return tuple(look[column] for look in self._looks)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dictionaries, lists, strings and numbers."""
        looks = [{**asdict(look), "columns": [asdict(column) for column in look.columns]} for look in self]
        return {
            "promise": self._promise,
            "columns": list(self._columns),
            "dropped": self._dropped,
            "looks": looks,
        }

    def to_json(self) -> str:
        """Return `to_dict()` as JSON (RFC 8259)."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def to_polars(self) -> "pl.DataFrame":
        """Return one row per look and column: look, at, column, alarm, part, looks, rows, distance, lower, threshold.

        Raises:
            MissingExtraError: polars is not installed.
        """
        try:
            # polars is optional: the base install has NumPy alone.
            import polars as pl
        except ImportError as error:
            raise MissingExtraError("`to_polars` needs polars: install tidewheel[data]") from error
        return pl.DataFrame([*self._rows()], schema=SCHEMA, orient="row")

    def to_pandas(self) -> "pd.DataFrame":
        """Return what `to_polars` does as a pandas table.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            # pandas is optional: the base install has NumPy alone.
            import pandas as pd
        except ImportError as error:
            raise MissingExtraError("`to_pandas` needs pandas: install pandas") from error
        table = pd.DataFrame([*self._rows()], columns=[*SCHEMA])
        return table.astype({name: kind for name, kind in SCHEMA.items() if kind is not str})

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        for look in self._looks:
            for one in look.columns:
                yield (
                    look.number, look.at, one.name, one.alarm, one.part, one.looks, one.rows, one.distance, one.lower,
                    one.threshold,
                )  # fmt: skip

    def to_html(self, path: PathLike[str] | str | None = None) -> str:
        """Give the looks as one HTML page that needs no network, and write it where a path is given.

        A row per column, those that alarmed first: a chart of the distance, its lower bound and the threshold over the
        looks, with a mark at each alarm; and the alarms as a table.

        Args:
            path: The file to write; its folder must exist. A file that is there is replaced.

        Returns:
            The page.

        Raises:
            InputError: the file cannot be written.
        """
        return write(path, history_page.render_page(self._looks, self._columns, self._facts()))

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return history_page.render_notebook(self._looks, self._columns, self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        rows = sum(look.rows for look in self._looks)
        before = f", after {self._dropped:,} that are not kept" if self._dropped else ""
        return [
            ("looks", f"{len(self._looks):,}{before}"),
            ("rows", f"{rows:,}"),
            ("promise", self._promise),
        ]

    def summary(self) -> str:
        """Return the alarms as a table of text, the newest last, and how the columns stand."""
        count, alarms = len(self._looks), self.alarms
        head = f"{len(alarms):,} of {count:,} look{'s' * (count != 1)} alarmed. {self._promise}"
        told = alarms[-ALARMS_TOLD:]
        lines = [["look", "at", "column", "part", "distance", "at least", "threshold"]]
        for look in told:
            for one in look.columns:
                if one.alarm:
                    numbers = [f"{value:.4f}" for value in (one.distance, one.lower, one.threshold)]
                    lines.append([f"{look.number}", look.at, one.name, one.part, *numbers])
        more = len(alarms) - len(told)
        parts = [head]
        if len(lines) > 1:
            parts += ["", *align(lines)]
        if more:
            parts += ["", f"{more:,} earlier looks with alarms are in `to_polars()`."]
        return "\n".join(parts)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        return f"History({len(self._looks):,} looks, {len(self.alarms):,} with alarms, {len(self._columns)} columns)"

    def __len__(self) -> int:
        return len(self._looks)

    def __iter__(self) -> Iterator[Look]:
        return iter(self._looks)

    @overload
    def __getitem__(self, index: int) -> Look: ...

    @overload
    def __getitem__(self, index: slice) -> "History": ...

    def __getitem__(self, index: int | slice) -> "Look | History":
        """Give a look by its place, or a part of the history."""
        if isinstance(index, slice):
            chosen = self._looks[index]
            before = chosen[0].number - 1 if chosen else self._dropped
            return History(chosen, self._columns, self._promise, before)
        if not isinstance(index, int):
            raise InputTypeError(
                f"`index` must be a whole number or a slice; got {index!r}; `of(name)` gives a column"
            )
        return self._looks[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and (
            (self._looks, self._columns, self._promise, self._dropped)
            == (other._looks, other._columns, other._promise, other._dropped)
        )

    def __hash__(self) -> int:
        return hash((self._looks, self._columns, self._promise))
