"""`kill -9` of the demo at six points, each time started again: it ends well, and nothing of either run is left."""

import json
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "cli"))

from command_line import Demo

POINTS = {
    "Ray start": "start Prefect server and Ray head",
    "shadow": "shadow (http)",
    "canary": "canary (http)",
    "replay": "rows in batch",
    "retraining": "train regularised 03 May",
    "shutdown": "stop everything that was started",
}
"""The step of the demo, by the words that announce it."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_demo_starts_over_and_leaves_nothing(point: str, tmp_path: Path) -> None:
    killed = Demo(tmp_path, "--quick")
    try:
        killed.watch(POINTS[point])
        if point == "Ray start":  # its line comes before the first process
            killed.watch_services()
    finally:
        killed.kill()
    n_left = len(killed.living())
    again = Demo(tmp_path, "--quick")
    again.watch("data")
    assert killed.living() == []
    told = again.finish()
    assert told.code == 0, told.err
    requests = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["requests"]
    assert requests["errors"] == 0
    assert requests["sent"] == requests["answered"] == requests["logged"]
    assert killed.living() == again.living() == []
    print(
        f"\nkilled at {point}: {n_left} processes left by it; started over, ended with 0, none of either run left"
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_demo_that_is_asked_to_stop_stops_what_it_started(number: int, code: int, tmp_path: Path) -> None:
    demo = Demo(tmp_path, "--quick", "--keep-serving")
    try:
        demo.watch("canary (http)")
        demo.send(number)
        demo.watch("stop everything that was started")
        demo.send(number)  # the impatient ask twice
        told = demo.finish()
    except BaseException:
        demo.kill()
        raise
    assert demo.living() == []
    assert told.code == code, told.err
    print(f"\nsignal {number}: exit {told.code}, nothing left")
