"""Fuzz target of the byte readers, `Profile.from_bytes` and `Window.from_bytes`: random bytes are refused in words.

The mutator knows the seal: most of the time it changes the body and seals it anew, so that the fuzzer gets past the
checksum to the fields. What is read after all must work: it compares, takes rows, and comes back from its own bytes.
`make fuzz` runs it; needs atheris.
"""

import contextlib
import hashlib
import random
import struct
import sys

import atheris

with atheris.instrument_imports(include=["tidewheel"]):
    from tidewheel.drift import Profile, Window
    from tidewheel.drift.profile.serialization import VERSION
    from tidewheel.errors import InputError, IntegrityError

HEADER_BYTES, DIGEST_BYTES = 22, 32
#: Numbers at which a length, a count or a width may go wrong.
NUMBERS = [
    0,
    1,
    2,
    4,
    8,
    9,
    255,
    1 << 31,
    (1 << 46) - 1,
    1 << 46,
    (1 << 46) + 1,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
]

TABLE = {
    "x": [0.5, 1.0, 1.0, 2.5, float("nan"), float("inf"), -1.0, None],
    "k": [(1 << 60) + i for i in range(8)],
    "s": ["a", "b", "a", "", "é", None, "a", "b"],
    "f": [True, False, True, True, True, None, False, True],
    "n": [None] * 8,
}
PROFILE = Profile.fit(TABLE)
WINDOW = PROFILE.window()
WINDOW.update(TABLE)


def seal(kind: bytes, version: int, body: bytes) -> bytes:
    data = struct.pack("<8s4sHQ", b"tidewhl\x1a", kind, version, len(body)) + body
    return data + hashlib.sha256(data).digest()


def mutate(data: bytes, most: int, seed: int) -> bytes:
    """Change a state: mostly its body under a true seal, now and then anything."""
    dice = random.Random(seed)
    if len(data) < HEADER_BYTES + DIGEST_BYTES or dice.random() < 0.5:
        data = dice.choice([PROFILE, WINDOW]).to_bytes()
    if dice.random() < 0.1:
        return atheris.Mutate(data, most)
    kind, version, body = data[8:12], VERSION, bytearray(data[HEADER_BYTES:-DIGEST_BYTES])
    for _ in range(dice.randint(1, 3)):
        change(body, dice)
    if dice.random() < 0.02:
        kind, version = dice.choice([b"PROF", b"WIND", b"????"]), dice.choice([0, 1, 2, 65535])
    return seal(kind, version, bytes(body))[:most]


def change(body: bytearray, dice: random.Random) -> None:
    """Change one place of a body, in one of the ways in which bodies go wrong."""
    at, near = dice.randrange(len(body) + 1), dice.randrange(1, 12)
    match dice.randrange(8):
        case 0:
            body[at : at + 8] = struct.pack("<Q", dice.choice(NUMBERS))
        case 1:
            body[at : at + 8] = struct.pack("<Q", dice.randrange(64))
        case 2:
            start = dice.randrange(len(body) + 1)
            body[at:at] = body[start : start + dice.randrange(64)]
        case 3:
            del body[at : at + dice.randrange(32)]
        case 4:
            body[:] = atheris.Mutate(bytes(body), len(body) + 16)
        case _ if at + near < len(body):
            # From one count to another nearby: their sum stays, so that the rest of the body may still agree with it.
            moved = dice.randint(0, min(body[at], 255 - body[at + near]))
            body[at] -= moved
            body[at + near] += moved


def use(window: Window) -> None:
    """Do with a window what its owner would."""
    profile = window.profile
    assert profile.compare(window).n_current == window.n_rows
    assert Window.from_bytes(profile, window.to_bytes()) == window
    with contextlib.suppress(InputError):
        window.update(TABLE)
    with contextlib.suppress(InputError):
        window.merge(window)
    profile.compare(window).to_json()


def read(data: bytes) -> None:
    """Read bytes as a profile and as a window of ours; anything but words of refusal is a finding."""
    with contextlib.suppress(InputError, IntegrityError):
        profile = Profile.from_bytes(data)
        assert Profile.from_bytes(profile.to_bytes()) == profile
        use(profile.window())
    with contextlib.suppress(InputError, IntegrityError):
        use(Window.from_bytes(PROFILE, data))


def main() -> None:
    atheris.Setup(sys.argv, read, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
