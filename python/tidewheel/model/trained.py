"""A fitted model: an encoder and a scorer, used alike by training, gates, batch scoring and the server.

What belongs here: scoring tables and requests. What does not: fitting (`model.training`), files (`model.packaging`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tidewheel.model.features import Columns, TableEncoder
from tidewheel.model.scoring import Scorer, probabilities

BLOCK_ROWS = 32_768
"""Rows encoded at once: bounds the memory of a large table to some 20 MB."""


@dataclass(frozen=True)
class Predictor:
    """Turn columns or requests into probabilities; immutable, so threads may share it."""

    encoder: TableEncoder
    scorer: Scorer

    def scores(self, columns: Columns) -> np.ndarray:
        """Score a table.

        Args:
            columns: A polars frame, or a mapping of equally long columns; None, null and NaN are missing.

        Returns:
            (n_rows,) float64, the probability of the positive class.
        """
        names = self.encoder.columns
        n_rows = len(columns[names[0]])
        blocks = [
            self.scorer.margins(
                self.encoder.encode({name: columns[name][start : start + BLOCK_ROWS] for name in names})
            )
            for start in range(0, n_rows, BLOCK_ROWS)
        ]
        return probabilities(np.concatenate(blocks)) if blocks else np.empty(0)

    def score_rows(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Score requests, each a mapping with every column that the encoder reads; the same numbers as `scores`."""
        return probabilities(self.scorer.margins(self.encoder.encode_rows(rows)))


@dataclass(frozen=True)
class TrainedModel:
    """Hold a fitted model and what it was fitted with.

    `parameters` are complete: those that the project file leaves out stand there with their defaults.
    """

    name: str
    family: str
    parameters: dict[str, float | int]
    seed: int
    label: str
    n_rows: int
    share_positive: float
    predictor: Predictor

    def scores(self, columns: Columns) -> np.ndarray:
        """Give the probability of the positive class for each row of a table, (n_rows,) float64."""
        return self.predictor.scores(columns)
