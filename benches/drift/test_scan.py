"""`drift.scan` over a parquet file larger than its memory bound, beside polars adding up the same file's columns.

`SCAN_ROWS=1e7 make bench` takes other sizes (several with commas). Memory is that of a process which does nothing else.
"""

import os
import subprocess
import sys

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

from race import race
from tidewheel import drift
from tidewheel.drift.profile.column_state import BESIDE

SIZES = [int(float(size)) for size in os.environ.get("SCAN_ROWS", "1e7,1e8").split(",")]
GROUP = 1_000_000
#: What must be kept whatever the rows, and half of it, which is the aim.
MOST_MB, AIM_MB = 1_000, 500
#: The height of resident memory in kibibytes; `ru_maxrss` would begin at that of the process which started this one.
PEAK = "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
SCAN = "from tidewheel import drift; drift.scan({path!r}, profile=drift.Profile.load({profile!r})); "
SUM = "import polars as pl; pl.scan_parquet({path!r}).select(pl.all().sum()).collect(); "


def rows(rng, n):
    return {
        "score": rng.normal(size=n),
        "amount": np.round(np.exp(rng.normal(3, 1, n)), 2),
        "share": rng.random(n),
        "visits": rng.poisson(40, n),
    }


@pytest.fixture(scope="module", params=SIZES, ids=[f"{size:.0e} rows" for size in SIZES])
def source(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scan")
    path, rng = folder / "rows.parquet", np.random.default_rng(6)
    schema = pa.table(rows(rng, 1)).schema
    with parquet.ParquetWriter(path, schema, compression="lz4", use_dictionary=False) as writer:
        for _ in range(request.param // GROUP):
            writer.write_table(pa.table(rows(rng, GROUP)), row_group_size=GROUP)
    yield request.param, path
    path.unlink()


def peak_mb(code, **names):
    """Run code in a process of its own and return its peak memory."""
    done = subprocess.run(
        [sys.executable, "-c", code.format(**names) + PEAK], check=True, capture_output=True, text=True
    )
    return int(done.stdout) * 1024 / 1e6


@pytest.mark.timeout(3_600)  # most of it goes into writing the file
def test_scanning_parquet(benchmark, source):
    n, path = source
    profile = drift.Profile.fit(rows(np.random.default_rng(7), 1_000_000))
    profile.save(path.with_suffix(".profile"))
    rival = pl.scan_parquet(path).select(pl.all().sum())
    found = race(benchmark, lambda: drift.scan(path, profile=profile), rival.collect, rounds=3)
    window, ours_s, rival_s = found.ours, min(found.ours_s), min(found.rival_s)
    middle = pl.scan_parquet(path).select((pl.col("score") < 0).sum()).collect().item()
    below = np.searchsorted(profile.select(["score"])._columns[0].edges, 0.0)
    counted = window.counts()[0][BESIDE:]
    assert window.n_rows == n
    assert counted[:below].sum() <= middle <= counted[: below + 1].sum()
    mine = peak_mb(SCAN, path=str(path), profile=str(path.with_suffix(".profile")))
    theirs = peak_mb(SUM, path=str(path))
    benchmark.extra_info.update(
        row=f"scan of parquet, {n:.0e} rows x 4 columns: peak memory, and speed beside the rival's",
        ours=mine,
        unit="MB",
        must=MOST_MB,
        aim=AIM_MB,
        ratio=found.ratio,
        rival="polars.scan_parquet(...).select(pl.all().sum())",
        rows_per_s=n / ours_s,
        peak_mb=mine,
    )
    print(
        f"\n{n / ours_s / 1e6:.1f} million rows a second and {mine:.0f} MB at the height; "
        f"polars adding up {n / rival_s / 1e6:.1f} million and {theirs:.0f} MB: {found.ratio:.2f} times as fast"
    )
    assert mine < MOST_MB
