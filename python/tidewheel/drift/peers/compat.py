"""What Evidently and NannyML would say of the same columns, beside our own verdict.

Their rules are in `evidently` and `nannyml`, our own code in NumPy, held to numbers that the real tools gave
(`tests/drift/golden`). Here: the choice of a rule, and raw values as these tools see them. `docs/other-tools.md` explains
where the numbers part from ours, and whose to trust.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tidewheel import _native
from tidewheel.drift.peers import evidently, nannyml
from tidewheel.drift.peers.samples import Sample
from tidewheel.drift.reading import arrays, inputs, objects, series
from tidewheel.drift.report.records import PeerDrift
from tidewheel.errors import InputError, InputTypeError, UnknownNameError

Methods = Mapping[str, str]
"""The method by kind of column ("numeric", "categorical"); kinds not named take the tool's default."""


@dataclass(frozen=True, slots=True)
class _Tool:
    name: str
    version: str
    methods: Mapping[str, Sequence[str]]
    judge: Callable[[Sample, Sample, Methods], PeerDrift]
    difference: str


TOOLS = {
    "evidently": _Tool(
        evidently.TOOL, evidently.VERSION, evidently.METHODS, evidently.judge, evidently.DIFFERENCE
    ),
    "nannyml": _Tool(nannyml.TOOL, nannyml.VERSION, nannyml.METHODS, nannyml.judge, nannyml.DIFFERENCE),
}


def check_compat(tool: str | None, methods: Methods | None) -> None:
    """Refuse an unknown tool, kind or method, and methods without a tool."""
    if tool is None:
        if methods is not None:
            raise InputError("`compat_methods` needs `compat` to name the tool; got none")
        return
    if not isinstance(tool, str) or tool not in TOOLS:
        raise UnknownNameError(f"`compat` must be one of {_listed(TOOLS)} or None; got {tool!r}")
    if methods is not None and not isinstance(methods, Mapping):
        raise InputTypeError(f"`compat_methods` must map kinds of columns to methods; got {methods!r}")
    for kind, method in (methods or {}).items():
        known = TOOLS[tool].methods
        if kind not in known:
            raise UnknownNameError(f"`compat_methods` must name kinds of {_listed(known)}; got {kind!r}")
        if method not in known[kind]:
            raise UnknownNameError(
                f"`compat_methods[{kind!r}]` must be one of {_listed(known[kind])} for {tool}; got {method!r}"
            )


def _listed(names: Mapping[str, Any] | Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def judge_columns(
    tool: str,
    reference: Any,
    current: Any,
    pairs: Mapping[str, Sequence[_native.Column]],
    methods: Methods | None,
) -> dict[str, PeerDrift]:
    """Ask a tool's rule about every column; `pairs` are the columns as read, by name.

    Raises:
        InputTypeError: a table gives no raw values.
    """
    judged = {}
    for name, (one, other) in pairs.items():
        samples = _read(name, reference, one), _read(name, current, other)
        judged[name] = _judge(TOOLS[tool], *samples, methods or {})
    return judged


def _judge(tool: _Tool, reference: Sample, current: Sample, methods: Methods) -> PeerDrift:
    try:
        # Values near the ends of the range of floats overflow there as here.
        with np.errstate(all="ignore"):
            return tool.judge(reference, current, methods)
    except ValueError as error:
        # NumPy's histograms refuse ranges that overflow or that hold too few floats; the tools pass that on.
        note = f"NumPy cannot bin these values, and {tool.name} raises: {error}"
        return PeerDrift(tool.name, tool.version, "", None, None, None, note)


def explain(tool: str, judged: Sequence[PeerDrift], drifted: int) -> str:
    """Say in a sentence how the tool's default differs, after how often it calls columns drifted."""
    theirs = sum(peer.drifted is True for peer in judged)
    return (
        f"{TOOLS[tool].difference} It calls {theirs} of {len(judged)} columns drifted; "
        f"the verdicts here, which are ours, {drifted}."
    )


def _read(name: str, table: Any, column: _native.Column) -> Sample:
    if column.kind == "unsupported":
        return Sample(np.empty(0), np.empty(0, dtype=np.bool_), column.kind)
    if column.kind == "null":
        return Sample(np.zeros(len(column)), np.zeros(len(column), dtype=np.bool_), column.kind)
    try:
        values = _values(name, table)
    except InputTypeError:
        raise
    except (ValueError, TypeError, NotImplementedError):
        # Libraries have types that NumPy does not, such as dictionaries with missing entries.
        return _read_back(column)
    if (column.kind == "string") != (values.dtype.kind in "OUT") or values.dtype.kind in "OUT":
        # Declared, of a category type or of Python objects: as the column was read.
        return _read_back(column)
    masked = arrays.read_mask(values)
    if masked is not None:
        values = values.data
    there = _there(values) if masked is None else _there(values) & ~masked
    return Sample(values, there, _kind(column))


def _kind(column: _native.Column) -> str:
    if column.kind != "number":
        return column.kind
    kind = column.dtype.rstrip("0123456789")
    return "float" if kind == "decimal" else kind


def _read_back(column: _native.Column) -> Sample:
    rows = inputs.read_array("rows", np.arange(len(column), dtype=np.int64))
    if column.kind in {"string", "boolean"}:
        names = _native.gather_strings(column, rows)
        there = np.array([name is not None for name in names], dtype=np.bool_)
        values = np.array(names, dtype=object)
        if column.kind == "boolean":
            values = np.array([name == "true" for name in names], dtype=object)
        return Sample(values, there, column.kind)
    data, present = _native.gather_numbers(column, rows)
    floats = np.frombuffer(data, dtype=np.float64)
    there = np.frombuffer(present, dtype=np.bool_) & ~np.isnan(floats)
    values = floats.astype(np.int64) if column.kind == "temporal" else floats
    return Sample(values, there, _kind(column))


def _values(name: str, table: Any) -> Any:
    if isinstance(table, np.ndarray):
        return table[:, int(name)]
    if isinstance(table, Mapping):
        found = next(values for key, values in table.items() if series.column_name(key) == name)
        return found if isinstance(found, np.ndarray) else np.asarray(found)
    if not hasattr(table, "columns"):
        raise InputTypeError(
            "`compat` needs raw values: pass a polars or pandas table, pyarrow's, a mapping of arrays or a 2-D array; "
            f"got {type(table).__name__}"
        )
    if hasattr(table, "iloc"):
        return np.asarray(table.iloc[:, [series.column_name(key) for key in table.columns].index(name)])
    return np.asarray(table[name])


def _there(values: Any) -> Any:
    if values.dtype.kind == "f":
        return ~np.isnan(values)
    if values.dtype.kind in "mM":
        return ~np.isnat(values)
    if values.dtype.kind == "O":
        return np.array([not objects.is_missing(item) for item in values.tolist()], dtype=np.bool_)
    return np.ones(len(values), dtype=np.bool_)
