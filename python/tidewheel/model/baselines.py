"""The ladder that every model must climb: random, majority, the user's heuristic, and the simple model.

What belongs here: what each of them says about held-out rows. The simple model is a candidate like any other, named by
`[baselines].simple`, and is trained by `model.training`.
"""

from typing import Protocol

import numpy as np
import polars as pl

from tidewheel.errors import InputError
from tidewheel.model.features import Columns
from tidewheel.model.training import train
from tidewheel.project.files import load_reference
from tidewheel.project.settings import Settings


class Heuristic(Protocol):
    """Score rows by a rule that the user wrote."""

    def __call__(self, columns: Columns, /) -> np.ndarray:
        """Give one score in [0, 1] for each row."""


def baseline_scores(
    settings: Settings, fitted: pl.DataFrame, held_out: pl.DataFrame
) -> dict[str, np.ndarray]:
    """Score the held-out rows by each baseline: `random`, `majority`, `heuristic` and `simple`.

    Args:
        settings: The project's settings: which heuristic, which simple model, features, label and seed.
        fitted: Rows that a model is fitted to: the majority share and the simple model come from them.
        held_out: Rows to score.

    Returns:
        (n_rows,) float64 for each name, probabilities of the positive class.

    Raises:
        InputError: The heuristic gives the wrong number of scores, or scores outside [0, 1].
        UnknownNameError: The heuristic cannot be found.
    """
    seed, label = settings.model.seed, settings.labels.column
    candidate = next(each for each in settings.model.candidates if each.name == settings.baselines.simple)
    simple = train(candidate, settings.features, fitted, label, seed)
    return {
        "random": random_scores(held_out.height, seed),
        "majority": majority_scores(held_out.height, simple.share_positive),
        "heuristic": heuristic_scores(
            load_reference(settings.baselines.heuristic), held_out, held_out.height
        ),
        "simple": simple.scores(held_out),
    }


def random_scores(n_rows: int, seed: int) -> np.ndarray:
    """Draw a score for each row, uniform in [0, 1).

    Example:
        >>> bool((random_scores(3, seed=1) == random_scores(3, seed=1)).all())
        True
    """
    return np.random.default_rng(seed).random(n_rows)


def majority_scores(n_rows: int, share_positive: float) -> np.ndarray:
    """Give each row the share of positive labels among the training rows: the best that is the same for all.

    Raises:
        InputError: The share is not in [0, 1].

    Example:
        >>> majority_scores(2, 0.25).tolist()
        [0.25, 0.25]
    """
    if not 0.0 <= share_positive <= 1.0:
        raise InputError(f"`share_positive` must be in [0, 1]; got {share_positive}")
    return np.full(n_rows, share_positive)


def heuristic_scores(heuristic: Heuristic, columns: Columns, n_rows: int) -> np.ndarray:
    """Score rows by the user's rule, and refuse what it must not give.

    Raises:
        InputError: The rule gives another number of scores than there are rows, or a score outside [0, 1].
    """
    scores = np.asarray(heuristic(columns), dtype=np.float64)
    if scores.shape != (n_rows,):
        raise InputError(
            f"the heuristic must give {n_rows} scores, one for each row; got shape {scores.shape}"
        )
    wrong = ~((scores >= 0.0) & (scores <= 1.0))
    if wrong.any():
        index = int(np.argmax(wrong))
        raise InputError(f"the heuristic must give scores in [0, 1]; got {scores[index]} at row {index}")
    return scores
