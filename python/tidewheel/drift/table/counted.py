"""What is known of a pair of columns from counts alone: the records of `profile`, in the shape of those from Rust.

`measured.measure_numbers` and `measure_categories` take these beside `_native.NumericComparison` and
`_native.CategoryComparison`, whose attributes have the same names. Plain data; nothing is computed here.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidewheel import _native

Counts = npt.NDArray[np.int64]

#: Quantile bins of a numeric column, for PSI.
BINS = 10


@dataclass(frozen=True, eq=False, repr=False)
class Parts:
    """What a column holds beside finite numbers, in rows; `_native.Parts` that can be made.

    Attributes:
        rows: Rows in all.
        missing: Missing (null) rows.
        nan: Rows that are NaN.
        infinite_above: Rows that are plus infinity.
        infinite_below: Rows that are minus infinity.
    """

    rows: int
    missing: int = 0
    nan: int = 0
    infinite_above: int = 0
    infinite_below: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class NumberCounts:
    """A pair of numeric columns.

    Attributes:
        reference: Parts of the reference.
        current: Parts of the current sample.
        distance: The interval that holds the Kolmogorov-Smirnov distance; None when a side holds no number.
        reference_counts: Finite reference values per report bin; empty when there are none.
        current_counts: Finite current values per report bin.
    """

    reference: Parts
    current: Parts
    distance: _native.KsEnclosure | None
    reference_counts: list[int]
    current_counts: list[int]


@dataclass(frozen=True, eq=False, repr=False)
class CategoryCounts:
    """A pair of categorical columns over the reference's most frequent strings.

    Attributes:
        reference: Parts of the reference.
        current: Parts of the current sample.
        reference_counts: Reference rows per string; the last entry is all others.
        current_counts: Current rows per string; the last entry is all others.
        unseen: Current rows whose string the reference never has.
        seen_once: Reference strings that occur once.
        seen_twice: Reference strings that occur twice.
        known: Of each string of the reference its rows, its current rows, and the bucket of its hash.
        unseen_buckets: Current rows of all other strings per bucket.
    """

    reference: Parts
    current: Parts
    reference_counts: list[int]
    current_counts: list[int]
    unseen: int
    seen_once: int
    seen_twice: int
    known: "tuple[Counts, Counts, npt.NDArray[np.uint8]]"
    unseen_buckets: list[int]
