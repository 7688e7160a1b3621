"""Units in time order, and tied numbers, as `calibration.py` tables them: what is drawn, and what the shipped code says.

Units are drawn as counts per unit and class, which is what `drift.compare(unit=)` makes of rows: 40 times as fast as rows.
"""

import math

import numpy as np
from scipy.special import ndtr, ndtri

from tidewheel import drift
from tidewheel.drift.table import unit_tests
from tidewheel.measures import permutation

#: Rows of a unit; unequal sizes are log-normal about it, with a deviation of 1 on the scale of logarithms.
ROWS = 60
#: Edges of the classes of a standard normal law, and whether classes are in order.
KINDS = {
    "numbers": (ndtri(np.arange(1, 20) / 20), True),
    "6 names": (np.array([-0.25, 0.39, 0.84, 1.28, 1.75]), False),
    "share of 16 %": (np.array([1.0]), True),
}
LEVEL = 0.05


def autoregress(rng, units, phi):
    values = rng.normal(size=units)
    for i in range(1, units):
        values[i] = phi * values[i - 1] + math.sqrt(1 - phi**2) * values[i]
    return values


def count_units(rng, units, edges, icc, phi, shift, *, equal):
    """Rows per unit and class, the units' means being an autoregression of order 1."""
    sizes = np.full(units, ROWS) if equal else np.maximum(3, ROWS * rng.lognormal(-0.5, 1, units)).astype(int)
    means = math.sqrt(icc) * autoregress(rng, units, phi) + shift
    below = ndtr((edges - means[:, None]) / math.sqrt(1 - icc))
    return rng.multinomial(sizes, np.diff(np.column_stack([np.zeros(units), below, np.ones(units)])))


def measure_serial(rng, kind, units, icc, phi, replications, *, equal, shift=0.0):
    """Return of each pair whether it alarms, whether it is undecided, and the counts it was drawn as."""
    edges, ordered = KINDS[kind]
    statistic = "largest" if ordered else "square"
    alarms, undecided, drawn = [], [], []
    for _ in range(replications):
        tables = tuple(
            count_units(rng, k, edges, icc, phi, moved, equal=equal)
            for k, moved in zip(units, (0.0, shift), strict=True)
        )
        found = permutation.compare_units(*unit_tests.samples(tables, ordered=ordered), statistic)
        undecided.append(found.serial.is_unsettled)
        alarms.append(found.pvalue <= LEVEL and not undecided[-1])
        drawn.append(tables)
    return np.array(alarms), np.array(undecided), drawn


def permute_plainly(rng, tables, draws=399):
    """Say whether the plain permutation test of whole units, by the distance over the same edges, alarms."""
    one, n = np.concatenate(tables).cumsum(axis=1).astype(float), len(tables[0])
    orders = rng.permuted(np.broadcast_to(np.arange(len(one)), (draws, len(one))), axis=1)
    there = np.zeros((draws + 1, len(one)))
    there[0, :n] = 1
    there[np.arange(1, draws + 1)[:, None], orders[:, :n]] = 1
    a, b = there @ one, (1 - there) @ one
    distances = np.abs(a / a[:, -1:] - b / b[:, -1:]).max(axis=1)
    return (distances >= distances[0] - 1e-12).mean() <= LEVEL


# Ties


def yes(rng, n, moved):
    return (rng.random(n) < 0.3 + 0.35 * moved).astype(float)


def rare(rng, n, moved):
    return (rng.random(n) < 0.02 + 0.11 * moved).astype(float)


def counted(rng, n, moved):
    return rng.poisson(2 + 1.1 * moved, n).astype(float)


def geometric(rng, n, moved):
    return rng.geometric(0.3 / (1 + 0.7 * moved), n).astype(float)


def rounded(rng, n, moved):
    return np.round(rng.normal(moved, 1, n), 1)


#: `moved` shifts by about so many standard deviations.
TIED = {
    "0.3 yes": yes,
    "0.02 yes": rare,
    "Poisson 2": counted,
    "geometric 0.3": geometric,
    "decimals": rounded,
}


def measure_ties(rng, law, n, m, moved, replications):
    """Return alarms of the shipped test, of the continuous law, and of a permutation test of the rows."""
    sides = [
        {f"c{i}": law(rng, rows, at) for i in range(replications)} for rows, at in ((n, 0.0), (m, moved))
    ]
    shipped = [column.parts[0].pvalue <= LEVEL for column in drift.compare(*sides, threads=1).columns]
    pairs = list(zip(sides[0].values(), sides[1].values(), strict=True))
    continuous = [drift.ks(*pair, method="accurate", threads=1).pvalue <= LEVEL for pair in pairs]
    return shipped, continuous, [permute_rows(rng, *pair) for pair in pairs]


def permute_rows(rng, reference, current, draws=999):
    """Say whether the permutation test of rows, by the distance, alarms."""
    values, at = np.unique(np.concatenate([reference, current]), return_inverse=True)
    n, m = len(reference), len(current)
    own, pooled = np.bincount(at[:n], minlength=len(values)), np.bincount(at, minlength=len(values))
    drawn = np.vstack([own, rng.multivariate_hypergeometric(pooled, n, size=draws, method="marginals")])
    distances = np.abs(drawn.cumsum(axis=1) * m - (pooled - drawn).cumsum(axis=1) * n).max(axis=1)
    return (distances >= distances[0]).mean() <= LEVEL
