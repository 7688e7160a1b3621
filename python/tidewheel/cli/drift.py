"""The commands `tidewheel drift` and `tidewheel profile`: tables in, a table of text out, and the files asked for.

A reference is a table, or a profile that `tidewheel profile` learned: then the current table may be larger than memory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import typer

from tidewheel import drift
from tidewheel.cli.outputs import check_outputs, write_outputs
from tidewheel.cli.thresholds import check_columns, read_thresholds
from tidewheel.data.tables import STANDARD_INPUT, find_files, read_table, reading, scan_table
from tidewheel.data.text import TextOptions
from tidewheel.drift.arguments import ALL_COLUMNS
from tidewheel.drift.profile.serialization import is_sealed
from tidewheel.drift.report.junit import FAILING
from tidewheel.errors import InputError

STANDARD_OUTPUT = Path("-")
#: Columns that are named where nothing could be compared.
REASONS_TOLD = 3

Report = drift.DriftReport | drift.SegmentedReport

_FORMS: dict[str, Callable[[Report, str], str]] = {
    "html": lambda report, _: report.to_html(),
    "json": lambda report, _: report.to_json(),
    "junit": lambda report, fail_on: report.to_junit(fail_on=fail_on),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What is compared, and how.

    Attributes:
        columns: Columns to compare; None for all.
        exclude: Columns to leave out; None for none.
        unit: The column that names independent units; None if rows are independent.
        unit_order: The time order of units: "value" or "appearance"; None as `drift.compare` finds it.
        alpha: Level of tests and bounds.
        correction: How p-values are corrected over columns.
        threads: Most threads to count with; None for one per core.
        compat: The tool whose numbers are shown beside; None for none.
        kinds: What columns are declared to be, by name.
        text: How text is to be read.
        by: The columns whose values split the rows into segments; None for whole tables.
        thresholds: File of thresholds per column; None for the defaults.
        weights: The column that says how much each row counts; None if all count alike.
        decide_by: The statistic that decides, by column or for all.
    """

    columns: Sequence[str] | None
    exclude: Sequence[str] | None
    unit: str | None
    unit_order: str | None
    alpha: float
    correction: str
    threads: int | None
    compat: str | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    text: TextOptions = field(default_factory=TextOptions)
    by: Sequence[str] | None = None
    thresholds: Path | None = None
    weights: str | None = None
    decide_by: Mapping[str, str] = field(default_factory=dict)


def compare_tables(
    reference: Path, current: Path, choice: Choice, *, outputs: Mapping[str, Path], fail_on: str
) -> int:
    """Compare two tables, write the outputs by form ("html", "json", "junit") and print the summary.

    An output to `STANDARD_OUTPUT` is printed; the summary then goes to standard error.

    Returns:
        1 if a column has a failing verdict, else 0.

    Raises:
        InputError: a table, a column or an output is not acceptable, or no column could be computed; nothing has been
            written.
        IntegrityError: the reference is a profile that was changed since it was written.
    """
    printed = [form for form, path in outputs.items() if path == STANDARD_OUTPUT]
    if len(printed) > 1:
        raise InputError(f"`-` can stand for one output only; got it for {' and '.join(printed)}")
    files = {form: path for form, path in outputs.items() if form not in printed}
    settings = [] if choice.thresholds is None else [choice.thresholds]
    check_outputs(list(files.values()), [*_inputs(reference, current), *settings])
    if reference == current == STANDARD_INPUT:
        raise InputError("`-` can stand for one table only; got it for both")
    if choice.unit_order is not None and choice.unit is None:
        raise InputError(
            f"`--unit-order {choice.unit_order}` needs `--unit`, the column whose values it orders"
        )
    report = _compare(reference, current, choice)
    _check_computed(report)
    write_outputs({path: _FORMS[form](report, fail_on) for form, path in files.items()})
    for form in printed:
        typer.echo(_FORMS[form](report, fail_on))
    # What is piped on must be the report alone.
    typer.echo(report.summary(), err=bool(printed))
    return int(any(column.verdict in FAILING[fail_on] for column in report.columns))


def learn_reference(
    reference: Path,
    out: Path,
    *,
    columns: Sequence[str] | None,
    exclude: Sequence[str] | None,
    threads: int | None,
    kinds: Mapping[str, str],
    text: TextOptions,
) -> None:
    """Learn a reference table, write its profile and say what it holds.

    Raises:
        InputError: the table, a column or the output is not acceptable; nothing has been written.
    """
    check_outputs([out], _inputs(reference))
    profile = drift.Profile.fit(
        read_table(reference, text), columns=columns, exclude=exclude, kinds=kinds, threads=threads
    )
    data = profile.to_bytes()
    write_outputs({out: data})
    count = len(profile.columns)
    typer.echo(
        f"{out}: {count:,} column{'s' * (count != 1)} of {profile.n_rows:,} rows learned, {len(data) / 1e6:.2g} MB"
    )


def _check_computed(report: Report) -> None:
    """Refuse a report that says nothing of any column: a pipeline must not take it for a pass."""
    if all(column.verdict == "not computed" for column in report.columns):
        reasons = [f"{column.name!r}: {column.reason}" for column in report.columns[:REASONS_TOLD]]
        more = len(report.columns) - len(reasons)
        told = "; ".join([*reasons, *([f"and {more:,} more"] if more else [])])
        raise InputError(f"nothing could be compared: {told}")


def _check_shared(reference: Sequence[str], current: Sequence[str], path: Path) -> None:
    """Refuse a current table that has none of the reference's columns: it is another table, or has no header."""
    if not set(reference) & set(current):
        raise InputError(
            f"{path} must have a column of the reference, which has {', '.join(map(repr, reference))}; "
            f"it has {', '.join(map(repr, current)) or 'no columns'}"
        )


def _inputs(*tables: Path) -> list[Path]:
    """List the files that are read; what is not there is refused later, with its reason."""
    found = []
    for table in tables:
        try:
            found += find_files(table)
        except InputError:
            continue
    return found


def _compare(reference: Path, current: Path, choice: Choice) -> Report:
    profile = _load_profile(reference)
    thresholds = {} if choice.thresholds is None else read_thresholds(choice.thresholds)
    if profile is None:
        sides = read_table(reference, choice.text), read_table(current, choice.text)
        _check_shared(sides[0].columns, sides[1].columns, current)
        if choice.thresholds is not None:
            check_columns(choice.thresholds, thresholds, str(reference), sides[0].columns, sides[1].columns)
        return drift.compare(
            *sides,
            columns=choice.columns,
            exclude=choice.exclude,
            by=choice.by,
            unit=choice.unit,
            weights=choice.weights,
            unit_order=choice.unit_order,
            alpha=choice.alpha,
            correction=choice.correction,
            kinds=choice.kinds,
            thresholds=thresholds,
            decide_by=choice.decide_by,
            threads=choice.threads,
            compat=choice.compat,
        )
    if choice.kinds:
        raise InputError(
            f"`--categorical` and `--numeric` belong to the command that learned the profile {reference}, which keeps them"
        )
    for option, given in (("--unit", choice.unit), ("--by", choice.by), ("--weights", choice.weights)):
        if given is not None:
            raise InputError(
                f"`{option}` needs the rows of the reference, of which the profile {reference} keeps counts alone; "
                "leave it out or name the reference's table"
            )
    if choice.compat is not None:
        raise InputError(
            f"`--compat` needs the rows of the reference, of which the profile {reference} keeps counts alone; "
            "name the reference's table"
        )
    chosen = profile if choice.columns is None else profile.select(choice.columns)
    if choice.exclude is not None:
        for name in choice.exclude:
            if name not in profile.columns:
                raise InputError(
                    f"column {name!r} must be in the profile; it has {', '.join(map(repr, profile.columns))}"
                )
        kept = [name for name in chosen.columns if name not in choice.exclude]
        if not kept:
            raise InputError("`--exclude` must leave at least one column; got all of them")
        chosen = chosen.select(kept)
    if choice.thresholds is not None:
        check_columns(choice.thresholds, thresholds, f"the profile {reference}", profile.columns)
    window = _scan(current, chosen, choice)
    known = {ALL_COLUMNS, *chosen.columns}
    return chosen.compare(
        window,
        alpha=choice.alpha,
        correction=choice.correction,
        # Columns left out here may have thresholds too, as in two tables.
        thresholds={name: parts for name, parts in thresholds.items() if name in known},
        decide_by=choice.decide_by,
    )


def _load_profile(path: Path) -> "drift.Profile | None":
    """Load a profile; None if the file is none, whatever it is called."""
    try:
        with path.open("rb") as file:
            if not is_sealed(file.read(64)):
                return None
        return drift.Profile.load(path)
    except OSError:
        # Not a file that can be read: whoever reads the table says so.
        return None


def _scan(path: Path, profile: "drift.Profile", choice: Choice) -> "drift.Window":
    """Count a table of any size, with a bar on a terminal."""
    with reading(path):
        frame = scan_table(path, choice.text)
        names = frame.collect_schema().names()
        _check_shared(profile.columns, names, path)
        # It brings rich, which a comparison of two tables does without.
        from tidewheel.cli.progress import count_rows

        total = frame.select(pl.len()).collect().item()
        with count_rows(f"counting {path.name}") as tell:
            window = drift.scan(
                frame, profile=profile, progress=lambda done, _: tell(done, total), threads=choice.threads
            )
    if window.n_rows == 0:
        raise InputError(f"{path} must have at least one row; got none, with {len(names)} columns")
    return window
