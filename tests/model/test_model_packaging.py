import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from late_flights import DATA, SIMPLE, TREES
from tidewheel.errors import InputError, IntegrityError
from tidewheel.evidence.records import DataVersion, ModelVersion
from tidewheel.model.identity import CODE_FILES, code_sha256, environment, model_id
from tidewheel.model.packaging import check_package, load_package, save_package
from tidewheel.model.trained import TrainedModel
from tidewheel.project.settings import Candidate, Contract, Settings

Save = Callable[..., ModelVersion]


@pytest.fixture
def save(place: Path, rows: pl.DataFrame, settings: Settings) -> Save:
    """Package with one thing changed."""

    def saved(
        model: TrainedModel, data: DataVersion = DATA, sha: str = "ef" * 32, name: str | None = None
    ) -> ModelVersion:
        return save_package(
            model, place, settings=settings, settings_sha256=sha, data_version=data, golden=rows, name=name
        )

    return saved


def test_a_package_scores_as_the_model_did(model: TrainedModel, save: Save, rows: pl.DataFrame) -> None:
    version = save(model)
    package = load_package(version.package, version.files_sha256)
    np.testing.assert_array_equal(package.scores(rows), model.scores(rows))
    assert package.score_rows(rows.head(3).to_dicts()).tolist() == model.scores(rows)[:3].tolist()
    assert (package.model_id, package.family, package.name) == (version.model_id, model.family, model.name)


def test_the_contract_of_the_columns_travels_along(
    model: TrainedModel, save: Save, settings: Settings
) -> None:
    version = save(model)
    package = load_package(version.package, version.files_sha256)
    assert list(package.columns) == ["minute", "temp", "carrier", "dest"]
    assert package.columns == dict(settings.contract.columns)


def test_golden_requests_hold_and_a_wrong_score_is_counted(model: TrainedModel, save: Save) -> None:
    version = save(model)
    package = load_package(version.package, version.files_sha256)
    assert len(package.golden) == 20
    assert package.count_golden_mismatches() == 0
    first, *others = package.golden
    for wrong in (first.score + 1e-6, float("nan")):
        spoilt = replace(package, golden=(replace(first, score=wrong), *others))
        assert spoilt.count_golden_mismatches() == 1


def test_the_version_says_what_the_model_was_made_of(model: TrainedModel, save: Save, place: Path) -> None:
    version = save(model, name="trees-2013-05")
    assert (version.name, version.family, version.seed) == ("trees-2013-05", model.family, 7)
    assert (version.data_name, version.data_version, version.data_sha256) == (
        "flights",
        3,
        DATA.content_sha256,
    )
    assert (version.code_sha256, version.settings_sha256) == (code_sha256(), "ef" * 32)
    assert version.environment == environment(model.family)
    assert "numpy" in version.environment
    assert Path(version.package).parent == place


def test_the_same_model_twice_is_one_package(
    fit: Callable[..., TrainedModel], save: Save, place: Path
) -> None:
    for candidate in (SIMPLE, TREES):
        assert save(fit(candidate)) == save(fit(candidate))
    assert len(list(place.iterdir())) == 2


def test_whatever_made_the_model_is_in_its_id(
    fit: Callable[..., TrainedModel], save: Save, rows: pl.DataFrame
) -> None:
    other = Candidate(name="trees", family="xgboost", parameters={**TREES.parameters, "max_depth": 2})
    logistic = Candidate(name="simple", family="logistic", parameters={"C": 0.5})
    base = fit()
    versions = {
        "trees": save(base),
        "seed": save(fit(seed=8)),
        "parameters": save(fit(other)),
        "rows": save(fit(frame=rows.head(2900))),
        "data version": save(base, data=replace(DATA, content_sha256="aa" * 32)),
        "settings": save(base, sha="00" * 32),
        "family": save(fit(SIMPLE)),
        "parameters of logistic": save(fit(logistic)),
    }
    assert len({version.model_id for version in versions.values()}) == len(versions)
    known = {"data_sha256": DATA.content_sha256, "settings_sha256": "ef" * 32}
    assert model_id(base, code=code_sha256(), **known) == versions["trees"].model_id
    assert model_id(base, code="0" * 64, **known) != versions["trees"].model_id


def test_parameters_written_out_or_left_to_their_defaults_are_the_same_model(
    fit: Callable[..., TrainedModel], save: Save
) -> None:
    written = Candidate(name="simple", family="logistic", parameters={"C": 1})
    assert save(fit(SIMPLE)).model_id == save(fit(written)).model_id


def test_the_name_and_the_delta_version_are_not_in_the_id(model: TrainedModel, save: Save) -> None:
    assert save(model).model_id == save(model, data=replace(DATA, delta_version=9), name="again").model_id


def test_code_that_decides_is_in_its_digest(tmp_path: Path) -> None:
    source = Path(code_sha256.__code__.co_filename).parent
    for name in CODE_FILES:
        shutil.copy(source / name, tmp_path / name)
    assert code_sha256(tmp_path) == code_sha256()
    changed = tmp_path / "features.py"
    changed.write_text(changed.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert code_sha256(tmp_path) != code_sha256()


def change_a_score(folder: Path) -> None:
    path = folder / "golden.json"
    path.write_text(path.read_text(encoding="utf-8").replace("0.", "1.", 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (change_a_score, "must have the digest .*; its files give"),
        (lambda folder: (folder / "model.json").write_bytes(b"{}"), "must have the digest"),
        (lambda folder: (folder / "encoder.json").unlink(), "must have the digest"),
        (lambda folder: (folder / "model.pkl").write_bytes(b"x"), "must have the digest"),
        (shutil.rmtree, "must be a readable folder of files"),
    ],
    ids=["changed", "replaced", "missing", "added", "gone"],
)
def test_a_changed_package_is_refused(
    fit: Callable[..., TrainedModel], save: Save, tamper: Callable[[Path], None], message: str
) -> None:
    version = save(fit(SIMPLE))
    tamper(Path(version.package))
    for attempt in (load_package, check_package):
        with pytest.raises(IntegrityError, match=message):
            attempt(version.package, version.files_sha256)


def test_a_changed_package_is_not_taken_for_the_one_being_saved(
    fit: Callable[..., TrainedModel], save: Save
) -> None:
    version = save(fit(SIMPLE))
    change_a_score(Path(version.package))
    with pytest.raises(IntegrityError, match="must have the digest"):
        save(fit(SIMPLE))


def test_a_format_of_another_time_is_refused(fit: Callable[..., TrainedModel], save: Save) -> None:
    version = save(fit(SIMPLE))
    path = Path(version.package) / "manifest.json"
    path.write_text(
        json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"format_version": 2}), encoding="utf-8"
    )
    with pytest.raises(IntegrityError) as refused:
        load_package(version.package, version.files_sha256)
    digest = str(refused.value).rsplit(" ", 1)[1]
    with pytest.raises(IntegrityError, match="must have the format 1; got 2"):
        load_package(version.package, digest)


def test_nothing_is_left_when_a_package_cannot_be_written(
    fit: Callable[..., TrainedModel], rows: pl.DataFrame, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    below_a_file = tmp_path / "file" / "packages"
    with pytest.raises(OSError, match="file"):
        save_package(
            fit(SIMPLE), below_a_file, settings=settings, settings_sha256="0", data_version=DATA, golden=rows
        )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_contract_without_a_column_of_the_model_is_refused(
    fit: Callable[..., TrainedModel], rows: pl.DataFrame, settings: Settings, place: Path
) -> None:
    columns = {name: column for name, column in settings.contract.columns.items() if name != "dest"}
    short = settings.model_copy(update={"contract": Contract(columns=columns)})
    with pytest.raises(InputError, match="missing are dest"):
        save_package(fit(SIMPLE), place, settings=short, settings_sha256="0", data_version=DATA, golden=rows)
    with pytest.raises(InputError, match="at least one golden row"):
        save_package(
            fit(SIMPLE), place, settings=settings, settings_sha256="0", data_version=DATA, golden=rows.head(0)
        )
    assert not place.exists()


def test_a_fresh_process_replays_and_times(model: TrainedModel, save: Save) -> None:
    version = save(model)
    mismatch, latency = check_package(version.package, version.files_sha256, latency_ms=50.0)
    assert (mismatch.metric, mismatch.value, mismatch.upper, mismatch.n_rows) == (
        "golden_mismatch",
        0.0,
        0.0,
        20,
    )
    assert (latency.metric, latency.n_rows) == ("latency_p95_ms", 500)
    assert 0.0 < latency.lower <= latency.value <= latency.upper < 50.0


def test_a_package_that_cannot_start_says_why(
    fit: Callable[..., TrainedModel], save: Save, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    version = save(fit(SIMPLE))
    (tmp_path / "tidewheel").mkdir()
    (tmp_path / "tidewheel" / "__init__.py").write_text(
        "raise RuntimeError('broken installation')", encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(
        IntegrityError, match="must load in a fresh process; it ended with: RuntimeError: broken inst"
    ):
        check_package(version.package, version.files_sha256)


HEAVY = ("sklearn", "xgboost", "scipy", "mlflow", "prefect", "optuna", "ray", "pandas", "sqlalchemy")


def test_a_server_needs_nothing_heavy(model: TrainedModel, save: Save) -> None:
    version = save(model)
    program = (
        "import sys\n"
        "from tidewheel.model.packaging import load_package\n"
        "package = load_package(sys.argv[1], sys.argv[2])\n"
        "package.score_rows([package.golden[0].row])\n"
        f"print(*(name for name in {HEAVY!r} if name in sys.modules))\n"
    )
    command = [sys.executable, "-c", program, version.package, version.files_sha256]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
