"""Rows with a little of everything: numbers with gaps, categories, a day to cluster by, and a label to learn."""

from datetime import UTC, datetime

import numpy as np
import polars as pl

from tidewheel.evidence.records import DataVersion
from tidewheel.project.settings import Candidate, Features

FEATURES = Features(numeric=("minute", "temp"), categorical=("carrier", "dest"))
SIMPLE = Candidate(name="simple", family="logistic")
TREES = Candidate(
    name="trees", family="xgboost", parameters={"n_estimators": 20, "max_depth": 3, "learning_rate": 0.2}
)
DATA = DataVersion(
    name="flights",
    delta_version=3,
    content_sha256="0123456789abcdef" * 4,
    n_rows=3000,
    contract_sha256="cd" * 32,
    starts_utc=datetime(2013, 1, 1, tzinfo=UTC),
    ends_utc=datetime(2013, 2, 10, tzinfo=UTC),
    uri="data/flights",
)


def score_by_minute(columns: pl.DataFrame) -> np.ndarray:
    """Serve as the user's heuristic."""
    return np.asarray(columns["minute"], dtype=np.float64) / 1439.0


def make_rows(n: int = 3000, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    minute = rng.integers(0, 1440, n)
    temp = rng.normal(50.0, 15.0, n)
    carrier = rng.choice(["AA", "B6", "UA"], n)
    dest = rng.choice(["ATL", "BOS", "SFO", None], n, p=[0.4, 0.3, 0.2, 0.1])
    odds = (minute - 720) / 500 - (temp - 50) / 30 + 0.8 * (carrier == "B6") - 0.7 * (dest == "SFO") - 1.0
    late = rng.random(n) < 1 / (1 + np.exp(-odds))
    return pl.DataFrame(
        {
            "day": [f"d{day:02d}" for day in rng.integers(0, 40, n)],
            "minute": minute,
            "temp": [None if gap else value for gap, value in zip(rng.random(n) < 0.1, temp, strict=True)],
            "carrier": carrier,
            "dest": dest,
            "late": late,
        }
    )
