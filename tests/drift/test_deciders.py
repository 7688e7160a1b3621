"""The statistic that decides: its test, its bounds, who may have it, and that the report says so."""

import math
import re

import numpy as np
import polars as pl
import pytest
from scipy import stats

from tidewheel import drift
from tidewheel.drift.statistics import psi_bounds
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

CALLS = {
    "compare": lambda r, c, **how: drift.compare(r, c, **how),
    "profile": lambda r, c, **how: drift.Profile.fit(r).compare(c, **how),
}
BOTH = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def normal(rng, n, shift=0.0):
    return {"x": rng.normal(shift, 1, n), "y": rng.normal(shift, 1, n), "s": rng.choice(["a", "b"], n)}


@BOTH
def test_the_index_decides_where_it_is_asked_for(call, rng):
    r, c = normal(rng, 6_000), normal(rng, 6_000, 0.45)
    report = call(r, c, decide_by={"x": "psi"})
    one, other = report["x"].parts[0], report["y"].parts[0]
    index = drift.psi(r["x"], c["x"])
    assert (one.name, one.test) == ("values", "population stability index")
    assert (one.statistic, one.pvalue) == (pytest.approx(index.statistic), pytest.approx(index.pvalue))
    assert one.effect.name == "population stability index beyond chance"
    assert one.effect.value == pytest.approx(index.statistic - 9 * (1 / 6_000 + 1 / 6_000))
    assert one.effect.threshold == 0.1
    assert one.effect.lower < one.effect.value < one.effect.upper
    assert report["x"].verdict == "drifted"
    assert "values: population stability index beyond chance is 0.1" in report["x"].reason
    # Nothing else of the column depends on it, and no other column.
    plain = call(r, c)
    assert report["x"].statistics == plain["x"].statistics
    assert other == plain["y"].parts[0]
    assert report["s"].parts == plain["s"].parts
    (told,) = [told for told in report.warnings if "stability" in told]
    assert told == (
        "Numbers and times are decided by the population stability index (`decide_by`), not by the Kolmogorov-Smirnov "
        "distance, in 'x'."
    )
    assert told in report.summary()
    assert "population stability index beyond chance" in report.to_html()
    assert not [told for told in plain.warnings if "stability" in told]


@BOTH
def test_for_all_columns_or_all_but_some(call, rng):
    r, c = normal(rng, 2_000), normal(rng, 2_000)
    tests = {
        column.name: column.parts[0].test.split(",")[0] for column in call(r, c, decide_by="psi").columns
    }
    assert tests == {
        "x": "population stability index",
        "y": "population stability index",
        "s": tests["s"],
    }
    assert tests["s"] in ("Fisher", "chi-square")
    report = call(r, c, decide_by={"*": "psi", "y": "ks"})
    assert [column.parts[0].test.split(",")[0] for column in report.columns[:2]] == [
        "population stability index",
        "Kolmogorov-Smirnov",
    ]
    assert "in all columns but 'y'." in next(told for told in report.warnings if "stability" in told)
    for same in ("ks", "total_variation", {"s": "total_variation", "x": "ks"}, {}):
        assert call(r, c, decide_by=same).columns == call(r, c).columns


def test_segments_are_decided_by_it_too(rng):
    r, c = normal(rng, 12_000), normal(rng, 12_000, 0.45)
    report = drift.compare(r, c, by="s", decide_by={"x": "psi"})
    for segment in ("a", "b"):
        sides = [side["x"][side["s"] == segment] for side in (r, c)]
        part = report[segment]["x"].parts[0]
        assert (part.test, report[segment]["x"].verdict) == ("population stability index", "drifted")
        assert part.pvalue == pytest.approx(drift.psi(*sides).pvalue)
        assert report[segment]["y"].parts[0].test.startswith("Kolmogorov-Smirnov")
    assert [told for told in report.warnings if "stability index" in told]


@BOTH
def test_its_threshold_is_that_of_values(call, rng):
    r, c = normal(rng, 20_000), normal(rng, 20_000, 0.45)
    for threshold, verdict in ((0.15, "drifted"), (0.3, "stable"), (0.2, "undecided")):
        column = call(r, c, decide_by="psi", thresholds={"x": threshold})["x"]
        assert (column.verdict, column.effect.threshold) == (verdict, threshold)


def test_tied_numbers_and_times_have_an_index_too(rng):
    tied = [rng.geometric(0.4, 8_000) for _ in range(2)]
    report = drift.compare({"k": tied[0]}, {"k": tied[1]}, decide_by="psi")
    assert report["k"].verdict == "stable"
    assert report["k"].parts[0].pvalue == pytest.approx(drift.psi(*tied).pvalue)
    times = [pl.Series(rng.integers(0, 10**9, 8_000)).cast(pl.Datetime("us")) for _ in range(2)]
    report = drift.compare({"t": times[0]}, {"t": times[1]}, decide_by="psi")
    assert (report["t"].kind, report["t"].verdict) == ("temporal", "stable")
    constant = drift.compare({"c": [5.0] * 500}, {"c": [5.0] * 700}, decide_by="psi")["c"]
    assert (constant.verdict, constant.pvalue) == ("stable", 1.0)
    moved = drift.compare({"c": [5.0] * 500}, {"c": [7.0] * 700}, decide_by="psi")["c"]
    assert moved.verdict == "drifted"


@BOTH
def test_the_law_of_tied_distances_is_not_its_own(call):
    # A tilt that the distance sees and the index hardly does: its p stays its own.
    r = {"k": np.repeat(np.arange(10), 300)}
    c = {"k": np.repeat(np.arange(10), 300 + 6 * np.arange(-9, 10, 2) // 2)}
    distance, index = call(r, c)["k"].parts[0], call(r, c, decide_by="psi")["k"].parts[0]
    assert distance.test == "Kolmogorov-Smirnov, given ties"
    assert index.test == "population stability index"
    assert index.pvalue == pytest.approx(drift.psi(r["k"], c["k"]).pvalue, rel=0.02)
    assert index.pvalue > 3 * distance.pvalue


def test_infinite_values_alone_leave_no_index(rng):
    report = drift.compare({"x": [math.inf] * 90}, {"x": rng.normal(size=90)}, decide_by="psi")
    assert (report["x"].verdict, [part.name for part in report["x"].parts]) == ("drifted", ["infinite"])
    assert "a side has no finite value, of which the population stability index is made" in report["x"].reason


@pytest.mark.parametrize("shift", [0.25, 0.45])
def test_so_many_rows_would_decide(rng, shift):
    r = {"x": stats.norm.ppf((np.arange(300) + 0.5) / 300)}
    c = {"x": r["x"] + shift}
    column = drift.compare(r, c, decide_by="psi")["x"]
    assert column.verdict == "undecided"
    times = float(re.search(r"about ([\d.]+) times as many rows", column.reason)[1])
    verdicts = [
        drift.compare({"x": np.tile(r["x"], k)}, {"x": np.tile(c["x"], k)}, decide_by="psi")["x"].verdict
        for k in (math.floor(times * 0.8), math.ceil(times * 1.2))
    ]
    assert verdicts == ["undecided", "stable" if shift < 0.3 else "drifted"]


def test_a_bin_without_rows_leaves_the_index_open(rng):
    # A bin that is empty by chance may be empty by law, and the index is infinite then.
    r = {"x": np.arange(1_000.0)}
    c = {"x": np.arange(900.0)}
    column = drift.compare(r, c, decide_by="psi", thresholds={"x": 0.9})["x"]
    assert column.effect.upper == math.inf
    assert column.verdict == "undecided"
    report = drift.compare(r, c, decide_by="psi")
    assert report["x"].verdict == "drifted"
    assert report.to_dict()["columns"][0]["effect"]["upper"] is None
    assert 'H100"/>' in report.to_html()


# Bounds


@pytest.mark.parametrize("df", [1, 4, 9, 49])
@pytest.mark.parametrize("noncentrality", [0.5, 5.0, 50.0, 5_000.0])
def test_the_noncentral_law_is_that_of_scipy(df, noncentrality):
    reach = 2 * math.sqrt(df + 2 * noncentrality)
    for z in (-1.96, 1.96):
        x = stats.ncx2.ppf(stats.norm.cdf(z), df, noncentrality)
        found = psi_bounds._noncentrality(x, df, z)
        # Far below the mean of few degrees of freedom the upper bound comes out too large, never too small.
        more = 1.5 / df if z < 0 and df < 9 else 0.0
        assert noncentrality - 0.03 * reach - 0.05 < found < noncentrality + (0.03 + more) * reach + 0.05


@pytest.mark.parametrize(("hits", "rows"), [(0, 50), (1, 50), (4, 1_000), (50, 50)])
def test_shares_of_few_rows_are_bounded_as_scipy_does(hits, rows):
    found = stats.binomtest(hits, rows).proportion_ci(1 - 2 * 0.0025, "exact")
    assert psi_bounds._clopper(hits, rows, 0.0025) == (
        pytest.approx(found.low, abs=1e-9),
        pytest.approx(found.high, abs=1e-9),
    )


def test_the_deviation_is_that_of_many_samples(rng):
    p, q = np.full(10, 0.1), np.linspace(0.05, 0.15, 10)
    n, m = 20_000, 30_000
    r, c = rng.multinomial(n, p, 4_000), rng.multinomial(m, q, 4_000)
    found = ((r / n - c / m) * np.log((r / n) / (c / m))).sum(axis=1)
    assert psi_bounds._deviation(p, q, n, m) == pytest.approx(found.std(), rel=0.05)
    law = ((p - q) * np.log(p / q)).sum()
    # Two standard errors of the mean.
    assert law + psi_bounds._bias(p, q, n, m) == pytest.approx(found.mean(), abs=2 * found.std() / 63)


LAWS = {
    "equal": (np.full(10, 0.1), np.full(10, 0.1)),
    "tilted": (np.full(10, 0.1), np.linspace(0.05, 0.15, 10)),
    "one bin nearly empty": (np.full(10, 0.1), np.array([0.004, *np.full(9, 0.996 / 9)])),
    "rare bins": (np.array([0.9, 0.05, 0.03, 0.015, 0.005]), np.array([0.85, 0.05, 0.06, 0.03, 0.01])),
}


@pytest.mark.parametrize(("n", "m"), [(50, 50), (100, 2_000), (2_000, 100), (2_000, 2_000)])
@pytest.mark.parametrize(("p", "q"), LAWS.values(), ids=LAWS.keys())
def test_bounds_hold_for_any_laws(rng, p, q, n, m):
    law = ((p - q) * np.log(p / q)).sum()
    draws = 400
    found = [
        psi_bounds.bound_psi(*pair, 0.05)
        for pair in zip(rng.multinomial(n, p, draws), rng.multinomial(m, q, draws), strict=True)
    ]
    allowed = 0.025 + 3 * math.sqrt(0.025 * 0.975 / draws)
    assert np.mean([lower > law for _, lower, _ in found]) <= allowed
    assert np.mean([upper < law for _, _, upper in found]) <= allowed
    assert all(0 <= lower <= value <= upper for value, lower, upper in found)


# Refused

WRONG = {
    "unknown": ("psy", {}, UnknownNameError, "`decide_by` must be one of 'ks', 'psi', 'total_variation'; got 'psy'"),
    "unknown of a column": ({"x": "PSI"}, {}, UnknownNameError, "`decide_by['x']` must be one of 'ks', 'psi'"),
    "no word": ({"x": 1}, {}, UnknownNameError, "`decide_by['x']` must be one of"),
    "a number": (1, {}, UnknownNameError, "`decide_by` must be one of 'ks', 'psi', 'total_variation'; got 1"),
    "no name": ({None: "psi"}, {}, InputTypeError, "`decide_by` must name columns by strings; got None"),
    "unknown column": ({"z": "psi"}, {}, UnknownNameError, "must name columns of WHOSE; it has 'x', 's', not 'z'"),
    "of names": ({"s": "psi"}, {}, InputError, "`decide_by['s']` must be 'total_variation' for a categorical column"),
    "of numbers": ({"x": "total_variation"}, {}, InputError, "`decide_by['x']` must be 'ks' or 'psi' for a numeric column"),
}  # fmt: skip
UNFIT = {
    "unit": ("psi", {"unit": "s"}, InputError, "`decide_by` must not hold 'psi' with `unit`"),
    "weights": ({"*": "psi"}, {"weights": "x"}, InputError, "`decide_by` must not hold 'psi' with `weights`"),
}


@pytest.mark.parametrize("call", ["compare", "profile"])
@pytest.mark.parametrize(
    ("decide_by", "how", "error", "words"), [*WRONG.values(), *UNFIT.values()], ids=[*WRONG, *UNFIT]
)
def test_what_cannot_decide_is_refused_in_words(call, decide_by, how, error, words):
    if call == "profile" and how:
        return
    table = {"x": [1.0, 2.0, 3.0], "s": ["a", "b", "a"]}
    with pytest.raises(error) as caught:
        CALLS[call](table, table, decide_by=decide_by, **how)
    assert type(caught.value) is error
    whose = {"compare": "`reference`", "profile": "the profile"}[call]
    assert words.replace("WHOSE", whose) in str(caught.value)
