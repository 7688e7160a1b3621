"""Comparison of two tables, column by column.

Reads both tables (`inputs`), counts in Rust, estimates what rows are worth (`clusters`), and has each column measured
and decided (`measured`). The result is a `report.DriftReport`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from tidewheel import _native
from tidewheel.drift import (
    arguments,
    cautions,
    decision,
    inputs,
    instants,
    parts,
    shown,
    tail,
    ties,
    unit_order,
    unit_parts,
)
from tidewheel.drift.columns import Shape
from tidewheel.drift.counted import Parts
from tidewheel.drift.measured import (
    Measured,
    decide,
    differ,
    is_open,
    measure_categories,
    measure_numbers,
    measure_shares,
    not_supported,
)
from tidewheel.drift.report import DriftReport
from tidewheel.drift.shapes import from_names
from tidewheel.drift.statistics import MOST_CATEGORIES, domain
from tidewheel.drift.unit_order import Order, OrderedUnits
from tidewheel.errors import InputError, InputTypeError

#: Quantile bins of a numeric column, for PSI.
BINS = 10

#: Bins of a numeric column whose shares are counted per unit; every other edge is one of the ten bins' above.
UNIT_BINS = 20
#: With more units the ten bins do: a table of 60,000 units is large, and the shares of so many are known at any edge.
MANY_UNITS = 2_000

#: What a report without units says.
INDEPENDENT = "Rows treated as independent; name the day or user of a row as `unit` if they are not."
#: What a report calls the kinds of columns.
NUMERIC = {"number": "numeric", "temporal": "temporal"}
CATEGORICAL = {"string": "categorical", "boolean": "categorical"}


def compare(
    reference: Any,
    current: Any,
    *,
    columns: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    statistics: Sequence[str] | None = None,
    unit: str | None = None,
    unit_order: Order = None,
    alpha: float = 0.05,
    correction: str = "bh",
    kinds: Mapping[str, str] | None = None,
    threads: int | None = None,
    compat: str | None = None,
    compat_methods: Mapping[str, str] | None = None,
) -> DriftReport:
    """Compare two tables and say of each column whether it drifted.

    Numbers and times are tested by Kolmogorov-Smirnov (given the ties, where these matter: `ties`), strings and booleans by
    chi-square over the reference's 50 most frequent values and one class for all others, with a further test of unseen
    values against what Good and Turing expect. Values that are among the 50 by chance count as others
    (`vocabulary.gather_chance`): ids would alarm every time. Where there are more names, or unseen ones, all of them are
    tested too, by halves of the rows (part "tail", `tail.hold_out`), and the upper bound of the total variation is that of
    all names: with many rare ones it is wide, and the column is then `undecided` rather than `stable`. Missing, NaN and
    infinite shares are tested apart. Inside a column p-values are combined by Bonferroni, across columns corrected. A column
    is `drifted` if the corrected p-value is at most alpha *and* the effect's lower confidence bound is above its threshold
    (`decision.DISTANCE_THRESHOLD` and its neighbours), `stable` if all upper bounds are below, else `undecided`. A column of
    which a side has no value is decided by these shares alone, and never `stable`. A column that one table lacks, or has in
    another type, has the verdict `schema`; of another type are also times with a zone beside times without one, and what can
    be read in one table alone. What cannot be computed (no rows, no value on either side, a type that no statistic takes) is
    `not computed`, and says why.

    Integers that are codes (of a status, a shop) have no order that means anything: declare them by `kinds`. Columns of a
    category type (of pandas or polars) are categorical by themselves. `DriftReport.warnings` names whole numbers that look
    like codes, and strings that nearly all are numbers or times.

    Rows of one day or user are not independent, and tests that take them so alarm falsely. With `unit` the spread between
    units is estimated from the reference (and from the current table if it has five units or more), and rows count for as
    many independent ones as that spread allows. p-values come from permuting whole units, the statistic being divided by a
    scale that knows how much a unit resembles the one before it (`measures.permutation`); units are in time order for that,
    see `unit_order`. With fewer than five units on a side, or few ways to assign units to samples, F and Student laws
    replace chi-square and normal ones. Where units resemble their neighbours too much for any test to keep its level (a
    correlation beyond 0.7, or beyond 0.2 with 40 units or fewer on both sides together), the column is `undecided`.

    With `compat` every column also shows what Evidently 0.7.23 or NannyML 0.13.1 says of it (`ColumnDrift.peer`): that
    tool's method, score, threshold and verdict, as the tool itself gives them. Our verdicts stay as they are. NannyML works
    on chunks: the current table is taken as one, the reference is cut into ten as its default does.

    Args:
        reference: A polars, pandas or Arrow table, a polars lazy frame, a mapping of arrays, or a 2-D array (columns "0",
            "1", ...).
        current: A table with the same columns; further ones are named in `DriftReport.warnings`.
        columns: Names of columns to compare, each once; by default all of the reference but `unit`. Names that are no
            strings go by their text, as in the tables. Other columns are not read.
        exclude: Columns to leave out, such as a label that the current table does not have yet; they are not read either.
        statistics: Statistics to show, where they are defined: "ks", "psi", "jensen_shannon", "chi_square",
            "total_variation", which are the default, and "wasserstein", which doubles the time; it comes in the
            column's unit and, as "wasserstein_iqr", in the reference's interquartile ranges. Verdicts do not depend on it.
        unit: Column that names the unit (day, user) of each row; it is not compared.
        unit_order: The time order of units: "value" (numbers, times, else letters), "appearance" (that of their first
            rows), or a sequence of all units. By default by value where all are numbers, times, or strings that are numbers
            or ISO dates, else by appearance. Missing units come last.
        alpha: Level of tests and bounds, in (0, 1).
        correction: "bh", "by", "bonferroni" or "none"; see `decision.correct_pvalues`.
        kinds: What columns are declared to be, by name: "categorical" (numbers and times become names) or "numeric"
            (strings and booleans become numbers; a column with a string that is none cannot be read).
        threads: Most threads to use; by default `TIDEWHEEL_THREADS`, else one per core.
        compat: "evidently" or "nannyml", to show that tool's numbers too.
        compat_methods: That tool's method by kind of column ("numeric", "categorical"), by the tool's name for it; kinds
            not named take its default.

    Returns:
        The report; its columns are in the order of the reference, or of `columns`.

    Raises:
        InputError: a column named in `columns` or `exclude` is in neither table, `columns` names none or none is left, the
            unit's column is not in both, `alpha` lies outside (0, 1), the reference has one unit only, or `unit_order`
            lacks a unit or names one twice.
        InputTypeError: a table is of an unknown type, the unit's column has another type in each, or `columns` or
            `exclude` is a string.
        UnknownNameError: an unknown `correction`, `unit_order` or statistic, `compat`, kind or method of `compat_methods`;
            `kinds` with a kind or a column that does not exist.

    Cost: O(rows x columns), a few nanoseconds per value; with `unit` two more passes on one thread, and 5 to 60 ms
    a test of 80 units. With `compat` raw values
    are looked at as these tools do, in NumPy: some 100 nanoseconds per number, 500 per string.

    Source: Dvoretzky, Kiefer and Wolfowitz (1956) for bounds of D, of two samples as Wei and Dudley (2012) have it; Rao and
    Scott (1984) for chi-square with design effects; Good (1953) for unseen values. `docs/calibration.md` has the error
    rates of all tests and verdicts, simulated.

    Example:
        >>> from tidewheel import drift
        >>> before = {"speed": [i / 5000 for i in range(5000)], "lane": ["left", "right"] * 2500}
        >>> after = {"speed": [0.4 + i / 5000 for i in range(5000)], "lane": ["left", "right"] * 2500}
        >>> report = drift.compare(before, after)
        >>> report.drifted, report["lane"].verdict
        (('speed',), 'stable')
    """
    check_levels(alpha, correction)
    wanted = shown.check_names(statistics, (*shown.COUNTED, *shown.MEASURED))
    asked = None if columns is None else arguments.read_names("columns", columns)
    unit = None if unit is None else arguments.read_name("unit", unit)
    peers = _import_peers(compat, compat_methods)
    declared, left_out = arguments.read_kinds(kinds), arguments.read_excluded(exclude)
    read = None if asked is None else [*asked, *([] if unit is None else [unit])]
    unread = [name for name in left_out if name != unit]
    r_table = inputs.read_table("reference", reference, columns=read, exclude=unread, kinds=declared)
    c_table = inputs.read_table(
        "current", current, columns=list(r_table) if read is None else read, exclude=unread, kinds=declared
    )
    inputs.check_declared(declared, r_table, c_table)
    tables = {"reference": r_table, "current": c_table}
    names = choose_columns(tables, [name for name in r_table if name != unit], asked, left_out)
    differing = find_differing(names, r_table, c_table)
    pairs = {name: instants.align(r_table[name], c_table[name]) for name in names if name not in differing}
    units = (
        None
        if unit is None
        else OrderedUnits.read(unit, _fill(unit, pair_columns(unit, r_table, c_table)), unit_order)
    )
    measured = differing | _measure(pairs, units, alpha, threads)
    if "wasserstein" in wanted:
        measured |= {name: _with_wasserstein(measured[name], pair, threads) for name, pair in pairs.items()}
    decided = decide([measured[name].only(wanted) for name in names], alpha, correction)
    known = {*r_table, *left_out, unit}
    extra = [name for name in c_table if name not in known and columns is None]
    computed = [column for column in decided if column.name in pairs]
    told = (*_warnings(units, extra), *cautions.warn(computed, pairs, declared, alpha))
    if peers is not None:
        typed = {name: pair for name, pair in pairs.items() if is_comparable(*pair)}
        judged = peers.judge_columns(compat, r_table.source, c_table.source, typed, compat_methods)
        decided = [replace(column, peer=judged.get(column.name)) for column in decided]
        told = (
            *told,
            peers.explain(compat, [*judged.values()], sum(c.verdict == "drifted" for c in decided)),
        )
    return DriftReport(
        columns=tuple(decided),
        n_reference=r_table.n_rows,
        n_current=c_table.n_rows,
        alpha=alpha,
        correction=correction,
        unit=unit,
        units=None if units is None else units.counts,
        warnings=told,
    )


def _import_peers(compat: str | None, methods: Mapping[str, str] | None) -> ModuleType | None:
    """Check what is asked of another tool, and give the module that knows them; None if nothing is asked."""
    if compat is None and methods is None:
        return None
    # Few ask for it, and it would be a tenth of the package's import.
    from tidewheel.drift import compat as peers

    peers.check_compat(compat, methods)
    return peers


def check_levels(alpha: float, correction: str) -> None:
    """Refuse a level outside (0, 1) or an unknown correction."""
    arguments.check_share("alpha", alpha)
    decision.correct_pvalues([], correction)


def _warnings(units: OrderedUnits | None, extra: list[str]) -> tuple[str, ...]:
    found = []
    if units is None:
        found.append(INDEPENDENT)
    found += name_further(extra)
    return tuple(found)


def name_further(names: Iterable[str]) -> list[str]:
    """Say in a sentence which columns only the current side has; nothing where there are none."""
    listed = ", ".join(names)
    return [f"Not compared, since the reference lacks them: {listed}."] if listed else []


def choose_columns(
    tables: Mapping[str, Mapping[str, object]],
    known: Sequence[str],
    columns: Sequence[str] | None,
    exclude: Sequence[str],
) -> list[str]:
    """Choose the columns to look at.

    Args:
        tables: The tables by the name of their argument.
        known: Columns by default.
        columns: Columns asked for; None for all.
        exclude: Columns to leave out.

    Returns:
        The names; each is in one of the tables at least.

    Raises:
        InputError: a name is in none of the tables, or `exclude` leaves nothing.
    """
    for name in (*(columns or ()), *exclude):
        if not any(name in table for table in tables.values()):
            listed = " or ".join(f"`{side}`, which has {_list(table)}" for side, table in tables.items())
            raise InputError(f"column {name!r} must be in {listed}")
    chosen = [name for name in (known if columns is None else columns) if name not in set(exclude)]
    if exclude and not chosen:
        raise InputError("`exclude` must leave at least one column; got all of them")
    return chosen


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "no columns"


def find_differing(
    names: Sequence[str], reference: inputs.Table, current: inputs.Table
) -> dict[str, Measured]:
    """Find the columns that one table lacks, or that have another type there."""
    rows = reference.n_rows, current.n_rows
    found = {}
    for name in names:
        one, other = reference.get(name), current.get(name)
        if one is not None and other is not None:
            if not is_comparable(one, other) and not (count_void(one) or count_void(other)):
                told = other_type(one.dtype, [other.dtype], unreadable(one, other))
                found[name] = differ(name, f"{one.dtype} and {other.dtype}", rows, told)
        elif one is not None:
            found[name] = differ(name, one.dtype, rows, LACKING)
        elif other is not None:
            found[name] = differ(name, other.dtype, rows, "the reference lacks this column")
    return found


#: Why a column that the current side lacks is no column to compare; a label in the reference is the usual case.
LACKING = (
    "the current table lacks this column; if it need not have it, as with a label, "
    "leave it out by `exclude` (`--exclude`)"
)


def other_type(reference: str, current: Iterable[str], reason: str = "", rows: str = "") -> str:
    """Say which types a column has, in how many rows, and why they do not go together where that is not plain."""
    types = (
        f"the type is {reference} in the reference, but {' and '.join(current)} in the current table{rows}"
    )
    return f"{types}: {reason}" if reason else types


class Read(instants.Typed, Protocol):
    """What was read of a column, or what a profile knows of one."""

    @property
    def reason(self) -> str:
        """Why no statistic takes it; empty if one does."""


_Pair = tuple[_native.Column, _native.Column]


def pair_columns(
    name: str, reference: Mapping[str, _native.Column], current: Mapping[str, _native.Column]
) -> _Pair:
    """Find a column in both tables; raise if one lacks it, or if its types cannot be compared."""
    for side, table in (("reference", reference), ("current", current)):
        if name not in table:
            raise InputError(f"column {name!r} must be in `{side}`; it has {_list(table)}")
    one, other = reference[name], current[name]
    reason = unreadable(one, other)
    if reason:
        # Where one side cannot be read or matched, neither is: the column says why, and all others are compared.
        one, other = (
            _native.Column.unsupported(name, side.dtype, len(side), side.missing, reason)
            for side in (one, other)
        )
        return one, other
    if not is_comparable(one, other):
        raise InputTypeError(
            f"column {name!r} must have one type in both tables; got {one.dtype} and {other.dtype}"
        )
    return instants.align(one, other)


def count_void(column: _native.Column) -> _native.Parts | Parts | None:
    """Count a column without any value, which goes with any type: all rows are missing or NaN; None if it has one.

    Libraries give such a column whatever type they like: pandas float64 or object, a reader of CSV a string.
    """
    if column.kind == "unsupported":
        return None
    parts = count_parts(column, None)
    return parts if parts.missing + parts.nan == parts.rows else None


def unreadable(one: Read, other: Read) -> str:
    """Say why two columns cannot be compared, if one has a type that is not supported or if their times do not match."""
    found = [side for side in (one, other) if side.kind == "unsupported"]
    if found:
        return "; ".join(dict.fromkeys(side.reason for side in found))
    if one.kind == other.kind == "temporal" and not instants.are_comparable(one.dtype, other.dtype):
        return instants.explain(one.dtype, other.dtype)
    return ""


def is_comparable(one: instants.Typed, other: instants.Typed) -> bool:
    """Say whether two columns have one type, as far as statistics care; columns without a value go with any."""
    kinds = {one.kind, other.kind}
    if "null" in kinds:
        return True
    if len(kinds) > 1:
        return False
    return one.kind != "temporal" or instants.are_comparable(one.dtype, other.dtype)


def _count_rows_by_unit(column: _native.Column, units: _native.Units) -> bytes:
    """Count per unit the rows with a value, and those that are missing (or NaN)."""
    if column.kind in NUMERIC:
        edges = inputs.read_array("edges", np.zeros(0, dtype=domain(column)))
        found = _native.count_numbers_by_unit(column, edges, units)
    elif column.kind in CATEGORICAL:
        found = _native.count_names_by_unit(column, [], units)
    else:
        rows = np.bincount(unit_order.read_codes(units), minlength=units.count)
        return np.column_stack([np.zeros_like(rows), rows]).astype(np.int64).tobytes()
    table = np.frombuffer(found, dtype=np.int64).reshape(units.count, -1)
    return np.column_stack([table[:, :-1].sum(axis=1), table[:, -1]]).tobytes()


def _with_wasserstein(measured: Measured, pair: _Pair, threads: int | None) -> Measured:
    if measured.kind not in NUMERIC.values() or measured.problem:
        return measured
    return replace(measured, statistics=measured.statistics | shown.wasserstein(*pair, threads))


def _measure(
    pairs: Mapping[str, _Pair], units: OrderedUnits | None, alpha: float, threads: int | None
) -> dict[str, Measured]:
    measured = {}
    numeric = {name: _fill(name, pair) for name, pair in pairs.items() if _kind(pair) in NUMERIC}
    categorical = {name: _fill(name, pair) for name, pair in pairs.items() if _kind(pair) in CATEGORICAL}
    numbers = _native.compare_numeric(*_sides(numeric), BINS, threads)
    for (name, pair), found in zip(numeric.items(), numbers, strict=True):
        measured[name] = _measure_numbers(name, pair, found, units, alpha, threads)
    categories = _native.compare_categories(*_sides(categorical), MOST_CATEGORIES, threads)
    for (name, pair), counted in zip(categorical.items(), categories, strict=True):
        measured[name] = _measure_categories(name, pair, counted, units, alpha)
    for name in pairs.keys() - measured.keys():
        measured[name] = _measure_others(name, pairs[name], units, alpha, threads)
    return measured


def _kind(pair: _Pair) -> str:
    """Return what statistics make of a pair: what they make of the side that has values."""
    kinds = {column.kind for column in pair} - {"null"}
    return kinds.pop() if len(kinds) == 1 else "null"


def _fill(name: str, pair: _Pair) -> _Pair:
    """Give a side without values the other's type, so that what else the other holds is counted."""
    names = _kind(pair) in CATEGORICAL
    one, other = (
        column
        if column.kind != "null"
        else _no_names(name, len(column))
        if names
        else _native.Column.null(name, len(column))
        for column in pair
    )
    return one, other


def _no_names(name: str, rows: int) -> _native.Column:
    nothing = np.zeros(0, dtype=np.uint8)
    bits = np.zeros((rows + 7) // 8, dtype=np.uint8)
    return _native.Column.from_strings(name, np.zeros(rows + 1, dtype=np.int64), nothing, bits)


def _sides(pairs: Mapping[str, _Pair]) -> tuple[list[_native.Column], list[_native.Column]]:
    return [one for one, _ in pairs.values()], [other for _, other in pairs.values()]


def _measure_others(
    name: str, pair: _Pair, units: OrderedUnits | None, alpha: float, threads: int | None
) -> Measured:
    """Measure a column of which a side has no value, or one that no statistic takes."""
    rows = (len(pair[0]), len(pair[1]))
    reason = unreadable(*pair)
    void = [count_void(column) for column in pair]
    kind = name_kind(
        [one.dtype for one, none in zip(pair, void, strict=True) if not none], reason
    ) or name_kind([one.dtype for one in pair], reason)
    # Which rows of a unit are missing is not known of a column that cannot be read.
    if reason and (units is not None or not any(void)):
        return not_supported(name, kind, rows, (pair[0].missing, pair[1].missing), reason)
    one, other = (count_parts(column, threads) for column in pair)
    shares = {
        "missing": (one.missing, other.missing),
        "nan": (one.nan, other.nan),
        "infinite": (
            one.infinite_above + one.infinite_below,
            other.infinite_above + other.infinite_below,
        ),
    }
    by_unit = None
    if units is not None and min(rows) > 0:
        by_unit = unit_parts.describe_missing(units.tables(pair, _count_rows_by_unit))
    measured = measure_shares(
        name, kind, rows, shares, None if by_unit is None else by_unit.designs[1], alpha
    )
    return measured if by_unit is None else unit_parts.retest(measured, by_unit)


def count_parts(column: _native.Column, threads: int | None) -> _native.Parts | Parts:
    """Count the missing, NaN and infinite rows of a column of any type."""
    if column.kind in NUMERIC:
        return _native.find_range(column, threads)[1]
    return Parts(len(column), missing=column.missing)


def name_kind(dtypes: Sequence[str], reason: str) -> str:
    """Name the kind of a column that is not computed: by the first type that a statistic takes, else by its types."""
    for dtype in dtypes if not reason else ():
        if dtype in {"string", "bool"}:
            return CATEGORICAL["string"]
        if instants.is_time(dtype):
            return NUMERIC["temporal"]
        if dtype.startswith(("int", "uint", "float", "decimal")):
            return NUMERIC["number"]
    return " and ".join(dict.fromkeys(dtypes))


def _measure_numbers(
    name: str,
    pair: _Pair,
    found: _native.NumericComparison,
    units: OrderedUnits | None,
    alpha: float,
    threads: int | None,
) -> Measured:
    by_unit = None
    if units is not None and found.distance is None:
        by_unit = unit_parts.describe_missing(units.tables(pair, _count_rows_by_unit))
    elif units is not None:
        edges = _unit_edges(pair[0], BINS if max(units.counts) > MANY_UNITS else UNIT_BINS)
        tables = units.tables(pair, lambda column, codes: _native.count_numbers_by_unit(column, edges, codes))
        by_unit = unit_parts.describe(tables, ordered=True)
    measured = measure_numbers(
        name, NUMERIC[_kind(pair)], found, None if by_unit is None else by_unit.designs, alpha
    )
    if by_unit is not None:
        measured = unit_parts.retest(measured, by_unit)
    elif found.distance is not None and (counts := ties.count_values(*pair, threads)) is not None:
        tested = parts.condition_on_ties(measured.parts[0], *counts)
        measured = replace(measured, parts=[tested, *measured.parts[1:]])
    return replace(measured, shape=_shape_of_numbers(found, pair[0].dtype) if found.distance else None)


def _unit_edges(reference: _native.Column, bins: int) -> _native.Column:
    try:
        edges = _native.fit_quantiles(reference, bins, 1).edges
    except InputError:
        edges = []  # Infinities alone.
    return inputs.read_array("edges", np.array(edges, dtype=domain(reference)))


def _shape_of_numbers(found: _native.NumericComparison, dtype: str) -> Shape | None:
    if found.shape is None:
        return None
    low, width, reference, current = found.shape
    return Shape(tuple(reference), tuple(current), (), low, width, dtype)


def _shape_of_categories(found: _native.CategoryComparison, dtype: str) -> Shape:
    r, c = (np.array(counts, dtype=np.int64) for counts in (found.reference_counts, found.current_counts))
    return from_names(found.names, r, c, dtype, found.risen)


def _measure_categories(
    name: str, pair: _Pair, found: _native.CategoryComparison, units: OrderedUnits | None, alpha: float
) -> Measured:
    by_unit, held = None, None
    if units is not None and not (any(found.reference_counts) and any(found.current_counts)):
        by_unit = unit_parts.describe_missing(units.tables(pair, _count_rows_by_unit))
    elif units is not None:
        tables = units.tables(
            pair, lambda column, codes: _native.count_names_by_unit(column, found.names, codes)
        )
        by_unit = unit_parts.describe(tables, ordered=False)
        if is_open(found):
            held = tail.hold_out_units(_number_names(pair), units.places, by_unit.phi)
    measured = measure_categories(name, found, None if by_unit is None else by_unit.designs, alpha, held)
    if by_unit is not None:
        measured = unit_parts.retest(measured, by_unit, held)
    return replace(measured, shape=None if measured.problem else _shape_of_categories(found, pair[0].dtype))


def _number_names(pair: _Pair) -> unit_order.Tables:
    """Number the strings of all rows, both sides alike; -1 where one is missing."""
    numbers: dict[str | None, int] = {}
    sides = []
    for column in pair:
        codes = unit_order.read_codes(_native.encode_units(column))
        _, first = np.unique(codes, return_index=True)
        names = _native.gather_strings(column, inputs.read_array("rows", first.astype(np.int64)))
        known = [-1 if name is None else numbers.setdefault(name, len(numbers)) for name in names]
        sides.append(np.array(known, dtype=np.int64)[codes])
    return sides[0], sides[1]
