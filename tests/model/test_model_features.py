import json

import numpy as np
import polars as pl
import pytest

from tidewheel.errors import InputError
from tidewheel.model.features import TableEncoder
from tidewheel.project.settings import Features

FEATURES = Features(numeric=("a", "b"), categorical=("c",))
FRAME = pl.DataFrame({"a": [1, 3, 5], "b": [0.5, None, 1.5], "c": ["x", "y", "x"]})


@pytest.fixture(params=[False, True], ids=["raw", "scaled"])
def encoder(request: pytest.FixtureRequest) -> TableEncoder:
    return TableEncoder.fit(FRAME, FEATURES, scaled=request.param)


def test_raw_numbers_keep_gaps_and_categories_become_columns() -> None:
    encoder = TableEncoder.fit(FRAME, FEATURES, scaled=False)
    assert encoder.names == ("a", "b", "c=x", "c=y")
    matrix = encoder.encode(FRAME)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, [[1, 0.5, 1, 0], [3, np.nan, 0, 1], [5, 1.5, 1, 0]])


def test_scaled_numbers_are_centred_and_gaps_are_the_centre() -> None:
    encoder = TableEncoder.fit(FRAME, FEATURES, scaled=True)
    expected_a = (np.array([1.0, 3.0, 5.0]) - 3.0) / np.std([1.0, 3.0, 5.0])
    np.testing.assert_allclose(
        encoder.encode(FRAME)[:, :2], np.column_stack([expected_a, [-1, 0, 1]]), rtol=1e-15
    )


def test_a_constant_column_is_centred_and_not_divided_by_zero() -> None:
    frame = pl.DataFrame({"a": [2.0, 2.0]})
    encoder = TableEncoder.fit(frame, Features(numeric=("a",)), scaled=True)
    assert encoder.encode(frame).tolist() == [[0.0], [0.0]]


def test_an_unknown_category_is_zeros_and_is_counted(encoder: TableEncoder) -> None:
    columns = {"a": [1, 1], "b": [1.0, 1.0], "c": ["z", "x"]}
    assert encoder.encode(columns)[:, 2:].tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert encoder.count_unknown(columns) == {"c": 1}


def test_null_is_a_category_where_it_was_seen_and_zeros_where_not(encoder: TableEncoder) -> None:
    assert encoder.encode({"a": [1], "b": [1.0], "c": [None]})[0, 2:].tolist() == [0.0, 0.0]
    assert encoder.count_unknown({"c": [None]}) == {"c": 0}
    seen = TableEncoder.fit(
        FRAME.vstack(FRAME.head(1).with_columns(c=pl.lit(None, pl.String))), FEATURES, scaled=False
    )
    assert seen.names[2:] == ("c=x", "c=y", "c=None")
    assert seen.encode({"a": [1], "b": [1.0], "c": [None]})[0, 2:].tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    "columns",
    [
        FRAME,
        FRAME.to_dict(as_series=False),
        {
            "a": np.array([1, 3, 5]),
            "b": np.array([0.5, np.nan, 1.5]),
            "c": np.array(["x", "y", "x"], dtype=object),
        },
        FRAME.with_columns(pl.lit(1).alias("other")),
    ],
    ids=["frame", "lists", "arrays", "more columns"],
)
def test_the_kind_of_table_does_not_matter(encoder: TableEncoder, columns: pl.DataFrame) -> None:
    np.testing.assert_array_equal(encoder.encode(columns), encoder.encode(FRAME))


def test_one_row_equals_its_row_in_the_table(encoder: TableEncoder) -> None:
    matrix = encoder.encode(FRAME)
    for index, row in enumerate(FRAME.to_dicts()):
        np.testing.assert_array_equal(encoder.encode_rows([row])[0], matrix[index])
    np.testing.assert_array_equal(encoder.encode_rows(FRAME.to_dicts()), matrix)


def test_codes_number_the_categories(encoder: TableEncoder) -> None:
    codes = encoder.encode_codes({"a": [1, 2, 3], "b": [None, 1.0, 2.0], "c": ["y", "x", "z"]})
    np.testing.assert_array_equal(codes, [[1, np.nan, 1], [2, 1, 0], [3, 2, np.nan]])


def test_json_gives_the_same_encoder_back(encoder: TableEncoder) -> None:
    text = json.dumps(encoder.to_dict(), sort_keys=True)
    assert TableEncoder.from_dict(json.loads(text)) == encoder


def test_sorted_keys_do_not_reorder_the_matrix() -> None:
    frame = pl.DataFrame({"z": ["p"], "a": ["q"]})
    encoder = TableEncoder.fit(frame, Features(categorical=("z", "a")), scaled=False)
    again = TableEncoder.from_dict(json.loads(json.dumps(encoder.to_dict(), sort_keys=True)))
    assert again.names == ("z=p", "a=q")


def test_a_row_without_a_column_is_named(encoder: TableEncoder) -> None:
    with pytest.raises(InputError, match="a row must hold column 'b'; it is missing from row 1"):
        encoder.encode_rows([{"a": 1, "b": 1.0, "c": "x"}, {"a": 1, "c": "x"}])


def test_a_column_without_a_number_cannot_be_scaled() -> None:
    with pytest.raises(InputError, match="column 'a' must hold at least one finite number; got 2 missing"):
        TableEncoder.fit({"a": [None, None]}, Features(numeric=("a",)), scaled=True)
