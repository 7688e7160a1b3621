"""The statistics that a report shows beside its tests, by name.

Those that follow from the counts of the report's bins are shown by default. The Wasserstein distance takes the rows
themselves and about as long as all else together (`benches/drift/test_wasserstein.py`), so it is computed when asked for.
No verdict depends on any of them. Which test decides is in `column_tests`.
"""

import math
from collections.abc import Sequence

from tidewheel import _native
from tidewheel.drift import arguments
from tidewheel.drift.statistics import divergences
from tidewheel.drift.statistics.psi import psi_of_counts

#: From counts; "ks" is the decision test's own statistic where a column is numeric, "chi_square" where it is categorical.
COUNTED = ("ks", "psi", "jensen_shannon", "chi_square", "total_variation")
#: From rows.
MEASURED = ("wasserstein",)
#: What statistics add to their names: bounds where counts leave an interval, and the unit of the reference's IQR.
_ENDINGS = ("_lower", "_upper", "_iqr")


def check_names(names: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """Return the names wanted, by default those from counts; refuse unknown ones with UnknownNameError."""
    if names is None:
        return COUNTED
    wanted = arguments.read_items("statistics", names)
    for name in wanted:
        arguments.check_choice("statistics", name, known)
    return tuple(wanted)


def select(found: dict[str, float], wanted: Sequence[str]) -> dict[str, float]:
    """Keep the statistics wanted, with their bounds and units."""
    names = {name + ending for name in wanted for ending in ("", *_ENDINGS)}
    return {name: value for name, value in found.items() if name in names}


def divergences_of_counts(reference: Sequence[float], current: Sequence[float]) -> dict[str, float]:
    """Compute the index and the Jensen-Shannon distance over the report's bins; nothing where a side is empty."""
    if not any(reference) or not any(current):
        return {}
    return {
        "psi": psi_of_counts(reference, current, "jeffreys"),
        "jensen_shannon": divergences.jensen_shannon_of_counts(reference, current),
    }


def wasserstein(reference: _native.Column, current: _native.Column, threads: int | None) -> dict[str, float]:
    """Measure the distance, in the column's unit and, if that is above 0, in the reference's interquartile ranges."""
    distance, _, _ = _native.wasserstein(reference, current, threads)
    found = {"wasserstein": distance}
    if _native.find_range(reference, threads)[0] is None:
        # Infinities alone.
        return found
    fitted = _native.fit_quantiles(reference, 4, threads)
    low, high = (_quartile(fitted, quarter) for quarter in (1, 3)) if fitted.edges else (0, 0)
    if high > low:
        # Whole numbers are subtracted as such, and halves of floats, whose difference may be more than a float holds.
        halves = math.isinf(high - low)
        found["wasserstein_iqr"] = distance / 2 / (high / 2 - low / 2) if halves else distance / (high - low)
    return found


def _quartile(fitted: _native.FittedBins, quarter: int) -> float | int:
    """Find the order statistic of rank floor(quarter n / 4): an edge was laid there, and its bin starts with it."""
    rank, below = sum(fitted.counts) * quarter // 4, 0
    edge = -1
    for count in fitted.counts:
        below += count
        if below > rank:
            break
        edge += 1
    return fitted.edges[max(edge, 0)]
