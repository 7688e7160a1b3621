"""Where other drift tools give wrong numbers (docs/pitfalls.md names them), and ours."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from tidewheel import drift


def at_most(rejected, trials, level=0.05):
    """Say whether so many rejections are compatible with a true rate of at most `level`, at 1 in 10,000."""
    return stats.binom.sf(rejected - 1, trials, level) > 1e-4


def test_psi_is_not_moved_by_one_value_of_ten_thousand(rng):
    # Evidently 0.7.23 lays equal-width bins on the pooled data: PSI falls from 1.01 to 0.022.
    reference, current = rng.normal(size=20_000), rng.normal(1, 1, 20_000)
    before = drift.psi(reference, current).statistic
    current[0] = 1e4
    after = drift.psi(reference, current)
    assert before == pytest.approx(1.0, rel=0.1)
    assert after.statistic == pytest.approx(before, rel=1e-3)
    assert after.pvalue < 1e-6


def test_chi_square_does_not_take_the_reference_as_exact():
    # Evidently: 19 false alarms in 60 at nominal 5 %.
    rng = np.random.default_rng(1)
    pvalues = []
    for _ in range(400):
        reference, current = (rng.choice(list("abcdefgh"), 1_000).tolist() for _ in range(2))
        pvalues.append(drift.compare({"c": reference}, {"c": current})["c"].pvalue)
    assert at_most(sum(p <= 0.05 for p in pvalues), 400)
    assert sum(p <= 0.05 for p in pvalues) > 0


def test_one_unseen_category_is_no_proof():
    # Evidently: p = 0 as soon as a single row has a category that the reference lacks.
    reference, current = ["a"] * 500 + ["b"] * 500, ["a"] * 500 + ["b"] * 499 + ["new"]
    column = drift.compare({"c": reference}, {"c": current})["c"]
    assert column.pvalue > 0.05
    assert column.verdict != "drifted"
    assert drift.chi_square(reference, current).pvalue > 0.05


def test_a_constant_column_has_numbers():
    # Evidently: NaN.
    column = drift.compare({"x": [3.0] * 2_000}, {"x": [3.0] * 2_000})["x"]
    assert (column.verdict, column.pvalue) == ("stable", 1.0)
    assert all(math.isfinite(value) for value in column.statistics.values())
    result = drift.psi([3.0] * 50, [3.0] * 40)
    assert (result.statistic, result.pvalue) == (0.0, 1.0)


def test_g_takes_samples_of_two_sizes():
    # Evidently's raises.
    result = drift.g_test(["a", "b"] * 40, ["a", "b", "b"] * 50)
    expected = stats.chi2_contingency([[40, 40], [50, 100]], correction=False, lambda_="log-likelihood")
    assert result.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert result.pvalue == pytest.approx(expected.pvalue, rel=1e-10)


def test_an_empty_column_does_not_end_the_report(rng):
    # Evidently's report dies of it.
    reference = pl.DataFrame({"empty": pl.Series([None] * 500, dtype=pl.Float64), "x": rng.normal(size=500)})
    report = drift.compare(reference, reference)
    assert report["empty"].verdict == "not computed"
    assert "current has no value, all 500 rows are missing" in report["empty"].reason
    assert report["x"].pvalue == 1.0


@pytest.mark.parametrize("rows", [9_999, 20_000])
def test_ks_is_not_moved_by_one_value_of_a_million(rows):
    # NannyML 0.13.1 bins more than 10,000 rows evenly: D falls from 0.378 to 0.00005.
    rng = np.random.default_rng(4)
    reference, current = rng.normal(size=rows), rng.normal(1, 1, rows)
    before = drift.ks(reference, current)
    reference[0] = 1e6
    after = drift.ks(reference, current)
    assert before.statistic == pytest.approx(0.383, abs=0.02)
    assert abs(after.statistic - before.statistic) <= 1 / rows + 1e-12
    assert after.pvalue < 1e-100


def test_thresholds_are_not_those_of_samples_compared_with_themselves():
    # NannyML's come from chunks of the reference compared with a reference that holds them. Here the 5 % value is
    # exceeded by 5 % of fresh undrifted samples, and by fewer of the reference's own chunks.
    rng = np.random.default_rng(2)
    fresh, own = 0, 0
    for _ in range(300):
        reference = rng.normal(size=1_000)
        fitted = drift.fit_bins(reference)
        beside, inside = drift.psi(fitted, rng.normal(size=500)), drift.psi(fitted, reference[:500])
        fresh += beside.statistic > beside.critical_value
        own += inside.statistic > inside.critical_value
    assert at_most(fresh, 300)
    assert fresh > 3
    assert own < fresh / 2


def test_pvalues_are_the_same_in_every_run():
    # whylogs 1.6: p of two profiles of the same 561,000 rows goes from 2.7e-7 to 0.74 over ten runs.
    rng = np.random.default_rng(5)
    reference, current = rng.normal(size=561_000), rng.normal(0.004, 1, 561_000)
    first = drift.ks(reference, current)
    for threads in (1, 2):
        again = drift.ks(rng.permutation(reference), rng.permutation(current), threads=threads)
        assert (again.statistic, again.pvalue) == (first.statistic, first.pvalue)
    profile = drift.Profile.fit({"x": reference})
    counted = [profile.compare({"x": rng.permutation(current)})["x"] for _ in range(2)]
    assert counted[0] == counted[1]
    assert counted[0].statistics["ks_lower"] <= first.statistic <= counted[0].statistics["ks_upper"]


@pytest.mark.parametrize(
    "rows", [pytest.param(800, id="simulated law"), pytest.param(6_000, id="first-order law")]
)
def test_psi_takes_both_samples_as_samples(rows):
    # scouter 0.25 has the threshold of one sample: 49 % false alarms when both are of one size.
    rng = np.random.default_rng(6)
    results = [drift.psi(rng.normal(size=rows), rng.normal(size=rows)) for _ in range(300)]
    alarms = sum(result.statistic > result.critical_value for result in results)
    assert at_most(alarms, 300)
    assert alarms > 3
    one_sample = stats.chi2.ppf(0.95, 9) / rows
    assert sum(result.statistic > one_sample for result in results) > 100


def test_unseen_categories_add_to_psi():
    # In scouter they add nothing.
    reference, current = ["a"] * 500 + ["b"] * 500, ["a"] * 450 + ["b"] * 450 + ["new"] * 100
    result = drift.psi(reference, current)
    assert result.unseen == 100
    assert result.statistic > 0.2
    assert result.pvalue < 0.001


def test_an_empty_bin_adds_a_little():
    # One empty bin of 10 %: frouros 0.9 adds 70, scouter 2.07, Evidently 0.69, deepchecks 0.21.
    reference = [100] * 10
    current = [0, 200, *[100] * 8]
    full = [100, 100, *[100] * 8]
    added = drift.psi(
        np.repeat(range(10), reference), np.repeat(range(10), current), bins=range(11)
    ).statistic
    assert (
        drift.psi(np.repeat(range(10), reference), np.repeat(range(10), full), bins=range(11)).statistic == 0
    )
    # (c + 1/2) / (n + B/2): shares of 100.5 and 0.5 in 1,005, and 100.5 and 200.5.
    expected = 100 / 1_005 * math.log(201) + 100 / 1_005 * math.log(200.5 / 100.5)
    assert added == pytest.approx(expected, rel=1e-12)
    assert 0.5 < added < 0.7


def test_psi_is_of_shares():
    # popmon 1.4 feeds it counts, so that it grows with the rows.
    once = drift.psi([1.0, 2.0, 3.0, 4.0] * 10, [1.0, 3.0, 3.5, 4.0] * 10, bins=2, smoothing="none")
    often = drift.psi([1.0, 2.0, 3.0, 4.0] * 70, [1.0, 3.0, 3.5, 4.0] * 70, bins=2, smoothing="none")
    assert once.statistic == pytest.approx(often.statistic, rel=1e-12)


def test_ks_takes_more_than_ten_thousand_rows(rng):
    # Azure's component raises there.
    for rows in (10_000, 10_001, 30_000):
        reference, current = rng.normal(size=rows), rng.normal(size=rows)
        expected = stats.ks_2samp(reference, current)
        found = drift.ks(reference, current)
        assert found.statistic == pytest.approx(expected.statistic, abs=1e-15)
        assert found.pvalue == pytest.approx(expected.pvalue, rel=1e-9)


def test_limits_depend_on_the_sizes():
    # At n = m = 100 four undrifted columns of five exceed a fixed 0.1; at 10,000 drift is seen far below it.
    rng = np.random.default_rng(7)
    results = [drift.psi(rng.normal(size=100), rng.normal(size=100)) for _ in range(300)]
    assert sum(result.statistic > 0.1 for result in results) > 200
    assert at_most(sum(result.statistic > result.critical_value for result in results), 300)
    assert at_most(sum(result.pvalue <= 0.05 for result in results), 300)
    large = drift.psi(rng.normal(size=10_000), rng.normal(size=10_000))
    assert large.critical_value == pytest.approx(0.0034, abs=0.0001)
    table = {f"c{i}": rng.normal(size=100) for i in range(60)}
    other = {name: rng.normal(size=100) for name in table}
    assert drift.compare(table, other).drifted == ()
