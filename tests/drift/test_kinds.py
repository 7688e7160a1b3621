"""Codes are not quantities: what is declared, what a type declares, and what a report warns of."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tidewheel import _native, drift
from tidewheel.drift.reading import inputs
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

ROWS = 4_000
#: The middle code of three becomes the outer ones: names move by 0.3 in total variation, ranks by 0.15.
SHARES = {"reference": [0.2, 0.6, 0.2], "current": [0.35, 0.3, 0.35]}


def codes(side: str) -> np.ndarray:
    counts = np.rint(np.array(SHARES[side]) * ROWS).astype(int)
    return np.repeat([200, 404, 500], counts)


def table(kind, side):
    return kind({"code": codes(side), "x": np.arange(float(ROWS))})


@pytest.mark.parametrize("kind", [dict, pl.DataFrame, pd.DataFrame])
@pytest.mark.parametrize(
    "calls",
    [
        lambda one, other, kinds: drift.compare(one, other, kinds=kinds),
        lambda one, other, kinds: drift.Profile.fit(one, kinds=kinds).compare(other),
        lambda one, other, kinds: drift.Profile.from_bytes(
            drift.Profile.fit(one, kinds=kinds).to_bytes()
        ).compare(other),
    ],
    ids=["compare", "profile", "profile read back"],
)
def test_declared_codes_are_compared_by_name(kind, calls):
    one, other = table(kind, "reference"), table(kind, "current")
    report = calls(one, other, {"code": "categorical"})
    assert (report["code"].kind, report["code"].verdict) == ("categorical", "drifted")
    assert report["code"].statistics["total_variation"] == pytest.approx(0.3)
    assert report["code"].shape.names == ("404", "200", "500")
    assert report["x"].kind == "numeric"
    assert not [told for told in report.warnings if "'code'" in told]


@pytest.mark.parametrize("kind", ["compare", "profile"])
def test_codes_that_moved_by_name_alone_are_warned_of(kind):
    # Each odd code gains what its even neighbour loses: D is 0.075, the total variation 0.375.
    r = np.repeat([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 400)
    c = np.repeat([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [700, 100] * 5)
    compare = {"compare": drift.compare, "profile": lambda r, c: drift.Profile.fit(r).compare(c)}[kind]
    report = compare({"code": r}, {"code": c})
    assert report["code"].verdict != "drifted"
    (told,) = [told for told in report.warnings if "'code'" in told]
    variation = np.abs(np.bincount(r, minlength=11) - np.bincount(c, minlength=11)).sum() / 2 / 4000
    assert f"total variation {variation:.2g}" in told
    assert "kinds={'code': 'categorical'}" in told
    same = compare({"code": r}, {"code": np.random.default_rng(0).permutation(r)})
    assert not [told for told in same.warnings if "'code'" in told]


CATEGORIES = {
    "pandas": pd.Series(codes("reference")).astype("category"),
    "pandas with missing": pd.Series([*codes("reference")[:-1], None]).astype("category"),
    "polars enum": pl.Series(codes("reference").astype(str), dtype=pl.Enum(["200", "404", "500"])),
    "polars categorical": pl.Series(codes("reference").astype(str), dtype=pl.Categorical),
}


@pytest.mark.parametrize("values", CATEGORIES.values(), ids=CATEGORIES.keys())
def test_category_types_are_categorical_by_themselves(values):
    # A table that declares its codes has the same names, whatever its library.
    report = drift.compare({"code": values}, {"code": codes("reference")}, kinds={"code": "categorical"})
    assert report["code"].kind == "categorical"
    # One side has one missing row.
    assert report["code"].statistics["total_variation"] == pytest.approx(0.0, abs=3e-4)
    assert report["code"].shape.names == ("404", "200", "500")


@pytest.mark.parametrize("tool", ["evidently", "nannyml"])
def test_other_tools_judge_declared_codes_as_names(tool):
    one, other = table(pl.DataFrame, "reference"), table(pl.DataFrame, "current")
    named = [frame.with_columns(pl.col("code").cast(pl.String)) for frame in (one, other)]
    declared = drift.compare(one, other, kinds={"code": "categorical"}, compat=tool)["code"].peer
    assert declared == drift.compare(*named, compat=tool)["code"].peer
    if tool == "nannyml":
        # Evidently takes numbers of few distinct values for names by itself.
        assert declared != drift.compare(one, other, compat=tool)["code"].peer


def test_nannyml_judges_a_pandas_category_of_integers_as_names():
    frame = lambda side: pd.DataFrame({"code": pd.Categorical(codes(side))})  # noqa: E731
    text = lambda side: pd.DataFrame({"code": codes(side).astype(str)})  # noqa: E731
    peer = drift.compare(frame("reference"), frame("current"), compat="nannyml")["code"].peer
    assert peer == drift.compare(text("reference"), text("current"), compat="nannyml")["code"].peer
    assert "unseen names" in peer.note


def test_text_is_declared_numeric():
    r, c = [f"{i:,}" for i in range(2_000)], [f"{i + 1_000:,}" for i in range(2_000)]
    report = drift.compare({"x": r}, {"x": c}, kinds={"x": "numeric"})
    assert report["x"].kind == "numeric"
    assert report["x"].statistics["ks"] == 0.5
    why = 'it is declared numeric, but 1 of 2001 rows are no number, such as "lots"'
    both = drift.compare({"x": [*r, "lots"]}, {"x": [*c, "lots"]}, kinds={"x": "numeric"})["x"]
    assert (both.verdict, both.reason) == ("not computed", why)
    told = drift.compare({"x": r}, {"x": [*c, "lots"]}, kinds={"x": "numeric"})["x"]
    assert told.verdict == "schema"
    assert told.reason == f"the type is int64 in the reference, but string in the current table: {why}"


def test_booleans_are_declared_numeric_and_times_categorical():
    report = drift.compare(
        {"flag": [True, False] * 50, "at": np.array(["2024-01-01", "2024-01-02"] * 50, "M8[s]")},
        {"flag": [1, 0] * 50, "at": np.array(["2024-01-02", "2024-01-01"] * 50, "M8[ns]")},
        kinds={"flag": "numeric", "at": "categorical"},
    )
    assert (report["flag"].kind, report["flag"].statistics["ks"]) == ("numeric", 0.0)
    assert report["at"].shape.names == ("2024-01-01", "2024-01-02")
    assert report["at"].statistics["total_variation"] == 0.0


def test_windows_streams_and_joined_parts_obey_the_profile(tmp_path):
    one, other = table(pl.DataFrame, "reference"), table(pl.DataFrame, "current")
    profile = drift.Profile.fit(one, kinds={"code": "categorical"})
    assert profile.kinds == {"code": "categorical"}
    assert profile.types["code"] == "string"
    expected = profile.compare(other)
    other.write_parquet(tmp_path / "a.parquet")
    for source in (str(tmp_path / "a.parquet"), other.lazy(), other):
        assert profile.compare(drift.scan(source, profile=profile)) == expected
    parts = [drift.Profile.fit(half, splitters=profile) for half in (one[: ROWS // 2], one[ROWS // 2 :])]
    assert drift.Profile.join(parts).compare(other) == expected
    assert profile.select(["x"]).kinds == {}
    assert drift.Monitor(profile).observe(other).alarm


def test_sliced_takes_codes_as_names():
    one, other = table(dict, "reference"), table(dict, "current")
    found = drift.sliced(one, other, kinds={"code": "categorical"}, permutations=19, rows=500)
    assert found.encoded["code"] == "0 or 1 for 2 values"


REFUSED = {
    "kind": (
        {"code": "ordinal"},
        UnknownNameError,
        "`kinds['code']` must be one of 'categorical', 'numeric'; got 'ordinal'",
    ),
    "column": (
        {"cod": "numeric"},
        UnknownNameError,
        "`kinds` must name columns of `reference`; it has 'code', 'x', not 'cod'",
    ),
}


@pytest.mark.parametrize(("kinds", "error", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_declarations_are_refused(kinds, error, text):
    one = table(dict, "reference")
    for call in (lambda: drift.compare(one, one, kinds=kinds), lambda: drift.Profile.fit(one, kinds=kinds)):
        with pytest.raises(error) as caught:
            call()
        assert str(caught.value) == text


def test_names_of_columns_are_a_sequence():
    one = {"a": np.arange(300.0), "b": np.arange(300.0), "ab": np.arange(300.0)}
    for call in (lambda c: drift.compare(one, one, columns=c), lambda c: drift.Profile.fit(one, columns=c)):
        with pytest.raises(InputTypeError, match="`columns` must be a list of names; got 'ab'"):
            call("ab")
        with pytest.raises(InputError, match="`columns` must name at least one column; got none"):
            call([])
        assert [getattr(column, "name", column) for column in call(["a", "a"]).columns] == ["a"]
    assert (
        drift.compare(pd.DataFrame({0: one["a"]}), pd.DataFrame({0: one["a"]}), columns=[0])["0"].kind
        == "numeric"
    )


LIKE = {
    "numbers": (["12", " -1.5e3 ", "1,234.50", "1 234 567", "+.5", "1,5", "0.5", "0"], (8, 8, 0)),
    "signs": (["$12.50", "12 %", "EUR 5", "5 €", "~3"], (5, 5, 0)),
    "times": (["2024-01-31", "31/01/2024", "1.2.2024 10:00", "2024-01-31T10:00:00Z", "10:15:00"], (5, 0, 5)),
    "marks among numbers": (["1", "2", "NULL", "n/a", ""], (5, 2, 0)),
    "codes": (["007", "012"], None),
    "names": (["r12", "12kg", "B-52", "192.168.2.1", "1-2-3"], None),
    "half of them": (["1", "2", "x", "y"], None),
}


@pytest.mark.parametrize(("text", "expected"), LIKE.values(), ids=LIKE.keys())
def test_what_text_looks_like(text, expected):
    found = inputs.read_array("x", text).looks()
    assert (None if found is None else found[:3]) == expected


NAMES = {
    "floats": (np.array([3.0, 1.5, -0.0, np.inf]), ["3", "1.5", "0", "inf"]),
    "days": (np.array(["1969-12-31", "2000-02-29"], "M8[D]"), ["1969-12-31", "2000-02-29"]),
    "milliseconds": (np.array(["1970-01-01T00:00:01.5"], "M8[ms]"), ["1970-01-01 00:00:01.5"]),
    "nanoseconds": (np.array(["1970-01-01T00:00:01.5"], "M8[ns]"), ["1970-01-01 00:00:01.5"]),
    "durations": (np.array([-1500], "m8[ms]"), ["-1.5 s"]),
}


@pytest.mark.parametrize(("values", "names"), NAMES.values(), ids=NAMES.keys())
def test_numbers_and_times_have_one_name_in_every_type(values, names):
    column = inputs.read_array("x", values).named()
    rows = inputs.read_array("rows", np.arange(len(values)))
    assert _native.gather_strings(column, rows) == names
