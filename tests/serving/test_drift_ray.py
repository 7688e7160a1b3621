"""Profiles and windows over real Ray Datasets equal those of one machine."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from tidewheel.drift import Profile
from tidewheel.errors import InputError, InputTypeError

if TYPE_CHECKING:
    import ray.data

    from tidewheel.serving.control_ray import Control

ROWS, BLOCKS = 20_000, 7


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    rng = np.random.default_rng(7)
    return pl.DataFrame(
        {
            "speed": np.where(rng.random(ROWS) < 0.05, np.nan, rng.normal(size=ROWS)),
            "delay": pl.Series(rng.integers(-5, 200, ROWS)).replace(0, None),
            "carrier": rng.choice(["AA", "UA", "DL", *(f"c{i}" for i in range(300))], ROWS),
            "late": rng.random(ROWS) < 0.2,
        }
    )


@pytest.fixture(scope="module")
def data(
    control: "Control", frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> "ray.data.Dataset":
    import ray.data

    folder: Path = tmp_path_factory.mktemp("parts")
    ray.data.DataContext.get_current().enable_progress_bars = False
    for number, start in enumerate(range(0, ROWS, ROWS // BLOCKS)):
        frame[start : start + ROWS // BLOCKS].write_parquet(folder / f"{number}.parquet")
    return ray.data.read_parquet(str(folder))


def test_a_profile_of_all_rows_equals_that_of_one_machine(
    data: "ray.data.Dataset", frame: pl.DataFrame
) -> None:
    from tidewheel.monitoring.drift_ray import fit_dataset

    assert fit_dataset(data) == Profile.fit(frame)
    chosen = fit_dataset(data, columns=["carrier", "speed"], statistics=["psi"])
    assert chosen == Profile.fit(frame, columns=["carrier", "speed"], statistics=["psi"])


def test_a_profile_over_splitters_of_a_sample_equals_that_of_one_machine(
    data: "ray.data.Dataset", frame: pl.DataFrame
) -> None:
    from tidewheel.monitoring.drift_ray import fit_dataset

    splitters = Profile.fit(frame[::10])
    assert fit_dataset(data, splitters=splitters) == Profile.fit(frame, splitters=splitters)
    sampled = fit_dataset(data, sample_rows=2_000, seed=1)
    assert sampled == Profile.fit(frame, splitters=sampled)
    assert sampled != Profile.fit(frame)
    assert sampled.n_rows == ROWS


def test_a_window_equals_that_of_one_machine(data: "ray.data.Dataset", frame: pl.DataFrame) -> None:
    from tidewheel.monitoring.drift_ray import count_dataset

    profile = Profile.fit(frame.head(5_000), columns=["late", "carrier", "speed"])
    window = profile.window()
    window.update(frame)
    told: list[tuple[int, int | None]] = []
    counted = count_dataset(data, profile=profile, progress=lambda done, total: told.append((done, total)))
    assert counted == window
    assert profile.compare(counted).to_json() == profile.compare(frame).to_json()
    assert told[0] == (0, None)
    assert told[-1] == (ROWS, None)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_wrong_use(data: "ray.data.Dataset", frame: pl.DataFrame) -> None:
    import ray.data

    from tidewheel.monitoring.drift_ray import count_dataset, fit_dataset

    profile = Profile.fit(frame.with_columns(pl.lit(1).alias("other")))
    window = count_dataset(data, profile=profile)
    assert (window.n_rows, window.lacking) == (frame.height, ("other",))
    assert profile.compare(window).schema == ("other",)
    texts = Profile.fit(frame.select(pl.col("speed").cast(pl.String)))
    with pytest.raises(
        InputTypeError, match="column 'speed' must have the reference's type string; got float64"
    ):
        fit_dataset(data, splitters=texts)
    with pytest.raises(InputError, match="`splitters` must be given without `columns` and `statistics`"):
        fit_dataset(data, splitters=profile, columns=["speed"])
    with pytest.raises(InputError, match="`sample_rows` must be at least 1; got 0"):
        fit_dataset(data, sample_rows=0)
    with pytest.raises(InputError, match="`reference` must have at least one row; got none"):
        fit_dataset(ray.data.from_arrow(frame.head(0).to_arrow()))
