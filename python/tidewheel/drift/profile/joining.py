"""Columns of a profile learned in parts: exact counts of each part over given edges, and their sum.

A reference that no machine holds is cut into parts. The edges come from a sample; counts of numbers over these edges add
up, and so do the rows of each string, of which no sample is needed. `column_state` has the columns, `profile` the whole.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tidewheel import _native
from tidewheel.drift.profile import column_state
from tidewheel.drift.profile.batches import ROUNDED
from tidewheel.drift.profile.column_state import Numbers, Others, Profiled, Words
from tidewheel.drift.table.counted import Counts
from tidewheel.errors import InputError, InputTypeError


def refit(known: Profiled, column: _native.Column, threads: int | None) -> Profiled:
    """Learn a column anew over the edges that are known of it; all its strings are learned, known ones or not.

    Raises:
        InputTypeError: floats beyond 2^53 that stand for several of the whole numbers at which the edges lie.
    """
    if isinstance(known, Words):
        found = _without_strings(known, len(column)) if column.kind == "null" else Words.fit(column, threads)
        return replace(found, dtype=known.dtype)
    (vector,) = column_state.count([known], [column], len(column), threads)
    if vector[column_state.MISTYPED]:
        raise InputTypeError(
            f"column {known.name!r} must have the reference's type {known.dtype}; got {column.dtype}: {ROUNDED}"
        )
    return replace(known, reference=vector)


def _without_strings(known: Words, rows: int) -> Words:
    nothing = np.zeros(0, dtype=np.int64)
    return Words(known.name, known.dtype, known.kind, rows, b"", nothing, nothing)


def join(parts: Sequence[Profiled]) -> Profiled:
    """Add up what was learned of the parts of one column.

    Raises:
        InputError: the parts have other edges or types.
    """
    first = parts[0]
    words = [part for part in parts if isinstance(part, Words)]
    if len(words) == len(parts):
        return _join_words(words)
    rest = [part for part in parts if isinstance(part, Numbers | Others)]
    total: Counts = np.zeros_like(first.reference)
    for part in rest:
        if not _is_like(first, part):
            raise _refuse(first)
        total = total + part.reference
    if len(rest) < len(parts) or isinstance(first, Words):
        raise _refuse(first)
    return replace(first, reference=total)


def _is_like(first: Profiled, part: Profiled) -> bool:
    if (first.name, first.dtype, first.kind) != (part.name, part.dtype, part.kind):
        return False
    if isinstance(first, Numbers) and isinstance(part, Numbers):
        return np.array_equal(first.edges, part.edges) and np.array_equal(first.bin_edges, part.bin_edges)
    return True


def _refuse(column: Profiled) -> InputError:
    return InputError(
        f"profiles must have the same splitters to be joined; column {column.name!r} has other edges or another type"
    )


def _join_words(parts: Sequence[Words]) -> Words:
    first = parts[0]
    rows: Counter[bytes] = Counter()
    for part in parts:
        if (part.name, part.dtype, part.kind) != (first.name, first.dtype, first.kind):
            raise _refuse(first)
        rows.update(_rows_of(part))
    # As Rust ranks them: the most frequent first, equally frequent ones by their bytes.
    ranked = sorted(rows.items(), key=lambda item: (-item[1], item[0]))
    lengths = np.array([len(name) for name, _ in ranked], dtype=np.int64)
    counts = np.array([count for _, count in ranked], dtype=np.int64)
    text = b"".join(name for name, _ in ranked)
    missing = sum(part.missing for part in parts)
    return Words(first.name, first.dtype, first.kind, missing, text, lengths, counts)


def _rows_of(words: Words) -> dict[bytes, int]:
    ends = np.cumsum(words.lengths).tolist()
    starts = [0, *ends[:-1]]
    names = [words.text[start:end] for start, end in zip(starts, ends, strict=True)] if ends else []
    return dict(zip(names, words.counts.tolist(), strict=True))
