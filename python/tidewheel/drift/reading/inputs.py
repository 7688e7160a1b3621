"""Arrays and tables of any library as columns that Rust can read, and which of them are names and which quantities.

Arrow data come in without a copy, NumPy data too where they can (`arrays`); `series` knows pandas, polars and pyarrow,
`objects` lists of Python objects. A column that no statistic takes is read too: its kind is "unsupported", and it says why.
Nothing here computes; see `statistics` and `table`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tidewheel import _native
from tidewheel.drift.reading import arrays, objects, series
from tidewheel.drift.reading.series import column_name
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

Kinds = Mapping[str, str]


def read_array(name: str, values: object) -> _native.Column:
    """Read anything one-dimensional.

    Args:
        name: How errors call it.
        values: A NumPy array (also masked, also a matrix of one column), a pandas or polars series, an Arrow array, or a
            sequence.

    Returns:
        The column; it borrows the memory where it can.

    Raises:
        InputError: `values` is not one-dimensional.
        InputTypeError: the values have a type that no statistic takes.
    """
    if _is_table(values):
        kind = type(values).__name__
        raise InputTypeError(
            f"{name!r} must be one-dimensional; got a table ({kind}): pass one of its columns"
        )
    if isinstance(values, np.ndarray) and values.ndim != 1 and values.shape[1:] != (1,):
        raise InputError(f"{name!r} must be one-dimensional; got {values.ndim} dimensions")
    column = _read_column(name, values)
    if column.kind == "unsupported":
        raise InputTypeError(
            f"{name!r} must hold numbers, times or strings; got {column.dtype}: {column.reason}"
        )
    return column


def read_vector(name: str, values: object) -> npt.NDArray[Any]:
    """Read a few numbers whose places count, such as edges or counts, into NumPy.

    Raises:
        InputTypeError: `values` are no sequence, or of sequences that differ in length.
        InputError: they are not one-dimensional, or one is masked.
    """
    try:
        array = values if isinstance(values, np.ndarray) else np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"{name!r} must be one-dimensional; got items that differ in length") from error
    if array.ndim != 1:
        raise InputError(f"`{name}` must be one-dimensional; got {array.ndim} dimensions")
    masked = arrays.read_mask(array)
    if masked is not None and masked.any():
        at = int(masked.argmax())
        raise InputError(f"`{name}` must hold a number everywhere; got a masked one at index {at}")
    return np.asarray(array)


def read_numbers(name: str, values: object) -> _native.Column:
    """Read anything one-dimensional that holds numbers, booleans or times; else raise InputTypeError."""
    column = read_array(name, values)
    if column.kind == "string":
        raise InputTypeError(f"{name!r} must hold numbers; got {column.dtype}")
    return column


def _is_table(values: object) -> bool:
    # Asked of the type: a polars lazy frame warns whoever asks it for its columns.
    return hasattr(type(values), "columns") and not isinstance(values, Mapping)


def _read_column(name: str, values: Any) -> _native.Column:
    if isinstance(values, np.ndarray):
        return series.read_numpy(name, values)
    library = series.library(values)
    if library == "pandas" and hasattr(values, "dtype"):
        return series.read_pandas(name, values)
    if library == "polars" and hasattr(values, "null_count"):
        return series.read_polars(name, values)
    if library == "pyarrow" and hasattr(values, "type"):
        return series.read_pyarrow(name, values)
    if hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__"):
        return _native.read_array(name, values)
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
        raise InputTypeError(f"{name!r} must be one-dimensional; got {type(values).__name__}")
    return _read_sequence(name, values)


def _read_sequence(name: str, values: Any) -> _native.Column:
    try:
        array = np.asarray(values)
    except ValueError:
        # Lists of several lengths.
        return objects.read_objects(name, list(values))
    if array.ndim == 1 and array.dtype.kind in "OUS":
        # NumPy writes numbers among strings as strings.
        return objects.read_objects(name, list(values))
    if isinstance(values, list | tuple) and (array.ndim > 1 or array.dtype.kind in "mM"):
        # Rows that are lists are lists, though all may have one item; and NumPy takes numbers among times for times.
        return objects.read_objects(name, list(values))
    if array.ndim == 0:
        raise InputError(f"{name!r} must be one-dimensional; got {array.ndim} dimensions")
    return series.read_numpy(name, array)


class Table(Mapping[str, _native.Column]):
    """The columns of a table by name; each is read when it is first asked for.

    Attributes:
        source: The table itself, of a polars lazy frame its rows.
    """

    def __init__(
        self,
        name: str,
        names: Iterable[str],
        read: Callable[[list[str]], list[_native.Column]],
        kinds: Kinds | None = None,
        source: Any = None,
    ) -> None:
        self._name = name
        self._names = list(names)
        self._read = read
        self._kinds = dict(kinds or {})
        self._columns: dict[str, _native.Column] = {}
        self.source = source

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(self._names))

    def __len__(self) -> int:
        return len(set(self._names))

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> _native.Column:
        if name not in self._columns:
            self.load([name])
        return self._columns[name]

    @property
    def n_rows(self) -> int:
        """Rows of the table; 0 without columns."""
        if not self._names:
            return 0
        read = next(iter(self._columns.values()), None)
        return len(self[self._names[0]] if read is None else read)

    def load(self, names: Iterable[str]) -> None:
        """Read columns together, which some libraries do faster; names that the table lacks are passed over."""
        wanted = [name for name in dict.fromkeys(names) if name in self._names and name not in self._columns]
        for name in wanted:
            if self._names.count(name) > 1:
                raise InputError(f"`{self._name}` must not name two columns alike; got {name!r} twice")
        for column in self._read(wanted) if wanted else []:
            self._keep(column)

    def _keep(self, column: _native.Column) -> None:
        expected = self.n_rows if self._columns else len(column)
        if len(column) != expected:
            raise InputError(
                f"`{self._name}` must have columns of one length; got {len(column)} rows in {column.name!r}, "
                f"{expected} before"
            )
        self._columns[column.name] = declare(column, self._kinds.get(column.name))


def read_table(
    name: str,
    table: Any,
    *,
    columns: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    kinds: Kinds | None = None,
) -> Table:
    """Read a table: polars, pandas, Arrow, a mapping of arrays, or a 2-D NumPy array (columns "0", "1", ...).

    Args:
        name: How errors call it.
        table: The table; a polars lazy frame is collected.
        columns: Columns to read now; by default all. Others are read when they are asked for, but not of a lazy frame.
        exclude: Columns that are not read now.
        kinds: What columns are declared to be, by name: "categorical" or "numeric".

    Raises:
        InputTypeError: `table` is none of these.
        InputError: a name occurs twice, or columns differ in length.
    """
    found = _open_table(name, table, columns, exclude, kinds)
    found.load(one for one in (found if columns is None else columns) if one not in exclude)
    return found


def _open_table(
    name: str, table: Any, columns: Sequence[str] | None, exclude: Sequence[str], kinds: Kinds | None
) -> Table:
    library = series.library(table)
    if library == "pyarrow" and hasattr(table, "read_all") and series.is_cut_short(table.schema):
        table = table.read_all()
    if library == "polars" and hasattr(table, "collect_schema") and hasattr(table, "collect"):
        names = table.collect_schema().names()
        chosen = set(names if columns is None else columns) - set(exclude)
        # Without any column the rows are not counted: see `Table.n_rows`.
        frame = table.select([one for one in names if one in chosen] or names[:1]).collect()
        return Table(name, names, lambda asked: _read_polars_table(frame[asked]), kinds, frame)
    if library == "polars" and hasattr(table, "get_columns"):
        # Not by `select`: it runs in the threads of polars, which a forked process does not have, and would wait for ever.
        keys = {column_name(key): key for key in table.columns}
        return Table(
            name, keys, lambda asked: _read_polars_table(table[[keys[one] for one in asked]]), kinds, table
        )  # fmt: skip
    one_by_one = _singly(name, table, library)
    if one_by_one is not None:
        names, read = one_by_one
        first = {key: index for index, key in reversed(list(enumerate(names)))}
        return Table(name, names, lambda asked: [read(one, first[one]) for one in asked], kinds, table)
    if hasattr(table, "__arrow_c_stream__") or hasattr(table, "__arrow_c_array__"):
        return from_columns(name, _native.read_table(table), kinds, table)
    raise InputTypeError(
        f"`{name}` must be a polars, pandas or Arrow table, a mapping of arrays or a 2-D array; "
        f"got {type(table).__name__}"
    )


_ByPlace = Callable[[str, int], _native.Column]


def _singly(name: str, table: Any, library: str) -> tuple[list[str], _ByPlace] | None:
    """Give the names of a table that has its columns one by one, and what reads one by name and place; None for others."""
    if isinstance(table, np.ndarray):
        if table.ndim != 2:
            raise InputError(f"`{name}` must be a table; got an array of {table.ndim} dimensions")
        names = [str(index) for index in range(table.shape[1])]
        return names, lambda one, at: series.read_numpy(one, table[:, at])
    if isinstance(table, Mapping):
        values = list(table.values())
        return [column_name(key) for key in table], lambda one, at: _read_column(one, values[at])
    if library == "pandas" and hasattr(table, "columns"):
        names = [column_name(key) for key in table.columns]
        return names, lambda one, at: series.read_pandas(one, table.iloc[:, at])
    if library == "pyarrow" and hasattr(table, "schema") and hasattr(table, "column"):
        names = [column_name(key) for key in table.schema.names]
        return names, lambda one, at: series.read_pyarrow(one, table.column(at))
    return None


def _read_polars_table(frame: Any) -> list[_native.Column]:
    # A frame of several chunks is aligned by the threads of polars, which a forked process waits for in vain.
    whole = all(chunks == 1 for chunks in frame.n_chunks("all"))
    if whole and all(series.can_export(name, dtype) for name, dtype in frame.schema.items()):
        return _native.read_table(frame)
    return [series.read_polars(column_name(column.name), column) for column in frame.get_columns()]


def from_columns(
    name: str, columns: list[_native.Column], kinds: Kinds | None = None, source: Any = None
) -> Table:
    """Make a table of columns that were read; raise InputError if two are named alike or they differ in length."""
    first = {column.name: column for column in reversed(columns)}
    found = Table(
        name, [column.name for column in columns], lambda asked: [first[one] for one in asked], kinds, source
    )
    found.load(found)
    return found


def declare(column: _native.Column, kind: str | None) -> _native.Column:
    """Make of a column what it is declared to be; what has no values or an unsupported type stays as it is."""
    if kind == "categorical" and column.kind in {"number", "temporal"}:
        return column.named()
    if kind == "numeric" and column.kind in {"string", "boolean"}:
        return column.numbered()
    return column


def check_declared(kinds: Kinds, *tables: Mapping[str, Any]) -> None:
    """Refuse declarations of columns that no table has."""
    for name in kinds:
        if not any(name in table for table in tables):
            known = ", ".join(map(repr, tables[0])) or "no columns"
            raise UnknownNameError(f"`kinds` must name columns of `reference`; it has {known}, not {name!r}")
