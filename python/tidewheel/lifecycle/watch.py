"""Watch: look at every matured month of the prediction log, and record what is found.

Facts of a window are gathered here; measuring them is in `monitoring`, what they mean in `monitoring.triage`.
"""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from tidewheel.data.contract import find_violations
from tidewheel.evidence.history import data_version_of, reign_at, reigns
from tidewheel.evidence.records import Finding, ModelVersion
from tidewheel.evidence.store import Ledger
from tidewheel.lifecycle.host import ALONE, Host
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.measures.measurement import Measurement
from tidewheel.model.packaging import load_package
from tidewheel.monitoring.drift_windows import compare_window
from tidewheel.monitoring.performance import join_labels, measure_label_shift, measure_window
from tidewheel.monitoring.triage import WAIT_FOR_LABELS, WindowFacts, find
from tidewheel.monitoring.windows import Window, cut_months
from tidewheel.operations.progress import announce
from tidewheel.predictions.log import read_log, recover
from tidewheel.predictions.retries import keep_worst
from tidewheel.retraining.window import training_rows


def watch(workplace: Workplace, now_utc: datetime, host: Host = ALONE) -> list[Finding]:
    """Judge every month of the log that is mature at `now_utc` and was not judged yet; return the new findings.

    Args:
        workplace: the project.
        now_utc: event time of the look.
        host: who is shown the drift of each window.
    """
    settings = workplace.settings
    found: list[Finding] = []
    with workplace.ledger() as ledger:
        judged = {
            (finding.starts_utc, finding.ends_utc)
            for finding in ledger.findings()
            if finding.action != WAIT_FOR_LABELS
        }
        first_utc = min((reign.from_utc for reign in reigns(ledger)), default=now_utc)
        recover(workplace.log_uri)
        log = read_answers(workplace, now_utc)
        for window, rows in cut_months(log, time_zone=settings.data.time_zone):
            if window.ends_utc <= first_utc:
                continue  # Nobody's answers: they came before the first model.
            is_due = window.is_over(now_utc, settings.labels.maturity_days)
            if not is_due or (window.starts_utc, window.ends_utc) in judged:
                continue
            announce("monitor", f"{rows.height:,} answers", at=f"{window.starts_utc:%B}")
            facts = gather(workplace, ledger, window, rows, now_utc)
            if facts.drift is not None:
                host.show_drift(window, facts.drift)
            findings = find(facts, settings.monitoring, now_utc)
            written = ledger.append_all([(finding, finding.finding_id) for finding in findings])
            found += [finding for finding, (_, is_new) in zip(findings, written, strict=True) if is_new]
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
    table = workplace.known_rows(now_utc)
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
    rows = workplace.version_rows(version)
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
