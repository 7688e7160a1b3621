"""`tidewheel profile`, and `tidewheel drift` with a profile, a pattern or a table larger than memory."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from command_line import PROGRAM, Command, Told, environment, in_process, shell
from tidewheel import drift

ROWS = 20_000


@pytest.fixture
def tidewheel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return in_process(monkeypatch, capsys)


def frame(shift: float, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "x": rng.normal(shift, 1.0, ROWS),
            "route": rng.choice(["a", "b", "c"], ROWS),
            "at": pl.Series(rng.integers(0, 10**12, ROWS)).cast(pl.Datetime("us")),
        }
    )


def days(seed: int) -> pl.DataFrame:
    """Rows of 60 days, each much like the one before; their names are in no order of letters."""
    rng = np.random.default_rng(seed)
    level = np.zeros(60)
    for i in range(1, 60):
        level[i] = 0.6 * level[i - 1] + 0.8 * rng.normal()
    day = np.repeat(np.arange(60), 20)
    return pl.DataFrame(
        {"day": [f"{i * 37 % 60}th" for i in day], "x": level[day] + rng.normal(size=len(day))}
    )


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    frame(0.0, 1).write_parquet(folder / "reference.parquet")
    for part in range(3):
        (folder / "parts").mkdir(exist_ok=True)
        frame(0.5, 2)[part * 7_000 : (part + 1) * 7_000].write_parquet(
            folder / "parts" / f"{part}.parquet", row_group_size=2_000
        )
    frame(0.5, 2).write_parquet(folder / "moved.parquet")
    frame(0.5, 2).write_csv(folder / "moved.csv")
    frame(0.5, 2).write_ipc(folder / "moved.arrow")
    frame(0.5, 2).write_delta(folder / "moved")
    frame(0.0, 3).drop("route").write_parquet(folder / "narrow.parquet")
    frame(0.0, 3).with_columns(pl.col("x").cast(pl.String)).write_parquet(folder / "text.parquet")
    frame(0.0, 3).with_columns(x=pl.lit(None, pl.Float64)).write_parquet(folder / "gone.parquet")
    frame(0.0, 3).select(y="x").write_parquet(folder / "other.parquet")
    pl.DataFrame({"l": [[1], [2]]}).write_parquet(folder / "lists.parquet")
    frame(0.0, 3).clear().write_parquet(folder / "no_rows.parquet")
    days(4).write_parquet(folder / "days.parquet")
    days(5).write_parquet(folder / "later.parquet")
    (folder / "not.parquet").write_text("x\n1\n", encoding="utf-8")
    (folder / "file").touch()
    (folder / "folder").mkdir()
    learned = shell("profile", folder / "reference.parquet", "--out", folder / "january")
    assert learned == Told(0, learned.out, "")
    assert re.fullmatch(r".*january: 3 columns of 20,000 rows learned, 0\.\d+ MB\n", learned.out)
    data = (folder / "january").read_bytes()
    (folder / "cut").write_bytes(data[:-5])
    (folder / "changed").write_bytes(data[:-5] + bytes(5))
    return folder


def test_what_another_tool_says_stands_beside(tidewheel: Command, tables: Path) -> None:
    told = tidewheel(
        "drift",
        tables / "reference.parquet",
        tables / "moved.parquet",
        "--columns",
        "x",
        "--compat",
        "evidently",
    )
    expected = drift.compare(
        pl.read_parquet(tables / "reference.parquet"),
        pl.read_parquet(tables / "moved.parquet"),
        columns=["x"],
        compat="evidently",
    )
    assert told == Told(1, expected.summary() + "\n", "")
    assert "Evidently" in told.out


def test_a_profile_is_what_the_library_learns(tables: Path) -> None:
    known = drift.Profile.fit(pl.read_parquet(tables / "reference.parquet"))
    assert drift.Profile.load(tables / "january") == known


@pytest.mark.parametrize(
    "current", ["moved.parquet", "moved.csv", "moved.arrow", "moved", "parts/*.parquet", "**/[012].parquet"]
)
def test_every_form_against_a_profile(tidewheel: Command, tables: Path, tmp_path: Path, current: str) -> None:
    told = tidewheel("drift", tables / "january", tables / current, "--json", tmp_path / "report.json")
    assert (told.code, told.err) == (1, "")  # and no bar where there is no terminal
    assert told.out.startswith(
        "1 of 3 columns drifted (20,000 reference rows, 20,000 current rows)\nFalse alarms: at most 5%"
    )
    expected = drift.Profile.load(tables / "january").compare(frame(0.5, 2))
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == json.loads(
        expected.to_json()
    )


def test_patterns_of_tables(tidewheel: Command, tables: Path) -> None:
    told = tidewheel("drift", tables / "reference.parquet", tables / "parts" / "*.parquet")
    assert told == tidewheel("drift", tables / "reference.parquet", tables / "moved.parquet")
    assert told.code == 1


@pytest.mark.parametrize("reference", ["january", "reference.parquet"])
def test_columns_correction_and_threads(
    tidewheel: Command, tables: Path, tmp_path: Path, reference: str
) -> None:
    options = [
        "--columns",
        "at, x",
        "--correction",
        "bonferroni",
        "--threads",
        1,
        "--json",
        tmp_path / "a.json",
    ]
    assert tidewheel("drift", tables / reference, tables / "moved.parquet", *options).code == 1
    report = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert [column["name"] for column in report["columns"]] == ["at", "x"]
    assert report["correction"] == "bonferroni"
    for column in report["columns"]:
        assert column["pvalue_corrected"] == min(1.0, 2 * column["pvalue"])


def test_a_report_can_be_piped_on(tables: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    told = shell("drift", tables / "january", tables / "moved.parquet", "--json", "-")
    assert json.loads(told.out)["drifted"] == ["x"]
    assert told.err.startswith("1 of 3 columns drifted")
    assert told.code == 1
    assert not list(tmp_path.iterdir())


#: A table beside the reference, options, the exit code and a line of the summary. A column that is gone is no pass.
GONE = {
    "lacking": ("narrow.parquet", [], 1, r"route +string +schema"),
    "lacking, left out": ("narrow.parquet", ["--exclude", "route"], 0, r"0 of 2 columns drifted \("),
    "other type": ("text.parquet", [], 1, r"x +float64 and string +schema"),
    "all missing": ("gone.parquet", [], 1, r"x +numeric +drifted +1\.0000"),
    "all missing, alone": ("gone.parquet", ["--columns", "x"], 1, r"x +numeric +drifted +1\.0000"),
}


@pytest.mark.parametrize("reference", ["reference.parquet", "january"])
@pytest.mark.parametrize(("current", "options", "code", "line"), GONE.values(), ids=GONE.keys())
def test_a_column_that_is_gone_fails(
    tidewheel: Command, tables: Path, reference: str, current: str, options: list[str], code: int, line: str
) -> None:
    told = tidewheel("drift", tables / reference, tables / current, *options)
    assert (told.code, told.err) == (code, "")
    assert re.search(line, told.out)


def test_a_column_that_the_current_table_lacks_is_everywhere(
    tidewheel: Command, tables: Path, tmp_path: Path
) -> None:
    files = {form: tmp_path / f"report.{form}" for form in ("json", "junit", "html")}
    options = [part for form, path in files.items() for part in (f"--{form}", path)]
    told = tidewheel("drift", tables / "reference.parquet", tables / "narrow.parquet", *options)
    assert "0 of 3 columns drifted, 1 differs in schema" in told.out
    assert "leave it out by `exclude` (`--exclude`)" in told.out
    assert json.loads(files["json"].read_text())["schema"] == ["route"]
    assert '<failure type="schema"' in files["junit"].read_text()
    page = files["html"].read_text()
    assert "≠ schema" in page
    assert "1 differs in schema" in page


def test_a_profile_leaves_a_label_out(tidewheel: Command, tables: Path, tmp_path: Path) -> None:
    told = tidewheel("profile", tables / "reference.parquet", "-o", tmp_path / "p", "--exclude", "route")
    assert (told.code, "2 columns" in told.out) == (0, True)
    assert tidewheel("drift", tmp_path / "p", tables / "narrow.parquet").code == 0


@pytest.mark.parametrize("by", ["route", "route,flag"])
def test_segments_are_everywhere(tidewheel: Command, tables: Path, tmp_path: Path, by: str) -> None:
    sides = [frame(0.0, 1), frame(0.0, 2)]
    sides = [side.with_columns(flag=pl.Series(np.arange(ROWS) % 2 == 0)) for side in sides]
    sides[1] = sides[1].with_columns(x=pl.col("x") + (pl.col("route") == "b") * 0.6)
    for side, name in zip(sides, "rc", strict=True):
        side.write_parquet(tmp_path / f"{name}.parquet")
    files = {form: tmp_path / f"report.{form}" for form in ("json", "junit", "html")}
    options = [part for form, path in files.items() for part in (f"--{form}", path)]
    told = tidewheel("drift", tmp_path / "r.parquet", tmp_path / "c.parquet", "--by", by, *options)
    expected = drift.compare(*sides, by=by.split(","))
    assert told == Told(1, expected.summary() + "\n", "")
    assert files["json"].read_text(encoding="utf-8") == expected.to_json()
    assert files["junit"].read_text(encoding="utf-8") == expected.to_junit()
    assert files["html"].read_text(encoding="utf-8") == expected.to_html()
    assert {name for _, name in expected.drifted} == {"x"}


#: What the current table's routes are of those of the reference, and how the command ends by `--fail-on`.
ROUTES = {
    "all": (["a", "b"], 0, 1),
    "one gone": (["a"], 1, 1),
    "one new": (["a", "b", "c"], 0, 1),
    "none of them": (["d"], 1, 1),
}


@pytest.mark.parametrize(("routes", "drifted", "undecided"), ROUTES.values(), ids=ROUTES.keys())
def test_segments_and_exit_codes(
    tidewheel: Command, tmp_path: Path, routes: list[str], drifted: int, undecided: int
) -> None:
    """The by column is left out, so that moved shares do not count; 200 rows leave `x` undecided."""
    rng = np.random.default_rng(6)
    for name, known in (("r", ["a", "b"]), ("c", routes)):
        table = {"x": rng.normal(size=200), "route": np.resize(known, 200)}
        pl.DataFrame(table).write_csv(tmp_path / f"{name}.csv")
    line = ["drift", tmp_path / "r.csv", tmp_path / "c.csv", "--by", "route", "--exclude", "route"]
    assert tidewheel(*line).code == drifted
    assert tidewheel(*line, "--fail-on", "undecided").code == undecided


def test_segments_that_cannot_be_compared_are_no_pass(tidewheel: Command, tmp_path: Path) -> None:
    pl.DataFrame({"l": [[1], [2]], "route": ["a", "b"]}).write_parquet(tmp_path / "r.parquet")
    line = ["drift", tmp_path / "r.parquet", tmp_path / "r.parquet", "--by", "route", "--exclude", "route"]
    told = tidewheel(*line)
    assert (told.code, told.out) == (2, "")
    assert "nothing could be compared: 'l': the type List(Int64)" in told.err


LIMITS = {
    "limits.toml": '"*" = 0.25\n[x]\nvalues = 0.3\nmissing = 0.01\n[at]\ntail = 0.5\n',
    "limits.json": '{"*": 0.25, "x": {"values": 0.3, "missing": 0.01}, "at": {"tail": 0.5}}',
}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("reference", ["reference.parquet", "january"])
def test_thresholds_come_from_a_file(
    tidewheel: Command, tables: Path, tmp_path: Path, reference: str, name: str
) -> None:
    sides = tables / reference, tables / "moved.parquet"
    assert tidewheel("drift", *sides).code == 1
    (tmp_path / name).write_text(LIMITS[name], encoding="utf-8")
    # Columns that are left out may have thresholds too.
    told = tidewheel(
        "drift",
        *sides,
        "--thresholds",
        tmp_path / name,
        "--exclude",
        "at",
        "--json",
        tmp_path / "report.json",
    )
    assert (told.code, told.err) == (0, "")
    for words in ("all columns values 0.25, tail 0.25", "'x' values 0.3, missing 0.01"):
        assert words in told.out
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert {one["name"]: one["effect"]["threshold"] for one in report["columns"]} == {"x": 0.3, "route": 0.25}


@pytest.mark.parametrize("reference", ["reference.parquet", "january"])
def test_the_statistic_that_decides_is_chosen(
    tidewheel: Command, tables: Path, tmp_path: Path, reference: str
) -> None:
    sides = tables / reference, tables / "moved.parquet"
    tests = {}
    for asked in ("psi", "x=psi", "psi,x=ks", "at=ks,x=psi"):
        told = tidewheel("drift", *sides, "--decide-by", asked, "--json", tmp_path / "report.json")
        assert (told.code, told.err) == (1, "")
        report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        tests[asked] = [one["parts"][0]["test"].startswith("population") for one in report["columns"]]
    assert tests == {
        "psi": [True, False, True],
        "x=psi": [True, False, False],
        "psi,x=ks": [False, False, True],
        "at=ks,x=psi": [True, False, False],
    }
    for asked, words in (
        ("psy", "`decide_by['*']` must be one of 'ks', 'psi', 'total_variation'; got 'psy'"),
        ("z=psi", "`decide_by` must name columns of"),
        ("route=psi", "`decide_by['route']` must be 'total_variation' for a categorical column; got 'psi'"),
        ("x=psi,x=ks", "`--decide-by` must name each column once; got 'x' twice"),
    ):
        told = tidewheel("drift", *sides, "--decide-by", asked)
        assert (told.code, told.out) == (2, "")
        assert words in told.err


def test_rows_count_with_weights(tidewheel: Command, tables: Path, tmp_path: Path) -> None:
    sides = tables / "reference.parquet", tables / "moved.parquet"
    told = tidewheel("drift", *sides, "--weights", "at", "--columns", "x", "--json", tmp_path / "report.json")
    assert (told.code, told.out) == (2, "")
    assert "weights 'at' must be numbers; got datetime[us] in `reference`" in told.err
    weighed = [tmp_path / "one.parquet", tmp_path / "other.parquet"]
    for source, to, seed in zip(sides, weighed, (1, 2), strict=True):
        weights = np.random.default_rng(seed).lognormal(0, 1, ROWS)
        pl.read_parquet(source).with_columns(w=pl.Series(weights)).write_parquet(to)
    told = tidewheel("drift", *weighed, "--weights", "w", "--json", tmp_path / "report.json")
    assert (told.code, told.err) == (1, "")
    assert "20,000 reference rows are worth" in told.out
    expected = drift.compare(*map(pl.read_parquet, weighed), weights="w")
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == json.loads(
        expected.to_json()
    )


BAD_LIMITS = {
    "part.toml": ("[x]\nmising = 0.1", "part.toml: `thresholds['x']` must name parts of 'values', 'tail', 'missing'"),
    "range.json": ('{"x": {"nan": 2}}', "range.json: `thresholds['x']['nan']` must lie between 0 and 1; got 2"),
    "nan.toml": ("x = nan", "nan.toml: `thresholds['x']` must lie between 0 and 1; got nan"),
    "word.toml": ('x = "0.1"', "word.toml: `thresholds['x']` must be a number; got '0.1'"),
    "column.toml": ("z = 0.1", "column.toml: `thresholds` must name columns of WHOSE; it has 'x', 'route', 'at', not 'z'"),
    "list.json": ("[0.1]", "list.json: `thresholds` must map names of columns to thresholds; got [0.1]"),
    "twice.json": ('{"x": 0.1, "x": 0.2}', "twice.json must be JSON in UTF-8: it names 'x' twice"),
    "twice.toml": ("x = 0.1\nx = 0.2", "twice.toml must be TOML in UTF-8: Cannot overwrite a value"),
    "broken.json": ("{", "broken.json must be JSON in UTF-8"),
    "limits.yaml": ("x: 0.1", "must be a file that ends in .toml or .json; got limits.yaml"),
    "bytes.toml": ("x = 0.1 # \udcff", "bytes.toml must be TOML in UTF-8"),
    "nowhere.toml": (None, "cannot read nowhere.toml: No such file or directory"),
}  # fmt: skip


@pytest.mark.parametrize("reference", ["reference.parquet", "january"])
@pytest.mark.parametrize(("name", "case"), BAD_LIMITS.items(), ids=BAD_LIMITS.keys())
def test_wrong_thresholds_name_file_key_and_value(
    tidewheel: Command,
    tables: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reference: str,
    name: str,
    case: tuple[str | None, str],
) -> None:
    monkeypatch.chdir(tmp_path)
    text, words = case
    if text is not None:
        Path(name).write_text(text, encoding="utf-8", errors="surrogateescape")
    told = tidewheel(
        "drift", tables / reference, tables / "moved.parquet", "--thresholds", name, "--json", "out.json"
    )
    assert (told.code, told.out, Path("out.json").exists()) == (2, "", False)
    whose = f"the profile {tables / 'january'}" if reference == "january" else str(tables / reference)
    assert words.replace("WHOSE", whose) in told.err


def test_the_file_of_thresholds_is_not_written_over(tidewheel: Command, tables: Path, tmp_path: Path) -> None:
    limits = tmp_path / "limits.json"
    limits.write_text('{"x": 0.3}', encoding="utf-8")
    sides = tables / "reference.parquet", tables / "moved.parquet"
    told = tidewheel("drift", *sides, "--thresholds", limits, "--json", limits)
    assert (told.code, limits.read_text(encoding="utf-8")) == (2, '{"x": 0.3}')
    assert "another file of this command is there" in told.err


@pytest.mark.parametrize("order", [None, "value", "appearance"])
def test_units_are_in_the_order_asked_for(
    tidewheel: Command, tables: Path, tmp_path: Path, order: str | None
) -> None:
    options = ["--unit", "day", "--json", tmp_path / "a.json", *(["--unit-order", order] if order else [])]
    told = tidewheel("drift", tables / "days.parquet", tables / "later.parquet", *options)
    assert (told.code, told.err) == (0, "")
    sides = [pl.read_parquet(tables / name) for name in ("days.parquet", "later.parquet")]
    expected = drift.compare(*sides, unit="day", unit_order=order)
    # By their letters days lie otherwise than as they appear, and so their dependence is not seen.
    plain = drift.compare(*sides, unit="day")
    assert (expected["x"].pvalue != plain["x"].pvalue) is (order == "value")
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads(expected.to_json())


WRONG = {
    "nothing shared": ("drift january other.parquet", "a column of the reference, which has 'x', 'route', 'at'; it has 'y'"),
    "nothing shared by tables": ("drift reference.parquet other.parquet", "other.parquet must have a column of"),
    "nothing computed": ("drift lists.parquet lists.parquet", "nothing could be compared: 'l': the type List(Int64)"),
    "nothing left": ("drift january moved.parquet --exclude x,route,at", "`--exclude` must leave at least one column"),
    "unknown column left out": ("drift january moved.parquet --exclude z", "column 'z' must be in the profile"),
    "unknown column": ("drift january moved.parquet --columns z", "'z' must be in the profile; it has 'x', 'route', 'at'"),
    "unit": ("drift january moved.parquet --unit at", "`--unit` needs the rows of the reference"),
    "segments": ("drift january moved.parquet --by route", "`--by` needs the rows of the reference"),
    "segments of no column": ("drift reference.parquet moved.parquet --by z", "column 'z' must be in `reference`"),
    "segments of ids": ("drift reference.parquet moved.parquet --by x", "at most 1,000 segments; 'x' makes 40,000"),
    "weights": ("drift january moved.parquet --weights x", "`--weights` needs the rows of the reference"),
    "order of no units": (
        "drift reference.parquet moved.parquet --unit-order value",
        "`--unit-order value` needs `--unit`, the column whose values it orders",
    ),
    "unknown order": ("drift reference.parquet moved.parquet --unit at --unit-order time", "--unit-order"),
    "other tool": ("drift january moved.parquet --compat nannyml", "`--compat` needs the rows of the reference"),
    "unknown tool": ("drift reference.parquet moved.parquet --compat whylogs", "--compat"),
    "no rows": ("drift january no_rows.parquet", "no_rows.parquet must have at least one row; got none, with 3 columns"),
    "no file": ("drift january nowhere/*.parquet", "there is nothing at nowhere/*.parquet"),
    "several kinds": ("drift january moved.*", "files of one kind"),
    "a folder": ("drift january parts", "Name a folder of other files by a pattern such as 'parts/*.parquet'"),
    "not what it says": ("drift january not.parquet", "not.parquet cannot be read as a table"),
    "profiles only": ("drift january january", "got january"),
    "cut": ("drift cut moved.parquet", "the profile must have"),
    "a folder as reference": ("drift folder moved.parquet", "folder has no _delta_log"),
    "over the profile": ("drift january moved.parquet --json january", "another file of this command is there"),
    "over a part": ("drift january parts/* --html parts/1.parquet", "another file of this command is there"),
    "below a file": ("drift january moved.parquet --html file/page.html", "cannot write file/page.html: Not a directory"),
    "two tables too many": ("drift january moved.parquet moved.csv", "unexpected extra argument"),
    "two to one pipe": ("drift january moved.parquet --json - --html -", "for one output only; got it for html and json"),
    "threads": ("drift january moved.parquet --threads 0", "--threads"),
    "correction": ("drift january moved.parquet --correction holm", "--correction"),
    "profile over its table": ("profile moved.parquet -o moved.parquet", "another file of this command is there"),
    "profile below a file": ("profile moved.parquet -o file/p", "cannot write file/p: Not a directory"),
    "profile of nothing": ("profile no_rows.parquet -o p", "must have at least one row"),
    "profile without column": ("profile moved.parquet -o p --columns z", "column 'z' must be in `reference`"),
    "profile to nowhere": ("profile moved.parquet", "--out"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "words"), WRONG.values(), ids=WRONG.keys())
def test_wrong_use_writes_nothing(
    tidewheel: Command, tables: Path, monkeypatch: pytest.MonkeyPatch, line: str, words: str
) -> None:
    monkeypatch.chdir(tables)
    before = {path: path.stat().st_mtime_ns for path in tables.rglob("*")}
    told = tidewheel(*line.split())
    assert (told.code, told.out) == (2, "")
    assert words in re.sub(r"[\s│]+", " ", told.err)
    assert "Traceback" not in told.err
    assert {path: path.stat().st_mtime_ns for path in tables.rglob("*")} == before


def test_a_changed_profile_is_a_failure_of_its_own(tidewheel: Command, tables: Path) -> None:
    told = tidewheel("drift", tables / "changed", tables / "moved.parquet")
    assert (told.code, told.out) == (3, "")
    assert "checksum does not match" in told.err


class Scan:
    """A command on a terminal of its own, which shows the bar; of a table so long that it can be interrupted."""

    def __init__(self, tables: Path, *options: object) -> None:
        self._screen, terminal = os.openpty()
        self.seen = ""
        self.process = subprocess.Popen(
            [PROGRAM, "drift", tables / "january", tables / "long" / "*.parquet", *map(str, options)],
            env=environment() | {"TERM": "xterm", "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=terminal,
            text=True,
        )
        os.close(terminal)

    def watch(self, words: str) -> None:
        """Wait until the terminal shows these words."""
        while not re.search(words, self.seen):
            self.seen += os.read(self._screen, 4096).decode(errors="replace")

    def close(self) -> int:
        """Wait for the end, and give the exit code."""
        while True:
            try:
                self.seen += os.read(self._screen, 4096).decode(errors="replace")
            except OSError:  # what a terminal says when nobody has it any more
                break
        os.close(self._screen)
        self.process.communicate()
        return self.process.returncode


@pytest.fixture(scope="module")
def long(tables: Path) -> Path:
    """The same two million rows, many times over: seconds to count and one file on disk."""
    (tables / "long").mkdir()
    pl.concat([frame(0.5, 2)] * 100).write_parquet(tables / "long" / "000.parquet", row_group_size=200_000)
    for part in range(1, 300):
        (tables / "long" / f"{part:03}.parquet").symlink_to("000.parquet")
    return tables


def test_an_interrupted_scan_leaves_what_was_there(long: Path, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("an older page", encoding="utf-8")
    outputs = ["--html", tmp_path / "page.html", "--json", tmp_path / "report.json"]
    scan = Scan(long, *outputs)
    scan.watch(r" [1-9]\d?%.* of 600,000,000 rows")
    scan.process.send_signal(signal.SIGINT)
    assert scan.close() == 130
    assert "Traceback" not in scan.seen
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "an older page"
