"""The classes that a stub needs, found in the `$defs` of its schemas: one for all that have the same name and shape.

msgspec names a definition after its class, and each schema brings its own. Two handlers may therefore mean the same by
`Order`, or not: definitions of one title that cannot be told apart, through all that they refer to, are one class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs

from promissory.executor.stubgen.names import Names, suit_attrs

Defs = Mapping[str, Any]
Kind = Literal["enum", "attrs", "struct", "tuple", "other"]

_PREFIX = "#/$defs/"


@attrs.define(eq=False)
class Definition:
    """One class of the stub."""

    title: str
    schema: Mapping[str, Any]
    defs: Defs
    """What the schema's references refer to."""
    name: str = ""
    """Its name in the stub."""
    tag: tuple[str, Any] | None = None
    """The field and the value by which a union tells it from others."""

    @property
    def kind(self) -> Kind:
        """What is written for it."""
        properties = self.schema.get("properties")
        if isinstance(properties, dict) and self.schema.get("type") == "object":
            return "attrs" if self.tag is None and suit_attrs([*properties]) else "struct"
        if self.schema.get("type") == "array" and self.schema.get("prefixItems"):
            return "tuple"
        values = self.schema.get("enum")
        if isinstance(values, list) and values:
            # A bool is an int, but no member of an enum that msgspec reads.
            kinds = {type(value) for value in values}
            if kinds in ({str}, {int}):
                return "enum"
        return "other"


class Definitions:
    """All classes of one stub, and which of them a reference means."""

    def __init__(self) -> None:
        self._of: dict[tuple[int, str], Definition] = {}
        self._all: dict[str, list[Definition]] = {}

    def add(self, schema: Any, defs: Defs) -> None:
        """Take the definitions that a schema refers to, and what it says of tags."""
        for key, body in defs.items():
            if not isinstance(body, dict):
                continue
            title = body.get("title")
            made = Definition(title if isinstance(title, str) and title else key.rpartition(".")[2], body, defs)
            known = self._all.setdefault(made.title, [])
            for other in known:
                if _same(made.schema, other.schema, defs, other.defs, set()):
                    made = other
                    break
            else:
                known.append(made)
            self._of[id(defs), key] = made
        for part in walk([schema, defs]):
            self._note_tags(part, defs)

    def name(self, names: Names) -> list[Definition]:
        """Choose the names of the classes; return those that are classes, in the order of their names."""
        found = [made for known in self._all.values() for made in known if made.kind != "other"]
        for made in found:
            made.name = names.choose(made.title)
        return sorted(found, key=lambda made: made.name)

    def referred(self, schema: Mapping[str, Any], defs: Defs) -> Definition | None:
        """Return what a schema refers to, if it does."""
        reference = schema.get("$ref")
        return self._of.get((id(defs), _key(reference))) if isinstance(reference, str) else None

    def _note_tags(self, part: Mapping[str, Any], defs: Defs) -> None:
        told = part.get("discriminator")
        if not isinstance(told, dict) or not isinstance(told.get("mapping"), dict):
            return
        for tag, reference in told["mapping"].items():
            made = self._of.get((id(defs), _key(reference)))
            if made is not None and made.kind in ("attrs", "struct") and isinstance(told.get("propertyName"), str):
                made.tag = (told["propertyName"], tag)


def split(schema: Any) -> tuple[Any, Defs]:
    """Return a schema and the definitions that it brings."""
    defs = schema.get("$defs", {})
    return {name: value for name, value in schema.items() if name != "$defs"}, defs


def unwrap(schema: Any) -> tuple[Any, Defs]:
    """Return what a schema refers to and the other definitions, as parameters are told of: they are no class."""
    body, defs = split(schema)
    key = _key(body.get("$ref"))
    if key not in defs:
        return body, defs
    return defs[key], {name: value for name, value in defs.items() if name != key}


def walk(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Iterate over a schema and all maps within it."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting.extend(part.values())
        elif isinstance(part, (list, tuple)):
            waiting.extend(part)


def _key(reference: Any) -> str:
    return reference.removeprefix(_PREFIX) if isinstance(reference, str) else ""


def _same(a: Any, b: Any, a_defs: Defs, b_defs: Defs, assumed: set[tuple[str, str]]) -> bool:
    """Compare two schemas, each among its own definitions; two that are being compared are taken to be the same."""
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return False
        if isinstance(a.get("$ref"), str) and isinstance(b.get("$ref"), str):
            pair = (_key(a["$ref"]), _key(b["$ref"]))
            if pair not in assumed:
                assumed.add(pair)
                if not _same(a_defs.get(pair[0]), b_defs.get(pair[1]), a_defs, b_defs, assumed):
                    return False
        # Properties in another order are other arguments.
        return [*a] == [*b] and all(
            (name == "$ref" and isinstance(a[name], str)) or _same(a[name], b[name], a_defs, b_defs, assumed)
            for name in a
        )
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y, a_defs, b_defs, assumed) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and bool(a == b)
