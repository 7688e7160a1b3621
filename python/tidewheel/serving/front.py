"""Answering: check a request, route it, score it down the ladder, keep it in the log, copy it to the shadow.

Everything that a replica of the front does is here, on any event loop and without Ray; HTTP, handles and replicas are in
`serving.application_ray`. The champion scores in this process; only a canary request pays for a call to another one. A
request is answered by the first rung that gives finite scores for all of its rows before its deadline; what the assigned
model did wrong stays in the log, whoever answers.
"""

import asyncio
import logging
import math
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from tidewheel.errors import InputError, RequestError
from tidewheel.evidence.records import Plan
from tidewheel.operations.haproxy import REPLICA_PART
from tidewheel.predictions.log import PredictionLog
from tidewheel.predictions.records import Prediction
from tidewheel.rollout.routing import Arm, assigned_model
from tidewheel.serving.failures import words
from tidewheel.serving.in_force import Heuristic, InForce, Limits, Loader, load_plan
from tidewheel.serving.requests import ColumnContract, Request
from tidewheel.serving.rungs import Row, Rung
from tidewheel.serving.shadowing import Shadowed, ShadowQueue

DRAIN_S = 10.0
"""Longest wait for the shadow queue when the log is flushed."""

SHADOW_PATIENCE = 10.0
"""A shadow batch may take so many times as long as one canary request: nobody waits for it."""

RESERVE_PART = 0.1
"""Part of a replica's time that is kept for each rung from those above it: heuristics are quick."""

AskArm = Callable[[Arm, Plan, Sequence[Row]], Awaitable[Sequence[float]]]
"""Asks the application of an arm (candidate or baseline) for the scores of rows."""

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class FrontOptions:
    """Say how a front answers; the fields are those of `[serving]`, and where ledger, log and heuristic are.

    `contract` says what a request looks like while the champion's package cannot.
    """

    name: str
    ledger_url: str
    log_folder: str
    heuristic: str | None = None
    replay: bool = False
    batch_rows_max: int = 1000
    body_bytes_max: int = 1_000_000
    deadline_s: float = 5.0
    hosts: tuple[str, ...] = ()
    candidate_timeout_ms: float = 500.0
    shadow_every_ms: float = 20.0
    shadow_queue_max: int = 10_000
    log_flush_s: float = 2.0
    lease_s: float = 60.0
    poll_s: float = 5.0
    contract: Mapping[str, ColumnContract] | None = None

    @property
    def patience_s(self) -> float:
        """Longest time that a replica takes for a request, in seconds."""
        return REPLICA_PART * self.deadline_s

    def limits(self) -> Limits:
        """Give the bounds of a request."""
        return Limits(self.batch_rows_max, self.body_bytes_max, self.replay)


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold status and JSON body of an HTTP answer."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Scored:
    """Hold what the ladder gave: no scores, rung and model if every rung failed; `error` is the first failure."""

    scores: list[float] | None
    rung: Any
    model: str | None
    error: str | None


class Front:
    """Answer requests by the plan in force; all methods but `close` belong to one event loop.

    Args:
        options: How to answer.
        replica: This replica's id.
        plan: The plan to begin with; its candidate gets nothing before a lease is granted.
        log: Keeps the answers.
        ask: Reaches the applications of the two arms.
        load: Loads packages.
        heuristic: The last rung.

    Raises:
        InputError, IntegrityError: The plan cannot be loaded, see `in_force.load_plan`; with `options.contract` the front
            starts without its champion, and looks for it again with the plan.
    """

    def __init__(
        self,
        options: FrontOptions,
        replica: str,
        plan: Plan,
        log: PredictionLog,
        ask: AskArm,
        load: Loader,
        heuristic: Heuristic | None,
    ) -> None:
        self._options = options
        self._replica = replica
        self._log = log
        self._ask = ask
        self._load = load
        self._heuristic = heuristic
        self._timeout_s = options.candidate_timeout_ms / 1000
        self._in_force = load_plan(plan, options.limits(), heuristic, load, {}, options.contract)
        self._behind: str | None = None
        self._lease_until = -math.inf
        self._applying = asyncio.Lock()
        self._counts: Counter[str] = Counter()
        self._shadow = ShadowQueue(
            log.append_pairs,
            options.shadow_every_ms / 1000,
            options.shadow_queue_max,
            self._timeout_s * SHADOW_PATIENCE,
        )

    @property
    def in_force(self) -> InForce:
        """What requests are answered by at this moment."""
        return self._in_force

    async def predict(self, body: bytes, since: float | None = None) -> Answer:
        """Answer the body of a request to `/predict`; its record is in the log when this returns.

        Args:
            body: The body.
            since: When the request came, as `time.monotonic` tells it; now if None. Its deadline counts from then on.
        """
        began = time.perf_counter()
        until = (time.monotonic() if since is None else since) + self._options.patience_s
        now = self._in_force
        try:
            request = now.validator.parse(body)
        except RequestError as error:
            self._counts[f"refused {error.status}"] += 1
            return Answer(error.status, error.body())
        live = now.plan.candidate is not None and time.monotonic() < self._lease_until
        arm: Arm = now.router.arm(request.key) if live else "champion"
        try:
            scored = await self._score(now, arm, request.rows, until)
        except asyncio.CancelledError:
            # The slowest answers are those that callers do not wait for: without them a slow candidate looks quick.
            latency_ms = (time.perf_counter() - began) * 1000
            gone = Scored(None, None, None, f"cancelled: the caller left after {latency_ms:.0f} ms")
            self._keep(now.plan, arm, request, gone, request.at_utc, latency_ms)
            raise
        at_utc = self._keep(
            now.plan, arm, request, scored, request.at_utc, (time.perf_counter() - began) * 1000
        )
        if live and arm == "champion" and now.router.is_shadowed(request.key):
            self._copy(now.plan, request, scored, at_utc)
        return self._answer(now.plan, request, scored)

    async def _score(self, now: InForce, arm: Arm, rows: list[dict[str, Any]], until: float) -> Scored:
        error = None
        if arm != "champion":
            timeout_s = min(self._timeout_s, self._for_rung(now.rungs, until) - time.monotonic())
            try:
                told = await asyncio.wait_for(self._ask(arm, now.plan, rows), timeout_s)
                scores = [float(score) for score in told]
                if len(scores) == len(rows) and all(map(math.isfinite, scores)):
                    return Scored(scores, arm, assigned_model(now.plan, arm), None)
                error = f"non-finite score or wrong number of scores of {arm}: {scores[:3]}"
            except TimeoutError:
                error = f"timeout: {arm} did not answer within {timeout_s * 1000:g} ms"
            except Exception as failure:
                error = words(failure)
        elif now.missing:
            error = now.missing.get(now.plan.champion)
        for place, rung in enumerate(now.rungs):
            try:
                if rung.is_quick(len(rows)):
                    scores = rung.score(rows).tolist()
                else:
                    budget = self._for_rung(now.rungs[place + 1 :], until)
                    scores = (await rung.score_apart(rows, budget)).tolist()
            except Exception as failure:
                error = error or words(failure)
                continue
            if len(scores) == len(rows) and all(map(math.isfinite, scores)):
                return Scored(scores, rung.name, rung.model, error)
            error = error or f"non-finite score or wrong number of scores of {rung.name}: {scores[:3]}"
        return Scored(None, None, None, error)

    def _for_rung(self, below: Sequence[Rung], until: float) -> float:
        """Say until when a rung may take, so that those below it still have time."""
        return until - len(below) * RESERVE_PART * self._options.patience_s

    def _keep(
        self,
        plan: Plan,
        arm: Arm,
        request: Request,
        scored: Scored,
        at_utc: datetime | None,
        latency_ms: float,
    ) -> datetime:
        wall_utc = datetime.now(UTC)
        at_utc = at_utc or wall_utc
        assigned = plan.champion if arm != "candidate" else assigned_model(plan, arm)
        records = [
            Prediction(
                request_id=request.request_id,
                row=index,
                key=request.key,
                at_utc=at_utc,
                wall_utc=wall_utc,
                generation=plan.generation,
                arm=arm,
                assigned_model=assigned,
                model_version=scored.model,
                rung=scored.rung,
                score=None if scored.scores is None else scored.scores[index],
                latency_ms=latency_ms,
                error=scored.error,
                source="http",
                inputs=_encode(row).decode(),
            )
            for index, row in enumerate(request.rows)
        ]
        try:
            self._log.append(records)
        except (OSError, InputError):
            # The disk is full, say: callers still get their answers, and /status shows what the log lacks.
            self._counts["not logged"] += len(records)
        self._counts["requests"] += 1
        self._counts[f"arm {arm}"] += 1
        self._counts[f"rung {scored.rung}"] += 1
        if scored.error is not None:
            self._counts[f"failed {arm}"] += 1
        return at_utc

    def _copy(self, plan: Plan, request: Request, scored: Scored, at_utc: datetime) -> None:
        assert plan.candidate is not None, "only a live candidate has a shadow"
        self._shadow.put(
            Shadowed(
                request.request_id,
                request.key,
                at_utc,
                plan.generation,
                plan.champion,
                plan.candidate,
                request.rows,
                scored.scores if scored.rung == "champion" else None,
                lambda rows: self._ask("candidate", plan, rows),
            )
        )

    def _answer(self, plan: Plan, request: Request, scored: Scored) -> Answer:
        if scored.scores is None:
            sentence = "no model could answer; try again a little later"
            return Answer(503, _encode({"error": sentence, "request_id": request.request_id}))
        return Answer(
            200,
            _encode(
                {
                    "predictions": scored.scores,
                    "request_id": request.request_id,
                    "model_version": scored.model,
                    "rung": scored.rung,
                    "generation": plan.generation,
                }
            ),
        )

    async def apply_plan(self, plan: Plan, *, grant: bool) -> dict[str, Any]:
        """Follow `plan` if it is newer than the one in force: load and try its models in a thread, then swap.

        Requests are answered by the old plan until the new one is ready, and stay with it if it cannot be loaded.

        Args:
            plan: The plan.
            grant: Whether whoever sends it guards the candidate: then its lease begins now.

        Returns:
            `replica`, `generation` in force, and `error` (None if that is the plan's or a later one).
        """
        error = None
        async with self._applying:
            if plan.generation > self._in_force.plan.generation:
                try:
                    self._in_force = await asyncio.to_thread(self._prepare, plan, None)
                    self._lease_until = -math.inf
                    self._tell(None)
                except Exception as failure:
                    error = words(failure)
                    self._tell(f"plan {plan.generation} cannot be followed: {error}")
        generation = self._in_force.plan.generation
        if grant and generation == plan.generation:
            self.renew_lease(generation)
        return {"replica": self._replica, "generation": generation, "error": error}

    def _prepare(self, plan: Plan, contract: Mapping[str, ColumnContract] | None) -> InForce:
        """Load what a plan needs and is not loaded yet."""
        known = self._in_force.packages
        return load_plan(plan, self._options.limits(), self._heuristic, self._load, known, contract)

    async def _heal(self) -> None:
        """Look once more for the packages that could not be loaded."""
        async with self._applying:
            now = self._in_force
            found = await asyncio.to_thread(self._prepare, now.plan, now.columns)
            if len(found.missing) < len(now.missing):
                self._in_force = found

    async def follow(self, read_plan: Callable[[], Plan]) -> None:
        """Look for a newer plan every `poll_s`, for ever: whoever missed a push follows a little later, without a lease.

        Packages that could not be loaded are looked for as well. What stands in the way is in `/status` and in the log of
        this process until it does no more.
        """
        while True:
            await asyncio.sleep(self._options.poll_s)
            try:
                await self._follow(await asyncio.to_thread(read_plan))
            except (
                Exception
            ) as failure:  # the ledger is away, say: we go on with the plan in force, and look again
                self._counts["failed polls"] += 1
                self._tell(f"the ledger cannot be followed: {words(failure)}")

    async def _follow(self, found: Plan) -> None:
        mine = self._in_force.plan
        if found.generation > mine.generation:
            await self.apply_plan(found, grant=False)
        elif found.generation < mine.generation:
            self._tell(
                f"the ledger is older than this server: its plan has generation {found.generation}, "
                f"generation {mine.generation} is in force"
            )
        elif found != mine:
            self._tell(f"the ledger holds another plan of generation {mine.generation} than the one in force")
        else:
            self._tell(None)
            if self._in_force.missing:
                await self._heal()

    def _tell(self, behind: str | None) -> None:
        """Keep why this replica does not follow the ledger, and write a line into the log when that changes."""
        if behind == self._behind:
            return
        self._behind = behind
        if behind is None:
            _logger.warning("replica %s follows the ledger again", self._replica)
        else:
            _logger.error("replica %s does not follow the ledger: %s", self._replica, behind)

    @property
    def problems(self) -> list[str]:
        """Say what is wrong now, in one sentence each: what a person has to mend."""
        found = [self._behind, *self._in_force.problems, self._log.problem]
        return [problem for problem in found if problem is not None]

    def health(self) -> Answer:
        """Answer 200 when all is well, and 503 with the problems otherwise; requests are answered either way."""
        problems = self.problems
        told = {
            "status": "failing" if problems else "ok",
            "generation": self._in_force.plan.generation,
            **({"problems": problems} if problems else {}),
        }
        return Answer(503 if problems else 200, _encode(told))

    def renew_lease(self, generation: int) -> dict[str, Any]:
        """Let the candidate of `generation` be used for another `lease_s`; a lease of another generation is ignored."""
        if generation == self._in_force.plan.generation:
            self._lease_until = time.monotonic() + self._options.lease_s
        return {"replica": self._replica, "generation": self._in_force.plan.generation}

    async def flush_log(self) -> dict[str, Any]:
        """Wait for the shadow queue, then move the log into Delta; say what was moved and what waits."""
        waiting = await self._shadow.drain(DRAIN_S)
        moved = await asyncio.to_thread(self._log.flush)
        return {"replica": self._replica, **asdict(moved), "shadow_rows_waiting": waiting}

    def status(self) -> dict[str, Any]:
        """Say what this replica does: plan, lease, counts, shadow, log."""
        plan = self._in_force.plan
        left = self._lease_until - time.monotonic()
        return {
            "replica": self._replica,
            "pid": os.getpid(),
            "problems": self.problems,
            "name": plan.name,
            "generation": plan.generation,
            "champion": plan.champion,
            "previous": plan.previous,
            "candidate": plan.candidate,
            "share_canary": plan.share_canary,
            "share_shadow": plan.share_shadow,
            "lease_s": max(left, 0.0) if plan.candidate is not None else None,
            "replay": self._options.replay,
            "rungs": [rung.name for rung in self._in_force.rungs],
            "counts": dict(self._counts),
            "shadow": {**self._shadow.counts, "rows_waiting": self._shadow.n_rows},
            "log": {
                **asdict(self._log.moved),
                "waiting": self._log.waiting,
                "failed_moves": self._log.failures,
                "failing_since": since.isoformat() if (since := self._log.failing_since) else None,
                "last_error": self._log.last_error,
            },
        }

    def close(self) -> None:
        """Move the log into Delta and give it up; from any thread, once no request is on its way."""
        self._log.close()


_logger = logging.getLogger(__name__)
