"""Keep a version of the data set as it is known by now: read the source, check the contract, write, judge."""

from datetime import datetime

from tidewheel.data.contract import ContractReport, check_contract, contract_sha256
from tidewheel.data.versions import write_version
from tidewheel.evidence.criteria import criteria_sha256
from tidewheel.evidence.gates import criteria_of
from tidewheel.evidence.history import data_version_of
from tidewheel.evidence.records import DataVersion
from tidewheel.evidence.store import Ledger
from tidewheel.lifecycle.judge import Judged, exact, judge
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.operations.progress import announce


def ingest(workplace: Workplace, now_utc: datetime) -> int:
    """Keep a version of the data set as it is known at `now_utc`, judge it, and return its Delta version.

    Raises:
        InputError: the source breaks its contract beyond what may be quarantined; nothing is written.
    """
    settings = workplace.settings
    announce("data", settings.data.source, at=f"{now_utc:%d %B}")
    report = check_contract(workplace.known_rows(now_utc), settings.contract, place=settings.data.source)
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


def data_verdict(workplace: Workplace, ledger: Ledger, version: DataVersion) -> str:
    """Say what the gate `data` said of a version, by the criteria in force: a verdict, or "never judged"."""
    digest = criteria_sha256(criteria_of(workplace.settings, "data"))
    subject = f"{version.name}@{version.delta_version}"
    found = [row for row in ledger.evidence(subject=subject, stage="data") if row.criteria_sha256 == digest]
    return found[-1].verdict if found else "never judged by the criteria in force"


def refusal_of(workplace: Workplace, delta_version: int) -> str | None:
    """Say why a data version may not be trained on; None if it may."""
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
