"""Tables for the terminal, made with rich from the lifecycle's records."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tidewheel.evidence.criteria import number
from tidewheel.evidence.records import Evidence
from tidewheel.operations.doctor import Check

COLOURS = {
    "ok": "green",
    "pass": "green",
    "warn": "yellow",
    "undecided": "yellow",
    "fail": "red",
    "no data": "red",
}


def print_view(view: Table | str) -> None:
    """Print a table or a line of rich text; in a pipe, without colour and as wide as it needs."""
    console = Console(highlight=False)
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
        table.add_row(check.name, coloured(check.state), escape(check.detail), escape(check.remedy))
    return table


def evidence_table(rows: Sequence[tuple[Evidence, bool, str]], title: str) -> Table:
    """Show every judgement behind a model: metric, value, bounds, verdict, data version, and whether it stands."""
    table = Table(title=title, title_justify="left")
    for heading in ("gate", "metric", "against", "value", "bounds", "required", "verdict", "data", "stands"):
        table.add_column(heading, overflow="fold")
    for evidence, stands, why in rows:
        data = f"{evidence.data_name}@{evidence.data_version}"
        standing = "[green]yes[/]" if stands else f"[red]no[/]: {escape(why)}"
        if not evidence.judgements:
            table.add_row(evidence.stage, "", "", "", "", "", coloured(evidence.verdict), data, standing)
        for judgement in evidence.judgements:
            measured = judgement.measurement
            table.add_row(
                evidence.stage,
                judgement.metric,
                judgement.relative_to or "",
                number(measured.value) if measured else "-",
                escape(f"[{number(measured.lower)}, {number(measured.upper)}]") if measured else "-",
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
