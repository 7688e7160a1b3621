"""A test of whether two samples of units differ, by permuting whole units, that stands serial dependence.

Units in time order are not exchangeable, so the plain permutation test alarms too often: neighbours resemble each other,
and a sample's mean varies more than shuffled units say. The statistic is therefore divided by a scale that knows of the
dependence, computed anew for each permutation (Janssen 1997; Chung and Romano 2013 for studentised permutations).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from tidewheel.measures.serial import (
    BLOCK,
    FloatArray,
    Serial,
    UnitSample,
    correct_phi,
    correlate_weights,
    discount_df,
    effective_units,
    estimate_serial,
    sum_correlations,
)

#: Up to so many units of both samples together are permuted; with more the difference is normal to all purposes.
PERMUTED_UNITS = 200
#: With fewer units on a side a mean's law is that of few units, and permutations are few too.
UNITS_NEEDED = 5
#: Permutations; a tenth of them settles most tests. p-values near 0.05 are then known to 0.002.
DRAWS = 9_999
#: Fewer distinct ways to assign units to samples make a p-value too coarse to survive a correction over columns.
ASSIGNMENTS_NEEDED = 10_000
#: p-values that rest on fewer permutations are taken from the tail of Student's law instead, where that is smaller.
COUNTED_FROM = 10
#: Where serial dependence is visible p-values up to this are held against the normal law with it, too.
SIMULATED_UP_TO = 0.2
#: Rows of orders worked on at once.
_CHUNK = 1_000
#: Fixed, so that a call gives the same p-value every time.
SEED = 20_131_021

Statistic = Literal["largest", "square"]
_Orders = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class UnitTest:
    """What comparing two samples of units says.

    Attributes:
        statistic: The difference in its own scale.
        pvalue: In (0, 1].
        serial: The serial dependence of the units.
        test: "units permuted" or, beyond 200 units, "many units".
    """

    statistic: float
    pvalue: float
    serial: Serial
    test: str


@dataclass(frozen=True, eq=False, slots=True)
class _Units:
    """Both samples' units, the reference's first; `gram` holds the products of all pairs if orders are many."""

    values: FloatArray
    sizes: FloatArray
    noise: FloatArray
    reference: int
    gram: FloatArray | None
    statistic: Statistic

    @classmethod
    def join(
        cls, reference: UnitSample, current: UnitSample, statistic: Statistic, *, permuted: bool
    ) -> "_Units":
        values = np.concatenate([reference.values, current.values])
        # Products of centred values cancel less.
        values -= values.mean(axis=0)
        sizes, noise = (
            np.concatenate(pair)
            for pair in ((reference.sizes, current.sizes), (reference.noise, current.noise))
        )
        gram = values @ values.T if permuted else None
        return cls(values, sizes, noise, len(reference.values), gram, statistic)


def has_permutations(reference: int, current: int) -> bool:
    """Say whether so many units can be compared by `compare_units`: five a side, and 10,000 ways to assign them."""
    enough = min(reference, current) >= UNITS_NEEDED
    return enough and -_log_assignment(reference, current) >= math.log(ASSIGNMENTS_NEEDED)


def _log_assignment(n: int, m: int) -> float:
    """Compute the log of one over the number of ways to assign n + m units; the number itself has 30,000 digits for many."""
    return math.lgamma(n + 1) + math.lgamma(m + 1) - math.lgamma(n + m + 1)


def compare_units(reference: UnitSample, current: UnitSample, statistic: Statistic) -> UnitTest:
    """Test whether two samples of units have the same values on average.

    d is the difference of the samples' values, means weighted by the units' sizes. `T = max |d_e| / sqrt(v / E)`
    ("largest") or `sqrt(sum d_e^2 / v)` ("square"), v being d's variance summed over the E values:

        v = sb (w1' R w1 + w2' R w2) + sum_k w_k^2 noise_k,  R_ij = phi^|i - j|,
        sb = (c0 - noise) / (K - F1 - F2),

    w the shares of rows, F the mean row sum of R, phi and c0 those of `serial.estimate_serial` but summed over all values,
    not along one direction. Units are permuted, T with its phi and v is computed anew for each, and
    `p = (1 + #{T_permuted >= T}) / (draws + 1)`: of 999 permutations, and of 9,999 where these leave p under a tenth. Where
    fewer than ten permutations reach T, p comes from the union bound of Student's law instead, if that is smaller:
    `E P(|t| >= T)` and its like, with as many degrees of freedom as the effective units leave. Shuffling also hides that
    dependent units leave d fewer directions, and that phi is uncertain: where dependence is visible p is at least that of a
    normal d whose covariance is stretched along the direction in which units differ most, by as much as v grows there at
    `Serial.cautious_phi`. Beyond 200 units d is normal with that covariance, and p is simulated with the same degrees of
    freedom.

    Args:
        reference: Units in time order; at least five a side and 10,000 ways to assign them (`has_permutations`).
        current: The same of the current sample.
        statistic: "largest" over the values (the Kolmogorov-Smirnov distance, values being shares below edges), or
            "square" (chi-square, values being shares over the root of the pooled share).

    Returns:
        The statistic, its p-value and the serial dependence. `serial.is_unsettled` says when p cannot be trusted.

    Cost: O(draws x units + units^2 x values): 5 to 60 ms for 80 units.

    Levels at 5 %, 40 + 40 units of 60 rows: see "Units in time order" in `docs/calibration.md`.

    Source: Chung and Romano, Annals of Statistics 41 (2013) 484-507; for the tail Knijnenburg et al., Bioinformatics 25
    (2009) i161-i168, who fit a Pareto law where this takes Student's.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(1)
        >>> one, other = (UnitSample(rng.normal(m, 1, (30, 1)), np.full(30, 9.0), np.zeros(30)) for m in (0, 2))
        >>> compare_units(one, other, "largest").pvalue < 0.001
        True
    """
    n, m = len(reference.values), len(current.values)
    serial = estimate_serial([reference, current])
    permuted = n + m <= PERMUTED_UNITS
    units = _Units.join(reference, current, statistic, permuted=permuted)
    (observed,), (growth,) = _measure(units, np.arange(n + m, dtype=np.int64)[None])
    (shares, doubt), df = _covariance(units, serial, growth), _degrees(units, serial.cautious_phi)
    tail = max(_student_bound(observed, shares, df, statistic), math.exp(_log_assignment(n, m)))
    if not permuted:
        return UnitTest(
            observed, max(_simulate(observed / doubt, shares, df, statistic), 1e-300), serial, "many units"
        )
    exceeding = drawn = 0
    for orders in _draw(n + m):
        exceeding += int((_measure(units, orders)[0] >= observed * (1 - 1e-9)).sum())
        drawn += len(orders)
        if drawn == DRAWS // 10 and (exceeding > drawn // 10 or (exceeding == 0 and tail < 1 / DRAWS)):
            break
    counted = (1 + exceeding) / (drawn + 1)
    pvalue = min(counted, tail) if exceeding < COUNTED_FROM else counted
    if serial.is_visible and pvalue <= SIMULATED_UP_TO:
        pvalue = max(pvalue, _simulate(observed / doubt, shares, df, statistic))
    return UnitTest(observed, pvalue, serial, "units permuted")


def _draw(units: int) -> Iterator[_Orders]:
    """Give orders of the units, the first tenth of them alone, then the others in chunks."""
    first = DRAWS // 10
    yield _orders(units, 0, first)
    for start in range(first, DRAWS, _CHUNK):
        yield _orders(units, start, min(_CHUNK, DRAWS - start))


# All columns of a table share them: 10 chunks of 200 units are 4 MB.
@lru_cache(maxsize=20)
def _orders(units: int, start: int, count: int) -> _Orders:
    generator = np.random.Generator(np.random.PCG64([SEED, units, start]))
    rows = np.broadcast_to(np.arange(units, dtype=np.int16), (count, units))
    return generator.permuted(rows, axis=1)


def _measure(units: _Units, orders: npt.NDArray[np.integer]) -> tuple[FloatArray, FloatArray]:
    """Compute T for each order of the units, of which the first `units.reference` form the reference.

    Beside it, by how much serial dependence makes v grow.
    """
    k, n = units.values.shape[0], units.reference
    c0 = c1 = noise = np.zeros(len(orders))
    means, shares = [], []
    for side in (orders[:, :n], orders[:, n:]):
        there = _mark(side, k)
        square, lagged = _sums_of_squares(units, side, there)
        c0, c1 = c0 + square, c1 + lagged
        rows = there @ units.sizes
        means.append((there * units.sizes) @ units.values / rows[:, None])
        noise = noise + there @ (units.sizes**2 * units.noise) / rows**2
        shares.append(units.sizes[side] / rows[:, None])
    own = float(units.noise.sum()) * (1 - 2 / k)
    phi, share = correct_phi(c0, c1, own, k, 2)
    inflated = sum_correlations(n, phi) + sum_correlations(k - n, phi)
    between = np.maximum((c0 - own) / (k - inflated), 1e-3 * c0 / k)
    correlated = correlate_weights(shares[0], phi) + correlate_weights(shares[1], phi)
    alone = (shares[0] ** 2).sum(axis=1) + (shares[1] ** 2).sum(axis=1)
    variances = between * correlated + noise
    off = means[0] - means[1]
    if units.statistic == "largest":
        distance, scale = np.abs(off).max(axis=1), variances / off.shape[1]
    else:
        distance, scale = np.sqrt((off**2).sum(axis=1)), variances
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(distance > 0, distance / np.sqrt(scale), 0.0)
    return statistic, 1 + share * (correlated / alone - 1)


def _mark(side: npt.NDArray[np.integer], units: int) -> FloatArray:
    """Mark who is on a side, for each order: products with it sum over the side's units."""
    there = np.zeros((len(side), units))
    there[np.arange(len(side))[:, None], side] = 1.0
    return there


def _sums_of_squares(
    units: _Units, side: npt.NDArray[np.integer], there: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Compute c0 and c1 of a side: squares about its mean, and products of neighbours about it, summed over the values."""
    k = side.shape[1]
    if units.gram is None:
        # One order alone, that of the data: the side's units lie together.
        block = units.values[int(side[0, 0]) : int(side[0, -1]) + 1]
        squares = np.einsum("ij,ij->", block, block)[None]
        adjacent = np.einsum("ij,ij->", block[1:], block[:-1])[None]
    else:
        squares = there @ np.diag(units.gram)
        adjacent = units.gram[side[:, 1:], side[:, :-1]].sum(axis=1)
    total = there @ units.values
    square = (total**2).sum(axis=1) / k
    ends = ((units.values[side[:, 0]] + units.values[side[:, -1]]) * total).sum(axis=1) / k
    return np.maximum(squares - square, 0.0), adjacent - square * (1 + 1 / k) + ends


def _covariance(units: _Units, serial: Serial, growth: float) -> tuple[FloatArray, float]:
    """Estimate the covariance of d divided by its trace (zeros where nothing varies), and how far T may be too large.

    Where serial dependence is visible, what it adds to the trace lies in the direction in which units differ most: the part
    between units has fewer directions than noise has. It is that of the cautious phi, but no less than what T's own scale
    has grown by, since permuted units do not know how uncertain a phi above 0 is.
    """
    sides = slice(None, units.reference), slice(units.reference, None)
    weights = [units.sizes[side] / units.sizes[side].sum() for side in sides]
    one, other = (_scatter(units.values[side], own) for side, own in zip(sides, weights, strict=True))
    scatter = one + other
    trace = float(np.trace(scatter))
    if trace <= 0 or not serial.is_visible:
        return scatter / (trace or 1.0), 1.0
    direction = np.linalg.eigh(scatter)[1][:, -1]
    correlated = sum(float(correlate_weights(one, serial.cautious_phi)) for one in weights)
    inflation = correlated / sum(float((one**2).sum()) for one in weights)
    added = max(serial.share * serial.between * (inflation - 1), growth - 1)
    stretched = scatter / trace + added * np.outer(direction, direction)
    return np.asarray(stretched / (1 + added)), math.sqrt((1 + added) / growth)


def _scatter(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Sum the products of a sample's values about their weighted mean, weighted by the square."""
    scatter, mean = np.zeros((values.shape[1],) * 2), weights @ values
    for start in range(0, len(values), BLOCK):
        part = slice(start, start + BLOCK)
        off = weights[part, None] * (values[part] - mean)
        scatter += off.T @ off
    return scatter


def _degrees(units: _Units, phi: float) -> float:
    """Count degrees of freedom of v: the effective units of both samples less two, less what serial dependence takes."""
    n = units.reference
    effective = effective_units(units.sizes[:n]) + effective_units(units.sizes[n:])
    return max(1.0, discount_df(effective - 2, phi))


def _student_bound(statistic: float, shares: FloatArray, df: float, kind: Statistic) -> float:
    """Bound P(T >= statistic) by the sum over values: one of them at least must pass its own part of T."""
    if kind == "largest":
        spread = np.sqrt(np.diag(shares) * len(shares))
        total = sum(_student_sf(statistic / one, df) for one in spread if one > 0)
    else:
        # The eigenvalues of `shares` add up to 1, so that T^2, their weighted sum of squares, exceeds t only if one does.
        total = min(len(shares), 1 / max(float((shares**2).sum()), 1e-12)) * _student_sf(statistic, df)
    return min(1.0, total)


def _student_sf(x: float, df: float) -> float:
    """Compute P(|t| >= x) by mixing normal tails over `chi2(df) / df`, whose law Wilson and Hilferty (1931) give."""
    if not math.isfinite(x):
        return 0.0
    nodes, weights = _hermite()
    scale = np.maximum(1 - 2 / (9 * df) + nodes * math.sqrt(2 / (9 * df)), 0.0) ** 1.5
    tails = [math.erfc(x * one / math.sqrt(2)) for one in scale]
    return float(min(1.0, weights @ np.array(tails)))


@lru_cache(maxsize=1)
def _hermite() -> tuple[FloatArray, FloatArray]:
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return nodes, weights / weights.sum()


def _simulate(statistic: float, shares: FloatArray, df: float, kind: Statistic) -> float:
    """Simulate P(T >= statistic), T being normal with this covariance over the root of `chi2(df) / df`."""
    generator = np.random.Generator(np.random.PCG64([SEED, len(shares)]))
    values, vectors = np.linalg.eigh(shares)
    draws = generator.normal(size=(DRAWS, len(shares))) @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    scale = np.sqrt(generator.chisquare(df, DRAWS) / df)
    if kind == "largest":
        drawn = np.abs(draws).max(axis=1) * math.sqrt(len(shares)) / scale
    else:
        drawn = np.sqrt((draws**2).sum(axis=1)) / scale
    exceeding = int((drawn >= statistic * (1 - 1e-9)).sum())
    counted = (1 + exceeding) / (DRAWS + 1)
    return min(counted, _student_bound(statistic, shares, df, kind)) if exceeding < COUNTED_FROM else counted
