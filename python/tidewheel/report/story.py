"""What one run of the loop over a year amounted to, as records and as the JSON that `tidewheel demo` writes."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from tidewheel.ledger.records import Decision, Evidence, Finding
from tidewheel.report.scorecard import Scorecard


@dataclass(frozen=True, slots=True)
class StageRun:
    """Hold one stage as it was run: what came out and how long it took."""

    name: str
    verdict: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Count requests over HTTP: sent by the client, answered with a prediction, failed, found in the log."""

    sent: int = 0
    answered: int = 0
    errors: int = 0
    logged: int = 0

    def __add__(self, other: "RequestCounts") -> "RequestCounts":
        return RequestCounts(
            self.sent + other.sent,
            self.answered + other.answered,
            self.errors + other.errors,
            self.logged + other.logged,
        )


@dataclass(frozen=True, slots=True)
class GuardRow:
    """Hold one guard of a rollout as it stood at the end: the effect (up is good) with its anytime-valid bounds."""

    guard: str
    effect: float
    lower: float
    upper: float
    margin: float


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """Hold one rollout: which model, how it was tried, what the guards said, and what was done."""

    candidate: str
    champion: str
    name: str
    channel: str
    began_utc: datetime
    ended_utc: datetime
    verdict: str
    reason: str
    pairs: int
    agreement: float
    canary_requests: int
    """Requests that the candidate's arm answered, not counting the baseline arm's."""
    canary_verdict: str
    guards: tuple[GuardRow, ...]
    requests: RequestCounts


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
