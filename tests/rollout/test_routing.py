import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewheel.errors import InputError
from tidewheel.evidence.records import Plan
from tidewheel.rollout.routing import BUCKETS, arm_for, assigned_model, bucket, router_of

PLAN = Plan("flights", 1, champion="a", candidate="b", share_canary=0.1, share_shadow=1.0, salt="april")
KEYS = [f"UA{number}" for number in range(20_000)]

shares = st.integers(0, BUCKETS // 2).map(lambda size: size / BUCKETS)


@given(st.text(), st.text())
def test_bucket_lies_in_range_and_never_changes(salt: str, key: str) -> None:
    assert 0 <= bucket(salt, key) < BUCKETS
    assert bucket(salt, key) == bucket(salt, key)


def test_bucket_is_the_same_in_another_process_and_forever() -> None:
    golden = {("", ""): 58, ("april", "UA1545"): 7725, ("may", "UA1545"): 6462, ("ä", "☃"): 7702}
    code = (
        f"from tidewheel.rollout.routing import bucket; print([bucket(*pair) for pair in {list(golden)!r}])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {pair: bucket(*pair) for pair in golden} == golden
    assert answer.stdout.strip() == str(list(golden.values()))


def test_salt_and_key_do_not_run_into_each_other() -> None:
    assert bucket("a", "bc") != bucket("ab", "c")


def test_buckets_are_even_and_salts_independent() -> None:
    cells = Counter((bucket("april", key) // 1000, bucket("may", key) // 1000) for key in KEYS)
    expected = len(KEYS) / 100
    chi_square = sum((cells[i, j] - expected) ** 2 / expected for i in range(10) for j in range(10))
    assert chi_square < 148.2  # the 0.1 % point of chi-square with 99 degrees of freedom


@given(st.text(), st.text(), shares, shares)
def test_no_key_leaves_its_arm_as_shares_grow(salt: str, key: str, one: float, other: float) -> None:
    small, large = sorted([one, other])
    before = arm_for(replace(PLAN, salt=salt, share_canary=small), key)
    after = arm_for(replace(PLAN, salt=salt, share_canary=large, generation=9), key)
    assert before in ("champion", after)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5])
def test_arms_have_the_planned_and_equal_shares(share: float) -> None:
    counts = Counter(router_of(replace(PLAN, share_canary=share)).arms(KEYS))
    spread = 4 * (len(KEYS) * share * (1 - share)) ** 0.5
    for arm in ("candidate", "baseline"):
        assert abs(counts[arm] - share * len(KEYS)) < spread
    assert (share == 0.5) == (counts["champion"] == 0)


def test_arms_agree_with_arm_for() -> None:
    repeated = KEYS[:300] * 3
    assert router_of(PLAN).arms(repeated) == [arm_for(PLAN, key) for key in repeated]


@given(st.text())
def test_without_a_candidate_everything_goes_to_the_champion(key: str) -> None:
    alone = replace(PLAN, candidate=None)
    assert arm_for(alone, key) == "champion"
    assert not router_of(alone).is_shadowed(key)
    assert arm_for(replace(PLAN, share_canary=0.0), key) == "champion"


def test_shadowing_is_sticky_independent_of_the_arms_and_of_the_planned_share() -> None:
    router = router_of(replace(PLAN, share_shadow=0.3, share_canary=0.5))
    shadowed = [router.is_shadowed(key) for key in KEYS]
    in_candidate = [router.arm(key) == "candidate" for key in KEYS]
    assert abs(sum(shadowed) / len(KEYS) - 0.3) < 0.015
    both = sum(s and c for s, c in zip(shadowed, in_candidate, strict=True))
    assert abs(both / len(KEYS) - 0.15) < 0.015
    assert all(router_of(PLAN).is_shadowed(key) for key in KEYS[:100])
    assert not any(router_of(replace(PLAN, share_shadow=0.0)).is_shadowed(key) for key in KEYS[:100])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"share_canary": 0.51}, r"`share_canary` must lie in \[0, 0.5\], .*; got 0.51"),
        ({"share_canary": -0.1}, r"`share_canary` must lie in"),
        ({"share_canary": float("nan")}, r"`share_canary` must lie in .* got nan"),
        ({"share_canary": 1e-6}, r"`share_canary` must be 0 or at least half of 1/10000; got 1e-06"),
        ({"share_shadow": 1.1}, r"`share_shadow` must lie in \[0, 1\]"),
    ],
    ids=["over a half", "negative", "nan", "rounds to nothing", "shadow over one"],
)
def test_impossible_shares_are_refused(changed: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        arm_for(replace(PLAN, **changed), "UA1545")  # type: ignore[arg-type]


def test_assigned_model() -> None:
    assert [assigned_model(PLAN, arm) for arm in ("champion", "candidate", "baseline")] == ["a", "b", "a"]
    with pytest.raises(InputError, match="without a candidate; got 'candidate'"):
        assigned_model(replace(PLAN, candidate=None), "candidate")
