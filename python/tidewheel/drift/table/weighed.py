"""Rows that count with weights: what Rust counts of plain rows, summed here in NumPy.

`Weights` are read and checked once; `measure_numbers` and `measure_categories` then do for a column what `compare` does
without weights, by the tests of `column_tests` at the sizes that `design_effect.weigh` gives.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift.reading import inputs
from tidewheel.drift.report.records import Shape
from tidewheel.drift.statistics import vocabulary
from tidewheel.drift.statistics.bins import MOST_CATEGORIES
from tidewheel.drift.table import design_effect, measured, shapes
from tidewheel.drift.table.counted import Counts, Distance, Floats, NumberCounts, Parts, WeighedCounts
from tidewheel.drift.table.measured import Measured
from tidewheel.drift.table.open_vocabulary import Held
from tidewheel.drift.table.pairs import NUMERIC, Pair, kind_of, number_names
from tidewheel.drift.table.rules import Rule
from tidewheel.errors import InputError, InputTypeError

#: With the numbers of rows the seed of the halves, so that a report gives the same p-values every time.
SEED = 20_131_023
_SIDES = ("reference", "current")
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False, slots=True)
class Weights:
    """The weights of both tables' rows, at least 0 and finite; of a table with rows one is above 0.

    Attributes:
        name: Name of their column.
        reference: Of the reference's rows.
        current: Of the current table's.
    """

    name: str
    reference: Floats
    current: Floats

    @classmethod
    def read(cls, name: str, pair: Pair) -> Self:
        """Read and check the weights.

        Raises:
            InputTypeError: a side's column holds no numbers.
            InputError: a weight is missing, NaN, infinite or negative, or all of a side are 0.
        """
        one, other = (_read_side(name, side, column) for side, column in zip(_SIDES, pair, strict=True))
        return cls(name, one, other)

    @property
    def is_even(self) -> bool:
        """Whether all weights of a side are equal, on both sides: then rows count as without any."""
        return all(len(side) == 0 or bool((side == side[0]).all()) for side in (self.reference, self.current))

    def tell(self) -> str:
        """Say in a sentence how many equal rows the rows of both sides are worth."""
        if self.is_even:
            return f"The weights {self.name!r} are equal on each side, so rows count as without any."
        n, m = (design_effect.count_equal(side) for side in (self.reference, self.current))
        return (
            f"Rows count with the weights {self.name!r}: {len(self.reference):,} reference rows are worth {n:,.0f} equal "
            f"ones, {len(self.current):,} current rows {m:,.0f} (Kish). Tests and bounds take these sizes, which is "
            f"approximately valid, and as long as weights do not depend on the values."
        )


def _read_side(name: str, side: str, column: _native.Column) -> Floats:
    if column.kind != "number" and len(column) and column.missing < len(column):
        raise InputTypeError(f"weights {name!r} must be numbers; got {column.dtype} in `{side}`")
    numbers, is_missing = _read_numbers(column)
    bad = np.flatnonzero(is_missing | ~((numbers >= 0) & (numbers < np.inf)))
    if len(bad):
        got = "a missing one" if is_missing[bad[0]] else f"{numbers[bad[0]]:g}"
        raise InputError(
            f"weights {name!r} must be finite numbers of at least 0; got {got} in row {bad[0]} of `{side}` (counted from 0)"
        )
    if len(numbers) and not numbers.any():
        raise InputError(f"weights {name!r} must not all be 0; got {len(numbers)} such rows in `{side}`")
    return numbers


def _read_numbers(column: _native.Column) -> tuple[Floats, _Mask]:
    """Read the numbers of all rows, and which are missing."""
    if column.kind not in NUMERIC:
        return np.zeros(len(column)), np.ones(len(column), dtype=np.bool_)
    rows = inputs.read_array("rows", np.arange(len(column), dtype=np.int64))
    numbers, there = _native.gather_numbers(column, rows)
    return np.frombuffer(numbers, dtype=np.float64), np.frombuffer(there, dtype=np.uint8) == 0


@dataclass(frozen=True, eq=False, slots=True)
class _Side:
    """The numbers of one side, without rows of weight 0.

    Attributes:
        rows: All rows of the side.
        numbers: NaN among them; 0 where one is missing.
        missing: Which are missing.
        weights: What they count.
    """

    rows: int
    numbers: Floats
    missing: _Mask
    weights: Floats

    @classmethod
    def read(cls, column: _native.Column, weights: Floats) -> Self:
        numbers, missing = _read_numbers(column)
        kept = weights > 0
        if not kept.all():
            numbers, missing, weights = numbers[kept], missing[kept], weights[kept]
        return cls(len(column), numbers, missing, weights)

    @property
    def valued(self) -> _Mask:
        """Which hold a number, infinite ones too."""
        is_valued: _Mask = ~(self.missing | np.isnan(self.numbers))
        return is_valued

    def share(self, rows: _Mask) -> float:
        """The weight of rows, of that of all; 1 exactly for all, 0 for none."""
        return float(self.weights[rows].sum() / self.weights.sum()) if len(rows) else 0.0

    def count_parts(self) -> Parts:
        """Count rows beside finite numbers: their weight's share of all rows."""
        there = ~self.missing
        masks = (
            self.missing,
            there & np.isnan(self.numbers),
            there & (self.numbers == np.inf),
            there & (self.numbers == -np.inf),
        )
        return Parts(self.rows, *(self.share(mask) * self.rows for mask in masks))


def measure_numbers(
    name: str, pair: Pair, found: _native.NumericComparison, weights: Weights, rule: Rule
) -> Measured:
    """Test a numeric column's parts; `found` is what Rust made of the plain rows, whose bins are taken.

    The distance is that of both sides' weighted distribution functions, from a sort. Its p-value is that of continuous
    numbers also where they are tied, which is never too small.

    Cost: a sort of both sides, some 0.4 s for a million rows each.
    """
    kind = NUMERIC[kind_of(pair)]
    sides = [
        _Side.read(column, side)
        for column, side in zip(pair, (weights.reference, weights.current), strict=True)
    ]
    r, c = (side.count_parts() for side in sides)
    valued = [side.valued for side in sides]
    if not all(mask.any() for mask in valued):
        counts = NumberCounts(r, c, None, [], [])
        return measured.measure_numbers(name, kind, counts, _designs(sides, None), rule)
    designs = _designs(sides, valued)
    assert designs is not None
    values = [_Sorted.read(side, mask) for side, mask in zip(sides, valued, strict=True)]
    edges = np.array(found.edges, dtype=np.float64)
    sizes = designs[0].n, designs[0].m
    bins = [(side.cut(edges) * size).tolist() for side, size in zip(values, sizes, strict=True)]
    counts = NumberCounts(r, c, _measure_distance(values, sizes), bins[0], bins[1])
    made = measured.measure_numbers(name, kind, counts, designs, rule)
    return replace(made, shape=_draw(found, values, pair))


def _designs(sides: list[_Side], valued: list[_Mask] | None) -> measured.Designs | None:
    """Say what rows are worth for values, as far as both sides have any, and for shares; None where a side has no row."""
    if not all(len(side.weights) for side in sides):
        return None
    shares = design_effect.weigh(sides[0].weights, sides[1].weights)
    if valued is None:
        return shares, shares
    one, other = (side.weights[mask] for side, mask in zip(sides, valued, strict=True))
    return design_effect.weigh(one, other), shares


@dataclass(frozen=True, eq=False, slots=True)
class _Sorted:
    """The values of one side in order.

    Attributes:
        numbers: The values, infinite ones too.
        shares: The weight of each, of that of all.
        below: The weight before each place, and of all.
    """

    numbers: Floats
    shares: Floats
    below: Floats

    @classmethod
    def read(cls, side: _Side, valued: _Mask) -> Self:
        numbers, weights = side.numbers[valued], side.weights[valued]
        order = np.argsort(numbers)
        shares = weights[order] / weights.sum()
        return cls(numbers[order], shares, np.concatenate([[0.0], shares.cumsum()]))

    def cut(self, edges: Floats) -> Floats:
        """Give the shares of the bins [a, b) between edges, and beyond them; infinite values are in none."""
        first = np.searchsorted(self.numbers, -np.inf, side="right")
        last = np.searchsorted(self.numbers, np.inf, side="left")
        places = np.searchsorted(self.numbers, edges, side="left")
        return np.diff(self.below[[first, *places, last]])


def _measure_distance(values: list[_Sorted], sizes: tuple[float, float]) -> Distance:
    """Find the largest difference of both sides' weighted distribution functions."""
    numbers = np.concatenate([side.numbers for side in values])
    steps = np.concatenate([values[0].shares, -values[1].shares])
    # A stable sort merges two runs.
    order = np.argsort(numbers, kind="stable")
    numbers, gaps = numbers[order], np.abs(np.cumsum(steps[order]))
    # Between equal numbers nothing is compared, and after the last both functions are 1.
    ends = np.flatnonzero(numbers[1:] != numbers[:-1])
    largest = min(1.0, float(gaps[ends].max(initial=0.0)))
    # Whole numbers of rows may come out a rounding error too small.
    n, m = (math.floor(size * (1 + 1e-12)) for size in sizes)
    return Distance(largest, largest, n, m)


def _draw(found: _native.NumericComparison, values: list[_Sorted], pair: Pair) -> Shape | None:
    """Draw both sides on the bins of the plain rows; shares of finite values are given in rows, to the nearest one."""
    if found.shape is None:
        return None
    low, width, *plain = found.shape
    edges = (low + width * np.arange(len(plain[0]) - 1)).astype(np.float64)
    shares = [side.cut(edges) for side in values]
    if not all(side.any() for side in shares):
        return None
    drawn = [
        tuple(np.rint(side * (sum(counts) / side.sum())).astype(np.int64).tolist())
        for side, counts in zip(shares, plain, strict=True)
    ]
    return Shape(drawn[0], drawn[1], (), low, width, pair[0].dtype)


def _sum_by(places: Counts, weights: Floats, count: int) -> Floats:
    return np.bincount(places, weights=weights, minlength=count).astype(np.float64, copy=False)


def measure_categories(name: str, pair: Pair, weights: Weights, rule: Rule) -> Measured:
    """Test a categorical column's parts.

    Classes are the reference's 50 most frequent names and one for all others, by their rows: a row of much weight would
    make its name one by chance. Of unseen names Good and Turing expect the weight of the reference's names that have one
    row. Halves for the test of all names are tossed row by row.

    Cost: some 0.5 s for a million rows a side.
    """
    texts, codes = number_names(pair)
    kept = [side > 0 for side in (weights.reference, weights.current)]
    codes = codes[0][kept[0]], codes[1][kept[1]]
    weighed = weights.reference[kept[0]], weights.current[kept[1]]
    there = [side >= 0 for side in codes]
    parts = [
        Parts(len(column), 0.0 if not len(side) else float(side[~mask].sum() / side.sum()) * len(column))
        for column, side, mask in zip(pair, weighed, there, strict=True)
    ]
    shares = design_effect.weigh(*weighed) if all(map(len, weighed)) else None
    if not all(mask.any() for mask in there) or shares is None:
        nothing = WeighedCounts(parts[0], parts[1], [], [], 0.0, 0.0, 0.0, 0.0, np.zeros(0, dtype=np.bool_))
        return measured.measure_categories(name, nothing, None if shares is None else (shares, shares), rule)
    valued = [(side[mask], one[mask]) for side, one, mask in zip(codes, weighed, there, strict=True)]
    values = design_effect.weigh(valued[0][1], valued[1][1])
    found, order = _count_names(parts, valued, values, len(texts))
    held = _hold_out(valued, len(texts)) if measured.is_open(found) else None
    made = measured.measure_categories(name, found, (values, shares), rule, held)
    return replace(made, shape=_draw_names(texts, order, valued, pair))


def _add_up(codes: Counts, weights: Floats, kinds: int) -> Floats:
    """Sum the weight of each name, as shares of all."""
    return _sum_by(codes, weights / weights.sum(), kinds)


def _count_names(
    parts: list[Parts], valued: list[tuple[Counts, Floats]], design: design_effect.Design, kinds: int
) -> tuple[WeighedCounts, Counts]:
    """Count names in equal rows, and give the order of names by their rows in the reference."""
    r, c = (_add_up(*side, kinds) for side in valued)
    rows, others = (np.bincount(codes, minlength=kinds) for codes, _ in valued)
    order = np.argsort(-rows, kind="stable")
    k = min(MOST_CATEGORIES, int((rows > 0).sum()))
    sides = (r * design.n, c * design.m, rows.astype(np.float64), others.astype(np.float64))
    joined = [_join_rest(side[order], k) for side in sides]
    kept = vocabulary.find_kept(joined[2], joined[3], (joined[2].sum(), joined[3].sum()))
    found = WeighedCounts(
        parts[0],
        parts[1],
        joined[0].tolist(),
        joined[1].tolist(),
        unseen=float(c[rows == 0].sum() * design.m),
        seen_once=float(r[rows == 1].sum() * design.n),
        seen_twice=float(r[rows == 2].sum() * design.n) / 2,
        total_variation=max(0.0, 1.0 - float(np.minimum(r, c).sum())),
        kept=kept,
    )
    return found, order


def _join_rest(counts: Floats, k: int) -> Floats:
    return np.append(counts[:k], counts[k:].sum())


def _hold_out(valued: list[tuple[Counts, Floats]], kinds: int) -> Held | None:
    """Choose by half of the rows the names that the current side has more of, and weigh them in the other half."""
    generator = np.random.Generator(np.random.PCG64([SEED, *(len(side[0]) for side in valued)]))
    halves = [generator.random(len(codes)) < 0.5 for codes, _ in valued]
    if not all(half.any() and not half.all() for half in halves):
        return None
    r, c = (
        _add_up(codes[half], weights[half], kinds)
        for (codes, weights), half in zip(valued, halves, strict=True)
    )
    chosen = c > r
    seconds = [(codes[~half], weights[~half]) for (codes, weights), half in zip(valued, halves, strict=True)]
    design = design_effect.weigh(seconds[0][1], seconds[1][1])
    hits = [float(_add_up(*side, kinds)[chosen].sum()) for side in seconds]
    return Held((hits[0] * design.n, hits[1] * design.m), (design.n, design.m), design)


def _draw_names(texts: list[str], order: Counts, valued: list[tuple[Counts, Floats]], pair: Pair) -> Shape:
    """Draw the most frequent names; their shares of the weight are given in rows, to the nearest one."""
    r, c = (np.rint(_add_up(*side, len(texts)) * len(side[0])).astype(np.int64)[order] for side in valued)
    k = min(MOST_CATEGORIES, int(np.unique(valued[0][0]).size))
    most = np.argsort(-c[k:], kind="stable")[: shapes.RISEN_SHOWN] + k
    names = [texts[at] for at in order.tolist()]
    risen = [(names[at], int(r[at]), int(c[at])) for at in most.tolist()]
    sides = [np.append(side[:k], side[k:].sum()) for side in (r, c)]
    return shapes.from_names(names[:k], sides[0], sides[1], pair[0].dtype, risen)
