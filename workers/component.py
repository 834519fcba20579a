"""A registered worker class: its checks, its handlers, and how it is constructed and asked."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, get_args

import attrs

from promissory.oplog.errors import BadArguments, BadHandler, NotFound, PromissoryError
from promissory.oplog.ids import check_component_name, component_id, kebab_case
from promissory.workers import guard
from promissory.workers.definition import KIND, Worker, fields_of
from promissory.workers.signature import (
    Parameter,
    Parameters,
    Result,
    check_annotation,
    check_default,
    hints_of,
    parameters_of,
    same,
)

RESERVED_COMPONENTS = frozenset({"restate", "v1", "promise", "durable-promise", "health", "metrics", "openapi"})
RESERVED_HANDLERS = frozenset({"send", "attach", "output"})

Kind = Literal["handler", "query"]


class Handler:
    """One handler or query of a component."""

    __slots__ = ("function", "kind", "name", "parameters", "result")

    def __init__(
        self, name: str, kind: Kind, function: Callable[..., Any], parameters: Parameters, result: Result
    ) -> None:
        self.name = name
        self.kind: Kind = kind
        self.function = function
        self.parameters = parameters
        self.result = result

    def check(self, params: bytes) -> bytes:
        """Return the JSON array to record for a JSON array (the very same bytes) or a JSON object by name.

        Raises:
          BadArguments: the arguments do not fit; the message has the path and the expected type.
        """
        return self.parameters.check(params)

    def parameters_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the parameters, as an object by name."""
        return self.parameters.schema()

    def result_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the result."""
        return self.result.schema()


class Component:
    """A worker class that passed all checks.

    Raises:
      BadHandler: the class has a member that cannot be served; the message says which and why.
    """

    def __init__(self, cls: type[Worker]) -> None:
        options = cls.__promissory__
        self.cls = cls
        self.name = _checked_name(cls)
        self.id = component_id(self.name)
        self.version = options.version
        self.ephemeral = options.ephemeral
        self.is_stub = options.stub
        """Whether the class is only the interface of a component that another program serves."""
        if not isinstance(self.version, int) or isinstance(self.version, bool) or not 1 <= self.version < 2**31:
            raise BadHandler(f"{cls.__name__}: version must be a positive integer, not {self.version!r}")
        _check_constructor(self.name, cls)
        self._constructor = _constructor(self.name, cls)
        self.requires_args = any(p.default is None for p in self._constructor.parameters)
        if self.ephemeral and self.requires_args:
            required = next(p.name for p in self._constructor.parameters if p.default is None)
            raise BadHandler(
                f"{self.name} is ephemeral, nobody creates its workers with arguments: give the field "
                f"`{required}` a default"
            )
        self.handlers: Mapping[str, Handler] = MappingProxyType(_handlers(self.name, cls))

    def construct(self, args: bytes) -> Worker:
        """Return a new instance made of a JSON array (or object) of the constructor's arguments.

        Raises:
          BadArguments: they do not fit, or the constructor refuses them.
          NonDeterminismError: the constructor reaches past its host.
        """
        if args == b"[]" and not self.requires_args:
            given: dict[str, Any] = {}
        else:
            _, given = self._constructor.decode(self._constructor.check(args))
        try:
            made: Worker = self._call(f"constructor of `{self.name}`", self.cls, **given)
        except PromissoryError:
            raise
        except Exception as error:
            raise BadArguments(f"{self.name}: its constructor refuses the arguments: {error!r}") from error
        return made

    def check_args(self, args: bytes) -> bytes:
        """Return the JSON array to record for the constructor's arguments, after constructing an instance of them.

        Raises:
          BadArguments: they do not fit, or the constructor refuses them.
          NonDeterminismError: the constructor reaches past its host.
        """
        checked = self._constructor.check(args)
        self.construct(checked)
        return checked

    def query(self, instance: Worker, function: str, params: bytes) -> bytes:
        """Answer a query from an instance's state; it may neither set attributes nor call host functions.

        Raises:
          NotFound: there is no such query.
          BadArguments: the arguments do not fit.
          TerminalError: the answer does not fit the annotation.
          NonDeterminismError: the query reaches past its host.
        """
        asked = self.handlers.get(function)
        if asked is None or asked.kind != "query":
            raise NotFound(f"{self.name} has no query {function!r}")
        positional, named = asked.parameters.decode(asked.check(params))
        answer = self._call(
            f"query `{function}` of `{self.name}`", asked.function, instance, *positional, read_only=True, **named
        )
        return asked.result.encode(answer)

    def _call(
        self, where: str, function: Callable[..., Any], *args: Any, read_only: bool = False, **kwargs: Any
    ) -> Any:
        guard.install()
        context = guard.Context(where, "host functions belong to handlers", read_only=read_only)
        try:
            return context.run(lambda: function(*args, **kwargs))
        except Exception:
            raise
        except BaseException as error:  # `sys.exit` in a constructor or query must not end its host
            raise RuntimeError(f"{where} raised {error!r}") from error


def component_of(cls: type[Worker]) -> Component:
    """Return the component of a worker class; the checks are made once.

    Raises:
      BadHandler: the class cannot be served; the message says which member and why.
    """
    if not (isinstance(cls, type) and issubclass(cls, Worker)) or cls is Worker:
        raise BadHandler(f"{cls!r} is not a subclass of promissory.Worker")
    options = cls.__promissory__
    if not isinstance(options.checked, Component):
        options.checked = Component(cls)
    return options.checked


def _checked_name(cls: type[Worker]) -> str:
    name = cls.__promissory__.component
    if name is None:
        name = kebab_case(cls.__name__)
    try:
        check_component_name(name)
    except BadArguments as error:
        raise BadHandler(f"{cls.__name__}: {error}") from None
    if name in RESERVED_COMPONENTS:
        raise BadHandler(f"{cls.__name__}: the component name {name!r} is reserved: choose another with `component=`")
    return name


def _constructor(name: str, cls: type[Worker]) -> Parameters:
    hints = hints_of(name, cls)
    found: list[Parameter] = []
    for attribute in fields_of(cls):
        where = f"{name}: field `{attribute.name}`"
        default = attribute.default
        if default is not attrs.NOTHING and not isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            check_default(where, default)
        if not attribute.init:
            continue
        annotation = hints.get(attribute.name, Any)
        check_annotation(where, annotation)
        alias = attribute.alias or attribute.name
        if default is attrs.NOTHING:
            found.append(Parameter(alias, annotation, keyword=True))
        elif not isinstance(default, attrs.Factory):  # type: ignore[arg-type]
            found.append(Parameter(alias, annotation, functools.partial(same, default), default, keyword=True))
        else:
            found.append(Parameter(alias, annotation, _factory(where, default), keyword=True))
    return Parameters(name, found)


def _check_constructor(name: str, cls: type[Worker]) -> None:
    for base in cls.__mro__:
        if issubclass(base, Worker) and base is not Worker and "__attrs_init__" in base.__dict__:
            raise BadHandler(
                f"{name}: `__init__` of {base.__name__} is made of its fields: write `__attrs_post_init__`"
            )


def _factory(where: str, factory: Any) -> Callable[[], Any]:
    if not factory.takes_self:
        made: Callable[[], Any] = factory.factory
        return made

    def refuse() -> Any:
        raise BadArguments(f"{where} depends on others: give it, or give those before it as an array")

    return refuse


def _handlers(component: str, cls: type[Worker]) -> dict[str, Handler]:
    found: dict[str, Handler] = {}
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        kind = getattr(member, KIND, None)
        if kind is None:
            _check_override(component, cls, name)
            continue
        found[name] = _handler(component, name, kind, member)
    return found


def _check_override(component: str, cls: type[Worker], name: str) -> None:
    for base in cls.__mro__:
        kind = getattr(base.__dict__.get(name), KIND, None)
        if kind is not None:
            raise BadHandler(f"{component}.{name} overrides a {kind}: decorate it with @promissory.{kind} as well")


def _handler(component: str, name: str, kind: Kind, member: Any) -> Handler:
    where = f"{component}.{name}"
    if not inspect.isfunction(member):
        raise BadHandler(f"{where} is not a plain method: @promissory.{kind} goes directly on a `def` with `self`")
    if name in RESERVED_HANDLERS:
        raise BadHandler(f"{where}: the name {name!r} is reserved")
    if inspect.isgeneratorfunction(member) or inspect.isasyncgenfunction(member):
        raise BadHandler(f"{where} yields: a {kind} returns its result")
    if kind not in get_args(Kind):
        raise BadHandler(f"{where} has an unknown kind {kind!r}")
    if kind == "handler" and not inspect.iscoroutinefunction(member):
        raise BadHandler(f"{where} is a handler, so it must be `async def` (a method that only reads can be a query)")
    if kind == "query" and inspect.iscoroutinefunction(member):
        raise BadHandler(f"{where} is a query, so it must be a plain `def`: it answers at once and waits for nothing")
    hints = hints_of(where, member)
    parameters = parameters_of(where, member, hints)
    annotation = hints.get("return", Any)
    check_annotation(f"{where}: result", annotation)
    return Handler(name, kind, member, parameters, Result(annotation))
