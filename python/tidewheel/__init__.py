"""Tidewheel: the whole life of a tabular machine-learning model.

The base install has `tidewheel.drift` and `tidewheel.errors` and needs NumPy alone. Every other package is imported by its
own name (`from tidewheel.project import settings`) and needs the extra that its docstring names.
"""

from tidewheel import drift, errors

__all__ = ["drift", "errors"]
