import numpy as np
import polars as pl
import pytest

from late_flights import FEATURES, SIMPLE
from tidewheel.errors import InputError
from tidewheel.model.baselines import baseline_scores, heuristic_scores, majority_scores
from tidewheel.model.training import train
from tidewheel.project.settings import Settings


def test_each_baseline_scores_every_held_out_row(rows: pl.DataFrame, settings: Settings) -> None:
    fitted, held_out = rows.head(2000), rows.tail(1000)
    scores = baseline_scores(settings, fitted, held_out)
    assert list(scores) == ["random", "majority", "heuristic", "simple"]
    assert all(each.shape == (1000,) and each.dtype == np.float64 for each in scores.values())
    assert scores["majority"][0] == pytest.approx(fitted["late"].mean())
    np.testing.assert_allclose(scores["heuristic"], held_out["minute"].to_numpy() / 1439.0)
    simple = train(SIMPLE, FEATURES, fitted, "late", seed=7)
    np.testing.assert_array_equal(scores["simple"], simple.scores(held_out))


def test_random_scores_follow_the_seed(rows: pl.DataFrame, settings: Settings) -> None:
    other = settings.model_copy(update={"model": settings.model.model_copy(update={"seed": 8})})
    first, again, second = (
        baseline_scores(each, rows, rows)["random"] for each in (settings, settings, other)
    )
    assert (first == again).all()
    assert (first != second).any()


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.1], r"must give 2 scores, one for each row; got shape \(1,\)"),
        ([0.1, 1.5], r"scores in \[0, 1\]; got 1.5 at row 1"),
        ([np.nan, 0.5], r"scores in \[0, 1\]; got nan at row 0"),
    ],
    ids=["number", "range", "NaN"],
)
def test_a_heuristic_that_misbehaves_is_refused(scores: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        heuristic_scores(lambda _: np.array(scores), {}, 2)


def test_a_share_must_be_one() -> None:
    with pytest.raises(InputError, match=r"`share_positive` must be in \[0, 1\]; got 1.2"):
        majority_scores(1, 1.2)
