"""Decide which arm of a rollout answers a routing key.

What belongs here: the hash and the split it makes. What does not: calling models (`serving.application_ray`),
judging what came of it (`rollout.guards`). Pure: the same plan and key give the same arm on every machine, in
every process, forever.

The buckets of one salt are laid out in a line of 10,000. The candidate takes them from the left, the baseline
arm (a copy of the champion behind the same kind of handle) the same number from the right, the champion what
is between. So both arms grow without any key leaving its arm, and they meet at a share of one half, which is
therefore the largest.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from tidewheel.errors import InputError
from tidewheel.evidence.records import Plan

Arm = Literal["champion", "candidate", "baseline"]

BUCKETS = 10_000
"""Shares are counted in hundredths of a percent, the finest step of a rollout."""

_SHADOW = "shadow of "
"""Salt prefix that makes the choice of shadowed keys independent of the choice of arms."""


def bucket(salt: str, key: str) -> int:
    """Hash a routing key to one of 10,000 buckets.

    Takes the first 8 bytes of BLAKE2b over the length of `salt` (8 bytes, little-endian), `salt` and `key` in
    UTF-8, read as a little-endian integer, modulo 10,000. The length keeps ("a", "bc") apart from ("ab",
    "c"). The modulo favours no bucket by more than 1 in 10^15.

    Args:
        salt: Names the rollout; a new one for each, so that its keys are drawn afresh.
        key: The routing key of the request; may be empty.

    Returns:
        An integer in [0, 10,000).

    Example:
        >>> bucket("april", "UA1545") == bucket("april", "UA1545")
        True
        >>> bucket("april", "UA1545"), bucket("may", "UA1545")
        (7725, 6462)
    """
    salted = salt.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(digest_size=8)
    digest.update(len(salted).to_bytes(8, "little"))
    digest.update(salted)
    digest.update(key.encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest(), "little") % BUCKETS


@dataclass(frozen=True, slots=True)
class Router:
    """Hold the split of one plan, checked once, so that routing a request costs one hash.

    `arm_size` buckets go to each of candidate and baseline; `shadow_size` buckets (of an independent hash)
    are shadowed.
    """

    salt: str
    arm_size: int
    shadow_size: int

    def arm(self, key: str) -> Arm:
        """Name the arm of `key`."""
        if self.arm_size == 0:
            return "champion"
        place = bucket(self.salt, key)
        if place < self.arm_size:
            return "candidate"
        if place >= BUCKETS - self.arm_size:
            return "baseline"
        return "champion"

    def is_shadowed(self, key: str) -> bool:
        """Say whether requests of `key` are copied to the candidate after the answer."""
        if self.shadow_size in (0, BUCKETS):
            return self.shadow_size == BUCKETS
        return bucket(_SHADOW + self.salt, key) < self.shadow_size

    def arms(self, keys: Iterable[str]) -> list[Arm]:
        """Name the arm of each key, in order; each distinct key is hashed once."""
        known: dict[str, Arm] = {}
        named: list[Arm] = []
        for key in keys:
            if key not in known:
                known[key] = self.arm(key)
            named.append(known[key])
        return named


def router_of(plan: Plan) -> Router:
    """Check the shares of a plan and return its router; without a candidate everything goes to the champion.

    Args:
        plan: `share_canary` in [0, 0.5], `share_shadow` in [0, 1]; both are rounded to the nearest bucket.

    Returns:
        The router; make it once per generation of the plan.

    Raises:
        InputError: A share outside its range (NaN included), or a positive share that rounds to no bucket at
        all.
    """
    arm_size = _buckets("share_canary", plan.share_canary, 0.5, "candidate and baseline arm take it each")
    shadow_size = _buckets("share_shadow", plan.share_shadow, 1.0, "it is a share of routing keys")
    if plan.candidate is None:
        return Router(plan.salt, 0, 0)
    return Router(plan.salt, arm_size, shadow_size)


def arm_for(plan: Plan, key: str) -> Arm:
    """Name the arm of `key` under `plan`: sticky, and monotone as `share_canary` grows under one salt.

    Raises:
        InputError: As `router_of`.

    Example:
        >>> plan = Plan("flights", 1, champion="a", candidate="b", share_canary=0.1, salt="april")
        >>> [arm_for(plan, key) for key in ("UA1", "UA2", "UA3")]
        ['candidate', 'champion', 'champion']
    """
    return router_of(plan).arm(key)


def assigned_model(plan: Plan, arm: Arm) -> str:
    """Name the model that has to answer for an arm, whoever answers in the end.

    Raises:
        InputError: The candidate arm of a plan without a candidate.
    """
    if arm != "candidate":
        return plan.champion
    if plan.candidate is None:
        raise InputError(f"`arm` must be 'champion' or 'baseline' in a plan without a candidate; got {arm!r}")
    return plan.candidate


def _buckets(name: str, share: float, largest: float, why: str) -> int:
    if not 0.0 <= share <= largest:
        raise InputError(f"`{name}` must lie in [0, {largest:g}], since {why}; got {share!r}")
    size = round(share * BUCKETS)
    if share > 0.0 and size == 0:
        raise InputError(f"`{name}` must be 0 or at least half of 1/{BUCKETS}; got {share!r}")
    return size
