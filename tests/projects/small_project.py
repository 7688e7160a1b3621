"""A small project for tests of the flows: 100 orders a day for half a year, whose buyers change in May.

Before May `late` follows `load`; from May on `load` is higher and follows it less, so that monitoring has something to find.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

STARTS_UTC = datetime(2021, 1, 1, tzinfo=UTC)
DAYS = 181
ROWS_A_DAY = 100
CHANGE_DAY = 120


def read_rows() -> pl.DataFrame:
    """Make all rows, the same ones each time."""
    rng = np.random.default_rng(7)
    n = DAYS * ROWS_A_DAY
    day = np.repeat(np.arange(DAYS), ROWS_A_DAY)
    minute = np.tile(np.linspace(0, 1439, ROWS_A_DAY, dtype=int), DAYS)
    changed = day >= CHANGE_DAY
    load = rng.normal(0.0, 1.0, n) + 1.5 * changed
    size = rng.gamma(2.0, 2.0, n)
    shop = rng.choice(["north", "south", "west"], n, p=[0.5, 0.3, 0.2])
    lean = np.where(changed, 0.2, 1.6) * load + np.where(shop == "west", 0.8, 0.0) - 1.0 + 1.2 * changed
    late = rng.random(n) < 1 / (1 + np.exp(-lean))
    at = [STARTS_UTC + timedelta(days=int(d), minutes=int(m)) for d, m in zip(day, minute, strict=True)]
    return pl.DataFrame(
        {
            "order_id": [f"order-{index:05d}" for index in range(n)],
            "customer": [f"customer-{index:04d}" for index in rng.integers(0, 2000, n)],
            "day": [f"{moment:%Y-%m-%d}" for moment in at],
            "ordered_at_utc": at,
            "known_at_utc": [moment + timedelta(hours=6) for moment in at],
            "late": late,
            "load": load,
            "size": size,
            "shop": shop,
        }
    ).with_columns(pl.col("ordered_at_utc", "known_at_utc").dt.cast_time_unit("us"))


def score_late(columns: pl.DataFrame | dict[str, np.ndarray]) -> np.ndarray:
    """Call an order late when the load is high: the rule from before there was a model."""
    return np.where(np.asarray(columns["load"], dtype=np.float64) > 0.5, 0.7, 0.3)


PROJECT = """
[scope]
name = "orders"
objective = "Tell late orders"

[data]
name = "orders"
source = "small_project:read_rows"
row_id = "order_id"
key = "customer"
event_time = "ordered_at_utc"
unit = "day"
holdout_days = 25

[contract.columns]
order_id = { type = "string", unique = true }
customer = { type = "string" }
day = { type = "string" }
ordered_at_utc = { type = "datetime" }
known_at_utc = { type = "datetime", nullable = true }
late = { type = "bool", nullable = true }
load = { type = "float", minimum = -10, maximum = 10 }
size = { type = "float", minimum = 0 }
shop = { type = "string", allowed = ["north", "south", "west"] }

[labels]
column = "late"
known_at = "known_at_utc"

[features]
numeric = ["load", "size"]
categorical = ["shop"]

[baselines]
heuristic = "small_project:score_late"

[model]
retrained = "trees"
bootstrap_draws = 200

[[model.candidates]]
name = "simple"
family = "logistic"

[[model.candidates]]
name = "trees"
family = "xgboost"
parameters = { n_estimators = 30, max_depth = 2, learning_rate = 0.1, min_child_weight = 20 }

[rollout]
share_canary = 0.3
keys_min = 20
shadow_days = 14
canary_days = 7

[rollout.quality]
margin = 0.02
harm = 0.05
"""
