"""Compare every statistic with SciPy's and NumPy's on random cases, and print the largest deviation of each.

`make agreement` draws 108,000 cases with a fixed seed and writes `docs/agreement.md`; `tests/drift/test_agreement.py` runs
a slice of the same cases. A deviation beyond its bound is an error that names the case, so it can be drawn again. Ours is
held to the other's own definition; what the two define differently is listed at the table's end.
"""

import argparse
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import scipy
from scipy import spatial, stats

from tidewheel import drift
from tidewheel.errors import TidewheelError

SEED = 20_131_020
#: Below this SciPy's p-values lose their digits to subnormal numbers.
LEAST_P = 1e-300
#: Sums of subnormal numbers are rounded to whole multiples of this at each step.
LEAST_FLOAT = 5e-324
#: Relative.
BOUND_W1 = 1e-12
#: A p-value that is 1 but for rounding.
CERTAIN = 1 - 1e-12

_Deviations = dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """A statistic, how many cases are drawn in full, and how far each number may be off."""

    name: str
    rival: str
    cases: int
    bounds: dict[str, float]
    compare: Callable[[np.random.Generator], _Deviations]


@dataclass
class Row:
    """What the cases of one comparison showed: how often each number was compared, and its largest deviation."""

    comparison: Comparison
    largest: dict[str, float]
    compared: dict[str, int]


SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "normal": lambda z: z,
    "many decades": lambda z: np.exp(6 * z),
    "heavy tails": lambda z: 1 / np.where(z == 0, 1, z),
    "rounded": lambda z: np.round(z, 1),
    "few values": lambda z: np.floor(2 * z),
    "zeros of both signs": lambda z: np.where(z < 0, -0.0, np.where(z < 1, 0.0, z)),
    "constant": lambda z: np.full_like(z, 3.0),
    "one outlier": lambda z: np.where(np.arange(z.size) == 0, 1e12, z),
    "huge": lambda z: np.clip(z, -1.7, 1.7) * 2e307,
    "subnormal": lambda z: np.round(z * 100) * 5e-324,
    "float32": lambda z: z.astype(np.float32),
    "float16": lambda z: z.astype(np.float16),
    "integers": lambda z: np.round(z * 100).astype(np.int64),
    "small integers": lambda z: np.clip(np.round(np.abs(z) * 40), 0, 255).astype(np.uint8),
    "booleans": lambda z: z > 0.5,
}
INFINITE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "infinities": lambda z: np.where(z > 1.2, np.inf, np.where(z < -1.5, -np.inf, z)),
    "all infinite": lambda z: np.where(z > 0, np.inf, -np.inf),
}


def draw_sizes(rng: np.random.Generator) -> tuple[int, int]:
    """Draw two sizes: tiny, equal, multiples of each other, unequal, and now and then large enough for cells."""
    kind = rng.choice(7, p=[0.27, 0.15, 0.15, 0.3, 0.11, 0.018, 0.002])
    small, middle = int(rng.integers(1, 9)), int(rng.integers(1, 100))
    match kind:
        case 0:
            return small, int(rng.integers(1, 9))
        case 1:
            return middle, middle
        case 2:
            return middle, middle * small
        case 3:
            return middle, int(rng.integers(1, 100))
        case 4:
            return (small, int(rng.integers(200, 1_000)))[:: 1 if rng.random() < 0.5 else -1]
        case 5:
            return int(rng.integers(200, 600)), int(rng.integers(200, 600))
        case _:
            return int(rng.integers(16_000, 40_000)), int(rng.integers(16_000, 40_000))


def draw_pair(rng: np.random.Generator, *, infinite: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Draw two samples of one shape, shifted by nothing, a little or much."""
    n, m = draw_sizes(rng)
    shapes = {**SHAPES, **INFINITE} if infinite else SHAPES
    shape = shapes[str(rng.choice(list(shapes)))]
    shift = rng.choice([0.0, 0.1, 0.5, 3.0])
    return shape(rng.normal(size=n)), shape(rng.normal(shift, rng.choice([0.8, 1.0, 1.5]), m))


def relative(ours: float, theirs: float, *, absolute: float = 0.0) -> float:
    """Measure by how much of theirs ours is off, leaving out an absolute rounding error that theirs may have."""
    if ours == theirs:
        return 0.0
    if not (math.isfinite(ours) and math.isfinite(theirs)):
        return math.inf
    return max(0.0, abs(ours - theirs) - absolute) / max(abs(theirs), 1e-320)


def compare_ks(rng: np.random.Generator) -> _Deviations:
    """Compare D and p over all methods and alternatives; exact p-values up to sizes that SciPy manages in a moment."""
    reference, current = draw_pair(rng, infinite=True)
    alternative = str(rng.choice(["two-sided", "less", "greater"]))
    heavy = len(reference) * len(current) > 1_000_000
    method = str(rng.choice(["asymp"] if heavy else ["auto", "exact", "asymp"]))
    ours = drift.ks(reference, current, method=method, alternative=alternative)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        theirs = stats.ks_2samp(reference, current, method=method, alternative=alternative)
    found = {"D": abs(ours.statistic - theirs.statistic)}
    gave_up = any("Exact calculation unsuccessful" in str(warning.message) for warning in caught)
    if math.isnan(theirs.pvalue) or (gave_up and ours.method == "exact"):
        # One value a side by "asymp", or an exact p that SciPy's sum rounds beyond 1: certain, and ours says so.
        return {**found, "certain p": 0.0 if ours.pvalue >= CERTAIN else math.inf}
    if theirs.pvalue < LEAST_P:
        return {**found, "p below 1e-300": 0.0 if ours.pvalue < LEAST_P * (1 + 1e-9) else math.inf}
    return {**found, f"p, {ours.method}": relative(ours.pvalue, theirs.pvalue)}


def compare_wasserstein(rng: np.random.Generator) -> _Deviations:
    """Compare the Wasserstein distance; where SciPy's differs by more than the bound, fractions say whose is right."""
    reference, current = draw_pair(rng)
    theirs = stats.wasserstein_distance(as_floats(reference), as_floats(current))
    ours = drift.wasserstein(reference, current).statistic
    quanta = LEAST_FLOAT * (len(reference) + len(current))
    deviation = relative(ours, theirs, absolute=quanta)
    if deviation <= BOUND_W1:
        return {"W1": deviation}
    return {"W1 against fractions": relative(ours, integrate_exactly(reference, current), absolute=quanta)}


def integrate_exactly(reference: np.ndarray, current: np.ndarray) -> float:
    """Integrate |F - G| in fractions."""
    values = np.concatenate([as_floats(reference), as_floats(current)])
    steps = np.repeat([len(current), -len(reference)], [len(reference), len(current)])
    order = np.argsort(values)
    heights = np.cumsum(steps[order])[:-1].tolist()
    places = [Fraction(value) for value in values[order].tolist()]
    area = sum(
        (
            abs(height) * (right - left)
            for height, left, right in zip(heights, places, places[1:], strict=False)
        ),
        Fraction(0),
    )
    return float(area / (len(reference) * len(current)))


def compare_energy(rng: np.random.Generator) -> _Deviations:
    """Compare the energy distance, squared where its square is subnormal and has lost its digits."""
    reference, current = draw_pair(rng)
    theirs = stats.energy_distance(as_floats(reference), as_floats(current))
    ours = drift.energy_distance(reference, current).statistic
    quanta = LEAST_FLOAT * (len(reference) + len(current))
    if theirs < 1e-150:
        return {"distance, subnormal (squared)": relative(ours**2, theirs**2, absolute=4 * quanta)}
    return {"distance": relative(ours, theirs)}


def compare_cramer_von_mises(rng: np.random.Generator) -> _Deviations:
    """Compare Cramer and von Mises' criterion; the exact law up to 8 values a side, where SciPy is quick."""
    reference, current = draw_pair(rng, infinite=True)
    if min(len(reference), len(current)) < 2:
        reference, current = np.append(reference, reference), np.append(current, current)
    method = "exact" if max(len(reference), len(current)) <= 8 else "asymptotic"
    ours = drift.cramer_von_mises(reference, current, method=method)
    theirs = stats.cramervonmises_2samp(as_floats(reference), as_floats(current), method=method)
    # SciPy takes T as a difference of two large numbers, which leaves an absolute error.
    found = {"T": relative(ours.statistic, theirs.statistic, absolute=1e-13 * len(reference) * len(current))}
    if method == "exact":
        return {**found, "p, exact": relative(ours.pvalue, theirs.pvalue)}
    # SciPy's limit law stops at some 1e-6, ours goes on to the least float.
    return {**found, "p, asymptotic (absolute)": abs(ours.pvalue - theirs.pvalue)}


def compare_anderson_darling(rng: np.random.Generator) -> _Deviations:
    """Compare Anderson and Darling's criterion with midranks."""
    reference, current = draw_pair(rng, infinite=True)
    pooled = np.concatenate([as_floats(reference), as_floats(current)])
    if len(pooled) < 4 or (pooled == pooled[0]).all():
        return {}
    ours = drift.anderson_darling(reference, current)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = stats.anderson_ksamp([as_floats(reference), as_floats(current)], variant="midrank")
    # The statistic is a difference from its mean 1, over its standard deviation.
    return {
        "statistic": relative(ours.statistic, theirs.statistic, absolute=1e-12),
        "p": relative(ours.pvalue, theirs.pvalue),
    }


def draw_counts(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw two vectors of counts, with bins that are empty on one side or both."""
    bins, most = int(rng.integers(2, 40)), int(rng.choice([3, 30, 3_000, 3_000_000]))
    reference, current = rng.integers(0, most, bins), rng.integers(0, most, bins)
    reference[rng.random(bins) < 0.1] = current[rng.random(bins) < 0.1] = 0
    reference[0], current[-1] = reference[0] + 1, current[-1] + 1
    return reference, current


def compare_contingency(rng: np.random.Generator) -> _Deviations:
    """Compare chi-square and G of two count vectors without Yates' correction."""
    reference, current = draw_counts(rng)
    used = (reference + current) > 0
    found = {}
    for name, function, power in (
        ("chi-square", drift.chi_square, "pearson"),
        ("G", drift.g_test, "log-likelihood"),
    ):
        ours = function(reference, current, counts=True)
        theirs = stats.chi2_contingency(
            np.array([reference[used], current[used]]), correction=False, lambda_=power
        )
        rounding = 1e-15 * (reference.sum() + current.sum()) if name == "G" else 1e-13
        found[name] = relative(ours.statistic, theirs.statistic, absolute=rounding)
        if theirs.pvalue >= LEAST_P:
            # p moves by x / 2 of itself for a relative change in x.
            found[f"p of {name}"] = relative(ours.pvalue, theirs.pvalue) / max(1.0, theirs.statistic)
    return found


def compare_divergences(rng: np.random.Generator) -> _Deviations:
    """Compare Kullback-Leibler with `scipy.stats.entropy`, Jensen-Shannon with `scipy.spatial.distance`."""
    reference, current = draw_counts(rng)
    used = (reference + current) > 0
    smooth = [(side[used] + 0.5) / (side.sum() + used.sum() / 2) for side in (reference, current)]
    kl = drift.kl_divergence(reference, current, counts=True).statistic
    js = drift.jensen_shannon(reference, current, counts=True, base=2).statistic
    # SciPy's terms cancel: an error of some 1e-16 of each, under a root for Jensen-Shannon.
    return {
        "Kullback-Leibler": relative(kl, stats.entropy(*smooth), absolute=1e-14),
        "Jensen-Shannon, squared (absolute)": abs(
            js**2 - spatial.distance.jensenshannon(reference, current, 2) ** 2
        ),
    }


def as_floats(values: np.ndarray) -> np.ndarray:
    """Widen to float64: SciPy computes in the type it is given."""
    return values.astype(np.float64)


def draw_edges(rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
    """Draw edges: at random, at values, one ulp beside values, or all one ulp apart."""
    spread = as_floats(values)
    kind = rng.integers(4)
    if kind == 3:
        edges = [float(rng.choice(spread))]
        for _ in range(int(rng.integers(1, 40))):
            edges.append(float(np.nextafter(edges[-1], np.inf)))
        return np.array(edges)
    picked = rng.choice(spread, int(rng.integers(1, 60)))
    if kind == 0:
        picked = rng.uniform(spread.min() / 2 - 1, spread.max() / 2 + 1, picked.size)
    elif kind == 2:
        picked = np.nextafter(picked, rng.choice([-np.inf, np.inf], picked.size))
    edges = np.unique(picked + 0.0)
    return edges if edges.size > 1 else np.array([edges[0], np.nextafter(edges[0], np.inf)])


def compare_histogram(rng: np.random.Generator) -> _Deviations:
    """Count bins, and edges, that differ from NumPy's: even bins with and without a range, and given edges."""
    values, _ = draw_pair(rng)
    kind = str(rng.choice(["even bins", "even bins of a range", "given edges"]))
    bins: int | np.ndarray = int(rng.choice([1, 2, 3, 7, 10, 50, 100, 1_000]))
    ends = None
    if kind == "given edges":
        bins = draw_edges(rng, values)
    elif kind == "even bins of a range":
        picked = sorted(float(value) for value in rng.choice(as_floats(values), 2))
        ends = (picked[0], picked[1])
    if values.dtype == bool:
        # NumPy refuses to subtract booleans.
        values = values.astype(np.uint8)
    try:
        expected, expected_edges = np.histogram(values, bins, ends)
    except ValueError:
        # Too many bins for the range: two edges are the same number.
        return {"refused by both": float(not is_refused(values, bins, ends))}
    counts, edges = drift.histogram(values, bins, ends)
    # NumPy takes the bin of an even division and moves by one bin at most; where its edges are rounded to few digits
    # (float16, subnormal numbers) that is not the bin between its own edges. They then decide.
    by_edges = np.histogram(as_floats(values), expected_edges.astype(np.float64))[0]
    if (by_edges != expected).any():
        return {"counts, by NumPy's edges": float((counts != by_edges).sum())}
    return {
        f"counts, {kind}": float((counts != expected).sum()),
        f"edges, {kind}": float((edges != expected_edges).sum()),
    }


def is_refused(values: np.ndarray, bins: int | np.ndarray, ends: tuple[float, float] | None) -> bool:
    """Say whether `drift.histogram` refuses these arguments."""
    try:
        drift.histogram(values, bins, ends)
    except TidewheelError:
        return True
    return False


COMPARISONS = (
    Comparison(
        "Kolmogorov-Smirnov",
        "scipy.stats.ks_2samp",
        30_000,
        {"D": 1e-15, "p, exact": 1e-9, "p, asymp": 1e-9, "p below 1e-300": 0.0, "certain p": 0.0},
        compare_ks,
    ),
    Comparison(
        "Wasserstein",
        "scipy.stats.wasserstein_distance",
        27_000,
        {"W1": BOUND_W1, "W1 against fractions": 1e-14},
        compare_wasserstein,
    ),
    Comparison(
        "histogram",
        "numpy.histogram",
        30_000,
        {
            f"{what}, {kind}": 0.0
            for kind in ("even bins", "even bins of a range", "given edges")
            for what in ("counts", "edges")
        }
        | {"counts, by NumPy's edges": 0.0, "refused by both": 0.0},
        compare_histogram,
    ),
    Comparison(
        "energy distance",
        "scipy.stats.energy_distance",
        6_000,
        {"distance": 1e-11, "distance, subnormal (squared)": 0.0},
        compare_energy,
    ),
    Comparison(
        "Cramer-von Mises",
        "scipy.stats.cramervonmises_2samp",
        3_000,
        {"T": 1e-12, "p, exact": 1e-12, "p, asymptotic (absolute)": 1e-5},
        compare_cramer_von_mises,
    ),
    Comparison(
        "Anderson-Darling",
        "scipy.stats.anderson_ksamp",
        4_000,
        {"statistic": 1e-10, "p": 1e-9},
        compare_anderson_darling,
    ),
    Comparison(
        "chi-square and G",
        "scipy.stats.chi2_contingency",
        5_000,
        {"chi-square": 1e-12, "p of chi-square": 1e-11, "G": 1e-11, "p of G": 1e-10},
        compare_contingency,
    ),
    Comparison(
        "divergences",
        "scipy.stats.entropy, scipy.spatial.distance.jensenshannon",
        3_000,
        {"Kullback-Leibler": 1e-11, "Jensen-Shannon, squared (absolute)": 1e-13},
        compare_divergences,
    ),
)


def run(comparison: Comparison, cases: int, *, start: int = 0) -> Row:
    """Compare `cases` cases, each with a generator of its own, and raise at the first that is beyond its bound."""
    row = Row(comparison, dict.fromkeys(comparison.bounds, 0.0), dict.fromkeys(comparison.bounds, 0))
    for case in range(start, start + cases):
        for what, deviation in compare_case(comparison, case).items():
            row.compared[what] += 1
            row.largest[what] = max(row.largest[what], deviation)
            if not deviation <= comparison.bounds[what]:
                raise AssertionError(
                    f"{comparison.name}, case {case}: {what} is off by {deviation:.3g}; "
                    f"the bound is {comparison.bounds[what]:.3g}"
                )
    return row


def compare_case(comparison: Comparison, case: int) -> _Deviations:
    """Draw one case again and compare it."""
    return comparison.compare(np.random.default_rng((SEED, COMPARISONS.index(comparison), case)))


HEAD = """# Agreement with SciPy and NumPy

Made by `make agreement` (benches/agreement.py, seed {seed}): {cases:,} random cases, SciPy {scipy}, NumPy {numpy}. Samples
have 1 to 40,000 values, equal, multiple and unequal sizes, and {shapes} shapes: continuous, many decades, ties, both zeros,
constants, outliers, 1e307, subnormal numbers, float16, float32, integers, booleans and, where ranks alone count, infinities.
Deviations are relative unless said; for counts and edges they are the number that differ.

| statistic | beside | number | compared | largest deviation | bound |
|---|---|---|---|---|---|
"""
TAIL = """
Not compared, or not with the other's number:

- **KS, certain p**: `ks_2samp` gives NaN for one value a side with "asymp", and the asymptotic p where its exact sum rounds
  beyond 1. Ours is 1. **p below 1e-300** is subnormal or 0 in both.
- **W1 against fractions**: where the two differ by more than 1e-12, the distance is integrated in fractions. SciPy's
  rounding errors are then the larger ones (one outlier of 1e12 among thousands of values).
- Sums of subnormal numbers may differ by one least float (5e-324) per value. Energy's square is subnormal there.
- **Counts by NumPy's edges**: `numpy.histogram` computes the bin of an even division and corrects it by one bin at most. For
  float16 and subnormal data that is sometimes not the bin between its own edges. There ours are the counts that NumPy gives
  when it is handed its own edges.
- **Refused by both**: so many even bins that two edges are the same number.
- **Cramer-von Mises, asymptotic p**: SciPy's limit law stops at some 1e-6; ours is checked against its series
  (tests/drift/test_distances.py).
- Where the other's formula takes a difference of large numbers, its own absolute rounding error is left out before the
  deviation is measured: 1e-13 n m for T, 1e-12 for Anderson-Darling's statistic, 1e-15 (n + m) for G, 1e-13 for chi-square,
  1e-14 for Kullback-Leibler. A 0 there means "within that".
- The relative deviation of chi-square's and G's p is divided by the statistic, which is by how much p magnifies a rounding.
- `drift.ks(method="accurate")` has no counterpart in SciPy: tests/drift/test_accurate.py holds it to exact fractions.
"""


def render(rows: list[Row]) -> str:
    """Write the table."""
    head = HEAD.format(
        seed=SEED,
        cases=sum(row.comparison.cases for row in rows),
        scipy=scipy.__version__,
        numpy=np.__version__,
        shapes=len(SHAPES) + len(INFINITE),
    )
    lines = [
        f"| {row.comparison.name} | `{row.comparison.rival}` | {what} | {row.compared[what]:,} "
        f"| {row.largest[what]:.2g} | {bound:.2g} |"
        for row in rows
        for what, bound in row.comparison.bounds.items()
    ]
    return head + "\n".join(lines) + "\n" + TAIL


def main() -> None:
    """Run all cases and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "agreement.md")
    out = parser.parse_args().out
    rows = []
    for comparison in COMPARISONS:
        start = time.perf_counter()
        rows.append(run(comparison, comparison.cases))
        print(
            f"{comparison.name}: {comparison.cases:,} cases in {time.perf_counter() - start:.0f} s",
            flush=True,
        )
        for what, bound in comparison.bounds.items():
            print(f"  {what}: {rows[-1].largest[what]:.2g} (bound {bound:.2g})", flush=True)
    out.write_text(render(rows))


if __name__ == "__main__":
    main()
