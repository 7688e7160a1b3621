"""Comparison of two tables, column by column.

Reads both tables (`inputs`), counts in Rust, estimates what rows are worth (`clusters`), and has each column measured
and decided (`measured`). The result is a `report.DriftReport`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift import clusters, decision, inputs, shown
from tidewheel.drift.columns import Shape
from tidewheel.drift.measured import (
    Designs,
    Measured,
    decide,
    measure_categories,
    measure_numbers,
    not_measured,
)
from tidewheel.drift.report import DriftReport
from tidewheel.drift.shapes import from_names
from tidewheel.drift.statistics import MOST_CATEGORIES, domain
from tidewheel.errors import InputError, InputTypeError

#: Quantile bins of a numeric column: for PSI, and for the spread between units.
BINS = 10

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
    statistics: Sequence[str] | None = None,
    unit: str | None = None,
    alpha: float = 0.05,
    correction: str = "bh",
    threads: int | None = None,
    compat: str | None = None,
    compat_methods: Mapping[str, str] | None = None,
) -> DriftReport:
    """Compare two tables and say of each column whether it drifted.

    Numbers and times are tested by Kolmogorov-Smirnov, strings and booleans by chi-square over the reference's 50 most
    frequent values and one class for all others, with a further test of unseen values against what Good and Turing expect.
    Values that are among the 50 by chance count as others (`vocabulary.gather_chance`): ids would alarm every time.
    Missing, NaN and infinite shares are tested apart. Inside a column p-values are combined by Bonferroni, across columns
    corrected. A column is `drifted` if the corrected p-value is at most alpha *and* the effect's lower confidence bound
    is above its threshold (`decision.DISTANCE_THRESHOLD` and its neighbours), `stable` if all upper bounds are below,
    else `undecided`. Columns that cannot be computed (no values, an unsupported type) say so and why.

    Rows of one day or user are not independent, and tests that take them so alarm falsely. With `unit` the spread between
    units is estimated from the reference (and from the current table if it has five units or more), rows count for as many
    independent ones as that spread allows, and F and Student laws replace chi-square and normal ones.

    With `compat` every column also shows what Evidently 0.7.23 or NannyML 0.13.1 says of it (`ColumnDrift.peer`): that
    tool's method, score, threshold and verdict, as the tool itself gives them. Our verdicts stay as they are. NannyML works
    on chunks: the current table is taken as one, the reference is cut into ten as its default does.

    Args:
        reference: A polars, pandas or Arrow table, a mapping of arrays, or a 2-D array (columns "0", "1", ...).
        current: A table with the same columns; further ones are named in `DriftReport.warnings`.
        columns: Columns to compare; by default all of the reference but `unit`.
        statistics: Statistics to show, where they are defined: "ks", "psi", "jensen_shannon", "chi_square",
            "total_variation", which are the default, and "wasserstein", which doubles the time; it comes in the
            column's unit and, as "wasserstein_iqr", in the reference's interquartile ranges. Verdicts do not depend on it.
        unit: Column that names the unit (day, user) of each row; it is not compared.
        alpha: Level of tests and bounds, in (0, 1).
        correction: "bh", "by", "bonferroni" or "none"; see `decision.correct_pvalues`.
        threads: Most threads to use; by default `TIDEWHEEL_THREADS`, else one per core.
        compat: "evidently" or "nannyml", to show that tool's numbers too.
        compat_methods: That tool's method by kind of column ("numeric", "categorical"), by the tool's name for it; kinds
            not named take its default.

    Returns:
        The report; its columns are in the order of the reference, or of `columns`.

    Raises:
        InputError: a column is not in one of the tables, `alpha` lies outside (0, 1), or the reference has one unit only.
        InputTypeError: a column has numbers on one side and strings on the other, or a table is of an unknown type.
        UnknownNameError: an unknown `correction` or statistic, `compat`, kind or method of `compat_methods`.

    Cost: O(rows x columns), a few nanoseconds per value; with `unit` one more pass on one thread. With `compat` raw values
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
    peers = _import_peers(compat, compat_methods)
    r_table, c_table = inputs.read_table("reference", reference), inputs.read_table("current", current)
    names = list(columns) if columns is not None else [name for name in r_table if name != unit]
    pairs = {name: pair_columns(name, r_table, c_table) for name in names}
    units = None if unit is None else _Units.read(unit, *pair_columns(unit, r_table, c_table))
    measured = _measure(pairs, units, alpha, threads)
    if "wasserstein" in wanted:
        measured = {name: _with_wasserstein(one, pairs[name], threads) for name, one in measured.items()}
    decided = decide([measured[name].only(wanted) for name in names], alpha, correction)
    extra = [name for name in c_table if name not in r_table and columns is None]
    told = _warnings(units, extra)
    if peers is not None:
        judged = peers.judge_columns(compat, reference, current, pairs, compat_methods)
        decided = [replace(column, peer=judged[column.name]) for column in decided]
        told = (
            *told,
            peers.explain(compat, [*judged.values()], sum(c.verdict == "drifted" for c in decided)),
        )
    return DriftReport(
        columns=tuple(decided),
        n_reference=_rows(r_table),
        n_current=_rows(c_table),
        alpha=alpha,
        correction=correction,
        unit=unit,
        units=None if units is None else (units.reference.count, units.current.count),
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
    if not 0 < alpha < 1:
        raise InputError(f"`alpha` must lie between 0 and 1; got {alpha}")
    decision.correct_pvalues([], correction)


def _rows(table: Mapping[str, _native.Column]) -> int:
    return len(next(iter(table.values()))) if table else 0


def _warnings(units: "_Units | None", extra: list[str]) -> tuple[str, ...]:
    found = []
    if units is None:
        found.append(INDEPENDENT)
    if extra:
        found.append(f"Not compared, since the reference lacks them: {', '.join(extra)}.")
    return tuple(found)


_Pair = tuple[_native.Column, _native.Column]


def pair_columns(
    name: str, reference: Mapping[str, _native.Column], current: Mapping[str, _native.Column]
) -> _Pair:
    """Find a column in both tables; raise if one lacks it, or if its types cannot be compared."""
    for side, table in (("reference", reference), ("current", current)):
        if name not in table:
            raise InputError(
                f"column {name!r} must be in `{side}`; it has {', '.join(map(repr, table)) or 'no columns'}"
            )
    one, other = reference[name], current[name]
    if not is_comparable(one, other):
        raise InputTypeError(
            f"column {name!r} must have one type in both tables; got {one.dtype} and {other.dtype}"
        )
    return one, other


class Typed(Protocol):
    """What has a type: a column, or what a profile knows of one."""

    @property
    def kind(self) -> str:
        """What statistics make of it."""

    @property
    def dtype(self) -> str:
        """The type of the values."""


def is_comparable(one: Typed, other: Typed) -> bool:
    """Say whether two columns have one type, as far as statistics care; columns without a type go with any."""
    kinds = {one.kind, other.kind}
    if "null" in kinds:
        return True
    return one.kind == other.kind and (one.kind != "temporal" or one.dtype == other.dtype)


@dataclass(frozen=True, slots=True)
class _Units:
    reference: _native.Units
    current: _native.Units

    @classmethod
    def read(cls, name: str, reference: _native.Column, current: _native.Column) -> "_Units":
        found = cls(_native.encode_units(reference), _native.encode_units(current))
        if found.reference.count < clusters.UNITS_NEEDED:
            raise InputError(
                f"unit {name!r} must have at least {clusters.UNITS_NEEDED} values in `reference`; "
                f"got {found.reference.count}"
            )
        return found

    def tables(self, pair: _Pair, count: Callable[[_native.Column, _native.Units], list[int]]) -> "_Tables":
        sides = zip(pair, (self.reference, self.current), strict=True)
        one, other = (
            np.array(count(column, units), dtype=np.int64).reshape(units.count, -1) for column, units in sides
        )
        return one, other


_Table = npt.NDArray[np.int64]
_Tables = tuple[_Table, _Table]


def _with_wasserstein(measured: Measured, pair: _Pair, threads: int | None) -> Measured:
    if measured.kind not in NUMERIC.values() or measured.problem:
        return measured
    return replace(measured, statistics=measured.statistics | shown.wasserstein(*pair, threads))


def _measure(
    pairs: Mapping[str, _Pair], units: _Units | None, alpha: float, threads: int | None
) -> dict[str, Measured]:
    measured = {}
    numeric = {name: pair for name, pair in pairs.items() if {c.kind for c in pair} <= NUMERIC.keys()}
    categorical = {name: pair for name, pair in pairs.items() if {c.kind for c in pair} <= CATEGORICAL.keys()}
    numbers = _native.compare_numeric(*_sides(numeric), BINS, threads)
    for (name, pair), found in zip(numeric.items(), numbers, strict=True):
        measured[name] = _measure_numbers(name, pair, found, units, alpha)
    categories = _native.compare_categories(*_sides(categorical), MOST_CATEGORIES, threads)
    for (name, pair), counted in zip(categorical.items(), categories, strict=True):
        measured[name] = _measure_categories(name, pair, counted, units, alpha)
    for name in pairs.keys() - measured.keys():
        measured[name] = _measure_others(name, pairs[name])
    return measured


def _sides(pairs: Mapping[str, _Pair]) -> tuple[list[_native.Column], list[_native.Column]]:
    return [one for one, _ in pairs.values()], [other for _, other in pairs.values()]


def _measure_others(name: str, pair: _Pair) -> Measured:
    missing = tuple(len(column) if column.kind == "null" else 0 for column in pair)
    dtypes = " and ".join(dict.fromkeys(column.dtype for column in pair))
    null = any(column.kind == "null" for column in pair)
    rows = (len(pair[0]), len(pair[1]))
    return not_measured(name, dtypes, rows, (missing[0], missing[1]), is_supported=null)


def _measure_numbers(
    name: str, pair: _Pair, found: _native.NumericComparison, units: _Units | None, alpha: float
) -> Measured:
    designs = None
    if units is not None and found.distance is not None:
        edges = inputs.read_array("edges", np.array(found.edges, dtype=domain(pair[0])))
        tables = units.tables(pair, lambda column, codes: _native.count_numbers_by_unit(column, edges, codes))
        designs = _designs(tables, ordered=True)
    measured = measure_numbers(name, NUMERIC[pair[0].kind], found, designs, alpha)
    return replace(measured, shape=_shape_of_numbers(found, pair[0].dtype) if found.distance else None)


def _shape_of_numbers(found: _native.NumericComparison, dtype: str) -> Shape | None:
    if found.shape is None:
        return None
    low, width, reference, current = found.shape
    return Shape(tuple(reference), tuple(current), (), low, width, dtype)


def _shape_of_categories(found: _native.CategoryComparison, dtype: str) -> Shape:
    r, c = (np.array(counts, dtype=np.int64) for counts in (found.reference_counts, found.current_counts))
    return from_names(found.names, r, c, dtype)


def _measure_categories(
    name: str, pair: _Pair, found: _native.CategoryComparison, units: _Units | None, alpha: float
) -> Measured:
    designs = None
    if units is not None and any(found.reference_counts) and any(found.current_counts):
        tables = units.tables(
            pair, lambda column, codes: _native.count_names_by_unit(column, found.names, codes)
        )
        designs = _designs(tables, ordered=False)
    measured = measure_categories(name, found, designs, alpha)
    return replace(measured, shape=None if measured.problem else _shape_of_categories(found, pair[0].dtype))


def _designs(tables: _Tables, *, ordered: bool) -> Designs:
    """What rows are worth for values (all columns but the missing) and for shares (the missing against the rest)."""
    one, other = tables
    values = clusters.estimate_design(one[:, :-1], other[:, :-1], ordered=ordered)
    missing = [np.column_stack([table[:, :-1].sum(axis=1), table[:, -1]]) for table in tables]
    return values, clusters.estimate_design(missing[0], missing[1], ordered=False)
