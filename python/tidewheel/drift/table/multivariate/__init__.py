"""Drift that no single column shows."""
