"""Drift statistics over arrays and tables, counted in Rust; NumPy and the standard library alone.

    from tidewheel import drift

    drift.psi(reference, current).pvalue
    drift.compare(reference_table, current_table).drifted

The rooms, from the ground up: `reading` makes columns of anything; `statistics` has the functions on arrays; `report` what a
comparison returns, and its pages; `peers` what other tools say; `table` the comparison of tables; `profile` references
learned once and counts that add up; `over_time` streams.

Calls release the interpreter lock and use up to one thread per core; inside workers of Ray and Spark, which run one worker
per core, one. `TIDEWHEEL_THREADS` sets another number, `threads=` one for a call. Objects may be shared by threads.
`TIDEWHEEL_SIMD` names the widest vector instructions that may be used: "portable", "avx2" or "avx512"; a processor without
them uses the widest that it has, and any other name is an `InputError` at import. Neither changes a result.

Importing this package loads the extension alone; each name loads its module when it is first used (PEP 562), so a program
pays for what it calls.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tidewheel import _native as _native

if TYPE_CHECKING:
    from tidewheel.drift.over_time.chunks import ChunkComparison, ChunkThresholds
    from tidewheel.drift.over_time.history import History
    from tidewheel.drift.over_time.looks import ColumnLook, Look
    from tidewheel.drift.over_time.monitor import Monitor
    from tidewheel.drift.profile.profile import Profile, Window
    from tidewheel.drift.profile.scan import scan
    from tidewheel.drift.report.records import ColumnDrift, Effect, PartDrift, PeerDrift, Shape
    from tidewheel.drift.report.report import DriftReport
    from tidewheel.drift.report.segmented import SegmentedReport
    from tidewheel.drift.statistics.bins import fit_bins
    from tidewheel.drift.statistics.divergences import (
        chi_square,
        g_test,
        hellinger,
        jensen_shannon,
        kl_divergence,
        l_infinity,
        total_variation,
    )
    from tidewheel.drift.statistics.histogram import histogram
    from tidewheel.drift.statistics.ks import fit_ks, ks
    from tidewheel.drift.statistics.psi import psi
    from tidewheel.drift.statistics.rank_tests import anderson_darling, cramer_von_mises
    from tidewheel.drift.statistics.results import (
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
        SignificanceResult,
    )
    from tidewheel.drift.statistics.wasserstein import energy_distance, wasserstein
    from tidewheel.drift.table.compare import compare
    from tidewheel.drift.table.multivariate.sliced import SlicedResult, sliced

#: The module that defines each name.
_HOMES = {
    "Beside": "statistics.results",
    "BinnedCounts": "statistics.results",
    "ChunkComparison": "over_time.chunks",
    "ChunkThresholds": "over_time.chunks",
    "ColumnDrift": "report.records",
    "ColumnLook": "over_time.looks",
    "ContingencyResult": "statistics.results",
    "DistanceResult": "statistics.results",
    "DivergenceResult": "statistics.results",
    "DriftReport": "report.report",
    "Effect": "report.records",
    "History": "over_time.history",
    "KsResult": "statistics.results",
    "Look": "over_time.looks",
    "Monitor": "over_time.monitor",
    "PartDrift": "report.records",
    "PeerDrift": "report.records",
    "Profile": "profile.profile",
    "PsiResult": "statistics.results",
    "RankTestResult": "statistics.results",
    "ReferenceBins": "statistics.results",
    "ReferenceRanks": "statistics.results",
    "SegmentedReport": "report.segmented",
    "Shape": "report.records",
    "SignificanceResult": "statistics.results",
    "SlicedResult": "table.multivariate.sliced",
    "Window": "profile.profile",
    "anderson_darling": "statistics.rank_tests",
    "chi_square": "statistics.divergences",
    "compare": "table.compare",
    "cramer_von_mises": "statistics.rank_tests",
    "energy_distance": "statistics.wasserstein",
    "fit_bins": "statistics.bins",
    "fit_ks": "statistics.ks",
    "g_test": "statistics.divergences",
    "hellinger": "statistics.divergences",
    "histogram": "statistics.histogram",
    "jensen_shannon": "statistics.divergences",
    "kl_divergence": "statistics.divergences",
    "ks": "statistics.ks",
    "l_infinity": "statistics.divergences",
    "psi": "statistics.psi",
    "scan": "profile.scan",
    "sliced": "table.multivariate.sliced",
    "total_variation": "statistics.divergences",
    "wasserstein": "statistics.wasserstein",
}

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
    "History",
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
    "SegmentedReport",
    "Shape",
    "SignificanceResult",
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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
