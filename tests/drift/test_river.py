"""docs/river.md keeps its promises: its example runs, and finds what it says."""

import ast
import re
from pathlib import Path

import numpy as np
from river.drift import KSWIN

TEXT = (Path(__file__).parents[2] / "docs" / "river.md").read_text(encoding="utf-8")


def test_the_example_finds_what_it_says():
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    said = re.search(r"\nfound  # (.*)", code)
    names = {}
    exec(code, names)
    assert names["found"] == ast.literal_eval(said[1])
    assert set(names["found"]) == {"Monitor", "ADWIN", "Page-Hinkley", "KSWIN"}
    assert min(names["found"].values()) > 40


def test_a_level_per_value_is_no_promise():
    detector, alarms = KSWIN(seed=1), 0
    for value in np.random.default_rng(1).normal(size=6_000).tolist():
        detector.update(value)
        alarms += detector.drift_detected
    assert alarms >= 4
