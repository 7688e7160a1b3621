"""A small project and its models, trained once for all tests of this folder."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from late_flights import FEATURES, SIMPLE, TREES, make_rows
from tidewheel.model.trained import TrainedModel
from tidewheel.model.training import train
from tidewheel.project.settings import (
    Baselines,
    Candidate,
    Column,
    Contract,
    Data,
    Labels,
    Model,
    Scope,
    Settings,
)


@pytest.fixture(scope="session")
def rows() -> pl.DataFrame:
    return make_rows()


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings(
        scope=Scope(name="small", objective="tell late flights"),
        data=Data(
            name="flights", source="small:read", row_id="id", key="carrier", event_time="at", unit="day"
        ),
        contract=Contract(
            columns={
                "minute": Column(type="int", minimum=0, maximum=1439),
                "temp": Column(type="float", nullable=True),
                "carrier": Column(type="string", allowed=("AA", "B6", "UA")),
                "dest": Column(type="string", nullable=True),
            }
        ),
        labels=Labels(column="late", known_at="at"),
        features=FEATURES,
        baselines=Baselines(heuristic="late_flights:score_by_minute"),
        model=Model(candidates=(SIMPLE, TREES), retrained="trees", seed=7),
    )


@pytest.fixture(scope="session", params=[SIMPLE, TREES], ids=lambda candidate: candidate.family)
def model(request: pytest.FixtureRequest, rows: pl.DataFrame) -> TrainedModel:
    return train(request.param, FEATURES, rows, "late", seed=7)


@pytest.fixture
def fit(rows: pl.DataFrame) -> Callable[..., TrainedModel]:
    """Train with one thing changed."""

    def fitted(candidate: Candidate = TREES, frame: pl.DataFrame = rows, seed: int = 7) -> TrainedModel:
        return train(candidate, FEATURES, frame, "late", seed=seed)

    return fitted


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "packages"
