"""Simulate the verdicts of the code as shipped: is `stable` said of effects that matter, or `drifted` of those that do not?

    python benches/verdicts.py            # half an hour on one quiet core
    python benches/verdicts.py --quick    # sizes up to 10,000 and a quarter of the columns: two minutes

Each cell is a law, an effect (the true distance of the two laws) and two sizes; its columns are compared as one table. At
or beyond the threshold `stable`, below it `drifted` may be said of 5 %: a cell with more than the 99 % point of the
binomial law of 5 % is in bold, and the script exits 1. Without an effect also p is held to 5 %.
"""

import argparse
import itertools
import sys
import time

import numpy as np
import pyarrow as pa
from calibration_cases import IDS, NAMES
from scipy import stats

from tidewheel import drift

SEED = 20_131_022
#: Of the share of unseen names, and of all else.
SHARE, THRESHOLD = 0.05, 0.1
EFFECTS = (0.0, 0.05, 0.09, 0.1, 0.12, 0.2, 0.4)
SIZES = (
    (100, 100),
    (100, 10_000),
    (1_000, 1_000),
    (10_000, 10_000),
    (10_000, 100),
    (100_000, 100_000),
    (1_000_000, 1_000_000),
)
QUICK_ROWS = 10_000
COLUMNS = 200
#: From so many rows on both sides together on so many times fewer columns.
FEWER = {100_000: 4, 1_000_000: 10}

#: Shares of the names of each vocabulary.
VOCABULARIES = {
    "8 names": NAMES,
    "50 even names": np.full(50, 1 / 50),
    "200 even names": np.full(200, 1 / 200),
    "2,000 even names": np.full(2_000, 1 / 2_000),
    "Zipf ids": np.arange(1, IDS + 1) ** -1.2,
}


def onto_one(shares, effect):
    """Move a part of all other names, in proportion, onto one of middling rank that most references have."""
    to = min(len(shares) // 4, 25)
    moved = shares * (1 - effect / (1 - shares[to]))
    moved[to] = shares[to] + effect
    return moved


def among_rare(shares, effect):
    """Lower every other one of the rarer half of the rows' names, and raise the others."""
    rare = np.flatnonzero(shares.cumsum() > 0.5)[1:]
    fallen, risen = rare[::2], rare[1::2]
    if effect > shares[fallen].sum():
        return None
    moved = shares.copy()
    moved[fallen] *= 1 - effect / shares[fallen].sum()
    moved[risen] *= 1 + effect / shares[risen].sum()
    return moved


def onto_new(shares, effect):
    """Give a part of the rows to twenty names that the reference never has."""
    return np.concatenate([shares * (1 - effect), np.full(20, effect / 20)])


MOVES = {
    "onto one name": (onto_one, THRESHOLD),
    "among rare names": (among_rare, THRESHOLD),
    "onto new names": (onto_new, SHARE),
}


def draw_names(rng, shares, rows, names):
    """Draw a column of names by their shares."""
    counts = rng.multinomial(rows, shares / shares.sum())
    codes = np.repeat(np.arange(len(shares), dtype=np.int32), counts)
    return pa.DictionaryArray.from_arrays(pa.array(codes), names)


def categorical_laws():
    """Give each law by name, with its threshold: for an effect two functions that draw a column, None if it has no such."""
    for (vocabulary, shares), (move, (change, threshold)) in itertools.product(
        VOCABULARIES.items(), MOVES.items()
    ):
        names = pa.array([f"name {i}" for i in range(len(shares) + 20)])
        shares = shares / shares.sum()

        def law(effect, shares=shares, change=change, names=names):
            moved = change(shares, effect)
            if moved is None:
                return None
            return tuple(
                lambda rng, rows, one=one: draw_names(rng, one, rows, names) for one in (shares, moved)
            )

        yield f"{vocabulary}, {move}", law, threshold


def numeric_laws():
    """Give laws of numbers whose Kolmogorov-Smirnov distance is the effect."""

    def shifted(effect):
        mean = 2 * stats.norm.ppf((1 + effect) / 2)
        return lambda rng, n: rng.normal(size=n), lambda rng, n: rng.normal(mean, 1, n)

    def tied(effect):
        # Ten values; a part of the rows moves from the lower five to the upper.
        def draw(moved):
            shares = 0.1 + 0.2 * moved * np.repeat([-1, 1], 5)
            return lambda rng, n: rng.choice(10, n, p=shares).astype(float)

        return draw(0.0), draw(effect)

    yield "normal law, shifted", shifted, THRESHOLD
    yield "ten values", tied, THRESHOLD


def judge(rng, sides, effect, threshold, n, m, columns):
    """Return the share of the wrong verdict and of p up to 5 %, and whether either is above what chance allows."""
    tables = [
        {f"c{i}": draw(rng, rows) for i in range(columns)} for draw, rows in zip(sides, (n, m), strict=True)
    ]
    found = drift.compare(*tables, threads=1, correction="none").columns
    wrong = "drifted" if effect < threshold else "stable"
    hits = [sum(column.verdict == wrong for column in found)]
    if effect == 0:
        hits.append(sum(column.pvalue <= 0.05 for column in found))
    return hits, int(stats.binom.ppf(0.99, columns, 0.05))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes and few columns")
    parser.add_argument("--names", action="store_true", help="categorical laws alone")
    asked = parser.parse_args()
    start, failed, cells, worst = time.monotonic(), 0, 0, {"stable": 0.0, "drifted": 0.0, "p": 0.0}
    sizes = [pair for pair in SIZES if not asked.quick or max(pair) <= QUICK_ROWS]
    laws = [*categorical_laws(), *([] if asked.names else numeric_laws())]
    print("| law | effect | " + " | ".join(f"{n:,} and {m:,}" for n, m in sizes) + " |")
    print("| --- " * (len(sizes) + 2) + "|")
    rng = np.random.default_rng(SEED)
    for (name, law, threshold), effect in itertools.product(laws, EFFECTS):
        sides = law(effect)
        if sides is None:
            continue
        row = [name, f"{effect:g}"]
        for n, m in sizes:
            columns = COLUMNS // (4 if asked.quick else 1)
            columns //= max((less for rows, less in FEWER.items() if n + m >= rows), default=1)
            hits, allowed = judge(rng, sides, effect, threshold, n, m, columns)
            is_bad = max(hits) > allowed
            failed, cells = failed + is_bad, cells + 1
            kind = "drifted" if effect < threshold else "stable"
            for what, count in zip((kind, "p"), hits, strict=False):
                worst[what] = max(worst[what], count / columns)
            shown = ", p ".join(f"{count / columns:.1%}" for count in hits)
            row.append(f"**{shown}**" if is_bad else shown)
        print(f"| {' | '.join(row)} |", flush=True)
        print(f"{time.monotonic() - start:6.0f} s  {name}, {effect:g}", file=sys.stderr, flush=True)
    told = ", ".join(f"{what} {share:.1%}" for what, share in worst.items())
    print(f"\n{failed} of {cells} cells above the 99 % bound of 5 %; at most {told}")
    # Of many cells one in a hundred passes its own bound by chance.
    return int(failed > stats.binom.ppf(0.99, cells, 0.01))


if __name__ == "__main__":
    sys.exit(main())
