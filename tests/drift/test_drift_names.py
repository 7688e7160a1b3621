"""The public names of `tidewheel.drift`."""

from tidewheel import drift

NAMES = {
    "Beside", "ColumnDrift", "DriftReport", "Effect", "KsResult", "PartDrift", "Profile", "PsiResult",
    "ReferenceBins", "Shape", "Window", "compare", "fit_bins", "histogram", "ks", "psi", "scan",
}  # fmt: skip


def test_public_names():
    assert set(drift.__all__) == NAMES
    for name in NAMES:
        assert getattr(drift, name).__doc__
