"""The commands of `tidewheel`: each reads its arguments, calls the function that does the work, and prints the answer.

Heavy parts (flows, serving, the model stage) are imported by the command that needs them, so that `tidewheel --help` and
`tidewheel drift` stay quick and run with the extra `cli` alone.
"""

import gc
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from tidewheel.cli.names import StageName
from tidewheel.errors import InputError

app = typer.Typer(
    name="tidewheel",
    help="Run the whole life of a tabular machine-learning model: data, model, rollout, monitoring, retraining.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
serve_app = typer.Typer(help="Start, stop and ask the server that answers requests.", no_args_is_help=True)
app.add_typer(serve_app, name="serve")

Project = Annotated[
    Path, typer.Option("--project", "-p", help="Folder of the project's tidewheel.toml, or the file itself.")
]

EnvironmentName = Annotated[
    str, typer.Option("--environment", "-e", help=r"A name under \[environments] of the project file.")
]


def run_command(arguments: list[str]) -> int:
    """Run one command and return its exit code; wrong options exit with 2 by themselves."""
    return int(app(arguments, standalone_mode=True) or 0)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        from importlib.metadata import version as version_of  # takes as long as a small command

        typer.echo(f"tidewheel {version_of('tidewheel')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold the options of the command itself; its help text is the application's."""


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the demo; made, or taken over from an earlier demo.")
    ] = Path("tidewheel-demo"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Stop after August, with fewer bootstrap draws.")
    ] = False,
    keep_serving: Annotated[
        bool,
        typer.Option("--keep-serving", help="Leave the server running at the end; `serve down` stops it."),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of training and of the bootstrap.")] = 0,
) -> None:
    """Tell the whole story on the New York flights of 2013: three minutes on two cores, real parts only.

    Trains on January to March, rolls a better model out over HTTP in April (shadow, then canary), refuses an overfit
    one, then serves, watches and retrains month by month. Ends with a table, OUT/report.html and OUT/summary.json.
    An interrupted demo starts over.
    """
    from tidewheel.cli.demo import run_demo  # brings Prefect, Ray and MLflow

    raise typer.Exit(run_demo(out, quick=quick, keep_serving=keep_serving, seed=seed))


@app.command()
def doctor(
    folder: Annotated[Path, typer.Argument(help="Folder in which Tidewheel shall work.")] = Path("."),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Say what is missing or in the way on this machine; exit 1 if something must be mended first."""
    from tidewheel.operations.doctor import examine  # brings psutil
    from tidewheel.report.terminal import checks_table, print_view

    checks = examine(folder)
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        print_view(checks_table(checks))
    raise typer.Exit(1 if any(check.state == "fail" for check in checks) else 0)


@app.command()
def run(
    project: Project = Path("."),
    stage: Annotated[
        StageName,
        typer.Option("--stage", help="One stage, or a whole turn."),
    ] = "all",
    environment: EnvironmentName = "local",
) -> None:
    """Run one turn of the loop, or one stage of it, for your own project; exit 1 when a gate or a rollout says no.

    The first turn makes a data version, trains, and deploys the first model that its gates let through. A later one
    looks at the log, and retrains and rolls out where its findings ask for it, on the source's last days.
    """
    from tidewheel.cli.projects import run_project  # brings Prefect

    raise typer.Exit(run_project(project, stage, environment))


@app.command()
def status(
    project: Project = Path("."),
    environment: EnvironmentName = "local",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Say which model answers now, on which evidence, and what was decided and found last."""
    from tidewheel.cli.projects import show_status  # brings polars and SQLAlchemy

    raise typer.Exit(show_status(project, environment, as_json=as_json))


@app.command()
def evidence(
    model: Annotated[
        str | None, typer.Argument(help="Model id or its beginning, or a name; the champion if left out.")
    ] = None,
    project: Project = Path("."),
    environment: EnvironmentName = "local",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Print every gate that a model met: verdict, values, data version, and whether it stands; exit 1 if one does not."""
    from tidewheel.cli.projects import show_evidence  # brings polars and SQLAlchemy

    raise typer.Exit(show_evidence(project, model, environment, as_json=as_json))


Columns = Annotated[
    str | None, typer.Option("--columns", help="Names of columns, separated by commas; all by default.")
]
Exclude = Annotated[
    str | None,
    typer.Option(
        "--exclude",
        help="Columns to leave out, separated by commas, such as a label that the current table lacks.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Most threads to count with; one per core by default."),
]


Categorical = Annotated[
    str | None,
    typer.Option(
        "--categorical", help="Columns of codes: compared as names, not as quantities; separated by commas."
    ),
]
Numeric = Annotated[
    str | None, typer.Option("--numeric", help="Columns of text or booleans to be compared as numbers.")
]
NullValues = Annotated[
    str | None,
    typer.Option(
        "--null-values",
        help="Further words for a missing value in text, separated by commas; NULL, NA, N/A, NaN, - and the like are known "
        "among numbers and times.",
    ),
]
DecimalComma = Annotated[
    bool,
    typer.Option(
        "--decimal-comma", help="Read 1.234,5 in text as a number, and 1.234 as a thousand and more."
    ),
]


@app.command("drift")
def compare_files(
    reference: Annotated[
        Path,
        typer.Argument(
            help="Reference table: parquet, CSV (also .gz), Arrow, JSON lines, a Delta folder, a pattern of files in quotes "
            "such as '2025/*.parquet', - for standard input, or a file that `tidewheel profile` wrote."
        ),
    ],
    current: Annotated[Path, typer.Argument(help="Current table, in any format of tables.")],
    columns: Columns = None,
    exclude: Exclude = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="Compare segment by segment: the column whose values split the rows of both tables, such as a country; or "
            "columns, separated by commas."
        ),
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="Column that says which rows belong together, such as a day or a user.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Column that says how much each row counts: numbers of at least 0.")
    ] = None,
    unit_order: Annotated[
        Literal["value", "appearance"] | None,
        typer.Option(
            help="Time order of the units: by value (numbers, times, else letters), or as they first appear. By default by "
            "value where all are numbers or dates, else by appearance."
        ),
    ] = None,
    alpha: Annotated[
        float,
        typer.Option(
            min=1e-9, max=0.5, help="Share of false alarms allowed among the columns called drifted."
        ),
    ] = 0.05,
    correction: Annotated[
        Literal["bh", "by", "bonferroni", "none"],
        typer.Option(
            help="How that is kept over many columns; `by` where columns may depend on each other in any way."
        ),
    ] = "bh",
    html: Annotated[
        Path | None, typer.Option(help="Also write the report there as a page; - prints it.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the report there as JSON; - prints it.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(help="Also write the report there as JUnit XML, for CI; - prints it.")
    ] = None,
    fail_on: Annotated[
        Literal["drifted", "undecided"],
        typer.Option(
            help="Exit with 1 if a column drifted, or a table lacks it or has it in another type; or already if one is "
            "undecided."
        ),
    ] = "drifted",
    threads: Threads = None,
    compat: Annotated[
        Literal["evidently", "nannyml"] | None,
        typer.Option(help="Also show what this tool would say, by its own rules."),
    ] = None,
    categorical: Categorical = None,
    numeric: Numeric = None,
    null_values: NullValues = None,
    decimal_comma: DecimalComma = False,
    decide_by: Annotated[
        str | None,
        typer.Option(
            "--decide-by",
            help="Statistic that decides columns of numbers, ks or psi: for all, or COLUMN=psi, separated by commas.",
        ),
    ] = None,
    thresholds: Annotated[
        Path | None,
        typer.Option(
            help='TOML or JSON file that says from where on a difference matters: per column, or "*" for all, a number in '
            "(0, 1), or a table of parts (values, tail, missing, nan, infinite, unseen) to numbers."
        ),
    ] = None,
) -> None:
    """Compare two tables column by column: exit 0 when stable, 1 when drifted, 2 on wrong use, with nothing written.

    A column that the current table lacks, or has in another type, counts as drifted; leave out a label by --exclude. If no
    column can be compared that is exit 2.
    Both tables are read into memory, unless the reference is a profile:
    then the current table may be of any size, for only counts are kept of it.
    """
    with _starting_quickly():
        from tidewheel.cli.drift import Choice, compare_tables  # brings polars
        from tidewheel.data.text import TextOptions

    kinds = _declare(categorical, numeric)
    text = TextOptions(tuple(_split(null_values) or ()), decimal_comma)
    choice = Choice(
        _split(columns),
        _split(exclude),
        unit,
        unit_order,
        alpha,
        correction,
        threads,
        compat,
        kinds,
        text,
        _split(by),
        thresholds,
        weights,
        _read_deciders(decide_by),
    )
    files = {"html": html, "json": json_file, "junit": junit}
    outputs = {form: path for form, path in files.items() if path is not None}
    raise typer.Exit(compare_tables(reference, current, choice, outputs=outputs, fail_on=fail_on))


@app.command("profile")
def learn_file(
    reference: Annotated[
        Path,
        typer.Argument(help="Reference table: parquet, CSV, Arrow, a Delta folder or a pattern in quotes."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write the profile to.")],
    columns: Columns = None,
    exclude: Exclude = None,
    threads: Threads = None,
    categorical: Categorical = None,
    numeric: Numeric = None,
    null_values: NullValues = None,
    decimal_comma: DecimalComma = False,
) -> None:
    """Learn a reference table once, so that `tidewheel drift` needs its rows no more and takes tables of any size.

    The table is read into memory. A profile has no rows: of a column of numbers
    some 200 kilobytes at most, of a column of strings every distinct string.
    """
    with _starting_quickly():
        from tidewheel.cli.drift import learn_reference  # brings polars
        from tidewheel.data.text import TextOptions

    kinds = _declare(categorical, numeric)
    text = TextOptions(tuple(_split(null_values) or ()), decimal_comma)
    learn_reference(
        reference,
        out,
        columns=_split(columns),
        exclude=_split(exclude),
        threads=threads,
        kinds=kinds,
        text=text,
    )


@contextmanager
def _starting_quickly() -> Iterator[None]:
    """Import heavy parts without what these commands have no use for: together a sixth of their time on small tables.

    That is collecting garbage while modules are made, or among them later, and the threads of NumPy's linear algebra, which
    cost 50 ms to start.
    """
    given = os.environ.get("OPENBLAS_NUM_THREADS")
    os.environ["OPENBLAS_NUM_THREADS"] = given or "1"
    gc.disable()
    try:
        yield
    finally:
        # What was imported stays: to look through it again and again for garbage costs 30 ms.
        gc.freeze()
        gc.enable()
        # What is started from here decides for itself.
        if given is None:
            del os.environ["OPENBLAS_NUM_THREADS"]


def _declare(categorical: str | None, numeric: str | None) -> dict[str, str]:
    declared = dict.fromkeys(_split(categorical) or [], "categorical")
    for name in _split(numeric) or []:
        if name in declared:
            raise InputError(
                f"column {name!r} must be declared once; got it for `--categorical` and `--numeric`"
            )
        declared[name] = "numeric"
    return declared


def _read_deciders(decide_by: str | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in _split(decide_by) or []:
        column, _, statistic = item.rpartition("=")
        name = column or "*"
        if name in found:
            raise InputError(f"`--decide-by` must name each column once; got {name!r} twice")
        found[name] = statistic
    return found


def _split(columns: str | None) -> list[str] | None:
    return None if columns is None else [name.strip() for name in columns.split(",")]


@serve_app.command("up")
def serve_up(
    project: Project = Path("."),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port on 127.0.0.1; any free one by default.")
    ] = None,
    environment: EnvironmentName = "local",
) -> None:
    """Start the server with the model that the ledger says is champion; it runs until `serve down`."""
    from tidewheel.cli.projects import start_serving  # brings Ray

    raise typer.Exit(start_serving(project, port, environment))


@serve_app.command("down")
def serve_down(project: Project = Path(".")) -> None:
    """Stop the server and everything else that this project started."""
    from tidewheel.cli.projects import stop_serving  # brings psutil

    raise typer.Exit(stop_serving(project))


@serve_app.command("status")
def serve_status(project: Project = Path(".")) -> None:
    """Ask the server what it is doing; exit 1 if none is running."""
    from tidewheel.cli.projects import ask_serving  # brings psutil

    raise typer.Exit(ask_serving(project))
