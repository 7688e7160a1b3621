"""Rows of tables of several types as rows of numbers, for statistics that look at several columns at once.

`Encoding` learns how each column becomes numbers and encodes the rows. What it learns is learned of both samples together
and does not change when rows change sides, so that permutation tests stay exact. `drawing` takes the rows, `directions`
looks at them, `sliced` puts the test together.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift.reading import inputs

#: Values of a string column that get a coordinate of their own; the rest is what has none of them.
NAMED = 10

#: Deviations of coordinates of zeros and ones are taken as at least this (a share of 1 %): rarer ones would drown the
#: others.
LEAST_DEVIATION = 0.1

FloatArray = npt.NDArray[np.float64]
_IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RawColumn:
    """A column's values in the rows drawn, of one side or of both.

    Attributes:
        kind: "number" (also times), "string" (also booleans), "null" or "unsupported".
        values: Floats, or strings as objects ("" where missing).
        there: False where missing or NaN.
    """

    kind: str
    values: npt.NDArray[np.generic]
    there: npt.NDArray[np.bool_]

    def take(self, rows: npt.NDArray[np.generic]) -> "RawColumn":
        """Take some rows, by index or by mask."""
        return RawColumn(self.kind, self.values[rows], self.there[rows])


def read_rows(column: _native.Column, rows: _IntArray) -> RawColumn:
    """Read a column's values in the given rows."""
    if column.kind in {"null", "unsupported"}:
        return RawColumn(column.kind, np.zeros(len(rows)), np.zeros(len(rows), dtype=np.bool_))
    wanted = inputs.read_array("rows", rows)
    if column.kind in {"number", "temporal"}:
        data, there = _native.gather_numbers(column, wanted)
        values = np.frombuffer(data, dtype=np.float64)
        return RawColumn("number", values, np.frombuffer(there, dtype=np.bool_) & ~np.isnan(values))
    names = _native.gather_strings(column, wanted)
    present = np.array([name is not None for name in names], dtype=np.bool_)
    return RawColumn("string", np.array([name or "" for name in names], dtype=object), present)


def join(reference: RawColumn, current: RawColumn) -> RawColumn:
    """Put the rows of both sides one after the other; a side without a type goes with any."""
    kinds = {reference.kind, current.kind} - {"null"}
    if "unsupported" in kinds:
        kinds = {"unsupported"}
    kind = kinds.pop() if kinds else "null"
    sides = [side if side.kind == kind else _empty(kind, len(side.there)) for side in (reference, current)]
    values = np.concatenate([side.values for side in sides])
    return RawColumn(kind, values, np.concatenate([side.there for side in sides]))


def _empty(kind: str, rows: int) -> RawColumn:
    values = np.full(rows, "", dtype=object) if kind == "string" else np.zeros(rows)
    return RawColumn(kind, values, np.zeros(rows, dtype=np.bool_))


@dataclass(frozen=True, slots=True)
class Coordinate:
    """One number that a row is encoded by.

    Attributes:
        column: The column it comes from.
        label: Its name, such as "lane = left" or "speed is missing".
    """

    column: str
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class _Scores:
    """Numbers by the normal score of their rank among the values learned; missing ones score 0, as the median does."""

    column: str
    learned: FloatArray
    table: FloatArray

    @classmethod
    def fit(cls, name: str, raw: RawColumn) -> "_Scores":
        learned = np.sort(np.asarray(raw.values[raw.there], dtype=np.float64))
        return cls(name, learned, _normal_scores(len(learned)))

    def coordinates(self) -> list[Coordinate]:
        return [Coordinate(self.column, self.column)]

    def encode(self, raw: RawColumn) -> list[FloatArray]:
        values = np.asarray(raw.values, dtype=np.float64)
        # Ranks are halved midranks: values below and values not above, added up.
        ranks = np.searchsorted(self.learned, values) + np.searchsorted(self.learned, values, side="right")
        return [np.where(raw.there, self.table[ranks], 0.0)]


@dataclass(frozen=True, slots=True)
class _Names:
    """Strings by zeros and ones, one coordinate for each frequent value."""

    column: str
    names: tuple[str, ...]

    @classmethod
    def fit(cls, name: str, raw: RawColumn) -> "_Names":
        counts = Counter(raw.values[raw.there].tolist())
        names = sorted(counts, key=lambda text: (-counts[text], text))
        # With both values of a column of two, or all of one, the last coordinate would repeat the others.
        return cls(name, tuple(names[: min(NAMED, len(names) - 1)]))

    def coordinates(self) -> list[Coordinate]:
        return [Coordinate(self.column, f"{self.column} = {text}") for text in self.names]

    def encode(self, raw: RawColumn) -> list[FloatArray]:
        return [((raw.values == text) & raw.there).astype(np.float64) for text in self.names]


@dataclass(frozen=True, slots=True)
class _Missing:
    """One where a value is missing, else zero."""

    column: str

    def coordinates(self) -> list[Coordinate]:
        return [Coordinate(self.column, f"{self.column} is missing")]

    def encode(self, raw: RawColumn) -> list[FloatArray]:
        return [(~raw.there).astype(np.float64)]


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """How the columns of two samples become numbers, learned of both together.

    Numbers and times become the normal score of their rank: no strictly increasing map of a column changes it, and no
    outlier has weight. Of strings and booleans the ten most frequent values become a zero or one each. A missing value (NaN
    too) has the median's score, or no value's one, and a one in a coordinate of its own. Zeros and ones are centred and
    divided by their deviation, at least 0.1.

    Attributes:
        coordinates: The numbers that a row becomes, in order.
        described: How each column was encoded.
        left_out: Why the other columns were left out.
    """

    coordinates: tuple[Coordinate, ...]
    described: dict[str, str]
    left_out: dict[str, str]
    _encoders: tuple[_Scores | _Names | _Missing, ...]
    _centre: FloatArray
    _scale: FloatArray

    @classmethod
    def fit(cls, table: Mapping[str, RawColumn]) -> "Encoding":
        """Learn how to encode the columns of a table that has both samples' rows."""
        encoders: list[_Scores | _Names | _Missing] = []
        described, left_out = {}, {}
        for name, raw in table.items():
            found = _fit_column(name, raw)
            if found:
                encoders += found
                described[name] = _describe(found, raw)
            else:
                left_out[name] = _excuse(raw)
        coordinates = tuple(coordinate for encoder in encoders for coordinate in encoder.coordinates())
        encoded = _encode(encoders, table)
        is_score = np.array(
            [isinstance(encoder, _Scores) for encoder in encoders for _ in encoder.coordinates()],
            dtype=np.bool_,
        )
        # Scores have mean 0 and, but for ties, deviation 1 already.
        centre = np.where(is_score, 0.0, encoded.mean(axis=0))
        scale = np.where(is_score, 1.0, np.maximum(encoded.std(axis=0), LEAST_DEVIATION))
        return cls(coordinates, described, left_out, tuple(encoders), centre, scale)

    def encode(self, table: Mapping[str, RawColumn]) -> FloatArray:
        """Encode rows; the result has a row per row and a column per coordinate."""
        encoded = _encode(self._encoders, table)
        encoded -= self._centre
        encoded /= self._scale
        return encoded


# Columns of one table have few different numbers of values, and each table costs milliseconds.
@lru_cache(maxsize=8)
def _normal_scores(n: int) -> FloatArray:
    """Tabulate normal quantiles at (r + 1) / (2 n + 2), r = 0 to 2 n."""
    steps = np.arange(1, 2 * n + 2) / (2 * n + 2)
    table = np.array([*map(NormalDist().inv_cdf, steps.tolist())])
    table.flags.writeable = False
    return table


def _fit_column(name: str, raw: RawColumn) -> list[_Scores | _Names | _Missing]:
    if not raw.there.any():
        return []
    found: list[_Scores | _Names | _Missing] = []
    if raw.kind == "number":
        there = raw.values[raw.there]
        if (there != there[0]).any():
            found.append(_Scores.fit(name, raw))
    else:
        names = _Names.fit(name, raw)
        found += [names] if names.names else []
    return found if raw.there.all() else [*found, _Missing(name)]


def _excuse(raw: RawColumn) -> str:
    if raw.kind == "unsupported":
        return "a type that is not supported"
    return "one value only" if raw.there.any() else "no values"


def _describe(encoders: list[_Scores | _Names | _Missing], raw: RawColumn) -> str:
    words = []
    for encoder in encoders:
        if isinstance(encoder, _Scores):
            words.append("normal scores of ranks")
        elif isinstance(encoder, _Names):
            words.append(f"0 or 1 for {len(encoder.names)} values")
        else:
            missing = int((~raw.there).sum())
            words.append(f"0 or 1 for missing ({missing} of {len(raw.there)} rows)")
    return ", ".join(words)


def _encode(encoders: Iterable[_Scores | _Names | _Missing], table: Mapping[str, RawColumn]) -> FloatArray:
    rows = len(next(iter(table.values())).there) if table else 0
    columns = [coordinate for encoder in encoders for coordinate in encoder.encode(table[encoder.column])]
    return np.column_stack(columns) if columns else np.zeros((rows, 0))
