"""Deciding on a release: routing, outcomes, sequential guards, the comparison in shadow. Pure."""
