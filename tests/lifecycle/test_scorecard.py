"""The scorecard: each row by the model in force at its event time, never by one that was trained on it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tidewheel.errors import IntegrityError
from tidewheel.evidence.history import Reign
from tidewheel.lifecycle.scorecard import models_in_force, score_year
from tidewheel.project.files import read_settings
from tidewheel.project.settings import Settings

APRIL = datetime(2021, 4, 1, tzinfo=UTC)
JUNE = datetime(2021, 6, 1, tzinfo=UTC)


@pytest.fixture
def settings(small_project: Path) -> Settings:
    return read_settings(small_project / "tidewheel.toml")


def rows_of(settings: Settings) -> pl.DataFrame:
    """Make 20 rows a day from April to July, in which `load` tells the label and `size` does not."""
    rng = np.random.default_rng(3)
    at = [APRIL + timedelta(days=day, hours=hour) for day in range(120) for hour in range(4, 24)]
    load = rng.normal(size=len(at))
    return pl.DataFrame(
        {
            "order_id": [f"{index:05d}" for index in range(len(at))],
            "day": [f"{moment:%Y-%m-%d}" for moment in at],
            "ordered_at_utc": at,
            "late": load + rng.normal(size=len(at)) > 0,
            "load": load,
            "size": rng.normal(size=len(at)),
        }
    )


def by_size(rows: pl.DataFrame) -> np.ndarray:
    return 1 / (1 + np.exp(-rows["size"].to_numpy()))


def by_load(rows: pl.DataFrame) -> np.ndarray:
    return 1 / (1 + np.exp(-rows["load"].to_numpy()))


FIRST = Reign("a" * 64, "first", APRIL, APRIL)
SECOND = Reign("b" * 64, "second", JUNE, JUNE)
SCORERS = {FIRST.model_id: by_size, SECOND.model_id: by_load}


def test_the_gain_is_that_of_the_model_in_force(settings: Settings) -> None:
    card = score_year(
        rows_of(settings), [FIRST, SECOND], FIRST, SCORERS, settings, gain_from_month=6, draws=200, seed=0
    )
    assert [row.month for row in card.months] == [4, 5, 6, 7]
    assert [row.champion for row in card.months] == ["first", "first", "second", "second"]
    before, after = card.months[1], card.months[2]
    assert before.loop_auc == before.static_auc
    assert after.loop_auc > after.static_auc + 0.2
    assert card.gain.low > 0.1
    assert card.gain.low < card.gain.value < card.gain.high
    mean = np.mean([row.loop_auc - row.static_auc for row in card.months[2:]])
    assert card.gain.value == pytest.approx(mean, abs=1e-12)


def test_a_model_never_scores_what_it_was_trained_on(settings: Settings) -> None:
    trained_later = Reign("a" * 64, "first", APRIL, APRIL + timedelta(days=3))
    with pytest.raises(IntegrityError, match=r"first .* was trained on rows up to 2021-04-04"):
        score_year(
            rows_of(settings),
            [trained_later],
            trained_later,
            SCORERS,
            settings,
            gain_from_month=5,
            draws=100,
            seed=0,
        )


def test_in_force_from_the_very_instant() -> None:
    times = pl.Series([APRIL, JUNE - timedelta(microseconds=1), JUNE])
    assert models_in_force(times, [FIRST, SECOND]).tolist() == [0, 0, 1]


def test_nobody_in_force_before_the_first() -> None:
    with pytest.raises(IntegrityError, match="no model was in force at 2021-03-31"):
        models_in_force(pl.Series([APRIL - timedelta(days=1)]), [FIRST])
