"""The command `tidewheel drift`: two tables in, a table of text out, and the files asked for."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import typer

from tidewheel import drift
from tidewheel.cli.outputs import check_outputs, write_outputs
from tidewheel.data.sources import read_table
from tidewheel.drift.junit import FAILING

_FORMS: dict[str, Callable[[drift.DriftReport, str], str]] = {
    "html": lambda report, _: report.to_html(),
    "json": lambda report, _: report.to_json(),
    "junit": lambda report, fail_on: report.to_junit(fail_on=fail_on),
}


def compare_tables(
    reference: Path,
    current: Path,
    *,
    columns: Sequence[str] | None,
    unit: str | None,
    alpha: float,
    outputs: Mapping[str, Path],
    fail_on: str,
) -> int:
    """Compare two tables, write the outputs by form ("html", "json", "junit") and print the summary.

    Returns:
        1 if a column has a failing verdict, else 0.

    Raises:
        InputError: a table, a column or an output is not acceptable; nothing has been written.
    """
    check_outputs(list(outputs.values()), [reference, current])
    report = drift.compare(
        read_table(reference), read_table(current), columns=columns, unit=unit, alpha=alpha
    )
    write_outputs({path: _FORMS[form](report, fail_on) for form, path in outputs.items()})
    typer.echo(report.summary())
    return int(any(column.verdict in FAILING[fail_on] for column in report.columns))
