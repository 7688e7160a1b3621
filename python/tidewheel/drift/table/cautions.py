"""What a report warns of: columns that may not be what they were taken for.

Codes that were compared as quantities, numbers and times that were compared as names, NaN that stands against missing
values. No verdict depends on it.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tidewheel import _native
from tidewheel.drift.report.records import ColumnDrift
from tidewheel.drift.statistics.vocabulary import MOST_CODES
from tidewheel.drift.table import column_tests, design_effect
from tidewheel.drift.table.decision import SHARE_THRESHOLD, VARIATION_THRESHOLD
from tidewheel.drift.table.rules import Rule, Rules

#: What a report without units says.
INDEPENDENT = "Rows treated as independent; name the day or user of a row as `unit` if they are not."

#: Names of a side's distinct values differ by chance alone in fewer rows.
LEAST_ROWS = 30

_SIDES = ("reference", "current")
_Pair = Sequence[_native.Column]
_Counts = Mapping[float, int]


def warn(
    columns: Sequence[ColumnDrift], pairs: Mapping[str, _Pair], declared: Mapping[str, str], rules: Rules
) -> list[str]:
    """Warn of the columns of a report that has both sides' rows.

    Args:
        columns: The columns as decided.
        pairs: Both sides of each, by name.
        declared: What columns are declared to be; nothing is said of their kind.
        rules: What the columns were judged by.

    Cost: a pass over the columns of few distinct numbers; of others, and of strings, a look at some rows.
    """
    found = []
    for column in columns:
        pair, rule = pairs[column.name], rules.of(column.name)
        if column.name not in declared:
            found += [warn_of_text(side, column.name, one) for side, one in zip(_SIDES, pair, strict=True)]
            if {one.kind for one in pair} == {"number"} and column.verdict in {"stable", "undecided"}:
                counts = [_count(one) for one in pair]
                found.append(warn_of_codes(column, counts[0], counts[1], rule))
        found.append(warn_of_nan(column, rule))
    return [sentence for sentence in dict.fromkeys(found) if sentence]


def _count(column: _native.Column) -> _Counts | None:
    found = column.few(MOST_CODES)
    return None if found is None else dict(found)


def warn_of_codes(column: ColumnDrift, reference: _Counts | None, current: _Counts | None, rule: Rule) -> str:
    """Warn if the shares of few whole numbers moved beyond the threshold of names, though their order shows no drift.

    Args:
        column: The column as decided.
        reference: Reference rows per distinct value; None if there are too many.
        current: The same of the current sample.
        rule: What the column was judged by; its level and threshold are taken as for a categorical column.
    """
    if reference is None or current is None or column.verdict not in {"stable", "undecided"}:
        return ""
    values = sorted({*reference, *current})
    sides = [[side.get(value, 0) for value in values] + [0] for side in (reference, current)]
    n, m = map(sum, sides)
    are_codes = 2 < len(values) <= MOST_CODES and all(float(value).is_integer() for value in values)
    if not are_codes or min(n, m) < LEAST_ROWS:
        return ""
    order = np.argsort(-np.array(sides[0][:-1]), kind="stable").tolist()
    ranked = [[side[at] for at in order] + [0] for side in sides]
    design = design_effect.independent(n, m)
    moved = column_tests.compare_categories(
        ranked[0],
        ranked[1],
        design,
        rule.alpha,
        threshold=rule.threshold("values", VARIATION_THRESHOLD),
    )
    if moved.pvalue > rule.alpha or moved.effect.lower <= moved.effect.threshold:
        return ""
    return (
        f"{column.name!r} has {len(values)} distinct whole numbers, whose shares moved (total variation "
        f"{moved.effect.value:.2g}) while their order hardly did: if they are codes, declare the column categorical "
        f"(`kinds={{{column.name!r}: 'categorical'}}`, `--categorical {column.name}`)."
    )


def warn_of_text(whose: str, name: str, column: _native.Column) -> str:
    """Warn if nearly all strings of a column are numbers or times; quote some that are not."""
    found = column.looks() if column.kind == "string" else None
    if found is None:
        return ""
    rows, numbers, times, examples = found
    what, count = ("times", times) if times > numbers else ("numbers", numbers)
    rest = f"all {rows:,}" if not examples else f"{count:,} of {rows:,}"
    quoted = ", ".join(map(repr, examples))
    but = f"; not so plainly {quoted}" if examples else ""
    remedy = (
        "read them as times"
        if what == "times"
        else f"declare the column numeric, or the rest missing (`--null-values`); if they are names, declare it categorical "
        f"(`--categorical {name}`)"
    )
    return f"{name!r} was compared as names, but {rest} {whose} strings are {what}{but}: {remedy}."


def warn_of_nan(column: ColumnDrift, rule: Rule) -> str:
    """Warn if one side's NaN stand where the other side's values are missing."""
    sides = (
        (column.missing_reference, column.nan_reference),
        (column.missing_current, column.nan_current),
    )
    without = [missing + nan for missing, nan in sides]
    moved = abs(sides[0][1] - sides[1][1])
    of_nan, of_missing = (rule.threshold(part, SHARE_THRESHOLD) for part in ("nan", "missing"))
    if moved <= of_nan or abs(without[0] - without[1]) > of_missing:
        return ""
    (r_missing, r_nan), (c_missing, c_nan) = sides
    return (
        f"{column.name!r} has {r_missing:.3g} missing and {r_nan:.3g} NaN in the reference, {c_missing:.3g} and "
        f"{c_nan:.3g} in the current sample: NaN and missing are told apart; if both mean a missing value, write both alike."
    )
