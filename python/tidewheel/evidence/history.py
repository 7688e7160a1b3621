"""What the ledger says about the past: which model was in force at an event time, and what is still open.

Only reading; every answer is taken from the ledger's decisions, never from what a caller remembers.
"""

from dataclasses import dataclass
from datetime import datetime

from tidewheel.errors import InputError
from tidewheel.evidence.records import DataVersion, ModelVersion
from tidewheel.evidence.store import Ledger

TAKES_OVER = ("deploy", "promote")
"""Actions after which the decision's subject is the model in force."""


@dataclass(frozen=True, slots=True)
class Reign:
    """Say from when a model answered, and up to which event time its training rows went."""

    model_id: str
    name: str
    from_utc: datetime
    trained_until_utc: datetime


def data_version_of(ledger: Ledger, name: str, delta_version: int) -> DataVersion:
    """Give the record of one data version.

    Raises:
        InputError: the ledger does not know it.
    """
    known = {version.delta_version: version for version in ledger.data_versions(name)}
    if delta_version not in known:
        raise InputError(f"the ledger knows no {name}@{delta_version}; it has {sorted(known) or 'none'}")
    return known[delta_version]


def latest_version(ledger: Ledger, name: str) -> DataVersion:
    """Give the newest data version.

    Raises:
        InputError: there is none yet.
    """
    versions = ledger.data_versions(name)
    if not versions:
        raise InputError(f"there is no version of {name} yet; run the flow `data` first")
    return max(versions, key=lambda version: version.delta_version)


def reigns(ledger: Ledger) -> list[Reign]:
    """List which model was in force from when on, in the order of event time."""
    models = {model.model_id: model for model in ledger.model_versions()}
    ends = {
        (name, version.delta_version): version.ends_utc
        for name in {model.data_name for model in models.values()}
        for version in ledger.data_versions(name)
    }
    return [
        Reign(
            model_id=decision.subject,
            name=models[decision.subject].name,
            from_utc=decision.at_utc,
            trained_until_utc=ends[models[decision.subject].data_name, models[decision.subject].data_version],
        )
        for decision in sorted(ledger.decisions(), key=lambda decision: decision.at_utc)
        if decision.action in TAKES_OVER
    ]


def reign_at(history: list[Reign], at_utc: datetime) -> Reign:
    """Give the reign that covers an event time.

    Raises:
        InputError: no model was in force then.
    """
    earlier = [reign for reign in history if reign.from_utc <= at_utc]
    if not earlier:
        raise InputError(f"no model was in force at {at_utc}")
    return earlier[-1]


def champion_of(ledger: Ledger, project_name: str) -> ModelVersion | None:
    """Give the model that the plan in force names champion, or None before the first deployment."""
    plan = ledger.plan(project_name)
    return ledger.model_version(plan.champion) if plan is not None else None
