import hashlib
import json
import struct
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewheel.data import versions
from tidewheel.data.versions import canonical, content_sha256, read_version, write_version
from tidewheel.errors import ConflictError, InputError, InputTypeError, IntegrityError
from tidewheel.evidence.records import DataVersion

MOMENT = datetime(2013, 4, 1, 12, tzinfo=UTC)

EVERY_TYPE = pl.DataFrame(
    {
        "at": pl.Series([MOMENT, MOMENT + timedelta(microseconds=1), MOMENT], dtype=pl.Datetime("us", "UTC")),
        "i8": pl.Series([-128, None, 127], dtype=pl.Int8),
        "i16": pl.Series([-(2**15), None, 0], dtype=pl.Int16),
        "i32": pl.Series([-(2**31), None, 1], dtype=pl.Int32),
        "i64": pl.Series([2**63 - 1, None, -(2**63)], dtype=pl.Int64),
        "f32": pl.Series([1.5, None, float("nan")], dtype=pl.Float32),
        "f64": pl.Series([-0.0, None, float("-inf")], dtype=pl.Float64),
        "flag": [True, None, False],
        "text": ["", None, "Zürich ☃"],
        "bytes": [b"", None, b"\x00\xff"],
        "day": [date(2013, 4, 1), None, date(1969, 12, 31)],
    }
)

GOLDEN = "17015831028ae6ad26e94e8d723bd06cd78573cfaaa20a876a60b655a1b5c78d"
"""Content hash of `EVERY_TYPE`: it must never change, on any machine, with any version of a library."""


def write(frame: pl.DataFrame, uri: Path, quarantined: pl.DataFrame | None = None) -> DataVersion:
    return write_version(
        frame, uri, name="rows", contract_sha256="c" * 64, event_time="at", quarantined=quarantined
    )


def rows(n: int, first: int = 0) -> pl.DataFrame:
    return pl.DataFrame(
        {"at": [MOMENT + timedelta(hours=hour) for hour in range(n)], "x": list(range(first, first + n))},
        schema={"at": pl.Datetime("us", "UTC"), "x": pl.Int64},
    )


# The construction of the hash, written a second time: value by value, slow and plain.

SLOW = {
    pl.Int8: ("int8", "<b"), pl.Int16: ("int16", "<h"), pl.Int32: ("int32", "<i"), pl.Int64: ("int64", "<q"),
    pl.Float32: ("float32", "<f"), pl.Float64: ("float64", "<d"), pl.Boolean: ("bool", "<B"), pl.String: ("string", ""),
    pl.Binary: ("binary", ""), pl.Date: ("date", "<i"), pl.Datetime: ("datetime_us_utc", "<q"),
}  # fmt: skip


def slow_bytes(value: object, code: str) -> bytes:
    match value:
        case None:
            return b"\x00" * (struct.calcsize(code) if code else 0)
        case str():
            return value.encode("utf-8")
        case bytes():
            return value
        case datetime():
            return struct.pack(code, (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
        case date():
            return struct.pack(code, (value - date(1970, 1, 1)).days)
        case _:
            return struct.pack(code, value)


def slow_order(value: object, code: str) -> tuple[bool, object]:
    if value is None:
        return (False, 0)
    raw = slow_bytes(value, code)
    signed = {"<f": "<i", "<d": "<q"}.get(code, code)
    return (True, struct.unpack(signed, raw)[0] if signed else raw)


def slow_sha256(frame: pl.DataFrame) -> str:
    names = sorted(frame.columns)
    kinds = [SLOW[frame.schema[name].base_type()] for name in names]
    table = sorted(
        frame.select(names).rows(),
        key=lambda row: [slow_order(value, code) for value, (_, code) in zip(row, kinds, strict=True)],
    )
    columns = [[name, kind] for name, (kind, _) in zip(names, kinds, strict=True)]
    header = {"hash_version": 1, "columns": columns, "n_rows": len(table)}
    digest = hashlib.sha256(json.dumps(header, separators=(",", ":")).encode() + b"\n")
    for number, (_, code) in enumerate(kinds):
        values = [row[number] for row in table]
        digest.update(bytes(value is not None for value in values))
        encoded = [slow_bytes(value, code) for value in values]
        if not code:
            digest.update(b"".join(struct.pack("<q", len(value)) for value in encoded))
        digest.update(b"".join(encoded))
    return digest.hexdigest()


def test_the_hash_is_the_documented_construction() -> None:
    assert content_sha256(EVERY_TYPE) == slow_sha256(EVERY_TYPE) == GOLDEN


def test_the_hash_is_the_same_in_another_process() -> None:
    code = (
        "import polars as pl; from tidewheel.data.versions import content_sha256;"
        "print(content_sha256(pl.DataFrame({'b': ['x', None], 'a': [1.5, -0.0]})))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == slow_sha256(pl.DataFrame({"b": ["x", None], "a": [1.5, -0.0]}))


cells = st.tuples(
    st.none() | st.integers(-2, 2),
    st.none() | st.sampled_from([0.0, -0.0, 1.0, float("nan"), float("inf")]),
    st.none() | st.text(alphabet="ab\x00é", max_size=3),
    st.none() | st.booleans(),
)
SCHEMA = {"i": pl.Int64, "f": pl.Float64, "s": pl.String, "b": pl.Boolean}
tables = st.lists(cells, min_size=1, max_size=8)


def frame_of(table: list[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(table, schema=SCHEMA, orient="row")


def plain(table: list[tuple[object, ...]]) -> list[tuple[str, ...]]:
    """Write rows so that exactly those that count as equal are equal."""
    return sorted(tuple(map(repr, row)) for row in table)


@settings(deadline=None)
@given(tables)
def test_the_hash_agrees_with_the_slow_one(table: list[tuple[object, ...]]) -> None:
    assert content_sha256(frame_of(table)) == slow_sha256(frame_of(table))


@settings(deadline=None)
@given(table=tables, data=st.data())
def test_the_order_of_rows_and_columns_does_not_matter(
    table: list[tuple[object, ...]], data: st.DataObject
) -> None:
    names = data.draw(st.permutations(list(SCHEMA)))
    turned = frame_of(data.draw(st.permutations(table))).select(names)
    assert content_sha256(turned) == content_sha256(frame_of(table))


@settings(deadline=None)
@given(tables, tables)
def test_different_rows_hash_differently_and_equal_ones_equally(
    one: list[tuple[object, ...]], other: list[tuple[object, ...]]
) -> None:
    same = plain(one) == plain(other)
    assert (content_sha256(frame_of(one)) == content_sha256(frame_of(other))) is same


@settings(deadline=None)
@given(table=tables, new=cells, data=st.data())
def test_every_single_value_counts(
    table: list[tuple[object, ...]], new: tuple[object, ...], data: st.DataObject
) -> None:
    row, column = data.draw(st.integers(0, len(table) - 1)), data.draw(st.integers(0, 3))
    changed = list(table)
    changed[row] = (*table[row][:column], new[column], *table[row][column + 1 :])
    same = plain(table) == plain(changed)
    assert (content_sha256(frame_of(table)) == content_sha256(frame_of(changed))) is same


@settings(deadline=None)
@given(tables)
def test_a_row_more_or_twice_counts(table: list[tuple[object, ...]]) -> None:
    assert content_sha256(frame_of([*table, table[0]])) != content_sha256(frame_of(table))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pl.DataFrame({"a": [1]}), pl.DataFrame({"b": [1]})),
        (pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [1.0]})),
        (pl.DataFrame({"a": [1]}), pl.DataFrame({"a": pl.Series([1], dtype=pl.Int32)})),
        (pl.DataFrame({"a": ["1"]}), pl.DataFrame({"a": [b"1"]})),
        (pl.DataFrame({"a": [1], "b": [2]}), pl.DataFrame({"a": [2], "b": [1]})),
        (pl.DataFrame({"a": [1, 2], "b": [1, 2]}), pl.DataFrame({"a": [1, 2], "b": [2, 1]})),
        (pl.DataFrame({"a": ["ab", "c"]}), pl.DataFrame({"a": ["a", "bc"]})),
        (pl.DataFrame({"a": ["", None]}), pl.DataFrame({"a": [None, None]}, schema={"a": pl.String})),
        (pl.DataFrame({"a": [0.0]}), pl.DataFrame({"a": [-0.0]})),
        (pl.DataFrame({"a": [float("nan")]}), pl.DataFrame({"a": [None]}, schema={"a": pl.Float64})),
        (pl.DataFrame({"a": [0]}), pl.DataFrame({"a": [None]}, schema={"a": pl.Int64})),
        (pl.DataFrame({"a": [True]}), pl.DataFrame({"a": pl.Series([1], dtype=pl.Int8)})),
        (pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [1], "b": [None]}, schema={"a": pl.Int64, "b": pl.Int64})),
        (rows(1), rows(1).with_columns(pl.col("at") + timedelta(microseconds=1))),
    ],
    ids=["name", "float", "width", "bytes", "swapped columns", "swapped within a column", "border between texts",
         "empty text", "signed zero", "NaN", "zero", "bool", "column of nulls", "microsecond"],
)  # fmt: skip
def test_what_differs_hashes_differently(one: pl.DataFrame, other: pl.DataFrame) -> None:
    assert content_sha256(one) != content_sha256(other)


@pytest.mark.parametrize(
    ("series", "kept"),
    [
        (pl.Series([0, 255, None], dtype=pl.UInt8), pl.Int16),
        (pl.Series([0, 2**16 - 1, None], dtype=pl.UInt16), pl.Int32),
        (pl.Series([0, 2**32 - 1, None], dtype=pl.UInt32), pl.Int64),
        (pl.Series([0, 2**63 - 1, None], dtype=pl.UInt64), pl.Int64),
        (pl.Series([-(2**63), 2**63 - 1, None], dtype=pl.Int128), pl.Int64),
        (pl.Series([0, 2**63 - 1, None], dtype=pl.UInt128), pl.Int64),
        (pl.Series([1.5, None, 2.0], dtype=pl.Float16), pl.Float32),
        (pl.Series(["b", "a", None], dtype=pl.Categorical), pl.String),
        (pl.Series(["b", "a", None], dtype=pl.Enum(["a", "b"])), pl.String),
    ],
    ids=str,
)
def test_what_delta_would_mangle_is_stored_in_the_next_wider_type(
    tmp_path: Path, series: pl.Series, kept: type[pl.DataType]
) -> None:
    frame = rows(3).with_columns(series.alias("v"))
    stored = read_version(tmp_path / "t", write(frame, tmp_path / "t").delta_version)
    assert stored.schema["v"] == kept
    assert stored["v"].to_list() == series.to_list()


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_times_are_stored_as_microseconds_in_utc(tmp_path: Path, unit: str, zone: str | None) -> None:
    local = pl.Series("at", [datetime(2013, 7, 1, 12)]).dt.replace_time_zone(zone)
    frame = pl.DataFrame({"at": local.dt.cast_time_unit(unit)})  # type: ignore[arg-type]
    stored = read_version(tmp_path / "t", write(frame, tmp_path / "t").delta_version)
    assert stored.schema["at"] == pl.Datetime("us", "UTC")
    assert stored["at"].to_list() == [
        datetime(2013, 7, 1, 16 if zone == "America/New_York" else 12, tzinfo=UTC)
    ]


def test_nanoseconds_are_cut() -> None:
    series = pl.Series("t", [1999, -1], dtype=pl.Datetime("ns"))
    assert canonical(series.to_frame())["t"].to_physical().to_list() == [1, -1]


@pytest.mark.parametrize(
    ("series", "error", "words"),
    [
        (
            pl.Series([None]),
            InputTypeError,
            "column `v` has the type Null, which a Delta table does not keep",
        ),
        (pl.Series([time(1)]), InputTypeError, "the type Time"),
        (pl.Series([timedelta(1)]), InputTypeError, "the type Duration"),
        (pl.Series([1]).cast(pl.Decimal(10, 2)), InputTypeError, "the type Decimal"),
        (pl.Series([[1]]), InputTypeError, "the type List"),
        (pl.Series([[1]], dtype=pl.Array(pl.Int64, 1)), InputTypeError, "the type Array"),
        (pl.Series([{"a": 1}]), InputTypeError, "the type Struct"),
        (pl.Series([object()], dtype=pl.Object), InputTypeError, "the type Object"),
        (pl.Series([2**63], dtype=pl.UInt64), InputError, "column `v` of type UInt64 must fit into Int64"),
        (pl.Series([2**63], dtype=pl.Int128), InputError, "column `v` of type Int128 must fit into Int64"),
        (pl.Series([2**62], dtype=pl.Datetime("ms")), InputError, "column `v` has times beyond"),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pl.Series) else "",
)
def test_what_delta_cannot_keep_is_refused_and_nothing_written(
    tmp_path: Path, series: pl.Series, error: type[InputError], words: str
) -> None:
    with pytest.raises(error) as caught:
        write(rows(1).with_columns(series.alias("v")), tmp_path / "t")
    assert words in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_names_that_differ_only_in_case_are_refused() -> None:
    with pytest.raises(InputError, match="must differ in more than case, for Delta; got `a` and `A`"):
        canonical(pl.DataFrame({"a": [1], "A": [1]}))


@pytest.mark.parametrize("name", ["with space", "a,b;{}()=\t", "^a.*$", "ä☃", "select", "1"])
def test_odd_column_names_are_kept(tmp_path: Path, name: str) -> None:
    frame = rows(2).rename({"x": name})
    version = write(frame, tmp_path / "t")
    assert read_version(tmp_path / "t", 0, version.content_sha256).equals(frame)


def test_a_version_says_what_it_is_and_reads_back(tmp_path: Path) -> None:
    frame = EVERY_TYPE
    version = write(frame, tmp_path / "t")
    assert version == DataVersion(
        name="rows",
        delta_version=0,
        content_sha256=GOLDEN,
        n_rows=3,
        contract_sha256="c" * 64,
        starts_utc=MOMENT,
        ends_utc=MOMENT + timedelta(microseconds=1),
        uri=str(tmp_path / "t"),
    )
    assert read_version(version.uri, 0, GOLDEN).sort("i8").equals(frame.sort("i8"))


def test_rows_are_read_in_one_order_whatever_order_they_came_in(tmp_path: Path) -> None:
    frame = rows(500).with_columns(at=pl.lit(MOMENT))
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=1)
    one, other = write(frame, tmp_path / "one"), write(shuffled, tmp_path / "other")
    assert read_version(one.uri, 0).equals(read_version(other.uri, 0))


def test_the_same_content_is_kept_once(tmp_path: Path) -> None:
    first = write(rows(3), tmp_path / "t")
    second = write(rows(4), tmp_path / "t")
    assert write(rows(3).reverse(), tmp_path / "t") == first
    assert second.delta_version == 1
    assert DeltaTable(str(tmp_path / "t")).version() == 1


def test_another_contract_makes_another_version(tmp_path: Path) -> None:
    write(rows(3), tmp_path / "t")
    again = write_version(rows(3), tmp_path / "t", name="rows", contract_sha256="d" * 64, event_time="at")
    assert again.delta_version == 1


def test_old_versions_stay_readable_when_columns_change(tmp_path: Path) -> None:
    write(rows(3), tmp_path / "t")
    write(rows(3).with_columns(y=pl.lit("new"), x=pl.lit(1.5)), tmp_path / "t")
    assert read_version(tmp_path / "t", 0).equals(rows(3))
    assert read_version(tmp_path / "t", 1).columns == ["at", "x", "y"]


def test_quarantined_rows_go_to_a_table_of_their_own(tmp_path: Path) -> None:
    bad = rows(2).with_columns(quarantine_reason=pl.lit("x: at least 50, got 17"))
    for _ in range(2):
        write(rows(3), tmp_path / "t", quarantined=bad)
    assert read_version(tmp_path / "t_quarantine", 0).equals(bad)
    assert DeltaTable(str(tmp_path / "t_quarantine")).version() == 0
    write(rows(4), tmp_path / "u", quarantined=bad.clear())
    assert not (tmp_path / "u_quarantine").exists()


def data_file(uri: Path) -> Path:
    (path,) = uri.glob("*.parquet")
    return path


def test_a_changed_value_is_named(tmp_path: Path) -> None:
    version = write(rows(3), tmp_path / "t")
    path = data_file(tmp_path / "t")
    size = path.stat().st_size
    changed = pl.read_parquet(path).with_columns(pl.when(pl.col("x") == 1).then(7).otherwise("x").alias("x"))
    changed.write_parquet(path)
    (log,) = (tmp_path / "t" / "_delta_log").glob("*.json")
    log.write_text(log.read_text().replace(f'"size":{size}', f'"size":{path.stat().st_size}'))
    with pytest.raises(IntegrityError) as caught:
        read_version(version.uri, 0, version.content_sha256)
    assert f"version 0 of {version.uri} must hold the content {version.content_sha256}" in str(caught.value)
    assert read_version(version.uri, 0).height == 3, "without a hash to compare with, nobody can know"
    again = write(rows(3), tmp_path / "t")
    assert again == replace(version, delta_version=1)
    assert read_version(again.uri, 1, again.content_sha256).equals(rows(3))


SPOILT = pytest.mark.parametrize(
    "spoil", [Path.unlink, lambda path: path.write_bytes(b"PAR1")], ids=["deleted", "cut"]
)


@SPOILT
def test_a_version_that_cannot_be_read_any_more_is_named(tmp_path: Path, spoil: object) -> None:
    version = write(rows(3), tmp_path / "t")
    spoil(data_file(tmp_path / "t"))  # type: ignore[operator]
    with pytest.raises(IntegrityError, match=r"version 0 of [^ ]* is recorded but cannot be read"):
        read_version(version.uri, 0, version.content_sha256)


@SPOILT
def test_content_whose_version_was_spoilt_is_kept_anew_and_then_once(tmp_path: Path, spoil: object) -> None:
    first = write(rows(3), tmp_path / "t")
    spoil(data_file(tmp_path / "t"))  # type: ignore[operator]
    write(rows(4), tmp_path / "t")
    again = [write(rows(3), tmp_path / "t") for _ in range(2)]
    assert again == [replace(first, delta_version=2)] * 2
    assert read_version(first.uri, 2, first.content_sha256).equals(rows(3))
    with pytest.raises(IntegrityError, match="version 0 of"):
        read_version(first.uri, 0, first.content_sha256)


def test_a_mark_on_other_rows_is_never_taken_for_a_version(tmp_path: Path) -> None:
    uri = str(tmp_path / "t")
    write(rows(3), tmp_path / "t")
    sha256 = content_sha256(rows(4))
    marks = {"tidewheel.contract_sha256": "c" * 64, "tidewheel.content_sha256": sha256}
    for _ in range(
        2
    ):  # rows beside those of the version before, as two first writers at once used to leave them
        write_deltalake(
            uri, rows(4), mode="append", commit_properties=CommitProperties(custom_metadata=marks)
        )
    assert write(rows(4), tmp_path / "t").delta_version == 3
    assert read_version(uri, 3, sha256).equals(rows(4))


def test_a_log_that_another_tool_shortened_is_searched_from_where_it_begins(tmp_path: Path) -> None:
    uri = str(tmp_path / "t")
    kept = [write(rows(number), tmp_path / "t") for number in (3, 4, 5)]
    DeltaTable(uri).create_checkpoint()
    for version in (0, 1):
        (tmp_path / "t" / "_delta_log" / f"{version:020d}.json").unlink()
    assert write(rows(5), tmp_path / "t") == kept[2]
    assert write(rows(4), tmp_path / "t").delta_version == 3


@pytest.mark.parametrize("version", [-1, 2])
def test_a_version_that_was_never_written_is_refused(tmp_path: Path, version: int) -> None:
    write(rows(3), tmp_path / "t")
    write(rows(4), tmp_path / "t")
    with pytest.raises(InputError, match=f"has the versions 0 to 1; got {version}"):
        read_version(tmp_path / "t", version)


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must be a Delta table; it cannot be opened"):
        read_version(tmp_path / "none", 0)


@pytest.mark.parametrize(
    ("frame", "error", "words"),
    [
        (rows(0), InputError, "a version of `rows` must have at least one row; got none, with 2 columns"),
        (rows(3).drop("at"), InputTypeError, "the event time `at` of `rows` must be a column of times; got None"),
        (rows(3).with_columns(at=pl.lit("x")), InputTypeError, "must be a column of times; got String"),
        (rows(3).with_columns(at=pl.lit(None, pl.Datetime("us", "UTC"))), InputError, "known in every row; 3 are missing"),
    ],
    ids=["empty", "no event time", "text", "missing times"],
)  # fmt: skip
def test_rows_that_make_no_version_are_refused(
    tmp_path: Path, frame: pl.DataFrame, error: type[InputError], words: str
) -> None:
    with pytest.raises(error, match=words):
        write(frame, tmp_path / "t")
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="file/t"):
        write(rows(3), tmp_path / "file" / "t")


WRITER = """
import sys
from datetime import UTC, datetime, timedelta
import polars as pl
from tidewheel.data.versions import read_version, write_version
uri, number = sys.argv[1], int(sys.argv[2])
at = [datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(50)]
print("ready", flush=True)
sys.stdin.readline()
for own in [0, *range(100 * number, 100 * number + 4)]:
    frame = pl.DataFrame({"at": at, "x": [own] * 50}, schema_overrides={"at": pl.Datetime("us", "UTC")})
    version = write_version(frame, uri, name="rows", contract_sha256="c", event_time="at")
    assert read_version(uri, version.delta_version, version.content_sha256)["x"].unique().to_list() == [own]
    print(own, version.delta_version, flush=True)
"""


def test_writers_at_the_same_time_each_get_their_own_version(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "t"), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2, 3)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    answers = [writer.communicate("go\n", timeout=120)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    versions = [line.split() for answer in answers for line in answer.splitlines()]
    shared = {version for own, version in versions if own == "0"}
    assert len(shared) == 1, "the content that all of them wrote has one version"
    distinct = [version for own, version in versions if own != "0"]
    assert len(set(distinct)) == len(distinct) == 12
    assert not shared & set(distinct)


def test_all_kinds_of_nan_are_one() -> None:
    bits = np.array([0x7FF8 << 48, 0xFFF8 << 48, (0x7FF8 << 48) + 1], dtype=np.uint64)
    hashes = {content_sha256(pl.DataFrame({"a": bits[row : row + 1].view(np.float64)})) for row in range(3)}
    assert len(hashes) == 1


def test_a_table_that_another_tool_rewrote_is_read_in_the_order_of_its_content(tmp_path: Path) -> None:
    uri = str(tmp_path / "t")
    write(rows(2, first=5), tmp_path / "t")
    write_deltalake(uri, rows(2, first=1), mode="append")
    assert read_version(uri, 1)["x"].to_list() == [1, 5, 2, 6]


def test_losing_against_other_writers_for_ever_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: object, **__: object) -> None:
        raise CommitFailedError("somebody else was faster")

    monkeypatch.setattr(versions, "write_deltalake", lose)
    with pytest.raises(
        ConflictError, match="was changed by other writers during each of 20 attempts; try again"
    ):
        write(rows(3), tmp_path / "t")


def test_a_spoilt_log_is_told(tmp_path: Path) -> None:
    write(rows(3), tmp_path / "t")
    (log,) = (tmp_path / "t" / "_delta_log").glob("*.json")
    log.write_text("{not json")
    with pytest.raises(InputError, match="must be a Delta table or a new folder; it cannot be opened"):
        write(rows(3), tmp_path / "t")
    with pytest.raises(InputError, match="must be a Delta table; it cannot be opened"):
        read_version(tmp_path / "t", 0)
