"""Bounds that hold at any number of rows: of distribution functions, of shares, of names, and of what was never seen.

Each takes `x = ln(1 / error)` and rows, and broadcasts over arrays of any shape, so that one sample and ten thousand
simulated ones go through the same lines. Nothing is asymptotic. `alpha_spending` says which error a look may make,
`watching` puts both together.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: What one row may err where there is none: beyond any bound, yet its square is still a number.
_NO_ROWS = 1e100


def reach_of_distribution(x: Floats | float, rows: Floats | float) -> Floats:
    """Bound how far an empirical distribution function strays from its law anywhere: `sqrt((ln 2 + x) / (2 rows))`.

    Args:
        x: `ln(1 / error)`, of any shape.
        rows: Rows behind the function, of any shape that broadcasts with `x`; no rows, no bound.

    Returns:
        The reach, exceeded with probability at most `exp(-x)`; far beyond 1 without rows.

    Source: Dvoretzky, Kiefer and Wolfowitz (1956) with Massart's constant (1990); it holds for laws with ties as well.

    Example:
        >>> from math import log
        >>> round(float(reach_of_distribution(log(1 / 0.05), 1000)), 4)
        0.0429
    """
    return _root((np.log(2) + x) / 2, rows)


def share_interval(x: Floats | float, share: Floats | float, rows: Floats | float) -> tuple[Floats, Floats]:
    """Enclose a probability by the share of independent rows that had it.

    Chernoff: with kl(q, p) = q ln(q/p) + (1-q) ln((1-q)/(1-p)), rows kl(share, p) exceeds ln 2 + x with probability at
    most `exp(-x)`, both sides together. From that follow, y being (ln 2 + x) / rows, all at once: |share - p| <= sqrt(y
    / 2); p >= share - sqrt(2 y share); p <= share + y + sqrt(y^2 + 2 y share); and the latter two of 1 - p. The
    narrowest counts: rare shares are known to about the root of their own size, as they should be.

    Args:
        x: `ln(1 / error)`.
        share: Share of rows, in [0, 1].
        rows: Rows; without any the interval is [0, 1].

    Returns:
        Lower and upper bounds in [0, 1], of the broadcast shape.

    Source: Chernoff (1952); Okamoto (1958) for the square-root forms.

    Example:
        >>> from math import log
        >>> lower, upper = share_interval(log(1 / 0.05), 0.01, 10_000)
        >>> round(float(lower), 4), round(float(upper), 4)
        (0.0073, 0.0131)
    """
    y = _divide(np.log(2) + x, rows)
    q = np.asarray(share, dtype=np.float64)
    flat = np.sqrt(y / 2)
    lower = np.maximum(q - np.minimum(flat, np.sqrt(2 * y * q)), 1 - _rise(1 - q, y))
    upper = np.minimum(q + np.minimum(flat, np.sqrt(2 * y * (1 - q))), _rise(q, y))
    return np.clip(lower, 0, 1), np.clip(upper, 0, 1)


def name_intervals(x: float, shares: Floats, rows: float) -> tuple[Floats, Floats]:
    """Enclose the probabilities of all names at once, however many there are and whichever of them are looked at.

    Names are often chosen by the very sample (the most frequent ones), so a bound per name must hold for all of them.
    Name k gets the part p_k of the error: the parts add up to one over any vocabulary, even an endless one. That costs
    ln(1 / p_k), at most ln(rows) for names of probability 1 / rows or more. A rarer one lies below the upper bound
    anyhow; and the rarer it is, the faster does a name seen twice contradict it, so a lower bound above 1 / rows holds
    for it too, and others are given as 0.

    Args:
        x: `ln(1 / error)` of all names together.
        shares: Shares of the names.
        rows: Rows of the sample, at least 1.

    Returns:
        Lower and upper bounds, of the shape of `shares`.
    """
    lower, upper = share_interval(x + np.log(rows), shares, rows)
    return np.where(lower > 1 / rows, lower, 0.0), upper


def most_unseen(x: float, seen_once: int, rows: float) -> Floats:
    """Bound from above the probability of all strings that a sample never showed.

    Good and Turing estimate it by seen_once / rows. The estimate's mean is not below that of the probability; the
    estimate falls short of its mean by more than e with probability at most exp(-rows e^2 / 2) (McDiarmid: one row
    changes it by two rows' worth at most), and the probability exceeds its own by more than e with probability at most
    exp(-rows e^2).

    Args:
        x: `ln(1 / error)`.
        seen_once: Strings that occur once.
        rows: Rows of the sample.

    Returns:
        The bound, at most 1.

    Source: Good (1953); McAllester and Ortiz (2003) for the concentration of the missing mass.

    Example:
        >>> from math import log
        >>> round(float(most_unseen(log(1 / 0.05), 100, 10_000)), 3)
        0.056
    """
    most: Floats = np.minimum(seen_once / rows + (1 + np.sqrt(2)) * _root(np.log(2) + x, rows), 1.0)
    return most


def _rise(q: Floats, y: Floats) -> Floats:
    return q + y + np.sqrt(y * y + 2 * y * q)


def _root(x: Any, rows: Any) -> Floats:
    return np.sqrt(_divide(x, rows))


def _divide(x: Any, rows: Any) -> Floats:
    x, rows = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(rows, dtype=np.float64))
    divided: Floats = np.divide(x, rows, out=np.full(x.shape, _NO_ROWS), where=rows > 0)
    return divided
