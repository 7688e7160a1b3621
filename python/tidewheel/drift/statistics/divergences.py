"""How far apart two samples' shares are over the same bins: divergences, distances and contingency tests.

Each function takes two samples (numbers are binned at the reference's quantiles, strings by category, as in `psi.psi`) or,
with `counts=True`, two vectors of counts. Bins empty on both sides are left out first. All sums have terms of at least 0, so
nothing cancels, and differences of whole counts are taken in integers. Counting is in `bins.count_both`; the index with a
law of its own is `psi.psi`; distances without bins are in `wasserstein` and `rank_tests`.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift import arguments
from tidewheel.drift.statistics import psi_law, vocabulary
from tidewheel.drift.statistics.bins import check_filled, count_both, read_counts
from tidewheel.drift.statistics.psi import check_smoothing
from tidewheel.drift.statistics.results import BinnedCounts, ContingencyResult, DivergenceResult
from tidewheel.errors import InputError

_Bins = int | Sequence[float] | npt.NDArray[Any]


def kl_divergence(
    reference: object,
    current: object,
    *,
    counts: bool = False,
    bins: _Bins = 10,
    strategy: str = "quantile",
    smoothing: str | float = "jeffreys",
    base: float = math.e,
    threads: int | None = None,
) -> DivergenceResult:
    """Compute the Kullback-Leibler divergence of the current sample's shares from the reference's.

    `KL = sum_i p_i ln(p_i / q_i) / ln(base)`, where p_i and q_i are the reference's and the current sample's smoothed
    shares of bin i: natural logarithms, hence nats, unless `base` says otherwise. It is summed as `p ln(p/q) + q - p`,
    whose terms are at least 0. Swapping the samples gives another number. Bins empty on both sides are left out before
    smoothing. Missing, NaN and infinite values belong to no bin and are counted in the result.

    Args:
        reference: One-dimensional numbers or strings, or the `ReferenceBins` of an earlier `fit_bins`; with `counts` one
            number per bin, finite and at least 0.
        current: One-dimensional, of the same kind; with `counts` of the same length.
        counts: True when both are vectors of counts; `bins` and `strategy` are then unused.
        bins: As in `fit_bins`; unused for strings and with `ReferenceBins`.
        strategy: As in `fit_bins`.
        smoothing: As in `psi`; with a number the raised shares are divided by their sum. With "none" a bin that only the
            current sample leaves empty makes the divergence infinite.
        base: Base of the logarithm, above 1.
        threads: Most threads to use.

    Returns:
        The divergence, the bins and the counts.

    Raises:
        InputError: a side without a finite value (or string, or count); counts that are negative, not finite or of another
            length; a `base` of 1 or less; `bins`, edges or a clip that are not acceptable.
        UnknownNameError: an unknown `strategy` or `smoothing`.
        InputTypeError: numbers on one side and strings on the other, or counts that are not numbers.

    Cost: O(n + m), as `psi`; with `counts` O(B).

    Source: Kullback and Leibler, Annals of Mathematical Statistics 22 (1951) 79-86. `scipy.stats.entropy(p, q, base)` gives
    the same number for the smoothed shares.

    Example:
        >>> from tidewheel import drift
        >>> round(drift.kl_divergence([2, 2], [1, 3], counts=True, smoothing="none").statistic, 6)
        0.143841
    """
    check_smoothing(smoothing)
    scale = _log_scale(base)
    binned = _count(reference, current, counts, bins, strategy, threads)
    p, q = _smoothed(binned, smoothing)
    return DivergenceResult(_native.sum_deviance(p, q) / scale, smoothing, binned)


def jensen_shannon(
    reference: object,
    current: object,
    *,
    counts: bool = False,
    bins: _Bins = 10,
    strategy: str = "quantile",
    base: float = math.e,
    threads: int | None = None,
) -> DivergenceResult:
    """Compute the Jensen-Shannon distance, the square root of the divergence of that name.

    `JS = sqrt((KL(p, m) + KL(q, m)) / 2)` with `m = (p + q) / 2`, p and q being the plain shares c / n: natural logarithms
    unless `base` says otherwise. It lies between 0 and sqrt(ln 2 / ln base), which is 1 for `base=2`. Empty bins need no
    smoothing. Its square is the divergence.

    Args, Raises and Cost: as in `kl_divergence`, which has `smoothing` besides.

    Returns:
        The distance, the bins and the counts.

    Source: Lin, IEEE Transactions on Information Theory 37 (1991) 145-151. `scipy.spatial.distance.jensenshannon(p, q,
    base)` gives the same number, with larger rounding errors where the samples hardly differ.

    Example:
        >>> from tidewheel import drift
        >>> drift.jensen_shannon([5, 0], [0, 9], counts=True, base=2).statistic
        1.0
    """
    scale = _log_scale(base)
    binned = _count(reference, current, counts, bins, strategy, threads)
    distance = jensen_shannon_of_counts(binned.reference, binned.current) / math.sqrt(scale)
    return DivergenceResult(distance, "none", binned)


def jensen_shannon_of_counts(reference: Sequence[float], current: Sequence[float]) -> float:
    """Compute the distance of two vectors of counts in natural logarithms; see `jensen_shannon`."""
    n, m = sum(reference), sum(current)
    used = [(r / n, c / m) for r, c in zip(reference, current, strict=True) if r or c]
    p, q = [r for r, _ in used], [c for _, c in used]
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return math.sqrt((_native.sum_deviance(p, middle) + _native.sum_deviance(q, middle)) / 2)


def hellinger(
    reference: object,
    current: object,
    *,
    counts: bool = False,
    bins: _Bins = 10,
    strategy: str = "quantile",
    threads: int | None = None,
) -> DivergenceResult:
    """Compute the Hellinger distance.

    `H = sqrt(sum_i (sqrt p_i - sqrt q_i)^2 / 2)`, p and q being the plain shares c / n; between 0 and 1, and 1 when no bin
    is used by both. The differences are taken as `(p - q) / (sqrt p + sqrt q)`. Empty bins need no smoothing.

    Args, Raises and Cost: as in `kl_divergence`, which has `smoothing` and `base` besides.

    Returns:
        The distance, the bins and the counts.

    Source: Hellinger, Journal fuer die reine und angewandte Mathematik 136 (1909) 210-271.

    Example:
        >>> from tidewheel import drift
        >>> round(drift.hellinger([9, 1], [1, 9], counts=True).statistic, 6)
        0.632456
    """
    binned = _count(reference, current, counts, bins, strategy, threads)
    p, q = _smoothed(binned, "none")
    terms = (
        (difference / (math.sqrt(a) + math.sqrt(b))) ** 2
        for difference, a, b in zip(_differences(binned), p, q, strict=True)
    )
    return DivergenceResult(math.sqrt(min(1.0, math.fsum(terms) / 2)), "none", binned)


def total_variation(
    reference: object,
    current: object,
    *,
    counts: bool = False,
    bins: _Bins = 10,
    strategy: str = "quantile",
    threads: int | None = None,
) -> DivergenceResult:
    """Compute the total variation distance: the largest difference that any set of bins has between the samples' shares.

    `TV = sum_i |p_i - q_i| / 2`, p and q being the plain shares c / n; between 0 and 1. Empty bins need no smoothing.

    Args, Raises and Cost: as in `kl_divergence`, which has `smoothing` and `base` besides.

    Returns:
        The distance, the bins and the counts.

    Source: Levin and Peres, Markov Chains and Mixing Times (2017), chapter 4.

    Example:
        >>> from tidewheel import drift
        >>> drift.total_variation(["a", "a", "b", "b"], ["a", "b", "b", "b"]).statistic
        0.25
    """
    binned = _count(reference, current, counts, bins, strategy, threads)
    total = math.fsum(abs(difference) for difference in _differences(binned))
    return DivergenceResult(min(1.0, total / 2), "none", binned)


def l_infinity(
    reference: object,
    current: object,
    *,
    counts: bool = False,
    bins: _Bins = 10,
    strategy: str = "quantile",
    threads: int | None = None,
) -> DivergenceResult:
    """Compute the L-infinity distance: the largest difference of the shares of one bin.

    `max_i |p_i - q_i|`, p and q being the plain shares c / n; between 0 and 1. Empty bins need no smoothing.

    Args, Raises and Cost: as in `kl_divergence`, which has `smoothing` and `base` besides.

    Returns:
        The distance, the bins and the counts.

    Source: the norm of that name; TensorFlow Data Validation compares categories by it.

    Example:
        >>> from tidewheel import drift
        >>> drift.l_infinity([5, 3, 2], [5, 1, 4], counts=True).statistic
        0.2
    """
    binned = _count(reference, current, counts, bins, strategy, threads)
    largest = max(abs(difference) for difference in _differences(binned))
    return DivergenceResult(largest, "none", binned)


def chi_square(
    reference: object,
    current: object,
    *,
    counts: bool = False,
    bins: _Bins = 10,
    strategy: str = "quantile",
    threads: int | None = None,
) -> ContingencyResult:
    """Test by Pearson's chi-square whether two samples have the same shares, taking both as samples.

    `X^2 = sum_i (r_i m - c_i n)^2 / (n m (r_i + c_i))`, r and c being the counts and n and m their sums: the contingency
    table of two rows, without correction for continuity. Bins empty on both sides leave the sum and the B - 1 degrees of
    freedom; with one bin left X^2 is 0 and p is 1. The law is asymptotic: it wants about five expected rows in each bin.

    On samples of numbers the bins are laid on the reference, which the law does not know: p is too small for small
    references (n = 50, m = 5,000 and ten bins without drift: 16 % fall under 0.05). `psi` and `ks` do not have that fault.

    Of strings the reference names the classes, its 50 most frequent and one for all others. Where there are others (more
    than 50 names, or unseen ones beside names that the reference has once), names that are among the 50 by chance join
    them, as `compare` has it (`vocabulary.gather_chance`): on ids p would be 1e-6 and less without any drift. `binned` has
    the classes that were tested. What moves among the others is not tested; `compare` does that too.

    Args, Raises and Cost: as in `kl_divergence`, which has `smoothing` and `base` besides.

    Returns:
        The statistic, its p-value and degrees of freedom, the bins and the counts.

    Source: `scipy.stats.chi2_contingency(table, correction=False)` gives the same numbers.

    Example:
        >>> from tidewheel import drift
        >>> result = drift.chi_square([30, 70], [45, 55], counts=True)
        >>> round(result.statistic, 6), round(result.pvalue, 6)
        (4.8, 0.02846)
    """
    binned = _gather(_count(reference, current, counts, bins, strategy, threads))
    return _contingency(chi_square_of_counts(*_used(binned)), binned)


def chi_square_of_counts(reference: Sequence[float], current: Sequence[float]) -> float:
    """Compute `X^2` of two vectors of counts without bins that are empty on both sides; see `chi_square`."""
    n, m = sum(reference), sum(current)
    return math.fsum(
        (r * m - c * n) ** 2 / (n * m * (r + c)) for r, c in zip(reference, current, strict=True)
    )


def g_test(
    reference: object,
    current: object,
    *,
    counts: bool = False,
    bins: _Bins = 10,
    strategy: str = "quantile",
    threads: int | None = None,
) -> ContingencyResult:
    """Test by the log-likelihood ratio whether two samples have the same shares, taking both as samples.

    `G = 2 sum O ln(O / E)` over both samples' bins, O being the count and `E = n (r + c) / (n + m)` (for the current sample
    with m in front) the expected one; natural logarithms. It is summed as `O ln(O/E) + E - O`, whose terms are at least 0.
    Empty bins, degrees of freedom, classes of strings and the warning about bins laid on the reference are as in
    `chi_square`; the sizes of the samples may differ.

    Args, Raises and Cost: as in `kl_divergence`, which has `smoothing` and `base` besides.

    Returns:
        The statistic, its p-value and degrees of freedom, the bins and the counts.

    Source: `scipy.stats.chi2_contingency(table, correction=False, lambda_="log-likelihood")` gives the same numbers.

    Example:
        >>> from tidewheel import drift
        >>> round(drift.g_test([30, 70], [45, 55], counts=True).statistic, 6)
        4.824672
    """
    binned = _gather(_count(reference, current, counts, bins, strategy, threads))
    reference_counts, current_counts = _used(binned)
    n, m = sum(reference_counts), sum(current_counts)
    pooled = [r + c for r, c in zip(reference_counts, current_counts, strict=True)]
    expected = [n * both / (n + m) for both in pooled] + [m * both / (n + m) for both in pooled]
    observed = list(map(float, (*reference_counts, *current_counts)))
    return _contingency(2 * _native.sum_deviance(observed, expected), binned)


def _contingency(statistic: float, binned: BinnedCounts) -> ContingencyResult:
    df = len(_used(binned)[0]) - 1
    return ContingencyResult(statistic, _native.chi2_sf(statistic, df) if df else 1.0, df, binned)


def _gather(binned: BinnedCounts) -> BinnedCounts:
    """Join strings that are named by chance to all others, where a reference has others; leave other bins as they are.

    It has them if it has more than it names, or if some of its names came once, so that there are more to come (Good and
    Turing), and did.
    """
    if binned.categories is None:
        return binned
    if not (binned.reference[-1] or (binned.current[-1] and 1 in binned.reference[:-1])):
        return binned
    r, c = (np.array(side, dtype=np.float64) for side in (binned.reference, binned.current))
    kept = vocabulary.find_kept(r, c, (float(r.sum()), float(c.sum())))
    counts = [
        (*(count for count, keep in zip(side, kept, strict=True) if keep), int(of[~kept].sum()))
        for side, of in ((binned.reference, r), (binned.current, c))
    ]
    names = [name for name, keep in zip(binned.categories, kept, strict=True) if keep]
    return replace(binned, reference=counts[0], current=counts[1], categories=(*names, binned.categories[-1]))


def _log_scale(base: float) -> float:
    arguments.check_number("base", base)
    if not 1 < base < math.inf:
        raise InputError(f"`base` must be above 1; got {base}")
    return math.log(base)


def _count(
    reference: object, current: object, counts: bool, bins: _Bins, strategy: str, threads: int | None
) -> BinnedCounts:
    arguments.check_flag("counts", counts)
    if counts:
        return read_counts(reference, current)
    binned = count_both(reference, current, bins=bins, strategy=strategy, threads=threads)
    check_filled(binned)
    return binned


def _used(binned: BinnedCounts) -> tuple[list[float], list[float]]:
    """Both sides' counts in the bins that are not empty on both."""
    pairs = [(r, c) for r, c in zip(binned.reference, binned.current, strict=True) if r or c]
    return [r for r, _ in pairs], [c for _, c in pairs]


def _differences(binned: BinnedCounts) -> list[float]:
    """`p - q` per bin in use; of whole counts each is rounded once."""
    reference, current = _used(binned)
    n, m = sum(reference), sum(current)
    return [(r * m - c * n) / (n * m) for r, c in zip(reference, current, strict=True)]


def _smoothed(binned: BinnedCounts, smoothing: str | float) -> tuple[list[float], list[float]]:
    sides = np.array(_used(binned), dtype=np.float64)
    shares = psi_law.smooth_shares(sides, np.array([[sides.shape[1]]]), smoothing)
    p, q = (shares / shares.sum(axis=1, keepdims=True)).tolist()
    return p, q
