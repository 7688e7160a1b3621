"""The README keeps its promises: its Python runs, and every command, target and folder it names is there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tidewheel.cli.main import main

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
SHELL = [line for language, code in BLOCKS if language == "sh" for line in code.splitlines() if line.strip()]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the examples in a folder of their own: one of them writes a page."""
    monkeypatch.chdir(tmp_path)


def test_the_example_gives_what_it_says() -> None:
    (code,) = PYTHON
    names: dict[str, Any] = {}
    exec(code, names)
    said = re.findall(r"(?m)^(report[.\[].*)  # ([('].*)$", code)
    assert [expression for expression, _ in said] == ["report.drifted", 'report["x"].verdict']
    assert [repr(eval(expression, names)) for expression, _ in said] == [value for _, value in said]
    assert Path("drift.html").stat().st_size > 0


def test_every_picture_exists() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", TEXT)
    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)


def test_the_example_gives_the_numbers_of_scipy() -> None:
    from scipy.stats import ks_2samp

    names: dict[str, Any] = {}
    exec(PYTHON[0], names)
    theirs = ks_2samp(names["reference"], names["current"])
    assert (names["statistic"], names["pvalue"]) == pytest.approx(tuple(theirs), rel=1e-9)


@pytest.mark.parametrize("line", SHELL)
def test_every_command_exists(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = line.split("#")[0].split()
    if words[0] == "make":
        targets = re.findall(r"(?m)^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"))
        assert set(words[1:]) <= set(targets)
        return
    assert words[0] == "tidewheel"
    command = [word for word in words[1:3] if re.fullmatch("[a-z]+", word)]
    monkeypatch.setattr(sys, "argv", ["tidewheel", *command, "--help"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    help_text = capsys.readouterr().out
    assert all(word in help_text for word in words if word.startswith("-"))


def test_every_folder_exists() -> None:
    table = re.findall(r"(?m)^\| (`[^|]*) \|", TEXT)
    folders = [name for row in table for name in re.findall(r"`([\w/]+)/?`", row)]
    assert folders
    assert all((ROOT / folder).is_dir() for folder in folders)


def test_drift_needs_numpy_alone() -> None:
    """Whatever else is installed: with everything but NumPy out of reach, the base install's example runs."""
    code = (
        "import sys, importlib.abc\n"
        "class Nothing(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        banned = {'polars', 'pandas', 'pyarrow', 'scipy', 'pydantic', 'typer', 'rich', 'sqlalchemy', 'psutil'}\n"
        "        if name.split('.')[0] in banned:\n"
        "            raise ModuleNotFoundError(f'{name} is out of reach', name=name)\n"
        "sys.meta_path.insert(0, Nothing())\n"
    )
    subprocess.run([sys.executable, "-c", code + PYTHON[0]], check=True, timeout=60)
