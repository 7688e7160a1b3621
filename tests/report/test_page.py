"""The page and the summary of a year: what is in the story is on them, and nothing comes from elsewhere."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tidewheel.errors import InputError
from tidewheel.evidence.criteria import Judgement
from tidewheel.evidence.records import Decision, Evidence, Finding
from tidewheel.lifecycle.scorecard import MonthRow, Scorecard
from tidewheel.lifecycle.story import StageRun, Story, findings_of, summary
from tidewheel.measures.measurement import Measurement
from tidewheel.measures.metrics import Interval
from tidewheel.report.months import months_table
from tidewheel.report.page import write_page
from tidewheel.report.terminal import print_view
from tidewheel.rollout.facts import GuardRow, RequestCounts, RolloutFacts

MODEL, OTHER = "a" * 64, "b" * 64
APRIL = datetime(2021, 4, 1, tzinfo=UTC)
MAY = datetime(2021, 5, 1, tzinfo=UTC)
JUNE = datetime(2021, 6, 1, tzinfo=UTC)


def finding(kind: str, starts_utc: datetime, ends_utc: datetime, verdict: str = "drifted") -> Finding:
    return Finding(
        finding_id=f"{kind} {starts_utc}", kind=kind, model_id=MODEL, starts_utc=starts_utc, ends_utc=ends_utc,
        at_utc=ends_utc, verdict=verdict, columns=("load",), measurements=(), action="retrain",
        reason=f"because of <{kind}>",
    )  # type: ignore[arg-type]  # fmt: skip


@pytest.fixture
def story() -> Story:
    measured = Measurement("roc_auc", 0.71, 0.69, 0.73, 0.95, 1000, 25)
    judgement = Judgement("roc_auc", ">", 0.6, None, measured, "pass", "above <0.6>")
    rollout = RolloutFacts(
        candidate=OTHER, champion=MODEL, name="trees", channel="http", began_utc=APRIL, ended_utc=MAY,
        verdict="promote", reason="no harm", pairs=1500, agreement=0.93, canary_requests=700, canary_verdict="promote",
        guards=(GuardRow("error_rate", 0.0, -0.01, 0.01, 0.05),), requests=RequestCounts(2000, 2000, 0, 2000),
    )  # fmt: skip
    return Story(
        project="orders <late>",
        card=Scorecard(
            (MonthRow(4, 3000, 900, 0.7, 0.7, "simple"), MonthRow(5, 3100, 1500, 0.61, 0.66, "trees")),
            Interval(0.05, 0.03, 0.07, 0.95, 3100, 31, "percentile"),
            5,
        ),
        stages=(StageRun("data", "version 0", 1.25),),
        rollouts=(rollout,),
        findings=(finding("none", APRIL, MAY, "undecided"), finding("label shift", MAY, JUNE)),
        decisions=(
            Decision("promote", OTHER, "rollout guard", "no harm", MAY),
            Decision("refuse", "c" * 64, "gate model", "too wild", MAY),
        ),
        evidence=(Evidence("model", OTHER, "0" * 64, (judgement,), "pass", "orders", 0, "0" * 64, APRIL),),
        names={MODEL: "simple", OTHER: "trees"},
        seconds_start_up=18.04,
        seconds_work=160.26,
    )


def test_the_summary_is_counted_from_the_story(story: Story) -> None:
    told = summary(story)
    json.dumps(told, allow_nan=False)
    assert told["months"][1] == {  # type: ignore[index]
        "month": 5, "rows": 3100, "static_auc": 0.61, "loop_auc": 0.66, "champion": "trees", "findings": ["label shift"],
    }  # fmt: skip
    assert told["months"][0]["findings"] == []  # type: ignore[index]
    assert told["gain"] == {"auc": 0.05, "low": 0.03, "high": 0.07, "from_month": 5}
    assert (told["promotions"], told["refusals"], told["retrainings"]) == (1, 1, 0)
    assert told["shadow"] == {"pairs": 1500, "agreement": 0.93}
    assert told["canary"] == {"requests": 700, "verdict": "promote"}
    assert told["requests"] == {"sent": 2000, "answered": 2000, "errors": 0, "logged": 2000}
    assert told["seconds"] == {"start_up": 18.0, "work": 160.3}


def test_without_a_rollout_over_http_there_is_no_shadow_to_tell_of(story: Story) -> None:
    told = summary(replace(story, rollouts=()))
    assert told["shadow"] is None
    assert told["canary"] is None
    assert told["requests"] == {"sent": 0, "answered": 0, "errors": 0, "logged": 0}


def test_a_finding_belongs_to_the_month_its_window_covers_wherever_the_clock_stands() -> None:
    berlin = finding(
        "label shift", datetime(2021, 3, 31, 22, tzinfo=UTC), datetime(2021, 4, 30, 22, tzinfo=UTC)
    )
    new_york = finding(
        "label shift", datetime(2021, 4, 1, 4, tzinfo=UTC), datetime(2021, 5, 1, 4, tzinfo=UTC)
    )
    assert findings_of([berlin, new_york], 4) == [berlin, new_york]
    assert findings_of([berlin, new_york], 5) == []


def test_the_page_shows_the_story_and_loads_nothing_from_elsewhere(story: Story, tmp_path: Path) -> None:
    write_page(story, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for words in ("April", "label shift", "too wild", "orders@0", "0.610", "no harm", "version 0", "+0.0500"):
        assert words in page
    assert "because of &lt;label shift&gt;" in page
    assert "orders <late>" not in page
    assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=[\"']?(https?:)?//", page)
    assert page.count('class="plotly-graph-div"') == 3


def test_a_page_that_cannot_be_written_is_named(story: Story, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*no/report\.html"):
        write_page(story, tmp_path / "no" / "report.html")


def test_the_terminal_table_shows_each_month(story: Story, capsys: pytest.CaptureFixture[str]) -> None:
    print_view(months_table(story.card, story.findings, story.decisions, story.names))
    printed = capsys.readouterr().out
    april, may = (
        next(line for line in printed.splitlines() if f"│ {month} " in line) for month in ("04", "05")
    )
    assert "none" in april
    assert "label shift" in may
    assert "+0.050" in may
    assert "promote trees: no harm" in may
    assert "refuse: too wild" in printed
