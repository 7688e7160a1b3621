import polars as pl
import pytest

from tidewheel.data.sources import read_source
from tidewheel.errors import InputError, InputTypeError
from tidewheel.project.settings import Data


def three_rows() -> pl.DataFrame:
    return pl.DataFrame({"a": [1, 2, 3]})


def no_rows() -> pl.DataFrame:
    return pl.DataFrame({"a": []})


def no_frame() -> list[int]:
    return [1]


def source(name: str) -> Data:
    return Data(name="t", source=f"{__name__}:{name}", row_id="a", key="a", event_time="a")


def test_a_source_is_called() -> None:
    assert read_source(source("three_rows")).equals(three_rows())


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("no_rows", InputError, "no_rows` must have at least one row; got none, with 1 columns"),
        ("no_frame", InputTypeError, "no_frame` must return a table of polars, pandas or Arrow; got list"),
    ],
)
def test_a_source_without_rows_is_refused(name: str, error: type[InputError], words: str) -> None:
    with pytest.raises(error, match=words):
        read_source(source(name))
