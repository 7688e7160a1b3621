"""What goes wrong in code that counts: pitfalls that no other test is about. docs/pitfalls.md lists all with their tests."""

import math
import re
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewheel import drift
from tidewheel.drift import Profile
from tidewheel.drift.profile import serialization

ROOT = Path(__file__).parents[2]
#: Up to 16 edges are compared with each value; more go through a table. Blocks hold 2,048 values.
EDGE_COUNTS = [2, 3, 16, 17, 18, 40, 300]
SIZES = [1, 63, 2_047, 2_049, 20_000]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("number", EDGE_COUNTS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", ["even", "crowded"])
def test_an_ulp_beside_an_edge_is_another_bin(rng, layout, size, number, dtype):
    edges = np.linspace(0.1, 7, number) if layout == "even" else np.exp(3 * rng.normal(size=number))
    edges = np.unique(edges.astype(dtype))
    beside = [np.nextafter(edges, dtype(side)) for side in (-np.inf, np.inf)]
    values = np.resize(np.concatenate([edges, *beside]), size)
    expected = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    expected[-2] += np.count_nonzero(values == edges[-1])
    counts, _ = drift.histogram(values, edges)
    assert counts.tolist() == expected[1:-1].tolist()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("edges", [3, 40])
def test_edges_an_ulp_apart(size, edges):
    ladder = [1.0]
    for _ in range(edges):
        ladder.append(math.nextafter(ladder[-1], math.inf))
    values = np.resize(np.array(ladder[:-1]), size)
    expected = [int((values == edge).sum()) for edge in ladder[:-1]]
    assert drift.histogram(values, ladder)[0].tolist() == expected


@pytest.mark.parametrize("size", [100, 30_000])
@pytest.mark.parametrize("quantum", [8e307 / 90, 1e308 / 90, 5e-324, 1e-310, 1e-300])
def test_ranges_that_overflow_or_are_subnormal(rng, size, quantum):
    # The greatest less the least overflows at 1e308; shares of the range vanish at 5e-324.
    whole = rng.integers(-90, 91, size)
    other = np.clip(whole + 9, -90, 90)
    reference, current = whole * quantum, other * quantum
    for function in (drift.ks, drift.psi, drift.wasserstein):
        assert function(reference, np.roll(reference, 1)).statistic == 0
    assert drift.ks(reference, current).statistic == drift.ks(whole, other).statistic
    expected = drift.psi(whole.astype(float), other.astype(float)).current_counts
    assert drift.psi(reference, current).current_counts == expected
    # A distance of subnormal numbers is a sum of subnormal terms, each rounded to a whole quantum.
    if quantum > 1e-320 and quantum < 1e306:
        plain = drift.wasserstein(whole, other).statistic
        assert drift.wasserstein(reference, current).statistic == pytest.approx(
            plain * quantum, rel=1e-9, abs=0
        )


PAYLOADS = {
    "f8": np.array([0x7FF8000000000000, 0xFFF8000000000000, 0x7FF0000000000001, 0xFFFFFFFFFFFFFFFF], "u8"),
    "f4": np.array([0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF], "u4"),
    "f2": np.array([0x7E00, 0xFE00, 0x7C01, 0xFFFF], "u2"),
}


@pytest.mark.parametrize("copies", [1, 5_000])
@pytest.mark.parametrize("dtype", PAYLOADS)
def test_every_nan_is_one(dtype, copies):
    payloads = PAYLOADS[dtype].view(dtype)
    values = np.tile(np.concatenate([np.array([1.0, 2.0, 3.0], dtype), payloads]), copies)
    plain = np.tile(np.array([1.0, 2.0, 3.0], dtype), copies)
    for function in (drift.ks, drift.psi, drift.wasserstein):
        result = function(plain, values)
        assert result.statistic == 0
        assert result.beside.nan == (0, 4 * copies)
    assert drift.compare({"x": plain}, {"x": values})["x"].nan_current == pytest.approx(4 / 7)


@pytest.mark.parametrize("copies", [1, 9_000])
@pytest.mark.parametrize("others", [(1.0, 2.0, 3.0), (1e-300, 2.0, 1e300), (5e-324, 1e-310, 1e308)])
def test_zeros_of_both_signs_are_one_value(copies, others):
    negative, positive = (np.tile([zero, *others], copies) for zero in (-0.0, 0.0))
    for function in (drift.ks, drift.psi, drift.wasserstein, drift.chi_square):
        assert function(negative, positive).statistic == 0
    for edges in ([-1.0, 0.0, 1.7e308], [-1.0, -0.0, 1.7e308]):
        assert drift.histogram(negative, edges)[0].tolist() == [0, 4 * copies]
        assert drift.psi(positive, negative, bins=edges).current_counts == (0, 4 * copies)


def test_counts_past_two_to_64_pairs(rng):
    # A window merged with itself until it has 2^46 rows, against 2^20 in the reference: n m is 2^66, and D n m above 2^64.
    reference, current = rng.integers(0, 30, 1 << 20), rng.integers(10, 31, 1 << 10)
    profile = Profile.fit({"x": reference})
    once = profile.window()
    once.update({"x": current})
    window = profile.window()
    window.merge(once)
    while 2 * window.n_rows <= serialization.MOST_ROWS:
        window.merge(drift.Window.from_bytes(profile, window.to_bytes()))
    assert window.n_rows == 1 << 46
    few, many = profile.compare(once)["x"], profile.compare(window)["x"]
    assert many.statistics["ks"] == few.statistics["ks"] == drift.ks(reference, current).statistic
    assert many.n_current == 1 << 46
    assert many.pvalue < 1e-300


def test_logarithms_have_their_base():
    counts = [30, 20, 50], [10, 60, 30]
    for function, power in ((drift.kl_divergence, 1.0), (drift.jensen_shannon, 0.5)):
        natural = function(*counts, counts=True).statistic
        assert function(*counts, counts=True, base=2).statistic == pytest.approx(
            natural / math.log(2) ** power, rel=1e-14
        )
        assert function(*counts, counts=True, base=10).statistic == pytest.approx(
            natural / math.log(10) ** power, rel=1e-14
        )
    # One bit: two shares that have nothing in common.
    assert drift.jensen_shannon([1, 0], [0, 1], counts=True, base=2).statistic == 1.0


samples = st.lists(
    st.one_of(st.floats(allow_nan=False), st.integers(-3, 3).map(float)), min_size=4, max_size=40
)


@settings(deadline=None, max_examples=60)
@given(reference=samples, current=samples)
def test_pvalues_are_probabilities(reference, current):
    results = [
        drift.ks(reference, current, method=method, alternative=side)
        for method in ("auto", "exact", "asymp", "accurate")
        for side in ("two-sided", "less", "greater")
    ]
    results.append(drift.cramer_von_mises(reference, current, method="asymptotic"))
    if any(math.isfinite(value) for value in reference) and any(math.isfinite(value) for value in current):
        results += [f(reference, current) for f in (drift.psi, drift.chi_square, drift.g_test)]
    if len({*reference, *current}) > 1:
        results.append(drift.anderson_darling(reference, current))
    assert all(0 <= result.pvalue <= 1 for result in results)
    report = drift.compare({"x": reference}, {"x": current})
    assert all(0 <= part.pvalue <= 1 for part in report["x"].parts)
    assert report["x"].pvalue is None or 0 <= report["x"].pvalue <= report["x"].pvalue_corrected <= 1


@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 5_000)])
def test_psi_keeps_its_level_in_small_samples(n, m):
    # The first-order law rejects 1.8 % at 50 and 50; the plain chi-square on such bins 16 % at 50 and 5,000.
    rng = np.random.default_rng(n + m)
    rejected = 0
    for _ in range(1_500):
        result = drift.psi(rng.random(n), rng.random(m))
        rejected += result.statistic > result.critical_value
    assert 0.03 < rejected / 1_500 < 0.07


def test_nothing_is_left_out_in_silence():
    columns = {
        "floats": pl.Series([1.0, None, math.nan, math.inf, -math.inf, 2.0]),
        "words": pl.Series(["a", None, "new", "a", "b", "b"]),
    }
    reference = pl.DataFrame({"floats": [1.0, 2.0] * 3, "words": ["a", "b"] * 3})
    report = drift.compare(reference, pl.DataFrame(columns))
    floats, words = report["floats"], report["words"]
    assert (floats.missing_current, floats.nan_current) == (pytest.approx(1 / 6), pytest.approx(1 / 6))
    assert {part.name for part in floats.parts} >= {"missing", "nan", "infinite"}
    assert (words.missing_current, words.unseen) == (pytest.approx(1 / 6), pytest.approx(1 / 5))


NAMED = re.compile(r"`((?:tests|rust)/[\w/.]+)::(\w+)`")


def named_tests():
    """Give the tests that docs/pitfalls.md names, by item."""
    table = (ROOT / "docs" / "pitfalls.md").read_text()
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| item")]
    return {row.split(" | ")[0].removeprefix("| "): set(map("::".join, NAMED.findall(row))) for row in rows}


def test_every_named_test_exists():
    named = named_tests()
    assert len(named) > 60
    assert all(named.values())
    for path, name in (test.split("::") for test in set.union(*named.values())):
        text = (ROOT / path).read_text()
        assert re.search(rf"^\s*(?:def|fn) {name}\(", text, re.MULTILINE), f"{path} must hold {name}"


def test_every_named_test_has_a_breakage():
    # `make breakages` breaks the code in these ways and sees the tests fail.
    breakages = tomllib.loads((ROOT / "drills" / "breakages.toml").read_text())["breakage"]
    seen = {item: set() for item in named_tests()}
    for breakage in breakages:
        whole = (ROOT / breakage["file"]).read_text()
        assert whole.count(breakage["old"]) == 1, (
            f"{breakage['name']}: its text must be in {breakage['file']} once"
        )
        seen[breakage["item"]] |= {test.partition("[")[0] for test in breakage["tests"]}
    assert len({breakage["name"] for breakage in breakages}) == len(breakages)
    assert not any(tests - seen[item] for item, tests in named_tests().items())
