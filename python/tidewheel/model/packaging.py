"""The package that a server loads: a folder of JSON files whose digest is checked at each load.

What belongs here: writing and reading the folder, and trying a package in a fresh process (`check_package`, which runs
`model.blessing` there). What does not: a model's identity (`model.identity`), and serving. Loading imports neither
scikit-learn nor xgboost nor MLflow, and runs no code from the package: there is no pickle in it.

The folder holds `manifest.json` (identity, contract of the columns), `encoder.json`, `model.json` (coefficients, or
xgboost's own JSON, which `xgboost.Booster.load_model` reads too) and `golden.json` (some rows and their scores).
"""

import json
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tidewheel.errors import InputError, IntegrityError
from tidewheel.evidence.records import DataVersion, ModelVersion
from tidewheel.measures.measurement import Measurement
from tidewheel.model.features import Columns, TableEncoder
from tidewheel.model.identity import canonical_json, code_sha256, digest_of, environment, model_id
from tidewheel.model.scoring import load_scorer
from tidewheel.model.trained import Predictor, TrainedModel
from tidewheel.project.settings import Column, Settings

FORMAT_VERSION = 1
"""Of the package folder; raised when an older reader would misread a newer package."""

GOLDEN_ROWS = 20
"""Golden requests in a package: milliseconds to replay, and a broken column shows in nearly all of them."""

START_UP_S = 120.0
"""Time allowed for a fresh process to start, import and load, on a machine busy with other things."""

TIMED_S = 60.0
"""Time allowed for its timed calls beyond their own limit."""

GOLDEN_TOLERANCE = 1e-9
"""Two processors may round `exp` differently in the last bits; a wrong column or file moves scores by far more."""


@dataclass(frozen=True, slots=True)
class GoldenRequest:
    """Hold one request and the score that the model gave when it was packaged."""

    row: dict[str, Any]
    score: float


@dataclass(frozen=True)
class Package:
    """Hold a loaded package: immutable, so threads may share it.

    `columns` is the contract of the columns that a request must have, as it was when the model was trained.
    """

    name: str
    model_id: str
    family: str
    label: str
    columns: dict[str, Column]
    golden: tuple[GoldenRequest, ...]
    predictor: Predictor

    def scores(self, columns: Columns) -> np.ndarray:
        """Give the probability of the positive class for each row of a table, (n_rows,) float64."""
        return self.predictor.scores(columns)

    def score_rows(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Score requests, each a mapping with every one of `columns`; the same numbers as `scores`."""
        return self.predictor.score_rows(rows)

    def count_golden_mismatches(self) -> int:
        """Score the golden requests, one by one as a server does, and count those that differ from the recorded scores."""
        scores = [float(self.score_rows([request.row])[0]) for request in self.golden]
        recorded = [request.score for request in self.golden]
        # Not `abs(...) > tolerance`: a NaN must count.
        return sum(not abs(a - b) <= GOLDEN_TOLERANCE for a, b in zip(scores, recorded, strict=True))


def save_package(
    model: TrainedModel,
    root: Path | str,
    *,
    settings: Settings,
    settings_sha256: str,
    data_version: DataVersion,
    golden: pl.DataFrame,
    name: str | None = None,
) -> ModelVersion:
    """Write a model as a folder below `root`, and say what it is.

    The folder appears as a whole or not at all (it is written beside its place and renamed), and is named by its content:
    the same model gives the same folder, which is then left as it is.

    Args:
        model: What was trained.
        root: Folder of all packages; made if need be.
        settings: The project's settings; the contract of the columns that the model reads travels with the model.
        settings_sha256: Digest of the settings.
        data_version: The data version that the training rows came from.
        golden: Rows from which 20, at even distances, become golden requests.
        name: Of the model version; the candidate's name if None.

    Raises:
        InputError: The contract lacks a column that the model reads, or there is no golden row.
        IntegrityError: A folder of that name exists, and its files are not the ones that this model gives.
    """
    name, code = name or model.name, code_sha256()
    identity = model_id(
        model, data_sha256=data_version.content_sha256, settings_sha256=settings_sha256, code=code
    )
    files = _files(model, name, identity, settings, golden)
    digest = digest_of(files)
    folder = Path(root) / f"{name}-{identity[:12]}-{digest[:8]}"
    _place(folder, files, digest)
    return ModelVersion(
        name=name,
        model_id=identity,
        files_sha256=digest,
        family=model.family,
        data_name=data_version.name,
        data_version=data_version.delta_version,
        data_sha256=data_version.content_sha256,
        code_sha256=code,
        settings_sha256=settings_sha256,
        seed=model.seed,
        environment=environment(model.family),
        package=str(folder),
    )


def load_package(folder: Path | str, files_sha256: str) -> Package:
    """Load a package whose files have the recorded digest.

    Raises:
        IntegrityError: A file differs, is missing or was added, or the format is not known.
    """
    folder = Path(folder)
    contents = _read(folder)
    _check_digest(folder, contents, files_sha256)
    manifest = json.loads(contents["manifest.json"])
    if manifest["format_version"] != FORMAT_VERSION:
        got = manifest["format_version"]
        raise IntegrityError(f"package {folder} must have the format {FORMAT_VERSION}; got {got}")
    encoder = TableEncoder.from_dict(json.loads(contents["encoder.json"]))
    return Package(
        name=manifest["name"],
        model_id=manifest["model_id"],
        family=manifest["family"],
        label=manifest["label"],
        columns={name: Column.model_validate(manifest["columns"][name]) for name in encoder.columns},
        golden=tuple(GoldenRequest(**request) for request in json.loads(contents["golden.json"])),
        predictor=Predictor(encoder, load_scorer(manifest["family"], contents["model.json"])),
    )


def check_package(
    folder: Path | str, files_sha256: str, latency_ms: float = 50.0, *, confidence: float = 0.95
) -> list[Measurement]:
    """Load a package in a fresh process, replay its golden requests and time single-row requests there.

    Args:
        folder: Of the package.
        files_sha256: The digest that the ledger has.
        latency_ms: The budget of one request; it bounds how long a slow model is timed, not what is measured.
        confidence: Of the bounds.

    Returns:
        `golden_mismatch`: number of golden requests that score differently (its bounds are the value itself).
        `latency_p95_ms`: 95th percentile of the time of one single-row request, with bounds from order statistics.

    Raises:
        IntegrityError: The files differ from the recorded ones, or the process could not load them in time.
    """
    _check_digest(Path(folder), _read(Path(folder)), files_sha256)
    command = [sys.executable, "-m", "tidewheel.model.blessing", str(folder), files_sha256, str(latency_ms)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=START_UP_S + TIMED_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise IntegrityError(
            f"package {folder} must load and answer within {error.timeout:g} s; it did not"
        ) from error
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise IntegrityError(f"package {folder} must load in a fresh process; it ended with: {last[0]}")
    found = json.loads(done.stdout)
    mismatches, n_golden = float(found["mismatches"]), int(found["golden"])
    times = np.sort(np.array(found["milliseconds"]))
    low, high = quantile_ranks(times.size, 0.95, confidence)
    bounds = (0.0 if low is None else float(times[low]), math.inf if high is None else float(times[high]))
    value = float(np.quantile(times, 0.95))
    return [
        Measurement("golden_mismatch", mismatches, mismatches, mismatches, confidence, n_golden, n_golden),
        Measurement("latency_p95_ms", value, *bounds, confidence, times.size, times.size),
    ]


def quantile_ranks(n: int, share: float, confidence: float) -> tuple[int | None, int | None]:
    """Give the places, in n sorted values, of a lower and an upper bound of a quantile, each at `confidence`.

    The number of values below the quantile is binomial(n, share), whatever their distribution. None where n is too small.

    Example:
        >>> quantile_ranks(100, 0.95, 0.95)
        (90, 98)
        >>> quantile_ranks(58, 0.95, 0.95)[1] is None
        True
    """
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        + k * math.log(share) + (n - k) * math.log1p(-share)
        for k in range(n)
    ]  # fmt: skip
    below = np.cumsum(np.exp(logs))
    # The value at place i is not below the quantile if at most i values are, and not above it if more than i are.
    above, under = np.flatnonzero(below >= confidence), np.flatnonzero(1.0 - below >= confidence)
    return (int(under[-1]) if under.size else None), (int(above[0]) if above.size else None)


def _files(
    model: TrainedModel, name: str, identity: str, settings: Settings, golden: pl.DataFrame
) -> dict[str, bytes]:
    names, contract = model.predictor.encoder.columns, settings.contract.columns
    missing = [column for column in names if column not in contract]
    if missing:
        raise InputError(
            f"the contract must have every column that the model reads; missing are {', '.join(missing)}"
        )
    manifest = {
        "format_version": FORMAT_VERSION,
        "name": name,
        "model_id": identity,
        "family": model.family,
        "parameters": model.parameters,
        "label": model.label,
        "seed": model.seed,
        "n_rows": model.n_rows,
        "share_positive": model.share_positive,
        "columns": {column: contract[column].model_dump(mode="json") for column in names},
    }
    rows = _golden_rows(golden.select(names))
    scores = [float(model.predictor.score_rows([row])[0]) for row in rows]
    return {
        "manifest.json": canonical_json(manifest),
        "encoder.json": canonical_json(model.predictor.encoder.to_dict()),
        "model.json": model.predictor.scorer.to_bytes(),
        "golden.json": canonical_json(
            [{"row": row, "score": score} for row, score in zip(rows, scores, strict=True)]
        ),
    }


def _golden_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Take rows at even distances; NaN, which JSON lacks, becomes null, which means the same to the encoder."""
    if frame.is_empty():
        raise InputError("a package needs at least one golden row; got none")
    places = np.unique(np.linspace(0, frame.height - 1, GOLDEN_ROWS).astype(int))
    return [
        {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in row.items()
        }
        for row in frame[places.tolist()].to_dicts()
    ]


def _place(folder: Path, files: Mapping[str, bytes], digest: str) -> None:
    """Write the files beside `folder` and rename them into place."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
        try:
            draft.chmod(0o755)
            for name, content in files.items():
                (draft / name).write_bytes(content)
            draft.rename(folder)
        except OSError:
            # Somebody else may have put the same package there first; what is there is checked below.
            shutil.rmtree(draft, ignore_errors=True)
            if not folder.exists():
                raise
    _check_digest(folder, _read(folder), digest)


def _read(folder: Path) -> dict[str, bytes]:
    try:
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    except OSError as error:
        raise IntegrityError(f"package {folder} must be a readable folder of files; got {error}") from error


def _check_digest(folder: Path, contents: Mapping[str, bytes], expected: str) -> None:
    actual = digest_of(contents)
    if actual != expected:
        raise IntegrityError(f"package {folder} must have the digest {expected}; its files give {actual}")
