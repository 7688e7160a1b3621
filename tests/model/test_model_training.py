from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import xgboost
from sklearn.linear_model import LogisticRegression

from late_flights import FEATURES, SIMPLE, TREES, make_rows
from tidewheel.errors import InputError, TidewheelError, UnknownNameError
from tidewheel.measures.metrics import roc_auc
from tidewheel.model.trained import TrainedModel
from tidewheel.model.training import complete_parameters, train
from tidewheel.project.settings import Candidate, Features


def test_it_learns(model: TrainedModel) -> None:
    fresh = make_rows(seed=1)
    assert roc_auc(fresh["late"].to_numpy(), model.scores(fresh)) > 0.72


def test_training_twice_gives_the_same_bytes(model: TrainedModel, rows: pl.DataFrame) -> None:
    candidate = SIMPLE if model.family == "logistic" else TREES
    again = train(candidate, FEATURES, rows, "late", seed=7)
    assert again.predictor.scorer.to_bytes() == model.predictor.scorer.to_bytes()
    assert again.predictor.encoder == model.predictor.encoder


def test_one_request_scores_as_its_row_in_a_table(model: TrainedModel, rows: pl.DataFrame) -> None:
    together = model.scores(rows)
    single = [model.predictor.score_rows([row])[0] for row in rows.head(200).to_dicts()]
    assert single == together[:200].tolist()


def test_an_empty_table_has_no_scores(model: TrainedModel, rows: pl.DataFrame) -> None:
    assert model.scores(rows.head(0)).tolist() == []


def test_logistic_equals_scikit_learn(rows: pl.DataFrame) -> None:
    model = train(SIMPLE, FEATURES, rows, "late", seed=0)
    matrix, labels = model.predictor.encoder.encode(rows), rows["late"].to_numpy()
    estimator = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-8).fit(matrix, labels)
    np.testing.assert_allclose(model.scores(rows), estimator.predict_proba(matrix)[:, 1], rtol=1e-9)


def test_the_trees_are_those_of_xgboost_on_the_columns_of_zeros_and_ones(rows: pl.DataFrame) -> None:
    model = train(TREES, FEATURES, rows, "late", seed=0)
    encoder, labels = model.predictor.encoder, rows["late"].to_numpy()
    settings = {"max_depth": 3, "learning_rate": 0.2, "objective": "binary:logistic", "nthread": 1}
    rival = xgboost.train(settings, xgboost.QuantileDMatrix(encoder.encode(rows), labels), 20)
    np.testing.assert_allclose(model.scores(rows), rival.inplace_predict(encoder.encode(rows)), atol=1e-6)


def test_xgboost_reads_the_model_file(rows: pl.DataFrame) -> None:
    model = train(TREES, FEATURES, rows, "late", seed=0)
    booster = xgboost.Booster()
    booster.load_model(bytearray(model.predictor.scorer.to_bytes()))
    scores = booster.inplace_predict(model.predictor.encoder.encode(rows))
    np.testing.assert_allclose(model.scores(rows), scores, atol=1e-6)


def test_rows_without_a_label_are_left_out(fit: Callable[..., TrainedModel], rows: pl.DataFrame) -> None:
    unlabelled = make_rows(500, seed=5).with_columns(late=pl.lit(None, pl.Boolean))
    model = fit(frame=rows.vstack(unlabelled))
    assert model.n_rows == rows.height
    assert model.predictor.scorer.to_bytes() == fit().predictor.scorer.to_bytes()
    assert model.share_positive == pytest.approx(rows["late"].mean())


def test_a_seed_matters_where_something_is_drawn(fit: Callable[..., TrainedModel]) -> None:
    drawn = Candidate(name="drawn", family="xgboost", parameters={"n_estimators": 5, "subsample": 0.5})
    files = [fit(drawn, seed=seed).predictor.scorer.to_bytes() for seed in (1, 1, 2)]
    assert files[0] == files[1] != files[2]


def test_parameters_are_completed_and_of_one_type() -> None:
    candidate = Candidate(name="x", family="xgboost", parameters={"min_child_weight": 100})
    parameters = complete_parameters(candidate)
    assert parameters["min_child_weight"] == 100.0
    assert isinstance(parameters["min_child_weight"], float)
    assert parameters["n_estimators"] == 100


@pytest.mark.parametrize(
    ("family", "parameters", "error", "message"),
    [
        (
            "xgboost",
            {"max_dept": 3},
            UnknownNameError,
            "'max_dept' is not a parameter of xgboost; known are n_est",
        ),
        ("logistic", {"n_estimators": 3}, UnknownNameError, "known are C"),
        ("xgboost", {"max_depth": 3.5}, InputError, "max_depth must be a whole number; got 3.5"),
        ("xgboost", {"learning_rate": "fast"}, InputError, "learning_rate must be a number; got 'fast'"),
        ("xgboost", {"n_estimators": True}, InputError, "n_estimators must be a whole number; got True"),
        ("xgboost", {"max_depth": 11}, InputError, "max_depth must be 1 to 10; got 11"),
        ("xgboost", {"max_depth": 0}, InputError, "max_depth must be 1 to 10; got 0"),
        ("xgboost", {"subsample": 7.0}, InputError, "xgboost refused the parameters"),
        ("logistic", {"C": -1.0}, InputError, "scikit-learn refused the parameters"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wrong_parameters_are_refused(
    rows: pl.DataFrame, family: str, parameters: dict[str, object], error: type[TidewheelError], message: str
) -> None:
    candidate = Candidate.model_validate({"name": "x", "family": family, "parameters": parameters})
    with pytest.raises(error, match=message):
        train(candidate, FEATURES, rows, "late", seed=0)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (make_rows(50).drop("temp", "dest"), "columns must be in the frame; missing are temp, dest"),
        (make_rows(50).filter(pl.col("late")), r"label 'late' must be of two kinds; got \[True\] in"),
        (make_rows(0), r"label 'late' must be of two kinds; got \[\] in 0 rows"),
    ],
    ids=["columns", "one kind", "empty"],
)
def test_wrong_rows_are_refused(frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(InputError, match=message):
        train(SIMPLE, FEATURES, frame, "late", seed=0)


def test_categories_alone_are_enough(rows: pl.DataFrame) -> None:
    for candidate in (SIMPLE, TREES):
        model = train(candidate, Features(categorical=("carrier",)), rows, "late", seed=0)
        assert len(set(model.scores(rows).tolist())) == 3
