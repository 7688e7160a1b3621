"""Read and check the body of a request to `/predict`.

What belongs here: the form of a request, and its rows against the contract that was packaged with the model. What does
not: answering (`serving.application_ray`). The contract is compiled once into a decoder that checks while it reads; only a
body that it refuses is read a second time, slowly, to say everything that is wrong with it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple, Protocol
from uuid import uuid4

import msgspec

from tidewheel.errors import InputError, RequestError

ID_LENGTH_MAX = 256
"""Longest `request_id` and `key`: twice what the longest UUID-and-prefix schemes need, short enough for every log."""

PROBLEMS_MAX = 100
"""So many problems are listed; a caller who sees a hundred knows enough."""

GOT_LENGTH_MAX = 80
"""A refused value is quoted up to this length."""

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1

_BAD_REQUEST, _TOO_LARGE, _NOT_ACCEPTABLE = 400, 413, 422


class ColumnContract(Protocol):
    """State what one column must look like, as `project.settings.Column` does."""

    @property
    def type(self) -> str:
        """One of int, float, string, bool, datetime."""

    @property
    def nullable(self) -> bool:
        """Whether null is acceptable."""

    @property
    def minimum(self) -> float | None:
        """The smallest acceptable number."""

    @property
    def maximum(self) -> float | None:
        """The largest acceptable number."""

    @property
    def allowed(self) -> Sequence[str] | None:
        """The acceptable strings."""


class _Rule(NamedTuple):
    """One column's contract in the terms that a check needs, and in words."""

    type: str
    nullable: bool
    minimum: float
    maximum: float
    allowed: frozenset[str] | None
    words: str


@dataclass(frozen=True, slots=True)
class Request:
    """Hold a checked request: at least one row, each with every column of the contract and no other."""

    rows: list[dict[str, Any]]
    request_id: str
    key: str
    at_utc: datetime | None


class Validator:
    """Check requests against one contract; compile it once per model, then `parse` from any thread.

    Args:
        columns: What each column must look like, by name: records with the fields of `ColumnContract`, or mappings
            with these keys of which all but `type` may be left out.
        batch_rows_max: Most rows of a request.
        body_bytes_max: Longest body in bytes.
        replay: Whether requests may carry their event time.

    Raises:
        InputError: No column, an unknown type, or `allowed` without a value.

    Example:
        >>> validator = Validator({"miles": {"type": "int", "minimum": 50}}, 10, 1000, replay=False)
        >>> validator.parse(b'{"inputs": [{"miles": 700}], "request_id": "a"}')
        Request(rows=[{'miles': 700}], request_id='a', key='a', at_utc=None)
        >>> validator.parse(b'{"inputs": [{"miles": 7}]}')
        Traceback (most recent call last):
        tidewheel.errors.RequestError: `miles` in row 0 must be an integer of at least 50; got 7
    """

    def __init__(
        self,
        columns: Mapping[str, ColumnContract | Mapping[str, Any]],
        batch_rows_max: int,
        body_bytes_max: int,
        replay: bool,
    ) -> None:
        if not columns:
            raise InputError("`columns` must name at least one column; got none")
        self._rules = {name: _rule(name, column) for name, column in columns.items()}
        self._names = tuple(self._rules)
        self._batch_rows_max = batch_rows_max
        self._body_bytes_max = body_bytes_max
        self._replay = replay
        self._decoder = msgspec.json.Decoder(_body_type(self._rules, batch_rows_max, replay))

    def parse(self, body: bytes) -> Request:
        """Read the body of a request.

        Args:
            body: JSON `{"inputs": [{column: value, ...}, ...], "request_id"?, "key"?, "at_utc"?}`.

        Returns:
            The request. Without a `request_id` it gets a new one; without a `key` its id is the key. Whole numbers
            in columns of type float arrive as floats; `at_utc` is in UTC, whatever zone it came in.

        Raises:
            RequestError: 413 if the body or the batch is too large, 400 if the body is not JSON, 422 if it is not a
                request or a value does not keep the contract; all problems are listed, up to `PROBLEMS_MAX`.

        Cost: some 4 us for one row of 16 columns.
        """
        if len(body) > self._body_bytes_max:
            limit = f"at most {self._body_bytes_max} bytes"
            raise RequestError(_TOO_LARGE, [_problem(None, "body", limit, f"{len(body)} bytes")])
        try:
            read = self._decoder.decode(body)
        except (ValueError, RecursionError) as error:  # msgspec's errors and bad UTF-8 are ValueErrors
            raise self._refusal(body, str(error)) from None
        names, astuple = self._names, msgspec.structs.astuple
        rows = [dict(zip(names, astuple(row), strict=True)) for row in read.inputs]
        request_id = read.request_id or uuid4().hex
        try:
            at_utc = read.at_utc.astimezone(UTC) if self._replay and read.at_utc is not None else None
        except OverflowError:
            limit = "a time within the years 1 to 9999 in UTC"
            raise RequestError(_NOT_ACCEPTABLE, [_problem(None, "at_utc", limit, str(read.at_utc))]) from None
        return Request(rows, request_id, read.key or request_id, at_utc)

    def _refusal(self, body: bytes, error: str) -> RequestError:
        """Read a refused body once more and say everything that is wrong with it."""
        try:
            read = json.loads(body)  # takes NaN and Infinity, so that the field they stand in can be named
        except (ValueError, RecursionError) as unreadable:
            return RequestError(_BAD_REQUEST, [_problem(None, "body", "JSON in UTF-8", str(unreadable))])
        if not isinstance(read, dict):
            return RequestError(_NOT_ACCEPTABLE, [_problem(None, "body", "a JSON object", _quote(read))])
        rows = read.get("inputs")
        if isinstance(rows, list) and len(rows) > self._batch_rows_max:
            limit = f"a list of at most {self._batch_rows_max} rows"
            return RequestError(_TOO_LARGE, [_problem(None, "inputs", limit, f"{len(rows)} rows")])
        problems = [
            *self._envelope_problems(read),
            *self._row_problems(rows if isinstance(rows, list) else []),
        ]
        if not problems:
            # What json takes and the decoder does not, such as half a surrogate pair.
            return RequestError(_BAD_REQUEST, [_problem(None, "body", "JSON in UTF-8", error)])
        return RequestError(_NOT_ACCEPTABLE, problems[:PROBLEMS_MAX])

    def _envelope_problems(self, read: dict[str, Any]) -> list[dict[str, object]]:
        known = ["inputs", "request_id", "key", *(["at_utc"] if self._replay else [])]
        problems = []
        for name in read:
            if name == "at_utc" and not self._replay:
                problems.append(
                    _problem(
                        None, name, "absent, since only a server in replay mode takes it", _quote(read[name])
                    )
                )
            elif name not in known:
                problems.append(
                    _problem(None, name, f"one of the fields {', '.join(known)}", "an unknown field")
                )
        rows = read.get("inputs")
        if not isinstance(rows, list) or not rows:
            got = _quote(rows) if "inputs" in read else "nothing"
            problems.append(_problem(None, "inputs", "a list of one row or more", got))
        for name in ("request_id", "key"):
            value = read.get(name)
            if value is not None and not (isinstance(value, str) and 1 <= len(value) <= ID_LENGTH_MAX):
                limit = f"a string of 1 to {ID_LENGTH_MAX} characters"
                problems.append(_problem(None, name, limit, _quote(value)))
        at_utc = read.get("at_utc")
        if self._replay and at_utc is not None and not _is_time(at_utc):
            problems.append(_problem(None, "at_utc", _TIME_WORDS, _quote(at_utc)))
        return problems

    def _row_problems(self, rows: list[Any]) -> list[dict[str, object]]:
        problems: list[dict[str, object]] = []
        for index, row in enumerate(rows):
            if not isinstance(row, dict):
                problems.append(_problem(index, "inputs", "an object of columns", _quote(row)))
                continue
            for name, rule in self._rules.items():
                if name not in row:
                    problems.append(_problem(index, name, rule.words, "nothing"))
                elif not _keeps(rule, row[name]):
                    problems.append(_problem(index, name, rule.words, _quote(row[name])))
            problems.extend(
                _problem(index, name, "a column of the contract", "an unknown field")
                for name in row
                if name not in self._rules
            )
            if len(problems) >= PROBLEMS_MAX:
                break
        return problems


_TIME_WORDS = "a time in ISO 8601 with its zone, such as 2013-04-01T05:15:00+00:00"

_TYPE_WORDS = {
    "int": "an integer",
    "float": "a finite number",
    "string": "a string",
    "bool": "true or false",
    "datetime": _TIME_WORDS,
}


def _rule(name: str, column: ColumnContract | Mapping[str, Any]) -> _Rule:
    """Read one column's contract; a bound that is not given is infinite."""
    if isinstance(column, Mapping):
        given = [column.get(field) for field in ("type", "nullable", "minimum", "maximum", "allowed")]
    else:
        given = [column.type, column.nullable, column.minimum, column.maximum, column.allowed]
    kind, nullable, minimum, maximum, allowed = given
    if kind not in _TYPE_WORDS:
        raise InputError(f"the type of column `{name}` must be one of {', '.join(_TYPE_WORDS)}; got {kind!r}")
    if allowed is not None and not allowed:
        raise InputError(f"`allowed` of column `{name}` must hold at least one value; got none")
    words = _TYPE_WORDS[kind] if allowed is None else "one of " + ", ".join(map(_quote, allowed))
    if minimum is not None and maximum is not None:
        words += f" in [{minimum:g}, {maximum:g}]"
    elif minimum is not None:
        words += f" of at least {minimum:g}"
    elif maximum is not None:
        words += f" of at most {maximum:g}"
    return _Rule(
        type=kind,
        nullable=bool(nullable),
        minimum=-math.inf if minimum is None else minimum,
        maximum=math.inf if maximum is None else maximum,
        allowed=None if allowed is None else frozenset(allowed),
        words=words + (" or null" if nullable else ""),
    )


def _body_type(rules: Mapping[str, _Rule], batch_rows_max: int, replay: bool) -> Any:
    """Build the type that msgspec checks a body against while it reads it."""
    # Columns may have any name; fields of a struct may not, so these are numbered and renamed.
    fields = {f"column_{number}": name for number, name in enumerate(rules)}
    row = msgspec.defstruct(
        "Row",
        [(field, _value_type(rules[name])) for field, name in fields.items()],
        rename=fields,
        forbid_unknown_fields=True,
        gc=False,
    )
    short_text = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_LENGTH_MAX)] | None
    envelope: list[tuple[str, Any, Any]] = [("request_id", short_text, None), ("key", short_text, None)]
    if replay:
        envelope.append(("at_utc", Annotated[datetime, msgspec.Meta(tz=True)] | None, None))
    inputs = Annotated[list[row], msgspec.Meta(min_length=1, max_length=batch_rows_max)]  # type: ignore[valid-type]
    return msgspec.defstruct("Body", [("inputs", inputs), *envelope], forbid_unknown_fields=True)


def _value_type(rule: _Rule) -> Any:
    """Give the type of one column's values."""
    match rule.type:
        case "int":
            # Bounds that no 64-bit integer reaches: the column takes nothing beyond them either way.
            lowest = _INT64_MIN if rule.minimum < _INT64_MIN else min(math.ceil(rule.minimum), _INT64_MAX)
            highest = _INT64_MAX if rule.maximum > _INT64_MAX else max(math.floor(rule.maximum), _INT64_MIN)
            kind: Any = Annotated[int, msgspec.Meta(ge=lowest, le=highest)]
        case "float":
            lower = None if rule.minimum == -math.inf else float(rule.minimum)
            upper = None if rule.maximum == math.inf else float(rule.maximum)
            kind = Annotated[float, msgspec.Meta(ge=lower, le=upper)]
        case "string":
            kind = str if rule.allowed is None else Literal[tuple(sorted(rule.allowed))]
        case "bool":
            kind = bool
        case _:
            kind = Annotated[datetime, msgspec.Meta(tz=True)]
    return kind | None if rule.nullable else kind


def _keeps(rule: _Rule, value: object) -> bool:
    """Say whether a value that `json` read keeps a rule: the same answer as the decoder's."""
    if value is None:
        return rule.nullable
    match rule.type:
        case "int":
            return (
                isinstance(value, int)
                and not isinstance(value, bool)
                and _INT64_MIN <= value <= _INT64_MAX
                and rule.minimum <= value <= rule.maximum
            )
        case "float":
            return (
                isinstance(value, (int, float))
                and not isinstance(value, bool)
                and _is_finite(value)
                and rule.minimum <= value <= rule.maximum
            )
        case "string":
            return isinstance(value, str) and (rule.allowed is None or value in rule.allowed)
        case "bool":
            return isinstance(value, bool)
        case _:
            return _is_time(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the largest float
        return False


def _is_time(value: object) -> bool:
    try:
        msgspec.convert(value, Annotated[datetime, msgspec.Meta(tz=True)])
    except msgspec.ValidationError:
        return False
    return True


def _problem(row: int | None, field: str, expected: str, got: str) -> dict[str, object]:
    return {"row": row, "field": field, "expected": expected, "got": got}


def _quote(value: object) -> str:
    """Give a value as JSON, cut where it gets long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= GOT_LENGTH_MAX else text[: GOT_LENGTH_MAX - 1] + "…"
