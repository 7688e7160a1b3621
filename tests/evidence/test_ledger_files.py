"""A ledger whose file is replaced, removed or put back while it is open: it goes on with what lies there now."""

import multiprocessing
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tidewheel.errors import ConflictError, InputError, ServiceError
from tidewheel.evidence.records import Decision, Plan
from tidewheel.evidence.store import Ledger

SPAWN = multiprocessing.get_context("spawn")
WAIT_S = 60.0
N_SWAPS = 8
AT = datetime(2013, 6, 1, tzinfo=UTC)
DECISION = Decision("promote", "m1", "guard", "no harm", AT)
PLAN = Plan("flights", 1, "m0")
OTHER_PLAN = replace(PLAN, champion="m9")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """An open ledger of a plan and a decision, which was read and written already."""
    with Ledger.open(path) as opened:
        opened.swap_plan(PLAN, expected_generation=0)
        opened.append(DECISION)
        assert opened.plan("flights") == PLAN
        yield opened


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The closed file of another ledger, of one plan."""
    with Ledger.open(tmp_path / "other.sqlite") as made:
        made.swap_plan(OTHER_PLAN, expected_generation=0)
    return tmp_path / "other.sqlite"


def rows_in(path: Path) -> list[str]:
    """Read the kinds of the rows of a ledger's file, without Tidewheel."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    found = [kind for (kind,) in connection.execute("SELECT kind FROM records ORDER BY sequence")]
    connection.close()
    return found


ADDRESSES = pytest.mark.parametrize(
    "address", ["{}", "sqlite:///{}", "sqlite:///file:{}?uri=true"], ids=["path", "url", "SQLite's own"]
)


@ADDRESSES
def test_a_file_that_was_replaced_is_the_ledger_from_then_on(
    ledger: Ledger, path: Path, other: Path, address: str
) -> None:
    with Ledger.open(address.format(path)) as opened:
        assert opened.plan("flights") == PLAN
        aside = path.with_name("aside.sqlite")
        path.rename(aside)
        os.replace(other, path)
        assert opened.plan("flights") == OTHER_PLAN
        assert opened.verify() == 1
        assert opened.append(DECISION) == 2
        assert opened.swap_plan(OTHER_PLAN, expected_generation=1).generation == 2
    assert rows_in(path) == ["plan", "decision", "plan"]
    assert rows_in(aside) == ["plan", "decision"]


@pytest.mark.parametrize("write", [False, True], ids=["read first", "write first"])
def test_a_row_is_written_to_the_new_file_and_never_lost(
    ledger: Ledger, path: Path, other: Path, write: bool
) -> None:
    os.replace(other, path)
    if not write:
        assert ledger.decisions() == []
    assert ledger.append(DECISION) == 2
    assert rows_in(path) == ["plan", "decision"]


@ADDRESSES
@pytest.mark.parametrize(
    "remove", [Path.unlink, lambda path: shutil.rmtree(path.parent)], ids=["file", "folder"]
)
def test_a_file_that_is_gone_is_told_and_not_made_again(
    path: Path, address: str, remove: Callable[[Path], None]
) -> None:
    with Ledger.open(address.format(path)) as ledger:
        ledger.append(DECISION)
        remove(path)
        for use in (ledger.verify, ledger.decisions, ledger.head, lambda: ledger.append(DECISION),
                    lambda: ledger.plan("flights"), lambda: ledger.swap_plan(PLAN, expected_generation=0)):  # fmt: skip
            with pytest.raises(InputError, match=r"^the ledger \S*ledger.sqlite\S* is gone: [^.]*$"):
                use()  # type: ignore[operator]
        assert not path.exists()


def test_a_file_that_comes_back_is_used_again(ledger: Ledger, path: Path, tmp_path: Path) -> None:
    for _ in range(2):
        path.rename(tmp_path / "aside")
        with pytest.raises(InputError, match="is gone"):
            ledger.append(DECISION)
        (tmp_path / "aside").rename(path)
        assert ledger.plan("flights") == PLAN
    assert ledger.append(DECISION) == 3
    assert ledger.verify() == 3


def make_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE others (x)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (Path.touch, "ledger.sqlite is no ledger any more: it has no table of records"),
        (make_database, "ledger.sqlite is no ledger any more: it has no table of records"),
        (lambda path: path.write_text("no database " * 99), "is no ledger any more: file is not a database"),
        (Path.mkdir, "cannot write the ledger .*: unable to open database file"),
    ],
    ids=["empty", "another database", "text", "folder"],
)  # fmt: skip
def test_what_is_no_ledger_is_refused_and_no_ledger_is_made_of_it(
    ledger: Ledger, path: Path, tmp_path: Path, make: Callable[[Path], None], text: str
) -> None:
    path.rename(tmp_path / "aside")
    make(path)
    for use in (ledger.verify, lambda: ledger.append(DECISION), lambda: ledger.plan("flights")):
        with pytest.raises(InputError, match=text):
            use()  # type: ignore[operator]
    assert path.is_dir() or b"records" not in path.read_bytes()
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    (tmp_path / "aside").rename(path)
    assert ledger.plan("flights") == PLAN


def test_nothing_lies_beside_the_file_that_a_new_one_could_take_for_its_own(
    ledger: Ledger, path: Path
) -> None:
    ledger.append(DECISION)
    ledger.verify()
    assert {found.name for found in path.parent.iterdir()} == {path.name, f"{path.name}-lock"}


class Replacing(Sequence[tuple[Any, None]]):
    """Two records; between them the ledger's file is replaced, in the middle of the transaction that writes them."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._n_passes = 0

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        if index >= 2:
            raise IndexError
        self._n_passes += index == 0
        if self._n_passes == 2 and index == 1:  # the first pass only looks for plans
            self._act()
        return DECISION, None


def test_a_file_replaced_in_the_middle_of_a_write_is_told(ledger: Ledger, path: Path, other: Path) -> None:
    aside = path.with_name("aside.sqlite")

    def act() -> None:
        path.rename(aside)
        os.replace(other, path)

    with pytest.raises(ConflictError, match=r"was replaced while rows were written to it, .*; read it again"):
        ledger.append_all(Replacing(act))
    assert ledger.verify() == 1
    assert ledger.append(DECISION) == 2
    assert rows_in(path) == ["plan", "decision"]
    assert rows_in(aside) == ["plan", "decision", "decision", "decision"]


def test_a_file_removed_in_the_middle_of_a_write_is_told(ledger: Ledger, path: Path) -> None:
    with pytest.raises(InputError, match="is gone"):
        ledger.append_all(Replacing(path.unlink))
    assert not path.exists()


def test_threads_go_on_with_the_new_file(ledger: Ledger, path: Path, other: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: ledger.plan("flights").champion, range(16))) == {"m0"}  # type: ignore[union-attr]
        os.replace(other, path)
        assert set(pool.map(lambda _: ledger.plan("flights").champion, range(16))) == {"m9"}  # type: ignore[union-attr]
        assert sorted(pool.map(lambda _: ledger.append(DECISION), range(16))) == list(range(2, 18))
    assert ledger.verify() == 17
    assert rows_in(path) == ["plan", *["decision"] * 16]


def use_until(path: Path, writes: bool, done: Any, answers: Any) -> None:
    """Use a ledger without pause until told; answer how many rows were written, and how many were told to be lost."""
    n_written = n_lost = 0
    with Ledger.open(path) as ledger:
        answers.put("ready")
        while not done.is_set():
            try:
                if writes:
                    ledger.append(DECISION)
                    n_written += 1
                else:
                    ledger.plan("flights")
                    ledger.decisions()
            except ConflictError:
                n_lost += 1
    answers.put((n_written, n_lost))


def test_processes_that_use_a_file_while_it_is_replaced_spoil_neither(tmp_path: Path, path: Path) -> None:
    kept = []
    for number in range(N_SWAPS + 1):
        with Ledger.open(tmp_path / f"new-{number}") as made:
            made.swap_plan(replace(PLAN, champion=f"m{number}"), expected_generation=0)
        kept.append(tmp_path / f"kept-{number}")
        os.link(tmp_path / f"new-{number}", kept[-1])
    os.replace(tmp_path / "new-0", path)
    done, answers = SPAWN.Event(), SPAWN.Queue()
    processes = [
        SPAWN.Process(target=use_until, args=(path, writes, done, answers), daemon=True)
        for writes in (True, True, False)
    ]
    for process in processes:
        process.start()
    assert [answers.get(timeout=WAIT_S) for _ in processes] == ["ready"] * 3
    for number in range(1, N_SWAPS + 1):
        os.replace(tmp_path / f"new-{number}", path)
        wait_for_rows(path, 3)
    done.set()
    told = [answers.get(timeout=WAIT_S) for _ in processes]
    for process in processes:
        process.join(WAIT_S)
        assert process.exitcode == 0
    rows = 0
    for number, file in enumerate(kept):
        with Ledger.open(file) as ledger:
            rows += ledger.verify() - 1
            plan = ledger.plan("flights")
            assert plan is not None
            assert plan.champion == f"m{number}"
    n_written, n_lost = (sum(counts) for counts in zip(*told, strict=True))
    assert n_written <= rows <= n_written + n_lost


def wait_for_rows(path: Path, n_rows: int) -> None:
    """Wait until others have written so many rows to a ledger."""
    until = time.monotonic() + WAIT_S
    with Ledger.open(path) as ledger:
        while len(ledger.rows()) < n_rows:
            assert time.monotonic() < until, f"no {n_rows} rows within {WAIT_S} s"


def test_a_process_that_does_not_let_the_former_file_go_is_told(
    ledger: Ledger, path: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidewheel.evidence.store.BUSY_TIMEOUT_S", 0.05)
    with Ledger.open(path) as impatient, ledger._reading():
        os.replace(other, path)
        with pytest.raises(
            ServiceError, match="was replaced, and a process that uses its former file does not end"
        ):
            impatient.plan("flights")
    assert ledger.plan("flights") == OTHER_PLAN


def test_a_ledger_in_memory_is_kept_between_transactions() -> None:
    for address in (
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:one?mode=memory&cache=shared&uri=true",
    ):
        with Ledger.open(address) as ledger:
            ledger.swap_plan(PLAN, expected_generation=0)
            assert ledger.plan("flights") == PLAN
            assert ledger.verify() == 1
