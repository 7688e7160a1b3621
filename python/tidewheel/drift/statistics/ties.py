"""The law of the Kolmogorov-Smirnov distance where values are tied: given the pooled ties, as in a permutation test.

The law of continuous samples holds for tied ones too, but it is wide: the distance is looked at only between distinct
values, so it is smaller. With two values the test at 5 % has 0.4 %.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift.reading import inputs

#: With more distinct values the continuous law is right to a tenth of its p at 5 %.
MOST_VALUES = 400
#: Rows looked at first, and equal pairs among them that make ties likely to matter: 700 even values have three.
LOOK, LEAST_EQUAL = 64, 3
#: Rows looked at next; if these have few values, hardly any seen once, the column is counted by value.
LOOK_CLOSER, MOST_SEEN_ONCE = 4_096, 0.02
#: Below this p the continuous law is close enough, and it is never too small.
COUNTED_ABOVE = 1e-6
#: Standard deviations beyond which a binomial law is cut off: it holds less than 1e-30 there.
CUT = 12.0
#: Products beyond which a convolution by Fourier transforms is faster.
DIRECT_PRODUCTS = 200_000
#: Bins that `fit_blocks` wants beside blocks; not used.
_BINS = 10

_Floats = npt.NDArray[np.float64]
_Counts = npt.NDArray[np.int64]


def tied_pvalue(reference: Sequence[int] | _Counts, current: Sequence[int] | _Counts) -> float:
    """Compute P(D >= d) given the pooled counts, d being the distance of these samples.

    Of all ways to draw n of the N pooled rows for the reference each is as likely. With i of the first N_k pooled rows
    drawn (those of the k least values) the distance there is `|i N - N_k n| / (n m)`. The number of ways that stay below d
    after every value is counted value by value: `W_k = W_{k-1} * binomial(h_k, n / N)`, cut to the i allowed, h_k being the
    rows of value k; then `p = 1 - W_K(n) / binomial(N, n / N)(n)`. Exact to 1e-12.

    Args:
        reference: Rows per distinct value, in order of the values; any number of values.
        current: The same of the current sample.

    Returns:
        The p-value in [0, 1]; 1 if a side is empty.

    Cost: O(values x D n m / N) and a logarithm: 1 to 20 ms.

    Source: Schroeer and Trenkler, Computational Statistics and Data Analysis 20 (1995) 185-202.

    Example:
        >>> round(tied_pvalue([3, 1], [1, 3]), 6)  # As Fisher's test of these four counts.
        0.485714
    """
    r, c = (np.asarray(side, dtype=np.int64) for side in (reference, current))
    used = r + c > 0
    r, c = r[used], c[used]
    n, m = int(r.sum()), int(c.sum())
    total = n + m
    if min(n, m) == 0 or len(r) < 2:
        return 1.0
    below = np.cumsum(r + c).tolist()
    distance = max(
        abs(m * a - n * b) for a, b in zip(np.cumsum(r).tolist(), np.cumsum(c).tolist(), strict=True)
    )
    if distance == 0:
        return 1.0
    share, start, ways, last = n / total, 0, np.ones(1), 0
    for reached in below:
        low = max(0, reached - m, (reached * n - distance) // total + 1)
        high = min(n, reached, -((-reached * n - distance) // total) - 1)
        if high < low:
            return 1.0
        first, law = _binomial(reached - last, share)
        ways, begin, last = _convolve(ways, law), start + first, reached
        kept = np.zeros(high - low + 1)
        a, b = max(low, begin), min(high, begin + len(ways) - 1)
        if a > b:
            return 1.0
        kept[a - low : b - low + 1] = ways[a - begin : b - begin + 1]
        start, ways = low, kept
    first, law = _binomial(total, share)
    return min(1.0, max(0.0, 1 - float(ways[n - start]) / float(law[n - first])))


def _binomial(size: int, share: float) -> tuple[int, _Floats]:
    """Give the binomial law, cut where it holds nothing: its first count, and the probabilities from there on."""
    mean, reach = size * share, CUT * math.sqrt(size * share * (1 - share)) + CUT
    low, high = max(0, math.floor(mean - reach)), min(size, math.ceil(mean + reach))
    count = np.arange(low, high)
    # The log of each probability relative to the first, by the ratio of neighbours.
    steps = np.log((size - count) / (count + 1.0)) + math.log(share / (1 - share))
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    law = np.exp(logs - logs.max())
    return low, np.asarray(law / law.sum())


def _convolve(one: _Floats, other: _Floats) -> _Floats:
    if len(one) * len(other) <= DIRECT_PRODUCTS:
        return np.convolve(one, other)
    length = len(one) + len(other) - 1
    size = 1 << (length - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(one, size) * np.fft.rfft(other, size), size)[:length]
    return np.asarray(np.maximum(product, 0.0))


def count_values(
    reference: _native.Column, current: _native.Column, threads: int | None = None
) -> tuple[_Counts, _Counts] | None:
    """Count rows per distinct value of both sides, where ties matter; None for (nearly) continuous columns.

    Cost: some 30 microseconds for continuous columns; for tied ones a few passes.
    """
    columns = reference, current
    if not all(len(column) <= LOOK or _is_tied(column) for column in columns):
        return None
    fitted = _native.fit_blocks(list(columns), _BINS, threads)
    if len({one.domain for one in fitted}) > 1:
        return None
    # A column of few values has an edge at each of them, so that both columns' edges part all values.
    edges = np.sort(np.concatenate([np.array(one.edges, dtype=one.domain) for one in fitted]))
    edges = np.append(edges[:1], edges[1:][edges[1:] != edges[:-1]])
    if len(edges) > 2 * MOST_VALUES:
        return None
    at = inputs.read_array("edges", edges)
    one, other = (_count(column, at, threads) for column in columns)
    return (one, other) if are_tied(one, other) else None


def are_tied(reference: _Counts, current: _Counts) -> bool:
    """Say from rows per distinct value, both sides alike, whether ties matter: few values, hardly any seen once."""
    return all(_matter(side[side > 0]) for side in (reference, current))


def _matter(counts: _Counts) -> bool:
    n = int(counts.sum())
    if n == 0 or n - len(counts) < min(LEAST_EQUAL, n - 1):
        return False
    return len(counts) <= MOST_VALUES and (n < LOOK_CLOSER // 2 or (counts == 1).sum() <= MOST_SEEN_ONCE * n)


def _is_tied(column: _native.Column) -> bool:
    few = np.sort(_look(column, LOOK))
    equal = np.count_nonzero(few[1:] == few[:-1])
    if equal < min(LEAST_EQUAL, len(few) - 1):
        return False
    return _matter(np.unique(_look(column, LOOK_CLOSER), return_counts=True)[1])


def _look(column: _native.Column, most: int) -> _Floats:
    rows = np.arange(min(most, len(column)), dtype=np.int64) * len(column) // max(min(most, len(column)), 1)
    numbers, there = _native.gather_numbers(column, inputs.read_array("rows", rows))
    found = np.frombuffer(numbers, dtype=np.float64)
    return found[np.frombuffer(there, dtype=np.uint8) > 0]


def _count(column: _native.Column, edges: _native.Column, threads: int | None) -> _Counts:
    counts, parts = _native.count_slots(column, edges, closed=False, threads=threads)
    return np.array([parts.infinite_below, *counts, parts.infinite_above], dtype=np.int64)
