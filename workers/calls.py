"""Calls of other workers: by a stub of their class, or by name. Each one is under way once it is made."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar

import msgspec

from promissory.oplog.entries import Ask, Call, Send
from promissory.oplog.errors import BadArguments, CallError
from promissory.oplog.ids import WORKER_SCHEME, WorkerId, check_component, resolve_component, split_worker
from promissory.workers.definition import Worker
from promissory.workers.host import machine, microseconds
from promissory.workers.machine.futures import DurableFuture
from promissory.workers.nesting import ARGUMENTS_NESTING_MAX, encode
from promissory.workers.stub import Target, make_stub, method_of

P = ParamSpec("P")
T = TypeVar("T")
W = TypeVar("W", bound=Worker)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_decode = msgspec.json.Decoder().decode
_decode_text = msgspec.json.Decoder(str).decode


def worker(cls: type[W], name: str = "", /) -> W:
    """Return a stub of a worker: `await stub.handler(...)` calls it durably, exactly once.

    A call starts when it is made and returns a durable future. The worker is created by its first invocation.

    Args:
      cls: the worker's class, or one that `promissory stub` wrote.
      name: the worker's name; none for an ephemeral class, where each call gets a worker of its own.

    Raises:
      CallError: a name is missing, given in vain or out of limits.

    Raises (when called):
      CallError: the arguments cannot be passed to that handler.

    Raises (at the await):
      CallError: the call could not be made; the target is untouched. `CallCycleError`: it would wait for itself.
      TerminalError: the handler's own.
    """
    return make_stub(cls, name, _MACHINE)


def send(method: Callable[P, Coroutine[Any, Any, Any]], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[str]:
    """Have a stub's handler called, exactly once, without waiting for its result; return the invocation's id.

    Raises:
      TypeError: what is sent to is no handler of a stub.

    Raises (when called, at the await):
      CallError: as `worker`.
    """
    made = method_of(method, "handler")
    return made.transport.send(made.target(args, kwargs), None)


def send_after(
    seconds: float, method: Callable[P, Coroutine[Any, Any, Any]], /, *args: P.args, **kwargs: P.kwargs
) -> Awaitable[str]:
    """Have a stub's handler called when so many seconds have passed: late rather than never; as `send`."""
    made = method_of(method, "handler")
    return made.transport.send(made.target(args, kwargs), microseconds(seconds))


def ask(method: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
    """Ask a stub's query and return its answer; it never creates a worker.

    Raises:
      TypeError: what is asked is no query of a stub.

    Raises (when called, at the await):
      CallError: the question cannot be asked, or its worker must be created first. One that does not exist is answered
        for by a fresh instance.
    """
    made = method_of(method, "query")
    return made.transport.ask(made.target(args, kwargs))


def invoke_and_await(uri: str, function: str, /, *args: Any) -> DurableFuture[Any]:
    """Call a handler by name, exactly once, and return its result as JSON's builtins.

    Args:
      uri: `worker://COMPONENT/NAME`, or `worker://COMPONENT` for a fresh worker of an ephemeral component; the
        component by name or id, `/` and `%` of the name percent-encoded.
      function: the handler's name.
      *args: its arguments.

    Raises:
      CallError: the URI is wrong, or an argument has no form as data.

    Raises (at the await):
      CallError, TerminalError: as `worker`.
    """
    return _MACHINE.call(_named(uri, function, args))


def invoke(uri: str, function: str, /, *args: Any) -> DurableFuture[str]:
    """Have a handler called by name without waiting for its result; return the invocation's id.

    Raises:
      CallError: as `invoke_and_await`.
    """
    return _MACHINE.send(_named(uri, function, args), None)


def schedule(at: datetime, uri: str, function: str, /, *args: Any) -> DurableFuture[str]:
    """Have a handler called by name at a time, late rather than never; return the invocation's id.

    Raises:
      ValueError: the time has no time zone.
      CallError: as `invoke_and_await`.
    """
    if at.tzinfo is None:
        raise ValueError(f"schedule: {at!r} has no time zone: give one, `datetime(..., tzinfo=UTC)`")
    return _MACHINE.send_at(_named(uri, function, args), max(0, (at - _EPOCH) // _MICROSECOND))


class _MachineTransport:
    """Has the machine whose step this is record the calls."""

    __slots__ = ()

    def call(self, target: Target) -> DurableFuture[Any]:
        here = machine()
        request = Call(target.worker, target.function, target.params)
        future = here.start(request, len(target.params), target.decode)
        here.open_calls[future._start] = target.worker
        return future

    def send(self, target: Target, delay_us: int | None) -> DurableFuture[str]:
        return self.send_at(target, None if delay_us is None else machine().timestamp + delay_us)

    def send_at(self, target: Target, due: int | None) -> DurableFuture[str]:
        request = Send(target.worker, target.function, target.params, due)
        return machine().start(request, len(target.params), _decode_text)

    def ask(self, target: Target) -> DurableFuture[Any]:
        here = machine()
        request = Ask(target.worker, target.function, target.params)
        future = here.start(request, len(target.params), target.decode)
        here.open_asks[future._start] = request
        return future

    def refused(self, error: BadArguments) -> CallError:
        return CallError(error.message, 400)


_MACHINE = _MachineTransport()


def _named(uri: str, function: str, args: tuple[Any, ...]) -> Target:
    try:
        worker_id = _worker_id(uri)
        function.encode()
        params = encode(args, ARGUMENTS_NESTING_MAX)
    except BadArguments as error:
        raise CallError(error.message, 400) from None
    except Exception as error:  # a value's own hooks may raise anything
        raise CallError(f"the arguments of {function!r} cannot be written as JSON: {error}", 400) from None
    return Target("", worker_id, function, params, _decode)


@functools.lru_cache(maxsize=4096)
def _worker_id(uri: str) -> WorkerId:
    if not uri.startswith(WORKER_SCHEME):
        raise BadArguments(f"{uri!r} is not of the form {WORKER_SCHEME}COMPONENT/NAME")
    text = uri[len(WORKER_SCHEME) :]
    if "/" not in text:
        return WorkerId(resolve_component(check_component(text)), "")
    component, name = split_worker(text)
    return WorkerId(resolve_component(component), name)
