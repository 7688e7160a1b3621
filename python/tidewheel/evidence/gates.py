"""Which criteria are in force at each stage, and their digests: what evidence is bound to. Pure."""

import hashlib
import math
from typing import Literal

from tidewheel.evidence.criteria import criteria_sha256
from tidewheel.project.settings import Criterion, Gate, Settings, Stage


def _criteria(*rows: tuple[str, Literal[">", ">=", "<", "<="], float, str | None]) -> Gate:
    return Gate(
        criteria=tuple(
            Criterion.model_validate(
                {
                    "metric": metric,
                    "comparison": comparison,
                    "threshold": threshold,
                    "relative_to": relative_to,
                }
            )
            for metric, comparison, threshold, relative_to in rows
        )
    )


DEFAULT_GATES: dict[Stage, Gate] = {
    "data": _criteria(("rows", ">=", 1000, None), ("quarantined_share", "<=", 0.05, None)),
    "baseline": _criteria(("roc_auc", ">", 0.5, None)),
    "model": _criteria(("roc_auc", ">", 0.0, "majority"), ("roc_auc", ">=", -0.01, "champion")),
    "package": _criteria(("golden_mismatch", "<=", 0, None), ("latency_p95_ms", "<=", 50.0, None)),
    "shadow": _criteria(("pairs", ">=", 500, None)),
}
"""What is asked where the project file says nothing: enough rows (with fewer than 1,000 a rule is the better start), better
than the majority, not clearly worse than what answers now, and the package being the model that was judged."""


STAGES: tuple[Stage, ...] = ("data", "baseline", "model", "package", "shadow")
"""Stages that are judged by criteria; `canary` and `quality` are judged by the rollout's guards."""

COIN = {"roc_auc": 0.5, "brier": 0.25, "log_loss": math.log(2)}
"""What somebody who tosses a coin, or always says 0.5, gets by each metric."""


LATENCY = "latency_p95_ms"
"""Its default threshold is the scope's own budget, `scope.latency_ms`."""


def criteria_of(settings: Settings, stage: Stage) -> tuple[Criterion, ...]:
    """Give the criteria of a stage: the project's, or else the default ones."""
    gate = settings.gates.get(stage)
    if gate is not None:
        return gate.criteria
    default = DEFAULT_GATES.get(stage)
    if default is None:
        return ()
    budget = settings.scope.latency_ms
    return tuple(
        criterion.model_copy(update={"threshold": budget}) if criterion.metric == LATENCY else criterion
        for criterion in default.criteria
    )


def watched_criterion(settings: Settings) -> Criterion:
    """Give the criterion that has a model's own level written down: what monitoring compares later months with.

    It is no condition (`dry_run`): what it asks is to be better than a coin.
    """
    metric = settings.monitoring.metric
    return Criterion(
        metric=metric,
        comparison=">=" if metric == "roc_auc" else "<=",
        threshold=COIN[metric],
        confidence=round(1.0 - settings.monitoring.alpha, 12),
        dry_run=True,
    )


def rollout_sha256(settings: Settings) -> str:
    """Digest the rollout's settings: they are the criteria of the stages `canary` and `quality`."""
    return hashlib.sha256(settings.rollout.model_dump_json().encode()).hexdigest()


def criteria_in_force(settings: Settings) -> dict[str, str]:
    """Give the digest of the criteria in force, by stage."""
    rollout = rollout_sha256(settings)
    judged = {str(stage): criteria_sha256(criteria_of(settings, stage)) for stage in STAGES}
    return {**judged, "canary": rollout, "quality": rollout}
