"""What the tests of the front share: packages made once, and one real Ray head for the whole session."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "projects")]

if TYPE_CHECKING:
    from served_models import Models
    from tidewheel.operations.runfile import Run
    from tidewheel.serving.control_ray import Control


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> "Models":
    from served_models import Models, make_packages, served_settings
    from small_project import PROJECT, read_rows

    folder = tmp_path_factory.mktemp("models")
    (folder / "tidewheel.toml").write_text(PROJECT, encoding="utf-8")
    settings = served_settings(folder / "tidewheel.toml")
    rows = read_rows()
    packages = make_packages(settings, rows, folder / "packages")
    return Models(settings, rows, packages["simple"], packages["trees"])


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Run"]:
    """Start one Ray head of our own; end everything of it after the last test, and see that it is gone."""
    from tidewheel.operations.runfile import Run, find_processes, reap
    from tidewheel.operations.services import start_ray

    folder = tmp_path_factory.mktemp("head") / "services"
    run = Run.begin(folder)
    try:
        start_ray(run)
        yield run
    finally:
        found = find_processes(list(run.services.values()), run.run_id)
        reap(folder)
        left = [one for one in found if one.is_running() and one.status() != "zombie"]
        assert left == [], f"left behind: {left}"


@pytest.fixture(scope="session")
def head(run: "Run") -> Any:
    from tidewheel.operations.services import wait_ray

    return wait_ray(run)


@pytest.fixture(scope="session")
def control(head: Any) -> Iterator["Control"]:
    from tidewheel.serving.control_ray import connect

    control = connect(head)
    yield control
    control.shut_down()
