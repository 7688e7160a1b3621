"""Tell MLflow about each baseline and model: one run, with its data version, parameters, measurements and package.

What belongs here: everything that imports MLflow. What does not: anything a decision rests on. The ledger is the source of
truth, MLflow a projection of it that people look at. A server never imports this module.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from logging import INFO, getLogger
from pathlib import Path
from time import time
from typing import Any

from tidewheel.evidence.records import DataVersion, ModelVersion
from tidewheel.measures.measurement import Measurement
from tidewheel.model.identity import canonical_json
from tidewheel.project.settings import Settings

DIGEST_DIGITS = 32
"""MLflow refuses a digest of more than 36 characters; the whole SHA-256 stands in the tag `content_sha256`."""

SQLITE = "sqlite:///"

CHATTY_LOGGERS = ("alembic", "mlflow")
"""Both report each table that a new store gets, at the level of information."""


def track(
    run_name: str,
    *,
    settings: Settings,
    data_version: DataVersion,
    model_version: ModelVersion | None,
    measurements: Sequence[Measurement],
    parameters: Mapping[str, object],
    tracking_uri: str,
    artifacts: Sequence[Path] = (),
) -> str:
    """Make one finished run and return its id.

    The experiment is named by `[scope].name`. The run has the data set as its input (name of the data set, digest of 32 hex
    digits), and the tags `data_name`, `delta_version`, `content_sha256` and, for a model, `model_id` and `files_sha256`.
    Each measurement becomes the metrics `<metric>`, `<metric>_lower` and `<metric>_upper`, for a paired difference
    `<metric>_minus_<comparator>`, bound to the data set and to the model. The package becomes a logged model.

    Args:
        run_name: Name of the baseline or model.
        settings: The project's settings.
        data_version: What it was fitted to and measured on.
        model_version: What was packaged; None for a baseline that has no package.
        measurements: Bounds that are not finite are left out.
        parameters: Of the model; a baseline may say what it is.
        tracking_uri: Address of the store; an `sqlite:///` one keeps its artifacts in a folder beside the file.
        artifacts: More files to keep with the run.

    Raises:
        mlflow.exceptions.MlflowException: The store refuses; the run, if there is one already, is marked as failed.
    """
    with quiet():
        client = _client(tracking_uri)
        experiment = _experiment(client, settings.scope.name, tracking_uri)
        tags = _tags(data_version, model_version)
        run_id: str = client.create_run(experiment, run_name=run_name, tags=tags).info.run_id
        try:
            _log_data(client, run_id, data_version)
            logged = _log_model(client, experiment, run_id, model_version)
            _log_numbers(client, run_id, data_version, logged, measurements, parameters)
            for path in artifacts:
                client.log_artifact(run_id, str(path))
        except BaseException:
            client.set_terminated(run_id, "FAILED")
            raise
        client.set_terminated(run_id, "FINISHED")
    return run_id


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow and its migrations from reporting at the level of information, for as long as this lasts."""
    handles = [getLogger(name) for name in CHATTY_LOGGERS]
    levels = [handle.level for handle in handles]
    for handle in handles:
        handle.setLevel(INFO + 1)
    try:
        yield
    finally:
        for handle, level in zip(handles, levels, strict=True):
            handle.setLevel(level)


def _mlflow() -> Any:
    """Import MLflow at first use: it takes three to eight seconds."""
    # Usage data would be sent from the import on: nothing leaves the machine unless somebody asks for it.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    for name in CHATTY_LOGGERS:
        # The import sets levels of its own.
        getLogger(name).setLevel(INFO + 1)
    return mlflow


def _client(tracking_uri: str) -> Any:
    if tracking_uri.startswith(SQLITE):
        Path(tracking_uri.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    return _mlflow().MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


def _experiment(client: Any, name: str, tracking_uri: str) -> str:
    """Find the experiment or make it; without a place of its own, its files would land in the working directory."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    place = None
    if tracking_uri.startswith(SQLITE):
        file = Path(tracking_uri.removeprefix(SQLITE)).resolve()
        place = (file.parent / f"{file.stem}-artifacts").as_uri()
    return str(client.create_experiment(name, artifact_location=place))


def _tags(data_version: DataVersion, model_version: ModelVersion | None) -> dict[str, str]:
    tags = {
        "data_name": data_version.name,
        "delta_version": str(data_version.delta_version),
        "content_sha256": data_version.content_sha256,
    }
    if model_version is not None:
        tags |= {
            "model_id": model_version.model_id,
            "files_sha256": model_version.files_sha256,
            "family": model_version.family,
            "code_sha256": model_version.code_sha256,
            "settings_sha256": model_version.settings_sha256,
        }
    return tags


def _log_data(client: Any, run_id: str, data_version: DataVersion) -> None:
    entities = _mlflow().entities
    dataset = entities.Dataset(
        name=data_version.name,
        digest=data_version.content_sha256[:DIGEST_DIGITS],
        source_type="delta",
        source=json.dumps({"path": data_version.uri, "delta_table_version": data_version.delta_version}),
        profile=json.dumps({"num_rows": data_version.n_rows}),
    )
    tags = _tags(data_version, None) | {"mlflow.data.context": "training"}
    client.log_inputs(
        run_id,
        [entities.DatasetInput(dataset, [entities.InputTag(key, value) for key, value in tags.items()])],
    )


def _log_model(client: Any, experiment: str, run_id: str, model_version: ModelVersion | None) -> str | None:
    """Log the package as a model of the run, with the requirements that reproduce it, and give MLflow's id for it."""
    if model_version is None:
        return None
    tags = {"model_id": model_version.model_id, "files_sha256": model_version.files_sha256}
    logged = client.create_logged_model(
        experiment,
        name=model_version.name.replace(".", "-"),
        source_run_id=run_id,
        tags=tags | {"environment": canonical_json(model_version.environment).decode()},
        model_type=model_version.family,
    )
    client.log_model_artifacts(logged.model_id, model_version.package)
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [_mlflow().entities.LoggedModelOutput(logged.model_id, step=0)])
    return str(logged.model_id)


def _log_numbers(
    client: Any,
    run_id: str,
    data_version: DataVersion,
    logged: str | None,
    measurements: Sequence[Measurement],
    parameters: Mapping[str, object],
) -> None:
    where: dict[str, Any] = {
        "model_id": logged,
        "dataset_name": data_version.name,
        "dataset_digest": data_version.content_sha256[:DIGEST_DIGITS],
        "run_id": run_id,
    }
    now_ms = int(time() * 1000)
    entities, values = _mlflow().entities, metric_values(measurements)
    metrics = [entities.Metric(key, value, now_ms, 0, **where) for key, value in values.items()]
    client.log_batch(run_id, metrics, [entities.Param(key, str(value)) for key, value in parameters.items()])


def metric_values(measurements: Sequence[Measurement]) -> dict[str, float]:
    """Name the numbers of measurements: value, lower and upper bound, and how many rows and units they rest on.

    Example:
        >>> found = metric_values([Measurement("roc_auc", 0.01, 0.0, 0.02, 0.95, 900, 28, relative_to="simple")])
        >>> sorted(found)
        ['n_rows', 'n_units', 'roc_auc_minus_simple', 'roc_auc_minus_simple_lower', 'roc_auc_minus_simple_upper']
    """
    found: dict[str, float] = {}
    for row in measurements:
        name = row.metric if row.relative_to is None else f"{row.metric}_minus_{row.relative_to}"
        found |= {name: row.value, f"{name}_lower": row.lower, f"{name}_upper": row.upper}
        found |= {"n_rows": float(row.n_rows), "n_units": float(row.n_units)}
    return {name: value for name, value in found.items() if abs(value) < float("inf")}
