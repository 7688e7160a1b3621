"""Judging: a pass needs the bound, a fail the opposite bound, and everything between is undecided."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.evidence.criteria import Verdict, criteria_sha256, decide_gate
from tidewheel.evidence.gates import DEFAULT_GATES
from tidewheel.measures.measurement import Measurement
from tidewheel.project.settings import Criterion


def measured(
    value: float, lower: float, upper: float, *, n_units: int = 30, metric: str = "roc_auc"
) -> Measurement:
    return Measurement(metric, value, lower, upper, 0.95, n_rows=1000, n_units=n_units)


def asked(comparison: str, threshold: float, **more: object) -> Criterion:
    return Criterion.model_validate(
        {"metric": "roc_auc", "comparison": comparison, "threshold": threshold, **more}
    )


CASES: dict[str, tuple[Criterion, Measurement | None, Verdict, str]] = {
    "bound above": (asked(">", 0.6), measured(0.7, 0.65, 0.75), "pass", "lower bound 0.65"),
    "bound at the threshold, >": (
        asked(">", 0.65),
        measured(0.7, 0.65, 0.75),
        "undecided",
        "units would decide",
    ),
    "bound at the threshold, >=": (asked(">=", 0.65), measured(0.7, 0.65, 0.75), "pass", ">= 0.65"),
    "point above, bound below": (
        asked(">", 0.68),
        measured(0.7, 0.65, 0.75),
        "undecided",
        "about 189 units would decide",
    ),
    "point below, bound above": (
        asked(">", 0.72),
        measured(0.7, 0.65, 0.75),
        "undecided",
        "more units will not decide",
    ),
    "all below": (asked(">", 0.8), measured(0.7, 0.65, 0.75), "fail", "at best 0.75"),
    "downward pass": (asked("<", 0.8), measured(0.7, 0.65, 0.75), "pass", "upper bound 0.75"),
    "downward fail": (asked("<=", 0.6), measured(0.7, 0.65, 0.75), "fail", "at best 0.65"),
    "too few units": (
        asked(">", 0.6, units_min=31),
        measured(0.7, 0.65, 0.75),
        "undecided",
        "30 units; 31 are required",
    ),
    "too few units to fail by": (
        asked(">", 0.8, units_min=31),
        measured(0.7, 0.65, 0.75),
        "undecided",
        "30 units; 31 are required",
    ),
    "units at the minimum": (asked(">", 0.6, units_min=30), measured(0.7, 0.65, 0.75), "pass", "bound 0.65"),
    "bound without end": (
        asked(">", 0.6),
        measured(0.7, -math.inf, math.inf),
        "no data",
        "bounds -inf, inf",
    ),
    "other confidence": (
        asked(">", 0.6, confidence=0.99),
        measured(0.7, 0.65, 0.75),
        "no data",
        "was not measured at confidence 0.99, only at 0.95",
    ),
    "not measured": (asked(">", 0.6), None, "no data", "was not measured at stage model"),
    "other comparator": (
        asked(">", 0.6, relative_to="champion"),
        measured(0.7, 0.65, 0.75),
        "no data",
        "against champion",
    ),
    "not finite": (asked(">", 0.6), measured(math.nan, 0.65, 0.75), "no data", "no finite value"),
}


@pytest.mark.parametrize(("criterion", "row", "verdict", "words"), CASES.values(), ids=CASES.keys())
def test_one_criterion(criterion: Criterion, row: Measurement | None, verdict: Verdict, words: str) -> None:
    found, judgements = decide_gate("model", [criterion], [row] if row else [])
    assert found == verdict == judgements[0].verdict
    assert words in judgements[0].reason


def test_the_worst_counts() -> None:
    rows = [measured(0.7, 0.65, 0.75)]
    passing, failing, unmeasured = asked(">", 0.6), asked(">", 0.8), asked(">", 0.0, relative_to="champion")
    assert decide_gate("model", [passing, unmeasured], rows)[0] == "no data"
    assert decide_gate("model", [passing, unmeasured, failing], rows)[0] == "fail"


def test_dry_run_is_judged_and_does_not_count() -> None:
    verdict, judgements = decide_gate("model", [asked(">", 0.8, dry_run=True)], [measured(0.7, 0.65, 0.75)])
    assert verdict == "pass"
    assert judgements[0].verdict == "fail"


def test_counted_measurements_serve_every_confidence() -> None:
    assert decide_gate("data", [asked(">=", 0.7, confidence=0.9)], [measured(0.7, 0.7, 0.7)])[0] == "pass"


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.floats(-1, 1))
def test_a_looser_threshold_never_takes_a_pass_away(
    value: float, below: float, above: float, threshold: float
) -> None:
    row = measured(value, value - below, value + above)
    if decide_gate("model", [asked(">", threshold)], [row])[0] == "pass":
        assert decide_gate("model", [asked(">", threshold - 0.1)], [row])[0] == "pass"


@given(
    st.sampled_from([">", ">=", "<", "<="]),
    st.floats(-1, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(-1, 1),
    st.integers(1, 40),
)
def test_a_metric_and_its_negative_are_judged_alike(
    comparison: str, value: float, below: float, above: float, threshold: float, n_units: int
) -> None:
    mirrored = {">": "<", ">=": "<=", "<": ">", "<=": ">="}[comparison]
    here = decide_gate(
        "model",
        [asked(comparison, threshold, units_min=20)],
        [measured(value, value - below, value + above, n_units=n_units)],
    )
    there = decide_gate(
        "model",
        [asked(mirrored, -threshold, units_min=20)],
        [measured(-value, -value - above, -value + below, n_units=n_units)],
    )
    assert here[0] == there[0]


@given(st.lists(st.sampled_from(["fail", "no data", "undecided", "pass"]), min_size=1, max_size=5))
def test_a_gate_is_as_good_as_its_worst_criterion(verdicts: list[str]) -> None:
    criteria = {
        "fail": asked(">", 0.8),
        "no data": asked(">", 0.0, relative_to="champion"),
        "undecided": asked(">", 0.68),
        "pass": asked(">", 0.6),
    }
    found, judgements = decide_gate(
        "model", [criteria[verdict] for verdict in verdicts], [measured(0.7, 0.65, 0.75)]
    )
    assert [row.verdict for row in judgements] == verdicts
    assert found == min(verdicts, key=["fail", "no data", "undecided", "pass"].index)


def test_no_criterion_is_a_pass_without_judgements() -> None:
    assert decide_gate("model", [], [measured(0.7, 0.65, 0.75)]) == ("pass", ())


def test_the_last_measurement_counts() -> None:
    older, newer = measured(0.7, 0.65, 0.75), measured(0.5, 0.45, 0.55)
    assert decide_gate("model", [asked(">", 0.6)], [older, newer])[1][0].measurement is newer


def test_a_computed_confidence_is_the_written_one() -> None:
    row = Measurement("roc_auc", 0.7, 0.65, 0.75, 1 - 0.1 / 2 * 1.0000000000000002, n_rows=9, n_units=9)
    assert decide_gate("model", [asked(">", 0.6)], [row])[0] == "pass"


def test_digest_ignores_order_and_sees_every_change() -> None:
    first, second = asked(">", 0.6), asked("<", 0.9)
    assert criteria_sha256([first, second]) == criteria_sha256([second, first])
    assert criteria_sha256([first]) != criteria_sha256([asked(">", 0.61)])
    assert criteria_sha256([first]) != criteria_sha256([asked(">", 0.6, dry_run=True)])


def test_default_gates_are_there_for_the_stages_that_always_run() -> None:
    assert {"data", "baseline", "model", "package", "shadow"} <= set(DEFAULT_GATES)
