"""Any two tables: what the fuzzer of tables draws, builds and knows of the right answer.

A table is a recipe of a few small numbers (`Table`), so that an example can be printed, shrunk and pinned. A kind of column
(`KINDS`) says how a library is given values and what they mean, whichever library holds them; `properties` holds what must
be true of every pair.
"""

import datetime as dt
import math
import uuid
import zoneinfo
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import strategies as st

NAN = float("nan")
DAY = 86_400
SECOND = 10**9
EPOCH = dt.datetime(1970, 1, 1)

#: A value that cannot be read, and one that is missing.
UNREADABLE = "unreadable"


# ---- Values: raw ones for each family, by a number of 0 and more ----


def of(specials: Sequence[Any], further: Callable[[int], Any]) -> Callable[[int], Any]:
    """Give the special values first, then any number of plain ones."""
    return lambda pick: specials[pick] if pick < len(specials) else further(pick - len(specials))


floats = of(
    [0.0, -0.0, 1.5, NAN, math.inf, -math.inf, 1e308, -1e308, 5e-324, 2.0**53, 0.1, -3.0],
    lambda pick: math.sin(pick) * 50,
)
plain_floats = of([0.0, 1.5, -2.25, 100.0, 0.125], lambda pick: math.sin(pick) * 50)
halves = of([0.0, 1.5, NAN, math.inf, 0.25], lambda pick: float(pick % 200) / 4)


def whole(bits: int, signed: bool) -> Callable[[int], Any]:
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return of([0, 1, 2, most, least, most - 1, 7], lambda pick: pick % 100)


huge = of([0, 1, 2**64, -(2**70), 2**63, 2**53 + 1, 10**30], lambda pick: pick)
beyond_floats = of([0, 10**400, -(10**400)], lambda pick: pick)
booleans = of([True, False], lambda pick: pick % 2 == 0)
words = of(
    ["a", "b", "", "é", "a ", "1", "1.5", "2024-01-01", "NULL", "nan", "\0", "a\0b", "<b>&\"'", "\u202e", "x" * 300,
     "😀", 'a,b\n"c"', "true", "e\u0301"],
    lambda pick: f"id{pick}",
)  # fmt: skip
broken_words = of(["a", "\ud83d", "b\udc80", "\ud83d\ude00", "\\ud83d"], lambda pick: f"id{pick}")
wide_words = of(["a", "b", "", "é", "😀", "a" * 40], lambda pick: f"id{pick}")
mixed_words = of([1, "a", 2.5, "1"], lambda pick: f"i{pick}")
few_words = of(["a", "b", "", "é"], lambda pick: "abcdefgh"[pick % 8])
dates = of(
    [dt.date(2024, 2, 29), dt.date(1969, 12, 31), dt.date(1700, 1, 1), dt.date(2250, 1, 1)],
    lambda pick: dt.date(2020, 1, 1) + dt.timedelta(days=pick),
)
times = of(
    [EPOCH, dt.datetime(2024, 2, 29, 12), dt.datetime(1700, 1, 1), dt.datetime(1969, 12, 31, 23, 59, 59)],
    lambda pick: dt.datetime(2023, 1, 1) + dt.timedelta(seconds=7919 * pick),
)
fine_times = of(
    [EPOCH, EPOCH + dt.timedelta(microseconds=1)], lambda pick: times(pick) + dt.timedelta(microseconds=pick)
)
far_times = of(
    [dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23), EPOCH],
    lambda pick: dt.datetime(1000 + pick % 8000, 1, 1),
)
clocks = of([dt.time(), dt.time(23, 59, 59)], lambda pick: dt.time(pick % 24, pick * 7 % 60, pick * 13 % 60))
spans = of(
    [dt.timedelta(), dt.timedelta(days=-1), dt.timedelta(days=400)],
    lambda pick: dt.timedelta(seconds=pick * 61),
)
decimals = of(
    [Decimal("0.00"), Decimal("-1.25"), Decimal("1234567.89"), Decimal("0.01")],
    lambda pick: Decimal(pick) / 4,
)


def aware(pick: int) -> dt.datetime:
    return times(pick).replace(tzinfo=dt.UTC)


def in_tokyo(pick: int) -> dt.datetime:
    return aware(pick).astimezone(zoneinfo.ZoneInfo("Asia/Tokyo"))


def months(pick: int) -> dt.date:
    return dt.date(1970 + pick % 200, 1 + pick % 12, 1)


def one_byte(pick: int) -> bytes:
    return bytes([pick % 256])


def pair(pick: int) -> list[int]:
    return [pick, 1]


def uuid_bytes(pick: int) -> bytes:
    return uuid.UUID(int=pick).bytes


def interval(pick: int) -> pd.Interval:
    return pd.Interval(pick, pick + 1)


#: Anything that a column of Python objects may hold.
ANYTHING = (
    1, "a", 2.5, True, None, NAN, Decimal("1.5"), dt.date(2024, 1, 1), times(1), aware(1), dt.time(1), dt.timedelta(1),
    b"a", (1, 2), [1], {"k": 1}, {1}, 2**70, np.int8(3), np.float32(0.5), np.datetime64("2024-01-01"),
    np.timedelta64(1, "s"), pd.NaT, pd.NA, pd.Timestamp("2024-01-01"), pd.Timedelta(1), pd.Period("2024-01"),
    pd.Interval(0, 1), np.bool_(True), np.str_("a"), complex(1, 2), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"),
    uuid.UUID(int=7), object, 10**400, np.array([1, 2]), np.float64(NAN), math.inf, "\ud83d", np.datetime64("NaT"),
    np.ma.masked, range(3), np.longdouble(1), pd.Timestamp("2024-01-01", tz="Europe/Paris"), frozenset(), Ellipsis,
    np.array(1.5), pd.Series([1]), pl.Series([1]), pa.scalar(1),
)  # fmt: skip


def mixed(pick: int) -> Any:
    return ANYTHING[pick % len(ANYTHING)]


# ---- What a value is, whoever holds it: None (missing) or a family and something comparable ----


def number(value: Any) -> tuple[str, Any]:
    return "number", value.item() if isinstance(value, np.generic) else value


def single(value: float) -> tuple[str, Any]:
    with np.errstate(over="ignore"):
        return "number", float(np.float32(value))


def half(value: float) -> tuple[str, Any]:
    with np.errstate(over="ignore"):
        return "number", float(np.float16(value))


def as_float(value: Any) -> tuple[str, Any]:
    return "number", float(value)


def or_missing(meant: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """NaN is missing there, as in pandas."""
    return lambda value: None if value != value else meant(value)


def word(value: Any) -> tuple[str, Any]:
    return "string", str(value)


def boolean(value: Any) -> tuple[str, Any]:
    return "boolean", bool(value)


def day(value: dt.date) -> tuple[str, Any]:
    return "naive", (value - EPOCH.date()).days * DAY * SECOND


def _nanoseconds(span: dt.timedelta) -> int:
    return (span.days * DAY + span.seconds) * SECOND + span.microseconds * 1000


def instant(value: dt.datetime, unit: int = 1) -> tuple[str, Any]:
    family = "naive" if value.tzinfo is None else "aware"
    counted = _nanoseconds(
        (value if family == "naive" else value.astimezone(dt.UTC)).replace(tzinfo=None) - EPOCH
    )
    return family, counted // unit * unit


def clock(value: dt.time) -> tuple[str, Any]:
    return "clock", ((value.hour * 60 + value.minute) * 60 + value.second) * SECOND + value.microsecond * 1000


def span(value: dt.timedelta) -> tuple[str, Any]:
    return "duration", _nanoseconds(value)


def unreadable(value: Any) -> tuple[str, Any]:
    return UNREADABLE, None


def unknown(value: Any) -> tuple[str, Any]:
    """Nothing is known of it beforehand."""
    return "unknown", None


@dataclass(frozen=True)
class Kind:
    """A kind of column.

    Attributes:
        library: Which library's columns it makes; those of "numpy" and "python" stand in a mapping.
        values: Raw values by number.
        build: Makes the column of raw values, None where one is missing.
        means: What a raw value means.
        nullable: Whether it can hold None.
        strange: Whether the column's type comes from its values, so that a part of it may have another.
    """

    library: str
    values: Callable[[int], Any]
    build: Callable[[list[Any]], Any]
    means: Callable[[Any], Any]
    nullable: bool = True
    strange: bool = False


def polars(dtype: Any) -> Callable[[list[Any]], pl.Series]:
    return lambda values: pl.Series("c", values, dtype=dtype)


def pandas(dtype: Any) -> Callable[[list[Any]], pd.Series]:
    return lambda values: pd.Series(values, dtype=dtype)


def backed(dtype: pa.DataType) -> Callable[[list[Any]], pd.Series]:
    return lambda values: pd.Series(pd.array(values, dtype=pd.ArrowDtype(dtype)))


def arrow(dtype: Any) -> Callable[[list[Any]], pa.Array]:
    return lambda values: pa.array(values, type=dtype)


def numpy(dtype: Any) -> Callable[[list[Any]], Any]:
    return lambda values: np.array(values, dtype=dtype)


def masked(dtype: Any, fill: Any) -> Callable[[list[Any]], Any]:
    def build(values: list[Any]) -> Any:
        filled = [fill if value is None else value for value in values]
        return np.ma.MaskedArray(np.array(filled, dtype=dtype), mask=[value is None for value in values])

    return build


def _categories(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(value for value in values if value is not None))


def _categorical(values: list[Any]) -> pd.Series:
    return pd.Series(pd.Categorical(values, categories=["unused", *_categories(values), "also unused"]))


def _ordered(values: list[Any]) -> pd.Series:
    return pd.Series(pd.Categorical(values, categories=[9999, *_categories(values)], ordered=True))


def _sparse(values: list[Any]) -> pd.Series:
    return pd.Series(
        pd.arrays.SparseArray(np.array([NAN if value is None else value for value in values], "f8"))
    )


def _sparse_ints(values: list[Any]) -> pd.Series:
    return pd.Series(pd.arrays.SparseArray(np.array(values, "i4"), fill_value=7))


def _sparse_bools(values: list[Any]) -> pd.Series:
    return pd.Series(pd.arrays.SparseArray(np.array(values, bool)))


def _half_floats(values: list[Any]) -> pa.Array:
    return pa.array([None if value is None else np.float16(value) for value in values], pa.float16())


def _bool8(values: list[Any]) -> pa.Array:
    return pa.array(values, pa.bool_()).cast(pa.int8()).cast(pa.bool8())


def _encoded(values: list[Any]) -> pa.Array:
    return pa.array(values, pa.float64()).dictionary_encode()


def _encoded_bytes(values: list[Any]) -> pa.Array:
    return pa.array(values, pa.binary()).dictionary_encode()


TENSOR = pa.fixed_shape_tensor(pa.int64(), [2])


def _shaped(values: list[Any], shape: tuple[int, ...]) -> Any:
    column = np.array(values, "f8").reshape(-1, *[1] * len(shape))
    return np.tile(column, (1, *shape))


def _periods(values: list[Any]) -> pd.Series:
    return pd.Series(pd.PeriodIndex([pd.NaT if value is None else value for value in values], freq="D"))


def _intervals(values: list[Any]) -> pd.Series:
    ends = np.array([NAN if value is None else value for value in values], "f8")
    return pd.Series(pd.arrays.IntervalArray.from_arrays(ends, ends + 1))


def _dictionary(values: list[Any], dtype: pa.DataType) -> pa.DictionaryArray:
    """Make a dictionary with an unused entry, one twice, and one that is missing."""
    names = _categories(values)
    entries = [*names, *names[:1], None]
    last = len(entries) - 1
    codes = [
        names.index(value) if value is not None else (None, last)[at % 2] for at, value in enumerate(values)
    ]
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(entries, dtype))


def _run_end(values: list[Any], dtype: pa.DataType) -> Any:
    return pa.compute.run_end_encode(pa.array(values, dtype))


def _extension(values: list[Any], dtype: Any) -> Any:
    return pa.ExtensionArray.from_storage(dtype, pa.array(values, dtype.storage_type))


def _union(values: list[Any]) -> pa.Array:
    types = pa.array([0] * len(values), pa.int8())
    return pa.UnionArray.from_sparse(types, [pa.array(values, pa.int64())])


def _strided(values: list[Any]) -> Any:
    return np.repeat(np.array(values, "i4"), 3)[::3]


def _reversed(values: list[Any]) -> Any:
    return np.array(values[::-1], "f8")[::-1]


def _read_only(values: list[Any]) -> Any:
    array = np.array(values, "f8")
    array.flags.writeable = False
    return array


def _misaligned(values: list[Any]) -> Any:
    return np.frombuffer(b"\0" + np.array(values, "f8").tobytes(), np.uint8)[1:].view("f8")


def _structured(values: list[Any]) -> Any:
    return np.array([(value, "a") for value in values], dtype=[("n", "i8"), ("s", "U4")])


def _record_field(values: list[Any]) -> Any:
    return _structured(values)["n"]


def _objects(values: list[Any]) -> Any:
    array = np.empty(len(values), dtype=object)
    array[:] = None
    for at, value in enumerate(values):
        array[at] = value
    return array


def _mixed_series(values: list[Any]) -> pd.Series:
    return pd.Series(_objects(values), dtype=object)


def _mixed_categories(values: list[Any]) -> pd.Series:
    return pd.Series(pd.Categorical(values, categories=_categories(values)))


def _moments(unit: str, kind: str = "M8") -> Callable[[list[Any]], Any]:
    nothing = np.datetime64("NaT") if kind == "M8" else np.timedelta64("NaT")
    return lambda values: np.array(
        [nothing if value is None else value for value in values], dtype=f"{kind}[{unit}]"
    )


INTS = {f"{sign}int{bits}": (bits, not sign) for sign in ("", "u") for bits in (8, 16, 32, 64)}
CAPITAL_INTS = {f"{sign}Int{bits}": (bits, not sign) for sign in ("", "U") for bits in (8, 16, 32, 64)}

#: All kinds by name. The name tells the library and the type.
KINDS: dict[str, Kind] = {
    # polars
    **{f"polars {name}": Kind("polars", whole(*size), polars(getattr(pl, name)), number)
       for name, size in CAPITAL_INTS.items()},
    "polars Int128": Kind("polars", whole(64, True), polars(pl.Int128), unknown),
    "polars Float64": Kind("polars", floats, polars(pl.Float64), number),
    "polars Float32": Kind("polars", plain_floats, polars(pl.Float32), single),
    "polars Boolean": Kind("polars", booleans, polars(pl.Boolean), boolean),
    "polars String": Kind("polars", words, polars(pl.String), word),
    "polars Categorical": Kind("polars", few_words, polars(pl.Categorical), word),
    "polars Enum": Kind("polars", few_words, polars(pl.Enum(["unused", "", "é", *"hgfedcba"])), word),
    "polars Date": Kind("polars", dates, polars(pl.Date), day),
    "polars Datetime ms": Kind("polars", times, polars(pl.Datetime("ms")), instant),
    "polars Datetime us": Kind("polars", fine_times, polars(pl.Datetime("us")), instant),
    "polars Datetime ns": Kind("polars", fine_times, polars(pl.Datetime("ns")), instant),
    "polars Datetime far": Kind("polars", far_times, polars(pl.Datetime("us")), unknown),
    "polars Datetime UTC": Kind("polars", aware, polars(pl.Datetime("us", "UTC")), instant),
    "polars Datetime Paris": Kind("polars", aware, polars(pl.Datetime("ms", "Europe/Paris")), instant),
    "polars Time": Kind("polars", clocks, polars(pl.Time), clock),
    "polars Duration": Kind("polars", spans, polars(pl.Duration("ms")), span),
    "polars Decimal": Kind("polars", decimals, polars(pl.Decimal(20, 2)), as_float),
    "polars Null": Kind("polars", lambda pick: None, polars(pl.Null), unknown),
    "polars Binary": Kind("polars", one_byte, polars(pl.Binary), unreadable),
    "polars List": Kind("polars", lambda pick: [pick] * (pick % 3), polars(pl.List(pl.Int64)), unreadable),
    "polars Array": Kind("polars", pair, polars(pl.Array(pl.Int64, 2)), unreadable),
    "polars Struct": Kind("polars", lambda pick: {"a\0b": pick}, polars(pl.Struct({"a\0b": pl.Int64})), unreadable),
    "polars Object": Kind("polars", mixed, polars(pl.Object), unreadable),
    # pandas
    **{f"pandas {name}": Kind("pandas", whole(*size), pandas(name), number, nullable=False) for name, size in INTS.items()},
    **{f"pandas {name}": Kind("pandas", whole(*size), pandas(name), number) for name, size in CAPITAL_INTS.items()},
    "pandas float64": Kind("pandas", floats, pandas("float64"), or_missing(number)),
    "pandas float32": Kind("pandas", plain_floats, pandas("float32"), single),
    "pandas float16": Kind("pandas", halves, pandas("float16"), or_missing(half)),
    "pandas Float64": Kind("pandas", floats, pandas("Float64"), or_missing(number)),
    "pandas bool": Kind("pandas", booleans, pandas("bool"), boolean, nullable=False),
    "pandas boolean": Kind("pandas", booleans, pandas("boolean"), boolean),
    "pandas str": Kind("pandas", words, pandas("str"), word),
    "pandas string[python]": Kind("pandas", words, pandas(pd.StringDtype("python")), word),
    "pandas string[pyarrow]": Kind("pandas", words, pandas(pd.StringDtype("pyarrow")), word),
    "pandas strings broken": Kind("pandas", broken_words, pandas(object), word),
    "pandas object strings": Kind("pandas", words, pandas(object), word),
    "pandas object numbers": Kind("pandas", huge, pandas(object), unknown, strange=True),
    "pandas object dates": Kind("pandas", dates, pandas(object), day),
    "pandas object times": Kind("pandas", times, pandas(object), instant),
    "pandas object clocks": Kind("pandas", clocks, pandas(object), clock),
    "pandas object decimals": Kind("pandas", decimals, pandas(object), as_float),
    "pandas object booleans": Kind("pandas", booleans, pandas(object), boolean),
    "pandas object mixed": Kind("pandas", mixed, _mixed_series, unknown, strange=True),
    "pandas category": Kind("pandas", few_words, _categorical, word),
    "pandas category ordered": Kind("pandas", whole(16, True), _ordered, word),
    "pandas category of times": Kind("pandas", times, _mixed_categories, unknown),
    "pandas category of floats": Kind("pandas", plain_floats, _mixed_categories, unknown),
    "pandas category of booleans": Kind("pandas", booleans, _mixed_categories, unknown),
    "pandas category mixed": Kind("pandas", mixed_words, _mixed_categories, unknown, strange=True),
    "pandas category of intervals": Kind("pandas", interval, _mixed_categories, unknown),
    "pandas Sparse": Kind("pandas", floats, _sparse, or_missing(number)),
    "pandas Sparse int": Kind("pandas", whole(32, True), _sparse_ints, number, nullable=False),
    "pandas Sparse bool": Kind("pandas", booleans, _sparse_bools, boolean, nullable=False),
    "pandas Period": Kind("pandas", dates, _periods, day),
    "pandas Interval": Kind("pandas", plain_floats, _intervals, unknown),
    "pandas datetime64[s]": Kind("pandas", times, pandas("datetime64[s]"), instant),
    "pandas datetime64[us]": Kind("pandas", fine_times, pandas("datetime64[us]"), instant),
    "pandas datetime64[ns]": Kind("pandas", fine_times, pandas("datetime64[ns]"), instant),
    "pandas datetime64 far": Kind("pandas", far_times, pandas("datetime64[us]"), unknown),
    "pandas datetime64 UTC": Kind("pandas", aware, pandas("datetime64[us, UTC]"), instant),
    "pandas datetime64 zone": Kind("pandas", aware, pandas("datetime64[ns, America/New_York]"), instant),
    "pandas timedelta64": Kind("pandas", spans, pandas("timedelta64[us]"), span),
    "pandas complex": Kind("pandas", lambda pick: complex(pick, 1), pandas("complex128"), unreadable, nullable=False),
    "pandas arrow int64": Kind("pandas", whole(64, True), backed(pa.int64()), number),
    "pandas arrow uint64": Kind("pandas", whole(64, False), backed(pa.uint64()), number),
    "pandas arrow double": Kind("pandas", plain_floats, backed(pa.float64()), number),
    "pandas arrow bool": Kind("pandas", booleans, backed(pa.bool_()), boolean),
    "pandas arrow string": Kind("pandas", words, backed(pa.string()), word),
    "pandas arrow dictionary": Kind("pandas", few_words, backed(pa.dictionary(pa.int8(), pa.string())), word),
    "pandas arrow decimal": Kind("pandas", decimals, backed(pa.decimal128(20, 2)), as_float),
    "pandas arrow date": Kind("pandas", dates, backed(pa.date32()), day),
    "pandas arrow timestamp": Kind("pandas", aware, backed(pa.timestamp("us", "Asia/Tokyo")), instant),
    "pandas arrow time": Kind("pandas", clocks, backed(pa.time64("us")), clock),
    "pandas arrow duration": Kind("pandas", spans, backed(pa.duration("ms")), span),
    "pandas arrow list": Kind("pandas", lambda pick: [pick], backed(pa.list_(pa.int64())), unreadable),
    "pandas arrow struct": Kind("pandas", lambda pick: {"a": pick}, backed(pa.struct({"a": pa.int64()})), unreadable),
    "pandas arrow binary": Kind("pandas", one_byte, backed(pa.binary()), unreadable),
    "pandas arrow null": Kind("pandas", lambda pick: None, backed(pa.null()), unknown),
    # pyarrow
    **{f"arrow {name}": Kind("pyarrow", whole(*size), arrow(getattr(pa, name)()), number) for name, size in INTS.items()},
    "arrow double": Kind("pyarrow", floats, arrow(pa.float64()), number),
    "arrow float": Kind("pyarrow", plain_floats, arrow(pa.float32()), single),
    "arrow halffloat": Kind("pyarrow", halves, _half_floats, half),
    "arrow bool": Kind("pyarrow", booleans, arrow(pa.bool_()), boolean),
    "arrow bool8": Kind("pyarrow", booleans, _bool8, boolean),
    "arrow string": Kind("pyarrow", words, arrow(pa.string()), word),
    "arrow large_string": Kind("pyarrow", words, arrow(pa.large_string()), word),
    "arrow string_view": Kind("pyarrow", words, arrow(pa.string_view()), word),
    "arrow dictionary": Kind("pyarrow", few_words, partial(_dictionary, dtype=pa.string()), word),
    "arrow dictionary of ints": Kind("pyarrow", whole(32, True), partial(_dictionary, dtype=pa.int32()), unknown),
    "arrow dictionary of floats": Kind("pyarrow", floats, _encoded, unknown),
    "arrow dictionary of bytes": Kind("pyarrow", one_byte, _encoded_bytes, unreadable),
    "arrow date32": Kind("pyarrow", dates, arrow(pa.date32()), day),
    "arrow date64": Kind("pyarrow", dates, arrow(pa.date64()), day),
    "arrow timestamp s": Kind("pyarrow", times, arrow(pa.timestamp("s")), instant),
    "arrow timestamp ns": Kind("pyarrow", fine_times, arrow(pa.timestamp("ns")), instant),
    "arrow timestamp far": Kind("pyarrow", far_times, arrow(pa.timestamp("ms")), unknown),
    "arrow timestamp zone": Kind("pyarrow", aware, arrow(pa.timestamp("us", "Europe/Paris")), instant),
    "arrow timestamp offset": Kind("pyarrow", aware, arrow(pa.timestamp("ms", "+02:00")), instant),
    "arrow time32": Kind("pyarrow", clocks, arrow(pa.time32("s")), clock),
    "arrow time64": Kind("pyarrow", clocks, arrow(pa.time64("ns")), clock),
    "arrow duration": Kind("pyarrow", spans, arrow(pa.duration("s")), span),
    "arrow interval": Kind("pyarrow", lambda pick: (pick, 1, 1), arrow(pa.month_day_nano_interval()), unreadable),
    "arrow decimal32": Kind("pyarrow", decimals, arrow(pa.decimal32(9, 2)), as_float),
    "arrow decimal64": Kind("pyarrow", decimals, arrow(pa.decimal64(18, 2)), as_float),
    "arrow decimal128": Kind("pyarrow", decimals, arrow(pa.decimal128(38, 2)), as_float),
    "arrow decimal256": Kind("pyarrow", decimals, arrow(pa.decimal256(76, 2)), as_float),
    "arrow null": Kind("pyarrow", lambda pick: None, arrow(pa.null()), unknown),
    "arrow binary": Kind("pyarrow", one_byte, arrow(pa.binary()), unreadable),
    "arrow binary_view": Kind("pyarrow", one_byte, arrow(pa.binary_view()), unreadable),
    "arrow fixed binary": Kind("pyarrow", lambda pick: bytes([pick % 256, 0]), arrow(pa.binary(2)), unreadable),
    "arrow list": Kind("pyarrow", lambda pick: [pick] * (pick % 3), arrow(pa.list_(pa.int64())), unreadable),
    "arrow large_list": Kind("pyarrow", lambda pick: ["a"], arrow(pa.large_list(pa.string())), unreadable),
    "arrow list_view": Kind("pyarrow", lambda pick: [pick], arrow(pa.list_view(pa.int64())), unreadable),
    "arrow fixed list": Kind("pyarrow", pair, arrow(pa.list_(pa.int64(), 2)), unreadable),
    "arrow struct": Kind("pyarrow", lambda pick: {"a": pick}, arrow(pa.struct({"a": pa.int64()})), unreadable),
    "arrow map": Kind("pyarrow", lambda pick: [("k", pick)], arrow(pa.map_(pa.string(), pa.int64())), unreadable),
    "arrow union": Kind("pyarrow", lambda pick: pick, _union, unreadable, nullable=False),
    "arrow run-end": Kind("pyarrow", plain_floats, partial(_run_end, dtype=pa.float64()), number),
    "arrow run-end strings": Kind("pyarrow", few_words, partial(_run_end, dtype=pa.string()), word),
    "arrow uuid": Kind("pyarrow", uuid_bytes, partial(_extension, dtype=pa.uuid()), unreadable),
    "arrow json": Kind("pyarrow", lambda pick: "{}", partial(_extension, dtype=pa.json_()), unknown),
    "arrow opaque": Kind("pyarrow", lambda pick: pick, partial(_extension, dtype=pa.opaque(pa.int64(), "t", "v")), unknown),
    "arrow tensor": Kind("pyarrow", pair, partial(_extension, dtype=TENSOR), unreadable),
    "arrow period": Kind("pyarrow", dates, lambda v: pa.array(_periods(v)), unreadable),
    "arrow interval ext": Kind("pyarrow", plain_floats, lambda v: pa.array(_intervals(v)), unreadable),
    # NumPy
    **{f"numpy {name}": Kind("numpy", whole(*size), numpy(name), number, nullable=False) for name, size in INTS.items()},
    "numpy float64": Kind("numpy", floats, numpy("f8"), number, nullable=False),
    "numpy float32": Kind("numpy", plain_floats, numpy("f4"), single, nullable=False),
    "numpy float16": Kind("numpy", halves, numpy("f2"), half, nullable=False),
    "numpy longdouble": Kind("numpy", floats, numpy(np.longdouble), unreadable, nullable=False),
    "numpy complex": Kind("numpy", floats, numpy("c16"), unreadable, nullable=False),
    "numpy bool": Kind("numpy", booleans, numpy(bool), boolean, nullable=False),
    "numpy big-endian": Kind("numpy", whole(64, True), numpy(">i8"), number, nullable=False),
    "numpy big-endian floats": Kind("numpy", floats, numpy(">f8"), number, nullable=False),
    "numpy U": Kind("numpy", wide_words, numpy(str), word, nullable=False),
    "numpy S": Kind("numpy", lambda pick: b"%d" % pick, numpy("S8"), unreadable, nullable=False),
    "numpy StringDType": Kind("numpy", words, numpy(np.dtypes.StringDType(na_object=None)), word),
    "numpy objects": Kind("numpy", mixed, _objects, unknown, strange=True),
    "numpy object strings": Kind("numpy", broken_words, _objects, word),
    "numpy object ints": Kind("numpy", huge, _objects, unknown, strange=True),
    "numpy too large": Kind("numpy", beyond_floats, _objects, unknown, strange=True),
    "numpy masked": Kind("numpy", floats, masked("f8", NAN), number),
    "numpy masked ints": Kind("numpy", whole(64, True), masked("i8", 5), number),
    "numpy masked strings": Kind("numpy", few_words, masked("U4", "z"), word),
    "numpy masked bools": Kind("numpy", booleans, masked(bool, True), boolean),
    "numpy masked times": Kind("numpy", times, masked("M8[us]", EPOCH), instant),
    "numpy masked objects": Kind("numpy", few_words, masked(object, 7), word),
    "numpy strided": Kind("numpy", whole(32, True), _strided, number, nullable=False),
    "numpy reversed": Kind("numpy", floats, _reversed, number, nullable=False),
    "numpy read-only": Kind("numpy", floats, _read_only, number, nullable=False),
    "numpy misaligned": Kind("numpy", floats, _misaligned, number, nullable=False),
    "numpy structured": Kind("numpy", whole(64, True), _structured, unreadable, nullable=False),
    "numpy field": Kind("numpy", whole(64, True), _record_field, number, nullable=False),
    "numpy void": Kind("numpy", lambda pick: b"ab", numpy("V2"), unreadable, nullable=False),
    "numpy matrix of one": Kind("numpy", floats, partial(_shaped, shape=(1,)), number, nullable=False),
    "numpy matrix of two": Kind("numpy", floats, partial(_shaped, shape=(2,)), unreadable, nullable=False),
    "numpy cube": Kind("numpy", floats, partial(_shaped, shape=(1, 1)), unreadable, nullable=False),
    "numpy datetime64[D]": Kind("numpy", dates, _moments("D"), day),
    "numpy datetime64[ns]": Kind("numpy", fine_times, _moments("ns"), instant),
    "numpy datetime64[M]": Kind("numpy", months, _moments("M"), day),
    "numpy datetime64[25s]": Kind("numpy", times, _moments("25s"), partial(instant, unit=25 * SECOND)),
    "numpy timedelta64[ms]": Kind("numpy", spans, _moments("ms", "m8"), span),
    "numpy timedelta64 generic": Kind("numpy", lambda pick: pick, numpy("m8"), unknown, nullable=False),
    "numpy timedelta64[Y]": Kind("numpy", lambda pick: pick, numpy("m8[Y]"), unknown, nullable=False),
    # Python
    "python ints": Kind("python", whole(64, True), list, number),
    "python huge ints": Kind("python", huge, list, unknown, strange=True),
    "python floats": Kind("python", plain_floats, list, number),
    "python nan": Kind("python", floats, list, number),
    "python strings": Kind("python", words, list, word),
    "python broken strings": Kind("python", broken_words, tuple, word),
    "python booleans": Kind("python", booleans, list, boolean),
    "python dates": Kind("python", dates, list, day),
    "python times": Kind("python", times, list, instant),
    "python aware": Kind("python", aware, list, instant),
    "python zones": Kind("python", in_tokyo, list, instant),
    "python clocks": Kind("python", clocks, list, clock),
    "python spans": Kind("python", spans, list, span),
    "python decimals": Kind("python", decimals, list, as_float),
    "python mixed": Kind("python", mixed, list, unknown, strange=True),
    "python lists": Kind("python", lambda pick: [pick] * (pick % 3), list, unreadable, strange=True),
    "pandas Index": Kind("index", words, lambda v: pd.Index(v, dtype=object), word),
    "pandas DatetimeIndex": Kind("index", times, pd.DatetimeIndex, instant),
    "pandas RangeIndex": Kind("index", lambda pick: pick, lambda v: pd.Index(np.array(v, "i8")), number, nullable=False),
    "pandas CategoricalIndex": Kind("index", few_words, pd.CategoricalIndex, word),
    "pandas IntervalIndex": Kind("index", plain_floats, lambda v: pd.IntervalIndex(_intervals(v).array), unknown),
}  # fmt: skip

#: Which libraries' columns a table of each kind may have.
TABLES: dict[str, tuple[str, ...]] = {
    "polars": ("polars",),
    "lazy": ("polars",),
    "pandas": ("pandas",),
    "pyarrow": ("pyarrow",),
    "batch": ("pyarrow",),
    "stream": ("pyarrow",),
    "mapping": ("polars", "pandas", "pyarrow", "numpy", "python", "index"),
    "matrix": ("numpy",),
}
MATRIX = [
    "numpy float64",
    "numpy int64",
    "numpy bool",
    "numpy U",
    "numpy datetime64[D]",
    "numpy big-endian",
    "numpy masked",
]
LAYOUTS = ("plain", "sliced", "chunked")


@dataclass(frozen=True)
class Column:
    """A column: its kind, and its rows as a pattern of picks that repeats; None is a missing row.

    Each time that the pattern begins again its picks grow by `step`, so that a short pattern has many values.
    """

    kind: str
    picks: tuple[int | None, ...]
    step: int = 0
    layout: str = "plain"

    def raw(self, start: int, stop: int) -> list[Any]:
        """Give the raw values of some rows."""
        kind, length = KINDS[self.kind], len(self.picks)
        found = []
        for row in range(start, stop):
            pick = self.picks[row % length]
            if pick is None and not kind.nullable:
                pick = 0
            found.append(None if pick is None else kind.values(pick + row // length * self.step))
        return found

    def build(self, start: int, stop: int) -> Any:
        """Make the column of some rows."""
        kind, rows = KINDS[self.kind], self.raw(start, stop)
        if self.layout == "sliced" and kind.library != "index":
            around = [None if kind.nullable else kind.values(0)]
            made = kind.build([*around, *rows, *around])
            return made.iloc[1:-1] if kind.library == "pandas" else made[1:-1]
        if self.layout == "chunked" and kind.library in {"polars", "pyarrow"}:
            middle = len(rows) // 2
            parts = [kind.build(rows[:middle]), kind.build(rows[middle:])]
            return pl.concat(parts, rechunk=False) if kind.library == "polars" else pa.chunked_array(parts)
        return kind.build(rows)

    def meanings(self, rows: int) -> list[Any]:
        """Say what each row means: None, or a family and a value."""
        kind = KINDS[self.kind]
        return [None if raw is None else kind.means(raw) for raw in self.raw(0, rows)]


@dataclass(frozen=True)
class Table:
    """A table: its library, its rows, and its columns by name, which some libraries allow twice."""

    library: str
    rows: int
    columns: tuple[tuple[Any, Column], ...]

    def build(self, start: int = 0, stop: int | None = None) -> Any:
        """Make the table, or some rows of it."""
        stop = self.rows if stop is None else stop
        names = [name for name, _ in self.columns]
        kept = [replace(one, layout="plain") if self.library == "batch" else one for _, one in self.columns]
        made = [column.build(start, stop) for column in kept]
        match self.library:
            case "polars" | "lazy":
                frame = pl.DataFrame(dict(zip(names, made, strict=True)))
                return frame.lazy() if self.library == "lazy" else frame
            case "pandas":
                frame = pd.DataFrame({at: one.reset_index(drop=True) for at, one in enumerate(made)})
                frame.columns = pd.Index(names, dtype=object, tupleize_cols=False)
                return frame
            case "pyarrow" | "stream" | "batch":
                table = pa.Table.from_arrays(made, names=names)
                if self.library == "stream":
                    return table.to_reader(max_chunksize=7)
                if self.library == "batch":
                    return (table.to_batches() or [table])[0]
                return table
            case "matrix":
                if not made:
                    return np.empty((stop - start, 0))
                return (np.ma if np.ma.isMaskedArray(made[0]) else np).column_stack(made)
        return dict(zip(names, made, strict=True))

    @property
    def names(self) -> list[str]:
        """The names of the columns, as text."""
        return [str(name).encode(errors="backslashreplace").decode() for name, _ in self.columns]

    @property
    def has_twins(self) -> bool:
        """Whether two columns have one name."""
        return len(set(self.names)) < len(self.names)

    def get(self, name: str) -> Column | None:
        """Find a column by its name."""
        return next(
            (column for one, (_, column) in zip(self.names, self.columns, strict=True) if one == name), None
        )


@dataclass(frozen=True)
class Sides:
    """Two tables, and how they are looked at."""

    reference: Table
    current: Table
    extra: str = ""


# ---- What is drawn ----

NAMES = ["x", "y", "0", "1", "", "a b", "é", "z\0z", "<i>&", "\n", "x" * 70]
KEYS = [*NAMES, 0, 1.5, ("a", 1), "\ud83d", None, True]
ROWS = [0, 1, 2, 3, 7, 20, 45, 60, 300, 900]

_picks = st.lists(st.one_of(st.none(), st.integers(0, 8), st.integers(0, 60)), min_size=1, max_size=6).map(
    tuple
)


def kinds_of(library: str) -> list[str]:
    return [name for name, kind in KINDS.items() if kind.library in TABLES[library]]


OF_TABLE = {library: MATRIX if library == "matrix" else kinds_of(library) for library in TABLES}


@st.composite
def columns(draw: Any, library: str, like: Column | None = None) -> Column:
    """Draw a column for a table; often of a kind that means the same as another side's."""
    kinds = OF_TABLE[library]
    choice = draw(st.integers(0, 9)) if like is not None else 9
    if like is not None and choice < 8:
        meant = KINDS[like.kind].means
        same = [
            name
            for name in kinds
            if KINDS[name].means is meant and KINDS[name].values is KINDS[like.kind].values
        ]
        alike = [name for name in kinds if KINDS[name].means is meant]
        kind = (
            like.kind if like.kind in kinds and choice < 4 else draw(st.sampled_from(same or alike or kinds))
        )
        if choice % 2 == 0:
            return replace(like, kind=kind, layout=draw(st.sampled_from(LAYOUTS)))
    else:
        kind = draw(st.sampled_from(kinds))
    return Column(kind, draw(_picks), draw(st.sampled_from([0, 0, 1, 7])), draw(st.sampled_from(LAYOUTS)))


@st.composite
def tables(draw: Any, like: Table | None = None) -> Table:
    """Draw a table; its columns are often those of another one."""
    library = draw(st.sampled_from(list(TABLES)))
    rows = draw(st.sampled_from(ROWS))
    if library == "matrix":
        kind = draw(st.sampled_from(MATRIX))
        width = draw(st.integers(0, 3))
        made = [replace(draw(columns("matrix")), kind=kind, layout="plain") for _ in range(width)]
        return Table(library, rows, tuple((str(at), one) for at, one in enumerate(made)))
    keys = KEYS if library in {"pandas", "mapping"} else NAMES
    found: list[tuple[Any, Column]] = []
    for name, column in like.columns if like is not None else ():
        kept = draw(st.integers(0, 9))
        if kept and (name in keys or isinstance(name, str)):
            key = str(name).encode(errors="backslashreplace").decode() if name not in keys else name
            found.append((key, draw(columns(library, column))))
    for name in draw(st.lists(st.sampled_from(keys), max_size=1 if found else 3, unique_by=str)):
        if str(name) not in {str(key) for key, _ in found}:
            found.append((name, draw(columns(library))))
    if found and library in {"pandas", "pyarrow"} and draw(st.integers(0, 19)) == 7:
        found.append((found[0][0], draw(columns(library))))
    if draw(st.integers(0, 4)) == 3:
        found = found[::-1]
    return Table(library, rows, tuple(found))


EXTRAS = (
    "", "", "", "evidently", "nannyml", "wasserstein", "unit", "by", "weights", "thresholds", "categorical", "numeric",
    "sliced", "files", "files",
)  # fmt: skip


@st.composite
def sides(draw: Any) -> Sides:
    """Draw two tables."""
    reference = draw(tables())
    return Sides(reference, draw(tables(reference)), draw(st.sampled_from(EXTRAS)))
