"""From rows to numbers: the one encoder that training, batch scoring and the server share.

What belongs here: fitting an encoder on a frame, encoding columns or single requests with it, its JSON form. What does not:
the estimator behind it (`model.scoring`). NumPy alone, so that a server needs nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np

from tidewheel.errors import InputError
from tidewheel.project.settings import Features


class Columns(Protocol):
    """Give a column by its name: a mapping of sequences or arrays, or a polars frame."""

    def __getitem__(self, name: str, /) -> Any:
        """Give the values of column `name`."""


@dataclass(frozen=True)
class TableEncoder:
    """Turn numeric and categorical columns into one matrix: numbers first, then one column of 0 and 1 per known category.

    Missing numbers stay NaN where `scaled` is false (trees have a branch for them). Where it is true, numbers become
    `(value - centre) / scale` and missing ones 0, the centre. A category that was not there when the encoder was fitted is a
    row of zeros, and `count_unknown` counts it; null is a category like any other, last in its column.

    Encoding is immutable and has no state, so threads may share one encoder; one row alone gives the very numbers that it
    gives within a table.
    """

    numeric: tuple[str, ...]
    categories: dict[str, tuple[str | None, ...]]
    scaled: bool = False
    centre: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @classmethod
    def fit(cls, columns: Columns, features: Features, *, scaled: bool) -> Self:
        """Learn the categories, and centre and scale where asked for, from columns that hold at least one row.

        Raises:
            InputError: A numeric column holds no finite number.
        """
        categories = {name: _categories(columns[name]) for name in features.categorical}
        centre, scale = [], []
        for name in features.numeric if scaled else ():
            values = np.asarray(columns[name], dtype=np.float64)
            finite = values[np.isfinite(values)]
            if finite.size == 0:
                raise InputError(
                    f"column {name!r} must hold at least one finite number; got {values.size} missing"
                )
            centre.append(float(finite.mean()))
            scale.append(float(finite.std()) or 1.0)
        return cls(features.numeric, categories, scaled, tuple(centre), tuple(scale))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns it reads, numeric ones first."""
        return (*self.numeric, *self.categories)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of the matrix, `column=category` for the categorical ones."""
        return self.numeric + tuple(
            f"{name}={value}" for name, values in self.categories.items() for value in values
        )

    @cached_property
    def _positions(self) -> tuple[tuple[str, dict[str | None, int]], ...]:
        """Give for each categorical column the matrix column of each of its categories."""
        found, start = [], len(self.numeric)
        for name, values in self.categories.items():
            found.append((name, {value: start + i for i, value in enumerate(values)}))
            start += len(values)
        return tuple(found)

    @cached_property
    def _scaling(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.centre), np.array(self.scale)

    @cached_property
    def _width(self) -> int:
        return len(self.names)

    def encode(self, columns: Columns) -> np.ndarray:
        """Encode a table.

        Args:
            columns: Equally long columns; None, null and NaN are missing. Columns that are not read are ignored.

        Returns:
            (n_rows, len(names)), float64 if `scaled`, else float32 (what xgboost compares in), C-contiguous.
        """
        n_rows = len(columns[self.columns[0]])
        matrix = np.zeros((n_rows, self._width), dtype=np.float64 if self.scaled else np.float32)
        for index, name in enumerate(self.numeric):
            matrix[:, index] = np.asarray(columns[name], dtype=np.float64)
        for name, positions in self._positions:
            places = np.fromiter(
                (positions.get(value, -1) for value in _listed(columns[name])), np.intp, n_rows
            )
            known = np.flatnonzero(places >= 0)
            matrix[known, places[known]] = 1.0
        return self._scale(matrix)

    def encode_codes(self, columns: Columns) -> np.ndarray:
        """Encode a table narrowly: numbers as they are, and each category as its index; float32, NaN for unknown ones.

        Training trees on these codes is several times quicker than on columns of 0 and 1, and gives the same splits.
        """
        matrix = np.empty((len(columns[self.columns[0]]), len(self.columns)), dtype=np.float32)
        for index, name in enumerate(self.numeric):
            matrix[:, index] = np.asarray(columns[name], dtype=np.float64)
        for index, (name, values) in enumerate(self.categories.items(), start=len(self.numeric)):
            codes = {value: float(code) for code, value in enumerate(values)}
            matrix[:, index] = [codes.get(value, np.nan) for value in _listed(columns[name])]
        return matrix

    def encode_rows(self, rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Encode requests: the same numbers as `encode`, quick for one row.

        Raises:
            InputError: A row lacks a column.
        """
        matrix = np.zeros((len(rows), self._width), dtype=np.float64 if self.scaled else np.float32)
        n_numeric = len(self.numeric)
        try:
            for index, row in enumerate(rows):
                matrix[index, :n_numeric] = [row[name] for name in self.numeric]
                for name, positions in self._positions:
                    position = positions.get(row[name])
                    if position is not None:
                        matrix[index, position] = 1.0
        except KeyError as error:
            raise InputError(f"a row must hold column {error}; it is missing from row {index}") from None
        return self._scale(matrix)

    def _scale(self, matrix: np.ndarray) -> np.ndarray:
        if self.scaled and self.numeric:
            centre, scale = self._scaling
            numbers = matrix[:, : centre.size]
            numbers -= centre
            numbers /= scale
            numbers[np.isnan(numbers)] = 0.0
        return matrix

    def count_unknown(self, columns: Columns) -> dict[str, int]:
        """Count for each categorical column the values that the encoder was not fitted on; missing ones are not counted."""
        return {
            name: sum(value is not None and value not in positions for value in _listed(columns[name]))
            for name, positions in self._positions
        }

    def to_dict(self) -> dict[str, Any]:
        """Give the plain values that `from_dict` reads; equal encoders give equal values."""
        return {
            "numeric": list(self.numeric),
            # Pairs, not an object: the order of the columns is the order of the matrix, and canonical JSON sorts keys.
            "categories": [[name, list(values)] for name, values in self.categories.items()],
            "scaled": self.scaled,
            "centre": list(self.centre),
            "scale": list(self.scale),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build the encoder that `to_dict` described."""
        return cls(
            numeric=tuple(values["numeric"]),
            categories={name: tuple(known) for name, known in values["categories"]},
            scaled=bool(values["scaled"]),
            centre=tuple(values["centre"]),
            scale=tuple(values["scale"]),
        )


def _categories(values: Any) -> tuple[str | None, ...]:
    known = set(_listed(values))
    return (*sorted(known - {None}), *([None] if None in known else []))


def _listed(values: Any) -> Iterable[Any]:
    """Give the values as Python objects; a polars series is several times slower to iterate than its list."""
    listed: Iterable[Any] = values.to_list() if hasattr(values, "to_list") else values
    return listed
