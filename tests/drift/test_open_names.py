"""Names beyond the most frequent ones: what moves among them is found, and what they could hide is not called stable."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from tidewheel import drift
from tidewheel.drift.table import column_tests, design_effect, open_vocabulary
from tidewheel.drift.table.counted import CategoryCounts, Parts

IDS = [f"{i:06d}" for i in range(3_000)]
NAMES = np.array([f"n{i:03d}" for i in range(200)])
ZIPF = np.cumsum(np.arange(1, 100_001) ** -1.2)


def words(codes):
    return pl.Series(codes).cast(pl.String)


def zipf(rng, n):
    return words(np.searchsorted(ZIPF, rng.random(n) * ZIPF[-1]))


def moved(rng, rows=5_000):
    """200 equal names, of which 150 move onto one that was known: a total variation of 0.75."""
    current = rng.choice(NAMES, rows)
    return rng.choice(NAMES, rows), np.where(np.isin(current, NAMES[:150]), NAMES[199], current)


def halved(rng, rows=10_000, names=1_000):
    """Half of the names halve, the others double, of equal names: a total variation of 0.3."""
    shares = np.where(np.arange(names) % 2, 2.0, 0.5)
    codes = np.searchsorted(np.cumsum(shares), rng.random(rows) * shares.sum())
    return words(rng.integers(0, names, rows)), words(codes)


def by_rows(reference, current):
    return drift.compare({"s": reference}, {"s": current})["s"]


def by_profile(reference, current):
    return drift.Profile.fit({"s": reference}).compare({"s": current})["s"]


def by_windows(reference, current):
    profile = drift.Profile.fit({"s": reference})
    one, other = profile.window(), drift.Profile.from_bytes(profile.to_bytes()).window()
    one.update({"s": current[: len(current) // 3]})
    other.update({"s": current[len(current) // 3 :]})
    other.merge(one)
    return profile.compare(other)["s"]


def by_unit(reference, current):
    sides = ({"s": side, "u": np.arange(len(side)) % 40} for side in (reference, current))
    return drift.compare(*sides, unit="u")["s"]


each_entrance = pytest.mark.parametrize("compare", [by_rows, by_profile, by_windows, by_unit])

#: What moves, and the total variation of the two samples' own shares, over all names, which NumPy computes in the test.
DRIFTS = {
    "ids that become a constant": lambda rng: (IDS, ["UNKNOWN"] * 3_000),
    "half a constant, half new ids": lambda rng: (IDS, ["UNKNOWN"] * 1_500 + [f"{i}x" for i in range(1_500)]),
    "ids that become a few names": lambda rng: (IDS, ["a", "b", "c"] * 1_000),
    "onto a name that was known": moved,
    "onto a name that was rare": lambda rng: (zipf(rng, 10_000), [*zipf(rng, 7_000), *["777"] * 3_000]),
    "a tail that halves and doubles": halved,
    "other ids that were known": lambda rng: (
        words(rng.integers(0, 400, 4_000)),
        words(rng.integers(300, 400, 4_000)),
    ),
}


def whole_variation(reference, current):
    names, codes = np.unique(
        np.concatenate([np.asarray(reference), np.asarray(current)]), return_inverse=True
    )
    r, c = (
        np.bincount(side, minlength=len(names)) for side in (codes[: len(reference)], codes[len(reference) :])
    )
    return float(np.abs(r / r.sum() - c / c.sum()).sum() / 2)


@each_entrance
@pytest.mark.parametrize("draw", DRIFTS.values(), ids=DRIFTS.keys())
def test_what_moves_among_rare_names_is_found(rng, compare, draw):
    reference, current = draw(rng)
    column = compare(reference, current)
    if compare is by_unit and "UNKNOWN" in list(current) and len(set(current)) > 2:
        # By unit a name that neither half of the reference has is no bucket's; the constant is found all the same.
        assert column.verdict in {"drifted", "undecided"}
        return
    assert column.verdict == "drifted"
    assert {part.name for part in column.parts} >= {"values", "tail"}
    values = column.parts[0].effect
    assert values.upper >= min(1.0, whole_variation(reference, current)) - 1e-12


#: A monitor's bounds hold for ever, and want more rows; what halves and doubles evens out inside the classes of a hash.
WATCHED = {name: draw for name, draw in DRIFTS.items() if draw is not halved} | {
    "other ids that were known": lambda rng: (
        words(rng.integers(0, 400, 40_000)),
        words(rng.integers(300, 400, 40_000)),
    )
}


@pytest.mark.parametrize("draw", WATCHED.values(), ids=WATCHED.keys())
def test_a_monitor_alarms(rng, draw):
    reference, current = draw(rng)
    look = drift.Monitor(drift.Profile.fit({"s": reference})).observe({"s": current})
    assert look.alarm
    assert look["s"].lower <= whole_variation(reference, current) + 0.02


def test_three_thousand_ids_that_become_one():
    column = by_rows(IDS, ["UNKNOWN"] * 3_000)
    tested = column.parts[1]
    assert (tested.name, tested.effect.upper) == ("tail", 1.0)
    assert tested.effect.lower > 0.95
    assert tested.pvalue < 1e-300


def test_rows_and_counts_give_the_same_record(rng):
    for reference, current in (moved(rng), halved(rng), (zipf(rng, 5_000), zipf(rng, 3_000))):
        assert by_rows(reference, current) == by_profile(reference, current) == by_windows(reference, current)


@pytest.mark.parametrize("rows", [3_000, 10_000])
def test_rare_names_that_do_not_move_are_neither_drifted_nor_stable(rng, rows):
    column = by_rows(zipf(rng, rows), zipf(rng, rows))
    assert column.verdict == "undecided"
    assert "its names are too rare in these rows to show less" in column.reason
    assert "`exclude`" in column.reason


def test_enough_rows_show_that_many_names_are_stable(rng):
    column = by_rows(words(rng.integers(0, 200, 100_000)), words(rng.integers(0, 200, 100_000)))
    assert (column.verdict, column.parts[0].effect.upper < 0.1) == ("stable", True)


# The upper bound


def all_names(reference, current, unseen=()):
    buckets = np.zeros(open_vocabulary.BUCKETS, dtype=np.int64)
    buckets[: len(unseen)] = unseen
    r, c = (np.array(side, dtype=np.int64) for side in (reference, current))
    found = CategoryCounts(
        Parts(int(r.sum())),
        Parts(int(c.sum())),
        [],
        [],
        0,
        0,
        0,
        (r, c, np.zeros(len(r), np.uint8)),
        buckets.tolist(),
    )
    return open_vocabulary.AllNames.read(found)


def test_the_distance_over_all_names_by_hand():
    # Shares .5 .3 .2 and .2 .3 .1, and .4 unseen: (.3 + 0 + .1 + .4) / 2.
    names = all_names([5, 3, 2], [2, 3, 1], [1, 3])
    assert (names.rows, names.total_variation) == ((10, 10), pytest.approx(0.4))


def test_the_order_of_names_does_not_matter(rng):
    r, c = rng.integers(1, 9, 500), rng.integers(0, 9, 500)
    at = rng.permutation(500)
    one, other = all_names(r, c), all_names(r[at], c[at])
    assert (one.reference.tolist(), one.current.tolist()) == (
        other.reference.tolist(),
        other.current.tolist(),
    )
    wide = all_names(r * 2**40, c * 2**40)
    assert (wide.reference // 2**40).tolist() == one.reference.tolist()
    assert (wide.current // 2**40).tolist() == one.current.tolist()


def test_the_upper_bound_holds_what_merged_classes_hide():
    # Two classes and all others, 40 % on both sides; of these names none is shared.
    design = design_effect.independent(1_000, 1_000)
    merged = column_tests.compare_categories([300, 300, 400], [300, 300, 400], design, 0.05)
    whole = column_tests.compare_categories([300, 300, 400], [300, 300, 400], design, 0.05, 0.4)
    reach = math.sqrt(math.log(2 / 0.05) * (2 / 1_000) / 2)
    assert merged.effect.upper == pytest.approx(reach)
    assert whole.effect.upper == pytest.approx(0.4 + reach)
    assert (merged.is_open, whole.is_open, whole.pvalue) == (False, True, merged.pvalue)


# Halves


def test_halves_are_those_of_a_coin():
    # A name with 10,000 rows has 5,000 of them held out, but for 5 standard deviations of 50; the set is the other name.
    held = open_vocabulary.hold_out(all_names([10_000, 10], [10, 10_000]))
    assert abs(held.rows[0] - 5_005) < 250
    assert abs(held.rows[1] - 5_005) < 250
    assert held.hits[0] < 20
    assert held.hits[1] > held.rows[1] - 20


def test_one_row_a_side_has_no_halves():
    assert open_vocabulary.hold_out(all_names([1], [1])) is None


LAWS = {
    "Zipf ids": zipf,
    "a thousand even ids": lambda rng, n: words(rng.integers(0, 1_000, n)),
    "new ids in every row": lambda rng, n: words(rng.integers(0, 2**62, n)),
    "names and new ids": lambda rng, n: words(np.where(rng.random(n) < 0.5, 7, rng.integers(0, 2**62, n))),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
@pytest.mark.parametrize(("n", "m"), [(300, 300), (300, 3_000), (3_000, 300)])
def test_names_that_do_not_move_do_not_alarm(rng, law, n, m):
    sides = (pl.DataFrame({f"c{i}": law(rng, rows) for i in range(200)}) for rows in (n, m))
    columns = drift.compare(*sides).columns
    tails = [part.pvalue for column in columns for part in column.parts if part.name == "tail"]
    assert len(tails) == 200
    # At most 5 %, but for three binomial standard errors.
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert np.mean(np.array(tails) <= 0.05) <= allowed
    assert np.mean([column.pvalue <= 0.05 for column in columns]) <= allowed
    assert not any(column.verdict in {"drifted", "stable"} for column in columns)


def test_units_that_have_names_of_their_own_do_not_alarm(rng):
    # Each day has 40 names of its own of 4,000: by rows half of the columns would alarm.
    def side(days):
        own = rng.integers(0, 4_000, (days, 40))
        return own[np.repeat(np.arange(days), 50), rng.integers(0, 40, days * 50)]

    days = np.repeat(np.arange(40), 50)
    sides = [{"day": days, **{f"c{i}": words(side(40)) for i in range(60)}} for _ in range(2)]
    tails = [
        part.pvalue
        for column in drift.compare(*sides, unit="day").columns
        for part in column.parts
        if part.name == "tail"
    ]
    assert len(tails) == 60
    assert np.mean(np.array(tails) <= 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 60)


@pytest.mark.parametrize("units", [(2, 40), (40, 1)])
def test_few_units_have_no_halves(rng, units):
    sides = [{"s": words(rng.integers(0, 300, 2_000)), "u": np.arange(2_000) % k} for k in units]
    assert [part.name for part in drift.compare(*sides, unit="u")["s"].parts] == ["values"]


# Chi-square and G on raw ids


@pytest.mark.parametrize("test", [drift.chi_square, drift.g_test])
@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
def test_contingency_of_ids_keeps_its_level(rng, test, law):
    found = np.array([test(law(rng, 1_000), law(rng, 1_000)).pvalue for _ in range(100)])
    assert np.mean(found <= 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 100)


@pytest.mark.parametrize("test", [drift.chi_square, drift.g_test])
def test_contingency_of_ids_is_that_of_the_classes_kept(test):
    reference = ["a"] * 300 + ["b"] * 200 + [f"r{i}" for i in range(100)]
    current = ["a"] * 200 + ["b"] * 250 + [f"c{i}" for i in range(150)]
    found = test(reference, current)
    assert found.binned.categories == ("a", "b", "other")
    assert (found.binned.reference, found.binned.current) == ((300, 200, 100), (200, 250, 150))
    power = 1 if test is drift.chi_square else 0
    expected = stats.chi2_contingency([[300, 200, 100], [200, 250, 150]], correction=False, lambda_=power)
    assert (found.statistic, found.degrees_of_freedom) == (pytest.approx(expected.statistic, rel=1e-12), 2)
    assert found.pvalue == pytest.approx(expected.pvalue, rel=1e-9)


def test_shapes_show_what_the_current_sample_has_often(rng):
    reference, current = moved(rng)
    shape = by_rows(reference, current).shape
    at = shape.names.index("n199")
    assert shape.current_counts[at] == (current == "n199").sum()
    assert shape.reference_counts[at] == (reference == "n199").sum()
    assert (sum(shape.reference_counts), sum(shape.current_counts)) == (5_000, 5_000)
    assert "n199" in drift.compare({"s": reference}, {"s": current}).to_html()


# The unseen share


def test_the_unseen_shares_bounds_are_wilsons():
    # A reference without a name seen once or twice, and 20 of 100 rows unseen; 5 % is the threshold.
    found = CategoryCounts(Parts(10_000), Parts(100), [10_000, 0], [80, 20], 20, 0, 0, (), [])
    part = column_tests.compare_unseen(found, design_effect.independent(10_000, 100), 0.05)
    low, high = stats.binomtest(20, 100).proportion_ci(0.95, "wilson")
    # Its own error adds a thousandth.
    assert part.effect.lower == pytest.approx(low, abs=2e-3)
    assert part.effect.upper == pytest.approx(high, abs=2e-3)


def test_an_unseen_share_at_its_threshold_seldom_counts_as_drift(rng):
    # 10,000 reference rows and 100 current ones, of which 5 % are new: their own error is what counts.
    sides = [
        {f"c{i}": words(np.where(rng.random(rows) < new, 99, rng.integers(0, 8, rows))) for i in range(300)}
        for rows, new in ((10_000, 0.0), (100, 0.05))
    ]
    verdicts = [column.verdict for column in drift.compare(*sides, correction="none").columns]
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)
    assert verdicts.count("drifted") / 300 <= allowed
    assert verdicts.count("stable") / 300 <= allowed
