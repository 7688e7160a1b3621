"""Rows drawn of two tables, for statistics that look at several columns at once.

Rows, or whole units of them, are drawn at random up to a bound, so that cost does not grow with the tables; `encoding` turns
them into numbers. Drawing treats both tables alike, so that units stay exchangeable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift import arguments
from tidewheel.drift.reading import inputs
from tidewheel.drift.table import design_effect
from tidewheel.drift.table.multivariate.encoding import RawColumn, join, read_rows
from tidewheel.drift.table.pairs import pair_columns
from tidewheel.errors import InputError

#: Fewer rows a side have no halves that could show anything.
LEAST_ROWS = 20
#: Units kept at least, where there are more rows than may be used: p-values come from exchanging units.
LEAST_UNITS = 40

_SIDES = ("reference", "current")

_IntArray = npt.NDArray[np.int64]
Pairs = Mapping[str, tuple[_native.Column, _native.Column]]


def read_pairs(
    reference: Any,
    current: Any,
    columns: Sequence[str] | None,
    unit: str | None,
    kinds: Mapping[str, str] | None = None,
) -> tuple[Pairs, tuple[_native.Column, _native.Column] | None]:
    """Read the columns to look at, and the unit's, of both tables; raise for what cannot be compared or is too short."""
    asked = None if columns is None else arguments.read_names("columns", columns)
    unit = None if unit is None else arguments.read_name("unit", unit)
    declared = arguments.read_kinds(kinds)
    read = None if asked is None else [*asked, *([] if unit is None else [unit])]
    r_table = inputs.read_table("reference", reference, columns=read, kinds=declared)
    c_table = inputs.read_table(
        "current", current, columns=list(r_table) if read is None else read, kinds=declared
    )
    inputs.check_declared(declared, r_table, c_table)
    names = asked if asked is not None else [name for name in r_table if name != unit]
    if not names:
        raise InputError("`reference` must have at least one column; got none")
    pairs = {name: pair_columns(name, r_table, c_table) for name in names}
    for side, column in zip(_SIDES, next(iter(pairs.values())), strict=True):
        if len(column) < LEAST_ROWS:
            raise InputError(f"`{side}` must have at least {LEAST_ROWS} rows; got {len(column)}")
    return pairs, None if unit is None else pair_columns(unit, r_table, c_table)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The rows drawn of both tables, those of the reference first, each side in the order of its units."""

    table: Mapping[str, RawColumn]
    n: int
    m: int
    #: Unit of each row, from 0, in increasing order, and how many units each side has; None for independent rows.
    codes: _IntArray | None = None
    units: tuple[int, int] | None = None

    @classmethod
    def make(
        cls, table: Mapping[str, RawColumn], is_current: npt.NDArray[np.bool_], codes: _IntArray | None
    ) -> "Sample":
        """Number the units that are left anew."""
        n, m = int((~is_current).sum()), int(is_current.sum())
        if codes is None:
            return cls(table, n, m)
        _, numbered = np.unique(codes, return_inverse=True)
        first = int(numbered[n - 1]) + 1
        return cls(table, n, m, numbered.astype(np.int64), (first, int(numbered[-1]) + 1 - first))

    @property
    def is_current(self) -> npt.NDArray[np.bool_]:
        """Say of each row whether it is the current sample's."""
        return np.arange(self.n + self.m) >= self.n

    def split(self, rng: np.random.Generator) -> "tuple[Sample, Sample]":
        """Split rows, or units, into halves, each side apart."""
        counts = self.units or (self.n, self.m)
        halves = [rng.permutation(count) < count // 2 for count in counts]
        chosen = np.concatenate(halves)
        chosen = chosen if self.codes is None else chosen[self.codes]
        return self._take(chosen), self._take(~chosen)

    def _take(self, rows: npt.NDArray[np.bool_]) -> "Sample":
        table = {name: raw.take(rows) for name, raw in self.table.items()}
        return self.make(table, self.is_current[rows], None if self.codes is None else self.codes[rows])


def draw_sample(
    pairs: Pairs, unit: tuple[_native.Column, _native.Column] | None, bound: int, rng: np.random.Generator
) -> Sample:
    """Draw at most about `bound` rows of each table; with a unit whole ones, then rows at one rate if they are too many."""
    first = next(iter(pairs.values()))
    if unit is None:
        chosen = [_draw_rows(len(column), bound, rng) for column in first]
        codes = None
    else:
        drawn = [_draw_units(side, column, bound, rng) for side, column in zip(_SIDES, unit, strict=True)]
        rate = min(1.0, bound / max(len(rows) for rows, _ in drawn))
        kept = [rng.random(len(rows)) < rate for rows, _ in drawn]
        chosen = [rows[keep] for (rows, _), keep in zip(drawn, kept, strict=True)]
        _check_kept(chosen, rate, bound)
        r_codes, c_codes = (codes[keep] for (_, codes), keep in zip(drawn, kept, strict=True))
        codes = np.concatenate([r_codes, c_codes + r_codes.max() + 1])
    table = {
        name: join(*(read_rows(column, rows) for column, rows in zip(pair, chosen, strict=True)))
        for name, pair in pairs.items()
    }
    is_current = np.repeat([False, True], [len(rows) for rows in chosen])
    return Sample.make(table, is_current, codes)


def _check_kept(chosen: Sequence[_IntArray], rate: float, bound: int) -> None:
    for side, rows in zip(_SIDES, chosen, strict=True):
        if len(rows) < LEAST_ROWS:
            raise InputError(
                f"`rows` must be larger, since both tables are drawn from at one rate, {rate:.2g}: at {bound} `{side}` "
                f"keeps {len(rows)} rows, fewer than {LEAST_ROWS}"
            )


def _draw_units(
    side: str, column: _native.Column, bound: int, rng: np.random.Generator
) -> tuple[_IntArray, _IntArray]:
    """Draw whole units with about `bound` rows, but at least 40 units; give rows and codes in the order of the codes."""
    units = _native.encode_units(column)
    if units.count < design_effect.UNITS_NEEDED:
        raise InputError(
            f"unit {column.name!r} must have at least {design_effect.UNITS_NEEDED} values in `{side}`; got {units.count}"
        )
    rows = np.arange(len(column), dtype=np.int64)
    codes = np.frombuffer(_native.gather_units(units, inputs.read_array("rows", rows)), dtype=np.uint32)
    count = max(LEAST_UNITS, bound * units.count // len(rows))
    if count < units.count:
        chosen = np.zeros(units.count, dtype=np.bool_)
        chosen[rng.choice(units.count, count, replace=False)] = True
        rows = rows[chosen[codes]]
    order = np.argsort(codes[rows], kind="stable")
    return rows[order], codes[rows[order]].astype(np.int64)


def _draw_rows(n: int, bound: int, rng: np.random.Generator) -> _IntArray:
    """Draw at most `bound` of n rows without replacement, in increasing order."""
    if n <= bound:
        return np.arange(n, dtype=np.int64)
    return np.sort(rng.choice(n, bound, replace=False)).astype(np.int64)
