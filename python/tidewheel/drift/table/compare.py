"""Comparison of two tables, column by column.

Reads both tables (`inputs`), counts in Rust, estimates what rows are worth (`design_effect`), and has each column measured
and decided (`measured`). The result is a `report.report.DriftReport`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any, overload

import numpy as np

from tidewheel import _native
from tidewheel.drift import arguments
from tidewheel.drift.reading import inputs, instants
from tidewheel.drift.reading.rows import hold
from tidewheel.drift.report.records import ColumnDrift, Shape
from tidewheel.drift.report.report import DriftReport
from tidewheel.drift.report.segmented import SegmentedReport
from tidewheel.drift.statistics import ties
from tidewheel.drift.statistics.bins import MOST_CATEGORIES, domain, fit_quantiles
from tidewheel.drift.table import (
    cautions,
    column_tests,
    open_vocabulary,
    segments,
    shown,
    unit_order,
    unit_tests,
    weighed,
)
from tidewheel.drift.table.cautions import INDEPENDENT
from tidewheel.drift.table.compared import Compared
from tidewheel.drift.table.counted import BINS
from tidewheel.drift.table.decision import check_levels
from tidewheel.drift.table.measured import (
    Measured,
    decide,
    is_open,
    measure_categories,
    measure_numbers,
    measure_shares,
    not_supported,
)
from tidewheel.drift.table.pairs import (
    CATEGORICAL,
    NUMERIC,
    Pair,
    choose_columns,
    count_row_kinds,
    count_void,
    fill,
    find_differing,
    is_comparable,
    kind_of,
    name_further,
    name_kind,
    number_names,
    pair_columns,
    sides_of,
    unreadable,
)
from tidewheel.drift.table.rules import Rule, Rules
from tidewheel.drift.table.shapes import from_names
from tidewheel.drift.table.unit_order import Order, OrderedUnits
from tidewheel.errors import InputError

#: Bins of a numeric column whose shares are counted per unit; every other edge is one of the ten bins' above.
UNIT_BINS = 20
#: With more units the ten bins do: a table of 60,000 units is large, and the shares of so many are known at any edge.
MANY_UNITS = 2_000


@overload
def compare(
    reference: Any,
    current: Any,
    *,
    columns: Sequence[str] | None = ...,
    exclude: Sequence[str] | None = ...,
    statistics: Sequence[str] | None = ...,
    by: None = ...,
    unit: str | None = ...,
    unit_order: Order = ...,
    alpha: float = ...,
    correction: str = ...,
    kinds: Mapping[str, str] | None = ...,
    thresholds: Mapping[str, float | Mapping[str, float]] | None = ...,
    decide_by: str | Mapping[str, str] | None = ...,
    weights: str | None = ...,
    threads: int | None = ...,
    compat: str | None = ...,
    compat_methods: Mapping[str, str] | None = ...,
) -> DriftReport: ...
@overload
def compare(
    reference: Any,
    current: Any,
    *,
    columns: Sequence[str] | None = ...,
    exclude: Sequence[str] | None = ...,
    statistics: Sequence[str] | None = ...,
    by: str | Sequence[str],
    unit: str | None = ...,
    unit_order: Order = ...,
    alpha: float = ...,
    correction: str = ...,
    kinds: Mapping[str, str] | None = ...,
    thresholds: Mapping[str, float | Mapping[str, float]] | None = ...,
    decide_by: str | Mapping[str, str] | None = ...,
    weights: str | None = ...,
    threads: int | None = ...,
    compat: str | None = ...,
    compat_methods: Mapping[str, str] | None = ...,
) -> SegmentedReport: ...
def compare(
    reference: Any,
    current: Any,
    *,
    columns: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    statistics: Sequence[str] | None = None,
    by: str | Sequence[str] | None = None,
    unit: str | None = None,
    unit_order: Order = None,
    weights: str | None = None,
    alpha: float = 0.05,
    correction: str = "bh",
    kinds: Mapping[str, str] | None = None,
    thresholds: Mapping[str, float | Mapping[str, float]] | None = None,
    decide_by: str | Mapping[str, str] | None = None,
    threads: int | None = None,
    compat: str | None = None,
    compat_methods: Mapping[str, str] | None = None,
) -> DriftReport | SegmentedReport:
    """Compare two tables and say of each column whether it drifted.

    Numbers and times are tested by Kolmogorov-Smirnov (given the ties, where these matter: `ties`), strings and booleans by
    chi-square over the reference's 50 most frequent values and one class for all others, with a further test of unseen
    values against what Good and Turing expect. Values that are among the 50 by chance count as others
    (`vocabulary.gather_chance`): ids would alarm every time. Where there are more names, or unseen ones, all of them are
    tested too, by halves of the rows (part "tail", `open_vocabulary.hold_out`), and the upper bound of the total variation
    is that of all names: with many rare ones it is wide, and the column is then `undecided` rather than `stable`. Missing,
    NaN and infinite shares are tested apart. Inside a column p-values are combined by Bonferroni, across columns corrected.
    A column is `drifted` if the corrected p-value is at most alpha *and* the effect's lower confidence bound is above its
    threshold (0.1 for values, 0.05 for shares, or as `thresholds` says), `stable` if all upper bounds are below, else
    `undecided`. A column of which a side has no value is decided by these shares alone, and never `stable`. A column that
    one table lacks, or has in another type, has the verdict `schema`; of another type are also times with a zone beside
    times without one, and what can be read in one table alone. What cannot be computed (no rows, no value on either side, a
    type that no statistic takes) is `not computed`, and says why.

    Integers that are codes (of a status, a shop) have no order that means anything: declare them by `kinds`. Columns of a
    category type (of pandas or polars) are categorical by themselves. `DriftReport.warnings` names whole numbers that look
    like codes, and strings that nearly all are numbers or times.

    Rows of one day or user are not independent, and tests that take them so alarm falsely. With `unit` the spread between
    units is estimated from the reference (and from the current table if it has five units or more), and rows count for as
    many independent ones as that spread allows. p-values come from permuting whole units, the statistic being divided by a
    scale that knows how much a unit resembles the one before it (`measures.permutation`); units are in time order for that,
    see `unit_order`. With fewer than five units on a side, or few ways to assign units to samples, F and Student laws
    replace chi-square and normal ones. Tests take that resemblance three quarters of a standard error
    stronger than it is estimated. Where it is visible and there are 40 units or fewer on both sides together, or fewer than
    four effective ones, the column is `undecided`; so is a test that cannot permute units where the correlation is beyond
    0.7.

    With `by` the rows of both tables are split by the values of a column (a country, a kind of customer), and each segment's
    current rows are compared with the same segment's reference rows; p-values are corrected over all columns of all segments
    together. The columns of `by` themselves are compared over all rows, which shows whether the segments' shares moved, and
    so are columns that one table lacks or that cannot be read (`SegmentedReport.overall`). A segment without a current row
    has the verdict `schema`, unless chance leaves it out as easily: then `undecided`; segments without a reference row are
    named. Missing values form a segment of their own, the last. A segment with too few rows to say more is `undecided`.

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
        by: Column, or columns, whose values split the rows into segments, at most 1,000; see above. What the columns hold,
            numbers and times too, is taken by its text.
        unit: Column that names the unit (day, user) of each row; it is not compared.
        unit_order: The time order of units: "value" (numbers, times, else letters), "appearance" (that of their first
            rows), or a sequence of all units. By default by value where all are numbers, times, or strings that are numbers
            or ISO dates, else by appearance. Missing units come last.
        weights: Column that says how much each row counts: finite numbers of at least 0, in both tables; it is not
            compared. Shares, distributions, bins and pictures are those of the weighted rows; tests and bounds take
            `(sum w)^2 / sum w^2` equal rows a side (Kish), which a warning tells. That is approximately valid, and as
            long as weights do not depend on the values. Where all weights of a side are equal the report is that without
            weights. Else tied numbers are tested by the law of continuous ones, whose p is never too small, rare names
            are pooled rather than permuted, all names together ("tail") are tested by other halves, and 64-bit integers
            beyond 2^53 are compared as floats. Not with `unit`, `compat` or "wasserstein".
        alpha: Level of tests and bounds, in (0, 1).
        correction: "bh", "by", "bonferroni" or "none"; see `decision.correct_pvalues`.
        kinds: What columns are declared to be, by name: "categorical" (numbers and times become names) or "numeric"
            (strings and booleans become numbers; a column with a string that is none cannot be read).
        thresholds: From where on a difference matters, per name of a column, or "*" for all: a number in (0, 1) for the
            parts "values" and "tail", or a mapping of parts ("values", "tail", "missing", "nan", "infinite", "unseen") to
            such numbers. Of numbers it is a Kolmogorov-Smirnov distance (or the index, see `decide_by`), of categories a
            total variation, else a difference of shares. A column's own go before those of all, part by part; "tail"
            follows "values".
        decide_by: The statistic that decides the values, for all columns that it is defined for, or by name of a column ("*"
            for all): "ks" (default) or "psi" for numbers and times, "total_variation" for categories. The index is
            tested by its own law (`psi`); its effect is what it exceeds chance by, with bounds that hold for any laws
            (`psi_bounds.bound_psi`), and its threshold is 0.1. It sees the report's ten bins alone, and bins of few rows
            leave it open. A warning tells of it. Not with `unit` or `weights`.
        threads: Most threads to use; by default `TIDEWHEEL_THREADS`, else one per core.
        compat: "evidently" or "nannyml", to show that tool's numbers too.
        compat_methods: That tool's method by kind of column ("numeric", "categorical"), by the tool's name for it; kinds
            not named take its default.

    Returns:
        The report; its columns are in the order of the reference, or of `columns`. With `by` a `SegmentedReport`, which
        has one for each segment, in the order of the segments' values.

    Raises:
        InputError: a column named in `columns` or `exclude` is in neither table, `columns` names none or none is left, the
            unit's column is not in both, `alpha` or a threshold lies outside (0, 1), the reference has one unit only, or
            `unit_order` lacks a unit or names one twice; a column of `by` is not in both tables or is the unit's, there is
            no column besides, or more than 1,000 segments; a weight is missing, NaN, infinite or negative, all of a side
            are 0, `weights` goes with `by`, `unit`, `compat` or "wasserstein", or "psi" shall decide with `unit`, with
            `weights`, or a categorical column.
        InputTypeError: a table is of an unknown type, the unit's column or one of `by` has another type in each, `columns`
            or `exclude` is a string, weights are no numbers, or a threshold is none.
        UnknownNameError: an unknown `correction`, `unit_order` or statistic, `compat`, kind or method of `compat_methods`;
            `kinds` with a kind or a column that does not exist; `thresholds` or `decide_by` with such a column, part or
            statistic.

    Cost: O(rows x columns), a few nanoseconds per value; with `unit` two more passes on one thread, and 5 to 60 ms
    a test of 80 units. With `by` rows are copied a segment at a time: about six times as long for 20 segments of
    50,000 rows, and some 15 ms for each small segment of 25 columns. With `weights` half a second per million rows of
    a column, by sorting. With `compat` raw values
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
    rules = Rules.read(alpha, thresholds, decide_by)
    wanted = shown.check_names(statistics, (*shown.COUNTED, *shown.MEASURED))
    asked = None if columns is None else arguments.read_names("columns", columns)
    unit = None if unit is None else arguments.read_name("unit", unit)
    split = [] if by is None else segments.read_by(by, unit)
    weights = _read_weights(weights, by, unit, compat, wanted)
    _check_deciders(rules, unit, weights)
    peers = _import_peers(compat, compat_methods)
    declared, left_out = arguments.read_kinds(kinds), arguments.read_excluded(exclude)
    hidden = [name for name in (unit, weights) if name is not None]
    beside = [*split, *hidden]
    read = None if asked is None else [*asked, *beside]
    unread = [name for name in left_out if name not in beside]
    if split:
        reference, current = hold(reference), hold(current)
    r_table = inputs.read_table("reference", reference, columns=read, exclude=unread, kinds=declared)
    c_table = inputs.read_table(
        "current", current, columns=list(r_table) if read is None else read, exclude=unread, kinds=declared
    )
    inputs.check_declared(declared, r_table, c_table)
    rules.check_known("`reference`", r_table, c_table)
    tables = {"reference": r_table, "current": c_table}
    names = choose_columns(tables, [name for name in r_table if name not in hidden], asked, left_out)
    known = {*r_table, *left_out, *hidden}
    extra = [name for name in c_table if name not in known and columns is None]
    choice = _Choice(
        wanted, unit, unit_order, weights, rules, correction, declared, threads, peers, compat, compat_methods
    )
    if not split:
        compared = _compare_tables(names, r_table, c_table, choice, extra)
        return compared.report(decide(compared.measured, alpha, correction))
    return segments.compare_segments(
        segments.Split(split, names, left_out, unit, declared),
        (r_table, c_table),
        partial(_compare_tables, choice=choice),
        [name for name in extra if name not in split],
    )


@dataclass(frozen=True, slots=True)
class _Choice:
    """What is asked of a comparison, as `compare` has checked it."""

    statistics: Sequence[str]
    unit: str | None
    unit_order: Order
    weights: str | None
    rules: Rules
    correction: str
    declared: Mapping[str, str]
    threads: int | None
    peers: ModuleType | None
    compat: str | None
    compat_methods: Mapping[str, str] | None


def _compare_tables(
    names: Sequence[str],
    r_table: inputs.Table,
    c_table: inputs.Table,
    choice: _Choice,
    extra: Sequence[str] = (),
) -> Compared:
    """Measure the columns named; `extra` are further ones of the current table."""
    threads, unit, peers = choice.threads, choice.unit, choice.peers
    differing = find_differing(names, r_table, c_table)
    pairs = {name: instants.align(r_table[name], c_table[name]) for name in names if name not in differing}
    units = (
        None
        if unit is None
        else OrderedUnits.read(unit, fill(unit, pair_columns(unit, r_table, c_table)), choice.unit_order)
    )
    weighing = None
    if choice.weights is not None:
        weighing = weighed.Weights.read(choice.weights, pair_columns(choice.weights, r_table, c_table))
    counting = None if weighing is None or weighing.is_even else weighing
    # Where a side has no row there is no unit of which anything could be known.
    has_rows = r_table.n_rows > 0 and c_table.n_rows > 0
    measured = differing | _measure(pairs, units if has_rows else None, counting, choice.rules, threads)
    if "wasserstein" in choice.statistics:
        measured |= {name: _with_wasserstein(measured[name], pair, threads) for name, pair in pairs.items()}
    judged, explain = {}, None
    if peers is not None:
        typed = {name: pair for name, pair in pairs.items() if is_comparable(*pair)}
        judged = peers.judge_columns(
            choice.compat, r_table.source, c_table.source, typed, choice.compat_methods
        )
        explain = partial(peers.explain, choice.compat)

    def warn(decided: Sequence[ColumnDrift]) -> list[str]:
        computed = [column for column in decided if column.name in pairs]
        return cautions.warn(computed, pairs, choice.declared, choice.rules)

    return Compared(
        measured=[measured[name].only(choice.statistics) for name in names],
        rows=(r_table.n_rows, c_table.n_rows),
        alpha=choice.rules.alpha,
        correction=choice.correction,
        unit=unit,
        units=None if units is None else units.counts,
        warnings=_warnings(units, weighing, choice.rules, extra),
        warn=warn,
        judged=judged,
        explain=explain,
    )


def _import_peers(compat: str | None, methods: Mapping[str, str] | None) -> ModuleType | None:
    """Check what is asked of another tool, and give the module that knows them; None if nothing is asked."""
    if compat is None and methods is None:
        return None
    # Few ask for it, and it would be a tenth of the package's import.
    from tidewheel.drift.peers import compat as peers

    peers.check_compat(compat, methods)
    return peers


def _read_weights(
    weights: str | None,
    by: object,
    unit: str | None,
    compat: str | None,
    statistics: Sequence[str],
) -> str | None:
    """Read the name of the weights' column, and refuse what takes no weights."""
    if weights is None:
        return None
    for argument, given in (("by", by), ("unit", unit), ("compat", compat)):
        if given is not None:
            raise InputError(
                f"`weights` and `{argument}` cannot go together: {_WEIGHTLESS[argument]}; got {weights!r} and {given!r}"
            )
    if "wasserstein" in statistics:
        raise InputError(
            "`statistics` must not hold 'wasserstein' where `weights` are given: it counts plain rows"
        )
    return arguments.read_name("weights", weights)


def _check_deciders(rules: Rules, unit: str | None, weights: str | None) -> None:
    for argument, given in (("unit", unit), ("weights", weights)):
        if given is not None and "psi" in rules.deciders.values():
            raise InputError(
                f"`decide_by` must not hold 'psi' with `{argument}`: the law of the index is that of plain rows"
            )


_WEIGHTLESS = {
    "by": "segments are told apart by plain rows",
    "unit": "the spread between units is estimated from plain rows",
    "compat": "the other tool knows no weights",
}


def _warnings(
    units: OrderedUnits | None, weights: weighed.Weights | None, rules: Rules, extra: Sequence[str]
) -> tuple[str, ...]:
    found = []
    if units is None:
        found.append(INDEPENDENT)
    if weights is not None:
        found.append(weights.tell())
    found += rules.tell()
    found += name_further(extra)
    return tuple(found)


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


def _with_wasserstein(measured: Measured, pair: Pair, threads: int | None) -> Measured:
    if measured.kind not in NUMERIC.values() or measured.problem:
        return measured
    return replace(measured, statistics=measured.statistics | shown.wasserstein(*pair, threads))


def _measure(
    pairs: Mapping[str, Pair],
    units: OrderedUnits | None,
    weights: weighed.Weights | None,
    rules: Rules,
    threads: int | None,
) -> dict[str, Measured]:
    measured = {}
    numeric = {name: fill(name, pair) for name, pair in pairs.items() if kind_of(pair) in NUMERIC}
    categorical = {name: fill(name, pair) for name, pair in pairs.items() if kind_of(pair) in CATEGORICAL}
    numbers = _native.compare_numeric(*sides_of(numeric), BINS, threads)
    for (name, pair), found in zip(numeric.items(), numbers, strict=True):
        measured[name] = (
            _measure_numbers(name, pair, found, units, rules.of(name), threads)
            if weights is None
            else weighed.measure_numbers(name, pair, found, weights, rules.of(name))
        )
    if weights is not None:
        measured |= {
            name: weighed.measure_categories(name, pair, weights, rules.of(name))
            for name, pair in categorical.items()
        }
        categorical = {}
    categories = _native.compare_categories(*sides_of(categorical), MOST_CATEGORIES, threads)
    for (name, pair), counted in zip(categorical.items(), categories, strict=True):
        measured[name] = _measure_categories(name, pair, counted, units, rules.of(name))
    for name in pairs.keys() - measured.keys():
        by_row = units is not None or weights is not None
        measured[name] = _measure_others(name, pairs[name], units, rules.of(name), threads, by_row=by_row)
    return measured


def _measure_others(
    name: str,
    pair: Pair,
    units: OrderedUnits | None,
    rule: Rule,
    threads: int | None,
    *,
    by_row: bool,
) -> Measured:
    """Measure a column of which a side has no value, or one that no statistic takes."""
    rows = (len(pair[0]), len(pair[1]))
    reason = unreadable(*pair)
    void = [count_void(column) for column in pair]
    kind = name_kind(
        [one.dtype for one, none in zip(pair, void, strict=True) if not none], reason
    ) or name_kind([one.dtype for one in pair], reason)
    # Which rows are missing, of a unit or of what weight, is not known of a column that cannot be read.
    if reason and (by_row or not any(void)):
        return not_supported(name, kind, rows, (pair[0].missing, pair[1].missing), reason)
    one, other = (count_row_kinds(column, threads) for column in pair)
    shares = {
        "missing": (one.missing, other.missing),
        "nan": (one.nan, other.nan),
        "infinite": (
            one.infinite_above + one.infinite_below,
            other.infinite_above + other.infinite_below,
        ),
    }
    by_unit = None
    if units is not None:
        by_unit = unit_tests.describe_missing(units.tables(pair, _count_rows_by_unit))
    measured = measure_shares(name, kind, rows, shares, None if by_unit is None else by_unit.designs[1], rule)
    return measured if by_unit is None else unit_tests.retest(measured, by_unit)


def _measure_numbers(
    name: str,
    pair: Pair,
    found: _native.NumericComparison,
    units: OrderedUnits | None,
    rule: Rule,
    threads: int | None,
) -> Measured:
    by_unit = None
    if units is not None and found.distance is None:
        by_unit = unit_tests.describe_missing(units.tables(pair, _count_rows_by_unit))
    elif units is not None:
        edges = _unit_edges(pair[0], BINS if max(units.counts) > MANY_UNITS else UNIT_BINS)
        tables = units.tables(pair, lambda column, codes: _native.count_numbers_by_unit(column, edges, codes))
        by_unit = unit_tests.describe(tables, ordered=True)
    measured = measure_numbers(
        name, NUMERIC[kind_of(pair)], found, None if by_unit is None else by_unit.designs, rule
    )
    if by_unit is not None:
        measured = unit_tests.retest(measured, by_unit)
    elif (
        found.distance is not None
        and rule.choose(name, "numeric") == "ks"
        and (counts := ties.count_values(*pair, threads)) is not None
    ):
        tested = column_tests.condition_on_ties(measured.parts[0], *counts)
        measured = replace(measured, parts=[tested, *measured.parts[1:]])
    return replace(measured, shape=_shape_of_numbers(found, pair[0].dtype) if found.distance else None)


def _unit_edges(reference: _native.Column, bins: int) -> _native.Column:
    try:
        _, edges = fit_quantiles(reference, bins, 1)
    except InputError:
        edges = np.zeros(0, dtype=domain(reference))  # Infinities alone.
    return inputs.read_array("edges", edges)


def _shape_of_numbers(found: _native.NumericComparison, dtype: str) -> Shape | None:
    if found.shape is None:
        return None
    low, width, reference, current = found.shape
    return Shape(tuple(reference), tuple(current), (), low, width, dtype)


def _shape_of_categories(found: _native.CategoryComparison, dtype: str) -> Shape:
    r, c = (np.array(counts, dtype=np.int64) for counts in (found.reference_counts, found.current_counts))
    return from_names(found.names, r, c, dtype, found.risen)


def _measure_categories(
    name: str, pair: Pair, found: _native.CategoryComparison, units: OrderedUnits | None, rule: Rule
) -> Measured:
    by_unit, held = None, None
    if units is not None and not (any(found.reference_counts) and any(found.current_counts)):
        by_unit = unit_tests.describe_missing(units.tables(pair, _count_rows_by_unit))
    elif units is not None:
        tables = units.tables(
            pair, lambda column, codes: _native.count_names_by_unit(column, found.names, codes)
        )
        by_unit = unit_tests.describe(tables, ordered=False)
        if is_open(found):
            held = open_vocabulary.hold_out_units(number_names(pair)[1], units.places, by_unit.phi)
    measured = measure_categories(name, found, None if by_unit is None else by_unit.designs, rule, held)
    if by_unit is not None:
        measured = unit_tests.retest(measured, by_unit, held)
    return replace(measured, shape=None if measured.problem else _shape_of_categories(found, pair[0].dtype))
