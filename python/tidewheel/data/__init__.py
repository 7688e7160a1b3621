"""Rows on their way to a model: sources, the contract, versions (Delta tables), splits and labels.

Look in `sources` for reading, `contract` for what is refused, `versions` for storing and hashing, `splits` and
`labels` for what a model may be trained and judged on, and `profile` for columns that know the answer too well.
"""
