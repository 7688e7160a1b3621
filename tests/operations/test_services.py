"""A real Ray head with Serve and HAProxy, and a real Prefect server: started, asked, killed at bad moments, ended."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tidewheel.errors import PortInUseError, ServiceError
from tidewheel.operations import services
from tidewheel.operations.ports import LOOPBACK, free_port
from tidewheel.operations.runfile import Run, find_processes, reap
from tidewheel.operations.services import (
    RAY,
    answers,
    ray_address,
    start_prefect,
    start_ray,
    wait_prefect,
    wait_ray,
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "services"
    reap(tmp_path / "services")


def listening(run: Run) -> set[tuple[str, int]]:
    """Give the addresses on which the run's processes listen."""
    found = set()
    for process in find_processes(list(run.services.values()), run.run_id):
        with contextlib.suppress(psutil.NoSuchProcess):  # helpers of a start come and go
            for connection in process.net_connections(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    found.add((str(connection.laddr.ip), int(connection.laddr.port)))
    return found


def test_both_services_start_side_by_side_on_loopback_and_end(folder: Path) -> None:
    run = Run.begin(folder)
    port = free_port()
    address = start_ray(run, http_port=port)
    url = start_prefect(run)
    assert ray_address(run) is None
    assert wait_ray(run) == address == ray_address(run)
    assert wait_prefect(run) == url
    assert (address.http_host, address.http_port) == (LOOPBACK, port)
    assert answers(f"{url}/health")
    read = Run.read(folder)
    assert read is not None
    assert ray_address(read) == address
    heard = listening(run)
    assert {where for where, _ in heard} <= {LOOPBACK, f"::ffff:{LOOPBACK}"}
    assert set(run.services[RAY].ports.values()) & {heard_port for _, heard_port in heard} >= {port}
    assert oct(Path(address.token_file).stat().st_mode & 0o777) == "0o600"
    with pytest.raises(PortInUseError, match=f"port {port}"):
        start_ray(run, http_port=port)
    found = find_processes(list(run.services.values()), run.run_id)
    assert len(reap(folder)) >= 2
    assert [one for one in found if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    assert listening(run) == set()


STARTER = """
    import os, sys
    from pathlib import Path
    from tidewheel.operations.runfile import Run
    from tidewheel.operations.services import start_prefect, start_ray, wait_prefect, wait_ray
    run = Run.begin(Path(sys.argv[1]))
    start_ray(run)
    start_prefect(run, background_services=False)
    print("started", flush=True)
    wait_ray(run)
    print("ready", flush=True)
    import time
    time.sleep(600)
"""


@pytest.mark.parametrize("moment", ["started", "ready"])
def test_nothing_outlives_a_reaping_after_the_starter_was_killed(folder: Path, moment: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(STARTER), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        said = ""
        while said.strip() != moment:
            said = starter.stdout.readline()
            assert said, f"the starter ended before it was {moment}"
        os.kill(starter.pid, signal.SIGKILL)
    run = Run.read(folder)
    assert run is not None
    found = find_processes(list(run.services.values()), run.run_id)
    assert len(found) >= 2
    reap(folder)
    assert find_processes(list(run.services.values()), run.run_id) == []
    assert [one for one in found if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []


def test_a_service_that_ends_while_starting_is_reported_with_its_log(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "RAY_MODULE", "tidewheel.no_such_module")
    run = Run.begin(folder)
    start_ray(run)
    with pytest.raises(ServiceError, match=r"ray ended while starting; .*ray\.log ends:\n.*No module named"):
        wait_ray(run)


def test_a_service_that_is_too_slow_is_reported(folder: Path) -> None:
    run = Run.begin(folder)
    start_prefect(run)
    with pytest.raises(ServiceError, match=r"prefect was not ready after 0\.1 s"):
        wait_prefect(run, timeout_s=0.1)


def test_a_service_that_was_never_started_is_named(folder: Path) -> None:
    run = Run.begin(folder)
    with pytest.raises(ServiceError, match="knows no service 'ray'"):
        wait_ray(run)


def test_a_client_gets_what_it_needs_and_the_head_what_is_its_own(folder: Path) -> None:
    run = Run.begin(folder)
    address = start_ray(run)
    environment = psutil.Process(run.services[RAY].pid).environ()
    assert environment["RAY_SERVE_ENABLE_HA_PROXY"] == environment["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == "1"
    assert not [name for name in address.environment() if "SERVE" in name]
    assert address.environment()["RAY_AUTH_MODE"] == environment["RAY_AUTH_MODE"] == "token"
    assert json.loads(json.dumps(address.environment())) == address.environment()
