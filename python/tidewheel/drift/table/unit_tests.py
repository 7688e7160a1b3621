"""The tests inside a column where rows come in units: what rows are worth, and p-values from permuted units.

`column_tests` tests with laws of few effective rows; here, where there are units enough, its p-values are replaced by those
of `measures.permutation`, and withheld where units resemble their neighbours too much. Pure: counts in, records out.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tidewheel.drift.statistics import vocabulary
from tidewheel.drift.table import design_effect, open_vocabulary
from tidewheel.drift.table.decision import Part
from tidewheel.drift.table.measured import Designs, Measured
from tidewheel.measures import permutation
from tidewheel.measures.serial import Serial, UnitSample, estimate_serial

#: Classes with fewer rows than that on the smaller side, by what rows are worth, are tested together.
EXPECTED_ROWS = 5.0

_Table = npt.NDArray[np.int64]
_Tables = tuple[_Table, _Table]
_Samples = tuple[UnitSample, UnitSample]


@dataclass(frozen=True, eq=False, slots=True)
class UnitCounts:
    """Counts per unit of one column, units in time order.

    Attributes:
        values: For both sides, shape (units, classes): rows per bin or name, the last class being the infinite or others.
        missing: For both sides, shape (units, 2): rows with a value, and without (missing or NaN).
        ordered: Whether classes are bins in order.
        samples: Both as the values of units.
        designs: What rows are worth for values, and for shares.
        serials: The serial dependence of both.
    """

    values: _Tables
    missing: _Tables
    ordered: bool
    samples: tuple[_Samples, _Samples]
    designs: Designs
    serials: tuple[Serial, Serial]

    @property
    def phi(self) -> float:
        """The serial dependence of values, where it is visible; else 0."""
        return _visible(self.serials[0])


def describe(tables: _Tables, *, ordered: bool) -> UnitCounts:
    """Estimate serial dependence and what rows are worth from counts per unit; the last column holds the missing rows."""
    values = tables[0][:, :-1], tables[1][:, :-1]
    missing = _against(tables, -1)
    sides = samples(values, ordered=ordered), samples(missing, ordered=True)
    serials = estimate_serial(sides[0]), estimate_serial(sides[1])
    designs = (
        design_effect.estimate_design(*values, ordered=ordered, phi=_visible(serials[0])),
        design_effect.estimate_design(*missing, ordered=False, phi=_visible(serials[1])),
    )
    return UnitCounts(values, missing, ordered, sides, designs, serials)


def describe_missing(tables: _Tables) -> UnitCounts:
    """Do as `describe` does where a side has no value: of shares alone, rows with a value and rows without."""
    sides = samples(tables, ordered=True)
    serial = estimate_serial(sides)
    design = design_effect.estimate_design(*tables, ordered=False, phi=_visible(serial))
    return UnitCounts(tables, tables, True, (sides, sides), (design, design), (serial, serial))


def _visible(serial: Serial) -> float:
    return serial.phi if serial.is_visible else 0.0


def _against(tables: _Tables, column: int) -> _Tables:
    one, other = (
        np.column_stack([table.sum(axis=1) - table[:, column], table[:, column]]) for table in tables
    )
    return one, other


def samples(tables: _Tables, *, ordered: bool) -> _Samples:
    """Turn counts into shares below each edge, or into shares of each class over the root of the pooled one."""
    pooled = sum(table.sum(axis=0) for table in tables)
    scale = np.ones(len(pooled)) if ordered else np.sqrt(np.maximum(pooled / max(pooled.sum(), 1), 1e-12))
    one, other = (_sample(table, scale, ordered=ordered) for table in tables)
    return one, other


def _sample(table: _Table, scale: npt.NDArray[np.float64], *, ordered: bool) -> UnitSample:
    rows = table.sum(axis=1)
    if not rows.all():
        table, rows = table[rows > 0], rows[rows > 0]
    sizes = rows.astype(np.float64)
    shares = (table.cumsum(axis=1)[:, :-1] if ordered else table) / sizes[:, None]
    # The unbiased variance of a share of n rows; one row says nothing of it. `sum p (1 - p) = sum p - sum p^2`.
    if ordered:
        noise = shares.sum(axis=1) - np.einsum("ij,ij->i", shares, shares)
    else:
        noise = shares @ scale**-2.0
        shares /= scale
        noise -= np.einsum("ij,ij->i", shares, shares)
    return UnitSample(shares, sizes, np.maximum(noise, 0.0) / np.maximum(sizes - 1, 1))


def retest(measured: Measured, counts: UnitCounts, held: open_vocabulary.Held | None = None) -> Measured:
    """Replace the p-values of a column's parts by those of permuted units, as far as there are units enough.

    The tests of values, of all names (`held`) and of the missing share have counts per unit of their own. Other parts
    (unseen strings, infinite and NaN shares beside missing ones) keep the laws of `column_tests`. Where serial dependence is
    unsettled (`Serial.is_unsettled`) nothing is claimed: p is 1, and the effect may be anything.
    """
    without = tuple(int(table[:, 1].sum()) for table in counts.missing)
    tested = []
    for part in measured.parts:
        own = part.name == "values" or (
            part.name in ("missing", "nan") and without == _rows(measured, part.name)
        )
        serial = counts.serials[0 if part.name in ("values", "tail", "unseen") else 1]
        if serial.is_unsettled:
            tested.append(_withhold(part, serial))
        elif part.name == "tail" and held is not None and held.units is not None:
            tested.append(_permute_sides(part, samples(held.units, ordered=True), ordered=True))
        else:
            tested.append(_permute(part, counts) if own else part)
    return replace(measured, parts=tested)


def _rows(measured: Measured, name: str) -> tuple[float, float]:
    return measured.missing if name == "missing" else measured.nan


def _withhold(part: Part, serial: Serial) -> Part:
    reason = (
        f"units resemble the ones before them too much (correlation {serial.phi:.2f}) for {serial.units} units to tell "
        f"drift from chance; more units, or longer ones, would decide"
    )
    return replace(part, pvalue=1.0, effect=replace(part.effect, lower=0.0, upper=1.0), withheld=reason)


def _permute(part: Part, counts: UnitCounts) -> Part:
    if part.name != "values":
        sides, ordered = counts.samples[1], True
    elif counts.ordered:
        sides, ordered = counts.samples[0], True
    else:
        gathered = _gather(counts.values, part)
        sides = counts.samples[0] if gathered is counts.values else samples(gathered, ordered=False)
        ordered = False
    return _permute_sides(part, sides, ordered=ordered)


def _permute_sides(part: Part, sides: _Samples, *, ordered: bool) -> Part:
    if sides[0].values.shape[1] == 0 or not permutation.has_permutations(*(len(one.values) for one in sides)):
        return part
    found = permutation.compare_units(*sides, "largest" if ordered else "square")
    return replace(part, test=f"{part.test}, {found.test}", pvalue=found.pvalue)


def _gather(tables: _Tables, part: Part) -> _Tables:
    """Join names that are there by chance, and rare ones, to the last class, as the test of rows does."""
    r, c = (table.sum(axis=0).astype(np.float64) for table in tables)
    n, m = part.design.n, part.design.m
    kept = vocabulary.find_kept(r, c, (n, m))
    kept &= (r * n / r.sum() + c * m / c.sum()) * min(n, m) / (n + m) >= EXPECTED_ROWS
    if kept[:-1].all():
        return tables
    one, other = (
        np.column_stack([table[:, kept], table[:, ~kept].sum(axis=1, keepdims=True)]) for table in tables
    )
    return one, other
