"""Writers of data versions at the same time, as processes and as threads: each keeps its content, and only its content."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable

from tidewheel.data import versions
from tidewheel.data.versions import canonical, content_sha256, read_version, write_version
from tidewheel.evidence.records import DataVersion

SPAWN = multiprocessing.get_context("spawn")
WAIT_S = 120.0
WRITERS_MAX = 6
N_TRIALS = 40
N_TRIALS_THREADS = 10
MOMENT = datetime(2013, 4, 1, tzinfo=UTC)

SCHEMAS: list[list[pl.Expr]] = [
    [],
    [pl.col("x").cast(pl.Float64)],
    [pl.col("x").cast(pl.String), pl.lit(True).alias("flag")],
    [pl.lit("text").alias("y"), pl.lit(None, pl.Date).alias("day")],
]


def content(trial: int, writer: int) -> pl.DataFrame:
    """Give what a writer keeps in a trial: by turns all the same, every one its own, and own ones with own columns."""
    own = [0, writer, writer][trial % 3]
    n = 20 + own
    frame = pl.DataFrame(
        {"at": [MOMENT + timedelta(hours=hour) for hour in range(n)], "x": list(range(own, own + n))},
        schema={"at": pl.Datetime("us", "UTC"), "x": pl.Int64},
    )
    return frame.with_columns(SCHEMAS[writer % len(SCHEMAS)] if trial % 3 == 2 else [])


def table(folder: Path, trial: int) -> Path:
    """Name the table of a trial: every second one is new, all others write to one that grows and grows."""
    return folder / (f"new-{trial}" if trial % 2 else "grows")


def n_writers(trial: int) -> int:
    """Say how many write in a trial: two to six by turns."""
    return 2 + trial // 3 % (WRITERS_MAX - 1)


def keep(frame: pl.DataFrame, uri: Path) -> DataVersion:
    return write_version(frame, uri, name="rows", contract_sha256="c" * 64, event_time="at")


def write_in_trials(folder: Path, gate: Any, writer: int, answers: Any) -> None:
    """Keep the content of each trial in which this writer takes part, together with the others."""
    for trial in range(N_TRIALS):
        gate.wait(WAIT_S)
        if writer < n_writers(trial):
            try:
                answer: DataVersion | str = keep(content(trial, writer), table(folder, trial))
            except Exception as error:
                answer = repr(error)
            answers.put((trial, writer, answer))


def check_kept(folder: Path, trial: int, answers: dict[int, DataVersion | str]) -> None:
    """Check that each writer's version exists and reads as it was written, and that equal contents share one."""
    shared: dict[str, set[int]] = {}
    for writer, answer in answers.items():
        frame = content(trial, writer)
        assert isinstance(answer, DataVersion), f"trial {trial}, writer {writer} of {len(answers)}: {answer}"
        assert answer.content_sha256 == content_sha256(frame)
        assert read_version(answer.uri, answer.delta_version, answer.content_sha256).equals(canonical(frame))
        shared.setdefault(answer.content_sha256, set()).add(answer.delta_version)
    assert all(len(found) == 1 for found in shared.values()), f"trial {trial}: {shared}"
    assert len(set().union(*shared.values())) == len(shared), f"trial {trial}: {shared}"
    assert len(answers) == n_writers(trial)


def check_table(uri: Path, hashes: set[str]) -> None:
    """Check that a table holds each content once and nothing else: no rows of two writers in one version."""
    held = [
        content_sha256(read_version(uri, version)) for version in range(DeltaTable(str(uri)).version() + 1)
    ]
    assert sorted(held) == sorted(hashes)


def check_trials(folder: Path, answers: dict[tuple[int, int], DataVersion | str], n_trials: int) -> None:
    hashes: dict[Path, set[str]] = {}
    for trial in range(n_trials):
        told = {writer: answer for (of, writer), answer in answers.items() if of == trial}
        check_kept(folder, trial, told)
        written = {content_sha256(content(trial, writer)) for writer in told}
        hashes.setdefault(table(folder, trial), set()).update(written)
    for uri, expected in hashes.items():
        check_table(uri, expected)


def test_processes_that_write_at_once_each_keep_their_content(tmp_path: Path) -> None:
    gate, answers = SPAWN.Barrier(WRITERS_MAX), SPAWN.Queue()
    processes = [
        SPAWN.Process(target=write_in_trials, args=(tmp_path, gate, writer, answers), daemon=True)
        for writer in range(WRITERS_MAX)
    ]
    for process in processes:
        process.start()
    told = {}
    for _ in range(sum(map(n_writers, range(N_TRIALS)))):
        trial, writer, answer = answers.get(timeout=WAIT_S)
        told[trial, writer] = answer
    for process in processes:
        process.join(WAIT_S)
        assert process.exitcode == 0
    check_trials(tmp_path, told, N_TRIALS)


def test_threads_that_write_at_once_each_keep_their_content(tmp_path: Path) -> None:
    told: dict[tuple[int, int], DataVersion | str] = {}
    for trial in range(N_TRIALS_THREADS):
        gate = threading.Barrier(n_writers(trial))

        def write(writer: int, trial: int = trial, gate: threading.Barrier = gate) -> DataVersion:
            gate.wait(WAIT_S)
            return keep(content(trial, writer), table(tmp_path, trial))

        with ThreadPoolExecutor(WRITERS_MAX) as pool:
            told.update({(trial, writer): answer for writer, answer in
                         enumerate(pool.map(write, range(n_writers(trial))))})  # fmt: skip
    check_trials(tmp_path, told, N_TRIALS_THREADS)


def die_before_reading_back(uri: Path) -> None:
    """Commit a version, and be killed before it is read back."""
    versions.read_version = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    keep(content(0, 0), uri)


@pytest.mark.parametrize("lost", [False, True], ids=["rows are there", "rows were lost with it"])
def test_a_writer_killed_between_writing_and_reading_back_harms_nobody(tmp_path: Path, lost: bool) -> None:
    uri = tmp_path / "t"
    process = SPAWN.Process(target=die_before_reading_back, args=(uri,))
    process.start()
    process.join(WAIT_S)
    assert process.exitcode == -signal.SIGKILL
    assert DeltaTable(str(uri)).version() == 0
    if lost:
        (path,) = uri.glob("*.parquet")
        path.write_bytes(path.read_bytes()[:-9])
    version = keep(content(0, 0), uri)
    assert version.delta_version == (1 if lost else 0)
    assert read_version(uri, version.delta_version, version.content_sha256).equals(content(0, 0))


def test_a_writer_goes_on_however_often_others_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, rivals = tmp_path / "t", iter(range(1, versions.ATTEMPTS_MAX + 3))
    commit = versions.write_deltalake

    def lose(*args: Any, **options: Any) -> None:
        rival = next(rivals, None)
        if rival is not None:
            monkeypatch.setattr(versions, "write_deltalake", commit)
            keep(content(1, rival), uri)
            monkeypatch.setattr(versions, "write_deltalake", lose)
        commit(*args, **options)

    monkeypatch.setattr(versions, "write_deltalake", lose)
    version = keep(content(1, 0), uri)
    assert version.delta_version == versions.ATTEMPTS_MAX + 2
    assert read_version(uri, version.delta_version, version.content_sha256).equals(content(1, 0))
