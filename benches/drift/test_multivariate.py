"""Tables as wholes against the usual multivariate tests, in the same run: both must find a changed correlation."""

import time

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import permutation_test_score
from threadpoolctl import threadpool_limits

from tidewheel import drift
from tidewheel.model.domain import tell_apart

PERMUTATIONS = 199


def draw(rows, columns):
    """Draw tables of equal margins, in the second of which the first two columns are correlated."""
    reference, current = np.random.default_rng(5).normal(size=(2, rows, columns))
    current[:, 1] = 0.8 * current[:, 0] + 0.6 * current[:, 1]
    return reference, current


def energy_test(reference, current):
    """Test by the energy distance in NumPy, permuting the matrix of distances."""
    rows = np.concatenate([reference, current])
    squares = (rows * rows).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * rows @ rows.T, 0))
    signs = np.repeat([1 / len(reference), -1 / len(current)], [len(reference), len(current)])
    rng = np.random.default_rng(0)
    labels = np.array([signs, *(rng.permutation(signs) for _ in range(PERMUTATIONS))])
    found = -((labels @ distances) * labels).sum(axis=1)
    return (1 + (found[1:] >= found[0]).sum()) / (1 + PERMUTATIONS)


def time_once(call):
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def report(benchmark, row, rival, rival_s):
    ratio = rival_s / benchmark.stats.stats.min
    benchmark.extra_info.update(row=row, ratio=ratio, rival=rival)
    print(f"\n{row}: {benchmark.stats.stats.min:.2f} s, {rival} {rival_s:.2f} s: {ratio:.1f} times faster")
    return ratio


@pytest.mark.parametrize(("rows", "columns"), [(2_000, 10), (5_000, 10)])
def test_sliced_against_the_energy_distance(benchmark, rows, columns):
    sides = draw(rows, columns)
    rival_s, rival_p = min(time_once(lambda: energy_test(*sides)) for _ in range(2))
    found = drift.sliced(*sides, permutations=PERMUTATIONS)
    assert found.pvalue == 1 / (1 + PERMUTATIONS)
    assert set(list(found.loadings)[:2]) == {"0", "1"}
    assert rival_p <= 0.05
    benchmark.pedantic(drift.sliced, sides, {"permutations": PERMUTATIONS}, rounds=3)
    report(benchmark, f"whole tables, {rows} x {columns}", "energy distance in NumPy", rival_s)


def test_classifier_against_scikit_learn(benchmark):
    """The usual two-sample test by a classifier refits it for each permutation; one split makes that needless."""
    sides = draw(1_000, 10)
    matrix, labels = np.concatenate(sides), np.repeat([0, 1], 1_000)
    model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=15, early_stopping=False)
    # Three permutations of the rival are timed and scaled, on one thread as ours: all of them would take minutes.
    with threadpool_limits(1):
        rival_s, _ = time_once(
            lambda: permutation_test_score(model, matrix, labels, scoring="roc_auc", cv=2, n_permutations=3)
        )
    rival_s *= (PERMUTATIONS + 1) / 4
    assert tell_apart(*sides).pvalue < 1e-6
    benchmark.pedantic(tell_apart, sides, rounds=3)
    report(benchmark, "classifier, 1000 x 10", "scikit-learn permutation_test_score", rival_s)
