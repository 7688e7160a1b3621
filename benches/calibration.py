"""Calibration by simulation of the code as shipped; writes `docs/calibration.md`.

    python benches/calibration.py              # 20 minutes on one quiet core
    python benches/calibration.py psi power    # these sections alone
    python benches/calibration.py --quick      # a tenth of the replications; prints, writes nothing

A rate above 5 % by more than 3.7 binomial standard errors is in bold, and the script exits 1.
"""

import argparse
import itertools
import math
import sys
import time
from pathlib import Path

import calibration_cases as cases
import calibration_power as power
import calibration_units as unit_cases
import numpy as np

SEED = 20_131_020
LEVEL = 0.05
#: Standard errors that chance exceeds in one of 500 cells once in twenty runs.
ERRORS = 3.7
#: The same for a single rate: chance exceeds it once in a hundred.
SINGLE_ERRORS = 2.326
#: By default; a third of an hour on a quiet core.
REPLICATIONS = 4_000
#: Up to so many pairs of rows reports count Kolmogorov-Smirnov's p, and its attainable size is known.
COUNTED_PAIRS = 1_000_000
SIZES = (50, 500, 5_000, 50_000)
PAGE = Path(__file__).parent.parent / "docs" / "calibration.md"
#: Law and parts shown.
TABLES = {
    "numbers": (cases.normal, ("values",)),
    "tied": (cases.tied, ("values",)),
    "yes/no": (cases.yes, ("values",)),
    "8 names": (cases.named, ("values", "column")),
    "Zipf ids": (cases.zipf, ("values", "unseen", "column")),
    "gaps": (cases.gaps, ("missing", "nan", "infinite", "column")),
}
INDICES = {
    "numbers": cases.normal,
    "rounded": cases.rounded,
    "8 names": cases.named,
    "Zipf ids": cases.zipf,
}
UNITS = ((10, 10), (10, 100), (100, 10), (100, 100), (30, 1))
#: Rows of a unit and intra-unit correlation.
CORRELATIONS = ((500, 0.002), (60, 0.05))
#: Units in time order: both sides, correlation within a unit, and whether sizes are equal.
SERIAL = (
    ((40, 40), 0.05, True),
    ((40, 40), 0.3, True),
    ((40, 40), 0.8, True),
    ((40, 40), 0.3, False),
    ((90, 30), 0.3, True),
    ((150, 100), 0.3, True),
    ((20, 20), 0.05, True),
    ((20, 20), 0.3, True),
)
#: Autoregressions, and the alarms allowed: days that nearly repeat each other cannot be told from drift. At 0.95 forty days
#: are worth two, and the rate is shown without a limit.
SERIAL_ALLOWED = {0.0: 0.05, 0.3: 0.07, 0.6: 0.07, 0.9: 0.1, 0.95: 1.0}
#: A season against a month of another, each day much like the one before: rows' correlation, autoregression, shift in sd.
SERIAL_SEASONS = ((90, 30), 0.7, 0.8, 3.3)
#: Shifts in standard deviations whose power is compared with that of permuting whole units.
SERIAL_SHIFTED = ((0.05, 0.13, True), (0.3, 0.3, True), (0.3, 0.3, False))
#: Law and parts shown of rows with weights, whose logarithms have this standard deviation.
WEIGHED = {
    "numbers": (cases.normal, ("values",)),
    "tied": (cases.tied, ("values",)),
    "yes/no": (cases.yes, ("values",)),
    "8 names": (cases.named, ("values",)),
    "Zipf ids": (cases.zipf, ("values", "tail", "unseen", "column")),
    "gaps": (cases.gaps, ("missing", "nan", "infinite", "column")),
}
INDEX_SIZES = ((100, 100), (100, 5_000), (5_000, 100), (1_000, 1_000), (10_000, 10_000), (50_000, 5_000))
#: Indices at which columns are put; at 0 p is looked at.
INDICES_MET = (0.0, 0.02, 0.1, 0.25)
WEIGHED_SIZES = ((50, 50), (500, 500), (500, 5_000), (5_000, 500), (5_000, 5_000))
SPREAD = 1.0
TIED_SIZES = ((50, 50), (500, 500), (500, 5_000))
THRESHOLD_SIZES = ((500, 500), (5_000, 5_000), (50_000, 50_000), (500, 50_000))


class Run:
    """Progress, and rates checked against what they may be."""

    def __init__(self, replications: int) -> None:
        self.replications, self.start, self.failed = replications, time.monotonic(), 0

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.start:6.0f} s  {text}", file=sys.stderr, flush=True)

    def rate(self, hits: "list[bool] | np.ndarray", nominal: float = LEVEL, errors: float = ERRORS) -> str:
        """Show a share in percent, in bold if it is above what is allowed."""
        n, share = len(hits), float(np.mean(hits))
        allowed = nominal + errors * math.sqrt(nominal * (1 - nominal) / n)
        self.failed += share > allowed
        return f"**{share:.1%}**" if share > allowed else f"{share:.1%}"


def rates(run: Run, pvalues: "list[float]") -> str:
    return run.rate(np.array(pvalues) <= LEVEL)


def table(head: "list[str]", rows: "list[list[str]]") -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


#: From so many rows on so many times fewer replications.
FEWER = {1_001: 2, 50_000: 10}
#: And where a law is simulated for each pair of samples, which takes 0.1 s.
SLOW = 20
#: And with units, which are drawn one by one.
UNITS_FEWER = 8
#: And where units are permuted, or rows.
SERIAL_FEWER, TIES_FEWER = 4, 2
#: And with weights, where columns of one table share them.
WEIGHTS_FEWER = 2
#: Share of the power of permuting whole units that must be kept.
POWER_KEPT = 0.9


def replications_for(run: Run, n: int, m: int) -> int:
    return run.replications // max((fewer for rows, fewer in FEWER.items() if n + m >= rows), default=1)


def sizes_table(run: Run, rng: np.random.Generator) -> str:
    shown = [f"{name}: {part}" for name, (_, parts) in TABLES.items() for part in parts]
    head = ["n", "m", *shown, "attainable, numbers: values", "attainable, gaps: missing"]
    rows = []
    for n, m in itertools.product(SIZES, SIZES):
        run.say(f"tables of {n} and {m} rows")
        row = [f"{n:,}", f"{m:,}"]
        for law, parts in TABLES.values():
            found = cases.measure_table(rng, law, n, m, replications_for(run, n, m), parts)
            row += [rates(run, found[part]) for part in parts]
        missing = cases.SHARES["missing"]
        row.append(f"{cases.attainable_ks(n, m):.1%}" if n * m <= COUNTED_PAIRS else "-")
        row.append(f"{cases.attainable_fisher(n, m, missing):.1%}" if max(n, m) <= 5_000 else "-")
        rows.append(row)
    return table(head, rows)


def psi_table(run: Run, rng: np.random.Generator) -> str:
    rows = []
    for n, m in itertools.product(SIZES, SIZES):
        run.say(f"indices of {n} and {m} rows")
        row = [f"{n:,}", f"{m:,}"]
        for law in INDICES.values():
            number = run.replications // (2 if law is cases.normal else SLOW)
            row.append(rates(run, cases.measure_psi(rng, law, n, m, number)))
        rows.append(row)
    return table(["n", "m", *INDICES], rows)


def units_table(run: Run, rng: np.random.Generator) -> str:
    rows = []
    for units, (size, rho), equal in itertools.product(UNITS, CORRELATIONS, (True, False)):
        run.say(f"{units} units of {size} rows")
        found = cases.measure_units(rng, units, size, rho, run.replications // UNITS_FEWER, equal=equal)
        naive = f"{np.mean(np.array(found.pop('naive')) <= LEVEL):.1%}"
        sizes = f"{size}" if equal else f"{size} on average"
        rows.append(
            [f"{units[0]}", f"{units[1]}", sizes, f"{rho}", *(rates(run, p) for p in found.values()), naive]
        )
    head = [
        "units n",
        "units m",
        "rows a unit",
        "correlation",
        "numbers",
        "6 names",
        "yes/no",
        "missing",
        "numbers without `unit`",
    ]
    return table(head, rows)


def serial_table(run: Run, rng: np.random.Generator) -> str:
    rows = []
    number = run.replications // SERIAL_FEWER
    for (sides, icc, equal), (phi, allowed) in itertools.product(SERIAL, SERIAL_ALLOWED.items()):
        run.say(f"{sides} units in time order, {phi}")
        row = [
            f"{sides[0]} + {sides[1]}",
            f"{unit_cases.ROWS}" + ("" if equal else " on average"),
            f"{icc}",
            f"{phi}",
        ]
        for kind in unit_cases.KINDS:
            alarms, undecided, _ = unit_cases.measure_serial(rng, kind, sides, icc, phi, number, equal=equal)
            row.append(f"{run.rate(alarms, allowed, SINGLE_ERRORS)} ({undecided.mean():.0%})")
        rows.append([*row, f"{allowed:.0%}" if allowed < 1 else "-"])
    head = ["units", "rows a unit", "correlation", "autoregression", *unit_cases.KINDS, "allowed"]
    tables = table(head, rows), serial_power_table(run, rng, number), seasons_table(run, rng, number)
    return "\n\n".join(tables)


def seasons_table(run: Run, rng: np.random.Generator, number: int) -> str:
    units, icc, phi, shift = SERIAL_SEASONS
    row = [f"{units[0]} + {units[1]}", f"{icc}", f"{phi}", f"{shift}"]
    for kind in unit_cases.KINDS:
        run.say(f"seasons, {kind}")
        alarms, undecided, _ = unit_cases.measure_serial(
            rng, kind, units, icc, phi, number, equal=True, shift=shift
        )
        row.append(f"{alarms.mean():.0%} ({undecided.mean():.0%})")
    return table(["units", "correlation", "autoregression", "shift in sd", *unit_cases.KINDS], [row])


def serial_power_table(run: Run, rng: np.random.Generator, number: int) -> str:
    rows = []
    for icc, shift, equal in SERIAL_SHIFTED:
        run.say(f"power over units shifted by {shift}")
        alarms, _, drawn = unit_cases.measure_serial(
            rng, "numbers", (40, 40), icc, 0.0, number, equal=equal, shift=shift
        )
        plain = np.array([unit_cases.permute_plainly(rng, tables) for tables in drawn])
        ratio = alarms.mean() / plain.mean()
        # Both tests see the same pairs: the ratio's error is that of the pairs on which they differ.
        error = (alarms.astype(float) - plain).std() / math.sqrt(number) / plain.mean()
        bad = ratio + SINGLE_ERRORS * error < POWER_KEPT
        run.failed += bad
        shown = f"{ratio:.0%} ± {error:.0%}"
        sizes = f"{unit_cases.ROWS}" + ("" if equal else " on average")
        rows.append(
            [
                sizes,
                f"{icc}",
                f"{shift}",
                f"{alarms.mean():.1%}",
                f"{plain.mean():.1%}",
                f"**{shown}**" if bad else shown,
            ]
        )
    head = [
        "rows a unit, 40 + 40 units",
        "correlation",
        "shift in sd",
        "power",
        "permuting whole units",
        "ratio",
    ]
    return table(head, rows)


def ties_table(run: Run, rng: np.random.Generator) -> str:
    rows = []
    for (name, law), (n, m) in itertools.product(unit_cases.TIED.items(), TIED_SIZES):
        run.say(f"ties: {name}, {n} and {m} rows")
        row = [name, f"{n:,}", f"{m:,}"]
        # A shift that continuous numbers show in about half of the pairs.
        for moved in (0.0, 2.2 * math.sqrt(1 / n + 1 / m)):
            number = run.replications // (TIES_FEWER if moved else 1)
            shipped, continuous, permuted = unit_cases.measure_ties(rng, law, n, m, moved, number)
            if moved:
                row += [f"{np.mean(hits):.1%}" for hits in (shipped, continuous, permuted)]
            else:
                row += [
                    run.rate(shipped, errors=SINGLE_ERRORS),
                    *(f"{np.mean(hits):.1%}" for hits in (continuous, permuted)),
                ]
        rows.append(row)
    head = [
        "law",
        "n",
        "m",
        "alarms",
        "continuous law",
        "permuted rows",
        "power",
        "continuous law",
        "permuted rows",
    ]
    return table(head, rows)


def weights_table(run: Run, rng: np.random.Generator) -> str:
    shown = [f"{name}: {part}" for name, (_, parts) in WEIGHED.items() for part in parts]
    rows = []
    for n, m in WEIGHED_SIZES:
        run.say(f"tables of {n} and {m} rows with weights")
        row = [f"{n:,}", f"{m:,}"]
        for law, parts in WEIGHED.values():
            number = run.replications // WEIGHTS_FEWER
            found = cases.measure_weights(rng, law, n, m, number, parts, SPREAD)
            row += [run.rate(np.array(found[part]) <= LEVEL, errors=SINGLE_ERRORS) for part in parts]
        rows.append(row)
    return table(["n", "m", *shown], rows)


def index_table(run: Run, rng: np.random.Generator) -> str:
    rows = []
    for (name, law), index in itertools.product(cases.DECILES.items(), INDICES_MET):
        row = [name, f"{index:g}"]
        for n, m in INDEX_SIZES:
            run.say(f"{name}, index {index}, {n} and {m} rows")
            number = replications_for(run, n, m) // WEIGHTS_FEWER
            verdicts, pvalues = cases.measure_index(rng, law, index, n, m, number)
            said = [pvalues <= LEVEL] if not index else [verdicts == "drifted", verdicts == "stable"]
            row.append(" / ".join(run.rate(hits) for hits in said))
        rows.append(row)
    return table(["law", "index", *(f"{n:,} and {m:,}" for n, m in INDEX_SIZES)], rows)


def discovery_table(run: Run, rng: np.random.Generator) -> str:
    rows = []
    for correlation, shifted, method in itertools.product((0.0, 0.3, 0.8), (0, 20), ("bh", "by")):
        run.say(f"discoveries at correlation {correlation}, {method}")
        shares = np.array(
            cases.measure_discoveries(rng, correlation, shifted, method, run.replications // 10)
        )
        error = shares.std() / math.sqrt(len(shares))
        bad = shares.mean() > LEVEL + ERRORS * error
        run.failed += bad
        shown = f"{shares.mean():.1%} ± {error:.1%}"
        rows.append([f"{correlation}", f"{shifted}", method, f"**{shown}**" if bad else shown])
    return table(["correlation", "shifted of 200", "correction", "false discovery rate"], rows)


def threshold_table(run: Run, rng: np.random.Generator) -> str:
    rows = []
    for name, law in cases.AT_THRESHOLD.items():
        run.say(name)
        row = [name]
        for n, m in THRESHOLD_SIZES:
            number = min(run.replications // 4, replications_for(run, n, m))
            row.append(run.rate(cases.measure_threshold(rng, law, n, m, number)))
        rows.append(row)
    return table(["effect at its threshold", *(f"{n:,} and {m:,}" for n, m in THRESHOLD_SIZES)], rows)


def power_tables(run: Run, rng: np.random.Generator) -> str:
    return "\n\n".join(power_table(run, rng, m) for m in (100, 1_000))


def power_table(run: Run, rng: np.random.Generator, m: int) -> str:
    n, rows = power.CHUNKS * m, []
    for kind in power.DRIFTS:
        run.say(f"power, {kind}, {n} and {m} rows")
        sizes, found = power.compare_rules(rng, kind, n, m, run.replications // 20)
        rows.append([f"*{kind}*", "", *(f"*{size}*" for size in sizes)])
        for name, alarms, powers in found:
            cells = [f"{ours:.0%}" + ("" if at is None else f" / {at:.0%}") for ours, at in powers]
            rows.append([name, f"{alarms:.1%}", *cells])
    head = [f"n = {n:,}, m = {m:,}", "false alarms", "small", "medium", "large"]
    return table(head, rows)


HEAD = """# Calibration

Written by `make calibration` (seed {seed}); every number comes from the code as shipped. Nothing has drifted unless said,
and all p-values are compared with 5 %. A rate that exceeds 5 % by more than 3.7 binomial standard errors, as chance lets
one of 500 cells do once in twenty runs, is in bold.

A replication is a column of a table of 100, or a pair of samples. Each section says how many of them the cells of few
rows have. From 1,001 rows on both sides together there are half as many, from 50,000 a tenth; for PSI half, and a twentieth
where its law is simulated for each pair; an eighth with units, a quarter with units in time order, a quarter at most at
thresholds, a twentieth for power.

| replications | 3.7 standard errors at 5 % |
| --- | --- |
{errors}
"""

#: Title, text and table of each section.
SECTIONS = {
    "columns": (
        "Tests of a column",
        """
How often p is at most 0.05. `values` is the decision test of the kind (Kolmogorov-Smirnov, chi-square), `unseen` that of
strings which the reference never had, the others those of shares; `column` is what Bonferroni makes of all tests inside the
column. Discrete tests cannot reach 5 %: the attainable size is exact, for Kolmogorov-Smirnov up to 1,000,000 pairs of rows,
for Fisher's test (missing 10 %) up to 5,000 rows. `tied` is a geometric law, `8 names` has shares down to 0.002, `Zipf ids`
has exponent 1.2 over 100,000 ids, `gaps` are numbers of which 10 % are missing, 5 % NaN and 2 % infinite. Where an open
vocabulary leaves no name that is there by more than chance, its values are not tested.""",
        sizes_table,
    ),
    "psi": (
        "The population stability index",
        """
How often its p-value is at most 0.05: ten quantile bins of a normal law and of one rounded to a decimal, and strings.""",
        psi_table,
    ),
    "units": (
        "Rows in units",
        """
Columns whose rows correlate within a unit, compared with `unit=`. Names and shares vary by a Dirichlet law, numbers by a
normal one; sizes "on average" are exponential. The last column is what happens without `unit`.""",
        units_table,
    ),
    "serial": (
        "Units in time order",
        """
Alarms (p at most 0.05, not withheld) where the means of units are an autoregression of order 1, and in brackets how often
p is withheld because units resemble their neighbours too much. No side has drifted. A rate above what is allowed by more
than its 99 % binomial bound is in bold. Below, power beside permuting whole units by the distance alone, which keeps its
level for exchangeable units only; both see the same pairs. Unequal sizes are log-normal. Last, how often a shift beyond
doubt is seen over units that nearly repeat each other. A quarter of the replications.""",
        serial_table,
    ),
    "ties": (
        "Tied numbers",
        """
Alarms of `drift.compare` where values are tied, of the law of continuous samples, and of a permutation test of the rows with
999 draws; then power after a shift, with half of the replications. A rate above 5 % by more than its 99 % binomial bound is
in bold.""",
        ties_table,
    ),
    "weights": (
        "Rows with weights",
        """
Columns whose rows count with log-normal weights (logarithms of standard deviation 1) that do not depend on the values: a row
is then worth some 0.4 equal ones. Columns as in the first table; half of the replications, twenty columns a pair of
tables. A rate above 5 % by more than its 99 % binomial bound is in bold.""",
        weights_table,
    ),
    "index": (
        "The index as the statistic that decides",
        """
Columns with `decide_by="psi"` whose threshold is exactly the index that their two laws have over the column's own bins: how
often `drifted` / `stable` is said of them, nominally 2.5 % each. At index 0: how often p is at most 0.05. Half of the
replications, fewer of many rows as in the first table.""",
        index_table,
    ),
    "discoveries": (
        "Many columns",
        """
200 columns of 500 rows a side, equicorrelated; shifted ones by 0.3 standard deviations. The rate is false discoveries
over discoveries, with its standard error.""",
        discovery_table,
    ),
    "thresholds": (
        "Effects exactly at their thresholds",
        """
How often the verdict is `drifted` when Kolmogorov-Smirnov's D or the total variation is exactly 0.1, or a share differs
by exactly 0.05: nominal is 5 % at most. Bounds hold for all laws, so for most they are wide.""",
        threshold_table,
    ),
    "power": (
        "Power",
        """
The reference has ten chunks, the current sample is one. Two numbers: as the tool ships, and at the false-alarm rate of
tidewheel's p-value (the rule's threshold moved until it alarms as often on undrifted data). `drifted` wants an effect beyond
its threshold, which most of these are not; it stands beside the fixed limits. Evidently's defaults are those of 0.7.23 (up
to 1,000 reference rows Kolmogorov-Smirnov and chi-square below 0.05, beyond Wasserstein over the standard deviation and
Jensen-Shannon above 0.1), NannyML's those of 0.13 (Jensen-Shannon above mean plus three standard deviations of the
reference's chunks).""",
        power_tables,
    ),
}


def head() -> str:
    errors = "\n".join(
        f"| {n:,} | {ERRORS * math.sqrt(LEVEL * (1 - LEVEL) / n):.1%} |"
        for n in (4_000, 2_000, 1_000, 400, 200, 100)
    )
    return HEAD.format(seed=SEED, errors=errors)


def split(page: str) -> dict[str, str]:
    """Take a page apart into its sections by title."""
    parts = (part.partition("\n") for part in page.split("\n## ")[1:])
    return {title: f"## {title}\n{rest.rstrip()}\n" for title, _, rest in parts}


def main() -> int:
    parser = argparse.ArgumentParser(description="Calibration by simulation; writes docs/calibration.md.")
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; by default all")
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the replications; print, write nothing"
    )
    parser.add_argument("--replications", type=int, default=REPLICATIONS, help="in cells of few rows")
    asked = parser.parse_args()
    if unknown := set(asked.sections) - SECTIONS.keys():
        parser.error(f"sections are {', '.join(SECTIONS)}; got {', '.join(sorted(unknown))}")
    replications = asked.replications // 10 if asked.quick else asked.replications
    run, known = Run(replications), split(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    for name in asked.sections or SECTIONS:
        title, text, measure = SECTIONS[name]
        found = measure(run, np.random.default_rng(SEED))
        known[title] = f"## {title}\n\n{replications:,} replications. {text.strip()}\n\n{found}\n"
        if asked.quick:
            print(known[title], flush=True)
            continue
        page = [head(), *(known[title] for title, _, _ in SECTIONS.values() if title in known)]
        PAGE.write_text("\n".join(page), encoding="utf-8")
        run.say(f"wrote {title!r} to {PAGE.name}")
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
