"""Evidently's rules for one column: its choice of method by type and size, its scores and fixed thresholds.

Held to numbers of the real tool (`tests/drift/golden/evidently.json`). The statistics are theirs, not ours: chi-square
takes the reference as exact, PSI counts equal-width bins over both samples together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tidewheel import _native
from tidewheel.drift.peers import samples
from tidewheel.drift.peers.samples import Array, Sample, Shares
from tidewheel.drift.report.records import PeerDrift
from tidewheel.drift.statistics.ks import ks
from tidewheel.drift.statistics.wasserstein import wasserstein

TOOL, VERSION = "evidently", "0.7.23"
DIFFERENCE = (
    f"Evidently {VERSION} picks a method by the reference's size (up to 1,000 rows tests, beyond it distances) and holds it "
    "to a fixed threshold, whatever the sample size and the number of columns; ours needs significance after correction and "
    "an effect beyond its threshold."
)

#: Integers of so few distinct current values count as categories, strings of distinct values beyond this share as text.
_FEW_INTEGERS, _TEXT_SHARE = 10, 0.5
#: Up to so many reference rows the default is a test, beyond it a distance.
_SMALL = 1_000
#: Numbers of so few values in both samples are compared as categories; binned from more than so many in the reference.
_FEW_VALUES, _BINNED_BEYOND = 5, 20
#: What an empty bin counts for: this share, or a millionth of the least one where that is no more.
_EMPTY, _LEAST_PART = 1e-4, 1e-6
#: The reference's standard deviation counts for at least this.
_LEAST_DEVIATION = 1e-3


def _ks(r: Array, c: Array, is_number: bool) -> float:
    return ks(r, c).pvalue


def _wasserstein(r: Array, c: Array, is_number: bool) -> float:
    # The variance is summed in double precision, then has the precision of the values again.
    variance = r.var(dtype=np.float64).astype(r.dtype if r.dtype.kind == "f" else np.float64)
    return wasserstein(r, c).statistic / max(float(np.sqrt(variance)), _LEAST_DEVIATION)


def _chisquare(r: Array, c: Array, is_number: bool) -> float:
    expected, observed = _name_shares(r, c)
    if len(expected) == 1:
        return float("nan")
    if (expected == 0).any():
        return 0.0
    return _native.chi2_sf(float(((observed - expected) ** 2 / expected).sum() * len(c)), len(expected) - 1)


def _z(r: Array, c: Array, is_number: bool) -> float:
    names = np.unique(np.concatenate([r, c]))
    if len(names) == 1:
        return 1.0
    n, m = len(r), len(c)
    p, q = (float(np.mean(side != names[0])) for side in (r, c))
    pooled = (p * n + q * m) / (n + m)
    return 2 * _native.normal_sf(abs(p - q) / float(np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))))


def _psi(r: Array, c: Array, is_number: bool) -> float:
    p, q = (_fill(side) for side in _shares(r, c, is_number))
    return float(((p - q) * np.log(p / q)).sum())


def _kl(r: Array, c: Array, is_number: bool) -> float:
    return samples.kullback_leibler(*(_fill(side) for side in _shares(r, c, is_number)))


def _js(r: Array, c: Array, is_number: bool) -> float:
    return samples.jensen_shannon(*_shares(r, c, is_number))


def _hellinger(r: Array, c: Array, is_number: bool) -> float:
    if is_number:
        # The number of bins follows from the number of distinct values, not of rows.
        edges = np.histogram_bin_edges(np.unique(np.concatenate([r, c])), bins="sturges")
        p, q = (np.histogram(side, edges)[0] / len(side) for side in (r, c))
    else:
        p, q = _name_shares(r, c)
    return float(np.sqrt(1 - np.clip(np.sqrt(p * q).sum(), 0, 1)))


def _shares(r: Array, c: Array, is_number: bool) -> tuple[Shares, Shares]:
    if not (is_number and samples.has_more_than(_BINNED_BEYOND, r)):
        return _name_shares(r, c)
    edges = np.histogram_bin_edges(np.concatenate([r, c]), bins="sturges")
    p, q = (np.histogram(side, edges)[0] / len(side) for side in (r, c))
    return p, q


def _name_shares(r: Array, c: Array) -> tuple[Shares, Shares]:
    one, other, _, total = samples.encode(r, c)
    return np.bincount(one, minlength=total) / len(r), np.bincount(other, minlength=total) / len(c)


def _fill(shares: Shares) -> Shares:
    least = shares[shares > 0].min()
    return np.where(shares > 0, shares, least * _LEAST_PART if least <= _EMPTY else _EMPTY)


@dataclass(frozen=True, slots=True)
class _Rule:
    score: Callable[[Array, Array, bool], float]
    threshold: float
    drifted: Callable[[float, float], bool]
    is_binned: bool
    says: str


_RULES = {
    "ks": _Rule(_ks, 0.05, lambda p, t: p <= t, False, "p of Kolmogorov-Smirnov, not corrected over columns"),
    "chisquare": _Rule(
        _chisquare, 0.05, lambda p, t: p < t, False, "p of chi-square with the reference as exact"
    ),
    "z": _Rule(_z, 0.05, lambda p, t: p < t, False, "p of a z test of the share of one value"),
    "wasserstein": _Rule(
        _wasserstein, 0.1, lambda s, t: s >= t, False, "Wasserstein over the reference's standard deviation"
    ),
    "psi": _Rule(_psi, 0.1, lambda s, t: s >= t, True, "PSI on equal-width bins of both samples together"),
    "jensenshannon": _Rule(_js, 0.1, lambda s, t: s >= t, True, "Jensen-Shannon distance in nats"),
    "kl_div": _Rule(
        _kl, 0.1, lambda s, t: s >= t, True, "Kullback-Leibler divergence with empty bins filled"
    ),
    "hellinger": _Rule(_hellinger, 0.1, lambda s, t: s >= t, True, "Hellinger distance"),
}
_BINNED = tuple(name for name, rule in _RULES.items() if rule.is_binned)
METHODS = {
    "numeric": ("ks", "wasserstein", *_BINNED),
    "categorical": ("chisquare", "z", *_BINNED),
}

_NOT_REPRODUCED = {
    "text": "Evidently reads it as text and trains a classifier of words, which is not reproduced",
    "unknown": "Evidently leaves out columns of this type",
}


def judge(reference: Sample, current: Sample, methods: Mapping[str, str]) -> PeerDrift:
    """Give Evidently's method, score, threshold and verdict for a column."""
    kind = _kind(current)
    if kind not in METHODS:
        return _unknown("", _NOT_REPRODUCED[kind])
    r, c = reference.present, current.present
    infinite = any(side.dtype.kind == "f" and not np.isfinite(side).all() for side in (r, c))
    if infinite:
        r, c = (side[np.isfinite(side)] for side in (r, c))
    if not len(r) or not len(c):
        return _unknown("", "Evidently raises on a column without values and gives no report")
    is_number = kind == "numeric"
    method = methods.get(kind) or _default(r, c, is_number)
    rule = _RULES[method]
    if infinite and rule.is_binned:
        return _unknown(method, "Evidently raises on infinite values with this method and gives no report")
    score = rule.score(r, c, is_number)
    if not np.isfinite(score):
        return _unknown(method, "Evidently's number is not defined here, and counts as not drifted there")
    return PeerDrift(
        TOOL, VERSION, method, score, rule.threshold, rule.drifted(score, rule.threshold), rule.says
    )


def _unknown(method: str, note: str) -> PeerDrift:
    return PeerDrift(TOOL, VERSION, method, None, None, None, note)


def _kind(current: Sample) -> str:
    """Say what Evidently takes a column for, by the current table as pandas holds it."""
    values = current.present
    # Integers with gaps are floats in pandas; booleans with gaps are objects, of which it makes nothing.
    if current.kind == "float" or (current.kind in ("int", "uint") and current.has_gaps):
        return "numeric"
    if current.kind == "int":
        return "numeric" if samples.has_more_than(_FEW_INTEGERS, values) else "categorical"
    if current.kind == "string" and len(values):
        return "text" if len(set(values.tolist())) > len(values) * _TEXT_SHARE else "categorical"
    if current.kind == "boolean" and not current.has_gaps:
        return "categorical"
    return "unknown"


def _default(r: Array, c: Array, is_number: bool) -> str:
    if is_number and samples.has_more_than(_FEW_VALUES, r, c):
        return "ks" if len(r) <= _SMALL else "wasserstein"
    if len(r) > _SMALL:
        return "jensenshannon"
    return "chisquare" if samples.has_more_than(2, r, c) else "z"
