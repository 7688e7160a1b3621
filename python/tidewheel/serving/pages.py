"""What the front says about itself over HTTP: `/openapi.json`, and `/docs` as one page without scripts or other servers."""

import html
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tidewheel.serving.requests import ColumnContract

_TYPES = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
}

_PROBLEMS = "What is wrong: `error` in one sentence, and `problems` with `row`, `field`, `expected` and `got`"


def openapi(name: str, columns: Mapping[str, ColumnContract], *, replay: bool) -> dict[str, Any]:
    """Describe the front in OpenAPI 3.1.

    Example:
        >>> from tidewheel.project.settings import Column
        >>> described = openapi("flights", {"miles": Column(type="int", minimum=50)}, replay=False)
        >>> described["components"]["schemas"]["Row"]["properties"]["miles"]
        {'type': 'integer', 'minimum': 50.0}
    """
    short = {"type": "string", "minLength": 1, "maxLength": 256}
    fields: dict[str, Any] = {
        "inputs": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Row"}},
        "request_id": {**short, "description": "Names the request in the log; a new one is made if left out"},
        "key": {**short, "description": "Routing key of rollouts; the request id if left out"},
    }
    if replay:
        fields["at_utc"] = {"type": "string", "format": "date-time", "description": "Time of the event"}
    row = {"type": "object", "additionalProperties": False, "required": list(columns)}
    body = {"type": "object", "additionalProperties": False, "required": ["inputs"], "properties": fields}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Tidewheel: {name}", "version": "1"},
        "paths": {
            "/predict": {
                "post": {
                    "summary": "Score rows",
                    "requestBody": {"required": True, "content": _json("Request")},
                    "responses": {
                        "200": {"description": "One score for each row", "content": _json("Answer")},
                        "400": {
                            "description": f"The body is not JSON, or the Host is another one. {_PROBLEMS}"
                        },
                        "408": {"description": "The request did not arrive in time"},
                        "415": {"description": "The content type is not application/json"},
                        "413": {"description": f"Body or batch too large. {_PROBLEMS}"},
                        "422": {"description": f"A value does not keep the contract. {_PROBLEMS}"},
                        "503": {
                            "description": "No model could answer in time, or too many requests; see Retry-After"
                        },
                    },
                }
            },
            "/health": {"get": {"summary": "Say whether all is well", "responses": _HEALTH}},
            "/status": {"get": {"summary": "Say what one replica does", "responses": _OK}},
        },
        "components": {
            "schemas": {
                "Row": {**row, "properties": {key: _schema(column) for key, column in columns.items()}},
                "Request": body,
                "Answer": _ANSWER,
            }
        },
    }


_OK = {"200": {"description": "JSON"}}

_HEALTH = {
    "200": {"description": "All is well"},
    "503": {"description": "Requests are answered, and `problems` says what has to be mended"},
}

_ANSWER = {
    "type": "object",
    "properties": {
        "predictions": {"type": "array", "items": {"type": "number"}},
        "request_id": {"type": "string"},
        "model_version": {"type": "string"},
        "rung": {"enum": ["champion", "candidate", "baseline", "previous", "heuristic"]},
        "generation": {"type": "integer"},
    },
}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _schema(column: ColumnContract) -> dict[str, Any]:
    schema: dict[str, Any] = dict(_TYPES[column.type])
    if column.minimum is not None:
        schema["minimum"] = column.minimum
    if column.maximum is not None:
        schema["maximum"] = column.maximum
    if column.allowed is not None:
        schema["enum"] = list(column.allowed)
    return {"anyOf": [schema, {"type": "null"}]} if column.nullable else schema


def docs(name: str, columns: Mapping[str, ColumnContract]) -> str:
    """Write the page for people: how to ask, and what each column must look like."""
    body = html.escape(json.dumps({"inputs": [example_row(columns)], "key": "a routing key"}, indent=1))
    rows = "\n".join(
        f"<tr><td><code>{html.escape(key)}</code></td>{_cells(column)}</tr>"
        for key, column in columns.items()
    )
    return _PAGE.format(name=html.escape(name), body=body, rows=rows)


def example_row(columns: Mapping[str, ColumnContract]) -> dict[str, Any]:
    """Make up a row that keeps the contract: real rows are somebody's.

    Example:
        >>> from tidewheel.project.settings import Column
        >>> example_row({"miles": Column(type="int", minimum=50), "carrier": Column(type="string", allowed=("UA", "B6"))})
        {'miles': 50, 'carrier': 'UA'}
    """
    return {name: _example(column) for name, column in columns.items()}


def _example(column: ColumnContract) -> Any:
    match column.type:
        case "int":
            return math.ceil(_within(column))
        case "float":
            return _within(column)
        case "string":
            return column.allowed[0] if column.allowed else "text"
        case "bool":
            return True
        case _:
            return "2026-01-31T12:00:00+00:00"


def _within(column: ColumnContract) -> float:
    """Give 1, or the bound that is nearest to it."""
    lowest = -math.inf if column.minimum is None else column.minimum
    highest = math.inf if column.maximum is None else column.maximum
    return float(min(max(1.0, lowest), highest))


def _cells(column: ColumnContract) -> str:
    bounds = (
        f"{_bound(column.minimum)} to {_bound(column.maximum)}" if column.type in {"int", "float"} else ""
    )
    allowed: Sequence[str] = column.allowed or ()
    words = (
        column.type,
        "may be null" if column.nullable else "",
        bounds if bounds != " to " else "",
        ", ".join(allowed),
    )
    return "".join(f"<td>{html.escape(word)}</td>" for word in words)


def _bound(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title><style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }}
table {{ border-collapse: collapse }} td, th {{ border: 1px solid #c9d1d9; padding: .2rem .6rem; text-align: left }}
pre {{ background: #f3f5f7; padding: 1rem; overflow: auto }}
</style></head><body>
<h1>{name}</h1>
<p>Ask with <code>POST /predict</code> and the header <code>Content-Type: application/json</code>;
the same for machines is in <a href="openapi.json">openapi.json</a>.
<a href="status">status</a> says which model answers, <a href="health">health</a> whether all is well.</p>
<pre>{body}</pre>
<table><thead><tr><th>column</th><th>type</th><th>null</th><th>range</th><th>allowed</th></tr></thead><tbody>
{rows}
</tbody></table></body></html>
"""
