"""What must be true of any two tables (`tables`): each column ends as a verdict or as `not computed`, and says why.

`check` looks at a pair in every way there is. The right numbers come from the values themselves: missing, NaN and infinite
shares, the Kolmogorov-Smirnov distance by sorting, the total variation by counting.
"""

import contextlib
import io
import itertools
import json
import math
import pickle
import tempfile
import warnings
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from tables import KINDS, UNREADABLE, Column, Sides, Table, unknown, unreadable
from tidewheel import drift
from tidewheel.cli.app import run_command
from tidewheel.drift.report.records import Effect
from tidewheel.errors import InputError

VERDICTS = {"drifted", "schema", "stable", "undecided", "not computed"}
UNKNOWN = "unknown"


def check(sides: Sides) -> None:
    """Look at two tables in every way; raise AssertionError, or what was raised, where one is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sides.reference.build(), sides.current.build()
        # What NumPy warns of is a number gone wrong.
        warnings.simplefilter("error", RuntimeWarning)
        report = compare(sides)
        if isinstance(report, drift.SegmentedReport):
            show(report)
            for one in (report.overall, *report.segments.values()):
                check_report(one)
            report = None
        if report is not None:
            check_report(report)
            if sides.extra not in {"categorical", "numeric", "unit", "weights"}:
                check_meaning(report, sides)
        profile = fit(sides.reference)
        if profile is not None:
            look_back(profile, sides, report if sides.extra in {"", "sliced", "files"} else None)
        if sides.extra == "sliced":
            slice_both(sides)
        if sides.extra == "files":
            command(sides)


def compare(sides: Sides) -> drift.DriftReport | drift.SegmentedReport | None:
    names, options, due = shared(sides), {}, []
    match sides.extra:
        case "" | "sliced" | "files":
            # A profile's p-values may differ where it has intervals, and a correction would hand that on to other columns.
            options = {"correction": "none"}
        case "evidently" | "nannyml":
            options, due = {"compat": sides.extra}, ["`compat` needs raw values"]
        case "wasserstein":
            options = {"statistics": ["wasserstein", "ks", "psi"]}
        case "categorical" | "numeric":
            options = {"kinds": dict.fromkeys(names, sides.extra)}
        case "unit":
            options = {"unit": names[0]} if names else {}
            due = ["unit", f"column {names[0]!r} must have one type" if names else "unit"]
        case "by" if names:
            options = {"by": names[0], "compat": "evidently" if len(names) > 1 else None}
            due = [
                "`by`",
                f"column {names[0]!r} must have one type",
                "there must be a column to compare besides",
            ]
            due.append("`compat` needs raw values")
        case "weights" if names:
            options = {"weights": names[0]}
            due = ["weight", f"column {names[0]!r} must have one type"]
        case "thresholds":
            options = {"thresholds": {"*": {"values": 0.3, "missing": 0.2}}}
    with refused(sides, *due):
        return drift.compare(sides.reference.build(), sides.current.build(), **options)
    return None


@contextlib.contextmanager
def refused(sides: Sides, *words: str) -> Iterator[None]:
    """Let pass the errors that are due: of names that stand twice, and those that say one of the words."""
    try:
        yield
    except InputError as error:
        is_due = any(word in str(error) for word in words)
        if not is_due and not any(is_refused(error, table) for table in (sides.reference, sides.current)):
            raise


def is_refused(error: InputError, table: Table) -> bool:
    """Say whether the error is one of the whole table: it has no column, or two of one name."""
    told = str(error)
    return ("at least one column" in told and not table.columns) or ("alike" in told and table.has_twins)


def shared(sides: Sides) -> list[str]:
    return [name for name in sides.reference.names if name in sides.current.names]


def fit(reference: Table) -> drift.Profile | None:
    try:
        return drift.Profile.fit(reference.build())
    except InputError as error:
        if not is_refused(error, reference):
            raise
        return None


# ---- A report by itself ----


def check_report(report: drift.DriftReport) -> None:
    for column in report.columns:
        told = (column.name, column.verdict, column.reason)
        assert column.verdict in VERDICTS, told
        assert column.reason.strip(), told
        assert column.kind, told
        for p in (column.pvalue, column.pvalue_corrected, *(part.pvalue for part in column.parts)):
            assert p is None or 0 <= p <= 1, (told, p)
        for effect in (column.effect, *(part.effect for part in column.parts)):
            check_effect(effect)
        shares = (
            column.missing_reference, column.missing_current, column.nan_reference, column.nan_current,
            column.infinite_reference, column.infinite_current, column.unseen,
        )  # fmt: skip
        assert all(0 <= share <= 1 for share in shares), (told, shares)
        # That a segment is gone may be chance, and has a p-value.
        assert column.pvalue is not None or column.verdict in {"schema", "not computed"}, told
        assert column.pvalue is None or column.verdict != "not computed", told
        assert all(not math.isnan(value) for value in column.statistics.values()), (told, column.statistics)
        assert column.sentence.endswith("."), told
    show(report)


def check_effect(effect: Effect | None) -> None:
    if effect is not None:
        assert 0 <= effect.lower <= effect.value <= effect.upper <= 1, effect


def show(report: drift.DriftReport | drift.SegmentedReport) -> None:
    assert json.loads(report.to_json())["n_reference"] == report.n_reference
    report.summary().encode()
    report.to_html().encode()
    report._repr_html_().encode()
    cases = list(ElementTree.fromstring(report.to_junit(fail_on="undecided").encode()).iter("testcase"))
    assert len(cases) == len(report.columns)
    assert report.to_polars().height == len(report.to_pandas()) == len(report.columns)
    assert repr(report)


# ---- A report against the values ----


def family(column: Column, meanings: list[Any]) -> str | None:
    """Say what a column is of; None without a value."""
    families = {meant[0] for meant in meanings if meant is not None}
    if KINDS[column.kind].means in {unknown, unreadable}:
        return UNREADABLE if KINDS[column.kind].means is unreadable else UNKNOWN
    assert len(families) <= 1, families
    return families.pop() if families else None


def is_nan(meant: Any) -> bool:
    return meant is not None and meant[1] != meant[1]


def check_meaning(report: drift.DriftReport, sides: Sides) -> None:
    if sides.reference.has_twins or sides.current.has_twins:
        return
    assert [column.name for column in report.columns] == sides.reference.names
    for name in sides.reference.names:
        found, columns = report[name], (sides.reference.get(name), sides.current.get(name))
        if columns[1] is None:
            assert found.verdict == "schema", found
            continue
        rows = sides.reference.rows, sides.current.rows
        meant = [one.meanings(n) for one, n in zip(columns, rows, strict=True)]
        families = [family(one, values) for one, values in zip(columns, meant, strict=True)]
        if UNKNOWN not in families:
            check_column(found, meant, families)


def check_column(found: Any, meant: list[list[Any]], families: list[str | None]) -> None:
    told = found.name, found.verdict, found.reason
    voids = [all(one is None or is_nan(one) for one in side) for side in meant]
    if UNREADABLE in families:
        if not any(voids):
            assert found.verdict == ("not computed" if families[0] == families[1] else "schema"), told
        return
    if not any(voids) and families[0] != families[1]:
        assert found.verdict == "schema", told
        return
    assert found.verdict != "schema", told
    rows = [len(side) for side in meant]
    for what, shares in {
        "missing": (found.missing_reference, found.missing_current),
        "nan": (found.nan_reference, found.nan_current),
        "infinite": (found.infinite_reference, found.infinite_current),
    }.items():
        expected = [count(what, side) / max(n, 1) for side, n in zip(meant, rows, strict=True)]
        assert list(shares) == expected, (told, what, shares, expected)
    values = [[one[1] for one in side if one is not None and not is_nan(one)] for side in meant]
    if not all(values):
        assert found.verdict != "stable", told
        return
    (part,) = [part for part in found.parts if part.name == "values"]
    names = families[0] in {"string", "boolean"}
    if names and len(set(values[0])) > 50:
        return
    expected = variation(*values) if names else distance(*values)
    assert math.isclose(part.effect.value, expected, abs_tol=1e-9), (told, part.effect, expected)
    if expected > part.effect.threshold:
        assert found.verdict != "stable", told


def count(what: str, side: list[Any]) -> int:
    if what == "missing":
        return sum(one is None for one in side)
    if what == "nan":
        return sum(is_nan(one) for one in side)
    return sum(one is not None and isinstance(one[1], float) and math.isinf(one[1]) for one in side)


def variation(reference: list[Any], current: list[Any]) -> float:
    r, c = Counter(reference), Counter(current)
    return sum(abs(r[name] / len(reference) - c[name] / len(current)) for name in {*r, *c}) / 2


def distance(reference: list[Any], current: list[Any]) -> float:
    """Compute Kolmogorov-Smirnov D by counting, exactly: Python compares whole numbers and floats as they are."""
    r, c = Counter(reference), Counter(current)
    most, below = 0, [0, 0]
    for value in sorted({*r, *c}):
        below = [below[0] + r[value], below[1] + c[value]]
        most = max(most, abs(below[0] * len(current) - below[1] * len(reference)))
    return most / (len(reference) * len(current))


# ---- Profiles, windows, monitors ----


def look_back(profile: drift.Profile, sides: Sides, report: drift.DriftReport | None) -> None:
    again = drift.Profile.from_bytes(profile.to_bytes())
    assert again == profile == pickle.loads(pickle.dumps(profile))
    current = sides.current
    window = profile.window()
    try:
        window.update(current.build())
    except InputError as error:
        if not is_refused(error, current):
            raise
        return
    assert window.n_rows == current.rows
    assert drift.Window.from_bytes(again, window.to_bytes()) == window
    learned = profile.compare(window, correction="none")
    check_report(learned)
    if report is not None and not sides.reference.has_twins:
        for one, other in zip(report.columns, learned.columns, strict=True):
            # Whole numbers beyond 2^53 and numbers of another type are compared as floats: bins may be cut elsewhere.
            if profile.types[one.name] not in {"i8", "u8"} or not is_of_other_kind(one.name, sides):
                check_learned(one, other, sides)
    split(profile, window, current)
    scan(profile, window, current)
    watch(profile, current, window)


def check_learned(one: Any, other: Any, sides: Sides) -> None:
    """What a profile says is what rows say, but for distances that counts leave open."""
    told = one.name, one.verdict, one.reason, other.verdict, other.reason
    same = ("name", "n_reference", "n_current")
    assert [getattr(one, field) for field in same] == [getattr(other, field) for field in same], told
    if "schema" in (one.verdict, other.verdict):
        assert one.verdict == other.verdict, told
        return
    for field in ("missing", "nan", "infinite"):
        for side in ("reference", "current"):
            assert getattr(one, f"{field}_{side}") == getattr(other, f"{field}_{side}"), (field, told)
    assert one.unseen == other.unseen, told
    if one.kind == "temporal" and is_of_other_kind(one.name, sides):
        return
    if one.statistics:
        # Of a side without a value only `compare` knows what the other's type was.
        assert one.kind == other.kind, (one.kind, other.kind)
    bounds = other.statistics.get("ks_lower")
    if bounds is None:
        assert one.verdict == other.verdict, told
        assert one.statistics.keys() == other.statistics.keys(), told
    else:
        assert bounds <= one.statistics["ks"] + 1e-12, told
        assert one.statistics["ks"] <= other.statistics["ks_upper"] + 1e-12, told
        assert other.verdict in {one.verdict, "undecided"}, told
    for name in one.statistics.keys() & other.statistics.keys():
        assert math.isclose(one.statistics[name], other.statistics[name], rel_tol=1e-9, abs_tol=1e-12), (
            name,
            told,
        )


def is_of_other_kind(name: str, sides: Sides) -> bool:
    """Say whether the sides' types may differ: finer times count in a profile where the reference's unit begins."""
    one, other = sides.reference.get(name), sides.current.get(name)
    return one is None or other is None or one.kind != other.kind


def split(profile: drift.Profile, window: drift.Window, current: Table) -> None:
    """The same rows give the same window, whatever the batches, and windows add up."""
    rows = current.rows
    cuts = [0, rows // 3, rows // 2, rows]
    whole, parts = profile.window(), []
    for start, stop in itertools.pairwise(cuts):
        whole.update(current.build(start, stop))
        parts.append(profile.window())
        parts[-1].update(current.build(start, stop))
    for part in parts[:-1]:
        parts[-1].merge(part)
    merged = drift.Window.from_bytes(profile, parts[-1].to_bytes())
    assert merged == whole
    strange = {name for name in current.names if KINDS[current.get(name).kind].strange}
    for at, name in enumerate(profile.columns):
        if name not in strange:
            assert np.array_equal(whole.counts()[at], window.counts()[at]), name
    if not strange & {*profile.columns}:
        assert whole == window, (whole._notes, window._notes)


def scan(profile: drift.Profile, window: drift.Window, current: Table) -> None:
    if current.library in {"lazy", "stream", "pyarrow", "batch"}:
        try:
            found = drift.scan(current.build(), profile=profile)
        except InputError as error:
            if not is_refused(error, current) and current.columns:
                raise
            return
        assert found == window, (found, found._notes, window, window._notes)


def watch(profile: drift.Profile, current: Table, window: drift.Window) -> None:
    try:
        monitor = drift.Monitor(profile)
    except InputError as error:
        if "must have rows and a column" not in str(error):
            raise
        return
    for look in (monitor.observe(current.build()), monitor.observe(window)):
        assert look.rows == current.rows
        for column in look.columns:
            assert column.sentence
            assert 0 <= column.lower <= max(column.distance, 0.0) <= 1, column
    assert drift.Monitor.from_bytes(profile, monitor.to_bytes()) == monitor


def slice_both(sides: Sides) -> None:
    try:
        found = drift.sliced(
            sides.reference.build(), sides.current.build(), rows=60, projections=8, permutations=19
        )
    except InputError:
        # It needs rows, units and columns that vary, and one type: it tests all columns together.
        return
    assert 0 < found.pvalue <= 1, found
    assert found.verdict in VERDICTS, found
    assert found.reason, found
    check_effect(found.effect)


# ---- The command ----


def command(sides: Sides) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        paths = [
            write(table, Path(folder, name)) for table, name in ((sides.reference, "r"), (sides.current, "c"))
        ]
        if None in paths or sides.reference.has_twins or sides.current.has_twins:
            return
        outputs = [f"--{form}={folder}/out.{form}" for form in ("html", "json", "junit")]
        code, told = call("drift", *paths, *outputs)
        assert code in {0, 1} or is_told(told), (code, told)
        assert code == 2 or json.loads(Path(folder, "out.json").read_text())["columns"], told
        learned, told = call("profile", paths[0], "--out", f"{folder}/profile")
        assert learned == 0 or is_told(told), (learned, told)
        if learned == 0:
            scanned, told = call("drift", f"{folder}/profile", paths[1], *outputs)
            assert scanned in {0, 1} or is_told(told), (scanned, told)
            assert (scanned == 2) == (code == 2), (scanned, code, told)


def is_told(told: str) -> bool:
    """Say whether the refusal is one of the whole table: no row, no column in common, nothing that can be computed."""
    whole = (
        "at least one row",
        "must have a column of the reference",
        "nothing could be compared",
        "at least one column",
    )
    return any(words in told for words in whole)


def call(*arguments: object) -> tuple[int, str]:
    """Run the command in this process; what it refuses is exit code 2, as `main` has it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            return run_command([str(one) for one in arguments]), printed.getvalue()
        except InputError as error:
            return 2, str(error)
        except SystemExit as end:
            return int(end.code or 0), printed.getvalue()


def write(table: Table, path: Path) -> Path | None:
    """Write a table to a file, of a kind that depends on its rows; None where its library cannot."""
    # Once pandas is imported pyarrow cannot read the last kind back, nor can pandas.
    if not table.columns or any(one.kind == "pandas category of intervals" for _, one in table.columns):
        return None
    made = table.build()
    forms = ("parquet", "feather", "csv", "jsonl")
    form = forms[(table.rows + len(table.columns)) % len(forms)]
    if form == "jsonl" and table.library in {"pyarrow", "batch", "stream"}:
        # It writes none.
        form = "csv"
    path = path.with_suffix(f".{form}")
    try:
        if isinstance(made, pl.LazyFrame):
            made = made.collect()
        if isinstance(made, dict):
            made = pd.DataFrame(made)
        if isinstance(made, np.ndarray):
            made = pd.DataFrame(made, columns=[str(at) for at in range(made.shape[1])])
        if hasattr(made, "read_all"):
            made = made.read_all()
        if isinstance(made, pa.RecordBatch):
            made = pa.Table.from_batches([made])
        write_form(made, path, form)
    # Three libraries, each with refusals of its own: what they cannot write cannot be read.
    except (Exception, pl.exceptions.PanicException):
        return None
    return path


def write_form(made: Any, path: Path, form: str) -> None:
    if isinstance(made, pl.DataFrame):
        {
            "parquet": made.write_parquet,
            "feather": made.write_ipc,
            "csv": made.write_csv,
            "jsonl": made.write_ndjson,
        }[form](path)
    elif isinstance(made, pd.DataFrame):
        made.columns = [str(name) for name in made.columns]
        match form:
            case "parquet":
                made.to_parquet(path)
            case "feather":
                made.to_feather(path)
            case "csv":
                made.to_csv(path, index=False)
            case _:
                made.to_json(path, orient="records", lines=True)
    elif form == "parquet":
        pa.parquet.write_table(made, path)
    elif form == "feather":
        pa.feather.write_feather(made, path)
    else:
        pa.csv.write_csv(made, path)
