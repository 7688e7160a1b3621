"""CPU of `tidewheel drift` on two files of 50,000 rows, against a Python process that imports polars and reads both."""

import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

ROWS = 50_000
ROUNDS = 11
#: The design's bounds: times the other process's CPU for text, seconds beyond it for parquet.
MUST_OF_TEXT, MUST_OF_PARQUET_S = 1.5, 0.3

READ_TEXT = """
import sys, polars as pl
types = {"id": pl.Int64, "a": pl.Float64, "b": pl.Float64, "c": pl.Float64, "colour": pl.String, "day": pl.Date,
         "count": pl.Int64, "flag": pl.Boolean, "user": pl.String}
for path in sys.argv[1:]:
    assert pl.read_csv(path, schema=types).height == 50_000
"""
READ_PARQUET = """
import sys, polars as pl
for path in sys.argv[1:]:
    assert pl.read_parquet(path).height == 50_000
"""


def make_table(seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "id": np.arange(ROWS),
            "a": rng.normal(size=ROWS),
            "b": rng.normal(size=ROWS),
            "c": rng.exponential(size=ROWS),
            "colour": rng.choice(["red", "green", "blue"], ROWS),
            "day": np.datetime64("2024-01-01") + rng.integers(0, 90, ROWS),
            "count": rng.integers(0, 1000, ROWS),
            "flag": rng.random(ROWS) < 0.3,
            "user": [f"user{i % 997}" for i in range(ROWS)],
        }
    )


def spend(command: Sequence[str | Path], compiled: Path) -> float:
    """Run a process and return its CPU time in seconds; modules are compiled once, as an installed package's are."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(compiled)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    for name, seed in (("reference", 1), ("current", 2)):
        table = make_table(seed)
        table.write_csv(folder / f"{name}.csv")
        table.write_parquet(folder / f"{name}.parquet")
    return folder


def race(tables: Path, suffix: str, rival: str) -> list[tuple[float, float]]:
    """Run both in turn and return the CPU seconds of each round; a first one compiles and is left out."""
    files = [tables / f"{name}{suffix}" for name in ("reference", "current")]
    ours = ["-m", "tidewheel.cli.main", "drift", *files]
    theirs = ["-c", rival, *files]
    rounds = [(spend(ours, tables / "compiled"), spend(theirs, tables / "compiled")) for _ in range(ROUNDS)]
    return rounds[1:]


def test_text(tables, add_row):
    ratio = statistics.median(ours / theirs for ours, theirs in race(tables, ".csv", READ_TEXT))
    rival = "polars.read_csv, a process"
    add_row(row="two CSV files", ours=round(ratio, 2), unit="times its CPU", rival=rival, must=MUST_OF_TEXT)
    assert ratio <= MUST_OF_TEXT


def test_parquet(tables, add_row):
    beyond = statistics.median(ours - theirs for ours, theirs in race(tables, ".parquet", READ_PARQUET))
    rival = "polars.read_parquet, a process"
    add_row(
        row="two parquet files",
        ours=round(beyond, 3),
        unit="s beyond it",
        rival=rival,
        must=MUST_OF_PARQUET_S,
    )
    assert beyond <= MUST_OF_PARQUET_S
