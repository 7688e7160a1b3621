"""`compare(by=)`: rows split by the values of columns, each segment compared with itself, verdicts taken together."""

import datetime as dt
import json
import multiprocessing
import pickle
from fractions import Fraction
from math import comb
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy import stats

from tidewheel import drift
from tidewheel.drift.report import segmented
from tidewheel.drift.table import decision, segments
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

ROWS = 3_000


def make(seed, shift=0.0, shops=("north", "south", None), n=ROWS):
    """A table whose `x` moves in the south alone."""
    rng = np.random.default_rng(seed)
    shop = [shops[i] for i in rng.integers(0, len(shops), n)]
    return {
        "x": rng.normal(0, 1, n) + shift * np.array([one == "south" for one in shop]),
        "wide": rng.integers(2**60, 2**61, n),
        "word": [("u", "v")[i] for i in rng.integers(0, 2, n)],
        "when": np.datetime64("2026-01-01", "us") + rng.integers(0, 10**12, n).astype("m8[us]"),
        "list": list(range(n)),
        "shop": shop,
        "day": [f"2026-01-{i:02d}" for i in rng.integers(1, 29, n)],
    }


BEFORE, AFTER = make(1), make(2, 1.0)


def rows_of(table, shop, names):
    keep = [i for i, one in enumerate(table["shop"]) if one == shop]
    return {name: [table[name][i] for i in keep] for name in names}


def numbers(report):
    return [(column.name, column.kind, column.statistics, column.parts, column.pvalue) for column in report]


# What a segment's report says


@pytest.mark.parametrize("unit", [None, "day"])
def test_each_segment_is_compared_with_itself(unit):
    names = ["x", "word"]
    found = drift.compare(BEFORE, AFTER, by="shop", columns=names, unit=unit)
    assert list(found.segments) == ["north", "south", None]
    for shop in found.segments:
        read = [*names, *([unit] if unit else [])]
        alone = drift.compare(rows_of(BEFORE, shop, read), rows_of(AFTER, shop, read), unit=unit)
        assert numbers(found[shop]) == numbers(alone)
        assert (found[shop].n_reference, found[shop].n_current) == (alone.n_reference, alone.n_current)
        assert (found[shop].unit, found[shop].units) == (alone.unit, alone.units)
    assert found.drifted == (("south", "x"),)
    assert (found.n_reference, found.n_current) == (ROWS, ROWS)


@pytest.mark.parametrize("correction", ["bh", "by", "bonferroni", "none"])
def test_pvalues_are_corrected_over_all_segments(correction):
    found = drift.compare(BEFORE, AFTER, by="shop", correction=correction)
    records = [column for column in found.columns if column.parts]
    assert len(records) == 1 + 3 * 6
    expected = decision.correct_pvalues([column.pvalue for column in records], correction)
    assert [column.pvalue_corrected for column in records] == expected
    if correction in {"bh", "by"}:
        theirs = stats.false_discovery_control([column.pvalue for column in records], method=correction)
        assert expected == pytest.approx(theirs, rel=1e-12)


def test_a_shift_that_hides_in_the_whole_is_seen_in_its_segment():
    rng = np.random.default_rng(3)
    shop = np.repeat([f"shop {i:02d}" for i in range(20)], 400)
    before, after = (rng.normal(size=shop.size) for _ in range(2))
    after[shop == "shop 07"] += 1
    tables = {"x": before, "shop": shop}, {"x": after, "shop": shop}
    assert drift.compare(*tables).drifted == ()
    assert drift.compare(*tables, by="shop").drifted == (("shop 07", "x"),)


def test_no_false_alarms_over_many_segments():
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(20):
        tables = [
            {"x": rng.normal(size=2_000), "y": rng.integers(0, 9, 2_000), "g": rng.integers(0, 25, 2_000)}
            for _ in range(2)
        ]
        alarms += bool(drift.compare(*tables, by="g").drifted)
    assert alarms <= 1


# Segments of one side


def test_segments_that_one_side_lacks():
    found = drift.compare(make(1, shops=("a", "b", "old")), make(2, shops=("a", "b", "new")), by="shop")
    assert (found.gone, found.new, len(found)) == (("old",), ("new",), 4)
    assert found.schema == (("old", "shop"),)
    gone, new = found["old"]["shop"], found["new"]["shop"]
    assert (gone.verdict, new.verdict) == ("schema", "not computed")
    assert gone.reason.startswith(
        f"the current table has no row of this segment, the reference {gone.n_reference:,} of 3,000: p is"
    )
    assert new.reason == (
        f"the reference has no row of this segment, the current table {new.n_current:,} of 3,000"
    )
    assert (gone.n_current, new.n_reference) == (0, 0)
    assert any("Segments that the reference lacks, not compared: new (" in told for told in found.warnings)
    # The shares of the segments moved as well, which is seen over all rows.
    assert found.overall.drifted == ("shop",)


def test_a_segment_of_few_rows_may_be_gone_by_chance():
    before = {"x": np.arange(1_000.0), "g": ["a"] * 998 + ["rare"] * 2}
    found = drift.compare(before, {"x": np.arange(1_000.0), "g": ["a"] * 1_000}, by="g")
    record = found["rare"]["g"]
    assert record.verdict == "undecided"
    assert record.pvalue == pytest.approx(1000 * 999 / (2000 * 1999), rel=1e-12)
    assert record.pvalue_corrected == pytest.approx(2 * record.pvalue, rel=1e-12)
    assert record.reason == (
        "the current table has no row of this segment, the reference 2 of 1,000, which may be chance: p is 0.25"
    )
    assert (found.gone, found.schema) == (("rare",), ())


def test_units_say_whether_a_segment_is_gone_by_chance():
    """A hundred rows of one day are one day: their absence from three other days is no news."""
    rng = np.random.default_rng(9)
    before = {
        "x": rng.normal(size=1_000),
        "g": ["a"] * 900 + ["b"] * 100,
        "day": np.repeat(np.arange(10), 100),
    }
    after = {"x": rng.normal(size=300), "g": ["a"] * 300, "day": np.repeat(np.arange(3), 100)}
    assert drift.compare(before, after, by="g", exclude=["day"])["b"]["g"].verdict == "schema"
    found = drift.compare(before, after, by="g", unit="day")
    record = found["b"]["g"]
    assert (record.verdict, record.pvalue) == ("undecided", pytest.approx(10 / 13, rel=1e-12))
    assert "100 of 1,000, in 1 of 10 units, which may be chance" in record.reason
    assert found["b"].units == (1, 0)


@pytest.mark.parametrize(
    ("count", "of", "others"), [(1, 1, 1), (3, 10, 7), (10, 10, 4), (40, 200, 90), (2, 9, 0)]
)
def test_the_chance_is_fishers(count, of, others):
    expected = Fraction(comb(of + others - count, others), comb(of + others, others))
    found = segments.find_chance_of_none(count, of, others)
    assert found == pytest.approx(float(expected), rel=1e-12)
    if others:
        table = [[count, of - count], [0, others]]
        assert found == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue, rel=1e-9)


def test_the_chance_of_very_many_rows_is_bounded():
    assert segments.find_chance_of_none(10**9, 2 * 10**9, 10**9) == 0.0
    assert segments.find_chance_of_none(10**9, 2 * 10**9, 1) < 1


# What is said once


def test_columns_that_differ_are_named_once():
    before = BEFORE | {"label": np.arange(ROWS), "type": np.arange(ROWS), "cell": [[1]] * ROWS}
    after = AFTER | {"type": ["a"] * ROWS, "cell": [[1]] * ROWS, "more": np.arange(ROWS)}
    found = drift.compare(before, after, by="shop")
    assert {column.name: column.verdict for column in found.overall} == {
        "shop": "stable",
        "label": "schema",
        "type": "schema",
        "cell": "not computed",
    }
    assert found.schema == ()
    assert all("label" not in report and "cell" not in report for _, report in found)
    assert "Not compared, since the reference lacks them: more." in found.warnings


def test_without_a_column_that_both_sides_have():
    found = drift.compare({"x": range(9), "g": ["a", "b", "c"] * 3}, {"g": ["a", "b"] * 3}, by="g")
    assert found.overall.schema == ("x",)
    assert {segment: (len(report), report.n_reference, report.n_current) for segment, report in found} == {
        "a": (0, 3, 3),
        "b": (0, 3, 3),
        "c": (1, 3, 0),
    }


def test_a_column_left_out_splits_the_rows_all_the_same():
    found = drift.compare(BEFORE, AFTER, by="shop", exclude=["shop", "list"])
    assert found.overall.columns == ()
    assert list(found.segments) == ["north", "south", None]
    assert "list" not in found["north"]


def test_cautions_are_gathered_by_column():
    rng = np.random.default_rng(4)
    tables = [
        {"code": rng.choice([1, 2, 3], 8_000, p=p), "g": ["a", "b"] * 4_000}
        for p in ([0.1, 0.8, 0.1], [0.18, 0.64, 0.18])
    ]
    # The middle shrinks and both ends grow: the order hides from D what the names show.
    found = drift.compare(*tables, by="g")
    told = [sentence for sentence in found.warnings if "'code'" in sentence]
    assert len(told) == 1
    assert told[0].startswith("In segment a (and 1 other): 'code' has 3 distinct whole numbers")
    assert any("'code' has 3 distinct" in sentence for sentence in found["b"].warnings)
    declared = drift.compare(*tables, by="g", kinds={"code": "categorical"})
    assert not any("'code'" in sentence for sentence in declared.warnings)
    assert declared["a"]["code"].kind == "categorical"


def test_years_that_split_the_rows_are_no_text_to_warn_of():
    table = {"x": np.arange(900.0), "year": ["2024", "2025", "2026"] * 300}
    found = drift.compare(table, table, by="year")
    assert found.overall["year"].kind == "categorical"
    assert found.warnings == found.overall.warnings == found[2024].warnings
    assert len(found.warnings) == 1  # that rows are taken as independent


def test_thresholds_hold_in_every_segment():
    found = drift.compare(BEFORE, AFTER, by="shop", thresholds={"x": 0.9}, columns=["x", "word"])
    assert {report["x"].effect.threshold for _, report in found} == {0.9}
    assert {report["word"].effect.threshold for _, report in found} == {0.1}
    assert found.drifted == ()
    moved = {"x": np.arange(900.0), "g": np.resize(["a", "a", "a", "b"], 900)}
    tables = {"x": np.arange(900.0), "g": np.resize(["a", "b"], 900)}, moved
    assert drift.compare(*tables, by="g").overall.drifted == ("g",)
    assert drift.compare(*tables, by="g", thresholds={"g": 0.9}).overall.drifted == ()


# Small segments


def test_small_segments_end_without_an_exception():
    before = {
        "x": [*range(500), 1.0, 2.0, 3.0],
        "g": ["a"] * 500 + ["b"] * 2 + ["c"],
        "u": [*range(500), 0, 0, 0],
    }
    after = {"x": [*range(500), 9.0, None], "g": ["a"] * 500 + ["b", "c"], "u": [*range(500), 0, 1]}
    found = drift.compare(before, after, by="g", exclude=["u"])
    assert {segment: report["x"].verdict for segment, report in found} == {
        "a": "stable",
        "b": "undecided",
        "c": "undecided",
    }
    assert "values cannot be compared: current has no value, all 1 rows are missing" in found["c"]["x"].reason
    units = drift.compare(before, after, by="g", unit="u")
    assert units["b"]["x"].verdict == units["c"]["x"].verdict == "not computed"
    assert units["b"]["x"].reason.startswith("the reference has values in one unit only")
    assert units["b"].units == (1, 1)


@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0), (0, 0)])
def test_sides_without_rows(n, m):
    tables = [{"x": np.arange(float(k)), "g": np.arange(k) % 2} for k in (n, m)]
    found = drift.compare(*tables, by="g")
    assert {column.verdict for column in found.columns} == {"not computed"}
    assert len(found) == (2 if n + m else 0)
    assert found.summary()


# Values that name segments

VALUES = {
    "integers, in order": ([10, 9, 2], ["2", "9", "10"], 9),
    "beyond floats": ([2**60, 2**60 + 1], [str(2**60), str(2**60 + 1)], 2**60 + 1),
    "floats, NaN last": ([1.5, float("nan"), -0.5], ["-0.5", "1.5", "NaN"], 1.5),
    "booleans": ([True, False], ["false", "true"], True),
    "dates": ([dt.date(2026, 2, 1), dt.date(2025, 3, 1)], ["2025-03-01", "2026-02-01"], dt.date(2026, 2, 1)),
    "times": ([dt.datetime(2026, 2, 1, 4), dt.datetime(2026, 2, 1, 3)], ["2026-02-01 03:00:00", "2026-02-01 04:00:00"],
              dt.datetime(2026, 2, 1, 4)),
    "strings and missing": (["b", None, "", "a"], ["", "a", "b", None], None),
}  # fmt: skip


@pytest.mark.parametrize(("values", "names", "key"), VALUES.values(), ids=VALUES.keys())
def test_segments_go_by_the_text_of_their_values(values, names, key):
    column = pl.Series(values * 40, strict=False)
    table = pl.DataFrame({"x": np.arange(len(column), dtype=float), "g": column})
    found = drift.compare(table, table, by="g")
    assert list(found.segments) == names
    assert key in found
    assert found[key].n_reference == 40
    if key is not None:
        assert found[key] is found[names[[str(name) for name in names].index(_text(key))]]


def _text(key):
    return str(key).lower() if isinstance(key, bool) else str(key)


def test_values_of_another_width_or_unit_name_the_same_segments():
    before = {"x": np.arange(90.0), "g": np.arange(90) % 3}
    after = {"x": np.arange(90.0), "g": np.arange(90) % 3 * 1.0}
    assert list(drift.compare(before, after, by="g").segments) == ["0", "1", "2"]
    days = np.array(["2026-01-01", "2026-01-02"], dtype="M8[D]").repeat(45)
    before, after = {"x": np.arange(90.0), "g": days}, {"x": np.arange(90.0), "g": days.astype("M8[ms]")}
    found = drift.compare(before, after, by="g")
    assert (found.gone, found.new, len(found)) == ((), (), 2)


def test_several_columns():
    found = drift.compare(BEFORE, AFTER, by=["shop", "word"])
    shops = [(shop, word) for shop in ("north", "south", None) for word in "uv"]
    assert list(found.segments) == shops
    assert found["south", "v"]["x"].verdict == "drifted"
    assert (("south", "v") in found, ["south", "v"] in found, "south" in found) == (True, True, False)
    assert [column.name for column in found.overall] == ["shop", "word"]
    keep = [(shop, word) == (None, "u") for shop, word in zip(BEFORE["shop"], BEFORE["word"], strict=True)]
    assert found[None, "u"].n_reference == sum(keep)
    assert found.to_dict()["segments"][4]["segment"] == [None, "u"]
    assert found.to_polars()["segment"].unique(maintain_order=True).to_list()[-2:] == [
        "(missing) / u",
        "(missing) / v",
    ]


NAMES = {
    "plain": ("north", "north"),
    "missing": (None, "(missing)"),
    "the word for it": ("(missing)", '"(missing)"'),
    "empty": ("", '""'),
    "quoted": ('"x', '"\\"x"'),
    "several": (("a", None), "a / (missing)"),
    "several, with the sign between": (("a / b", "c"), '"a / b" / c'),
    "one with the sign": ("a / b", "a / b"),
}


@pytest.mark.parametrize(("segment", "name"), NAMES.values(), ids=NAMES.keys())
def test_names_in_tables_are_one_to_one(segment, name):
    assert segmented.name_segment(segment) == name


# Tables of every library


class Stream:
    """An Arrow stream of no library known."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def arrow(table):
    return pl.DataFrame(table).to_arrow()


def mixed(table):
    return {
        "x": pd.Series(table["x"], index=range(9, 9 + ROWS)),
        "wide": pl.Series(table["wide"]),
        "word": pa.array(table["word"], pa.string_view()),
        "when": pd.Index(table["when"]),
        "list": range(ROWS),
        "shop": pa.chunked_array([table["shop"][:7], table["shop"][7:]]),
        "day": Stream(pl.Series(table["day"])),
    }


def encoded(table):
    found = arrow(table)
    runs = pc.run_end_encode(pc.cast(found["word"], "string"))
    return found.set_column(found.schema.get_field_index("word"), "word", runs)


FORMS = {
    "mapping": lambda table: table,
    "mapping of series": mixed,
    "masked arrays": lambda table: table | {"x": np.ma.array(table["x"], mask=False)},
    "polars": pl.DataFrame,
    "polars, lazy": pl.LazyFrame,
    "polars, chunks": lambda table: pl.concat([pl.DataFrame(table)[:9], pl.DataFrame(table)[9:]], rechunk=False),
    "polars, categories": lambda table: pl.DataFrame(table).with_columns(pl.col("shop", "word").cast(pl.Categorical)),
    "pandas": pd.DataFrame,
    "pandas, categories": lambda table: pd.DataFrame(table).astype({"shop": "category", "word": "string"}),
    "pandas, an index of names": lambda table: pd.DataFrame(table).set_axis([f"row {i}" for i in range(ROWS)]),
    "pyarrow": arrow,
    "pyarrow, runs": encoded,
    "pyarrow, a batch": lambda table: arrow(table).combine_chunks().to_batches()[0],
    "pyarrow, a reader": lambda table: arrow(table).to_reader(),
    "a stream": lambda table: Stream(pl.DataFrame(table)),
}  # fmt: skip

OPTIONS = {
    "plain": {},
    "unit": {"unit": "day"},
    "columns": {"columns": ["x", "shop"]},
    "exclude": {"exclude": ["list", "shop"]},
    "kinds": {"kinds": {"list": "categorical"}},
}


@pytest.fixture(scope="module")
def expected():
    return {name: drift.compare(BEFORE, AFTER, by="shop", **options) for name, options in OPTIONS.items()}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("options", OPTIONS)
def test_tables_of_every_library(form, options, expected):
    found = drift.compare(form(BEFORE), form(AFTER), by="shop", **OPTIONS[options])
    assert list(found.segments) == ["north", "south", None]
    for shop, report in found:
        assert [(c.name, c.verdict, c.pvalue_corrected) for c in report] == [
            (c.name, c.verdict, c.pvalue_corrected) for c in expected[options][shop]
        ]


def compare_in_a_child(queue, tables):
    found = drift.compare(*tables, by="shop", threads=2)
    queue.put([(shop, [column.pvalue for column in report]) for shop, report in found])


@pytest.mark.parametrize(
    "form",
    ["mapping", "mapping of series", "polars", "polars, chunks", "polars, categories", "pandas", "pyarrow"],
)
def test_rows_are_taken_in_a_forked_child(form):
    """A forked process has none of its parent's threads: what hands its work to these would wait for ever."""
    tables = [FORMS[form](BEFORE), FORMS[form](AFTER)]
    pl.DataFrame(BEFORE).lazy().select(pl.col("x").sum()).collect()  # the threads of polars are there
    expected = drift.compare(*tables, by="shop")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=compare_in_a_child, args=(queue, tables))
    process.start()
    try:
        found = queue.get(timeout=60)
    finally:
        process.join(5)
        if process.is_alive():
            process.kill()
    assert found == [(shop, [column.pvalue for column in report]) for shop, report in expected]


def test_arrays_of_two_dimensions():
    tables = [np.column_stack([table["x"], np.arange(ROWS) % 2, table["list"]]) for table in (BEFORE, AFTER)]
    found = drift.compare(*tables, by=1)
    assert list(found.segments) == ["0", "1"]
    alone = drift.compare(*(table[::2, [0, 2]] for table in tables))
    assert [column.parts for column in found[0]] == [column.parts for column in alone]


def test_rows_are_taken_where_neither_pyarrow_nor_polars_is(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    stream = Stream(pl.DataFrame(BEFORE))
    assert len(drift.compare(stream, Stream(pl.DataFrame(AFTER)), by="shop")) == 3
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(ImportError, match="`by` needs pyarrow or polars to take rows of Stream"):
        drift.compare(stream, stream, by="shop")


@pytest.mark.parametrize("options", [{"columns": ["x"]}, {"exclude": ["bad"]}, {"exclude": ["bad", "s"]}])
def test_lazy_frames_read_wanted_columns_alone(options):
    def fail(_):
        raise AssertionError("a column was read that nobody asked for")

    frame = pl.LazyFrame({"x": np.arange(400.0), "s": ["a", "b"] * 200}).with_columns(
        bad=pl.col("x").map_elements(fail, return_dtype=pl.Float64)
    )
    found = drift.compare(frame, frame, by="s", **options)
    assert [[column.name for column in report] for _, report in found] == [["x"], ["x"]]


def test_threads_and_order_change_nothing():
    order = np.random.default_rng(8).permutation(ROWS)
    before, after = pl.DataFrame(BEFORE), pl.DataFrame(AFTER)
    found = drift.compare(before, after, by="shop", exclude=["list"])
    for threads in (1, 3):
        assert drift.compare(before, after, by="shop", exclude=["list"], threads=threads) == found
    shuffled = drift.compare(before[order], after[order], by="shop", exclude=["list"])
    assert [c.parts for c in shuffled.columns] == [c.parts for c in found.columns]


def test_what_another_tool_says_of_each_segment():
    names = ["x", "word"]
    found = drift.compare(BEFORE, AFTER, by="shop", columns=names, compat="evidently")
    for shop in found.segments:
        alone = drift.compare(rows_of(BEFORE, shop, names), rows_of(AFTER, shop, names), compat="evidently")
        assert [column.peer for column in found[shop]] == [column.peer for column in alone]
    theirs = sum(column.peer.drifted for _, report in found for column in report)
    told = f"It calls {theirs} of 6 columns drifted; the verdicts here, which are ours, 1."
    assert found.warnings[-1].endswith(told)
    assert "peer_method" in found.to_polars().columns


# Wrong use

WRONG = {
    "unknown": ({"by": "z"}, InputError, "column 'z' must be in `reference`; it has 'x', "),
    "none": ({"by": []}, InputError, "`by` must name at least one column; got none"),
    "a number": ({"by": 3.5}, InputError, "column '3.5' must be in `reference`"),
    "a boolean": ({"by": True}, InputTypeError, "`by` must name columns by strings; got True"),
    "ids": ({"by": "wide"}, InputError, "at most 1,000 segments; 'wide' makes 6,000: group the values"),
    "together": ({"by": ["day", "code"]}, InputError, "'day' and 'code' make 1,"),
    "the unit": ({"by": "day", "unit": "day"}, InputError, "`by` must not name the column of `unit`, 'day'"),
    "alone": ({"by": "shop", "columns": ["shop"]}, InputError, "to compare besides those of `by`; got 'shop' alone"),
    "another type": ({"by": "type"}, InputTypeError, "'type' must have one type in both tables; got int64 and string"),
    "of no type": ({"by": "cell"}, InputTypeError, "`by` 'cell' must hold values of one type in both tables: "),
    "unit of one value": ({"by": "shop", "unit": "one"}, InputError, "'one' must have at least 2 values in `reference`"),
}  # fmt: skip


@pytest.mark.parametrize(("options", "error", "words"), WRONG.values(), ids=WRONG.keys())
def test_wrong_use(options, error, words):
    more = {"code": np.arange(ROWS) % 60, "cell": [[1], 2, "c"] * (ROWS // 3), "one": ["a"] * ROWS}
    before = BEFORE | more | {"type": np.arange(ROWS)}
    with pytest.raises(error) as caught:
        drift.compare(before, AFTER | more | {"type": ["a"] * ROWS}, **options)
    assert words in str(caught.value)
    assert type(caught.value) is error


def test_a_thousand_segments_are_not_too_many():
    table = {"x": np.arange(2_000.0), "g": np.arange(2_000) % 1_000}
    assert len(drift.compare(table, table, by="g")) == 1_000
    with pytest.raises(InputError, match=r"at most 1,000 segments; 'g' makes 1,001"):
        drift.compare(table, {"x": np.arange(2_000.0), "g": 1 + np.arange(2_000) % 1_000}, by="g")


# The report in the hands of a user


@pytest.fixture(scope="module")
def report():
    before, after = make(1, shops=("north", "south", "old")), make(2, 1.0, shops=("north", "south", "<new>"))
    return drift.compare(before, after, by="shop", columns=["x", "word"])


def test_it_is_a_collection_of_segments(report):
    assert [segment for segment, _ in report] == ["<new>", "north", "old", "south"] == list(report.segments)
    assert dict(report) == report.segments
    assert len(report) == 4
    assert report["south"]["x"].verdict == "drifted"
    assert ("south" in report, "west" in report, None in report, object() in report) == (
        True,
        False,
        False,
        False,
    )
    with pytest.raises(
        UnknownNameError, match="segment must be one of '<new>', 'north', 'old', 'south'; got 'west'"
    ):
        report["west"]
    assert report.drifted == (("south", "x"),)
    assert report.schema == (("old", "shop"),)


def test_it_prints(report):
    assert str(report) == report.summary()
    assert repr(report) == (
        "SegmentedReport(2 of 7 columns drifted, 1 differs in schema, 4 segments by 'shop', 3,000 reference rows, "
        "3,000 current rows)"
    )
    lines = str(report).splitlines()
    assert lines[0].startswith(
        "2 of 7 columns drifted, 1 differs in schema in 4 segments by 'shop' (3,000 ref"
    )
    assert lines[3].split() == ["segment", "column", "kind", "verdict", "effect", "between", "p", "corrected"]
    shown = [line.split()[0] for line in lines[4:11]]
    assert sorted(shown) == ["(all", "<new>", "north", "north", "old", "south", "south"]
    assert any(line.startswith("old: shop: the current table has no row of this segment") for line in lines)


def test_a_long_table_is_cut():
    table = {f"x{i}": np.arange(300.0) for i in range(10)} | {"g": np.arange(300) % 6}
    found = drift.compare(table, table, by="g")
    lines = found.summary().splitlines()
    assert lines.index("") + 2 + 40 == lines.index("", 3)
    assert "And 21 undecided; `to_polars()` has all." in lines


def test_it_is_equal_by_what_it_holds(report):
    assert report == pickle.loads(pickle.dumps(report))
    before, after = make(1, shops=("north", "south", "old")), make(2, 1.0, shops=("north", "south", "<new>"))
    assert report == drift.compare(before, after, by="shop", columns=["x", "word"])
    assert report != drift.compare(before, after, by="shop", columns=["x"])


def test_tables_have_a_row_per_column_and_segment(report):
    table = report.to_polars()
    assert table.select("segment", "column", "verdict").rows() == [
        ("(all rows)", "shop", "drifted"),
        ("<new>", "shop", "not computed"),
        ("north", "x", "undecided"),
        ("north", "word", "stable"),
        ("old", "shop", "schema"),
        ("south", "x", "drifted"),
        ("south", "word", "stable"),
    ]
    alone = report["south"].to_polars()
    assert table.filter(segment="south").drop("segment").equals(alone)
    assert report.to_pandas()["segment"].tolist() == table["segment"].to_list()
    assert report.to_pandas().shape == table.shape


def test_json_holds_everything(report):
    found = json.loads(report.to_json())
    assert found == json.loads(json.dumps(report.to_dict()))
    assert found["drifted"] == [["south", "x"]]
    assert (found["gone"], found["new"], found["by"]) == (["old"], ["<new>"], ["shop"])
    for segment in found["segments"]:
        name = segment.pop("segment")
        assert segment == json.loads(report[name].to_json())
    assert found["overall"] == json.loads(report.overall.to_json())
    assert {"n_reference", "n_current", "alpha", "correction", "unit", "warnings", "schema"} <= set(found)


def test_the_page_names_each_segment(report, tmp_path):
    text = report.to_html(tmp_path / "page.html")
    assert text == (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h1>2 of 7 columns drifted, 1 differs in schema</h1>" in text
    assert '<h2>x <span class="k">in south</span></h2>' in text
    assert '<span class="k">in &lt;new&gt;</span>' in text
    assert "<dt>segments<dd>4 by shop" in text
    cell = report._repr_html_()
    assert cell.startswith('<div class="tw">')
    assert '<h2>x <span class="k">in south</span></h2>' in cell
    # Without segments there is nothing of them.
    assert '<span class="k">in ' not in report["south"].to_html()


def test_a_large_page_shows_the_most_urgent_rows(report, monkeypatch):
    monkeypatch.setattr("tidewheel.drift.report.page.MOST_ROWS", 3)
    text = report.to_html()
    assert text.count("<li class=") - text.count('<ul class="n"><li class=') >= 3
    assert text.count("<h2>") == 3
    assert "The 4 least urgent rows are left out of this page; <code>to_polars()</code>" in text
    assert report["south"].to_html().count("<h2>") == 2


def test_junit_has_a_case_per_column_and_segment(report):
    suite = ElementTree.fromstring(report.to_junit())
    cases = {(case.get("classname"), case.get("name")): case for case in suite.iter("testcase")}
    assert len(cases) == 7
    failed = {key for key, case in cases.items() if case.find("failure") is not None}
    assert failed == {("drift.(all rows)", "shop"), ("drift.old", "shop"), ("drift.south", "x")}
    assert cases["drift.<new>", "shop"].find("skipped") is not None
    assert suite.get("failures") == "3"
