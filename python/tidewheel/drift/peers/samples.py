"""A column's raw values as the tools of `compat` see them, and the few counts that their rules share."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shares = npt.NDArray[np.float64]

#: Rows looked at first when many distinct values are likely: it spares sorting a large column.
_HEAD = 4_096


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """One side of a column.

    Attributes:
        values: All rows; what stands in missing ones means nothing.
        there: Which rows have a value.
        kind: "float", "int", "uint", "boolean", "string", "temporal", "null" or "unsupported".
    """

    values: Array
    there: npt.NDArray[np.bool_]
    kind: str

    @property
    def present(self) -> Array:
        """The values that are there."""
        return self.values if self.there.all() else self.values[self.there]

    @property
    def has_gaps(self) -> bool:
        """Whether a value is missing."""
        return not bool(self.there.all())


def has_more_than(limit: int, *sides: Array) -> bool:
    """Say whether there are more than so many distinct values on all sides together."""
    return any(len(_distinct(parts)) > limit for parts in ([side[:_HEAD] for side in sides], list(sides)))


def _distinct(sides: list[Array]) -> Any:
    if sides[0].dtype.kind == "O":
        return set().union(*(side.tolist() for side in sides))
    return np.unique(np.concatenate(sides))


def encode(reference: Array, current: Array) -> tuple[Array, Array, int, int]:
    """Number the distinct values, the reference's first.

    Returns:
        A code per reference row and per current row; how many values the reference has, and both sides together.
    """
    if reference.dtype.kind == "O" or current.dtype.kind == "O":
        codes: dict[Any, int] = {}
        r = _number(reference.tolist(), codes)
        known = len(codes)
        c = _number(current.tolist(), codes)
        return r, c, known, len(codes)
    names, r = np.unique(reference, return_inverse=True)
    unseen, found = np.unique(current, return_inverse=True)
    place = np.minimum(np.searchsorted(names, unseen), max(len(names) - 1, 0))
    is_new = names[place] != unseen if len(names) else np.ones(len(unseen), dtype=np.bool_)
    number = np.where(is_new, len(names) + np.cumsum(is_new) - 1, place)
    return r, number[found], len(names), len(names) + int(is_new.sum())


def _number(items: Iterable[Any], codes: dict[Any, int]) -> Array:
    return np.array([codes.setdefault(item, len(codes)) for item in items], dtype=np.int64)


def jensen_shannon(p: Shares, q: Shares) -> float:
    """Return the Jensen-Shannon distance of two lines of weights in nats: the root of the divergence."""
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    return float(np.sqrt(max(_relative_entropy(p, middle) + _relative_entropy(q, middle), 0.0) / 2))


def kullback_leibler(p: Shares, q: Shares) -> float:
    """Return the divergence of one line of positive weights from another, in nats."""
    return _relative_entropy(p / p.sum(), q / q.sum())


def _relative_entropy(p: Shares, q: Shares) -> float:
    used = p > 0
    return float((p[used] * np.log(p[used] / q[used])).sum())
