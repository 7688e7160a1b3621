"""A stream watched against a reference, look after look, with a promise about false alarms.

`Monitor` is the state; what it says of one window is in `looks`, of all of them in `history`. `watching` has single columns,
`alpha_spending` the promises, `bands` the bounds. For windows that are not independent rows of one law (seasons, days that
differ) see `chunks`.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np

from tidewheel.drift import arguments
from tidewheel.drift.over_time import alpha_spending, watching
from tidewheel.drift.over_time.alpha_spending import Promise, PromiseName
from tidewheel.drift.over_time.history import History
from tidewheel.drift.over_time.looks import SCHEMA, ColumnLook, Look, read_looks, write_looks
from tidewheel.drift.profile import serialization
from tidewheel.drift.profile.column_state import BESIDE, LACKING, Others
from tidewheel.drift.profile.profile import Profile, Window
from tidewheel.drift.table.counted import Counts
from tidewheel.drift.table.rules import Rules
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

#: Ten years of hours.
RUN_LENGTH = 87_600
#: Looks that a monitor keeps unless told otherwise: six weeks of hours.
KEEP_LOOKS = 1_000
#: More of them take more memory than their charts show.
MOST_KEPT = 1_000_000
#: More levels than any stream of looks can fill.
_MOST_LEVELS = 46


class Monitor:
    """Watch windows of a stream against a reference, with a promise that holds over all looks.

    Whoever tests every hour at 5 % has an alarm within the first day without any drift; whoever tests sequentially, but
    takes the reference for the truth, has one as soon as the stream is longer than the reference. Here both are
    samples: an alarm means that the *law* of the rows of some segment of the stream is further from the law of the
    reference than the threshold, beyond what both samples' errors explain at any of the looks made.

    What is compared: of numbers the Kolmogorov-Smirnov distance, of strings and booleans the total variation that the 50
    most frequent names prove, or all strings in 256 classes by their hash, and the share of strings that the reference
    never had, of all the shares of missing, of numbers also of NaN and infinite rows. A column that rows of the look come
    without, or with another type, alarms at once: that is no matter of chance. At each look segments that end now are
    compared: the last 1 to 4 looks, and two lengths per doubling beyond, up to the whole stream. So a late change is not
    diluted by all that came before, and a small one has long segments to show in. What alpha each may spend is in
    `alpha_spending.Promise`; columns and parts share it evenly.

    Arming again: an alarm drops what was seen of the columns that alarmed, so that the next alarm rests on new rows,
    and a lasting drift alarms again and again. `rearm` does the same for all columns, say after a repair. Looks go on
    counting: the promise is about the whole life of the monitor, however often it is armed again.

    Assumed: rows are independent and, without drift, of one law; and where windows end does not depend on the values in
    them (by the clock, or by a number of rows). Looks may come in any number and size, and empty ones. If rows come in
    clusters (users, days) give the design effect, which divides all numbers of rows; the promise is then as good as
    that number. If the law moves with the hour or season, take a profile per season, or `ChunkThresholds`.

    A monitor reads no clock and draws no random numbers. It may not be used from two threads at once.

    Args:
        profile: The reference.
        promise: "ever": a stream within the thresholds ever alarms with probability at most `alpha`. "run length": it
            runs for at least `run_length` looks on average before it alarms; long streams are then watched as sharply
            as young ones.
        alpha: See `promise`; with "run length" the probability that the reference misleads, which the average accounts
            for.
        run_length: Looks; for "run length" alone.
        threshold: Distance up to which the stream may stray, for all parts; 0 for any difference. By default that of
            verdicts: 0.1 for values, 0.05 for shares.
        thresholds: The same for single columns and parts, as in `compare`; goes before `threshold`. There is no part
            "tail": names are watched by `Names` in one.
        design_effect: Rows that count for one, at least 1; 1 takes rows as independent.
        keep_looks: The last so many looks are kept for `history`, some 0.3 kB per look and column; 0 for none.

    Raises:
        InputError: `alpha`, `run_length`, a threshold, `design_effect` or `keep_looks` is out of range; the profile has no
            rows or no column that can be watched.
        UnknownNameError: an unknown promise; `thresholds` with a part or a column that does not exist.

    Cost: per look O(columns x 100), some 0.3 ms per column, and O(distinct strings); memory O(log looks), after a year of
    hours 45 kB per column of numbers, 140 kB per column of strings.

    Source: Howard and Ramdas (2022) for bands that hold at all times; here stitched from Massart's over fixed segments,
    which is narrower at the same alpha and meets late changes. Shin, Ramdas and Rinaldo (2024) for detectors by run
    length.

    Example:
        >>> from tidewheel import drift
        >>> profile = drift.Profile.fit({"speed": [i % 50 for i in range(50_000)]})
        >>> monitor = drift.Monitor(profile)
        >>> quiet = [monitor.observe({"speed": [i % 50 for i in range(1_000)]}) for hour in range(100)]
        >>> any(look.alarm for look in quiet)
        False
        >>> look = monitor.observe({"speed": [20 + i % 50 for i in range(1_000)]})
        >>> look.drifted, look.number, look["speed"].looks, round(look["speed"].lower, 2)
        (('speed',), 101, 1, 0.3)
    """

    def __init__(
        self,
        profile: Profile,
        *,
        promise: PromiseName = "ever",
        alpha: float = 0.05,
        run_length: int = RUN_LENGTH,
        threshold: float | None = None,
        thresholds: Mapping[str, float | Mapping[str, float]] | None = None,
        design_effect: float = 1.0,
        keep_looks: int = KEEP_LOOKS,
    ) -> None:
        self._promise = Promise(promise, alpha, run_length)
        arguments.check_instance("profile", profile, Profile)
        arguments.check_number("threshold", 0 if threshold is None else threshold)
        arguments.check_number("design_effect", design_effect)
        if threshold is not None and not 0 <= threshold < 1:
            raise InputError(f"`threshold` must lie in [0, 1); got {threshold}")
        if not 1 <= design_effect < np.inf:
            raise InputError(f"`design_effect` must be at least 1 and finite; got {design_effect}")
        arguments.check_whole("keep_looks", keep_looks)
        if not 0 <= keep_looks <= MOST_KEPT:
            raise InputError(f"`keep_looks` must lie between 0 and {MOST_KEPT:,}; got {keep_looks}")
        rules = Rules.read(alpha, thresholds)
        rules.check_known("`profile`", profile.columns)
        self._profile, self._threshold, self._design_effect = profile, threshold, design_effect
        self._thresholds = {name: dict(rules.of(name).thresholds) for name in profile.columns}
        self._parts = sum(map(watching.count_parts, profile._columns))
        if not self._parts or not profile.n_rows:
            raise InputError(
                f"`profile` must have rows and a column of numbers, times or strings; got {profile!r}"
            )
        error = self._promise.of_reference / self._parts
        common = {} if threshold is None else dict.fromkeys(arguments.PARTS, threshold)
        self._columns = {
            at: watching.watch(column, error, common | self._thresholds[column.name], design_effect)
            for at, column in enumerate(profile._columns)
            if not isinstance(column, Others)
        }
        self._levels: dict[int, watching.Levels] = {at: [] for at in self._columns}
        self._looks = 0
        self._kept: deque[Look] = deque(maxlen=keep_looks)

    @property
    def profile(self) -> Profile:
        """The reference."""
        return self._profile

    @property
    def looks(self) -> int:
        """Looks so far."""
        return self._looks

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns watched: those of numbers, times, strings and booleans."""
        return tuple(column.name for column in self._columns.values())

    @property
    def promise(self) -> str:
        """What is promised about false alarms, in one sentence."""
        return self._promise.sentence

    @property
    def history(self) -> History:
        """The looks that were kept, oldest first: as a table, a summary, and a page with charts.

        After `merge` these are the looks of this monitor alone.
        """
        return History(self._kept, self.columns, self.promise, self._looks - len(self._kept))

    def observe(self, current: Any, *, at: str | date | None = None) -> Look:
        """Look at one more window of the stream.

        Args:
            current: A `Window` of the monitor's profile with the rows since the last look, or a table with its columns.
            at: When or what the window was: a text, or a date or time, which is written as ISO does, to the second. It is
                shown in `history`, and nothing depends on it.

        Returns:
            What the look says.

        Raises:
            InputError: the window has another profile; then there was no look.
            InputTypeError: a table of an unknown type, or `at` is no text or time; then there was no look.
        """
        label = _read_label(at)
        window = current
        if not isinstance(window, Window):
            window = self._profile.window()
            window.update(current)
        elif window.profile.id != self._profile.id:
            raise InputError(
                f"the window must be one of the profile {self._profile.id[:12]}; got one of {window.profile.id[:12]}"
            )
        vectors = window.counts()
        self._looks += 1
        columns = tuple(self._observe(at, vectors[at]) for at in self._columns)
        look = Look(
            number=self._looks,
            rows=int(vectors[0].sum()),
            alarm=any(column.alarm for column in columns),
            columns=columns,
            promise=self.promise,
            at=label,
        )
        self._kept.append(look)
        return look

    def _observe(self, at: int, vector: Counts) -> ColumnLook:
        column = self._columns[at]
        differing = int(vector[LACKING:BESIDE].sum())
        segments = list(watching.advance(self._levels[at], column.keep(vector), self._looks))
        judged = watching.judge(column, segments, self._promise, self._parts, self._design_effect)
        first = max(judged, key=_urgency)
        look = ColumnLook(
            name=column.name,
            alarm=bool(first.alarm),
            part=first.part.name,
            looks=int(first.looks),
            rows=int(first.rows),
            distance=float(first.distance),
            lower=max(0.0, float(first.lower)),
            threshold=first.part.threshold,
        )
        if differing:
            share = differing / int(vector.sum())
            look = ColumnLook(column.name, True, SCHEMA, 1, differing, share, share, 0.0)
        if look.alarm:
            self._levels[at] = []
        return look

    def rearm(self, columns: Sequence[str] | None = None) -> None:
        """Drop what was seen, so that the next alarm rests on new rows alone; the promise and the number of looks stay.

        Args:
            columns: Names of columns; by default all.

        Raises:
            UnknownNameError: a column is not watched.
        """
        columns = None if columns is None else arguments.read_names("columns", columns)
        for name in columns or ():
            if name not in self.columns:
                raise UnknownNameError(
                    f"`columns` must be among {', '.join(map(repr, self.columns))}; got {name!r}"
                )
        for at, column in self._columns.items():
            if columns is None or column.name in columns:
                self._levels[at] = []

    def merge(self, other: "Monitor") -> None:
        """Add what another monitor saw of the same looks: other rows, in another partition or process.

        The alarms that both had so far were each one's own, with its own promise. Where windows can be merged before they
        are looked at, one monitor and one promise do.

        Raises:
            InputError: the other monitor has another profile, other settings or another number of looks, or was armed
                again at other looks; then nothing is added.
        """
        arguments.check_instance("other", other, Monitor)
        if self._settings() != other._settings():
            raise InputError(
                f"monitors must have one profile and the same settings to be merged; got {self} and {other}"
            )
        if self._looks != other._looks or self._shapes() != other._shapes():
            raise InputError(
                "monitors must have had the same looks, and been armed again at the same, to be merged; got "
                f"{self._looks} and {other._looks} looks"
            )
        for at, levels in self._levels.items():
            self._levels[at] = [mine + its for mine, its in zip(levels, other._levels[at], strict=True)]

    def _settings(self) -> tuple[str, Promise, float | None, dict[str, dict[str, float]], float]:
        return self._profile.id, self._promise, self._threshold, self._thresholds, self._design_effect

    def _shapes(self) -> list[tuple[int, ...]]:
        return [blocks.shape for levels in self._levels.values() for blocks in levels]

    def to_bytes(self) -> bytes:
        """Return settings, looks and counts as bytes, with the profile's id and a checksum; see `serialization`."""
        to = serialization.Writer()
        to.text(self._profile.id)
        to.number(alpha_spending.PROMISES.index(self._promise.name))
        to.number(self._promise.run_length)
        threshold = np.nan if self._threshold is None else self._threshold
        # Those of single columns follow where there are any: column by column, part by part.
        own = [parts.get(part, np.nan) for parts in self._thresholds.values() for part in arguments.PARTS]
        own = own if any(self._thresholds.values()) else []
        to.values(np.array([self._promise.alpha, threshold, self._design_effect, *own]))
        to.number(self._looks)
        for levels in self._levels.values():
            to.number(len(levels))
            for blocks in levels:
                to.counts(blocks.ravel())
        to.number(self._kept.maxlen or 0)
        write_looks(to, self._kept)
        return serialization.seal("monitor", to.body())

    @classmethod
    def from_bytes(cls, profile: Profile, data: bytes) -> "Monitor":
        """Read what `to_bytes` returned.

        Raises:
            InputError: the data are no monitor, of another format version, cut short, or of another profile.
            IntegrityError: the data were changed since they were written.
        """
        source = serialization.unseal("monitor", data)
        found = source.text()
        if found != profile.id:
            raise InputError(
                f"the monitor must be one of the profile {profile.id[:12]}; got one of {found[:12]}"
            )
        promise: PromiseName = "run length" if source.number(1) else "ever"
        run_length, settings = source.number(), source.values("f8")
        most = 3 + len(profile.columns) * len(arguments.PARTS)
        if len(settings) not in (3, most):
            raise source.refuse(f"got {len(settings)} settings instead of 3 or {most}")
        alpha, threshold, design_effect, *own = settings.tolist()
        of_parts = zip(*[iter(own)] * len(arguments.PARTS), strict=True)
        made = cls(
            profile,
            promise=promise,
            alpha=alpha,
            run_length=run_length,
            threshold=None if np.isnan(threshold) else threshold,
            thresholds={
                name: {p: t for p, t in zip(arguments.PARTS, parts, strict=True) if not np.isnan(t)}
                for name, parts in zip(profile.columns, of_parts, strict=False)
            },
            design_effect=design_effect,
        )
        made._looks = source.number()
        for at, column in made._columns.items():
            made._levels[at] = [_read_sums(source, column) for _ in range(source.number(_MOST_LEVELS))]
        keep = source.number(MOST_KEPT)
        made._kept = deque(
            read_looks(source, made.columns, made.promise, min(keep, made._looks)), maxlen=keep
        )
        source.end()
        return made

    def __reduce__(self) -> tuple[Any, tuple[Profile, bytes]]:
        return Monitor.from_bytes, (self._profile, self.to_bytes())

    def __eq__(self, other: object) -> bool:
        """Say whether both would say the same of whatever comes next; what they kept of their looks does not matter."""
        return (
            isinstance(other, Monitor)
            and self._settings() == other._settings()
            and self._looks == other._looks
            and self._shapes() == other._shapes()
            and all(
                np.array_equal(mine, its)
                for at, levels in self._levels.items()
                for mine, its in zip(levels, other._levels[at], strict=True)
            )
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"Monitor({len(self._columns)} columns, {self._looks:,} looks, profile {self._profile.id[:12]})"
        )


def _urgency(one: watching.Judged) -> tuple[float, float]:
    """Rank parts and segments: by how far the lower bound is beyond the threshold, then by the distance itself."""
    return max(0.0, float(one.lower)) - one.part.threshold, float(one.distance) - one.part.threshold


def _read_label(at: str | date | None) -> str:
    if at is None or isinstance(at, str):
        return at or ""
    if not isinstance(at, date):
        raise InputTypeError(f"`at` must be a text, a date or a time; got {at!r}")
    return at.isoformat(" ", "seconds") if isinstance(at, datetime) else at.isoformat()


def _read_sums(source: serialization.Reader, column: watching.Watched) -> Counts:
    counts = source.counts()
    if len(counts) % column.kept or len(counts) > column.kept * alpha_spending.BLOCKS:
        raise source.refuse(
            f"got {len(counts)} counts of column {column.name!r} for at most {alpha_spending.BLOCKS} blocks of {column.kept}"
        )
    sums = counts.reshape(-1, column.kept)
    if not column.is_possible(sums):
        raise source.refuse(f"got counts of column {column.name!r} that no rows can have")
    return sums
