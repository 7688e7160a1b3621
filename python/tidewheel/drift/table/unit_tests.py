"""The tests inside a column where rows come in units: what rows are worth, and p-values from permuted units.

`column_tests` tests with laws of few effective rows; here, where there are units enough, its p-values are replaced by those
of `measures.permutation`, and withheld where dependent units are too few. Pure: counts in, records out.
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

#: Laws of effective rows take phi as it is estimated, and keep their level up to this one: permuted units know of its error.
LARGEST_PLAIN_PHI = 0.7
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
    pooled = tables[0].sum(axis=0) + tables[1].sum(axis=0)
    scale = np.ones(len(pooled)) if ordered else np.sqrt(np.maximum(pooled / max(pooled.sum(), 1), 1e-12))
    noise_share = _find_noise_share(pooled, ordered=ordered)
    one, other = (_sample(table, scale, noise_share, ordered=ordered) for table in tables)
    return one, other


def _find_noise_share(pooled: npt.NDArray[np.int64], *, ordered: bool) -> float:
    """Find the largest part of the variance of independent rows that lies in one direction of a unit's shares.

    Shares over the root of the pooled one vary alike in all directions, one less than there are classes. Of shares below
    edges the covariance is `min(F_i, F_j) - F_i F_j`.
    """
    if not ordered:
        return 1 / max(1, int(np.count_nonzero(pooled)) - 1)
    below = pooled.cumsum()[:-1] / max(float(pooled.sum()), 1.0)
    covariance = np.minimum.outer(below, below) - np.outer(below, below)
    trace = float(np.trace(covariance))
    return float(np.linalg.eigvalsh(covariance)[-1]) / trace if trace > 0 else 1.0


def _sample(
    table: _Table, scale: npt.NDArray[np.float64], noise_share: float, *, ordered: bool
) -> UnitSample:
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
    return UnitSample(shares, sizes, np.maximum(noise, 0.0) / np.maximum(sizes - 1, 1), noise_share)


def retest(measured: Measured, counts: UnitCounts, held: open_vocabulary.Held | None = None) -> Measured:
    """Replace the p-values of a column's parts by those of permuted units, as far as there are units enough.

    The tests of values, of all names (`held`) and of the missing share have counts per unit of their own. Other parts
    (unseen strings, infinite and NaN shares beside missing ones) keep the laws of `column_tests`. Where serial dependence
    leaves too little to tell from (`Serial.is_unsettled`), or these laws would have to stand phi beyond 0.7, nothing is
    claimed: p is 1, and the effect may be anything.
    """
    return replace(measured, parts=[_retest(part, measured, counts, held) for part in measured.parts])


def _retest(part: Part, measured: Measured, counts: UnitCounts, held: open_vocabulary.Held | None) -> Part:
    serial = counts.serials[0 if part.name in ("values", "tail", "unseen") else 1]
    sides, ordered = _find_samples(part, measured, counts, held)
    is_permuted = sides is not None and _can_permute(sides)
    if serial.is_unsettled or (not is_permuted and _visible(serial) > LARGEST_PLAIN_PHI):
        return _withhold(part, serial)
    if sides is None or not is_permuted:
        return part
    found = permutation.compare_units(*sides, "largest" if ordered else "square")
    return replace(part, test=f"{part.test}, {found.test}", pvalue=found.pvalue)


def _find_samples(
    part: Part, measured: Measured, counts: UnitCounts, held: open_vocabulary.Held | None
) -> tuple[_Samples | None, bool]:
    """Find the values of units that a part is a test of, None if it has none, and whether they are shares below edges."""
    if part.name == "tail" and held is not None and held.units is not None:
        return samples(held.units, ordered=True), True
    if part.name == "values" and not counts.ordered:
        gathered = _gather(counts.values, part)
        return (counts.samples[0] if gathered is counts.values else samples(gathered, ordered=False)), False
    if part.name == "values":
        return counts.samples[0], True
    without = tuple(int(table[:, 1].sum()) for table in counts.missing)
    is_own = part.name in ("missing", "nan") and without == _rows(measured, part.name)
    return (counts.samples[1] if is_own else None), True


def _can_permute(sides: _Samples) -> bool:
    n, m = (len(side.values) for side in sides)
    return sides[0].values.shape[1] > 0 and permutation.has_permutations(n, m)


def _rows(measured: Measured, name: str) -> tuple[float, float]:
    return measured.missing if name == "missing" else measured.nan


def _withhold(part: Part, serial: Serial) -> Part:
    reason = (
        f"units resemble the ones before them too much (correlation {serial.phi:.2f}) for {sum(serial.units)} units to tell "
        f"drift from chance; more units, or longer ones, would decide"
    )
    return replace(part, pvalue=1.0, effect=replace(part.effect, lower=0.0, upper=1.0), withheld=reason)


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
