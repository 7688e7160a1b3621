"""The Ray Serve applications: the front, and one application for each model that is not in the front's process.

Champion, previous champion and heuristic live in the front's replicas. The candidate and, behind the same kind of handle, a
copy of the champion (the baseline arm) are applications of their own, named by role and model: each can come and go alone.
"""

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from tidewheel.errors import InputError
from tidewheel.evidence.records import Plan
from tidewheel.evidence.store import Ledger
from tidewheel.operations.haproxy import RETRY_AFTER_S
from tidewheel.predictions.log import PredictionLog
from tidewheel.project.files import load_reference
from tidewheel.rollout.routing import Arm, assigned_model
from tidewheel.serving.bodies import BodyReader
from tidewheel.serving.front import Answer, Front, FrontOptions
from tidewheel.serving.in_force import Scorer
from tidewheel.serving.loopback_ray import listen_on_loopback
from tidewheel.serving.pages import docs, openapi
from tidewheel.serving.rungs import Row

FRONT_APP, FRONT = "front", "Front"
"""Names of the application and of its deployment."""

SCORER = "Scorer"
"""Name of the deployment in the application of an arm."""

HEADER_SHOWN_MAX = 100
"""A refused header is quoted up to this length."""

_logger = logging.getLogger(__name__)


def arm_app(arm: Arm, model_id: str) -> str:
    """Name the application that answers for a model in one of the two arms.

    Example:
        >>> arm_app("candidate", "3c9f" * 16)
        'candidate-3c9f3c9f3c9f'
    """
    return f"{arm}-{model_id[:12]}"


class ScorerReplica:
    """Score rows with one package, for an arm.

    Args:
        folder: Of the package.
        files_sha256: Its digest.
        load: What loads it, as `module:function`.
        import_folders: Folders added to the import path first.
    """

    def __init__(self, folder: str, files_sha256: str, load: str, import_folders: Sequence[str]) -> None:
        listen_on_loopback()
        extend_path(import_folders)
        self._package: Scorer = load_reference(load)(folder, files_sha256)

    async def score(self, rows: Sequence[Row]) -> list[float]:
        """Give one score for each row."""
        scores: list[float] = self._package.score_rows(rows).tolist()
        return scores


class FrontReplica:
    """Answer HTTP requests, and follow the control's calls.

    Args:
        options: How to answer.
        load: What loads packages, as `module:function`.
        import_folders: Folders added to the import path first: where the user's own functions are.
    """

    async def __init__(self, options: FrontOptions, load: str, import_folders: Sequence[str]) -> None:  # type: ignore[misc]
        # A coroutine: Serve then runs it on the replica's own event loop, to which `Front` belongs.
        listen_on_loopback()
        extend_path(import_folders)
        self._options = options
        self._hosts = allowed_hosts(options.hosts)
        self._bodies = BodyReader(options.body_bytes_max, options.patience_s)
        self._replica: str = serve.get_replica_context().replica_id.unique_id
        self._handles: dict[str, DeploymentHandle] = {}
        self._ledger = Ledger.open(options.ledger_url)
        heuristic = load_reference(options.heuristic) if options.heuristic else None
        log = PredictionLog(options.log_folder, self._replica, options.log_flush_s)
        self._front = Front(
            options, self._replica, self._read_plan(), log, self._ask, load_reference(load), heuristic
        )
        # A replica that missed a push finds the plan by itself, a little later.
        self._following = asyncio.create_task(self._front.follow(self._read_plan))

    async def __call__(self, request: Request) -> Response:
        """Answer one HTTP request."""
        try:
            return await self._route(request)
        except Exception:
            # Callers never see a stack trace; the replica's log does.
            _logger.exception("a request to %s failed", request.scope["path"])
            return _response(Answer(500, b'{"error": "the server failed; its log says why"}'))

    async def _route(self, request: Request) -> Response:
        method, path = request.scope["method"], request.scope["path"]
        headers = dict(request.scope["headers"])
        host = headers.get(b"host", b"")
        if not is_allowed_host(host, self._hosts):
            # A page of any site may have its name lead to this machine; only the name tells its requests from a caller's.
            expected = "a loopback address or one of [serving].hosts"
            return _response(_refused_header(400, "Host", expected, host))
        if path == "/predict" and method == "POST":
            kind = headers.get(b"content-type", b"")
            if not is_json(kind):
                # Browsers ask before they send JSON to another site; other kinds they send at once.
                return _response(_refused_header(415, "Content-Type", "application/json", kind))
            since = time.monotonic()
            try:
                body = await self._bodies.read(request.receive)
            except TimeoutError:
                return _response(Answer(408, b'{"error": "the body did not arrive in time"}'))
            return _response(await self._front.predict(body, since))
        pages: dict[str, Callable[[], Response]] = {
            "/health": lambda: _response(self._front.health()),
            "/status": lambda: _json(self._front.status()),
            "/openapi.json": lambda: _json(
                openapi(self._options.name, self._front.in_force.columns, replay=self._options.replay)
            ),
            "/docs": lambda: HTMLResponse(docs(self._options.name, self._front.in_force.columns)),
        }
        if path not in pages and path != "/predict":
            return _response(Answer(404, b'{"error": "no such path; see /docs"}'))
        if path == "/predict" or method not in ("GET", "HEAD"):
            return _response(Answer(405, b'{"error": "this path takes another method; see /docs"}'))
        return pages[path]()

    async def _ask(self, arm: Arm, plan: Plan, rows: Sequence[Row]) -> Sequence[float]:
        """Ask the application of an arm; whoever cancels this also cancels the call."""
        name = arm_app(arm, assigned_model(plan, arm))
        handle = self._handles.get(name)
        if handle is None:
            handle = self._handles[name] = serve.get_deployment_handle(SCORER, app_name=name)
        scores: list[float] = await handle.score.remote(rows)
        return scores

    def _read_plan(self) -> Plan:
        plan = self._ledger.plan(self._options.name)
        if plan is None:
            raise InputError(
                f"the ledger must hold a plan named {self._options.name!r} before its front can start"
            )
        return plan

    async def apply_plan(self, plan: Plan) -> dict[str, Any]:
        """Follow a plan, with a fresh lease for its candidate; see `Front.apply_plan`."""
        return await self._front.apply_plan(plan, grant=True)

    async def renew_lease(self, generation: int) -> dict[str, Any]:
        """Renew the candidate's lease; see `Front.renew_lease`."""
        return self._front.renew_lease(generation)

    async def flush_log(self) -> dict[str, Any]:
        """Move the log into Delta; see `Front.flush_log`."""
        return await self._front.flush_log()

    async def status(self) -> dict[str, Any]:
        """Say what this replica does."""
        return self._front.status()

    def __del__(self) -> None:
        """Give the log up: Serve calls this when it ends a replica in peace."""
        front = getattr(self, "_front", None)
        if front is not None:
            front.close()


def allowed_hosts(names: Sequence[str]) -> frozenset[bytes]:
    """Give the hosts by which requests may name this server, beside addresses that are loopback."""
    return frozenset({b"localhost", b"127.0.0.1", b"[::1]", *(name.lower().encode() for name in names)})


def is_allowed_host(header: bytes, allowed: frozenset[bytes]) -> bool:
    """Say whether the value of a `Host` header names this server.

    Example:
        >>> hosts = allowed_hosts(["models.example"])
        >>> [is_allowed_host(name, hosts) for name in (b"127.0.0.1:8000", b"Models.Example", b"evil.example:8000")]
        [True, True, False]
    """
    host = header.lower()
    host = (
        host[: host.find(b"]") + 1] if host.startswith(b"[") else host.partition(b":")[0].removesuffix(b".")
    )
    if host in allowed:
        return True
    try:
        return ip_address(host.strip(b"[]").decode("ascii")).is_loopback
    except ValueError:  # UnicodeDecodeError is one
        return False


def is_json(content_type: bytes) -> bool:
    """Say whether the value of a `Content-Type` header means JSON."""
    return content_type.partition(b";")[0].strip().lower() == b"application/json"


def extend_path(folders: Sequence[str]) -> None:
    """Add folders to the import path, at its end."""
    sys.path.extend(folder for folder in folders if folder not in sys.path and Path(folder).is_dir())


def _refused_header(status: int, name: str, expected: str, got: bytes) -> Answer:
    shown = ascii(got[:HEADER_SHOWN_MAX].decode("latin-1")) if got else "nothing"
    return Answer(
        status, json.dumps({"error": f"the header {name} must be {expected}; got {shown}"}).encode()
    )


def _response(answer: Answer) -> Response:
    headers = {"retry-after": str(RETRY_AFTER_S)} if answer.status == 503 else None
    return Response(answer.body, answer.status, headers, "application/json")


def _json(value: dict[str, Any]) -> Response:
    return Response(json.dumps(value), media_type="application/json")
