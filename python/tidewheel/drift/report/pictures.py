"""Small pictures of one column as inline SVG: both distributions, and the effect's interval beside its threshold.

The reference is always a filled area, the current sample a line or an outline: nothing depends on colour alone.
Colours and sizes are the page's style sheet's.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from tidewheel.drift.report.markup import escape, shorten
from tidewheel.drift.report.records import Effect, Shape

#: Height of a picture in units of its own: finer than a pixel at the size it is shown.
HEIGHT = 99
#: Names of categories with bars of their own.
NAMES = 5
#: Characters of a category's name that are kept.
NAME_LENGTH = 60

_SECONDS = {
    "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "D": 86_400.0, "W": 604_800.0,
}  # fmt: skip


def draw(shape: Shape) -> str:
    """Draw both samples."""
    return _draw_names(shape) if shape.width is None else _draw_numbers(shape)


def draw_effect(effect: Effect) -> str:
    """Draw the effect's interval; x / (x + threshold) puts every threshold in the middle, so that rows can be compared."""
    ends = effect.lower, effect.value, effect.upper
    lower, value, upper = (round(100 * x / (x + effect.threshold)) if x < math.inf else 100 for x in ends)
    return (
        '<svg class="i" viewBox="0 0 100 12" aria-hidden="true"><path class="g" d="M0 6h100"/><path class="t" d="M50 0v12"/>'
        f'<path class="b" d="M{lower} 6H{upper}"/><circle cx="{value}" cy="6" r="3"/></svg>'
    )


def _heights(counts: Sequence[int], most: float) -> list[int]:
    total = max(sum(counts), 1)
    # A bin that is not empty is always to be seen.
    return [max(round(HEIGHT * count / total / most), 1) if count else 0 for count in counts]


def _draw_numbers(shape: Shape) -> str:
    sides = (shape.reference_counts, shape.current_counts)
    most = max((max(counts[1:-1], default=0) / max(sum(counts), 1) for counts in sides), default=0) or 1.0
    reference, current = (_heights(counts, most)[1:-1] for counts in sides)
    bins = len(reference)
    first, last = describe_ends(shape)
    area = f"M0 {HEIGHT}{_steps(reference)}V{HEIGHT}z"
    line = f"M0 {HEIGHT}{_steps(current)}V{HEIGHT}"
    return (
        f'<svg class="h" viewBox="0 0 {bins} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="histogram from {first} to {last}"><path class="r" d="{area}"/><path class="c" d="{line}"/></svg>'
        f'<p class="x"><span>{first}</span><span>{last}</span></p>'
    )


def _steps(heights: Sequence[int]) -> str:
    parts: list[str] = []
    run = 0
    for height, after in zip(heights, [*heights[1:], -1], strict=True):
        run += 1
        if height != after:
            parts.append(f"V{HEIGHT - height}h{run}")
            run = 0
    return "".join(parts)


def _draw_names(shape: Shape) -> str:
    shown = name_shares(shape, NAMES)
    most = max((max(r, c) for _, r, c in shown), default=0) or 1.0
    lines = []
    for name, r, c in shown:
        label = escape(shorten(name, NAME_LENGTH))
        lines.append(
            f'<li><span title="{label}">{label}</span>'
            '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
            f'<path class="r" d="M0 0H{_length(r, most)}V5H0z"/><path class="c" d="M0 6H{_length(c, most)}V10H0z"/></svg>'
            f"<b>{_percent(r)} → {_percent(c)}</b>"
        )
    return f'<ul class="n">{"".join(lines)}</ul>'


def _percent(share: float) -> str:
    return "&lt;1%" if 0 < share < 0.005 else f"{share:.0%}"


def _length(share: float, most: float) -> int:
    return max(round(100 * share / most), 1) if share else 0


def name_shares(shape: Shape, most: int) -> list[tuple[str, float, float]]:
    """Return the names most frequent on either side with both samples' shares, then all others together if there are any."""
    r, c = shape.reference_counts, shape.current_counts
    n, m = max(sum(r), 1), max(sum(c), 1)
    shares = [(r[i] / n, c[i] / m) for i in range(len(shape.names))]
    shown = sorted(sorted(range(len(shares)), key=lambda i: -max(shares[i]))[:most])
    found = [(shape.names[i] or "(empty)", *shares[i]) for i in shown]
    rest = ((sum(r) - sum(r[i] for i in shown)) / n, (sum(c) - sum(c[i] for i in shown)) / m)
    return [*found, ("all others", *rest)] if any(rest) else found


def outside(shape: Shape) -> tuple[float, float]:
    """Return the shares of both samples that lie beyond the picture's ends."""
    r, c = (
        (counts[0] + counts[-1]) / max(sum(counts), 1)
        for counts in (shape.reference_counts, shape.current_counts)
    )
    return r, c


def describe_ends(shape: Shape) -> tuple[str, str]:
    """Write the ends of a picture of numbers or times as a reader would."""
    low, width = shape.low or 0.0, shape.width or 0.0
    # By halves, since all bins together may be wider than any float.
    half = width * ((len(shape.reference_counts) - 2) / 2)
    high = low + half + half
    if low != round(low) and width == round(width) and (low + width / 2) * 2 == round((low + width / 2) * 2):
        # Bins of whole numbers reach half a step beyond the numbers they hold.
        low, high = low + 0.5, high - 0.5
    kind, _, unit = shape.dtype.rstrip("]").partition("[")
    unit = unit.partition(",")[0]
    if unit in _SECONDS and kind in {"date", "datetime", "time", "duration"}:
        seconds = _SECONDS[unit]
        return _describe_times(kind, low * seconds, high * seconds)
    return _describe(low, width), _describe(high, width)


def _describe(value: float, width: float) -> str:
    # Ends are laid a thousandth of a bin beyond the data: what is less than that from a round number is that number.
    digits = max(0, 1 - math.floor(math.log10(width))) if width > 0 else 0
    rounded = round(value, digits) if digits < 300 else value
    return f"{rounded + 0.0:.4g}" if abs(rounded) < 1e4 or abs(rounded) >= 1e7 else f"{rounded:,.0f}"


def _describe_times(kind: str, low: float, high: float) -> tuple[str, str]:
    if kind in {"duration", "time"}:
        unit = next((u for u in ("D", "h", "m", "s", "ms", "us") if high - low >= 2 * _SECONDS[u]), "ns")
        return f"{low / _SECONDS[unit]:.4g} {unit.lower()}", f"{high / _SECONDS[unit]:.4g} {unit.lower()}"
    day = "%Y-%m-%d" if high - low > 2 * _SECONDS["D"] else "%Y-%m-%d %H:%M"
    try:
        first, last = (datetime(1970, 1, 1) + timedelta(seconds=end) for end in (low, high))
    except OverflowError:
        return f"{low:.4g} s", f"{high:.4g} s"
    return first.strftime(day), last.strftime(day)
