"""`drift.ties`: the law of the distance given the ties, and when it is used."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from tidewheel import drift
from tidewheel.drift.reading import inputs
from tidewheel.drift.statistics import ties


def enumerate_pvalue(reference, current):
    """P(D >= d) over all ways to draw the reference's rows, one by one."""
    pool = np.repeat(np.arange(len(reference)), np.add(reference, current))
    n, m = sum(reference), sum(current)

    def distance(rows):
        drawn = np.bincount(pool[list(rows)], minlength=len(reference))
        rest = np.bincount(pool, minlength=len(reference)) - drawn
        return np.abs(drawn.cumsum() * m - rest.cumsum() * n).max()

    observed = np.abs(np.cumsum(reference) * m - np.cumsum(current) * n).max()
    return np.mean([distance(rows) >= observed for rows in itertools.combinations(range(n + m), n)])


CASES = [
    ([3, 1], [1, 3]),
    ([2, 2, 1], [0, 2, 3]),
    ([1, 1, 1, 1, 1], [0, 2, 1, 0, 2]),
    ([4, 0, 1], [1, 2, 2]),
    ([0, 0, 3, 1], [1, 5, 0, 0]),
    ([1, 0, 2], [3, 0, 5]),
]


@pytest.mark.parametrize(("reference", "current"), CASES)
def test_the_law_is_that_of_all_draws(reference, current):
    assert ties.tied_pvalue(reference, current) == pytest.approx(
        enumerate_pvalue(reference, current), rel=1e-12
    )


def test_two_values_are_fishers_test_of_equal_sizes():
    # Equal sizes make the two-sided tails alike.
    assert ties.tied_pvalue([30, 20], [20, 30]) == pytest.approx(
        stats.fisher_exact([[30, 20], [20, 30]])[1], rel=1e-9
    )


def test_untied_values_have_the_exact_law():
    reference, current = [1, 1, 1, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0, 1, 1, 1]
    values = np.arange(8)
    expected = stats.ks_2samp(np.repeat(values, reference), np.repeat(values, current), method="exact").pvalue
    assert ties.tied_pvalue(reference, current) == pytest.approx(expected, rel=1e-12)


def test_transforms_convolve_as_sums_do(rng):
    one, other = rng.random(700), rng.random(900)
    assert ties._convolve(one, other) == pytest.approx(np.convolve(one, other), rel=1e-12)


def test_large_samples_agree_with_permutations(rng):
    reference, current = (np.bincount(rng.geometric(0.3, n), minlength=60) for n in (200_000, 300_000))
    drawn = rng.multivariate_hypergeometric(reference + current, 200_000, size=4_000, method="marginals")

    def distance(rows):
        return np.abs(
            rows.cumsum(axis=-1) / 200_000 - (reference + current - rows).cumsum(axis=-1) / 300_000
        ).max(-1)

    expected = np.mean(distance(drawn) >= distance(reference) - 1e-12)
    assert ties.tied_pvalue(reference, current) == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 4_000))


@pytest.mark.parametrize(
    ("reference", "current"),
    [([], []), ([0, 0], [1, 2]), ([5], [3]), ([2, 4], [1, 2])],
    ids=["nothing", "one side", "one value", "same shares"],
)
def test_no_distance_is_no_evidence(reference, current):
    assert ties.tied_pvalue(reference, current) == 1.0


TABLES = {
    "yes and no": lambda rng, n: (rng.random(n) < 0.3).astype(float),
    "geometric": lambda rng, n: rng.geometric(0.3, n),
    "decimals": lambda rng, n: np.round(rng.normal(size=n), 1),
}


@pytest.mark.parametrize("law", TABLES.values(), ids=TABLES.keys())
def test_tied_columns_keep_their_level_and_use_it(rng, law):
    # 600 undrifted pairs of 500 rows: at most 5 % in truth, and more than the continuous law's 0.4 to 2 %.
    sides = ({f"c{i}": law(rng, 500) for i in range(600)} for _ in range(2))
    report = drift.compare(*sides)
    assert all(column.parts[0].test == "Kolmogorov-Smirnov, given ties" for column in report.columns)
    rate = np.mean([column.pvalue <= 0.05 for column in report.columns])
    assert 0.025 < rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 600)


def test_distinct_values_of_either_side_are_counted_apart():
    r, c = (
        inputs.read_array(name, np.array(values))
        for name, values in (("r", [0.0, 1.0, 1.0, -np.inf] * 9), ("c", [1.0, 0.5, 2.0, np.inf] * 9))
    )
    reference, current = ties.count_values(r, c)
    used = reference + current > 0
    assert reference[used].tolist() == [9, 9, 0, 18, 0, 0]
    assert current[used].tolist() == [0, 0, 9, 9, 9, 9]


def test_a_profile_knows_the_ties_of_values_with_a_block_of_their_own(rng):
    one, other = rng.geometric(0.3, 500), rng.geometric(0.3, 400)
    reference = {"x": np.concatenate([one, other])}
    profile, rows = drift.Profile.fit(reference), drift.compare(reference, {"x": other})["x"]
    assert profile.compare({"x": other})["x"].parts == rows.parts
    assert rows.parts[0].test == "Kolmogorov-Smirnov, given ties"
    # Two values that the reference never has lie in one block: nothing is known of their ties.
    new = profile.compare({"x": np.append(other, [0.25, 0.75])})["x"]
    assert new.parts[0].test == "Kolmogorov-Smirnov"


def test_continuous_columns_are_left_alone(rng):
    report = drift.compare({"x": rng.normal(size=1_000)}, {"x": rng.normal(size=1_000)})
    assert report["x"].parts[0].test == "Kolmogorov-Smirnov"


def test_a_column_of_many_values_and_a_heavy_one_is_left_alone(rng):
    column = inputs.read_array("x", np.where(rng.random(10_000) < 0.5, 0.0, rng.normal(size=10_000)))
    assert ties.count_values(column, column) is None


def test_large_drift_keeps_its_small_p(rng):
    report = drift.compare({"x": rng.integers(0, 9, 5_000)}, {"x": rng.integers(2, 11, 5_000)})
    assert report["x"].pvalue < 1e-100
