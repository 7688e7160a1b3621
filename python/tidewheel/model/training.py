"""Fit a candidate of the project file on a frame: same rows, seed and code give the same model, bit by bit.

What belongs here: parameters, fitting, and turning what was fitted into the scorers of `model.scoring`. What does not: which
rows to fit on (`data.splits`, `retraining.window`) and whether the result is good (`measures.metrics`).
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import xgboost
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

from tidewheel.errors import InputError, UnknownNameError
from tidewheel.model.features import TableEncoder
from tidewheel.model.scoring import TREE_DEPTH_MAX, LogisticScorer, Scorer, TreeScorer
from tidewheel.model.trained import Predictor, TrainedModel
from tidewheel.project.settings import Candidate, Features

DIGITS_KEPT = 12
"""Significant digits of a logistic coefficient: fewer than what differs between two machines' linear algebra."""

TRAINING_THREADS = 1
"""Of xgboost: its threads wait for each other by spinning, and beside other work on two cores two are five times slower."""

DEFAULTS: dict[str, dict[str, float | int]] = {
    "logistic": {"C": 1.0},
    "xgboost": {
        "n_estimators": 100,
        "max_depth": 6,
        "learning_rate": 0.3,
        "min_child_weight": 1.0,
        "subsample": 1.0,
        "colsample_bytree": 1.0,
        "reg_lambda": 1.0,
        "gamma": 0.0,
        "max_bin": 256,
    },
}
"""The parameters of each family, with the defaults of scikit-learn and xgboost; a whole number here must be one there."""


def train(
    candidate: Candidate, features: Features, frame: pl.DataFrame, label: str, seed: int
) -> TrainedModel:
    """Fit a candidate on the rows of `frame` that have a label.

    Args:
        candidate: Family and parameters.
        features: The columns that the model may see.
        frame: Rows with these columns and the label; the order of rows counts for the last bits of a model.
        label: Name of a column of 0 and 1 (or bool); rows where it is null are left out.
        seed: Of everything drawn at random.

    Raises:
        UnknownNameError: A parameter is not one of the family's.
        InputError: A column is missing, a parameter is out of range, or the labels are not of both kinds.
    """
    parameters = complete_parameters(candidate)
    rows = _labelled(frame, features, label)
    labels = rows[label].cast(pl.Float64).to_numpy()
    encoder = TableEncoder.fit(rows, features, scaled=candidate.family == "logistic")
    scorer: Scorer
    match candidate.family:
        case "logistic":
            scorer = _fit_logistic(encoder.encode(rows), labels, parameters)
        case "xgboost":
            scorer = _fit_trees(encoder, rows, labels, parameters, seed)
    return TrainedModel(
        name=candidate.name,
        family=candidate.family,
        parameters=parameters,
        seed=seed,
        label=label,
        n_rows=rows.height,
        share_positive=float(labels.mean()),
        predictor=Predictor(encoder, scorer),
    )


def complete_parameters(candidate: Candidate) -> dict[str, float | int]:
    """Give all parameters of a candidate, its own over the defaults, in one order and of one type each.

    Raises:
        UnknownNameError: A name is not a parameter of the family.
        InputError: A value is not a number, or not a whole number where one is needed, or the trees are too deep.
    """
    defaults, where = DEFAULTS[candidate.family], f"model.candidates.{candidate.name}.parameters"
    found: dict[str, float | int] = dict(defaults)
    for name, value in candidate.parameters.items():
        if name not in defaults:
            known = ", ".join(defaults)
            raise UnknownNameError(
                f"{where}: {name!r} is not a parameter of {candidate.family}; known are {known}"
            )
        whole = isinstance(defaults[name], int)
        if isinstance(value, bool | str) or (whole and not isinstance(value, int)):
            required = "a whole number" if whole else "a number"
            raise InputError(f"{where}.{name} must be {required}; got {value!r}")
        found[name] = value if whole else float(value)
    if not 1 <= found.get("max_depth", 1) <= TREE_DEPTH_MAX:
        raise InputError(f"{where}.max_depth must be 1 to {TREE_DEPTH_MAX}; got {found['max_depth']}")
    return found


def _labelled(frame: pl.DataFrame, features: Features, label: str) -> pl.DataFrame:
    wanted = [*features.numeric, *features.categorical, label]
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise InputError(f"columns must be in the frame; missing are {', '.join(missing)}")
    rows = frame.select(wanted).drop_nulls(label)
    if rows[label].n_unique() != 2:
        kinds = rows[label].unique().to_list()
        raise InputError(f"label {label!r} must be of two kinds; got {kinds} in {rows.height} rows")
    return rows


def _fit_logistic(matrix: np.ndarray, labels: np.ndarray, parameters: Mapping[str, float | int]) -> Scorer:
    """Fit by Newton's method to its full precision, on one thread: sums of several threads differ in their last bits."""
    estimator = LogisticRegression(C=parameters["C"], solver="newton-cholesky", tol=1e-8, max_iter=200)
    try:
        with threadpool_limits(1):
            estimator.fit(matrix, labels)
    except ValueError as error:
        raise InputError(f"scikit-learn refused the parameters {dict(parameters)}: {error}") from error
    coefficients = tuple(_rounded(value) for value in estimator.coef_[0])
    return LogisticScorer(_rounded(estimator.intercept_[0]), coefficients)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS_KEPT}g}")


def _fit_trees(
    encoder: TableEncoder,
    rows: pl.DataFrame,
    labels: np.ndarray,
    parameters: Mapping[str, float | int],
    seed: int,
) -> Scorer:
    """Boost trees on category codes, each split asking for one category, and write them for the encoder's matrix."""
    kinds = ["q"] * len(encoder.numeric) + ["c"] * len(encoder.categories)
    widest = max(map(len, encoder.categories.values()), default=0)
    settings: dict[str, Any] = {name: value for name, value in parameters.items() if name != "n_estimators"}
    settings |= {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "seed": seed,
        "max_cat_to_onehot": widest + 1,
    }
    settings["nthread"] = TRAINING_THREADS
    try:
        table = xgboost.QuantileDMatrix(
            encoder.encode_codes(rows),
            labels,
            feature_types=kinds,
            enable_categorical=True,
            max_bin=int(parameters["max_bin"]),
            nthread=TRAINING_THREADS,
        )
        booster = xgboost.train(settings, table, num_boost_round=int(parameters["n_estimators"]))
    except xgboost.core.XGBoostError as error:
        reason = next(
            (line for line in str(error).splitlines() if "rror" in line or "xpect" in line), str(error)
        )
        raise InputError(f"xgboost refused the parameters {dict(parameters)}: {reason}") from error
    return TreeScorer(_on_matrix(json.loads(bytes(booster.save_raw("json"))), encoder))


def _on_matrix(model: dict[str, Any], encoder: TableEncoder) -> bytes:
    """Rewrite splits "the code is k" as splits on the matrix column of category k: 0 goes left, 1 goes right, as before."""
    n_numeric = len(encoder.numeric)
    sizes = [len(values) for values in encoder.categories.values()]
    first = n_numeric + np.concatenate(([0], np.cumsum(sizes))).astype(int)
    width, learner = str(len(encoder.names)), model["learner"]
    learner["feature_types"] = []
    learner["learner_model_param"]["num_feature"] = width
    for tree in learner["gradient_booster"]["model"]["trees"]:
        tree["tree_param"]["num_feature"] = width
        for node, category in zip(tree["categories_nodes"], tree["categories"], strict=True):
            tree["split_indices"][node] = int(first[tree["split_indices"][node] - n_numeric] + category)
            tree["split_conditions"][node] = 0.5
            tree["split_type"][node] = 0
        tree |= {"categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": []}
    return json.dumps(model, separators=(",", ":"), sort_keys=True).encode()
