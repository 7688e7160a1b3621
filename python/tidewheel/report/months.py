"""The year as a table for the terminal."""

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from tidewheel.evidence.records import Decision, Finding
from tidewheel.lifecycle.scorecard import Scorecard
from tidewheel.lifecycle.story import findings_of


def months_table(
    card: Scorecard, findings: Sequence[Finding], decisions: Sequence[Decision], names: Mapping[str, str]
) -> Table:
    """Show the year: a row a month, with what was found and decided about it; `names` gives a model's name by its id."""
    table = Table(
        title="Month by month: AUC, never retrained against retrained by the loop", title_justify="left"
    )
    for heading in (
        "month",
        "rows",
        "share late",
        "never",
        "loop",
        "gain",
        "in force",
        "findings",
        "decisions",
    ):
        table.add_column(heading, justify="right" if heading in {"rows", "never", "loop", "gain"} else "left",
                         overflow="fold")  # fmt: skip
    for row in card.months:
        found = [finding.kind for finding in findings_of(findings, row.month)]
        decided = [
            f"{' '.join(filter(None, (one.action, names.get(one.subject))))}: {one.reason}"
            for one in decisions
            if one.at_utc.month == row.month
        ]
        table.add_row(
            f"{row.month:02d}",
            f"{row.n_rows:,}",
            f"{row.n_late / row.n_rows:.2f}",
            f"{row.static_auc:.3f}",
            f"{row.loop_auc:.3f}",
            f"{row.loop_auc - row.static_auc:+.3f}",
            row.champion,
            "\n".join(found) or "none",
            escape("\n".join(decided)) or "none",
        )
    return table
