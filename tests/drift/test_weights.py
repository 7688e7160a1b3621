"""Rows that count with weights: right numbers, Kish's size in tests and bounds, and refusals in words."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tidewheel import drift
from tidewheel.drift.table import design_effect
from tidewheel.errors import InputError, InputTypeError


def kish(weights):
    return np.sum(weights) ** 2 / np.sum(np.square(weights))


def side(rng, n, shift=0.0, weights=None):
    return {
        "x": pl.Series(rng.normal(shift, 1, n)).set(pl.Series(rng.random(n) < 0.1), None),
        "k": rng.integers(0, 6, n),
        "s": rng.choice(["a", "b", "c", "d"], n, p=[0.4 - shift / 5, 0.3, 0.2, 0.1 + shift / 5]),
        "f": rng.random(n) < 0.3 + shift / 5,
        "g": np.where(
            rng.random(n) < 0.05, np.nan, np.where(rng.random(n) < 0.05, np.inf, rng.normal(size=n))
        ),
        "w": rng.lognormal(0, 1, n) if weights is None else weights,
    }


def ecdf_distance(x, w, y, v):
    """By the definition, value by value."""
    at = np.unique(np.concatenate([x, y]))
    return max(abs(w[x <= t].sum() / w.sum() - v[y <= t].sum() / v.sum()) for t in at)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.booleans())
@settings(max_examples=60, deadline=None)
def test_distances_and_shares_are_those_of_the_definition(seed, n, m, tied):
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(0, 5, k).astype(float) if tied else rng.normal(size=k) for k in (n, m))
    w, v = (rng.choice([0.0, 0.5, 1.0, 3.0], k) + 0.25 * (np.arange(k) == 0) for k in (n, m))
    names = [rng.choice(["a", "b", "c"], k) for k in (n, m)]
    gone = [rng.random(k) < 0.3 for k in (n, m)]
    tables = [
        {"x": x, "s": names[0], "m": pl.Series([None if g else 1.0 for g in gone[0]]), "w": w},
        {"x": y, "s": names[1], "m": pl.Series([None if g else 1.0 for g in gone[1]]), "w": v},
    ]
    if len(set(w)) == len(set(v)) == 1:
        return
    report = drift.compare(*tables, weights="w", thresholds={"*": 0.5})
    assert [column.name for column in report.columns] == ["x", "s", "m"]
    numbers = report["x"]
    assert numbers.statistics["ks"] == pytest.approx(ecdf_distance(x, w, y, v), abs=1e-12)
    shares = [
        {name: weights[words == name].sum() / weights.sum() for name in "abc"}
        for words, weights in zip(names, (w, v), strict=True)
    ]
    variation = sum(abs(shares[0][name] - shares[1][name]) for name in "abc") / 2
    assert report["s"].statistics["total_variation"] == pytest.approx(variation, abs=1e-12)
    for found, mask, weights in (
        (report["m"].missing_reference, gone[0], w),
        (report["m"].missing_current, gone[1], v),
    ):
        assert found == pytest.approx(weights[mask].sum() / weights.sum(), abs=1e-12)
    assert (report.n_reference, report.n_current) == (n, m)


def test_tests_and_bounds_take_the_sizes_of_kish(rng):
    r, c = (
        side(rng, n, moved) | {"s": rng.choice(["a", "b", "c"], n, p=[0.4 - moved, 0.3, 0.3 + moved])}
        for n, moved in ((2_000, 0.0), (3_000, 0.05))
    )
    report = drift.compare(r, c, weights="w")
    told = next(told for told in report.warnings if "Kish" in told)
    n, m = kish(r["w"]), kish(c["w"])
    assert f"2,000 reference rows are worth {n:,.0f} equal ones, 3,000 current rows {m:,.0f} (Kish)" in told
    assert "as long as weights do not depend on the values" in told
    # Numbers: the rows that have one.
    there = [side["x"].is_not_null().to_numpy() for side in (r, c)]
    n, m = kish(r["w"][there[0]]), kish(c["w"][there[1]])
    part = report["x"].parts[0]
    expected = stats.kstwo.sf(part.statistic, round(int(n) * int(m) / (int(n) + int(m))))
    assert part.pvalue == pytest.approx(expected, rel=0.02)
    reach = math.sqrt(math.log(2 / 0.05) / 2 * (1 / n + 1 / m))
    assert part.effect.upper == pytest.approx(part.statistic + reach, rel=1e-9)
    assert report["x"].design_effect == pytest.approx(there[1].sum() / m)
    # Categories: chi-square of shares at those sizes.
    n, m = kish(r["w"]), kish(c["w"])
    shares = [
        np.array([one["w"][one["s"] == name].sum() / one["w"].sum() for name in "abc"]) for one in (r, c)
    ]
    table = np.array([shares[0] * n, shares[1] * m])
    found = report["s"].parts[0]
    assert found.statistic == pytest.approx(stats.chi2_contingency(table, correction=False).statistic)
    assert found.pvalue == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue)
    # Shares: Fisher's test of so many equal rows.
    missing = next(part for part in report["x"].parts if part.name == "missing")
    p, q = (one["w"][~mask].sum() / one["w"].sum() for one, mask in zip((r, c), there, strict=True))
    assert missing.effect.value == pytest.approx(abs(p - q))
    counts = [[round(p * n), round(n) - round(p * n)], [round(q * m), round(m) - round(q * m)]]
    assert missing.pvalue == pytest.approx(stats.fisher_exact(counts).pvalue)


@pytest.mark.parametrize(("spread", "pooled"), [(0.0, False), (0.3, False), (1.5, True)])
def test_classes_of_few_heavy_rows_are_pooled(spread, pooled):
    # A class is as good as normal by its rows, not by their weight: of wild weights it needs more of them.
    rng = np.random.default_rng(3)
    names = np.repeat(["a", "b", "c"], [1_200, 700, 100])
    w, v = (np.exp(spread * rng.normal(size=2_000)) for _ in range(2))
    v[0] *= 1 + 1e-12
    found = drift.compare({"s": names, "w": w}, {"s": names, "w": v}, weights="w")["s"].parts[0]
    shares = [np.array([one[names == name].sum() for name in "abc"]) / one.sum() for one in (w, v)]
    sizes = [kish(one) for one in (w, v)]
    rough = [size * (one**4).sum() / (one**2).sum() ** 2 for size, one in zip(sizes, (w, v), strict=True)]
    table = np.array([share * size for share, size in zip(shares, sizes, strict=True)])
    least = min(size / one for size, one in zip(sizes, rough, strict=True))
    rare = table.sum(axis=0) / sum(sizes) * least < 5
    assert rare.any() == pooled
    if pooled:
        rare[1] = True
        table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    expected = stats.chi2_contingency(table, correction=False)
    assert (found.statistic, found.pvalue) == (
        pytest.approx(expected.statistic, abs=1e-9),
        pytest.approx(expected.pvalue),
    )


def test_the_index_is_that_of_weighted_bins(rng):
    r, c = side(rng, 1_000), side(rng, 1_000, 0.5)
    x, y = (one["g"] for one in (r, c))
    found = drift.compare(r, c, columns=["g"], weights="w")["g"].statistics
    bins = drift.fit_bins(x).edges
    shares = []
    for values, one in ((x, r), (y, c)):
        finite = np.isfinite(values)
        weights = one["w"][finite]
        counts = np.histogram(values[finite], bins, weights=weights)[0] / weights.sum()
        size = kish(one["w"][np.isfinite(values) | np.isinf(values)]) * weights.sum()
        size /= one["w"][np.isfinite(values) | np.isinf(values)].sum()
        shares.append((counts * size + 0.5) / (size + 5))
    assert found["psi"] == pytest.approx(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum())


@pytest.mark.parametrize("weights", [(1.0, 1.0), (7, 0.25)])
def test_equal_weights_are_none(rng, weights):
    r, c = (side(rng, n, 0.1, np.full(n, w)) for n, w in zip((700, 900), weights, strict=True))
    plain = drift.compare(*({name: one[name] for name in one if name != "w"} for one in (r, c)))
    weighed = drift.compare(r, c, weights="w")
    assert weighed.columns == plain.columns
    assert [told for told in weighed.warnings if told not in plain.warnings] == [
        "The weights 'w' are equal on each side, so rows count as without any."
    ]


def test_nearly_equal_weights_give_the_same_numbers_where_the_law_is_the_same(rng):
    r, c = (side(rng, n, 0.1, 1 + 1e-13 * rng.random(n)) for n in (700, 900))
    plain = drift.compare(*({name: one[name] for name in one if name != "w"} for one in (r, c)))
    weighed = drift.compare(r, c, weights="w")
    for one, other in zip(plain.columns, weighed.columns, strict=True):
        assert (one.name, one.verdict, one.kind) == (other.name, other.verdict, other.kind)
        assert other.statistics == pytest.approx(one.statistics, rel=1e-9, abs=1e-12)
        assert one.shape == other.shape
        for mine, its in zip(one.parts, other.parts, strict=True):
            assert its.effect.value == pytest.approx(mine.effect.value, rel=1e-9, abs=1e-12)
            assert (its.effect.lower, its.effect.upper) == pytest.approx(
                (mine.effect.lower, mine.effect.upper), rel=1e-9, abs=1e-12
            )
            if mine.test == "Kolmogorov-Smirnov, given ties":
                assert its.test == "Kolmogorov-Smirnov"
                assert its.pvalue >= mine.pvalue
            else:
                assert (its.test, its.pvalue) == (mine.test, pytest.approx(mine.pvalue, rel=1e-9))


def test_rows_of_weight_nought_are_not_there(rng):
    r, c = side(rng, 800), side(rng, 900, 0.3)
    noise = side(rng, 300, 0.4, np.zeros(300))
    noise["s"] = np.full(300, "other")
    mixed = {name: [*noise[name], *c[name]] for name in c}
    one, other = (drift.compare(r, current, weights="w") for current in (c, mixed))
    for a, b in zip(one.columns, other.columns, strict=True):
        assert (a.pvalue, a.statistics) == (pytest.approx(b.pvalue), pytest.approx(b.statistics))
        assert b.unseen == 0
    # Weights of one and nought choose rows.
    chosen = {name: values[:400] for name, values in c.items()} | {"w": np.ones(400)}
    picked = c | {"w": np.repeat([1.0, 0.0], [400, 500])}
    plain = {name: values for name, values in r.items() if name != "w"} | {"w": np.ones(800)}
    assert drift.compare(plain, picked, columns=["s"], weights="w")["s"].pvalue == pytest.approx(
        drift.compare(plain, chosen, columns=["s"], weights="w")["s"].pvalue
    )


def test_duplicated_rows_are_not_more_evidence(rng):
    # So many copies of a row, or its weight: the same shares; but Kish takes a weight of 4 for less than four rows.
    r, c = side(rng, 600), side(rng, 600, 0.4)
    counts = rng.integers(1, 5, 600)
    copied = {
        name: np.repeat(np.asarray(values), counts) for name, values in c.items() if name in ("k", "s", "f")
    }
    ones = {name: np.asarray(r[name]) for name in ("k", "s", "f")}
    plain = drift.compare(ones, copied)
    weighed = drift.compare(
        ones | {"w": np.ones(600)}, {**c, "w": counts}, columns=["k", "s", "f"], weights="w"
    )
    for one, other in zip(plain.columns, weighed.columns, strict=True):
        assert other.effect.value == pytest.approx(one.effect.value)
        assert other.pvalue > one.pvalue
        assert other.effect.lower < one.effect.lower or one.effect.lower == 0


def test_unseen_and_rare_names_count_with_their_weight(rng):
    names = np.array([f"id {i}" for i in rng.zipf(1.5, 3_000).clip(0, 900)])
    fresh = np.where(rng.random(3_000) < 0.3, "new " + np.char.mod("%d", rng.integers(0, 9, 3_000)), names)
    w, v = rng.lognormal(0, 1, 3_000), rng.lognormal(0, 1, 3_000)
    column = drift.compare({"s": names, "w": w}, {"s": fresh, "w": v}, weights="w")["s"]
    parts = {part.name: part for part in column.parts}
    assert set(parts) == {"values", "tail", "unseen"}
    unseen = ~np.isin(fresh, names)
    share = v[unseen].sum() / v.sum()
    assert column.unseen == pytest.approx(share)
    values, rows = np.unique(names, return_counts=True)
    expected = w[np.isin(names, values[rows == 1])].sum() / w.sum()
    assert parts["unseen"].effect.value == pytest.approx(share - expected)
    assert column.verdict == "drifted"
    # The tail's difference is that of one set of names, which no set exceeds.
    both = np.union1d(names, fresh)
    r, c = (
        np.array([weights[side == name].sum() for name in both]) / weights.sum()
        for side, weights in ((names, w), (fresh, v))
    )
    assert 0.2 < parts["tail"].effect.value < np.abs(r - c).sum() / 2 + 0.05
    assert column.shape.names[0] in names
    assert sum(column.shape.current_counts) == pytest.approx(3_000, abs=10)


def test_a_column_without_weighted_values_says_so(rng):
    w = np.repeat([0.0, 1.0, 2.0], 20)
    r = {"x": rng.normal(size=60), "s": ["a"] * 60, "w": w}
    c = {"x": [1.0] * 20 + [None] * 40, "s": ["a"] * 20 + [None] * 40, "w": w}
    report = drift.compare(r, c, weights="w")
    for name in ("x", "s"):
        assert (report[name].verdict, report[name].missing_current) == ("drifted", 1.0)
        assert "current has no value, all 60 rows are missing" in report[name].reason


@pytest.mark.filterwarnings("error")
def test_a_name_of_next_to_no_weight_is_no_row(rng):
    names = ["a"] * 12 + ["b"] * 6 + ["c"] * 3 + ["dust"]
    r, c = ({"s": names, "w": [*rng.uniform(0.5, 1.5, 21), 1e-9]} for _ in range(2))
    column = drift.compare(r, c, weights="w")["s"]
    assert (column.parts[0].test, column.verdict) == ("chi-square", "undecided")
    assert column.parts[0].pvalue > 0.2
    without = [{name: one[name][:-1] for name in one} for one in (r, c)]
    assert column.parts[0].pvalue == pytest.approx(drift.compare(*without, weights="w")["s"].parts[0].pvalue)


def test_order_and_scale_of_weights_do_not_matter(rng):
    r, c = side(rng, 500), side(rng, 700, 0.2)
    first = drift.compare(r, c, weights="w")
    order = rng.permutation(700)
    shuffled = {name: np.asarray(values)[order] for name, values in c.items() if name != "x"}
    shuffled["x"] = c["x"][order]
    scaled = r | {"w": r["w"] * 1e200}, shuffled | {"w": shuffled["w"] * 1e-200}
    second = drift.compare(*scaled, columns=["x", "k", "s", "f", "g"], weights="w")
    for one, other in zip(first.columns, second.columns, strict=True):
        assert other.pvalue == pytest.approx(one.pvalue, rel=1e-6)
        assert other.statistics == pytest.approx(one.statistics)


def test_a_side_without_rows_is_no_exception(rng):
    empty = {"x": np.zeros(0), "s": pl.Series([], dtype=pl.String), "w": np.zeros(0)}
    rows = {"x": rng.normal(size=9), "s": ["a"] * 9, "w": rng.random(9)}
    for sides in ((empty, rows), (rows, empty), (empty, empty)):
        report = drift.compare(*sides, weights="w")
        assert {column.verdict for column in report.columns} == {"not computed"}


def test_what_no_statistic_takes_stays_not_computed(rng):
    table = pl.DataFrame({"l": [[1], [2], None], "n": [None] * 3, "w": [1.0, 2.0, 3.0]})
    report = drift.compare(table, table, weights="w")
    assert {column.verdict for column in report.columns} == {"not computed"}


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=50))
def test_so_many_equal_rows(weights):
    found = design_effect.weigh(np.array(weights), np.ones(7))
    assert found.n == pytest.approx(kish(np.array(weights)))
    assert (found.m, found.effect) == (7.0, 1.0)
    assert 1 <= found.n <= len(weights) * (1 + 1e-12)


# Refused

ROWS = {"x": [1.0, 2.0, 3.0], "w": [1.0, 2.0, 3.0]}
WRONG = {
    "negative": ({"w": [1.0, -1.5, 1.0]}, {}, InputError, "at least 0; got -1.5 in row 1 of `current` (counted from 0)"),
    "NaN": ({"w": [1.0, 1.0, math.nan]}, {}, InputError, "at least 0; got nan in row 2 of `current`"),
    "infinite": ({"w": [math.inf, 1.0, 1.0]}, {}, InputError, "at least 0; got inf in row 0 of `current`"),
    "missing": ({"w": [1.0, None, 1.0]}, {}, InputError, "at least 0; got a missing one in row 1 of `current`"),
    "all missing": ({"w": [None] * 3}, {}, InputError, "got a missing one in row 0 of `current`"),
    "zeros": ({"w": [0.0, 0.0, 0.0]}, {}, InputError, "weights 'w' must not all be 0; got 3 such rows in `current`"),
    "words": ({"w": ["a", "b", "c"]}, {}, InputTypeError, "column 'w' must have one type in both tables"),
    "absent": ({"v": [1.0]}, {"weights": "v"}, InputError, "column 'v' must be in `reference`; it has 'x', 'w'"),
    "no name": ({}, {"weights": ["w"]}, InputTypeError, "`weights` must name columns by strings; got ['w']"),
    "unit": ({}, {"unit": "x"}, InputError, "`weights` and `unit` cannot go together: the spread between units"),
    "compat": ({}, {"compat": "nannyml"}, InputError, "`weights` and `compat` cannot go together"),
    "wasserstein": ({}, {"statistics": ["wasserstein"]}, InputError, "must not hold 'wasserstein' where `weights`"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "how", "error", "words"), WRONG.values(), ids=WRONG.keys())
def test_wrong_weights_are_refused_in_words(change, how, error, words):
    with pytest.raises(error) as caught:
        drift.compare(ROWS, ROWS | change, **({"weights": "w"} | how))
    assert type(caught.value) is error
    assert words in str(caught.value)


def test_weights_of_both_sides_must_be_numbers():
    words = {"x": [1.0, 2.0], "w": ["1", "2"]}
    with pytest.raises(InputTypeError, match="weights 'w' must be numbers; got string in `reference`"):
        drift.compare(words, words, weights="w")


# Calibration


@pytest.mark.parametrize(("n", "m"), [(500, 500), (500, 5_000)])
def test_weights_that_say_nothing_of_the_values_keep_the_level(rng, n, m):
    hits = {"x": [], "s": [], "g": []}
    for _ in range(40):
        sides = []
        for rows in (n, m):
            made = {"w": rng.lognormal(0, 1, rows)}
            for i in range(20):
                made[f"x{i}"] = rng.normal(size=rows)
                made[f"s{i}"] = rng.choice(["a", "b", "c", "d", "e"], rows, p=[0.5, 0.3, 0.15, 0.04, 0.01])
                made[f"g{i}"] = np.where(rng.random(rows) < 0.1, np.nan, 0.0)
            sides.append(made)
        for column in drift.compare(*sides, weights="w").columns:
            hits[column.name[0]].append(column.parts[-1].pvalue <= 0.05)
    for found in hits.values():
        assert np.mean(found) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(found))
    # Plain rows' tests would not: a row is worth some 0.4 of them.
    plain = drift.compare(*sides)
    assert plain["x0"].design_effect == 1


def test_weights_and_segments_do_not_go_together():
    table = {"x": [1.0, 2.0], "w": [1.0, 2.0], "route": ["a", "b"]}
    with pytest.raises(
        InputError, match=r"`weights` and `by` cannot go together: segments are told apart by plain rows"
    ):
        drift.compare(table, table, weights="w", by="route")
