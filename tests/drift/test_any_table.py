"""Any two tables, of any library and type: no column ends in an exception. `make fuzz` looks at many more of them.

What the fuzzer found is pinned here, each fault by the right value.
"""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

import table_properties
import tables
from tables import KINDS, Column
from tidewheel import drift
from tidewheel.drift.report.pictures import describe_ends
from tidewheel.errors import InputError

N = 600


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(tables.sides())
def test_any_two_tables_are_compared(sides):
    table_properties.check(sides)


#: Picks without NaN, which pandas has not.
PICKS = (0, 1, 2, None, 4, 5, 6, 8, 21, 40)
READ = [
    name
    for name, kind in KINDS.items()
    if kind.means not in {tables.unknown, tables.unreadable} and not kind.strange
]


def group_by_meaning() -> dict[str, list[str]]:
    """Put together the kinds whose values are the same, whichever library holds them."""
    found: dict[str, list[str]] = {}
    for name in READ:
        found.setdefault(repr(Column(name, PICKS).meanings(len(PICKS))), []).append(name)
    return {names[0]: names for names in found.values() if len(names) > 1}


GROUPS = group_by_meaning()


def facts(report: drift.DriftReport) -> tuple:
    column = report["x"]
    shares = (
        column.missing_reference,
        column.missing_current,
        column.nan_reference,
        column.nan_current,
        column.unseen,
    )
    return (
        column.kind,
        column.verdict,
        column.statistics,
        column.pvalue,
        column.parts,
        column.reason,
        shares,
        report.warnings,
    )


def test_every_library_has_nearly_every_type():
    held = {kind: {KINDS[name].library for name in names} for kind, names in GROUPS.items()}
    assert len(held) >= 20
    assert {"polars", "pandas", "pyarrow"} <= held["polars Float64"] & held["polars String"] & held[
        "polars Date"
    ]


@pytest.mark.parametrize("names", GROUPS.values(), ids=GROUPS)
def test_the_same_values_give_the_same_report_whoever_holds_them(names):
    made = {
        name: [{"x": Column(name, picks, 30).build(0, N)} for picks in (PICKS, PICKS[:4] + PICKS[6:])]
        for name in names
    }
    reference, current = made[names[0]]
    expected = facts(drift.compare(reference, current))
    learned = facts(drift.Profile.fit(reference).compare(current))
    assert expected[1] in {"stable", "drifted", "undecided"}
    for name, (one, other) in made.items():
        assert facts(drift.compare(one, other)) == expected, name
        assert facts(drift.compare(one, current)) == expected, name
        assert facts(drift.compare(reference, other)) == expected, name
        profile = drift.Profile.fit(one)
        assert facts(profile.compare(current)) == learned, name
        assert facts(profile.compare(other)) == learned, name


# ---- What was found ----


def test_a_summary_beside_another_tool_has_columns_that_one_side_lacks():
    report = drift.compare({"x": range(N), "gone": range(N)}, {"x": range(N)}, compat="evidently")
    lines = {line.split("  ")[0]: line for line in report.summary().splitlines()}
    assert lines["gone"].split() == ["gone", "int64", "schema", "-", "-", "-", "-"]
    assert "not drifted" in lines["x"]


def test_names_with_zero_bytes_come_whole_out_of_a_stream():
    table = pa.table({"a\0b": range(N), "a": range(N)})
    assert drift.compare(table, table.to_reader())["a\0b"].verdict == "stable"
    profile = drift.Profile.fit(table.to_reader())
    assert profile.columns == ("a\0b", "a")
    for source in (table, table.to_reader(), table.to_batches()[0]):
        assert profile.compare(drift.scan(source, profile=profile))["a\0b"].verdict == "stable"


#: References of whole numbers beyond 2^53, current ones of another type, and the distance by hand.
WIDE = {
    "signed among unsigned": (np.array([1, 2, 3, 2**63 + 5], "u8"), np.array([-7, 2, 3, 4], "i8"), 0.25),
    "narrow among unsigned": (np.array([1, 2, 3, 2**63 + 5], "u8"), np.array([-7, -7, -7, 4], "i2"), 0.75),
    "unsigned among signed": (np.array([-(2**60), -1, 2**60, 2**60 + 1]), np.array([2**60, 2**63], "u8"), 0.5),
    "narrow unsigned among signed": (np.array([-(2**60), -1, 2**60, 2**60 + 1]), np.array([0, 1], "u1"), 0.5),
    "floats among signed": (np.array([0, 2**60, 2**61]), np.array([0, 2.0**60, 2.0**62, np.inf]), 0.5),
    "floats among unsigned": (np.array([0, 2**62, 2**63], "u8"), np.array([-0.5, -np.inf, 2.0**62]), 2 / 3),
    "half a float": (np.array([0, 2**60, 2**61]), np.array([0, 1, 2, 3], "f2"), 2 / 3),
}  # fmt: skip


@pytest.mark.parametrize(("reference", "current", "expected"), WIDE.values(), ids=WIDE)
def test_numbers_of_any_type_are_counted_among_wide_integers(reference, current, expected):
    profile = drift.Profile.fit({"k": reference, "x": [1] * len(reference)})
    assert profile.types["k"] in {"i8", "u8"}
    table = {"k": current, "x": [1] * len(current)}
    assert drift.compare({"k": reference}, table, columns=["k"])["k"].statistics["ks"] == pytest.approx(
        expected
    )
    for window in (profile.compare(table), profile.compare(drift.scan(pa.table(table), profile=profile))):
        assert window["k"].statistics["ks"] == pytest.approx(expected)
        assert window["x"].statistics["ks"] == 0.0


def test_floats_between_wide_integers_are_placed_where_that_is_sure():
    # As a float 2^60 stands for all from 2^60 - 64 to 2^60 + 128, of which the reference has two; the next is 2^60 + 256.
    reference = np.array([5, 2**60, 2**60 + 1, 2**60 + 256, 2**61])
    profile = drift.Profile.fit({"k": reference})
    whole, parts = profile.window(), profile.window()
    values = np.array([-np.inf, 4.5, 5.0, 2.0**60, 2.0**60 + 256, 2.0**61, 2.0**62])
    whole.update({"k": values})
    for at in range(len(values)):
        parts.update({"k": values[at : at + 1]})
    assert parts == whole
    (counts,) = whole.counts()
    assert (counts[2], counts[5], counts.sum()) == (1, 1, 7)
    assert whole.other_types == {"k": ("float64",)}
    assert ", in 1 of 7 rows: beyond 2^53" in profile.compare(whole)["k"].reason
    # Without the doubtful one: of 5 and of 3 values, 4 and 1 lie below 2^61.
    sure = profile.compare({"k": np.array([2.0**60 + 256, 2.0**61, 2.0**62])})["k"]
    assert sure.statistics["ks"] == pytest.approx(3 / 5)


def test_numbers_in_a_dictionary_are_counted_among_wide_integers():
    profile = drift.Profile.fit({"k": [2**63, 2**63 + 1]})
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int8()), pa.array([5, None, 7], pa.int32()))
    column = profile.compare({"k": words})["k"]
    assert (column.statistics["ks"], column.missing_current) == (1.0, pytest.approx(1 / 3))


@pytest.mark.parametrize(
    "values",
    [pl.Series([b"a", None, b"b", None], dtype=pl.Binary), ["a", None, "b", None], [1.5, None, None, 2.0]],
    ids=["of no type that is read", "strings", "numbers"],
)
def test_missing_values_of_another_type_count_alike_in_parts_and_in_the_whole(values):
    profile = drift.Profile.fit({"x": np.arange(4).astype("M8[s]")})
    whole, parts = profile.window(), profile.window()
    whole.update({"x": values})
    for at in range(4):
        parts.update({"x": values[at : at + 1]})
    assert parts == whole
    (counts,) = whole.counts()
    assert (counts[0], counts[5], counts.sum()) == (2, 2, 4)
    column = profile.compare(whole)["x"]
    assert (column.verdict, ", in 2 of 4 rows" in column.reason) == ("schema", True)


@pytest.mark.parametrize(
    "values", [[5.0], [np.inf, -np.inf], [7]], ids=["one row", "infinities", "one whole number"]
)
def test_the_wasserstein_distance_is_shown_of_a_reference_without_quartiles(values):
    found = drift.compare({"x": values}, {"x": [1.0, 2.0]}, statistics=["wasserstein"])["x"].statistics
    assert found == {"wasserstein": drift.wasserstein(values, [1.0, 2.0]).statistic}


def test_few_infinities_are_compared():
    column = drift.compare({"x": [np.inf]}, {"x": [np.inf, -np.inf]})["x"]
    assert (column.verdict, column.statistics["ks"], column.infinite_current) == ("undecided", 0.5, 1.0)


@pytest.mark.parametrize("beside", [[1], [1.5], [Decimal("1.5")]], ids=["int", "float", "decimal"])
def test_a_number_larger_than_any_float_costs_its_own_column(beside):
    table = {"x": [10**400, *beside] * N, "y": range(2 * N)}
    report = drift.compare(table, table)
    assert (report["x"].verdict, report["y"].verdict) == ("not computed", "stable")
    assert "objects of type" in report["x"].reason


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_floats_far_apart_are_no_codes():
    report = drift.Profile.fit({"x": [-1.7e308, 1.7e308] * N}).compare({"x": [-1.7e308, 1.7e308, 5.0] * N})
    assert report["x"].statistics["ks"] == pytest.approx(1 / 6)
    assert report.warnings == drift.compare({"x": [1.0]}, {"x": [1.0]}).warnings


#: Numbers near the ends of the floats, and the ends of their picture; none where it would be wider than any float.
ENDS = {
    "one large": ([1e308], ("1e+308", "1e+308")),
    "one small": ([-1e308], ("-1e+308", "-1e+308")),
    "half of all": ([0.0, 1e308], ("0", "1e+308")),
    "all": ([-1.7e308, 1.7e308], None),
}


@pytest.mark.parametrize(("values", "ends"), ENDS.values(), ids=ENDS)
def test_numbers_near_the_ends_of_the_floats_have_a_page(values, ends):
    wide = {"x": values * N}
    report = drift.Profile.fit(wide).compare(wide)
    shape = report["x"].shape
    assert (shape and describe_ends(shape)) == ends
    for page in (report.to_html(), drift.compare(wide, wide).to_html()):
        assert ("histogram from" in page) == (ends is not None)


@pytest.mark.parametrize("sides", [(N, 0), (0, N)])
def test_a_side_without_rows_has_no_units(sides):
    made = [{"x": np.zeros(n), "s": ["a"] * n, "day": np.arange(n) % 9} for n in sides]
    if not sides[0]:
        with pytest.raises(InputError, match="unit 'day' must have at least 2 values in `reference`; got 0"):
            drift.compare(*made, unit="day")
        return
    report = drift.compare(*made, unit="day")
    assert [(c.verdict, c.reason) for c in report.columns] == [("not computed", "no rows in current")] * 2


def test_a_record_batch_of_extension_types_is_scanned():
    flags = pa.array([1, 0] * N, pa.int8()).cast(pa.bool8())
    (batch,) = pa.table({"flag": flags}).to_batches()
    profile = drift.Profile.fit({"flag": [True, False] * N})
    assert profile.compare(drift.scan(batch, profile=profile))["flag"].verdict == "stable"


@pytest.mark.parametrize("make", [pl.LazyFrame, pa.table, lambda held: pa.table(held).to_reader()])
def test_a_source_without_rows_is_scanned_as_it_is_counted(make):
    profile = drift.Profile.fit({"x": [1.0], "gone": [2.0]})
    window = profile.window()
    window.update(make({"x": [], "more": []}))
    scanned = drift.scan(make({"x": [], "more": []}), profile=profile)
    assert scanned == window
    assert (scanned.lacking, scanned.further) == (("gone",), ("more",))


def test_another_tool_judges_dictionaries_with_missing_entries():
    codes = pa.array([0, 1] * N, pa.int8())
    chunks = [pa.DictionaryArray.from_arrays(codes, pa.array([value, None], pa.int32())) for value in (5, 6)]
    table = pa.table({"x": pa.chunked_array(chunks)})
    report = drift.compare(table, table, compat="evidently")
    assert (report["x"].missing_reference, report["x"].peer.drifted) == (0.5, False)


@pytest.mark.parametrize(
    "make", [list, lambda values: np.array(values, dtype=object)], ids=["list", "objects"]
)
def test_nan_is_nan_whether_a_list_has_none_too_or_not(make):
    profile = drift.Profile.fit({"x": [1.0, 2.0]})
    whole, parts = profile.window(), profile.window()
    whole.update({"x": make([1.0, float("nan"), None])})
    for value in (1.0, float("nan"), None):
        parts.update({"x": make([value])})
    assert parts == whole
    assert whole.counts()[0][:2].tolist() == [1, 1]
    found = drift.compare({"x": make([None, float("nan"), 3])}, pd.DataFrame({"x": [None, np.nan, 3.0]}))["x"]
    assert (found.missing_reference, found.nan_reference) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    # In pandas NaN is missing, whatever holds it.
    assert (found.missing_current, found.nan_current) == (pytest.approx(2 / 3), 0.0)


@pytest.mark.parametrize("names", [9, 20, 41])
def test_distances_of_a_monitor_are_at_most_one(names):
    # Nine shares of a ninth and the one of what is new add up to a little more than two.
    profile = drift.Profile.fit({"s": [f"n{name}" for name in range(names)]})
    look = drift.Monitor(profile, threshold=0).observe({"s": ["other"] * 40})["s"]
    assert (look.part, look.distance) == ("values", 1.0)


SHORT_TIMES = {
    "date32": (pa.date32(), "M8[D]"),
    "time32[s]": (pa.time32("s"), pa.time64("us")),
    "time32[ms]": (pa.time32("ms"), pa.time64("ns")),
}


@pytest.mark.parametrize(("short", "long"), SHORT_TIMES.values(), ids=SHORT_TIMES)
def test_times_of_32_bits_are_binned_as_those_of_64(short, long):
    counts = np.repeat([5, 8, 11, 14, 20], [300, 200, 60, 30, 10]).astype("i4")
    times = pa.array(counts).cast(short)
    wide = times.to_numpy(zero_copy_only=False).astype(long) if isinstance(long, str) else times.cast(long)
    bins = drift.fit_bins(times)
    assert bins.edges.tolist() == drift.fit_bins(counts.astype("i8")).edges.tolist()
    assert drift.psi(times, times).reference_counts == drift.psi(wide, wide).reference_counts
    assert drift.psi(bins, wide).statistic == drift.psi(times, wide).statistic == 0.0
    units = np.arange(600) % 20
    report = drift.compare({"t": times, "unit": units}, {"t": times, "unit": units}, unit="unit")
    expected = drift.compare({"t": wide, "unit": units}, {"t": wide, "unit": units}, unit="unit")
    assert report["t"].parts == expected["t"].parts


@pytest.mark.parametrize("other", [5, 2.5, np.int8(3)])
def test_spans_of_time_are_no_numbers(other):
    spans = [np.timedelta64(1, "s"), other] * N
    table = {"odd": spans, "spans": [np.timedelta64(1, "s"), float("nan")] * N}
    report = drift.compare(table, table)
    assert (report["odd"].verdict, "timedelta64" in report["odd"].reason) == ("not computed", True)
    assert (report["spans"].kind, report["spans"].missing_current) == ("temporal", 0.5)


@pytest.mark.parametrize("item", [[7], (7,)], ids=["list", "tuple"])
def test_rows_that_are_lists_are_nested_though_all_have_one_item(item):
    other = pl.Series([[7]] * N)
    for one in ([item] * N, tuple([item] * N)):
        column = drift.compare({"x": one}, {"x": other})["x"]
        assert (column.verdict, f"objects of type {type(item).__name__}" in column.reason) == (
            "not computed",
            True,
        )
    # An array of one column is no list of lists.
    assert drift.compare({"x": np.full((N, 1), 7)}, {"x": np.full(N, 7)})["x"].statistics["ks"] == 0.0
