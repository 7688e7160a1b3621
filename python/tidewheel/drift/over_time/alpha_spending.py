"""What a monitor promises, and how much error each of its looks may make so that it keeps the promise.

A look tests segments of the stream that end now: at level i, blocks of 2^i looks are complete every 2^i looks, and the
last 1 to 4 of them (3 and 4 beyond level 0, the shorter ones being the level's below) are tested together. So a change
is met by a segment that lies after it and is nearly as long as the time since, however old the stream. Pure: numbers
in, numbers out.
"""

import math
from dataclasses import dataclass
from typing import Literal

from tidewheel.drift import arguments
from tidewheel.errors import InputError

#: Blocks of each level that are kept. With 4, lengths are 1, 2, 3, 4, 6, 8, 12, 16, ... looks. With 8 there would be four
#: lengths per doubling: delays hardly differ, and looks cost twice as much.
BLOCKS = 4
#: Beyond level 0, segments of fewer blocks than this are tested on the level below.
LEAST_BLOCKS = 3

PromiseName = Literal["ever", "run length"]
PROMISES = ("ever", "run length")


@dataclass(frozen=True, slots=True)
class Promise:
    """What a monitor promises of a stream that stays within its thresholds.

    "ever": it ever alarms with probability at most `alpha`. Half of alpha pays for the reference, which is a sample
    too; half for the stream. That of level i, segment length l, and the k-th segment of its kind is the part v(i) w(k)
    / lengths, with v(i) = 1 / ((i+1)(i+2)) and w(k) = 1/ln(e+k-1) - 1/ln(e+k): both add up to one, and w falls hardly
    faster than 1/k. So the probabilities of all segments that are ever tested add up to alpha / 2.

    "run length": the first false alarm comes after at least `run_length` looks on average. The segments that end with
    one block of level i have 2^i v(i) r together, so T looks alarm falsely with probability at most r T, given that the
    reference's band holds, which it does but with probability alpha. A time T with P(T <= t) <= alpha + r t has a mean
    of at least (1 - alpha)^2 / (2 r); hence r = (1 - alpha)^2 / (2 run_length). It holds however looks depend on each
    other.

    Both are sums over fixed sets of looks: they hold whenever and however often the monitor is armed again.

    Attributes:
        name: "ever" or "run length".
        alpha: Probability of any false alarm, or that the reference misleads; in (0, 1).
        run_length: Looks; used by "run length" alone.
    """

    name: PromiseName
    alpha: float
    run_length: int

    def __post_init__(self) -> None:
        arguments.check_choice("promise", self.name, PROMISES)
        arguments.check_share("alpha", self.alpha)
        arguments.check_number("run_length", self.run_length)
        if self.run_length < 1:
            raise InputError(f"`run_length` must be at least 1 look; got {self.run_length}")

    @property
    def of_reference(self) -> float:
        """Probability that the reference's own bands may fail."""
        return self.alpha / 2 if self.name == "ever" else self.alpha

    @property
    def sentence(self) -> str:
        """The promise in one sentence."""
        stream = "A stream of independent rows of one law, within the thresholds of the reference's,"
        if self.name == "ever":
            return f"{stream} ever alarms with probability at most {self.alpha:g}."
        return f"{stream} runs at least {self.run_length:,} looks on average before it alarms."

    def of_segment(self, level: int, block: int, length: int) -> float:
        """Give the error that one segment may make.

        Args:
            level: Its level, at least 0.
            block: Number of its last block on that level, from 1.
            length: Its blocks; see `lengths`.

        Returns:
            A probability, at most 1.
        """
        part = 1 / ((level + 1) * (level + 2) * len(lengths(level)))
        if self.name == "ever":
            place = math.e + block - length
            return self.alpha / 2 * part * (1 / math.log(place) - 1 / math.log(place + 1))
        return min(1.0, (1 - self.alpha) ** 2 / (2 * self.run_length) * part * 2.0**level)


def lengths(level: int) -> range:
    """Give the lengths of a level's segments, in its blocks."""
    return range(1 if level == 0 else LEAST_BLOCKS, BLOCKS + 1)
