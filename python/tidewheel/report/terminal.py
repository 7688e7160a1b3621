"""Tables for the terminal, made with rich from the lifecycle's records."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tidewheel.ledger.records import Decision, Evidence, Finding
from tidewheel.operations.doctor import Check
from tidewheel.report.scorecard import Scorecard
from tidewheel.report.story import findings_of

COLOURS = {
    "ok": "green",
    "pass": "green",
    "warn": "yellow",
    "undecided": "yellow",
    "fail": "red",
    "no data": "red",
}


def print_view(view: Table | str, *, to_stderr: bool = False) -> None:
    """Print a table or a line of rich text; in a pipe, without colour and as wide as it needs."""
    console = Console(stderr=to_stderr, highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(view)


def coloured(word: str) -> str:
    """Colour a verdict by what it means."""
    colour = COLOURS.get(word)
    return f"[{colour}]{word}[/]" if colour else word


def checks_table(checks: Sequence[Check]) -> Table:
    """Show what `doctor` found, with a remedy for what is not well."""
    table = Table(title="tidewheel doctor", title_justify="left")
    for heading in ("check", "state", "found", "remedy"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        table.add_row(check.name, coloured(check.state), check.detail, check.remedy)
    return table


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
            "\n".join(decided) or "none",
        )
    return table


def evidence_table(rows: Sequence[tuple[Evidence, bool, str]], title: str) -> Table:
    """Show every judgement behind a model: metric, value, bounds, verdict, data version, and whether it stands."""
    table = Table(title=title, title_justify="left")
    for heading in ("gate", "metric", "against", "value", "bounds", "required", "verdict", "data", "stands"):
        table.add_column(heading, overflow="fold")
    for evidence, stands, why in rows:
        data = f"{evidence.data_name}@{evidence.data_version}"
        standing = "[green]yes[/]" if stands else f"[red]no[/]: {why}"
        if not evidence.judgements:
            table.add_row(evidence.stage, "", "", "", "", "", coloured(evidence.verdict), data, standing)
        for judgement in evidence.judgements:
            measured = judgement.measurement
            table.add_row(
                evidence.stage,
                judgement.metric,
                judgement.relative_to or "",
                f"{measured.value:.4g}" if measured else "-",
                escape(f"[{measured.lower:.4g}, {measured.upper:.4g}]") if measured else "-",
                f"{judgement.comparison} {judgement.threshold:g}",
                coloured(judgement.verdict),
                data,
                standing,
            )
    return table


def records_table(title: str, rows: Sequence[Sequence[str]], headings: Sequence[str]) -> Table:
    """Show records as a plain table."""
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(coloured(escape(cell)) for cell in row))
    return table
