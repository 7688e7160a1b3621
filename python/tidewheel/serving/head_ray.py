"""The process of a Ray head: `python -m tidewheel.serving.head_ray SETTINGS`, started by `operations.services`.

It starts Ray's own processes on loopback, then Serve's controller and HAProxy, writes the ready file once the front's port
takes connections, and waits for SIGTERM. Meanwhile it keeps the short link to the run's folder, through which the paths of
its sockets lead (`operations.shortcuts`).
It goes below `ray start`, through the same `Node` class, to leave out three processes nobody here uses (dashboard, client
server, monitor) and 5 s of start-up. Ray is pinned to 2.60.x for it; `tests/operations/test_services.py` guards it.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray._private.node import Node
from ray._private.parameter import RayParams

from tidewheel.operations.shortcuts import keep_link

OBJECT_STORE_BYTES = 200_000_000
"""Requests and plans are small; frames travel through files."""


class Head(Node):  # type: ignore[misc]  # Ray is untyped
    """Be a head node without a dashboard: it holds up the start for seconds, and nothing of ours asks it."""

    def start_api_server(self, *, include_dashboard: bool | None, raise_on_failure: bool) -> None:
        """Start nothing."""


def parameters(settings: dict[str, Any]) -> RayParams:
    """Make Ray's parameters: everything on loopback, every port chosen by us (workers take free ones)."""
    ports, host = settings["ports"], settings["address"]["address"].split(":")[0]
    chosen = RayParams(
        node_ip_address=host,
        node_name=host,
        min_worker_port=0,
        max_worker_port=0,
        object_manager_port=ports["object_manager"],
        node_manager_port=ports["node_manager"],
        metrics_agent_port=ports["metrics_agent"],
        metrics_export_port=ports["metrics_export"],
        dashboard_agent_listen_port=ports["agent"],
        runtime_env_agent_port=ports["runtime_env"],
        dashboard_host=host,
        dashboard_port=ports["dashboard"],
        include_dashboard=False,
        include_log_monitor=False,
        no_monitor=True,
        num_cpus=settings["num_cpus"],
        num_gpus=0,
        object_store_memory=OBJECT_STORE_BYTES,
        temp_dir=settings["temp"],
    )
    chosen.gcs_server_port = ports["gcs"]
    return chosen


def start_serve(settings: dict[str, Any]) -> None:
    """Start Serve's controller and HAProxy, and say that we are ready."""
    address = settings["address"]
    ray.init(address=address["address"], namespace="tidewheel", log_to_driver=False, logging_level="WARNING")
    serve.start(
        proxy_location="HeadOnly", http_options={"host": address["http_host"], "port": address["http_port"]}
    )
    wait_front(address["http_host"], address["http_port"])
    part = Path(settings["ready"] + ".part")
    part.write_text(json.dumps(address), encoding="utf-8")
    part.rename(settings["ready"])


def wait_front(host: str, port: int) -> None:
    """Wait until HAProxy takes connections: Serve calls its proxy ready while HAProxy is still starting.

    Whoever waits for the ready file has the time limit (`operations.services.wait_ray`).
    """
    while True:
        try:
            socket.create_connection((host, port), timeout=1.0).close()
            return
        except OSError:
            time.sleep(0.05)


def tell(words: str) -> None:
    """Write a line into the log of this service."""
    print(words, file=sys.stderr, flush=True)


def main() -> None:
    """Start the head, wait for SIGTERM or SIGINT, end what was started.

    A signal during the start ends this process at once, and the kernel ends its children with it (Ray asks for that).
    """
    settings = json.loads(sys.argv[1])
    os.umask(0o077)
    asked = threading.Event()
    link, folder = Path(settings["link"]), Path(settings["folder"])
    threading.Thread(target=keep_link, args=(link, folder, asked, tell), daemon=True).start()
    head = Head(parameters(settings), head=True, shutdown_at_exit=True, spawn_reaper=True)
    start_serve(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    asked.wait()
    ray.shutdown()
    head.kill_all_processes(check_alive=False, allow_graceful=True)


if __name__ == "__main__":
    main()
