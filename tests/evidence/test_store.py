"""The ledger in one process: order, causes, the plan's compare-and-swap, and a past that cannot be changed unseen."""

import math
import sqlite3
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError as RefusedByDatabase

from tidewheel.errors import (
    ConflictError,
    InputError,
    InputTypeError,
    IntegrityError,
    MissingExtraError,
    ServiceError,
    UnknownNameError,
)
from tidewheel.evidence.canonical import FORMAT_VERSION, GENESIS, row_sha256
from tidewheel.evidence.criteria import Judgement
from tidewheel.evidence.history import champion_of, data_version_of, reigns
from tidewheel.evidence.records import DataVersion, Decision, Evidence, Finding, ModelVersion, Plan, Record
from tidewheel.evidence.store import Ledger
from tidewheel.measures.measurement import Measurement

AT = datetime(2013, 6, 1, tzinfo=UTC)
DATA = DataVersion("flights", 3, "d3", 27_000, "c1", AT, AT + timedelta(days=31), "state/data/flights")
MODEL = ModelVersion(
    "tree", "abc123", "f1", "xgboost", "flights", 3, "d3", "k1", "s1", 7, {"polars": "2.1"}, "packages/m1"
)
EVIDENCE = Evidence("model", "abc123", "criteria", (), "pass", "flights", 3, "d3", AT)
DECISION = Decision("deploy", "abc123", "deploy flow", "first model", AT, (3,))
FINDING = Finding("f1", "performance", "abc123", AT, AT, AT, "stable", (), (), "none", "AUC as before")
PLAN = Plan("flights", 1, "abc123", packages={"abc123": "packages/m1"}, digests={"abc123": "f1"})
APPENDED: list[Record] = [DATA, MODEL, EVIDENCE, DECISION, FINDING]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(path) as opened:
        yield opened


@pytest.fixture
def told(ledger: Ledger) -> Ledger:
    """A ledger of six rows, the last one a plan."""
    for record in APPENDED:
        ledger.append(record)
    ledger.swap_plan(PLAN, expected_generation=0)
    return ledger


def test_rows_come_back_in_order_and_chained(told: Ledger) -> None:
    rows = told.rows()
    assert [row.sequence for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.record for row in rows] == [*APPENDED, PLAN]
    assert [row.previous_sha256 for row in rows] == [GENESIS, *(row.sha256 for row in rows[:-1])]
    assert told.head() == rows[-1].sha256
    assert told.verify() == 6
    assert all(abs(row.wall_utc - datetime.now(UTC)) < timedelta(minutes=1) for row in rows)


def test_a_ledger_outlives_its_process_and_is_found_by_path_or_address(told: Ledger, path: Path) -> None:
    head = told.head()
    told.close()
    for address in (path, str(path), f"sqlite:///{path}"):
        with Ledger.open(address) as again:
            assert again.head() == head
            assert again.plan("flights") == PLAN


def test_an_empty_ledger(ledger: Ledger) -> None:
    assert ledger.head() == GENESIS
    assert ledger.verify() == 0
    assert ledger.rows() == []
    assert ledger.plan("flights") is None
    with pytest.raises(UnknownNameError, match="the ledger knows no model 'tree'; it has none"):
        ledger.model_version("tree")


def test_a_measurement_without_a_value_survives(ledger: Ledger) -> None:
    measurement = Measurement("roc_auc", math.nan, -math.inf, math.inf, 0.95, n_rows=0, n_units=0)
    judgement = Judgement("roc_auc", ">", 0.6, None, measurement, "no data", "nothing finite")
    ledger.append(replace(EVIDENCE, judgements=(judgement,)))
    back = ledger.evidence()[0].judgements[0].measurement
    assert back is not None
    assert math.isnan(back.value)
    assert (back.lower, back.upper) == (-math.inf, math.inf)


def test_the_same_cause_is_written_once(ledger: Ledger) -> None:
    first = ledger.append(DATA, cause="flights@3")
    ledger.append(DECISION)
    assert ledger.append(replace(DATA, n_rows=1), cause="flights@3") == first
    assert ledger.data_versions("flights") == [DATA]
    assert ledger.append(MODEL, cause="flights@3") == 3, "a cause counts for its own kind alone"
    assert ledger.append(DECISION) == 4, "without a cause, equal records are two"


def test_rows_are_found_by_kind_and_subject(told: Ledger) -> None:
    assert [row.sequence for row in told.rows(kind="evidence")] == [3]
    assert [row.sequence for row in told.rows(subject="abc123")] == [2, 3, 4]
    assert [row.sequence for row in told.rows(kind="decision", subject="abc123")] == [4]
    assert told.rows(kind="finding", subject="abc123") == []
    assert (told.data_versions("flights"), told.data_versions("trains")) == ([DATA], [])
    assert (told.decisions(), told.decisions(subject="m9"), told.findings()) == ([DECISION], [], [FINDING])


def test_evidence_comes_in_order_of_sequence(ledger: Ledger) -> None:
    later_first = [
        replace(EVIDENCE, at_utc=AT + timedelta(days=day), verdict="undecided") for day in (9, 1, 5)
    ]
    for record in [*later_first, replace(EVIDENCE, stage="package"), replace(EVIDENCE, subject="m2")]:
        ledger.append(record)
    assert ledger.evidence(subject="abc123", stage="model") == later_first
    assert len(ledger.evidence(stage="model")) == 4
    assert len(ledger.evidence(subject="abc123")) == 4
    assert len(ledger.evidence()) == 5


def test_a_model_is_found_by_id_beginning_or_name(ledger: Ledger) -> None:
    for name, model_id in (("tree", "abc123"), ("tree", "abd456"), ("simple", "ffe000"), ("abd", "00ff")):
        ledger.append(replace(MODEL, name=name, model_id=model_id))
    assert ledger.model_version("abc123").model_id == "abc123"
    assert ledger.model_version("abc").model_id == "abc123"
    assert ledger.model_version("simple").model_id == "ffe000"
    assert ledger.model_version("abd").model_id == "00ff", "a whole name goes before the beginning of an id"
    assert [row.model_id for row in ledger.model_versions("tree")] == ["abc123", "abd456"]
    for asked in ("ab", "tree"):
        with pytest.raises(
            UnknownNameError, match=rf"'{asked}' fits 2 models: tree \(abc123\), tree \(abd456\); give more"
        ):
            ledger.model_version(asked)
    for asked in ("zzz", ""):
        with pytest.raises(
            UnknownNameError, match=rf"no model '{asked}'; it has tree \(abc123\), .*simple \(ffe000\)"
        ):
            ledger.model_version(asked)


def test_plans_follow_each_other(ledger: Ledger) -> None:
    first = ledger.swap_plan(replace(PLAN, generation=77), expected_generation=0)
    assert first == PLAN
    second = ledger.swap_plan(replace(first, candidate="m2", share_canary=0.1), expected_generation=1)
    assert second == replace(PLAN, generation=2, candidate="m2", share_canary=0.1)
    assert ledger.plan("flights") == second
    assert ledger.swap_plan(replace(PLAN, name="trains"), expected_generation=0).generation == 1
    assert [row.record for row in ledger.rows(kind="plan", subject="flights")] == [first, second]
    assert ledger.verify() == 3


@pytest.mark.parametrize("expected", [0, 2, -1])
def test_a_swap_that_lost_is_told_and_writes_nothing(told: Ledger, expected: int) -> None:
    head = told.head()
    with pytest.raises(
        ConflictError, match=f"plan 'flights' is at generation 1, not {expected}: .*read it again"
    ):
        told.swap_plan(replace(PLAN, champion="m2"), expected_generation=expected)
    assert (told.head(), told.plan("flights")) == (head, PLAN)


@pytest.mark.parametrize(
    ("record", "error", "text"),
    [
        (PLAN, InputError, "a plan changes by compare-and-swap; use swap_plan"),
        (replace(EVIDENCE, at_utc=datetime(2013, 6, 1)), InputError, "must have a zone"),
        (replace(MODEL, seed=0.5), InputTypeError, "ModelVersion.seed must be of type int"),  # type: ignore[arg-type]
        ({"action": "deploy"}, InputTypeError, "the ledger keeps .*; got dict"),
    ],
    ids=["plan", "naive time", "wrong type", "no record"],
)
def test_a_record_that_is_refused_leaves_nothing(
    told: Ledger, record: Any, error: type[Exception], text: str
) -> None:
    head = told.head()
    with pytest.raises(error, match=text):
        told.append(record)
    with pytest.raises(error, match=text):
        told.append(record, cause="once")
    assert told.head() == head
    assert told.append(DECISION) == 7


def test_standing_asks_for_the_data_version_in_force(told: Ledger) -> None:
    told.append(replace(DATA, delta_version=4, content_sha256="d4"))
    told.append(replace(EVIDENCE, stage="data", subject="flights@3"))
    told.append(replace(EVIDENCE, subject="another"))
    criteria = {"model": "criteria", "data": "criteria"}
    assert [(row.evidence.stage, row.stands) for row in told.standing("tree", 3, criteria)] == [
        ("model", True),
        ("data", True),
    ]
    for row in told.standing("abc", 4, criteria):
        assert (row.stands, row.why) == (False, "measured on flights@3; flights@4 is in force")
    with pytest.raises(UnknownNameError, match="the ledger knows no flights@9; it has 3, 4"):
        told.standing("tree", 9, criteria)


LAST_WRITTEN = "the plan in force is the last one written of its name"


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("UPDATE records SET content = '{}'", "append-only: a record cannot be changed"),
        ("DELETE FROM records WHERE sequence = 6", "append-only: a record cannot be deleted"),
        ("INSERT OR REPLACE INTO records SELECT * FROM records WHERE sequence = 2", "takes the next number"),
        ("DELETE FROM plan_heads", "a plan cannot be deleted"),
        ("UPDATE plan_heads SET sequence = 1", "from one generation to the next"),
        ("UPDATE plan_heads SET generation = generation + 2", "from one generation to the next"),
        ("UPDATE plan_heads SET generation = generation + 1", LAST_WRITTEN),
        ("UPDATE plan_heads SET generation = generation + 1, sequence = 3", LAST_WRITTEN),
        ("INSERT OR REPLACE INTO plan_heads VALUES ('flights', 1, 3)", LAST_WRITTEN),
        ("INSERT OR REPLACE INTO plan_heads VALUES ('flights', 9, 6)", LAST_WRITTEN),
        ("INSERT INTO plan_heads VALUES ('trains', 1, 6)", LAST_WRITTEN),
        ("INSERT INTO plan_heads VALUES ('trains', 1, 3)", LAST_WRITTEN),
    ],
)
def test_the_database_refuses_to_change_the_past(told: Ledger, path: Path, statement: str, text: str) -> None:
    with sqlite3.connect(path) as connection, pytest.raises(sqlite3.IntegrityError, match=text):
        connection.execute(statement)
    connection.close()
    with pytest.raises(RefusedByDatabase, match=text), told._engine.begin() as ours:
        ours.exec_driver_sql(statement)
    assert told.verify() == 6


TAMPERED = r"row 3 of the ledger \(.*\) was changed after it was written"


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("UPDATE records SET content = replace(content, 'pass', 'fail') WHERE sequence = 3", TAMPERED),
        ("UPDATE records SET subject = 'other' WHERE sequence = 3", TAMPERED),
        ("UPDATE records SET kind = 'decision' WHERE sequence = 3", TAMPERED),
        ("UPDATE records SET cause = 'other' WHERE sequence = 3", TAMPERED),
        ("UPDATE records SET wall_utc = '2013-01-01T00:00:00.000000+00:00' WHERE sequence = 3", TAMPERED),
        ("UPDATE records SET sha256 = previous_sha256 WHERE sequence = 3", TAMPERED),
        ("UPDATE records SET previous_sha256 = sha256 WHERE sequence = 3", TAMPERED),
        ("UPDATE records SET format_version = 0 WHERE sequence = 3", TAMPERED),
        (
            "UPDATE records SET format_version = 9 WHERE sequence = 3",
            "row 3 of the ledger has format 9; .* up to 1",
        ),
        ("DELETE FROM records WHERE sequence = 3", "row 3 of the ledger is missing; row 4 follows"),
        ("DELETE FROM records WHERE sequence = 1", "row 1 of the ledger is missing; row 2 follows"),
        ("DELETE FROM records WHERE sequence = 6", "plan in force of 'flights' is row 6; .* is row None"),
        ("DELETE FROM plan_heads", "plan in force of 'flights' is row None; .* is row 6"),
        ("UPDATE plan_heads SET sequence = 5", "plan in force of 'flights' is row 5; .* is row 6"),
        ("UPDATE plan_heads SET generation = 7", "plan in force of 'flights' is at generation 7; .* is 1"),
    ],
)
def test_tampering_is_named(told: Ledger, path: Path, statement: str, text: str) -> None:
    force(path, statement)
    with pytest.raises(IntegrityError, match=text):
        told.verify()


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("UPDATE plan_heads SET sequence = 6, generation = 1", "is row 6; the last one written is row 7"),
        ("UPDATE plan_heads SET sequence = 4", "is row 4; the last one written is row 7"),
        ("UPDATE plan_heads SET generation = 7", "is at generation 7; the last one written is 2"),
        ("DELETE FROM plan_heads", "is row None; the last one written is row 7"),
        ("UPDATE plan_heads SET name = 'trains'", "is row None; the last one written is row 7"),
    ],
    ids=["older plan", "another record", "generation", "no head", "another name"],
)
def test_a_plan_in_force_that_is_not_the_last_one_written_is_refused(
    told: Ledger, path: Path, statement: str, text: str
) -> None:
    told.swap_plan(replace(PLAN, champion="m2"), expected_generation=1)
    told.append(DECISION)
    assert told.plan("flights") == replace(PLAN, champion="m2", generation=2)
    force(path, statement)
    for use in (
        lambda: told.plan("flights"),
        lambda: champion_of(told, "flights"),
        lambda: told.standing("tree", 3, {}),
        lambda: told.swap_plan(PLAN, expected_generation=2),
    ):
        with pytest.raises(IntegrityError, match=f"the plan in force of 'flights' {text}"):
            use()


def test_a_plan_in_force_that_says_another_generation_or_name_is_refused(told: Ledger, path: Path) -> None:
    told.append(DECISION)
    rewrite(path, 6, '"generation":1', '"generation":2')
    rewrite(path, 7, "", "")  # counted anew up to the end: the chain alone cannot show it
    with pytest.raises(
        IntegrityError, match="row 6 of the ledger must be the plan 'flights' of generation 1"
    ):
        told.plan("flights")


def test_a_plan_that_was_rewritten_is_refused(told: Ledger, path: Path) -> None:
    told.append(DECISION)
    rewrite(path, 6, '"champion":"abc123"', '"champion":"m9"')
    for use in (lambda: told.plan("flights"), lambda: champion_of(told, "flights")):
        with pytest.raises(IntegrityError, match="row 7 of the ledger does not follow from row 6"):
            use()


READINGS = {
    "standing": lambda ledger: ledger.standing("tree", 3, {"model": "criteria"}),
    "evidence": lambda ledger: ledger.evidence(subject="abc123"),
    "model": lambda ledger: ledger.model_version("tree"),
    "data": lambda ledger: data_version_of(ledger, "flights", 3),
    "reigns": reigns,
    "rows": lambda ledger: ledger.rows(subject="abc123"),
}


@pytest.mark.parametrize("again", [False, True], ids=["first reading", "read before"])
@pytest.mark.parametrize("reading", READINGS)
def test_what_rests_on_a_rewritten_row_is_refused(
    told: Ledger, path: Path, reading: str, again: bool
) -> None:
    if again:
        READINGS[reading](told)
    sequence, old, new = {
        "model": (2, "xgboost", "forest"),
        "reigns": (2, "xgboost", "forest"),
        "data": (1, "27000", "99000"),
    }.get(reading, (3, '"pass"', '"fail"'))
    rewrite(path, sequence, old, new)
    with pytest.raises(
        IntegrityError, match=f"row {sequence + 1} of the ledger does not follow from row {sequence}"
    ):
        READINGS[reading](told)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("DELETE FROM records WHERE sequence = 3", "row 3 of the ledger is missing; row 4 follows"),
        (
            "UPDATE records SET subject = 'm9' WHERE sequence = 3",
            r"row 3 of the ledger \(.*\) was changed after",
        ),
        (
            "UPDATE records SET kind = 'note' WHERE sequence = 3",
            r"row 3 of the ledger \(.*\) was changed after",
        ),
        ("DELETE FROM records WHERE sequence = 4", "row 4 of the ledger is missing; row 5 follows"),
    ],
    ids=["evidence taken away", "about another", "of another kind", "decision taken away"],
)
def test_a_verdict_rests_on_every_row(told: Ledger, path: Path, statement: str, text: str) -> None:
    told.append(replace(EVIDENCE, stage="package"))
    assert len(told.standing("tree", 3, {})) == 2
    force(path, statement)
    with pytest.raises(IntegrityError, match=text):
        told.standing("tree", 3, {})


def test_no_writer_comes_between_what_a_reading_reads_and_checks(told: Ledger, path: Path) -> None:
    until = threading.Event()

    def write() -> None:
        with Ledger.open(path) as other:
            plan = replace(PLAN, generation=1)
            while not until.is_set():
                plan = other.swap_plan(plan, expected_generation=plan.generation, decision=DECISION)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            plans = [told.plan("flights") for _ in range(100)]
            assert all(len(told.standing("tree", 3, {})) == 1 for _ in range(30))
        finally:
            until.set()
        writing.result()
    generations = [plan.generation for plan in plans if plan is not None]
    assert generations == sorted(generations)
    assert len(generations) == 100


def test_a_changed_row_is_refused_when_it_is_read(told: Ledger, path: Path) -> None:
    force(path, "UPDATE records SET content = replace(content, 'pass', 'fail') WHERE sequence = 3")
    with pytest.raises(IntegrityError, match=TAMPERED):
        told.evidence(subject="abc123")
    assert told.decisions() == [DECISION]


def test_a_row_counted_anew_breaks_the_chain_behind_it(told: Ledger, path: Path) -> None:
    rewrite(path, 3, '"pass"', '"fail"')
    with pytest.raises(IntegrityError, match="row 4 of the ledger does not follow from row 3"):
        told.verify()


def test_a_digest_kept_outside_shows_a_past_cut_off(told: Ledger, path: Path) -> None:
    anchor = told.head()
    assert told.append(DECISION) == 7
    assert told.verify(anchor) == told.verify(GENESIS) == 7
    kept_outside = told.head()
    force(path, "DELETE FROM records WHERE sequence = 7")
    assert told.verify() == 6, "the database alone cannot show it"
    with pytest.raises(IntegrityError, match=f"no row of the ledger has the digest {kept_outside}"):
        told.verify(kept_outside)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda path: path.write_bytes(b"no database, but long enough " * 40), InputError, "is no ledger: .*not a database"),
        (lambda path: path.mkdir(), InputError, "cannot open the ledger .*ledger.sqlite: unable to open"),
    ],
    ids=["other file", "folder"],
)  # fmt: skip
def test_what_is_no_ledger_is_refused(path: Path, make: Any, error: type[Exception], text: str) -> None:
    make(path)
    with pytest.raises(error, match=text):
        Ledger.open(path)


def test_an_address_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(InputError, match="must be a path or a database URL; got '://'"):
        Ledger.open("://")


@pytest.mark.parametrize("below", ["ledger.sqlite", "state/ledger.sqlite"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match=r"cannot make the folder .*/file.* for the ledger: (File|Not a)"):
        Ledger.open(tmp_path / "file" / below)
    assert (tmp_path / "file").read_text() == "kept"


def test_a_file_that_cannot_be_written_is_read_and_refuses_rows(
    told: Ledger, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told.close()
    # Permissions stop nobody who runs as root; SQLite's own read-only mode stops everybody.
    with Ledger.open(f"sqlite:///file:{path}?mode=ro&uri=true") as ledger:
        assert ledger.verify() == 6
        with pytest.raises(
            InputError, match=r"cannot write the ledger .*: attempt to write a readonly database"
        ):
            ledger.append(DECISION)
    assert [left.name for left in tmp_path.iterdir() if left.is_dir()] == []
    with pytest.raises(InputError, match=r"cannot open the ledger .*: unable to open database file"):
        Ledger.open(f"sqlite:///file:{path}-missing?mode=ro&uri=true")


def test_an_unknown_kind_of_database_is_refused() -> None:
    with pytest.raises(InputError, match=r"sqlite or postgresql\+psycopg; got an address of 'nosuch'"):
        Ledger.open("nosuch://host/name")


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"in 'postgresql\+psycopg' needs the package psycopg"):
        Ledger.open("postgresql+psycopg://user:secret@host/name")


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "state" / "deep" / "ledger.sqlite") as ledger:
        assert ledger.append(DECISION) == 1


def test_readers_go_on_while_somebody_writes(told: Ledger, path: Path) -> None:
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert told.plan("flights") == PLAN
    writer.execute("ROLLBACK")
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    writer.close()


def test_a_new_file_to_which_somebody_writes_is_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("CREATE TABLE others (x)")
    writer.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr("tidewheel.evidence.schema.time.sleep", lambda _: writer.execute("ROLLBACK"))
    with Ledger.open(path) as ledger:
        assert ledger.append(DECISION) == 1
    writer.close()


def test_a_writer_that_waited_too_long_is_told(
    told: Ledger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewheel.evidence.schema.BUSY_TIMEOUT_S", 0.05)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with (
        Ledger.open(path) as impatient,
        pytest.raises(ServiceError, match="does not answer: database is locked; try again"),
    ):
        impatient.append(DECISION)
    writer.execute("ROLLBACK")
    writer.close()


def force(path: Path, *statements: str) -> None:
    """Do what only the owner of the file can: take the triggers away, then change the past."""
    connection = sqlite3.connect(path)
    triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        assert connection.execute(statement).rowcount == 1, statement
    connection.commit()
    connection.close()


def rewrite(path: Path, sequence: int, old: str, new: str) -> None:
    """Change a row's content, and count its digest anew from what the row before it says now."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    row = dict(connection.execute("SELECT * FROM records WHERE sequence = ?", (sequence,)).fetchone())
    before = "SELECT sha256 FROM records WHERE sequence = ?"
    (row["previous_sha256"],) = connection.execute(before, (sequence - 1,)).fetchone() or (GENESIS,)
    connection.close()
    assert row.pop("sha256")
    assert row["format_version"] == FORMAT_VERSION
    assert old in row["content"]
    row["content"] = row["content"].replace(old, new)
    digest, previous = row_sha256(**row), row["previous_sha256"]
    force(
        path,
        f"UPDATE records SET content = '{row['content']}', sha256 = '{digest}', previous_sha256 = '{previous}' "
        f"WHERE sequence = {sequence}",
    )


def test_a_decision_is_written_with_its_plan_or_not_at_all(ledger: Ledger) -> None:
    ledger.swap_plan(PLAN, expected_generation=0, decision=DECISION)
    assert ledger.decisions() == [DECISION]
    with pytest.raises(ConflictError):
        ledger.swap_plan(PLAN, expected_generation=0, decision=replace(DECISION, action="promote"))
    assert ledger.decisions() == [DECISION]
    assert ledger.verify() == 2


def test_several_records_are_written_as_one_each_cause_once(ledger: Ledger) -> None:
    other = replace(FINDING, finding_id="f2")
    assert ledger.append_all([(FINDING, "f1"), (other, "f2")]) == [(1, True), (2, True)]
    assert ledger.append_all([(other, "f2"), (DECISION, None)]) == [(2, False), (3, True)]
    wrong = replace(FINDING, finding_id="f3", at_utc=AT.replace(tzinfo=None))
    with pytest.raises(InputError):
        ledger.append_all([(replace(FINDING, finding_id="f4"), "f4"), (wrong, "f3")])
    assert [row.finding_id for row in ledger.findings()] == ["f1", "f2"]
    assert ledger.verify() == 3
