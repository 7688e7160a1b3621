"""How far windows of the reference itself lie from the rest of it, as the measure of how far a new window may lie.

Days differ from each other more than rows do, and no formula knows by how much; the reference's own chunks (days,
hours) do. Conformal: nothing is assumed of the rows, only that a new chunk would be one among the old ones. `monitor`
watches streams of independent rows instead, and needs no chunks.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tidewheel import _native
from tidewheel.drift import arguments
from tidewheel.drift.profile.column_state import BESIDE, LACKING, Numbers, Others, Profiled, Words
from tidewheel.drift.profile.profile import Profile, Window
from tidewheel.drift.statistics.divergences import chi_square_of_counts
from tidewheel.drift.statistics.results import describe
from tidewheel.drift.table.counted import Counts
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

#: With fewer chunks the least p-value that there can be, 1 / (chunks + 1), is above 0.05.
LEAST_CHUNKS = 19

#: Statistics that differ by less, relatively, are one: far beyond rounding, far below what a row changes.
TIE = 1e-12

#: Takes the counts of all other chunks and those of one (missing, NaN, minus and plus infinity, then the places in order).
Statistic = Callable[[Counts, Counts], float]


@dataclass(frozen=True, slots=True, repr=False)
class ChunkComparison:
    """A window among the reference's chunks.

    Attributes:
        pvalue: Of the window as a whole, all columns together; one of 1 / (chunks + 1), ..., 1.
        columns: P-values per column, uncorrected.
        statistics: Statistics of the window per column.
        largest: The largest statistic of any chunk per column, with the window among the others.
        chunks: Number of the reference's chunks.
    """

    pvalue: float
    columns: dict[str, float]
    statistics: dict[str, float]
    largest: dict[str, float]
    chunks: int

    __repr__ = describe


@dataclass(frozen=True, eq=False, repr=False)
class ChunkThresholds:
    """Chunks of a reference, among which a new window has its rank; made by `fit`.

    Attributes:
        profile: The reference.
        statistic: A name, or a function.
    """

    profile: Profile
    statistic: str | Statistic
    _vectors: tuple[Counts, ...]

    @classmethod
    def fit(
        cls, profile: Profile, chunks: Sequence[Any], *, statistic: str | Statistic = "distance"
    ) -> "ChunkThresholds":
        """Keep the chunks of a reference.

        A window of the stream joins them as chunk K + 1. Each of the K + 1 is compared with all the rows of the reference
        and the window but its own (counts subtract); if the window is one like the others, its statistic has any rank
        among the K + 1 with the same probability, so

            p = (1 + #{k: s_k >= s_new}) / (K + 1)

        is at most a with probability at most a, and for a = j / (K + 1), without ties, with that very probability. All
        columns together: the score of a chunk is its largest statistic of any column, each divided by the column's mean
        over the K + 1, and p is the rank of that; however columns depend on each other, no correction is needed.

        Assumed: chunks and window are exchangeable, which days are rarely over a year: choose chunks that are like the
        windows to come (same hours, same weekdays, as many rows). The rows of the reference that are in no chunk stay
        in all comparisons. The places into which rows are counted were cut at the reference's quantiles, which know the
        chunks but not the window; with some hundred rows a chunk that is not to be seen in p
        (tests/drift/test_chunks.py).

        Args:
            profile: The reference.
            chunks: Windows of the profile, or tables: disjoint parts of the reference's rows, at least 19, none empty.
            statistic: "distance": the largest of Kolmogorov-Smirnov D at the borders of the profile's blocks (strings:
                total variation) and the differences of the missing, NaN and infinite shares. "psi" (Jeffreys) or
                "chi_square": over the report's bins or names. Or a function of two vectors of counts, those of all
                other rows and those of a chunk: missing, NaN, minus and plus infinity, then the places in order
                (strings: names, then all others with the unseen). The larger, the stranger; at least 0.

        Returns:
            The thresholds; they can be pickled if `statistic` can.

        Raises:
            InputError: fewer than 19 chunks, an empty one, one of another profile, or chunks that are no disjoint parts
                of the reference.
            UnknownNameError: an unknown statistic.

        Cost: that of the chunks' counts.

        Source: Vovk, Gammerman and Shafer (2005), full conformal prediction.

        Example:
            >>> from tidewheel import drift
            >>> days = [{"speed": [(7 * day + i * i) % 50 for i in range(100)]} for day in range(30)]
            >>> profile = drift.Profile.fit({"speed": [speed for day in days for speed in day["speed"]]})
            >>> thresholds = drift.ChunkThresholds.fit(profile, days)
            >>> today = {"speed": [20 + i % 50 for i in range(100)]}
            >>> thresholds.pvalue(today) == 1 / 31
            True
        """
        arguments.check_instance("profile", profile, Profile)
        if not callable(statistic) and (not isinstance(statistic, str) or statistic not in _NAMED):
            raise UnknownNameError(
                f"`statistic` must be one of {', '.join(map(repr, _NAMED))} or a function; got {statistic!r}"
            )
        if isinstance(chunks, str | bytes | Mapping) or not isinstance(chunks, Iterable):
            raise InputTypeError(f"`chunks` must be a list of windows or tables; got {type(chunks).__name__}")
        chunks = list(chunks)
        if len(chunks) < LEAST_CHUNKS:
            raise InputError(
                f"`chunks` must be at least {LEAST_CHUNKS}: the least p-value of K chunks is 1 / (K + 1), which is above "
                f"0.05 with fewer; got {len(chunks)}"
            )
        windows = [_count(profile, chunk, f"chunk {at}") for at, chunk in enumerate(chunks)]
        vectors = tuple(np.array(of_column) for of_column in zip(*windows, strict=True))
        for column, found in zip(profile._columns, vectors, strict=True):
            if (found.sum(axis=0) > column.reference).any():
                raise InputError(
                    "`chunks` must be disjoint parts of the profile's reference; together they have rows in column "
                    f"{column.name!r} that it has not"
                )
        return cls(profile, statistic, vectors)

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return len(self._vectors[0])

    def size(self, alpha: float) -> float:
        """Give the probability of p <= alpha when nothing has drifted and there are no ties: floor(alpha (K+1)) / (K+1)."""
        if not 0 <= alpha <= 1:
            raise InputError(f"`alpha` must lie between 0 and 1; got {alpha}")
        # A little more, so that 0.29 of 100 is 29.
        return math.floor(alpha * (self.chunks + 1) + 1e-9) / (self.chunks + 1)

    def pvalue(self, window: Any) -> float:
        """Give the p-value of a window as a whole; see `compare`."""
        return self.compare(window).pvalue

    def compare(self, window: Any) -> ChunkComparison:
        """Find the rank of a window among the chunks.

        Args:
            window: A `Window` of the profile, or a table with its columns; not empty.

        Returns:
            The p-values.

        Raises:
            InputError: the window is empty or has another profile, or a column is missing.
            InputTypeError: a column has another type than in the reference.

        Cost: O(chunks x blocks) per column.
        """
        current = _count(self.profile, window, "the window")
        scores, names = [], []
        for column, chunks, vector in zip(self.profile._columns, self._vectors, current, strict=True):
            if not isinstance(column, Others):
                names.append(column.name)
                scores.append(_score(column, np.vstack([chunks, vector]), self.statistic))
        if not names:
            raise InputError(
                f"`profile` must have a column of numbers, times or strings; got {self.profile!r}"
            )
        table = np.array(scores)
        means = table.mean(axis=1, keepdims=True)
        together = np.divide(table, means, out=np.zeros_like(table), where=means > 0).max(axis=0)
        return ChunkComparison(
            pvalue=_rank(together),
            columns={name: _rank(row) for name, row in zip(names, table, strict=True)},
            statistics=dict(zip(names, table[:, -1].tolist(), strict=True)),
            largest=dict(zip(names, table[:, :-1].max(axis=1).tolist(), strict=True)),
            chunks=self.chunks,
        )


def _rank(scores: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    # Equal distances of different counts may differ in their last digits, and ties count.
    return int((scores >= scores[-1] * (1 - TIE)).sum()) / len(scores)


def _count(profile: Profile, chunk: Any, name: str) -> list[Counts]:
    window = chunk
    if not isinstance(window, Window):
        window = profile.window()
        window.update(chunk)
    elif window.profile.id != profile.id:
        raise InputError(
            f"{name} must be a window of the profile {profile.id[:12]}; got one of {window.profile.id[:12]}"
        )
    if not window.n_rows:
        raise InputError(f"{name} must have rows; got none")
    vectors = window.counts()
    for column, vector in zip(profile._columns, vectors, strict=True):
        if vector[LACKING:BESIDE].any():
            raise InputError(
                f"{name} must have column {column.name!r} as the profile has it, of type {column.dtype}, in all rows"
            )
    return vectors


def _score(column: Profiled, chunks: Counts, statistic: str | Statistic) -> list[float]:
    """Compare each chunk, the last one being the window, with all other rows."""
    chunks, reference = (_compact(column, counts) for counts in (chunks, column.reference))
    everything = reference + chunks[-1]
    compare = statistic if callable(statistic) else _NAMED[statistic](column)
    found = [compare(everything - chunk, chunk) for chunk in chunks]
    for one in found:
        if not one >= 0:
            raise InputError(
                f"`statistic` must be at least 0 for all chunks; got {one} for one of column {column.name!r}"
            )
    return found


def _compact(column: Profiled, counts: Counts) -> Counts:
    """Keep what may differ between chunks: missing, NaN, the infinities, and the places; of strings the most frequent.

    The reference has no unseen strings by construction, so only all names beyond the most frequent can be compared.
    """
    places = counts[..., BESIDE:]
    if isinstance(column, Words):
        others = places[..., column.named :].sum(axis=-1, keepdims=True)
        places = np.concatenate([places[..., : column.named], others], axis=-1)
    return np.concatenate([counts[..., :LACKING], places], axis=-1)


def _distance(column: Profiled) -> Statistic:
    is_line = isinstance(column, Numbers)

    def compare(rest: Counts, chunk: Counts) -> float:
        p, q = rest / max(rest.sum(), 1), chunk / chunk.sum()
        shares = [abs(p[0] - q[0]), abs(p[1] - q[1]), abs(p[2:LACKING].sum() - q[2:LACKING].sum())]
        sides = [
            np.concatenate([counts[2:3], counts[LACKING:], counts[3:LACKING]]) for counts in (rest, chunk)
        ]
        p, q = (counts / max(counts.sum(), 1) for counts in sides)
        if sides[0].any() and sides[1].any():
            shares.append(np.abs((p - q).cumsum()).max() if is_line else np.abs(p - q).sum() / 2)
        return float(max(shares))

    return compare


def _bins(column: Profiled) -> Callable[[Counts], list[int]]:
    if isinstance(column, Numbers):
        return lambda counts: column.bins(counts[LACKING:])
    return lambda counts: counts[LACKING:].tolist()


def _psi(column: Profiled) -> Statistic:
    bins = _bins(column)
    return lambda rest, chunk: _native.psi(bins(rest), bins(chunk), "jeffreys")


def _chi_square(column: Profiled) -> Statistic:
    bins = _bins(column)

    def compare(rest: Counts, chunk: Counts) -> float:
        pairs = [(r, c) for r, c in zip(bins(rest), bins(chunk), strict=True) if r + c]
        sides = list(zip(*pairs, strict=True))
        if not pairs or not sum(sides[0]) or not sum(sides[1]):
            raise InputError(
                f"column {column.name!r} must have values in every chunk for chi-square; got a chunk without"
            )
        return chi_square_of_counts(*sides)

    return compare


_NAMED: dict[str, Callable[[Profiled], Statistic]] = {
    "distance": _distance,
    "psi": _psi,
    "chi_square": _chi_square,
}
