"""A reference learned once, and counts of what comes later that add up.

`Profile` keeps what comparisons need of a reference, so that its rows can go; `Window` keeps counts of a stream, a
chunk or a partition, and windows of one profile add up. `column_state` has single columns, `serialization` the bytes,
`table` the tests.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from os import PathLike
from typing import Any

import numpy as np

from tidewheel import _native
from tidewheel.drift import arguments
from tidewheel.drift.profile import column_state, joining, serialization
from tidewheel.drift.profile.batches import Notes, find_column
from tidewheel.drift.reading import inputs
from tidewheel.drift.report.records import ColumnDrift
from tidewheel.drift.report.report import DriftReport
from tidewheel.drift.table import cautions, decision, shown
from tidewheel.drift.table.column_tests import condition_on_ties
from tidewheel.drift.table.counted import Counts
from tidewheel.drift.table.measured import Measured, decide, differ, measure_categories, measure_numbers
from tidewheel.drift.table.pairs import (
    LACKING,
    NUMERIC,
    choose_columns,
    is_comparable,
    name_further,
    other_type,
    unreadable,
)
from tidewheel.drift.table.rules import Rule, Rules
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

#: Statistics that a report from counts can show.
STATISTICS = shown.COUNTED


class Profile:
    """A reference learned once: compare tables or windows with it, without its rows.

    Of a numeric column of n rows it keeps about `4 sqrt(n)` blocks (1,024 to 16,384) cut at quantiles, with the reference's
    counts; a value heavier than a block has a block of its own, and so has each value of a column with no more
    distinct values than blocks. The edges of the report's ten bins are among theirs. Of a string column it keeps
    every string with its rows: to tell unseen strings apart it needs all. Profiles are immutable and can be pickled.

    What follows from counts: the population stability index, chi-square, total variation and all shares exactly, as
    `compare` has them. The Kolmogorov-Smirnov distance is attained or nearly so at a border of blocks: it lies in a
    certified interval, no wider than the largest share that a block has of either sample. The report then has
    "ks_lower" and "ks_upper" among the statistics and no "ks", the test at the lower end, and effect bounds that
    cover the interval. Where its ends would have different verdicts the column is undecided, and says so. Where every
    value has a block of its own (few distinct values) the distance is exact. Among whole numbers beyond 2^53 a fraction
    counts as the whole number below it, and a float that stands for several of them as a value of another type.

    Each row counts once and by itself: the `weights` and the `unit` of `compare` need the rows on both sides, of which
    neither a profile nor a window keeps any.

    Example:
        >>> from tidewheel import drift
        >>> profile = drift.Profile.fit({"speed": [float(i % 50) for i in range(5000)]})
        >>> monday, tuesday = profile.window(), profile.window()
        >>> monday.update({"speed": [float(i % 50) for i in range(3000)]})
        >>> tuesday.update({"speed": [20.0 + i % 50 for i in range(3000)]})
        >>> monday.merge(tuesday)
        >>> report = profile.compare(monday)
        >>> report.n_current, report.drifted, report["speed"].statistics["ks"]
        (6000, ('speed',), 0.2)
    """

    def __init__(
        self,
        columns: Sequence[column_state.Profiled],
        statistics: Sequence[str] | None,
        kinds: Mapping[str, str] | None = None,
    ) -> None:
        self._columns = tuple(columns)
        names = {column.name for column in columns}
        self._kinds = {name: kind for name, kind in sorted((kinds or {}).items()) if name in names}
        self._statistics = STATISTICS if statistics is None else tuple(statistics)
        self._body = self._write()
        self._id = sha256(self._body).hexdigest()

    @classmethod
    def fit(
        cls,
        reference: Any,
        *,
        columns: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        statistics: Sequence[str] | None = None,
        kinds: Mapping[str, str] | None = None,
        splitters: "Profile | None" = None,
        threads: int | None = None,
    ) -> "Profile":
        """Learn a reference.

        Args:
            reference: A polars, pandas or Arrow table, a mapping of arrays, or a 2-D array (columns "0", "1", ...).
            columns: Columns to learn; by default all.
            exclude: Columns to leave out, such as a label that later tables do not have.
            statistics: Statistics that reports show, of "ks", "psi", "jensen_shannon", "chi_square" and
                "total_variation"; by default all. Verdicts do not depend on it.
            kinds: What columns are declared to be, by name, as in `compare`: "categorical" or "numeric". The profile
                keeps it, and reads windows and tables alike.
            splitters: A profile of a sample of the reference: blocks and bins are cut where it cuts them, its columns,
                statistics and kinds are taken, and the reference is counted exactly. Parts learned so can be put together
                by `join`.
            threads: Most threads to use; by default `TIDEWHEEL_THREADS`, else one per core.

        Returns:
            The profile. It does not depend on the order of the rows, on chunks or on the number of threads.

        Raises:
            InputError: a column is not in the reference, there are no columns, or both `splitters` and `columns`,
                `exclude`, `statistics` or `kinds` are given.
            InputTypeError: the reference is of an unknown type, or a column has another type than in `splitters`.
            UnknownNameError: an unknown statistic; `kinds` with a kind or a column that does not exist.

        Cost: about 100 ns per row of a numeric column (its quantiles are exact), 20 where few values are distinct; memory
        O(distinct strings) for string columns.
        """
        if splitters is not None:
            arguments.check_instance("splitters", splitters, Profile)
            if any(given is not None for given in (columns, exclude, statistics, kinds)):
                raise InputError(
                    "`splitters` must be given without `columns`, `exclude`, `statistics` and `kinds`: it has all"
                )
            return splitters._refit(splitters._read("reference", reference), threads)
        shown.check_names(statistics, STATISTICS)
        asked = None if columns is None else arguments.read_names("columns", columns)
        declared, left_out = arguments.read_kinds(kinds), arguments.read_excluded(exclude)
        table = inputs.read_table("reference", reference, columns=asked, exclude=left_out, kinds=declared)
        inputs.check_declared(declared, table)
        names = choose_columns({"reference": table}, list(table), asked, left_out)
        if not names:
            raise InputError("`reference` must have at least one column; got none")
        return cls(column_state.fit({name: table[name] for name in names}, threads), statistics, declared)

    def _read(self, name: str, table: Any) -> inputs.Table:
        return inputs.read_table(name, table, columns=self.columns, kinds=self._kinds)

    def _refit(self, table: Mapping[str, _native.Column], threads: int | None) -> "Profile":
        check_columns("reference", self._columns, table)
        found = [joining.refit(column, table[column.name], threads) for column in self._columns]
        return Profile(found, self._statistics, self._kinds)

    @classmethod
    def join(cls, parts: Sequence["Profile"]) -> "Profile":
        """Put together profiles of the parts of one reference, all fitted with the same `splitters`.

        The result is the profile that `fit` with these splitters makes of all rows at once, whatever the parts and their
        order.

        Raises:
            InputError: there are no parts, or they have other columns, edges, types or statistics.

        Cost: O(parts x blocks), and O(distinct strings) for string columns.
        """
        parts = arguments.read_items("parts", parts)
        for part in parts:
            arguments.check_instance("parts", part, Profile)
        if not parts:
            raise InputError("`parts` must hold at least one profile; got none")
        first = parts[0]
        wanted = (first.columns, first._statistics, first._kinds)
        if any((part.columns, part._statistics, part._kinds) != wanted for part in parts):
            raise InputError("profiles must have the same columns, statistics and kinds to be joined")
        return cls(
            [joining.join(found) for found in zip(*(part._columns for part in parts), strict=True)],
            first._statistics,
            first._kinds,
        )

    @property
    def id(self) -> str:
        """Hash of all that the profile knows, as 64 hexadecimal digits; windows of another id are refused."""
        return self._id

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self._columns)

    @property
    def types(self) -> dict[str, str]:
        """How each column is counted, by name; a reader that must choose types, as that of CSV, loses nothing with these.

        Numbers are "f8", or "i8" or "u8" where whole numbers lie beyond 2^53; others are "temporal", "string" or "boolean";
        where nothing is computed "null" or "unsupported".

        Example:
            >>> from tidewheel import drift
            >>> drift.Profile.fit({"speed": [1.5, 2.0], "lane": ["left", "right"]}).types
            {'speed': 'f8', 'lane': 'string'}
        """
        return {column.name: column.type for column in self._columns}

    @property
    def kinds(self) -> dict[str, str]:
        """What columns were declared to be, by name; see `fit`."""
        return dict(self._kinds)

    @property
    def n_rows(self) -> int:
        """Rows of the reference."""
        return int(self._columns[0].reference.sum())

    def select(self, columns: Sequence[str]) -> "Profile":
        """Keep some of the columns, in the order named; the result is a profile of its own, with an id of its own.

        Args:
            columns: Names of columns; twice the same counts once.

        Raises:
            UnknownNameError: the profile has no such column.
            InputError: no column is named.

        Cost: that of hashing what is kept.

        Example:
            >>> from tidewheel import drift
            >>> profile = drift.Profile.fit({"speed": [1.5, 2.0], "lane": ["left", "right"]})
            >>> profile.select(["lane"]).columns
            ('lane',)
        """
        names = arguments.read_names("columns", columns)
        known = {column.name: column for column in self._columns}
        for name in names:
            if name not in known:
                raise UnknownNameError(
                    f"column {name!r} must be in the profile; it has {', '.join(map(repr, known))}"
                )
        return Profile([known[name] for name in names], self._statistics, self._kinds)

    def window(self) -> "Window":
        """Start an empty window."""
        return Window(self)

    def compare(
        self,
        current: Any,
        *,
        alpha: float = 0.05,
        correction: str = "bh",
        thresholds: Mapping[str, float | Mapping[str, float]] | None = None,
        decide_by: str | Mapping[str, str] | None = None,
        threads: int | None = None,
    ) -> DriftReport:
        """Compare a window, or a table, with the reference.

        The tests, effects and verdicts are those of `compare`, rows taken as independent. A column that rows came without,
        or with another type, has the verdict `schema`, however few these rows are. Also of a table only counts are used, so
        its Kolmogorov-Smirnov distances are intervals as well; see the class.

        Args:
            current: A `Window` of this profile, or a table.
            alpha: Level of tests and bounds, in (0, 1).
            correction: "bh", "by", "bonferroni" or "none"; see `decision.correct_pvalues`.
            thresholds: From where on a difference matters, per column and part, as in `compare`. Counts do not depend on
                it, so it is no part of the profile: one profile and its windows can be judged by several.
            decide_by: The statistic that decides, for all columns or by name, as in `compare`: "ks" or "psi" for numbers. A
                profile does not know whether its bins were laid on tied values: where the law of the index is simulated
                (`psi_law`), the larger p of tied and untied ones is taken.
            threads: Most threads to count a table with.

        Returns:
            The report; its columns are in the order of the profile.

        Raises:
            InputError: the window has another profile, or `alpha` or a threshold lies outside (0, 1), or "psi" shall
                decide a categorical column.
            InputTypeError: a table of an unknown type, or a threshold that is no number.
            UnknownNameError: an unknown `correction` or statistic; `thresholds` or `decide_by` with a part or a column that
                does not exist.

        Cost: of a window O(blocks), well under a millisecond per column; of a table also that of `Window.update`.
        """
        decision.check_levels(alpha, correction)
        rules = Rules.read(alpha, thresholds, decide_by)
        rules.check_known("the profile", self.columns)
        window = current
        if not isinstance(window, Window):
            window = self.window()
            window.update(current, threads=threads)
        elif window.profile.id != self.id:
            raise InputError(
                f"the window must be one of this profile ({self.id[:12]}); got one of {window.profile.id[:12]}"
            )
        vectors = window.counts()
        measured = [
            self._differ(column, vector, window) or self._measure(column, vector, rules.of(column.name))
            for column, vector in zip(self._columns, vectors, strict=True)
        ]
        decided = tuple(decide(measured, alpha, correction))
        return DriftReport(
            columns=decided,
            n_reference=self.n_rows,
            n_current=int(vectors[0].sum()),
            alpha=alpha,
            correction=correction,
            unit=None,
            units=None,
            warnings=(
                cautions.INDEPENDENT,
                *rules.tell(),
                *name_further(window.further),
                *self._warn(decided, vectors, rules),
            ),
        )

    def _differ(self, column: column_state.Profiled, current: Counts, window: "Window") -> Measured | None:
        """Say how a column differs that rows came without, or with another type; None where none did."""
        lacking, mistyped = int(current[column_state.LACKING]), int(current[column_state.MISTYPED])
        rows = int(column.reference.sum()), int(current.sum())
        types, found = window.other_types.get(column.name, ()), []
        if mistyped:
            reason = window.unread.get(column.name, "")
            found.append(other_type(column.dtype, types, reason, _of(mistyped, rows[1])))
        if lacking or (column.name in window.lacking and not rows[1]):
            found.append(LACKING + _of(lacking, rows[1]))
        if not found:
            return None
        return differ(column.name, " and ".join([column.dtype, *types]), rows, "; ".join(found))

    def _warn(self, decided: Sequence[ColumnDrift], vectors: Sequence[Counts], rules: Rules) -> list[str]:
        found = []
        for column, known, vector in zip(decided, self._columns, vectors, strict=True):
            if column.verdict == "schema":
                continue
            rule = rules.of(column.name)
            if (
                isinstance(known, column_state.Numbers)
                and known.kind == "number"
                and known.name not in self._kinds
            ):
                sides = known.distinct(known.reference), known.distinct(vector)
                found.append(cautions.warn_of_codes(column, sides[0], sides[1], rule))
            if isinstance(known, column_state.Words) and known.name not in self._kinds:
                found.append(cautions.warn_of_text("distinct reference", known.name, known.spelled()))
            found.append(cautions.warn_of_nan(column, rule))
        return [sentence for sentence in found if sentence]

    def _measure(self, column: column_state.Profiled, current: Counts, rule: Rule) -> Measured:
        if isinstance(column, column_state.Numbers):
            kind = NUMERIC[column.kind]
            found = measure_numbers(column.name, kind, column.compare(current), None, rule)
            is_distance = not found.problem and rule.choose(column.name, "numeric") == "ks"
            counts = column.count_values(current) if is_distance else None
            if counts is not None:
                found = replace(found, parts=[condition_on_ties(found.parts[0], *counts), *found.parts[1:]])
        elif isinstance(column, column_state.Words):
            found = measure_categories(column.name, column.compare(current), None, rule)
        else:
            return column.measure(current, rule)
        shape = None if found.problem else column.draw(current)
        return replace(found.only(self._statistics), shape=shape)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the profile to a file, in a versioned format with a checksum; see `serialization`."""
        with open(path, "wb") as file:
            file.write(self.to_bytes())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Profile":
        """Read a profile from a file that `save` wrote.

        Raises:
            InputError: the file cannot be read, or holds no profile, one of another format version, or only a part of one.
            IntegrityError: the file was changed since it was written.
        """
        if not isinstance(path, str | PathLike):
            raise InputTypeError(f"`path` must be the path of a file; got {path!r}")
        try:
            with open(path, "rb") as file:
                # Whatever is no profile, however large it is, is refused by how it begins.
                data = file.read(serialization.LEAST_BYTES)
                data += file.read() if serialization.is_sealed(data) else b""
        except (OSError, ValueError) as error:
            raise InputError(f"`path` must be a file that can be read; got {str(path)!r}: {error}") from error
        return cls.from_bytes(data)

    def to_bytes(self) -> bytes:
        """Return what `save` writes."""
        return serialization.seal("profile", self._body)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Profile":
        """Read what `to_bytes` returned; raises what `load` raises."""
        source = serialization.unseal("profile", data)
        statistics = [source.text() for _ in range(source.number(len(STATISTICS)))]
        columns = [column_state.read(source) for _ in range(source.number())]
        kinds = {source.text(): source.text() for _ in range(source.number(len(columns)))}
        source.end()
        rows = {int(column.reference.sum()) for column in columns}
        if len(rows) != 1 or max(rows) > serialization.MOST_ROWS:
            raise source.refuse(f"got columns of {sorted(rows)} rows")
        if len({column.name for column in columns}) < len(columns) or not set(statistics) <= set(STATISTICS):
            raise source.refuse("got a column twice or a statistic that does not exist")
        if not kinds.keys() <= {column.name for column in columns} or not {*kinds.values()} <= {
            *arguments.DECLARED
        }:
            raise source.refuse("got a declaration of a column or a kind that does not exist")
        return cls(columns, statistics, kinds)

    def _write(self) -> bytes:
        to = serialization.Writer()
        to.number(len(self._statistics))
        for name in self._statistics:
            to.text(name)
        to.number(len(self._columns))
        for column in self._columns:
            column_state.write(column, to)
        to.number(len(self._kinds))
        for name, kind in self._kinds.items():
            to.text(name)
            to.text(kind)
        return to.body()

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return Profile.from_bytes, (self.to_bytes(),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Profile) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"Profile({len(self._columns)} columns, {self.n_rows:,} rows, {self.id[:12]})"


def _of(rows: int, of: int) -> str:
    """Say in how many rows, unless it is all of them."""
    return f", in {rows:,} of {of:,} rows" if rows < of else ""


def check_columns(
    name: str, known: Sequence[column_state.Profiled], table: Mapping[str, _native.Column]
) -> None:
    """Raise if a table lacks one of the known columns or has another type there."""
    for column in known:
        if column.name not in table:
            raise InputError(f"column {column.name!r} must be in `{name}`; it has {_list(table)}")
        found = table[column.name]
        if not is_comparable(column, found):
            reason = unreadable(column, found)
            raise InputTypeError(
                f"column {column.name!r} must have the reference's type {column.dtype}; got {found.dtype}"
                + (f": {reason}" if reason else "")
            )


class Window:
    """Counts of current rows in the blocks of a profile; made by `Profile.window`, `Window.from_bytes` or `scan`.

    It holds integers, and the names and types of columns that differ: whatever the split into batches and windows, the order
    and the number of threads, the same rows give the same window, hence the same report. Of a string column it counts
    every string of the profile apart, and all others by 256 buckets of a hash: counts that add up, of which the bucket of a
    frequent new string stands out. A window may be updated from several threads.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._lock = threading.Lock()
        self._counts = [
            np.zeros(column_state.BESIDE + column.places, dtype=np.int64) for column in profile._columns
        ]
        self._notes = Notes()

    @property
    def further(self) -> tuple[str, ...]:
        """Names of columns that batches have and the profile does not; they are not counted."""
        return tuple(sorted(self._notes.further))

    @property
    def lacking(self) -> tuple[str, ...]:
        """Names of the profile's columns that a batch came without."""
        return tuple(sorted(self._notes.lacking))

    @property
    def other_types(self) -> dict[str, tuple[str, ...]]:
        """The types, by column, of batches that had it in another type than the reference."""
        types: dict[str, tuple[str, ...]] = {}
        for name, dtype in sorted(self._notes.types):
            types[name] = (*types.get(name, ()), dtype)
        return types

    @property
    def profile(self) -> Profile:
        """The profile whose blocks are counted."""
        return self._profile

    @property
    def n_rows(self) -> int:
        """Rows counted so far."""
        return int(self._counts[0].sum())

    @property
    def unread(self) -> dict[str, str]:
        """Columns, by name, that could not be read in some batch, or whose times do not match the reference's, and why.

        Their values are among those of another type in `counts`.
        """
        reasons: dict[str, list[str]] = {}
        for name, reason in sorted(self._notes.unread):
            reasons.setdefault(name, []).append(reason)
        return {name: "; ".join(found) for name, found in reasons.items()}

    def counts(self) -> list[Counts]:
        """Return a copy of the counts per column, whose sum is the number of rows.

        Missing, NaN, minus and plus infinity; rows of batches that lack the column, values of those that have it in another
        type; then the places in order: a number's blocks; a string column's strings as the profile ranks them, then the
        buckets of others.
        """
        with self._lock:
            return [vector.copy() for vector in self._counts]

    def update(self, batch: Any, *, threads: int | None = None) -> None:
        """Count a batch of rows.

        Args:
            batch: A table with the profile's columns; others are passed over. Columns without a type count as missing. The
                rows of a batch that lacks a column are counted as such, and so are the values of one that has it in
                another type.
            threads: Most threads to use; by default `TIDEWHEEL_THREADS`, else one per core.

        Raises:
            InputError: the batch has no column at all; then nothing is counted.
            InputTypeError: a table of an unknown type; then nothing is counted.

        Cost: O(rows x columns), a few nanoseconds per value, some microseconds per column, and a few nanoseconds per
        distinct string of the profile: batches of many rows are cheaper than many batches.
        """
        self.update_columns(self._profile._read("batch", batch), threads)

    def update_columns(self, table: inputs.Table, threads: int | None) -> None:
        """Count a batch that was read already."""
        if not table:
            raise InputError("`batch` must have at least one column; got none")
        known, notes = self._profile._columns, Notes()
        columns = [find_column(column, table.get(column.name), notes) for column in known]
        notes.further.update(set(table) - {column.name for column in known})
        vectors = column_state.count(known, columns, table.n_rows, threads)
        notes.add_rounded(columns, vectors)
        self._add(vectors, notes)

    def pass_over(self, names: Iterable[str]) -> None:
        """Take note of columns that a source has and that were not read, for the profile does not have them."""
        with self._lock:
            self._notes.further.update(set(names) - {column.name for column in self._profile._columns})

    def merge(self, other: "Window") -> None:
        """Add the counts of another window of the same profile.

        Raises:
            InputError: the other window has another profile.
        """
        arguments.check_instance("other", other, Window)
        if other.profile.id != self._profile.id:
            raise InputError(
                f"windows must have one profile to be merged; got {self._profile.id[:12]} and {other.profile.id[:12]}"
            )
        self._add(other.counts(), other._notes)

    def _add(self, vectors: Sequence[Counts], notes: "Notes") -> None:
        with self._lock:
            rows = int(self._counts[0].sum()) + int(vectors[0].sum())
            if rows > serialization.MOST_ROWS:
                raise InputError(f"a window must hold at most {serialization.MOST_ROWS} rows; got {rows}")
            for total, vector in zip(self._counts, vectors, strict=True):
                total += vector
            self._notes.add(notes)

    def to_bytes(self) -> bytes:
        """Return the counts as bytes, with the profile's id, a format version and a checksum; see `serialization`."""
        to = serialization.Writer()
        to.text(self._profile.id)
        for vector in self.counts():
            to.counts(vector)
        self._notes.write(to)
        return serialization.seal("window", to.body())

    @classmethod
    def from_bytes(cls, profile: Profile, data: bytes) -> "Window":
        """Read what `to_bytes` returned.

        Raises:
            InputError: the data are no window, of another format version, cut short, or of another profile.
            IntegrityError: the data were changed since they were written.
        """
        source = serialization.unseal("window", data)
        found = source.text()
        if found != profile.id:
            raise InputError(
                f"the window must be one of the profile {profile.id[:12]}; got one of {found[:12]}"
            )
        window = cls(profile)
        vectors = [source.counts() for _ in window._counts]
        notes = Notes.read(source, profile.columns)
        source.end()
        if [len(vector) for vector in vectors] != [len(vector) for vector in window._counts]:
            raise source.refuse("got other numbers of places than the profile has")
        rows = {int(vector.sum()) for vector in vectors}
        if len(rows) != 1:
            raise source.refuse(f"got columns of {sorted(rows)} rows")
        window._add(vectors, notes)
        return window

    def __reduce__(self) -> tuple[Any, tuple[Profile, bytes]]:
        return Window.from_bytes, (self._profile, self.to_bytes())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Window) or self._profile != other._profile:
            return False
        return self._notes == other._notes and all(map(np.array_equal, self.counts(), other.counts()))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Window({self.n_rows:,} rows, profile {self._profile.id[:12]})"


def _list(table: Mapping[str, _native.Column]) -> str:
    return ", ".join(map(repr, table)) or "no columns"
