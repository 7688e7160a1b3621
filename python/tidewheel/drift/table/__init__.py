"""Two tables compared column by column: counts, tests, verdicts."""
