"""The OpenAPI document: every component's handlers with their JSON Schemas, and the routes that are always there."""

from __future__ import annotations

import re
from typing import Any

from promissory.executor.http.describe.openapi_routes import ERROR, SCHEMAS, content, fixed_paths, parameter
from promissory.executor.http.upstream.served import parameters_of

Schema = dict[str, Any]

_REFERENCE = "#/components/schemas/"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")
_IDEMPOTENCY_KEY = {
    "name": "idempotency-key",
    "in": "header",
    "required": False,
    "description": "With a key that was used before, the outcome of then.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[!-~]+$"},
}
_DELAY = {
    "name": "delay",
    "in": "query",
    "required": False,
    "description": "PT10S, 10s, 10000ms, or a number of milliseconds.",
    "schema": {"type": "string", "pattern": "^(PT[0-9]{1,6}S|[0-9]{1,6}(ms|s)?)$"},
}
_INVOCATION_HEADER = {"x-restate-id": {"description": "The invocation's id.", "schema": {"type": "string"}}}


def document(listed: list[dict[str, Any]], root: str) -> dict[str, Any]:
    """Return the document.

    Args:
      listed: the registered components, as `component.list` gives them.
      root: where the application is mounted.
    """
    schemas: dict[str, Schema] = dict(SCHEMAS)
    paths: dict[str, Any] = {}
    for component in listed:
        for handler in component["handlers"]:
            _add(paths, schemas, component, handler)
    paths |= fixed_paths()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "promissory",
            "version": "1",
            "description": "Durable workers and durable promises.",
        },
        "servers": [{"url": root}],
        "security": [{}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _add(paths: dict[str, Any], schemas: dict[str, Schema], component: Schema, handler: Schema) -> None:
    """Add one handler's or query's paths, and its schemas."""
    where = f"{component['component']}.{handler['name']}"
    parameters = _placed(schemas, f"{where}.parameters", handler["parameters"])
    result = _placed(schemas, f"{where}.result", handler["result"])
    is_query = handler["kind"] == "query"
    body = _body(schemas[f"{where}.parameters"], parameters)
    answer: Schema = {"description": "The result."}
    if handler["result"].get("type") != "null":
        answer["content"] = content(result)
    if not is_query:
        answer["headers"] = _INVOCATION_HEADER
    operation: Schema = {
        "tags": [component["component"]],
        "operationId": where,
        "summary": f"{'Ask' if is_query else 'Call'} {handler['name']} of {component['component']}.",
        "responses": {"200": answer, "default": ERROR},
    }
    if body is not None:
        operation["requestBody"] = body
    has_worker = is_query or not component["ephemeral"]
    path = f"/{component['component']}/{'{worker}/' if has_worker else ''}{handler['name']}"
    own = [parameter("worker")] if has_worker else []
    if is_query:
        asked = {name: value for name, value in operation.items() if name != "requestBody"}
        paths[path] = {"parameters": own, "post": operation, "get": {**asked, "operationId": f"{where}.get"}}
        return
    paths[path] = {"parameters": own, "post": {**operation, "parameters": [_IDEMPOTENCY_KEY]}}
    sent = {
        **operation,
        "operationId": f"{where}.send",
        "summary": f"Send {handler['name']} to {component['component']}, without waiting for its result.",
        "parameters": [_IDEMPOTENCY_KEY, _DELAY],
        "responses": {
            "202": {"description": "It is durable.", "content": content({"$ref": f"{_REFERENCE}Sent"})},
            "default": ERROR,
        },
    }
    paths[f"{path}/send"] = {"parameters": own, "post": sent}


def _body(schema: Schema, parameters: Schema) -> Schema | None:
    """Return the request's body: none without parameters, the one's value, or several by name or in an array."""
    properties: dict[str, Schema] = schema.get("properties", {})
    required: list[str] = schema.get("required", [])
    if not properties:
        return None
    if len(properties) == 1:
        found = next(iter(properties.values()))
    else:
        # In the order of recording: those without a default come first.
        array = {
            "type": "array",
            "prefixItems": list(properties.values()),
            "minItems": len(required),
            "maxItems": len(properties),
        }
        found = {"anyOf": [parameters, array]}
    return {"required": bool(required), "content": content(found)}


def _placed(schemas: dict[str, Schema], name: str, schema: Schema) -> Schema:
    """Put a JSON Schema and all that it refers to among the document's; return the reference to it."""
    definitions: dict[str, Schema] = schema.get("$defs", {})
    names = {f"#/$defs/{key}": f"{name}.{_NOT_IN_NAMES.sub('-', key)}" for key in definitions}
    bare = {key: value for key, value in schema.items() if key != "$defs"}
    main = parameters_of(schema)
    references = {old: _REFERENCE + new for old, new in names.items()}
    for key, definition in definitions.items():
        schemas[names[f"#/$defs/{key}"]] = _moved(definition, references)
    schemas[name] = _moved(main if bare.keys() == {"$ref"} else bare, references)
    return {"$ref": _REFERENCE + name}


def _moved(schema: Any, references: dict[str, str]) -> Any:
    """Return a schema with its references, a discriminator's too, to where the definitions stand now."""
    if isinstance(schema, dict):
        return {key: _moved(value, references) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_moved(value, references) for value in schema]
    return references.get(schema, schema) if isinstance(schema, str) else schema
