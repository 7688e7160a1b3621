"""What one run of the loop over a year amounted to, as records and as the JSON that `tidewheel demo` writes."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tidewheel.evidence.records import Decision, Evidence, Finding
from tidewheel.lifecycle.scorecard import Scorecard
from tidewheel.rollout.facts import RequestCounts, RolloutFacts

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip


@dataclass(frozen=True, slots=True)
class StageRun:
    """Hold one stage as it was run: what came out and how long it took."""

    name: str
    verdict: str
    seconds: float


@dataclass(frozen=True)
class Story:
    """Hold everything the report shows about one run over a year."""

    project: str
    card: Scorecard
    stages: tuple[StageRun, ...]
    rollouts: tuple[RolloutFacts, ...]
    findings: tuple[Finding, ...]
    decisions: tuple[Decision, ...]
    evidence: tuple[Evidence, ...]
    names: dict[str, str]
    """Name of each model by its id."""
    seconds_start_up: float
    seconds_work: float

    @property
    def requests(self) -> RequestCounts:
        """All requests over HTTP together."""
        return sum((rollout.requests for rollout in self.rollouts), RequestCounts())

    def count(self, action: str) -> int:
        """Count the decisions of one kind."""
        return sum(decision.action == action for decision in self.decisions)


def summary(story: Story) -> dict[str, object]:
    """Make the content of `summary.json`: every number is taken from the records of the run."""
    over_http = [rollout for rollout in story.rollouts if rollout.channel == "http"]
    first = over_http[0] if over_http else None
    return {
        "months": [
            {
                "month": row.month,
                "rows": row.n_rows,
                "static_auc": row.static_auc,
                "loop_auc": row.loop_auc,
                "champion": row.champion,
                "findings": [finding.kind for finding in findings_of(story.findings, row.month)],
            }
            for row in story.card.months
        ],
        "gain": {
            "auc": story.card.gain.value,
            "low": story.card.gain.low,
            "high": story.card.gain.high,
            "from_month": story.card.gain_from_month,
        },
        "stages": [asdict(stage) for stage in story.stages],
        "shadow": {"pairs": first.pairs, "agreement": _finite(first.agreement)} if first else None,
        "canary": {"requests": first.canary_requests, "verdict": first.canary_verdict} if first else None,
        "rollouts": [
            {
                "candidate": story.names[rollout.candidate],
                "channel": rollout.channel,
                "verdict": rollout.verdict,
                "reason": rollout.reason,
                "pairs": rollout.pairs,
                "agreement": _finite(rollout.agreement),
                "canary_requests": rollout.canary_requests,
            }
            for rollout in story.rollouts
        ],
        "promotions": story.count("promote"),
        "refusals": story.count("refuse"),
        "retrainings": story.count("retrain"),
        "requests": asdict(story.requests),
        "seconds": {"start_up": round(story.seconds_start_up, 1), "work": round(story.seconds_work, 1)},
    }


def _finite(value: float) -> float | None:
    """Give a number as JSON knows it: without pairs there is no agreement."""
    return value if math.isfinite(value) else None


def findings_of(findings: Sequence[Finding], month: int) -> list[Finding]:
    """Give the findings of the window of `month`, without those that found nothing."""
    return [finding for finding in findings if finding.kind != "none" and finding.month == month]
