"""The public names of `tidewheel.drift`."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tidewheel import drift

NAMES = {
    "Beside", "BinnedCounts", "ColumnDrift", "ContingencyResult", "DistanceResult", "DivergenceResult",
    "DriftReport", "Effect", "KsResult", "PartDrift", "Profile", "PsiResult", "RankTestResult", "ReferenceBins",
    "PeerDrift", "ReferenceRanks", "fit_ks",
    "Shape", "Window", "anderson_darling", "chi_square", "compare", "cramer_von_mises", "energy_distance", "fit_bins",
    "g_test", "hellinger", "histogram", "jensen_shannon", "kl_divergence", "ks", "l_infinity", "psi", "scan",
    "total_variation", "wasserstein",
    "ChunkComparison", "ChunkThresholds", "ColumnLook", "History", "Look", "Monitor",
    "SegmentedReport", "SignificanceResult", "SlicedResult", "sliced",
}  # fmt: skip


def test_public_names():
    assert set(drift.__all__) == NAMES
    for name in NAMES:
        assert getattr(drift, name).__doc__
    assert set(dir(drift)) >= NAMES


def test_each_name_has_one_home():
    """What type checkers read and what is loaded at run time are the same."""
    tree = ast.parse(Path(drift.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    read = {
        alias.name: statement.module
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert read == {name: f"tidewheel.drift.{home}" for name, home in drift._HOMES.items()}
    assert set(read) == NAMES
    assert all(getattr(drift, name).__module__ == home for name, home in read.items())


def test_a_module_is_imported_when_it_is_used():
    code = """
import sys
from tidewheel import drift
loaded = lambda: {name for name in sys.modules if name.startswith("tidewheel.drift.")}
assert not loaded()
drift.compare({"x": [1.0, 2.0]}, {"x": [1.0, 2.0]})
later = {f"tidewheel.drift.{name}" for name in (
    "over_time.chunks", "over_time.monitor", "table.multivariate.sliced", "peers.compat", "profile.profile"
)}
assert not later & loaded()
drift.Monitor, drift.sliced, drift.ChunkThresholds, drift.Profile
drift.compare({"x": [1.0, 2.0]}, {"x": [1.0, 2.0]}, compat="nannyml")
assert later <= loaded()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match=r"module 'tidewheel\.drift' has no attribute 'Moniter'"):
        drift.Moniter  # noqa: B018
