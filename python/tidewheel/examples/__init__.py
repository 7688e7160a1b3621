"""Worked examples that ship with the package: each folder is what a user would write for one project."""
