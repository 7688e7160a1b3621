"""The gate before a deployment rests on the ledger as a whole: a rewritten verdict is refused, whoever wrote it."""

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tidewheel.errors import InputError, IntegrityError
from tidewheel.evidence.canonical import row_sha256
from tidewheel.evidence.records import DataVersion, Decision, Evidence, ModelVersion
from tidewheel.evidence.store import Ledger
from tidewheel.lifecycle.waiting import check_gates

AT = datetime(2013, 6, 1, tzinfo=UTC)
DATA = DataVersion("flights", 3, "d3", 27_000, "c1", AT, AT, "state/data/flights")
MODEL = ModelVersion("tree", "abc123", "f1", "xgboost", "flights", 3, "d3", "k1", "s1", 7, {}, "packages/m1")
FAILED = Evidence("model", "abc123", "criteria", (), "fail", "flights", 3, "d3", AT)
CRITERIA = {"model": "criteria", "package": "criteria"}


def turn_verdict(path: Path) -> None:
    """Make a pass of the failed verdict in row 3, and count the row's digest anew."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    row = dict(connection.execute("SELECT * FROM records WHERE sequence = 3").fetchone())
    del row["sha256"]
    row["content"] = row["content"].replace('"fail"', '"pass"')
    connection.execute("DROP TRIGGER records_refuse_update")
    connection.execute(
        "UPDATE records SET content = ?, sha256 = ? WHERE sequence = 3", (row["content"], row_sha256(**row))
    )
    connection.commit()
    connection.close()


def test_a_verdict_that_was_turned_opens_no_gate(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        for record in (DATA, MODEL, FAILED, replace(FAILED, stage="package", verdict="pass")):
            ledger.append(record)
        ledger.append(Decision("refuse", "abc123", "train flow", "the gate model failed", AT))
        with pytest.raises(InputError, match="may not be deployed: gate model: fail"):
            check_gates(ledger, MODEL, CRITERIA)
        turn_verdict(path)
        with pytest.raises(IntegrityError, match="row 4 of the ledger does not follow from row 3"):
            check_gates(ledger, MODEL, CRITERIA)
