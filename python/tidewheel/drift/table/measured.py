"""A column measured and decided, given what was counted of it: from rows, or in a profile's blocks.

Tests a column's parts (`column_tests`) with what its rows are worth (`design_effect`) and decides (`decision`). What counts
is `compare` for tables and `profile` for windows. Pure: counts in, records out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tidewheel import _native
from tidewheel.drift.report.records import ColumnDrift, PartDrift, Shape, Verdict
from tidewheel.drift.table import column_tests, decision, design_effect, open_vocabulary, shown
from tidewheel.drift.table.counted import CategoryCounts, NumberCounts, WeighedCounts
from tidewheel.drift.table.decision import (
    DISTANCE_THRESHOLD,
    INDEX_THRESHOLD,
    SHARE_THRESHOLD,
    VARIATION_THRESHOLD,
)
from tidewheel.drift.table.rules import Rule

#: Why nothing is computed of a column whose reference rows are of one unit.
ONE_UNIT = "the reference has values in one unit only, so the spread between units is unknown"
_NO_FINITE = "a side has no finite value, of which the population stability index is made"
#: What rows are worth for the test of values, and for the tests of shares.
Designs = tuple[design_effect.Design, design_effect.Design]

_SIDES = ("reference", "current")
#: Rows of both samples.
Pair = tuple[int, int]
#: Rows of a kind, of both samples; with weights their share of the weight, of all rows.
Weight = tuple[float, float]
_Categories = _native.CategoryComparison | CategoryCounts | WeighedCounts


@dataclass(frozen=True, slots=True)
class Measured:
    """A column before the correction over columns.

    Attributes:
        name: Its name.
        kind: What statistics make of it.
        rows: Rows of both samples.
        parts: The tests; none where nothing could be computed.
        statistics: Statistics to show, by name.
        missing: Missing rows of both samples.
        nan: Rows that are NaN.
        unseen: Share of current rows whose string the reference never has.
        problem: Why values were not compared; empty where they were. With parts, these are of shares alone.
        infinite: Infinite rows.
        shape: Counts for a picture.
        schema: How the column's place or type differs between the tables; empty where it does not.
    """

    name: str
    kind: str
    rows: Pair
    parts: list[decision.Part]
    statistics: dict[str, float]
    missing: Weight
    nan: Weight
    unseen: float
    problem: str
    infinite: Weight = (0, 0)
    shape: Shape | None = None
    schema: str = ""

    def only(self, wanted: Sequence[str]) -> "Measured":
        """Show no other statistics than those wanted; bounds go with the statistic they bound."""
        return replace(self, statistics=shown.select(self.statistics, wanted))


def differ(name: str, dtype: str, rows: Pair, schema: str) -> Measured:
    """Say of a column that one side lacks, or has in another type, how it differs."""
    return Measured(name, dtype, rows, [], {}, (0, 0), (0, 0), 0.0, schema, schema=schema)


def not_supported(name: str, dtype: str, rows: Pair, missing: Weight, reason: str) -> Measured:
    """Say of a column that no statistic takes that it is not computed, and why."""
    return Measured(name, dtype, rows, [], {}, missing, (0, 0), 0.0, reason)


def measure_shares(
    name: str,
    kind: str,
    rows: Pair,
    shares: Mapping[str, Weight],
    design: design_effect.Design | None,
    rule: Rule,
    problem: str = "",
) -> Measured:
    """Test the shares of a column of which a side has no value: missing, NaN and infinite rows need none.

    A side without a row leaves nothing to test, and so do sides that are wholly missing, or wholly NaN, both.

    Args:
        name: Name of the column.
        kind: What statistics make of it.
        rows: Rows of both samples.
        shares: Rows of "missing", "nan" and "infinite".
        design: What rows are worth; None takes them as independent.
        rule: What the column is judged by.
        problem: Why values cannot be compared; by default that a side has none.
    """
    missing, nan, infinite = (shares.get(part, (0, 0)) for part in ("missing", "nan", "infinite"))
    is_void = min(rows) == 0 or missing == rows or nan == rows
    tests = []
    if not is_void:
        worth = design or design_effect.independent(*rows)
        tests = _test_shares(shares, rows, worth, rule)
    told = problem or no_values(rows, missing, nan)
    return Measured(name, kind, rows, tests, {}, missing, nan, 0.0, told, infinite)


def _test_shares(
    shares: Mapping[str, Weight], rows: Pair, design: design_effect.Design, rule: Rule
) -> list[decision.Part]:
    return [
        column_tests.compare_share(
            part, counts, rows, design, rule.alpha, rule.threshold(part, SHARE_THRESHOLD)
        )
        for part, counts in shares.items()
        if any(counts)
    ]


def measure_numbers(
    name: str,
    kind: str,
    found: _native.NumericComparison | NumberCounts,
    designs: Designs | None,
    rule: Rule,
) -> Measured:
    """Test a numeric column's parts, given what was counted; `designs=None` takes rows as independent."""
    r, c = found.reference, found.current
    rows, missing, nan = (r.rows, c.rows), (r.missing, c.missing), (r.nan, c.nan)
    infinite = (r.infinite_above + r.infinite_below, c.infinite_above + c.infinite_below)
    distance, counts = found.distance, {"missing": missing, "nan": nan, "infinite": infinite}
    if distance is None:
        return measure_shares(name, kind, rows, counts, designs and designs[1], rule)
    values, shares = designs or (
        design_effect.independent(distance.n, distance.m),
        design_effect.independent(*rows),
    )
    if values.df == 0:
        return measure_shares(name, kind, rows, counts, shares, rule, ONE_UNIT)
    if rule.choose(name, "numeric") == "psi":
        if not (any(found.reference_counts) and any(found.current_counts)):
            return measure_shares(name, kind, rows, counts, shares, rule, _NO_FINITE)
        threshold = rule.threshold("values", INDEX_THRESHOLD)
        test = column_tests.compare_bins(found, values, rule.alpha, threshold)
    else:
        threshold = rule.threshold("values", DISTANCE_THRESHOLD)
        test = column_tests.compare_numbers(distance, values, rule.alpha, threshold)
    tests = [test, *_test_shares(counts, rows, shares, rule)]
    told = column_tests.name_distance(distance) | shown.divergences_of_counts(
        found.reference_counts, found.current_counts
    )
    return Measured(name, kind, rows, tests, told, missing, nan, 0.0, "", infinite)


def measure_categories(
    name: str,
    found: _Categories,
    designs: Designs | None,
    rule: Rule,
    held: open_vocabulary.Held | None = None,
) -> Measured:
    """Test a categorical column's parts, given what was counted; `designs=None` takes rows as independent.

    With designs `held` has the units, or weighted rows, held out of the choice of names; else rows are held out here.
    """
    rows, missing = (
        (found.reference.rows, found.current.rows),
        (found.reference.missing, found.current.missing),
    )
    n, m = sum(found.reference_counts), sum(found.current_counts)
    # Strings are no NaN, but a batch of a window that had no string may have been.
    nan = (found.reference.nan, found.current.nan)
    counts = {"missing": missing, "nan": nan}
    if n == 0 or m == 0:
        return measure_shares(name, "categorical", rows, counts, designs and designs[1], rule)
    values, shares = designs or (design_effect.independent(n, m), design_effect.independent(*rows))
    if values.df == 0:
        return measure_shares(name, "categorical", rows, counts, shares, rule, ONE_UNIT)
    rule.choose(name, "categorical")
    names, whole, kept = None, 0.0, None
    if isinstance(found, WeighedCounts):
        whole, kept = found.total_variation, found.kept
    elif is_open(found):
        names = open_vocabulary.AllNames.read(found)
        whole = names.total_variation
    of_values, of_names = (rule.threshold(part, VARIATION_THRESHOLD) for part in ("values", "tail"))
    tests = [
        column_tests.compare_categories(
            found.reference_counts, found.current_counts, values, rule.alpha, whole, of_values, kept
        )
    ]
    if names and designs is None:
        held = open_vocabulary.hold_out(names)
    if held is not None:
        tests.append(column_tests.compare_names(held, tests[0], rule.alpha, whole, of_names))
    if found.unseen:
        of_unseen = rule.threshold("unseen", SHARE_THRESHOLD)
        tests.append(column_tests.compare_unseen(found, values, rule.alpha, of_unseen))
    tests += _test_shares(counts, rows, shares, rule)
    told = {"chi_square": tests[0].statistic, "total_variation": tests[0].effect.value}
    told |= shown.divergences_of_counts(found.reference_counts, found.current_counts)
    return Measured(name, "categorical", rows, tests, told, missing, nan, found.unseen / m, "")


def is_open(found: _Categories) -> bool:
    """Say whether there are names without a class of their own."""
    return found.unseen > 0 or found.reference_counts[-1] > 0


def no_values(rows: Pair, missing: Weight, nan: Weight) -> str:
    """Say why values cannot be compared where a side has none."""
    sides = [side for side, n in zip(_SIDES, rows, strict=True) if n == 0]
    if sides:
        return f"no rows in {' and '.join(sides)}"
    told = []
    for side, n, gaps, nans in zip(_SIDES, rows, missing, nan, strict=True):
        # Parts of a weight may come out a rounding error short of all.
        if gaps + nans >= n * (1 - 1e-12):
            what = "missing" if not nans else "NaN" if not gaps else "missing or NaN"
            told.append(f"{side} has no value, all {n:,} rows are {what}")
    return "values cannot be compared: " + "; ".join(told)


def decide(measured: Sequence[Measured], alpha: float, correction: str) -> list[ColumnDrift]:
    """Decide columns, their p-values corrected over all of them."""
    tested = [at for at, column in enumerate(measured) if column.parts]
    pvalues = [decision.combine_parts(measured[at].parts) for at in tested]
    corrected = decision.correct_pvalues(pvalues, correction)
    pairs = dict(zip(tested, zip(pvalues, corrected, strict=True), strict=True))
    return [_column(column, pairs.get(at), alpha) for at, column in enumerate(measured)]


def _column(column: Measured, pvalues: tuple[float, float] | None, alpha: float) -> ColumnDrift:
    verdict: Verdict = "not computed"
    reason, part = column.problem, None
    if column.schema:
        verdict = "schema"
    elif pvalues is not None:
        verdict, part, reason = decision.decide_column(column.parts, *pvalues, alpha)
        if column.problem:
            # Shares alone do not show that values are what they were.
            verdict = "undecided" if verdict == "stable" else verdict
            reason = f"{reason}; {column.problem}"
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
