"""Two tables whose columns are measured and not decided yet: verdicts wait for the p-values of all columns there are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tidewheel.drift.report.records import ColumnDrift, PeerDrift
from tidewheel.drift.report.report import DriftReport
from tidewheel.drift.table.measured import Measured

#: Warns of columns that were decided.
Warn = Callable[[Sequence[ColumnDrift]], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Compared:
    """What a report is made of once its columns are decided.

    Attributes:
        measured: The columns, in the order of the report.
        rows: Rows of both tables.
        alpha: Level of tests and bounds.
        correction: How p-values are corrected.
        unit: The column that names the unit of a row.
        units: Units of both tables.
        warnings: What to keep in mind whatever the verdicts are.
        warn: What to keep in mind of single columns. It holds both tables.
        judged: What another tool says of columns, by name.
        explain: Says how that tool differs, given what it says and the number of columns that drifted; None without one.
    """

    measured: Sequence[Measured]
    rows: tuple[int, int]
    alpha: float
    correction: str
    unit: str | None
    units: tuple[int, int] | None
    warnings: tuple[str, ...]
    warn: Warn
    judged: Mapping[str, PeerDrift]
    explain: Callable[[Sequence[PeerDrift], int], str] | None

    def report(self, decided: Sequence[ColumnDrift]) -> DriftReport:
        """Make the report of the columns as they were decided."""
        told = [*self.warnings, *self.warn(decided)]
        if self.explain is not None:
            drifted = sum(column.verdict == "drifted" for column in decided)
            told.append(self.explain([*self.judged.values()], drifted))
            decided = [replace(column, peer=self.judged.get(column.name)) for column in decided]
        return DriftReport(
            columns=tuple(decided),
            n_reference=self.rows[0],
            n_current=self.rows[1],
            alpha=self.alpha,
            correction=self.correction,
            unit=self.unit,
            units=self.units,
            warnings=tuple(told),
        )
