"""Clocks that are passed in, so that windows, label delays and cooldowns run on event time as well as on the wall's.

What belongs here: telling the time. What does not: waiting for it (`operations.services` waits for processes).
"""

from datetime import UTC, datetime
from typing import Protocol

from tidewheel.errors import InputError


class Clock(Protocol):
    """Tell the time."""

    def now_utc(self) -> datetime:
        """Give the time as an aware UTC datetime."""


class WallClock:
    """Tell the time of this machine."""

    def now_utc(self) -> datetime:
        """Give the time as an aware UTC datetime."""
        return datetime.now(UTC)


class EventClock:
    """Tell the time of replayed events: it stands still until it is set, and never goes back.

    Example:
        >>> clock = EventClock(datetime(2013, 4, 1, tzinfo=UTC))
        >>> clock.advance_to(datetime(2013, 5, 1, tzinfo=UTC))
        >>> clock.now_utc().isoformat()
        '2013-05-01T00:00:00+00:00'
    """

    def __init__(self, start_utc: datetime) -> None:
        self._now_utc = _aware_utc(start_utc)

    def now_utc(self) -> datetime:
        """Give the time as an aware UTC datetime."""
        return self._now_utc

    def advance_to(self, at_utc: datetime) -> None:
        """Set the clock to `at_utc`.

        Raises:
            InputError: `at_utc` has no time zone or lies before the clock's time.
        """
        at_utc = _aware_utc(at_utc)
        if at_utc < self._now_utc:
            raise InputError(f"an event clock never goes back; it stands at {self._now_utc}, got {at_utc}")
        self._now_utc = at_utc


def _aware_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise InputError(f"a clock needs a time with a time zone; got {at!r}")
    return at.astimezone(UTC)
