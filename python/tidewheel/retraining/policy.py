"""Decide whether the open findings are worth a retraining now.

What belongs here: triggers, cooldown, budget, one at a time, never twice for the same cause. What does not: finding
(`monitoring.triage`), training and judging (`flows`). "Nothing" and "wait" are decisions too, with their reasons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tidewheel.evidence.records import Decision, Finding
from tidewheel.project.settings import Retrain

RETRAIN = "retrain"
"""Action of the decision, in the ledger, that starts a retraining; its subject is the finding that caused it."""

WAIT = "wait"
"""Action of a decision that settles nothing: the finding is asked about again."""

FIRED = ("drifted", "degraded")
"""Verdicts of findings that are sure of themselves."""

BUDGET_DAYS = 365.0
"""The year of `budget_per_year` is the one that ends now."""


@dataclass(frozen=True, slots=True)
class RetrainDecision:
    """Hold what to do, why, and for which finding.

    "retrain": now, on account of `finding_id`; `answers` are all open findings that it settles. "wait": `finding_id`
    asks for it, but not yet. "nothing": no open finding asks for it (`finding_id` is None).
    """

    action: Literal["retrain", "wait", "nothing"]
    reason: str
    finding_id: str | None = None
    answers: tuple[str, ...] = ()


def decide_retraining(
    findings: Sequence[Finding],
    retrain: Retrain,
    history: Sequence[Decision],
    now_utc: datetime,
    *,
    is_in_flight: bool = False,
) -> RetrainDecision:
    """Decide about all findings together.

    A finding asks for a retraining if its kind is one of `retrain.triggers`, it fired, no decision names it yet, and its
    window ended after the last retraining began (which has seen everything before). Of several, the one of the latest
    window counts, and within it the kind that stands first in `triggers`.

    Args:
        findings: All that are known, in any order; settled ones may be among them.
        retrain: Triggers, cooldown and budget.
        history: Decisions of the ledger; those with the action "retrain" are past retrainings (subject: the finding),
            any other one whose subject is a finding settles that finding, unless its action is "wait".
        now_utc: The time of deciding.
        is_in_flight: Whether a retraining is under way.

    Returns:
        "nothing" if no finding asks; "wait" while one is in flight, during the cooldown, after the budget of a year, or
        while a schema finding stands for the same window or a later one (its rows must not be learned from); else
        "retrain". Asked again after its "retrain" was recorded, it does not say "retrain" for that finding again.
    """
    began = [decision.at_utc for decision in history if decision.action == RETRAIN]
    settled = {decision.subject for decision in history if decision.action != WAIT}
    still_open = [finding for finding in findings if finding.finding_id not in settled]
    asking = [finding for finding in still_open if _asks(finding, retrain, began)]
    if not asking:
        triggers = ", ".join(retrain.triggers) or "nothing"
        return RetrainDecision(
            "nothing", f"none of {len(findings)} findings asks for it; what would: {triggers}"
        )
    rank: dict[str, int] = {kind: place for place, kind in enumerate(retrain.triggers)}
    cause = max(asking, key=lambda each: (each.ends_utc, -rank[each.kind], each.finding_id))
    broken = [each for each in still_open if each.kind == "schema" and each.ends_utc >= cause.ends_utc]
    obstacle = _obstacle(broken, retrain, began, now_utc, is_in_flight)
    if obstacle:
        return RetrainDecision(
            "wait", f"{obstacle}; asked for by {cause.kind}: {cause.reason}", cause.finding_id
        )
    answers = tuple(sorted({finding.finding_id for finding in asking}))
    return RetrainDecision("retrain", f"{cause.kind}: {cause.reason}", cause.finding_id, answers)


def _asks(finding: Finding, retrain: Retrain, began: Sequence[datetime]) -> bool:
    has_fired = finding.kind in retrain.triggers and finding.verdict in FIRED
    return has_fired and all(finding.ends_utc > at_utc for at_utc in began)


def _obstacle(
    broken: Sequence[Finding],
    retrain: Retrain,
    began: Sequence[datetime],
    now_utc: datetime,
    is_in_flight: bool,
) -> str:
    """Say what stands against a retraining now; the empty string if nothing does."""
    if is_in_flight:
        return "another retraining is under way"
    if broken:
        return f"the rows are broken and must not be learned from ({broken[0].reason})"
    if began and now_utc - max(began) < timedelta(days=retrain.cooldown_days):
        ends = max(began) + timedelta(days=retrain.cooldown_days)
        return f"the cooldown of {retrain.cooldown_days:g} days ends on {ends:%Y-%m-%d %H:%M} UTC"
    recent = sum(now_utc - at_utc < timedelta(days=BUDGET_DAYS) for at_utc in began)
    if recent >= retrain.budget_per_year:
        return f"{recent} retrainings of {retrain.budget_per_year} a year are spent"
    return ""
