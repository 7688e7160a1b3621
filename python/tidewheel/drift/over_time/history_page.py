"""The looks of a monitor as HTML: a chart per column, in the style of a report's page and without a script."""

from collections.abc import Sequence

from tidewheel.drift.over_time.looks import ColumnLook, Look
from tidewheel.drift.report.markup import escape, shorten
from tidewheel.drift.report.page import Facts, frame_page, frame_part

#: Points of a chart: of more looks each point is the furthest of a few.
MOST_POINTS = 600
#: Height of a chart in units of its own.
HEIGHT = 99
#: Alarms of a column in its table.
ALARMS_SHOWN = 50
#: Columns that a notebook shows.
NOTEBOOK_COLUMNS = 30

LEGEND = (
    '<p class="legend k"><span><svg viewBox="0 0 34 14" aria-hidden="true"><path class="c" d="M0 10L17 3L34 8"/></svg>'
    "distance from the reference</span>"
    '<span><svg viewBox="0 0 34 14" aria-hidden="true"><path class="r" d="M0 14V10L17 6L34 9V14z"/></svg>'
    "what it is at least, beyond sampling error</span>"
    '<span><svg class="l" viewBox="0 0 34 14" aria-hidden="true"><path class="t" d="M0 7h34"/></svg>threshold</span>'
    '<span><svg class="l" viewBox="0 0 34 14" aria-hidden="true"><path class="a" d="M17 0v14"/></svg>alarm</span></p>'
)


def render_page(looks: Sequence[Look], columns: Sequence[str], facts: Facts) -> str:
    """Write the whole page."""
    return frame_page(_headline(looks), facts, LEGEND + _list(_rows(looks, columns)))


def render_notebook(looks: Sequence[Look], columns: Sequence[str], facts: Facts) -> str:
    """Write the part that a notebook shows."""
    rows = _rows(looks, columns)
    more = len(rows) - NOTEBOOK_COLUMNS
    rest = (
        f'<p class="k">{more:,} more columns; <code>to_html(path)</code> writes them all.</p>'
        if more > 0
        else ""
    )
    return frame_part(_headline(looks), facts, LEGEND + _list(rows[:NOTEBOOK_COLUMNS]) + rest)


def _headline(looks: Sequence[Look]) -> str:
    alarms = sum(look.alarm for look in looks)
    return f"{alarms:,} of {len(looks):,} look{'s' * (len(looks) != 1)} alarmed"


def _list(rows: Sequence[str]) -> str:
    return f'<ol class="rows">{"".join(rows)}</ol>'


def _rows(looks: Sequence[Look], columns: Sequence[str]) -> list[str]:
    """Write a row per column: those whose last alarm is the newest first."""
    found = []
    for place, name in enumerate(columns):
        series = [(look, look.columns[place]) for look in looks]
        last = max((look.number for look, one in series if one.alarm), default=0)
        found.append((-last, place, _row(name, series)))
    return [row for *_, row in sorted(found)]


def _row(name: str, series: Sequence[tuple[Look, ColumnLook]]) -> str:
    alarms = [(look, one) for look, one in series if one.alarm]
    css, verdict = ("d", "\u25b2 alarmed") if alarms else ("s", "\u2713 no alarm")
    told = ""
    if alarms:
        look, one = alarms[-1]
        told = f"{len(alarms):,} look{'s' * (len(alarms) != 1)}; the last is {_name(look)}: {one.sentence}"
    elif series:
        told = series[-1][1].sentence
    return (
        f'<li class="{css}"><h2>{escape(name)}</h2><div class="e"><p class="f"><span class="v">{verdict}</span></p>'
        f"<p>{escape(told)}</p>{_table(alarms)}</div>"
        f'<div class="p">{draw([one for _, one in series])}{_ends(series)}</div></li>'
    )


def _name(look: Look) -> str:
    return f"{look.number:,}" + (f" ({shorten(look.at, 40)})" if look.at else "")


def _ends(series: Sequence[tuple[Look, ColumnLook]]) -> str:
    if not series:
        return ""
    first, last = (look.at or f"look {look.number:,}" for look in (series[0][0], series[-1][0]))
    return (
        f'<p class="x"><span>{escape(shorten(first, 30))}</span><span>{escape(shorten(last, 30))}</span></p>'
    )


def _table(alarms: Sequence[tuple[Look, ColumnLook]]) -> str:
    if not alarms:
        return ""
    rows = "".join(
        f"<tr><td>{escape(_name(look))}<td>{one.part}<td>{one.looks:,}<td>{one.rows:,}<td>{one.distance:.4f}"
        f"<td>{one.lower:.4f}<td>{one.threshold:g}"
        for look, one in alarms[-ALARMS_SHOWN:]
    )
    head = "<tr><th>look<th>part<th>looks together<th>rows<th>distance<th>at least<th>threshold"
    return f"<details><summary>Alarms</summary><table>{head}{rows}</table></details>"


def draw(series: Sequence[ColumnLook]) -> str:
    """Draw distance, lower bound and threshold over the looks, and a mark at each alarm."""
    if not series:
        return ""
    step = -(-len(series) // MOST_POINTS)
    points = [
        max(series[at : at + step], key=lambda one: (one.alarm, one.lower - one.threshold, one.distance))
        for at in range(0, len(series), step)
    ]
    most = max(max(one.distance, 1.25 * one.threshold) for one in points) or 1.0

    def height(value: float) -> int:
        return HEIGHT - round(HEIGHT * value / most)

    wide = max(len(points) - 1, 1)
    line = "L".join(f"{x} {height(one.distance)}" for x, one in enumerate(points))
    area = "L".join(f"{x} {height(one.lower)}" for x, one in enumerate(points))
    limit = "L".join(f"{x} {height(one.threshold)}" for x, one in enumerate(points))
    marks = "".join(f"M{x} 0V{HEIGHT}" for x, one in enumerate(points) if one.alarm)
    end = len(points) - 1
    return (
        f'<svg class="h l" viewBox="0 0 {wide} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="distance over {len(series):,} looks, at most {max(one.distance for one in points):.3g}">'
        f'<path class="a" d="{marks}"/><path class="r" d="M0 {HEIGHT}L{area}L{end} {HEIGHT}z"/>'
        f'<path class="t" d="M{limit}"/><path class="c" d="M{line}"/></svg>'
    )
