"""Packages for the tests of the front: two real models of the small project, and ways for a model to fail.

The loaders are functions of a module, so that replicas in other processes find them by name.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidewheel.evidence.records import DataVersion, ModelVersion, Plan
from tidewheel.model.packaging import Package, load_package, save_package
from tidewheel.model.training import train
from tidewheel.project.files import read_settings
from tidewheel.project.settings import Serving, Settings

SLOW_S = 2.0

IMPORT_FOLDERS = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "projects")]
"""Where replicas find the heuristic of the small project and the failing models."""


@dataclass(frozen=True)
class Models:
    """The small project's settings, rows and two packaged models."""

    settings: Settings
    rows: pl.DataFrame
    simple: ModelVersion
    trees: ModelVersion


def make_packages(settings: Settings, rows: pl.DataFrame, root: Path) -> dict[str, ModelVersion]:
    """Train and package the project's candidates."""
    version = DataVersion(
        name="orders",
        delta_version=0,
        content_sha256="0" * 64,
        n_rows=rows.height,
        contract_sha256="0" * 64,
        starts_utc=datetime(2021, 1, 1, tzinfo=UTC),
        ends_utc=datetime(2021, 7, 1, tzinfo=UTC),
        uri="nowhere",
    )
    packed = {}
    for candidate in settings.model.candidates:
        model = train(candidate, settings.features, rows, settings.labels.column, seed=settings.model.seed)
        packed[candidate.name] = save_package(
            model, root, settings=settings, settings_sha256="0" * 64, data_version=version, golden=rows
        )
    return packed


def served_settings(path: Path, **serving: Any) -> Settings:
    """Read a project file, with other values under `[serving]`."""
    settings = read_settings(path)
    return settings.model_copy(update={"serving": Serving(**serving)})


def plan_of(champion: ModelVersion, candidate: ModelVersion | None = None, **changes: Any) -> Plan:
    """Make a first plan of these models."""
    models = [one for one in (champion, candidate) if one is not None]
    given: dict[str, Any] = {
        "name": "orders",
        "generation": 1,
        "champion": champion.model_id,
        "candidate": candidate.model_id if candidate else None,
        "salt": "spring",
        "packages": {one.model_id: one.package for one in models},
        "digests": {one.model_id: one.files_sha256 for one in models},
    }
    return Plan(**{**given, **changes})


class Failing:
    """Stand in for a package: the same model, that fails where it is asked."""

    def __init__(self, package: Package) -> None:
        self.package = package
        self.model_id, self.columns, self.golden = package.model_id, package.columns, package.golden

    def score_rows(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        raise RuntimeError("the model is broken")

    def count_golden_mismatches(self) -> int:
        return 0


class Slow(Failing):
    def score_rows(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        time.sleep(SLOW_S)
        return self.package.score_rows(rows)


class NotFinite(Failing):
    def score_rows(self, rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        return np.full(len(rows), math.nan)


def load_raising(folder: Path | str, files_sha256: str) -> Any:
    return Failing(load_package(folder, files_sha256))


def load_slow(folder: Path | str, files_sha256: str) -> Any:
    return Slow(load_package(folder, files_sha256))


def load_not_finite(folder: Path | str, files_sha256: str) -> Any:
    return NotFinite(load_package(folder, files_sha256))


def no_rule(columns: Any) -> NDArray[np.float64]:
    raise ValueError("there is no rule for this")
