"""The names in a stub: what may be an attribute or a class, which are taken, and what has to be imported for them."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterable, Sequence

_STANDARD = {
    **dict.fromkeys(("datetime", "decimal", "enum", "uuid"), ""),
    **dict.fromkeys(("Any", "Literal", "NamedTuple", "TypeAlias", "Union"), "typing"),
}
_FOREIGN = {"msgspec": "", "promissory": "", "define": "attrs", "field": "attrs"}
_BUILTIN = dict.fromkeys(
    ("bool", "bytes", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple", "NotImplementedError"),
    "builtins",
)
_HOME = _STANDARD | _FOREIGN | _BUILTIN
"""Where a name comes from: the module that it is imported from, or nothing for a module."""

LEFT_OUT = "LEFT_OUT"
"""The stub's name for a default that only the worker knows."""

_TAKEN = frozenset({*dir(builtins), *keyword.kwlist, *_HOME, LEFT_OUT, "annotations"})


class Names:
    """The names of one module.

    Args:
      members: the names of all fields and methods. Within its class each hides what else has that name, so nothing
        else is given it.
    """

    def __init__(self, members: Iterable[str]) -> None:
        self._members = frozenset(members)
        self._taken = set(_TAKEN | self._members)
        self._used: dict[str, str] = {}
        for name in _HOME:
            if name in self._members:
                self._taken.add(self._spelled(name))

    def use(self, name: str) -> str:
        """Return how a name of Python's or of a library's is written here; it will be imported if need be."""
        if name not in self._used:
            self._used[name] = self._spelled(name)
        return self._used[name]

    def choose(self, wanted: str, otherwise: str = "") -> str:
        """Return a name for a class, near to what is wanted, that nothing else has.

        Args:
          wanted: any text.
          otherwise: what is added if it is taken; a number if not given, or if that is taken too.
        """
        chosen = first = _class_name(wanted)
        if chosen in self._taken and otherwise:
            chosen = first = chosen + otherwise
        number = 2
        while chosen in self._taken:
            chosen = f"{first}{number}"
            number += 1
        self._taken.add(chosen)
        return chosen

    def imports(self, text: str) -> list[str]:
        """Return the lines that import what a text uses: the standard library's, an empty one, the others."""
        used = {name: spelled for name, spelled in self._used.items() if re.search(rf"\b{spelled}\b", text)}
        standard = _lines({**_STANDARD, **_BUILTIN}, used)
        foreign = _lines(_FOREIGN, used)
        return [*standard, "", *foreign] if standard else foreign

    def _spelled(self, name: str) -> str:
        while name in self._members:
            name += "_"
        return name


def is_attribute(name: str) -> bool:
    """Tell whether a name in JSON can be that of an attribute, as it is."""
    return is_identifier(name) and not name.startswith("__") and name != "self"


def is_identifier(name: str) -> bool:
    """Tell whether Python reads a text as a name, and as that name."""
    return name.isidentifier() and not keyword.iskeyword(name) and unicodedata.normalize("NFKC", name) == name


def suit_attrs(names: Sequence[str]) -> bool:
    """Tell whether an attrs class can have fields of these names: msgspec takes those with an underscore as private."""
    return all(is_attribute(name) and not name.startswith("_") for name in names)


def attributes(names: Sequence[str]) -> list[str]:
    """Return names for attributes, each as near as can be to the one in JSON."""
    found = {name for name in names if is_attribute(name)}
    chosen: list[str] = []
    for name in names:
        if not is_attribute(name):
            name = _unlike(_attribute(name), found)
            found.add(name)
        chosen.append(name)
    return chosen


def members(values: Sequence[str | int]) -> list[str]:
    """Return the names of an enum's members, made of their values."""
    chosen: list[str] = []
    for value in values:
        name = re.sub(r"\W+", "_", str(value).replace("-", "_MINUS_") if isinstance(value, int) else value)
        name = unicodedata.normalize("NFKC", name.strip("_").upper())
        if isinstance(value, int) or not is_identifier(name):
            name = f"VALUE_{name}".rstrip("_")
        chosen.append(_unlike(name if is_identifier(name) else "VALUE", chosen))
    return chosen


def camel(text: str) -> str:
    """Return words, however they are held apart, as one in CamelCase."""
    return "".join(word[:1].upper() + word[1:] for word in re.findall(r"[^\W_]+", text))


def _lines(homes: dict[str, str], used: dict[str, str]) -> list[str]:
    found: dict[str, list[str]] = {}
    for name, spelled in sorted(used.items()):
        if name in homes and not (homes[name] == "builtins" and name == spelled):
            found.setdefault(homes[name], []).append(name if name == spelled else f"{name} as {spelled}")
    modules = [f"import {name}" for name in found.pop("", [])]
    return [*modules, *(f"from {home} import {', '.join(names)}" for home, names in sorted(found.items()))]


def _unlike(name: str, others: Iterable[str]) -> str:
    taken = {*others}
    chosen, number = name, 2
    while chosen in taken:
        chosen = f"{name}_{number}"
        number += 1
    return chosen


def _attribute(name: str) -> str:
    made = unicodedata.normalize("NFKC", re.sub(r"\W", "_", name)).lstrip("_")
    if keyword.iskeyword(made) or made == "self":
        made += "_"
    if not is_attribute(made):
        made = f"field_{made}"
    return made if is_attribute(made) else "field_"


def _class_name(wanted: str) -> str:
    name = wanted if is_identifier(wanted) else camel(unicodedata.normalize("NFKC", wanted))
    if name.startswith("__"):
        name = name.lstrip("_")
    if not is_identifier(name) and not keyword.iskeyword(name):
        name = f"Type{name}"
    return name if name.isidentifier() else "Type"
