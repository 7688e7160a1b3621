"""Simulate years of hourly looks, and write `docs/over-time.md`: what promises hold, and what they cost in delay.

The code that judges is the shipped one (`watching.advance`, `watching.judge`): its arrays take an axis of streams. Each
stream has a reference of its own. Run by `make over-time`; `--quick` does less and writes nothing.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from tidewheel.drift.over_time import bands, watching
from tidewheel.drift.over_time.alpha_spending import Promise
from tidewheel.drift.profile.column_state import BESIDE

LOOKS_A_YEAR = 8_760
ROWS_A_LOOK = 1_000
REFERENCE_ROWS = 20_000
BINS = 10
#: Bins of the 10,000 years: with the median, where D strays most, among the borders, at half the cost.
FEW_BINS = 4
MISSING_SHARE = 0.01
ALPHA = 0.05
STREAMS_AT_ONCE = 1_000
#: Shifts of a normal law, in standard deviations.
SHIFTS = (0.05, 0.15, 0.5)
CHANGES = (100, 4_380)
SEED = 20_131_021

EVER = Promise("ever", ALPHA, 1)
TEN_YEARS = Promise("run length", ALPHA, 10 * LOOKS_A_YEAR)
SHORT = Promise("run length", ALPHA, 500)

Counts = Any


def draw_counts(
    rng: np.random.Generator, rows: float, streams: int, shift: float = 0.0, bins: int = BINS
) -> Counts:
    """Draw a Poisson number of rows per stream in even bins, some missing, and keep what a monitor keeps of them."""
    normal = NormalDist()
    edges = [normal.inv_cdf(k / bins) for k in range(1, bins)]
    below = np.array([0.0, *(normal.cdf(edge - shift) for edge in edges), 1.0])
    shares = np.concatenate([[MISSING_SHARE], np.zeros(BESIDE - 1), (1 - MISSING_SHARE) * np.diff(below)])
    # Streams lie next to each other in memory: NumPy is fastest along a long axis.
    counts = rng.poisson((rows * shares)[:, None], (len(shares), streams)).T
    return watching.keep_numbers(counts, np.arange(len(shares)))


def watch(reference: Counts, promise: Promise, threshold: float) -> watching.Watched:
    """Learn the references of all streams: values and the missing share."""
    x = math.log(2 / promise.of_reference)
    parts = (
        watching.Line.fit(reference, x, 1.0, threshold),
        watching.Share.fit(
            "missing", watching.MISSING, watching.ROWS_OF_NUMBERS, reference, x, 1.0, threshold
        ),
    )
    return watching.Watched("x", np.asarray, parts, reference.shape[-1])


@dataclass(frozen=True)
class Rule:
    """A way to decide over time: takes segments and gives the alarms of one look."""

    name: str
    alarms: Callable[[Counts, Sequence[tuple[int, int, Counts]], Counts], Any]


def monitor_rule(name: str, reference: Counts, promise: Promise, threshold: float = 0.0) -> Rule:
    """Watch as `drift.Monitor` does."""
    watched = watch(reference, promise, threshold)

    def alarms(counts: Counts, segments: Sequence[tuple[int, int, Counts]], whole: Counts) -> Any:
        judged = watching.judge(watched, segments, promise, len(watched.parts), 1.0)
        return np.logical_or.reduce([part.alarm for part in judged])

    return Rule(name, alarms)


def exact_rule(name: str, reference: Counts) -> Rule:
    """Watch values with the same bands for the stream, but take the reference for the truth."""
    line = replace(watching.Line.fit(reference, 0.0, 1.0, 0.0), reach=np.zeros(len(reference)))
    watched = watching.Watched("x", np.asarray, (line,), reference.shape[-1])
    # Nothing is kept back for the reference.
    promise = replace(EVER, alpha=2 * ALPHA)

    def alarms(counts: Counts, segments: Sequence[tuple[int, int, Counts]], whole: Counts) -> Any:
        return watching.judge(watched, segments, promise, 1, 1.0)[0].alarm

    return Rule(name, alarms)


def naive_rule(name: str, reference: Counts) -> Rule:
    """Test each window alone at 5 %, by Kolmogorov-Smirnov, the reference taken for the truth."""
    line = replace(watching.Line.fit(reference, 0.0, 1.0, 0.0), reach=np.zeros(len(reference)))

    def alarms(counts: Counts, segments: Sequence[tuple[int, int, Counts]], whole: Counts) -> Any:
        return line.bound(counts[None], np.array([-math.log(ALPHA)]), 1.0)[2][0] > 0

    return Rule(name, alarms)


def whole_rule(name: str, reference: Counts) -> Rule:
    """Compare all of the stream so far, by the band of Howard and Ramdas (2022) in closed form, and nothing shorter."""
    line = watching.Line.fit(reference, math.log(2 / ALPHA), 1.0, 0.0)

    def alarms(counts: Counts, segments: Sequence[tuple[int, int, Counts]], whole: Counts) -> Any:
        rows, distance, _ = line.bound(whole[None], np.zeros(1), 1.0)
        iterated = np.log(np.log(np.e * np.maximum(rows[0] / (ROWS_A_LOOK / 2), 1)))
        reach = 0.85 * np.sqrt((iterated + 0.8 * math.log(1612 / (ALPHA / 2))) / rows[0])
        return distance[0] - line.reach - reach > 0

    return Rule(name, alarms)


def first_alarms(
    rng: np.random.Generator,
    streams: int,
    looks: int,
    rules: Callable[[Counts], list[Rule]],
    shift: tuple[float, int] = (0.0, 0),
    bins: int = BINS,
) -> dict[str, Any]:
    """Find the look of each stream's first alarm by each rule.

    Args:
        rng: Draws the references and the streams.
        streams: Streams.
        looks: Looks of each; a stream without alarm has `looks + 1`.
        rules: Makes the rules from the references' counts.
        shift: Shift of the law, and the last look before it; alarms before that are not counted as the first.
        bins: Bins of equal probability in which the values are counted.

    Returns:
        Per rule an array of shape (streams,).
    """
    reference = draw_counts(rng, REFERENCE_ROWS, streams, bins=bins)
    made = rules(reference)
    found = {rule.name: np.full(streams, looks + 1) for rule in made}
    levels: watching.Levels = []
    whole = np.zeros_like(reference)
    by, change = shift
    for look in range(1, looks + 1):
        counts = draw_counts(rng, ROWS_A_LOOK, streams, by if look > change else 0.0, bins)
        whole += counts
        segments = list(watching.advance(levels, counts, look))
        for rule in made:
            first = found[rule.name]
            first[(first > looks) & rule.alarms(counts, segments, whole) & (look > change)] = look
        if by and all((first <= looks).all() for first in found.values()):
            break
    return found


def simulate_quiet(
    rng: np.random.Generator,
    streams: int,
    looks: int,
    rules: Callable[[Counts], list[Rule]],
    bins: int = BINS,
) -> dict[str, Any]:
    """Simulate streams without drift, some hundred at a time."""
    found = []
    for start in range(0, streams, STREAMS_AT_ONCE):
        found.append(first_alarms(rng, min(STREAMS_AT_ONCE, streams - start), looks, rules, bins=bins))
        print(f"{start + len(next(iter(found[-1].values()))):,} of {streams:,} streams", file=sys.stderr)
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def monitors(reference: Counts) -> list[Rule]:
    """Make the rule that all years are watched by."""
    return [monitor_rule("ever", reference, EVER)]


def others(reference: Counts) -> list[Rule]:
    """Make the rules that fewer years are watched by, in more bins; the first two promise nothing."""
    return [
        naive_rule("naive", reference),
        exact_rule("exact", reference),
        monitor_rule("fine", reference, EVER),
        monitor_rule("short", reference, SHORT),
    ]


def watchers(reference: Counts) -> list[Rule]:
    """Make the rules whose delays are measured."""
    return [
        monitor_rule("ever", reference, EVER),
        monitor_rule("run length", reference, TEN_YEARS),
        whole_rule("whole", reference),
    ]


def distance_of(shift: float) -> float:
    """Give the Kolmogorov-Smirnov distance of two normal laws that are shifted against each other."""
    return 2 * NormalDist().cdf(shift / 2) - 1


def write_share(alarmed: int, streams: int) -> str:
    """Write a share with its 95 % interval."""
    lower, upper = bands.share_interval(math.log(1 / 0.05), alarmed / streams, streams)
    return f"{alarmed / streams:.2%} (between {float(lower):.2%} and {float(upper):.2%})"


def tabulate_promises(first: dict[str, Any], looks: int) -> list[str]:
    """Write one line per rule: streams that ever alarmed, and the mean run, cut at the end of the year."""
    said = {
        "naive": ("each window alone, p < 5 %, reference taken for the truth", "5 % a look"),
        "exact": ("sequential bands, reference taken for the truth", "5 % ever"),
        "ever": (f'`Monitor(promise="ever", alpha=0.05)`, {FEW_BINS} bins', "5 % ever"),
        "fine": ('`Monitor(promise="ever", alpha=0.05)`', "5 % ever"),
        "short": ('`Monitor(promise="run length", run_length=500)`', "500 looks on average"),
    }
    lines = [
        "| rule | promise | streams | alarmed within the year | mean run, cut at the year's end |",
        "|---|---|---|---|---|",
    ]
    for name, (rule, promise) in said.items():
        runs = first[name]
        share = write_share(int((runs <= looks).sum()), len(runs))
        run = np.minimum(runs, looks).mean()
        lines.append(f"| {rule} | {promise} | {len(runs):,} | {share} | {run:,.0f} looks |")
    return lines


def tabulate_delays(rng: np.random.Generator, streams: int, changes: Sequence[int]) -> list[str]:
    """Simulate shifts and write one line per shift and time of change."""
    said = {
        "ever": "ever, 5 %",
        "run length": "run length, ten years",
        "whole": "all of the stream at once, 5 % ever",
    }
    lines = [
        "| shift | D | after look | " + " | ".join(said.values()) + " |",
        "|---|---|---|" + "---|" * len(said),
    ]
    for change in changes:
        for shift in SHIFTS:
            looks = change + (4_000 if shift < 0.1 else 1_000)
            first = first_alarms(rng, streams, looks, watchers, (shift, change))
            cells = [write_delay(first[name] - change, looks - change) for name in said]
            line = [f"{shift:g} standard deviations", f"{distance_of(shift):.3f}", f"{change:,}", *cells]
            lines.append(f"| {' | '.join(line)} |")
    return lines


def write_delay(delays: Any, most: int) -> str:
    """Write the median and the 90 % point of delays; those beyond the simulation are only known to be longer."""
    middle, late = (int(np.sort(delays)[math.ceil(share * len(delays)) - 1]) for share in (0.5, 0.9))
    return ", ".join(f"{delay:,}" if delay <= most else f"over {most:,}" for delay in (middle, late))


def draw(first: dict[str, Any], looks: int) -> str:
    """Draw the share of drift-free streams that have alarmed by each look, as SVG; looks on a log scale."""
    width, height, left, bottom = 640, 300, 52, 34
    names = {
        "naive": "each window at 5 %",
        "exact": "reference taken for the truth",
        "ever": "Monitor, 5 % ever",
    }
    colours = {"naive": "#b3261e", "exact": "#c77700", "ever": "#1a5fb4"}
    axis = [1, 10, 100, 1_000, looks]

    def at(look: float, share: float) -> str:
        x = left + (width - left - 24) * math.log(max(look, 1)) / math.log(looks)
        return f"{x:.1f},{12 + (height - bottom - 12) * (1 - share):.1f}"

    parts = [f'<path d="M{at(1, ALPHA)}L{at(looks, ALPHA)}" stroke="#888" stroke-dasharray="4 4"/>']
    for share in (0, 0.5, 1):
        x, y = at(1, share).split(",")
        parts.append(f'<text x="{float(x) - 8}" y="{float(y) + 4}" text-anchor="end">{share:.0%}</text>')
        parts.append(f'<path d="M{at(1, share)}L{at(looks, share)}" stroke="#ddd"/>')
    for look in axis:
        x, y = at(look, 0).split(",")
        parts.append(f'<text x="{x}" y="{float(y) + 20}" text-anchor="middle">{look:,}</text>')
    for line, (name, label) in enumerate(names.items()):
        seen = np.unique(np.geomspace(1, looks, 120).round())
        shares = [(first[name] <= look).mean() for look in seen]
        points = " ".join(at(look, share) for look, share in zip(seen, shares, strict=True))
        parts.append(f'<polyline points="{points}" stroke="{colours[name]}" stroke-width="2"/>')
        parts.append(f'<text x="{width - 230}" y="{150 + 20 * line}" fill="{colours[name]}">{label}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" '
        f'fill="none"><rect width="{width}" height="{height}" fill="#fff"/><g fill="#333">'
        + "".join(part for part in parts if part.startswith("<text"))
        + "</g>"
        + "".join(part for part in parts if not part.startswith("<text"))
        + "</svg>\n"
    )


PAGE = """# Watching a stream

What `drift.Monitor` promises, simulated by `make over-time` with the deciding code as shipped; that command writes this
page.

A stream has a reference of {reference:,} rows of its own and {looks:,} hourly looks a year at about {rows:,} new rows
(Poisson), in ten bins unless said; {missing:.0%} of the values are missing. The monitor watches the values
(Kolmogorov-Smirnov D) and the missing share, with threshold 0: any difference alarms. With the default thresholds (0.1
and 0.05) false alarms are rarer still.

## Without drift

{promises}

![Share of drift-free years that have alarmed, by look](over-time.svg)

A reference is a sample. Whoever takes it for the truth sees its sampling error as drift as soon as the stream is long
enough to measure it. Half of the monitor's alpha pays for the reference, half for all looks that will ever be made.

The bands add up probabilities that overlap much, so the promises are kept with room to spare. Runs are cut at the end
of the simulated year; their true mean is longer.

## With drift

A normal law is shifted; delays are in looks after the shift, the median and the 90 % point of {streams:,} streams.
Threshold 0.

{delays}

Comparing all of the stream since its beginning (here by the time-uniform band of Howard and Ramdas 2022) dilutes a
change by all that came before. The monitor also tests the last looks, and two lengths per doubling of the time since,
so that a change after half a year shows nearly as soon as one in the first week. With the promise of a run length the
age of the stream does not matter at all.

## What is assumed, and when to take something else

- Rows are independent. If they come in clusters, give `design_effect=`; `drift.compare(..., unit=)` reports one per
  column.
- Windows end by the clock or by a number of rows, not by the values in them.
- The law has no seasons. If mornings differ from nights, take a profile per season, or `drift.ChunkThresholds`: it
  ranks a new window among the reference's own chunks, and assumes only that the chunks are exchangeable.
- After an alarm the columns that alarmed start anew with the next look; `Monitor.rearm` does so for all. The promises
  are about the whole life of a monitor, however often it is armed again.

Detectors without a reference (ADWIN, Page-Hinkley, KSWIN) run well beside this one: see [river](river.md).
"""


def write_page(
    docs: Path, first: dict[str, Any], promises: Sequence[str], delays: Sequence[str], streams: int
) -> None:
    """Write the page and its picture."""
    page = PAGE.format(
        reference=REFERENCE_ROWS,
        looks=LOOKS_A_YEAR,
        rows=ROWS_A_LOOK,
        missing=MISSING_SHARE,
        promises="\n".join(promises),
        streams=streams,
        delays="\n".join(delays),
    )
    (docs / "over-time.md").write_text(page, encoding="utf-8")
    (docs / "over-time.svg").write_text(draw(first, LOOKS_A_YEAR), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    """Simulate, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few streams and looks; writes nothing")
    parser.add_argument("--docs", type=Path, default=Path(__file__).parents[1] / "docs")
    chosen = parser.parse_args(argv)
    years, fewer, streams = (200, 100, 40) if chosen.quick else (10_000, 200, 200)
    looks = 300 if chosen.quick else LOOKS_A_YEAR
    of_delays, of_others, of_monitors = (np.random.default_rng(SEED + part) for part in range(3))
    delays = tabulate_delays(of_delays, streams, CHANGES[:1] if chosen.quick else CHANGES)
    print("\n".join(delays), flush=True)
    first = simulate_quiet(of_others, fewer, looks, others)
    first |= simulate_quiet(of_monitors, years, looks, monitors, FEW_BINS)
    promises = tabulate_promises(first, looks)
    print("\n".join(promises), flush=True)
    if not chosen.quick:
        write_page(chosen.docs, first, promises, delays, streams)


if __name__ == "__main__":
    main()
