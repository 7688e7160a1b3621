"""What one rollout amounted to, as records."""

from dataclasses import dataclass
from datetime import datetime


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
