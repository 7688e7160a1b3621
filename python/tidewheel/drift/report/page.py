"""A report as HTML: one page without network, or a part of a notebook.

Rows are written here, so that the page reads without scripts; `page.html` holds the frame, the style and the few lines
that sort, filter and search. Pictures are in `pictures`. Text of users goes through `markup.escape` and nowhere else, never
into the script, and the page's content policy runs no script but its own: it names the digests of style and script, which
`tests/drift/test_drift_page.py` keeps in step.
"""

import os
import re
from collections import Counter
from collections.abc import Sequence

from tidewheel.drift.report import pictures
from tidewheel.drift.report.markup import escape, shorten
from tidewheel.drift.report.records import ColumnDrift, PartDrift, Shape

#: Verdicts in the order of urgency, with a sign for those who do not see colours, and the class of their row.
VERDICTS = {
    "drifted": ("▲", "d"),
    "schema": ("≠", "m"),
    "undecided": ("?", "u"),
    "not computed": ("–", "o"),
    "stable": ("✓", "s"),
}
#: Columns that a notebook shows; the page shows all.
NOTEBOOK_COLUMNS = 30
#: Rows that the page of a report with segments shows, at 2 kB each; without segments it shows all columns.
MOST_ROWS = 5_000
#: Share of rows beyond the picture's ends from which on the page says so below it.
BEYOND_TOLD = 0.02
#: Characters of a warning that are shown at once.
WARNING_LENGTH = 240

Facts = Sequence[tuple[str, str]]


def render_page(
    columns: Sequence[ColumnDrift],
    facts: Facts,
    warnings: Sequence[str],
    segments: Sequence[str] | None = None,
) -> str:
    """Write the whole page; `segments` names the segment of each column where a report has several."""
    head = count_verdicts(columns)
    rows = _rows(columns, segments, len(columns) if segments is None else MOST_ROWS)
    parts = {
        "title": escape(head),
        "head": _head(
            head,
            facts,
            [*_tell_rest(len(columns) - len(rows), "`to_polars()` and `to_json()` have them"), *warnings],
        ),
        "boxes": _boxes(columns),
        "shown": f"{len(rows):,} of {len(rows):,} columns",
        "rows": "".join(rows),
    }
    return re.sub(r"@(\w+)@", lambda match: parts[match[1]], _template())


def render_notebook(
    columns: Sequence[ColumnDrift],
    facts: Facts,
    warnings: Sequence[str],
    segments: Sequence[str] | None = None,
) -> str:
    """Write the part that a notebook shows: the most urgent columns, without scripts."""
    rows = _rows(columns, segments, NOTEBOOK_COLUMNS)
    more = len(columns) - NOTEBOOK_COLUMNS
    rest = (
        f'<p class="k">{more:,} more columns; <code>to_html(path)</code> writes them all.</p>'
        if more > 0
        else ""
    )
    style, legend = _between("<style>", "</style>"), _between('<p class="legend k">', "</p>")
    return (
        f'<div class="tw"><style>{style}</style>{_head(count_verdicts(columns), facts, warnings)}'
        f'<p class="legend k">{legend}</p><ol class="rows">{"".join(rows)}</ol>{rest}</div>'
    )


def frame_page(headline: str, facts: Facts, body: str) -> str:
    """Put rows of another kind into the page's frame and style, without its tools and script."""
    start = _template().partition('<main class="tw">')[0].replace("@title@", escape(headline))
    return f'{start}<main class="tw">{_head(headline, facts, ())}{body}</main></body></html>'


def frame_part(headline: str, facts: Facts, body: str) -> str:
    """Put rows of another kind into the part that a notebook shows."""
    style = _between("<style>", "</style>")
    return f'<div class="tw"><style>{style}</style>{_head(headline, facts, ())}{body}</div>'


def _template() -> str:
    with open(os.path.join(os.path.dirname(__file__), "page.html"), encoding="utf-8") as file:
        return file.read()


def _between(start: str, end: str) -> str:
    return _template().partition(start)[2].partition(end)[0]


def _tell_rest(more: int, where: str) -> list[str]:
    return [f"The {more:,} least urgent rows are left out of this page; {where}."] if more > 0 else []


def count_verdicts(columns: Sequence[ColumnDrift]) -> str:
    """Say how many columns drifted, and how many differ in schema."""
    return f"{count_drifted(columns)} drifted{count_schema(columns)}"


def count_drifted(columns: Sequence[ColumnDrift]) -> str:
    """Count the columns that drifted among all."""
    drifted = sum(column.verdict == "drifted" for column in columns)
    return f"{drifted:,} of {len(columns):,} column{'s' * (len(columns) != 1)}"


def count_schema(columns: Sequence[ColumnDrift]) -> str:
    """Count the columns that one side lacks or has in another type; nothing where there are none."""
    count = sum(column.verdict == "schema" for column in columns)
    return f", {count:,} differ{'s' * (count == 1)} in schema" if count else ""


def _head(headline: str, facts: Facts, warnings: Sequence[str]) -> str:
    shown = "".join(f"<div><dt>{escape(name)}<dd>{escape(value)}</div>" for name, value in facts)
    return f"<h1>{escape(headline)}</h1><dl>{shown}</dl>{''.join(map(_warning, warnings))}"


def _warning(text: str) -> str:
    if len(text) <= WARNING_LENGTH:
        return f'<p class="w"><b>Note</b> {_prose(text)}</p>'
    short = _prose(shorten(text, WARNING_LENGTH))
    return f'<details class="w"><summary><b>Note</b> {short}</summary><p>{_prose(text)}</p></details>'


def _prose(text: str) -> str:
    """Escape a sentence; what stands in backticks is set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _boxes(columns: Sequence[ColumnDrift]) -> str:
    counts = Counter(column.verdict for column in columns)
    return "".join(
        f'<label class="{css}"><input type="checkbox" value="{css}" checked><span class="v">{sign} {verdict}</span> '
        f"{counts[verdict]:,}</label>"  # type: ignore[index]
        for verdict, (sign, css) in VERDICTS.items()
    )


def strength(column: ColumnDrift) -> float:
    """Return how many thresholds the effect amounts to; -1 where nothing was computed."""
    return column.effect.value / column.effect.threshold if column.effect else -1.0


def rank(columns: Sequence[ColumnDrift]) -> list[int]:
    """Give the places of columns, the most urgent first, larger effects before smaller ones."""
    order = {verdict: place for place, verdict in enumerate(VERDICTS)}
    return sorted(
        range(len(columns)), key=lambda at: (order[columns[at].verdict], -strength(columns[at]), at)
    )


def _rows(columns: Sequence[ColumnDrift], segments: Sequence[str] | None, most: int) -> list[str]:
    """Write a row per column, the most urgent first, and at most so many."""
    return [_row(at, columns[at], "" if segments is None else segments[at]) for at in rank(columns)[:most]]


def _row(index: int, column: ColumnDrift, segment: str) -> str:
    sign, css = VERDICTS[column.verdict]
    p = 2.0 if column.pvalue_corrected is None else column.pvalue_corrected
    # Inside the heading: what is searched and sorted by there includes the segment.
    within = f' <span class="k">in {escape(segment)}</span>' if segment else ""
    interval = pictures.draw_effect(column.effect) if column.effect else ""
    drawn = pictures.draw(column.shape) if column.shape else '<p class="k">nothing to draw</p>'
    return (
        f'<li class="{css}" data-i="{index}" data-e="{strength(column):.4g}" data-p="{p:.4g}">'
        f'<div class="a"><h2>{escape(column.name)}{within}</h2><p class="k">{escape(column.kind)}</p></div>'
        f'<div class="e"><p class="f"><span class="v">{sign} {column.verdict}</span>{interval}</p>'
        f"<p>{escape(column.sentence)}</p>{_peer(column)}"
        f"<details><summary>Details</summary>{_details(column)}</details></div>"
        f'<div class="p">{drawn}{_beside(column)}</div></li>\n'
    )


def _peer(column: ColumnDrift) -> str:
    return f'<p class="k">{escape(column.peer.sentence)}</p>' if column.peer else ""


def _shares_beside(column: ColumnDrift) -> list[tuple[str, float, float]]:
    return [
        ("missing", column.missing_reference, column.missing_current),
        ("NaN", column.nan_reference, column.nan_current),
        ("infinite", column.infinite_reference, column.infinite_current),
        ("unseen", 0.0, column.unseen),
    ]


def _beside(column: ColumnDrift) -> str:
    """Say below the picture what it does not show, where there is anything."""
    told = [f"{name} {r:.1%} → {c:.1%}" for name, r, c in _shares_beside(column)[:-1] if r or c]
    told += [f"unseen {column.unseen:.1%}"] if column.unseen else []
    r, c = pictures.outside(column.shape) if column.shape and column.shape.width else (0.0, 0.0)
    told += [f"beyond the picture {r:.1%} → {c:.1%}"] if max(r, c) > BEYOND_TOLD else []
    return f'<p class="k">{", ".join(told)}</p>' if told else ""


def _details(column: ColumnDrift) -> str:
    beside = [row for row in _shares_beside(column) if row[0] == "missing" or row[1] or row[2]]
    parts = "".join(map(_part, column.parts))
    tests = f"<table><tr><th>part<th>test<th>statistic<th>p<th>effect<th>bounds<th>threshold{parts}</table>"
    return (
        (tests if parts else "")
        + _shares("rows that are", beside)
        + (_shape(column.shape) if column.shape else "")
        + f'<p class="k">{_asides(column)}</p>'
    )


def _part(part: PartDrift) -> str:
    effect = part.effect
    return (
        f"<tr><th>{escape(part.name)}<td>{escape(part.test)}<td>{part.statistic:.4g}<td>{_pvalue(part.pvalue)}"
        f"<td>{effect.value:.3g}<td>{effect.lower:.3g} to {effect.upper:.3g}<td>{effect.threshold:g}"
    )


def _pvalue(p: float) -> str:
    return f"{p:.2g}" if p > 0 else "&lt; 1e-300"


def _shares(title: str, rows: Sequence[tuple[str, float, float]]) -> str:
    lines = "".join(
        f"<tr><th>{escape(shorten(name, pictures.NAME_LENGTH))}<td>{r:.2%}<td>{c:.2%}" for name, r, c in rows
    )
    return f"<table><tr><th>{title}<th>reference<th>current{lines}</table>"


def _shape(shape: Shape) -> str:
    if shape.width is None:
        return _shares("name", pictures.name_shares(shape, len(shape.names)))
    beyond = pictures.outside(shape)
    return _shares("beyond the picture", [("finite values", *beyond)]) if any(beyond) else ""


def _asides(column: ColumnDrift) -> str:
    told = [f"{escape(name)} {value:.4g}" for name, value in column.statistics.items()]
    if column.pvalue_corrected is not None:
        told.append(f"p after correction {_pvalue(column.pvalue_corrected)}")
    if column.design_effect != 1:
        told.append(f"rows count 1 / {column.design_effect:.3g} of independent ones")
    return "; ".join(told)
