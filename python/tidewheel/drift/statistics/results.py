"""What the statistics return: frozen records of plain numbers and NumPy arrays.

Tests unpack into statistic and p-value as SciPy's do, distances are numbers to `float`, and all have a repr of one line and
an equality that goes through arrays. The records of table comparisons are in `report`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from tidewheel import _native

#: Items of a tuple, an array or a mapping that a repr shows; of longer ones it tells how many there are.
_SHOWN = 3
#: Rows that a repr does not mention where there are none.
_RARE = {"missing", "nan", "infinite", "unseen"}


def describe(record: Any) -> str:
    """Write a record in one line: without what is None or empty, and with the number of items of what is long.

    Example:
        >>> describe(Beside(missing=(3, 0)))
        'Beside(missing=(3, 0))'
    """
    shown = [(f.name, getattr(record, f.name)) for f in fields(record) if f.repr]
    told = [f"{name}={_brief(value)}" for name, value in shown if not _is_nothing(name, value)]
    return f"{type(record).__name__}({', '.join(told)})"


def _is_nothing(name: str, value: Any) -> bool:
    if isinstance(value, Beside):
        return value == Beside()
    return value is None or (name in _RARE and not np.any(value))


def _brief(value: Any) -> str:
    if isinstance(value, tuple | dict | np.ndarray) and len(value) > _SHOWN:
        return f"<{len(value):,} values>"
    return repr(value.tolist() if isinstance(value, np.ndarray) else value)


def is_same(record: Any, other: Any) -> bool:
    """Say whether two records are of one class and hold the same; arrays are compared value by value."""
    if type(other) is not type(record):
        return False
    names = (f.name for f in fields(record))
    return all(_are_equal(getattr(record, name), getattr(other, name)) for name in names)


def _are_equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)


def hash_record(record: Any) -> int:
    """Hash a record, so that equal ones have one hash."""
    values = (getattr(record, f.name) for f in fields(record))
    return hash(tuple(tuple(v.tolist()) if isinstance(v, np.ndarray) else v for v in values))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SignificanceResult:
    """What every test returns: it unpacks and indexes as (statistic, pvalue), as SciPy's results do; the rest has names.

    Attributes:
        statistic: What is tested.
        pvalue: Its p-value.

    Example:
        >>> from tidewheel import drift
        >>> statistic, pvalue = drift.ks([1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 6.0])
        >>> statistic, round(pvalue, 6), drift.ks([1.0, 2.0], [3.0, 4.0])[0]
        (0.5, 0.771429, 1.0)
    """

    statistic: float
    pvalue: float

    __eq__ = is_same
    __hash__ = hash_record
    __repr__ = describe

    def __iter__(self) -> Iterator[float]:
        return iter((self.statistic, self.pvalue))

    def __len__(self) -> int:
        return 2

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[float, ...]: ...
    def __getitem__(self, index: int | slice) -> float | tuple[float, ...]:
        return (self.statistic, self.pvalue)[index]


@dataclass(frozen=True, slots=True, repr=False)
class Beside:
    """Rows that a statistic on numbers leaves out of its bins or ranks, in the reference and in the current sample.

    Attributes:
        missing: Missing (null) rows of the reference and of the current sample.
        nan: NaN rows.
        infinite: Rows that are plus or minus infinity (left out of bins; ranked by `ks`).
    """

    missing: tuple[int, int] = (0, 0)
    nan: tuple[int, int] = (0, 0)
    infinite: tuple[int, int] = (0, 0)

    __repr__ = describe


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ReferenceBins:
    """A reference learned once: where its bins lie and how many of its values each holds. Made by `fit_bins`.

    Attributes:
        edges: B + 1 edges; the first and last are infinite (for 64-bit integers: the ends of the type).
        counts: Finite reference values per bin.
        missing: Missing rows of the reference.
        nan: NaN rows.
        infinite: Infinite rows.
        continuous: True when no ties changed the quantiles, so that the law of PSI is known without the data.
        strategy: "quantile", "uniform" or "edges".
        dtype: Type of the reference, such as "float64" or "datetime[us]"; times are counted in its unit.
        kind: "number", "temporal", "boolean" or "null".
    """

    edges: npt.NDArray[Any]
    counts: tuple[int, ...]
    missing: int
    nan: int
    infinite: int
    continuous: bool
    strategy: str
    dtype: str = "float64"
    kind: str = "number"

    __eq__ = is_same
    __hash__ = hash_record
    __repr__ = describe


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceRanks:
    """A reference sorted once, to measure `ks` of many current samples against it. Made by `fit_ks`.

    It holds memory of the extension, so it cannot be pickled; what is to be stored or sent is a `Profile`.

    Attributes:
        dtype: Type of the reference, such as "float64" or "datetime[us]".
        kind: "number", "temporal" or "boolean".
        n: Reference values, infinities among them.
        missing: Missing rows of the reference.
        nan: NaN rows.
        infinite: Infinite rows.
    """

    dtype: str
    kind: str
    n: int
    missing: int
    nan: int
    infinite: int
    _ranks: _native.Ranks = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BinnedCounts:
    """Two samples counted over the same bins. Made by `bins.count_both`; results are computed from it.

    Attributes:
        reference: Reference rows per bin.
        current: Current rows per bin.
        edges: B + 1 bin edges, the outer ones infinite; None for strings and given counts.
        categories: Names of the bins for strings, the last one standing for all others; else None.
        beside: Rows left out of the bins, counted apart.
        unseen: Current rows whose string the reference never has (they are in the last bin); 0 for numbers.
        continuous: As in `ReferenceBins`.
        laid: True for bins laid on the reference's values.
    """

    reference: tuple[float, ...]
    current: tuple[float, ...]
    edges: npt.NDArray[Any] | None = None
    categories: tuple[str, ...] | None = None
    beside: Beside = Beside()
    unseen: int = 0
    continuous: bool = False
    laid: bool = False

    __eq__ = is_same
    __hash__ = hash_record
    __repr__ = describe


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DivergenceResult:
    """How far apart two samples' shares are over the same bins, without a test; `float(result)` is the number alone.

    Attributes:
        statistic: The divergence or distance, at least 0.
        smoothing: What was done about empty bins.
        binned: The bins, the counts in them, and the rows beside them.
    """

    statistic: float
    smoothing: str | float
    binned: BinnedCounts

    __eq__ = is_same
    __hash__ = hash_record
    __repr__ = describe

    def __float__(self) -> float:
        return self.statistic


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ContingencyResult(SignificanceResult):
    """A test whether two samples have the same shares over the same bins.

    Attributes:
        statistic: Asymptotically chi-square when they do.
        pvalue: Upper tail of the chi-square law.
        degrees_of_freedom: Bins that are not empty on both sides, less one.
        binned: The bins, the counts in them, and the rows beside them.
    """

    degrees_of_freedom: int
    binned: BinnedCounts


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PsiResult(SignificanceResult):
    """A population stability index.

    Attributes:
        statistic: The index, at least 0; infinite for an empty bin without smoothing.
        pvalue: Probability of at least this index when both samples come from one law; see `psi`.
        critical_value: The index that is exceeded with probability 5 % when they do.
        edges: B + 1 bin edges, the outer ones infinite; None for strings.
        categories: Names of the bins for strings, the last one standing for all others; None for numbers.
        reference_counts: Reference rows per bin.
        current_counts: Current rows per bin.
        beside: Rows left out of the bins, counted apart.
        unseen: Current rows whose string the reference never has (they are in the last bin); 0 for numbers.
        smoothing: What was done about empty bins.
        n: Reference rows in bins.
        m: Current rows in bins.
    """

    critical_value: float
    edges: npt.NDArray[Any] | None
    categories: tuple[str, ...] | None
    reference_counts: tuple[int, ...]
    current_counts: tuple[int, ...]
    beside: Beside
    unseen: int
    smoothing: str | float
    n: int
    m: int

    @property
    def missing(self) -> tuple[int, int]:
        """Missing rows of the reference and of the current sample."""
        return self.beside.missing


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class KsResult(SignificanceResult):
    """A two-sample Kolmogorov-Smirnov test.

    Attributes:
        statistic: The distance, between 0 and 1.
        pvalue: Its p-value.
        location: The least value at which the distance is attained.
        sign: +1 if the reference's distribution function is the larger there, else -1.
        method: "exact", "asymp" or "expansion": how the p-value was computed.
        beside: Rows left out (missing, NaN), and infinite rows (ranked).
        n: Reference values used.
        m: Current values used.
    """

    location: float | int
    sign: int
    method: str
    beside: Beside
    n: int
    m: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DistanceResult:
    """A distance between two samples of numbers, without a test; `float(result)` is what SciPy returns.

    Attributes:
        statistic: The distance, at least 0.
        beside: Rows left out (missing, NaN), and infinite rows.
        n: Reference values used.
        m: Current values used.
    """

    statistic: float
    beside: Beside
    n: int
    m: int

    __eq__ = is_same
    __hash__ = hash_record
    __repr__ = describe

    def __float__(self) -> float:
        return self.statistic


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RankTestResult(SignificanceResult):
    """A test of two samples by their ranks.

    Attributes:
        statistic: What is tested.
        pvalue: Its p-value.
        method: How the p-value was computed: "exact" or "asymptotic" (Cramer and von Mises); "interpolated", or "at most" or
            "at least" beyond the table (Anderson and Darling).
        beside: Rows left out (missing, NaN), and infinite rows (ranked).
        n: Reference values used.
        m: Current values used.
    """

    method: str
    beside: Beside
    n: int
    m: int
