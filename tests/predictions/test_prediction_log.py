import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError

from tidewheel.errors import InputError
from tidewheel.predictions.log import Moved, PredictionLog, append_batch, read_log, read_pairs, recover
from tidewheel.predictions.records import PAIR_SCHEMA, PREDICTION_SCHEMA, Pair, Prediction

AT = datetime(2013, 4, 1, 5, 15, tzinfo=UTC)
NEVER = float("inf")


def prediction(name: str, **changes: object) -> Prediction:
    given: dict[str, object] = {
        "request_id": name,
        "row": 0,
        "key": "UA1545",
        "at_utc": AT,
        "wall_utc": AT + timedelta(days=4000, microseconds=7),
        "generation": 3,
        "arm": "champion",
        "assigned_model": "a" * 64,
        "model_version": "a" * 64,
        "rung": "champion",
        "score": 0.1 + 0.2,
        "latency_ms": 1.25,
        "error": None,
        "source": "http",
        "inputs": '{"dest":"\\"ü\\n\u2028☃","temp":null}',
    }
    return Prediction(**{**given, **changes})  # type: ignore[arg-type]


def pair(name: str, score_candidate: float | None = 0.25, error: str | None = None) -> Pair:
    return Pair(name, 0, "UA1545", AT, AT, 3, "a" * 64, "b" * 64, 0.5, score_candidate, error)


def names(folder: Path) -> list[str]:
    return sorted(read_log(folder)["request_id"])


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "segments").rglob("*.jsonl"))


def wait_for(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.01)


def test_without_a_log_there_are_no_rows_but_all_columns(tmp_path: Path) -> None:
    for uri in (tmp_path, str(tmp_path / "nowhere")):
        assert read_log(uri).schema == PREDICTION_SCHEMA
        assert read_pairs(uri).schema == PAIR_SCHEMA
        assert read_log(uri).height == read_pairs(uri).height == 0
        assert recover(uri) == Moved()


def test_every_field_comes_back_as_it_was(tmp_path: Path) -> None:
    full = prediction("r1", row=2, arm="candidate", model_version="heuristic", rung="heuristic", error="late")
    empty = prediction("r2", model_version=None, rung=None, score=None, latency_ms=None)
    with PredictionLog(tmp_path, "front", NEVER) as log:
        log.append([full])
        log.append([empty])
        log.append([])
        log.append_pairs([pair("r1"), pair("r2", None, "late")])
        assert log.flush() == Moved(predictions=2, pairs=2)
        assert log.flush() == Moved()
        assert log.moved == Moved(predictions=2, pairs=2)
    rows = read_log(tmp_path).sort("request_id")
    assert rows.schema == PREDICTION_SCHEMA
    for row, record in zip(rows.iter_rows(named=True), (full, empty), strict=True):
        assert row == {name: getattr(record, name) for name in PREDICTION_SCHEMA}
    pairs = read_pairs(tmp_path).sort("request_id")
    assert pairs.schema == PAIR_SCHEMA
    for row, record in zip(pairs.iter_rows(named=True), (pair("r1"), pair("r2", None, "late")), strict=True):
        assert row == {name: getattr(record, name) for name in PAIR_SCHEMA}


def test_scores_that_are_not_finite_are_logged_as_none(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, "front", NEVER) as log:
        log.append([prediction("r", score=float("nan"), error="non-finite score nan")])
    assert read_log(tmp_path)["score"].to_list() == [None]


def test_a_time_of_another_zone_is_the_same_instant(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, "front", NEVER) as log:
        log.append(
            [prediction("utc"), prediction("far", at_utc=AT.astimezone(timezone(timedelta(hours=-5))))]
        )
        log.append([prediction("none", at_utc=AT.replace(tzinfo=None))])
    assert read_log(tmp_path)["at_utc"].to_list() == [AT] * 3


def test_a_record_is_in_its_segment_when_append_returns(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, "front", NEVER) as log:
        log.append([prediction("r1"), prediction("r2")])
        (segment,) = segments(tmp_path)
        assert segment.read_bytes().count(b"\n") == 2
        assert names(tmp_path) == []
        assert log.close() == Moved(predictions=2)
        assert log.close() == Moved()
        with pytest.raises(
            InputError, match="the prediction log must be open to be appended to; it is closed"
        ):
            log.append([prediction("r3")])
    assert names(tmp_path) == ["r1", "r2"]
    assert [path.name for path in (tmp_path / "segments").iterdir()] == [".gate"]


def test_rows_move_by_themselves(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, "front", 0.02) as log:
        log.append([prediction("r1")])
        wait_for(lambda: names(tmp_path) == ["r1"])
        log.append([prediction("r2")])
        wait_for(lambda: names(tmp_path) == ["r1", "r2"])
    assert not [thread for thread in threading.enumerate() if thread.name == "log of front"]


def test_many_threads_of_several_writers_lose_and_double_nothing(tmp_path: Path) -> None:
    """Two writers also race to create the tables."""
    logs = [PredictionLog(tmp_path, "front", 0.005) for _ in range(2)]
    start = threading.Barrier(8)

    def write(number: int) -> None:
        start.wait(10)
        for index in range(100):
            logs[number % 2].append([prediction(f"r{number}-{index}-{part}") for part in range(2)])
            logs[number % 2].append_pairs([pair(f"r{number}-{index}")])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for log in logs:
        log.close()
    expected = itertools.product(range(8), range(100), range(2))
    assert names(tmp_path) == sorted(f"r{number}-{index}-{part}" for number, index, part in expected)
    assert read_pairs(tmp_path)["request_id"].n_unique() == read_pairs(tmp_path).height == 800
    assert sum((log.moved for log in logs), Moved()) == Moved(predictions=1600, pairs=800)


def test_while_delta_is_away_rows_wait(tmp_path: Path) -> None:
    (tmp_path / "predictions").write_text("in the way")
    log = PredictionLog(tmp_path, "front", 0.02)
    log.append([prediction("r1")])
    wait_for(lambda: log.failures > 0)
    log.append([prediction("r2")])
    with pytest.raises((DeltaError, OSError)):
        log.flush()
    (tmp_path / "predictions").unlink()
    wait_for(lambda: log.failing_since is None)
    log.close()
    assert names(tmp_path) == ["r1", "r2"]


def test_every_failed_move_is_counted_and_the_last_one_explained(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, "front", NEVER)
    assert (log.failures, log.failing_since, log.last_error, log.waiting, log.problem) == (
        0,
        None,
        None,
        0,
        None,
    )
    log.append([prediction("r1"), prediction("r2")])
    log.append_pairs([pair("r1")])
    (tmp_path / "predictions").write_text("in the way")
    began_utc = datetime.now(UTC)
    since = []
    for failed in (1, 2):
        with pytest.raises((DeltaError, OSError)):
            log.flush()
        assert (log.failures, log.waiting, log.lost) == (failed, 3, 0)
        assert log.last_error is not None
        assert str(tmp_path / "predictions") in log.last_error
        since.append(log.failing_since)
    assert since[0] == since[1]
    assert since[0] is not None
    assert began_utc <= since[0] <= datetime.now(UTC)
    assert log.problem == (
        "3 rows of the prediction log wait in segments; moving them into Delta has failed since "
        f"{since[0]:%Y-%m-%d %H:%M:%S} UTC: {log.last_error}"
    )
    (tmp_path / "predictions").unlink()
    assert log.flush() == Moved(predictions=2, pairs=1)
    assert (log.failures, log.failing_since, log.last_error, log.waiting, log.problem) == (
        2,
        None,
        None,
        0,
        None,
    )
    log.close()


def test_what_was_moved_before_a_move_failed_is_counted(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, "front", NEVER)
    log.append([prediction("r1")])
    log.append_pairs([pair("r1")])
    (tmp_path / "pairs").write_text("in the way")
    with pytest.raises((DeltaError, OSError)):
        log.flush()
    assert (names(tmp_path), log.moved, log.waiting) == (["r1"], Moved(predictions=1), 1)
    (tmp_path / "pairs").unlink()
    assert log.close() == Moved(pairs=1)
    assert log.moved == Moved(predictions=1, pairs=1)


@pytest.mark.parametrize("writer", ["", "a/b", ".hidden"])
def test_a_writer_has_a_name_that_is_a_folder(tmp_path: Path, writer: str) -> None:
    with pytest.raises(InputError, match="`writer` must be a name without slashes or a leading point; got"):
        PredictionLog(tmp_path, writer)


@pytest.mark.parametrize("flush_s", [0.0, -1.0, float("nan")])
def test_the_time_between_moves_is_positive(tmp_path: Path, flush_s: float) -> None:
    with pytest.raises(InputError, match="`flush_s` must be positive; got"):
        PredictionLog(tmp_path, "front", flush_s)


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        PredictionLog(tmp_path / "file" / "log", "front")


def test_a_batch_is_one_commit_for_each_table(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, "front", NEVER) as log:
        log.append([prediction("r1")])
        log.append_pairs([pair("r1")])
    again, pairs = read_log(tmp_path), read_pairs(tmp_path)
    append_batch(
        tmp_path, again.with_columns(pl.col("row").cast(pl.Int8)), pairs.select(reversed(pairs.columns))
    )
    append_batch(tmp_path, again.clear(), None)
    append_batch(tmp_path)
    assert names(tmp_path) == ["r1", "r1"]
    assert read_pairs(tmp_path).equals(pl.concat([pairs, pairs]))
    assert [DeltaTable(tmp_path / name).version() for name in ("predictions", "pairs")] == [1, 1]


def test_a_batch_without_its_columns_writes_nothing(tmp_path: Path) -> None:
    rows = pl.DataFrame([dict.fromkeys(PREDICTION_SCHEMA)], schema=PREDICTION_SCHEMA)
    with pytest.raises(InputError, match="`predictions` must have the column `score`; got request_id"):
        append_batch(tmp_path, rows.drop("score"))
    with pytest.raises(InputError, match="`pairs` must have the column `champion`; got request_id"):
        append_batch(tmp_path, rows, rows)
    with pytest.raises(InputError, match="the columns of `predictions` must have their types"):
        append_batch(tmp_path, rows.with_columns(score=pl.lit("high")))
    assert list(tmp_path.iterdir()) == []


# What follows ends real processes by SIGKILL, each at a chosen point.

CHILD = """
import os, signal, sys
from pathlib import Path
from deltalake.exceptions import DeltaError
sys.path.insert(0, {tests!r})
from test_prediction_log import NEVER, pair, prediction
from tidewheel.predictions import log as prediction_log
from tidewheel.predictions import segments as log_segments
from tidewheel.predictions.log import PredictionLog, recover

folder = Path({folder!r})

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def then_die(act, calls=1):
    left = [calls]
    def acting(*given, **named):
        act(*given, **named)
        left[0] -= 1
        if not left[0]:
            die()
    return acting

def fail(*_, **__):
    raise DeltaError("away")

{body}
print("not ended", flush=True)
"""

FILLED = """
log = PredictionLog(folder, "front", NEVER)
log.append([prediction("r1"), prediction("r2")])
log.append_pairs([pair("r1")])
"""

TWO_SEGMENTS = (
    FILLED
    + """
write, prediction_log.write_deltalake = prediction_log.write_deltalake, fail
log._try_flush()
prediction_log.write_deltalake = write
log.append([prediction("r3")])
"""
)

POINTS = {
    "after an append": FILLED + "die()",
    "in the middle of a line": FILLED
    + "write = os.write\nos.write = then_die(lambda file, line: write(file, line[:50]))\nlog.append([prediction('r9')])",
    "between two lines of one append": FILLED
    + "write = os.write\nos.write = then_die(lambda file, line: write(file, line[:line.index(b'\\n') + 1]))\n"
    "log.append([prediction('r3'), prediction('r9')])",
    "before the commit": FILLED + "prediction_log.write_deltalake = die\nlog.flush()",
    "between commit and deletion": FILLED
    + "prediction_log.write_deltalake = then_die(prediction_log.write_deltalake)\nlog.flush()",
    "between the tables": FILLED
    + "act = prediction_log._move_batch\nprediction_log._move_batch = then_die(act)\nlog.flush()",
    "after the commit of both tables": FILLED
    + "prediction_log.write_deltalake = then_die(prediction_log.write_deltalake, 2)\nlog.flush()",
    "between two deletions": TWO_SEGMENTS + "Path.unlink = then_die(Path.unlink)\nlog.flush()",
    "after a move, with more to move": FILLED
    + "log.flush()\nlog.append([prediction('r3')])\nprediction_log.write_deltalake = die\nlog.flush()",
    "before its folder is removed": FILLED + "prediction_log.remove_place = die\nlog.close()",
    "in the middle of removing its folder": FILLED + "Path.rmdir = die\nlog.close()",
}
THREE = {"between two lines of one append", "between two deletions", "after a move, with more to move"}


def run_to_its_end(folder: Path, body: str) -> None:
    code = CHILD.format(tests=str(Path(__file__).parent), folder=str(folder), body=body)
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, ""), ended.stderr


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_writer_loses_and_doubles_nothing(tmp_path: Path, point: str) -> None:
    run_to_its_end(tmp_path, POINTS[point])
    before = read_log(tmp_path).height
    moved = recover(tmp_path)
    assert names(tmp_path) == (["r1", "r2", "r3"] if point in THREE else ["r1", "r2"])
    assert read_pairs(tmp_path)["request_id"].to_list() == ["r1"]
    assert moved.predictions == read_log(tmp_path).height - before
    assert moved.torn == (1 if point == "in the middle of a line" else 0)
    assert recover(tmp_path) == Moved()
    assert [path.name for path in (tmp_path / "segments").iterdir()] == [".gate"]


@pytest.mark.parametrize(
    "body",
    [
        "prediction_log.write_deltalake = die",
        "prediction_log.write_deltalake = then_die(prediction_log.write_deltalake)",
        "prediction_log._move_batch = then_die(prediction_log._move_batch)",
        "prediction_log.remove_place = die",
        "Path.rmdir = die",
    ],
    ids=["before the commit", "after the commit", "between the tables", "at the end", "removing"],
)
def test_a_killed_recovery_loses_and_doubles_nothing(tmp_path: Path, body: str) -> None:
    run_to_its_end(tmp_path, POINTS["after an append"])
    run_to_its_end(tmp_path, body + "\nrecover(folder)")
    recover(tmp_path)
    assert names(tmp_path) == ["r1", "r2"]
    assert read_pairs(tmp_path)["request_id"].to_list() == ["r1"]
    assert segments(tmp_path) == []


def test_a_writer_killed_while_it_opens_leaves_no_trouble(tmp_path: Path) -> None:
    run_to_its_end(tmp_path, "log_segments._try_lock = die\nPredictionLog(folder, 'front', NEVER)")
    assert len(list((tmp_path / "segments").glob("front-*"))) == 1
    assert recover(tmp_path) == Moved()
    assert list((tmp_path / "segments").glob("front-*")) == []


def test_what_is_in_stays_in_behind_a_checkpoint(tmp_path: Path) -> None:
    """Delta may rewrite its log; that a segment is in must survive it."""
    run_to_its_end(tmp_path, POINTS["between commit and deletion"])
    DeltaTable(tmp_path / "predictions").create_checkpoint()
    (tmp_path / "predictions" / "_delta_log" / f"{0:020d}.json").unlink()
    recover(tmp_path)
    assert names(tmp_path) == ["r1", "r2"]


def test_opening_and_flushing_bring_in_what_the_dead_left(tmp_path: Path) -> None:
    run_to_its_end(tmp_path, POINTS["after an append"])
    with PredictionLog(tmp_path, "front", NEVER) as log:
        assert log.moved == Moved(predictions=2, pairs=1)
        run_to_its_end(tmp_path, POINTS["after an append"].replace('"r', '"s'))
        log.append([prediction("t")])
        assert log.flush() == Moved(predictions=3, pairs=1)
    assert names(tmp_path) == ["r1", "r2", "s1", "s2", "t"]


def test_lines_that_are_no_records_are_counted_and_kept(tmp_path: Path) -> None:
    run_to_its_end(tmp_path, POINTS["after an append"])
    segment = segments(tmp_path)[-1]
    first, second = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(first + b'{"request_id": 7}\n\x00\x00\x00\n' + second + second[:9])
    assert recover(tmp_path) == Moved(predictions=2, pairs=1, torn=1, unreadable=2)
    assert names(tmp_path) == ["r1", "r2"]
    (kept,) = (tmp_path / "unreadable").iterdir()
    assert kept.read_bytes().startswith(first + b'{"request_id": 7}\n')


@contextmanager
def running(folder: Path, body: str) -> Iterator[subprocess.Popen[str]]:
    code = CHILD.format(tests=str(Path(__file__).parent), folder=str(folder), body=body)
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate(timeout=60)


def test_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    with running(tmp_path, FILLED + "print('filled', flush=True)\nsys.stdin.read()") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "filled\n"
        with PredictionLog(tmp_path, "other", NEVER) as log:
            log.append([prediction("own")])
            assert recover(tmp_path) == Moved()
            assert log.flush() == Moved(predictions=1)
        assert len(segments(tmp_path)) == 2
        os.kill(child.pid, signal.SIGKILL)
        child.wait(60)
        assert recover(tmp_path) == Moved(predictions=2, pairs=1)
    assert names(tmp_path) == ["own", "r1", "r2"]


def test_writers_killed_at_any_time_have_lost_and_doubled_nothing(tmp_path: Path) -> None:
    """Each says what it has kept; a fresh one starts when one is killed, and several live at once."""
    body = """
import itertools
log = PredictionLog(folder, "front", 0.01)
for number in itertools.count():
    log.append([prediction(f"{os.getpid()}-{number}")])
    print(f"{os.getpid()}-{number}", flush=True)
"""
    kept: list[str] = []
    for enough in (10, 150, 400):
        with running(tmp_path, body) as one, running(tmp_path, body) as other:
            for child in (one, other):
                assert child.stdout is not None
                kept.extend(child.stdout.readline().strip() for _ in range(enough))
            for child in (one, other):
                os.kill(child.pid, signal.SIGKILL)
            for child in (one, other):
                assert child.stdout is not None
                kept.extend(line.strip() for line in child.stdout if line.endswith("\n"))
    recover(tmp_path)
    found = names(tmp_path)
    assert len(found) == len(set(found))
    assert set(kept) <= set(found)
    # Of each writer, at most the one that it was killed with was kept and not yet said to be.
    assert len(set(found) - set(kept)) <= 6


def test_on_a_full_disk_nothing_is_half_kept(tmp_path: Path) -> None:
    """A limit on the size of files makes the system write a part of a line, as a full disk does."""
    body = """
import resource
log = PredictionLog(folder, "front", NEVER)
log.append([prediction("r1"), prediction("r2")])
size = next((folder / "segments").rglob("*.jsonl")).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        log.append([prediction("lost" * 200)])
    except OSError as error:
        print(error, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append([prediction("r3")])
print(log.close(), flush=True)
"""
    with running(tmp_path, body) as child:
        said, _ = child.communicate(timeout=120)
    lines = said.splitlines()
    assert lines[0].startswith("prediction log: 100 of ")
    assert lines[-2:] == [str(Moved(predictions=3)), "not ended"]
    assert names(tmp_path) == ["r1", "r2", "r3"]


# What follows takes folders and files away from a living writer.


def place_of(folder: Path) -> Path:
    (place,) = (folder / "segments").glob("front-*")
    return place


def remove_files(folder: Path) -> None:
    for path in (*place_of(folder).iterdir(), folder / "segments" / ".gate"):
        path.unlink()


REMOVALS: dict[str, Callable[[Path], object]] = {
    "one segment": lambda folder: segments(folder)[1].unlink(),
    "all files of the segments folder": remove_files,
    "the writer's folder": lambda folder: shutil.rmtree(place_of(folder)),
    "the segments folder": lambda folder: shutil.rmtree(folder / "segments"),
    "the log": shutil.rmtree,
    "the writer's folder, made again by somebody": lambda folder: (
        place := place_of(folder),
        shutil.rmtree(place),
        place.mkdir(),
    ),
}

MOVES: dict[str, Callable[[Path], object]] = {
    "the writer's folder moved away": lambda folder: place_of(folder).rename(folder / "away"),
    "the log moved away": lambda folder: folder.rename(folder.parent / "away"),
    "a copy of the log put back": lambda folder: (
        folder.rename(folder.parent / "away"),
        shutil.copytree(folder.parent / "away", folder),
    ),
    "a segment replaced by a copy": lambda folder: (
        path := segments(folder)[1],
        copy := path.read_bytes(),
        path.unlink(),
        path.write_bytes(copy),
    ),
}


def segment_rows(folder: Path) -> list[str]:
    """Name the rows that a recovery would find if the process ended now."""
    lines = [line for path in segments(folder) for line in path.read_bytes().splitlines()]
    return sorted(str(msgspec.json.decode(line)["request_id"]) for line in lines)


@pytest.mark.parametrize("what", REMOVALS)
def test_what_is_removed_while_serving_is_made_again_at_once(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "log"
    log = PredictionLog(folder, "front", NEVER)
    log.append([prediction("r1")])
    log.append_pairs([pair("r1")])
    REMOVALS[what](folder)
    log.append([prediction("r2"), prediction("r3")])
    log.append_pairs([pair("r2")])
    assert segment_rows(folder) == ["r1", "r1", "r2", "r2", "r3"]
    assert recover(folder) == Moved(), "a living writer was taken for a dead one"
    assert log.flush() == Moved(predictions=3, pairs=2)
    assert (names(folder), log.lost, log.failures, log.problem) == (["r1", "r2", "r3"], 0, 0, None)
    assert sorted(read_pairs(folder)["request_id"]) == ["r1", "r2"]
    log.append([prediction("r4")])
    assert log.close() == Moved(predictions=1)
    assert [path.name for path in (folder / "segments").iterdir()] == [".gate"]


@pytest.mark.parametrize("what", [*REMOVALS, *MOVES])
def test_what_is_removed_while_nobody_asks_is_made_again_by_the_next_move(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "log"
    log = PredictionLog(folder, "front", NEVER)
    log.append([prediction("r1")])
    log.append_pairs([pair("r1")])
    {**REMOVALS, **MOVES}[what](folder)
    assert log.flush() == Moved(predictions=1, pairs=1)
    assert place_of(folder).is_dir()
    assert recover(folder) == Moved()
    assert place_of(folder).is_dir(), "a living writer was taken for a dead one"
    log.append([prediction("r2")])
    assert log.close() == Moved(predictions=1)
    assert (names(folder), log.lost, log.failures) == (["r1", "r2"], 0, 0)


def test_rows_after_a_removal_outlive_their_process(tmp_path: Path) -> None:
    run_to_its_end(
        tmp_path,
        FILLED + "import shutil\nshutil.rmtree(folder / 'segments')\nlog.append([prediction('r3')])\ndie()",
    )
    assert recover(tmp_path) == Moved(predictions=3)
    assert names(tmp_path) == ["r1", "r2", "r3"]


def test_a_folder_made_again_belongs_to_a_living_writer(tmp_path: Path) -> None:
    body = FILLED + (
        "import shutil\nshutil.rmtree(folder / 'segments')\nlog.append([prediction('r3')])\n"
        "print('filled', flush=True)\nsys.stdin.read()"
    )
    with running(tmp_path, body) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "filled\n"
        assert recover(tmp_path) == Moved()
        os.kill(child.pid, signal.SIGKILL)
        child.wait(60)
        assert recover(tmp_path) == Moved(predictions=3)


def test_removing_again_and_again_loses_and_doubles_nothing_uncounted(tmp_path: Path) -> None:
    """Another process looks for dead writers all the while, and the log moves all the while."""
    with running(
        tmp_path, "print('on', flush=True)\nwhile True: print(recover(folder), flush=True)"
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "on\n"
        recovered: list[str] = []
        reading = threading.Thread(target=lambda: recovered.extend(other.stdout or ()))
        reading.start()
        log = PredictionLog(tmp_path, "front", 0.005)
        for number in range(1500):
            log.append([prediction(f"r{number}")])
            if number % 10 == 0:
                shutil.rmtree(tmp_path / "segments", ignore_errors=True)
        wait_for(lambda: log.waiting == 0)
        log.close()
        other.kill()
        reading.join()
    found = names(tmp_path)
    assert len(found) == len(set(found))
    assert len(found) + log.lost == 1500
    assert {line.strip() for line in recovered if line.endswith("\n")} <= {str(Moved())}


def block(path: Path) -> None:
    """Put a regular file where a folder is."""
    shutil.rmtree(path)
    path.write_text("in the way")


@pytest.mark.parametrize("name", ["segments", "."])
def test_a_file_in_place_of_a_folder_is_told_and_heals(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "log"
    log = PredictionLog(folder, "front", NEVER)
    log.append([prediction("r1")])
    block(folder / name)
    for _ in range(2):
        with pytest.raises(OSError, match=r"File exists|Not a directory"):
            log.append([prediction("refused")])
    assert log.problem is not None
    assert log.problem.startswith("the prediction log cannot keep rows: ")
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        log.flush()
    assert (log.failures, log.waiting) == (1, 1)
    (folder / name).unlink()
    log.append([prediction("r2")])
    assert segment_rows(folder) == ["r1", "r2"]
    assert log.problem is not None, "moving has not been tried again"
    assert log.close() == Moved(predictions=2)
    assert (names(folder), log.lost, log.problem) == (["r1", "r2"], 0, None)


def test_a_full_disk_when_a_segment_is_to_be_rescued_keeps_it_for_later(tmp_path: Path) -> None:
    body = """
import resource, shutil
log = PredictionLog(folder, "front", NEVER)
log.append([prediction("r1"), prediction("r2")])
shutil.rmtree(folder / "segments")
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
for _ in range(2):
    try:
        log.append([prediction("lost")])
    except OSError as error:
        print("refused", flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append([prediction("r3")])
print(log.close(), flush=True)
"""
    with running(tmp_path, body) as child:
        said, _ = child.communicate(timeout=120)
    assert said.splitlines() == ["refused", "refused", str(Moved(predictions=3)), "not ended"]
    assert names(tmp_path) == ["r1", "r2", "r3"]


def test_sealed_segments_that_are_removed_before_they_are_moved_are_counted(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, "front", NEVER)
    for table in ("predictions", "pairs"):
        (tmp_path / table).write_text("in the way")
    log.append([prediction("r1"), prediction("r2")])
    log.append_pairs([pair("r1")])
    with pytest.raises((DeltaError, OSError)):
        log.flush()
    log.append([prediction("r3")])
    shutil.rmtree(tmp_path / "segments")
    for table in ("predictions", "pairs"):
        (tmp_path / table).unlink()
    assert log.waiting == 4
    assert log.flush() == Moved(predictions=1, lost=3)
    assert (log.lost, log.waiting, names(tmp_path)) == (3, 0, ["r3"])
    assert log.close() == Moved()


def test_a_segment_that_is_removed_once_its_rows_are_in_lost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_then_remove(*given: Any, **named: Any) -> None:
        write_deltalake(*given, **named)
        shutil.rmtree(tmp_path / "segments", ignore_errors=True)

    log = PredictionLog(tmp_path, "front", NEVER)
    log.append([prediction("r1")])
    monkeypatch.setattr("tidewheel.predictions.log.write_deltalake", write_then_remove)
    assert log.flush() == Moved(predictions=1)
    monkeypatch.undo()
    assert log.close() == Moved()
    assert (names(tmp_path), log.lost) == (["r1"], 0)


def test_rows_that_somebody_cut_off_a_segment_are_counted(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, "front", NEVER)
    log.append([prediction("r1"), prediction("r2"), prediction("r3")])
    (segment,) = segments(tmp_path)
    segment.write_bytes(segment.read_bytes().splitlines(keepends=True)[0])
    log.append([prediction("r4")])
    assert log.flush() == Moved(predictions=2, lost=2)
    assert names(tmp_path) == ["r1", "r4"]
    log.close()


def test_a_log_that_was_moved_away_and_is_put_back_doubles_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    log = PredictionLog(folder, "front", NEVER)
    log.append([prediction("r1")])
    folder.rename(tmp_path / "away")
    log.append([prediction("r2")])
    log.append_pairs([pair("r1")])
    shutil.rmtree(folder, ignore_errors=True)
    (tmp_path / "away").rename(folder)
    log.append([prediction("r3")])
    assert log.close() == Moved(predictions=3, pairs=1)
    assert names(folder) == ["r1", "r2", "r3"]
    assert read_pairs(folder)["request_id"].to_list() == ["r1"]


def test_a_file_that_has_the_name_of_the_next_segment_is_passed_over(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, "front", NEVER)
    (place_of(tmp_path) / "000000001.predictions.jsonl").write_bytes(b"")
    with pytest.raises(FileExistsError):
        log.append([prediction("refused")])
    log.append([prediction("r1")])
    assert log.close() == Moved(predictions=1)
    assert names(tmp_path) == ["r1"]


@pytest.mark.parametrize("name", ["predictions", "predictions/_delta_log"])
def test_a_table_that_is_removed_begins_anew_with_the_rows_that_wait(tmp_path: Path, name: str) -> None:
    log = PredictionLog(tmp_path, "front", NEVER)
    for number in (1, 2):
        log.append([prediction(f"r{number}")])
        log.flush()
    log.append([prediction("r3")])
    shutil.rmtree(tmp_path / name)
    assert log.flush() == Moved(predictions=1)
    log.append([prediction("r4")])
    assert log.close() == Moved(predictions=1)
    assert (names(tmp_path), log.failures) == (["r3", "r4"], 0)
