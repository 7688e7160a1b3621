"""`drift.scan`: every kind of source gives the window that one batch gives, and batches are let go."""

import sys
import weakref

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from tidewheel import _native, drift
from tidewheel.errors import InputError, InputTypeError, MissingExtraError

ROWS = 30_000


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(11)
    return pl.DataFrame(
        {
            "unused": ["long text"] * ROWS,
            "x": rng.normal(size=ROWS),
            "route": pl.Series([None if i % 7 == 0 else f"r{i % 60}" for i in range(ROWS)]),
            "day": pl.Series(rng.integers(0, 400, ROWS)).cast(pl.Int32).cast(pl.Date),
        }
    )


@pytest.fixture(scope="module")
def profile(frame):
    return drift.Profile.fit(frame.head(5_000), columns=["x", "route", "day"])


@pytest.fixture(scope="module")
def whole(frame, profile):
    window = profile.window()
    window.update(frame)
    return window


@pytest.fixture(scope="module")
def files(frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    for part in range(3):
        frame[part * 10_000 : (part + 1) * 10_000].write_parquet(
            folder / f"part-{part}.parquet", row_group_size=3_000
        )
    return folder


def stream(frame, rows=4_000):
    return pa.Table.to_reader(frame.to_arrow(), rows)


SOURCES = {
    "pattern": lambda frame, files: str(files / "*.parquet"),
    "path": lambda frame, files: files / "part-?.parquet",
    "paths": lambda frame, files: [files / f"part-{part}.parquet" for part in (2, 0, 1)],
    "lazy frame": lambda frame, files: frame.lazy().filter(pl.col("x") > -100),
    "Arrow stream": lambda frame, files: stream(frame),
    "batches of polars": lambda frame, files: frame.lazy().collect_batches(chunk_size=999),
    "table": lambda frame, files: frame,
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_every_source_gives_the_same_window(source, frame, files, profile, whole):
    assert drift.scan(source(frame, files), profile=profile) == whole


def test_without_polars_pyarrow_reads(monkeypatch, files, profile, whole):
    monkeypatch.setitem(sys.modules, "polars", None)
    assert drift.scan(str(files / "*.parquet"), profile=profile) == whole
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match="need polars or pyarrow"):
        drift.scan(str(files / "*.parquet"), profile=profile)


@pytest.mark.parametrize("without_polars", [False, True])
def test_progress_is_told(monkeypatch, without_polars, frame, files, profile):
    if without_polars:
        monkeypatch.setitem(sys.modules, "polars", None)
    told = []
    drift.scan(str(files / "*.parquet"), profile=profile, progress=lambda *rows: told.append(rows))
    done, totals = zip(*told, strict=True)
    assert (done[0], done[-1], set(totals)) == (0, ROWS, {ROWS})
    assert list(done) == sorted(done)
    told.clear()
    drift.scan(stream(frame), profile=profile, progress=lambda *rows: told.append(rows))
    assert told == [(done, None) for done in range(0, ROWS + 1, 4_000)] + [(ROWS, None)]


def test_progress_may_stop_a_scan(files, profile):
    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drift.scan(str(files / "*.parquet"), profile=profile, progress=stop)


def test_batches_are_let_go(profile, whole, frame):
    # A batch that lives on after the next one came would make memory grow with the source.
    made = []

    def batches():
        for batch in frame.to_arrow().to_batches(1_000):
            copy = pa.RecordBatch.from_arrays(
                [pa.concat_arrays([column]) for column in batch.columns], batch.schema.names
            )
            made.append(weakref.ref(copy))
            assert sum(batch() is not None for batch in made) <= 2
            yield copy
            del copy

    arrays = frame.to_arrow()
    schema = pa.schema([(name, arrays.schema.field(name).type) for name in arrays.schema.names])
    assert drift.scan(pa.RecordBatchReader.from_batches(schema, batches()), profile=profile) == whole
    assert len(made) == 30


def test_a_failing_stream_says_why(profile, frame):
    def batches():
        yield from frame.to_arrow().to_batches(1_000)[:2]
        raise ValueError("the disk is gone")

    with pytest.raises(InputError, match="the disk is gone"):
        drift.scan(pa.RecordBatchReader.from_batches(frame.to_arrow().schema, batches()), profile=profile)


REFUSED = {
    "no file": (
        "/nowhere/*.parquet",
        InputError,
        "must match at least one parquet file; got '/nowhere/*.parquet'",
    ),
    "no paths": ([], InputError, "must match at least one parquet file"),
    "a number": (7, InputTypeError, "or an Arrow stream; got int"),
    "an array": (pa.chunked_array([[1.0]]), InputTypeError, "must have columns; got a single array"),
}


@pytest.mark.parametrize(("source", "error", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(profile, source, error, text):
    with pytest.raises(error) as caught:
        drift.scan(source, profile=profile)
    assert text in str(caught.value)


def test_a_stream_is_read_once(frame):
    reader = stream(frame)
    batches = _native.Batches(reader)
    assert [len(columns) for columns in batches] == [4] * 8
    assert list(batches) == []
