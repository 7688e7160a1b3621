"""Drift statistics over arrays and tables, counted in Rust; NumPy and the standard library alone.

    from tidewheel import drift

    drift.psi(reference, current).pvalue
    drift.compare(reference_table, current_table).drifted

`statistics` has the functions on arrays, `comparison` the comparison of tables, `results`, `columns` and `report`
what they return.
"""

from tidewheel.drift.columns import ColumnDrift, PartDrift, Shape
from tidewheel.drift.comparison import compare
from tidewheel.drift.decision import Effect
from tidewheel.drift.report import DriftReport
from tidewheel.drift.results import Beside, KsResult, PsiResult, ReferenceBins
from tidewheel.drift.statistics import fit_bins, histogram, ks, psi

__all__ = [
    "Beside",
    "ColumnDrift",
    "DriftReport",
    "Effect",
    "KsResult",
    "PartDrift",
    "PsiResult",
    "ReferenceBins",
    "Shape",
    "compare",
    "fit_bins",
    "histogram",
    "ks",
    "psi",
]
