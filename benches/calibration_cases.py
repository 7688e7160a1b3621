"""Samples whose law is known, and what the shipped code says of them: the parts that `calibration.py` puts in tables.

Each `measure_*` returns rows of p-values or verdicts; a table with 100 independent columns is 100 replications.
"""

import math

import numpy as np
import pyarrow as pa
from scipy import stats

from tidewheel import _native, drift

COLUMNS = 100
#: Zipf's law with exponent 1.2 over so many ids: in 10,000 rows about a fifth of the ids were never seen before.
IDS = 100_000
_ZIPF = np.arange(1, IDS + 1) ** -1.2
_ZIPF /= _ZIPF.sum()
_ZIPF_BELOW = np.cumsum(_ZIPF)
#: A closed vocabulary with rare names.
NAMES = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.03, 0.008, 0.002])
#: Shares of the rows that are missing, NaN and infinite.
SHARES = {"missing": 0.1, "nan": 0.05, "infinite": 0.02}


def normal(rng, n):
    return rng.normal(size=n)


def tied(rng, n):
    return rng.geometric(0.3, n).astype(float)


def rounded(rng, n):
    return np.round(rng.normal(size=n), 1)


def yes(rng, n):
    return pa.array(rng.random(n) < 0.3)


def named(rng, n, shares=NAMES):
    codes = np.searchsorted(np.cumsum(shares)[:-1], rng.random(n), side="right")
    return strings(codes, len(shares))


def zipf(rng, n):
    return pa.array(np.searchsorted(_ZIPF_BELOW, rng.random(n)).astype(np.int32)).cast(pa.string())


def strings(codes, kinds):
    names = pa.array([f"name {i}" for i in range(kinds)])
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names)


def gaps(rng, n):
    """Numbers of which some are missing, NaN and infinite."""
    values, u = rng.normal(size=n), rng.random(n)
    first, second, third = np.cumsum(list(SHARES.values()))
    values[(u >= first) & (u < second)] = np.nan
    values[(u >= second) & (u < third)] = np.inf
    return pa.array(values, mask=u < first, from_pandas=False)


def unseen_mass(n):
    """The expected share of rows whose Zipf id a reference of n rows never had."""
    return float((_ZIPF * (1 - _ZIPF) ** n).sum())


def table(rng, law, n, columns=COLUMNS):
    return {f"c{i}": law(rng, n) for i in range(columns)}


def pvalues(report, part):
    """The p-values of one part (or of whole columns); 1 where the column had no such rows."""
    if part == "column":
        return [column.pvalue for column in report.columns]
    found = ({one.name: one.pvalue for one in column.parts} for column in report.columns)
    return [parts.get(part, 1.0) for parts in found]


def measure_table(rng, law, n, m, replications, parts):
    """Compare undrifted tables; return the p-values of each part."""
    found = {part: [] for part in parts}
    for _ in range(math.ceil(replications / COLUMNS)):
        report = drift.compare(table(rng, law, n), table(rng, law, m), threads=1)
        for part in parts:
            found[part].extend(pvalues(report, part))
    return found


def measure_psi(rng, law, n, m, replications):
    """Compute the p-values of the index of undrifted samples."""
    return [drift.psi(law(rng, n), law(rng, m), threads=1).pvalue for _ in range(replications)]


# Attainable sizes: a discrete statistic can reject with few probabilities alone


def attainable_ks(n, m, level=0.05):
    """The largest probability up to the level that the exact test of untied samples can have."""
    steps = math.lcm(n, m)
    low, high = 0, steps
    while low < high:
        middle = (low + high) // 2
        passes = _native.ks_pvalue(middle / steps, n, m, "two-sided", "exact")[0] <= level
        low, high = (low, middle) if passes else (middle + 1, high)
    return _native.ks_pvalue(low / steps, n, m, "two-sided", "exact")[0]


def attainable_fisher(n, m, share, level=0.05):
    """The probability that Fisher's test rejects when both samples have this share, by adding up all tables."""
    size, spread = 0.0, 10 * math.sqrt((n + m) * share * (1 - share)) + 10
    low, high = max(0, int((n + m) * share - spread)), min(n + m, int((n + m) * share + spread))
    for total in range(low, high + 1):
        count = np.arange(max(0, total - m), min(total, n) + 1)
        weights = stats.hypergeom.pmf(count, n + m, total, n)
        order = np.argsort(weights, kind="stable")
        tail = np.cumsum(weights[order])
        # Tables as likely as this one count too, as in the test itself.
        reach = np.searchsorted(weights[order], weights * (1 + 1e-7), side="right") - 1
        size += stats.binom.pmf(total, n + m, share) * weights[tail[reach] <= level].sum()
    return float(size)


# Rows in units


def unit_sizes(rng, units, rows, *, equal):
    return np.full(units, rows) if equal else np.maximum(2, rng.exponential(rows, units)).astype(int)


def clustered(rng, sizes, rho, columns):
    """Columns whose rows correlate by rho within a unit: a share, names, a normal law, and gaps."""
    unit = np.repeat(np.arange(len(sizes)), sizes)
    made = {"unit": unit}
    for i in range(columns):
        mean = rng.normal(0, math.sqrt(rho), len(sizes))
        made[f"numbers {i}"] = mean[unit] + rng.normal(0, math.sqrt(1 - rho), len(unit))
        for kind, shares in (("names", NAMES[:6] / NAMES[:6].sum()), ("share", np.array([0.7, 0.3]))):
            own = rng.dirichlet(shares * (1 / rho - 1), len(sizes)).cumsum(axis=1)[unit]
            codes = (rng.random(len(unit))[:, None] > own[:, :-1]).sum(axis=1)
            made[f"{kind} {i}"] = strings(codes, len(shares))
        made[f"gaps {i}"] = pa.array(np.zeros(len(unit)), mask=codes == 1, from_pandas=False)
    return made


def measure_units(rng, units, rows, rho, replications, *, equal):
    """Compare undrifted tables whose rows come in units; return p-values per kind, and the naive ones of numbers."""
    columns = 25
    found = {kind: [] for kind in ("numbers", "names", "share", "gaps", "naive")}
    for _ in range(math.ceil(replications / columns)):
        sides = [clustered(rng, unit_sizes(rng, k, rows, equal=equal), rho, columns) for k in units]
        report = drift.compare(*sides, unit="unit", threads=1)
        for column in report.columns:
            kind = column.name.split()[0]
            found[kind].append(column.parts[-1 if kind == "gaps" else 0].pvalue)
        naive = drift.compare(*sides, columns=[f"numbers {i}" for i in range(columns)], threads=1)
        found["naive"].extend(pvalues(naive, "column"))
    return found


# Rows that count with weights


def measure_weights(rng, law, n, m, replications, parts, spread):
    """Compare undrifted tables whose rows have log-normal weights that say nothing of the values; return each part's p."""
    columns = 20
    found = {part: [] for part in parts}
    for _ in range(math.ceil(replications / columns)):
        sides = [
            table(rng, law, rows, columns) | {"weight": rng.lognormal(0, spread, rows)} for rows in (n, m)
        ]
        report = drift.compare(*sides, weights="weight", threads=1)
        for part in parts:
            found[part].extend(pvalues(report, part))
    return found


# The index as the statistic that decides

DECILES = {
    "normal law, shifted": lambda x, moved: stats.norm.cdf(x, moved),
    "normal law, wider": lambda x, moved: stats.norm.cdf(x, 0, 1 + moved),
}


def move_to(law, index):
    """Find how far a law must move for its index over deciles to be this one."""
    below = stats.norm.ppf(np.arange(1, 10) / 10)
    even = np.full(10, 0.1)
    low, high = 0.0, 5.0
    for _ in range(60):
        middle = (low + high) / 2
        shares = np.diff(np.concatenate([[0], law(below, middle), [1]]))
        low, high = (middle, high) if index_of(even, shares) < index else (low, middle)
    return low


def index_of(p, q):
    return float(((p - q) * np.log(p / q)).sum())


def measure_index(rng, law, index, n, m, replications):
    """Let the index decide on columns whose own one, over the bins they have, is the threshold; return verdicts and p."""
    moved, verdicts, found = move_to(law, index) if index else 0.0, [], []
    center, width = (moved, 1.0) if law is DECILES["normal law, shifted"] else (0.0, 1 + moved)
    for _ in range(math.ceil(replications / COLUMNS)):
        reference = {f"c{i}": rng.normal(size=n) for i in range(COLUMNS)}
        current = {f"c{i}": rng.normal(center, width, m) for i in range(COLUMNS)}
        limits = {}
        for name, values in reference.items():
            inner = drift.fit_bins(values, threads=1).edges[1:-1]
            p, q = (np.diff(np.concatenate([[0], law(inner, one), [1]])) for one in (0.0, moved))
            limits[name] = min(max(index_of(p, q), 1e-6), 0.999)
        report = drift.compare(reference, current, decide_by="psi", thresholds=limits, threads=1)
        verdicts += [column.verdict for column in report.columns]
        found += [column.parts[0].pvalue for column in report.columns]
    return np.array(verdicts), np.array(found)


# Many columns


def measure_discoveries(rng, correlation, shifted, method, replications, columns=200, rows=500):
    """Return each table's share of false discoveries among those made, some columns being shifted."""
    shift = np.where(np.arange(columns) < shifted, 0.3, 0.0)
    shares = []
    for _ in range(replications):
        sides = []
        for moved in (np.zeros(columns), shift):
            common = rng.normal(size=(rows, 1)) * math.sqrt(correlation)
            sides.append(common + rng.normal(size=(rows, columns)) * math.sqrt(1 - correlation) + moved)
        report = drift.compare(*sides, correction=method, threads=1)
        found = np.array([column.pvalue_corrected <= 0.05 for column in report.columns])
        shares.append(found[shifted:].sum() / max(1, found.sum()))
    return shares


# Effects exactly at their thresholds


def _shifted(rng, n, moved):
    return rng.normal(2 * stats.norm.ppf(0.55) * moved, 1, n)


def _tail(rng, n, moved):
    return rng.normal(size=n) + 100 * (rng.random(n) < 0.1 * moved)


def _squeezed(rng, n, moved):
    # F - G is 0.1 over half of the range, so chance finds its largest value anywhere there.
    u = rng.random(n)
    return np.where(u < 0.1 * moved, u, 1 + u)


def _two_values(rng, n, moved):
    return (rng.random(n) < 0.5 + 0.1 * moved).astype(float)


def _two_names(rng, n, moved):
    return named(rng, n, np.array([0.5 + 0.1 * moved, 0.5 - 0.1 * moved]))


def _ten_names(rng, n, moved):
    return named(rng, n, 0.1 + 0.02 * moved * np.repeat([1, -1], 5))


def _ids(rng, n, moved):
    # A tenth of all rows leaves the other ids, in proportion, for the most frequent one.
    codes = np.searchsorted(_ZIPF_BELOW, rng.random(n))
    codes[rng.random(n) < moved * 0.1 / (1 - _ZIPF[0])] = 0
    return pa.array(codes.astype(np.int32)).cast(pa.string())


def _missing(base):
    def law(rng, n, moved):
        return pa.array(rng.normal(size=n), mask=rng.random(n) < base + 0.05 * moved, from_pandas=False)

    return law


def _unseen(rng, n, moved):
    codes = np.searchsorted(_ZIPF_BELOW, rng.random(n))
    new = rng.random(n) < moved
    codes[new] = IDS + rng.integers(0, 20, new.sum())
    return pa.array(codes.astype(np.int32)).cast(pa.string())


AT_THRESHOLD = {
    "numbers: normal law shifted": _shifted,
    "numbers: a tenth far away": _tail,
    "numbers: D on a plateau": _squeezed,
    "numbers: two values": _two_values,
    "names: two": _two_names,
    "names: ten": _ten_names,
    "names: Zipf ids to the first": _ids,
    "share: missing 0 and 0.05": _missing(0.0),
    "share: missing 0.1 and 0.15": _missing(0.1),
    "share: missing 0.5 and 0.55": _missing(0.5),
    "unseen: 20 new ids": _unseen,
}


def measure_threshold(rng, law, n, m, replications):
    """Return whether each column at its threshold was said to have drifted."""
    moved = 0.05 / (1 - unseen_mass(n)) if law is _unseen else 1.0
    said = []
    for _ in range(math.ceil(replications / COLUMNS)):
        reference = {f"c{i}": law(rng, n, 0.0) for i in range(COLUMNS)}
        current = {f"c{i}": law(rng, m, moved) for i in range(COLUMNS)}
        said.extend(c.verdict == "drifted" for c in drift.compare(reference, current, threads=1).columns)
    return said
