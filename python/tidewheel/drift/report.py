"""What `compare` returns: a record per column, and the report that holds them.

Records are plain data; `DriftReport` renders them as dictionaries, JSON, text and a polars table, and computes nothing.
"""

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tidewheel.drift.decision import Effect, Verdict
from tidewheel.errors import MissingExtraError, UnknownNameError

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class PartDrift:
    """One test inside a column.

    Attributes:
        name: "values", "missing", "nan", "infinite" or "unseen".
        test: The test.
        statistic: Its statistic.
        pvalue: Its p-value, uncorrected.
        effect: The effect with its bounds.
    """

    name: str
    test: str
    statistic: float
    pvalue: float
    effect: Effect


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """What is known of one column.

    Attributes:
        name: Its name.
        kind: "numeric", "temporal" or "categorical"; the type's name where nothing was computed.
        verdict: "drifted", "stable", "undecided" or "not computed".
        reason: One sentence why.
        statistics: Statistics by name ("ks", "psi", ...), for information; one of them decides.
        pvalue: The least p-value of the parts times their number; None if not computed.
        pvalue_corrected: The same, corrected over the columns of the report.
        effect: The effect of the part that decides; None if not computed.
        parts: The tests inside the column.
        n_reference: Rows of the reference.
        n_current: Rows of the current sample.
        missing_reference: Share of missing rows in the reference, in [0, 1].
        missing_current: Share of missing rows in the current sample.
        nan_reference: Share of NaN rows.
        nan_current: Share of NaN rows.
        unseen: Share of current rows whose string the reference never has; 0 for numbers.
        design_effect: How many times fewer current rows count for, because they come in units; 1 for independent rows.
    """

    name: str
    kind: str
    verdict: Verdict
    reason: str
    statistics: dict[str, float]
    pvalue: float | None
    pvalue_corrected: float | None
    effect: Effect | None
    parts: tuple[PartDrift, ...]
    n_reference: int
    n_current: int
    missing_reference: float
    missing_current: float
    nan_reference: float
    nan_current: float
    unseen: float
    design_effect: float


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The comparison of two tables.

    Attributes:
        columns: One record per column compared, in the order of the reference.
        n_reference: Rows of the reference.
        n_current: Rows of the current table.
        alpha: The level of tests and bounds.
        correction: How p-values were corrected over columns.
        unit: The column that names the unit of a row; None if rows were taken as independent.
        units: Number of units in the reference and in the current table; None without `unit`.
        warnings: Sentences about what to keep in mind.
    """

    columns: tuple[ColumnDrift, ...]
    n_reference: int
    n_current: int
    alpha: float
    correction: str
    unit: str | None
    units: tuple[int, int] | None
    warnings: tuple[str, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the columns that drifted."""
        return tuple(column.name for column in self.columns if column.verdict == "drifted")

    def __getitem__(self, name: str) -> ColumnDrift:
        for column in self.columns:
            if column.name == name:
                return column
        known = ", ".join(repr(column.name) for column in self.columns)
        raise UnknownNameError(f"column must be one of {known}; got {name!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return the report as dictionaries, lists, strings and numbers, `drifted` included; floats that are not finite
        become None.
        """  # noqa: D205
        content = _plain(asdict(self))
        assert isinstance(content, dict)
        return {"drifted": list(self.drifted), **content}

    def to_json(self) -> str:
        """Return `to_dict()` as JSON."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def to_polars(self) -> "pl.DataFrame":
        """Return one row per column.

        Raises:
            MissingExtraError: polars is not installed.
        """
        try:
            # polars is optional: the base install has NumPy alone.
            import polars as pl
        except ImportError as error:
            raise MissingExtraError("`to_polars` needs polars: install tidewheel[data]") from error
        return pl.DataFrame([_row(column) for column in self.columns], schema=_SCHEMA)

    def summary(self) -> str:
        """Return the report as a table of text, drifted columns first."""
        order = ("drifted", "undecided", "not computed", "stable")
        lines = [["column", "kind", "verdict", "effect", "between", "p corrected"]]
        for column in sorted(self.columns, key=lambda column: order.index(column.verdict)):
            effect, p = column.effect, column.pvalue_corrected
            value = f"{effect.value:.4f}" if effect else "-"
            between = f"{effect.lower:.4f} .. {effect.upper:.4f}" if effect else "-"
            lines.append(
                [column.name, column.kind, column.verdict, value, between, "-" if p is None else f"{p:.2g}"]
            )
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        rows = f"{self.n_reference:,} reference rows, {self.n_current:,} current rows"
        rule = f"level {self.alpha:g}, {self.correction} over {len(self.columns)} columns"
        head = f"{len(self.drifted)} of {len(self.columns)} columns drifted ({rows}; {rule})"
        return "\n".join([head, "", *table, *("" for _ in self.warnings[:1]), *self.warnings])


_SCHEMA: dict[str, type[str] | type[float]] = {
    "column": str,
    "kind": str,
    "verdict": str,
    "reason": str,
    "effect": str,
    "value": float,
    "lower": float,
    "upper": float,
    "threshold": float,
    "pvalue": float,
    "pvalue_corrected": float,
    "missing_reference": float,
    "missing_current": float,
    "unseen": float,
    "ks": float,
    "psi": float,
}


def _row(column: ColumnDrift) -> dict[str, Any]:
    effect = column.effect
    return {
        "column": column.name,
        "kind": column.kind,
        "verdict": column.verdict,
        "reason": column.reason,
        "effect": effect.name if effect else None,
        "value": effect.value if effect else None,
        "lower": effect.lower if effect else None,
        "upper": effect.upper if effect else None,
        "threshold": effect.threshold if effect else None,
        "pvalue": column.pvalue,
        "pvalue_corrected": column.pvalue_corrected,
        "missing_reference": column.missing_reference,
        "missing_current": column.missing_current,
        "unseen": column.unseen,
        "ks": column.statistics.get("ks"),
        "psi": column.statistics.get("psi"),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
