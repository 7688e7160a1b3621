"""A project file that is acceptable and has every form of section once; tests change one place of it."""

from pathlib import Path

PROJECT = """\
[scope]
name = "parcels"
objective = "Tell late parcels"
protected = []

[data]
name = "parcels"
source = "shop.rows:read_parcels"
row_id = "parcel_id"
key = "customer"
event_time = "sent_at_utc"
unit = "day"

[contract.columns]
parcel_id = { type = "string", unique = true }
customer = { type = "string" }
day = { type = "string" }
sent_at_utc = { type = "datetime" }
known_at_utc = { type = "datetime", nullable = true }
late = { type = "bool", nullable = true }
weight = { type = "float", minimum = 0, maximum = 40 }
stops = { type = "int" }
depot = { type = "string", allowed = ["north", "south"] }

[labels]
column = "late"
known_at = "known_at_utc"

[features]
numeric = ["weight", "stops"]
categorical = ["depot"]

[baselines]
heuristic = "shop.rules:score_late"

[model]
retrained = "trees"

[[model.candidates]]
name = "simple"
family = "logistic"

[[model.candidates]]
name = "trees"
family = "xgboost"

[model.candidates.parameters]
max_depth = 3

[[gates.data.criteria]]
metric = "rows"
comparison = ">="
threshold = 100

[[gates.model.criteria]]
metric = "roc_auc"
comparison = ">"
threshold = 0.0
relative_to = "simple"

[serving]
port = 0

[rollout]
alpha = 0.05
keys_min = 50

[[rollout.guards]]
metric = "error_rate"
margin = 0.05
harm = 0.1

[rollout.quality]
margin = 0.003
harm = 0.01

[retrain]
triggers = ["performance"]

[environments.production]
ledger_url = "postgresql://cluster/ledger"
"""


def changed(old: str, new: str) -> str:
    """Change one place of the project, which must be there once."""
    assert PROJECT.count(old) == 1, f"{old!r} stands {PROJECT.count(old)} times in the project"
    return PROJECT.replace(old, new)


def written(tmp_path: Path, text: str) -> Path:
    """Write a project file."""
    path = tmp_path / "tidewheel.toml"
    path.write_text(text, encoding="utf-8")
    return path
