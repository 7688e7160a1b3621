"""Tables in files: what can be named, and what is refused; `tests/cli/test_drift_files.py` has what their text means."""

from pathlib import Path

import polars as pl
import pytest

from tidewheel.data.tables import find_files, read_table, reading, scan_table
from tidewheel.errors import InputError

ROWS = pl.DataFrame({"a": [1, 2], "b": ["x", None]})


@pytest.mark.parametrize(
    "name", ["t.parquet", "t.csv", "t.arrow", "t.ipc", "t.feather", "T.PARQUET", "delta"]
)
def test_every_kind_of_table_reads_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    match path.suffix.lower():
        case ".parquet":
            ROWS.write_parquet(path)
        case ".csv":
            ROWS.write_csv(path)
        case "":
            ROWS.write_delta(str(path))
        case _:
            ROWS.write_ipc(path)
    assert read_table(path).equals(ROWS)
    assert read_table(str(path)).equals(ROWS)


def test_types_of_a_csv_are_taken_from_all_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n" + "1\n" * 2000 + "1.5\n")
    assert read_table(path).schema == {"a": pl.Float64}


_MANY = "".join(f"{i},{i}.5,red\n" for i in range(300))


@pytest.mark.parametrize(
    ("line", "types"),
    {
        "numbers throughout": ("300,7.25,red", (pl.Int64, pl.Float64, pl.String)),
        "a decimal where whole numbers were": ("300.5,7.25,red", (pl.Float64, pl.Float64, pl.String)),
        "a mark": ("NA,n/a,NA", (pl.Int64, pl.Float64, pl.String)),
        "a name among numbers": ("three,7.25,red", (pl.String, pl.Float64, pl.String)),
        "a code": ("007,7.25,red", (pl.String, pl.Float64, pl.String)),
        "a number of three places": ("-007,7.25,red", (pl.Int64, pl.Float64, pl.String)),
        "a quoted code": ('"007",7.25,red', (pl.String, pl.Float64, pl.String)),
        "a code after a space": (" 007,7.25,red", (pl.String, pl.Float64, pl.String)),
        "a code after spaces": ("   007,7.25,red", (pl.String, pl.Float64, pl.String)),
        "a code among floats": ("300,007,red", (pl.Int64, pl.String, pl.String)),
        "a code at the end, without a line break": ("300,7.25,00", (pl.Int64, pl.Float64, pl.String)),
        "an id of twenty digits among floats": (
            "300,12345678901234567890,red",
            (pl.Int64, pl.String, pl.String),
        ),
        "beyond 64 bits": ("9223372036854775808,7.25,red", (pl.UInt64, pl.Float64, pl.String)),
        "not a number": ("300,nan,red", (pl.Int64, pl.Float64, pl.String)),
        "an infinity": ("300,inf,red", (pl.Int64, pl.Float64, pl.String)),
        "nothing": (",,", (pl.Int64, pl.Float64, pl.String)),
        "thousands": ('"1,234",7.25,red', (pl.Float64, pl.Float64, pl.String)),
        "spaces": (" 300 , 7.25 ,red", (pl.Int64, pl.Float64, pl.String)),
    }.values(),
    ids=str,
)
def test_numbers_parsed_on_the_way_have_the_types_of_their_text(
    tmp_path: Path, line: str, types: tuple[pl.DataType, ...]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"a,b,c\n{_MANY}{line}", encoding="utf-8")
    frame = read_table(path)
    assert tuple(frame.dtypes) == types
    # `scan_table` settles all columns from their text.
    assert frame.equals(scan_table(path).collect())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, "there is nothing at"),
        (
            "t.xlsx",
            b"x",
            "ending in .parquet, .pq, .csv, .tsv, .arrow, .ipc, .feather, .jsonl, .ndjson; got t.xlsx",
        ),
        ("t.csv", b"", "the file is empty"),
        ("t.csv", b"a,b\n", "must have at least one row; got none, with 2 columns"),
        ("t.csv", b"a,b\n1\n1,2,3,4\n", "cannot be read as a table"),
        ("t.parquet", b"", "cannot be read as a table"),
        ("t.parquet", b"not parquet at all", "cannot be read as a table"),
        ("t.parquet", b"PAR1", "cannot be read as a table"),
        ("t.parquet", b"PAR1" + bytes(8) + b"PAR1", "cannot be read as a table"),
        ("t.arrow", b"not arrow", "cannot be read as a table"),
        ("t.arrow", b"ARROW1\x00\x00", "cannot be read as a table"),
    ],
    ids=[
        "missing",
        "unknown kind",
        "empty csv",
        "header only",
        "ragged csv",
        "empty parquet",
        "no parquet",
        "cut parquet",
        "hollow parquet",
        "no arrow",
        "cut arrow",
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_table(path)
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_the_reason_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1\n1,2,3,4\n")
    with pytest.raises(InputError) as caught:
        read_table(tmp_path / "t.csv")
    assert "\n" not in str(caught.value)


def test_a_pattern_is_the_files_it_matches(tmp_path: Path) -> None:
    for part in (2, 0, 1):
        pl.DataFrame({"a": [part]}).write_parquet(tmp_path / f"{part}.parquet")
    ROWS.write_parquet(tmp_path / "[0].parquet")
    assert read_table(tmp_path / "?.parquet")["a"].to_list() == [0, 1, 2]
    assert read_table(tmp_path / "[0].parquet").equals(ROWS)  # the file goes before the pattern
    assert find_files(tmp_path / "[12].parquet") == [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    (tmp_path / "3.csv").write_text("a\n3\n")
    with pytest.raises(InputError, match=r"files of one kind, .*; got files ending in \.csv, \.parquet"):
        scan_table(tmp_path / "*")


def test_scanning_reads_no_rows(tmp_path: Path) -> None:
    ROWS.write_parquet(tmp_path / "t.parquet")
    scanned = scan_table(tmp_path / "t.parquet")
    assert scanned.collect_schema() == ROWS.schema
    (tmp_path / "t.parquet").unlink()
    with pytest.raises(InputError, match="here cannot be read as a table"), reading("here"):
        scanned.collect()
    with pytest.raises(KeyboardInterrupt), reading("here"):
        raise KeyboardInterrupt


def test_a_folder_must_be_a_delta_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a folder must be a Delta table to be read as one"):
        read_table(tmp_path)
    (tmp_path / "_delta_log").mkdir()
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_table(tmp_path)
