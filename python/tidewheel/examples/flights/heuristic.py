"""The rule that a dispatcher would use: delays pile up over the day, and bad weather adds to them.

It is one of the baselines that every model must beat, and it answers requests when no model can. It needs NumPy alone, and
only what is known at the scheduled departure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

MORNING_MINUTE, EVENING_MINUTE = 6 * 60, 20 * 60
"""Between these times of day delays pile up: each late aircraft is late again on its next leg."""

LOW_VISIBILITY_MILES = 3.0
"""Below three miles pilots may not fly by sight (FAR 91.155), and arrivals are spaced wider."""

STRONG_WIND_MPH = 20.0
"""Winds like this often cross a runway hard enough to close it, and fewer runways mean longer queues."""

POINTS_START, POINTS_DAY, POINTS_RAIN, POINTS_VISIBILITY, POINTS_WIND = 0.1, 0.3, 0.15, 0.15, 0.1
"""Points a dispatcher might give, written down before looking at the data; they add up to 0.8 at most."""


def score_late(columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """Score each flight by adding points for time of day, rain or snow, visibility and wind.

    Missing weather adds no points. The score orders flights; it is not a calibrated probability.

    Args:
        columns: `minute_of_day`, `precip`, `visib` and `wind_speed`, of equal length; more columns are ignored.

    Returns:
        One score in [0.1, 0.8] for each row, float64.

    Example:
        >>> late = {"minute_of_day": [360, 1200], "precip": [0.0, 0.2], "visib": [10.0, None], "wind_speed": [5, 25]}
        >>> [round(float(score), 2) for score in score_late(late)]
        [0.1, 0.65]
    """
    minute = np.asarray(columns["minute_of_day"], dtype=np.float64)
    precip = np.asarray(columns["precip"], dtype=np.float64)
    visib = np.asarray(columns["visib"], dtype=np.float64)
    wind = np.asarray(columns["wind_speed"], dtype=np.float64)
    day = np.clip((minute - MORNING_MINUTE) / (EVENING_MINUTE - MORNING_MINUTE), 0.0, 1.0)
    # A comparison with NaN is false: missing weather adds nothing.
    score: npt.NDArray[np.float64] = POINTS_START + POINTS_DAY * day
    score += POINTS_RAIN * (precip > 0)
    score += POINTS_VISIBILITY * (visib < LOW_VISIBILITY_MILES)
    score += POINTS_WIND * (wind > STRONG_WIND_MPH)
    return score
