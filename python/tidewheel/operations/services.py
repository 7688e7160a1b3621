"""Starting the services of a run: a Ray head with Serve and HAProxy, and a Prefect server; both can start side by side.

What belongs here: commands, environments, ports, and waiting until a service answers. What does not: the run file and ending
processes (`operations.runfile`), what runs inside Ray (`serving.head_ray`, `serving.control_ray`). Nothing here imports Ray
or Prefect: both run in processes of their own, of this same Python.
"""

import json
import os
import secrets
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tidewheel.errors import PortInUseError, ServiceError
from tidewheel.operations.folders import make_private
from tidewheel.operations.haproxy import haproxy_environment, write_wrapper
from tidewheel.operations.ports import LOOPBACK, check_port, free_ports
from tidewheel.operations.runfile import Run

RAY, PREFECT = "ray", "prefect"
"""Names of the services in a run file."""

PREFECT_USER = "tidewheel"
"""Prefect's auth string has the form `user:secret`; it looks at the whole."""

RAY_MODULE = "tidewheel.serving.head_ray"
"""Run with `python -m`: a module by name, since only `serving` may import Ray."""

START_S = 180.0
"""A Ray head needs 10 s and a Prefect server 15 s on 2 idle cores; this is for machines with much else to do."""

POLL_S = 0.05
LOG_LINES = 15

DEADLINE_S = 5.0
"""As `[serving].deadline_s` where no project says otherwise."""

RAY_PORTS = ("gcs", "object_manager", "node_manager", "metrics_agent", "metrics_export", "agent", "runtime_env",
             "dashboard", "serve_fallback", "serve_fallback_grpc", "haproxy_metrics", "haproxy_stats")  # fmt: skip
"""What Ray and Serve listen on beside workers and replicas."""

REPLICA_PORTS_FROM, REPLICA_PORTS, REPLICA_PORT_BLOCKS = 21_000, 50, 200
"""Replicas take the first free port of a block of 50, below the range that systems draw free ports from (32,768 on)."""


@dataclass(frozen=True, slots=True)
class RayAddress:
    """Say where a Ray head is, what proves that one may speak to it, and where its front answers HTTP."""

    address: str
    token_file: str
    http_host: str
    http_port: int

    @property
    def url(self) -> str:
        """Address of the HTTP front."""
        return f"http://{self.http_host}:{self.http_port}"

    def environment(self) -> dict[str, str]:
        """Give the variables that a client of this head needs; `serving.control_ray.connect` sets them."""
        return {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": self.token_file,
            "RAY_USAGE_STATS_ENABLED": "0",
        }


def start_ray(
    run: Run,
    *,
    http_host: str = LOOPBACK,
    http_port: int = 0,
    num_cpus: int = 8,
    deadline_s: float = DEADLINE_S,
) -> RayAddress:
    """Start a Ray head with Serve in its own session; use `wait_ray` before speaking to it.

    Args:
        run: The run it belongs to.
        http_host: Where the front shall answer.
        http_port: The front's port; 0 takes a free one.
        num_cpus: CPUs for Ray to count with; an actor of ours books a tenth of one.
        deadline_s: Longest time that a caller of the front waits for an answer, as `[serving].deadline_s` says.

    Raises:
        PortInUseError: `http_port` is taken.
    """
    if http_port:
        check_port(http_host, http_port)
    drawn = free_ports(len(RAY_PORTS) + 1)
    ports = dict(zip(RAY_PORTS, drawn, strict=False)) | {"http": http_port or drawn[-1]}
    token = run.own / "token"
    _write_secret(token)
    address = RayAddress(f"{LOOPBACK}:{ports['gcs']}", str(token), http_host, ports["http"])
    settings = {
        "temp": str(run.temp / "r"),
        "link": str(run.temp),
        "folder": str(run.own),
        "ready": str(_ready_file(run)),
        "num_cpus": num_cpus,
        "address": asdict(address),
        "ports": ports,
    }
    wrapper = write_wrapper(run.temp, deadline_s)
    command = [sys.executable, "-m", RAY_MODULE, json.dumps(settings)]
    run.start(
        RAY,
        command,
        {**_clean_environment("RAY_"), **address.environment(), **_ray_environment(run, ports, wrapper)},
        ports,
    )
    return address


def wait_ray(run: Run, timeout_s: float = START_S) -> RayAddress:
    """Wait until the Ray head of `run` and its Serve controller can be spoken to.

    Raises:
        ServiceError: It ended, or did not get ready in time; the message ends with its log.
    """
    _wait(run, RAY, _ready_file(run).exists, timeout_s)
    address = ray_address(run)
    if address is None:
        raise ServiceError(f"the run file in {run.folder} knows no Ray head")
    return address


def ray_address(run: Run) -> RayAddress | None:
    """Give the address of the Ray head of `run`, or None if it has none that is ready.

    The short link to the run's folder is made again if a cleaner has just removed it: clients need it.

    Raises:
        ServiceError: Somebody else has put something in the link's place, where a client would speak to him.
    """
    file = _ready_file(run)
    if RAY not in run.services or not run.is_alive(RAY) or not file.exists():
        return None
    run.check_link()
    return RayAddress(**json.loads(file.read_text(encoding="utf-8")))


def start_prefect(run: Run, *, background_services: bool = True) -> str:
    """Start a Prefect server with a home of its own below the run's folder; use `wait_prefect` before speaking to it.

    Args:
        run: The run it belongs to.
        background_services: With scheduler, triggers and late runs; a server for plain flow runs starts quicker without.

    Returns:
        The API's address, for PREFECT_API_URL; `prefect_environment` gives everything that a client needs.
    """
    (port,) = free_ports(1)
    url = f"http://{LOOPBACK}:{port}/api"
    home = _prefect_home(run)
    make_private(home, with_contents=True)
    secret = _write_secret(_prefect_secret_file(run))
    environment = _clean_environment("PREFECT_") | {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        # Whoever may write a state may have us load a file of his: the record of a result names what loads it.
        "PREFECT_SERVER_API_AUTH_STRING": f"{PREFECT_USER}:{secret}",
        "PREFECT_API_AUTH_STRING": f"{PREFECT_USER}:{secret}",
        # By default any page in a browser of this machine may read the answers.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": "",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", str(port)]
    run.start(
        PREFECT, [*command, *([] if background_services else ["--no-services"])], environment, {"http": port}
    )
    return url


def wait_prefect(run: Run, timeout_s: float = START_S) -> str:
    """Wait until the Prefect server of `run` answers; return its API's address.

    Raises:
        ServiceError: It ended, or did not answer in time; the message ends with its log.
    """
    url = f"http://{LOOPBACK}:{run.services[PREFECT].ports['http']}/api"
    _wait(run, PREFECT, lambda: answers(f"{url}/health"), timeout_s)
    return url


def prefect_environment(run: Run) -> dict[str, str]:
    """Give the settings under which a process talks to the Prefect server of `run`, and to nobody else.

    Raises:
        ServiceError: The run has no Prefect server.
    """
    if PREFECT not in run.services:
        raise ServiceError(f"the run file in {run.folder} knows no service {PREFECT!r}")
    secret = _prefect_secret_file(run).read_text(encoding="ascii")
    return {
        "PREFECT_API_URL": f"http://{LOOPBACK}:{run.services[PREFECT].ports['http']}/api",
        "PREFECT_API_AUTH_STRING": f"{PREFECT_USER}:{secret}",
        "PREFECT_HOME": str(_prefect_home(run)),
        # A proxy would read the secret, and could not reach the server.
        **dict.fromkeys(("NO_PROXY", "no_proxy"), _hosts_without_proxy()),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        # The server ends with the command, and the last lines would complain that nobody listens.
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _hosts_without_proxy() -> str:
    """Give the caller's list of hosts that no proxy stands before, and loopback; small letters win, as everywhere."""
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    return ",".join(dict.fromkeys([*filter(None, known.split(",")), LOOPBACK]))


def _prefect_home(run: Run) -> Path:
    return run.folder / "prefect"


def _prefect_secret_file(run: Run) -> Path:
    return run.own / "prefect-secret"


def answers(url: str, timeout_s: float = 2.0) -> bool:
    """Say whether `url` answers with status 200."""
    try:
        # No proxy: these are addresses of this machine.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            url, timeout=timeout_s
        ) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait(run: Run, name: str, is_ready: Callable[[], bool], timeout_s: float) -> None:
    if name not in run.services:
        raise ServiceError(f"the run file in {run.folder} knows no service {name!r}")
    deadline = time.monotonic() + timeout_s
    while not is_ready():
        log = Path(run.services[name].log)
        if not run.is_alive(name):
            words = _last_lines(log)
            taken = "address already in use" in words.lower()
            raise (PortInUseError if taken else ServiceError)(
                f"{name} ended while starting; {log} ends:\n{words}"
            )
        if time.monotonic() > deadline:
            raise ServiceError(f"{name} was not ready after {timeout_s:g} s; {log} ends:\n{_last_lines(log)}")
        time.sleep(POLL_S)


def _last_lines(log: Path) -> str:
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])
    except OSError as error:
        return f"(cannot be read: {error.strerror})"


def _ready_file(run: Run) -> Path:
    return run.own / "ray.json"


def _write_secret(file: Path) -> str:
    """Write a new random secret that only this user can read, and return it."""
    secret = secrets.token_hex(32)
    file.touch(mode=0o600)
    file.write_text(secret, encoding="ascii")
    return secret


def _clean_environment(prefix: str) -> dict[str, str]:
    """Copy this process's environment without the variables of a service: it gets ours, not the caller's.

    Prefect reads its variables in any case of letters.
    """
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(prefix)}


def _ray_environment(run: Run, ports: dict[str, int], wrapper: Path) -> dict[str, str]:
    """Give the settings of Serve and HAProxy: in the head's environment only, since a client cannot bear some of them."""
    block = REPLICA_PORTS_FROM + REPLICA_PORTS * (int(run.run_id, 16) % REPLICA_PORT_BLOCKS)
    return {
        # Ray's own mode for one machine: only so do its processes listen on loopback alone.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        # That mode holds a thousand lines of log back: what a replica says of a fault would wait for that many.
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
        **haproxy_environment(wrapper, run.temp / "h", ports),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(ports["serve_fallback"]),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(ports["serve_fallback_grpc"]),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(block),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(block + REPLICA_PORTS),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        # Workers start when an actor needs one: eight waiting ones would cost 8 s of CPU at every start.
        "RAY_enable_worker_prestart": "0",
        "RAY_prestart_worker_first_driver": "0",
    }
