from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from tidewheel import drift
from tidewheel.data.contract import RuleResult
from tidewheel.measures.measurement import Measurement
from tidewheel.monitoring.performance import LabelState, WindowPerformance
from tidewheel.monitoring.triage import WindowFacts, find
from tidewheel.monitoring.windows import month_of
from tidewheel.project.settings import Monitoring

MAY = month_of(datetime(2013, 5, 1, tzinfo=UTC))
NOW = MAY.ends_utc + timedelta(days=2)
MONITORING = Monitoring(loss_max=0.02, label_shift_max=0.03, drifted_columns_min=2)


def auc(value: float, half: float = 0.01, units: int = 31) -> Measurement:
    return Measurement("roc_auc", value, value - half, value + half, 0.95, 9000, units)


def shift(value: float, half: float = 0.01, units: int = 31) -> Measurement:
    return Measurement("positive_share", value, value - half, value + half, 0.95, 9000, units, "reference")


def make_drift(*moved: str) -> drift.DriftReport:
    rng = np.random.default_rng(0)
    before = {name: rng.normal(size=2000) for name in ("temp", "dewp", "humid")}
    after = {name: values + 3.0 * (name in moved) for name, values in before.items()}
    return drift.compare(pl.DataFrame(before), pl.DataFrame(after))


def make_facts(
    now: Measurement | None = None,
    *,
    state: LabelState = "matured",
    label_shift: Measurement | None = None,
    moved: tuple[str, ...] = (),
    violating: int = 0,
) -> WindowFacts:
    performance = WindowPerformance(MAY, "m", 9500, 9000, state, now or auc(0.70), "as it stands")
    rules = (RuleResult("dewp", "range", 3, ("999",)), RuleResult("temp", "null", violating, ("",)))
    return WindowFacts(
        performance, auc(0.70), label_shift, make_drift(*moved), 9500, violating, rules if violating else ()
    )


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (make_facts(auc(0.70, 0.005)), [("none", "stable", "nothing")]),
        (make_facts(auc(0.68)), [("none", "undecided", "nothing")]),
        (make_facts(auc(0.60)), [("performance", "degraded", "retrain")]),
        (make_facts(auc(0.60), state="provisional"), [("none", "undecided", "wait for labels")]),
        (make_facts(auc(0.60, units=9)), [("none", "undecided", "wait for labels")]),
        (make_facts(label_shift=shift(0.08)), [("label shift", "drifted", "retrain")]),
        (make_facts(label_shift=shift(-0.08)), [("label shift", "drifted", "retrain")]),
        (
            make_facts(label_shift=shift(0.08), state="provisional"),
            [("none", "undecided", "wait for labels")],
        ),
        (make_facts(auc(0.70, 0.005), label_shift=shift(0.08, 0.06)), [("none", "stable", "nothing")]),
        (make_facts(auc(0.70, 0.005), label_shift=shift(0.08, units=9)), [("none", "stable", "nothing")]),
        (make_facts(auc(0.70, 0.005), moved=("temp",)), [("none", "stable", "nothing")]),
        (make_facts(moved=("temp", "dewp")), [("covariate shift", "drifted", "watch")]),
        (make_facts(violating=200), [("schema", "degraded", "repair the source")]),
        (make_facts(auc(0.70, 0.005), violating=5), [("none", "stable", "nothing")]),
        (
            make_facts(auc(0.60), label_shift=shift(0.08), moved=("temp", "dewp"), violating=200),
            [
                ("schema", "degraded", "repair the source"),
                ("performance", "degraded", "retrain"),
                ("label shift", "drifted", "retrain"),
                ("covariate shift", "drifted", "watch"),
            ],
        ),
    ],
    ids=[
        "as good as before",
        "cannot tell",
        "worse",
        "worse on early labels",
        "worse on few units",
        "more positives",
        "fewer positives",
        "more positives among early labels",
        "perhaps more positives",
        "more positives on few units",
        "one column",
        "two columns",
        "broken rows",
        "a stray row",
        "everything",
    ],
)
def test_kinds_verdicts_and_actions(facts: WindowFacts, found: list[tuple[str, str, str]]) -> None:
    findings = find(facts, MONITORING, NOW)
    assert [(each.kind, each.verdict, each.action) for each in findings] == found
    assert all(each.reason.startswith("2013-05: ") for each in findings)
    assert all(
        (each.starts_utc, each.ends_utc, each.model_id) == (MAY.starts_utc, MAY.ends_utc, "m")
        for each in findings
    )


def test_reasons_name_numbers_and_columns() -> None:
    everything = make_facts(auc(0.60), label_shift=shift(0.08), moved=("temp", "dewp"), violating=200)
    schema, performance, labels, covariates = find(everything, MONITORING, NOW)
    assert (
        schema.reason
        == "2013-05: 200 of 9500 rows break the contract: temp (null, 200 rows), dewp (range, 3 rows)"
    )
    assert schema.columns == ("temp", "dewp")
    assert performance.reason == (
        "2013-05: roc_auc is 0.600 against 0.700 when the model was judged: worse by at least 0.086, and 0.02 is allowed; "
        "beside it moved the share of positives and 2 features"
    )
    assert [each.metric for each in performance.measurements] == ["roc_auc", "roc_auc loss"]
    assert "moved by +0.080 (between +0.070 and +0.090)" in labels.reason
    assert covariates.columns == ("temp", "dewp")
    assert "2 of 3 features drifted (temp, dewp)" in covariates.reason


def test_the_same_cause_has_the_same_id_and_another_one_another() -> None:
    facts = make_facts(auc(0.60), label_shift=shift(0.08))
    ids = [each.finding_id for each in find(facts, MONITORING, NOW)]
    assert ids == [each.finding_id for each in find(facts, MONITORING, NOW + timedelta(days=3))]
    other_model = replace(facts, performance=replace(facts.performance, model_id="n"))
    june = replace(facts, performance=replace(facts.performance, window=month_of(NOW)))
    provisional = make_facts(auc(0.60), state="provisional")
    others = [
        each.finding_id for one in (other_model, june, provisional) for each in find(one, MONITORING, NOW)
    ]
    assert len({*ids, *others}) == len(ids) + len(others) == 7


def test_what_was_not_measured_is_said_to_be_open() -> None:
    facts = WindowFacts(
        WindowPerformance(MAY, "m", 10, 0, "none", None, "none of 10 predictions has a label yet")
    )
    (finding,) = find(facts, MONITORING, NOW)
    assert finding.reason == "2013-05: performance is none: none of 10 predictions has a label yet"
    (unreferenced,) = find(replace(make_facts(), reference=None), MONITORING, NOW)
    assert unreferenced.reason == "2013-05: there is no reference to compare performance with"
