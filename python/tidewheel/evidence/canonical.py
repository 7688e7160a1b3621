"""Records as canonical JSON, and the digest that chains one row of the ledger to the row before it.

What belongs here: one text for each record, the same on every machine and in every process, and back again. What does not:
tables and transactions (`evidence.schema`, `evidence.store`). The text is made from the declared types of the dataclasses in
`evidence.records`, so that a NumPy number, a tuple or a time in another zone gives the text of the plain value it stands
for.
"""

import hashlib
import json
import math
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from tidewheel.errors import InputError, InputTypeError, IntegrityError
from tidewheel.evidence.records import DataVersion, Decision, Evidence, Finding, ModelVersion, Plan, Record

FORMAT_VERSION = 1
"""Version of the text and of the chain. A field added with a default does not raise it; anything else does."""

GENESIS = "0" * 64
"""What stands for the digest of the row before the first one."""

Kind = Literal["data version", "model version", "evidence", "decision", "finding", "plan"]

_TYPES: dict[Kind, type[Record]] = {
    "data version": DataVersion,
    "model version": ModelVersion,
    "evidence": Evidence,
    "decision": Decision,
    "finding": Finding,
    "plan": Plan,
}
_KINDS: dict[type[Record], Kind] = {type_: kind for kind, type_ in _TYPES.items()}


def kind_of(record: Record) -> Kind:
    """Name the kind of a record, as the ledger stores it.

    Raises:
        InputTypeError: the object is no record.
    """
    kind = _KINDS.get(type(record))
    if kind is None:
        raise InputTypeError(
            f"the ledger keeps {', '.join(known.__name__ for known in _KINDS)}; got {type(record).__name__}"
        )
    return kind


def subject_of(record: Record) -> str:
    """Name what a record is about: the word by which its rows are found again.

    A data version is `name@version`, a model version its `model_id`, a finding its `finding_id` (the retraining decision
    that rests on it has the same subject), a plan its name.
    """
    match record:
        case DataVersion():
            return f"{record.name}@{record.delta_version}"
        case ModelVersion():
            return record.model_id
        case Evidence() | Decision():
            return record.subject
        case Finding():
            return record.finding_id
        case Plan():
            return record.name


def encode_record(record: Record) -> str:
    """Write a record as canonical JSON.

    Keys are sorted, no blanks, ASCII only; floats in their shortest exact form, those that are not finite as the strings
    "nan", "inf" and "-inf" (JSON has no such numbers); times in UTC with microseconds.

    Raises:
        InputTypeError: a value has not the declared type; the message names the field.
        InputError: a time has no zone.

    Example:
        >>> at = datetime(2013, 6, 1, tzinfo=UTC)
        >>> encode_record(Decision("deploy", "a1", "deploy flow", "first model", at))
        '{"action":"deploy","actor":"deploy flow","at_utc":"2013-06-01T00:00:00.000000+00:00","evidence":[],...}'
    """
    kind_of(record)
    return _dumps(_encode(record, type(record), type(record).__name__))


def decode_record(kind: str, text: str) -> Record:
    """Read a record back from canonical JSON; equal to the one that was written.

    A field that this version does not know is left aside, one that the text does not have takes its default: a newer and an
    older Tidewheel may use the same ledger while one replaces the other.

    Raises:
        IntegrityError: the kind is not known, or the text is no such record.
    """
    type_ = _TYPES.get(cast("Kind", kind))
    if type_ is None:
        raise IntegrityError(f"the ledger holds a record of kind {kind!r}; known are {', '.join(_TYPES)}")
    try:
        return cast("Record", _decode(json.loads(text), type_))
    except (AttributeError, TypeError, ValueError) as error:
        raise IntegrityError(f"the ledger holds a text that is no {kind}: {error}") from error


def row_sha256(
    *,
    format_version: int,
    sequence: int,
    kind: str,
    subject: str,
    cause: str | None,
    wall_utc: str,
    content: str,
    previous_sha256: str,
) -> str:
    """Digest one row of the ledger, everything it says and the digest of the row before it, as 64 hex digits."""
    row = [format_version, sequence, kind, subject, cause, wall_utc, content, previous_sha256]
    return hashlib.sha256(_dumps(row).encode("ascii")).hexdigest()


def encode_time(at: datetime) -> str:
    """Write an aware time in UTC with microseconds, always of the same length.

    Raises:
        InputError: the time has no zone.
    """
    if at.utcoffset() is None:
        raise InputError(f"a time in the ledger must have a zone; got {at.isoformat()}")
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def decode_time(text: str) -> datetime:
    """Read a time that `encode_time` wrote."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _dumps(plain: Any) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


@cache
def _hints(type_: type) -> dict[str, Any]:
    return get_type_hints(type_)


def _optional(hint: Any) -> Any:
    """Give X of a hint `X | None`; every union in the records is of that form."""
    (inner,) = (choice for choice in get_args(hint) if choice is not NoneType)
    return inner


def _encode(value: Any, hint: Any, place: str) -> Any:
    origin = get_origin(hint)
    if origin in (UnionType, Union):
        return None if value is None else _encode(value, _optional(hint), place)
    if origin is Literal:
        if value not in get_args(hint):
            raise InputError(f"{place} must be one of {', '.join(map(repr, get_args(hint)))}; got {value!r}")
        return value
    if origin is tuple and isinstance(value, (tuple, list)):
        return [_encode(item, get_args(hint)[0], f"{place}[{index}]") for index, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        key_hint, item_hint = get_args(hint)
        return {
            _encode(key, key_hint, f"a key of {place}"): _encode(item, item_hint, f"{place}[{key!r}]")
            for key, item in value.items()
        }
    if isinstance(hint, type) and is_dataclass(hint) and isinstance(value, hint):
        hints = _hints(hint)
        return {
            field.name: _encode(getattr(value, field.name), hints[field.name], f"{place}.{field.name}")
            for field in fields(hint)
        }
    return _encode_plain(value, hint, place)


def _encode_plain(value: Any, hint: Any, place: str) -> Any:
    if hint is str and isinstance(value, str):
        return str(value)
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if hint is float and isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        return number if math.isfinite(number) else str(number)
    if hint is datetime and isinstance(value, datetime):
        return encode_time(value)
    expected = getattr(hint, "__name__", str(hint))
    raise InputTypeError(f"{place} must be of type {expected}; got {value!r} of type {type(value).__name__}")


def _decode(plain: Any, hint: Any) -> Any:
    origin = get_origin(hint)
    if origin in (UnionType, Union):
        return None if plain is None else _decode(plain, _optional(hint))
    if origin is tuple:
        return tuple(_decode(item, get_args(hint)[0]) for item in plain)
    if origin is dict:
        return {key: _decode(item, get_args(hint)[1]) for key, item in plain.items()}
    if isinstance(hint, type) and is_dataclass(hint):
        known = {name: inner for name, inner in _hints(hint).items() if name in plain}
        return hint(**{name: _decode(plain[name], inner) for name, inner in known.items()})
    if hint is datetime:
        return decode_time(plain)
    return float(plain) if hint is float else plain
