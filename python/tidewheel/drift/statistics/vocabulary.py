"""Which strings are classes of their own, where the reference chose the names it counts apart.

The names are the reference's most frequent strings, and such a choice flatters: a string that the reference has often by
chance is named, one that it has rarely by chance is not, so the named ones have fewer rows in the next sample without any
drift. On ids a chi-square over them alarms every time. Given the rows of a string in both samples together, though, how many
of them are the reference's is a matter of chance alone; strings that would have been named whatever that chance was are
safe to test, all others go into one class. Pure: counts in, counts out.
"""

import numpy as np
import numpy.typing as npt

#: A name needs this many expected rows in the reference: without drift the reference then misses it once in 150 times.
EXPECTED_IN_REFERENCE = 5.0
#: Standard deviations by which a name's expected rows must exceed those of the rarest name: once in 700 times it fell short.
CLEARANCE = 3.0

#: Whole numbers with at most so many distinct values may be codes; ages have more.
MOST_CODES = 50

_FloatArray = npt.NDArray[np.float64]


def gather_chance(
    reference: _FloatArray, current: _FloatArray, worth: tuple[float, float]
) -> tuple[_FloatArray, _FloatArray]:
    """Join the names that are there by chance to the last class, that of all strings without a name.

    A name with T rows in both samples is expected to have `T n / (n + m)` rows in the reference, with variance
    `T n m / (n + m)^2`. It is kept if that is at least 5 and, where the reference has strings without a name, 3 standard
    deviations above the rarest name's rows.

    Args:
        reference: Rows per name, most frequent first; the last entry is all other strings.
        current: The same of the current sample.
        worth: How many independent rows both samples' rows are worth.

    Returns:
        The counts of the classes kept and, last, of all others; without the last if it is empty on both sides.
    """
    return join(reference, current, find_kept(reference, current, worth))


def join(
    reference: _FloatArray, current: _FloatArray, kept: npt.NDArray[np.bool_]
) -> tuple[_FloatArray, _FloatArray]:
    """Join the names that are not kept to the last class, which is left out where it is empty on both sides."""
    sides = [np.append(side[kept], side[~kept].sum()) for side in (reference, current)]
    end = None if sides[0][-1] + sides[1][-1] > 0 else -1
    return sides[0][:end], sides[1][:end]


def find_kept(
    reference: _FloatArray, current: _FloatArray, worth: tuple[float, float]
) -> npt.NDArray[np.bool_]:
    """Say which names `gather_chance` keeps as classes; never the last entry, which is no name."""
    n, m = worth
    r, c = reference * (n / reference.sum()), current * (m / current.sum())
    expected = (r + c) * (n / (n + m))
    kept: npt.NDArray[np.bool_] = expected >= EXPECTED_IN_REFERENCE
    if r[-1] > 0:
        kept &= expected - CLEARANCE * np.sqrt(expected * (m / (n + m))) > r[:-1].min(initial=np.inf)
    kept[-1] = False
    return kept
