"""The Rust extension: thin calls over columns. `tidewheel.drift` is the public face; nothing here promises stability.

Every function that reads columns releases the interpreter lock while it works, and raises the classes of `tidewheel.errors`.
`threads=None` means `TIDEWHEEL_THREADS`, else one thread per core, and one thread below 262,144 rows. Results never depend
on the number of threads. Threads that are no whole number of at least 1, as an argument or in that variable, raise
InputError (InputTypeError for an argument of another type).
"""

from typing import Any, Literal, final

from numpy.typing import NDArray

_Number = int | float

__all__ = [
    "Batches",
    "Blocks",
    "CategoryComparison",
    "Column",
    "FittedBins",
    "FittedBlocks",
    "KsDistance",
    "KsEnclosure",
    "NumericComparison",
    "Parts",
    "Ranks",
    "Units",
    "Vocabulary",
    "anderson_darling",
    "chi2_sf",
    "compare_categories",
    "compare_numeric",
    "count_blocks",
    "count_names_by_unit",
    "count_numbers_by_unit",
    "count_slots",
    "count_vocabularies",
    "cramer_von_mises",
    "enclose_ks",
    "encode_units",
    "energy_distance",
    "f_sf",
    "find_range",
    "fit_blocks",
    "fit_quantiles",
    "fit_vocabulary",
    "gather_numbers",
    "gather_strings",
    "gather_units",
    "kolmogorov_sf",
    "ks_distance",
    "ks_pvalue",
    "normal_sf",
    "psi",
    "read_array",
    "read_table",
    "simd_tier",
    "sum_deviance",
    "sum_weights",
    "wasserstein",
]

@final
class Column:
    """A column of a table, or an array: a name, a type, and memory that stays with whoever made it."""

    @staticmethod
    def from_buffer(
        name: str, dtype: str, code: str, values: NDArray[Any], missing: NDArray[Any] | None = None
    ) -> Column:
        """Borrow a one-dimensional contiguous native array of the NumPy type code `code` (`f8`, `i4`, ...).

        `missing` is a packed bitmap, least significant bit first, with 1 where a value is *there*, as in Arrow.
        """

    @staticmethod
    def from_bits(name: str, bits: NDArray[Any], length: int, missing: NDArray[Any] | None = None) -> Column:
        """Borrow `length` booleans packed least significant bit first."""

    @staticmethod
    def from_strings(
        name: str, offsets: NDArray[Any], data: NDArray[Any], missing: NDArray[Any] | None = None
    ) -> Column:
        """Borrow UTF-8 strings: `length + 1` offsets (int64) into `data` (uint8)."""

    @staticmethod
    def null(name: str, rows: int) -> Column:
        """Make a column without a type, all of whose rows are missing."""

    @staticmethod
    def unsupported(name: str, dtype: str, rows: int, missing: int, reason: str) -> Column:
        """Make a column that no statistic takes, for this reason."""

    @property
    def name(self) -> str:
        """The column's name."""

    @property
    def dtype(self) -> str:
        """The type of the values: `float64`, `string`, `datetime[us]`, `datetime[ns, UTC]`, ..."""

    @property
    def reason(self) -> str:
        """Why no statistic takes the column; empty if one does."""

    @property
    def missing(self) -> int:
        """Missing (null) rows. Cost: O(n)."""

    def scaled(self, dtype: str, factor: int) -> Column:
        """Multiply times, or with a negative factor divide them by its size, rounding down; products keep to 64 bits."""

    def named(self) -> Column:
        """Write numbers as names (3.0 as "3") and times as in ISO 8601. Cost: O(n), and O(distinct values) of memory."""

    def numbered(self) -> Column:
        """Read strings as numbers, booleans as 0 and 1; unsupported, with the rest quoted, if a string is none."""

    def few(self, most: int) -> list[tuple[float, int]] | None:
        """Count rows per distinct number, in increasing order; None with NaN or more than `most`, at once."""

    def looks(self) -> tuple[int, int, int, list[str]] | None:
        """Say of strings that nearly all are numbers or times: rows, numbers, times, up to three that are not; else None.

        Cost: a look at 64 rows; where those are numbers or times, a pass over all. Dictionaries are names without a look.
        """

    @property
    def kind(self) -> Literal["number", "temporal", "boolean", "string", "null", "unsupported"]:
        """What statistics make of it; "null" without a value."""

    def __len__(self) -> int: ...

@final
class Units:
    """The unit (day, user, ...) of each row, as codes."""

    @property
    def count(self) -> int:
        """Number of units; missing values form one unit together."""

    def __len__(self) -> int: ...

@final
class Parts:
    """What a column holds beside finite numbers, in rows."""

    @property
    def rows(self) -> int:
        """Rows in all."""

    @property
    def missing(self) -> int:
        """Missing (null) rows."""

    @property
    def nan(self) -> int:
        """Rows that are NaN."""

    @property
    def infinite_above(self) -> int:
        """Rows that are plus infinity."""

    @property
    def infinite_below(self) -> int:
        """Rows that are minus infinity."""

@final
class FittedBins:
    """Bins at the quantiles of a reference."""

    @property
    def edges(self) -> list[_Number]:
        """Interior edges, increasing strictly; the outer bins are open."""

    @property
    def counts(self) -> list[int]:
        """Finite reference values per bin."""

    @property
    def parts(self) -> Parts:
        """What else the reference holds."""

    @property
    def continuous(self) -> bool:
        """True when no ties changed the quantiles."""

@final
class KsDistance:
    """A Kolmogorov-Smirnov distance."""

    @property
    def statistic(self) -> float:
        """The distance, exact up to one rounding."""

    @property
    def location(self) -> _Number:
        """The least value at which it is attained."""

    @property
    def sign(self) -> int:
        """+1 if the reference distribution function is the larger there, else -1."""

    @property
    def n(self) -> int:
        """Reference numbers used."""

    @property
    def m(self) -> int:
        """Current numbers used."""

    @property
    def reference(self) -> Parts:
        """Parts of the reference."""

    @property
    def current(self) -> Parts:
        """Parts of the current sample."""

@final
class NumericComparison:
    """What a report needs of a pair of numeric columns."""

    @property
    def reference(self) -> Parts:
        """Parts of the reference."""

    @property
    def current(self) -> Parts:
        """Parts of the current sample."""

    @property
    def distance(self) -> KsDistance | None:
        """The distance; None when a side holds no number."""

    @property
    def edges(self) -> list[_Number]:
        """Interior edges at the reference's quantiles."""

    @property
    def reference_counts(self) -> list[int]:
        """Finite reference values per bin; empty when there are none."""

    @property
    def current_counts(self) -> list[int]:
        """Finite current values per bin; empty when the reference has none."""

    @property
    def continuous(self) -> bool:
        """True when no ties changed the quantiles."""

    @property
    def shape(self) -> tuple[float, float, list[int], list[int]] | None:
        """Even bins for the eye: the first one's left edge, their width, and both sides' counts (below, in bins, above)."""

@final
class CategoryComparison:
    """Two columns of strings over the most frequent strings of the reference."""

    @property
    def names(self) -> list[str]:
        """The vocabulary, most frequent first."""

    @property
    def reference_counts(self) -> list[int]:
        """Reference rows per name; the last entry is all others."""

    @property
    def current_counts(self) -> list[int]:
        """Current rows per name; the last entry is all others."""

    @property
    def reference(self) -> Parts:
        """Parts of the reference."""

    @property
    def current(self) -> Parts:
        """Parts of the current sample."""

    @property
    def unseen(self) -> int:
        """Current rows whose string the reference never has."""

    @property
    def distinct(self) -> tuple[int, int]:
        """Distinct strings of the reference and of the current column."""

    @property
    def seen_once(self) -> int:
        """Reference strings that occur once."""

    @property
    def seen_twice(self) -> int:
        """Reference strings that occur twice."""

    @property
    def known(self) -> tuple[bytes, bytes, bytes]:
        """Of each string of the reference, in no order: reference rows (uint64), current rows (uint64), bucket (uint8)."""

    @property
    def unseen_buckets(self) -> list[int]:
        """Current rows per bucket of the strings that the reference never has; a bucket is the top byte of a hash."""

    @property
    def risen(self) -> list[tuple[str, int, int]]:
        """The 5 strings of the reference beyond `names` that the current column has most, with both sides' rows."""

def read_array(name: str, values: object) -> Column:
    """Borrow an object with `__arrow_c_stream__` or `__arrow_c_array__` as one column."""

def read_table(table: object) -> list[Column]:
    """Borrow a table with `__arrow_c_stream__` or `__arrow_c_array__`, column by column."""

def find_range(column: Column, threads: int | None = None) -> tuple[tuple[_Number, _Number] | None, Parts]:
    """Find the least and greatest finite value, if there is one. Cost: O(n)."""

def fit_quantiles(reference: Column, bins: int, threads: int | None = None) -> FittedBins:
    """Lay `bins` bins at the quantiles of a reference.

    Interior edge i is the order statistic of rank floor(i n / bins), found by counting, not by sorting. Tied edges are laid
    once; a value on which two of them fall gets a bin of its own. Raises InputError for no bins or no finite value.
    """

def count_slots(
    column: Column, edges: Column, *, closed: bool, threads: int | None = None
) -> tuple[list[int], Parts]:
    """Count finite values between edges: slot i holds `edges[i-1] <= x < edges[i]`, the outer slots are open.

    With `closed=True` the last edge belongs to the slot below it, so that slots 1 to B are NumPy's bins. Cost: O(n) for up
    to 16 edges and, with even edges, beyond. Raises InputError for edges that do not increase strictly, are
    missing or NaN.
    """

def sum_weights(column: Column, weights: Column, edges: Column) -> list[float]:
    """Sum the weights of the finite values per slot, as `count_slots(closed=True)` cuts them, in the order of the rows.

    Raises InputError for a weight that is missing, NaN or infinite.
    """

def psi(reference: list[int], current: list[int], smoothing: str, clip: float = 0.0) -> float:
    """Compute `sum (p - q) ln(p / q)` of two vectors of counts; bins empty on both sides are left out first."""

def ks_distance(
    reference: Column, current: Column, alternative: str = "two-sided", threads: int | None = None
) -> KsDistance:
    """Measure the exact distance; NaN and missing values are left out, infinities rank as values.

    Cost: O(n + m) and the sorting of a few percent of the rows; O((n + m) log) at worst (identical samples).
    """

@final
class Ranks:
    """A reference sorted once: distinct numbers, the rows up to each of them, and the rows per cell of a map.

    Cost: O(n log n) on one thread, and 16 bytes a distinct value.
    """

    def __new__(cls, reference: Column) -> Ranks: ...
    @property
    def parts(self) -> Parts:
        """What the reference holds beside finite numbers."""

    def ks_distance(
        self, current: Column, alternative: str = "two-sided", threads: int | None = None
    ) -> KsDistance:
        """Measure the exact distance: the numbers of the function `ks_distance` with the raw reference.

        Cost: O(m) and the sorting of a few percent of the current rows; O(m log n) up to 4,096 rows.
        """

def simd_tier() -> Literal["portable", "avx2", "avx512"]:
    """Return the vector instructions in use: the best that the processor has and `TIDEWHEEL_SIMD` allows."""

def ks_pvalue(
    statistic: float, n: int, m: int, alternative: str = "two-sided", method: str = "auto"
) -> tuple[float, bool]:
    """Compute the p-value of a distance as `scipy.stats.ks_2samp` does, and say whether it is exact.

    With `method="accurate"` as precisely as half a second allows; see `tidewheel.drift.ks`.
    """

def wasserstein(reference: Column, current: Column, threads: int | None = None) -> tuple[float, Parts, Parts]:
    """Measure the distance of order 1; NaN and missing values are left out.

    It is infinite when an infinity has not the same share in both samples. Cost: O(n + m) and the sorting of the rows near
    values where the distribution functions cross.
    """

def energy_distance(reference: Column, current: Column) -> tuple[float, Parts, Parts]:
    """Measure the energy distance, on one thread by sorting."""

def cramer_von_mises(reference: Column, current: Column) -> tuple[int, Parts, Parts]:
    """Compute four times Anderson's U, with midranks, on one thread by sorting."""

def anderson_darling(reference: Column, current: Column) -> tuple[float | None, Parts, Parts]:
    """Compute A^2 with midranks, not standardised, on one thread by sorting; None when all values are equal."""

def compare_numeric(
    reference: list[Column], current: list[Column], bins: int, threads: int | None = None
) -> list[NumericComparison]:
    """Compare pairs of numeric columns, columns or their chunks shared out to the threads."""

def compare_categories(
    reference: list[Column], current: list[Column], most: int, threads: int | None = None
) -> list[CategoryComparison]:
    """Compare pairs of string or boolean columns over the `most` most frequent strings of the reference."""

def encode_units(column: Column) -> Units:
    """Give each row the code of its value."""

def count_numbers_by_unit(column: Column, edges: Column, units: Units) -> bytes:
    """Count rows per unit and slot (uint64), row by row of a table; two more places take infinite and missing (NaN) rows."""

def count_names_by_unit(column: Column, names: list[str], units: Units) -> bytes:
    """Count rows per unit and name (uint64), row by row of a table; two more places take other strings and missing rows."""

def gather_numbers(column: Column, rows: Column) -> tuple[bytes, bytes]:
    """Read single rows: their numbers (float64; 0 where missing), and a byte each, 0 where missing.

    Raises InputError for a row beyond the column. Integers beyond 2^53 are rounded. Cost: O(rows log chunks).
    """

def gather_strings(column: Column, rows: Column) -> list[str | None]:
    """Read single rows of strings or booleans ("true", "false"); raises InputError for a row beyond the column."""

def gather_units(units: Units, rows: Column) -> bytes:
    """Read the codes (uint32) of single rows; raises InputError for a row beyond them."""

def chi2_sf(x: float, df: float) -> float:
    """Upper tail of the chi-square law."""

def sum_deviance(x: list[float], mean: list[float]) -> float:
    """Compute `sum x ln(x / mean) + mean - x` with every term at least 0 and without cancellation; `0 ln 0` is 0."""

def f_sf(x: float, df_between: float, df_within: float) -> float:
    """Upper tail of Fisher's F law."""

def normal_sf(z: float) -> float:
    """Upper tail of the standard normal law."""

def kolmogorov_sf(z: float, df: float | None = None) -> float:
    """Upper tail of Kolmogorov's limit law; with `df`, when the scale was estimated with so many degrees of freedom."""

# Mergeable states

@final
class Blocks:
    """Blocks of a numeric column, cut at edges that are finite and increase strictly; the outer blocks are open.

    Edges of 64-bit integers take integers alone, float edges take any numbers.
    """

    def __new__(cls, edges: Column) -> Blocks: ...

@final
class Vocabulary:
    """The strings of a reference, each once."""

    def __new__(cls, names: Column) -> Vocabulary: ...
    def buckets(self) -> bytes:
        """Return the bucket (uint8) of each string, in their order."""

@final
class FittedBlocks:
    """What a reference column gives to a profile."""

    @property
    def domain(self) -> Literal["float64", "int64", "uint64"]:
        """The type of the edges: integers only where they lie beyond 2^53."""

    @property
    def edges(self) -> list[_Number]:
        """Edges of the blocks; none when the reference holds no finite value."""

    @property
    def counts(self) -> list[int]:
        """Finite reference values per block."""

    @property
    def parts(self) -> Parts:
        """What else the reference holds."""

    @property
    def bin_edges(self) -> list[_Number]:
        """Interior edges of the bins at the reference's quantiles; each is an edge of the blocks."""

@final
class KsEnclosure:
    """An interval that holds a Kolmogorov-Smirnov distance."""

    @property
    def lower(self) -> float:
        """The distance is at least this."""

    @property
    def upper(self) -> float:
        """The distance is at most this; equal to `lower` where counts give it exactly."""

    @property
    def n(self) -> int:
        """Reference numbers used."""

    @property
    def m(self) -> int:
        """Current numbers used."""

@final
class Batches:
    """The batches of a table with `__arrow_c_stream__`, one at a time; for one thread at a time."""

    def __new__(cls, table: object) -> Batches: ...
    def __iter__(self) -> Batches: ...
    def __next__(self) -> list[Column]: ...

def fit_blocks(references: list[Column], bins: int, threads: int | None = None) -> list[FittedBlocks]:
    """Fit blocks to numeric columns, about `4 sqrt(n)` (1,024 to 16,384), and `bins` bins whose edges are among theirs.

    Edges are quantiles; a value heavier than a block, and each value of a column with no more distinct values than
    blocks, has a block of its own. Cost: O(n), a few passes, and the sorting of most of a column of many distinct values.
    """

def count_blocks(
    columns: list[Column], blocks: list[Blocks], threads: int | None = None
) -> list[tuple[bytes, Parts]]:
    """Count the finite values of each column per block, as 64-bit integers in the machine's byte order. Cost: O(n)."""

def fit_vocabulary(reference: Column, threads: int | None = None) -> tuple[bytes, bytes, bytes, Parts]:
    """Count strings or booleans, most frequent first: the names end to end, their lengths, their rows, and the parts."""

def count_vocabularies(
    columns: list[Column], vocabularies: list[Vocabulary], threads: int | None = None
) -> list[tuple[bytes, Parts]]:
    """Count the rows of each column per known string; 256 more places take the unseen ones, by bucket."""

def enclose_ks(blocks: Blocks, reference: Column, current: Column) -> KsEnclosure:
    """Enclose the two-sided distance of two columns of counts: minus infinity, the blocks in order, plus infinity."""
