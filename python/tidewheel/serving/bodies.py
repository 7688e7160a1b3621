"""Read the bodies of requests: each up to a size, and each within the same time."""

import asyncio
import time

from starlette.requests import ClientDisconnect
from starlette.types import Receive

DISCARD_BYTES_MAX = 32 << 20
"""So much of a body that is too long is read and thrown away."""


class BodyReader:
    """Read bodies; all methods belong to one event loop.

    Clever: one timer serves all reads. They all have the same time, so they become overdue in the order in which they
    began, and the timer need only stand at the oldest. `asyncio.timeout` makes a timer for each read, which costs some 6
    microseconds under uvloop instead of 1, although nearly every body is there before it is asked for.
    `tests/serving/test_bodies.py` holds both to the same outcomes; the bench is `benches/serving/front_cpu.py`.

    Args:
        bytes_max: Longest body in bytes.
        patience_s: Longest time for one body, in seconds.
    """

    def __init__(self, bytes_max: int, patience_s: float) -> None:
        self._bytes_max = bytes_max
        self._patience_s = patience_s
        self._due: dict[asyncio.Task[object], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, receive: Receive) -> bytes:
        """Read one body; of one that is too long keep just enough for it to be refused.

        Args:
            receive: Gives the parts of the body, as ASGI says.

        Raises:
            TimeoutError: The body was not there in time.
            ClientDisconnect: The caller left.
        """
        task = asyncio.current_task()
        assert task is not None, "coroutines run in tasks"
        self._due[task] = time.monotonic() + self._patience_s
        if self._timer is None:
            self._end_overdue()
        try:
            return await self._read(receive)
        except asyncio.CancelledError:
            # Somebody else may have cancelled the task as well; then the request ends, whatever the time is.
            if task in self._due or task.uncancel() > 0:
                raise
            raise TimeoutError(f"the body did not arrive within {self._patience_s:g} s") from None
        finally:
            self._due.pop(task, None)

    async def _read(self, receive: Receive) -> bytes:
        """Read a body to its end: many clients look for an answer only when they have sent all."""
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            part = message.get("body", b"")
            if size <= self._bytes_max:
                parts.append(part)
            size += len(part)
            if not message.get("more_body", False) or size > self._bytes_max + DISCARD_BYTES_MAX:
                return b"".join(parts)

    def _end_overdue(self) -> None:
        """Cancel the reads that are overdue, and set the timer to the oldest of the others."""
        self._timer = None
        now = time.monotonic()
        while self._due:
            task, until = next(iter(self._due.items()))
            if until > now:
                self._timer = asyncio.get_running_loop().call_later(until - now, self._end_overdue)
                return
            del self._due[task]
            task.cancel()
