"""What rows that come in clusters are worth: design effects from counts per unit (day, user).

Rows of one unit resemble each other, so n rows tell less than n independent ones would. For a share y with intra-unit
correlation rho the variance is larger by the design effect `1 + (sum_k n_k^2 / n - 1) rho`, n_k being the rows of unit k.
rho is estimated by the one-way analysis of variance over units (Donner and Koval 1980), pooled over several shares of the
same column. Pure: counts in, numbers out.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: The current sample helps to estimate rho from this many units on; with fewer its own mean is hardly known.
UNITS_TO_JOIN = 5
#: With fewer reference units there is nothing to estimate a spread from.
UNITS_NEEDED = 2

_FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Design:
    """How much rows are worth in both samples.

    Attributes:
        n: Rows of the reference that the same number of independent rows would be worth: n / design effect.
        m: The same of the current sample.
        correlation: The intra-unit correlation, at least 0.
        df: Degrees of freedom behind it; None when rows are taken as independent.
        effect: The design effect of the current sample: its rows over `m`.
    """

    n: float
    m: float
    correlation: float = 0.0
    df: float | None = None
    effect: float = 1.0


def independent(n: int, m: int) -> Design:
    """Take rows as independent."""
    return Design(float(n), float(m))


def estimate_design(
    reference: npt.NDArray[np.integer], current: npt.NDArray[np.integer], *, ordered: bool
) -> Design:
    """Estimate the design from counts per unit and class.

    Args:
        reference: Counts of shape (units, classes).
        current: The same of the current sample.
        ordered: True when classes are bins in order: then the shares below each edge are pooled (what the
            Kolmogorov-Smirnov distance is made of), else the shares of each class.

    Returns:
        The design. Rows of the current sample are deflated by the reference's correlation at their own unit sizes, so a
        single current unit needs no spread of its own.
        Fewer than two reference units give no degrees of freedom (`df=0`): nothing can be said.
    """
    one, other = _shares_wanted(reference, ordered), _shares_wanted(current, ordered)
    samples = [one, other] if len(other) >= UNITS_TO_JOIN else [one]
    n, m = float(one[:, -1].sum()), float(other[:, -1].sum())
    if len(one) < UNITS_NEEDED:
        return Design(n, m, 0.0, 0.0)
    df = float(sum(len(table) - 1 for table in samples))
    rho = _correlation(samples)
    effect = _effect(other, rho)
    return Design(n / _effect(one, rho), m / effect, rho, df, effect)


def _shares_wanted(table: npt.NDArray[np.integer], ordered: bool) -> _FloatArray:
    """Turn counts into those below each edge, or leave them, with the unit's rows as last column; drop empty units."""
    table = table[table.sum(axis=1) > 0]
    cumulated = table.cumsum(axis=1)
    classes = cumulated[:, :-1] if ordered else table
    return np.column_stack([classes, cumulated[:, -1:]]).astype(np.float64)


def _correlation(samples: list[_FloatArray]) -> float:
    between = within = rows = units = size = 0.0
    for table in samples:
        n_k = table[:, -1:]
        n = n_k.sum()
        means = table[:, :-1].sum(axis=0) / n
        shares = table[:, :-1] / n_k
        between += float((n_k * (shares - means) ** 2).sum())
        within += float((n_k * shares * (1 - shares)).sum())
        size += float(n - (n_k**2).sum() / n)
        rows, units = rows + float(n), units + len(table)
    df_between, df_within = units - len(samples), rows - units
    if df_within <= 0 or df_between <= 0:
        return 0.0
    mean_between, mean_within = between / df_between, within / df_within
    total = mean_between + (size / df_between - 1) * mean_within
    return float(np.clip((mean_between - mean_within) / total, 0.0, 1.0)) if total > 0 else 0.0


def _effect(table: _FloatArray, rho: float) -> float:
    n_k = table[:, -1]
    n = n_k.sum()
    return max(1.0, float(1 + ((n_k**2).sum() / n - 1) * rho)) if n else 1.0
