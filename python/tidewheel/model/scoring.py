"""From numbers to scores: logistic regression and boosted trees, evaluated with NumPy alone.

What belongs here: the two families' arithmetic and their file forms. What does not: fitting them (`model.training`).

Importing xgboost costs two seconds and brings scikit-learn, SciPy and pandas with it; one row through its `inplace_predict`
costs 0.3 ms. The trees here need neither and answer one row about ten times faster, and they are the only ones that ever
score: training, gates and the server see the same numbers. A test compares them with xgboost's own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np

from tidewheel.errors import InputError, UnknownNameError

TREE_DEPTH_MAX = 10
"""Trees are laid out complete: twice the memory and time per level."""

TREE_BLOCK_ROWS = 256
"""So many rows at once keep the comparisons of 100 trees of depth 4 in the processor's second-level cache."""

LINEAR_BLOCK_ROWS = 8192
"""Bounds the memory of the products."""


class Scorer(Protocol):
    """Give the log odds of each row of an encoded matrix."""

    @property
    def family(self) -> str:
        """The name of the family, as in the project file."""

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """Give log odds (n,) float64 of rows (n, n_features)."""

    def to_bytes(self) -> bytes:
        """Give the file from which `load_scorer` builds the same scorer; the same model gives the same bytes."""


def probabilities(margins: np.ndarray) -> np.ndarray:
    """Turn log odds into probabilities, `1 / (1 + exp(-margin))`, without overflow.

    Example:
        >>> probabilities(np.array([0.0, -800.0, 800.0])).tolist()
        [0.5, 0.0, 1.0]
    """
    shares: np.ndarray = np.exp(-np.logaddexp(0.0, -margins))
    return shares


@dataclass(frozen=True)
class LogisticScorer:
    """Score by `intercept + sum(coefficient * feature)`."""

    intercept: float
    coefficients: tuple[float, ...]

    family = "logistic"

    @cached_property
    def _vector(self) -> np.ndarray:
        return np.array(self.coefficients)

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """Give the log odds.

        Products are summed row by row, not by BLAS, whose order of summation depends on the number of rows.
        """
        if len(matrix) <= LINEAR_BLOCK_ROWS:
            sums: np.ndarray = (matrix * self._vector).sum(axis=1) + self.intercept
            return sums
        starts = range(0, len(matrix), LINEAR_BLOCK_ROWS)
        return np.concatenate([self.margins(matrix[start : start + LINEAR_BLOCK_ROWS]) for start in starts])

    def to_bytes(self) -> bytes:
        """Give intercept and coefficients as JSON."""
        return json.dumps({"intercept": self.intercept, "coefficients": list(self.coefficients)}).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        values = json.loads(content)
        return cls(float(values["intercept"]), tuple(float(value) for value in values["coefficients"]))


class TreeScorer:
    """Score by boosted trees, read from xgboost's own JSON.

    Clever: every tree is laid out as a complete binary tree of the same depth, so that all conditions of all trees are
    answered by one comparison of arrays, and a walk is `depth` look-ups for all trees at once. Each feature is there twice,
    with its missing values as -inf and as +inf, so that "missing goes left" and "missing goes right" need no step of their
    own. Leaves above the last level are repeated below themselves. Leaf values are added in float64, where sums of
    float32 values are exact in practice and so do not depend on the number of rows. `test_scoring` compares with xgboost.
    """

    family = "xgboost"

    def __init__(self, content: bytes) -> None:
        self._content = content
        learner = json.loads(content)["learner"]
        _check_booster(learner)
        trees = learner["gradient_booster"]["model"]["trees"]
        self._n_features = int(learner["learner_model_param"]["num_feature"])
        self._base = _log_odds(learner["learner_model_param"]["base_score"])
        self._depth = max(map(_depth_of, trees), default=0)
        if self._depth > TREE_DEPTH_MAX:
            raise InputError(f"trees must be at most {TREE_DEPTH_MAX} levels deep; got {self._depth}")
        inner, leaves = 2**self._depth - 1, 2**self._depth
        feature = np.zeros((len(trees), inner), dtype=np.intp)
        threshold = np.zeros((len(trees), inner), dtype=np.float32)
        leaf = np.zeros((len(trees), leaves), dtype=np.float64)
        for index, tree in enumerate(trees):
            _lay_out(tree, self._n_features, feature[index], threshold[index], leaf[index])
        self._feature, self._threshold = feature.ravel(), threshold.reshape(-1, 1)
        self._leaf = leaf.ravel()
        self._first_node = np.arange(len(trees))[:, None] * inner
        # A walk ends `inner` nodes beyond the first leaf; taken off here once for all rows.
        self._first_leaf = np.arange(len(trees))[:, None] * leaves - inner

    def margins(self, matrix: np.ndarray) -> np.ndarray:
        """Give the log odds.

        Raises:
            InputError: The matrix has another number of columns than the trees were fitted on.
        """
        if matrix.shape[1] != self._n_features:
            raise InputError(f"the trees need {self._n_features} columns; got {matrix.shape[1]}")
        if len(matrix) <= TREE_BLOCK_ROWS:
            return self._walk(matrix)
        starts = range(0, len(matrix), TREE_BLOCK_ROWS)
        return np.concatenate([self._walk(matrix[start : start + TREE_BLOCK_ROWS]) for start in starts])

    def _walk(self, matrix: np.ndarray) -> np.ndarray:
        n_rows = len(matrix)
        columns = matrix.T
        missing = np.isnan(columns)
        values = np.concatenate((columns, columns))
        values[: self._n_features][missing] = -np.inf
        values[self._n_features :][missing] = np.inf
        goes_right = (values.take(self._feature, axis=0) >= self._threshold).ravel()
        node = np.zeros((len(self._first_node), n_rows), dtype=np.intp)
        row = np.arange(n_rows)
        for _ in range(self._depth):
            taken = goes_right.take((self._first_node + node) * n_rows + row)
            node *= 2
            node += taken
            node += 1
        sums: np.ndarray = self._leaf.take(self._first_leaf + node).sum(axis=0) + self._base
        return sums

    def to_bytes(self) -> bytes:
        """Give xgboost's JSON as it was read; `xgboost.Booster.load_model` reads it too."""
        return self._content


def load_scorer(family: str, content: bytes) -> Scorer:
    """Build the scorer of a family from its file.

    Raises:
        UnknownNameError: The family is not known.
        InputError: The trees are of a kind that is not supported.
    """
    match family:
        case "logistic":
            return LogisticScorer.from_bytes(content)
        case "xgboost":
            return TreeScorer(content)
    raise UnknownNameError(f"family {family!r} is not known; known are logistic, xgboost")


def _check_booster(learner: Mapping[str, Any]) -> None:
    """Refuse what the walk would get wrong: other boosters, other objectives, splits on sets of categories."""
    found = (learner["gradient_booster"]["name"], learner["objective"]["name"])
    if found != ("gbtree", "binary:logistic"):
        raise InputError(
            f"trees must be of booster and objective gbtree, binary:logistic; got {', '.join(found)}"
        )
    if any(any(tree["split_type"]) for tree in learner["gradient_booster"]["model"]["trees"]):
        raise InputError("trees must split on numbers; got a split on a set of categories")


def _log_odds(base_score: str) -> float:
    """Read xgboost's starting probability, kept as "[2.2E-1]" since 3.1 and as "2.2E-1" before, as log odds."""
    share = float(base_score.strip("[]"))
    return float(np.log(share) - np.log1p(-share))


def _depth_of(tree: Mapping[str, Any]) -> int:
    """Count the levels of inner nodes."""
    left, right = tree["left_children"], tree["right_children"]
    level, depth = [0], 0
    while level := [child for node in level for child in (left[node], right[node]) if child >= 0]:
        depth += 1
    return depth


def _lay_out(
    tree: Mapping[str, Any], n_features: int, feature: np.ndarray, threshold: np.ndarray, leaf: np.ndarray
) -> None:
    """Write one tree into its rows of the complete layout: node `i` has children `2 i + 1` and `2 i + 2`."""
    left, right = tree["left_children"], tree["right_children"]
    places = [(0, 0)]
    while places:
        node, place = places.pop()
        is_leaf = left[node] < 0
        if place >= feature.size:
            leaf[place - feature.size] = np.float32(tree["split_conditions"][node])
            continue
        if not is_leaf:
            feature[place] = tree["split_indices"][node] + (0 if tree["default_left"][node] else n_features)
            threshold[place] = tree["split_conditions"][node]
        places += [
            (node if is_leaf else left[node], 2 * place + 1),
            (node if is_leaf else right[node], 2 * place + 2),
        ]
