"""A default as Python writes it: of the type that its schema names, and such that nobody can change it."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from promissory.executor.stubgen.definitions import Definitions, Defs
from promissory.executor.stubgen.names import Names, members
from promissory.executor.stubgen.text import quoted

TEXT_CHARACTERS_MAX = 60
"""A longer text is not repeated in a stub."""

_FORMATS: dict[str, tuple[str, type]] = {
    "date-time": ("datetime", datetime.datetime),
    "date-time-local": ("datetime", datetime.datetime),
    "date": ("datetime", datetime.date),
    "time": ("datetime", datetime.time),
    "partial-time": ("datetime", datetime.time),
    "duration": ("datetime", datetime.timedelta),
    "uuid": ("uuid", uuid.UUID),
    "decimal": ("decimal", decimal.Decimal),
}


class Defaults:
    """Writes the defaults of one module."""

    def __init__(self, names: Names, definitions: Definitions) -> None:
        self._names = names
        self._definitions = definitions

    def written(self, value: Any, schema: Any, defs: Defs) -> str | None:
        """Return an expression for a default; None if there is none that a type checker takes for the schema's type."""
        if not isinstance(schema, dict):
            return None
        made = self._definitions.referred(schema, defs)
        if made is not None:
            return self._member(value, made.schema["enum"], made.name) if made.kind == "enum" else None
        if isinstance(schema.get("anyOf"), list):
            options = (self.written(value, option, defs) for option in schema["anyOf"])
            return next((text for text in options if text is not None), None)
        if isinstance(schema.get("enum"), list):
            return self._plain(value) if any(value == v and type(value) is type(v) for v in schema["enum"]) else None
        if isinstance(schema.get("prefixItems"), list):
            return self._items(value, schema["prefixItems"], defs)
        return self._typed(value, schema)

    def array(self, values: list[Any], schema: Mapping[str, Any], defs: Defs) -> str | None:
        """Return an expression for the items of an array that nobody can change."""
        item = schema.get("items", {})
        if not schema.get("uniqueItems"):
            return self._items(values, [item] * len(values), defs)
        written = [self.written(value, item, defs) for value in values]
        known = sorted({text for text in written if text is not None})
        if None in written:
            return None
        return f"{self._names.use('frozenset')}({'{' if known else ''}{', '.join(known)}{'}' if known else ''})"

    def _items(self, value: Any, schemas: list[Any], defs: Defs) -> str | None:
        if not isinstance(value, (list, tuple)) or len(value) != len(schemas):
            return None
        items = []
        for one, schema in zip(value, schemas, strict=True):
            text = self.written(one, schema, defs)
            if text is None:
                return None
            items.append(text)
        return f"({', '.join(items)}{',' if len(items) == 1 else ''})"

    def _typed(self, value: Any, schema: Mapping[str, Any]) -> str | None:
        kind = schema.get("type")
        if kind is None:
            # A number or a text may stand for anything.
            return None if schema.keys() & {"$ref", "const"} else self._plain(value)
        if kind == "string" and "contentEncoding" in schema:
            return self._converted(value, bytes, "")
        if kind == "string" and schema.get("format") in _FORMATS:
            module, wanted = _FORMATS[schema["format"]]
            return self._converted(value, wanted, module)
        fits = {
            "null": value is None,
            "boolean": isinstance(value, bool),
            "integer": type(value) is int,
            "number": type(value) in (int, float),
            "string": isinstance(value, str),
        }
        if kind == "array" and schema.get("maxItems") == 0:
            return self._items(value, [], {})
        return self._plain(value) if isinstance(kind, str) and fits.get(kind) else None

    def _plain(self, value: Any) -> str | None:
        if isinstance(value, str):
            return quoted(value) if len(value) <= TEXT_CHARACTERS_MAX else None
        if isinstance(value, float):
            return repr(value) if math.isfinite(value) else None
        return repr(value) if value is None or isinstance(value, (bool, int)) else None

    def _converted(self, value: Any, wanted: type, module: str) -> str | None:
        try:
            made: Any = msgspec.convert(value, wanted)
        except msgspec.ValidationError:
            return None
        if isinstance(made, bytes):
            return None if len(made) > TEXT_CHARACTERS_MAX or {*made} & {*b"\"'"} else f'b"{repr(made)[2:-1]}"'
        if isinstance(made, (uuid.UUID, decimal.Decimal)):
            return f"{self._names.use(module)}.{type(made).__name__}({quoted(str(made))})"
        return repr(made).replace("datetime.", f"{self._names.use(module)}.")

    def _member(self, value: Any, values: list[Any], name: str) -> str | None:
        for known, member in zip(values, members(values), strict=True):
            if known == value and type(known) is type(value):
                return f"{name}.{member}"
        return None
