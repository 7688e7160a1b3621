"""A column measured and decided, given what was counted of it: from rows, or in a profile's blocks.

Tests a column's parts (`parts`) with what its rows are worth (`clusters`) and decides (`decision`). What counts is
`comparison` for tables and `profile` for windows. Pure: counts in, records out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tidewheel import _native
from tidewheel.drift import clusters, decision, parts, shown
from tidewheel.drift.columns import ColumnDrift, PartDrift, Shape
from tidewheel.drift.counted import CategoryCounts, NumberCounts

_ONE_UNIT = "the reference has values in one unit only, so the spread between units is unknown"
#: What rows are worth for the test of values, and for the tests of shares.
Designs = tuple[clusters.Design, clusters.Design]


@dataclass(frozen=True, slots=True)
class Measured:
    """A column before the correction over columns."""

    name: str
    kind: str
    rows: tuple[int, int]
    parts: list[decision.Part]
    statistics: dict[str, float]
    missing: tuple[int, int]
    nan: tuple[int, int]
    unseen: float
    problem: str
    infinite: tuple[int, int] = (0, 0)
    shape: Shape | None = None

    def only(self, wanted: Sequence[str]) -> "Measured":
        """Show no other statistics than those wanted; bounds go with the statistic they bound."""
        return replace(self, statistics=shown.select(self.statistics, wanted))


def not_measured(
    name: str, dtype: str, rows: tuple[int, int], missing: tuple[int, int], *, is_supported: bool
) -> Measured:
    """Say of a column without values, or of a type that no statistic takes, that it is not computed."""
    problem = no_values(rows, missing) if is_supported else f"the type {dtype} is not supported"
    return Measured(name, dtype, rows, [], {}, missing, (0, 0), 0.0, problem)


def measure_numbers(
    name: str,
    kind: str,
    found: _native.NumericComparison | NumberCounts,
    designs: Designs | None,
    alpha: float,
) -> Measured:
    """Test a numeric column's parts, given what was counted; `designs=None` takes rows as independent."""
    r, c = found.reference, found.current
    rows, missing, nan = (r.rows, c.rows), (r.missing, c.missing), (r.nan, c.nan)
    infinite = (r.infinite_above + r.infinite_below, c.infinite_above + c.infinite_below)
    distance = found.distance
    if distance is None:
        return Measured(name, kind, rows, [], {}, missing, nan, 0.0, no_values(rows, missing), infinite)
    values, shares = designs or (clusters.independent(distance.n, distance.m), clusters.independent(*rows))
    if values.df == 0:
        return Measured(name, kind, rows, [], {}, missing, nan, 0.0, _ONE_UNIT, infinite)
    tests = [parts.compare_numbers(distance, values, alpha)]
    for part, counts in (("missing", missing), ("nan", nan), ("infinite", infinite)):
        if any(counts):
            tests.append(parts.compare_share(part, counts, rows, shares, alpha))
    told = parts.name_distance(distance) | shown.divergences_of_counts(
        found.reference_counts, found.current_counts
    )
    return Measured(name, kind, rows, tests, told, missing, nan, 0.0, "", infinite)


def measure_categories(
    name: str,
    found: _native.CategoryComparison | CategoryCounts,
    designs: Designs | None,
    alpha: float,
) -> Measured:
    """Test a categorical column's parts, given what was counted; `designs=None` takes rows as independent."""
    rows, missing = (
        (found.reference.rows, found.current.rows),
        (found.reference.missing, found.current.missing),
    )
    n, m = sum(found.reference_counts), sum(found.current_counts)
    if n == 0 or m == 0:
        return Measured(name, "categorical", rows, [], {}, missing, (0, 0), 0.0, no_values(rows, missing))
    values, shares = designs or (clusters.independent(n, m), clusters.independent(*rows))
    if values.df == 0:
        return Measured(name, "categorical", rows, [], {}, missing, (0, 0), 0.0, _ONE_UNIT)
    tests = [parts.compare_categories(found.reference_counts, found.current_counts, values, alpha)]
    if found.unseen:
        tests.append(parts.compare_unseen(found, values, alpha))
    if any(missing):
        tests.append(parts.compare_share("missing", missing, rows, shares, alpha))
    told = {"chi_square": tests[0].statistic, "total_variation": tests[0].effect.value}
    told |= shown.divergences_of_counts(found.reference_counts, found.current_counts)
    return Measured(name, "categorical", rows, tests, told, missing, (0, 0), found.unseen / m, "")


def no_values(rows: tuple[int, int], missing: tuple[int, int]) -> str:
    """Say why a column without values on a side cannot be computed."""
    sides = [side for side, n in zip(("reference", "current"), rows, strict=True) if n == 0]
    if sides:
        return f"no rows in {' and '.join(sides)}"
    return f"no values on a side; {missing[0]} of {rows[0]} and {missing[1]} of {rows[1]} rows are missing"


def decide(measured: Sequence[Measured], alpha: float, correction: str) -> list[ColumnDrift]:
    """Decide columns, their p-values corrected over all of them."""
    pvalues = {column.name: decision.combine_parts(column.parts) for column in measured if column.parts}
    corrected = decision.correct_pvalues(list(pvalues.values()), correction)
    pairs = dict(zip(pvalues, zip(pvalues.values(), corrected, strict=True), strict=True))
    return [_column(column, pairs.get(column.name), alpha) for column in measured]


def _column(column: Measured, pvalues: tuple[float, float] | None, alpha: float) -> ColumnDrift:
    verdict: decision.Verdict = "not computed"
    reason, part = column.problem, None
    if pvalues is not None:
        verdict, part, reason = decision.decide_column(column.parts, *pvalues, alpha)
    missing, nan, infinite = (
        [count / max(rows, 1) for count, rows in zip(counts, column.rows, strict=True)]
        for counts in (column.missing, column.nan, column.infinite)
    )
    return ColumnDrift(
        name=column.name,
        kind=column.kind,
        verdict=verdict,
        reason=reason,
        statistics=column.statistics,
        pvalue=pvalues[0] if pvalues else None,
        pvalue_corrected=pvalues[1] if pvalues else None,
        effect=part.effect if part else None,
        parts=tuple(PartDrift(p.name, p.test, p.statistic, p.pvalue, p.effect) for p in column.parts),
        n_reference=column.rows[0],
        n_current=column.rows[1],
        missing_reference=missing[0],
        missing_current=missing[1],
        nan_reference=nan[0],
        nan_current=nan[1],
        unseen=column.unseen,
        design_effect=part.design.effect if part else 1.0,
        infinite_reference=infinite[0],
        infinite_current=infinite[1],
        shape=column.shape,
    )
