"""Relations that hold whatever the data: every statistic against changes that must not matter, or matter in a known way."""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewheel import drift

STATISTICS = {
    "ks": drift.ks,
    "psi": drift.psi,
    "wasserstein": drift.wasserstein,
    "energy": drift.energy_distance,
    "cramer-von mises": lambda r, c, **_: drift.cramer_von_mises(r, c, method="asymptotic"),
    "anderson-darling": drift.anderson_darling,
    "kl": drift.kl_divergence,
    "jensen-shannon": drift.jensen_shannon,
    "hellinger": drift.hellinger,
    "total variation": drift.total_variation,
    "chi-square": drift.chi_square,
    "g": drift.g_test,
    "l-infinity": drift.l_infinity,
}
#: They take no `threads`.
ONE_THREAD = {"energy", "cramer-von mises", "anderson-darling"}
#: Bins lie at the quantiles of the reference, so these change with the samples' roles; Kullback-Leibler by itself too.
BINNED = {"psi", "kl", "jensen-shannon", "hellinger", "total variation", "chi-square", "g", "l-infinity"}
#: Free of the values' scale: only their order matters.
BY_ORDER = BINNED | {"ks", "cramer-von mises", "anderson-darling"}
#: Distances between the empirical laws: duplicating all rows changes nothing. The others depend on the number of rows.
OF_LAWS = {"ks", "wasserstein", "energy", "jensen-shannon", "hellinger", "total variation", "l-infinity"}
#: Tests whose statistic is not 0 when a sample meets itself.
NOT_ZERO = {"cramer-von mises", "anderson-darling"}

every = pytest.mark.parametrize("name", STATISTICS)
seeds = st.integers(0, 2**32)


def draw(seed, *, large=False):
    """Two samples without ties, or with many, of a few dozen rows or enough for cells."""
    rng = np.random.default_rng(seed)
    n, m = rng.integers(20_000, 30_000, 2) if large else rng.integers(20, 90, 2)
    reference, current = rng.normal(size=n), rng.normal(rng.choice([0.0, 0.5]), 1.2, m)
    return (reference, current) if rng.random() < 0.6 else (reference.round(1), current.round(1))


def rows(result):
    """The rows used of both samples."""
    binned = getattr(result, "binned", None)
    return (sum(binned.reference), sum(binned.current)) if binned else (result.n, result.m)


def numbers(result):
    """Everything in a result that the data decide."""
    return result.statistic, getattr(result, "pvalue", None), rows(result)


def is_close(one, other, *, rel=1e-10):
    return one == pytest.approx(other, rel=rel, abs=1e-13)


@every
@pytest.mark.parametrize("large", [False, True])
@settings(max_examples=6, deadline=None)
@given(seed=seeds)
def test_permutation(name, large, seed):
    reference, current = draw(seed, large=large)
    rng = np.random.default_rng(seed)
    one = STATISTICS[name](reference, current)
    other = STATISTICS[name](rng.permutation(reference), rng.permutation(current))
    assert numbers(one) == numbers(other)


@every
@settings(max_examples=10, deadline=None)
@given(seed=seeds, times=st.integers(2, 5))
def test_duplication(name, seed, times):
    reference, current = draw(seed)
    one = STATISTICS[name](reference, current)
    other = STATISTICS[name](np.tile(reference, times), np.tile(current, times))
    assert rows(other) == tuple(times * count for count in rows(one))
    if name in OF_LAWS - BINNED:
        assert is_close(other.statistic, one.statistic)


@pytest.mark.parametrize("name", sorted(BINNED))
@given(
    pairs=st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=2, max_size=12),
    times=st.integers(2, 9),
)
def test_duplication_of_counts(name, pairs, times):
    # Bins of a reference with each row k times need not be the same bins; with given edges they are.
    reference, current = (np.repeat(range(len(pairs)), side) for side in zip(*pairs, strict=True))
    edges = np.arange(len(pairs) + 1)
    options = {"smoothing": "none"} if name in {"psi", "kl"} else {}
    one = STATISTICS[name](reference, current, bins=edges, **options).statistic
    other = STATISTICS[name](
        np.tile(reference, times), np.tile(current, times), bins=edges, **options
    ).statistic
    assert is_close(other, one * (times if name in {"chi-square", "g"} else 1))


@every
@pytest.mark.parametrize("large", [False, True])
@settings(max_examples=6, deadline=None)
@given(seed=seeds)
def test_strictly_monotone_maps(name, large, seed):
    reference, current = draw(seed, large=large)
    one = STATISTICS[name](reference, current)
    for change in (lambda x: 4 * x - 3, np.exp, np.arctan):
        other = STATISTICS[name](change(reference), change(current))
        if name in BY_ORDER and len({*reference, *current}) == len(
            {*change(reference).tolist(), *change(current).tolist()}
        ):
            assert numbers(other) == numbers(one)
    scaled = STATISTICS[name](4 * reference, 4 * current).statistic
    factor = {"wasserstein": 4.0, "energy": 2.0}.get(name, 1.0)
    assert is_close(scaled, factor * one.statistic)


@every
@pytest.mark.parametrize("large", [False, True])
@settings(max_examples=6, deadline=None)
@given(seed=seeds)
def test_swapping(name, large, seed):
    reference, current = draw(seed, large=large)
    edges = np.linspace(-2, 2, 9)
    options = {"bins": edges} if name in BINNED else {}
    forth, back = (
        STATISTICS[name](*pair, **options) for pair in ((reference, current), (current, reference))
    )
    assert rows(forth) == rows(back)[::-1]
    if name == "kl":
        assert back.statistic > 0
        return
    assert is_close(back.statistic, forth.statistic)
    if getattr(forth, "pvalue", None) is not None and name != "psi":
        assert is_close(back.pvalue, forth.pvalue)


@every
@pytest.mark.parametrize("large", [False, True])
@settings(max_examples=6, deadline=None)
@given(seed=seeds)
def test_self_comparison(name, large, seed):
    reference, _ = draw(seed, large=large)
    result = STATISTICS[name](reference, reference[::-1])
    if name in NOT_ZERO:
        assert result.pvalue > 0.2 or len(np.unique(reference)) < len(reference)
    else:
        assert result.statistic == 0
        assert getattr(result, "pvalue", 1.0) == 1.0


@every
@settings(max_examples=6, deadline=None)
@given(seed=seeds, cuts=st.lists(st.integers(0, 20_000), max_size=6))
def test_chunking(name, seed, cuts):
    reference, current = draw(seed, large=True)
    chunks = pa.chunked_array([pa.array(part) for part in np.split(current, sorted(cuts))])
    assert numbers(STATISTICS[name](reference, chunks)) == numbers(STATISTICS[name](reference, current))


@settings(max_examples=25, deadline=None)
@given(seed=seeds, cuts=st.lists(st.integers(0, 20_000), max_size=6), order=st.randoms(use_true_random=False))
def test_concatenation_is_merging(seed, cuts, order):
    reference, current = draw(seed, large=True)
    profile = drift.Profile.fit({"x": reference})
    whole = profile.window()
    whole.update({"x": current})
    windows = []
    for part in np.split(current, sorted(cuts)):
        windows.append(profile.window())
        windows[-1].update({"x": part})
    order.shuffle(windows)
    merged = profile.window()
    for window in windows:
        merged.merge(window)
    assert merged.to_bytes() == whole.to_bytes()
    assert profile.compare(merged).to_json() == profile.compare(whole).to_json()


@pytest.fixture(scope="module")
def many_rows():
    rng = np.random.default_rng(8)
    return rng.normal(size=600_001), np.exp(rng.normal(0.003, 1.01, 550_000))


@pytest.mark.parametrize("name", [name for name in STATISTICS if name not in ONE_THREAD])
def test_threads(many_rows, name):
    one = numbers(STATISTICS[name](*many_rows, threads=1))
    for threads in (2, 3, 8):
        assert numbers(STATISTICS[name](*many_rows, threads=threads)) == one


TIERS = """
import numpy as np
from tidewheel import drift
rng = np.random.default_rng(3)
for dtype in ("f8", "f4", "i8", "u1"):
    for size in (1, 7, 63, 64, 65, 2047, 2049, 40_000):
        a, b = ((100 * np.abs(rng.normal(0, 1 + i / 9, size + i))).clip(0, 255).astype(dtype) for i in (0, 1))
        k, p, w = drift.ks(a, b), drift.psi(a, b, smoothing="none" if size > 2000 else "laplace"), drift.wasserstein(a, b)
        print(k.statistic, k.location, p.statistic, p.current_counts, w.statistic, drift.histogram(a, 33)[0].tolist())
        print(drift.kl_divergence(a, b).statistic, drift.psi(a, b, bins=40).current_counts)
        # Far from 0 and close together, so that the last bits of where values lie in their cells show.
        print(drift.wasserstein(a + 1e4, a + 10_000.1).statistic)
"""


def test_vector_tiers():
    """Bodies, tails and tables of every tier give the same bits: AVX-512 where there is one, AVX2, portable."""
    found = set()
    for tier in ("portable", "avx2", ""):
        done = subprocess.run(
            [sys.executable, "-c", TIERS],
            env={**os.environ, "TIDEWHEEL_SIMD": tier} if tier else dict(os.environ),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1
