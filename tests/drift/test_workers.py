"""Inside a worker of Ray or Spark a call uses one thread, unless told otherwise (real Ray: tests/serving)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
DEADLINE_S = 120
CORES = len(os.sched_getaffinity(0))
#: What Spark sets in its Python workers, and Ray in all of its workers.
WORKERS = {
    "ray": {"RAY_RAYLET_PID": "4711"},
    "spark": {"PYTHON_WORKER_FACTORY_SECRET": "s3cret", "PYTHONUNBUFFERED": "YES"},
    "spark by socket folder": {"PYTHON_WORKER_FACTORY_SOCK_DIR": "/tmp/spark"},
    "spark by socket": {"PYTHON_WORKER_FACTORY_SOCK_PATH": "/tmp/spark/socket"},
}


def threads_seen(wanted=1, **environment):
    code = f"from busy_threads import most_threads; print(most_threads(wanted={wanted}))"
    path = os.pathsep.join([HERE, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("worker", WORKERS.values(), ids=WORKERS.keys())
def test_a_worker_uses_one_thread(worker):
    assert threads_seen(**worker) == 1


def test_the_variable_for_threads_goes_before():
    assert threads_seen(3, **WORKERS["spark"], TIDEWHEEL_THREADS="3") == 3


@pytest.mark.parametrize("threads", [1, 4])
def test_environment_bounds_the_threads(threads):
    assert threads_seen(threads, TIDEWHEEL_THREADS=str(threads)) == threads


def test_others_use_one_thread_per_core():
    # The driver of Spark has variables of Spark too.
    seen = threads_seen(min(CORES, 2), SPARK_HOME="/opt/spark", PYSPARK_PYTHON="python3")
    assert seen == 1 if CORES == 1 else 1 < seen <= CORES
