"""JSON Schemas of annotations: msgspec's, which name every date and time as one, whatever its time zone may be.

msgspec gives a `format` only to what must have a time zone. Without one nobody who reads the schema could tell a
`datetime` from a text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import inspect as known

_PREFIX = "#/$defs/"
_WITH_FIELDS = (known.StructType, known.DataclassType, known.TypedDictType, known.NamedTupleType)


def json_schema(annotation: Any) -> dict[str, Any]:
    """Return the JSON Schema of an annotation.

    Raises:
      TypeError: it holds a type that has no form as data.
    """
    schema = msgspec.json.schema(annotation)
    _Formats(schema.get("$defs", {})).add(known.type_info(annotation), schema)
    return schema


class _Formats:
    """Adds the formats to one schema, going through it and what msgspec knows of the type, side by side."""

    def __init__(self, defs: dict[str, Any]) -> None:
        self._defs = defs
        self._seen: set[str] = set()

    def add(self, info: known.Type, schema: dict[str, Any]) -> None:
        while isinstance(info, known.Metadata):
            info = info.type
        reference = schema.get("$ref")
        if reference is not None:
            key = str(reference).removeprefix(_PREFIX)
            if key in self._seen or key not in self._defs:
                return
            self._seen.add(key)
            schema = self._defs[key]
        if isinstance(info, known.DateTimeType):
            schema.setdefault("format", "date-time-local" if info.tz is False else "date-time")
        elif isinstance(info, known.TimeType):
            schema.setdefault("format", "partial-time" if info.tz is False else "time")
        else:
            for part, its_schema in _parts(info, schema):
                self.add(part, its_schema)


def _parts(info: known.Type, schema: dict[str, Any]) -> Iterable[tuple[known.Type, dict[str, Any]]]:
    """Return the types within a type, each with its schema."""
    if isinstance(info, known.CollectionType):
        return [(info.item_type, schema["items"])] if "items" in schema else []
    if isinstance(info, known.TupleType):
        return zip(info.item_types, schema.get("prefixItems", ()), strict=False)
    if isinstance(info, known.DictType):
        return [(info.value_type, schema["additionalProperties"])] if "additionalProperties" in schema else []
    if isinstance(info, known.UnionType):
        return _members(info, schema)
    if not isinstance(info, _WITH_FIELDS):
        return []
    if "properties" in schema:
        return [(field.type, schema["properties"][field.encode_name]) for field in info.fields]
    # What is an array begins with its tag, if it has one.
    items = schema["prefixItems"]
    return zip((field.type for field in info.fields), items[len(items) - len(info.fields) :], strict=True)


def _members(info: known.UnionType, schema: dict[str, Any]) -> Iterable[tuple[known.Type, dict[str, Any]]]:
    """Return the members of a union, each with its schema: the objects among them come after the others, None last."""
    others: list[known.Type] = []
    objects: list[known.Type] = []
    for member in info.types:
        bare: known.Type = member
        while isinstance(bare, known.Metadata):
            bare = bare.type
        if isinstance(bare, known.StructType) and not bare.array_like:
            objects.append(bare)
        elif not isinstance(bare, known.NoneType):
            others.append(member)
    options: list[dict[str, Any]] = schema["anyOf"]
    if len(objects) > 1:
        # They stand together, in an `anyOf` of their own unless there is nothing else.
        own = options if "discriminator" in schema else options[len(others)]["anyOf"]
        options = [*options[: len(others)], *own] if own is not options else own
    return zip([*others, *objects], options, strict=False)
