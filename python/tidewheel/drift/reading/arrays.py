"""NumPy arrays as columns: without a copy where they lie contiguous, aligned and in the machine's byte order."""

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift.reading import instants

PLAIN_KINDS = "iuf"
LARGEST_NUMBER_BYTES = 8
_HALF_BYTES = 2

Mask = npt.NDArray[np.bool_]


def read(name: str, array: npt.NDArray[Any], *, nan_is_missing: bool = False) -> _native.Column:
    """Read an array of numbers, booleans or times with one value per row; its rows may be rows of one column.

    Args:
        name: The column's name.
        array: The array, masked or not; objects and strings are read by `objects`.
        nan_is_missing: Count NaN as missing, as pandas does.

    Returns:
        The column; of an unsupported type if statistics cannot take the array.
    """
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        reason = f"it must have one value per row; got an array of {array.ndim} dimensions"
        return _native.Column.unsupported(name, "nested", len(array), 0, reason)
    there = None
    masked = read_mask(array)
    if masked is not None:
        there = ~masked
        array = np.asarray(array.data)
    kind = array.dtype.kind
    if kind in PLAIN_KINDS and array.dtype.itemsize <= LARGEST_NUMBER_BYTES:
        # The least value of an array with NaN is NaN: one quick pass, and none of the slow ones where nothing is missing.
        if nan_is_missing and kind == "f" and len(array) and np.isnan(array.min()):
            there = _both(~np.isnan(array), there)
        return read_plain(name, array, array.dtype.name, there)
    if kind in "mM":
        counts, dtype = instants.from_numpy(array)
        return read_plain(name, counts, dtype, _both(~np.isnat(array), there))
    if kind == "b":
        return _native.Column.from_bits(name, pack(array), len(array), None if there is None else pack(there))
    missing = 0 if there is None else int((~there).sum())
    reason = f"the type {array.dtype} is not supported"
    return _native.Column.unsupported(name, str(array.dtype), len(array), missing, reason)


def _both(there: Mask, also: Mask | None) -> Mask | None:
    there = there if also is None else there & also
    return None if there.all() else there


def pack(bits: Mask) -> npt.NDArray[np.uint8]:
    """Pack booleans into a bitmap as Arrow has it."""
    return np.packbits(bits, bitorder="little")


def read_mask(array: Any) -> npt.NDArray[np.bool_] | None:
    """Say of each value whether it is masked; None if the array is not of the kind that has masks."""
    # Whoever has such an array has imported `numpy.ma`; to do so here would cost a tenth of a small comparison.
    if "numpy.ma" not in sys.modules or not isinstance(array, np.ma.MaskedArray):
        return None
    return np.ma.getmaskarray(array)


def read_plain(name: str, array: npt.NDArray[Any], dtype: str, there: Mask | None) -> _native.Column:
    """Read numbers of up to 64 bits under the name of a type; `there` is False where a row is missing."""
    is_half = array.dtype.kind == "f" and array.dtype.itemsize == _HALF_BYTES
    target = np.dtype("f4") if is_half else array.dtype.newbyteorder("=")
    plain = np.require(array, dtype=target, requirements=["C", "A"])
    packed = None if there is None else pack(there)
    return _native.Column.from_buffer(name, dtype, target.str[1:], plain, packed)
