"""From p-values and effects to verdicts: pure functions of numbers.

A verdict is an interval's, not a point's: `drifted` needs a significant test *and* the effect's lower bound above its
threshold, `stable` the upper bound below it; all else is `undecided`. So neither 100 rows nor 100 million alarm falsely.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tidewheel import _native
from tidewheel.drift import arguments
from tidewheel.drift.report.records import Effect, Verdict
from tidewheel.drift.table.design_effect import Design
from tidewheel.measures.quantiles import bisect

#: Kolmogorov-Smirnov distance: a tenth of the rows on the other side of some value. A normal law shifted by a quarter of its
#: standard deviation has 0.0995, which is about PSI 0.06; the customary "moderate" PSI of 0.1 has 0.12.
DISTANCE_THRESHOLD = 0.1
#: Population stability index beyond chance: the customary "moderate" one. A normal law shifted by 0.32 of its standard
#: deviation has it, whose distance is 0.125.
INDEX_THRESHOLD = 0.1
#: Total variation between categories: a tenth of the rows would have to change category.
VARIATION_THRESHOLD = 0.1
#: Difference of a share (missing, NaN, infinite, unseen): five points in a hundred.
SHARE_THRESHOLD = 0.05

#: More than so many times as many rows are no advice.
_MOST_TIMES = 1e6
#: Halvings of the logarithm of that number: the result is then known to a thousandth, and is told with two digits.
_HALVINGS = 14


@dataclass(frozen=True, slots=True)
class Part:
    """One test inside a column: of its values, of all its names, or of the share that is missing, NaN, infinite or unseen.

    Attributes:
        name: "values", "tail", "missing", "nan", "infinite" or "unseen".
        test: The test.
        statistic: Its statistic.
        pvalue: Its p-value, uncorrected.
        effect: The effect with its bounds.
        design: What the rows are worth.
        ends: Where counts leave the statistic an interval, the same test at its least and at its greatest value.
        is_open: Whether names too rare to compare, and not the effect shown, take the upper bound beyond the threshold.
        withheld: Why nothing is claimed of it (its p-value is 1 then); empty as a rule.
        repeated: Gives effect and p-value if both samples had so many times as many rows (or units) of the same kind; a p of
            0 stands for one that needs no look once the bounds have left the threshold.
    """

    name: str
    test: str
    statistic: float
    pvalue: float
    effect: Effect
    design: Design
    ends: "tuple[Part, Part] | None" = None
    is_open: bool = False
    withheld: str = ""
    repeated: Callable[[float], tuple[Effect, float]] | None = field(default=None, compare=False, repr=False)


def check_levels(alpha: float, correction: str) -> None:
    """Refuse a level outside (0, 1) or an unknown correction."""
    arguments.check_share("alpha", alpha)
    correct_pvalues([], correction)


def correct_pvalues(pvalues: Sequence[float], method: str) -> list[float]:
    """Correct p-values over several columns.

    Args:
        pvalues: One per column, in [0, 1].
        method: "bh" (Benjamini and Hochberg 1995, for independent or positively dependent columns), "by" (Benjamini and
            Yekutieli 2001, for any dependence), "bonferroni" or "none".

    Returns:
        Corrected values in the same order; rejecting those at most alpha keeps the false discovery rate (for
        "bonferroni": the probability of any false alarm) at alpha.

    Raises:
        UnknownNameError: an unknown method.

    Example:
        >>> correct_pvalues([0.01, 0.04, 0.03], "bh")
        [0.03, 0.04, 0.04]
    """
    k = len(pvalues)
    factors = {
        "bh": 1.0,
        "by": sum(1 / rank for rank in range(1, k + 1)),
        "bonferroni": float(k),
        "none": 1.0,
    }
    arguments.check_choice("correction", method, tuple(factors))
    if method in {"bonferroni", "none"}:
        return [min(1.0, p * factors[method]) for p in pvalues]
    corrected = [1.0] * k
    least = 1.0
    for rank, index in sorted(enumerate(sorted(range(k), key=pvalues.__getitem__), start=1), reverse=True):
        least = min(least, pvalues[index] * factors[method] * k / rank)
        corrected[index] = least
    return corrected


def decide_part(part: Part, pvalue_corrected: float, alpha: float) -> Verdict:
    """Decide one part, given its p-value corrected over parts and columns."""
    return _decide_effect(part.effect, pvalue_corrected, alpha)


def _decide_effect(effect: Effect, pvalue_corrected: float, alpha: float) -> Verdict:
    if pvalue_corrected <= alpha and effect.lower > effect.threshold:
        return "drifted"
    return "stable" if effect.upper < effect.threshold else "undecided"


def decide_column(
    parts: Sequence[Part], pvalue: float, pvalue_corrected: float, alpha: float
) -> tuple[Verdict, Part, str]:
    """Decide a column: drifted if a part is, stable if all are, else undecided.

    Args:
        parts: Its parts, at least one.
        pvalue: Its p-value: the least of its parts', times their number.
        pvalue_corrected: The same, corrected over columns.
        alpha: The level.

    Returns:
        The verdict, the part that decides it and one sentence why.
    """
    factor = len(parts) * (pvalue_corrected / pvalue if pvalue > 0 else 1.0)
    verdicts = [decide_part(part, min(1.0, part.pvalue * factor), alpha) for part in parts]
    for verdict in ("drifted", "undecided"):
        if verdict in verdicts:
            chosen = [part for part, one in zip(parts, verdicts, strict=True) if one == verdict]
            part = max(chosen, key=lambda part: part.effect.value / part.effect.threshold)
            if verdict == "undecided" and part.ends is not None:
                ends = {decide_part(end, min(1.0, end.pvalue * factor), alpha) for end in part.ends}
                if len(ends) > 1:
                    return verdict, part, _reason_of_counts(part)
            return verdict, part, _reason(part, verdict, pvalue_corrected, alpha, factor)
    part = max(parts, key=lambda part: part.effect.upper / part.effect.threshold)
    return "stable", part, _reason(part, "stable", pvalue_corrected, alpha)


def _reason_of_counts(part: Part) -> str:
    assert part.ends is not None
    least, most = (end.statistic for end in part.ends)
    return (
        f"{part.name}: the counts leave open on which side of {part.effect.threshold:g} {part.ends[0].effect.name} lies, "
        f"which is between {least:.4g} and {most:.4g} before sampling error; comparing the rows themselves would decide"
    )


def _reason(part: Part, verdict: Verdict, pvalue: float, alpha: float, factor: float = 1.0) -> str:
    effect = part.effect
    interval = f"{effect.name} is {effect.value:.3g} (between {effect.lower:.3g} and {effect.upper:.3g})"
    if verdict == "drifted":
        return (
            f"{part.name}: {interval}, above {effect.threshold:g} even at its lower bound, and {_p(pvalue)}"
        )
    if verdict == "stable":
        size = "the difference is real but small" if pvalue <= alpha else "no difference that matters"
        return f"{part.name}: {interval}, below {effect.threshold:g} even at its upper bound: {size}"
    if part.withheld:
        return f"{part.name}: {effect.name} is {effect.value:.3g}, but {part.withheld}"
    if effect.lower > effect.threshold:
        return f"{part.name}: {interval}, above {effect.threshold:g}, but {_p(pvalue)} after correction"
    return (
        f"{part.name}: {interval}, which includes {effect.threshold:g}; {_rows_needed(part, alpha, factor)}"
    )


def _p(pvalue: float) -> str:
    # The least p-values underflow to 0, which no p-value is.
    return f"p is {pvalue:.2g}" if pvalue > 0 else "p is below 1e-300"


def _rows_needed(part: Part, alpha: float, factor: float) -> str:
    if part.is_open:
        return (
            "its names are too rare in these rows to show less; more rows with the same names would decide, and a column of "
            "ids can be left out by `exclude`"
        )
    effect, repeated = part.effect, part.repeated
    hardly = "it lies so near that more rows would hardly decide"
    if repeated is None or abs(effect.value - effect.threshold) < 0.1 * effect.threshold:
        return hardly

    def decides(times: float) -> bool:
        bounds, pvalue = repeated(times)
        return _decide_effect(bounds, min(1.0, pvalue * factor), alpha) != "undecided"

    # Looked for, not computed from the width of the bounds: near 0 and 1 these are cut off.
    low, high = 1.0, _MOST_TIMES
    if not decides(high):
        return hardly
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if decides(middle) else (middle, high)
    # Clusters shrink with more units, so the number is stated for those.
    unit = "units" if part.design.is_estimated else "rows"
    return f"about {_two_digits(high)} times as many {unit} on both sides would decide if it stays"


def _two_digits(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{float(f'{value:.2g}'):,.0f}"


def combine_parts(parts: Sequence[Part]) -> float:
    """Combine the p-values of a column's parts by Bonferroni."""
    return min(1.0, len(parts) * min(part.pvalue for part in parts))


def square_tail(square: float, classes: float, df: float | None) -> float:
    """Compute P(X > square) of a chi-square sum of so many squares, or of Fisher's law where `df` estimate their scale."""
    if df is None or math.isinf(df):
        return _native.chi2_sf(square, classes)
    return _native.f_sf(square / classes, classes, max(df, 1.0))


def kolmogorov_quantile(level: float, df: float | None) -> float:
    """Find z with P(sup |F_n - F| sqrt(n) > z) <= level: by Dvoretzky, Kiefer and Wolfowitz, or with an estimated scale.

    For the difference of two samples n is the effective size n m / (n + m).
    """
    if df is None or math.isinf(df):
        return math.sqrt(math.log(2 / level) / 2)
    return bisect(lambda z: _native.kolmogorov_sf(z, max(df, 1.0)), level)
