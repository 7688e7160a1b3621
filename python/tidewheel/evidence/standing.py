"""Whether evidence stands: it does while everything it was bound to is still what it was.

What belongs here: the pure comparison. What does not: reading rows (`evidence.store`) and judging (`evidence.criteria`).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tidewheel.evidence.records import DataVersion, Evidence, ModelVersion

STAGES_OF_DATA = ("data", "baseline")
"""Stages whose subject is the rows that a model was made of, not the model itself."""


REPLACED = "judged again since"
"""Why evidence fell that a later one of the same stage and subject took the place of."""


class Standing(NamedTuple):
    """Say whether one piece of evidence stands, and why."""

    evidence: Evidence
    stands: bool
    why: str


def is_about(evidence: Evidence, model: ModelVersion) -> bool:
    """Say whether evidence speaks of a model, or of the rows that it was made of."""
    same_rows = (evidence.data_name, evidence.data_version) == (model.data_name, model.data_version)
    return evidence.subject == model.model_id or (evidence.stage in STAGES_OF_DATA and same_rows)


def decide_standing(
    evidence: Sequence[Evidence], data: DataVersion, criteria: Mapping[str, str]
) -> list[Standing]:
    """Compare each piece of evidence about one model with what is in force now.

    Args:
        evidence: in the order in which it was written; a later one replaces an earlier one of the same stage and subject.
        data: the data version in force.
        criteria: digest of the criteria in force, by stage.

    Returns:
        One standing for each, in the same order. One that fell says by which of the bonds.
    """
    newest = {(row.stage, row.subject): index for index, row in enumerate(evidence)}
    standings = []
    for index, row in enumerate(evidence):
        replaced = newest[row.stage, row.subject] != index
        why = REPLACED if replaced else _broken(row, data, criteria)
        standings.append(Standing(row, why is None, why or f"measured on {row.data_name}@{row.data_version}"))
    return standings


def _broken(row: Evidence, data: DataVersion, criteria: Mapping[str, str]) -> str | None:
    measured, current = f"{row.data_name}@{row.data_version}", f"{data.name}@{data.delta_version}"
    if measured != current:
        return f"measured on {measured}; {current} is in force"
    if row.data_sha256 != data.content_sha256:
        return (
            f"measured on {measured} with other rows: {row.data_sha256[:12]}, now {data.content_sha256[:12]}"
        )
    if row.stage not in criteria:
        return f"no criteria are set for gate {row.stage} now"
    if row.criteria_sha256 != criteria[row.stage]:
        return f"the criteria of gate {row.stage} changed: {row.criteria_sha256[:12]}, now {criteria[row.stage][:12]}"
    return None
