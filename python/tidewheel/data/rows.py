"""The rows of a project: its source, in the types that its contract asks for."""

import polars as pl

from tidewheel.data.contract import typed_rows
from tidewheel.data.sources import read_source
from tidewheel.project.settings import Settings


def read_rows(settings: Settings) -> pl.DataFrame:
    """Ask the project's source for its rows, in the contract's types.

    Raises:
        UnknownNameError, InputTypeError, InputError: see `read_source`; or a column is missing or of the wrong type.
    """
    return typed_rows(read_source(settings.data), settings.contract, place=f"`{settings.data.source}`")
