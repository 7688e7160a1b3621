"""The comparison of two tables segment by segment: rows are split by the values of columns, verdicts taken together.

`compare` measures each pair of segments as it does whole tables; what is here splits the rows, has them taken
(`reading.rows`), and says what becomes of segments that one table lacks. The result is a
`report.segmented.SegmentedReport`.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Protocol

import numpy as np

from tidewheel import _native
from tidewheel.drift import arguments
from tidewheel.drift.reading import inputs
from tidewheel.drift.reading.rows import Rows, select
from tidewheel.drift.report.records import ColumnDrift, Verdict
from tidewheel.drift.report.report import DriftReport
from tidewheel.drift.report.segmented import Segment, SegmentedReport, name_segment
from tidewheel.drift.table.compared import Compared
from tidewheel.drift.table.design_effect import UNITS_NEEDED
from tidewheel.drift.table.measured import ONE_UNIT, Measured, decide
from tidewheel.drift.table.pairs import (
    NUMERIC,
    Pair,
    fill,
    find_differing,
    name_kind,
    pair_columns,
    unreadable,
)
from tidewheel.drift.table.unit_order import read_codes
from tidewheel.errors import InputError, InputTypeError

#: More segments than this are a slip, such as a column of ids; each costs what a comparison of small tables does.
MOST_SEGMENTS = 1_000
#: Factors of a chance that are multiplied at most: it only falls with further ones, and is below any level by then.
_FACTORS = 100_000
#: Segments that a warning names.
_NAMED = 10

_SIDES = ("reference", "current")
Tables = tuple[inputs.Table, inputs.Table]


class Compare(Protocol):
    """Measures the columns named of two tables; `extra` are further columns of the current one."""

    def __call__(
        self,
        names: Sequence[str],
        r_table: inputs.Table,
        c_table: inputs.Table,
        /,
        *,
        extra: Sequence[str] = (),
    ) -> Compared:
        """Measure."""


@dataclass(frozen=True, slots=True)
class Split:
    """What is asked of a comparison by segments.

    Attributes:
        by: The columns whose values split the rows.
        names: The columns to compare; those of `by` are compared over all rows, whether they are among them or not.
        left_out: Columns left out; one of `by` splits the rows all the same.
        unit: The column that names the unit of a row; None for independent rows.
        declared: What columns are declared to be, by name.
    """

    by: Sequence[str]
    names: Sequence[str]
    left_out: Sequence[str]
    unit: str | None
    declared: Mapping[str, str]


def read_by(by: object, unit: str | None) -> list[str]:
    """Read the names of the columns that split the rows: one, or a sequence of them.

    Raises:
        InputTypeError: what names no column.
        InputError: no name, or the unit's column.
    """
    names = arguments.read_names("by", by if isinstance(by, Iterable) and not isinstance(by, str) else [by])
    if unit in names:
        raise InputError(
            f"`by` must not name the column of `unit`, {unit!r}: each segment would be a single unit"
        )
    return names


def compare_segments(split: Split, tables: Tables, compare: Compare, extra: Sequence[str]) -> SegmentedReport:
    """Compare two tables segment by segment.

    Args:
        split: What is asked.
        tables: Both tables; rows can be taken of their sources.
        compare: What measures two tables.
        extra: Columns of the current table alone.

    Raises:
        InputError: a column of `by` is not in both tables, there is no column besides, or more than `MOST_SEGMENTS`
            segments.
        InputTypeError: a column of `by` has another type in each table, or cannot be read.
    """
    names = {name: _read_names(name, tables) for name in split.by}
    segments, codes = _number_segments(names)
    once, each = _share_out(split, tables)
    overall = compare(once, *_read_once(once, names, split.unit, tables), extra=extra)
    # What `by` holds is taken by its text: that years are text that looks like numbers is no news.
    overall = replace(overall, warn=_say_nothing)
    rows = [_sort_rows(side, len(segments)) for side in codes]
    pieces = {
        segments[at]: piece for at, piece in _compare_pieces(each, rows, split, tables, overall, compare)
    }
    whole, reports = _decide_together(overall, pieces)
    known = sum(len(one) > 0 for one in rows[0])
    lone = _Lone(", ".join(split.by), overall, known, _read_units(split.unit, tables))
    reports |= {
        segment: lone.report(one, other)
        for segment, one, other in zip(segments, *rows, strict=True)
        if segment not in pieces
    }
    return SegmentedReport(
        by=tuple(split.by),
        overall=whole,
        segments={segment: reports[segment] for segment in segments},
        n_reference=overall.rows[0],
        n_current=overall.rows[1],
        alpha=overall.alpha,
        correction=overall.correction,
        unit=split.unit,
        warnings=tuple(_warn(overall, pieces, reports)),
    )


def _say_nothing(_: Sequence[ColumnDrift]) -> list[str]:
    return []


# Rows to segments.


@dataclass(frozen=True, slots=True)
class _Names:
    """A column of `by` whose values were made names.

    Attributes:
        pair: The names of both tables' rows.
        values: Names of both sides, in the order of what they name, None last.
        codes: The place of each row's name among these.
    """

    pair: Pair
    values: list[str | None]
    codes: tuple[Rows, Rows]


def _read_names(name: str, tables: Tables) -> _Names:
    pair = fill(name, pair_columns(name, *tables))
    for column in pair:
        if column.kind == "unsupported":
            raise InputTypeError(
                f"`by` {name!r} must hold values of one type in both tables: {column.reason}"
            )
    one, other = (inputs.declare(column, "categorical") for column in pair)
    units = [_native.encode_units(column) for column in (one, other)]
    codes = [read_codes(side) for side in units]
    found: list[list[str | None]] = []
    order: dict[str | None, tuple[float, str]] = {}
    for column, named, side in zip(pair, (one, other), codes, strict=True):
        # Codes count up as names appear: a name's first row is where the largest code so far grows.
        first = inputs.read_array("rows", np.flatnonzero(np.diff(np.maximum.accumulate(side), prepend=-1)))
        texts: list[str | None] = [None] * len(first)
        if named.kind != "null":
            texts = _native.gather_strings(named, first)
        order |= dict(zip(texts, _sort_keys(column, texts, first), strict=True))
        found.append(texts)
    values = sorted(order, key=lambda text: (text is None, order[text]))
    places = {text: place for place, text in enumerate(values)}
    numbered = [
        np.array([places[text] for text in texts], dtype=np.int64)[side]
        for texts, side in zip(found, codes, strict=True)
    ]
    return _Names((one, other), values, (numbered[0], numbered[1]))


def _sort_keys(
    column: _native.Column, texts: Sequence[str | None], first: _native.Column
) -> list[tuple[float, str]]:
    """Give what names are sorted by: numbers and times by what they are, NaN last, strings by their letters."""
    numbers = [0.0] * len(texts)
    if column.kind in NUMERIC:
        numbers = np.frombuffer(_native.gather_numbers(column, first)[0], dtype=np.float64).tolist()
    return [
        (math.inf if number != number else number, text or "")
        for number, text in zip(numbers, texts, strict=True)
    ]


def _number_segments(names: Mapping[str, _Names]) -> tuple[list[Segment], tuple[Rows, Rows]]:
    """Give the segments in order, and the number of each row's segment on both sides; those without a row are none."""
    tuples: list[tuple[str | None, ...]] = [()]
    codes: tuple[Rows, Rows] | None = None
    for at, found in enumerate(names.values(), start=1):
        _check_count(len(found.values), list(names)[at - 1 : at])
        sides = (
            found.codes
            if codes is None
            else tuple(of * len(found.values) + more for of, more in zip(codes, found.codes, strict=True))
        )
        every = [(*before, value) for before in tuples for value in found.values]
        present = np.zeros(len(every), dtype=np.bool_)
        for side in sides:
            present[side] = True
        _check_count(int(present.sum()), list(names)[:at])
        places = np.cumsum(present) - 1
        codes = places[sides[0]], places[sides[1]]
        tuples = [one for one, keep in zip(every, present.tolist(), strict=True) if keep]
    assert codes is not None  # `read_by` refuses to be without a column
    segments: list[Segment] = [one[0] if len(names) == 1 else one for one in tuples]
    return segments, codes


def _check_count(count: int, names: Sequence[str]) -> None:
    if count > MOST_SEGMENTS:
        raise InputError(
            f"`by` must split the rows into at most {MOST_SEGMENTS:,} segments; {' and '.join(map(repr, names))} "
            f"make{'s' * (len(names) == 1)} {count:,}: group the values"
        )


def _sort_rows(codes: Rows, segments: int) -> list[Rows]:
    """Give the rows of each segment, in their order."""
    # Sixteen bits are sorted by counting.
    order = np.argsort(codes.astype(np.uint16), kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=segments)).tolist()
    return [order[start:end] for start, end in pairwise([0, *ends])]


# Segments of both tables.


@dataclass(frozen=True, slots=True)
class _Piece:
    """A segment that both tables have: its columns measured, and what to keep in mind of them by name."""

    compared: Compared
    cautions: Mapping[str, Sequence[str]]


def _share_out(split: Split, tables: Tables) -> tuple[list[str], list[str]]:
    """Say which columns are looked at once, over all rows, and which in each segment.

    Once: those of `by`, and those that one table lacks, that differ in type or that cannot be read; to say so of each
    segment would say it a hundred times.
    """
    differing = find_differing(split.names, *tables)
    once = [name for name in split.by if name not in split.left_out]
    each: list[str] = []
    for name in split.names:
        if name in split.by:
            continue
        plain = name not in differing and not unreadable(tables[0][name], tables[1][name])
        (each if plain else once).append(name)
    if set(split.names) <= set(split.by):
        listed = ", ".join(map(repr, split.by))
        raise InputError(f"there must be a column to compare besides those of `by`; got {listed} alone")
    return once, each


def _read_once(once: Sequence[str], names: Mapping[str, _Names], unit: str | None, tables: Tables) -> Tables:
    """Make tables of the columns that are looked at once, those of `by` as names."""
    found = []
    for at, (side, table) in enumerate(zip(_SIDES, tables, strict=True)):
        others = [name for name in (*once, unit) if name is not None and name not in names and name in table]
        columns = [*(one.pair[at] for one in names.values()), *(table[name] for name in others)]
        found.append(inputs.from_columns(side, columns, source=table.source))
    return found[0], found[1]


def _compare_pieces(
    names: Sequence[str],
    rows: Sequence[Sequence[Rows]],
    split: Split,
    tables: Tables,
    overall: Compared,
    compare: Compare,
) -> Iterator[tuple[int, _Piece]]:
    """Measure the columns named in each segment that both tables have; gives the segments' numbers, too."""
    wanted = [*names, *([] if split.unit is None else [split.unit])]
    takes = [select(table.source, wanted) for table in tables]
    for at, (one, other) in enumerate(zip(*rows, strict=True)):
        if not len(one) or not len(other):
            continue
        if not names:
            yield at, _Piece(_without_columns(overall, (len(one), len(other)), None), {})
            continue
        r_piece, c_piece = (
            inputs.read_table(side, take(numbers), kinds=split.declared)
            for side, take, numbers in zip(_SIDES, takes, (one, other), strict=True)
        )
        yield at, _compare_piece(names, r_piece, c_piece, overall, compare)


def _without_columns(overall: Compared, rows: tuple[int, int], units: tuple[int, int] | None) -> Compared:
    return replace(overall, measured=[], rows=rows, units=units, warnings=(), judged={}, explain=None)


def _compare_piece(
    names: Sequence[str],
    r_piece: inputs.Table,
    c_piece: inputs.Table,
    overall: Compared,
    compare: Compare,
) -> _Piece:
    unit = overall.unit
    if unit is not None:
        units = [
            _native.encode_units(column).count for column in fill(unit, pair_columns(unit, r_piece, c_piece))
        ]
        if units[0] < UNITS_NEEDED:
            measured = [_say_one_unit(name, r_piece[name], c_piece[name]) for name in names]
            empty = _without_columns(overall, (r_piece.n_rows, c_piece.n_rows), (units[0], units[1]))
            return _Piece(replace(empty, measured=measured), {})
    compared = compare(names, r_piece, c_piece)
    # Cautions depend on the correction only where it leaves a drifted column undecided; after them the rows can go.
    decided = decide(compared.measured, compared.alpha, "none")
    told = {column.name: compared.warn([column]) for column in decided}
    sentences = [sentence for one in told.values() for sentence in one]
    return _Piece(replace(compared, warn=lambda _: sentences), told)


def _say_one_unit(name: str, one: _native.Column, other: _native.Column) -> Measured:
    missing, rows = (one.missing, other.missing), (len(one), len(other))
    return Measured(
        name, name_kind([one.dtype, other.dtype], ""), rows, [], {}, missing, (0, 0), 0.0, ONE_UNIT
    )


def _decide_together(
    overall: Compared, pieces: Mapping[Segment, _Piece]
) -> tuple[DriftReport, dict[Segment, DriftReport]]:
    """Decide all columns of all segments, p-values corrected over all of them."""
    parts = [overall, *(piece.compared for piece in pieces.values())]
    measured = [column for part in parts for column in part.measured]
    decided = iter(decide(measured, overall.alpha, overall.correction))
    whole, *reports = (part.report([*islice(decided, len(part.measured))]) for part in parts)
    return whole, dict(zip(pieces, reports, strict=True))


# Segments of one table.


@dataclass(frozen=True, slots=True)
class _Lone:
    """What is said of segments that one table lacks.

    Attributes:
        name: What their one record is called: the columns of `by`.
        overall: The comparison of all rows.
        known: Segments of the reference.
        units: The unit of each row on both sides; None for independent rows.
    """

    name: str
    overall: Compared
    known: int
    units: tuple[Rows, Rows] | None

    def report(self, r_rows: Rows, c_rows: Rows) -> DriftReport:
        """Report on a segment, given its rows on both sides, one of which has none."""
        rows = len(r_rows), len(c_rows)
        units = None
        if self.units is not None:
            units = _count(self.units[0][r_rows]), _count(self.units[1][c_rows])
        verdict, pvalue, reason = self._judge(rows, units)
        record = ColumnDrift(
            name=self.name,
            kind="categorical",
            verdict=verdict,
            reason=reason,
            statistics={},
            pvalue=pvalue,
            pvalue_corrected=None if pvalue is None else min(1.0, pvalue * self.known),
            effect=None,
            parts=(),
            n_reference=rows[0],
            n_current=rows[1],
            missing_reference=0.0,
            missing_current=0.0,
            nan_reference=0.0,
            nan_current=0.0,
            unseen=0.0,
            design_effect=1.0,
        )
        return _without_columns(self.overall, rows, units).report([record])

    def _judge(
        self, rows: tuple[int, int], units: tuple[int, int] | None
    ) -> tuple[Verdict, float | None, str]:
        n, m = self.overall.rows
        if rows[0] == 0:
            new = f"the reference has no row of this segment, the current table {rows[1]:,} of {m:,}"
            return "not computed", None, new
        gone = f"the current table has no row of this segment, the reference {rows[0]:,} of {n:,}"
        if m == 0:
            return "not computed", None, gone
        if self.units is None or units is None:
            pvalue = find_chance_of_none(rows[0], n, m)
        else:
            every = [_count(side) for side in self.units]
            pvalue = find_chance_of_none(units[0], every[0], every[1])
            gone += f", in {units[0]:,} of {every[0]:,} units"
        if pvalue * self.known > self.overall.alpha:
            return "undecided", pvalue, f"{gone}, which may be chance: p is {pvalue:.2g}"
        return "schema", pvalue, f"{gone}: p is {pvalue:.2g}" if pvalue > 0 else f"{gone}: p is below 1e-300"


def _count(codes: Rows) -> int:
    return len(np.unique(codes))


def _read_units(unit: str | None, tables: Tables) -> tuple[Rows, Rows] | None:
    if unit is None:
        return None
    one, other = (_native.encode_units(column) for column in fill(unit, pair_columns(unit, *tables)))
    return read_codes(one), read_codes(other)


def find_chance_of_none(count: int, of: int, others: int) -> float:
    """Compute the probability that none of `others` rows is of a class, which `count` of `of` rows are of, without drift.

    `prod_i (of - i) / (of + others - i)`, i below `count`: all rows of the class are among the first sample's, given how
    many there are in all (Fisher's exact test). Of very many factors the first 100,000 are taken, which is an upper bound.

    Example:
        >>> round(find_chance_of_none(2, 6, 4), 6)
        0.333333
    """
    at = np.arange(min(count, _FACTORS), dtype=np.float64)
    return math.exp(math.fsum(np.log1p(-others / (of + others - at)).tolist()))


def _warn(
    overall: Compared, pieces: Mapping[Segment, _Piece], reports: Mapping[Segment, DriftReport]
) -> list[str]:
    new = [
        f"{name_segment(segment)} ({report.n_current:,} rows)"
        for segment, report in reports.items()
        if not report.n_reference
    ]
    told = [*overall.warnings]
    if new:
        more = f" and {len(new) - _NAMED:,} more" if len(new) > _NAMED else ""
        told.append(f"Segments that the reference lacks, not compared: {', '.join(new[:_NAMED])}{more}.")
    cautions: dict[str, list[tuple[Segment, str]]] = {}
    for segment, piece in pieces.items():
        for name, sentences in piece.cautions.items():
            cautions.setdefault(name, []).extend((segment, sentence) for sentence in sentences[:1])
    for found in cautions.values():
        for segment, sentence in found[:1]:
            others = len(found) - 1
            also = f" (and {others:,} other{'s' * (others > 1)})" if others else ""
            told.append(f"In segment {name_segment(segment)}{also}: {sentence}")
    if overall.explain is not None:
        judged = [one for piece in pieces.values() for one in piece.compared.judged.values()]
        drifted = sum(len(report.drifted) for report in reports.values())
        told.append(overall.explain(judged, drifted))
    return told
