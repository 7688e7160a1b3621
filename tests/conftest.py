"""What several folders of tests share: the small project, where its code is imported from, a Prefect home of our own."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

PROJECTS = Path(__file__).parent / "projects"
sys.path.insert(0, str(PROJECTS))

# The same examples in each run, and no limit on the time of one: machines that test are shared and noisy.
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    """Keep Prefect, which reads its settings when it is imported, away from the home folder of whoever runs the tests."""
    for name in [
        name for name in os.environ if name.startswith(("PREFECT_", "RAY_", "MLFLOW_", "TIDEWHEEL_"))
    ]:
        del os.environ[name]
    os.environ["PREFECT_HOME"] = str(config.cache.mkdir("prefect"))
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
    os.environ["PREFECT_LOGGING_TO_API_ENABLED"] = "false"
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["DO_NOT_TRACK"] = "1"


@pytest.fixture
def small_project(tmp_path: Path) -> Path:
    """Write the project file of the small project into a folder of its own."""
    from small_project import PROJECT  # found by the path above

    (tmp_path / "tidewheel.toml").write_text(PROJECT, encoding="utf-8")
    return tmp_path
