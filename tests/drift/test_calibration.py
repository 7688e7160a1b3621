"""A slice of `benches/calibration.py`: undrifted samples by fixed seeds, and how often they are taken for drift.

A rate may exceed its nominal 5 % by three binomial standard errors; the seeds are fixed, so no test fails by chance.
"""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from tidewheel import _native, drift
from tidewheel.drift.statistics import psi_law, vocabulary
from tidewheel.drift.table import column_tests, design_effect

ZIPF = np.cumsum(np.arange(1, 100_001) ** -1.2)
RARE = np.cumsum([0.5, 0.3, 0.15, 0.04, 0.008, 0.002])


def check_rate(pvalues, level=0.05):
    rate = np.mean(np.asarray(pvalues) <= level)
    assert rate <= level + 3 * math.sqrt(level * (1 - level) / len(pvalues))
    return rate


def codes(cumulated, rng, n):
    return pl.Series(np.searchsorted(cumulated, rng.random(n) * cumulated[-1])).cast(pl.String)


def zipf(rng, n):
    return codes(ZIPF, rng, n)


def even_ids(rng, n):
    return pl.Series(rng.integers(0, 1_000, n)).cast(pl.String)


def rare_names(rng, n):
    return codes(RARE, rng, n)


def compare(rng, law, n, m, columns=300):
    sides = (pl.DataFrame({f"c{i}": law(rng, rows) for i in range(columns)}) for rows in (n, m))
    return drift.compare(*sides).columns


# Columns


@pytest.mark.parametrize("law", [zipf, even_ids, rare_names])
@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 5_000), (500, 500), (500, 5_000), (5_000, 500)])
def test_strings_that_did_not_drift(rng, law, n, m):
    columns = compare(rng, law, n, m, 300 if n * m != 25_000 else 100)
    check_rate([column.pvalue for column in columns])
    for name in ("values", "unseen"):
        check_rate([next((one.pvalue for one in c.parts if one.name == name), 1.0) for c in columns])
    assert not any(column.verdict == "drifted" for column in columns)


def test_ids_that_drift_are_still_found(rng):
    # Half of a thousand even ids vanish: none of the names is clear of chance before, those with too many rows are now.
    reference = {"id": even_ids(rng, 50_000)}
    current = {"id": pl.Series(rng.integers(0, 500, 50_000)).cast(pl.String)}
    assert drift.compare(reference, current)["id"].pvalue < 1e-6


def test_a_rare_name_that_grows_is_found_in_few_rows(rng):
    # Of 5,000 reference rows 1 % have the rare name, of 50 current ones 20 %: too few are expected for chi-square.
    reference = pl.Series(["a"] * 4_900 + ["b"] * 50 + ["c"] * 50)
    current = pl.Series(["a"] * 35 + ["b"] * 10 + ["c"] * 5)
    values = drift.compare({"s": reference}, {"s": current})["s"].parts[0]
    assert (values.test, values.pvalue < 0.001) == ("chi-square, permuted", True)


@pytest.mark.parametrize("share", [0.1, 0.35, 0.5])
def test_two_names_never_pass_their_level(share):
    # The size exactly, over all tables of 50 and 50 rows. The chi-square law has up to 6.5 % here.
    rejects = np.array(
        [
            [
                column_tests.compare_categories(
                    [a, 50 - a, 0], [b, 50 - b, 0], design_effect.independent(50, 50), 0.05
                ).pvalue
                <= 0.05
                for b in range(51)
            ]
            for a in range(51)
        ]
    )
    law = stats.binom.pmf(np.arange(51), 50, share)
    assert (law[:, None] * law * rejects).sum() <= 0.05


def test_kolmogorov_smirnov_has_its_attainable_size(rng):
    # Untied samples of 50 rows: D moves in steps of 1/50, and the test can reject 3.9 % at most.
    attainable = _native.ks_pvalue(0.28, 50, 50, "two-sided", "exact")[0]
    assert attainable < 0.05 < _native.ks_pvalue(0.26, 50, 50, "two-sided", "exact")[0]
    report = drift.compare(rng.normal(size=(50, 4_000)), rng.normal(size=(50, 4_000)))
    rate = check_rate([column.pvalue for column in report.columns])
    assert rate == pytest.approx(attainable, abs=3 * math.sqrt(attainable / 4_000))


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.5])
@pytest.mark.parametrize(("n", "m"), [(50, 50), (30, 200)])
def test_shares_never_pass_their_level(n, m, share):
    # The size exactly, over all tables. The test of two proportions has up to 6.5 % here.
    design = design_effect.independent(n, m)
    tables = np.array(
        [
            [column_tests.compare_share("x", (a, b), (n, m), design, 0.05).pvalue for b in range(m + 1)]
            for a in range(n + 1)
        ]
    )
    one, other = (stats.binom.pmf(np.arange(rows + 1), rows, share) for rows in (n, m))
    assert (one[:, None] * other * (tables <= 0.05)).sum() <= 0.05


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_false_discoveries(rng, correlation):
    # 20 of 200 columns moved; the mean share of the others among those found is at most 5 %, within three errors.
    shares = []
    for _ in range(40):
        common = [rng.normal(size=(400, 1)) * math.sqrt(correlation) for _ in range(2)]
        sides = [one + rng.normal(size=(400, 200)) * math.sqrt(1 - correlation) for one in common]
        sides[1][:, :20] += 0.5
        found = np.array([column.pvalue_corrected <= 0.05 for column in drift.compare(*sides).columns])
        assert found[:20].mean() > 0.9
        shares.append(found[20:].sum() / max(1, found.sum()))
    assert np.mean(shares) <= 0.05 + 3 * np.std(shares) / math.sqrt(len(shares))


# Thresholds


def two_values(rng, n, moved):
    return (rng.random(n) < 0.5 + 0.1 * moved).astype(float)


def plateau(rng, n, moved):
    u = rng.random(n)
    return np.where(u < 0.1 * moved, u, 1 + u)


def shifted(rng, n, moved):
    return rng.normal(2 * stats.norm.ppf(0.55) * moved, 1, n)


def ten_names(rng, n, moved):
    return codes(np.cumsum(0.1 + 0.02 * moved * np.repeat([1, -1], 5)), rng, n)


def gaps(rng, n, moved):
    return pl.Series(rng.normal(size=n)).set(pl.Series(rng.random(n) < 0.1 + 0.05 * moved), None)


@pytest.mark.parametrize("law", [two_values, plateau, shifted, ten_names, gaps])
@pytest.mark.parametrize(("n", "m"), [(500, 500), (300, 5_000)])
def test_an_effect_at_its_threshold_seldom_counts_as_drift(rng, law, n, m):
    reference = {f"c{i}": law(rng, n, 0) for i in range(300)}
    current = {f"c{i}": law(rng, m, 1) for i in range(300)}
    columns = drift.compare(reference, current).columns
    check_rate([0.0 if column.verdict == "drifted" else 1.0 for column in columns])
    check_rate([0.0 if column.verdict == "stable" else 1.0 for column in columns])


# Units


def unit_counts(rng, units, rows, shares, rho):
    """Rows per unit and class, a normal mean that moves with the unit deciding which class."""
    means = rng.normal(0, math.sqrt(rho), (units, 1))
    cuts = (stats.norm.ppf(np.cumsum(shares)[:-1]) - means) / math.sqrt(1 - rho)
    below = np.column_stack([np.zeros(units), stats.norm.cdf(cuts), np.ones(units)])
    return np.array([rng.multinomial(rows, np.diff(one)) for one in below])


@pytest.mark.parametrize(
    ("units", "rows", "rho"),
    [((10, 10), 60, 0.05), ((10, 60), 60, 0.05), ((10, 10), 500, 0.002), ((20, 1), 60, 0.05)],
)
def test_units_that_all_differ_in_one_direction(rng, units, rows, rho):
    found = []
    for _ in range(800):
        one, other = (unit_counts(rng, k, rows, np.full(10, 0.1), rho) for k in units)
        design = design_effect.estimate_design(one, other, ordered=False)
        sides = (np.append(side.sum(axis=0), 0) for side in (one, other))
        found.append(column_tests.compare_categories(*sides, design, 0.05).pvalue)
    check_rate(found)


@pytest.mark.parametrize(("units", "rows", "rho"), [((10, 10), 60, 0.05), ((30, 1), 500, 0.002)])
def test_a_share_in_units(rng, units, rows, rho):
    found = []
    for _ in range(800):
        one, other = (unit_counts(rng, k, rows, np.array([0.7, 0.3]), rho) for k in units)
        design = design_effect.estimate_design(one, other, ordered=False)
        hits, sizes = (one[:, 1].sum(), other[:, 1].sum()), (one.sum(), other.sum())
        found.append(column_tests.compare_share("x", hits, sizes, design, 0.05).pvalue)
    assert check_rate(found) > 0.02


def test_one_large_unit_is_not_known_from_small_ones(rng):
    # Ten units of 20 rows say little of one with 2,000: a spread estimated at 0 must not make those independent.
    found = []
    for _ in range(800):
        one, other = (
            unit_counts(rng, 10, 20, np.array([0.5, 0.5]), 0.05),
            unit_counts(rng, 1, 2_000, np.array([0.5, 0.5]), 0.05),
        )
        design = design_effect.estimate_design(one, other, ordered=False)
        hits, sizes = (one[:, 1].sum(), other[:, 1].sum()), (one.sum(), other.sum())
        found.append(column_tests.compare_share("x", hits, sizes, design, 0.05).pvalue)
    check_rate(found)


# The population stability index


@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 5_000)])
def test_index_of_rounded_numbers(rng, n, m):
    found = [
        drift.psi(np.round(rng.normal(size=n), 1), np.round(rng.normal(size=m), 1)).pvalue for _ in range(100)
    ]
    check_rate(found)


def test_ties_take_the_larger_of_both_laws():
    counts = (6, 4) * 5, (500,) * 10
    index = _native.psi(*map(list, counts), "jeffreys", 0.0)
    fixed, laid = (
        psi_law.psi_pvalue(index, *counts, "jeffreys", continuous=False, laid=laid) for laid in (False, True)
    )
    assert laid[0] > fixed[0]
    assert laid[1] > fixed[1]


@pytest.mark.parametrize(("n", "m"), [(500, 500), (50, 2_000)])
def test_index_of_ids(rng, n, m):
    check_rate([drift.psi(zipf(rng, n), zipf(rng, m)).pvalue for _ in range(100)])


def test_many_bins_are_simulated_however_many_rows_there_are(rng):
    # 5,000 rows in 100 bins: the first-order law rejects 4.3 % where the law itself rejects 5.0 %.
    counts = (50,) * 100
    _, critical = psi_law.psi_pvalue(0.0, counts, counts, "jeffreys", continuous=False)
    assert critical < 2 / 5_000 * stats.chi2.isf(0.05, 99) * 0.995


def test_totals_beyond_what_numpy_draws_from():
    counts = (1_500_000_000, 500_000_000)
    pvalue, critical = psi_law.psi_pvalue(0.0, counts, (30, 10), "jeffreys", continuous=False)
    assert pvalue == 1.0
    assert critical == pytest.approx(3.84 / 40, rel=0.3)


# Names that are there by chance


def test_names_by_chance_join_the_others():
    # 400 and 400 rows; 100 + 80 rows of "a" make 90 expected, 3 sd (of 6.7) above the rarest named string's 60; so does no
    # other name: "b" has 65 expected.
    reference, current = np.array([100.0, 70.0, 60.0, 170.0]), np.array([80.0, 60.0, 50.0, 210.0])
    r, c = vocabulary.gather_chance(reference, current, (400.0, 400.0))
    assert r.tolist() == [100, 300]
    assert c.tolist() == [80, 320]


def test_a_closed_vocabulary_keeps_all_names_with_rows_enough():
    reference, current = np.array([60.0, 30.0, 8.0, 2.0, 0.0]), np.array([50.0, 40.0, 7.0, 2.0, 1.0])
    r, c = vocabulary.gather_chance(reference, current, (100.0, 100.0))
    assert (r.tolist(), c.tolist()) == ([60, 30, 8, 2], [50, 40, 7, 3])
    r, c = vocabulary.gather_chance(reference[:3] * 10, current[:3] * 10, (980.0, 970.0))
    assert len(r) == 3
    whole = vocabulary.gather_chance(np.array([60.0, 40.0, 0.0]), np.array([50.0, 50.0, 0.0]), (100.0, 100.0))
    assert [side.tolist() for side in whole] == [[60, 40], [50, 50]]
