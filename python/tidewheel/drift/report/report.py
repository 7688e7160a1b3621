"""What `compare` returns: the report that holds a record per column.

`DriftReport` shows the records (`records`) as dictionaries, JSON, text, tables, a page (`page`) and a suite of tests
(`junit`), and computes nothing.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from tidewheel.drift import arguments
from tidewheel.drift.report import junit, page
from tidewheel.drift.report.markup import shorten
from tidewheel.drift.report.records import ColumnDrift, PeerDrift
from tidewheel.drift.report.text import align
from tidewheel.errors import InputError, InputTypeError, MissingExtraError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl


@dataclass(frozen=True, slots=True, repr=False)
class DriftReport:
    """The comparison of two tables: `print(report)` shows its table, a notebook its page.

    `report["x"]` is the record of a column, `"x" in report` says whether it has one, `len(report)` how many there are, and
    a loop goes over all of them in order. Reports of the same numbers are equal.

    Attributes:
        columns: One record per column compared, in the order of the reference.
        n_reference: Rows of the reference.
        n_current: Rows of the current table.
        alpha: The level of tests and bounds.
        correction: How p-values were corrected over columns.
        unit: The column that names the unit of a row; None if rows were taken as independent.
        units: Number of units in the reference and in the current table; None without `unit`.
        warnings: Sentences about what to keep in mind.

    Example:
        >>> from tidewheel import drift
        >>> report = drift.compare({"x": range(1000), "y": [1] * 1000}, {"x": range(500, 1500), "y": [1] * 1000})
        >>> report
        DriftReport(1 of 2 columns drifted, 1,000 reference rows, 1,000 current rows)
        >>> len(report), "x" in report, [column.name for column in report]
        (2, True, ['x', 'y'])
        >>> report["y"]
        ColumnDrift('y', numeric, stable, Kolmogorov-Smirnov D 0 (0 to 0.0607), p 1)
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

    @property
    def schema(self) -> tuple[str, ...]:
        """Names of the columns that one side lacks, or has in another type."""
        return tuple(column.name for column in self.columns if column.verdict == "schema")

    def __getitem__(self, name: str) -> ColumnDrift:
        wanted = arguments.read_name("column", name)
        for column in self.columns:
            if column.name == wanted:
                return column
        known = (
            ", ".join(repr(column.name) for column in self.columns) or "none, as the report has no columns"
        )
        raise UnknownNameError(f"column must be one of {known}; got {name!r}")

    def __iter__(self) -> Iterator[ColumnDrift]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __contains__(self, name: object) -> bool:
        if isinstance(name, ColumnDrift):
            return name in self.columns
        try:
            wanted = arguments.read_name("column", name)
        except InputTypeError:
            return False
        return any(column.name == wanted for column in self.columns)

    def __repr__(self) -> str:
        return f"DriftReport({page.count_verdicts(self.columns)}, {self._rows()})"

    def __str__(self) -> str:
        return self.summary()

    def _rows(self) -> str:
        return f"{self.n_reference:,} reference rows, {self.n_current:,} current rows"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dictionaries, lists, strings and numbers.

        Returns:
            The attributes by name, columns with their parts and shapes, `drifted` and `schema`; floats that are not finite
            are None.

        Example:
            >>> from tidewheel import drift
            >>> report = drift.compare({"x": range(1000)}, {"x": range(500, 1500)})
            >>> found = report.to_dict()
            >>> found["drifted"], found["columns"][0]["effect"]["value"]
            (['x'], 0.5)
        """
        return {
            "drifted": list(self.drifted),
            "schema": list(self.schema),
            **{f.name: plain(getattr(self, f.name)) for f in fields(self)},
        }

    def to_json(self) -> str:
        """Return `to_dict()` as JSON (RFC 8259: no NaN, no infinity).

        Example:
            >>> from tidewheel import drift
            >>> drift.compare({"x": range(1000)}, {"x": range(500, 1500)}).to_json()[:17]
            '{"drifted": ["x"]'
        """
        return json.dumps(self.to_dict(), allow_nan=False)

    def to_polars(self) -> "pl.DataFrame":
        """Return one row per column, in the order of the report.

        Returns:
            Name, kind, verdict and reason; the deciding effect with bounds and threshold; p-values; rows; shares of missing,
            NaN, infinite and unseen rows; the design effect; one column per statistic, null where it is not defined. The
            tests inside a column and its shape are in `to_dict` alone. With `compat` what the other tool says: `peer_tool`,
            `peer_version`, `peer_method`, `peer_score`, `peer_threshold`, `peer_drifted`, `peer_note`.

        Raises:
            MissingExtraError: polars is not installed.

        Example:
            >>> from tidewheel import drift
            >>> table = drift.compare({"x": range(1000)}, {"x": range(500, 1500)}).to_polars()
            >>> table.select("column", "verdict", "value").row(0)
            ('x', 'drifted', 0.5)
        """
        return make_polars(self.columns)

    def to_pandas(self) -> "pd.DataFrame":
        """Return what `to_polars` does as a pandas table, NaN standing for null.

        Raises:
            MissingExtraError: pandas is not installed.

        Example:
            >>> from tidewheel import drift
            >>> table = drift.compare({"x": range(1000)}, {"x": range(500, 1500)}).to_pandas()
            >>> table.loc[0, "verdict"], float(table.loc[0, "value"])
            ('drifted', 0.5)
        """
        return make_pandas(self.columns)

    def to_html(self, path: PathLike[str] | str | None = None) -> str:
        """Give the report as one HTML page that needs no network, and write it where a path is given.

        A row per column, the most urgent first: verdict, number, bound, rows, what would flip it, and a picture of both
        distributions; all tests and shares on demand. The page can be sorted, searched and filtered by verdict, and reads
        without scripts.

        Args:
            path: The file to write; its folder must exist. A file that is there is replaced.

        Returns:
            The page.

        Raises:
            InputError: the file cannot be written.

        Cost: about 0.1 ms and 2 kB per column.

        Example:
            >>> from tidewheel import drift
            >>> text = drift.compare({"x": range(1000)}, {"x": range(500, 1500)}).to_html()
            >>> "<h1>1 of 1 column drifted</h1>" in text
            True
        """
        return write(path, page.render_page(self.columns, self.facts(), self.warnings))

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the 30 most urgent columns, without scripts."""
        return page.render_notebook(self.columns, self.facts(), self.warnings)

    def to_junit(self, path: PathLike[str] | str | None = None, *, fail_on: str = "drifted") -> str:
        """Give the report as JUnit XML, which CI systems show, and write it where a path is given.

        A test case per column: one that drifted, or that a side lacks or has in another type, fails with its sentence; one
        that could not be computed counts as skipped.

        Args:
            path: The file to write; its folder must exist. A file that is there is replaced.
            fail_on: "drifted", or "undecided": then undecided columns fail too.

        Returns:
            The XML.

        Raises:
            UnknownNameError: an unknown `fail_on`.
            InputError: the file cannot be written.

        Example:
            >>> from tidewheel import drift
            >>> text = drift.compare({"x": range(1000)}, {"x": range(500, 1500)}).to_junit()
            >>> text.count("<failure")
            1
        """
        return write(path, junit.render(self.columns, self.facts(), fail_on))

    def facts(self) -> list[tuple[str, str]]:
        """Say by name what stands at the head of the page: rows, level, units."""
        unit = "none: each row alone"
        if self.unit is not None and self.units is not None:
            unit = f"{self.unit}: {self.units[0]:,} and {self.units[1]:,}"
        return [
            ("reference", f"{self.n_reference:,} rows"),
            ("current", f"{self.n_current:,} rows"),
            ("false alarms", promise(self.alpha, self.correction)),
            ("unit", unit),
        ]

    def summary(self) -> str:
        """Return the report as a table of text, drifted columns first; names are cut at 48 characters.

        Example:
            >>> from tidewheel import drift
            >>> print(drift.compare({"x": range(1000)}, {"x": range(500, 1500)}).summary())
            1 of 1 column drifted (1,000 reference rows, 1,000 current rows)
            False alarms: at most 5% of the columns called drifted, on average (Benjamini-Hochberg).
            <BLANKLINE>
            column  kind     verdict  effect  between           p corrected
            x       numeric  drifted  0.5000  0.4...
            <BLANKLINE>
            Rows treated as independent; name the day or user of a row as `unit` if they are not.
        """
        order = tuple(page.VERDICTS)
        table = lay_table(sorted(self.columns, key=lambda column: order.index(column.verdict)))
        head = [
            f"{page.count_verdicts(self.columns)} ({self._rows()})",
            f"False alarms: {promise(self.alpha, self.correction)}.",
        ]
        told = [
            f"{cell(column.name)}: {column.reason}."
            for column in self.columns
            if column.verdict in {"schema", "not computed"}
        ]
        notes = [*told, *self.warnings]
        return "\n".join([*head, "", *table, *("" for _ in notes[:1]), *notes])


def lay_table(columns: Sequence[ColumnDrift], segments: Sequence[str] | None = None) -> list[str]:
    """Lay a table of text, a line per column after the line of titles; with their segments, if there are any."""
    peer = next((column.peer for column in columns if column.peer), None)
    lines = [
        ["column", "kind", "verdict", "effect", "between", "p corrected", *([peer.tool] if peer else [])]
    ]
    for column in columns:
        effect = column.effect
        line = [
            cell(column.name),
            column.kind,
            column.verdict,
            f"{effect.value:.4f}" if effect else "-",
            f"{effect.lower:.4f} .. {effect.upper:.4f}" if effect else "-",
            _pvalue(column.pvalue_corrected),
        ]
        lines.append(line + ([_says(column.peer) if column.peer else "-"] if peer else []))
    if segments is not None:
        lines = [[cell(one), *line] for one, line in zip(["segment", *segments], lines, strict=True)]
    return align(lines)


def promise(alpha: float, correction: str) -> str:
    """Say what a level and a correction promise."""
    share = f"{alpha:.3g}" if alpha < 0.001 else f"{100 * alpha:.3g}%"
    return _PROMISES.get(correction, "level {}, corrected by " + correction).format(share)


#: Columns of strings that come before all others, by name.
First = Mapping[str, Sequence[str | None]]


def make_polars(columns: Sequence[ColumnDrift], first: First | None = None) -> "pl.DataFrame":
    """Make a polars table of a row per column; see `DriftReport.to_polars`."""
    try:
        # polars is optional: the base install has NumPy alone.
        import polars as pl
    except ImportError as error:
        raise MissingExtraError("`to_polars` needs polars: install tidewheel[data]") from error
    schema, rows = _lay_rows(columns, first or {})
    return pl.DataFrame(rows, schema=schema, orient="row")


def make_pandas(columns: Sequence[ColumnDrift], first: First | None = None) -> "pd.DataFrame":
    """Make a pandas table of a row per column; see `DriftReport.to_pandas`."""
    try:
        # pandas is optional: the base install has NumPy alone.
        import pandas as pd
    except ImportError as error:
        raise MissingExtraError("`to_pandas` needs pandas: install pandas") from error
    schema, rows = _lay_rows(columns, first or {})
    table = pd.DataFrame(rows, columns=list(schema))
    return table.astype({name: kind for name, kind in schema.items() if kind in (int, float)})


def _lay_rows(columns: Sequence[ColumnDrift], first: First) -> tuple[dict[str, type], list[tuple[Any, ...]]]:
    found = dict.fromkeys(name for column in columns for name in column.statistics)
    peer = _PEER if any(column.peer for column in columns) else {}
    schema = {**_SCHEMA, **dict.fromkeys([*_STATISTICS, *found], float), **peer}
    leading = zip(*first.values(), strict=True) if first else ((),) * len(columns)
    rows = []
    for before, column in zip(leading, columns, strict=True):
        row = _row(column)
        rows.append((*before, *(row.get(name) for name in schema)))
    return {**dict.fromkeys(first, str), **schema}, rows


#: Characters of a column's name in the table of text.
NAME_LENGTH = 48

#: What each correction over columns promises, for a share.
_PROMISES = {
    "bh": "at most {} of the columns called drifted, on average (Benjamini-Hochberg)",
    "by": "at most {} of the columns called drifted, on average (Benjamini-Yekutieli)",
    "bonferroni": "a chance of at most {} that any column is called drifted falsely (Bonferroni)",
    "none": "a chance of at most {} for each column; the more columns, the more false alarms",
}

#: In every table, whatever the kinds of the columns; further statistics follow.
_STATISTICS = ("ks", "psi", "jensen_shannon", "chi_square", "total_variation")

_SCHEMA: dict[str, type] = {
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
    "n_reference": int,
    "n_current": int,
    "missing_reference": float,
    "missing_current": float,
    "nan_reference": float,
    "nan_current": float,
    "infinite_reference": float,
    "infinite_current": float,
    "unseen": float,
    "design_effect": float,
}


def _row(column: ColumnDrift) -> dict[str, Any]:
    effect = column.effect
    shown = {} if effect is None else {name: getattr(effect, name) for name in _EFFECT}
    plain = {name: getattr(column, name) for name in _SCHEMA if name not in {"column", "effect", *_EFFECT}}
    peer = (
        {}
        if column.peer is None
        else {f"peer_{f.name}": getattr(column.peer, f.name) for f in fields(column.peer)}
    )
    return {
        "column": column.name,
        "effect": effect and effect.name,
        **plain,
        **shown,
        **column.statistics,
        **peer,
    }


_EFFECT = ("value", "lower", "upper", "threshold")

_PEER: dict[str, type] = {
    "peer_tool": str,
    "peer_version": str,
    "peer_method": str,
    "peer_score": float,
    "peer_threshold": float,
    "peer_drifted": bool,
    "peer_note": str,
}


def _says(peer: PeerDrift) -> str:
    if peer.score is None:
        return "no verdict"
    against = "" if peer.threshold is None else f" of {peer.threshold:.4g}"
    return f"{'drifted' if peer.drifted else 'not drifted'}: {peer.method} {peer.score:.4g}{against}"


def write(path: PathLike[str] | str | None, text: str) -> str:
    """Write a text where a path is given, and return it; raise InputError where it cannot be written."""
    try:
        if path is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return text


def _pvalue(p: float | None) -> str:
    # The least p-values underflow to 0, which no p-value is.
    return "-" if p is None else f"{p:.2g}" if p > 0 else "< 1e-300"


def cell(name: str) -> str:
    """Make of a name what a table of text can show: cut, and without signs that move a cursor."""
    # A name with control characters could move a terminal's cursor, or break the table.
    return shorten("".join(sign if sign.isprintable() else "\ufffd" for sign in name), NAME_LENGTH)


def plain(value: Any) -> Any:
    """Turn records into dictionaries and tuples into lists, in one pass: `asdict` copies every number of every shape."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
