"""A slice of the random cases of benches/agreement.py, which compares every statistic with SciPy's and NumPy's."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
#: Cases of each comparison: one of a hundred of what `make agreement` draws, and never fewer than this.
LEAST_CASES = 80


def load_agreement():
    spec = importlib.util.spec_from_file_location("agreement", ROOT / "benches" / "agreement.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


agreement = load_agreement()


@pytest.mark.parametrize("comparison", agreement.COMPARISONS, ids=lambda comparison: comparison.name)
def test_numbers_agree(comparison):
    row = agreement.run(comparison, max(LEAST_CASES, comparison.cases // 100))
    assert sum(row.compared.values()) >= LEAST_CASES


def test_a_deviation_names_its_case():
    broken = agreement.Comparison("broken", "nobody", 2, {"D": 1e-15}, lambda rng: {"D": 1e-3})
    agreement.COMPARISONS += (broken,)
    try:
        with pytest.raises(AssertionError, match=r"broken, case 0: D is off by 0.001; the bound is 1e-15"):
            agreement.run(broken, 2)
    finally:
        agreement.COMPARISONS = agreement.COMPARISONS[:-1]


def test_fractions_integrate_exactly():
    # F - G is 1/2 on [0, 1), 1/2 - 1/3 on [1, 3), 1/2 - 2/3 on [3, 4) and 1 - 2/3 on [4, 7).
    found = agreement.integrate_exactly(np.array([0.0, 4.0]), np.array([1.0, 3.0, 7.0]))
    assert found == pytest.approx(1 / 2 + 2 / 6 + 1 / 6 + 3 / 3)


def test_the_table_has_every_number():
    text = (ROOT / "docs" / "agreement.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| `[^|]+` \| ([^|]+) \| ([\d,]+) \|", text, re.MULTILINE)
    expected = {(c.name, what) for c in agreement.COMPARISONS for what in c.bounds}
    assert {(name, what) for name, what, _ in rows} == expected
    assert sum(comparison.cases for comparison in agreement.COMPARISONS) >= 100_000
