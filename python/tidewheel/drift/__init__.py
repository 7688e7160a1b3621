"""Drift statistics over arrays and tables, counted in Rust; NumPy and the standard library alone.

    from tidewheel import drift

    drift.psi(reference, current).pvalue
    drift.compare(reference_table, current_table).drifted

`statistics` and `kolmogorov` have the functions on arrays, `divergences` those on shares of bins, `distances` further ones
without bins, `comparison` the comparison of tables, `compat` what other tools say of them, `profile` references learned
once and counts that add up, `monitor` and `chunks` streams over time, `multivariate` tables as wholes, `results`,
`columns` and `report` what they return.

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
    from tidewheel.drift.kolmogorov import fit_ks, ks
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
    from tidewheel.drift.statistics import fit_bins, histogram, psi
    from tidewheel.drift.streams import scan

#: The module that defines each name.
_HOMES = {
    "Beside": "results",
    "BinnedCounts": "results",
    "ChunkComparison": "chunks",
    "ChunkThresholds": "chunks",
    "ColumnDrift": "columns",
    "ColumnLook": "monitor",
    "ContingencyResult": "results",
    "DistanceResult": "results",
    "DivergenceResult": "results",
    "DriftReport": "report",
    "Effect": "decision",
    "KsResult": "results",
    "Look": "monitor",
    "Monitor": "monitor",
    "PartDrift": "columns",
    "PeerDrift": "columns",
    "Profile": "profile",
    "PsiResult": "results",
    "RankTestResult": "results",
    "ReferenceBins": "results",
    "ReferenceRanks": "results",
    "Shape": "columns",
    "SlicedResult": "multivariate",
    "Window": "profile",
    "anderson_darling": "distances",
    "chi_square": "divergences",
    "compare": "comparison",
    "cramer_von_mises": "distances",
    "energy_distance": "distances",
    "fit_bins": "statistics",
    "fit_ks": "kolmogorov",
    "g_test": "divergences",
    "hellinger": "divergences",
    "histogram": "statistics",
    "jensen_shannon": "divergences",
    "kl_divergence": "divergences",
    "ks": "kolmogorov",
    "l_infinity": "divergences",
    "psi": "statistics",
    "scan": "streams",
    "sliced": "multivariate",
    "total_variation": "divergences",
    "wasserstein": "distances",
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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
