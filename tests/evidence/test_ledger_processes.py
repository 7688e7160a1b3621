"""The ledger among processes: one of two promoters wins, all writers are heard, and kill -9 leaves whole rows."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tidewheel.errors import ConflictError
from tidewheel.evidence.records import Decision, Plan
from tidewheel.evidence.store import Ledger

SPAWN = multiprocessing.get_context("spawn")
WAIT_S = 60.0
AT = datetime(2013, 6, 1, tzinfo=UTC)
DECISION = Decision("promote", "m1", "guard", "no harm", AT)
PLAN = Plan("flights", 1, "m0")
N_ROUNDS = 20


def promote(path: Path, gate: Any, name: str, answers: Connection) -> None:
    """Read the plan, wait until the rival has read it too, then try to put `name` in force; round after round."""
    with Ledger.open(path) as ledger:
        for _ in range(N_ROUNDS):
            plan = ledger.plan("flights")
            assert plan is not None
            gate.wait(WAIT_S)
            try:
                swapped = ledger.swap_plan(replace(plan, champion=name), expected_generation=plan.generation)
                answers.send(swapped)
            except ConflictError as error:
                answers.send(str(error))
            gate.wait(WAIT_S)


def test_of_two_promoters_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        ledger.swap_plan(PLAN, expected_generation=0)
    gate = SPAWN.Barrier(2)
    with started(promote, path, gate, "m1") as first, started(promote, path, gate, "m2") as second:
        for generation in range(1, N_ROUNDS + 1):
            won, lost = sorted((receive(first), receive(second)), key=lambda answer: isinstance(answer, str))
            assert isinstance(won, Plan)
            assert won.generation == generation + 1
            assert f"is at generation {generation + 1}, not {generation}" in lost
    with Ledger.open(path) as ledger:
        assert ledger.verify() == N_ROUNDS + 1
        assert ledger.plan("flights") == won


def append_many(path: Path, gate: Any, name: str, answers: Connection) -> None:
    """Open a ledger that nobody has made yet, together with the others, and write own rows and shared ones."""
    gate.wait(WAIT_S)
    with Ledger.open(path) as ledger:
        own = [ledger.append(replace(DECISION, subject=name)) for _ in range(25)]
        shared = [ledger.append(DECISION, cause=f"step {step}") for step in range(10)]
    answers.send((own, shared))


def test_writers_that_open_a_new_ledger_at_once_are_all_heard(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    gate = SPAWN.Barrier(3)
    with (
        started(append_many, path, gate, "a") as a,
        started(append_many, path, gate, "b") as b,
        started(append_many, path, gate, "c") as c,
    ):
        answers = [receive(end) for end in (a, b, c)]
    shared = answers[0][1]
    assert [steps for _, steps in answers] == [shared] * 3, "one cause is one row, whoever wrote it"
    assert sorted(sum((own for own, _ in answers), start=list(shared))) == list(range(1, 86))
    with Ledger.open(path) as ledger:
        assert ledger.verify() == 85
        assert [len(ledger.decisions(subject=name)) for name in "abc"] == [25, 25, 25]


def append_until_killed(path: Path, first: int, answers: Connection) -> None:
    """Write decisions and plans without end, and say of each that it is written, after it is."""
    with Ledger.open(path) as ledger:
        plan = ledger.plan("flights") or replace(PLAN, generation=0)
        step = first
        while True:
            answers.send(("decision", ledger.append(DECISION, cause=f"step {step}")))
            plan = ledger.swap_plan(plan, expected_generation=plan.generation)
            answers.send(("plan", plan.generation))
            step += 1


def test_kill_9_in_the_middle_of_appends_loses_nothing_and_halves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    for n_seen in (1, 2, 5, 8):
        with Ledger.open(path) as ledger:
            before = ledger.verify()
        said = killed_after(n_seen, path, before)
        with Ledger.open(path) as ledger:
            rows = ledger.verify()
            # The one that was being written when the signal came is there as a whole, or not at all.
            assert before + len(said) <= rows <= before + len(said) + 1
            present = {("decision", row.sequence) for row in ledger.rows(kind="decision")}
            generations = [
                row.record.generation for row in ledger.rows("plan") if isinstance(row.record, Plan)
            ]
            assert set(said) <= present | {("plan", generation) for generation in generations}
            assert generations == list(range(1, len(generations) + 1))
            plan = ledger.plan("flights")
            assert (plan.generation if plan is not None else 0) == len(generations)


def test_a_step_run_again_after_kill_9_finds_its_row(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    said = killed_after(1, path, 0)
    assert said[0] == ("decision", 1)
    with Ledger.open(path) as ledger:
        assert ledger.append(DECISION, cause="step 0") == 1


def killed_after(n_seen: int, path: Path, first: int) -> list[tuple[str, int]]:
    """Kill a writer by SIGKILL once it has said `n_seen` rows; give all that it said before it died."""
    ours, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=append_until_killed, args=(path, first, theirs))
    process.start()
    theirs.close()
    said = [receive(ours) for _ in range(n_seen)]
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    join(process)
    assert process.exitcode == -signal.SIGKILL
    try:
        while ours.poll():
            said.append(ours.recv())
    except EOFError:
        pass
    ours.close()
    return said


@contextmanager
def started(target: Callable[..., None], *args: Any) -> Iterator[Connection]:
    """Run `target` in a process of its own; give the end on which its answers arrive."""
    ours, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=target, args=(*args, theirs))
    process.start()
    theirs.close()
    try:
        yield ours
        join(process)
        assert process.exitcode == 0
    finally:
        if process.is_alive():
            process.kill()
            join(process)
        ours.close()


def receive(end: Connection) -> Any:
    assert end.poll(WAIT_S), f"no answer within {WAIT_S} s"
    return end.recv()


def join(process: BaseProcess) -> None:
    process.join(WAIT_S)
    assert not process.is_alive(), f"a process did not end within {WAIT_S} s"
