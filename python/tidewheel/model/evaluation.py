"""What the criteria of a project ask of a model's scores, measured."""

from collections.abc import Mapping, Sequence

import numpy as np

from tidewheel.measures.measurement import Measurement
from tidewheel.measures.metrics import METRICS, OVERFIT_GAP, Sample, measure, measure_overfit
from tidewheel.project.settings import Criterion


def measure_all(
    criteria: Sequence[Criterion],
    held_out: Sample,
    *,
    against: Mapping[str, np.ndarray] | None = None,
    fitted: Sample | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[Measurement, ...]:
    """Measure what `criteria` ask about scores, each at the criterion's confidence.

    A criterion on another kind of metric (latency, say), relative to a comparator that `against` lacks, or on the overfit
    gap without `fitted` rows gets no measurement: its gate then says `no data`.
    """
    found = []
    for wanted in dict.fromkeys((c.metric, c.relative_to, c.confidence) for c in criteria):
        metric, relative_to, confidence = wanted
        others = against or {}
        if metric == OVERFIT_GAP and fitted is not None and relative_to is None:
            found.append(measure_overfit(held_out, fitted, confidence=confidence, draws=draws, seed=seed))
        elif metric in METRICS and (relative_to is None or relative_to in others):
            found.append(
                measure(
                    metric,
                    held_out.labels,
                    held_out.scores,
                    held_out.units,
                    confidence=confidence,
                    draws=draws,
                    seed=seed,
                    against=None if relative_to is None else others[relative_to],
                    relative_to=relative_to,
                )
            )
    return tuple(found)
