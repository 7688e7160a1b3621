"""Drift statistics over arrays and tables, counted in Rust; NumPy and the standard library alone.

    from tidewheel import drift

    drift.psi(reference, current).pvalue
    drift.compare(reference_table, current_table).drifted

`statistics` has the functions on arrays, `divergences` those on shares of bins, `distances` further ones without bins,
`comparison` the comparison of tables, `compat` what other tools say of them, `profile` references learned once and
counts that add up, `results`, `columns` and `report` what they return.
"""

from tidewheel.drift.columns import ColumnDrift, PartDrift, PeerDrift, Shape
from tidewheel.drift.comparison import compare
from tidewheel.drift.decision import Effect
from tidewheel.drift.distances import anderson_darling, cramer_von_mises, energy_distance, wasserstein
from tidewheel.drift.divergences import (
    chi_square,
    g_test,
    hellinger,
    jensen_shannon,
    kl_divergence,
    l_infinity,
    total_variation,
)
from tidewheel.drift.profile import Profile, Window
from tidewheel.drift.report import DriftReport
from tidewheel.drift.results import (
    Beside,
    BinnedCounts,
    ContingencyResult,
    DistanceResult,
    DivergenceResult,
    KsResult,
    PsiResult,
    RankTestResult,
    ReferenceBins,
)
from tidewheel.drift.statistics import fit_bins, histogram, ks, psi
from tidewheel.drift.streams import scan

__all__ = [
    "Beside",
    "BinnedCounts",
    "ColumnDrift",
    "ContingencyResult",
    "DistanceResult",
    "DivergenceResult",
    "DriftReport",
    "Effect",
    "KsResult",
    "PartDrift",
    "PeerDrift",
    "Profile",
    "PsiResult",
    "RankTestResult",
    "ReferenceBins",
    "Shape",
    "Window",
    "anderson_darling",
    "chi_square",
    "compare",
    "cramer_von_mises",
    "energy_distance",
    "fit_bins",
    "g_test",
    "hellinger",
    "histogram",
    "jensen_shannon",
    "kl_divergence",
    "ks",
    "l_infinity",
    "psi",
    "scan",
    "total_variation",
    "wasserstein",
]
