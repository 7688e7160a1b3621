"""Files as people have them: what their text means, whatever the file, the parts or their order."""

import gzip
import io
import json
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import feather, parquet

from command_line import Command, in_process
from tidewheel import drift
from tidewheel.data import tables
from tidewheel.data.text import TextOptions, settle
from tidewheel.errors import InputError

N = 600
X = np.arange(N) * 7.5
#: The same numbers 1,000 higher: of 600 values in steps of 7.5, 134 lie below all of the moved ones, so D is 134 / 600.
D = 134 / N


@pytest.fixture
def tidewheel(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return in_process(monkeypatch, capsys)


def mark(word: str):
    return lambda x: [word if i % 40 == 0 else repr(float(v)) for i, v in enumerate(x)]


#: How numbers are written, and options that say so where it is needed.
WRITTEN = {
    "plain": (lambda x: list(map(repr, map(float, x))), []),
    "NULL": (mark("NULL"), []),
    "N/A": (mark("N/A"), []),
    "NA": (mark("NA"), []),
    "nan": (mark("nan"), []),
    "NaN": (mark("NaN"), []),
    "a dash": (mark("-"), []),
    "empty in quotes": (mark('""'), []),
    "empty": (mark(""), []),
    "None": (mark("None"), []),
    "a word of one's own": (mark("missing"), ["--null-values", "missing,gone"]),
    "commas between thousands": (lambda x: [f'"{v:,.1f}"' for v in x], []),
    "spaces between thousands": (lambda x: [f"{v:,.1f}".replace(",", " ") for v in x], []),
    "a decimal comma": (lambda x: [f'"{v:.1f}"'.replace(".", ",") for v in x], []),
    "a decimal comma, declared": (
        lambda x: ['"' + f"{v:,.1f}".replace(",", "_").replace(".", ",").replace("_", ".") + '"' for v in x],
        ["--decimal-comma"],
    ),
    "spaces around": (lambda x: [f" {v} " for v in x], []),
    "exponents": (lambda x: [f"{v:.6e}" for v in x], []),
}


@pytest.mark.parametrize(("write", "options"), WRITTEN.values(), ids=WRITTEN.keys())
def test_numbers_are_numbers_however_they_are_written(tidewheel: Command, write, options) -> None:
    for name, x in (("r", X), ("c", X + 1000)):
        Path(f"{name}.csv").write_text(
            "\n".join(["x,y", *(f"{text},1" for text in write(x))]) + "\n", encoding="utf-8"
        )
    assert tidewheel("profile", "r.csv", "-o", "r.profile", *options).code == 0
    found = []
    for reference in ("r.csv", "r.profile"):
        told = tidewheel("drift", reference, "c.csv", "--json", "a.json", "--columns", "x", *options)
        assert told.code == 1, told
        (column,) = json.loads(Path("a.json").read_text(encoding="utf-8"))["columns"]
        assert (column["kind"], column["verdict"]) == ("numeric", "drifted")
        found.append(column)
    missing = (
        N // 40 / N
        if write(X)[0] in {"NULL", "N/A", "NA", "nan", "NaN", "-", '""', "", "None", "missing"}
        else 0.0
    )
    for column in found:
        assert (column["missing_reference"], column["nan_reference"]) == (missing, 0.0)
    kept = [X[np.arange(N) % 40 != 0] if missing else X for X in (X, X + 1000)]
    assert found[0]["statistics"]["ks"] == pytest.approx(drift.ks(*kept).statistic)


def test_a_part_with_a_header_alone_changes_no_type(tidewheel: Command) -> None:
    for folder, x in (("r", X), ("c", X + 1000)):
        Path(folder).mkdir()
        pd.DataFrame({"x": x[:400]}).to_csv(f"{folder}/2.csv", index=False)
        pd.DataFrame({"x": x[400:]}).to_csv(f"{folder}/3.csv", index=False)
        Path(f"{folder}/1.csv").write_text("x\n", encoding="utf-8")
    told = tidewheel("drift", "r/*.csv", "c/*.csv")
    assert (told.code, "numeric" in told.out, f"{D:.4f}" in told.out) == (1, True, True)
    Path("c/1.csv").unlink()
    assert tidewheel("drift", "r/*.csv", "c/*.csv") == told
    tidewheel("profile", "r/*.csv", "-o", "p")
    assert tidewheel("drift", "p", "c/*.csv").code == 1


WARNED = {
    "a currency sign": (lambda i: f"${X[i]}", "600 of 600 {} are numbers; not so plainly '$0.0'"),
    "a sign of percent": (lambda i: f"{X[i]} %", "600 of 600 {} are numbers; not so plainly '0.0 %'"),
    "a word": (lambda i: "lots" if i == 7 else X[i], "599 of 600 {} are numbers; not so plainly 'lots'"),
    "commas of either kind": (lambda i: f'"{1 + i % 9},{100 + i}"', "all 600 {} are numbers"),
    "days or months": (lambda i: f"0{1 + i % 9}/0{1 + i % 7}/2024", "all 600 {} are times"),
    "a word among dates": (
        lambda i: "soon" if i == 7 else f"2024-01-{10 + i % 20}",
        "599 of 600 {} are times; not so plainly 'soon'",
    ),
}


@pytest.mark.parametrize(("write", "words"), WARNED.values(), ids=WARNED.keys())
def test_what_nearly_is_a_number_or_a_time_is_said_with_the_rest(tidewheel: Command, write, words) -> None:
    for name in "rc":
        Path(f"{name}.csv").write_text(
            "\n".join(["x,y", *(f"{text},1" for text in map(write, range(N)))]) + "\n", encoding="utf-8"
        )
    told = tidewheel("drift", "r.csv", "c.csv", "--columns", "x")
    assert "'x' was compared as names" in told.out
    assert words.format("reference strings") in told.out
    quiet = tidewheel("drift", "r.csv", "c.csv", "--columns", "x", "--categorical", "x")
    assert "was compared as names" not in quiet.out
    tidewheel("profile", "r.csv", "-o", "p", "--columns", "x")
    assert "'x' was compared as names" in tidewheel("drift", "p", "c.csv").out


def test_names_are_not_warned_of(tidewheel: Command) -> None:
    frame = pl.DataFrame(
        {
            "id": [f"u{i}" for i in range(N)],
            "zip": [f"0{i:04d}" for i in range(N)],
            "c": ["NA", "DE"] * (N // 2),
        }
    )
    frame.write_csv("r.csv")
    told = tidewheel("drift", "r.csv", "r.csv", "--json", "a.json")
    assert "was compared as names" not in told.out
    columns = json.loads(Path("a.json").read_text(encoding="utf-8"))["columns"]
    # The code of Namibia is a name, and a zip code that begins with a zero is none of a number.
    assert {column["kind"] for column in columns} == {"categorical"}
    assert {column["missing_reference"] for column in columns} == {0.0}


#: Text of one column, options, the type and the values it has.
SETTLED = {
    "whole": (["1", "2"], {}, pl.Int64, [1, 2]),
    "beyond 63 bits": ([str(2**63), "1"], {}, pl.UInt64, [2**63, 1]),
    "ids of 25 digits": ([str(10**24)], {}, pl.String, [str(10**24)]),
    "codes": (["007", "12"], {}, pl.String, ["007", "12"]),
    "zero": (["0", "0.5"], {}, pl.Float64, [0.0, 0.5]),
    "booleans of pandas": (["True", "false", "NULL"], {}, pl.Boolean, [True, False, None]),
    "thousands": (["1,234", "12"], {}, pl.Float64, [1234.0, 12.0]),
    "thousands or decimals": (["1,234", "2,345"], {}, pl.String, ["1,234", "2,345"]),
    "decimals": (["1,234", "2,5"], {}, pl.Float64, [1.234, 2.5]),
    "declared decimals": (["1,234", "1.234"], {"decimal_comma": True}, pl.Float64, [1.234, 1234.0]),
    "own mark in names": (["a", "miss"], {"null_values": ("miss",)}, pl.String, ["a", None]),
    "dates": (["2024-01-31", "N/A"], {}, pl.Date, ["2024-01-31", None]),
    "dates with dots": (["31.1.2024"], {}, pl.Date, ["2024-01-31"]),
    "days first": (["31/01/2024", "01/02/2024"], {}, pl.Date, ["2024-01-31", "2024-02-01"]),
    "months first": (["01/31/2024", "02/01/2024"], {}, pl.Date, ["2024-01-31", "2024-02-01"]),
    "either first": (["01/02/2024"], {}, pl.String, ["01/02/2024"]),
    "times": (["2024-01-31 10:00:00", "2024-01-31T10:00:00"][:1], {}, pl.Datetime("us"), ["2024-01-31 10:00:00"]),
    "midnights": (
        ["2024-01-31", "2024-01-31 10:00:00.5"],
        {},
        pl.Datetime("us"),
        ["2024-01-31 00:00:00", "2024-01-31 10:00:00.500000"],
    ),
    "with a zone": (
        ["2024-01-31T10:00:00Z", "2024-01-31T10:00:00+01:00"],
        {},
        pl.Datetime("us", "UTC"),
        ["2024-01-31 10:00:00+00:00", "2024-01-31 09:00:00+00:00"],
    ),
    "clock": (["10:00", "10:00:01"], {}, pl.Time, ["10:00:00", "10:00:01"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "options", "dtype", "values"), SETTLED.values(), ids=SETTLED.keys())
def test_types_come_from_all_rows_in_any_order(text, options, dtype, values) -> None:
    rows = [*text, *[None] * 300]
    for order in (rows, rows[::-1]):
        frame = pl.LazyFrame({"x": order}, schema={"x": pl.String})
        found = [
            settle(frame, TextOptions(**options), in_memory=memory).collect()["x"] for memory in (False, True)
        ]
        assert found[0].equals(found[1])
        assert found[0].dtype == dtype
        kept = found[0].drop_nulls().to_list()[:: 1 if order is rows else -1]
        expected = [value for value in values if value is not None]
        assert kept == expected or list(map(str, kept)) == expected


def test_a_value_of_another_type_far_down_makes_names() -> None:
    rows = ["1"] * 5_000 + ["x"]
    for order in (rows, rows[::-1]):
        for memory in (False, True):
            frame = settle(pl.LazyFrame({"x": order}), TextOptions(), in_memory=memory)
            assert frame.collect_schema() == {"x": pl.String}


def save(frame: pl.DataFrame, path: str) -> None:
    file = Path(path)
    text = frame.write_csv()
    match path.split(".", 1)[1]:
        case "csv":
            frame.write_csv(file)
        case "utf16.csv":
            file.write_bytes(text.encode("utf-16"))
        case "csv.gz":
            file.write_bytes(gzip.compress(text.encode()))
        case "tsv":
            frame.write_csv(file, separator="\t")
        case "semicolon.csv":
            frame.write_csv(file, separator=";")
        case "pq" | "parquet":
            frame.write_parquet(file)
        case "feather" | "arrow":
            frame.write_ipc(file)
        case "jsonl" | "ndjson":
            frame.write_ndjson(file)
        case "jsonl.gz":
            file.write_bytes(gzip.compress(frame.write_ndjson().encode()))


FORMATS = [
    "a.csv", "a.utf16.csv", "a.csv.gz", "a.tsv", "a.semicolon.csv", "a.pq", "a.feather", "a.arrow", "a.jsonl", "a.ndjson",
    "a.jsonl.gz",
]  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_alike(tidewheel: Command, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    days = pl.Series(np.arange(N) % 90 + 19_000).cast(pl.Int32).cast(pl.Date)
    frame = pl.DataFrame({"x": X, "n": np.arange(N), "s": ["ä", "b", None] * (N // 3), "day": days})
    frame.write_parquet("r.parquet")
    save(frame, name)
    assert tables.read_table(name).cast({"n": pl.Int64}).equals(frame)
    expected = tidewheel("drift", "r.parquet", "r.parquet")
    assert expected.code == 0
    assert tidewheel("drift", "r.parquet", name) == expected
    tidewheel("profile", "r.parquet", "-o", "p")
    assert tidewheel("drift", "p", name) == tidewheel("drift", "p", "r.parquet")
    data = io.BytesIO(Path(name).read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
    assert tidewheel("drift", "r.parquet", "-") == expected


def test_standard_input_is_one_table(tidewheel: Command) -> None:
    told = tidewheel("drift", "-", "-")
    assert (told.code, told.err) == (2, "tidewheel: `-` can stand for one table only; got it for both\n")


def test_missing_categories_of_feather_are_read(tidewheel: Command) -> None:
    pd.DataFrame({"c": pd.Categorical(["a", None, "b"] * 50)}).to_feather("r.feather")
    assert tidewheel("drift", "r.feather", "r.feather", "--json", "a.json").code == 0
    (column,) = json.loads(Path("a.json").read_text(encoding="utf-8"))["columns"]
    assert (column["kind"], column["missing_reference"]) == ("categorical", pytest.approx(1 / 3))


def both_ways(tidewheel: Command, reference: str, current: str) -> list[dict]:
    """Compare two files, and the second with a profile of the first; give the columns by name, which must be the same."""
    found = []
    tidewheel("profile", reference, "-o", "p")
    for one in (reference, "p"):
        told = tidewheel("drift", one, current, "--json", "a.json")
        assert told.code in {0, 1}, told
        columns = json.loads(Path("a.json").read_text(encoding="utf-8"))["columns"]
        found.append({column["name"]: column for column in columns})
    assert {name: one["verdict"] for name, one in found[0].items()} == {
        name: one["verdict"] for name, one in found[1].items()
    }
    return found


def lines(values: list[str]) -> str:
    return "".join(f'{{"x": {i}, "odd": {value}}}\n' for i, value in enumerate(values))


#: What a column of JSON lines holds, and what is made of it.
JSON_VALUES = {
    "numbers and booleans": (["1", "true", "null"], "categorical", "stable"),
    "numbers and lists": (["[1]", "1", "null"], "categorical", "stable"),
    "objects and numbers": (['{"k": 1}', "2", "null"], "categorical", "stable"),
    "objects and lists": (['{"k": 1}', "[2]", "null"], "categorical", "stable"),
    "strings and numbers": (['"a"', "1", "null"], "categorical", "stable"),
    "numbers larger than any float": (["1" + "0" * 400, "1", "null"], "categorical", "stable"),
    "whole numbers beyond 64 bits and others": (["1" + "0" * 20, "1.5", "null"], "numeric", "stable"),
    "numbers larger than any float alone": (
        ["1" + "0" * 400, "2" + "0" * 400, "null"],
        "categorical",
        "stable",
    ),
    "halves of a pair": ([r'"\ud83d"', r'"b\udc80"', "null"], "categorical", "stable"),
    "numbers and NaN": (["1.5", "NaN", "null"], "numeric", "stable"),
    "objects of several kinds": (['{"k": 1}', '{"k": "a"}', "null"], "struct", "not computed"),
}


@pytest.mark.parametrize(("values", "kind", "verdict"), JSON_VALUES.values(), ids=JSON_VALUES)
def test_a_column_of_json_of_several_kinds_costs_itself_at_most(
    tidewheel: Command, values: list[str], kind: str, verdict: str
) -> None:
    # Two columns beside it are of one kind each, nested or not.
    text = lines(values * 2_000).replace("}\n", ', "list": [1], "wide": 1.5, "none": null}\n')
    Path("r.jsonl").write_text(text, encoding="utf-8")
    for columns in both_ways(tidewheel, "r.jsonl", "r.jsonl"):
        assert columns["odd"]["verdict"] == verdict
        assert columns["odd"]["missing_current"] == pytest.approx(1 / 3)
        assert kind in columns["odd"]["kind"].lower() or verdict == "not computed"
        assert (columns["x"]["kind"], columns["x"]["verdict"]) == ("numeric", "stable")
        assert columns["list"]["verdict"] == "not computed"
        assert columns["wide"]["verdict"] == "stable"


def test_numbers_and_booleans_of_json_are_names(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(lines(["1", "true", "18446744073709551616"]), encoding="utf-8")
    read = tables.read_table(file)
    assert (read["x"].to_list(), read["odd"].to_list()) == ([0, 1, 2], ["1", "true", "18446744073709551616"])


@pytest.mark.parametrize(
    ("line", "words"),
    [("[1]", "line 2 is a list"), ('{"x": ', "line 2 is none: Expecting value")],
    ids=["a list", "cut short"],
)
def test_a_line_of_json_that_is_no_object_is_named(tidewheel: Command, line: str, words: str) -> None:
    Path("a.jsonl").write_text(f'{{"x": 1}}\n{line}\n', encoding="utf-8")
    told = tidewheel("drift", "a.jsonl", "a.jsonl")
    assert told.code == 2
    assert told.err.startswith(f"tidewheel: a.jsonl must have a JSON object on each line; {words}")


def halves(first: pa.Array) -> pa.Array:
    return pa.concat_arrays([first] * (5 * N))


#: Columns of Arrow at which polars stops, and their kind and verdict.
ARROW = {
    "interval": (halves(pa.array([(1, 2, 3), None], pa.month_day_nano_interval())), "object", "not computed"),
    "list view": (halves(pa.array([[1], None], pa.list_view(pa.int64()))), "", "not computed"),
    "union": (
        pa.UnionArray.from_sparse(pa.array([0] * 10 * N, pa.int8()), [pa.array([1, 2] * 5 * N)]), "object", "not computed",
    ),
    "long decimal": (halves(pa.array([Decimal("1.25"), None], pa.decimal256(60, 2))), "numeric", "stable"),
    "runs": (pc.run_end_encode(halves(pa.array([1.5, None]))), "numeric", "stable"),
    "runs of strings": (pc.run_end_encode(halves(pa.array(["a", None]))), "categorical", "stable"),
    "views of strings": (halves(pa.array(["a" * 20, None], pa.string_view())), "categorical", "stable"),
}  # fmt: skip


#: Those that parquet has too.
IN_PARQUET = {"list view", "long decimal", "views of strings"}
ARROW_FILES = [
    (name, form)
    for name in ARROW
    for form in ("feather", "parquet")
    if form == "feather" or name in IN_PARQUET
]


@pytest.mark.parametrize(("name", "form"), ARROW_FILES)
def test_a_type_that_polars_lacks_costs_its_own_column(tidewheel: Command, name: str, form: str) -> None:
    values, kind, verdict = ARROW[name]
    write = {"feather": feather.write_feather, "parquet": parquet.write_table}[form]
    write(pa.table({"x": np.tile(X, 10), "odd": values}), f"r.{form}")
    for columns in both_ways(tidewheel, f"r.{form}", f"r.{form}"):
        assert columns["x"]["verdict"] == "stable"
        assert columns["odd"]["verdict"] == verdict
        assert kind in columns["odd"]["kind"]
        if verdict == "stable":
            assert columns["odd"]["missing_current"] == 0.5


def test_codes_of_missing_entries_late_in_a_file_of_arrow_are_read(tidewheel: Command) -> None:
    numbers = pd.Categorical([*range(N - 1), None], ordered=True)
    pd.DataFrame({"x": X, "c": numbers}).to_feather("r.feather")
    for columns in both_ways(tidewheel, "r.feather", "r.feather"):
        assert columns["c"]["missing_current"] == pytest.approx(1 / N)


def test_folders_that_name_a_column(tidewheel: Command) -> None:
    frame = pl.DataFrame({"x": X, "month": ["01", "02", "12"] * (N // 3)})
    frame.write_parquet("r.parquet")
    for (month,), part in frame.group_by("month"):
        Path(f"h/month={month}").mkdir(parents=True)
        part.drop("month").write_parquet(f"h/month={month}/p.parquet")
    for place in ("h", "h/*/*.parquet", "h/**/*.parquet"):
        assert tables.read_table(place).sort("x").select(frame.columns).equals(frame)
        assert tidewheel("drift", "r.parquet", place).code == 0
    assert tables.read_table("h/month=01/p.parquet").columns == ["x"]
    Path("i/year=2024").mkdir(parents=True)
    frame.write_parquet("i/year=2024/p.parquet")
    assert tables.read_table("i").schema["year"] == pl.Int64


def test_parquet_that_grew_is_one_table(tidewheel: Command) -> None:
    pl.DataFrame({"x": X}).write_parquet("a.parquet")
    pl.DataFrame({"x": X, "new": 1}).write_parquet("b.parquet")
    pl.DataFrame({"x": X.astype("f4")}).write_parquet("e.parquet")
    told = tidewheel("drift", "a.parquet", "[abe].parquet")
    assert (told.code, "0 of 1 column drifted (600 reference rows, 1,800 current rows)" in told.out) == (
        0,
        True,
    )
    assert "Not compared, since the reference lacks them: new." in told.out
    tidewheel("profile", "a.parquet", "-o", "p")
    assert tidewheel("drift", "p", "[abe].parquet").code == 0
    pl.DataFrame({"x": X.astype(str)}).write_parquet("c.parquet")
    for pattern in ("[ac].parquet", "[ca].parquet"):
        with pytest.raises(InputError, match="column 'x' must have one type in all files of"):
            tables.read_table(pattern)


def test_files_of_text_with_other_columns_follow_each_other(tidewheel: Command) -> None:
    Path("1.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    Path("2.csv").write_text("b;a\n5;6\n", encoding="utf-8")
    assert tables.read_table("[12].csv").to_dict(as_series=False) == {"a": [1, 6], "b": [2, 5]}


def test_dates_below_ten_thousand_empty_rows_are_dates(tidewheel: Command) -> None:
    times = pd.date_range("2024", periods=12_000, freq="h").strftime("%Y-%m-%d %H:%M:%S")
    pd.DataFrame({"x": range(12_000), "t": times}).to_csv("r.csv", index=False)
    pd.DataFrame({"x": range(12_000), "t": np.where(np.arange(12_000) < 10_500, "", times)}).to_csv(
        "c.csv", index=False
    )
    tidewheel("profile", "r.csv", "-o", "p")
    for reference in ("p", "r.csv"):
        told = tidewheel("drift", reference, "c.csv", "--json", "a.json")
        column = json.loads(Path("a.json").read_text(encoding="utf-8"))["columns"][1]
        assert (told.code, column["kind"], column["missing_current"]) == (1, "temporal", 0.875)


def test_codes_are_declared_in_the_command_and_kept_by_the_profile(tidewheel: Command) -> None:
    pl.DataFrame({"code": [1, 2, 3] * 200}).write_csv("r.csv")
    pl.DataFrame({"code": [1, 3] * 300}).write_csv("c.csv")
    tidewheel("profile", "r.csv", "-o", "p", "--categorical", "code")
    for line in ("r.csv c.csv --categorical code", "p c.csv"):
        told = tidewheel("drift", *line.split())
        assert (told.code, "categorical  drifted  0.3333" in told.out) == (1, True)
    refused = tidewheel("drift", "p", "c.csv", "--categorical", "code")
    assert (refused.code, "belong to the command that learned the profile p" in refused.err) == (2, True)
    both = tidewheel("drift", "r.csv", "c.csv", "--categorical", "code", "--numeric", "code")
    assert (both.code, "column 'code' must be declared once" in both.err) == (2, True)
