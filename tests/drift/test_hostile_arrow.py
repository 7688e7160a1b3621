"""Arrow structs that lie: an error in words, never a crash. `make fuzz` looks for more; what it finds is pinned here."""

import ctypes
import threading
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int64, c_void_p, py_object

import pytest

from tidewheel import _native, drift
from tidewheel.errors import InputError, InputTypeError


class Schema(ctypes.Structure):
    """Arrow's C schema."""


class Array(ctypes.Structure):
    """Arrow's C array."""


RELEASE_SCHEMA, RELEASE_ARRAY = CFUNCTYPE(None, POINTER(Schema)), CFUNCTYPE(None, POINTER(Array))
Schema._fields_ = [
    ("format", c_char_p), ("name", c_char_p), ("metadata", c_char_p), ("flags", c_int64), ("n_children", c_int64),
    ("children", POINTER(POINTER(Schema))), ("dictionary", POINTER(Schema)), ("release", RELEASE_SCHEMA),
    ("private_data", c_void_p),
]  # fmt: skip
Array._fields_ = [
    ("length", c_int64), ("null_count", c_int64), ("offset", c_int64), ("n_buffers", c_int64), ("n_children", c_int64),
    ("buffers", POINTER(c_void_p)), ("children", POINTER(POINTER(Array))), ("dictionary", POINTER(Array)),
    ("release", RELEASE_ARRAY), ("private_data", c_void_p),
]  # fmt: skip


@RELEASE_SCHEMA
def release_schema(schema):
    schema.contents.release = RELEASE_SCHEMA()


@RELEASE_ARRAY
def release_array(array):
    array.contents.release = RELEASE_ARRAY()


def pointers(kind, items):
    return (POINTER(kind) * len(items))(*(ctypes.pointer(item) for item in items))


class Hostile:
    """One struct of ours, as an object with the array half of the Arrow interface; it owns all that it points to."""

    def __init__(self, form=b"g", buffers=(), length=2, children=(), words=None, **lies):
        self.buffers = [
            None if data is None else ctypes.create_string_buffer(data, len(data)) for data in buffers
        ]
        at = (c_void_p * len(buffers))(
            *(None if one is None else ctypes.addressof(one) for one in self.buffers)
        )
        self.children, self.words = list(children), words
        self.schema = Schema(
            form, b"x", None, 0, len(self.children), pointers(Schema, [one.schema for one in self.children]),
            None if words is None else ctypes.pointer(words.schema), release_schema, None,
        )  # fmt: skip
        self.array = Array(
            length, 0, 0, len(buffers), len(self.children), at, pointers(Array, [one.array for one in self.children]),
            None if words is None else ctypes.pointer(words.array), release_array, None,
        )  # fmt: skip
        for name, value in lies.items():
            setattr(self.array, name, value)

    def __arrow_c_array__(self, requested_schema=None):
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = py_object, [c_void_p, c_char_p, c_void_p]
        return (
            new(ctypes.addressof(self.schema), b"arrow_schema", None),
            new(ctypes.addressof(self.array), b"arrow_array", None),
        )


def doubles(count=2, length=None, **lies):
    return Hostile(b"g", [None, bytes(8 * count)], count if length is None else length, **lies)


def table(*children, length=2, **lies):
    return Hostile(b"+s", [None], length, children, **lies)


def released(part):
    part.array.release = RELEASE_ARRAY()
    return part


def without_schema(part):
    part.schema.release = RELEASE_SCHEMA()
    return part


REFUSED = {
    "negative length": (doubles(length=-1), "must have a length from 0 to 281474976710656; got -1"),
    "negative offset": (doubles(offset=-1), "must have an offset from 0 to 281474976710656; got -1"),
    "overflowing offset": (doubles(offset=2**63 - 1), "got 9223372036854775807"),
    "no values": (Hostile(b"g", [None, None]), "of 2 rows must have its buffer 1; got none"),
    "no buffers at all": (Hostile(b"g", [], length=2**48), "must have its buffer 1; got none"),
    "no bits": (Hostile(b"b", [None, None]), "must have its buffer 1; got none"),
    "no offsets": (Hostile(b"u", [None, None, b"ab"]), "must have its buffer 1; got none"),
    "strings end below 0": (
        Hostile(b"u", [None, b"\0" * 8 + b"\xff" * 4, b"ab"]),
        "must end at 0 or later; got -1",
    ),
    "no views": (Hostile(b"vu", [None, None, None]), "must have its buffer 1; got none"),
    "no lengths of view buffers": (
        Hostile(b"vu", [None, bytes(32), b"ab", None]),
        "must have the lengths of its buffers; got none",
    ),
    "no dictionary": (
        Hostile(b"c", [None, bytes(2)], words=doubles(), dictionary=None),
        "must have the dictionary that its schema has; got none",
    ),
    "released dictionary": (
        Hostile(b"c", [None, bytes(2)], words=released(doubles())),
        "got one with a part released before",
    ),
    "released dictionary of the schema": (
        Hostile(b"c", [None, bytes(2)], words=without_schema(doubles())),
        "must have all its parts; got one missing or released before",
    ),
    "codes that are no integers": (
        Hostile(b"g", [None, bytes(16)], words=doubles()),
        'must have integers as codes; got the format "g"',
    ),
    "table with a shorter column": (
        table(doubles(1)),
        "column 0 of an Arrow batch must have at least 2 rows; got 1",
    ),
    "table with an offset past its column": (table(doubles(2), offset=1), "at least 3 rows; got 2"),
    "table with a released column": (table(released(doubles())), "a part released before"),
    "table with a released schema": (table(without_schema(doubles())), "missing or released before"),
    "table without its columns": (
        table(doubles(), n_children=0),
        "must have all columns of its schema",
    ),
    "table with missing rows": (
        Hostile(b"+s", [b"\x01"], 2, [doubles()], null_count=-1),
        "must not have missing rows as a whole",
    ),
}


def read(source):
    return _native.read_table(source) if source.schema.format == b"+s" else [_native.read_array("x", source)]


@pytest.mark.parametrize(("source", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_lies_are_refused(source, text):
    with pytest.raises((InputError, InputTypeError)) as caught:
        read(source)
    assert text in str(caught.value)


def chain(links):
    source = doubles()
    for _ in range(links):
        source = Hostile(b"c", [None, bytes(2)], words=source)
    return source


READ = {
    # No buffer of a null column says how long it is: its length must cost nothing.
    "endless nulls": (Hostile(b"n", [], 2**48), "null", 2**48),
    "endless null words": (Hostile(b"c", [None, bytes(2)], words=Hostile(b"n", [], 2**48)), "null", 2),
    "dictionary of a dictionary": (chain(2), "unsupported", 2),
    "a chain of dictionaries": (chain(10_000), "unsupported", 2),
    "unknown unit": (Hostile(b"tsx:", [None, bytes(16)]), "unsupported", 2),
    "unknown format": (Hostile(b"\xff", [None, bytes(16)]), "unsupported", 2),
    "no format": (Hostile(None, [None, bytes(16)]), "unsupported", 2),
    "nothing at all": (Hostile(b"u", [None, None, None], 0), "null", 0),
}


@pytest.mark.parametrize(("source", "kind", "rows"), READ.values(), ids=READ.keys())
def test_odd_ones_are_read(source, kind, rows):
    (column,) = read(source)
    assert (column.kind, len(column)) == (kind, rows)


def counted(source):
    (column,) = read(source)
    ((data, parts),) = _native.count_vocabularies([column], [_native.Vocabulary(words(b"a"))])
    return list(memoryview(data).cast("q")), parts.missing


def words(text):
    return _native.read_array(
        "words", Hostile(b"u", [None, (0).to_bytes(4, "little") + len(text).to_bytes(4, "little"), text], 1)
    )


def offsets(*ends):
    return b"".join(end.to_bytes(4, "little", signed=True) for end in ends)


POINTING_OUTSIDE = {
    "offsets beyond the end": Hostile(b"u", [None, offsets(0, 2**31 - 1, 1), b"a"]),
    "offsets below the start": Hostile(b"u", [None, offsets(-5, 0, 1), b"a"]),
    "codes beyond the words": Hostile(
        b"c", [None, b"\x7f\x00"], words=Hostile(b"u", [None, offsets(0, 1), b"a"], 1)
    ),
    "codes below 0": Hostile(b"c", [None, b"\xff\x00"], words=Hostile(b"u", [None, offsets(0, 1), b"a"], 1)),
    "views of a buffer that is not there": Hostile(
        b"vu", [None, b"\x20" + bytes(7) + b"\x09" + bytes(7) + b"\x01\0\0\0a" + bytes(11), bytes(0)]
    ),
}


@pytest.mark.parametrize("source", POINTING_OUTSIDE.values(), ids=POINTING_OUTSIDE.keys())
def test_what_points_outside_counts_as_missing(source):
    places, missing = counted(source)
    assert sum(places) + missing == 2
    assert missing >= 1


def test_bytes_of_a_part_reach_to_the_end_of_the_whole():
    # Two rows of a column of three: the second ends far behind, where only the third row says how far there are bytes.
    column = Hostile(b"u", [None, offsets(0, 1, 10**9, 2), b"ab"], 3)
    (read_column,) = _native.read_table(table(column))
    assert len(read_column) == 2


def endless(rows=1 << 40):
    """Nulls without a buffer: more of them than any memory holds, and nothing that has to be read."""
    return Hostile(b"n", [], rows)


X = [1.0, 2.0, 3.0]
NO_NUMBER = "must each hold at least one number; got"
OF_ENDLESS = {
    "ks": (lambda: drift.ks(endless(), X), NO_NUMBER),
    "ks of a fitted reference": (lambda: drift.ks(drift.fit_ks(X), endless()), NO_NUMBER),
    "fit_ks": (lambda: drift.fit_ks(endless()), "must hold at least one number; got none"),
    "psi": (lambda: drift.psi(endless(), X), "must hold at least one finite value; got none"),
    "wasserstein": (lambda: drift.wasserstein(X, endless()), NO_NUMBER),
    "energy_distance": (lambda: drift.energy_distance(endless(), X), NO_NUMBER),
    "cramer_von_mises": (lambda: drift.cramer_von_mises(endless(), X), NO_NUMBER),
    "weights": (
        lambda: drift.histogram(X, [0, 4], weights=endless(3)),
        "got a missing value or NaN at index 0",
    ),
    "units": (
        lambda: drift.compare({"u": endless(1 << 48)}, {"u": endless(1 << 48)}, columns=["u"], unit="u"),
        "must have no more rows than memory holds codes for; got 281474976710656",
    ),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("call", "text"), OF_ENDLESS.values(), ids=OF_ENDLESS.keys())
def test_lengths_without_memory_take_none(call, text):
    # Former code asked for memory for each row, and the process ended.
    with pytest.raises(InputError) as caught:
        call()
    assert text in str(caught.value)


def test_endless_nulls_are_counted():
    counts, _ = drift.histogram(endless(), [0, 1])
    assert counts.tolist() == [0]
    assert drift.compare({"x": endless()}, {"x": X})["x"].n_reference == 1 << 40


def test_a_capsule_is_taken_once():
    source, rounds, workers = doubles(64), 20, 4
    ready, taken, errors = threading.Barrier(workers), [0] * workers, set()
    shared = [source.__arrow_c_array__()]

    class Shared:
        """Hands out the same capsules again and again, as nobody should."""

        def __arrow_c_array__(self, requested_schema=None):
            return shared[0]

    def work(index):
        ready.wait(60)
        for _ in range(rounds):
            try:
                taken[index] += len(_native.read_array("x", Shared()))
            except InputError as error:
                errors.add(str(error))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 64
    assert errors == {"the Arrow capsule was consumed before; make a new one"}


class Odd:
    """Says that it is an Arrow array, and gives something else."""

    def __init__(self, given):
        self.given = given

    def __arrow_c_array__(self, requested_schema=None):
        return self.given


ODD = {
    "nothing": (None, "`__arrow_c_array__` must give a schema and an array, both in capsules"),
    "one capsule": (doubles().__arrow_c_array__()[:1], "must give a schema and an array"),
    "no capsules": ((1, 2), 'must give a capsule named "arrow_array"; got another int'),
    "the wrong way round": (doubles().__arrow_c_array__()[::-1], 'must give a capsule named "arrow_array"'),
}


@pytest.mark.parametrize(("given", "text"), ODD.values(), ids=ODD.keys())
def test_what_is_no_capsule_is_refused(given, text):
    with pytest.raises(InputTypeError) as caught:
        _native.read_array("x", Odd(given))
    assert text in str(caught.value)
