"""Drift that no single column shows: the test of two tables as wholes.

`drawing` takes the rows, `encoding` turns them into numbers, `directions` measures along projections, `decision` decides. A
test that learns a classifier instead is in `tidewheel.model.domain`, for which scikit-learn must be installed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift import arguments
from tidewheel.drift.reading import inputs
from tidewheel.drift.report.records import Effect, Verdict
from tidewheel.drift.statistics.results import SignificanceResult
from tidewheel.drift.table import cautions, column_tests, decision, design_effect
from tidewheel.drift.table.counted import BINS
from tidewheel.drift.table.multivariate import directions
from tidewheel.drift.table.multivariate.drawing import LEAST_ROWS, Sample, draw_sample, read_pairs
from tidewheel.drift.table.multivariate.encoding import Encoding, FloatArray
from tidewheel.errors import InputError

#: Units a side that are split into halves; with fewer there is no effect on rows kept out.
UNITS_TO_SPLIT = 4
#: Statistics this close are equal: they differ in rounding alone.
_TIE = 1e-9

_IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SlicedResult(SignificanceResult):
    """Whether two tables differ along some direction through their columns; it unpacks into statistic and p-value.

    Attributes:
        statistic: The largest statistic over all directions; see `sliced`.
        pvalue: Share of the assignments of rows (or units) to the two samples that reach it, at least
            1 / (permutations + 1).
        loadings: How much each column has of that direction: squares that sum to 1, the largest first.
        effect: Kolmogorov-Smirnov distance along the direction found on one half of the rows, with bounds from the other
            half; None if there are too few units to split.
        effect_loadings: The same as `loadings`, of the direction found on that half; empty without an effect.
        verdict: "drifted", "stable" or "undecided".
        reason: One sentence why.
        n: Reference rows used.
        m: Current rows used.
        rows: Rows given, of the reference and of the current sample.
        units: Units used, of the reference and of the current sample; None for independent rows.
        encoded: How each column was encoded.
        left_out: Why columns were left out.
        projections: Directions looked at.
        permutations: Random assignments.
        seed: What makes the result repeatable.
        warnings: What else a reader should know.
    """

    loadings: dict[str, float]
    effect: Effect | None
    effect_loadings: dict[str, float]
    verdict: Verdict
    reason: str
    n: int
    m: int
    rows: tuple[int, int]
    units: tuple[int, int] | None
    encoded: dict[str, str]
    left_out: dict[str, str]
    projections: int
    permutations: int
    seed: int
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        told = f"statistic={self.statistic!r}, pvalue={self.pvalue!r}, verdict={self.verdict!r}"
        return f"SlicedResult({told}, n={self.n}, m={self.m})"


def sliced(
    reference: Any,
    current: Any,
    *,
    columns: Sequence[str] | None = None,
    unit: str | None = None,
    kinds: Mapping[str, str] | None = None,
    alpha: float = 0.05,
    rows: int = 5_000,
    projections: int = 512,
    permutations: int = 499,
    seed: int = 0,
) -> SlicedResult:
    """Test whether two tables have one joint law, columns and their relations together.

    Each column is encoded by numbers (see `encoding.Encoding`: normal scores of ranks, zeros and ones for categories and for
    missing values), the rows are projected on single columns, on sums and differences of pairs, on principal components
    and on random directions, and along each direction the samples' characteristic functions are compared at two
    points. The statistic is the largest of these; so changed correlations are found where every column alone is as it was.

    The p-value is `(1 + b) / (1 + B)`, b of B random assignments of rows to samples having at least this statistic. It is
    exact: encoding and directions do not depend on which row is whose. With `unit` whole units are reassigned, which is
    exact when the units are exchangeable; a unit that is in both tables counts as two (its p-values are then too large
    rather than too small).

    The effect is honest as well: the worst direction is sought on one half of the rows (or units), encoding included,
    and the Kolmogorov-Smirnov distance along it is taken on the other half, with the bounds that `compare` has.
    `drifted` needs p <= alpha and the lower bound above 0.1, `stable` the upper bound below it; `stable` speaks of
    the direction found, not of all there are.

    Args:
        reference: A polars, pandas or Arrow table, a mapping of arrays, or a 2-D array (columns "0", "1", ...).
        current: A table with the same columns.
        columns: Columns to look at; by default all of the reference but `unit`.
        unit: Column that names the day, user or other unit of a row; by default rows are taken as independent.
        kinds: What columns are declared to be, by name, as in `compare`: "categorical" or "numeric".
        alpha: Level of the test and of the bounds, in (0, 1).
        rows: Most rows used of each table, drawn at random; at least 20. With `unit` whole units are drawn, at least
            40, and then rows at one rate in both tables if they are too many still.
        projections: Most directions, at least 8.
        permutations: Random assignments, at least 19.
        seed: Seed of all that is drawn, at least 0.

    Returns:
        The statistic, its p-value, which columns make the worst direction, the effect and the verdict.

    Raises:
        InputError: a column is missing in a table, no column varies, there are fewer than 20 rows or (with `unit`) two units
            in a table, or a number lies outside its range.
        InputTypeError: a column has different types, or a table is of an unknown type.

    Cost: O(N projections permutations) in matrix products, N <= 2 rows; at most about 0.8 s of one core at the defaults,
    however long the tables. With `unit` one more pass over that column.

    Source: Epps and Singleton, Journal of Statistical Computation and Simulation 26 (1986) 177-203, for the statistic along
    one direction (there at 0.4 and 0.8 of a robust scale); Hemerik and Goeman, TEST 27 (2018) 811-825, for the p-value of
    random permutations.

    Example:
        >>> import numpy as np
        >>> from tidewheel import drift
        >>> rng = np.random.default_rng(1)
        >>> x, y = rng.normal(size=(2, 2000))
        >>> before = {"x": x[:1000], "y": y[:1000]}
        >>> after = {"x": x[1000:], "y": 0.1 * y[1000:] - 0.995 * x[1000:]}
        >>> found = drift.sliced(before, after)
        >>> found.pvalue, found.verdict, {name: round(share, 2) for name, share in found.loadings.items()}
        (0.002, 'drifted', {'x': 0.5, 'y': 0.5})
    """
    _check(alpha, rows, projections, permutations, seed)
    pairs, units = read_pairs(reference, current, columns, unit, kinds)
    rng = np.random.default_rng(seed)
    sample = draw_sample(pairs, units, rows, rng)
    encoding = Encoding.fit(sample.table)
    if not encoding.coordinates:
        reasons = ", ".join(f"{name!r} has {reason}" for name, reason in encoding.left_out.items())
        raise InputError(f"`reference` and `current` must have a column that varies; got {reasons or 'none'}")
    encoded = encoding.encode(sample.table)
    lines = directions.choose_directions(encoded, encoding.coordinates, projections, rng)
    counts = sample.units or (sample.n, sample.m)
    labels = directions.permute_labels(sum(counts), counts[1], permutations, rng)
    observed, largest = _measure(encoded, lines, sample.codes, labels)
    reached = int((largest[1:] >= largest[0] * (1 - _TIE)).sum())
    pvalue = (1 + reached) / (1 + permutations)
    part, effect_loadings = _measure_effect(sample, projections, alpha, rng)
    verdict, reason = _decide(part, pvalue, alpha)
    given = (len(next(iter(pairs.values()))[0]), len(next(iter(pairs.values()))[1]))
    return SlicedResult(
        statistic=float(largest[0]),
        pvalue=pvalue,
        loadings=_load(encoding, lines[int(observed.argmax())]),
        effect=part.effect if part else None,
        effect_loadings=effect_loadings,
        verdict=verdict,
        reason=reason,
        n=sample.n,
        m=sample.m,
        rows=given,
        units=sample.units,
        encoded=encoding.described,
        left_out=encoding.left_out,
        projections=len(lines),
        permutations=permutations,
        seed=seed,
        warnings=_warn(sample, given, alpha),
    )


def _check(alpha: float, rows: int, projections: int, permutations: int, seed: int) -> None:
    decision.check_levels(alpha, "none")
    least = {
        "rows": (rows, LEAST_ROWS),
        "projections": (projections, 8),
        "permutations": (permutations, 19),
        "seed": (seed, 0),
    }
    for name, (value, bound) in least.items():
        arguments.check_whole(name, value)
        if value < bound:
            raise InputError(f"`{name}` must be at least {bound}; got {value}")


def _measure(
    encoded: FloatArray, lines: FloatArray, codes: _IntArray | None, labels: npt.NDArray[np.float32]
) -> tuple[FloatArray, FloatArray]:
    """Give the statistic along each direction as labelled first, and the largest for each labelling."""
    observed, largest = [], np.zeros(len(labels))
    for waves in directions.measure_waves(encoded, lines):
        found = directions.compare_labels(directions.sum_units(waves, codes), labels)
        observed.append(found[0])
        np.maximum(largest, found.max(axis=1), out=largest)
    return np.concatenate(observed), largest


def _load(encoding: Encoding, line: FloatArray) -> dict[str, float]:
    loadings = dict.fromkeys((coordinate.column for coordinate in encoding.coordinates), 0.0)
    for coordinate, weight in zip(encoding.coordinates, line.tolist(), strict=True):
        loadings[coordinate.column] += weight * weight
    return dict(sorted(loadings.items(), key=lambda item: -item[1]))


def _measure_effect(
    sample: Sample, projections: int, alpha: float, rng: np.random.Generator
) -> tuple[decision.Part | None, dict[str, float]]:
    """Find the worst direction on one half, and measure along it on the other."""
    if sample.units is not None and min(sample.units) < UNITS_TO_SPLIT:
        return None, {}
    seek, keep = sample.split(rng)
    encoding = Encoding.fit(seek.table)
    if not encoding.coordinates:
        return None, {}
    encoded = encoding.encode(seek.table)
    lines = directions.choose_directions(encoded, encoding.coordinates, projections, rng)
    counts = seek.units or (seek.n, seek.m)
    labels = directions.permute_labels(sum(counts), counts[1], 0, rng)
    observed, _ = _measure(encoded, lines, seek.codes, labels)
    line = lines[int(observed.argmax())]
    part = _measure_distance(encoding.encode(keep.table) @ line, keep, alpha)
    return part, _load(encoding, line)


def _measure_distance(z: FloatArray, sample: Sample, alpha: float) -> decision.Part:
    sides = (inputs.read_array("reference", z[: sample.n]), inputs.read_array("current", z[sample.n :]))
    (found,) = _native.compare_numeric([sides[0]], [sides[1]], BINS, 1)
    assert found.distance is not None  # projections are finite
    design = design_effect.independent(sample.n, sample.m)
    if sample.codes is not None and sample.units is not None:
        bins = np.searchsorted(np.array(found.edges, dtype=np.float64), z, side="right")
        table = np.zeros((sum(sample.units), len(found.edges) + 1), dtype=np.int64)
        np.add.at(table, (sample.codes, bins), 1)
        first = sample.units[0]
        design = design_effect.estimate_design(table[:first], table[first:], ordered=True)
    return replace(column_tests.compare_numbers(found.distance, design, alpha), name="worst direction")


def _decide(part: decision.Part | None, pvalue: float, alpha: float) -> tuple[Verdict, str]:
    if part is None:
        return (
            "undecided",
            f"p is {pvalue:.2g}; there are too few units to measure an effect on units kept out",
        )
    verdict, _, reason = decision.decide_column([replace(part, pvalue=pvalue)], pvalue, pvalue, alpha)
    return verdict, reason


def _warn(sample: Sample, given: tuple[int, int], alpha: float) -> tuple[str, ...]:
    found = []
    if sample.units is None:
        found.append(cautions.INDEPENDENT)
    elif comb(sum(sample.units), sample.units[0]) * alpha < 1:
        ways = comb(sum(sample.units), sample.units[0])
        found.append(
            f"With {sample.units[0]} and {sample.units[1]} units there are {ways} assignments, so p cannot reach {alpha:g}."
        )
    if (sample.n, sample.m) != given:
        found.append(
            f"Used {sample.n} of {given[0]} reference rows and {sample.m} of {given[1]} current rows."
        )
    return tuple(found)
