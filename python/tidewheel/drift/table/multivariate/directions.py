"""Projections of encoded rows, and how far two samples differ along each of them.

`choose_directions` picks directions without a look at which row is whose, `measure_waves` turns projections into a few
numbers per row, and `compare_labels` compares samples for many assignments of rows to samples at once, by one matrix
product. Pure: arrays in, arrays out. `sliced` puts the test together.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from tidewheel.drift.table.multivariate.encoding import Coordinate, FloatArray

#: Waves per direction: sine and cosine at frequency 1 and 2 of the standardised projection.
WAVES = 4
#: Waves are rounded to multiples of 1 / SCALE: sums of such integers are exact in float32 up to 2^24, hence no sum
#: depends on its order, and assignments that are equal have equal statistics.
SCALE = 1023
#: Sums of waves of more rows than this might not be exact in float32; float64 is used then.
ROWS_OF_FLOAT32 = 16_384
#: Directions whose waves are held at once.
_AT_ONCE = 32

#: At most these shares of the directions are single coordinates, principal components and pairs of coordinates; the rest is
#: random.
_SHARES = {"single": 0.25, "principal": 0.125, "pairs": 0.75}
#: Parts that meet in a sparse random direction.
_SPARSE = 4
#: Added to the waves' covariance in proportion to its trace, so that it can be inverted where waves hardly differ.
_RIDGE = 1e-6
#: A direction along which the rows have less deviation than this has nothing to compare.
_FLAT = 1e-6

_IntArray = npt.NDArray[np.int64]


def choose_directions(
    encoded: FloatArray, coordinates: Sequence[Coordinate], count: int, rng: np.random.Generator
) -> FloatArray:
    """Choose directions, without a look at which row is whose.

    In this order, as far as `count` allows: single coordinates (at most a quarter of `count`), principal components of the
    pooled rows (an eighth, half of them the first and half the last ones), sums and differences of two coordinates from
    different columns (three quarters; drawn at random where there are more), and random directions, dense and sparse by
    turns.

    Returns:
        Directions of length 1 as rows.
    """
    d = encoded.shape[1]
    if d == 1:
        return np.ones((1, 1))
    single = np.eye(d)[_pick(d, int(count * _SHARES["single"]), rng)]
    principal = _principal(encoded, int(count * _SHARES["principal"]))
    left = count - len(single) - len(principal)
    pairs = _pairs(coordinates, min(left, int(count * _SHARES["pairs"])), rng)
    random = _random(d, left - len(pairs), rng)
    return np.concatenate([single, principal, pairs, random])


def _pick(n: int, most: int, rng: np.random.Generator) -> _IntArray:
    most = max(1, most)
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def _principal(encoded: FloatArray, most: int) -> FloatArray:
    vectors = np.asarray(np.linalg.eigh(np.cov(encoded, rowvar=False)).eigenvectors.T, dtype=np.float64)
    if len(vectors) <= most:
        return vectors
    last = most // 2
    # Eigenvalues come in increasing order; relations between columns show in the least ones.
    return np.concatenate([vectors[:last], vectors[len(vectors) - (most - last) :]])


def _pairs(coordinates: Sequence[Coordinate], most: int, rng: np.random.Generator) -> FloatArray:
    d = len(coordinates)
    columns = np.unique([coordinate.column for coordinate in coordinates], return_inverse=True)[1]
    one, other = np.triu_indices(d, 1)
    apart = columns[one] != columns[other]
    one, other = one[apart], other[apart]
    if len(one) == 0 or most < 2:
        return np.zeros((0, d))
    chosen = _pick(len(one), most // 2, rng)
    one, other = one[chosen], other[chosen]
    made = np.zeros((len(one), 2, d))
    rows = np.arange(len(one))
    made[rows, 0, one] = made[rows, 1, one] = 1.0
    made[rows, 0, other], made[rows, 1, other] = 1.0, -1.0
    return np.asarray(made.reshape(-1, d) / np.sqrt(2.0), dtype=np.float64)


def _random(d: int, count: int, rng: np.random.Generator) -> FloatArray:
    made = rng.standard_normal((count, d))
    for row in made[1::2]:
        row[rng.permutation(d)[_SPARSE:]] = 0.0
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float64)


def measure_waves(encoded: FloatArray, directions: FloatArray) -> Iterator[npt.NDArray[np.float32]]:
    """Turn rows into waves, some directions at a time.

    With z the projection on a direction, standardised over all rows, the waves are sin z, cos z, sin 2z and cos 2z: their
    means are the samples' characteristic functions at two points, as Epps and Singleton compare them. They are bounded;
    sines see location and skewness, cosines spread and tails.

    Yields:
        Integers within +-1023 as float32, of shape (rows, 4 x directions), for up to 32 directions at a time.
    """
    for start in range(0, len(directions), _AT_ONCE):
        z = (encoded @ directions[start : start + _AT_ONCE].T).astype(np.float32)
        z -= z.mean(axis=0, dtype=np.float64).astype(np.float32)
        deviation = z.std(axis=0, dtype=np.float64)
        z *= np.where(deviation < _FLAT, 0.0, 1 / np.maximum(deviation, _FLAT)).astype(np.float32)
        waves = np.empty((len(z), WAVES, z.shape[1]), dtype=np.float32)
        sine, cosine = np.sin(z), np.cos(z)
        waves[:, 0], waves[:, 1] = sine, cosine
        waves[:, 2], waves[:, 3] = 2 * sine * cosine, 1 - 2 * sine * sine
        waves *= SCALE
        np.rint(waves, out=waves)
        yield waves.reshape(len(z), -1)


def sum_units(waves: npt.NDArray[np.float32], units: _IntArray | None) -> npt.NDArray[np.floating]:
    """Sum the waves of each unit's rows, with the number of rows as last column; `None` makes each row a unit.

    Args:
        waves: What `measure_waves` yields.
        units: The unit of each row, from 0, in increasing order.
    """
    exact: type[np.floating] = np.float32 if len(waves) <= ROWS_OF_FLOAT32 else np.float64
    rows = np.concatenate([waves, np.ones((len(waves), 1), dtype=np.float32)], axis=1, dtype=exact)
    if units is None:
        return np.asarray(rows, dtype=exact)
    starts = np.flatnonzero(np.diff(units, prepend=-1))
    return np.asarray(np.add.reduceat(rows, starts, axis=0), dtype=exact)


def compare_labels(sums: npt.NDArray[np.floating], labels: npt.NDArray[np.float32]) -> FloatArray:
    """Measure how far two samples differ along each direction, for many assignments of units to samples.

    With T the sum of the centred waves of the current sample's n_c rows, V the covariance of the units' sums of centred
    waves and U the number of units, the statistic is `T' V^-1 T / (U p (1 - p))`, p = n_c / n being the sample's share
    of the rows. Under random assignment it is roughly chi-square with 4 degrees of freedom.

    Args:
        sums: What `sum_units` returns: a row per unit.
        labels: A row per assignment, a column per unit: 1 where the unit is of the current sample.

    Returns:
        A row per assignment, a column per direction.
    """
    totals = sums.sum(axis=0, dtype=np.float64)
    mean = totals[:-1] / totals[-1]
    drawn = (labels.astype(sums.dtype, copy=False) @ sums).astype(np.float64)
    shifted = (drawn[:, :-1] - drawn[:, -1:] * mean).reshape(len(labels), WAVES, -1)
    covariance = _covariances(sums, mean)
    ridge = _RIDGE * np.trace(covariance, axis1=1, axis2=2) + 1e-12
    inverse = np.linalg.inv(covariance + ridge[:, None, None] * np.eye(WAVES))
    share = drawn[:, -1:] / totals[-1]
    quadratic = np.einsum("bwk,kwv,bvk->bk", shifted, inverse, shifted, optimize=True)
    return np.asarray(quadratic / (len(sums) * share * (1 - share)), dtype=np.float64)


def _covariances(sums: npt.NDArray[np.floating], mean: FloatArray) -> FloatArray:
    """Give the covariance of each direction's waves, in float64: two values along a direction leave it singular."""
    centred = (sums[:, :-1] - sums[:, -1:] * mean).reshape(len(sums), WAVES, -1)
    found = np.empty((centred.shape[2], WAVES, WAVES))
    for one, other in zip(*np.triu_indices(WAVES), strict=True):
        # Not a matrix product: it would form every direction's covariance with every other.
        product = np.einsum("uk,uk->k", centred[:, one], centred[:, other]) / len(sums)
        found[:, one, other] = found[:, other, one] = product
    return found


def permute_labels(
    units: int, current: int, permutations: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Assign units to samples: as they are (the last `current` are the current sample's), then at random."""
    labels = np.zeros((permutations + 1, units), dtype=np.float32)
    labels[0, units - current :] = 1.0
    for row in labels[1:]:
        row[rng.permutation(units)[:current]] = 1.0
    return labels
