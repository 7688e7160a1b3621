import json

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewheel.errors import InputError, UnknownNameError
from tidewheel.model.scoring import LogisticScorer, TreeScorer, load_scorer, probabilities


def fit_trees(depth: int, missing: float, seed: int) -> tuple[xgboost.Booster, np.ndarray]:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(1200, 6)).astype(np.float32)
    matrix[:, 4:] = matrix[:, 4:] > 0
    labels = np.nan_to_num(matrix[:, 0]) + matrix[:, 4] * matrix[:, 1] + rng.normal(size=1200) > 0.3
    matrix[rng.random(matrix.shape) < missing] = np.nan
    parameters = {"max_depth": depth, "eta": 0.4, "objective": "binary:logistic", "nthread": 1}
    return xgboost.train(parameters, xgboost.DMatrix(matrix, labels), 12), matrix


@settings(max_examples=25, deadline=None)
@given(depth=st.integers(1, 7), missing=st.sampled_from([0.0, 0.2, 0.9]), seed=st.integers(0, 1000))
def test_trees_score_as_xgboost_does(depth: int, missing: float, seed: int) -> None:
    booster, matrix = fit_trees(depth, missing, seed)
    scorer = TreeScorer(bytes(booster.save_raw("json")))
    edges = np.repeat(matrix[:1], 3, axis=0)
    edges[0, 0], edges[1, 0], edges[2] = np.inf, -np.inf, np.nan
    for rows in (matrix, edges):
        expected = booster.inplace_predict(rows, predict_type="margin")
        np.testing.assert_allclose(scorer.margins(rows), expected, atol=1e-5)


def test_a_value_at_the_threshold_goes_where_xgboost_sends_it() -> None:
    booster, matrix = fit_trees(3, 0.0, seed=1)
    content = bytes(booster.save_raw("json"))
    trees = json.loads(content)["learner"]["gradient_booster"]["model"]["trees"]
    rows = np.repeat(matrix[:1], len(trees), axis=0)
    for row, tree in zip(rows, trees, strict=True):
        row[tree["split_indices"][0]] = tree["split_conditions"][0]
    expected = booster.inplace_predict(rows, predict_type="margin")
    np.testing.assert_allclose(TreeScorer(content).margins(rows), expected, atol=1e-5)


def test_one_row_scores_as_in_a_table() -> None:
    booster, matrix = fit_trees(4, 0.2, seed=2)
    scorer = TreeScorer(bytes(booster.save_raw("json")))
    together = scorer.margins(matrix)
    assert [scorer.margins(matrix[i : i + 1])[0] for i in range(300)] == together[:300].tolist()


def test_trees_of_one_leaf_score_the_base() -> None:
    labels = np.array([0, 1, 1, 1])
    table = xgboost.DMatrix(np.ones((4, 1), dtype=np.float32), labels)
    booster = xgboost.train({"objective": "binary:logistic", "eta": 0.5}, table, 2)
    scorer = TreeScorer(bytes(booster.save_raw("json")))
    expected = booster.inplace_predict(np.ones((2, 1), dtype=np.float32))
    np.testing.assert_allclose(
        probabilities(scorer.margins(np.ones((2, 1), dtype=np.float32))), expected, atol=1e-6
    )


def test_logistic_scores_by_hand_and_row_by_row() -> None:
    scorer = LogisticScorer(0.5, (1.0, -2.0))
    assert scorer.margins(np.array([[1.0, 1.0], [0.0, 0.25]])).tolist() == [-0.5, 0.0]
    matrix = np.random.default_rng(0).normal(size=(20_000, 2))
    together = scorer.margins(matrix)
    assert [scorer.margins(matrix[i : i + 1])[0] for i in range(100)] == together[:100].tolist()


def test_files_give_the_same_scorer_back() -> None:
    booster, matrix = fit_trees(3, 0.2, seed=3)
    for scorer, rows in (
        (LogisticScorer(0.1, (1 / 3, -2e-17)), np.ones((1, 2))),
        (TreeScorer(bytes(booster.save_raw("json"))), matrix),
    ):
        again = load_scorer(scorer.family, scorer.to_bytes())
        assert again.to_bytes() == scorer.to_bytes()
        np.testing.assert_array_equal(again.margins(rows), scorer.margins(rows))


def train_on(
    objective: str, booster: str = "gbtree", kinds: list[str] | None = None, depth: int = 2
) -> bytes:
    rng = np.random.default_rng(0)
    matrix = rng.integers(0, 8, size=(4000, 2)).astype(np.float32)
    if depth > 8:
        matrix = rng.normal(size=(4000, 2)).astype(np.float32)
    table = xgboost.DMatrix(
        matrix, rng.random(4000) < 0.5, feature_types=kinds, enable_categorical=bool(kinds)
    )
    parameters = {
        "objective": objective,
        "booster": booster,
        "max_depth": depth,
        "min_child_weight": 0,
        "gamma": 0,
    }
    return bytes(xgboost.train(parameters, table, 2).save_raw("json"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"objective": "reg:squarederror"}, "must be of booster and objective gbtree, binary:logistic"),
        ({"objective": "binary:logistic", "booster": "dart"}, "got dart, binary:logistic"),
        ({"objective": "binary:logistic", "kinds": ["c", "q"]}, "must split on numbers"),
        ({"objective": "binary:logistic", "depth": 12}, "at most 10 levels deep; got 12"),
    ],
    ids=["objective", "booster", "categories", "depth"],
)
def test_trees_of_another_kind_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TreeScorer(train_on(**arguments))  # type: ignore[arg-type]


def test_a_matrix_of_another_width_is_refused() -> None:
    booster, matrix = fit_trees(2, 0.0, seed=4)
    with pytest.raises(InputError, match="the trees need 6 columns; got 5"):
        TreeScorer(bytes(booster.save_raw("json"))).margins(matrix[:, :5])


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(UnknownNameError, match="family 'forest' is not known; known are logistic, xgboost"):
        load_scorer("forest", b"{}")
