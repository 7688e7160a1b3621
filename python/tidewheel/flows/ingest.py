"""The flow `data`: read the source, check the contract, keep one version of what is known by now, judge it."""

from datetime import UTC, datetime
from functools import lru_cache

import polars as pl
from prefect import task
from prefect.cache_policies import NO_CACHE

from tidewheel.data.contract import ContractReport, check_contract, contract_sha256
from tidewheel.data.rows import source_rows
from tidewheel.data.versions import read_version, write_version
from tidewheel.flows.judging import Judged, exact, judge
from tidewheel.flows.own_flow import own_flow
from tidewheel.ledger.history import data_version_of
from tidewheel.ledger.records import DataVersion
from tidewheel.ledger.store import Ledger
from tidewheel.operations.progress import announce
from tidewheel.operations.workplace import Workplace
from tidewheel.project.criteria import criteria_sha256
from tidewheel.project.gates import criteria_of
from tidewheel.project.settings import Settings


@own_flow(name="data")
def data(project: str, now_utc: datetime | None = None, environment: str = "local") -> int:
    """Keep a version of the data set as it is known at `now_utc` and return its Delta version.

    Args:
        project: folder of the project file.
        now_utc: event time; rows and labels from later on are left out. The wall clock if None.
        environment: a name under `[environments]` of the project file.

    Raises:
        InputError: the source breaks its contract beyond what may be quarantined; nothing is written.
    """
    return keep_version(project, now_utc or datetime.now(UTC), environment)


@task(name="keep a data version", cache_policy=NO_CACHE)
def keep_version(project: str, now_utc: datetime, environment: str) -> int:
    """Read, check, write and judge one version."""
    workplace = Workplace.open(project, environment)
    settings = workplace.settings
    announce("data", settings.data.source, at=f"{now_utc:%d %B}")
    frame = known_by(source_rows(settings), settings, now_utc)
    report = check_contract(frame, settings.contract, place=settings.data.source)
    version = write_version(
        report.accepted,
        workplace.data_uri,
        name=settings.data.name,
        contract_sha256=contract_sha256(settings.contract),
        event_time=settings.data.event_time,
        quarantined=report.quarantined,
    )
    with workplace.ledger() as ledger:
        ledger.append(version, cause=f"{version.name}@{version.delta_version}")
        judge_version(workplace, ledger, version, report, now_utc)
    return version.delta_version


def known_by(frame: pl.DataFrame, settings: Settings, now_utc: datetime) -> pl.DataFrame:
    """Keep the rows that had happened at `now_utc`, and take away the labels that were not known yet."""
    labels = settings.labels
    known = pl.col(labels.known_at) <= now_utc
    return frame.filter(pl.col(settings.data.event_time) < now_utc).with_columns(
        pl.when(known).then(pl.col(labels.column)).alias(labels.column),
        pl.when(known).then(pl.col(labels.known_at)).alias(labels.known_at),
    )


def data_verdict(workplace: Workplace, ledger: Ledger, version: DataVersion) -> str:
    """Say what the gate `data` said of a version, by the criteria in force: a verdict, or "never judged"."""
    digest = criteria_sha256(criteria_of(workplace.settings, "data"))
    subject = f"{version.name}@{version.delta_version}"
    found = [row for row in ledger.evidence(subject=subject, stage="data") if row.criteria_sha256 == digest]
    return found[-1].verdict if found else "never judged by the criteria in force"


def refusal_of(project: str, delta_version: int, environment: str) -> str | None:
    """Say why a data version may not be trained on; None if it may."""
    workplace = Workplace.open(project, environment)
    with workplace.ledger() as ledger:
        version = data_version_of(ledger, workplace.settings.data.name, delta_version)
        verdict = data_verdict(workplace, ledger, version)
    return None if verdict == "pass" else f"{version.name}@{delta_version}: gate data: {verdict}"


def judge_version(
    workplace: Workplace, ledger: Ledger, version: DataVersion, report: ContractReport, now_utc: datetime
) -> Judged:
    """Judge what the version holds: rows, share of quarantined rows, share of rows with a label."""
    settings = workplace.settings
    n_rows = report.accepted.height
    n_units = report.accepted[settings.data.unit].n_unique() if settings.data.unit else n_rows
    n_read = n_rows + report.quarantined.height
    measurements = [
        exact("rows", n_rows, n_rows=n_rows, n_units=n_units),
        exact("quarantined_share", report.quarantined.height / n_read, n_rows=n_read, n_units=n_units),
        exact("label_coverage", 1 - report.accepted[settings.labels.column].null_count() / n_rows, n_rows=n_rows,
              n_units=n_units),
    ]  # fmt: skip
    return judge(
        workplace, ledger, "data", f"{version.name}@{version.delta_version}", measurements, version, now_utc
    )


@lru_cache(maxsize=2)
def version_rows(uri: str, delta_version: int, content_sha256: str) -> pl.DataFrame:
    """Read a data version once in a process; what a version holds never changes."""
    return read_version(uri, delta_version, content_sha256)
