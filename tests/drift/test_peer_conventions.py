"""What frouros, popmon, scouter-ml and whylogs answer (`golden/conventions.json`), why, and what we answer to the same.

The golden numbers were made by the real tools (`benches/peers/make_conventions.py`); each is derived here by its formula,
so that the explanation in `docs/other-tools.md` is a checked one.
"""

import doctest
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from peer_cases import CASES, EMPTY_BIN, SAME_SHARES, bell, undrifted
from tidewheel import drift

FACTS = json.loads((Path(__file__).parent / "golden" / "conventions.json").read_text(encoding="utf-8"))

#: Shares of the bins of `EMPTY_BIN`: a tenth each, then nothing in one and a ninth in each other.
FULL = 9 * (1 / 10 - 1 / 9) * math.log((1 / 10) / (1 / 9))


def psi_of_empty_bin(filled_with):
    return FULL + (1 / 10 - filled_with) * math.log((1 / 10) / filled_with)


EMPTY_BINS = {"frouros": sys.float_info.min, "scouter-ml": 1e-10}


@pytest.mark.parametrize(("tool", "filled_with"), EMPTY_BINS.items(), ids=EMPTY_BINS)
def test_one_empty_bin(tool, filled_with):
    measured = FACTS[tool]["PSI with one empty bin of ten"]
    assert measured == pytest.approx(psi_of_empty_bin(filled_with), rel=1e-3)
    # Ours: the empty bin counts half a row of 905, every other one 100.5.
    ours = drift.psi(*EMPTY_BIN).statistic
    p, q, empty = 100.5 / 1005, 100.5 / 905, 0.5 / 905
    assert ours == pytest.approx(9 * (p - q) * math.log(p / q) + (p - empty) * math.log(p / empty))
    assert ours < measured / 3


def test_equal_shares_of_unequal_samples():
    # Counts in place of shares: five bins of 200 against 400.
    measured = FACTS["popmon"]["PSI of equal shares, 1,000 rows against 2,000"]
    assert measured == pytest.approx(5 * 200 * math.log(2), rel=1e-6)
    assert drift.psi(*SAME_SHARES).statistic == pytest.approx(0, abs=1e-12)


def test_unseen_categories():
    # Only the two known names count: a half each became a quarter each.
    measured = FACTS["scouter-ml"]["PSI of half unseen categories"]
    assert measured == pytest.approx(2 * (1 / 2 - 1 / 4) * math.log(2), rel=1e-6)
    assert drift.psi(["a", "b"] * 500, ["a", "new", "b", "newer"] * 250).statistic > 10 * measured


def test_a_threshold_for_one_sample():
    # The variance of a difference of two samples is twice that of one: a nominal 5 % becomes almost half.
    measured = FACTS["scouter-ml"]["share of undrifted pairs beyond chi2(9) / n at 5 %"]
    assert 0.4 < measured < 0.55
    ours = np.mean([drift.psi(*undrifted(index, 2_000)).pvalue <= 0.05 for index in range(400)])
    assert ours <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_a_pvalue_from_a_sketch():
    measured = FACTS["whylogs"]
    exact = drift.ks(bell(1, 300_000), bell(2, 300_000, 1 / 208)).pvalue
    assert measured["least p of the same two samples in ten runs"] < 0.05 < measured["greatest"] < exact


PAGE = Path(__file__).parents[2] / "docs" / "other-tools.md"


def test_the_page_runs():
    failed, tried = doctest.testfile(
        str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert (failed, tried > 20) == (0, True)


def test_the_page_quotes_the_golden_numbers():
    text = PAGE.read_text(encoding="utf-8")
    rows = {
        "2.08": FACTS["scouter-ml"]["PSI with one empty bin of ten"],
        "70.6": FACTS["frouros"]["PSI with one empty bin of ten"],
        "0.35": FACTS["scouter-ml"]["PSI of half unseen categories"],
        "48.5 %": 100 * FACTS["scouter-ml"]["share of undrifted pairs beyond chi2(9) / n at 5 %"],
        "693": FACTS["popmon"]["PSI of equal shares, 1,000 rows against 2,000"],
        "0.016 to": FACTS["whylogs"]["least p of the same two samples in ten runs"],
    }
    for quoted, measured in rows.items():
        assert f"| {quoted}" in text
        assert float(quoted.split()[0]) == pytest.approx(measured, rel=0.02)
    assert f"{len(CASES)} pairs of samples" in text
