"""Prefect as the host of the loop: each step is a task, and what the ledger gained by it becomes artifacts and events.

The ledger is the truth, and these are pictures of it: a lost one loses nothing.
"""

from collections.abc import Callable
from typing import TypeVar

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event

from tidewheel.drift import DriftReport
from tidewheel.evidence.records import Evidence, Finding
from tidewheel.lifecycle.host import Host
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.monitoring.windows import Window

R = TypeVar("R")

EVENT = "tidewheel.finding"

#: Verdicts of findings that somebody is woken for.
FIRED = ("drifted", "degraded")


def prefect_host(workplace: Workplace) -> Host:
    """Make the host of one flow run about one project."""

    def run(name: str, step: Callable[[], R], /) -> R:
        @task(name=name, cache_policy=NO_CACHE)
        def run_step() -> R:
            known = last_row(workplace)
            found = step()
            show_rows(workplace, after=known)
            return found

        return run_step()

    return Host(run, show_drift)


def last_row(workplace: Workplace) -> int:
    """Give the sequence number of the ledger's last row, 0 without a ledger: to look makes none."""
    if not workplace.has_ledger:
        return 0
    with workplace.ledger() as ledger:
        return ledger.last_sequence()


def show_rows(workplace: Workplace, *, after: int) -> None:
    """Show the evidence that was written since, and tell of findings that fired."""
    if not workplace.has_ledger:
        return
    with workplace.ledger() as ledger:
        rows = ledger.rows(after=after)
    for row in rows:
        match row.record:
            case Evidence() as evidence:
                show_gate(evidence)
            case Finding() as finding if finding.verdict in FIRED:
                tell(workplace, finding)
            case _:
                pass


def show_gate(evidence: Evidence) -> None:
    """Leave a gate's table with Prefect, where people look for it."""
    rows = [
        {
            "metric": row.metric,
            "against": row.relative_to or "",
            "value": row.measurement.value if row.measurement else None,
            "lower": row.measurement.lower if row.measurement else None,
            "upper": row.measurement.upper if row.measurement else None,
            "required": f"{row.comparison} {row.threshold:g}",
            "verdict": row.verdict + (" (dry run)" if row.dry_run else ""),
            "reason": row.reason,
        }
        for row in evidence.judgements
    ]
    create_table_artifact(
        rows,
        key=f"gate-{evidence.stage}",
        description=f"Gate **{evidence.stage}** of `{evidence.subject[:12]}` on "
        f"{evidence.data_name}@{evidence.data_version}: **{evidence.verdict}**",
    )


def tell(workplace: Workplace, finding: Finding) -> None:
    """Emit an event for a finding; whoever handles it decides from the ledger."""
    emit_event(
        EVENT,
        resource={"prefect.resource.id": f"{EVENT}.{finding.finding_id}", "tidewheel.kind": finding.kind},
        payload={
            "project": str(workplace.folder),
            "environment": workplace.environment_name,
            "kind": finding.kind,
            "reason": finding.reason,
        },
    )


def show_drift(window: Window, report: DriftReport) -> None:
    """Leave the drift table of a window with Prefect."""
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
