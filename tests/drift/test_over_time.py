"""The simulation of `make over-time`, small: promises hold, rules without a promise alarm, delays are as the page says."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("over_time", ROOT / "benches" / "over_time.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["over_time"] = module
    spec.loader.exec_module(module)
    return module


def test_promises_hold_without_drift(bench, rng):
    looks = 600
    first = bench.simulate_quiet(
        rng, 300, looks, lambda reference: [*bench.monitors(reference), *bench.others(reference)]
    )
    alarmed = {name: (runs <= looks).mean() for name, runs in first.items()}
    assert max(alarmed["ever"], alarmed["fine"]) <= 0.05
    assert np.minimum(first["short"], looks).mean() >= 500
    # What the promises are good for: both errors are made at once where nobody accounts for them.
    assert alarmed["naive"] == 1.0
    assert alarmed["exact"] > 0.5


def test_delays(bench, rng):
    first = bench.first_alarms(rng, 30, 500, bench.watchers, (0.15, 300))
    delays = {name: np.median(runs) - 300 for name, runs in first.items()}
    assert delays["ever"] <= 10
    assert delays["run length"] <= 10
    assert delays["whole"] > 3 * delays["ever"]


def test_the_page_is_the_script_s(bench):
    page = (ROOT / "docs" / "over-time.md").read_text(encoding="utf-8")
    for line in bench.PAGE.split("\n"):
        assert "{" in line or line in page.split("\n")
    assert page.count("10,000 |") == 1
    assert (ROOT / "docs" / "over-time.svg").read_text(encoding="utf-8").startswith("<svg")


def test_quick_writes_nothing(bench, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "SHIFTS", (0.5,))
    bench.main(["--quick", "--docs", str(tmp_path)])
    assert 'promise="ever"' in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
