"""A worker as others see it: a stub whose attributes are the handlers and queries of its class.

The class is the interface: a type checker takes the stub for an instance. What becomes of a call is its transport's
business: in a handler the machine records it, a client sends it to the executor.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar, cast

import msgspec

from promissory.oplog.errors import BadArguments, PromissoryError
from promissory.oplog.ids import WorkerId, check_worker_name, escape
from promissory.workers.component import Component, Handler, component_of
from promissory.workers.definition import Worker

W = TypeVar("W", bound=Worker)

_encode = msgspec.json.Encoder().encode
_PRIVATE = "_Stub__"


class Target(msgspec.Struct, frozen=True, eq=False):
    """One call to make: whom, what, and how its result is read."""

    component: str
    """The component's name."""
    worker: WorkerId
    """An empty worker name means a fresh worker of an ephemeral component."""
    function: str
    params: bytes
    """JSON array."""
    decode: Callable[[Any], Any]
    """Reads the result's JSON by the class's annotation."""

    @property
    def text(self) -> str:
        """The worker as requests name it: COMPONENT/NAME, or COMPONENT for an ephemeral one."""
        name = self.worker.worker_name
        return f"{self.component}/{escape(name)}" if name else self.component


class Transport(Protocol):
    """Makes the calls of a stub."""

    def call(self, target: Target) -> Awaitable[Any]:
        """Have a handler called; awaited, it gives the decoded result."""

    def send(self, target: Target, delay_us: int | None) -> Awaitable[str]:
        """Have a handler called, after a delay if one is given; awaited, it gives the invocation's id."""

    def ask(self, target: Target) -> Awaitable[Any]:
        """Ask a query; awaited, it gives the decoded answer."""

    def refused(self, error: BadArguments) -> PromissoryError:
        """Return what to raise for arguments that do not fit."""


class Stub:
    """Stands for a worker; see `make_stub`."""

    __slots__ = ("__component", "__transport", "__worker")

    def __init__(self, component: Component, name: str, transport: Transport) -> None:
        self.__component = component
        self.__worker = WorkerId(component.id, name)
        self.__transport = transport

    def __getattr__(self, name: str) -> Method:
        if name.startswith(_PRIVATE):
            raise AttributeError(name)
        handler = self.__component.handlers.get(name)
        if handler is None:
            raise AttributeError(_no_attribute(self.__component, name))
        return Method(self.__component.name, self.__worker, handler, self.__transport)

    def __dir__(self) -> list[str]:
        return sorted(self.__component.handlers)

    def __reduce__(self) -> str:
        raise TypeError(f"{self!r} cannot be copied: pass the worker's name, and make the stub where it is used")

    def __repr__(self) -> str:
        name = self.__worker.worker_name
        return f"<stub of {self.__component.name}{'/' if name else ''}{escape(name)}>"


class Method:
    """A handler or query of a stub: a handler is called, a query is asked by `promissory.ask`."""

    __slots__ = ("component", "handler", "transport", "worker")

    def __init__(self, component: str, worker: WorkerId, handler: Handler, transport: Transport) -> None:
        self.component = component
        self.worker = worker
        self.handler = handler
        self.transport = transport

    def __call__(self, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Start the call of a handler; awaited, it gives the result.

        Raises:
          TypeError: it is a query.
        """
        if self.handler.kind == "query":
            raise TypeError(
                f"{self} is a query: it is not called but asked, `await promissory.ask(stub.{self.handler.name}, ...)`"
            )
        return self.transport.call(self.target(args, kwargs))

    def target(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Target:
        """Return the call with these arguments.

        Raises:
          PromissoryError: they do not fit the signature or have no form as data; which one says the transport.
        """
        handler = self.handler
        try:
            params = handler.parameters.encode(args, kwargs)
        except BadArguments as error:
            raise self.transport.refused(error) from None
        return Target(self.component, self.worker, handler.name, params, handler.result.decode)

    def __repr__(self) -> str:
        return f"{self.component}.{self.handler.name}"


def make_stub(cls: type[W], name: str, transport: Transport) -> W:
    """Return a stub of a worker: its handlers can be called, its queries asked.

    Args:
      cls: the worker's class.
      name: the worker's; empty for an ephemeral class, each call of which gets a fresh worker.
      transport: what makes its calls.

    Raises:
      BadHandler: the class cannot be served.
      PromissoryError: a name is missing, given in vain or out of limits; which one says the transport.
    """
    if not (isinstance(cls, type) and issubclass(cls, Worker)):
        raise TypeError(f"a stub is made of a subclass of promissory.Worker, not of {cls!r}")
    component = component_of(cls)
    try:
        if not component.ephemeral:
            check_worker_name(name)
        elif name:
            raise BadArguments(f"{component.name} is ephemeral: its workers have no names to call them by")
    except BadArguments as error:
        raise transport.refused(error) from None
    return cast(W, Stub(component, name, transport))


def method_of(method: Any, kind: str) -> Method:
    """Return what was taken from a stub, if it is of the kind.

    Raises:
      TypeError: it is not.
    """
    if type(method) is not Method:
        raise TypeError(
            f"{getattr(method, '__qualname__', method)!r} is not taken from a stub: make one with "
            "`promissory.worker(cls, name)` (within its own class a handler called on `self` is a plain method)"
        )
    if method.handler.kind != kind:
        use = "ask it: `await promissory.ask(...)`" if kind == "handler" else "call it: `await stub.name(...)`"
        raise TypeError(f"{method} is a {method.handler.kind}: {use}")
    return method


def _no_attribute(component: Component, name: str) -> str:
    if name in component.cls.__promissory_fields__:
        return f"{name!r} is a field of {component.name}: what a worker keeps is read by a query"
    return f"{component.name} has no handler or query {name!r}"
