"""What is known of a pair of columns from counts alone, or of rows with weights, in the shape of the records from Rust.

`measured.measure_numbers` and `measure_categories` take these beside `_native.NumericComparison` and
`_native.CategoryComparison`, whose attributes have the same names. Plain data; nothing is computed here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidewheel import _native

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

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

    With weights these are their share of the weight, of all rows.
    """

    rows: int
    missing: float = 0
    nan: float = 0
    infinite_above: float = 0
    infinite_below: float = 0


@dataclass(frozen=True, slots=True)
class Distance:
    """A Kolmogorov-Smirnov distance of rows with weights.

    Attributes:
        lower: The distance.
        upper: The same: it is no interval.
        n: Equal rows that the reference's are worth, rounded down.
        m: The same of the current sample.
    """

    lower: float
    upper: float
    n: int
    m: int


@dataclass(frozen=True, eq=False, repr=False)
class NumberCounts:
    """A pair of numeric columns.

    Attributes:
        reference: Parts of the reference.
        current: Parts of the current sample.
        distance: The interval that holds the Kolmogorov-Smirnov distance; None when a side holds no number.
        reference_counts: Finite reference values per report bin; empty when there are none. With weights in equal rows.
        current_counts: Finite current values per report bin.
        continuous: Whether the bins are known to be laid on values without ties.
    """

    reference: Parts
    current: Parts
    distance: _native.KsEnclosure | Distance | None
    reference_counts: Sequence[float]
    current_counts: Sequence[float]
    continuous: bool = False


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


@dataclass(frozen=True, eq=False, repr=False)
class WeighedCounts:
    """A pair of categorical columns whose rows count with weights; all but parts in equal rows that these are worth.

    Attributes:
        reference: Parts of the reference.
        current: Parts of the current sample.
        reference_counts: Weight of the reference's most frequent names; the last entry is all others. Empty without a value.
        current_counts: Weight of the same names in the current sample.
        unseen: Current weight of names that the reference never has.
        seen_once: Weight of the reference's names that have one row.
        seen_twice: Half the weight of those that have two.
        total_variation: Distance of both samples' shares over all names.
        kept: Which of the counts are classes of their own, by the rows that they have (`vocabulary.find_kept`).
    """

    reference: Parts
    current: Parts
    reference_counts: list[float]
    current_counts: list[float]
    unseen: float
    seen_once: float
    seen_twice: float
    total_variation: float
    kept: npt.NDArray[np.bool_]
