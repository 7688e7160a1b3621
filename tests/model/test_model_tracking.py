import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from late_flights import DATA, TREES
from tidewheel.measures.measurement import Measurement
from tidewheel.model.packaging import save_package
from tidewheel.model.tracking import track
from tidewheel.model.trained import TrainedModel
from tidewheel.project.settings import Settings

MEASUREMENTS = (
    Measurement("roc_auc", 0.71, 0.68, 0.74, 0.95, 900, 28),
    Measurement("roc_auc", 0.01, 0.001, 0.02, 0.95, 900, 28, relative_to="simple"),
    Measurement("brier", 0.15, float("-inf"), float("inf"), 0.95, 900, 1),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('state') / 'mlflow.sqlite'}"


def runs_of(store: str, experiment: str = "small") -> dict[str, Any]:
    from mlflow import MlflowClient  # slow to import

    client = MlflowClient(tracking_uri=store)
    found = client.get_experiment_by_name(experiment)
    return {run.info.run_name: run for run in client.search_runs([found.experiment_id])} if found else {}


def test_a_baseline_is_a_run_with_its_data(store: str, settings: Settings) -> None:
    run_id = track(
        "majority",
        settings=settings,
        data_version=DATA,
        model_version=None,
        measurements=MEASUREMENTS,
        parameters={"baseline": "majority"},
        tracking_uri=store,
    )
    run = runs_of(store)["majority"]
    assert (run.info.run_id, run.info.status) == (run_id, "FINISHED")
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == ("flights", DATA.content_sha256[:32])
    assert run.data.tags["delta_version"] == "3"
    assert run.data.tags["content_sha256"] == DATA.content_sha256
    assert "model_id" not in run.data.tags
    assert run.data.params == {"baseline": "majority"}


def test_measurements_become_metrics(store: str, settings: Settings) -> None:
    track("measured", settings=settings, data_version=DATA, model_version=None, measurements=MEASUREMENTS, parameters={},
          tracking_uri=store)  # fmt: skip
    assert runs_of(store)["measured"].data.metrics == {
        "roc_auc": 0.71,
        "roc_auc_lower": 0.68,
        "roc_auc_upper": 0.74,
        "roc_auc_minus_simple": 0.01,
        "roc_auc_minus_simple_lower": 0.001,
        "roc_auc_minus_simple_upper": 0.02,
        "brier": 0.15,
        "n_rows": 900.0,
        "n_units": 1.0,
    }


def test_a_model_is_logged_with_its_package_and_bound_to_its_data(
    store: str,
    settings: Settings,
    fit: Callable[..., TrainedModel],
    rows: pl.DataFrame,
    place: Path,
    tmp_path: Path,
) -> None:
    from mlflow import MlflowClient  # slow to import

    model = fit(TREES)
    version = save_package(
        model, place, settings=settings, settings_sha256="0", data_version=DATA, golden=rows
    )
    (tmp_path / "card.md").write_text("a card", encoding="utf-8")
    run_id = track(
        "trees",
        settings=settings,
        data_version=DATA,
        model_version=version,
        measurements=MEASUREMENTS[:1],
        parameters=model.parameters,
        tracking_uri=store,
        artifacts=[tmp_path / "card.md"],
    )
    client = MlflowClient(tracking_uri=store)
    run = client.get_run(run_id)
    assert run.data.tags["model_id"] == version.model_id
    assert run.data.params["max_depth"] == "3"
    (output,) = run.outputs.model_outputs
    logged = client.get_logged_model(output.model_id)
    assert (logged.name, str(logged.status), logged.tags["model_id"]) == ("trees", "READY", version.model_id)
    bound = {(metric.key, metric.dataset_name, metric.dataset_digest) for metric in logged.metrics}
    assert ("roc_auc", "flights", DATA.content_sha256[:32]) in bound
    files = {path.name for path in Path(logged.artifact_location.removeprefix("file://")).iterdir()}
    assert files == {"manifest.json", "encoder.json", "model.json", "golden.json"}
    assert [file.path for file in client.list_artifacts(run_id)] == ["card.md"]


def test_everything_lands_beside_the_store_and_nothing_is_said(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    elsewhere, state = tmp_path / "elsewhere", tmp_path / "state"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    before = logging.getLogger("alembic").level
    track("quiet", settings=settings, data_version=DATA, model_version=None, measurements=(), parameters={},
          tracking_uri=f"sqlite:///{state / 'mlflow.sqlite'}")  # fmt: skip
    assert list(elsewhere.iterdir()) == []
    assert (state / "mlflow.sqlite").exists()
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("alembic").level == before


def test_a_run_that_breaks_off_is_marked_as_failed(store: str, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        track("broken", settings=settings, data_version=DATA, model_version=None, measurements=(), parameters={},
              tracking_uri=store, artifacts=[tmp_path / "missing.md"])  # fmt: skip
    assert runs_of(store)["broken"].info.status == "FAILED"
