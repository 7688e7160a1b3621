"""Drift inside real Ray workers: no hang, the same numbers, one thread unless asked for more."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tidewheel import drift

sys.path.insert(0, str(Path(__file__).parents[1] / "drift"))

DEADLINE_S = 120


def measure(reference, current):
    """Give numbers of every kernel, and a window's bytes, for a comparison between processes."""
    profile = drift.Profile.fit({"x": reference})
    window = profile.window()
    window.update({"x": current})
    return (
        drift.ks(reference, current).statistic,
        drift.wasserstein(reference, current).statistic,
        drift.histogram(current, 50)[0].tolist(),
        profile.id,
        window.to_bytes(),
    )


@pytest.fixture
def ray(control):
    import ray

    import busy_threads  # found by the path above

    # Workers cannot import what lies in the folder of the tests: it travels as code.
    modules = [busy_threads, sys.modules[__name__]]
    for module in modules:
        ray.cloudpickle.register_pickle_by_value(module)
    yield ray
    for module in modules:
        ray.cloudpickle.unregister_pickle_by_value(module)


def test_workers_give_the_same_numbers(ray):
    rng = np.random.default_rng(11)
    reference, current = rng.normal(size=600_000), rng.normal(0.01, 1, 500_000)
    here = measure(reference, current)
    work = ray.remote(num_cpus=0.1)(measure)
    there = ray.get([work.remote(reference, current) for _ in range(2)], timeout=DEADLINE_S)
    assert there == [here, here]


def test_workers_use_one_thread_unless_asked(ray):
    from busy_threads import most_threads

    count = ray.remote(num_cpus=0.1)(most_threads)
    by_default, asked = ray.get([count.remote(), count.remote(3, wanted=3)], timeout=DEADLINE_S)
    assert by_default == 1
    assert asked == 3
