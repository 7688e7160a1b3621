"""Profiles and windows of the drift core over a Ray Dataset: counted in parts where the blocks lie, added up here.

What belongs here: cutting the work and putting the parts together. What does not: counting (`drift.Profile`,
`drift.Window`), comparing (`drift.Profile.compare`), connecting to a cluster (the caller has done it).

A task counts one block of the data set on one thread, since Ray runs as many tasks as there are cores; what travels back is
counts, not rows. Workers need Tidewheel's base install.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import ray.data

from tidewheel.drift import Profile, Window
from tidewheel.errors import InputError

SAMPLE_ROWS = 1_000_000
"""Rows from which blocks and bins are cut: each tenth of the reference is then hit to about a thousandth of its rows."""

#: Rows whose types are looked at first; a column without a value in them has any type.
_CHECKED_ROWS = 1_000
_STATE = "state"


def fit_dataset(
    reference: ray.data.Dataset,
    *,
    columns: Sequence[str] | None = None,
    statistics: Sequence[str] | None = None,
    splitters: Profile | None = None,
    sample_rows: int = SAMPLE_ROWS,
    seed: int = 0,
) -> Profile:
    """Learn a reference that is a Ray Dataset, in two passes.

    The first pass takes a random sample, from which blocks and bins are cut (all rows, if there are no more than
    `sample_rows`); the second counts all rows exactly. The profile equals `Profile.fit(all rows, splitters=...)` on one
    machine with the same splitters, whatever the blocks of the data set; and where the sample is all rows it equals
    `Profile.fit(all rows)`.

    Args:
        reference: The data set; it is read twice, so materialize it if reading is dear.
        columns: Columns to learn; by default all.
        statistics: As in `Profile.fit`.
        splitters: The profile of a sample that was taken elsewhere; then there is one pass, over its columns.
        sample_rows: Rows of the sample, about; at least 1.
        seed: Seed of the sample. The same seed gives the same sample of the same blocks.

    Returns:
        The profile.

    Raises:
        InputError: no rows, a column is missing, or `splitters` is given with `columns` or `statistics`.
        InputTypeError: a column has another type than in `splitters`.

    Cost: that of `Profile.fit` for the sample, here, and of `Window.update` for all rows, over the cluster; memory here
    O(sample) and O(distinct strings), in a worker one block.
    """
    if splitters is None:
        chosen = reference if columns is None else reference.select_columns(list(columns))
        splitters = Profile.fit(_sample(chosen, sample_rows, seed), columns=columns, statistics=statistics)
    elif columns is not None or statistics is not None:
        raise InputError("`splitters` must be given without `columns` and `statistics`: it has both")
    # Here rather than in a worker, whose errors come back wrapped: the first rows are refused as all would be.
    for rows in reference.limit(_CHECKED_ROWS).iter_batches(batch_size=None, batch_format="pyarrow"):
        Profile.fit(rows, splitters=splitters, threads=1)
    parts = [Profile.from_bytes(state) for state in _count(reference, splitters, _fit_block)]
    if not parts:
        raise InputError("`reference` must have at least one row; got none")
    return Profile.join(parts)


def count_dataset(
    current: ray.data.Dataset,
    *,
    profile: Profile,
    progress: Callable[[int, int | None], None] | None = None,
) -> Window:
    """Count a Ray Dataset into a window; it equals that of `Window.update` with all rows on one machine.

    Args:
        current: The data set; columns that the profile does not have are not read.
        profile: The profile whose blocks are counted.
        progress: Called with the rows done, and None for those in all, before the first part and after each one.

    Returns:
        The window; rows without a column of the profile, or with another type, are counted as such.

    Cost: O(rows x columns) over the cluster, one core per block; each block sends back 8 bytes per block of the profile.
    """
    window = profile.window()
    schema = current.schema()
    if schema is not None:
        window.pass_over(schema.names)
    if progress is not None:
        progress(0, None)
    for state in _count(current, profile, _count_block):
        window.merge(Window.from_bytes(profile, state))
        if progress is not None:
            progress(window.n_rows, None)
    return window


def _sample(data: ray.data.Dataset, rows: int, seed: int) -> pa.Table:
    if rows < 1:
        raise InputError(f"`sample_rows` must be at least 1; got {rows}")
    total = data.count()
    if total == 0:
        raise InputError("`reference` must have at least one row; got none")
    taken = data if total <= rows else data.random_sample(rows / total, seed=seed)
    tables = [
        table for table in taken.iter_batches(batch_size=None, batch_format="pyarrow") if table.num_rows
    ]
    if not tables:
        raise InputError(f"`sample_rows` must be larger; at {rows} of {total} rows none was drawn")
    return pa.concat_tables(tables)


def _count(
    data: ray.data.Dataset, profile: Profile, work: Callable[[pa.Table, Any], pa.Table]
) -> Iterator[bytes]:
    """Run `work` on each block's columns of the profile, and give the states as they come."""
    schema = data.schema()
    if schema is None:
        return
    # Without any column no row would be counted.
    chosen = [name for name in profile.columns if name in schema.names] or schema.names[:1]
    states = data.select_columns(chosen).map_batches(
        work, batch_size=None, batch_format="pyarrow", fn_kwargs={"profile": ray.put(profile)}
    )
    for table in states.iter_batches(batch_size=None, batch_format="pyarrow"):
        yield from table[_STATE].to_pylist()


# Ray Data hands references on as they are; a worker fetches the profile once for all its tasks.
def _fit_block(table: pa.Table, profile: ray.ObjectRef) -> pa.Table:
    return _state(Profile.fit(table, splitters=ray.get(profile), threads=1).to_bytes())


def _count_block(table: pa.Table, profile: ray.ObjectRef) -> pa.Table:
    window: Window = ray.get(profile).window()
    window.update(table, threads=1)
    return _state(window.to_bytes())


def _state(data: bytes) -> pa.Table:
    return pa.table({_STATE: pa.array([data], type=pa.large_binary())})
