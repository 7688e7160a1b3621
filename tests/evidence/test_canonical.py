"""Records as text: the same text everywhere, and the same record back."""

import json
import math
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.errors import InputError, InputTypeError, IntegrityError
from tidewheel.evidence.canonical import decode_record, encode_record, kind_of, row_sha256, subject_of
from tidewheel.evidence.criteria import Judgement
from tidewheel.evidence.records import DataVersion, Decision, Evidence, Finding, ModelVersion, Plan, Record
from tidewheel.measures.measurement import Measurement

AT = datetime(2013, 6, 1, 12, 30, 15, 250, tzinfo=UTC)
MEASUREMENT = Measurement(
    "roc_auc", 0.71, 0.69, math.inf, 0.95, n_rows=27_000, n_units=31, relative_to="champion"
)
JUDGEMENT = Judgement("roc_auc", ">=", -0.01, "champion", MEASUREMENT, "pass", "good")
EVIDENCE = Evidence(
    "model", "m1", "c1", (JUDGEMENT, replace(JUDGEMENT, measurement=None)), "pass", "flights", 3, "d3", AT
)
MODEL = ModelVersion(
    "tree", "m1", "f1", "xgboost", "flights", 3, "d3", "k1", "s1", 7, {"polars": "2.1"}, "packages/m1"
)
PLAN = Plan("flights", 2, "m1", "m2", None, 0.1, 1.0, "salt", {"m1": "packages/m1"}, {"m1": "f1"})
RECORDS: list[Record] = [
    DataVersion("flights", 3, "d3", 27_000, "c1", AT, AT + timedelta(days=31), "state/data/flights"),
    MODEL,
    EVIDENCE,
    Decision("promote", "m1", "guard", "no harm — gain", AT, (3, 4)),
    Finding(
        "f1", "performance", "m1", AT, AT, AT, "degraded", ("temp",), (MEASUREMENT,), "retrain", "AUC fell"
    ),
    PLAN,
]


def kind_id(record: Record) -> str:
    return kind_of(record)


@pytest.mark.parametrize("record", RECORDS, ids=kind_id)
def test_a_record_comes_back_equal(record: Record) -> None:
    back = decode_record(kind_of(record), encode_record(record))
    assert back == record
    assert type(back) is type(record)


@pytest.mark.parametrize("record", RECORDS, ids=kind_id)
def test_the_text_is_canonical_json(record: Record) -> None:
    text = encode_record(record)
    assert text.isascii()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), allow_nan=False)
    assert set(json.loads(text)) == {field.name for field in fields(record)}


def test_the_text_and_digest_of_the_first_format_stay() -> None:
    """Written by format 1; if this changes, no ledger of an earlier release can be verified."""
    text = encode_record(RECORDS[3])
    assert text == (
        '{"action":"promote","actor":"guard","at_utc":"2013-06-01T12:30:15.000250+00:00","evidence":[3,4],'
        '"reason":"no harm \\u2014 gain","subject":"m1"}'
    )
    digest = row_sha256(
        format_version=1,
        sequence=5,
        kind="decision",
        subject="m1",
        cause=None,
        wall_utc="2013-06-01T12:30:15.000250+00:00",
        content=text,
        previous_sha256="0" * 64,
    )
    assert digest == "51689eb65742879ea1529de6ea49a6e24e53b09738db09bf7240dfd1a219881b"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (math.nan, "nan"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (np.float64("nan"), "nan"),
        (np.float32("-inf"), "-inf"),
    ],
)
def test_floats_that_json_does_not_have_survive(value: Any, shown: str) -> None:
    text = encode_record(with_value(value))
    assert f'"value":"{shown}"' in text
    back = value_of(decode_record("evidence", text))
    assert type(back) is float
    assert str(back) == shown


@pytest.mark.parametrize("value", [-0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 2.0**53 + 2])
def test_floats_keep_every_bit(value: float) -> None:
    back = value_of(decode_record("evidence", encode_record(with_value(value))))
    assert back.hex() == value.hex()


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (replace(MODEL, seed=np.int64(7)), MODEL),  # type: ignore[arg-type]
        (replace(EVIDENCE, judgements=list(EVIDENCE.judgements)), EVIDENCE),  # type: ignore[arg-type]
        (replace(EVIDENCE, at_utc=AT.astimezone(ZoneInfo("America/New_York"))), EVIDENCE),
        (replace(EVIDENCE, at_utc=AT.astimezone(timezone(timedelta(hours=5, minutes=30)))), EVIDENCE),
        (
            replace(EVIDENCE, judgements=(replace(JUDGEMENT, threshold=0),)),
            replace(EVIDENCE, judgements=(replace(JUDGEMENT, threshold=0.0),)),
        ),
    ],
    ids=["numpy int", "list", "New York", "half-hour zone", "int as float"],
)
def test_the_same_value_gives_the_same_text(given: Record, plain: Record) -> None:
    assert encode_record(given) == encode_record(plain)
    assert decode_record(kind_of(plain), encode_record(given)) == plain


@pytest.mark.parametrize(
    ("record", "error", "text"),
    [
        (
            replace(MODEL, seed="7"),  # type: ignore[arg-type]
            InputTypeError,
            "ModelVersion.seed must be of type int; got '7' of type str",
        ),
        (
            replace(MODEL, seed=True),
            InputTypeError,
            "ModelVersion.seed must be of type int; got True of type bool",
        ),
        (replace(MODEL, name=None), InputTypeError, "ModelVersion.name must be of type str; got None"),  # type: ignore[arg-type]
        (
            replace(MODEL, environment={"polars": 2}),  # type: ignore[dict-item]
            InputTypeError,
            r"ModelVersion.environment\['polars'\] must be of type str; got 2",
        ),
        (
            replace(EVIDENCE, judgements=(JUDGEMENT, replace(JUDGEMENT, threshold="0"))),  # type: ignore[arg-type]
            InputTypeError,
            r"Evidence.judgements\[1\].threshold must be of type float; got '0'",
        ),
        (
            replace(EVIDENCE, verdict="fine"),  # type: ignore[arg-type]
            InputError,
            "Evidence.verdict must be one of 'pass', .* got 'fine'",
        ),
        (
            replace(EVIDENCE, at_utc=datetime(2013, 6, 1)),
            InputError,
            "a time in the ledger must have a zone; got 2013-06-01T00:00:00",
        ),
        ("a word", InputTypeError, "the ledger keeps DataVersion, .*, Plan; got str"),
    ],
    ids=[
        "text as int",
        "bool as int",
        "none",
        "in a dict",
        "nested",
        "no such verdict",
        "naive",
        "no record",
    ],
)
def test_what_is_not_as_declared_is_refused(record: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        encode_record(record)


def test_a_newer_and_an_older_text_can_be_read() -> None:
    plain = json.loads(encode_record(PLAN))
    assert decode_record("plan", json.dumps({**plain, "colour": "blue"})) == PLAN
    del plain["share_shadow"]
    assert decode_record("plan", json.dumps(plain)) == replace(PLAN, share_shadow=0.0)


@pytest.mark.parametrize(
    ("kind", "content", "text"),
    [
        ("rumour", "{}", "kind 'rumour'; known are data version, model version"),
        ("plan", "{}", "no plan: .*missing 3 required"),
        ("plan", "{", "no plan"),
        ("decision", '{"at_utc": 3}', "no decision"),
    ],
)
def test_a_text_that_is_no_record_is_named(kind: str, content: str, text: str) -> None:
    with pytest.raises(IntegrityError, match=text):
        decode_record(kind, content)


@pytest.mark.parametrize(
    ("record", "subject"), list(zip(RECORDS, ["flights@3", "m1", "m1", "m1", "f1", "flights"], strict=True))
)
def test_subject(record: Record, subject: str) -> None:
    assert subject_of(record) == subject


def with_value(value: float) -> Evidence:
    judgement = replace(JUDGEMENT, measurement=replace(MEASUREMENT, value=value))
    return replace(EVIDENCE, judgements=(judgement,))


def value_of(record: Record) -> float:
    assert isinstance(record, Evidence)
    measurement = record.judgements[0].measurement
    assert measurement is not None
    return measurement.value


# Zones without summer time: to Python, an hour that comes twice equals no time of another zone.
TIMES = st.datetimes(
    min_value=datetime(2, 1, 1),
    max_value=datetime(9998, 1, 1),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-9))]),
)
FLOATS = st.floats(allow_nan=False)
MEASUREMENTS = st.builds(Measurement, value=FLOATS, lower=FLOATS, upper=FLOATS, confidence=FLOATS)
JUDGEMENTS = st.builds(Judgement, threshold=FLOATS, measurement=st.none() | MEASUREMENTS)
ANY_RECORD = st.one_of(
    st.builds(DataVersion, starts_utc=TIMES, ends_utc=TIMES),
    st.builds(ModelVersion),
    st.builds(Evidence, judgements=st.lists(JUDGEMENTS, max_size=3).map(tuple), at_utc=TIMES),
    st.builds(Decision, at_utc=TIMES),
    st.builds(
        Finding,
        starts_utc=TIMES,
        ends_utc=TIMES,
        at_utc=TIMES,
        measurements=st.lists(MEASUREMENTS, max_size=2).map(tuple),
    ),
    st.builds(Plan, share_canary=FLOATS, share_shadow=FLOATS),
)


@given(ANY_RECORD)
def test_any_record_comes_back(record: Record) -> None:
    text = encode_record(record)
    back = decode_record(kind_of(record), text)
    assert back == record
    assert encode_record(back) == text
