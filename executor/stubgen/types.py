"""Annotations for JSON Schemas: what a type checker and msgspec both read as the type that the schema tells of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from promissory.executor.stubgen.defaults import Defaults
from promissory.executor.stubgen.definitions import Definitions, Defs
from promissory.executor.stubgen.names import LEFT_OUT, Names
from promissory.executor.stubgen.text import exploded, quoted

TYPE_CHARACTERS_MAX = 52
"""A longer type gets a name of its own."""

Place = Literal["parameter", "attrs", "struct", "tuple"]

_FORMATS = {
    "date-time": ("datetime", "datetime"),
    "date-time-local": ("datetime", "datetime"),
    "date": ("datetime", "date"),
    "time": ("datetime", "time"),
    "partial-time": ("datetime", "time"),
    "duration": ("datetime", "timedelta"),
    "uuid": ("uuid", "UUID"),
    "decimal": ("decimal", "Decimal"),
}
_SIMPLE = {"boolean": "bool", "integer": "int", "number": "float"}
_LITERALS = (str, int, type(None))


@attrs.frozen
class Typed:
    """A field or a parameter: its annotation, and one of what it may be left out for."""

    annotation: str
    default: str = ""
    """An expression."""
    factory: str = ""
    """What makes a new one for each instance."""


class Types:
    """Writes the annotations of one module, and the aliases that they need."""

    def __init__(self, names: Names, definitions: Definitions) -> None:
        self._names = names
        self._definitions = definitions
        self._defaults = Defaults(names, definitions)
        self._aliases: dict[str, str] = {}
        self.alias_lines: list[str] = []
        """The statements that name the long types, each after those that it uses."""

    def annotation(self, schema: Any, defs: Defs, hint: str) -> str:
        """Return the annotation for a schema.

        Args:
          schema: a JSON Schema.
          defs: what its references refer to.
          hint: how an alias is called, if there has to be one.
        """
        if not isinstance(schema, dict):
            return self._any()
        if "$ref" in schema:
            return self._reference(schema, defs)
        if "anyOf" in schema:
            return self._union(schema, defs, hint)
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if values is not None:
            return self._literal(values, hint)
        kind = schema.get("type")
        if kind == "null":
            return "None"
        if kind == "string":
            return self._text(schema)
        if kind == "array":
            return self._array(schema, defs, hint)
        if kind == "object":
            value = self.annotation(schema.get("additionalProperties"), defs, f"{hint}Value")
            return self._generic("dict", [self._names.use("str"), value], hint)
        return self._names.use(_SIMPLE[kind]) if isinstance(kind, str) and kind in _SIMPLE else self._any()

    def typed(self, schema: Any, defs: Defs, hint: str, place: Place) -> Typed:
        """Return the annotation and the default of what may be left out."""
        if not isinstance(schema, dict):
            return Typed(self._any(), default=LEFT_OUT)
        kind = None if "prefixItems" in schema or _is_empty(schema) else schema.get("type")
        is_unique = kind == "array" and bool(schema.get("uniqueItems"))
        is_class = place in ("attrs", "struct")
        if "default" not in schema:
            if is_class and kind in ("array", "object"):
                return self._anew(schema, defs, hint, "set" if is_unique else "list" if kind == "array" else "dict")
            return Typed(self.annotation(schema, defs, hint), default=LEFT_OUT)
        default = schema["default"]
        if is_class and kind == "object" and default == {}:
            return self._anew(schema, defs, hint, "dict")
        if kind == "array" and isinstance(default, (list, tuple)):
            if is_class and not default:
                return self._anew(schema, defs, hint, "set" if is_unique else "list")
            written = self._defaults.array([*default], schema, defs)
            if written is not None:
                item = self.annotation(schema.get("items", {}), defs, f"{hint}Item")
                head, rest = ("frozenset", []) if is_unique else ("tuple", ["..."])
                return Typed(self._generic(head, [item, *rest], hint), default=written)
        else:
            written = self._defaults.written(default, {k: v for k, v in schema.items() if k != "default"}, defs)
            if written is not None:
                return Typed(self.annotation(schema, defs, hint), default=written)
        return Typed(self.annotation(schema, defs, hint), default=LEFT_OUT)

    def _anew(self, schema: Any, defs: Defs, hint: str, factory: str) -> Typed:
        return Typed(self.annotation(schema, defs, hint), factory=self._names.use(factory))

    def _any(self) -> str:
        return self._names.use("Any")

    def _reference(self, schema: Mapping[str, Any], defs: Defs) -> str:
        made = self._definitions.referred(schema, defs)
        return made.name if made is not None and made.name else self._any()

    def _text(self, schema: Mapping[str, Any]) -> str:
        if "contentEncoding" in schema:
            return self._names.use("bytes" if schema["contentEncoding"] == "base64" else "str")
        if schema.get("format") not in _FORMATS:
            return self._names.use("str")
        module, name = _FORMATS[schema["format"]]
        return f"{self._names.use(module)}.{name}"

    def _array(self, schema: Mapping[str, Any], defs: Defs, hint: str) -> str:
        items = schema.get("prefixItems")
        if isinstance(items, list) and items:
            if schema.get("items") is not False:
                return self._generic("list", [self._any()], hint)
            parts = [self.annotation(item, defs, f"{hint}Item{i}") for i, item in enumerate(items)]
            return self._generic("tuple", parts, hint)
        if _is_empty(schema):
            return f"{self._names.use('tuple')}[()]"
        item = self.annotation(schema.get("items"), defs, f"{hint}Item")
        return self._generic("set" if schema.get("uniqueItems") else "list", [item], hint)

    def _literal(self, values: Any, hint: str) -> str:
        if not isinstance(values, list) or not values or not all(type(value) in _LITERALS for value in values):
            return self._any()
        written = [quoted(value) if isinstance(value, str) else repr(value) for value in values]
        return "None" if written == ["None"] else self._generic("Literal", written, hint)

    def _union(self, schema: Mapping[str, Any], defs: Defs, hint: str) -> str:
        options = schema["anyOf"]
        if not isinstance(options, list) or not options or not _can_be_told(self._groups(schema, defs)):
            return self._any()
        parts = self._options(options, defs, hint)
        if parts is None:
            return self._any()
        written = " | ".join(parts)
        if len(written) <= TYPE_CHARACTERS_MAX or len(parts) == 1:
            return written
        return self._alias(self._names.use("Union"), parts, hint)

    def _options(self, options: list[Any], defs: Defs, hint: str) -> list[str] | None:
        """Return the members of a union; None if one of them may be anything."""
        found: list[str] = []
        for i, option in enumerate(options):
            if isinstance(option, dict) and isinstance(option.get("anyOf"), list):
                inner = self._options(option["anyOf"], defs, f"{hint}Option{i}")
            else:
                inner = [self.annotation(option, defs, f"{hint}Option{i}")]
            if inner is None or self._any() in inner:
                return None
            found += [part for part in inner if part not in found]
        return found

    def _groups(self, schema: Any, defs: Defs) -> list[str]:
        """Return what each member of a union looks like in JSON; msgspec tells members only by that, or by a tag."""
        if "anyOf" in schema:
            options = schema["anyOf"]
            made = [self._definitions.referred(option, defs) for option in options]
            if "discriminator" in schema and all(one is not None and one.tag is not None for one in made):
                return ["object"]
            return [group for option in options for group in self._groups(option, defs)]
        one = self._definitions.referred(schema, defs)
        if one is not None:
            return self._groups(one.schema, one.defs)
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(values, list):
            return sorted({{int: "integer", str: "string"}.get(type(v), "") for v in values} - {""})
        return [str(schema["type"])] if schema.get("type") not in (None, "null") else []

    def _generic(self, head: str, parts: list[str], hint: str) -> str:
        written = f"{self._names.use(head)}[{', '.join(parts)}]"
        if len(written) <= TYPE_CHARACTERS_MAX or len(parts) == 1:
            return written
        return self._alias(self._names.use(head), parts, hint)

    def _alias(self, head: str, parts: list[str], hint: str) -> str:
        lines = exploded(f"{head}[", parts, "]")
        known = self._aliases.get("\n".join(lines))
        if known is None:
            known = self._aliases["\n".join(lines)] = self._names.choose(hint)
            first, *rest = lines
            self.alias_lines += [f"{known}: {self._names.use('TypeAlias')} = {first}", *rest]
        return known


def _is_empty(schema: Mapping[str, Any]) -> bool:
    """Tell whether a schema is that of a tuple without items."""
    return "items" not in schema and schema.get("maxItems") == 0 and schema.get("minItems") == 0


def _can_be_told(groups: list[str]) -> bool:
    return len(groups) == len({*groups})
