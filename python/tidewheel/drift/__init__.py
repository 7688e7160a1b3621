"""Drift statistics over arrays and tables, counted in Rust; NumPy and the standard library alone.

    from tidewheel import drift

    drift.psi(reference, current).pvalue
    drift.compare(reference_table, current_table).drifted

`statistics` has the functions on arrays, `comparison` the comparison of tables, `profile` references learned once and
counts that add up, `results`, `columns` and `report` what they return.
"""

from tidewheel.drift.columns import ColumnDrift, PartDrift, Shape
from tidewheel.drift.comparison import compare
from tidewheel.drift.decision import Effect
from tidewheel.drift.profile import Profile, Window
from tidewheel.drift.report import DriftReport
from tidewheel.drift.results import Beside, KsResult, PsiResult, ReferenceBins
from tidewheel.drift.statistics import fit_bins, histogram, ks, psi
from tidewheel.drift.streams import scan

__all__ = [
    "Beside",
    "ColumnDrift",
    "DriftReport",
    "Effect",
    "KsResult",
    "PartDrift",
    "Profile",
    "PsiResult",
    "ReferenceBins",
    "Shape",
    "Window",
    "compare",
    "fit_bins",
    "histogram",
    "ks",
    "psi",
    "scan",
]
