"""Power beside other tools' rules: their statistics, at their own thresholds and at ours' false-alarm rate.

Reference of ten chunks, one current chunk, as NannyML wants it. Statistics that tidewheel has are computed by it; the others
are a few lines of NumPy. Names and defaults are those of Evidently 0.7.23 and NannyML 0.13.
"""

import numpy as np
import pyarrow as pa
from calibration_cases import NAMES, named

from tidewheel import drift

CHUNKS = 10
#: Evidently takes p-values up to so many reference rows, and distances beyond.
EVIDENTLY_TESTS_UP_TO = 1_000


def shifted(size):
    return lambda rng, n: rng.normal(size, 1, n)


def stretched(size):
    return lambda rng, n: rng.normal(0, 1 + size, n)


def tailed(size):
    return lambda rng, n: rng.normal(size=n) + 6 * (rng.random(n) < size)


def moved(size):
    shares = NAMES.copy()
    shares[0] -= size
    shares[3] += size
    return lambda rng, n: named(rng, n, shares)


#: Kinds of drift with three sizes each.
DRIFTS = {
    "numbers: mean, in sd": (shifted, (0.05, 0.1, 0.2)),
    "numbers: sd, relative": (stretched, (0.05, 0.1, 0.2)),
    "numbers: share at 6 sd": (tailed, (0.01, 0.02, 0.05)),
    "names: total variation": (moved, (0.02, 0.04, 0.08)),
}


def js_distance(p, q):
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log2(p / middle), 0) + np.where(q > 0, q * np.log2(q / middle), 0)
    return float(np.sqrt(max(0.0, terms.sum() / 2)))


def counted(reference, current):
    """Shares over the reference's bins by Doane's rule, rows beyond them in one more, or over names."""
    if isinstance(reference, pa.Array):
        sides = [np.bincount(np.asarray(side.indices), minlength=len(NAMES)) for side in (reference, current)]
    else:
        edges = np.histogram_bin_edges(reference, bins="doane")
        sides = [np.histogram(side, edges)[0] for side in (reference, current)]
        sides = [
            np.append(side, len(raw) - side.sum())
            for side, raw in zip(sides, (reference, current), strict=True)
        ]
    return [side / side.sum() for side in sides]


def nannyml(reference, current):
    """Standard deviations of the chunk's Jensen-Shannon distance above the mean of the reference's own chunks."""
    size = len(reference) // CHUNKS
    pieces = [reference[i * size : (i + 1) * size] for i in range(CHUNKS)]
    own = np.array([js_distance(*counted(reference, piece)) for piece in pieces])
    return (js_distance(*counted(reference, current)) - own.mean()) / own.std()


def evidently(reference, current):
    """Its default's statistic, larger meaning drift: 1 - p of Kolmogorov-Smirnov or chi-square, or a distance."""
    names = isinstance(reference, pa.Array)
    if len(reference) <= EVIDENTLY_TESTS_UP_TO:
        test = drift.chi_square if names else drift.ks
        return 1 - test(reference, current).pvalue
    if names:
        return js_distance(*counted(reference, current))
    return drift.wasserstein(reference, current).statistic / max(float(np.std(reference)), 0.001)


RULES = {
    "Evidently's default": (evidently, lambda n: 0.95 if n <= EVIDENTLY_TESTS_UP_TO else 0.1),
    "NannyML's default": (nannyml, lambda n: 3.0),
    "PSI above 0.1": (lambda r, c: drift.psi(r, c).statistic, lambda n: 0.1),
    "PSI above 0.2": (lambda r, c: drift.psi(r, c).statistic, lambda n: 0.2),
}


def measure(rng, law, n, m, replications):
    """Return our p-values and verdicts, and each rule's statistic, of pairs with this law as the current one."""
    null = moved(0.0) if isinstance(law(rng, 1), pa.Array) else shifted(0.0)
    pairs = [(null(rng, n), law(rng, m)) for _ in range(replications)]
    sides = ({f"c{i}": pair[side] for i, pair in enumerate(pairs)} for side in (0, 1))
    report = drift.compare(*sides, threads=1)
    found = {name: np.array([rule(*pair) for pair in pairs]) for name, (rule, _) in RULES.items()}
    found["p"] = np.array([column.pvalue for column in report.columns])
    found["drifted"] = np.array([column.verdict == "drifted" for column in report.columns])
    return found


def compare_rules(rng, kind, n, m, replications):
    """Return rows: the rule, its false alarms as shipped, then per size its power as shipped and at our false-alarm rate."""
    make, sizes = DRIFTS[kind]
    null = measure(rng, make(0.0), n, m, 2 * replications)
    drifted = [measure(rng, make(size), n, m, replications) for size in sizes]
    alarms = (null["p"] <= 0.05).mean()
    rows = [
        ("tidewheel, p at most 0.05", alarms, [((one["p"] <= 0.05).mean(),) * 2 for one in drifted]),
        ("tidewheel, `drifted`", null["drifted"].mean(), [(one["drifted"].mean(), None) for one in drifted]),
    ]
    for name, (_, threshold) in RULES.items():
        matched = np.quantile(null[name], 1 - alarms)
        at = threshold(n)
        powers = [((one[name] > at).mean(), (one[name] > matched).mean()) for one in drifted]
        rows.append((name, (null[name] > at).mean(), powers))
    return sizes, rows
