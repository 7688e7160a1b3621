"""`prefect deploy --all` against a real server, and a deployed `monitor` run that a real worker carries out."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import WorkPool
from prefect.settings import PREFECT_API_AUTH_STRING

from small_project import PROJECT
from tidewheel.flows import lifecycle
from tidewheel.lifecycle.rehearse import serve_rest
from tidewheel.lifecycle.workplace import Workplace
from tidewheel.monitoring.windows import month_of

ROOT = Path(__file__).parents[2]
FLOWS = ROOT / "flows"
FIRST_UTC = datetime(2021, 4, 1, tzinfo=UTC)
MATURED_UTC = datetime(2021, 5, 3, tzinfo=UTC)


class Site:
    """A project with a month in its log, and the Prefect commands that a user would type."""

    def __init__(self, folder: Path, api_url: str) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.project.mkdir()
        (self.project / "tidewheel.toml").write_text(PROJECT, encoding="utf-8")
        # Beside the project file, as a user would have it: the worker's processes have no other way to find it.
        shutil.copy(ROOT / "tests" / "projects" / "small_project.py", self.project)
        self.environment = {
            **os.environ,
            "PREFECT_API_URL": api_url,
            "PREFECT_API_AUTH_STRING": str(PREFECT_API_AUTH_STRING.value()),
            "PREFECT_HOME": str(folder / "home"),
            "TIDEWHEEL_PROJECT": str(self.project),
        }

    def prefect(self, *arguments: str) -> str:
        """Run one command in `flows/`; a failure shows what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            cwd=FLOWS,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, f"prefect {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, prefect_api: str) -> Iterator[Site]:
    """Create the pool, deploy everything, and let a worker of our own wait for runs."""
    made = Site(tmp_path_factory.mktemp("site"), prefect_api)
    made.prefect("work-pool", "create", "tidewheel", "--type", "process")
    made.prefect("deploy", "--all")
    with (made.folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "tidewheel", "--type", "process"],
            cwd=made.folder,
            env=made.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield made
    finally:
        worker.terminate()
        try:
            worker.wait(timeout=20)
        finally:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
                worker.wait()


def test_every_flow_is_deployed_to_the_pool(site: Site) -> None:
    with get_client(sync_client=True) as client:
        pool: WorkPool = client.read_work_pool("tidewheel")
        deployed = {one.name: one for one in client.read_deployments()}
    assert pool.type == "process"
    assert set(deployed) == {"data", "train", "deploy", "monitor", "retrain", "lifecycle"}
    assert {one.work_pool_name for one in deployed.values()} == {"tidewheel"}
    assert {one.parameters["project"] for one in deployed.values()} == {str(site.project)}


def test_a_deployed_monitor_run_puts_its_finding_into_the_ledger(site: Site) -> None:
    lifecycle(str(site.project), FIRST_UTC, "batch")
    workplace = Workplace.open(site.project)
    serve_rest(workplace, month_of(FIRST_UTC, time_zone="UTC"), FIRST_UTC)
    told = site.prefect(
        "deployment", "run", "monitor/monitor", "--param", f"now_utc={MATURED_UTC.isoformat()}",
        "--watch", "--watch-timeout", "200",
    )  # fmt: skip
    assert "Completed" in told
    with workplace.ledger() as ledger:
        (finding,) = ledger.findings()
        ledger.verify()
    assert (finding.kind, finding.verdict) == ("none", "stable")
    assert finding.starts_utc == FIRST_UTC
