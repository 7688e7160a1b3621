"""What `compare(by=)` returns: a report per segment, and what is found over all rows.

Single segments are `report.DriftReport`s; pages, tables and suites of tests are those of one report, with the segment as a
further column.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from tidewheel import _native
from tidewheel.drift.reading import inputs
from tidewheel.drift.report import junit, page
from tidewheel.drift.report.records import ColumnDrift
from tidewheel.drift.report.report import (
    DriftReport,
    First,
    cell,
    lay_table,
    make_pandas,
    make_polars,
    plain,
    promise,
    write,
)
from tidewheel.errors import InputError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

#: The value that a segment has in a column of `by`, by its text; None where it is missing. Of several columns a tuple.
Segment = str | None | tuple[str | None, ...]

#: What the tables of a report call the missing value, and all rows together.
MISSING, ALL_ROWS = "(missing)", "(all rows)"
_BETWEEN = " / "
#: Lines of the table of text; the most urgent are shown.
_LINES = 40
#: Segments that an error names.
_NAMED = 20


@dataclass(frozen=True, slots=True, repr=False)
class SegmentedReport:
    """The comparison of two tables segment by segment: `print(report)` shows its most urgent rows, a notebook its page.

    `report["north"]` is the report of a segment, `"north" in report` says whether there is one, `len(report)` how many
    there are, and a loop gives pairs of segment and report. A segment is named by its value's text, the missing value by
    None, a segment of several columns by a tuple of these; `report[2024]` and `report[date(2024, 1, 1)]` do as well.

    A segment that one table lacks has one record, of the columns of `by`: `schema` (or `undecided`, where chance alone may
    leave it out) if the current table lacks it, `not computed` if the reference does.

    Attributes:
        by: The columns that split the rows.
        overall: What is found over all rows: the columns of `by`, which drift where the segments' shares do, and columns
            that one table lacks, that differ in type or that cannot be read.
        segments: The report of each segment, by value, missing ones last. Verdicts are corrected over all of them.
        n_reference: Rows of the reference.
        n_current: Rows of the current table.
        alpha: The level of tests and bounds.
        correction: How p-values were corrected over all columns of all segments.
        unit: The column that names the unit of a row; None if rows were taken as independent.
        warnings: Sentences about what to keep in mind.

    Example:
        >>> from tidewheel import drift
        >>> before = {"x": [i % 1000 for i in range(2000)], "shop": ["north"] * 1000 + ["south"] * 1000}
        >>> after = {"x": [i % 1000 + i // 1000 * 500 for i in range(2000)], "shop": before["shop"]}
        >>> report = drift.compare(before, after, by="shop")
        >>> report
        SegmentedReport(1 of 3 columns drifted, 2 segments by 'shop', 2,000 reference rows, 2,000 current rows)
        >>> report.drifted, report["north"]["x"].verdict
        ((('south', 'x'),), 'stable')
    """

    by: tuple[str, ...]
    overall: DriftReport
    segments: Mapping[Segment, DriftReport]
    n_reference: int
    n_current: int
    alpha: float
    correction: str
    unit: str | None
    warnings: tuple[str, ...]

    @property
    def columns(self) -> tuple[ColumnDrift, ...]:
        """All records: those of all rows, then those of each segment."""
        return tuple(column for _, column in self._records())

    @property
    def drifted(self) -> tuple[tuple[Segment, str], ...]:
        """Segment and name of the columns that drifted; those of all rows are `overall.drifted`."""
        return self._find("drifted")

    @property
    def schema(self) -> tuple[tuple[Segment, str], ...]:
        """Segment and name where a segment is gone, or a column differs in it; those of all rows are `overall.schema`."""
        return self._find("schema")

    @property
    def gone(self) -> tuple[Segment, ...]:
        """Segments without a current row."""
        return tuple(segment for segment, report in self if not report.n_current)

    @property
    def new(self) -> tuple[Segment, ...]:
        """Segments without a reference row."""
        return tuple(segment for segment, report in self if not report.n_reference)

    def __getitem__(self, segment: object) -> DriftReport:
        found = self._read(segment)
        if found in self.segments:
            return self.segments[found]
        names = [repr(known) for known in self.segments]
        more = len(names) - _NAMED
        listed = ", ".join([*names[:_NAMED], *([f"{more:,} more"] if more > 0 else [])]) or "none"
        raise UnknownNameError(f"segment must be one of {listed}; got {segment!r}")

    def __iter__(self) -> Iterator[tuple[Segment, DriftReport]]:
        return iter(self.segments.items())

    def __len__(self) -> int:
        return len(self.segments)

    def __contains__(self, segment: object) -> bool:
        return self._read(segment) in self.segments

    def __repr__(self) -> str:
        by = ", ".join(map(repr, self.by))
        some = f"{len(self):,} segment{'s' * (len(self) != 1)}"
        return f"SegmentedReport({page.count_verdicts(self.columns)}, {some} by {by}, {self._rows()})"

    def __str__(self) -> str:
        return self.summary()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dictionaries, lists, strings and numbers.

        Returns:
            The attributes by name, `drifted`, `schema`, `gone` and `new`. `segments` is a list of what
            `DriftReport.to_dict` returns, with the segment besides: its text, null if missing, a list if `by` has several
            columns. Floats that are not finite are None.

        Example:
            >>> from tidewheel import drift
            >>> before = {"x": range(1000), "shop": ["north"] * 1000}
            >>> found = drift.compare(before, {"x": range(500, 1500), "shop": ["north"] * 1000}, by="shop").to_dict()
            >>> found["drifted"], found["segments"][0]["segment"]
            ([['north', 'x']], 'north')
        """
        return {
            **{name: plain(getattr(self, name)) for name in ("drifted", "schema", "gone", "new", "by")},
            "overall": self.overall.to_dict(),
            "segments": [{"segment": plain(segment), **report.to_dict()} for segment, report in self],
            **{name: plain(getattr(self, name)) for name in _PLAIN},
        }

    def to_json(self) -> str:
        """Return `to_dict()` as JSON (RFC 8259: no NaN, no infinity).

        Example:
            >>> from tidewheel import drift
            >>> before = {"x": range(1000), "shop": ["north"] * 1000}
            >>> drift.compare(before, {"x": range(500, 1500), "shop": ["north"] * 1000}, by="shop").to_json()[:28]
            '{"drifted": [["north", "x"]]'
        """
        return json.dumps(self.to_dict(), allow_nan=False)

    def to_polars(self) -> "pl.DataFrame":
        """Return one row per column and segment, those of all rows first.

        Returns:
            What `DriftReport.to_polars` returns, after a column "segment"; "(all rows)" stands for all, "(missing)" for the
            missing value, values of several columns are joined by " / ".

        Raises:
            MissingExtraError: polars is not installed.

        Example:
            >>> from tidewheel import drift
            >>> before = {"x": range(1000), "shop": ["north"] * 1000}
            >>> table = drift.compare(before, {"x": range(500, 1500), "shop": ["north"] * 1000}, by="shop").to_polars()
            >>> table.select("segment", "column", "verdict").rows()
            [('(all rows)', 'shop', 'stable'), ('north', 'x', 'drifted')]
        """
        return make_polars(self.columns, self._first())

    def to_pandas(self) -> "pd.DataFrame":
        """Return what `to_polars` does as a pandas table, NaN standing for null.

        Raises:
            MissingExtraError: pandas is not installed.

        Example:
            >>> from tidewheel import drift
            >>> before = {"x": range(1000), "shop": ["north"] * 1000}
            >>> table = drift.compare(before, {"x": range(500, 1500), "shop": ["north"] * 1000}, by="shop").to_pandas()
            >>> table.loc[1, ["segment", "verdict"]].tolist()
            ['north', 'drifted']
        """
        return make_pandas(self.columns, self._first())

    def to_html(self, path: PathLike[str] | str | None = None) -> str:
        """Give the report as one HTML page that needs no network, and write it where a path is given.

        The page of `DriftReport.to_html`, a row per column and segment, of which it shows the 5,000 most urgent. Searching
        finds columns and segments.

        Args:
            path: The file to write; its folder must exist. A file that is there is replaced.

        Returns:
            The page.

        Raises:
            InputError: the file cannot be written.

        Cost: about 0.1 ms and 2 kB per row.

        Example:
            >>> from tidewheel import drift
            >>> before = {"x": range(1000), "shop": ["north"] * 1000}
            >>> text = drift.compare(before, {"x": range(500, 1500), "shop": ["north"] * 1000}, by="shop").to_html()
            >>> "<h1>1 of 2 columns drifted</h1>" in text
            True
        """
        return write(path, page.render_page(self.columns, self._facts(), self.warnings, self._labels()))

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the 30 most urgent rows, without scripts."""
        return page.render_notebook(self.columns, self._facts(), self.warnings, self._labels())

    def to_junit(self, path: PathLike[str] | str | None = None, *, fail_on: str = "drifted") -> str:
        """Give the report as JUnit XML, and write it where a path is given; see `DriftReport.to_junit`.

        A test case per column and segment; the segment stands in its class name.

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
            >>> before = {"x": range(1000), "shop": ["north"] * 1000}
            >>> text = drift.compare(before, {"x": range(500, 1500), "shop": ["north"] * 1000}, by="shop").to_junit()
            >>> '<testcase classname="drift.north" name="x"' in text
            True
        """
        return write(path, junit.render(self.columns, self._facts(), fail_on, self._labels()))

    def summary(self) -> str:
        """Return the 40 most urgent rows as a table of text, and how many others there are of each verdict.

        Example:
            >>> from tidewheel import drift
            >>> before = {"x": range(1000), "shop": ["north"] * 1000}
            >>> print(drift.compare(before, {"x": range(500, 1500), "shop": ["north"] * 1000}, by="shop"))
            1 of 2 columns drifted in 1 segment by 'shop' (1,000 reference rows, 1,000 current rows)
            False alarms: at most 5% of the columns called drifted, on average (Benjamini-Hochberg).
            <BLANKLINE>
            segment     column  kind         verdict  effect  between           p corrected
            north       x       numeric      drifted  0.5000  0.4...
            (all rows)  shop    categorical  stable   0.0000  0.0000 .. 0.0...
            <BLANKLINE>
            Rows treated as independent; name the day or user of a row as `unit` if they are not.
        """
        columns, labels = self.columns, self._labels()
        ranked = page.rank(columns)
        shown, rest = ranked[:_LINES], ranked[_LINES:]
        table = lay_table([columns[at] for at in shown], [labels[at] for at in shown])
        by = ", ".join(map(repr, self.by))
        some = f"{len(self):,} segment{'s' * (len(self) != 1)} by {by}"
        head = [
            f"{page.count_verdicts(columns)} in {some} ({self._rows()})",
            f"False alarms: {promise(self.alpha, self.correction)}.",
        ]
        counted = [(verdict, sum(columns[at].verdict == verdict for at in rest)) for verdict in page.VERDICTS]
        others = ", ".join(f"{count:,} {verdict}" for verdict, count in counted if count)
        told = [
            f"{cell(labels[at])}: {cell(columns[at].name)}: {columns[at].reason}."
            for at in shown
            if columns[at].verdict in {"schema", "not computed"}
        ]
        notes = [*([f"And {others}; `to_polars()` has all."] if others else []), *told, *self.warnings]
        return "\n".join([*head, "", *table, "", *notes])

    def _records(self) -> Iterator[tuple[str, ColumnDrift]]:
        yield from ((ALL_ROWS, column) for column in self.overall)
        for segment, report in self:
            label = name_segment(segment)
            yield from ((label, column) for column in report)

    def _labels(self) -> list[str]:
        return [label for label, _ in self._records()]

    def _first(self) -> First:
        return {"segment": self._labels()}

    def _find(self, verdict: str) -> tuple[tuple[Segment, str], ...]:
        return tuple(
            (segment, column.name)
            for segment, report in self
            for column in report
            if column.verdict == verdict
        )

    def _rows(self) -> str:
        return f"{self.n_reference:,} reference rows, {self.n_current:,} current rows"

    def _facts(self) -> list[tuple[str, str]]:
        facts = self.overall.facts()
        return [("segments", f"{len(self):,} by {', '.join(self.by)}"), *facts]

    def _read(self, segment: object) -> Segment:
        if len(self.by) == 1:
            return _read_value(segment)
        if not isinstance(segment, tuple | list):
            return (_read_value(segment),)
        return tuple(map(_read_value, segment))


_PLAIN = ("n_reference", "n_current", "alpha", "correction", "unit", "warnings")


def _read_value(value: object) -> str | None:
    """Write a value as the columns of `by` are written; what no column could hold is none of them."""
    if value is None or isinstance(value, str):
        return value
    try:
        column = inputs.declare(inputs.read_array("segment", [value]), "categorical")
        first = inputs.read_array("rows", np.zeros(1, dtype=np.int64))
        (text,) = [None] if column.kind == "null" else _native.gather_strings(column, first)
    except InputError:
        return repr(value)
    return text


def name_segment(segment: Segment) -> str:
    """Name a segment in a table; a value that reads like a name of ours is quoted."""
    values = segment if isinstance(segment, tuple) else (segment,)
    return _BETWEEN.join(MISSING if value is None else _quote(value, len(values) > 1) for value in values)


def _quote(value: str, several: bool) -> str:
    taken = value in {"", MISSING, ALL_ROWS} or value[0] == '"' or (several and _BETWEEN in value)
    return json.dumps(value, ensure_ascii=False) if taken else value
