"""Evidence falls with any one of its bonds, and says which."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tidewheel.evidence.records import DataVersion, Evidence, ModelVersion
from tidewheel.evidence.standing import decide_standing, is_about

AT = datetime(2013, 6, 1, tzinfo=UTC)
DATA = DataVersion("flights", 3, "d3", 27_000, "c1", AT, AT, "state/data/flights")
MODEL = ModelVersion("tree", "m1", "f1", "xgboost", "flights", 3, "d3", "k1", "s1", 7, {}, "packages/m1")
JUDGED = Evidence("model", "m1", "criteria", (), "pass", "flights", 3, "d3", AT)
CRITERIA = {"model": "criteria", "package": "criteria"}


@pytest.mark.parametrize(
    ("data", "criteria", "stands", "why"),
    [
        (DATA, CRITERIA, True, "measured on flights@3"),
        (replace(DATA, delta_version=4), CRITERIA, False, "measured on flights@3; flights@4 is in force"),
        (
            replace(DATA, content_sha256="e3"),
            CRITERIA,
            False,
            "measured on flights@3 with other rows: d3, now e3",
        ),
        (
            DATA,
            {"model": "looser"},
            False,
            "the criteria of gate model changed: criteria, now looser",
        ),
        (DATA, {}, False, "no criteria are set for gate model now"),
    ],
    ids=["stands", "newer data", "changed data", "changed criteria", "no criteria"],
)
def test_a_bond_that_broke_is_named(
    data: DataVersion, criteria: dict[str, str], stands: bool, why: str
) -> None:
    assert decide_standing([JUDGED], data, criteria) == [(JUDGED, stands, why)]


def test_a_failure_stands_as_well() -> None:
    failed = replace(JUDGED, verdict="fail")
    assert decide_standing([failed], DATA, CRITERIA) == [(failed, True, "measured on flights@3")]


def test_a_later_verdict_of_the_same_gate_replaces_the_earlier() -> None:
    package, again = replace(JUDGED, stage="package"), replace(JUDGED, verdict="fail")
    found = decide_standing([JUDGED, package, again], DATA, CRITERIA)
    assert [(row.stands, row.why) for row in found] == [
        (False, "judged again since"),
        (True, "measured on flights@3"),
        (True, "measured on flights@3"),
    ]


@pytest.mark.parametrize(
    ("evidence", "about"),
    [
        (JUDGED, True),
        (replace(JUDGED, data_version=9), True),
        (replace(JUDGED, subject="m2"), False),
        (replace(JUDGED, stage="data", subject="flights@3"), True),
        (replace(JUDGED, stage="baseline", subject="baselines of flights@3"), True),
        (replace(JUDGED, stage="data", subject="flights@2", data_version=2), False),
    ],
    ids=["its gate", "on other data", "another model", "its rows", "its baselines", "other rows"],
)
def test_what_is_about_a_model(evidence: Evidence, about: bool) -> None:
    assert is_about(evidence, MODEL) is about
