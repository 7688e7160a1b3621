"""The public names of `tidewheel.drift`."""

from tidewheel import drift

NAMES = {
    "Beside", "BinnedCounts", "ColumnDrift", "ContingencyResult", "DistanceResult", "DivergenceResult",
    "DriftReport", "Effect", "KsResult", "PartDrift", "Profile", "PsiResult", "RankTestResult", "ReferenceBins",
    "PeerDrift", "ReferenceRanks", "fit_ks",
    "Shape", "Window", "anderson_darling", "chi_square", "compare", "cramer_von_mises", "energy_distance", "fit_bins",
    "g_test", "hellinger", "histogram", "jensen_shannon", "kl_divergence", "ks", "l_infinity", "psi", "scan",
    "total_variation", "wasserstein",
    "ChunkComparison", "ChunkThresholds", "ColumnLook", "Look", "Monitor",
    "SlicedResult", "sliced",
}  # fmt: skip


def test_public_names():
    assert set(drift.__all__) == NAMES
    for name in NAMES:
        assert getattr(drift, name).__doc__
