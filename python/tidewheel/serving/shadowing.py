"""The queue of requests that a candidate sees after the answer is out: bounded, in batches, never in the way.

What belongs here: queueing, sending in batches, keeping the pairs, counting what was dropped. What does not: choosing what
is shadowed (`rollout.routing`), comparing the pairs (`rollout.shadow`).
"""

import asyncio
import contextvars
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tidewheel.predictions.records import Pair
from tidewheel.serving.failures import words
from tidewheel.serving.rungs import Row

BATCH_ROWS_MAX = 512
"""Rows of one call to the candidate: some 10 ms of its time."""

Ask = Callable[[Sequence[Row]], Awaitable[Sequence[float]]]


@dataclass(frozen=True, slots=True)
class Shadowed:
    """One answered request, and what the champion said to each of its rows (None where it could not)."""

    request_id: str
    key: str
    at_utc: datetime
    generation: int
    champion: str
    candidate: str
    rows: list[dict[str, Any]]
    scores: list[float] | None
    ask: Ask


class ShadowQueue:
    """Send queued requests to the candidate every `every_s`, one batch at a time, and keep the pairs.

    Args:
        keep: Takes the pairs of one batch; its errors are counted.
        every_s: Time between two batches.
        rows_max: Rows that may wait; more are dropped and counted.
        timeout_s: Longest wait for the candidate; the pairs of a batch that takes longer carry an error.
    """

    def __init__(
        self, keep: Callable[[Sequence[Pair]], None], every_s: float, rows_max: int, timeout_s: float
    ) -> None:
        self._keep = keep
        self._every_s = every_s
        self._rows_max = rows_max
        self._timeout_s = timeout_s
        self._waiting: deque[Shadowed] = deque()
        self._task: asyncio.Task[None] | None = None
        self.n_rows = 0
        self.counts: Counter[str] = Counter()

    def put(self, shadowed: Shadowed) -> None:
        """Queue one request, or drop it if too many wait; returns at once."""
        n = len(shadowed.rows)
        if self.n_rows + n > self._rows_max:
            self.counts["dropped"] += n
            return
        self._waiting.append(shadowed)
        self.n_rows += n
        if self._task is None or self._task.done():
            # A context of its own: Serve cancels what a request started when the request ends.
            self._task = asyncio.get_running_loop().create_task(
                self._send_all(), context=contextvars.Context()
            )

    async def drain(self, limit_s: float) -> int:
        """Wait until nothing waits and nothing is on its way, at most `limit_s`; return how many rows still wait."""
        task = self._task
        if task is not None and not task.done():
            await asyncio.wait([task], timeout=limit_s)
        return self.n_rows

    async def _send_all(self) -> None:
        """Send batches until nothing waits; the next `put` starts anew."""
        while self._waiting:
            await asyncio.sleep(self._every_s)
            batch = self._take()
            try:
                pairs = await self._pairs(batch)
                self._keep(pairs)
                self.counts["kept"] += len(pairs)
            except Exception:  # whatever it is, callers have their answers and the next batch its chance
                self.counts["lost"] += sum(len(one.rows) for one in batch)
            self.n_rows -= sum(len(one.rows) for one in batch)

    def _take(self) -> list[Shadowed]:
        """Take what fits into one batch; all of one candidate, whose name may change with the plan."""
        batch = [self._waiting.popleft()]
        n = len(batch[0].rows)
        while self._waiting and self._waiting[0].candidate == batch[0].candidate:
            n += len(self._waiting[0].rows)
            if n > BATCH_ROWS_MAX:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _pairs(self, batch: list[Shadowed]) -> list[Pair]:
        rows = [row for one in batch for row in one.rows]
        error, scores = None, [math.nan] * len(rows)
        try:
            scores = [float(score) for score in await asyncio.wait_for(batch[0].ask(rows), self._timeout_s)]
            if len(scores) != len(rows):
                raise ValueError(f"{len(scores)} scores for {len(rows)} rows")
        except Exception as failure:
            self.counts["failed"] += len(rows)
            error, scores = words(failure), [math.nan] * len(rows)
        now, told = datetime.now(UTC), iter(scores)
        return [
            Pair(
                request_id=one.request_id,
                row=index,
                key=one.key,
                at_utc=one.at_utc,
                wall_utc=now,
                generation=one.generation,
                champion=one.champion,
                candidate=one.candidate,
                score_champion=None if one.scores is None else one.scores[index],
                score_candidate=score if math.isfinite(score) else None,
                error=error or (None if math.isfinite(score) else f"non-finite score {score} of candidate"),
            )
            for one in batch
            for index, score in zip(range(len(one.rows)), told, strict=False)
        ]
