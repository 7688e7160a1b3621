"""The flow `train`: measure the baselines, train candidates, judge each at the gates `baseline`, `model` and `package`.

What belongs here: which model meets which gate on which rows, and what is recorded about it. What does not: fitting,
measuring and packaging (`tidewheel.model`). Every baseline and model becomes an MLflow run, the refused ones too.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from prefect import task
from prefect.cache_policies import NO_CACHE

from tidewheel.data.labels import labels_due
from tidewheel.data.profile import leakage_suspects
from tidewheel.data.splits import split_holdout
from tidewheel.errors import InputError, UnknownNameError
from tidewheel.flows.ingest import data_verdict, version_rows
from tidewheel.flows.judging import judge
from tidewheel.flows.own_flow import own_flow
from tidewheel.ledger.history import champion_of, data_version_of, latest_version
from tidewheel.ledger.records import DataVersion, Decision, Evidence, ModelVersion
from tidewheel.ledger.store import Ledger
from tidewheel.model.baselines import baseline_scores
from tidewheel.model.evaluation import METRICS, Sample, measure_all
from tidewheel.model.packaging import check_package, load_package, save_package
from tidewheel.model.tracking import track
from tidewheel.model.trained import TrainedModel
from tidewheel.model.training import train as fit
from tidewheel.operations.progress import announce
from tidewheel.operations.workplace import Workplace
from tidewheel.project.criteria import Verdict, criteria_sha256
from tidewheel.project.gates import criteria_of, watched_criterion
from tidewheel.project.settings import Criterion, Settings, Stage
from tidewheel.retrain.window import training_rows


@dataclass(frozen=True)
class Offer:
    """Hold what became of one candidate: the verdict of the last gate it met, and its id ("" if it was not trained)."""

    name: str
    model_id: str
    verdict: Verdict
    gate: Stage
    reason: str

    @property
    def passed(self) -> bool:
        """Whether every gate before deployment passed."""
        return self.verdict == "pass"


@dataclass(frozen=True)
class Split:
    """Hold the labelled rows of one data version, split by time for fitting and judging."""

    version: DataVersion
    fitted: pl.DataFrame
    held_out: pl.DataFrame

    def sample(self, scores: np.ndarray, settings: Settings, *, fitted: bool = False) -> Sample:
        """Join scores with the labels and units of the rows they belong to."""
        rows = self.fitted if fitted else self.held_out
        return Sample(
            labels=rows[settings.labels.column].to_numpy().astype(np.float64),
            scores=scores,
            units=rows[settings.data.unit].to_numpy() if settings.data.unit else None,
        )


@own_flow(name="train")
def train(
    project: str,
    delta_version: int | None = None,
    candidates: list[str] | None = None,
    now_utc: datetime | None = None,
    retraining: bool = False,
    environment: str = "local",
) -> list[Offer]:
    """Measure the baselines and train candidates on one data version; judge and package those that deserve it.

    Args:
        project: folder of the project file.
        delta_version: the data version; the newest one if None.
        candidates: names of `[[model.candidates]]`; all of them if None.
        now_utc: event time of the evidence; the wall clock if None.
        retraining: whether a candidate was trained before: it then carries the date in its name. Its gates are the same.
        environment: a name under `[environments]` of the project file.

    Raises:
        UnknownNameError: a candidate is not in the project file.
        InputError: the data version is not in the ledger, or its gate did not pass.
    """
    workplace = Workplace.open(project, environment)
    known = {candidate.name: candidate for candidate in workplace.settings.model.candidates}
    names = list(known) if candidates is None else candidates
    for name in names:
        if name not in known:
            raise UnknownNameError(f"no candidate is called {name!r}; tidewheel.toml has {', '.join(known)}")
    at_utc = now_utc or datetime.now(UTC)
    leaks = look_for_leakage(project, delta_version, at_utc, environment)
    if leaks:
        return [Offer(name, "", "fail", "data", leaks) for name in names]
    version, baseline = measure_baselines(project, delta_version, at_utc, environment)
    if baseline.verdict != "pass":
        return [Offer(name, "", baseline.verdict, "baseline", baseline.reason) for name in names]
    return [train_candidate(project, version, name, at_utc, retraining, environment) for name in names]


@task(name="look for leakage", cache_policy=NO_CACHE)
def look_for_leakage(project: str, delta_version: int | None, now_utc: datetime, environment: str) -> str:
    """Say which features tell the label by themselves, and record the refusal; the empty string if none does."""
    workplace = Workplace.open(project, environment)
    settings = workplace.settings
    with workplace.ledger() as ledger:
        split = open_split(workplace, ledger, delta_version, now_utc)
        label = settings.labels.column
        rows = split.fitted.with_columns(pl.col(label).cast(pl.Boolean))
        suspects = leakage_suspects(rows, label, [*settings.features.numeric, *settings.features.categorical])
        if not suspects:
            return ""
        reason = "; ".join(f"feature {suspect.column} {suspect.reason}" for suspect in suspects)
        subject = f"{split.version.name}@{split.version.delta_version}"
        ledger.append(
            Decision("refuse", subject, "leakage check", reason, now_utc), cause=f"leakage {subject}"
        )
    return reason


@task(name="measure the baselines", cache_policy=NO_CACHE)
def measure_baselines(
    project: str, delta_version: int | None, now_utc: datetime, environment: str
) -> tuple[int, Evidence]:
    """Measure random, majority and heuristic on the held-out rows, and judge the simple model at the gate `baseline`.

    Returns:
        The data version, and what the gate says: whether there is anything to learn.
    """
    workplace = Workplace.open(project, environment)
    settings = workplace.settings
    with workplace.ledger() as ledger:
        split = open_split(workplace, ledger, delta_version, now_utc)
        measured = f"baselines of {split.version.name}@{split.version.delta_version}"
        digest = criteria_sha256(criteria_of(settings, "baseline"))
        judged = [
            row
            for row in ledger.evidence(subject=measured, stage="baseline")
            if row.criteria_sha256 == digest
        ]
        if judged:
            return split.version.delta_version, judged[-1]
        rivals = rival_scores(workplace, ledger, split)
        criteria = measured_for_record()
        for name in ("random", "majority", "heuristic", "simple"):
            announce("baselines", name, at=f"{now_utc:%d %B}")
            found = measure_all(criteria, split.sample(rivals[name], settings), draws=settings.model.bootstrap_draws,
                                seed=settings.model.seed)  # fmt: skip
            track(name, settings=settings, data_version=split.version, model_version=None, measurements=found,
                  parameters={"baseline": name}, tracking_uri=workplace.mlflow_uri)  # fmt: skip
        found = measure_all(criteria_of(settings, "baseline"), split.sample(rivals["simple"], settings), against=rivals,
                            draws=settings.model.bootstrap_draws, seed=settings.model.seed)  # fmt: skip
        judge(workplace, ledger, "baseline", measured, found, split.version, now_utc)
        return split.version.delta_version, ledger.evidence(subject=measured, stage="baseline")[-1]


@task(name="train a candidate", cache_policy=NO_CACHE)
def train_candidate(
    project: str, delta_version: int, name: str, now_utc: datetime, retraining: bool, environment: str
) -> Offer:
    """Fit one candidate, package and record it, and judge it; the first gate that does not pass ends it."""
    workplace = Workplace.open(project, environment)
    settings = workplace.settings
    candidate = next(candidate for candidate in settings.model.candidates if candidate.name == name)
    announce("train", name, at=f"{now_utc:%d %B}")
    with workplace.ledger() as ledger:
        split = open_split(workplace, ledger, delta_version, now_utc)
        model = fit(candidate, settings.features, split.fitted, settings.labels.column, settings.model.seed)
        label = f"{name}-{now_utc:%Y-%m-%d}" if retraining else name
        version = package(workplace, ledger, model, label, split)
        offer = judge_model(workplace, ledger, model, version, split, now_utc)
        if not offer.passed:
            ledger.append(
                Decision(
                    "refuse",
                    version.model_id,
                    f"gate {offer.gate}",
                    f"{offer.verdict}: {offer.reason}",
                    now_utc,
                )
            )
            announce("refuse", label, at=f"{now_utc:%d %B}")
        return offer


def open_split(workplace: Workplace, ledger: Ledger, delta_version: int | None, now_utc: datetime) -> Split:
    """Read the labelled rows of a data version whose gate passed, and split them by time.

    Raises:
        InputError: the version is not known, or its gate did not pass.
    """
    settings = workplace.settings
    name = settings.data.name
    version = (
        latest_version(ledger, name)
        if delta_version is None
        else data_version_of(ledger, name, delta_version)
    )
    said = data_verdict(workplace, ledger, version)
    if said != "pass":
        raise InputError(f"{name}@{version.delta_version} may not be trained on: gate data: {said}")
    rows = version_rows(version.uri, version.delta_version, version.content_sha256)
    rows = labels_due(rows, settings.labels, now_utc)
    rows = training_rows(
        rows, settings.retrain, now_utc, event_time=settings.data.event_time, unit=settings.data.unit
    )
    fitted, held_out = split_holdout(
        rows,
        event_time=settings.data.event_time,
        unit=settings.data.unit,
        holdout_days=settings.data.holdout_days,
    )
    return Split(version, fitted, held_out)


def rival_scores(workplace: Workplace, ledger: Ledger, split: Split) -> dict[str, np.ndarray]:
    """Score the held-out rows by everything a candidate may be compared with.

    Before the first deployment nobody answers; the majority's share, which needs no model, stands in the champion's place.
    """
    settings = workplace.settings
    key = (
        workplace.settings_sha256,
        split.version.content_sha256,
        split.fitted.height,
        split.held_out.height,
    )
    if key not in _BASELINES:
        _BASELINES.clear()
        _BASELINES[key] = baseline_scores(settings, split.fitted, split.held_out)
    scores = _BASELINES[key]
    champion = champion_of(ledger, settings.scope.name)
    if champion is None:
        return {**scores, "champion": scores["majority"]}
    package = load_package(Path(champion.package), champion.files_sha256)
    return {**scores, "champion": package.scores(split.held_out)}


_BASELINES: dict[tuple[str, str, int, int], dict[str, np.ndarray]] = {}
"""Scores of the last data version's baselines: every candidate is compared with the same ones."""


def measured_for_record() -> tuple[Criterion, ...]:
    """List what is measured of every baseline and model whatever the gates ask: the three metrics."""
    return tuple(Criterion(metric=metric, comparison=">=", threshold=0.0) for metric in METRICS)


def package(
    workplace: Workplace, ledger: Ledger, model: TrainedModel, label: str, split: Split
) -> ModelVersion:
    """Package a model, measure it for the record, make its MLflow run, and put its version into the ledger."""
    settings = workplace.settings
    version = save_package(
        model,
        workplace.packages,
        name=label,
        settings=settings,
        settings_sha256=workplace.settings_sha256,
        data_version=split.version,
        golden=split.held_out,
    )
    found = measure_all(measured_for_record(), split.sample(model.scores(split.held_out), settings),
                        draws=settings.model.bootstrap_draws, seed=settings.model.seed)  # fmt: skip
    run_id = track(label, settings=settings, data_version=split.version, model_version=version, measurements=found,
                   parameters=model.parameters, tracking_uri=workplace.mlflow_uri)  # fmt: skip
    version = replace(version, mlflow_run_id=run_id)
    ledger.append(version, cause=version.model_id)
    return version


def judge_model(
    workplace: Workplace,
    ledger: Ledger,
    model: TrainedModel,
    version: ModelVersion,
    split: Split,
    now_utc: datetime,
) -> Offer:
    """Take a packaged model from gate to gate until one does not pass."""
    settings = workplace.settings
    held_out = split.sample(model.scores(split.held_out), settings)
    fitted = split.sample(model.scores(split.fitted), settings, fitted=True)
    rivals = rival_scores(workplace, ledger, split)
    watched = watched_criterion(settings)
    asked = criteria_of(settings, "model")
    known = {(row.metric, row.relative_to, row.confidence) for row in asked}
    shown = [] if (watched.metric, None, watched.confidence) in known else [watched]
    found = measure_all([*asked, *shown], held_out, against=rivals, fitted=fitted,
                        draws=settings.model.bootstrap_draws, seed=settings.model.seed)  # fmt: skip
    judged = judge(workplace, ledger, "model", version.model_id, found, split.version, now_utc, shown=shown)
    if judged.verdict == "pass":
        checked = check_package(Path(version.package), version.files_sha256, settings.scope.latency_ms)
        judged = judge(workplace, ledger, "package", version.model_id, tuple(checked), split.version, now_utc)
    return Offer(version.name, version.model_id, judged.verdict, judged.stage, judged.reason)
