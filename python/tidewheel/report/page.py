"""The page of a year: one HTML file with its pictures inside, which opens without a network.

What belongs here: turning a `Story` into rows and figures for the template `templates/year.html.j2`. What does not: any
number that is not already in the story.
"""

from collections.abc import Iterator
from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from tidewheel.errors import InputError
from tidewheel.evidence.criteria import number
from tidewheel.evidence.records import Evidence
from tidewheel.lifecycle.story import MONTHS, Story, findings_of
from tidewheel.rollout.facts import RolloutFacts

STATIC, LOOP, ACCENT = "#8b97a5", "#1f8fcf", "#d9822b"
"""Grey, blue and orange that keep their contrast on white and on the dark ground, and for colour-blind readers."""

FIGURE_PX, ROW_PX, AXES_PX = 380, 26, 110
"""Heights: of a figure with lines, of a row in a figure with names, of what stands above and below the rows."""


def write_page(story: Story, path: Path) -> None:
    """Write the page of a year to `path`.

    Raises:
        InputError: the file cannot be written.
    """
    environment = Environment(loader=PackageLoader("tidewheel.report"), autoescape=True)
    text = environment.get_template("year.html.j2").render(
        title=f"Tidewheel on {story.project}: a year of one model",
        subtitle=subtitle(story),
        cards=cards(story),
        gain_month=MONTHS[story.card.gain_from_month - 1],
        plots=dict(zip(("auc", "findings", "rollouts"), figures(story), strict=True)),
        months=month_rows(story),
        findings=[
            {"window": MONTHS[finding.month - 1], "kind": finding.kind, "verdict": finding.verdict,
             "reason": finding.reason}
            for finding in story.findings
        ],
        decisions=[
            {"at": f"{decision.at_utc:%d %B %H:%M}", "action": decision.action, "actor": decision.actor,
             "subject": story.names.get(decision.subject, ""), "reason": decision.reason,
             "css": decision.action.replace(" ", "")}
            for decision in story.decisions
        ],
        rollouts=[rollout_row(story, rollout) for rollout in story.rollouts],
        gates=[gate_group(story, evidence) for evidence in story.evidence],
        stages=story.stages,
    )  # fmt: skip
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def subtitle(story: Story) -> str:
    """Say in one sentence what happened."""
    counts = story.requests
    return (
        f"{counted(story.count('promote'), 'promotion')}, {counted(story.count('refuse'), 'refusal')} and "
        f"{counted(story.count('retrain'), 'retraining')}; "
        f"{counts.answered:,} of {counts.sent:,} requests over HTTP answered, {counts.logged:,} in the log."
    )


def counted(n: int, noun: str) -> str:
    """Write a number with its noun in the right form."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def cards(story: Story) -> list[dict[str, str]]:
    """Pick the five figures that a reader wants first."""
    gain = story.card.gain
    over_http = [rollout for rollout in story.rollouts if rollout.channel == "http"]
    return [
        {
            "value": f"{gain.value:+.4f}",
            "label": f"AUC gained by the loop, 95 % [{gain.low:+.4f}, {gain.high:+.4f}]",
        },
        {"value": str(story.count("retrain")), "label": "retrainings"},
        {"value": str(story.count("promote")), "label": "promotions"},
        {"value": str(story.count("refuse")), "label": "refusals"},
        {"value": f"{sum(rollout.pairs for rollout in over_http):,}", "label": "shadow pairs over HTTP"},
        {
            "value": f"{story.seconds_work:.0f} s",
            "label": f"work, after {story.seconds_start_up:.0f} s of start-up",
        },
    ]


def month_rows(story: Story) -> list[dict[str, object]]:
    """Make the rows of the month table."""
    return [
        {
            "month": MONTHS[row.month - 1],
            "rows": f"{row.n_rows:,}",
            "share": f"{row.n_late / row.n_rows:.2f}",
            "static": f"{row.static_auc:.3f}",
            "loop": f"{row.loop_auc:.3f}",
            "gain": row.loop_auc - row.static_auc,
            "champion": row.champion,
            "found": [finding.kind for finding in findings_of(story.findings, row.month)],
        }
        for row in story.card.months
    ]


def rollout_row(story: Story, rollout: RolloutFacts) -> dict[str, object]:
    """Make one row of the rollout table."""
    return {
        "name": rollout.name,
        "channel": rollout.channel,
        "pairs": f"{rollout.pairs:,}",
        "agreement": f"{rollout.agreement:.1%}",
        "requests": f"{rollout.canary_requests:,}",
        "verdict": rollout.verdict,
        "reason": rollout.reason,
        "css": rollout.verdict.replace(" ", ""),
    }


def gate_group(story: Story, evidence: Evidence) -> dict[str, object]:
    """Make one gate's heading and rows."""
    return {
        "stage": evidence.stage,
        "subject": story.names.get(evidence.subject, evidence.subject),
        "data": f"{evidence.data_name}@{evidence.data_version}",
        "at": f"{evidence.at_utc:%d %B}",
        "verdict": evidence.verdict,
        "css": evidence.verdict.replace(" ", ""),
        "rows": [
            {
                "metric": row.metric,
                "against": row.relative_to or "",
                "value": number(row.measurement.value) if row.measurement else "",
                "bounds": f"[{number(row.measurement.lower)}, {number(row.measurement.upper)}]"
                if row.measurement
                else "",
                "required": f"{row.comparison} {row.threshold:g}",
                "verdict": row.verdict,
                "reason": row.reason,
                "css": row.verdict.replace(" ", ""),
            }
            for row in evidence.judgements
        ],
    }


def figures(story: Story) -> Iterator[Markup]:
    """Draw the three figures; the first brings the drawing library for all."""
    for place, figure in enumerate((auc_figure(story), findings_figure(story), rollout_figure(story))):
        figure.update_layout(
            paper_bgcolor="rgba(0,0,0,0)",
            plot_bgcolor="rgba(0,0,0,0)",
            font={"color": "#7d8896", "family": "system-ui, sans-serif"},
            margin={"l": 60, "r": 20, "t": 30, "b": 40},
            legend={"orientation": "h", "y": 1.12},
        )
        grid = {"gridcolor": "rgba(128,140,155,.25)", "zerolinecolor": "rgba(128,140,155,.5)"}
        figure.update_xaxes(**grid)
        figure.update_yaxes(**grid)
        # The figure is our own; autoescaping would show its source instead.
        yield Markup(
            figure.to_html(
                full_html=False,
                include_plotlyjs=place == 0,
                config={"displayModeBar": False, "responsive": True},
            )
        )


def auc_figure(story: Story) -> go.Figure:
    """Draw AUC by month, frozen and loop, with the promotions as vertical lines."""
    months = [MONTHS[row.month - 1] for row in story.card.months]
    figure = go.Figure()
    figure.add_scatter(x=months, y=[row.static_auc for row in story.card.months], name="never retrained",
                       mode="lines+markers", line={"color": STATIC, "dash": "dot"})  # fmt: skip
    figure.add_scatter(x=months, y=[row.loop_auc for row in story.card.months], name="loop", mode="lines+markers",
                       text=[row.champion for row in story.card.months], line={"color": LOOP, "width": 3},
                       hovertemplate="%{y:.3f}, %{text}")  # fmt: skip
    figure.update_layout(height=FIGURE_PX)
    figure.update_yaxes(title="AUC")
    for decision in story.decisions:
        month = MONTHS[decision.at_utc.month - 1]
        if decision.action == "promote" and month in months:
            place = months.index(month) + (decision.at_utc.day - 15) / 30
            figure.add_vline(x=place, line={"color": ACCENT, "width": 1, "dash": "dash"})
    return figure


def findings_figure(story: Story) -> go.Figure:
    """Draw which kind of finding was made in which window."""
    seen = [finding for finding in story.findings if finding.kind != "none"]
    figure = go.Figure()
    figure.add_scatter(
        x=[MONTHS[finding.month - 1] for finding in seen],
        y=[finding.kind for finding in seen],
        mode="markers",
        marker={"size": 18, "symbol": "square", "color": ACCENT},
        text=[finding.reason for finding in seen],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )
    figure.update_layout(height=ROW_PX * len({finding.kind for finding in seen}) * 2 + AXES_PX)
    figure.update_xaxes(
        categoryorder="array", categoryarray=[MONTHS[row.month - 1] for row in story.card.months]
    )
    return figure


def rollout_figure(story: Story) -> go.Figure:
    """Draw each guard's effect with its bounds, and the margin that it must stay above."""
    figure = go.Figure()
    rows = [(rollout, guard) for rollout in story.rollouts for guard in rollout.guards]
    names = [f"{rollout.name}: {guard.guard}" for rollout, guard in rows]
    figure.add_scatter(
        x=[guard.effect for _, guard in rows],
        y=names,
        mode="markers",
        name="effect and bounds",
        marker={"color": LOOP, "size": 9},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [guard.upper - guard.effect for _, guard in rows],
            "arrayminus": [guard.effect - guard.lower for _, guard in rows],
        },
    )
    figure.add_scatter(x=[-guard.margin for _, guard in rows], y=names, mode="markers", name="largest acceptable harm",
                       marker={"color": ACCENT, "symbol": "line-ns-open", "size": 14})  # fmt: skip
    figure.update_layout(height=ROW_PX * len(rows) + AXES_PX)
    figure.update_yaxes(automargin=True, autorange="reversed", dtick=1)
    figure.update_xaxes(title="effect over the champion (up is good)")
    return figure
