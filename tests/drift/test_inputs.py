"""What can be read: every library, every layout, every type; and what is refused."""

import ctypes
import gc
import weakref

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tidewheel import _native, drift
from tidewheel.drift.reading import inputs
from tidewheel.errors import InputError, InputTypeError

VALUES = [3.0, 1.0, 2.0, 5.0, 4.0, 1.0, 0.0]
EXPECTED = np.histogram(VALUES, 5)[0].tolist()


class ArrayOnly:
    """Has the array half of the Arrow interface alone."""

    def __init__(self, array):
        self._array = array

    def __arrow_c_array__(self, requested_schema=None):
        return self._array.__arrow_c_array__(requested_schema)


def numpy_layouts():
    plain = np.array(VALUES)
    read_only = plain.copy()
    read_only.flags.writeable = False
    misaligned = np.frombuffer(b"x" + plain.tobytes(), np.uint8)[1:].view("f8")
    return {
        "contiguous": plain,
        "negative stride": np.array(VALUES[::-1])[::-1],
        "strided": np.repeat(plain, 3)[::3],
        "column of a C matrix": np.column_stack([plain, plain])[:, 0],
        "column of an F matrix": np.asfortranarray(np.column_stack([plain, plain]))[:, 1],
        "read-only": read_only,
        "byte-swapped": plain.astype(">f8"),
        "misaligned": misaligned,
        "masked": np.ma.array([*VALUES, 9.0], mask=[False] * 7 + [True]),
        "objects": np.array(VALUES, dtype=object),
    }


def number_types():
    names = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">f2", ">i8"]
    return {name: np.array(VALUES).astype(name) for name in names}


def series():
    arrow = pa.array(VALUES)
    dictionary = pa.array([str(value) for value in VALUES]).dictionary_encode()
    numbers = pa.DictionaryArray.from_arrays(
        dictionary.indices, pa.array([float(x) for x in dictionary.dictionary.to_pylist()])
    )
    return {
        "list": VALUES,
        "polars": pl.Series(VALUES),
        "polars chunks": pl.concat([pl.Series(VALUES[:2]), pl.Series(VALUES[2:])], rechunk=False),
        "polars slice": pl.Series([9.0, *VALUES, 9.0]).slice(1, 7),
        "polars int": pl.Series([int(value) for value in VALUES], dtype=pl.Int16),
        "pandas": pd.Series(VALUES),
        "pandas nullable": pd.Series(VALUES, dtype="Float64"),
        "pandas arrow": pd.Series(VALUES, dtype="double[pyarrow]"),
        "arrow": arrow,
        "arrow slice": pa.array([9.0, *VALUES, 9.0]).slice(1, 7),
        "arrow chunks": pa.chunked_array([VALUES[:3], [], VALUES[3:]]),
        "arrow half": pa.array(np.array(VALUES, "f2")),
        "arrow array interface alone": ArrayOnly(arrow),
        "arrow dictionary of numbers": numbers,
        "arrow dictionary of integers": pa.array([int(value) for value in VALUES]).dictionary_encode(),
    }


@pytest.mark.parametrize(
    "values",
    [*numpy_layouts().values(), *number_types().values(), *series().values()],
    ids=[*numpy_layouts(), *number_types(), *series()],
)
def test_numbers_are_read(values):
    column = inputs.read_numbers("values", values)
    found, parts = _native.count_slots(column, inputs.read_array("edges", np.arange(6.0)), closed=True)
    assert found == [0, *EXPECTED, 0]
    assert parts.rows - parts.missing == 7


def test_float32_meets_double_edges_exactly():
    # 0.1 as float32 is above 0.1, and so in the upper bin; 0.7 as float32 is below 0.7, and so in the lower.
    assert drift.histogram(np.array([0.1], "f4"), [0.0, 0.1, 1.0])[0].tolist() == [0, 1]
    assert drift.histogram(np.array([0.7], "f4"), [0.0, 0.7, 1.0])[0].tolist() == [1, 0]


NULLS = {
    "polars": pl.Series([None, 1.0, None, 2.0]),
    "polars bits": pl.Series([7.0, None, 1.0, None, 2.0]).slice(1, 4),
    "polars integers": pl.Series([None, 1, None, 2]),
    "arrow": pa.array([None, 1.0, None, 2.0]),
    "arrow slice past a byte": pa.array([0.0] * 13 + [None, 1.0, None, 2.0]).slice(13),
    "arrow chunks": pa.chunked_array([[None, 1.0], [None, 2.0]]),
    "arrow dictionary": pa.array([None, 1, None, 2]).dictionary_encode(),
    "pandas nullable": pd.Series([None, 1, None, 2], dtype="Int64"),
    "masked": np.ma.array([0.0, 1.0, 0.0, 2.0], mask=[1, 0, 1, 0]),
    "list": [None, 1.0, None, 2.0],
}


@pytest.mark.parametrize("values", NULLS.values(), ids=NULLS.keys())
def test_missing_is_counted_apart(values):
    result = drift.ks([1.0, 2.0], values)
    assert (result.statistic, result.m, result.beside.missing, result.beside.nan) == (0.0, 2, (0, 2), (0, 0))


def test_null_is_not_nan():
    result = drift.ks([1.0], pl.Series([1.0, None, float("nan"), float("nan")]))
    assert (result.beside.missing, result.beside.nan) == ((0, 1), (0, 2))


@pytest.mark.parametrize("length", [1, 7, 8, 9, 2047, 2048, 2049, 10_000])
def test_bitmaps_of_any_length_and_offset(rng, length):
    values = rng.integers(0, 9, length + 11).astype(float)
    there = rng.random(length + 11) < 0.7
    for offset in (0, 1, 7, 8, 11):
        array = pa.array(values, mask=~there).slice(offset, length)
        kept = values[offset : offset + length][there[offset : offset + length]]
        found, parts = _native.count_slots(
            inputs.read_array("x", array), inputs.read_array("e", np.arange(1.0, 9.0)), closed=False
        )
        assert found == np.bincount(kept.astype(int), minlength=9).tolist()
        assert parts.missing == length - len(kept)


def test_unknown_null_count_and_null_buffers():
    # pyarrow counts before it exports, and has no array without memory: these are made by hand, with null_count = -1.
    for bitmap, missing in ((None, 0), (0b1111101, 1)):
        result = drift.ks([3.0], Counted(VALUES, bitmap))
        assert (result.m, result.beside.missing) == (7 - missing, (0, missing))
    assert len(inputs.read_array("x", Counted([]))) == 0
    sliced = pa.array([1.0, None, 3.0]).slice(1)
    assert drift.ks([3.0], sliced).m == 1
    assert drift.ks([1.0], pa.array([1.0, 2.0])).m == 2
    for empty in (
        pa.array([], pa.float64()),
        pa.array([], pa.string()),
        pa.chunked_array([], pa.float64()),
        pl.Series([], dtype=pl.String),
    ):
        assert len(inputs.read_array("x", empty)) == 0


WORDS = ["a", None, "longer than twelve bytes", "", "a", "é"]
STRINGS = {
    "list": WORDS,
    "objects": np.array(WORDS, dtype=object),
    "polars views": pl.Series(WORDS),
    "polars views slice": pl.Series(["x", *WORDS, "x"]).slice(1, 6),
    "polars categorical": pl.Series(WORDS, dtype=pl.Categorical),
    "polars enum": pl.Series(WORDS, dtype=pl.Enum(["unused", *{w for w in WORDS if w is not None}])),
    "polars chunks": pl.concat([pl.Series(WORDS[:2]), pl.Series(WORDS[2:])], rechunk=False),
    "arrow": pa.array(WORDS),
    "arrow slice": pa.array(["x", *WORDS, "x"]).slice(1, 6),
    "arrow large": pa.array(WORDS, pa.large_string()),
    "arrow views": pa.array(WORDS, pa.string_view()),
    "arrow dictionary": pa.array(WORDS).dictionary_encode(),
    "arrow dictionary slice": pa.array(["x", *WORDS]).dictionary_encode().slice(1),
    "dictionary with duplicates and null": pa.DictionaryArray.from_arrays(
        pa.array([0, 5, 1, 2, 3, 4], pa.int8()),
        pa.array(["a", "longer than twelve bytes", "", "a", "é", None]),
    ),
    "pandas": pd.Series(WORDS),
    "pandas objects": pd.Series(WORDS, dtype=object),
    "pandas categorical": pd.Series(WORDS, dtype="category"),
}


@pytest.mark.parametrize("values", STRINGS.values(), ids=STRINGS.keys())
def test_strings_are_read(values):
    (found,) = _native.compare_categories(
        [inputs.read_array("x", values)], [inputs.read_array("x", ["a", "z"])], 50
    )
    assert dict(zip(found.names, found.reference_counts, strict=False)) == {
        "a": 2,
        "longer than twelve bytes": 1,
        "": 1,
        "é": 1,
    }
    assert (found.reference.missing, found.current_counts, found.unseen) == (1, [1, 0, 0, 0, 1], 1)


def test_numpy_strings_are_read():
    (found,) = _native.compare_categories(
        [inputs.read_array("x", np.array(["b", "b", "a"]))], [inputs.read_array("x", ["a"])], 50
    )
    assert (found.names, found.reference_counts) == (["b", "a"], [2, 1, 0])


TIMES = ["2013-01-01T00:00:00", "2013-06-01T12:30:00", None]
TEMPORAL = {
    "numpy": (np.array(TIMES, "M8[us]"), "datetime[us]"),
    "numpy days": (np.array(["2013-01-01", "2013-06-01", None], "M8[D]"), "date[D]"),
    "numpy duration": (np.array([1, 2, "NaT"], "m8[s]"), "duration[s]"),
    "polars": (pl.Series(TIMES).str.to_datetime(time_unit="us"), "datetime[us]"),
    "polars dates": (pl.Series(["2013-01-01", "2013-06-01", None]).str.to_date(), "date[D]"),
    "polars times": (pl.Series(["00:01:00", "12:00:00", None]).str.to_time(), "time[ns]"),
    "arrow duration": (pa.array([1, 2, None], pa.duration("ms")), "duration[ms]"),
    "arrow time32": (pa.array([1, 2, None], pa.time32("s")), "time[s]"),
    "pandas": (pd.Series(pd.to_datetime(pd.Series(TIMES))).astype("datetime64[us]"), "datetime[us]"),
}


@pytest.mark.parametrize(("values", "dtype"), TEMPORAL.values(), ids=TEMPORAL.keys())
def test_times_are_read_as_integers(values, dtype):
    column = inputs.read_array("when", values)
    assert (column.kind, column.dtype, len(column)) == ("temporal", dtype, 3)
    result = drift.ks(values, values)
    assert (result.statistic, result.n, result.beside.missing) == (0.0, 2, (1, 1))


TABLE = {"x": [1.0, 2.0, None], "s": ["a", None, "b"], "b": [True, False, None]}
TABLES = {
    "mapping": TABLE,
    "polars": pl.DataFrame(TABLE),
    "polars slice": pl.concat([pl.DataFrame(TABLE), pl.DataFrame(TABLE)]).slice(3, 3),
    "pandas": pd.DataFrame(TABLE),
    "arrow table": pa.table(TABLE),
    "arrow batch": pa.RecordBatch.from_pydict(TABLE),
    "arrow batch slice": pa.RecordBatch.from_pydict({k: [v[0], *v] for k, v in TABLE.items()}).slice(1),
    "arrow chunks": pa.Table.from_batches(
        [pa.RecordBatch.from_pydict(TABLE).slice(0, 1), pa.RecordBatch.from_pydict(TABLE).slice(1)]
    ),
    "arrow reader": None,
}


@pytest.mark.parametrize("name", TABLES.keys())
def test_tables_are_read(name):
    table = TABLES[name] if TABLES[name] is not None else pa.table(TABLE).to_reader()
    columns = inputs.read_table("reference", table)
    assert [(column.name, column.kind, len(column)) for column in columns.values()] == [
        ("x", "number", 3),
        ("s", "string", 3),
        ("b", "boolean", 3),
    ]
    _, parts = _native.find_range(columns["x"])
    # pandas keeps a missing float as NaN.
    assert parts.missing + parts.nan == 1
    (found,) = _native.compare_categories([columns["b"]], [columns["b"]], 50)
    assert (found.names, found.reference_counts, found.reference.missing) == (["false", "true"], [1, 1, 0], 1)


def test_matrices_are_tables():
    columns = inputs.read_table("reference", np.asfortranarray(np.arange(6.0).reshape(3, 2)))
    assert list(columns) == ["0", "1"]
    assert _native.find_range(columns["1"])[0] == (1.0, 5.0)


REFUSED = {
    "nested": (
        lambda: drift.ks([1.0], pa.array([[1.0]])),
        InputTypeError,
        "'current' must hold numbers, times or strings; got nested",
    ),
    "struct": (
        lambda: drift.ks(pl.Series([{"a": 1}]), [1.0]),
        InputTypeError,
        "'reference' must hold numbers, times or strings; got nested",
    ),
    "binary": (lambda: drift.ks(pl.Series([b"a"]), [1.0]), InputTypeError, "got binary"),
    "mixed objects": (lambda: drift.ks([1.0, "a", object], [1.0]), InputTypeError, "objects of type"),
    "bytes": (
        lambda: drift.ks(b"abc", [1.0]),
        InputTypeError,
        "'reference' must be one-dimensional; got bytes",
    ),
    "a set of numbers": (
        lambda: inputs.read_table("reference", 5),
        InputTypeError,
        "`reference` must be a polars, pandas or Arrow table",
    ),
    "array of three dimensions": (
        lambda: inputs.read_table("current", np.ones((2, 2, 2))),
        InputError,
        "an array of 3 dimensions",
    ),
    "columns of two lengths": (
        lambda: inputs.read_table("current", {"a": [1], "b": [1, 2]}),
        InputError,
        "got 2 rows in 'b', 1 before",
    ),
    "an array as a table": (
        lambda: inputs.read_table("current", pl.Series([1])),
        InputTypeError,
        "a table must have columns; got a single array",
    ),
    "names twice": (
        lambda: inputs.read_table("current", pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])),
        InputError,
        "`current` must not name two columns alike; got 'a' twice",
    ),
}


@pytest.mark.parametrize(("call", "error", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


def test_a_stream_that_fails_gives_its_message():
    def batches():
        yield pa.RecordBatch.from_pydict({"x": [1.0]})
        raise ValueError("the disk is gone")

    reader = pa.RecordBatchReader.from_batches(pa.schema([("x", pa.float64())]), batches())
    with pytest.raises(InputError, match="the disk is gone"):
        inputs.read_table("reference", reader)


def test_a_capsule_is_taken_once():
    class Same:
        def __init__(self, capsule):
            self._capsule = capsule

        def __arrow_c_stream__(self, requested_schema=None):
            return self._capsule

    source = Same(pl.DataFrame({"x": [1.0]}).__arrow_c_stream__())
    assert len(inputs.read_table("reference", source)["x"]) == 1
    with pytest.raises(InputError, match="was consumed before"):
        inputs.read_table("reference", source)


class CountedArray(ctypes.Structure):
    """Arrow's C array, to count its releases."""


RELEASE = ctypes.CFUNCTYPE(None, ctypes.POINTER(CountedArray))
CountedArray._fields_ = [
    ("length", ctypes.c_int64), ("null_count", ctypes.c_int64), ("offset", ctypes.c_int64), ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64), ("buffers", ctypes.POINTER(ctypes.c_void_p)), ("children", ctypes.c_void_p),
    ("dictionary", ctypes.c_void_p), ("release", RELEASE), ("private_data", ctypes.c_void_p),
]  # fmt: skip


class Counted:
    """One array of doubles whose release callback counts its calls; its buffers are NULL where there is nothing."""

    def __init__(self, values, bitmap=None):
        self.released = 0
        self.data = np.array(values, "f8")
        self.bits = None if bitmap is None else np.array([bitmap], "u1")
        parts = self.bits, self.data if values else None
        self.buffers = (ctypes.c_void_p * 2)(*(None if part is None else part.ctypes.data for part in parts))
        self.release = RELEASE(self._count)
        # The schema can be pyarrow's; the array is ours.
        self.schema, _ = pa.array(self.data).__arrow_c_array__()
        self.array = CountedArray(len(values), -1, 0, 2, 0, self.buffers, None, None, self.release, None)

    def _count(self, array):
        self.released += 1
        array.contents.release = RELEASE()

    def __arrow_c_array__(self, requested_schema=None):
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return self.schema, new(ctypes.addressof(self.array), b"arrow_array", None)


def test_arrow_memory_is_released_exactly_once():
    source = Counted(VALUES)
    column = inputs.read_array("x", source)
    assert source.released == 0
    assert _native.find_range(column)[0] == (0.0, 5.0)
    del column
    assert source.released == 1


def test_columns_keep_numpy_memory_alive():
    array = np.arange(1000.0)
    alive = weakref.ref(array)
    column = inputs.read_array("x", array)
    del array
    gc.collect()
    assert alive() is not None
    assert _native.find_range(column)[0] == (0.0, 999.0)
    del column
    gc.collect()
    assert alive() is None


WORDS = {
    "double": pa.array([1.0, np.nan, None, np.inf]),
    "single": pa.array([1.0, np.nan, None, np.inf], pa.float32()),
    "half": pa.array(
        np.array([1.0, np.nan, 2.0, np.inf], np.float16), pa.float16(), mask=np.array([0, 0, 1, 0], bool)
    ),
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS.keys())
def test_nan_in_a_dictionary_is_nan(words):
    codes = pa.array([0, 1, 2, 3, None, 1], pa.int8())
    coded = pa.DictionaryArray.from_arrays(codes, words)
    plain = pa.array([1.0, np.nan, None, np.inf, None, np.nan])
    for found in (drift.ks(coded, [1.0]), drift.ks(plain, [1.0])):
        assert (found.beside.missing[0], found.beside.nan[0], found.beside.infinite[0], found.n) == (
            2,
            2,
            1,
            2,
        )
    many = {"c": pa.chunked_array([coded] * 100)}, {"c": pa.chunked_array([plain] * 100)}
    column = drift.compare(*many)["c"]
    assert (column.nan_reference, column.nan_current) == (200 / 600, 200 / 600)
    assert (column.missing_reference, column.missing_current) == (200 / 600, 200 / 600)
    assert [part.effect.value for part in column.parts] == [0.0] * 4
