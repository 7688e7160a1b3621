"""The flow `monitor`: look at every matured month of the prediction log, record what is found, wake whoever listens.

What belongs here: gathering the facts of a window. What does not: measuring them (`monitoring`), saying what they mean
(`monitoring.triage`), acting on them (`flows.retraining`).
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from tidewheel.data.contract import find_violations
from tidewheel.data.rows import source_rows
from tidewheel.drift import DriftReport
from tidewheel.flows.ingest import known_by, version_rows
from tidewheel.flows.own_flow import own_flow
from tidewheel.ledger.history import data_version_of, reign_at, reigns
from tidewheel.ledger.records import Finding, ModelVersion
from tidewheel.ledger.store import Ledger
from tidewheel.model.packaging import load_package
from tidewheel.monitoring.drift_windows import compare_window
from tidewheel.monitoring.performance import join_labels, measure_label_shift, measure_window
from tidewheel.monitoring.triage import WAIT_FOR_LABELS, WindowFacts, find
from tidewheel.monitoring.windows import Window, cut_months
from tidewheel.operations.progress import announce
from tidewheel.operations.workplace import Workplace
from tidewheel.project.criteria import Measurement
from tidewheel.retrain.window import training_rows
from tidewheel.serving.prediction_log import read_log, recover
from tidewheel.serving.retries import keep_worst

EVENT = "tidewheel.finding"


@own_flow(name="monitor")
def monitor(project: str, now_utc: datetime | None = None, environment: str = "local") -> list[Finding]:
    """Judge every month of the log that is mature at `now_utc` and was not judged yet; return the new findings.

    Args:
        project: folder of the project file.
        now_utc: event time of the look; the wall clock if None.
        environment: a name under `[environments]` of the project file.
    """
    return watch(project, now_utc or datetime.now(UTC), environment)


@task(name="look at the log", cache_policy=NO_CACHE)
def watch(project: str, now_utc: datetime, environment: str) -> list[Finding]:
    """Look at each window that is due."""
    workplace = Workplace.open(project, environment)
    settings = workplace.settings
    found: list[Finding] = []
    with workplace.ledger() as ledger:
        judged = {
            (finding.starts_utc, finding.ends_utc)
            for finding in ledger.findings()
            if finding.action != WAIT_FOR_LABELS
        }
        recover(workplace.log_uri)
        log = read_answers(workplace, now_utc)
        for window, rows in cut_months(log, time_zone=settings.data.time_zone):
            is_due = window.is_over(now_utc, settings.labels.maturity_days)
            if not is_due or (window.starts_utc, window.ends_utc) in judged:
                continue
            announce("monitor", f"{rows.height:,} answers", at=f"{window.starts_utc:%B}")
            facts = gather(workplace, ledger, window, rows, now_utc)
            show_drift(facts.drift, window)
            findings = find(facts, settings.monitoring, now_utc)
            written = ledger.append_all([(finding, finding.finding_id) for finding in findings])
            for finding, (_, is_new) in zip(findings, written, strict=True):
                if is_new:
                    tell(project, finding)
                    found.append(finding)
    return found


def read_answers(workplace: Workplace, now_utc: datetime) -> pl.DataFrame:
    """Read request_id and event time of each row that was answered before `now_utc`, once however often it was sent."""
    columns = ["request_id", "row", "at_utc", "wall_utc", "error"]
    log = read_log(workplace.log_uri, where=pl.col("at_utc") < now_utc, columns=columns)
    return keep_worst(log).select("request_id", "at_utc")


def gather(
    workplace: Workplace, ledger: Ledger, window: Window, rows: pl.DataFrame, now_utc: datetime
) -> WindowFacts:
    """Measure the model in force at the window's end on all rows of the window, against the rows it came from."""
    settings = workplace.settings
    unit = settings.data.unit
    features = [*settings.features.numeric, *settings.features.categorical]
    reign = reign_at(reigns(ledger), window.ends_utc)
    model = ledger.model_version(reign.model_id)
    # What was true is read from the source as it is now: labels come late, rows stay as they were.
    table = known_by(source_rows(settings), settings, now_utc)
    ids = rows.select(pl.col("request_id").alias(settings.data.row_id))
    mine = table.join(ids, on=settings.data.row_id, how="semi")
    n_violating, violations = find_violations(mine, settings.contract, place=f"`{settings.data.source}`")
    # A request whose id is no row's has no inputs or label here: to count it as missing values would be a false alarm.
    rows = rows.filter(pl.col("request_id").is_in(mine[settings.data.row_id].implode()))
    if rows.height < ids.height:
        announce(
            "monitor", f"{ids.height - rows.height:,} answers are of no row of the source", at=window.name
        )
    columns = list(dict.fromkeys([*features, *([unit] if unit else [])]))
    joined = join_labels(rows, table, settings.labels, now_utc, row_id=settings.data.row_id, columns=columns)
    joined = scored_by(model, joined)
    reference = reference_rows(workplace, ledger, model)
    performance = measure_window(
        window,
        joined,
        settings.labels,
        now_utc,
        model_id=model.model_id,
        metric=settings.monitoring.metric,
        unit=unit,
        alpha=settings.monitoring.alpha,
        draws=settings.model.bootstrap_draws,
        seed=settings.model.seed,
    )
    return WindowFacts(
        performance=performance,
        reference=judged_at(ledger, model, settings.monitoring.metric, 1.0 - settings.monitoring.alpha),
        label_shift=measure_label_shift(
            joined,
            reference.rename({settings.labels.column: "label"}),
            unit=unit,
            alpha=settings.monitoring.alpha,
            draws=settings.model.bootstrap_draws,
            seed=settings.model.seed,
        ),
        drift=compare_window(reference, joined, settings.features, unit=unit, alpha=settings.monitoring.alpha)
        if joined.height
        else None,
        n_requests=rows.height,
        n_violating=n_violating,
        violations=violations,
    )


def scored_by(model: ModelVersion, rows: pl.DataFrame) -> pl.DataFrame:
    """Put the model's own score beside each row, also where another model answered: the rows tell what it was asked."""
    package = load_package(Path(model.package), model.files_sha256)
    return rows.with_columns(score=pl.Series(package.scores(rows)))


def reference_rows(workplace: Workplace, ledger: Ledger, model: ModelVersion) -> pl.DataFrame:
    """Give the rows that the model was fitted to and judged on."""
    settings = workplace.settings
    version = data_version_of(ledger, model.data_name, model.data_version)
    rows = version_rows(version.uri, version.delta_version, version.content_sha256)
    return training_rows(
        rows,
        settings.retrain,
        version.ends_utc + timedelta(microseconds=1),  # the newest row's own time
        event_time=settings.data.event_time,
        unit=settings.data.unit,
    )


def judged_at(ledger: Ledger, model: ModelVersion, metric: str, confidence: float) -> Measurement | None:
    """Find what the model was measured at on the held-out rows, in the evidence of its gate."""
    for evidence in reversed(ledger.evidence(subject=model.model_id, stage="model")):
        for judgement in evidence.judgements:
            measured = judgement.measurement
            if (
                measured is not None
                and (measured.metric, measured.relative_to) == (metric, None)
                and abs(measured.confidence - confidence) < 1e-9
            ):
                return measured
    return None


def tell(project: str, finding: Finding) -> None:
    """Emit an event for a finding that fired; the handler decides from the ledger, so a lost one loses nothing."""
    if finding.verdict in ("drifted", "degraded"):
        emit_event(
            EVENT,
            resource={"prefect.resource.id": f"{EVENT}.{finding.finding_id}", "tidewheel.kind": finding.kind},
            payload={"project": project, "kind": finding.kind, "reason": finding.reason},
        )


def show_drift(report: DriftReport | None, window: Window) -> None:
    """Leave the drift table of a window with Prefect."""
    if report is None:
        return
    create_table_artifact(
        [
            {
                "column": column.name,
                "verdict": column.verdict,
                "p": column.pvalue_corrected,
                "why": column.reason,
            }
            for column in report.columns
        ],
        key=f"drift-{window.name}",
        description=f"Features of **{window.name}** against the rows that the champion was fitted to",
    )
