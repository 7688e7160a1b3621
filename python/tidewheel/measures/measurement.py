"""A measured value with its bounds: what gates judge and monitoring compares."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """Hold one measured value with one-sided bounds, each at `confidence`, and what it was counted on."""

    metric: str
    value: float
    lower: float
    upper: float
    confidence: float
    n_rows: int
    n_units: int
    relative_to: str | None = None
