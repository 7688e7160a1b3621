"""The bytes of profiles and windows: sealed, checked, read back without trusting them.

Layout, all integers little-endian: magic (8 bytes), kind (4), format version (u16), length of the body (u64), the
body, SHA-256 of everything before (32). Inside the body an array of counts has its width in bytes (1, 2, 4 or 8), its
length and its values; a text its length and UTF-8. What a body means is `profile`'s business. Reading allocates a few
times the length of the data at most, whatever they say.
"""

import hashlib
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewheel.drift.table.counted import Counts
from tidewheel.errors import InputError, InputTypeError, IntegrityError

#: Raised with every change of the layout or of what a body means.
VERSION = 2
#: Counts may add up to this, so that sums never overflow: 70 million million rows.
MOST_ROWS = 1 << 46

_MAGIC = b"tidewhl\x1a"
_HEADER = struct.Struct("<8s4sHQ")
_DIGEST_BYTES = 32
#: What has fewer bytes is no profile or window.
LEAST_BYTES = _HEADER.size + _DIGEST_BYTES
_KINDS = {"profile": b"PROF", "window": b"WIND", "monitor": b"MONI"}
_WIDTHS = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<u8"}


def seal(kind: str, body: bytes) -> bytes:
    """Put header and checksum around a body."""
    data = _HEADER.pack(_MAGIC, _KINDS[kind], VERSION, len(body)) + body
    return data + hashlib.sha256(data).digest()


def is_sealed(data: bytes) -> bool:
    """Say whether data begin as a profile or window does; whether they are whole is `unseal`'s to find out."""
    return data.startswith(_MAGIC)


def unseal(kind: str, data: bytes) -> "Reader":
    """Check header, length and checksum, and open the body.

    Raises:
        InputError: the data are no `kind`, of another format version, or cut short.
        IntegrityError: the checksum says that the data were changed.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InputTypeError(f"`data` must be bytes; got {type(data).__name__}")
    least = LEAST_BYTES
    if len(data) < least or data[: len(_MAGIC)] != _MAGIC:
        raise InputError(f"`data` must be a Tidewheel {kind}; got {len(data)} bytes that are none")
    _, found, version, length = _HEADER.unpack_from(data)
    if found != _KINDS[kind]:
        name = next((name for name, code in _KINDS.items() if code == found), "state of an unknown kind")
        raise InputError(f"`data` must be a Tidewheel {kind}; got a {name}")
    if version != VERSION:
        raise InputError(f"the {kind} must have format version {VERSION}; got {version}: make it again")
    if len(data) != least + length:
        raise InputError(f"the {kind} must have {least + length} bytes by its header; got {len(data)}")
    if hashlib.sha256(data[:-_DIGEST_BYTES]).digest() != data[-_DIGEST_BYTES:]:
        raise IntegrityError(f"the {kind} was changed since it was written: its checksum does not match")
    return Reader(kind, memoryview(data)[_HEADER.size : -_DIGEST_BYTES])


class Writer:
    """Write a body, field by field."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def number(self, value: int) -> None:
        """Write a whole number of 64 bits."""
        self._pieces.append(struct.pack("<Q", value))

    def raw(self, data: bytes) -> None:
        """Write bytes with their length."""
        self.number(len(data))
        self._pieces.append(data)

    def text(self, text: str) -> None:
        """Write a text."""
        self.raw(text.encode())

    def values(self, values: npt.NDArray[Any]) -> None:
        """Write values of 8 bytes each; their type is not written."""
        self.raw(values.astype(values.dtype.newbyteorder("<")).tobytes())

    def counts(self, counts: Counts) -> None:
        """Write counts as narrow as their largest allows."""
        most = int(counts.max(initial=0))
        width = next(width for width in _WIDTHS if most < 256**width)
        self.number(width)
        self.raw(counts.astype(_WIDTHS[width]).tobytes())

    def body(self) -> bytes:
        """Return what was written."""
        return b"".join(self._pieces)


class Reader:
    """Read a body field by field; every length is checked against what is there before anything is made of it."""

    def __init__(self, kind: str, body: memoryview) -> None:
        self.kind = kind
        self._body = body
        self._at = 0

    def refuse(self, what: str) -> InputError:
        """Return the error of a body that says impossible things."""
        return InputError(f"the {self.kind} must be one that Tidewheel wrote; {what}")

    def _take(self, length: int) -> memoryview:
        if length > len(self._body) - self._at:
            raise self.refuse(f"got a field of {length} bytes where {len(self._body) - self._at} are left")
        self._at += length
        return self._body[self._at - length : self._at]

    def number(self, most: int = MOST_ROWS) -> int:
        """Read a whole number of at most `most`."""
        (value,) = struct.unpack("<Q", self._take(8))
        if value > most:
            raise self.refuse(f"got the number {value} where at most {most} can be")
        return int(value)

    def raw(self) -> bytes:
        """Read bytes."""
        return bytes(self._take(self.number()))

    def text(self) -> str:
        """Read a text."""
        try:
            return self.raw().decode()
        except UnicodeDecodeError as error:
            raise self.refuse("got a text that is no UTF-8") from error

    def values(self, dtype: str) -> npt.NDArray[Any]:
        """Read values of 8 bytes each."""
        data = self.raw()
        if len(data) % 8:
            raise self.refuse(f"got {len(data)} bytes for values of 8 bytes each")
        return np.frombuffer(data, dtype=np.dtype(dtype).newbyteorder("<")).astype(dtype)

    def counts(self) -> Counts:
        """Read counts that add up to at most `MOST_ROWS`."""
        width = self.number()
        if width not in _WIDTHS:
            raise self.refuse(f"got counts of {width} bytes each")
        data = self.raw()
        if len(data) % width:
            raise self.refuse(f"got {len(data)} bytes for counts of {width} bytes each")
        found = np.frombuffer(data, dtype=_WIDTHS[width])
        # As floats, since forged counts may add up to anything.
        if found.sum(dtype=np.float64) > MOST_ROWS:
            raise self.refuse(f"got counts that add up to more than {MOST_ROWS}")
        return found.astype(np.int64)

    def end(self) -> None:
        """Refuse a body that goes on."""
        if self._at != len(self._body):
            raise self.refuse(f"got {len(self._body) - self._at} bytes after its end")
