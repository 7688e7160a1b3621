"""Tables larger than memory, counted batch by batch into a window.

Reads parquet files (through polars or pyarrow, whichever is installed), polars lazy frames and Arrow streams; counting is
`profile`'s. Nothing is sorted, collected or kept of a batch.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from glob import glob
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from tidewheel import _native
from tidewheel.drift import arguments
from tidewheel.drift.profile.profile import Profile, Window
from tidewheel.drift.reading import inputs, series
from tidewheel.errors import InputError, InputTypeError, MissingExtraError

if TYPE_CHECKING:
    import polars as pl


#: Rows of a batch: counting is at full speed from here on, and a batch of 100 float columns has 100 MB.
BATCH_ROWS = 1 << 17

_Table = inputs.Table
_Path = str | PathLike[str]


def scan(
    source: Any,
    *,
    profile: Profile,
    progress: Callable[[int, int | None], None] | None = None,
    threads: int | None = None,
) -> Window:
    """Count a source larger than memory into a window.

    Memory: the profile, the window (8 bytes per block) and the batches in flight. Of an Arrow stream one batch is held at a
    time. Of parquet files and lazy frames polars holds as many row groups, decoded, as it reads ahead, however many files
    there are; pyarrow holds one row group. Only the profile's columns are read. Measured with four columns in row groups of
    250,000 rows: 160 to 200 MiB through polars, 70 to 90 MiB through pyarrow, of 2e7 rows; of 1e8 rows in row groups of
    1,000,000: 400 to 500 MiB through polars, of 3.2 GB decoded (`benches/drift/test_scan.py`). A file that is one huge
    row group is decoded as a whole: write row groups of at most a million rows.

    Args:
        source: A path or glob pattern of parquet files, or a sequence of paths; a polars lazy frame; or any object with
            `__arrow_c_stream__`.
        profile: The profile whose blocks are counted.
        progress: Called with the rows done and the rows in all (None where the source cannot say) before the first batch and
            after each one. What it raises stops the scan.
        threads: Most threads to count with; by default `TIDEWHEEL_THREADS`, else one per core. Polars has its own.

    Returns:
        The window; the same whatever the files, row groups and batches. Rows without a column of the profile, or with
        another type, are counted as such, and columns that it does not have are named (`Window.further`).

    Raises:
        InputError: no file matches, or one cannot be read.
        InputTypeError: the source is none of these.
        MissingExtraError: parquet files without polars or pyarrow.

    Cost: O(rows x columns); reading parquet costs more than counting.

    Example:
        >>> from tidewheel import drift
        >>> import polars as pl
        >>> profile = drift.Profile.fit({"speed": [1.0, 2.0, 3.0]})
        >>> drift.scan(pl.LazyFrame({"speed": [2.0, 3.0]}), profile=profile).n_rows
        2
    """
    arguments.check_instance("profile", profile, Profile)
    window = profile.window()
    total, batches = _open(source, window)
    _tell(progress, 0, total)
    for table in batches:
        window.update_columns(table, threads)
        _tell(progress, window.n_rows, total)
    return window


def _tell(progress: Callable[[int, int | None], None] | None, done: int, total: int | None) -> None:
    if progress is not None:
        progress(done, total)


def _open(source: Any, window: Window) -> tuple[int | None, Iterator[_Table]]:
    """Give the number of rows, if it is known beforehand, and the batches."""
    if isinstance(source, str | PathLike) or _is_paths(source):
        return _open_parquet(_find_files(source), window)
    if type(source).__module__.partition(".")[0] == "polars" and hasattr(source, "collect_batches"):
        return None, _read_lazy(source, window)
    if hasattr(source, "__arrow_c_stream__"):
        return None, _read_stream(source, window.profile)
    raise InputTypeError(
        "`source` must be a path or pattern of parquet files, a polars lazy frame or an Arrow stream; "
        f"got {type(source).__name__}"
    )


def _read_stream(source: Any, profile: Profile) -> Iterator[_Table]:
    schema = source.schema if series.library(source) == "pyarrow" and hasattr(source, "schema") else None
    if schema is None:
        return (inputs.from_columns("source", batch, profile.kinds) for batch in _native.Batches(source))
    if series.is_cut_short(schema):
        # A table, a reader of batches, or one batch.
        batches = source.to_batches() if hasattr(source, "to_batches") else source
        batches = [source] if hasattr(source, "columns") and batches is source else batches
        found = (inputs.read_table("source", batch, kinds=profile.kinds) for batch in batches)
    else:
        found = (inputs.from_columns("source", batch, profile.kinds) for batch in _native.Batches(source))
    return _or_empty(found, schema.names)


def _or_empty(batches: Iterator[_Table], names: Sequence[str]) -> Iterator[_Table]:
    """Give the batches, or a table without rows where there are none: it too has columns, and lacks others."""
    first = next(batches, None)
    if first is None:
        first = inputs.from_columns(
            "source", [_native.Column.null(series.column_name(name), 0) for name in names]
        )
    yield first
    yield from batches


def _is_paths(source: Any) -> bool:
    return isinstance(source, Sequence) and all(isinstance(path, str | PathLike) for path in source)


def _find_files(source: _Path | Sequence[_Path]) -> list[str]:
    paths = [source] if isinstance(source, str | PathLike) else source
    found = [file for path in paths for file in sorted(glob(fspath(path), recursive=True))]
    if not found:
        raise InputError(f"`source` must match at least one parquet file; got {source!r}")
    return found


def _open_parquet(files: list[str], window: Window) -> tuple[int, Iterator[_Table]]:
    try:
        # polars and pyarrow are optional: the base install has NumPy alone.
        import polars as pl
    except ImportError:
        return _open_with_pyarrow(files, window)
    # File names are taken as they are: glob characters were expanded already.
    frames = [
        pl.scan_parquet(group, glob=False, extra_columns="ignore", hive_partitioning=False)
        for group in _group_files(files, window, pl.read_parquet_schema)
    ]
    total = sum(frame.select(pl.len()).collect().item() for frame in frames)
    return total, (batch for frame in frames for batch in _read_lazy(frame, window))


def _group_files(
    files: list[str], window: Window, read_schema: Callable[[str], Mapping[str, object]]
) -> list[list[str]]:
    """Group files in which the same columns are to be read, of the same types; polars reads only such files together.

    Numbers may grow wider from file to file, and columns may come and go: each group is counted by itself.
    """
    groups: dict[tuple[tuple[str, object], ...], list[str]] = {}
    for file in files:
        try:
            schema = read_schema(file)
        # polars, pyarrow and the system have no ancestor of their errors in common.
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"`source` must be parquet files; {file} cannot be read: {reason}") from error
        wanted = _choose(list(schema), window)
        groups.setdefault(tuple((name, schema[name]) for name in wanted), []).append(file)
    return list(groups.values())


def _open_with_pyarrow(files: list[str], window: Window) -> tuple[int, Iterator[_Table]]:
    try:
        # See `_open_parquet`.
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError("parquet files need polars or pyarrow: install tidewheel[data]") from error
    groups = _group_files(files, window, lambda file: {f.name: f.type for f in parquet.read_schema(file)})
    total = sum(parquet.read_metadata(file).num_rows for file in files)

    def batches() -> Iterator[_Table]:
        for file in itertools.chain(*groups):
            with parquet.ParquetFile(file, pre_buffer=False) as opened:
                wanted = _choose(opened.schema_arrow.names, window)
                for batch in opened.iter_batches(BATCH_ROWS, columns=wanted):
                    yield inputs.read_table("source", batch, kinds=window.profile.kinds)

    return total, batches()


def _choose(present: list[str], window: Window) -> list[str]:
    """Choose what to read of a source's columns: the profile's, or the first one, since without any no row is counted."""
    window.pass_over(present)
    return [name for name in window.profile.columns if name in set(present)] or present[:1]


def _read_lazy(frame: "pl.LazyFrame", window: Window) -> Iterator[_Table]:
    names = _choose(frame.collect_schema().names(), window)
    # Counts do not depend on the order, and without it nothing waits for a slow file.
    batches = frame.select(names).collect_batches(chunk_size=BATCH_ROWS, maintain_order=False, lazy=True)
    found = (inputs.read_table("source", batch, kinds=window.profile.kinds) for batch in batches)
    return _or_empty(found, names)
