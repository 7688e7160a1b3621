"""What the tests of the command share."""

import sys

import pytest

from command_line import Command, Told
from tidewheel.cli.main import main


@pytest.fixture
def tidewheel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Call the command in this process."""

    def call(*arguments: object) -> Told:
        monkeypatch.setattr(sys, "argv", ["tidewheel", *map(str, arguments)])
        try:
            code = main()
        except SystemExit as end:
            code = int(end.code or 0)
        caught = capsys.readouterr()
        return Told(code, caught.out, caught.err)

    return call
