"""What the prediction log holds: one record for each answered row, and one for each row that a candidate saw in shadow.

What belongs here: the records, their columns, and reading lines of them. What does not: how they are kept
(`predictions.log`).
"""

from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import polars as pl

TableName = Literal["predictions", "pairs"]

FORMAT_VERSION = 1
"""Of the tables and segments; every commit carries it."""

_UTC = pl.Datetime("us", "UTC")

PREDICTION_SCHEMA: dict[str, Any] = {
    "request_id": pl.String,
    "row": pl.Int64,
    "key": pl.String,
    "at_utc": _UTC,
    "wall_utc": _UTC,
    "generation": pl.Int64,
    "arm": pl.String,
    "assigned_model": pl.String,
    "model_version": pl.String,
    "rung": pl.String,
    "score": pl.Float64,
    "latency_ms": pl.Float64,
    "error": pl.String,
    "source": pl.String,
    "inputs": pl.String,
}
"""Columns of the table `predictions`; the fields of `Prediction` say what they mean."""

PAIR_SCHEMA: dict[str, Any] = {
    "request_id": pl.String,
    "row": pl.Int64,
    "key": pl.String,
    "at_utc": _UTC,
    "wall_utc": _UTC,
    "generation": pl.Int64,
    "champion": pl.String,
    "candidate": pl.String,
    "score_champion": pl.Float64,
    "score_candidate": pl.Float64,
    "error": pl.String,
}
"""Columns of the table `pairs`; the fields of `Pair` say what they mean."""

SCHEMAS: dict[TableName, dict[str, Any]] = {"predictions": PREDICTION_SCHEMA, "pairs": PAIR_SCHEMA}


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """Record one answered row of a request.

    `row` is its index in the request; `at_utc` the event, `wall_utc` the answer; `assigned_model` had to answer,
    `model_version` did ("heuristic" for the fallback, None if nobody did), on `rung`. `error` says what went wrong with the
    assigned model, whoever answered in the end. `inputs` is the row as JSON.
    """

    request_id: str
    row: int
    key: str
    at_utc: datetime
    wall_utc: datetime
    generation: int
    arm: Literal["champion", "candidate", "baseline"]
    assigned_model: str
    model_version: str | None
    rung: Literal["champion", "candidate", "baseline", "previous", "heuristic"] | None
    score: float | None
    latency_ms: float | None
    error: str | None
    source: Literal["http", "batch"]
    inputs: str


class Pair(msgspec.Struct, frozen=True, gc=False):
    """Record what champion and candidate said to one row; `champion` and `candidate` are model ids."""

    request_id: str
    row: int
    key: str
    at_utc: datetime
    wall_utc: datetime
    generation: int
    champion: str
    candidate: str
    score_champion: float | None
    score_candidate: float | None
    error: str | None


_RECORDS: dict[TableName, Any] = {"predictions": Prediction, "pairs": Pair}


def parse_lines(lines: bytes, table: TableName) -> pl.DataFrame:
    """Parse lines all at once, outside the interpreter's lock, so that answering does not wait for it."""
    schema = SCHEMAS[table]
    texts = {name: pl.String if kind == _UTC else kind for name, kind in schema.items()}
    times = [
        pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC")
        for name, kind in schema.items()
        if kind == _UTC
    ]
    return pl.read_ndjson(lines, schema=texts).with_columns(times)


def parse_each(lines: bytes, table: TableName) -> pl.DataFrame:
    """Parse line by line, leaving out what is no record; times without a zone are taken for UTC."""
    decoder = msgspec.json.Decoder(_RECORDS[table])
    rows = []
    for line in lines.split(b"\n"):
        try:
            row = msgspec.structs.asdict(decoder.decode(line))
        except ValueError:
            continue
        for name in ("at_utc", "wall_utc"):
            row[name] = row[name].astimezone(UTC) if row[name].tzinfo else row[name].replace(tzinfo=UTC)
        rows.append(row)
    return pl.DataFrame(rows, schema=SCHEMAS[table])
