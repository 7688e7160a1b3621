"""What a profile knows of one column, and how a batch of that column becomes counts.

A column's counts are one vector of integers: missing, NaN, minus infinity, plus infinity, rows of batches that lack the
column, values of batches that have it in another type, then its places in order. Their sum is the number of rows, and
vectors of batches add. `profile` puts columns together, `serialization` has their bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift.profile import serialization
from tidewheel.drift.reading import inputs, instants
from tidewheel.drift.report.records import Shape
from tidewheel.drift.statistics import ties
from tidewheel.drift.statistics.bins import MOST_CATEGORIES
from tidewheel.drift.statistics.vocabulary import MOST_CODES
from tidewheel.drift.table import shapes
from tidewheel.drift.table.counted import BINS, CategoryCounts, Counts, NumberCounts, Parts
from tidewheel.drift.table.measured import Measured, measure_shares, not_supported
from tidewheel.drift.table.open_vocabulary import BUCKETS
from tidewheel.drift.table.pairs import CATEGORICAL, NUMERIC, count_row_kinds, name_kind
from tidewheel.drift.table.rules import Rule

#: Entries of a vector before the places: missing, NaN, minus and plus infinity, and rows without the column or with another.
BESIDE = 6
#: The entries of rows of batches that lack the column, and that have it in another type.
LACKING, MISTYPED = 4, 5

_WITHOUT_TYPE = ("null", "unsupported")
_DOMAINS = ("f8", "i8", "u8")
_MOST_SIGNED = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False, repr=False)
class Numbers:
    """A column of numbers or times.

    Attributes:
        name: Its name.
        dtype: The reference's type.
        kind: "number" or "temporal".
        reference: The reference's own vector.
        edges: Edges of the blocks, strictly increasing and finite: float64, or 64-bit integers beyond 2^53.
        bin_edges: Which of the edges cut the report's bins.
        blocks: The blocks as Rust counts them.
    """

    name: str
    dtype: str
    kind: str
    reference: Counts
    edges: npt.NDArray[Any]
    bin_edges: Counts
    blocks: _native.Blocks = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", _native.Blocks(inputs.read_array("edges", self.edges)))

    @property
    def reason(self) -> str:
        """Nothing: statistics take the column."""
        return ""

    @property
    def type(self) -> str:
        """How values are counted; times are whole numbers of their unit."""
        return self.kind if self.kind == "temporal" else self.edges.dtype.str[1:]

    @property
    def places(self) -> int:
        """Places of a vector after the first six."""
        return len(self.edges) + 1

    @property
    def is_void(self) -> bool:
        """Whether the reference has no value: all rows are missing or NaN."""
        return _is_void(self.reference)

    @classmethod
    def fit(cls, column: _native.Column, fitted: _native.FittedBlocks) -> "Numbers":
        """Learn a column."""
        # Adding zero turns -0.0 into 0.0: the edges must not depend on the order of the rows.
        edges = np.array(fitted.edges, dtype=fitted.domain) + np.zeros(1, dtype=fitted.domain)
        bin_edges = np.searchsorted(edges, np.array(fitted.bin_edges, dtype=edges.dtype)).astype(np.int64)
        reference = _vector(fitted.parts, np.array(fitted.counts, dtype=np.int64))
        return cls(column.name, column.dtype, column.kind, reference, edges, bin_edges)

    def blocks_for(self, dtype: str) -> tuple[_native.Blocks, Counts]:
        """Give the blocks in which numbers of a type are counted, and where in a vector each counts.

        Blocks cut at 64-bit integers are cut anew for numbers of another type. Signed ones in blocks of unsigned ones, and
        the reverse, are counted over the edges that both types have; all others over the floats nearest to the edges, as
        `compare` has it. Beyond 2^53 a float stands for several whole numbers: where several blocks of these have rows of
        the reference it cannot be told in which it lies, and it counts as a value of another type.
        """
        edges, at = self.edges, np.arange(BESIDE, BESIDE + self.places)
        if edges.dtype.kind == "f" or self.kind == "temporal" or dtype == edges.dtype.name:
            return self.blocks, at
        if dtype == "int64":
            edges = edges[edges <= _MOST_SIGNED].astype(np.int64)
            at = at[: len(edges) + 1]
        elif dtype == "uint64":
            at = at[(edges < 0).sum() :]
            edges = edges[edges >= 0].astype(np.uint64)
        else:
            edges, at = _round(edges, self.reference[BESIDE:])
        return _native.Blocks(inputs.read_array("edges", edges)), at

    def draw(self, current: Counts) -> Shape | None:
        """Count the reference and a window for a picture."""
        sides = self.reference[BESIDE:], current[BESIDE:]
        return shapes.from_blocks(self.edges, *sides, self.dtype)

    def compare(self, current: Counts) -> NumberCounts:
        """Put the reference's and a window's counts side by side."""
        r, c = _parts(self.reference), _parts(current)
        distance = None
        if r.rows > r.missing + r.nan and c.rows > c.missing + c.nan:
            lines = (inputs.read_array("counts", _line(vector)) for vector in (self.reference, current))
            distance = _native.enclose_ks(self.blocks, *lines)
        one, other = (self.bins(vector[BESIDE:]) for vector in (self.reference, current))
        return NumberCounts(r, c, distance, one, other)

    def count_values(self, current: Counts) -> tuple[Counts, Counts] | None:
        """Give rows per distinct value of both sides, where ties matter (`ties`) and each value has a block of its own."""
        r, c = _line(self.reference), _line(current)
        filled = np.flatnonzero(r + c)
        is_single = np.zeros(len(r), dtype=bool)
        is_single[[0, -1]] = True
        if self.edges.dtype == np.float64:
            is_single[2:-2] = np.nextafter(self.edges[:-1], np.inf) == self.edges[1:]
        else:
            is_single[2:-2] = self.edges[1:] - self.edges[:-1] == 1
        if not is_single[filled].all() or not ties.are_tied(r[filled], c[filled]):
            return None
        return r[filled], c[filled]

    def distinct(self, vector: Counts) -> dict[float, int] | None:
        """Return rows per distinct whole number, if no more are known than may be codes and each has a block of its own."""
        places = vector[BESIDE:]
        filled = np.flatnonzero(places)
        if len(filled) > MOST_CODES or not len(self.edges) or self.edges.dtype != np.float64:
            return None
        inner = filled[(filled > 0) & (filled < len(self.edges))]
        with np.errstate(over="ignore"):
            widths = self.edges[inner] - self.edges[inner - 1]
        if len(inner) < len(filled) and (filled == 0).any():
            return None
        starts = self.edges[filled - 1]
        if not (widths <= 1).all() or not np.array_equal(starts, np.rint(starts)):
            return None
        return dict(zip(starts.tolist(), places[filled].tolist(), strict=True))

    def bins(self, places: Counts) -> list[int]:
        """Add up the places of each of the report's bins."""
        starts = np.concatenate([[0], self.bin_edges + 1])
        found: list[int] = np.add.reduceat(places, starts).tolist()
        return found

    def write(self, to: serialization.Writer) -> None:
        """Write what `read` reads."""
        to.number(_DOMAINS.index(self.edges.dtype.str[1:]))
        to.values(self.edges)
        to.counts(self.bin_edges)
        to.counts(self.reference)

    @classmethod
    def read(cls, name: str, dtype: str, kind: str, source: serialization.Reader) -> "Numbers":
        """Read a column and check that it makes sense."""
        edges = source.values(_DOMAINS[source.number(len(_DOMAINS) - 1)])
        bin_edges, reference = source.counts(), source.counts()
        if not (np.isfinite(edges).all() and (edges[1:] > edges[:-1]).all()):
            raise source.refuse(f"got edges of column {name!r} that are not finite and increasing")
        if not ((bin_edges < len(edges)).all() and (bin_edges[1:] > bin_edges[:-1]).all()):
            raise source.refuse(f"got bins of column {name!r} that are not among its blocks")
        return cls(name, dtype, kind, reference, edges, bin_edges)


@dataclass(frozen=True, eq=False, repr=False)
class Words:
    """A column of strings or booleans.

    Attributes:
        name: Its name.
        dtype: The reference's type.
        kind: "string" or "boolean".
        missing: Missing rows of the reference.
        text: All strings of the reference end to end, the most frequent first.
        lengths: Bytes of each.
        counts: Rows of each.
        vocabulary: The strings as Rust counts them.
    """

    name: str
    dtype: str
    kind: str
    missing: int
    text: bytes
    lengths: Counts
    counts: Counts
    vocabulary: _native.Vocabulary = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "vocabulary", _native.Vocabulary(self.spelled()))

    def spelled(self) -> _native.Column:
        """Return the reference's distinct strings as a column."""
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(self.lengths)])
        return _native.Column.from_strings("names", offsets, np.frombuffer(self.text, dtype=np.uint8))

    @property
    def reason(self) -> str:
        """Nothing: statistics take the column."""
        return ""

    @property
    def type(self) -> str:
        """How values are counted."""
        return self.kind

    @property
    def named(self) -> int:
        """Strings that are classes of the report."""
        return min(MOST_CATEGORIES, len(self.counts))

    @property
    def buckets(self) -> npt.NDArray[np.uint8]:
        """The bucket of each string, by a hash that never changes."""
        return np.frombuffer(self.vocabulary.buckets(), dtype=np.uint8)

    @property
    def places(self) -> int:
        """Places of a vector after the first six: the strings, then the buckets of unseen ones."""
        return len(self.counts) + BUCKETS

    @property
    def reference(self) -> Counts:
        """The reference's own vector."""
        beside, unseen = np.zeros(BESIDE, dtype=np.int64), np.zeros(BUCKETS, dtype=np.int64)
        beside[0] = self.missing
        return np.concatenate([beside, self.counts, unseen])

    @property
    def is_void(self) -> bool:
        """Whether the reference has no value: all rows are missing or NaN."""
        return _is_void(self.reference)

    @classmethod
    def fit(cls, column: _native.Column, threads: int | None) -> "Words":
        """Learn a column."""
        text, lengths, counts, parts = _native.fit_vocabulary(column, threads)
        arrays = (np.frombuffer(data, dtype=np.int64) for data in (lengths, counts))
        return cls(column.name, column.dtype, column.kind, parts.missing, text, *arrays)

    def compare(self, current: Counts) -> CategoryCounts:
        """Put the reference's and a window's counts side by side."""
        r, c = self.reference[BESIDE:], current[BESIDE:]
        k, unseen = self.named, c[len(self.counts) :]
        joined = [[*places[:k].tolist(), int(places[k:].sum())] for places in (r, c)]
        once, twice = (int((self.counts == times).sum()) for times in (1, 2))
        return CategoryCounts(
            reference=_parts(self.reference),
            current=_parts(current),
            reference_counts=joined[0],
            current_counts=joined[1],
            unseen=int(unseen.sum()),
            seen_once=once,
            seen_twice=twice,
            known=(self.counts, c[: len(self.counts)], self.buckets),
            unseen_buckets=unseen.tolist(),
        )

    def draw(self, current: Counts) -> Shape:
        """Count the reference and a window for a picture."""
        r, c, k = self.reference[BESIDE:], current[BESIDE:], self.named
        most = np.argsort(-c[k : len(self.counts)], kind="stable")[: shapes.RISEN_SHOWN] + k
        risen = [(self._name(place), int(r[place]), int(c[place])) for place in most.tolist()]
        reference, counts = (np.append(side[:k], side[k:].sum()) for side in (r, c))
        return shapes.from_names([*map(self._name, range(k))], reference, counts, self.dtype, risen)

    def _name(self, place: int) -> str:
        end = int(self.lengths[: place + 1].sum())
        return self.text[end - int(self.lengths[place]) : end].decode(errors="replace")

    def write(self, to: serialization.Writer) -> None:
        """Write what `read` reads."""
        to.number(self.missing)
        to.raw(self.text)
        to.counts(self.lengths)
        to.counts(self.counts)

    @classmethod
    def read(cls, name: str, dtype: str, kind: str, source: serialization.Reader) -> "Words":
        """Read a column and check that it makes sense."""
        missing, text = source.number(), source.raw()
        lengths, counts = source.counts(), source.counts()
        if len(lengths) != len(counts) or int(lengths.max(initial=0)) > len(text):
            raise source.refuse(f"got strings of column {name!r} without counts or beyond their text")
        if int(lengths.sum()) != len(text) or not (counts > 0).all() or not (counts[1:] <= counts[:-1]).all():
            raise source.refuse(f"got strings of column {name!r} that do not add up or are out of order")
        return cls(name, dtype, kind, missing, text, lengths, counts)


@dataclass(frozen=True, eq=False, repr=False)
class Others:
    """A column that no statistic takes, or one without a value; only its rows are counted.

    Attributes:
        name: Its name.
        dtype: The reference's type.
        kind: "null" or "unsupported".
        reference: The reference's own vector.
        reason: Why no statistic takes the column; empty without a type.
    """

    name: str
    dtype: str
    kind: str
    reference: Counts
    reason: str = ""

    @property
    def type(self) -> str:
        """How values are counted: not at all."""
        return self.kind

    @property
    def places(self) -> int:
        """One place, for rows that are not missing."""
        return 1

    @property
    def is_void(self) -> bool:
        """Whether the reference has no value: all rows are missing."""
        return _is_void(self.reference)

    @classmethod
    def fit(cls, column: _native.Column) -> "Others":
        """Learn a column."""
        return cls(column.name, column.dtype, column.kind, _count_parts(column, 1, None), column.reason)

    def measure(self, current: Counts, rule: Rule) -> Measured:
        """Test the missing share of a column without a value in the reference; of others say that nothing is computed."""
        r, c = _parts(self.reference), _parts(current)
        rows, missing = (r.rows, c.rows), (r.missing, c.missing)
        kind = name_kind([self.dtype], self.reason)
        is_void = _is_void(self.reference) or _is_void(current)
        if self.kind == "unsupported" and not is_void:
            return not_supported(self.name, kind, rows, missing, self.reason)
        infinite = (r.infinite_above + r.infinite_below, c.infinite_above + c.infinite_below)
        shares = {"missing": missing, "nan": (r.nan, c.nan), "infinite": infinite}
        return measure_shares(self.name, kind, rows, shares, None, rule)

    def write(self, to: serialization.Writer) -> None:
        """Write what `read` reads."""
        to.counts(self.reference)
        to.text(self.reason)

    @classmethod
    def read(cls, name: str, dtype: str, kind: str, source: serialization.Reader) -> "Others":
        """Read a column."""
        return cls(name, dtype, kind, source.counts(), source.text())


Profiled = Numbers | Words | Others


def fit(table: Mapping[str, _native.Column], threads: int | None) -> list[Profiled]:
    """Learn the columns of a reference."""
    numeric = [column for column in table.values() if column.kind in NUMERIC]
    numbers = dict(
        zip(
            (column.name for column in numeric),
            _native.fit_blocks(numeric, BINS, threads),
            strict=True,
        )
    )
    found: list[Profiled] = []
    for name, column in table.items():
        if column.kind in NUMERIC:
            found.append(Numbers.fit(column, numbers[name]))
        else:
            found.append(Words.fit(column, threads) if column.kind in CATEGORICAL else Others.fit(column))
    return found


def write(column: Profiled, to: serialization.Writer) -> None:
    """Write a column."""
    for text in (column.name, column.dtype, column.kind):
        to.text(text)
    column.write(to)


def read(source: serialization.Reader) -> Profiled:
    """Read a column and check that it makes sense."""
    name, dtype, kind = source.text(), source.text(), source.text()
    made: Profiled
    if kind in NUMERIC:
        made = Numbers.read(name, dtype, kind, source)
    elif kind in CATEGORICAL:
        made = Words.read(name, dtype, kind, source)
    elif kind in _WITHOUT_TYPE:
        made = Others.read(name, dtype, kind, source)
    else:
        raise source.refuse(f"got the kind {kind!r} of column {name!r}")
    if len(made.reference) != BESIDE + made.places:
        raise source.refuse(f"got other counts of column {name!r} than it has places")
    return made


@dataclass(frozen=True, slots=True)
class Mistyped:
    """A batch's column of another type than the reference's.

    What has no value counts as missing or NaN whatever its type, so that a part of the batch without any value, which goes
    with any type, counts as it does in the whole.

    Attributes:
        parts: Its rows by kind.
    """

    parts: _native.Parts | Parts


#: A batch's column; its parts, where a side has no value; one of another type; None where it is not there.
Batch = _native.Column | _native.Parts | Parts | Mistyped | None


def count(
    known: Sequence[Profiled], columns: Sequence[Batch], rows: int, threads: int | None
) -> list[Counts]:
    """Count the columns of a batch.

    Args:
        known: What the profile knows.
        columns: The batch's columns, as `batches.find_column` gives them.
        rows: Rows of the batch.
        threads: Most threads to use.
    """
    pairs = [(one, _in_unit(one, column)) for one, column in zip(known, columns, strict=True)]
    typed = [
        (one, column)
        for one, column in pairs
        if isinstance(column, _native.Column) and column.kind not in _WITHOUT_TYPE
    ]
    blocks = {one.name: one.blocks_for(column.dtype) for one, column in typed if isinstance(one, Numbers)}
    numbers = {one.name: (column, blocks[one.name][0]) for one, column in typed if isinstance(one, Numbers)}
    words = {one.name: (column, one.vocabulary) for one, column in typed if isinstance(one, Words)}
    in_blocks = _native.count_blocks(*_unzip(list(numbers.values())), threads)
    in_words = _native.count_vocabularies(*_unzip(list(words.values())), threads)
    counted = dict(zip([*numbers, *words], [*in_blocks, *in_words], strict=True))
    vectors = []
    for one, column in pairs:
        if one.name in counted:
            data, parts = counted[one.name]
            vector = _vector(parts, np.zeros(one.places, dtype=np.int64))
            found = np.frombuffer(data, dtype=np.int64)
            if one.name in blocks:
                np.add.at(vector, blocks[one.name][1], found)
            else:
                vector[BESIDE:] = found
            vectors.append(vector)
        elif column is None:
            vectors.append(_count_rows(LACKING, rows, one.places))
        elif isinstance(column, Mistyped):
            # What the batch has no value of is as if it had the right type.
            missing, nan = int(column.parts.missing), int(column.parts.nan)
            found = _count_rows(MISTYPED, rows - missing - nan, one.places)
            found[:2] = missing, nan
            vectors.append(found)
        else:
            vectors.append(_count_parts(column, one.places, threads))
    return vectors


def _in_unit(known: Profiled, column: Batch) -> Batch:
    # Blocks hold [a, b): a finer time counts where the reference's unit that it falls into does.
    if isinstance(column, _native.Column) and known.kind == "temporal":
        return instants.convert(column, known.dtype)
    return column


_State = TypeVar("_State")


def _unzip(pairs: list[tuple[_native.Column, _State]]) -> tuple[list[_native.Column], list[_State]]:
    return [column for column, _ in pairs], [state for _, state in pairs]


def _round(edges: npt.NDArray[Any], reference: Counts) -> tuple[npt.NDArray[np.float64], Counts]:
    """Cut blocks at floats instead of 64-bit integers, and say where in a vector each counts."""
    floats, each = np.unique(edges.astype(np.float64), return_counts=True)
    after = np.cumsum(each)
    # The blocks between edges that share a float: how many have rows, and the sum of the places of these.
    filled = reference > 0
    number, places = (
        np.cumsum(of)[after - 1] - np.cumsum(of)[after - each]
        for of in (filled, filled * np.arange(len(filled)))
    )
    at = np.where(number > 1, MISTYPED, BESIDE + np.where(number == 1, places, after))
    # Such a float has a block of its own: what is above it lies above all those edges.
    shared = each > 1
    cut = np.concatenate([floats, np.nextafter(floats[shared], np.inf)])
    at = np.concatenate([at, BESIDE + after[shared]])
    # Of the same cut the first stands: a float just above a shared one may be the float of other edges.
    cut, first = np.unique(cut, return_index=True)
    return cut, np.append(BESIDE, at[first])


def _is_void(reference: Counts) -> bool:
    return int(reference[:2].sum()) == int(reference.sum())


def _count_rows(at: int, rows: int, places: int) -> Counts:
    vector = np.zeros(BESIDE + places, dtype=np.int64)
    vector[at] = rows
    return vector


def _count_parts(column: _native.Column | _native.Parts | Parts, places: int, threads: int | None) -> Counts:
    """Count what is no value; values share the first place, since of which type they are does not matter."""
    parts = count_row_kinds(column, threads) if isinstance(column, _native.Column) else column
    vector = _vector(parts, np.zeros(places, dtype=np.int64))
    vector[BESIDE] = parts.rows - int(vector.sum())
    return vector


def _vector(parts: _native.Parts | Parts, places: Counts) -> Counts:
    beside = [parts.missing, parts.nan, parts.infinite_below, parts.infinite_above, 0, 0]
    return np.concatenate([np.array(beside, dtype=np.int64), places])


def _parts(vector: Counts) -> Parts:
    missing, nan, below, above = vector[:LACKING].tolist()
    return Parts(int(vector.sum()), missing, nan, above, below)


def _line(vector: Counts) -> Counts:
    """Order counts as the values lie: minus infinity, the blocks, plus infinity."""
    return np.concatenate([vector[2:3], vector[BESIDE:], vector[3:4]])
