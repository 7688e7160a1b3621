"""A stream watched against a reference, look after look."""
