"""The classes of a stub that hold data: attrs classes, structs, named tuples and enums."""

from __future__ import annotations

from typing import Any

from promissory.executor.stubgen.definitions import Definition
from promissory.executor.stubgen.names import LEFT_OUT, Names, attributes, camel, members
from promissory.executor.stubgen.text import bracketed, docstring, quoted
from promissory.executor.stubgen.types import Place, Typed, Types

_INDENT = "    "


class Classes:
    """Writes the classes of one module."""

    def __init__(self, names: Names, types: Types) -> None:
        self._names = names
        self._types = types

    def lines(self, made: Definition) -> list[str]:
        """Return the lines of a class."""
        write = {"enum": self._enum, "attrs": self._attrs, "struct": self._struct, "tuple": self._tuple}[made.kind]
        head, body = write(made)
        doc = docstring(made.schema.get("description"), _INDENT)
        if doc and body:
            doc.append("")
        return [*head, *doc, *(body if doc or body else [f"{_INDENT}pass"])]

    def _enum(self, made: Definition) -> tuple[list[str], list[str]]:
        values = made.schema["enum"]
        written = [quoted(value) if isinstance(value, str) else repr(value) for value in values]
        base = "StrEnum" if isinstance(values[0], str) else "IntEnum"
        body = [f"{_INDENT}{name} = {value}" for name, value in zip(members(values), written, strict=True)]
        return [f"class {made.name}({self._names.use('enum')}.{base}):"], body

    def _attrs(self, made: Definition) -> tuple[list[str], list[str]]:
        body = []
        for name, typed in self._fields(made, "attrs"):
            default = typed.default
            if typed.factory:
                default = f"{self._names.use('field')}(factory={typed.factory})"
            body.append(f"{_INDENT}{name}: {typed.annotation}{f' = {default}' if default else ''}")
        return [f"@{self._names.use('define')}", f"class {made.name}:"], body

    def _struct(self, made: Definition) -> tuple[list[str], list[str]]:
        msgspec = self._names.use("msgspec")
        options = [f"{msgspec}.Struct"]
        if made.tag is not None:
            field, tag = made.tag
            options += [f"tag_field={quoted(field)}", f"tag={quoted(tag) if isinstance(tag, str) else repr(tag)}"]
        fields = self._fields(made, "struct")
        body = []
        for attribute, (name, typed) in zip(attributes([name for name, _ in fields]), fields, strict=True):
            given = [f"name={quoted(name)}"] if attribute != name else []
            if typed.factory:
                given.append(f"default_factory={typed.factory}")
            elif typed.default and given:
                given.append(f"default={typed.default}")
            default = f"{msgspec}.field({', '.join(given)})" if given else typed.default
            body.append(f"{_INDENT}{attribute}: {typed.annotation}{f' = {default}' if default else ''}")
        return bracketed(f"class {made.name}(", options, "):"), body

    def _tuple(self, made: Definition) -> tuple[list[str], list[str]]:
        least = made.schema.get("minItems", 0)
        items: list[Typed] = []
        for i, schema in enumerate(made.schema["prefixItems"]):
            hint = f"{made.name}Item{i}"
            if isinstance(least, int) and i >= least:
                items.append(self._types.typed(schema, made.defs, hint, "tuple"))
            else:
                items.append(Typed(self._types.annotation(schema, made.defs, hint)))
        # Nothing can be left out of a tuple: what has no default here has to be given, and so has all before it.
        given = max((i + 1 for i, item in enumerate(items) if item.default in ("", LEFT_OUT)), default=0)
        body = []
        for i, item in enumerate(items):
            default = f" = {item.default}" if i >= given else ""
            body.append(f"{_INDENT}item_{i}: {item.annotation}{default}")
        return [f"class {made.name}({self._names.use('NamedTuple')}):"], body

    def _fields(self, made: Definition, place: Place) -> list[tuple[str, Typed]]:
        """Return the fields, those that must be given first, as msgspec tells of them too."""
        properties: dict[str, Any] = made.schema["properties"]
        required = made.schema.get("required")
        must = {*required} if isinstance(required, list) else set()
        found = []
        for name in sorted(properties, key=lambda name: name not in must):
            if made.tag is not None and name == made.tag[0]:
                continue
            hint = f"{made.name}{camel(name)}"
            if name in must:
                found.append((name, Typed(self._types.annotation(properties[name], made.defs, hint))))
            else:
                found.append((name, self._types.typed(properties[name], made.defs, hint, place)))
        return found
