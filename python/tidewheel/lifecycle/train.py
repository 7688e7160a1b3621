"""Train: measure the baselines, fit candidates, and take each through the gates `baseline`, `model` and `package`.

Which model meets which gate on which rows, and what is recorded about it; fitting, measuring and packaging are in
`tidewheel.model`. Every baseline and model becomes an MLflow run, the refused ones too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import polars as pl

from tidewheel.data.profile import leakage_suspects
from tidewheel.data.splits import split_holdout
from tidewheel.errors import InputError, UnknownNameError
from tidewheel.evidence.criteria import Verdict, criteria_sha256
from tidewheel.evidence.gates import criteria_of, watched_criterion
from tidewheel.evidence.history import champion_of, data_version_of, latest_version
from tidewheel.evidence.records import DataVersion, Decision, Evidence, ModelVersion
from tidewheel.evidence.store import Ledger
from tidewheel.lifecycle.host import ALONE, Host
from tidewheel.lifecycle.ingest import data_verdict
from tidewheel.lifecycle.judge import Judged, judge
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.measures.measurement import Measurement
from tidewheel.measures.metrics import METRICS, Sample
from tidewheel.model.baselines import baseline_scores
from tidewheel.model.evaluation import measure_all
from tidewheel.model.packaging import check_package, load_package, save_package
from tidewheel.model.tracking import track
from tidewheel.model.trained import TrainedModel
from tidewheel.model.training import train as fit
from tidewheel.operations.progress import announce
from tidewheel.predictions.labels import labels_due
from tidewheel.project.settings import Candidate, Criterion, Settings, Stage
from tidewheel.retraining.window import training_rows


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


def train(
    workplace: Workplace,
    now_utc: datetime,
    *,
    delta_version: int | None = None,
    candidates: Sequence[str] | None = None,
    retraining: bool = False,
    host: Host = ALONE,
) -> list[Offer]:
    """Measure the baselines and train candidates on one data version; judge and package those that deserve it.

    Args:
        workplace: the project.
        now_utc: event time of the evidence.
        delta_version: the data version; the newest one if None.
        candidates: names of `[[model.candidates]]`; all of them if None.
        retraining: whether a candidate was trained before: it then carries the date in its name. Its gates are the same.
        host: who runs the steps.

    Raises:
        UnknownNameError: a candidate is not in the project file.
        InputError: the data version is not in the ledger, or its gate did not pass.
    """
    chosen = choose_candidates(workplace.settings, candidates)
    with workplace.ledger() as ledger:
        trial = Trial(workplace, ledger, open_split(workplace, ledger, delta_version, now_utc), now_utc)
        leaks = host.run("look for leakage", trial.look_for_leakage)
        if leaks:
            return [Offer(one.name, "", "fail", "data", leaks) for one in chosen]
        baseline = host.run("measure the baselines", trial.measure_baselines)
        if baseline.verdict != "pass":
            return [Offer(one.name, "", baseline.verdict, "baseline", baseline.reason) for one in chosen]
        return [
            host.run("train a candidate", partial(trial.train_candidate, one, retraining=retraining))
            for one in chosen
        ]


def choose_candidates(settings: Settings, names: Sequence[str] | None) -> list[Candidate]:
    """Find candidates by name, all of them if None; raises UnknownNameError."""
    known = {candidate.name: candidate for candidate in settings.model.candidates}
    for name in names or ():
        if name not in known:
            raise UnknownNameError(f"no candidate is called {name!r}; tidewheel.toml has {', '.join(known)}")
    return [*known.values()] if names is None else [known[name] for name in names]


@dataclass(frozen=True)
class Trial:
    """Judge candidates on one split of one data version: all of them meet the same rivals on the same rows."""

    workplace: Workplace
    ledger: Ledger
    split: Split
    now_utc: datetime

    def look_for_leakage(self) -> str:
        """Say which features tell the label by themselves, and record the refusal; the empty string if none does."""
        settings, split = self.workplace.settings, self.split
        label = settings.labels.column
        rows = split.fitted.with_columns(pl.col(label).cast(pl.Boolean))
        suspects = leakage_suspects(rows, label, [*settings.features.numeric, *settings.features.categorical])
        if not suspects:
            return ""
        reason = "; ".join(f"feature {suspect.column} {suspect.reason}" for suspect in suspects)
        subject = f"{split.version.name}@{split.version.delta_version}"
        refusal = Decision("refuse", subject, "leakage check", reason, self.now_utc)
        self.ledger.append(refusal, cause=f"leakage {subject}")
        return reason

    def measure_baselines(self) -> Evidence:
        """Measure random, majority and heuristic on the held-out rows, and judge the simple model at the gate `baseline`.

        Returns:
            What the gate says: whether there is anything to learn.
        """
        settings, version = self.workplace.settings, self.split.version
        measured = f"baselines of {version.name}@{version.delta_version}"
        digest = criteria_sha256(criteria_of(settings, "baseline"))
        known = self.ledger.evidence(subject=measured, stage="baseline")
        judged = [row for row in known if row.criteria_sha256 == digest]
        if judged:
            return judged[-1]
        for name in ("random", "majority", "heuristic", "simple"):
            announce("baselines", name, at=f"{self.now_utc:%d %B}")
            found = self.measure(measured_for_record(), self.rivals[name])
            self.track(name, found, {"baseline": name})
        found = self.measure(criteria_of(settings, "baseline"), self.rivals["simple"])
        judge(self.workplace, self.ledger, "baseline", measured, found, version, self.now_utc)
        return self.ledger.evidence(subject=measured, stage="baseline")[-1]

    def train_candidate(self, candidate: Candidate, *, retraining: bool) -> Offer:
        """Fit one candidate, package and record it, and judge it; the first gate that does not pass ends it."""
        settings, split = self.workplace.settings, self.split
        announce("train", candidate.name, at=f"{self.now_utc:%d %B}")
        model = fit(candidate, settings.features, split.fitted, settings.labels.column, settings.model.seed)
        label = f"{candidate.name}-{self.now_utc:%Y-%m-%d}" if retraining else candidate.name
        version = self.package(model, label)
        offer = self.judge_model(model, version)
        if not offer.passed:
            reason = f"{offer.verdict}: {offer.reason}"
            self.ledger.append(
                Decision("refuse", version.model_id, f"gate {offer.gate}", reason, self.now_utc)
            )
            announce("refuse", label, at=f"{self.now_utc:%d %B}")
        return offer

    @cached_property
    def rivals(self) -> dict[str, np.ndarray]:
        """Scores of the held-out rows by everything that a candidate may be compared with.

        Before the first deployment nobody answers; the majority's share, which needs no model, stands in the champion's
        place.
        """
        scores = baseline_scores(self.workplace.settings, self.split.fitted, self.split.held_out)
        champion = champion_of(self.ledger, self.workplace.settings.scope.name)
        if champion is None:
            return {**scores, "champion": scores["majority"]}
        package = load_package(Path(champion.package), champion.files_sha256)
        return {**scores, "champion": package.scores(self.split.held_out)}

    def measure(
        self, criteria: Sequence[Criterion], scores: np.ndarray, fitted: Sample | None = None
    ) -> tuple[Measurement, ...]:
        """Measure scores of the held-out rows as criteria ask, against the rivals."""
        settings = self.workplace.settings
        return measure_all(
            criteria,
            self.split.sample(scores, settings),
            against=self.rivals,
            fitted=fitted,
            draws=settings.model.bootstrap_draws,
            seed=settings.model.seed,
        )

    def track(
        self,
        name: str,
        found: tuple[Measurement, ...],
        parameters: Mapping[str, object],
        version: ModelVersion | None = None,
    ) -> str:
        """Tell MLflow of a baseline or a model, and return the id of its run."""
        return track(
            name,
            settings=self.workplace.settings,
            data_version=self.split.version,
            model_version=version,
            measurements=found,
            parameters=parameters,
            tracking_uri=self.workplace.mlflow_uri,
        )

    def package(self, model: TrainedModel, label: str) -> ModelVersion:
        """Package a model, measure it for the record, make its MLflow run, and put its version into the ledger."""
        version = save_package(
            model,
            self.workplace.packages,
            name=label,
            settings=self.workplace.settings,
            settings_sha256=self.workplace.settings_sha256,
            data_version=self.split.version,
            golden=self.split.held_out,
        )
        found = self.measure(measured_for_record(), model.scores(self.split.held_out))
        version = replace(version, mlflow_run_id=self.track(label, found, model.parameters, version))
        self.ledger.append(version, cause=version.model_id)
        return version

    def judge_model(self, model: TrainedModel, version: ModelVersion) -> Offer:
        """Take a packaged model from gate to gate until one does not pass."""
        settings, split = self.workplace.settings, self.split
        watched = watched_criterion(settings)
        asked = criteria_of(settings, "model")
        known = {(row.metric, row.relative_to, row.confidence) for row in asked}
        shown = [] if (watched.metric, None, watched.confidence) in known else [watched]
        fitted = split.sample(model.scores(split.fitted), settings, fitted=True)
        found = self.measure([*asked, *shown], model.scores(split.held_out), fitted)
        judged = self.judge("model", version, found, shown)
        if judged.verdict == "pass":
            checked = check_package(Path(version.package), version.files_sha256, settings.scope.latency_ms)
            judged = self.judge("package", version, tuple(checked))
        return Offer(version.name, version.model_id, judged.verdict, judged.stage, judged.reason)

    def judge(
        self,
        stage: Stage,
        version: ModelVersion,
        found: Sequence[Measurement],
        shown: Sequence[Criterion] = (),
    ) -> Judged:
        """Judge a model at a gate, and record the evidence."""
        return judge(
            self.workplace,
            self.ledger,
            stage,
            version.model_id,
            found,
            self.split.version,
            self.now_utc,
            shown=shown,
        )


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
    rows = workplace.version_rows(version)
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


def measured_for_record() -> tuple[Criterion, ...]:
    """List what is measured of every baseline and model whatever the gates ask: the three metrics."""
    return tuple(Criterion(metric=metric, comparison=">=", threshold=0.0) for metric in METRICS)
