import json
import math
import pickle
import timeit
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.errors import InputError, RequestError
from tidewheel.project.settings import Column
from tidewheel.serving.requests import ID_LENGTH_MAX, PROBLEMS_MAX, Request, Validator

COLUMNS: dict[str, Any] = {
    "minute": {"type": "int", "minimum": 0, "maximum": 1439},
    "wind speed": {"type": "float", "nullable": True, "minimum": 0.0, "maximum": 120.0},
    "temp": {"type": "float", "minimum": -40},
    "origin": {"type": "string", "allowed": ["EWR", "JFK"]},
    "dest": {"type": "string", "nullable": True},
    "cancelled": {"type": "bool"},
    "due": {"type": "datetime"},
}
ROW: dict[str, Any] = {
    "minute": 315,
    "wind speed": None,
    "temp": 50.5,
    "origin": "EWR",
    "dest": "IAH",
    "cancelled": False,
    "due": "2013-04-01T05:15:00+00:00",
}
VALIDATOR = Validator(COLUMNS, batch_rows_max=10, body_bytes_max=20_000, replay=False)
REPLAY = Validator(COLUMNS, batch_rows_max=10, body_bytes_max=20_000, replay=True)


def body(*rows: Any, **rest: Any) -> bytes:
    return json.dumps({"inputs": list(rows), **rest}).encode()


def refusal(content: bytes, validator: Validator = VALIDATOR) -> RequestError:
    with pytest.raises(RequestError) as caught:
        validator.parse(content)
    return caught.value


def test_a_request_is_read_with_its_columns_in_the_order_of_the_contract() -> None:
    shuffled = dict(sorted(ROW.items()))
    request = VALIDATOR.parse(body(shuffled, {**ROW, "wind speed": 3}, request_id="a", key="UA1"))
    due = datetime(2013, 4, 1, 5, 15, tzinfo=UTC)
    assert request == Request([{**ROW, "due": due}, {**ROW, "wind speed": 3.0, "due": due}], "a", "UA1", None)
    assert list(request.rows[0]) == list(COLUMNS)
    assert type(request.rows[1]["wind speed"]) is float
    assert type(request.rows[0]["minute"]) is int


def test_what_is_not_said_of_a_request_is_filled_in() -> None:
    one, other = VALIDATOR.parse(body(ROW)), VALIDATOR.parse(body(ROW, request_id=None, key=None))
    assert len(one.request_id) == 32
    assert one.request_id != other.request_id
    assert (one.key, other.key) == (one.request_id, other.request_id)
    assert VALIDATOR.parse(body(ROW, request_id="r7")).key == "r7"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2013-04-01T05:15:00+00:00", datetime(2013, 4, 1, 5, 15, tzinfo=UTC)),
        ("2013-04-01T05:15:00.000001Z", datetime(2013, 4, 1, 5, 15, 0, 1, tzinfo=UTC)),
        ("2013-04-01T00:15:00-05:00", datetime(2013, 4, 1, 5, 15, tzinfo=UTC)),
        (None, None),
    ],
)
def test_event_time_is_taken_in_replay_mode_and_turned_to_utc(given: str | None, expected: datetime) -> None:
    at_utc = REPLAY.parse(body(ROW, at_utc=given)).at_utc
    assert at_utc == expected
    assert at_utc is None or at_utc.tzinfo is UTC


def test_the_contract_may_be_records_of_the_project_file() -> None:
    records = {name: Column.model_validate(column) for name, column in COLUMNS.items()}
    validator = Validator(records, 10, 20_000, replay=False)
    assert validator.parse(body(ROW, request_id="a")) == VALIDATOR.parse(body(ROW, request_id="a"))
    assert (
        refusal(body({**ROW, "minute": -1}), validator).problems
        == refusal(body({**ROW, "minute": -1})).problems
    )


NOTHING = object()
BAD_VALUES = {
    "null where it may not be": ("minute", None, "an integer in [0, 1439]", "null"),
    "missing": ("minute", NOTHING, "an integer in [0, 1439]", "nothing"),
    "missing though nullable": ("dest", NOTHING, "a string or null", "nothing"),
    "a bool is no integer": ("minute", True, "an integer in [0, 1439]", "true"),
    "a bool is no number": ("temp", False, "a finite number of at least -40", "false"),
    "an integer is no bool": ("cancelled", 1, "true or false", "1"),
    "a fraction is no integer": ("minute", 1.5, "an integer in [0, 1439]", "1.5"),
    "a float is no integer": ("minute", 1.0, "an integer in [0, 1439]", "1.0"),
    "a string is no number": ("temp", "7", "a finite number of at least -40", '"7"'),
    "a number is no string": ("dest", 7, "a string or null", "7"),
    "below": ("minute", -1, "an integer in [0, 1439]", "-1"),
    "above": ("minute", 1440, "an integer in [0, 1439]", "1440"),
    "below, float": ("temp", -40.001, "a finite number of at least -40", "-40.001"),
    "above, nullable": ("wind speed", 120.5, "a finite number in [0, 120] or null", "120.5"),
    "beyond 64 bits": ("minute", 1 << 64, "an integer in [0, 1439]", str(1 << 64)),
    "beyond any float": ("temp", 10**400, "a finite number of at least -40", "1" + "0" * 78 + "…"),
    "NaN": ("wind speed", math.nan, "a finite number in [0, 120] or null", "NaN"),
    "infinity": ("temp", math.inf, "a finite number of at least -40", "Infinity"),
    "not allowed": ("origin", "LGA", 'one of "EWR", "JFK"', '"LGA"'),
    "a list": ("origin", ["EWR"], 'one of "EWR", "JFK"', '["EWR"]'),
    "an object": ("dest", {"a": 1}, "a string or null", '{"a": 1}'),
    "a long string is cut": ("origin", "x" * 500, 'one of "EWR", "JFK"', '"' + "x" * 78 + "…"),
    "no zone": (
        "due",
        "2013-04-01T05:15:00",
        "a time in ISO 8601 with its zone, such as 2013-04-01T05:15:00+00:00",
        '"2013-04-01T05:15:00"',
    ),
    "no time": ("due", 7, "a time in ISO 8601 with its zone, such as 2013-04-01T05:15:00+00:00", "7"),
    "unknown": ("delay", 7, "a column of the contract", "an unknown field"),
}


@pytest.mark.parametrize(("field", "value", "expected", "got"), BAD_VALUES.values(), ids=BAD_VALUES.keys())
def test_a_bad_value_is_named_by_row_and_field(field: str, value: object, expected: str, got: str) -> None:
    bad = {**ROW, field: value}
    if value is NOTHING:
        del bad[field]
    error = refusal(body(ROW, bad))
    assert error.status == 422
    assert error.problems == ({"row": 1, "field": field, "expected": expected, "got": got},)
    assert str(error) == f"`{field}` in row 1 must be {expected}; got {got}"
    assert json.loads(error.body()) == {"error": str(error), "problems": list(error.problems)}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("minute", 0),
        ("minute", 1439),
        ("temp", -40),
        ("temp", -40.0),
        ("temp", 1.7e308),
        ("wind speed", 120),
        ("dest", ""),
        ("dest", "☃"),
        ("origin", "JFK"),
        ("cancelled", True),
    ],
)
def test_values_on_the_border_are_taken(field: str, value: object) -> None:
    assert VALIDATOR.parse(body({**ROW, field: value})).rows[0][field] == value


BAD_BODIES = {
    "nothing": (b"", 400, "body"),
    "not JSON": (b"minute=315", 400, "body"),
    "cut": (body(ROW)[:-1], 400, "body"),
    "not UTF-8": (b'{"inputs": "\xff"}', 400, "body"),
    "half a surrogate pair": (body({**ROW, "dest": "\ud800"}), 400, "body"),
    "too deep": (b"[" * 10_000, 400, "body"),
    "too long": (b" " * 20_001, 413, "body"),
    "too many rows": (body(*[ROW] * 11), 413, "inputs"),
    "no object": (b"[1]", 422, "body"),
    "no inputs": (b"{}", 422, "inputs"),
    "no row": (b'{"inputs": []}', 422, "inputs"),
    "inputs are no list": (json.dumps({"inputs": ROW}).encode(), 422, "inputs"),
    "a row is no object": (b'{"inputs": [7]}', 422, "inputs"),
    "an id is no string": (body(ROW, request_id=7), 422, "request_id"),
    "an id is empty": (body(ROW, request_id=""), 422, "request_id"),
    "an id is too long": (body(ROW, request_id="x" * (ID_LENGTH_MAX + 1)), 422, "request_id"),
    "a key is empty": (body(ROW, key=""), 422, "key"),
    "unknown field": (body(ROW, model="newest"), 422, "model"),
    "event time outside replay mode": (body(ROW, at_utc="2013-04-01T05:15:00Z"), 422, "at_utc"),
}


@pytest.mark.parametrize(("content", "status", "field"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_a_bad_body_is_refused_with_its_status(content: bytes, status: int, field: str) -> None:
    error = refusal(content)
    assert (error.status, [problem["field"] for problem in error.problems]) == (status, [field])
    assert field in json.loads(error.body())["error"]


@pytest.mark.parametrize("at_utc", ["2013-04-01T05:15:00", "yesterday", 1364793300, True])
def test_event_time_needs_a_zone(at_utc: object) -> None:
    error = refusal(body(ROW, at_utc=at_utc), REPLAY)
    assert (error.status, error.problems[0]["field"]) == (422, "at_utc")
    assert "with its zone" in str(error)


def test_all_problems_are_listed_up_to_a_limit() -> None:
    bad = {**ROW, "minute": -1, "temp": None, "delay": 3}
    error = refusal(body(ROW, bad, model="newest", key=""))
    assert [(problem["row"], problem["field"]) for problem in error.problems] == [
        (None, "model"),
        (None, "key"),
        (1, "minute"),
        (1, "temp"),
        (1, "delay"),
    ]
    flood = refusal(body({f"column {number}": 0 for number in range(3 * PROBLEMS_MAX)}))
    assert len(flood.problems) == PROBLEMS_MAX


def test_limits_are_taken_on_the_border() -> None:
    assert len(VALIDATOR.parse(body(*[ROW] * 10)).rows) == 10
    content = body(ROW)
    assert VALIDATOR.parse(content + b" " * (20_000 - len(content))).rows
    assert VALIDATOR.parse(body(ROW, request_id="x" * ID_LENGTH_MAX)).request_id == "x" * ID_LENGTH_MAX


def test_an_error_survives_the_way_between_processes() -> None:
    error = refusal(body({**ROW, "minute": -1}))
    again = pickle.loads(pickle.dumps(error))
    assert (again.status, again.problems, str(again)) == (error.status, error.problems, str(error))


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({}, "`columns` must name at least one column; got none"),
        ({"a": {"type": "date"}}, "the type of column `a` must be one of int, float, string, bool, datetime; got 'date'"),
        ({"a": {"type": "string", "allowed": []}}, "`allowed` of column `a` must hold at least one value; got none"),
    ],
)  # fmt: skip
def test_a_contract_that_cannot_be_kept_is_refused(columns: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text.replace("[", r"\[")):
        Validator(columns, 10, 1000, replay=False)


@pytest.mark.parametrize("bounds", [{"minimum": 0.5, "maximum": 3.5}, {"minimum": -1e300, "maximum": 1e300}])
def test_bounds_of_integers_may_be_any_number(bounds: dict[str, float]) -> None:
    validator = Validator({"a": {"type": "int", **bounds}}, 10, 1000, replay=False)
    for value in (-(1 << 63) - 1, -(1 << 63), 0, 1, 3, 4, (1 << 63) - 1, 1 << 63):
        fits = bounds["minimum"] <= value <= bounds["maximum"] and -(1 << 63) <= value < 1 << 63
        if fits:
            assert validator.parse(body({"a": value})).rows == [{"a": value}]
        else:
            assert refusal(body({"a": value}), validator).problems[0]["got"] == str(value)


numbers = st.one_of(
    st.integers(-(1 << 70), 1 << 70),
    st.integers(-2, 1441),
    st.floats(),
    st.floats(-41, 121),
    st.just(10**400),
)
values = st.one_of(
    st.none(), st.booleans(), numbers, st.text(), st.sampled_from(["EWR", "JFK", ROW["due"], []])
)


@given(st.sampled_from(list(COLUMNS)), values)
def test_the_fast_and_the_slow_reading_agree(field: str, value: object) -> None:
    """Either the decoder takes a value, or the second reading finds what is wrong with just that one."""
    content = json.dumps({"inputs": [{**ROW, field: value}]}).encode()
    try:
        taken, problems = VALIDATOR.parse(content).rows[0][field], []
    except RequestError as error:
        taken, problems = None, [problem["field"] for problem in error.problems]
    if problems:
        assert problems == [field]
    elif field == "due":
        assert taken == datetime.fromisoformat(str(value))
    else:
        assert taken == value


def test_reading_a_row_costs_microseconds() -> None:
    content = body(ROW, request_id="a")
    per_call = min(timeit.repeat(lambda: VALIDATOR.parse(content), number=500, repeat=5)) / 500
    decoding = min(timeit.repeat(lambda: json.loads(content), number=500, repeat=5)) / 500
    assert per_call < decoding + 15e-6
