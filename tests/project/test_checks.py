"""What is acceptable section by section and wrong as a whole: one row for each contradiction, with place and words."""

import tomllib

import pytest

from project_text import PROJECT, changed
from tidewheel.evidence.gates import DEFAULT_GATES
from tidewheel.project.checks import find_contradictions
from tidewheel.project.metrics import METRICS
from tidewheel.project.settings import Settings

FOUND = {
    "misspelt column": (
        'unit = "day"',
        'unit = "dya"',
        "data.unit: 'dya' is not a column of [contract.columns]; did you mean 'day'?",
    ),
    "event time of another type": (
        'event_time = "sent_at_utc"',
        'event_time = "day"',
        "data.event_time: 'day' must have type 'datetime' in [contract.columns]; it has 'string'",
    ),
    "label of another type": (
        'column = "late"',
        'column = "weight"',
        "labels.column: 'weight' must have type 'bool' or 'int' in [contract.columns]; it has 'float'\n"
        "features.numeric: 'weight' is the label; a model may not see it",
    ),
    "label known at no time": (
        'known_at = "known_at_utc"',
        'known_at = "stops"',
        "labels.known_at: 'stops' must have type 'datetime' in [contract.columns]; it has 'int'\n"
        "features.numeric: 'stops' is when the label is known; a model may not see it",
    ),
    "row id not unique": (
        ", unique = true",
        "",
        "data.row_id: 'parcel_id' must be `unique = true` in [contract.columns]: it names rows",
    ),
    "protected column": (
        "protected = []",
        'protected = ["costumer"]',
        "scope.protected: 'costumer' is not a column of [contract.columns]; did you mean 'customer'?",
    ),
    "misspelt feature": (
        '["weight", "stops"]',
        '["wieght", "stops"]',
        "features.numeric: 'wieght' is not a column of [contract.columns]; did you mean 'weight'?",
    ),
    "label as a feature": (
        '["weight", "stops"]',
        '["weight", "late"]',
        "features.numeric: 'late' is the label; a model may not see it",
    ),
    "time of the label as a feature": (
        '["weight", "stops"]',
        '["weight", "known_at_utc"]',
        "features.numeric: 'known_at_utc' is when the label is known; a model may not see it",
    ),
    "row id as a feature": (
        '["depot"]',
        '["parcel_id"]',
        "features.categorical: 'parcel_id' is the row's id; a model would learn rows by heart",
    ),
    "time as a feature": (
        '["weight", "stops"]',
        '["sent_at_utc"]',
        "features.numeric: 'sent_at_utc' has type 'datetime' in [contract.columns]; make a number of it in the source",
    ),
    "text as a number": (
        '["weight", "stops"]',
        '["depot"]',
        "features.numeric: 'depot' has type 'string' in [contract.columns]; it is a categorical feature\n"
        "features: 'depot' is named twice",
    ),
    "number as text": (
        '["depot"]',
        '["stops"]',
        "features.categorical: 'stops' has type 'int' in [contract.columns]; it is a numeric feature\n"
        "features: 'stops' is named twice",
    ),
    "no feature": (
        'numeric = ["weight", "stops"]\ncategorical = ["depot"]',
        "numeric = []",
        "features: at least one feature is required; got none",
    ),
    "misspelt candidate": (
        'retrained = "trees"',
        'retrained = "tree"',
        "model.retrained: 'tree' is no name in [[model.candidates]]; did you mean 'trees'?",
    ),
    "no simple model": (
        'name = "simple"',
        'name = "linear"',
        "baselines.simple: 'simple' is no name in [[model.candidates]]; known are 'linear', 'trees'",
    ),
    "two candidates of a name": (
        'name = "trees"',
        'name = "simple"',
        "model.retrained: 'trees' is no name in [[model.candidates]]; known are 'simple', 'simple'\n"
        "model.candidates.1.name: 'simple' is the name of another candidate, too",
    ),
    "misspelt metric": (
        'metric = "roc_auc"',
        'metric = "roc_acu"',
        "gates.model.criteria.0.metric: 'roc_acu' is not measured at stage 'model'; did you mean 'roc_auc'?",
    ),
    "metric of another stage": (
        'metric = "rows"',
        'metric = "latency_p95_ms"',
        "gates.data.criteria.0.metric: 'latency_p95_ms' is not measured at stage 'data'; "
        "known are 'rows', 'quarantined_share', 'label_coverage'",
    ),
    "metric that is not compared": (
        'metric = "roc_auc"',
        'metric = "overfit_gap"',
        "gates.model.criteria.0.relative_to: 'overfit_gap' is not compared with another model; "
        "roc_auc, brier, log_loss are",
    ),
    "stage without measurements": (
        "[[gates.data.criteria]]",
        "[[gates.scope.criteria]]",
        "gates.scope.criteria.0: nothing is measured at stage 'scope'; "
        "gates with criteria are data, baseline, model, package, shadow",
    ),
    "empty range": (
        "minimum = 0, maximum = 40",
        "minimum = 41, maximum = 40",
        "contract.columns.weight.minimum: must be at most the maximum, 40; got 41",
    ),
    "range of text": (
        'depot = { type = "string"',
        'depot = { type = "string", minimum = 1',
        "contract.columns.depot.minimum: a column of type 'string' has no minimum; only 'int' and 'float' have",
    ),
    "list for numbers": (
        'stops = { type = "int"',
        'stops = { type = "int", allowed = ["1"]',
        "contract.columns.stops.allowed: a column of type 'int' has no allowed values; only 'string' has",
    ),
    "empty list": (
        'allowed = ["north", "south"]',
        "allowed = []",
        "contract.columns.depot.allowed: must hold at least one value; got none",
    ),
    "harm within the margin": (
        "harm = 0.1",
        "harm = 0.04",
        "rollout.guards.0.harm: must be at least the margin, 0.05; got 0.04",
    ),
    "guard twice": (
        "harm = 0.1",
        'harm = 0.1\n[[rollout.guards]]\nmetric = "error_rate"\nmargin = 0.1\nharm = 0.1',
        "rollout.guards: 'error_rate' is guarded twice",
    ),
    "quality within the margin": (
        "margin = 0.003",
        "margin = 0.03",
        "rollout.quality.harm: must be at least the margin, 0.03; got 0.01",
    ),
    "trigger twice": (
        '["performance"]',
        '["performance", "performance"]',
        "retrain.triggers: 'performance' is named twice",
    ),
}


def settings_of(text: str) -> Settings:
    return Settings.model_validate(tomllib.loads(text))


@pytest.mark.parametrize(("old", "new", "words"), FOUND.values(), ids=FOUND.keys())
def test_found(old: str, new: str, words: str) -> None:
    found = find_contradictions(settings_of(changed(old, new)))
    assert "\n".join(f"{'.'.join(where)}: {said}" for where, said in found) == words


ACCEPTED = {
    "as it is": ("port = 0", "port = 0"),
    "no unit": ('unit = "day"\n', ""),
    "range of one value": ("minimum = 0, maximum = 40", "minimum = 40, maximum = 40"),
    "harm at the margin": ("harm = 0.1", "harm = 0.05"),
    "label in numbers": ('late = { type = "bool"', 'late = { type = "int"'),
}


@pytest.mark.parametrize(("old", "new"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(old: str, new: str) -> None:
    assert list(find_contradictions(settings_of(changed(old, new)))) == []


def test_default_gates_contradict_nothing() -> None:
    settings = settings_of(PROJECT).model_copy(update={"gates": DEFAULT_GATES})
    assert list(find_contradictions(settings)) == []
    assert set(DEFAULT_GATES) <= set(METRICS)
