"""Values that cross a worker's border: parameters and results, converted by annotation.

Parameters are recorded as a JSON array in the order of the signature; a JSON object by name is turned into one at the
door. What is left out takes its default when the handler is called, from the code, not from the record.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import msgspec

from promissory.oplog.errors import BadArguments, BadHandler, TerminalError
from promissory.workers.nesting import ARGUMENTS_NESTING_MAX, NESTING_MAX, encode, nested_too_deep
from promissory.workers.schema import json_schema

_encode = msgspec.json.Encoder().encode
_ARRAY_PATH = re.compile(r"`\$\[(\d+)\]")
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])

ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "<default>", "__slots__": ()})()
"""Stands for an argument that was not given."""


class Parameter(msgspec.Struct, frozen=True):
    """One parameter: its name, its annotation, and what gives its default (None: it is required)."""

    name: str
    annotation: Any
    default: Callable[[], Any] | None = None
    static: Any = ABSENT
    """The default itself where it is a plain value, for the schema."""
    keyword: bool = False


class Parameters:
    """The parameters of one handler, query or constructor.

    Args:
      where: how messages name the function: "approval.submit".
      parameters: in the order in which they are recorded.
    """

    __slots__ = ("_at_once", "_decoder", "_keywords", "_plain", "_positional", "parameters", "where")

    def __init__(self, where: str, parameters: list[Parameter]) -> None:
        self.where = where
        self.parameters = sorted(parameters, key=lambda p: p.default is not None)
        self._keywords = tuple(p.name if p.keyword else None for p in self.parameters)
        self._plain = not any(p.keyword or p.default is not None for p in self.parameters)
        self._positional = [p.name for p in self.parameters if not p.keyword]
        leading = next((i for i, p in enumerate(self.parameters) if p.keyword), len(self.parameters))
        self._at_once = range(sum(p.default is None for p in self.parameters), leading + 1)
        """How many positional arguments are, alone, already the array to record."""
        fields = [
            (f"p{i}", p.annotation, msgspec.field(default=ABSENT)) if p.default else (f"p{i}", p.annotation)
            for i, p in enumerate(self.parameters)
        ]
        struct = msgspec.defstruct("Parameters", fields, array_like=True, forbid_unknown_fields=True)
        self._decoder = msgspec.json.Decoder(struct)

    def decode(self, params: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the positional and the keyword arguments of a recorded JSON array.

        Raises:
          BadArguments: it does not fit; the message has the path and the expected type.
        """
        try:
            values = msgspec.structs.astuple(self._decoder.decode(params))
        except Exception as error:
            raise BadArguments(self._explain(error)) from None
        if self._plain:
            return values, _NO_KEYWORDS
        return self._given(values)

    def check(self, params: bytes) -> bytes:
        """Return the JSON array to record for a JSON array (the very same bytes) or a JSON object by name.

        Raises:
          BadArguments: it is no JSON, an argument is missing or unknown, nested too deeply, or a value does not fit.
        """
        deep = nested_too_deep(params, ARGUMENTS_NESTING_MAX)
        if deep:
            raise BadArguments(f"{self.where}: an argument is nested {deep - 1} deep, the limit is {NESTING_MAX}")
        if params.lstrip()[:1] == b"{":
            params = self._as_array(params)
        self.decode(params)
        return params

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the JSON array to record for the arguments of a call in Python; their types are not looked at.

        Raises:
          BadArguments: they do not fit the signature, or one has no form as data or is nested too deeply.
        """
        given: Any = args
        if kwargs or len(args) not in self._at_once:
            if len(args) > len(self._positional):
                raise BadArguments(f"{self.where}: takes {len(self._positional)} positional arguments, not {len(args)}")
            given = dict(zip(self._positional, args, strict=False))
            twice = given.keys() & kwargs.keys()
            if twice:
                raise BadArguments(f"{self.where}: argument `{min(twice)}` is given twice")
            given |= kwargs
        try:
            data = encode(given, ARGUMENTS_NESTING_MAX)
        except Exception as error:  # a value's own hooks may raise anything
            raise BadArguments(f"{self.where}: the arguments cannot be written as JSON: {error}") from None
        return data if given is args else self._as_array(data)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the object form."""
        fields: list[Any] = []
        for parameter in self.parameters:
            if parameter.default is None:
                fields.append((parameter.name, parameter.annotation))
            elif parameter.static is not ABSENT and _is_data(parameter.static):
                fields.append((parameter.name, parameter.annotation, msgspec.field(default=parameter.static)))
            else:
                fields.append((parameter.name, parameter.annotation, msgspec.field(default_factory=parameter.default)))
        struct = msgspec.defstruct(self.where.rpartition(".")[2], fields, kw_only=True, forbid_unknown_fields=True)
        return json_schema(struct)

    def _given(self, values: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if not any(self._keywords):
            return tuple(value for value in values if value is not ABSENT), _NO_KEYWORDS
        positional = tuple(v for v, name in zip(values, self._keywords, strict=True) if v is not ABSENT and not name)
        named = {name: v for v, name in zip(values, self._keywords, strict=True) if v is not ABSENT and name}
        return positional, named

    def _as_array(self, params: bytes) -> bytes:
        try:
            given: dict[str, msgspec.Raw] = _OBJECT.decode(params)
        except Exception as error:
            raise BadArguments(f"{self.where}: the arguments are not JSON: {error}") from None
        unknown = sorted(given.keys() - {p.name for p in self.parameters})
        if unknown:
            raise BadArguments(f"{self.where}: unknown argument `{unknown[0]}` - at `$.{unknown[0]}`")
        last = max((i for i, p in enumerate(self.parameters) if p.name in given), default=-1)
        items: list[bytes] = []
        for i, parameter in enumerate(self.parameters):
            if parameter.name in given:
                items.append(bytes(given[parameter.name]))
            elif parameter.default is None:
                raise BadArguments(f"{self.where}: missing argument `{parameter.name}` - at `$.{parameter.name}`")
            elif i < last:
                items.append(_encode(parameter.default()))
        return b"[" + b",".join(items) + b"]"

    def _explain(self, error: Exception) -> str:
        text = str(error)
        if not isinstance(error, msgspec.ValidationError):
            return f"{self.where}: the arguments are not JSON: {text}"
        if " - at " not in text:
            if "at least length" in text:
                got = int(text.rpartition(" ")[2])
                name = self.parameters[got].name
                return f"{self.where}: missing argument `{name}` - at `$.{name}`"
            if "at most length" in text:
                return (
                    f"{self.where}: unknown argument: it takes {len(self.parameters)} - at `$[{len(self.parameters)}]`"
                )
        named = _ARRAY_PATH.sub(lambda m: f"`$.{self.parameters[int(m[1])].name}", text, count=1)
        return f"{self.where}: {named}"


_NO_KEYWORDS: dict[str, Any] = {}


_CERTAIN = frozenset({str, int, bool})
"""Types whose values are read back as they are whenever they can be encoded."""


class Result:
    """What a function returns, to JSON and back, by its annotation."""

    __slots__ = ("_decoder", "annotation", "decode")

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self._decoder = msgspec.json.Decoder(annotation)
        self.decode = self._decoder.decode

    def encode(self, value: Any) -> bytes:
        """Return the value as JSON.

        Raises:
          TerminalError: it cannot be encoded, is nested too deeply, or does not fit the annotation; the message says
            what.
        """
        annotation = self.annotation
        try:
            if type(value) is annotation and annotation in _CERTAIN:
                return _encode(value)
            data = encode(value)
            if annotation is not Any:
                self.decode(data)
        except Exception as error:
            raise TerminalError(f"the result does not fit {name_of(self.annotation)}: {error}") from None
        return data

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the result."""
        return json_schema(self.annotation)


@functools.lru_cache(maxsize=4096)
def result_of(annotation: Any) -> Result:
    """Return the (shared) conversion for a hashable annotation."""
    return Result(annotation)


def parameters_of(where: str, function: Callable[..., Any], hints: Mapping[str, Any]) -> Parameters:
    """Return the parameters of a method, `self` left out.

    Raises:
      BadHandler: one takes `*args` or `**kwargs`, has a mutable default, or an annotation that cannot be converted;
        or two different types in them have one name.
    """
    found: list[Parameter] = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise BadHandler(f"{where}: `{parameter}` cannot be recorded by name: give each argument its own parameter")
        annotation = hints.get(parameter.name, Any)
        check_annotation(f"{where}: parameter `{parameter.name}`", annotation)
        keyword = parameter.kind is parameter.KEYWORD_ONLY
        if parameter.default is parameter.empty:
            found.append(Parameter(parameter.name, annotation, keyword=keyword))
            continue
        value = parameter.default
        check_default(f"{where}: parameter `{parameter.name}`", value)
        found.append(Parameter(parameter.name, annotation, functools.partial(same, value), value, keyword))
    parameters = Parameters(where, found)
    try:
        parameters.schema()
    except KeyError as error:
        raise BadHandler(f"{where}: its parameters cannot be described: {_named_twice(error)}") from None
    return parameters


def hints_of(where: str, annotated: Any) -> dict[str, Any]:
    """Return the evaluated annotations of a function or class.

    Raises:
      BadHandler: a name in them cannot be found.
    """
    try:
        return get_type_hints(annotated, include_extras=True)
    except Exception as error:
        raise BadHandler(f"{where}: its annotations cannot be evaluated where it is defined: {error}") from None


def check_annotation(where: str, annotation: Any) -> None:
    """Refuse an annotation that msgspec cannot convert.

    Raises:
      BadHandler: it is, or holds, a type that has no form as data.
    """
    try:
        foreign = _foreign(msgspec.inspect.type_info(annotation), set())
        if foreign is None:
            msgspec.json.Decoder(annotation)
            msgspec.json.schema(annotation)
    except KeyError as error:
        raise BadHandler(
            f"{where}: its annotation {name_of(annotation)} cannot be described: {_named_twice(error)}"
        ) from None
    except (TypeError, NameError, AttributeError, ValueError, RecursionError) as error:
        raise BadHandler(f"{where}: its annotation {name_of(annotation)} cannot be converted: {error}") from None
    if foreign is not None:
        raise BadHandler(
            f"{where}: its annotation {name_of(annotation)} cannot be converted: {name_of(foreign)} is neither a "
            "builtin nor an attrs class, a dataclass, an enum or the like"
        )


def _named_twice(error: KeyError) -> str:
    """Say what it means that msgspec, which names the parts of a schema after their types, misses one of them."""
    kind = error.args[0]
    return f"two types are named {kind.__module__}.{getattr(kind, '__qualname__', kind)}"


def check_default(where: str, value: Any) -> None:
    """Refuse a default that all calls, or all workers, would share and could change.

    Raises:
      BadHandler: the default is mutable.
    """
    if isinstance(value, (list, dict, set, bytearray)) or type(value).__hash__ is None:
        raise BadHandler(f"{where}: the default {value!r} is mutable and would be shared")


def _foreign(info: Any, seen: set[int]) -> Any:
    """Find a type without a form as data in what msgspec knows of an annotation."""
    if id(info) in seen:
        return None
    seen.add(id(info))
    if isinstance(info, msgspec.inspect.CustomType):
        return info.cls
    if isinstance(info, tuple):
        parts: Any = info
    elif isinstance(info, (msgspec.inspect.Type, msgspec.inspect.Field)):
        parts = (getattr(info, name) for name in info.__struct_fields__)
    else:
        return None
    return next((found for part in parts if (found := _foreign(part, seen)) is not None), None)


def _is_data(value: Any) -> bool:
    try:
        msgspec.to_builtins(value)
    except (TypeError, ValueError):
        return False
    return True


def same(value: Any) -> Any:
    """Return the value: with `functools.partial`, what gives a default that is one."""
    return value


def name_of(annotation: Any) -> str:
    """Return how messages name an annotation."""
    plain = isinstance(annotation, type) and not hasattr(annotation, "__origin__")
    return f"`{annotation.__name__ if plain else annotation}`"
