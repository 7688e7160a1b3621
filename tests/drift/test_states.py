"""The bytes of profiles and windows: read back equal, and refused in words whatever else they are."""

import hashlib
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewheel.drift import Profile, Window
from tidewheel.drift.profile import serialization
from tidewheel.errors import InputError, IntegrityError

PROFILE = Profile.fit(
    {
        "x": np.linspace(-1, 1, 40),
        "k": np.arange(2**60, 2**60 + 30).repeat(2)[:40],
        "s": [None, "é", "", *["b"] * 37],
        "f": [True] * 20 + [False] * 20,
        "n": [None] * 40,
    }
)
WINDOW = PROFILE.window()
WINDOW.update(
    {
        "x": [0.0, np.nan, np.inf, 7.0],
        "k": np.array([1, 2**60, 2**60 + 1, 2**62]),
        "s": ["b", "new", None, "é"],
        "f": [True, True, False, True],
        "n": [None] * 4,
    }
)
READ = {"profile": Profile.from_bytes, "window": lambda data: Window.from_bytes(PROFILE, data)}
DATA = {"profile": PROFILE.to_bytes(), "window": WINDOW.to_bytes()}
BOTH = pytest.mark.parametrize("kind", ["profile", "window"])


def body_of(kind):
    return DATA[kind][22:-32]


@BOTH
def test_what_was_written_is_read(kind):
    assert READ[kind](DATA[kind]) == {"profile": PROFILE, "window": WINDOW}[kind]
    assert READ[kind](DATA[kind]).to_bytes() == DATA[kind]


@BOTH
@given(st.binary(max_size=400))
def test_random_bytes_are_refused(kind, data):
    with pytest.raises(InputError, match=f"must be a Tidewheel {kind}"):
        READ[kind](data)


@BOTH
@given(st.data())
def test_truncated_bytes_are_refused(kind, data):
    end = data.draw(st.integers(0, len(DATA[kind]) - 1))
    with pytest.raises(InputError):
        READ[kind](DATA[kind][:end])


@BOTH
@given(st.data())
def test_changed_bytes_are_refused(kind, data):
    changed = bytearray(DATA[kind])
    at = data.draw(st.integers(0, len(changed) - 1))
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((InputError, IntegrityError)):
        READ[kind](bytes(changed))


@BOTH
@settings(max_examples=400, deadline=None)
@given(st.data())
def test_forged_bodies_are_read_or_refused(kind, data):
    # With a true checksum: somebody wrote these on purpose. Words, never a crash, never much memory.
    body = bytearray(body_of(kind))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        piece = data.draw(
            st.one_of(st.binary(min_size=1, max_size=9), st.sampled_from([b"\xff" * 8, b"\0" * 8]))
        )
        body[at : at + data.draw(st.integers(0, 9))] = piece
    try:
        made = READ[kind](serialization.seal(kind, bytes(body)))
    except InputError:
        return
    window = made if kind == "window" else made.window()
    assert window.profile.compare(window).n_current == window.n_rows


@BOTH
@given(st.binary(max_size=300))
def test_random_bodies_are_refused(kind, body):
    with pytest.raises(InputError):
        READ[kind](serialization.seal(kind, body))


@BOTH
def test_stated_lengths_allocate_nothing(kind):
    body = struct.pack("<Q", 1 << 45) + b"x" * 50
    tracemalloc.start()
    with pytest.raises(InputError):
        READ[kind](serialization.seal(kind, body))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def reseal(data):
    return data[:-32] + hashlib.sha256(data[:-32]).digest()


OTHERS = {
    "empty": (b"", InputError, "got 0 bytes that are none"),
    "other version": (
        reseal(DATA["profile"][:12] + b"\x01\0" + DATA["profile"][14:]),
        InputError,
        "the profile must have format version 2; got 1: make it again",
    ),
    "a later version": (
        reseal(DATA["profile"][:12] + b"\x03\0" + DATA["profile"][14:]),
        InputError,
        "the profile must have format version 2; got 3: make it again",
    ),
    "a version long past": (
        reseal(DATA["profile"][:12] + b"\0\0" + DATA["profile"][14:]),
        InputError,
        "the profile must have format version 2; got 0: make it again",
    ),
    "a window": (DATA["window"], InputError, "must be a Tidewheel profile; got a window"),
    "unknown kind": (
        reseal(DATA["profile"][:8] + b"????" + DATA["profile"][12:]),
        InputError,
        "got a state of an unknown kind",
    ),
    "one byte more": (DATA["profile"] + b"\0", InputError, "bytes by its header"),
    "changed": (
        DATA["profile"][:40] + b"\x01" + DATA["profile"][41:],
        IntegrityError,
        "its checksum does not match",
    ),
    "longer body": (
        serialization.seal("profile", body_of("profile") + b"\0"),
        InputError,
        "1 bytes after its end",
    ),
}


@pytest.mark.parametrize(("data", "error", "text"), OTHERS.values(), ids=OTHERS.keys())
def test_refusals(data, error, text):
    with pytest.raises(error) as caught:
        Profile.from_bytes(data)
    assert text in str(caught.value)


@BOTH
@given(st.integers(0, 2**16 - 1).filter(lambda version: version != serialization.VERSION))
def test_every_other_version_is_named(kind, version):
    # Also where the body is one that this version could not read.
    data = DATA[kind][:12] + struct.pack("<H", version) + DATA[kind][14:-33]
    with pytest.raises(
        InputError, match=f"the {kind} must have format version 2; got {version}: make it again"
    ):
        READ[kind](data + hashlib.sha256(data).digest())


def test_a_window_belongs_to_its_profile():
    other = Profile.fit({"x": [1.0]})
    with pytest.raises(InputError, match=f"one of the profile {other.id[:12]}; got one of {PROFILE.id[:12]}"):
        Window.from_bytes(other, DATA["window"])


NOTES = {
    "a type missing": ([[], [], ["x"], []], "got a column without the type that it had, or without a reason"),
    "a reason missing": (
        [[], [], [], ["x"]],
        "got a column without the type that it had, or without a reason",
    ),
    "an unknown column": ([[], ["z"], [], []], "got notes of a column that the profile does not have"),
    "an unknown type": (
        [[], [], ["z", "string"], []],
        "got notes of a column that the profile does not have",
    ),
    "a known further one": ([["x"], [], [], []], "got notes of a column that the profile does not have"),
}


@pytest.mark.parametrize(("notes", "message"), NOTES.values(), ids=NOTES.keys())
def test_notes_that_make_no_sense_are_refused(notes, message):
    profile = Profile.fit({"x": [1.0, 2.0]})
    to = serialization.Writer()
    to.text(profile.id)
    to.counts(profile.window().counts()[0])
    for texts in notes:
        to.number(len(texts))
        for text in texts:
            to.text(text)
    with pytest.raises(InputError, match=message):
        Window.from_bytes(profile, serialization.seal("window", to.body()))


def test_windows_do_not_overflow():
    profile = Profile.fit({"x": [1.0]})
    to = serialization.Writer()
    to.text(profile.id)
    to.counts(np.array([serialization.MOST_ROWS, *[0] * (len(profile.window().counts()[0]) - 1)]))
    for _ in range(4):
        to.number(0)
    full = Window.from_bytes(profile, serialization.seal("window", to.body()))
    with pytest.raises(InputError, match=f"at most {serialization.MOST_ROWS} rows"):
        full.update({"x": [1.0]})
    assert full.n_rows == serialization.MOST_ROWS
