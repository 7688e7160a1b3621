import math
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from tidewheel.errors import InputError
from tidewheel.rollout import rates
from tidewheel.rollout.rates import (
    FIRST_LOOK,
    Values,
    difference_bounds,
    look_alpha,
    look_sizes,
    ratio_bounds,
    sample_ratio_pvalue,
    units_needed,
)

unit_values = hnp.arrays(np.float64, st.integers(0, 30), elements=st.floats(0.0, 1.0))


def test_looks_spend_alpha_once() -> None:
    assert sum(look_alpha(look, 0.05) for look in range(100_000)) == pytest.approx(0.05, rel=1e-5)
    assert all(look_alpha(look, 0.05) > 0.0 for look in range(200))


def test_a_mixture_of_bets_starts_with_one_unit_and_cannot_lose_more() -> None:
    for bets, weights in ((rates._LOW_BETS, rates._LOW_WEIGHTS), (rates._HIGH_BETS, rates._HIGH_WEIGHTS)):
        assert sum(weights) == pytest.approx(1.0)
        assert all(0.0 <= bet <= 1.0 for bet in bets)


@given(st.integers(0, 100_000), st.integers(0, 100_000))
def test_looks_do_not_move_as_requests_come(one: int, other: int) -> None:
    few, many = sorted([one, other])
    assert look_sizes(many)[: len(look_sizes(few))] == look_sizes(few)
    assert all(size <= few for size in look_sizes(few))
    assert few < FIRST_LOOK or look_sizes(few)[-1] > few / 1.6


@settings(max_examples=50, deadline=None)
@given(unit_values, unit_values)
def test_difference_bounds_hold_the_sample_swap_and_ignore_order(candidate: Values, baseline: Values) -> None:
    lower, upper = difference_bounds(candidate, baseline, 0.05, 0.05)
    if candidate.size and baseline.size:
        assert lower <= candidate.mean() - baseline.mean() <= upper
    swapped = difference_bounds(baseline, candidate, 0.05, 0.05)
    assert swapped == (-upper, -lower)
    assert difference_bounds(candidate[::-1], np.roll(baseline, 1), 0.05, 0.05) == (lower, upper)
    assert -1.0 <= lower <= upper <= 1.0
    tight = difference_bounds(candidate, baseline, 0.2, 0.2)
    assert lower <= tight[0]
    assert tight[1] <= upper


@pytest.mark.parametrize(
    ("candidate", "baseline"),
    [
        ([0.0] * 100, [0.0] * 100),
        ([0.0] * 95 + [1.0] * 5, [0.0] * 80 + [0.5] * 20),
        ([0.0, 0.0, 0.5, 0.0] * 20, [0.5, 1.0, 0.25, 0.5] * 20),
        ([0.5, 1.0, 0.25, 0.5] * 20, [0.0, 0.0, 0.5, 0.0] * 10),
        ([1.0] * 40, [1.0] * 60),
    ],
    ids=["no failure", "few failures", "better", "worse", "always"],
)
def test_difference_bounds_agree_with_the_definition(candidate: list[float], baseline: list[float]) -> None:
    _, upper = difference_bounds(np.array(candidate), np.array(baseline), 0.05, 0.05)
    assert smallest_evidence(candidate, baseline, upper) >= 20 * (1 - Decimal("1e-9"))
    assert smallest_evidence(candidate, baseline, upper - 0.003) < 20


def smallest_evidence(candidate: list[float], baseline: list[float], rise: float) -> Decimal:
    """Write the e-value out as the docstring has it, on a grid that is no cell of the fast one."""
    bases = [base for base in np.linspace(0.0, 1.0, 301) if base + rise <= 1.0]
    return min(
        evidence([1 - x for x in candidate], 1 - max(base + rise, 0.0), rates._LOW_BETS, rates._LOW_WEIGHTS)
        * evidence(baseline, base, rates._HIGH_BETS, rates._HIGH_WEIGHTS)
        for base in bases
    )


def evidence(
    values: list[float], mean: float, bets: tuple[float, ...], weights: tuple[float, ...]
) -> Decimal:
    total = Decimal(0)
    for bet, weight in zip(bets, weights, strict=True):
        factors = (Decimal(1 - bet + bet * value / max(mean, 1e-12)) for value in values)
        total += Decimal(weight) * math.prod(factors)
    return total


def test_an_empty_arm_may_have_any_mean() -> None:
    empty, never = np.zeros(0), np.zeros(200)
    assert difference_bounds(empty, empty, 0.05, 0.05) == (-1.0, 1.0)
    lower, upper = difference_bounds(empty, never, 0.05, 0.05)
    assert upper == 1.0
    assert -0.05 < lower < 0.0


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan, math.inf])
def test_values_outside_the_unit_interval_are_refused(wrong: float) -> None:
    with pytest.raises(InputError, match=r"`baseline` must lie in \[0, 1\]; got .* at index 1"):
        difference_bounds(np.zeros(2), np.array([0.0, wrong]), 0.05, 0.05)


def test_keys_needed_without_any_failure() -> None:
    def is_cleared(n: int, margin: float) -> bool:
        return difference_bounds(np.zeros(n), np.zeros(n), 0.5, look_alpha(0, 0.05))[1] <= margin

    assert [is_cleared(n, 0.05) for n in (132, 133)] == [False, True]
    assert [is_cleared(n, 0.10) for n in (63, 64)] == [False, True]


@pytest.mark.parametrize(
    ("base", "risen", "correlation"), [(0.02, 0.07, 0.3), (0.0, 0.05, 0.5), (0.2, 0.25, 0.1)], ids=str
)
def test_peeking_at_the_margin_is_wrong_at_most_alpha(base: float, risen: float, correlation: float) -> None:
    """The rise is exactly 0.05: saying that it is below, or above, is wrong. Requests of a key resemble each other."""
    rng = np.random.default_rng(3)
    below = above = naive = 0
    repeats = 100
    for _ in range(repeats):
        stream = canary(rng, base, risen, correlation)
        said = [
            difference_bounds(*arms(stream, n), look_alpha(k, 0.05), look_alpha(k, 0.05)) for k, n in LOOKS
        ]
        below += any(upper <= 0.05 for _, upper in said)
        above += any(lower >= 0.05 for lower, _ in said)
        naive += any(naive_test(stream, n, 0.05) for n in range(100, N_REQUESTS, 40))
    assert below <= 0.05 * repeats
    assert above <= 0.05 * repeats
    assert naive > 0.15 * repeats, "the simulation would not notice a test by request that peeks"


@pytest.mark.parametrize(("base", "risen", "correlation"), [(0.1, 0.1, 0.3), (0.0, 0.3, 0.3)], ids=str)
def test_both_bounds_hold_at_all_looks_together(base: float, risen: float, correlation: float) -> None:
    rng = np.random.default_rng(4)
    missed = 0
    for _ in range(120):
        stream = canary(rng, base, risen, correlation)
        said = [difference_bounds(*arms(stream, n), look_alpha(k, 0.1), look_alpha(k, 0.1)) for k, n in LOOKS]
        missed += not all(lower <= risen - base <= upper for lower, upper in said)
    assert missed <= 0.2 * 120


N_REQUESTS = 850
LOOKS = list(enumerate(look_sizes(N_REQUESTS)))
N_KEYS = 300
Stream = tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.bool_]]


def canary(rng: np.random.Generator, base: float, risen: float, correlation: float) -> Stream:
    """Draw requests of both arms: which arm, which key (some come often), whether it failed."""
    popularity = (1.0 + np.arange(N_KEYS)) ** -0.7
    of_candidate = rng.random(N_REQUESTS) < 0.5
    keys = rng.choice(N_KEYS, N_REQUESTS, p=popularity / popularity.sum())
    chances = np.where(
        of_candidate, key_chances(rng, risen, correlation)[keys], key_chances(rng, base, correlation)[keys]
    )
    return of_candidate, keys, rng.random(N_REQUESTS) < chances


def key_chances(rng: np.random.Generator, mean: float, correlation: float) -> Values:
    weight = (1.0 - correlation) / correlation
    return rng.beta(mean * weight, (1.0 - mean) * weight, N_KEYS) if mean > 0.0 else np.zeros(N_KEYS)


def arms(stream: Stream, n: int) -> tuple[Values, Values]:
    of_candidate, keys, failed = (part[:n] for part in stream)
    requests = [np.bincount(keys[of_candidate == arm], minlength=N_KEYS) for arm in (True, False)]
    failures = [np.bincount(keys[(of_candidate == arm) & failed], minlength=N_KEYS) for arm in (True, False)]
    candidate, baseline = (bad[of > 0] / of[of > 0] for bad, of in zip(failures, requests, strict=True))
    return candidate, baseline


def naive_test(stream: Stream, n: int, rise: float) -> bool:
    """Say "below the margin" by a test that takes requests for independent."""
    of_candidate, _, failed = (part[:n] for part in stream)
    one, other = failed[of_candidate], failed[~of_candidate]
    error = math.sqrt(one.var() / one.size + other.var() / other.size)
    return bool(one.mean() - other.mean() - rise < -1.645 * error)


def test_a_failing_candidate_is_told_early_and_a_sound_one_in_time() -> None:
    def rise(failures: int, n: int) -> tuple[float, float]:
        failed = np.repeat([1.0, 0.0], [failures, n - failures])
        return difference_bounds(failed, np.zeros(n), look_alpha(0, 0.05 / 3), look_alpha(0, 0.05))

    assert rise(15, 15)[0] > 0.05
    assert rise(25, 50)[0] > 0.05
    assert rise(100, 500)[0] > 0.05
    assert rise(5, 500)[1] < 0.05


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(3, 40), elements=st.integers(-50, 50).map(lambda tenth: tenth / 10)),
    st.floats(0.01, 100.0),
    st.floats(-3.0, 3.0),
)
def test_ratio_bounds_follow_scale_and_shift(sums: Values, scale: float, shift: float) -> None:
    sizes = 1.0 + np.arange(sums.size) % 3
    ratio, lower, upper = ratio_bounds(sums, sizes, 0.05)
    assert lower <= ratio <= upper
    moved = ratio_bounds(scale * (sums + shift * sizes), sizes, 0.05)
    for one, other in zip((ratio, lower, upper), moved, strict=True):
        assert scale * (one + shift) == pytest.approx(other, rel=1e-6, abs=1e-6 * scale)


def test_ratio_bounds_end_where_the_bayes_factor_says() -> None:
    rng = np.random.default_rng(0)
    sums, sizes = rng.normal(3.0, 2.0, 20), rng.uniform(5.0, 15.0, 20)
    for bound in ratio_bounds(sums, sizes, 0.05)[1:]:
        units = sums - bound * sizes
        t_squared = 20 * units.mean() ** 2 / units.var(ddof=1)
        shrink = 1 + 20 * rates.EFFECT_SPREAD
        factor = shrink**-0.5 * ((1 + t_squared / 19) / (1 + t_squared / (19 * shrink))) ** 10
        assert factor == pytest.approx(1 / 0.1, rel=1e-9)


def normal(rng: np.random.Generator, shape: tuple[int, int]) -> Values:
    return rng.normal(size=shape)


def mildly_skewed(rng: np.random.Generator, shape: tuple[int, int]) -> Values:
    return rng.gamma(16.0, 1.0, shape) - 16.0


def heavy_tailed(rng: np.random.Generator, shape: tuple[int, int]) -> Values:
    return rng.standard_t(5, shape)


@pytest.mark.parametrize("law", [normal, mildly_skewed, heavy_tailed])
def test_ratio_bounds_hold_at_every_unit_together(law: Callable[..., Values]) -> None:
    """Peek after each unit from the tenth to the ninetieth; the truth is 0, on either side of it alpha may be missed."""
    n = np.arange(1, 91)
    draws = law(np.random.default_rng(1), (4000, 90))
    mean = draws.cumsum(axis=1) / n
    variance = ((draws**2).cumsum(axis=1) - n * mean**2) / np.maximum(n - 1, 1)
    limit = np.array([rates._t_squared_limit(int(size), 0.05) for size in n])
    mean, variance, limit, n = mean[:, 9:], variance[:, 9:], limit[9:], n[9:]
    missed = n * mean**2 > limit * variance
    for side in (mean > 0, mean < 0):
        assert (missed & side).any(axis=1).mean() <= 0.05
    fixed = np.sqrt(n) * mean > 1.70 * np.sqrt(variance)
    assert fixed.any(axis=1).mean() > 0.10, "the simulation would not notice a fixed-sample bound that peeks"


def test_ratio_bounds_before_anything_can_be_told() -> None:
    assert ratio_bounds(np.array([1.0]), np.array([2.0]), 0.05) == (0.5, -math.inf, math.inf)
    assert ratio_bounds(np.array([1.0, 2.0]), np.array([2.0, 2.0]), 0.05) == (0.75, -math.inf, math.inf)
    one_giant = np.array([1.0] * 11 + [1e4])
    assert ratio_bounds(one_giant * 0.1, one_giant, 0.05)[1:] == (-math.inf, math.inf)
    assert ratio_bounds(np.full(12, 0.5), np.ones(12), 0.05) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("sums", "sizes", "message"),
    [
        ([], [], "of one length of 1 or more; got 0 and 0"),
        ([1.0], [1.0, 2.0], "of one length of 1 or more; got 1 and 2"),
        ([1.0, math.nan], [1.0, 2.0], "must be finite"),
        ([1.0, 1.0], [1.0, 0.0], "`sizes` positive"),
    ],
    ids=["empty", "unlike", "nan", "size 0"],
)
def test_wrong_units_are_refused(sums: list[float], sizes: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ratio_bounds(np.array(sums), np.array(sizes), 0.05)


def test_units_needed_match_the_bounds() -> None:
    n = units_needed(0.003, 0.004, 0.05)
    assert n == 17
    for size, clears in ((16, False), (17, True)):
        units = np.where(np.arange(size) % 2, 1.0, -1.0)
        units = 0.004 * (units - units.mean()) / units.std(ddof=1)
        assert (ratio_bounds(units, np.ones(size), 0.05)[1] >= -0.003) == clears
    assert units_needed(0.0, 0.004, 0.05) is None
    assert units_needed(1e-6, 1.0, 0.05, most=100) is None


def test_sample_ratio_check_is_anytime_valid_and_sees_a_leak() -> None:
    rng = np.random.default_rng(5)
    arms_of_keys = rng.random((400, 600)) < 0.5
    alarms = 0
    for path in arms_of_keys.cumsum(axis=1):
        alarms += any(
            sample_ratio_pvalue(int(path[n - 1]), int(n - path[n - 1])) <= 0.05 for n in range(10, 601, 5)
        )
    assert alarms <= 0.05 * 400
    assert sample_ratio_pvalue(180, 260) < 0.01
    assert sample_ratio_pvalue(150, 160) > 0.5
    assert sample_ratio_pvalue(0, 0) == 1.0
    assert 0.0 <= sample_ratio_pvalue(100_000, 0) < 1e-200
