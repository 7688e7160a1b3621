"""Drift of tables as wholes by a classifier that tries to tell their rows apart.

What belongs here: fitting it on one half of the rows, and what its scores say of the other half. What does not: drawing and
encoding rows (`drift.drawing`, `drift.encoding`), and the test without a classifier, which needs no scikit-learn and looks
at all rows at once (`drift.sliced`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from scipy.stats import mannwhitneyu, rankdata  # type: ignore[import-untyped, unused-ignore]
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from tidewheel.drift.report.records import Effect, Verdict
from tidewheel.drift.table import cautions, decision
from tidewheel.drift.table.multivariate import directions
from tidewheel.drift.table.multivariate.drawing import Sample, draw_sample, read_pairs
from tidewheel.drift.table.multivariate.encoding import Encoding
from tidewheel.errors import InputError, UnknownNameError
from tidewheel.measures.metrics import measure, roc_auc

AUC_THRESHOLD = 0.57
"""A normal law shifted by a quarter of its standard deviation gives 0.570; it has the Kolmogorov-Smirnov D of 0.1 that
`drift.compare` calls a difference that matters."""

UNITS_MIN = 4
"""Units of each table: two to learn from and two to test on."""

IMPORTANCE_DRAWS = 5
"""Shuffles per column: importances are then known to about half of their own spread."""


class Classifier(Protocol):
    """Learn from rows of 0 and 1, then score rows."""

    def fit(self, matrix: np.ndarray, labels: np.ndarray) -> Any:
        """Learn."""

    def decision_function(self, matrix: np.ndarray) -> np.ndarray:
        """Score rows; larger means rather 1."""


@dataclass(frozen=True)
class DomainResult:
    """Whether a classifier tells two tables apart.

    Attributes:
        statistic: Area under the ROC curve on the rows kept out: the share of pairs of a current and a reference row of
            which the current one scores higher, ties counted one half.
        pvalue: Probability of at least this area when both tables come from one law.
        test: How the p-value was computed.
        effect: The area with its bounds.
        verdict: "drifted", "stable" or "undecided".
        reason: One sentence why.
        importance: By how much the area falls when a column of the rows kept out is shuffled, the largest first.
        n: Reference rows kept out.
        m: Current rows kept out.
        n_fitted: Rows learned from, of the reference and of the current sample.
        rows: Rows given, of the reference and of the current sample.
        units: Units kept out, of the reference and of the current sample; None for independent rows.
        encoded: How each column was encoded.
        left_out: Why columns were left out.
        family: The classifier.
        seed: What makes the result repeatable.
        warnings: What else a reader should know.
    """

    statistic: float
    pvalue: float
    test: str
    effect: Effect
    verdict: Verdict
    reason: str
    importance: dict[str, float]
    n: int
    m: int
    n_fitted: tuple[int, int]
    rows: tuple[int, int]
    units: tuple[int, int] | None
    encoded: dict[str, str]
    left_out: dict[str, str]
    family: str
    seed: int
    warnings: tuple[str, ...]


def tell_apart(
    reference: Any,
    current: Any,
    *,
    columns: Sequence[str] | None = None,
    unit: str | None = None,
    alpha: float = 0.05,
    family: Literal["trees", "logistic"] = "trees",
    rows: int = 20_000,
    permutations: int = 999,
    seed: int = 0,
) -> DomainResult:
    """Test whether a classifier can tell the rows of two tables apart.

    Rows (or whole units) are split into halves once, each table apart. Encoding and classifier learn from one half; the
    other half is scored. Given the classifier these scores are two ordinary samples, so the null is exact: Mann and
    Whitney's test, one-sided, since the classifier says in advance which sample scores higher (exact without ties up to 8
    rows on the shorter side, else by the normal law with ties and continuity corrected). With `unit` whole units kept out
    are reassigned at random, `p = (1 + b) / (1 + permutations)`; a unit that is in both tables counts as two.

    The effect is the area under the ROC curve, with bounds at level alpha / 2 each (by jackknife or bootstrap over rows or
    units; where no pair is ranked wrongly, or all are tied, by Hoeffding's inequality). `drifted` needs p <= alpha and the
    lower bound above 0.57, `stable` the upper bound below it: the area of this classifier, which a better one might exceed.

    Args:
        reference: A polars, pandas or Arrow table, a mapping of arrays, or a 2-D array (columns "0", "1", ...).
        current: A table with the same columns.
        columns: Columns to look at; by default all of the reference but `unit`.
        unit: Column that names the day, user or other unit of a row; by default rows are taken as independent.
        alpha: Level of the test and of the bounds, in (0, 1).
        family: "trees": gradient boosting on histograms, which finds relations of any kind; "logistic": shifts alone.
        rows: Most rows used of each table, drawn at random; see `drift.sliced`.
        permutations: Random assignments of units, at least 19; unused without `unit`.
        seed: Seed of all that is drawn, at least 0.

    Returns:
        The area on the rows kept out, its p-value and bounds, the verdict, and what each column contributes.

    Raises:
        InputError: a column is missing in a table, no column varies, there are fewer than 20 rows or (with `unit`) four
            units in a table, or a number lies outside its range.
        InputTypeError: a column has different types, or a table is of an unknown type.
        UnknownNameError: an unknown `family`.

    Cost: one to two seconds of one core at the default `rows`, most of it fitting and scoring shuffled columns.

    Source: Lopez-Paz and Oquab, Revisiting classifier two-sample tests, ICLR 2017 (there by accuracy).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> before, after = ({"x": rng.normal(size=400), "y": rng.normal(at, 1, 400)} for at in (0, 1))
        >>> found = tell_apart(before, after, family="logistic")
        >>> found.verdict, list(found.importance), found.pvalue < 1e-9
        ('drifted', ['y', 'x'], True)
    """
    _check(alpha, family, permutations, seed)
    pairs, units = read_pairs(reference, current, columns, unit)
    rng = np.random.default_rng(seed)
    sample = draw_sample(pairs, units, rows, rng)
    if sample.units is not None and min(sample.units) < UNITS_MIN:
        raise InputError(
            f"unit {unit!r} must have at least {UNITS_MIN} values in each table; got {min(sample.units)}"
        )
    learned, kept = sample.split(rng)
    encoding = Encoding.fit(learned.table)
    if not encoding.coordinates:
        raise InputError("`reference` and `current` must have a column that varies; got none")
    matrix = encoding.encode(kept.table)
    # scikit-learn brings threadpoolctl. On so few rows threads cost ten times what they do on a machine that is busy.
    with threadpool_limits(1):
        classifier = _make(family, seed)
        classifier.fit(encoding.encode(learned.table), learned.is_current.astype(np.int64))
        scores = classifier.decision_function(matrix)
        effect = _measure_effect(scores, kept, alpha, seed)
        importance = _rank_columns(classifier, encoding, matrix, kept, rng)
    test, pvalue = _test(scores, kept, permutations, rng)
    verdict, reason = _decide(effect, pvalue, alpha)
    given = (len(next(iter(pairs.values()))[0]), len(next(iter(pairs.values()))[1]))
    return DomainResult(
        statistic=effect.value,
        pvalue=pvalue,
        test=test,
        effect=effect,
        verdict=verdict,
        reason=reason,
        importance=importance,
        n=kept.n,
        m=kept.m,
        n_fitted=(learned.n, learned.m),
        rows=given,
        units=kept.units,
        encoded=encoding.described,
        left_out=encoding.left_out,
        family=family,
        seed=seed,
        warnings=_warn(sample, given),
    )


def _check(alpha: float, family: str, permutations: int, seed: int) -> None:
    decision.check_levels(alpha, "none")
    if family not in ("trees", "logistic"):
        raise UnknownNameError(f"`family` must be 'trees' or 'logistic'; got {family!r}")
    for name, value, least in (("permutations", permutations, 19), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"`{name}` must be at least {least}; got {value}")


def _make(family: str, seed: int) -> Classifier:
    made: Classifier
    if family == "logistic":
        made = LogisticRegression(class_weight="balanced", max_iter=1000)
    else:
        # Small trees and few of them: what tells tables apart shows early, and early stopping would cost rows.
        made = HistGradientBoostingClassifier(
            max_iter=60, max_leaf_nodes=15, early_stopping=False, class_weight="balanced", random_state=seed
        )
    return made


def _test(scores: np.ndarray, kept: Sample, permutations: int, rng: np.random.Generator) -> tuple[str, float]:
    if (scores == scores[0]).all():
        # A classifier that found nothing to split on; the normal law would divide by zero.
        return "Mann-Whitney", 1.0
    if kept.units is None or kept.codes is None:
        found = mannwhitneyu(scores[kept.is_current], scores[~kept.is_current], alternative="greater")
        return "Mann-Whitney", float(found.pvalue)
    ranks = rankdata(scores)
    sums = np.column_stack([np.bincount(kept.codes, ranks), np.bincount(kept.codes)])
    labels = directions.permute_labels(len(sums), kept.units[1], permutations, rng).astype(np.float64)
    totals = labels @ sums
    m, n = totals[:, 1], len(scores) - totals[:, 1]
    areas = (totals[:, 0] - m * (m + 1) / 2) / (n * m)
    # Halved integers are exact, quotients are not: equal areas must count as equal.
    reached = int((areas[1:] >= areas[0] - 1e-12).sum())
    return "Mann-Whitney, units reassigned", (1 + reached) / (1 + permutations)


def _measure_effect(scores: np.ndarray, kept: Sample, alpha: float, seed: int) -> Effect:
    found = measure(
        "roc_auc", kept.is_current.astype(np.int64), scores, kept.codes, confidence=1 - alpha / 2, seed=seed
    )
    low, high = found.lower, found.upper
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        # No pair is ranked wrongly, or all are, or all are tied: no draw differs from another, but the next row may.
        band = math.sqrt(math.log(2 / alpha) / (2 * min(kept.units or (kept.n, kept.m))))
        low, high = found.value - band, found.value + band
    return Effect("area under the ROC curve", found.value, max(0.0, low), min(1.0, high), AUC_THRESHOLD)


def _decide(effect: Effect, pvalue: float, alpha: float) -> tuple[Verdict, str]:
    interval = (
        f"the area under the ROC curve is {effect.value:.3g} (between {effect.lower:.3g} and {effect.upper:.3g}) "
        f"on rows kept out, and p is {pvalue:.2g}"
    )
    if pvalue <= alpha and effect.lower > effect.threshold:
        return "drifted", f"{interval}: more than {effect.threshold:g} even at its lower bound"
    if effect.upper < effect.threshold:
        return "stable", f"{interval}: less than {effect.threshold:g} even at its upper bound"
    return "undecided", f"{interval}: {effect.threshold:g} lies within its bounds, or p above {alpha:g}"


def _rank_columns(
    classifier: Classifier, encoding: Encoding, matrix: np.ndarray, kept: Sample, rng: np.random.Generator
) -> dict[str, float]:
    labels = kept.is_current.astype(np.int64)
    area = roc_auc(labels, classifier.decision_function(matrix))
    found = {}
    for column in encoding.described:
        places = [index for index, made in enumerate(encoding.coordinates) if made.column == column]
        lost = []
        for _ in range(IMPORTANCE_DRAWS):
            shuffled = matrix.copy()
            shuffled[:, places] = matrix[rng.permutation(len(matrix))][:, places]
            lost.append(area - roc_auc(labels, classifier.decision_function(shuffled)))
        found[column] = float(np.mean(lost))
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _warn(sample: Sample, given: tuple[int, int]) -> tuple[str, ...]:
    found = [] if sample.units else [cautions.INDEPENDENT]
    if (sample.n, sample.m) != given:
        found.append(
            f"Used {sample.n} of {given[0]} reference rows and {sample.m} of {given[1]} current rows."
        )
    return tuple(found)
