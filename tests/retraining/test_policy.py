from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.evidence.records import Decision, Finding
from tidewheel.project.settings import Retrain
from tidewheel.retraining.policy import RetrainDecision, decide_retraining

YEAR = datetime(2013, 1, 1, tzinfo=UTC)
RETRAIN = Retrain(triggers=("performance", "label shift"), cooldown_days=14.0, budget_per_year=3)


def month(number: int) -> datetime:
    return YEAR + timedelta(days=30 * number)


def make_finding(
    kind: str, number: int = 1, verdict: Literal["drifted", "degraded", "stable", "undecided"] = "degraded"
) -> Finding:
    name = f"{kind} {number}"
    ends = month(number)
    return Finding(
        name, kind, "m", month(number - 1), ends, ends, verdict, (), (), "retrain", f"reason of {name}"
    )


def decision(subject: str, at: datetime, action: str = "retrain") -> Decision:
    return Decision(action, subject, "retrain policy", "", at)


def decide(
    findings: Sequence[Finding],
    history: Sequence[Decision] = (),
    *,
    day: float = 2.0,
    is_in_flight: bool = False,
) -> RetrainDecision:
    now = max((each.ends_utc for each in findings), default=YEAR) + timedelta(days=day)
    return decide_retraining(findings, RETRAIN, history, now, is_in_flight=is_in_flight)


def test_a_finding_that_triggers_is_acted_upon() -> None:
    found = decide([make_finding("performance")])
    assert found == RetrainDecision(
        "retrain", "performance: reason of performance 1", "performance 1", ("performance 1",)
    )


@pytest.mark.parametrize(
    "findings",
    [
        [],
        [make_finding("none", verdict="stable")],
        [make_finding("performance", verdict="undecided")],
        [make_finding("covariate shift", verdict="drifted")],
        [make_finding("schema")],
    ],
    ids=["no finding", "none", "undecided", "no trigger", "schema"],
)
def test_nothing_asks(findings: list[Finding]) -> None:
    found = decide(findings)
    assert (found.action, found.finding_id, found.answers) == ("nothing", None, ())
    assert found.reason == (
        f"none of {len(findings)} findings asks for it; what would: performance, label shift"
    )


def test_the_latest_window_counts_then_the_order_of_triggers_and_all_are_answered() -> None:
    findings = [
        make_finding("label shift", 2),
        make_finding("performance", 2),
        make_finding("performance", 1),
    ]
    found = decide(findings)
    assert found.finding_id == "performance 2"
    assert found.answers == ("label shift 2", "performance 1", "performance 2")


@pytest.mark.parametrize(
    ("findings", "history", "in_flight", "reason"),
    [
        ([], [], True, "another retraining is under way"),
        (
            [],
            [decision("x", month(5) - timedelta(days=3))],
            False,
            "the cooldown of 14 days ends on 2013-06-11",
        ),
        ([], [decision(str(n), month(n)) for n in (1, 2, 3)], False, "3 retrainings of 3 a year are spent"),
        (
            [make_finding("schema", 5)],
            [],
            False,
            "the rows are broken and must not be learned from (reason of schema 5)",
        ),
    ],
    ids=["in flight", "cooldown", "budget", "broken rows"],
)
def test_what_stands_against_it_makes_it_wait(
    findings: list[Finding], history: list[Decision], in_flight: bool, reason: str
) -> None:
    found = decide([make_finding("performance", 5), *findings], history, is_in_flight=in_flight)
    assert (found.action, found.finding_id, found.answers) == ("wait", "performance 5", ())
    assert found.reason.startswith(reason)
    assert found.reason.endswith("; asked for by performance: reason of performance 5")


def test_waiting_ends_at_the_border_and_settles_nothing() -> None:
    finding = make_finding("performance", 5)
    began = month(5) - timedelta(days=10)
    history = [decision("x", began), decision("performance 5", month(5), "wait")]
    assert decide([finding], history, day=4.0 - 1e-6).action == "wait"
    assert decide([finding], history, day=4.0).action == "retrain"


def test_a_schema_finding_of_an_earlier_window_or_a_settled_one_does_not_hinder() -> None:
    assert decide([make_finding("performance", 5), make_finding("schema", 4)]).action == "retrain"
    repaired = [decision("schema 5", month(5), "repaired")]
    assert decide([make_finding("performance", 5), make_finding("schema", 5)], repaired).action == "retrain"


def test_a_year_old_retraining_is_no_longer_charged() -> None:
    history = [decision(str(n), YEAR - timedelta(days=360 - n)) for n in range(3)]
    assert decide([make_finding("performance", 1)], history, day=-30.0).action == "wait"
    assert decide([make_finding("performance", 1)], history).action == "retrain"


def test_windows_that_the_last_retraining_has_seen_ask_no_more() -> None:
    findings = [
        make_finding("performance", 3),
        make_finding("label shift", 3),
        make_finding("label shift", 2),
    ]
    after = [decision("performance 3", month(3) + timedelta(days=2))]
    assert decide(findings, after, day=200.0).action == "nothing"
    assert decide([*findings, make_finding("label shift", 4)], after).finding_id == "label shift 4"


findings_of_a_year = st.lists(
    st.builds(
        make_finding,
        st.sampled_from(["performance", "label shift", "covariate shift", "none"]),
        st.integers(1, 12),
        st.sampled_from(["degraded", "drifted", "undecided"]),
    ),
    max_size=20,
)


@given(findings_of_a_year, st.floats(0.0, 30.0), st.integers(1, 4))
def test_a_year_of_asking_keeps_every_promise(findings: list[Finding], late_days: float, times: int) -> None:
    """Ask several times after each month, as a flow that is killed and started again would; record what is decided."""
    history: list[Decision] = []
    for number in range(1, 13):
        now = month(number) + timedelta(days=late_days)
        known = [finding for finding in findings if finding.ends_utc <= now]
        for _ in range(times):
            found = decide_retraining(known, RETRAIN, history, now)
            assert found == decide_retraining(known[::-1], RETRAIN, history, now)
            if found.action == "retrain":
                assert found.finding_id in found.answers
                history.append(decision(str(found.finding_id), now))
                assert decide_retraining(known, RETRAIN, history, now).action == "nothing"
    began = [each.at_utc for each in history]
    assert len({each.subject for each in history}) == len(history) <= RETRAIN.budget_per_year
    gaps = [late - early for early, late in pairwise(began)]
    assert all(gap >= timedelta(days=RETRAIN.cooldown_days) for gap in gaps)
    asking = {
        f.finding_id for f in findings if f.kind in RETRAIN.triggers and f.verdict in ("degraded", "drifted")
    }
    assert {each.subject for each in history} <= asking
    assert bool(asking) == bool(history)
