"""NannyML's rules for one column: scores against a fitted reference, thresholds from the reference's own chunks.

The tool watches a stream in chunks. Here the current table is one chunk; the reference is cut as its default does, in
chunks of a tenth of the rows, and one more of the rows left over. Held to numbers of the real tool
(`tests/drift/golden/nannyml.json`).
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from tidewheel import _native
from tidewheel.drift.peers import samples
from tidewheel.drift.peers.samples import Array, Sample, Shares
from tidewheel.drift.report.records import PeerDrift
from tidewheel.drift.statistics.ks import ks
from tidewheel.drift.statistics.wasserstein import wasserstein

TOOL, VERSION = "nannyml", "0.13.1"
DIFFERENCE = (
    f"NannyML {VERSION} scores the current table as one chunk and alarms beyond the mean plus three standard deviations of "
    "the scores of about ten chunks of the reference, each compared with the whole it is part of, whatever their sizes; "
    "ours needs significance after correction and an effect beyond its threshold."
)

#: Its default number of chunks, and how many standard deviations above their mean it alarms.
_CHUNKS, _DEVIATIONS = 10, 3.0
#: From so many reference values on it bins numbers, in so many bins.
_LARGE, _FINE_BINS = 10_000, 10_000
_LEVEL = 0.05

Score = Callable[[Array], float]


def _js_of_bins(reference: Array) -> Score:
    p, count = _fit_bins(reference)
    return lambda chunk: samples.jensen_shannon(*_with_rest(p, count(chunk))) / float(np.sqrt(np.log(2)))


def _hellinger_of_bins(reference: Array) -> Score:
    p, count = _fit_bins(reference)
    return lambda chunk: _hellinger(*_with_rest(p, count(chunk)))


def _fit_bins(reference: Array) -> tuple[Shares, Callable[[Array], Shares]]:
    edges = np.histogram_bin_edges(reference.astype(np.float64), bins="doane")

    def count(values: Array) -> Shares:
        return np.histogram(values, edges)[0] / len(values)

    return count(reference), count


def _hellinger(p: Shares, q: Shares) -> float:
    return float(np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum()) / np.sqrt(2))


def _with_rest(p: Shares, q: Shares) -> tuple[Shares, Shares]:
    """Give what lies in no bin, or has no name in the reference, one place together."""
    rest = 1 - q.sum()
    return (np.append(p, 0.0), np.append(q, rest)) if rest > 0 else (p, q)


def _ks(reference: Array) -> Score:
    if len(reference) < _LARGE:
        return lambda chunk: ks(reference, chunk, method="asymp").statistic
    edges = np.linspace(reference.min(), reference.max(), _FINE_BINS + 1)

    def cumulate(values: Array) -> Shares:
        below = np.count_nonzero(values < edges[0])
        return (below + np.histogram(values, edges)[0].cumsum()) / len(values)

    fitted = cumulate(reference)
    return lambda chunk: float(np.abs(fitted - cumulate(chunk)).max())


def _wasserstein(reference: Array) -> Score:
    if not np.isfinite(reference).all():
        return lambda chunk: float("nan")
    if len(reference) < _LARGE:
        return lambda chunk: _finite_wasserstein(reference, chunk)
    counts, edges = np.histogram(reference, _FINE_BINS)
    fitted = counts.cumsum() / len(reference)

    def score(chunk: Array) -> float:
        low, high = chunk[chunk < edges[0]], chunk[chunk > edges[-1]]
        # One row too many on the lower side is the tool's: the edge itself counts as a row.
        share_low = (len(low) + 1) / len(chunk) if len(low) else 0.0
        cumulated = np.histogram(chunk, edges)[0].cumsum() / len(chunk) + share_low
        within = float(np.abs(fitted - cumulated).sum() * (edges[1] - edges[0]))
        outside = float((edges[0] - low).sum() + (high - edges[-1]).sum()) / len(chunk)
        return within + outside

    return score


def _finite_wasserstein(reference: Array, chunk: Array) -> float:
    return wasserstein(reference, chunk).statistic if np.isfinite(chunk).all() else float("nan")


def _js_of_names(p: Shares) -> Score:
    return lambda q: samples.jensen_shannon(*_with_rest(p, q[: len(p)])) / float(np.sqrt(np.log(2)))


def _hellinger_of_names(p: Shares) -> Score:
    return lambda q: _hellinger(*_with_rest(p, q[: len(p)]))


def _l_infinity(p: Shares) -> Score:
    return lambda q: float(np.abs(np.append(p, np.zeros(len(q) - len(p))) - q).max())


_NUMERIC = {
    "jensen_shannon": (_js_of_bins, "Jensen-Shannon distance in bits on the reference's equal-width bins"),
    "kolmogorov_smirnov": (
        _ks,
        "D of Kolmogorov-Smirnov, from 10,000 reference values on over equal-width bins",
    ),
    "wasserstein": (
        _wasserstein,
        "Wasserstein distance, from 10,000 reference values on over equal-width bins",
    ),
    "hellinger": (_hellinger_of_bins, "Hellinger distance on the reference's equal-width bins"),
}
_CATEGORICAL = {
    "jensen_shannon": (_js_of_names, "Jensen-Shannon distance in bits, unseen names together"),
    "hellinger": (_hellinger_of_names, "Hellinger distance, unseen names together"),
    "l_infinity": (_l_infinity, "largest difference between shares of a name"),
}
#: Methods whose score cannot be above this.
_LIMITS = {"kolmogorov_smirnov": 1.0}
_CHI2 = "chi2"
_BINNED = ("jensen_shannon", "hellinger")
METHODS = {"numeric": tuple(_NUMERIC), "categorical": (*_CATEGORICAL, _CHI2)}


def judge(reference: Sample, current: Sample, methods: Mapping[str, str]) -> PeerDrift:
    """Give NannyML's method, score, threshold and verdict for a column, the current table being one chunk."""
    kind = "numeric" if reference.kind in ("float", "int", "uint") else "categorical"
    if kind == "categorical" and reference.kind not in ("string", "boolean"):
        return _unknown("", "NannyML leaves out columns of this type")
    method = methods.get(kind, "jensen_shannon")
    if not reference.there.any() or not current.there.any():
        return _unknown(method, "NannyML's number is NaN for a side without values, and no alarm follows")
    if len(reference.values) < _CHUNKS:
        return _unknown(method, f"NannyML raises on a reference of fewer than {_CHUNKS} rows")
    if kind == "categorical":
        return _judge_names(reference, current, method)
    return _judge_numbers(reference, current, method)


def _unknown(method: str, note: str) -> PeerDrift:
    return PeerDrift(TOOL, VERSION, method, None, None, None, note)


def _judge_numbers(reference: Sample, current: Sample, method: str) -> PeerDrift:
    values = reference.present
    is_binned = method in _BINNED or (method == "kolmogorov_smirnov" and len(values) >= _LARGE)
    if is_binned and not np.isfinite(values).all():
        return _unknown(method, "NannyML raises on infinite reference values with this method")
    fit, says = _NUMERIC[method]
    score = fit(values)
    chunks = [score(values) for values in _cut(reference.values, reference.there) if len(values)]
    return _decide(method, score(current.present), chunks, says)


def _judge_names(reference: Sample, current: Sample, method: str) -> PeerDrift:
    r, c, known, total = samples.encode(reference.present, current.present)
    p, q = np.bincount(r, minlength=total), np.bincount(c, minlength=total)
    if method == _CHI2:
        return _judge_chi2(p, q)
    fit, says = _CATEGORICAL[method]
    score = fit(p[:known] / len(r))
    codes = np.zeros(len(reference.values), dtype=np.int64)
    codes[reference.there] = r
    chunks = [
        score(np.bincount(values, minlength=total) / len(values))
        for values in _cut(codes, reference.there)
        if len(values)
    ]
    return _decide(method, score(q / len(c)), chunks, says)


def _judge_chi2(reference: Array, current: Array) -> PeerDrift:
    table = np.array([reference, current], dtype=np.float64)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    df = table.shape[1] - 1
    away = np.abs(table - expected)
    if df == 1:
        away = away - np.minimum(0.5, away)  # Yates' correction
    statistic = float((away**2 / expected).sum())
    p = _native.chi2_sf(statistic, df) if df else 1.0
    says = (
        f"chi-square, which alarms by its p of {p:.3g} below {_LEVEL}; with Yates' correction for two names"
    )
    return PeerDrift(TOOL, VERSION, _CHI2, statistic, None, p < _LEVEL, says)


def _cut(values: Array, there: Array) -> Iterator[Array]:
    """Cut as its default chunker does: tenths of the rows, and what is left over as a chunk of its own."""
    size = len(values) // _CHUNKS
    for start in range(0, len(values), size):
        yield values[start : start + size][there[start : start + size]]


def _decide(method: str, score: float, chunks: list[float], says: str) -> PeerDrift:
    threshold = float(np.mean(chunks) + _DEVIATIONS * np.std(chunks))
    if not (np.isfinite(score) and np.isfinite(threshold)):
        return _unknown(method, "NannyML's number is not defined here, and no alarm follows")
    threshold = min(threshold, _LIMITS.get(method, threshold))
    return PeerDrift(TOOL, VERSION, method, score, threshold, score > threshold, says)
