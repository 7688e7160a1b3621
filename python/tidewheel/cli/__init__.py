"""The `tidewheel` command. Needs the extra `cli` (drift, doctor) or `lifecycle` (everything)."""
