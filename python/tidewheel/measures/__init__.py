"""Units (days, users) that are not exchangeable: what their values are worth, and a test that stands it.

`serial` estimates how much a unit resembles the one before it; `permutation` compares two samples of units.
"""
