"""`docs/first-steps.md` is run as it stands: its sessions, their outputs, its notebook cell and its commands."""

import doctest
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tidewheel.cli.main import main

TEXT = (Path(__file__).parents[2] / "docs" / "first-steps.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
SESSION = "\n".join(code for language, code in BLOCKS if language == "python")
COMMANDS = [code.strip() for language, code in BLOCKS if language == "sh"]


@pytest.fixture(scope="module")
def names():
    """Run the sessions one after the other, as a reader would; what they name is left."""
    found: dict[str, Any] = {}
    test = doctest.DocTestParser().get_doctest(SESSION, found, "first-steps", "docs/first-steps.md", 0)
    assert len(test.examples) > 15
    told = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=told.append, clear_globs=False)
    assert result.failed == 0, "".join(told)
    return test.globs


def test_the_sessions_say_what_they_show(names):
    assert names["report"].drifted == (("south", "price"),)


def test_a_notebook_cell_shows_the_report(names):
    cell = names["report"]._repr_html_()
    assert "<h1>1 of 5 columns drifted</h1>" in cell
    plain = names["drift"].compare(names["before"], names["after"])._repr_html_()
    assert "<h1>2 of 5 columns drifted, 1 differs in schema</h1>" in plain


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_say_the_same(line, names, tmp_path, monkeypatch, capsys):
    pl.DataFrame(names["before"]).write_csv(tmp_path / "a.csv")
    pl.DataFrame(names["after"]).write_csv(tmp_path / "b.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", shlex.split(line))
    with pytest.raises(SystemExit) as end:
        raise SystemExit(main())
    assert end.value.code == 1
    options = {"exclude": ["id", "label"], "kinds": {"code": "categorical"}}
    options |= {"by": "shop"} if "--by" in line else {}
    expected = names["drift"].compare(names["before"], names["after"], **options)
    assert capsys.readouterr().out == f"{expected}\n"


def test_there_are_two_commands():
    assert [" --by " in line for line in COMMANDS] == [False, True]
