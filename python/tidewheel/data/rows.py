"""The rows of a project: its source, read once, in the types that its contract asks for."""

from functools import lru_cache

import polars as pl

from tidewheel.data.contract import typed_rows
from tidewheel.data.sources import read_source
from tidewheel.project.settings import Contract, Data, Settings


def source_rows(settings: Settings) -> pl.DataFrame:
    """Give the rows of the project's source in the contract's types; a process reads a source once.

    Raises:
        UnknownNameError, InputTypeError, InputError: see `read_source`; or a column is missing or of the wrong type.
    """
    return _source_rows(settings.data, settings.contract.model_dump_json())


@lru_cache(maxsize=1)
def _source_rows(data: Data, contract: str) -> pl.DataFrame:
    """Keep the rows of the last source asked for: a rehearsal looks at the same rows at many event times."""
    return typed_rows(read_source(data), Contract.model_validate_json(contract), place=f"`{data.source}`")
