"""What the OpenAPI document says of the routes that are there whatever is registered."""

from __future__ import annotations

import re
from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_ANYTHING: Schema = {}
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[^\x00-\x1f\x7f-\x9f]+$"}


def content(schema: Schema, media_type: str = "application/json") -> Schema:
    """Return a `content` with one media type."""
    return {media_type: {"schema": schema}}


def parameter(name: str, where: str = "path", schema: Schema | None = None) -> Schema:
    """Return a parameter; those of the path are required."""
    given = schema or (_NAME if where == "path" else _TEXT)
    return {"name": name, "in": where, "required": where == "path", "schema": given}


def _object(required: dict[str, Schema], **optional: Schema) -> Schema:
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


SCHEMAS: dict[str, Schema] = {
    "Error": _object(
        {"code": {"type": "integer"}, "message": _TEXT, "source": {"enum": ["ingress", "invocation"]}},
    ),
    "WorkerError": {"anyOf": [_object({"error": _TEXT}), _object({"errors": {"type": "array", "items": _TEXT}})]},
    "Sent": _object(
        {"invocationId": _TEXT, "status": {"enum": ["Accepted", "PreviouslyAccepted"]}},
        executionTime={"type": "string", "format": "date-time"},
    ),
    "Outcome": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"value": {}, "error": _TEXT}}]},
    "NamedPromise": {
        "anyOf": [
            _object({"promiseId": _NAME}, value=_ANYTHING, errorMessage=_TEXT),
            _object({"request": _object({"promiseName": _NAME})}, value=_ANYTHING, errorMessage=_TEXT),
        ]
    },
    "WorkerId": _object({"componentId": _TEXT, "workerName": _TEXT}),
    "WorkerMetadata": _object(
        {
            "workerId": _reference("WorkerId"),
            "args": _ANYTHING,
            "env": {"type": "object", "additionalProperties": _TEXT},
            "status": {"enum": ["Running", "Idle", "Suspended", "Interrupted", "Retrying", "Failed"]},
            "componentVersion": _COUNT,
            "retryCount": _COUNT,
            "pendingInvocationCount": _COUNT,
            "createdAt": {"type": "string", "format": "date-time"},
        },
        lastError=_TEXT,
    ),
    "Component": _object(
        {
            "component": _TEXT,
            "id": {"type": "string", "format": "uuid"},
            "version": _COUNT,
            "ephemeral": {"type": "boolean"},
            "handlers": {
                "type": "array",
                "items": _object(
                    {
                        "name": _TEXT,
                        "kind": {"enum": ["handler", "query"]},
                        "parameters": {"type": "object"},
                        "result": {"type": "object"},
                    }
                ),
            },
        }
    ),
    "Promise": _object(
        {
            "promise": _TEXT,
            "state": {"enum": ["pending", "resolved", "rejected", "deleted"]},
            "created_at": {"type": "string", "format": "date-time"},
        }
    ),
    "OplogChunk": _object(
        {
            "entries": {
                "type": "array",
                "items": _object({"oplogIndex": _COUNT, "entry": _object({"type": _TEXT})}),
            },
            "firstIndexInChunk": _COUNT,
            "lastIndex": _COUNT,
        },
        next=_COUNT,
    ),
    "Invoke": _object({}, params={"anyOf": [{"type": "array"}, {"type": "object"}]}),
    "Create": _object(
        {"name": _NAME},
        args={"anyOf": [{"type": "array"}, {"type": "object"}]},
        env={"type": "object", "additionalProperties": _TEXT},
    ),
    "Complete": _object(
        {
            "oplogIdx": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
            "data": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}},
        }
    ),
}

ERROR: Schema = {"description": "A refusal, or the handler's error.", "content": content(_reference("Error"))}
_WORKER_ERROR: Schema = {"description": "A refusal.", "content": content(_reference("WorkerError"))}


def fixed_paths() -> dict[str, Any]:
    """Return the paths that are always there."""
    paths: dict[str, Any] = {}
    for method, path, summary, query, body, status, answer in (*_OWN, *_RESTATE, *_durable(), *_WORKERS):
        is_ingress = path.startswith(("/restate", "/promise", "/durable"))
        said: Schema = {"description": summary}
        if answer is not None:
            said["content"] = answer
        operation: Schema = {
            "operationId": f"{method} {path}",
            "summary": summary,
            "responses": {str(status): said, "default": ERROR if is_ingress else _WORKER_ERROR},
        }
        if query:
            operation["parameters"] = query
        if body is not None:
            operation["requestBody"] = {"required": False, "content": body}
        names = re.findall(r"{(\w+)}", path)
        item = paths.setdefault(path, {"parameters": [parameter(name) for name in names]} if names else {})
        item[method] = operation
    return paths


_Row = tuple[str, str, str, list[Schema], Schema | None, int, Schema | None]
"""Method, path, summary, query parameters, body, status and content of the answer."""


def _in_query(**schemas: Schema) -> list[Schema]:
    return [parameter(name.replace("_", "-"), "query", schema) for name, schema in schemas.items()]


_PAGE = {"cursor": _TEXT}
_EMPTY_OBJECT = content({"type": "object", "maxProperties": 0})
_FUNCTION: Schema = {"name": "function", "in": "query", "required": True, "schema": _TEXT}

_OWN: tuple[_Row, ...] = (
    ("get", "/health", "The executor answers.", [], None, 200, content(_object({"status": _TEXT, "version": _TEXT}))),
    (
        "get",
        "/metrics",
        "Figures for Prometheus.",
        [],
        None,
        200,
        {**content(_TEXT, "text/plain"), **content(_TEXT, "application/openmetrics-text")},
    ),
    ("get", "/openapi.json", "This document.", [], None, 200, content({"type": "object"})),
    (
        "get",
        "/v1/promises",
        "Promises.",
        _in_query(
            state={"enum": ["pending", "resolved", "rejected", "deleted", "all"]},
            component=_TEXT,
            limit=_COUNT,
            **_PAGE,
        ),
        None,
        200,
        content(_object({"promises": {"type": "array", "items": _reference("Promise")}}, cursor=_TEXT)),
    ),
    (
        "get",
        "/v1/components",
        "The registered components.",
        [],
        None,
        200,
        content(_object({"components": {"type": "array", "items": _reference("Component")}})),
    ),
    ("get", "/v1/components/{c}", "A component.", [], None, 200, content(_reference("Component"))),
)

_RESTATE: tuple[_Row, ...] = (
    (
        "get",
        "/restate/health",
        "The names of the components.",
        [],
        None,
        200,
        content(_object({"services": {"type": "array", "items": _TEXT}})),
    ),
    *(
        ("post", f"/restate/{name}/{{id}}/{op}", "Settle an awakeable.", [], {"*/*": {}}, 202, None)
        for name in ("awakeables", "a")
        for op in ("resolve", "reject")
    ),
    # Without a content: a body with one media type is promised by it, and a handler that returns None has no body.
    *(
        ("get", f"/restate/{path}/{op}", "The result of an invocation, as JSON if there is one.", [], None, 200, None)
        for path in (
            "invocation/{id}",
            "invocation/{component}/{handler}/{key}",
            "invocation/{component}/{worker}/{handler}/{key}",
            "workflow/{component}/{worker}",
        )
        for op in ("attach", "output")
    ),
)


def _durable() -> list[_Row]:
    body, outcome = content(_reference("NamedPromise")), content(_reference("Outcome"))
    return [
        ("post", f"/{name}/{op}", f"{op} a durable promise.", [], body, 200, None if op == "dispose" else outcome)
        for name in ("promise", "durablePromiseServer")
        for op in ("peek", "await", "resolve", "reject", "dispose")
    ]


_ONE = "/v1/components/{c}/workers/{w}"
_METADATA = _reference("WorkerMetadata")
_WORKERS: tuple[_Row, ...] = (
    (
        "get",
        "/v1/components/{c}/workers",
        "Workers of a component.",
        _in_query(status=_TEXT, name=_TEXT, count=_COUNT, **_PAGE),
        None,
        200,
        content(_object({"workers": {"type": "array", "items": _METADATA}}, cursor=_TEXT)),
    ),
    (
        "post",
        "/v1/components/{c}/workers",
        "Create a worker.",
        [],
        content(_reference("Create")),
        200,
        content(_object({"workerId": _reference("WorkerId"), "componentVersion": _COUNT})),
    ),
    ("get", _ONE, "A worker.", [], None, 200, content(_METADATA)),
    ("delete", _ONE, "Delete a worker.", [], None, 200, _EMPTY_OBJECT),
    (
        "post",
        f"{_ONE}/invoke-and-await",
        "Call a function.",
        [_FUNCTION],
        content(_reference("Invoke")),
        200,
        content(_object({"result": _ANYTHING})),
    ),
    ("post", f"{_ONE}/invoke", "Send to a function.", [_FUNCTION], content(_reference("Invoke")), 200, _EMPTY_OBJECT),
    (
        "post",
        f"{_ONE}/complete",
        "Complete a promise.",
        [],
        content(_reference("Complete")),
        200,
        content({"type": "boolean"}),
    ),
    (
        "post",
        f"{_ONE}/interrupt",
        "Interrupt a worker.",
        _in_query(recovery_immediately={"type": "boolean"}),
        None,
        200,
        _EMPTY_OBJECT,
    ),
    ("post", f"{_ONE}/resume", "Have a worker go on.", [], None, 200, _EMPTY_OBJECT),
    (
        "get",
        f"{_ONE}/oplog",
        "A chunk of a worker's oplog.",
        _in_query(**{"from": _COUNT, "count": _COUNT}),
        None,
        200,
        content(_reference("OplogChunk")),
    ),
    (
        "delete",
        f"{_ONE}/invocations/{{key}}",
        "Cancel the invocations with a key.",
        [],
        None,
        200,
        content(_object({"canceled": {"type": "boolean"}})),
    ),
)
