"""Drift statistics over arrays and tables, counted in Rust; NumPy and the standard library alone.

    from tidewheel import drift

    drift.psi(reference, current).pvalue
    drift.compare(reference_table, current_table).drifted

`statistics` has the functions on arrays, `divergences` those on shares of bins, `distances` further ones without bins,
`comparison` the comparison of tables, `compat` what other tools say of them, `profile` references learned once and counts
that add up, `monitor` and `chunks` streams over time, `multivariate` tables as wholes, `results`, `columns` and `report`
what they return.

Calls release the interpreter lock and use up to one thread per core; inside workers of Ray and Spark, which run one worker
per core, one. `TIDEWHEEL_THREADS` sets another number, `threads=` one for a call. Objects may be shared by threads.
`TIDEWHEEL_SIMD` names the widest vector instructions that may be used: "portable", "avx2" or "avx512"; a processor without
them uses the widest that it has, and any other name is an `InputError` at import. Neither changes a result.
"""

from tidewheel.drift.chunks import ChunkComparison, ChunkThresholds
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
from tidewheel.drift.monitor import ColumnLook, Look, Monitor
from tidewheel.drift.multivariate import SlicedResult, sliced
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
    ReferenceRanks,
)
from tidewheel.drift.statistics import fit_bins, fit_ks, histogram, ks, psi
from tidewheel.drift.streams import scan

__all__ = [
    "Beside",
    "BinnedCounts",
    "ChunkComparison",
    "ChunkThresholds",
    "ColumnDrift",
    "ColumnLook",
    "ContingencyResult",
    "DistanceResult",
    "DivergenceResult",
    "DriftReport",
    "Effect",
    "KsResult",
    "Look",
    "Monitor",
    "PartDrift",
    "PeerDrift",
    "Profile",
    "PsiResult",
    "RankTestResult",
    "ReferenceBins",
    "ReferenceRanks",
    "Shape",
    "SlicedResult",
    "Window",
    "anderson_darling",
    "chi_square",
    "compare",
    "cramer_von_mises",
    "energy_distance",
    "fit_bins",
    "fit_ks",
    "g_test",
    "hellinger",
    "histogram",
    "jensen_shannon",
    "kl_divergence",
    "ks",
    "l_infinity",
    "psi",
    "scan",
    "sliced",
    "total_variation",
    "wasserstein",
]
