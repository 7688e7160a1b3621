"""Thresholds per column and part: who has which, what it changes, and what it leaves alone."""

import math
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewheel import drift
from tidewheel.drift.table import column_tests, design_effect
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

ROWS = 4_000
DEFAULTS = {"values": 0.1, "tail": 0.1, "missing": 0.05, "nan": 0.05, "infinite": 0.05, "unseen": 0.05}


def gaps(missing, nan, infinite):
    """Numbers of even ranks, of which so many are missing, NaN and infinite."""
    values = np.arange(ROWS) / ROWS
    values[:nan], values[nan : nan + infinite] = np.nan, np.inf
    return (
        pl.Series(values)
        .to_frame("x")
        .with_columns(x=pl.when(pl.int_range(pl.len()) >= ROWS - missing).then(None).otherwise(pl.col("x")))[
            "x"
        ]
    )


def words(shares, new=0.0):
    counts = np.rint(np.array(shares) * (1 - new) * ROWS).astype(int)
    fresh = [f"new {i % 5}" for i in range(ROWS - counts.sum())]
    return [*np.repeat([f"w{i:03}" for i in range(len(shares))], counts).tolist(), *fresh]


EVEN = np.full(100, 0.01)
#: The names beyond the 50 most frequent, of which every other one doubles: nothing of it shows in the classes.
RARE = np.concatenate([np.full(50, 0.012), np.tile([0.016, 0.0], 25)])
#: Per part: both sides, and the effect, by hand.
MOVED = {
    "values": ({"x": np.arange(ROWS)}, {"x": np.arange(ROWS) + 0.2 * ROWS}, 0.2),
    "values of names": ({"x": words([0.5, 0.5])}, {"x": words([0.7, 0.3])}, 0.2),
    "tail": (
        {"x": words(np.concatenate([np.full(50, 0.012), np.full(50, 0.008)]))},
        {"x": words(RARE)},
        0.2,
    ),
    "missing": ({"x": gaps(0, 0, 0)}, {"x": gaps(800, 0, 0)}, 0.2),
    "nan": ({"x": gaps(0, 0, 0)}, {"x": gaps(0, 800, 0)}, 0.2),
    "infinite": ({"x": gaps(0, 0, 400)}, {"x": gaps(0, 0, 1_200)}, 0.2),
    "unseen": ({"x": words([0.5, 0.5])}, {"x": words([0.5, 0.5], new=0.2)}, 0.2),
}
CALLS = {
    "compare": lambda r, c, **how: drift.compare(r, c, **how),
    "profile": lambda r, c, **how: drift.Profile.fit(r).compare(c, **how),
    "window": lambda r, c, **how: (profile := drift.Profile.fit(r)).compare(counted(profile, c), **how),
}


def counted(profile, table):
    window = profile.window()
    window.update(table)
    return window


def parts_of(report, column="x"):
    return {part.name: part for part in report[column].parts}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize(("case", "moved"), MOVED.items(), ids=MOVED.keys())
def test_each_part_has_its_own(call, case, moved):
    reference, current, effect = moved
    name = case.split()[0]
    others = {part: 0.999 for part in DEFAULTS if part != name}
    for threshold, verdict in ((effect - 0.1, "drifted"), (effect + 0.1, None)):
        report = call(reference, current, thresholds={"x": {**others, name: threshold}})
        part = parts_of(report)[name]
        assert part.effect.value == pytest.approx(effect, abs=0.02 if name != "tail" else 0.05)
        assert part.effect.threshold == threshold
        assert (report["x"].verdict == "drifted") == (verdict == "drifted")
        for one in report["x"].parts:
            assert one.effect.threshold == (threshold if one.name == name else 0.999)
    plain = call(reference, current)
    assert plain["x"].verdict == "drifted"
    assert {one.name: one.effect.threshold for one in plain["x"].parts} == {
        one.name: DEFAULTS[one.name] for one in plain["x"].parts
    }
    assert not [told for told in plain.warnings if "Thresholds" in told]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_columns_own_go_before_those_of_all(call):
    r = {"x": np.arange(ROWS), "y": np.arange(ROWS), "w": words([0.5, 0.5])}
    c = {"x": np.arange(ROWS) + 0.2 * ROWS, "y": gaps(100, 0, 0), "w": words([0.5, 0.5], new=0.02)}
    report = call(
        r, c, thresholds={"*": {"values": 0.3, "missing": 0.2, "unseen": 0.01}, "x": 0.15, "w": {"tail": 0.4}}
    )
    found = {(one.name, part.name): part.effect.threshold for one in report.columns for part in one.parts}
    assert found == {
        ("x", "values"): 0.15,
        ("y", "values"): 0.3,
        ("y", "missing"): 0.2,
        ("w", "values"): 0.3,
        ("w", "tail"): 0.4,
        ("w", "unseen"): 0.01,
    }
    (told,) = [told for told in report.warnings if "Thresholds" in told]
    assert told == (
        "Thresholds set: all columns values 0.3, missing 0.2, unseen 0.01; 'x' values 0.15, tail 0.15; 'w' tail 0.4."
    )
    # All names together follow the values of the column, where they have none of their own.
    follows = call(r, c, thresholds={"w": {"values": 0.25}})
    assert {part.name: part.effect.threshold for part in follows["w"].parts} == {
        "values": 0.25,
        "tail": 0.25,
        "unseen": 0.05,
    }


def test_the_report_says_which_number_it_holds_the_effect_against(tmp_path):
    r, c = {"x": np.arange(ROWS)}, {"x": np.arange(ROWS) + 0.2 * ROWS}
    told = {
        0.125: "above 0.125 even at its lower bound",
        0.375: "below 0.375 even at its upper bound",
        0.2125: "which includes 0.2125",
    }
    for threshold, sentence in told.items():
        report = drift.compare(r, c, thresholds={"x": threshold})
        assert sentence in report["x"].sentence
        assert sentence in report.to_junit()
        page = report.to_html()
        assert sentence in page
        assert f"<td>{threshold:g}</table>" in page
        assert f"'x' values {threshold:g}" in report.summary()
        assert report.to_dict()["columns"][0]["effect"]["threshold"] == threshold


shares = st.floats(0.001, 0.999)


@given(shares, shares, shares, st.integers(0, 3), st.booleans())
@settings(max_examples=60, deadline=None)
def test_thresholds_move_verdicts_and_nothing_else(of_values, of_missing, of_unseen, seed, by_unit):
    rng = np.random.default_rng(seed)
    sides = [
        pl.DataFrame(
            {
                "x": pl.Series(rng.normal(moved, 1, 600)).set(pl.Series(rng.random(600) < moved / 4), None),
                "w": rng.choice(["a", "b", *(["c"] if moved else [])], 600),
                "u": np.arange(600) // 20,
            }
        )
        for moved in (0.0, 0.5)
    ]
    unit = "u" if by_unit else None
    plain = drift.compare(*sides, columns=["x", "w"], unit=unit)
    limits = {"*": {"values": of_values, "missing": of_missing, "unseen": of_unseen}}
    judged = drift.compare(*sides, columns=["x", "w"], unit=unit, thresholds=limits)
    for one, other in zip(plain.columns, judged.columns, strict=True):
        assert (one.pvalue, one.pvalue_corrected, one.statistics) == (
            other.pvalue,
            other.pvalue_corrected,
            other.statistics,
        )
        verdicts = set()
        for mine, its in zip(one.parts, other.parts, strict=True):
            a, b = mine.effect, its.effect
            assert (a.value, a.lower, a.upper, mine.pvalue) == (b.value, b.lower, b.upper, its.pvalue)
            assert b.threshold == limits["*"].get(its.name, of_values)
            factor = len(one.parts) * one.pvalue_corrected / one.pvalue if one.pvalue else len(one.parts)
            beyond = its.pvalue * factor <= 0.05 and b.lower > b.threshold
            verdicts.add("drifted" if beyond else "stable" if b.upper < b.threshold else "undecided")
        expected = next(v for v in ("drifted", "undecided", "stable") if v in verdicts)
        assert other.verdict == expected


SMALL = {
    "numbers": ({"x": np.arange(100)}, {"x": np.arange(100) + 20}, 0.05),
    "names": ({"x": words([0.5, 0.5])[::40]}, {"x": words([0.7, 0.3])[::40]}, 0.07),
    "missing": ({"x": gaps(0, 0, 0)[::40]}, {"x": gaps(800, 0, 0)[::40]}, 0.15),
    "unseen": ({"x": words([0.5, 0.5])[::40]}, {"x": words([0.5, 0.5], new=0.2)[::40]}, 0.12),
}


@pytest.mark.parametrize(("name", "case"), SMALL.items(), ids=SMALL.keys())
def test_so_many_rows_would_decide_at_that_threshold(name, case):
    reference, current, threshold = case
    part = name if name in DEFAULTS else "values"
    limits = {"x": {**dict.fromkeys(DEFAULTS, 0.999), part: threshold}}
    said = drift.compare(reference, current, thresholds=limits)["x"]
    assert said.verdict == "undecided"
    times = float(re.search(r"about ([\d.,]+) times as many rows", said.reason)[1].replace(",", ""))

    def repeated(k):
        sides = [{"x": list(side["x"]) * k} for side in (reference, current)]
        return drift.compare(*sides, thresholds=limits)["x"].verdict

    assert repeated(math.ceil(times * 1.15)) == "drifted"
    assert repeated(math.floor(times * 0.75)) == "undecided"
    # It is that threshold's number: the default needs another one.
    default = drift.compare(reference, current)["x"]
    assert default.verdict == "drifted" or f"{times:g} times" not in default.reason


def test_rare_names_that_leave_a_threshold_open_are_told():
    ids = [f"id {i}" for i in range(ROWS)]
    sides = {"x": ids}, {"x": [f"id {i}" for i in range(ROWS // 2, ROWS + ROWS // 2)]}
    # Ids seen once prove nothing: their distance of 0.5 is below one threshold, and above the other.
    column = drift.compare(*sides, thresholds={"x": {"values": 0.3, "tail": 0.9, "unseen": 0.9}})["x"]
    assert (column.verdict, "too rare" in column.reason) == ("undecided", True)
    column = drift.compare(*sides, thresholds={"x": {"values": 0.9, "tail": 0.3, "unseen": 0.9}})["x"]
    assert (column.verdict, "too rare" in column.reason) == ("undecided", True)
    column = drift.compare(*sides, thresholds={"x": {"values": 0.9, "unseen": 0.9}})["x"]
    assert column.verdict == "stable"


@pytest.mark.parametrize(("threshold", "is_open"), [(0.1, False), (0.3, True), (0.6, False)])
def test_names_leave_open_what_lies_between_classes_and_all_names(threshold, is_open):
    # The classes are 0.12 apart, all names 0.5.
    sides = [300, 300, 400], [420, 180, 400]
    design = design_effect.independent(1_000, 1_000)
    part = column_tests.compare_categories(*sides, design, 0.05, 0.5, threshold)
    assert part.is_open == is_open


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_warnings_know_the_columns_threshold(call):
    r = {"code": np.repeat(np.arange(1, 11), 400), "x": gaps(400, 0, 0)}
    c = {"code": np.repeat(np.arange(1, 11), [700, 100] * 5), "x": gaps(0, 400, 0)}
    assert [told for told in call(r, c).warnings if "whole numbers" in told]
    assert [told for told in call(r, c).warnings if "told apart" in told]
    limits = {"code": {"values": 0.45}, "x": {"missing": 0.2, "nan": 0.2}}
    told = call(r, c, thresholds=limits).warnings
    assert not [one for one in told if "whole numbers" in one or "told apart" in one]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_column_without_values_has_its_thresholds_too(call):
    r, c = {"x": [1.0] * 190 + [None] * 10}, {"x": [None] * 200}
    for threshold, verdict in ((0.5, "drifted"), (0.99, "undecided")):
        column = call(r, c, thresholds={"x": {"missing": threshold}})["x"]
        assert (column.effect.threshold, column.verdict) == (threshold, verdict)


# A monitor


def test_a_monitor_takes_the_same_words():
    r = {"x": np.arange(ROWS) % 50, "y": np.arange(ROWS) % 50, "w": words([0.5, 0.5])}
    c = {"x": 10 + np.arange(ROWS) % 50, "y": 10 + np.arange(ROWS) % 50, "w": words([0.5, 0.5], new=0.2)}
    profile = drift.Profile.fit(r)
    shares = dict.fromkeys(("missing", "nan", "infinite"), 0.9)
    limits = {"x": {"values": 0.5, **shares}, "w": {"unseen": 0.4, "values": 0.3}}
    look = drift.Monitor(profile, thresholds=limits).observe(c)
    assert look.drifted == ("y",)
    assert [look[name].threshold for name in ("x", "y")] == [0.5, 0.1]
    assert set(drift.Monitor(profile).observe(c).drifted) == {"x", "y", "w"}
    # What is set for a column goes before what is set for all parts.
    monitor = drift.Monitor(profile, threshold=0.9, thresholds={"y": {"values": 0.1}})
    assert monitor.observe(c).drifted == ("y",)
    again = drift.Monitor.from_bytes(profile, monitor.to_bytes())
    assert again == monitor
    monitor.rearm()
    again.rearm()
    assert again.observe(c) == monitor.observe(c)
    with pytest.raises(InputError, match="the same settings to be merged"):
        drift.Monitor(profile).merge(drift.Monitor(profile, thresholds={"y": 0.2}))
    with pytest.raises(
        UnknownNameError, match=r"must name columns of `profile`; it has 'x', 'y', 'w', not 'z'"
    ):
        drift.Monitor(profile, thresholds={"z": 0.2})


# Refused

WRONG = {
    "unknown column": ({"z": 0.2}, UnknownNameError, "columns of {whose}; it has 'x', 'y', not 'z'"),
    "unknown part": (
        {"x": {"mising": 0.2}},
        UnknownNameError,
        "`thresholds['x']` must name parts of 'values', 'tail', 'missing', 'nan', 'infinite', 'unseen'; got 'mising'",
    ),
    "zero": ({"x": 0}, InputError, "`thresholds['x']` must lie between 0 and 1; got 0"),
    "one": ({"x": {"nan": 1.0}}, InputError, "`thresholds['x']['nan']` must lie between 0 and 1; got 1.0"),
    "NaN": ({"*": math.nan}, InputError, "`thresholds['*']` must lie between 0 and 1; got nan"),
    "negative": ({"x": -0.1}, InputError, "`thresholds['x']` must lie between 0 and 1; got -0.1"),
    "a word": ({"x": "0.2"}, InputTypeError, "`thresholds['x']` must be a number; got '0.2'"),
    "a yes": (
        {"x": {"values": True}},
        InputTypeError,
        "`thresholds['x']['values']` must be a number; got True",
    ),
    "nothing": ({"x": None}, InputTypeError, "`thresholds['x']` must be a number; got None"),
    "no mapping": (0.2, InputTypeError, "`thresholds` must map names of columns to thresholds; got 0.2"),
    "no name": ({None: 0.2}, InputTypeError, "`thresholds` must name columns by strings; got None"),
}


@pytest.mark.parametrize("call", ["compare", "profile"])
@pytest.mark.parametrize(("thresholds", "error", "words"), WRONG.values(), ids=WRONG.keys())
def test_wrong_thresholds_are_refused_in_words(call, thresholds, error, words):
    table = {"x": [1, 2], "y": [1, 2]}
    with pytest.raises(error) as caught:
        CALLS[call](table, table, thresholds=thresholds)
    assert type(caught.value) is error
    whose = {"compare": "`reference`", "profile": "the profile"}[call]
    assert words.format(whose=whose) in str(caught.value)


def test_numpy_numbers_and_column_numbers_are_taken():
    report = drift.compare(
        np.arange(40.0).reshape(20, 2), np.arange(40.0).reshape(20, 2), thresholds={1: np.float32(0.5)}
    )
    assert [column.effect.threshold for column in report.columns] == [0.1, 0.5]
