"""One real Prefect server for the tests of the flows, on a free port, with a home of its own; ended after the last one."""

from collections.abc import Iterator

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from tidewheel.operations.runfile import Run, reap
from tidewheel.operations.services import prefect_environment, start_prefect, wait_prefect


@pytest.fixture(scope="session", autouse=True)
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    run = Run.begin(tmp_path_factory.mktemp("prefect"))
    try:
        url = start_prefect(run)
        wait_prefect(run)
        secret = prefect_environment(run)["PREFECT_API_AUTH_STRING"]
        with temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: secret}):
            yield url
    finally:
        reap(run.folder)
