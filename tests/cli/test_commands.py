"""Every command: help, exit codes, and wrong use that names what is wrong and writes nothing."""

import builtins
import errno
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from command_line import Command, in_process
from small_project import read_rows
from tidewheel.evidence.canonical import row_sha256
from tidewheel.evidence.records import DataVersion, Evidence, ModelVersion, Plan
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.operations.ports import LOOPBACK

COMMANDS = [
    "demo",
    "doctor",
    "run",
    "status",
    "evidence",
    "drift",
    "profile",
    "serve",
    "serve up",
    "serve down",
    "serve status",
]


@pytest.fixture
def tidewheel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return in_process(monkeypatch, capsys)


def listing(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def turn_verdict(path: Path) -> None:
    """Make a pass of the failed verdict in row 3 of a ledger, and count the row's digest anew."""
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT * FROM records WHERE sequence = 3").fetchone())
        del row["sha256"]
        row["content"] = row["content"].replace('"fail"', '"pass"')
        connection.execute("DROP TRIGGER records_refuse_update")
        changed = (row["content"], row_sha256(**row))
        connection.execute("UPDATE records SET content = ?, sha256 = ? WHERE sequence = 3", changed)
    connection.close()


def turn_head(path: Path) -> None:
    """Have the plan in force be another record than the last plan."""
    with sqlite3.connect(path) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE plan_heads SET sequence = 3")
    connection.close()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(tidewheel: Command, command: str) -> None:
    told = tidewheel(*command.split(), "--help")
    assert told.code == 0
    assert f"tidewheel {command}" in re.sub(r"\s+", " ", told.out)


def test_help_lists_every_command(tidewheel: Command) -> None:
    told = tidewheel("--help")
    assert told.code == 0
    assert all(command.split()[0] in told.out for command in COMMANDS)


def test_version(tidewheel: Command) -> None:
    told = tidewheel("--version")
    assert told.code == 0
    assert re.fullmatch(r"tidewheel \d+\.\d+\.\d+\S*\n", told.out)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("swim", "swim"),
        ("demo --fast", "--fast"),
        ("run --stage swim", "swim"),
        ("serve up --port 70000", "--port"),
    ],
)
def test_wrong_options_exit_with_2(tidewheel: Command, line: str, words: str) -> None:
    told = tidewheel(*line.split())
    assert told.code == 2
    assert words in told.err


class TestDrift:
    """`tidewheel drift`: 0 stable, 1 drifted, 2 wrong use."""

    @pytest.fixture
    def tables(self, tmp_path: Path) -> Path:
        rng = np.random.default_rng(0)
        for name, shift in [("reference", 0.0), ("same", 0.0), ("moved", 2.0)]:
            frame = pl.DataFrame({"x": rng.normal(shift, 1.0, 5000), "y": rng.normal(0.0, 1.0, 5000)})
            frame.write_parquet(tmp_path / f"{name}.parquet")
        return tmp_path

    def test_stable(self, tidewheel: Command, tables: Path) -> None:
        told = tidewheel("drift", tables / "reference.parquet", tables / "same.parquet")
        assert (told.code, told.err) == (0, "")

    def test_drifted_with_json(self, tidewheel: Command, tables: Path) -> None:
        told = tidewheel(
            "drift", tables / "reference.parquet", tables / "moved.parquet", "--json", tables / "report.json"
        )
        assert told.code == 1
        report = json.loads((tables / "report.json").read_text(encoding="utf-8"))
        assert {column["name"]: column["verdict"] for column in report["columns"]} == {
            "x": "drifted",
            "y": "stable",
        }

    def test_columns_choose(self, tidewheel: Command, tables: Path) -> None:
        told = tidewheel("drift", tables / "reference.parquet", tables / "moved.parquet", "--columns", "y")
        assert told.code == 0
        assert "x" not in told.out.split()

    def test_every_file_at_once(self, tidewheel: Command, tables: Path) -> None:
        (tables / "page.html").write_text("an older page", encoding="utf-8")
        before = listing(tables)
        files = ["--html", tables / "page.html", "--json", tables / "a.json", "--junit", tables / "a.xml"]
        told = tidewheel("drift", tables / "reference.parquet", tables / "moved.parquet", *files)
        assert told.code == 1
        assert told.out.startswith("1 of 2 columns drifted")
        assert listing(tables) - before == {tables / "a.json", tables / "a.xml"}
        assert "<h1>1 of 2 columns drifted</h1>" in (tables / "page.html").read_text(encoding="utf-8")
        assert 'failures="1"' in (tables / "a.xml").read_text(encoding="utf-8")
        assert json.loads((tables / "a.json").read_text(encoding="utf-8"))["drifted"] == ["x"]
        (tables / "plain").touch()
        assert (tables / "a.xml").stat().st_mode == (tables / "plain").stat().st_mode

    def test_undecided_fails_if_asked(self, tidewheel: Command, tables: Path) -> None:
        for name in ("reference", "same"):
            pl.read_parquet(tables / f"{name}.parquet").head(100).write_parquet(
                tables / f"few_{name}.parquet"
            )
        few = (tables / "few_reference.parquet", tables / "few_same.parquet", "--junit", tables / "few.xml")
        assert tidewheel("drift", *few).code == 0
        assert 'failures="0"' in (tables / "few.xml").read_text(encoding="utf-8")
        assert tidewheel("drift", *few, "--fail-on", "undecided").code == 1
        assert 'failures="2"' in (tables / "few.xml").read_text(encoding="utf-8")

    def test_every_format(self, tidewheel: Command, tables: Path) -> None:
        frame = pl.read_parquet(tables / "moved.parquet")
        frame.write_csv(tables / "moved.csv")
        frame.write_ipc(tables / "moved.arrow")
        frame.write_delta(tables / "moved")
        names = ["moved.parquet", "moved.csv", "moved.arrow", "moved"]
        told = {tidewheel("drift", tables / "reference.parquet", tables / name) for name in names}
        assert [one.code for one in told] == [1]

    def test_units(self, tidewheel: Command, tables: Path) -> None:
        for name in ("reference", "moved"):
            frame = pl.read_parquet(tables / f"{name}.parquet").with_columns(
                day=pl.int_range(pl.len()) // 100
            )
            frame.write_parquet(tables / f"{name}.parquet")
        told = tidewheel("drift", tables / "reference.parquet", tables / "moved.parquet", "--unit", "day")
        assert told.code == 1
        assert "independent" not in told.out

    def test_a_failing_write_leaves_what_was_there(
        self, tidewheel: Command, tables: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fill_up(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        (tables / "page.html").write_text("an older page", encoding="utf-8")
        before = listing(tables)
        monkeypatch.setattr(Path, "chmod", fill_up)
        files = ["--html", tables / "page.html", "--junit", tables / "report.xml"]
        told = tidewheel("drift", tables / "reference.parquet", tables / "same.parquet", *files)
        assert (told.code, told.out) == (2, "")
        assert "page.html: No space left on device" in told.err
        assert listing(tables) == before
        assert (tables / "page.html").read_text(encoding="utf-8") == "an older page"

    def test_pipes_and_links_are_written_through(self, tidewheel: Command, tables: Path) -> None:
        pipe, link, file = tables / "pipe", tables / "link.json", tables / "file.json"
        os.mkfifo(pipe)
        link.symlink_to(file)
        with ThreadPoolExecutor(1) as pool:
            read = pool.submit(pipe.read_text, encoding="utf-8")
            outputs = ["--html", pipe, "--json", link]
            assert (
                tidewheel("drift", tables / "reference.parquet", tables / "same.parquet", *outputs).code == 0
            )
            assert read.result(timeout=60).endswith("</html>\n")
        assert pipe.is_fifo()
        assert link.is_symlink()
        assert json.loads(file.read_text(encoding="utf-8"))["drifted"] == []

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["reference.parquet", "nowhere.parquet"], "there is nothing at"),
            (["reference.parquet", "empty.csv"], "the file is empty"),
            (["reference.parquet", "moved.parquet", "--columns", "z"], "'z'"),
            (["reference.parquet", "moved.parquet", "--unit", "day"], "day"),
            (["reference.parquet", "notes.txt"], "notes.txt"),
            (["reference.parquet", "moved.parquet", "--json", "no/where.json"], "cannot write no/where.json"),
            (["nowhere.parquet", "moved.parquet", "--html", "no/where.html"], "cannot write no/where.html"),
            (
                ["reference.parquet", "moved.parquet", "--html", "a.html", "--junit", "notes.txt/b"],
                "notes.txt/b",
            ),
            (
                ["reference.parquet", "moved.parquet", "--html", "a", "--json", "./a"],
                "another file of this command",
            ),
            (
                ["reference.parquet", "moved.parquet", "--html", "moved.parquet"],
                "another file of this command",
            ),
            (["reference.parquet", ".", "--html", "./page.html"], "another file of this command"),
            (["reference.parquet", "moved.parquet", "--html", "."], "it is a folder"),
            (["reference.parquet", "moved.parquet", "--fail-on", "stable"], "--fail-on"),
            (["reference.parquet", "moved.parquet", "--columns", ""], "''"),
        ],
        ids=[
            "missing",
            "empty",
            "column",
            "unit",
            "kind",
            "unwritable",
            "refused before reading",
            "second unwritable",
            "twice",
            "over an input",
            "in an input",
            "folder",
            "fail on",
            "no column",
        ],
    )
    def test_wrong_use(
        self,
        tidewheel: Command,
        tables: Path,
        monkeypatch: pytest.MonkeyPatch,
        arguments: list[str],
        words: str,
    ) -> None:
        monkeypatch.chdir(tables)
        (tables / "empty.csv").touch()
        (tables / "notes.txt").write_text("x\n", encoding="utf-8")
        before = listing(tables)
        told = tidewheel("drift", *arguments)
        assert told.code == 2
        assert words in told.err
        assert "Traceback" not in told.err
        assert listing(tables) == before


class TestDoctor:
    """`tidewheel doctor`: 0 when nothing stands in the way."""

    def test_table_and_json(self, tidewheel: Command, tmp_path: Path) -> None:
        told = tidewheel("doctor", tmp_path, "--json")
        checks = json.loads(told.out)
        assert told.code == (1 if any(check["state"] == "fail" for check in checks) else 0)
        assert {"name", "state", "detail", "remedy"} == set(checks[0])
        assert "tidewheel doctor" in tidewheel("doctor", tmp_path).out

    def test_a_folder_that_is_a_file_fails(self, tidewheel: Command, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        told = tidewheel("doctor", tmp_path / "file" / "below")
        assert told.code == 1
        assert "fail" in told.out


LATER_STAGES = ["train", "deploy", "monitor", "retrain"]
"""Stages that build on what the first turn made."""

SOURCES = {
    "missing": "read_rows().drop('load')",
    "wrong_type": "read_rows().with_columns(load=pl.col('load').cast(pl.String))",
    "no_time": "read_rows().with_columns(ordered_at_utc=pl.col('ordered_at_utc').cast(pl.String))",
    "no_row": "read_rows().head(0)",
    "mostly_broken": "read_rows().with_columns(size=-pl.col('size'))",
    "no_table": "read_rows().to_dicts()",
    "empty_file": "read_table('empty.csv')",
}


def test_help_keeps_what_stands_in_brackets(tidewheel: Command) -> None:
    told = tidewheel("run", "--help")
    assert "[environments]" in told.out


class TestBadProjects:
    """A project that cannot be run: exit code 2, the value and its place, and nothing written."""

    @pytest.mark.parametrize("command", ["run", "status", "evidence", "serve up"])
    def test_an_environment_that_the_file_lacks_is_named(
        self, tidewheel: Command, small_project: Path, command: str
    ) -> None:
        told = tidewheel(*command.split(), "-p", small_project, "--environment", "prod")
        assert (told.code, told.out) == (2, "")
        assert "environment 'prod' must be one of those in " in told.err
        assert told.err.endswith(": local\n")
        assert not (small_project / "state").exists()

    @pytest.fixture
    def project(self, small_project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        lines = [
            "import polars as pl",
            "from small_project import read_rows",
            "from tidewheel.data.tables import read_table",
        ]
        lines += [f"def {name}():\n    return {expression}" for name, expression in SOURCES.items()]
        name = f"broken_{small_project.name}".replace("-", "_")
        (small_project / f"{name}.py").write_text("\n".join(lines), encoding="utf-8")
        (small_project / "empty.csv").touch()
        file = small_project / "tidewheel.toml"
        text = file.read_text(encoding="utf-8").replace("small_project:read_rows", f"{name}:SOURCE")
        file.write_text(text, encoding="utf-8")
        monkeypatch.chdir(small_project)
        return small_project

    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("missing", "must have the column `load`"),
            ("wrong_type", "`load` of .* must be of type float.* got String"),
            ("no_time", "`ordered_at_utc` of .* must be of type datetime.* got String"),
            ("no_row", "must have at least one row"),
            ("mostly_broken", "`size` at least 0: 18100 rows"),
            ("no_table", "must return a table of polars, pandas or Arrow; got list"),
            ("empty_file", "empty.csv must have at least one row; the file is empty"),
            ("nowhere", "has no function 'nowhere'"),
        ],
    )
    @pytest.mark.parametrize("stage", ["all", "data"])
    def test_a_broken_source(
        self, tidewheel: Command, project: Path, source: str, words: str, stage: str
    ) -> None:
        self.replace(project, "SOURCE", source)
        before = listing(project)
        told = tidewheel("run", "-p", project, "--stage", stage)
        assert told.code == 2
        assert re.search(words, told.err), told.err
        assert "Traceback" not in told.err
        assert listing(project) == before

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("row_id =", "rowid =", r"tidewheel\.toml:9: data\.rowid: .*did you mean 'row_id'"),
            ("holdout_days = 25", 'holdout_days = "25"', r"tidewheel\.toml:13: data\.holdout_days"),
            ("[data]", "[data", r"tidewheel\.toml:6: is not TOML"),
            ('numeric = ["load", "size"]', 'numeric = ["load", "weight"]', r"features\.numeric.*weight"),
        ],
        ids=["misspelt", "type", "no TOML", "unknown column"],
    )
    @pytest.mark.parametrize("command", ["run", "status", "serve up", "evidence", "serve status"])
    def test_a_broken_project_file(
        self, tidewheel: Command, project: Path, command: str, old: str, new: str, words: str
    ) -> None:
        self.replace(project, old, new)
        before = listing(project)
        told = tidewheel(*command.split(), "-p", project)
        assert told.code == 2
        assert re.search(words, told.err), told.err
        assert listing(project) == before

    @pytest.mark.parametrize(
        "command", ["status", "evidence", "serve up", *(f"run --stage {stage}" for stage in LATER_STAGES)]
    )
    def test_a_project_without_a_ledger(self, tidewheel: Command, project: Path, command: str) -> None:
        before = listing(project)
        told = tidewheel(*command.split(), "-p", project)
        assert told.code == 2
        assert "has no ledger yet; `tidewheel run" in told.err
        assert listing(project) == before

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (turn_verdict, "row 4 of the ledger does not follow from row 3"),
            (turn_head, "the plan in force of 'orders' is row 3; the last one written is row 4"),
        ],
        ids=["verdict", "plan in force"],
    )
    @pytest.mark.parametrize("model", [["tree"], []], ids=["named", "champion"])
    def test_evidence_of_a_ledger_that_was_changed(
        self, tidewheel: Command, project: Path, model: list[str], change: Callable[[Path], None], words: str
    ) -> None:
        workplace = Workplace.open(project)
        at = datetime(2021, 6, 1, tzinfo=UTC)
        with workplace.ledger() as ledger:
            ledger.append(DataVersion("orders", 0, "d0", 9, "c", at, at, "state/data"))
            ledger.append(ModelVersion("tree", "m1", "f", "xgboost", "orders", 0, "d0", "k", "s", 7, {}, "m"))
            ledger.append(Evidence("model", "m1", "c", (), "fail", "orders", 0, "d0", at))
            ledger.swap_plan(Plan("orders", 1, "m1"), expected_generation=0)
        assert tidewheel("evidence", *model, "-p", project).code == 1
        change(workplace.state / "ledger.sqlite")
        told = tidewheel("evidence", *model, "-p", project)
        assert (told.code, told.out, told.err) == (3, "", f"tidewheel: {words}\n")

    def test_nothing_is_running(self, tidewheel: Command, project: Path) -> None:
        assert tidewheel("serve", "status", "-p", project).code == 1
        told = tidewheel("serve", "down", "-p", project)
        assert (told.code, told.out) == (0, "Nothing was running.\n")

    def test_a_port_in_use(self, tidewheel: Command, project: Path) -> None:
        with socket.socket() as taken:
            taken.bind((LOOPBACK, 0))
            taken.listen()
            port = taken.getsockname()[1]
            before = listing(project)
            told = tidewheel("serve", "up", "-p", project, "--port", port)
        assert told.code == 2
        assert f"port {port}" in told.err
        assert listing(project) == before

    @staticmethod
    def replace(project: Path, old: str, new: str) -> None:
        file = project / "tidewheel.toml"
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new, 1), encoding="utf-8")


class TestDemoFolder:
    """`tidewheel demo` refuses a folder that is not its own before it starts anything."""

    def test_below_a_file(self, tidewheel: Command, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine", encoding="utf-8")
        told = tidewheel("demo", "--out", tmp_path / "file" / "demo")
        assert told.code == 2
        assert "cannot write in" in told.err
        assert listing(tmp_path) == {tmp_path / "file"}

    def test_somebody_elses(self, tidewheel: Command, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("mine", encoding="utf-8")
        told = tidewheel("demo", "--out", tmp_path)
        assert told.code == 2
        assert "is not empty and no earlier demo's" in told.err
        assert listing(tmp_path) == {tmp_path / "thesis.tex"}


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            ModuleNotFoundError("No module named 'typer'", name="typer"),
            2,
            "needs typer; install `tidewheel[cli]`",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=["base install", "interrupted"],
)
def test_what_happens_while_commands_are_imported(
    tidewheel: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    real = builtins.__import__

    def fail(name: str, *more: Any) -> Any:
        if name == "tidewheel.cli.app":
            raise error
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", fail)
    told = tidewheel("drift", "a", "b")
    assert (told.code, told.out) == (code, "")
    assert words in told.err


OTHER_EXTRAS = {
    "pandera",
    "sqlalchemy",
    "sklearn",
    "xgboost",
    "mlflow",
    "ray",
    "prefect",
    "jinja2",
    "plotly",
    "msgspec",
}


@pytest.mark.parametrize("command", ["drift x.csv x.csv", "doctor .", "--help"])
def test_the_extra_cli_is_enough_for(command: str, tmp_path: Path) -> None:
    """What the other extras bring is out of reach here, and the command runs all the same."""
    (tmp_path / "x.csv").write_text("x\n" + "\n".join(map(str, range(100))), encoding="utf-8")
    code = (
        "import sys, importlib.abc\n"
        "class Nothing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        banned = {OTHER_EXTRAS}\n"
        "        if name.split('.')[0] in banned:\n"
        "            raise ModuleNotFoundError(f'{name} is out of reach', name=name)\n"
        "sys.meta_path.insert(0, Nothing())\n"
        "from tidewheel.cli.main import main\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in ((0, 1) if command.startswith("doctor") else (0,)), done.stderr


def test_the_small_project_is_what_the_cases_say() -> None:
    assert read_rows().height == 18_100


class TestTheEnd:
    """The script `tidewheel` ends without freeing what it imported; nothing of its answer may be lost by that."""

    def run(self, folder: Path, *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
        (folder / "x.csv").write_text("x\n" + "\n".join(map(str, range(1000))), encoding="utf-8")
        (folder / "y.csv").write_text("x\n" + "\n".join(map(str, range(900, 1900))), encoding="utf-8")
        return subprocess.Popen(
            [sys.executable, "-m", "tidewheel.cli.main", *arguments],
            cwd=folder,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (("drift", "x.csv", "x.csv"), 0),
            (("drift", "x.csv", "y.csv"), 1),
            (("drift", "x.csv", "z.csv"), 2),
            (("--help",), 0),
            (("drift", "x.csv", "x.csv", "--alpha", "2"), 2),
        ],
    )
    def test_what_was_printed_arrives_whole(
        self, tmp_path: Path, arguments: tuple[str, ...], code: int
    ) -> None:
        with self.run(tmp_path, *arguments) as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode == code
        assert (out if code < 2 else err).endswith("\n")
        assert "Traceback" not in err

    def test_a_reader_that_leaves_is_no_traceback(self, tmp_path: Path) -> None:
        read, write = os.pipe()
        os.close(read)
        with self.run(tmp_path, "drift", "x.csv", "y.csv", "--json", "-", stdout=write) as process:
            os.close(write)
            _, err = process.communicate(timeout=60)
        assert process.returncode != 0
        assert "Traceback" not in err
