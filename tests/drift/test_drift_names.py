"""The public names of `tidewheel.drift`."""

from tidewheel import drift

NAMES = {
    "Beside", "BinnedCounts", "ColumnDrift", "ContingencyResult", "DivergenceResult", "DriftReport", "Effect",
    "KsResult", "PartDrift", "PsiResult", "ReferenceBins", "chi_square", "compare", "fit_bins", "g_test",
    "hellinger", "histogram", "jensen_shannon", "kl_divergence", "ks", "l_infinity", "psi", "total_variation",
}  # fmt: skip


def test_public_names():
    assert set(drift.__all__) == NAMES
    for name in NAMES:
        assert getattr(drift, name).__doc__
