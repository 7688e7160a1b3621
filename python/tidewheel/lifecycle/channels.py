"""The ways in which a rollout gets its rows answered: over HTTP by the running server, or in batch by the same package.

Both answer by the plan in force, route by the same hash and write the same prediction log; a rollout cannot tell them
apart, and neither can the guards.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

import polars as pl

from tidewheel.errors import InputError
from tidewheel.evidence.records import ModelVersion, Plan
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.model.packaging import Package, load_package
from tidewheel.predictions.log import append_batch
from tidewheel.project.files import load_reference
from tidewheel.rollout.facts import RequestCounts
from tidewheel.serving.batch import score_batch

ChannelName = Literal["http", "batch"]


class Channel(Protocol):
    """Get rows answered under a plan, and into the prediction log."""

    name: ChannelName

    def apply(self, plan: Plan) -> None:
        """Make everything that answers follow `plan`; return when it does."""

    def answer(self, rows: pl.DataFrame) -> RequestCounts:
        """Get every row answered; return when all are in the log."""


def request_rows(rows: pl.DataFrame, workplace: Workplace) -> Iterator[dict[str, object]]:
    """Make one request body of each row: what the model may see, the row's id, its routing key and its event time."""
    settings = workplace.settings
    features = [*settings.features.numeric, *settings.features.categorical]
    ids = rows[settings.data.row_id]
    keys = rows[settings.data.key]
    times = rows[settings.data.event_time].dt.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00")
    for inputs, row_id, key, at_utc in zip(
        rows.select(features).iter_rows(named=True), ids, keys, times, strict=True
    ):
        yield {"inputs": [inputs], "request_id": row_id, "key": key, "at_utc": at_utc}


class BatchChannel:
    """Answer rows by the packages themselves, in this process; a plan takes effect at once."""

    name: ChannelName = "batch"

    def __init__(self, workplace: Workplace, plan: Plan | None = None) -> None:
        self._workplace = workplace
        self._heuristic = load_reference(workplace.settings.baselines.heuristic)
        self._packages: dict[str, Package] = {}
        self._plan = plan

    def apply(self, plan: Plan) -> None:
        """Load what the plan names, each package checked against its digest."""
        self._packages = {
            model_id: self._packages.get(model_id) or load_package(Path(folder), plan.digests[model_id])
            for model_id, folder in plan.packages.items()
        }
        self._plan = plan

    def answer(self, rows: pl.DataFrame) -> RequestCounts:
        """Answer rows by the plan in force; they are no HTTP requests, and do not count as such."""
        if self._plan is None:
            raise InputError("a plan must be applied before rows can be answered")
        if rows.is_empty():
            return RequestCounts()
        settings = self._workplace.settings
        answer = score_batch(
            rows,
            plan=self._plan,
            packages=self._packages,
            row_id=settings.data.row_id,
            key=settings.data.key,
            event_time=settings.data.event_time,
            features=[*settings.features.numeric, *settings.features.categorical],
            wall_utc=datetime.now(UTC),
            heuristic=self._heuristic,
            timeout_ms=settings.serving.candidate_timeout_ms,
        )
        append_batch(
            self._workplace.log_uri, answer.predictions, answer.pairs if answer.pairs.height else None
        )
        return RequestCounts()


def champion_plan(name: str, model: ModelVersion) -> Plan:
    """Make a plan in which one model answers everything: that of a past event time, for rows that came then."""
    return Plan(
        name=name,
        generation=0,
        champion=model.model_id,
        packages={model.model_id: model.package},
        digests={model.model_id: model.files_sha256},
    )
