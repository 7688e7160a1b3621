"""The hand on the server: deploy the front, push plans to every replica, bring arms up and down, flush the log, shut down.

What belongs here: what flows and the command line ask of a running Ray head. What does not: starting the head
(`operations.services`), answering requests (`serving.front`). Plans live in the ledger; what is pushed here is a copy of
one that is already there.

Importing this imports Ray. `connect` sets the variables that Ray needs; `RAY_SERVE_THROUGHPUT_OPTIMIZED` and the other
variables of the head must *not* be in a client's environment, where they break `broadcast`.
"""

import logging
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.error import HTTPError

import ray
from ray import serve
from ray._private import ray_constants
from ray._raylet import Config  # type: ignore[attr-defined]  # its stub is incomplete
from ray.serve.exceptions import RayServeException

from tidewheel.errors import ConflictError, ServiceError
from tidewheel.evidence.records import Plan
from tidewheel.project.settings import Column, Settings
from tidewheel.serving.application_ray import FRONT, FRONT_APP, SCORER, FrontReplica, ScorerReplica, arm_app
from tidewheel.serving.front import FrontOptions

CALL_S = 60.0
"""Longest wait for all replicas to answer a call; loading and trying a package takes a second."""

POLL_S = 0.05

RENEWALS = 3
"""Times a lease is renewed while it lasts: two of them may be lost."""

LOAD = "tidewheel.model.packaging:load_package"
"""Replicas load packages with it; a name, since theirs is another import path than ours."""

ACTOR_OPTIONS = {"num_cpus": 0.1}
"""What an actor books; it takes what it needs."""

ONGOING_MAX, QUEUED_MAX = 1024, 1024
"""Requests that a replica takes at once: more than HAProxy sends it, which watches their age meanwhile."""

HEALTH_PERIOD_S, HEALTH_TIMEOUT_S = 2.0, 3.0
"""Serve asks a replica so often, waits so long for its answer, and replaces it after three times without one."""

LOGGING = {"enable_access_log": False}
"""Serve would write a line of log for each request, a tenth of what an answer costs; the prediction log has them all."""


class Head(Protocol):
    """Say where a Ray head is, as `operations.services.RayAddress` does."""

    @property
    def address(self) -> str:
        """Host and port of Ray."""

    @property
    def url(self) -> str:
        """Address of the HTTP front."""

    def environment(self) -> Mapping[str, str]:
        """Give the variables that a client needs."""


@dataclass(frozen=True, slots=True)
class FrontAddress:
    """Say where a front answers."""

    url: str

    @property
    def predict_url(self) -> str:
        """Address for predictions."""
        return f"{self.url}/predict"


@dataclass(frozen=True, slots=True)
class Flushed:
    """Count what all replicas moved into Delta; `shadow_rows_waiting` had not been seen by the candidate in time."""

    predictions: int
    pairs: int
    torn: int
    unreadable: int
    shadow_rows_waiting: int


class Control:
    """Speak to one Ray head; make it with `connect`."""

    def __init__(self, url: str) -> None:
        self._url = url

    def deploy_front(
        self,
        settings: Settings,
        ledger_url: str,
        log_uri: str,
        *,
        replay: bool = False,
        import_folders: Sequence[str] = (),
        load: str = LOAD,
    ) -> FrontAddress:
        """Deploy the front; it reads its plan from the ledger. Returns once it answers.

        Args:
            settings: The project's; `[serving]`, the plan's name and the heuristic are used.
            ledger_url: Of the ledger that holds the plan.
            log_uri: Folder of the prediction log.
            replay: Whether requests may carry their event time.
            import_folders: Where the user's own modules are, such as the heuristic's.
            load: What loads packages, as `module:function`.

        Raises:
            ServiceError: It did not get ready; the message says why.
        """
        chosen = settings.serving
        options = FrontOptions(
            name=settings.scope.name,
            ledger_url=ledger_url,
            log_folder=log_uri,
            heuristic=settings.baselines.heuristic,
            replay=replay,
            batch_rows_max=chosen.batch_rows_max,
            body_bytes_max=chosen.body_bytes_max,
            deadline_s=chosen.deadline_s,
            hosts=chosen.hosts,
            candidate_timeout_ms=chosen.candidate_timeout_ms,
            shadow_every_ms=chosen.shadow_every_ms,
            shadow_queue_max=chosen.shadow_queue_max,
            log_flush_s=chosen.log_flush_s,
            lease_s=chosen.lease_s,
            contract=contract_of(settings),
        )
        front = serve.deployment(
            FrontReplica,
            name=FRONT,
            num_replicas=chosen.replicas,
            max_ongoing_requests=ONGOING_MAX,
            max_queued_requests=QUEUED_MAX,
            ray_actor_options=ACTOR_OPTIONS,
            graceful_shutdown_wait_loop_s=0.2,
            graceful_shutdown_timeout_s=10,
            health_check_period_s=HEALTH_PERIOD_S,
            health_check_timeout_s=HEALTH_TIMEOUT_S,
            logging_config=LOGGING,
        ).bind(options, load, list(import_folders))
        _run([serve.RunTarget(front, name=FRONT_APP, route_prefix="/")])
        self._wait_for_health()
        return FrontAddress(self._url)

    def push_plan(self, plan: Plan) -> tuple[dict[str, Any], ...]:
        """Make every replica follow a plan and use its candidate; return what each replica acknowledged.

        Deploy the arms first (`deploy_arms`), or requests of their keys fall to lower rungs until they are there.

        Raises:
            ServiceError: A replica could not load the plan, or not all of them answered in time.
            ConflictError: A replica already follows a later plan.
        """
        deadline = time.monotonic() + CALL_S
        while True:
            told = self._tell("apply_plan", plan)
            errors = [f"{one['replica']}: {one['error']}" for one in told if one["error"]]
            if errors:
                raise ServiceError(f"plan {plan.generation} was refused by {'; '.join(errors)}")
            later = [one for one in told if one["generation"] > plan.generation]
            if later:
                raise ConflictError(
                    f"plan {plan.generation} comes too late: replica {later[0]['replica']} follows {later[0]['generation']}"
                )
            expected = self.count_replicas()
            if len({one["replica"] for one in told}) == expected:
                return tuple(told)
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"plan {plan.generation}: {len(told)} of {expected} replicas acknowledged it"
                )
            time.sleep(POLL_S)

    def deploy_arms(self, plan: Plan, *, load: str = LOAD, import_folders: Sequence[str] = ()) -> None:
        """Start the applications of a plan's candidate and of its baseline (a copy of the champion), side by side.

        Those that run already are left alone; nothing happens without a candidate.

        Raises:
            ServiceError: One of them did not start.
        """
        if plan.candidate is None:
            return
        wanted = {
            arm_app("candidate", plan.candidate): plan.candidate,
            arm_app("baseline", plan.champion): plan.champion,
        }
        running = serve.status().applications
        targets = [
            serve.RunTarget(
                serve.deployment(
                    ScorerReplica,
                    name=SCORER,
                    max_ongoing_requests=ONGOING_MAX,
                    ray_actor_options=ACTOR_OPTIONS,
                    graceful_shutdown_wait_loop_s=0.2,
                    graceful_shutdown_timeout_s=5,
                    logging_config=LOGGING,
                ).bind(plan.packages[model], plan.digests[model], load, list(import_folders)),
                name=name,
                route_prefix=None,
            )
            for name, model in wanted.items()
            if name not in running or running[name].status != "RUNNING"
        ]
        if targets:
            _run(targets)

    def remove_arms(self, keep: Plan | None = None) -> list[str]:
        """Stop the applications of all arms but those that `keep` uses; return their names. Push the plan first.

        Raises:
            ServiceError: One of them did not end.
        """
        kept = {FRONT_APP}
        if keep is not None and keep.candidate is not None:
            kept |= {arm_app("candidate", keep.candidate), arm_app("baseline", keep.champion)}
        ended = [name for name in serve.status().applications if name not in kept]
        for name in ended:
            serve.delete(name, _blocking=False)
        deadline = time.monotonic() + CALL_S
        while left := set(ended) & set(serve.status().applications):
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"the applications {', '.join(sorted(left))} did not end within {CALL_S:g} s"
                )
            time.sleep(POLL_S)
        return ended

    def renew_lease(self, generation: int) -> None:
        """Let the candidate of a plan be used for another `lease_s`."""
        self._tell("renew_lease", generation)

    @contextmanager
    def keep_lease(self, generation: int, lease_s: float) -> Iterator[None]:
        """Renew the lease of `generation` three times in each `lease_s` until the block ends, by whichever way."""
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(lease_s / RENEWALS):
                try:
                    self.renew_lease(generation)
                except (ServiceError, RayServeException) as error:
                    _logger.warning("the lease of plan %d could not be renewed: %s", generation, error)

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        self.renew_lease(generation)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def flush_log(self) -> Flushed:
        """Have every replica drain its shadow queue and move its log into Delta.

        Raises:
            ServiceError: A replica could not; its rows wait in segments.
        """
        told = self._tell("flush_log")
        names = ("predictions", "pairs", "torn", "unreadable", "shadow_rows_waiting")
        return Flushed(**{name: sum(one[name] for one in told) for name in names})

    def status(self) -> tuple[dict[str, Any], ...]:
        """Ask every replica what it does."""
        return tuple(self._tell("status"))

    def count_replicas(self) -> int:
        """Count the front's running replicas."""
        application = serve.status().applications.get(FRONT_APP)
        states = (
            application.deployments[FRONT].replica_states if application and application.deployments else {}
        )
        return int(states.get("RUNNING", 0))

    def close(self) -> None:
        """Leave the head; everything goes on running there."""
        ray.shutdown()

    def shut_down(self) -> None:
        """Flush the log if the front runs, stop all applications and Serve, and leave the head."""
        if self.count_replicas():
            try:
                self.flush_log()
            except ServiceError as error:
                _logger.warning("rows stay in segments until the log is opened again: %s", error)
        serve.shutdown()
        ray.shutdown()

    def _tell(self, method: str, *arguments: Any) -> list[dict[str, Any]]:
        """Call a method on every replica of the front."""
        try:
            handle = serve.get_deployment_handle(FRONT, app_name=FRONT_APP)
            told: list[dict[str, Any]] = handle.broadcast(method, *arguments).results(timeout_s=CALL_S)
        except (RayServeException, ray.exceptions.RayError, TimeoutError) as error:
            raise ServiceError(f"the front's replicas did not answer {method}: {error}") from error
        return told

    def _wait_for_health(self) -> None:
        """Wait until HAProxy knows the front; one that has problems to tell is up."""
        deadline = time.monotonic() + CALL_S
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            try:
                with opener.open(f"{self._url}/health", timeout=2.0):
                    return
            except OSError as error:
                if isinstance(error, HTTPError) and b'"generation"' in error.read():
                    return
                if time.monotonic() > deadline:
                    raise ServiceError(
                        f"{self._url}/health did not answer after {CALL_S:g} s: {error}"
                    ) from error
            time.sleep(POLL_S)


def connect(head: Head) -> Control:
    """Connect this process to a Ray head that is ready; one head at a time.

    Raises:
        ServiceError: It does not answer.
    """
    os.environ.update(head.environment())
    # Ray keeps its settings from its import on; this makes it read the token's mode and place again.
    Config.initialize("")
    # As RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 does in the head: elsewise Ray puts an outer address in the place of loopback.
    ray_constants.ENABLE_RAY_CLUSTER = False
    for name in ("ray", "ray.serve"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with _own_sigterm():
            ray.init(
                address=head.address,
                namespace="tidewheel",
                log_to_driver=False,
                logging_level=logging.WARNING,
                ignore_reinit_error=True,
            )
    except (ConnectionError, RuntimeError) as error:
        raise ServiceError(f"the Ray head at {head.address} did not answer: {error}") from error
    return Control(head.url)


def contract_of(settings: Settings) -> dict[str, Column]:
    """Give the contract of a request as the project file says it: of the columns that models may see."""
    features = settings.features
    return {name: settings.contract.columns[name] for name in (*features.numeric, *features.categorical)}


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process's handler: Ray's would abort the process 3 s after a SIGTERM, in the midst of cleaning up."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    ours = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, ours)


def _run(targets: Sequence[Any]) -> None:
    """Deploy applications side by side; say what became of one that did not start."""
    names = [target.name for target in targets]
    try:
        serve.run_many(targets)
    except (RuntimeError, RayServeException) as error:
        applications = serve.status().applications
        said = [
            f"{name}: {deployment.message}"
            for name in names
            if name in applications
            for deployment in applications[name].deployments.values()
        ]
        raise ServiceError(f"{', '.join(names)} did not start: {'; '.join(said) or error}") from error


_logger = logging.getLogger(__name__)
