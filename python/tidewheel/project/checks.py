"""What is acceptable section by section and wrong as a whole, found before anything runs.

What belongs here: pure checks across the keys of a project file. What does not: the type and range of one key
(`project.settings`), reading the file (`project.files`), what is merely left open (`project.scope`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tidewheel.project.metrics import COMPARED_METRICS, METRICS
from tidewheel.project.places import Place
from tidewheel.project.settings import Column, Criterion, Settings
from tidewheel.project.wording import nearest

Found = Iterator[tuple[Place, str]]

NUMERIC_TYPES = ("int", "float", "bool")


def find_contradictions(settings: Settings) -> Found:
    """Find what contradicts itself: the place in the file, and what is wrong there.

    Columns that are named must be in the contract and of a fitting type, a model must not see its label, names that are
    referred to must exist, ranges must not be empty, and a gate may ask only for what its stage measures.
    """
    for name, column in settings.contract.columns.items():
        yield from _in_column(("contract", "columns", name), column)
    yield from _in_named_columns(settings)
    yield from _in_features(settings)
    yield from _in_candidates(settings)
    for stage, gate in settings.gates.items():
        for number, criterion in enumerate(gate.criteria):
            yield from _in_criterion(("gates", stage, "criteria", str(number)), stage, criterion)
    yield from _in_rollout(settings)
    for twice in _repeated(settings.retrain.triggers):
        yield ("retrain", "triggers"), f"{twice!r} is named twice"


def _in_column(where: Place, column: Column) -> Found:
    for bound in ("minimum", "maximum"):
        if getattr(column, bound) is not None and column.type not in ("int", "float"):
            yield (
                (*where, bound),
                f"a column of type {column.type!r} has no {bound}; only 'int' and 'float' have",
            )
    if column.minimum is not None and column.maximum is not None and column.minimum > column.maximum:
        yield (
            (*where, "minimum"),
            f"must be at most the maximum, {column.maximum:g}; got {column.minimum:g}",
        )
    if column.allowed is not None and column.type != "string":
        yield (
            (*where, "allowed"),
            f"a column of type {column.type!r} has no allowed values; only 'string' has",
        )
    if column.allowed is not None and not column.allowed:
        yield (*where, "allowed"), "must hold at least one value; got none"


def _in_named_columns(settings: Settings) -> Found:
    data, labels, columns = settings.data, settings.labels, settings.contract.columns
    any_type = ("int", "float", "string", "bool", "datetime")
    asked: tuple[tuple[Place, str | None, Sequence[str]], ...] = (
        (("data", "row_id"), data.row_id, ("string",)),
        (("data", "key"), data.key, ("string",)),
        (("data", "event_time"), data.event_time, ("datetime",)),
        (("data", "unit"), data.unit, any_type),
        (("labels", "column"), labels.column, ("bool", "int")),
        (("labels", "known_at"), labels.known_at, ("datetime",)),
    )
    for where, name, types in asked:
        if name is None:
            continue
        if name not in columns:
            yield where, _no_column(name, columns)
        elif columns[name].type not in types:
            fitting = " or ".join(map(repr, types))
            yield (
                where,
                f"{name!r} must have type {fitting} in [contract.columns]; it has {columns[name].type!r}",
            )
    for place, name in (
        ("row_id", data.row_id),
        ("key", data.key),
        ("event_time", data.event_time),
        ("unit", data.unit),
    ):
        if name in columns and columns[name].nullable:
            yield ("data", place), f"{name!r} must not be nullable in [contract.columns]: every row needs one"
    if data.row_id in columns and not columns[data.row_id].unique:
        yield (
            ("data", "row_id"),
            f"{data.row_id!r} must be `unique = true` in [contract.columns]: it names rows",
        )
    for name in settings.scope.protected:
        if name not in columns:
            yield ("scope", "protected"), _no_column(name, columns)


def _in_features(settings: Settings) -> Found:
    columns, features = settings.contract.columns, settings.features
    tells = {settings.labels.column: "the label", settings.labels.known_at: "when the label is known"}
    for kind, names in (("numeric", features.numeric), ("categorical", features.categorical)):
        where = ("features", kind)
        for name in names:
            if name not in columns:
                yield where, _no_column(name, columns)
            elif name in tells:
                yield where, f"{name!r} is {tells[name]}; a model may not see it"
            elif name == settings.data.row_id:
                yield where, f"{name!r} is the row's id; a model would learn rows by heart"
            elif columns[name].type == "datetime":
                yield (
                    where,
                    f"{name!r} has type 'datetime' in [contract.columns]; make a number of it in the source",
                )
            elif (columns[name].type in NUMERIC_TYPES) != (kind == "numeric"):
                other = "categorical" if kind == "numeric" else "numeric"
                yield (
                    where,
                    f"{name!r} has type {columns[name].type!r} in [contract.columns]; it is a {other} feature",
                )
    for twice in _repeated([*features.numeric, *features.categorical]):
        yield ("features",), f"{twice!r} is named twice"
    if not features.numeric and not features.categorical:
        yield ("features",), "at least one feature is required; got none"


def _in_candidates(settings: Settings) -> Found:
    names = [candidate.name for candidate in settings.model.candidates]
    for where, name in (
        (("model", "retrained"), settings.model.retrained),
        (("baselines", "simple"), settings.baselines.simple),
    ):
        if name not in names:
            yield where, f"{name!r} is no name in [[model.candidates]]{nearest(name, names)}"
    for twice in _repeated(names):
        number = max(number for number, name in enumerate(names) if name == twice)
        yield ("model", "candidates", str(number), "name"), f"{twice!r} is the name of another candidate, too"


def _in_criterion(where: Place, stage: str, criterion: Criterion) -> Found:
    known = METRICS.get(stage, ())
    if not known:
        yield where, f"nothing is measured at stage {stage!r}; gates with criteria are {', '.join(METRICS)}"
    elif criterion.metric not in known:
        yield (
            (*where, "metric"),
            f"{criterion.metric!r} is not measured at stage {stage!r}{nearest(criterion.metric, known)}",
        )
    elif criterion.relative_to is not None and criterion.metric not in COMPARED_METRICS:
        yield (
            (*where, "relative_to"),
            f"{criterion.metric!r} is not compared with another model; {', '.join(COMPARED_METRICS)} are",
        )


def _in_rollout(settings: Settings) -> Found:
    rollout = settings.rollout
    for number, guard in enumerate(rollout.guards):
        where = ("rollout", "guards", str(number))
        if guard.harm < guard.margin:
            yield (*where, "harm"), f"must be at least the margin, {guard.margin:g}; got {guard.harm:g}"
    for twice in _repeated([guard.metric for guard in rollout.guards]):
        yield ("rollout", "guards"), f"{twice!r} is guarded twice"
    if rollout.quality.harm < rollout.quality.margin:
        yield (
            ("rollout", "quality", "harm"),
            f"must be at least the margin, {rollout.quality.margin:g}; got {rollout.quality.harm:g}",
        )


def _no_column(name: str, columns: Iterable[str]) -> str:
    return f"{name!r} is not a column of [contract.columns]{nearest(name, list(columns))}"


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]
