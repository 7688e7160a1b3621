"""Tables from elsewhere: the same rows give the same report, and what cannot be read costs its own column."""

import datetime as dt
import subprocess
import sys
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tidewheel import _native, drift
from tidewheel.drift.reading import inputs
from tidewheel.errors import InputError, InputTypeError

N = 600
RNG = np.random.default_rng(5)
FLOATS = [None if i % 7 == 0 else float(value) for i, value in enumerate(RNG.normal(size=N))]
INTS = [None if i % 5 == 0 else int(value) for i, value in enumerate(RNG.integers(0, 1000, N))]
WORDS = [None if i % 9 == 0 else str(value) for i, value in enumerate(RNG.choice(["a", "b", "é", ""], N))]
DAYS = [dt.date(2024, 1, 1) + dt.timedelta(days=int(value)) for value in RNG.integers(0, 90, N)]
TIMES = [dt.datetime(2024, 1, 1) + dt.timedelta(seconds=int(value)) for value in RNG.integers(0, 10**6, N)]
AWARE = [time.replace(tzinfo=dt.UTC) for time in TIMES]
CLOCKS = [
    (dt.datetime(2024, 1, 1) + dt.timedelta(seconds=int(value))).time()
    for value in RNG.integers(0, 86_400, N)
]
SPANS = [dt.timedelta(milliseconds=int(value)) for value in RNG.integers(0, 10**6, N)]
MONEY = [
    None if i % 11 == 0 else Decimal(int(value)) / 100 for i, value in enumerate(RNG.integers(0, 10**5, N))
]
FLAGS = [None if i % 13 == 0 else bool(value) for i, value in enumerate(RNG.integers(0, 2, N))]

#: Values, and the type that each library has for them.
TYPES = {
    "float64": (FLOATS, pl.Float64, "float64", pa.float64()),
    "float32": (FLOATS, pl.Float32, "float32", pa.float32()),
    "int64": (INTS, pl.Int64, "Int64", pa.int64()),
    "uint8": ([i % 200 for i in range(N)], pl.UInt8, "uint8", pa.uint8()),
    "int as float": (INTS, pl.Int64, "float64", pa.int64()),
    "boolean": (FLAGS, pl.Boolean, "boolean", pa.bool_()),
    "boolean objects": (FLAGS, pl.Boolean, object, pa.bool_()),
    "string": (WORDS, pl.String, "str", pa.large_string()),
    "string objects": (WORDS, pl.String, object, pa.string_view()),
    "category": (WORDS, pl.Categorical, "category", pa.dictionary(pa.int8(), pa.string())),
    "date": (DAYS, pl.Date, object, pa.date32()),
    "date64": (DAYS, pl.Date, object, pa.date64()),
    "datetime us": (TIMES, pl.Datetime("us"), "datetime64[us]", pa.timestamp("us")),
    "datetime ns": (TIMES, pl.Datetime("us"), "datetime64[ns]", pa.timestamp("ms")),
    "datetime aware": (AWARE, pl.Datetime("ms", "UTC"), "datetime64[ns, UTC]", pa.timestamp("us", "Europe/Paris")),
    "datetime objects": (TIMES, pl.Datetime("us"), object, pa.timestamp("s")),
    "time": (CLOCKS, pl.Time, object, pa.time64("us")),
    "time32": (CLOCKS, pl.Time, object, pa.time32("s")),
    "duration": (SPANS, pl.Duration("ms"), "timedelta64[us]", pa.duration("ns")),
    "decimal": (MONEY, pl.Decimal(12, 2), object, pa.decimal128(12, 2)),
    "decimal256": (MONEY, pl.Decimal(12, 2), object, pa.decimal256(40, 2)),
    "null": ([None] * N, pl.Null, object, pa.null()),
}  # fmt: skip


def by_library(name: str, values: list) -> dict:
    _, polars, pandas, arrow = TYPES[name]
    return {
        "polars": pl.DataFrame({"x": pl.Series(values, dtype=polars)}),
        "lazy": pl.LazyFrame({"x": pl.Series(values, dtype=polars)}),
        "pandas": pd.DataFrame({"x": pd.Series(values, dtype=pandas)}),
        "pyarrow": pa.table({"x": pa.array(values, arrow)}),
        "mapping": {"x": pd.Series(values, dtype=pandas)},
    }


def facts(report: drift.DriftReport) -> dict:
    column = report["x"]
    return {
        "kind": column.kind if column.verdict != "not computed" else "",
        "verdict": column.verdict,
        "statistics": column.statistics,
        "pvalue": column.pvalue,
        "parts": column.parts,
        "missing": (column.missing_reference, column.missing_current),
        "nan": (column.nan_reference, column.nan_current),
    }


@pytest.mark.parametrize("name", TYPES)
def test_the_same_rows_give_the_same_report(name):
    values = TYPES[name][0]
    moved = [*values[N // 3 :], *values[: N // 6]]
    references, currents = by_library(name, values), by_library(name, moved)
    found = {key: facts(drift.compare(references[key], currents[key])) for key in references}
    assert all(told == found["polars"] for told in found.values()), found
    # Each library's rows against polars' own: the same instants, numbers and names.
    for key, reference in references.items():
        across = facts(drift.compare(reference, currents["polars"]))
        assert across == found["polars"], key
        window = facts(drift.Profile.fit(references["polars"]).compare(currents[key]))
        assert window == facts(drift.Profile.fit(reference).compare(currents["polars"])), key


GOOD = list(range(N))
UNREADABLE = {
    "dict": ([{"k": 1}] * N, "objects of type dict"),
    "uuid": ([uuid.uuid4() for _ in range(N)], "objects of type UUID"),
    "bytes": ([b"a"] * N, "objects of type bytes"),
    "mixed": (["a", 1] * (N // 2), "objects of type int, str"),
    "lists": ([[1, 2]] * N, "objects of type list"),
    "arrays": ([np.ones(3)] * N, "objects of type ndarray"),
    "sets": ([{1}] * N, "objects of type set"),
    "naive and aware": ([TIMES[0], AWARE[0]] * (N // 2), "objects of type datetime"),
}


def same(values: list) -> pd.Series:
    return pd.Series(values, dtype=object)


@pytest.mark.parametrize(("values", "why"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_read_costs_its_own_column(values, why):
    frame = pd.DataFrame({"x": GOOD, "odd": same(values)})
    good = pd.DataFrame({"x": GOOD, "odd": GOOD})
    profile = drift.Profile.fit(frame)
    both = [
        drift.compare(frame, frame),
        profile.compare(frame),
        drift.Profile.from_bytes(profile.to_bytes()).compare(frame),
    ]
    one = [
        drift.compare(good, frame),
        drift.compare(frame, good),
        profile.compare(good),
        drift.Profile.fit(good).compare(frame),
    ]
    for report in (*both, *one):
        assert report["x"].verdict == "stable"
        # A column that can be read in one table alone has another type in the other.
        assert report["odd"].verdict == ("schema" if report in one else "not computed")
        assert why in report["odd"].reason
        assert report["odd"].pvalue is None
    assert drift.compare(frame, frame, columns=["x"]).columns[0].verdict == "stable"
    assert "odd" not in drift.sliced(frame, frame, permutations=19, rows=100).encoded
    window = drift.Profile.fit(good).window()
    window.update(frame)
    again = drift.Window.from_bytes(window.profile, window.to_bytes())
    assert again == window
    assert why in again.unread["odd"]
    drift.Profile.fit({"x": GOOD}).window().update(frame)
    drift.Monitor(drift.Profile.fit(good)).observe(frame)


UNREADABLE_ARROW = {
    "list": pa.array([[1]] * N),
    "struct": pa.array([{"a": 1}] * N),
    "map": pa.array([[("a", 1)]] * N, pa.map_(pa.string(), pa.int8())),
    "binary": pa.array([b"a"] * N),
    "fixed size binary": pa.array([b"ab"] * N, pa.binary(2)),
    "dictionary of binary": pa.array([b"a"] * N).dictionary_encode(),
    "interval": pa.array([None, (1, 2, 3)] * (N // 2), pa.month_day_nano_interval()),
    "uuid": pa.array([uuid.uuid4().bytes for _ in range(N)], pa.uuid()),
    "period": pa.array(pd.Series(pd.period_range("2024-01", periods=N, freq="D"))),
}


@pytest.mark.parametrize("values", UNREADABLE_ARROW.values(), ids=UNREADABLE_ARROW.keys())
def test_unsupported_types_of_arrow_cost_their_own_column(values):
    table = pa.table({"x": GOOD, "odd": values})
    for report in (drift.compare(table, table), drift.Profile.fit(table).compare(table.to_reader())):
        assert (report["x"].verdict, report["odd"].verdict) == ("stable", "not computed")
        assert "is not supported" in report["odd"].reason


def test_periods_are_not_numbers_in_a_stream():
    table = pa.table({"x": GOOD, "odd": UNREADABLE_ARROW["period"]})
    profile = drift.Profile.fit(table)
    for source in (table, table.to_reader()):
        window = drift.scan(source, profile=profile)
        assert (window.n_rows, window.other_types) == (N, {})
        assert profile.compare(window)["odd"].verdict == "not computed"


def test_unsupported_types_of_polars_cost_their_own_column():
    frame = pl.DataFrame(
        {
            "x": GOOD,
            "list": [[1]] * N,
            "array": pl.Series([[1, 2]] * N, dtype=pl.Array(pl.Int8, 2)),
            "struct": [{"a\0b": 1}] * N,
            "object": pl.Series([object()] * N, dtype=pl.Object),
            "binary": [b"a"] * N,
        }
    )
    report = drift.compare(frame, frame)
    assert [column.name for column in report.columns if column.verdict != "not computed"] == ["x"]
    assert report["struct"].reason.startswith("the type Struct(")


ENCODED = {
    "run-end encoded numbers": (lambda: pa.compute.run_end_encode(pa.array([1.5, 1.5, None, 4.0])), [1.5, 1.5, None, 4.0]),
    "run-end encoded slice": (lambda: pa.compute.run_end_encode(pa.array([9, 9, 9, 2, None, 2]))[2:], [9, 2, None, 2]),
    "dictionary of dates": (lambda: pa.array([0, 1, 0], pa.date32()).dictionary_encode(), [0, 1, 0]),
    "dictionary of decimals": (lambda: pa.array([Decimal("1.25"), None]).dictionary_encode(), [1.25, None]),
    "dictionary with NaN": (
        lambda: pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int8()), pa.array([1.0, float("nan"), None])),
        [1.0, float("nan"), None],
    ),
    "bool8": (lambda: pa.array([1, 0], pa.int8()).cast(pa.bool8()), [1, 0]),
    "decimal32": (lambda: pa.array([Decimal("1.5")], pa.decimal32(5, 1)), [1.5]),
    "decimal64": (lambda: pa.array([Decimal("-1.5")], pa.decimal64(15, 1)), [-1.5]),
    "long decimal": (lambda: pa.array([Decimal(7**60)], pa.decimal256(76, 0)), [float(7**60)]),
    "negative long decimal": (lambda: pa.array([Decimal(-(2**63))], pa.decimal256(76, 0)), [float(-(2**63))]),
    "negative scale": (lambda: pa.array([Decimal("1.2E+5")], pa.decimal128(5, -4)), [120000.0]),
    "half floats": (lambda: pa.array(np.array([0.5, 1.5], "f2")), [0.5, 1.5]),
}  # fmt: skip


@pytest.mark.parametrize(("made", "expected"), ENCODED.values(), ids=ENCODED.keys())
def test_encoded_arrays_hold_their_values(made, expected):
    column = inputs.read_array("x", made())
    rows = inputs.read_array("rows", np.arange(len(expected)))
    data, there = _native.gather_numbers(column, rows)
    values = np.frombuffer(data, dtype=np.float64)
    assert np.frombuffer(there, dtype=np.bool_).tolist() == [value is not None for value in expected]
    np.testing.assert_array_equal(values, [0.0 if value is None else value for value in expected])


def test_run_end_encoded_strings_are_names():
    runs = pa.compute.run_end_encode(pa.array(["a", "a", None, "b"]))
    (found,) = _native.compare_categories([inputs.read_array("x", runs)], [inputs.read_array("x", ["a"])], 50)
    assert (found.names, found.reference_counts, found.reference.missing) == (["a", "b"], [2, 1, 0], 1)


PANDAS = {
    "sparse": (pd.arrays.SparseArray([0.0, 1.0] * 300), np.array([0.0, 1.0] * 300)),
    "periods": (pd.period_range("2000-01", periods=N, freq="M"), pd.date_range("2000-01-01", periods=N, freq="MS")),
    "cut": (
        pd.cut(np.arange(N), 3),
        ["(-0.599, 199.667]"] * 200 + ["(199.667, 399.333]"] * 200 + ["(399.333, 599.0]"] * 200,
    ),
    "Categorical": (pd.Categorical(["a", "b"] * 300), ["a", "b"] * 300),
    "Int64": (pd.array([1, 2, None] * 200, dtype="Int64"), [1, 2, None] * 200),
    "Index of str": (pd.Index(["a", "b"] * 300), ["a", "b"] * 300),
    "DatetimeIndex": (pd.date_range("2024", periods=N), pd.Series(pd.date_range("2024", periods=N))),
    "aware DatetimeIndex": (
        pd.date_range("2024", periods=N, tz="UTC"),
        pd.Series(pd.date_range("2024", periods=N, tz="UTC")),
    ),
    "CategoricalIndex": (pd.CategoricalIndex(["a", "b"] * 300), ["a", "b"] * 300),
    "matrix of one column": (np.arange(N)[:, None], np.arange(N)),
}  # fmt: skip


@pytest.mark.parametrize(("values", "plain"), PANDAS.values(), ids=PANDAS.keys())
def test_indexes_and_arrays_are_read_as_their_values(values, plain):
    report = drift.compare({"x": values}, {"x": plain})
    assert report["x"].effect is not None
    assert report["x"].effect.value == 0.0
    assert report["x"].missing_reference == report["x"].missing_current


def test_quarters_and_months_have_one_line_of_time():
    r = pd.DataFrame({"p": pd.period_range("2000Q1", "2019Q4", freq="Q")})
    c = pd.DataFrame({"p": pd.period_range("2000-01", "2019-12", freq="M")})
    # 80 quarters against 240 months: the first month of a quarter is its start, and 2 of 240 months lie ahead of it.
    assert drift.compare(r, c)["p"].statistics["ks"] == pytest.approx(2 / 240)


def test_two_types_of_categories_are_not_names():
    frame = pd.DataFrame({"x": GOOD, "c": pd.Categorical(["a", 1] * (N // 2))})
    report = drift.compare(frame, frame)
    assert (report["x"].verdict, report["c"].reason) == (
        "stable",
        "its categories must be of one type; got int, str",
    )


EMPTY = {
    "objects of None": pd.DataFrame({"a": [None] * N}),
    "NaN of pandas": pd.DataFrame({"a": [np.nan] * N}),
    "NaT": pd.DataFrame({"a": pd.Series([pd.NaT] * N)}),
    "no rows": pd.DataFrame({"a": []}),
    "polars null": pl.DataFrame({"a": [None] * N}),
    "polars floats": pl.DataFrame({"a": pl.Series([None] * N, dtype=pl.Float64)}),
    "polars strings": pl.DataFrame({"a": pl.Series([None] * N, dtype=pl.String)}),
    "list of None": {"a": [None] * N},
}
TYPED = {
    "int": GOOD, "bool": [True, False] * (N // 2), "string": ["u", "v"] * (N // 2), "time": TIMES, "date": DAYS,
}  # fmt: skip


@pytest.mark.parametrize("empty", EMPTY.values(), ids=EMPTY.keys())
@pytest.mark.parametrize("typed", TYPED.values(), ids=TYPED.keys())
def test_a_side_without_values_fits_any_type(empty, typed):
    assert inputs.read_table("x", empty)["a"].kind == "null"
    rows = inputs.read_table("x", empty).n_rows
    for report in (
        drift.compare({"a": typed}, empty),
        drift.compare(empty, {"a": typed}),
        drift.Profile.fit({"a": typed}).compare(empty),
        drift.Profile.fit(empty).compare({"a": typed}),
    ):
        assert {report["a"].n_reference, report["a"].n_current} == {N, rows}
        assert {report["a"].missing_reference, report["a"].missing_current} == {0.0, 1.0 if rows else 0.0}
    window = drift.Profile.fit({"a": typed}).window()
    window.update(empty)
    assert window.counts()[0][0] == rows


UNITS = ["D", "h", "m", "s", "ms", "us", "ns", "25s", "7D"]


@pytest.mark.parametrize("unit", UNITS)
def test_the_same_instants_in_any_unit(unit):
    days = np.arange(0, 700, 7) + 19_600
    fine = days.astype("M8[D]").astype("M8[us]")
    coarse = fine.astype(f"M8[{unit}]")
    there = coarse.astype("M8[us]")
    expected = drift.ks(fine.astype(np.int64), there.astype(np.int64)).statistic
    assert drift.ks(fine, coarse).statistic == drift.ks(coarse, fine).statistic == expected
    report = drift.compare({"t": fine}, {"t": coarse})
    assert report["t"].statistics["ks"] == expected
    assert drift.Profile.fit({"t": fine}).compare({"t": coarse})["t"].kind == "temporal"
    binned = drift.psi(drift.fit_bins(fine), coarse).statistic
    assert binned == drift.psi(drift.fit_bins(fine.astype(np.int64)), there.astype(np.int64)).statistic


def test_finer_times_count_in_fitted_bins_where_they_fall():
    seconds = np.arange(1_000).astype("M8[s]")
    millis = np.arange(0, 1_000_000, 7).astype("M8[ms]")
    bins = drift.fit_bins(seconds)
    expected = np.histogram(millis.astype(np.int64) // 1000, [-np.inf, *bins.edges[1:-1], np.inf])[0]
    assert list(drift.psi(bins, millis).current_counts) == expected.tolist()


def test_times_beyond_a_finer_unit_keep_their_order():
    # The year 9999 lies beyond 64 bits of nanoseconds.
    far = np.array(["2024-01-01", "9999-01-01"], "M8[us]")
    near = np.array(["2024-01-01", "2024-06-01"], "M8[ns]")
    assert drift.ks(far, near).statistic == 0.5


def test_naive_and_aware_times_are_refused_by_name():
    naive = pd.date_range("2024-03-01", periods=N, freq="min")
    aware = naive.tz_localize("America/New_York")
    one, other = pd.DataFrame({"t": naive, "x": GOOD}), pd.DataFrame({"t": aware, "x": GOOD})
    for report in (drift.compare(one, other), drift.Profile.fit(one).compare(other)):
        assert (report["t"].verdict, report["x"].verdict) == ("schema", "stable")
        assert "times with a zone and times without one cannot be compared" in report["t"].reason
    with pytest.raises(InputTypeError, match=r"got datetime\[us, UTC\]: times with a zone"):
        drift.ks(pd.Series(naive), pd.Series(aware))
    assert drift.ks(pd.Series(aware), pd.Series(aware.tz_convert("UTC"))).statistic == 0.0


def test_dates_are_the_midnights_they_begin_with():
    days = pl.DataFrame({"t": DAYS})
    assert drift.compare(days, days.cast(pl.Datetime("ms")))["t"].statistics["ks"] == 0.0


def test_nan_against_missing_is_warned_of():
    values = np.arange(2_000.0)
    values[::10] = np.nan
    report = drift.compare(pd.DataFrame({"x": values}), pl.DataFrame({"x": values}))
    (told,) = [told for told in report.warnings if "'x'" in told]
    assert told.startswith("'x' has 0.1 missing and 0 NaN in the reference, 0 and 0.1 in the current sample")
    both = drift.compare(pd.DataFrame({"x": values}), pd.DataFrame({"x": values}).convert_dtypes())
    assert (both["x"].verdict, both["x"].missing_current) == ("stable", 0.1)


def test_names_with_zero_bytes_do_not_end_the_process():
    script = """
import polars as pl
from tidewheel import drift
print(drift.ks(pl.Series("a\\0b", [1.0]), [1.0]).statistic)
frame = pl.DataFrame({"a\\0b": [1.0, 2.0], "x": [1, 2]})
print([column.name for column in drift.compare(frame, frame).columns])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "0.0\n['a\\x00b', 'x']\n"), done.stderr
    table = pa.table({"a\0b": [1.0], "a": [2.0]})
    assert list(inputs.read_table("reference", table)) == ["a\0b", "a"]


def test_half_a_surrogate_is_a_name_like_others():
    report = drift.compare({"a": ["\ud83d", "b"] * 500}, {"a": ["\ud83d", "b"] * 500})
    assert report["a"].verdict == "stable"
    assert "stable" in report.to_html()
    assert "a" in report.summary()
    frame = pd.DataFrame([[1.0], [2.0]], columns=pd.Index(["\ud83d"], dtype=object))
    for named in ({"\ud83d": [1.0, 2.0]}, frame):
        assert drift.compare(named, named, columns=["\ud83d"]).columns[0].name == "\\ud83d"


def test_only_wanted_columns_are_read():
    class Untouchable:
        def __len__(self):
            raise AssertionError("read")

    table = {"x": GOOD, "y": Untouchable()}
    assert drift.compare(table, table, columns=["x"])["x"].verdict == "stable"
    assert drift.Profile.fit(table, columns=["x"]).compare(table)["x"].verdict == "stable"


LISTS = {
    "numbers among strings": (["a", 1], "objects of type int, str"),
    "ragged": ([[1], [2, 3]], "objects of type list"),
}


@pytest.mark.parametrize(("values", "why"), LISTS.values(), ids=LISTS.keys())
def test_lists_are_not_mended_in_silence(values, why):
    with pytest.raises(InputTypeError, match=why):
        drift.ks(values, [1.0])


def test_nan_among_strings_is_missing():
    report = drift.compare({"a": ["u", float("nan")] * 300}, {"a": ["u", None] * 300})
    assert (report["a"].missing_reference, report["a"].missing_current) == (0.5, 0.5)


def test_parquet_that_grew_is_scanned_in_any_order(tmp_path):
    x = np.arange(500.0)
    profile = drift.Profile.fit({"x": x})
    pl.DataFrame({"x": x}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"x": x, "new": 1}).write_parquet(tmp_path / "b.parquet")
    pl.DataFrame({"x": x.astype("f4")}).write_parquet(tmp_path / "e.parquet")
    pl.DataFrame({"x": x.astype("i4")}).write_parquet(tmp_path / "i.parquet")
    pl.DataFrame({"y": x}).write_parquet(tmp_path / "d.parquet")
    pl.DataFrame({"x": x}).write_csv(tmp_path / "x.csv")
    windows = [
        drift.scan([tmp_path / f"{name}.parquet" for name in names], profile=profile)
        for names in ("abei", "iaeb", "ebia")
    ]
    assert windows[0].n_rows == 2_000
    assert windows[0] == windows[1] == windows[2]
    lacking = [
        drift.scan([tmp_path / f"{name}.parquet" for name in names], profile=profile)
        for names in ("adbe", "daeb", "ebda")
    ]
    assert lacking[0] == lacking[1] == lacking[2]
    assert (lacking[0].n_rows, lacking[0].lacking, lacking[0].further) == (2_000, ("x",), ("new", "y"))
    column = profile.compare(lacking[0])["x"]
    assert (column.verdict, column.reason[-22:]) == ("schema", ", in 500 of 2,000 rows")
    with pytest.raises(InputError, match=r"`source` must be parquet files; .*x\.csv cannot be read"):
        drift.scan(tmp_path / "x.csv", profile=profile)
