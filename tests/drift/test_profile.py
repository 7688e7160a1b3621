"""`drift.Profile` and `drift.Window`: the same report from counts, whatever the split, the order and the threads."""

import itertools
import math
import pickle
import threading
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tidewheel import drift
from tidewheel.drift import Profile, Window
from tidewheel.errors import InputError, InputTypeError, UnknownNameError


def table(rng, n=6_000, shift=0.0):
    return pl.DataFrame(
        {
            "x": rng.normal(shift, 1, n),
            "single": rng.normal(shift, 1, n).astype(np.float32),
            "count": rng.integers(0, 5, n),
            "word": rng.choice(["a", "b", "c"], n),
            "id": [f"id{i}" for i in rng.zipf(1.2, n)],
            "flag": rng.random(n) < 0.3,
            "when": pl.Series(rng.integers(0, 10**9, n)).cast(pl.Datetime("us")),
            "gaps": pl.Series([None if u < 0.2 else u for u in rng.random(n)]),
            "odd": np.where(rng.random(n) < 0.1, np.nan, np.where(rng.random(n) < 0.1, np.inf, 1.0)),
        }
    )


def test_hand_worked_example():
    profile = Profile.fit({"x": [1.0, 2.0, 3.0, 4.0]})
    window = profile.window()
    window.update({"x": [3.0, 3.5, 4.0, 9.0]})
    # F: 1/4, 2/4, 3/4, 1 at 1, 2, 3, 4. G: 1/4 at 3, 2/4 at 3.5, 3/4 at 4, 1 at 9. The largest difference is 2/4.
    assert profile.compare(window)["x"].statistics["ks"] == 0.5


def test_counts_give_what_rows_give(rng):
    reference, current = table(rng), table(rng, 5_000, 0.6)
    by_rows, by_counts = drift.compare(reference, current), Profile.fit(reference).compare(current)
    for rows, counts in zip(by_rows.columns, by_counts.columns, strict=True):
        d = rows.statistics.get("ks")
        shown = dict(rows.statistics)
        if "ks_lower" in counts.statistics:
            del shown["ks"]
            assert counts.statistics["ks_lower"] <= d <= counts.statistics["ks_upper"]
            assert counts.statistics["ks_upper"] - counts.statistics["ks_lower"] < 0.01
            shown |= {key: counts.statistics[key] for key in ("ks_lower", "ks_upper")}
            assert counts.pvalue >= rows.pvalue
            assert counts.effect.lower <= rows.effect.lower
            assert counts.effect.upper >= rows.effect.upper
            assert rows.verdict == counts.verdict
            # Only the test of values is an interval's.
            assert rows.parts[1:] == counts.parts[1:]
        else:
            assert rows.parts == counts.parts
        assert counts.statistics == shown
        sides = ("n_reference", "n_current", "missing_reference", "missing_current", "nan_current", "unseen")
        assert [getattr(rows, name) for name in sides] == [getattr(counts, name) for name in sides]
    assert {"ks_lower" in by_counts[name].statistics for name in ("x", "single", "when", "gaps")} == {True}
    assert {"ks" in by_counts[name].statistics for name in ("count", "odd")} == {True}
    assert set(by_counts.drifted) == set(by_rows.drifted) == {"x", "single"}


few_values = st.lists(
    st.one_of(
        st.integers(-5, 5).map(lambda i: i / 3), st.sampled_from([math.inf, -math.inf, math.nan, -0.0])
    ),
    max_size=60,
)
few_words = st.lists(
    st.one_of(st.none(), st.sampled_from(["", "a", "b", "long enough to lie outside"])), max_size=40
)


def without_pictures(report):
    """Give the columns of a report without what is drawn, which depends on the blocks (see `test_shapes`)."""
    return tuple(replace(column, shape=None) for column in report.columns)


@given(few_values, few_values)
def test_few_distinct_numbers_give_the_same_record(reference, current):
    # Of a reference without rows a profile knows no type, and counts rows alone.
    assume(reference)
    sides = [{"x": np.array(side, dtype=float)} for side in (reference, current)]
    (counts,), (rows,) = (
        without_pictures(report)
        for report in (Profile.fit(sides[0]).compare(sides[1]), drift.compare(*sides))
    )
    if rows.parts and rows.parts[0].test != counts.parts[0].test:
        # Values that the reference never has share blocks, so that their ties are not known.
        assert rows.parts[0].test == "Kolmogorov-Smirnov, given ties"
        assert set(current) - set(reference)
        assert rows.parts[0].pvalue <= counts.parts[0].pvalue
        one, other = (replace(column.parts[0], test="", pvalue=0.0) for column in (rows, counts))
        assert (one, rows.parts[1:]) == (other, counts.parts[1:])
        return
    assert counts == rows


@given(few_words, few_words)
def test_strings_give_the_same_record(reference, current):
    sides = [{"s": pl.Series(side, dtype=pl.String)} for side in (reference, current)]
    assert Profile.fit(sides[0]).compare(sides[1]).columns == drift.compare(*sides).columns


def naive_distance(r, c):
    at = np.concatenate([r, c])
    f, g = ((side[:, None] <= at).mean(axis=0) for side in (r, c))
    return np.abs(f - g).max()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([1_200, 3_000]), st.floats(-0.3, 0.3), st.integers(0, 4))
def test_the_interval_holds_the_distance(seed, n, shift, digits):
    rng = np.random.default_rng(seed)
    r, c = rng.normal(size=n).round(digits), rng.normal(shift, 1, 700).round(digits)
    shown = Profile.fit({"x": r}).compare({"x": c})["x"].statistics
    lower, upper = shown.get("ks_lower", shown.get("ks")), shown.get("ks_upper", shown.get("ks"))
    assert lower - 1e-12 <= naive_distance(r, c) <= upper + 1e-12
    assert ("ks" in shown) == (len(np.unique(r)) <= 1_024 or lower == upper)


def test_what_counts_leave_open_is_said():
    # An even grid against itself shifted: D is the shift. Where D plus its bound is just about 0.1, D must be known sharply.
    n = 200_000
    reference = np.arange(n) / n
    profile = Profile.fit({"x": reference})
    band = math.sqrt(math.log(2 / 0.05) / 2) * math.sqrt(2 / n)
    seen = set()
    for shift in 0.1 - band + np.linspace(-0.002, 0.002, 41):
        current = {"x": reference + shift + 1e-9}
        counts, rows = profile.compare(current)["x"], drift.compare({"x": reference}, current)["x"]
        is_open = "the counts leave open on which side of 0.1" in counts.reason
        assert counts.verdict == ("undecided" if is_open else rows.verdict)
        assert "ks" not in counts.statistics
        seen.add((counts.verdict, is_open))
    assert seen == {("stable", False), ("undecided", True), ("undecided", False)}


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_split_order_and_merging_do_not_matter(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    profile, current = Profile.fit(table(rng, 300)), table(rng, 200, 0.2)
    whole = profile.window()
    whole.update(current)
    shuffled = current.sample(fraction=1, shuffle=True, seed=data.draw(st.integers(0, 99)))
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, 200), max_size=5))), 200]
    windows = [profile.window() for _ in range(3)]
    for start, end in itertools.pairwise(cuts):
        windows[data.draw(st.integers(0, 2))].update(shuffled[start:end])
    merged = profile.window()
    for index in data.draw(st.permutations([0, 1, 2])):
        merged.merge(Window.from_bytes(profile, windows[index].to_bytes()))
    assert merged == whole
    assert merged.to_bytes() == whole.to_bytes()
    assert profile.compare(merged) == profile.compare(whole) == profile.compare(current)


def test_threads_do_not_matter(rng):
    reference, current = table(rng, 300_000), table(rng, 300_000, 0.01)
    one = Profile.fit(reference, threads=1)
    for count in (2, 3, 8):
        profile = Profile.fit(reference.sample(fraction=1, shuffle=True, seed=count), threads=count)
        assert profile == one
        assert profile.compare(current, threads=count) == one.compare(current, threads=1)


def test_threads_of_the_caller_may_share_a_window(rng):
    profile, batch = Profile.fit(table(rng)), table(rng, 500)
    shared, alone = profile.window(), profile.window()
    threads = [threading.Thread(target=lambda: [shared.update(batch) for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(40):
        alone.update(batch)
    assert shared == alone
    assert shared.n_rows == 20_000


def test_libraries_agree(rng):
    # What is NaN in polars is missing in pandas, which has no other mark for it.
    reference, current = (t.drop("gaps").fill_nan(None) for t in (table(rng), table(rng, 5_000, 0.1)))
    profile = Profile.fit(reference)
    expected = profile.compare(current)
    for convert in (
        pl.DataFrame.to_pandas,
        pl.DataFrame.to_arrow,
        lambda frame: frame.to_dict(as_series=True),
    ):
        assert Profile.fit(convert(reference)) == profile
        assert profile.compare(convert(current)) == expected


def test_zeros_of_both_signs_are_one_edge():
    values = [0.0, -0.0, 1.0, 2.0] * 10
    assert Profile.fit({"x": values}) == Profile.fit({"x": values[::-1]})
    window = Profile.fit({"x": values}).window()
    window.update({"x": [-0.0, 0.0]})
    assert window.counts()[0][4:].max() == 2


def test_wide_integers_stay_integers():
    wide = np.arange(2**60, 2**60 + 100)
    profile = Profile.fit({"k": wide})
    assert profile.compare({"k": wide})["k"].statistics["ks"] == 0.0
    assert profile.compare({"k": wide + 1})["k"].statistics["ks"] == pytest.approx(0.01)
    # As floats these are one number, and on which side of the reference's it lies is not known.
    rounded = profile.compare({"k": wide.astype(float)})["k"]
    assert (rounded.verdict, rounded.reason) == (
        "schema",
        "the type is int64 in the reference, but float64 in the current table: beyond 2^53 a float stands for several "
        "whole numbers, which the reference tells apart",
    )
    with pytest.raises(
        InputTypeError, match="'k' must have the reference's type int64; got float64: beyond 2"
    ):
        Profile.fit({"k": wide.astype(float)}, splitters=profile)
    spread = 256 * np.arange(2**52, 2**52 + 100)
    assert Profile.fit({"k": spread}).compare({"k": spread[1:].astype(float)})["k"].statistics["ks"] == 0.01
    unsigned = Profile.fit({"k": wide.astype(np.uint64)})
    assert unsigned.compare({"k": wide.astype(np.uint64)})["k"].statistics["ks"] == 0.0
    # A reference below 2^53 takes any numbers; those beyond lie above all its values.
    narrow = Profile.fit({"k": np.array([1, 2**53 - 1])})
    assert narrow.compare({"k": np.array([2**53, 2**53 + 1])})["k"].statistics["ks"] == 1.0
    assert narrow.compare({"k": np.array([1.0, 2.0**53 - 1])})["k"].statistics["ks"] == 0.0


@pytest.mark.parametrize("kept", [["ks"], ["psi", "chi_square"], []])
def test_only_the_statistics_asked_for_are_shown(rng, kept):
    reference, current = table(rng), table(rng, 5_000, 0.6)
    profile = Profile.fit(reference, statistics=kept)
    report, full = profile.compare(current), Profile.fit(reference).compare(current)
    shown = {
        key.removesuffix("_lower").removesuffix("_upper") for c in report.columns for key in c.statistics
    }
    assert shown == set(kept)
    assert [column.verdict for column in report.columns] == [column.verdict for column in full.columns]
    assert profile.id != Profile.fit(reference).id


def test_columns_without_a_type_or_values():
    reference = pl.DataFrame(
        {
            "none": [None, None],
            "list": [[1], [2]],
            "empty": pl.Series([None, None], dtype=pl.Float64),
            "x": [1.0, 2.0],
        }
    )
    profile = Profile.fit(reference)
    current = reference.with_columns(x=pl.lit(None))
    report = Profile.from_bytes(profile.to_bytes()).compare(current)
    verdicts = [column.verdict for column in report.columns]
    assert verdicts == ["not computed", "not computed", "not computed", "undecided"]
    assert report["list"].reason == "the type List(Int64) is not supported"
    assert report["x"].reason.endswith("current has no value, all 2 rows are missing")
    assert report["x"].missing_current == 1.0
    assert report["empty"].reason == (
        "values cannot be compared: reference has no value, all 2 rows are missing; "
        "current has no value, all 2 rows are missing"
    )
    empty = profile.compare(profile.window())
    assert empty["x"].reason == "no rows in current"


REFUSED = {
    "unknown column": (
        lambda p: Profile.fit({"a": [1.0]}, columns=["z"]),
        InputError,
        "column 'z' must be in `reference`, which has 'a'",
    ),
    "no columns": (lambda p: Profile.fit({}), InputError, "must have at least one column"),
    "unknown statistic": (
        lambda p: Profile.fit({"a": [1.0]}, statistics=["w2"]),
        UnknownNameError,
        "'ks', 'psi', 'jensen_shannon', 'chi_square', 'total_variation'; got 'w2'",
    ),
    "nothing left": (
        lambda p: Profile.fit({"a": [1.0]}, exclude=["a"]),
        InputError,
        "`exclude` must leave at least one column",
    ),
    "unknown column left out": (
        lambda p: Profile.fit({"a": [1.0]}, exclude=["z"]),
        InputError,
        "column 'z' must be in `reference`, which has 'a'",
    ),
    "no column in the table": (
        lambda p: p.compare({}),
        InputError,
        "must have at least one column; got none",
    ),
    "alpha": (lambda p: p.compare({"a": [1.0], "s": ["x"]}, alpha=0.0), InputError, "got 0.0"),
    "correction": (
        lambda p: p.compare({"a": [1.0], "s": ["x"]}, correction="holm"),
        UnknownNameError,
        "got 'holm'",
    ),
    "window of another profile": (
        lambda p: p.compare(Profile.fit({"a": [1.0, 3.0], "s": ["x", "y"]}).window()),
        InputError,
        "must be one of this profile",
    ),
    "merging another profile": (
        lambda p: p.window().merge(Profile.fit({"a": [1.0, 3.0], "s": ["x", "y"]}).window()),
        InputError,
        "must have one profile to be merged",
    ),
}


@pytest.mark.parametrize(("call", "error", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_refusals(call, error, text):
    profile = Profile.fit({"a": [1.0, 2.0], "s": ["x", "y"]})
    with pytest.raises(error) as caught:
        call(profile)
    assert text in str(caught.value)


def test_a_refused_batch_counts_nothing():
    window = Profile.fit({"a": [1.0, 2.0], "s": ["x", "y"]}).window()
    for batch in ({}, {"a": [1.0], "s": ["x", "y"]}):
        with pytest.raises(InputError):
            window.update(batch)
    assert window.n_rows == 0
    assert not any(vector.any() for vector in window.counts())


def test_types_lose_nothing():
    wide = 2**53 + 1
    columns = {
        "f4": np.array([1.5], dtype="f4"), "small": [3], "wide": [wide], "unsigned": np.array([2**63], dtype="u8"),
        "day": np.array(["2020-01-01"], dtype="M8[D]"), "flag": [True], "word": ["a"], "nothing": [None],
    }  # fmt: skip
    assert Profile.fit(columns).types == {
        "f4": "f8", "small": "f8", "wide": "i8", "unsigned": "u8",
        "day": "temporal", "flag": "boolean", "word": "string", "nothing": "null",
    }  # fmt: skip


def test_selecting_columns_is_fitting_them(rng):
    whole = Profile.fit(table(rng))
    names = list(whole.columns)
    for chosen in ([names[-1], names[0], names[-1]], names):
        expected = Profile.fit(table(np.random.default_rng(20131017)), columns=chosen)
        assert whole.select(chosen) == expected
    assert whole.select(names) == whole
    with pytest.raises(UnknownNameError, match=f"column 'z' must be in the profile; it has '{names[0]}'"):
        whole.select(["z"])
    with pytest.raises(InputError, match="`columns` must name at least one column; got none"):
        whole.select([])


def test_profiles_and_windows_travel(rng, tmp_path):
    profile = Profile.fit(table(rng))
    window = profile.window()
    window.update(table(rng, 700))
    profile.save(tmp_path / "reference.profile")
    assert Profile.load(tmp_path / "reference.profile") == profile
    assert Profile.load(tmp_path / "reference.profile").compare(window) == profile.compare(window)
    assert pickle.loads(pickle.dumps(window)) == window
    assert hash(pickle.loads(pickle.dumps(profile))) == hash(profile)
    assert repr(profile).startswith("Profile(9 columns, 6,000 rows, ")
    assert repr(window).startswith("Window(700 rows, profile ")
    assert window != profile.window()


def test_strings_that_are_no_text_are_shown_with_marks():
    """Arrow strings from elsewhere may hold any bytes; a fuzzer met them first."""
    offsets, data = np.array([0, 2, 4], dtype=np.int32), b"ab\x9bz"
    column = pa.StringArray.from_buffers(2, pa.py_buffer(offsets), pa.py_buffer(data))
    report = drift.Profile.fit({"s": column}).compare({"s": column})
    assert report["s"].shape.names == ("ab", "\ufffdz")
    assert drift.compare({"s": column}, {"s": column})["s"].shape.names == ("ab", "\ufffdz")


def test_a_reference_that_ends_at_the_greatest_float():
    greatest = np.finfo(np.float64).max
    profile = Profile.fit({"x": [-greatest] * 50 + [greatest] * 50})
    column = profile.compare({"x": [-greatest] * 25 + [greatest] * 75})["x"]
    # No float lies beyond its block, which is therefore not known to hold one value alone.
    assert column.statistics["ks_lower"] == 0.25
