"""What a replica answers by: a plan with its packages loaded and tried, one immutable object that is swapped as a whole."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tidewheel.errors import InputError, IntegrityError
from tidewheel.evidence.records import Plan
from tidewheel.rollout.routing import Router, router_of
from tidewheel.serving.failures import words
from tidewheel.serving.requests import ColumnContract, Validator
from tidewheel.serving.rungs import Row, Rung

Heuristic = Callable[[Mapping[str, Sequence[Any]]], NDArray[np.float64]]

HEURISTIC = "heuristic"
"""Stands in answers and in the log as the model of the last rung."""


class Scorer(Protocol):
    """Score requests, as `model.packaging.Package` does."""

    @property
    def model_id(self) -> str:
        """The model's canonical identity."""

    @property
    def columns(self) -> Mapping[str, ColumnContract]:
        """The contract of the columns that a request must have."""

    def score_rows(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Give one score for each row, (n_rows,)."""

    def count_golden_mismatches(self) -> int:
        """Score the golden requests and count the scores that are not the recorded ones."""


Loader = Callable[[Path | str, str], Scorer]
"""Loads the package in a folder whose files have the given digest, as `model.packaging.load_package` does."""


@dataclass(frozen=True, slots=True)
class InForce:
    """Hold a plan, ready to answer by: its router, the contract of a request, the rungs from best to last.

    `missing` says of each model of the plan that could not be loaded, why.
    """

    plan: Plan
    router: Router
    columns: Mapping[str, ColumnContract]
    validator: Validator
    rungs: tuple[Rung, ...]
    packages: Mapping[str, Scorer]
    missing: Mapping[str, str]

    @property
    def problems(self) -> list[str]:
        """Say which models cannot be loaded, and who answers instead."""
        answering = self.rungs[0].name if self.rungs else "nobody"
        return [
            f"the champion {model[:12]} cannot be loaded, {answering} answers: {why}"
            if model == self.plan.champion
            else f"the previous champion {model[:12]} cannot be loaded: {why}"
            for model, why in self.missing.items()
        ]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound a request; `replay` lets it carry its event time."""

    batch_rows_max: int
    body_bytes_max: int
    replay: bool


def load_plan(
    plan: Plan,
    limits: Limits,
    heuristic: Heuristic | None,
    load: Loader,
    known: Mapping[str, Scorer],
    contract: Mapping[str, ColumnContract] | None = None,
) -> InForce:
    """Load the packages that this process answers with, try each on its golden requests, and put all together.

    The previous champion is a fallback: where it cannot be loaded, the plan is ready without it.

    Args:
        plan: The plan to answer by.
        limits: Of a request.
        heuristic: The last rung; without one there is none.
        load: Loads a package.
        known: Packages already loaded and tried, by model id.
        contract: What a request looks like where no package can say so. With it the plan is ready even without its
            champion: who starts has no other plan to answer by.

    Raises:
        InputError: The plan names no package for its champion, or a share is outside its range.
        IntegrityError: A package's files or identity differ from the plan's, or it scores its golden requests differently.
    """
    router = router_of(plan)
    packages: dict[str, Scorer] = {}
    missing: dict[str, str] = {}
    for model in dict.fromkeys([plan.champion, *([plan.previous] if plan.previous in plan.packages else [])]):
        assert model is not None, "a model that has a package has an id"
        try:
            packages[model] = known.get(model) or load_tried(plan, model, load)
        except Exception as failure:
            if model == plan.champion and contract is None:
                raise
            missing[model] = words(failure)
    rungs = []
    if plan.champion in packages:
        rungs.append(Rung("champion", plan.champion, packages[plan.champion].score_rows))
    if plan.previous in packages and plan.previous != plan.champion:
        rungs.append(Rung("previous", plan.previous, packages[plan.previous].score_rows))
    if heuristic is not None:
        rungs.append(Rung("heuristic", HEURISTIC, _by_rows(heuristic)))
    columns = next((package.columns for package in packages.values()), contract)
    assert columns is not None, "without a package there is a contract"
    validator = Validator(columns, limits.batch_rows_max, limits.body_bytes_max, limits.replay)
    return InForce(plan, router, columns, validator, tuple(rungs), packages, missing)


def load_tried(plan: Plan, model_id: str, load: Loader) -> Scorer:
    """Load the package of one model of a plan and replay its golden requests.

    Raises:
        InputError: The plan does not say where it is.
        IntegrityError: It is not the model that the plan names, or scores differently from when it was made.
    """
    if model_id not in plan.packages or model_id not in plan.digests:
        raise InputError(
            f"plan {plan.name!r} must name folder and digest of the package of {model_id}; got neither or one"
        )
    package = load(plan.packages[model_id], plan.digests[model_id])
    if package.model_id != model_id:
        raise IntegrityError(
            f"{plan.packages[model_id]} must hold model {model_id}; it holds {package.model_id}"
        )
    mismatches = package.count_golden_mismatches()
    if mismatches:
        raise IntegrityError(
            f"model {model_id} must score its golden requests as recorded; {mismatches} of its scores differ"
        )
    return package


def _by_rows(heuristic: Heuristic) -> Callable[[Sequence[Row]], NDArray[np.float64]]:
    def score(rows: Sequence[Row]) -> NDArray[np.float64]:
        return heuristic({name: [row[name] for row in rows] for name in rows[0]})

    return score
