"""Which metrics each stage measures, by the names that criteria use."""

COMPARED_METRICS = ("roc_auc", "brier", "log_loss")
"""Metrics of scores on labelled rows: those that may be `relative_to` another model."""


METRICS: dict[str, tuple[str, ...]] = {
    "data": ("rows", "quarantined_share", "label_coverage"),
    "baseline": COMPARED_METRICS,
    "model": (*COMPARED_METRICS, "overfit_gap"),
    "package": ("golden_mismatch", "latency_p95_ms"),
    "shadow": ("pairs", "agreement"),
}
"""What each stage measures. A criterion on anything else could only ever say `no data`, so a project file that has one is
refused; a stage that comes to measure more says so here."""
