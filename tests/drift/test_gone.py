"""Columns that are gone: without a value, lacking, or of another type. None of them is a pass, and none ends the report."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats

from tidewheel import drift
from tidewheel.errors import InputError

N = 400
NUMBERS = np.arange(N, dtype=float)
DAYS = [dt.date(2024, 1, 1) + dt.timedelta(i) for i in range(N)]

#: A column of the reference, and its type.
COLUMNS = {
    "float": (NUMBERS, pl.Float64),
    "integer": (np.arange(N), pl.Int64),
    "string": ([f"s{i % 7}" for i in range(N)], pl.String),
    "ids": ([f"s{i}" for i in range(N)], pl.String),
    "boolean": ([i % 3 == 0 for i in range(N)], pl.Boolean),
    "date": (DAYS, pl.Date),
    "datetime": ([dt.datetime(2024, 1, 1, i % 24) for i in range(N)], pl.Datetime("us")),
    "duration": ([dt.timedelta(hours=i) for i in range(N)], pl.Duration("us")),
    "categorical": ([f"s{i % 7}" for i in range(N)], pl.Categorical),
}


def by_rows(reference, current, **options):
    return drift.compare(reference, current, **options)


def by_profile(reference, current):
    return drift.Profile.fit(reference).compare(current)


def by_windows(reference, current):
    profile = drift.Profile.fit(reference)
    one, other = profile.window(), profile.window()
    one.update(current[:100])
    other.update(current[100:])
    one.merge(drift.Window.from_bytes(profile, other.to_bytes()))
    return profile.compare(one)


def by_scan(reference, current):
    profile = drift.Profile.fit(reference)
    return profile.compare(drift.scan(current.lazy(), profile=profile))


def by_unit(reference, current):
    return drift.compare(
        # Row 11 k is of unit k: units that follow each other are no neighbours in the rows, which rise.
        *(side.with_columns(unit=pl.int_range(pl.len()) * 11 % 40) for side in (reference, current)),
        unit="unit",
    )


ENTRANCES = {call.__name__: call for call in (by_rows, by_profile, by_windows, by_scan, by_unit)}
each_entrance = pytest.mark.parametrize("compare", ENTRANCES.values(), ids=ENTRANCES.keys())


@each_entrance
@pytest.mark.parametrize(("values", "dtype"), COLUMNS.values(), ids=COLUMNS.keys())
@pytest.mark.parametrize("without_type", [False, True], ids=["typed", "null type"])
def test_a_column_without_values_has_drifted(compare, values, dtype, without_type):
    reference = pl.DataFrame({"c": pl.Series(values, dtype=dtype), "x": NUMBERS})
    gone = pl.Series([None] * N, dtype=pl.Null if without_type else dtype)
    report = compare(reference, reference.with_columns(c=gone))
    column = report["c"]
    assert (column.verdict, report["x"].verdict) == ("drifted", "stable")
    assert [part.name for part in column.parts] == ["missing"]
    assert (column.missing_reference, column.missing_current) == (0, 1)
    assert "current has no value, all 400 rows are missing" in column.reason
    if compare is not by_unit:
        expected = stats.fisher_exact([[0, N], [N, 0]]).pvalue
        assert column.parts[0].pvalue == pytest.approx(expected, rel=1e-9)


@each_entrance
def test_a_reference_without_values_has_drifted(compare):
    current = pl.DataFrame({"c": NUMBERS, "s": [f"s{i % 7}" for i in range(N)], "x": NUMBERS})
    for gone in (pl.Null, None):
        reference = current.with_columns(
            c=pl.lit(None, gone or pl.Float64), s=pl.lit(None, gone or pl.String)
        )
        report = compare(reference, current)
        assert [report[name].verdict for name in "cs"] == ["drifted", "drifted"]
        assert "reference has no value" in report["c"].reason


@each_entrance
def test_nan_is_not_missing(compare):
    reference = pl.DataFrame({"c": NUMBERS})
    column = compare(reference, reference.with_columns(c=pl.lit(np.nan)))["c"]
    assert (column.verdict, column.nan_current, column.missing_current) == ("drifted", 1, 0)
    assert [part.name for part in column.parts] == ["nan"]
    assert "current has no value, all 400 rows are NaN" in column.reason
    mixed = compare(
        reference, pl.DataFrame({"c": pl.Series([None, float("nan")] * (N // 2), dtype=pl.Float64)})
    )["c"]
    assert (mixed.verdict, [part.name for part in mixed.parts]) == ("drifted", ["missing", "nan"])
    assert "all 400 rows are missing or NaN" in mixed.reason


@each_entrance
@pytest.mark.parametrize("dtype", [pl.Float64, pl.String, pl.Null, pl.Date])
def test_nothing_on_both_sides_is_not_computed(compare, dtype):
    nothing = pl.DataFrame({"c": pl.Series([None] * N, dtype=dtype), "x": NUMBERS})
    column = compare(nothing, nothing)["c"]
    assert (column.verdict, column.pvalue, column.parts) == ("not computed", None, ())
    assert "all 400 rows are missing; current has no value" in column.reason


@each_entrance
def test_nan_that_becomes_missing_has_drifted(compare):
    reference = pl.DataFrame({"c": [np.nan] * N})
    column = compare(reference, pl.DataFrame({"c": pl.Series([None] * N, dtype=pl.Float64)}))["c"]
    assert (column.verdict, [part.name for part in column.parts]) == ("drifted", ["missing", "nan"])


@each_entrance
def test_a_column_that_was_hardly_there_is_not_stable(compare):
    # One value in 400 before, none now: the shares are alike, the values cannot be compared.
    reference = pl.DataFrame({"c": [1.0, *[None] * (N - 1)]})
    column = compare(reference, pl.DataFrame({"c": pl.Series([None] * N, dtype=pl.Float64)}))["c"]
    assert column.verdict == "undecided"
    assert column.effect.upper < column.effect.threshold


@pytest.mark.parametrize("make", [pd.DataFrame, pa.table, dict, pl.DataFrame])
def test_every_kind_of_table_says_so(make):
    reference = make({"c": NUMBERS, "s": np.array(["a", "b"] * 200)})
    current = make({"c": np.full(N, np.nan), "t": np.array(["a", "b"] * 200)})
    report = drift.compare(reference, current)
    assert (report["c"].verdict, report["s"].verdict) == ("drifted", "schema")


def test_a_matrix_says_so():
    report = drift.compare(np.column_stack([NUMBERS, NUMBERS]), np.full((N, 1), np.nan))
    assert (report["0"].verdict, report["1"].verdict) == ("drifted", "schema")


#: What differs, beside a column that does not: the current column, and what the reason says.
DIFFERING = {
    "string": (
        pl.Series([f"{i}" for i in range(N)]),
        "float64 in the reference, but string in the current table",
    ),
    "boolean": (pl.Series([True, False] * (N // 2)), "but bool in"),
    "date": (pl.Series(DAYS), "but date[D] in"),
    "list": (pl.Series([[1]] * N), "but nested in the current table: the type List(Int64) is not supported"),
    "lacking": (None, "the current table lacks this column; if it need not have it, as with a label"),
}


@each_entrance
@pytest.mark.parametrize(("column", "words"), DIFFERING.values(), ids=DIFFERING.keys())
def test_a_column_that_differs_is_a_finding(compare, column, words):
    reference = pl.DataFrame({"c": NUMBERS, "x": NUMBERS})
    current = reference.drop("c") if column is None else reference.with_columns(c=column)
    report = compare(reference, current)
    found = report["c"]
    assert (found.verdict, found.pvalue, found.effect, found.parts) == ("schema", None, None, ())
    assert words in found.reason
    assert (report.schema, report.drifted) == (("c",), ())
    assert (found.n_reference, found.n_current) == (N, N)
    assert report["x"].verdict != "schema"


@each_entrance
def test_types_that_cannot_be_read_are_not_computed(compare):
    table = pl.DataFrame({"l": [[1]] * N, "x": NUMBERS})
    assert (compare(table, table)["l"].verdict, compare(table, table)["l"].reason) == (
        "not computed",
        "the type List(Int64) is not supported",
    )


#: Types of which only missing rows are known, or that have a reader of their own.
GONE = {
    "decimal": pl.Series([f"{i}.25" for i in range(N)]).cast(pl.Decimal(12, 2)),
    "list": pl.Series([[1]] * N),
    "struct": pl.Series([{"k": 1}] * N),
    "binary": pl.Series([b"a"] * N),
}


@pytest.mark.parametrize("compare", [by_rows, by_profile, by_windows, by_scan])
@pytest.mark.parametrize("values", GONE.values(), ids=GONE.keys())
def test_a_column_of_any_type_that_is_gone_has_drifted(compare, values):
    there = pl.DataFrame({"c": values, "x": NUMBERS})
    for dtype in (values.dtype, pl.Null, pl.String):
        gone = there.with_columns(c=pl.lit(None, dtype))
        for sides in ((there, gone), (gone, there)):
            column = compare(*sides)["c"]
            assert (column.verdict, [part.name for part in column.parts]) == ("drifted", ["missing"])
            assert column.parts[0].effect.value == 1


def test_what_cannot_be_read_has_no_spread_between_units():
    there = pl.DataFrame({"c": [[1]] * N, "x": NUMBERS})
    column = by_unit(there, there.with_columns(c=pl.lit(None)))["c"]
    assert (column.verdict, column.missing_current) == ("not computed", 1)
    assert column.reason == "the type List(Int64) is not supported"


@pytest.mark.parametrize("compare", [by_profile, by_windows])
def test_values_beside_missing_rows_are_counted_where_the_reference_has_none(compare):
    reference = pl.DataFrame({"c": pl.Series([None] * N, dtype=pl.Float64)})
    column = compare(reference, pl.DataFrame({"c": [1.0, None, float("nan"), float("inf")] * (N // 4)}))["c"]
    shares = (column.missing_current, column.nan_current, column.infinite_current)
    assert (column.verdict, shares) == ("drifted", (0.25, 0.25, 0.25))


def test_columns_left_out_are_not_read():
    class Untouchable:
        def __len__(self):
            raise AssertionError("read")

    reference = {"x": NUMBERS, "label": Untouchable()}
    assert drift.compare(reference, reference, exclude=["label"]).columns[0].name == "x"
    assert drift.Profile.fit(reference, exclude=["label"]).columns == ("x",)
    lazy = pl.LazyFrame({"x": NUMBERS, "label": NUMBERS}).with_columns(
        label=pl.col("label").map_batches(lambda _: pytest.fail("read"), return_dtype=pl.Float64)
    )
    assert drift.compare(lazy, lazy, exclude=["label"])["x"].verdict == "stable"


def test_a_lazy_frame_without_any_of_the_columns_has_rows():
    column = drift.compare({"x": NUMBERS}, pl.LazyFrame({"y": NUMBERS, "z": NUMBERS}))["x"]
    assert (column.verdict, column.n_current) == ("schema", N)


def test_a_column_that_the_reference_lacks():
    report = drift.compare({"x": NUMBERS}, {"x": NUMBERS, "y": NUMBERS}, columns=["x", "y"])
    assert (report["y"].verdict, report["y"].reason) == ("schema", "the reference lacks this column")
    whole = drift.compare({"x": NUMBERS}, {"x": NUMBERS, "y": NUMBERS, "z": NUMBERS}, exclude=["z"])
    assert [column.name for column in whole.columns] == ["x"]
    assert "Not compared, since the reference lacks them: y." in whole.warnings


@pytest.mark.parametrize("compare", [by_profile, by_scan, by_windows])
def test_further_columns_are_named_from_counts_too(compare):
    reference = pl.DataFrame({"x": NUMBERS})
    report = compare(reference, reference.with_columns(y=pl.lit(1), a=pl.lit("b")))
    assert "Not compared, since the reference lacks them: a, y." in report.warnings


def test_a_label_is_left_out():
    reference, current = {"x": NUMBERS, "label": NUMBERS}, {"x": NUMBERS}
    assert drift.compare(reference, current).schema == ("label",)
    report = drift.compare(reference, current, exclude=["label"])
    assert [(column.name, column.verdict) for column in report.columns] == [("x", "stable")]
    profile = drift.Profile.fit(reference, exclude=["label"])
    assert (profile.columns, profile.compare(current).schema) == (("x",), ())


def test_batches_that_differ_are_counted():
    profile = drift.Profile.fit({"x": NUMBERS, "s": ["a"] * N})
    window = profile.window()
    window.update({"x": NUMBERS, "s": ["a"] * N})
    window.update({"x": NUMBERS[:100]})
    window.update({"x": ["one"] * 50, "s": ["a"] * 50})
    again = drift.Window.from_bytes(profile, window.to_bytes())
    assert again == window
    assert (window.n_rows, window.lacking, window.other_types) == (550, ("s",), {"x": ("string",)})
    report = profile.compare(again)
    assert report.schema == ("x", "s")
    assert report["x"].reason.endswith("but string in the current table, in 50 of 550 rows")
    assert report["s"].reason.endswith("(`--exclude`), in 100 of 550 rows")


def test_a_table_without_any_of_the_columns():
    profile = drift.Profile.fit({"x": NUMBERS})
    for source in (pl.DataFrame({"y": NUMBERS}).lazy(), pa.table({"y": NUMBERS})):
        window = drift.scan(source, profile=profile)
        assert (window.n_rows, profile.compare(window).schema) == (N, ("x",))


def test_parquet_without_the_column_is_read_without_polars(tmp_path, monkeypatch):
    pl.DataFrame({"y": NUMBERS}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"y": NUMBERS, "x": NUMBERS}).write_parquet(tmp_path / "b.parquet")
    profile = drift.Profile.fit({"x": NUMBERS})
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    window = drift.scan(str(tmp_path / "*.parquet"), profile=profile)
    assert (window.n_rows, window.further, window.lacking) == (2 * N, ("y",), ("x",))
    assert profile.compare(window)["x"].reason.endswith("in 400 of 800 rows")


def test_a_monitor_alarms_at_once():
    profile = drift.Profile.fit({"x": NUMBERS, "s": ["a", "b"] * 200})
    monitor = drift.Monitor(profile)
    assert not monitor.observe({"x": NUMBERS, "s": ["a", "b"] * 200}).alarm
    look = monitor.observe({"x": NUMBERS})
    assert (look.drifted, look["s"].part, look["s"].rows) == (("s",), "schema", N)
    assert look["s"].sentence == (
        "schema: 400 rows of the last look came without this column, or with another type."
    )
    assert monitor.observe({"x": ["one"] * N, "s": ["a", "b"] * 200}).drifted == ("x",)
    gone = monitor.observe({"x": np.full(N, np.nan), "s": pl.Series([None] * N, dtype=pl.String)})
    assert {column.name: column.part for column in gone.columns if column.alarm} == {
        "x": "nan",
        "s": "missing",
    }


def test_a_column_that_differs_is_in_every_output():
    report = drift.compare({"x": NUMBERS, "label": NUMBERS}, {"x": NUMBERS})
    assert report.to_dict()["schema"] == ["label"]
    assert report.to_polars().select("column", "verdict").rows() == [("x", "stable"), ("label", "schema")]
    assert report.to_pandas()["verdict"].tolist() == ["stable", "schema"]
    assert '<testsuites tests="2" failures="1" errors="0" skipped="0">' in report.to_junit()
    assert "≠ schema" in report.to_html()
    assert "0 of 2 columns drifted, 1 differs in schema" in report.to_html()
    assert report.summary().startswith("0 of 2 columns drifted, 1 differs in schema (400 reference rows")
    assert "\nlabel: the current table lacks this column;" in report.summary()


@pytest.mark.parametrize("tool", ["evidently", "nannyml"])
def test_other_tools_say_nothing_of_a_column_that_differs(tool):
    report = drift.compare({"x": NUMBERS, "label": NUMBERS}, {"x": NUMBERS}, compat=tool)
    assert report["label"].peer is None
    assert report["x"].peer is not None


def test_chunks_must_have_the_columns():
    parts = [{"x": NUMBERS[i::20], "s": ["a"] * 20} for i in range(20)]
    profile = drift.Profile.fit({"x": NUMBERS, "s": ["a"] * N})
    with pytest.raises(
        InputError, match=r"chunk 0 must have column 's' as the profile has it, of type string"
    ):
        drift.ChunkThresholds.fit(profile, [{"x": part["x"]} for part in parts])


#: Columns without a value, of a type that the reference does not have: whichever library made them chose it.
VOID = {
    "object": (pd.DataFrame({"c": [None] * N}), "missing"),
    "string": (pl.DataFrame({"c": pl.Series([None] * N, dtype=pl.String)}), "missing"),
    "boolean": (pl.DataFrame({"c": pl.Series([None] * N, dtype=pl.Boolean)}), "missing"),
    "date": (pl.DataFrame({"c": pl.Series([None] * N, dtype=pl.Date)}), "missing"),
    "list of None": ({"c": [None] * N}, "missing"),
    "NaN": ({"c": np.full(N, np.nan)}, "nan"),
}


@pytest.mark.parametrize("compare", [by_rows, by_profile])
@pytest.mark.parametrize(("void", "part"), VOID.values(), ids=VOID.keys())
@pytest.mark.parametrize(
    "values", [NUMBERS, ["a", "b"] * 200, np.arange(N) % 2 == 0, np.array(DAYS, "M8[D]")]
)
def test_a_column_without_values_goes_with_any_type(compare, void, part, values):
    there = {"c": values}
    for sides in ((there, void), (void, there)):
        column = compare(*sides)["c"]
        assert (column.verdict, [one.name for one in column.parts]) == ("drifted", [part])
        assert column.parts[0].effect.value == 1


def test_an_empty_table_of_another_type_has_no_rows():
    column = drift.compare(pd.DataFrame({"c": NUMBERS}), pd.DataFrame(columns=["c"]))["c"]
    assert (column.verdict, column.reason) == ("not computed", "no rows in current")
