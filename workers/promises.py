"""Promises with typed values: awakeables, settled by whoever holds the id, and durable promises, known by name.

Both are promises like any other; what is added is JSON instead of bytes, and a name that others can use. An empty
payload is None. One that does not fit the type fails the await with a `TerminalError`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar, overload

import attrs
import msgspec

from promissory.oplog.entries import (
    AwaitPromise,
    CompletePromise,
    CreatePromise,
    Failure,
    NamedPromise,
    PollPromise,
    RejectPromise,
    Request,
    SettleAwakeable,
    Value,
)
from promissory.oplog.errors import BadArguments, BadHandler, PromiseRejected, TerminalError
from promissory.oplog.ids import DURABLE_PROMISE, AwakeableId, OplogIndex, WorkerId, check_worker_name
from promissory.workers.host import machine, microseconds
from promissory.workers.machine.futures import DurableFuture, HostCall, Task
from promissory.workers.machine.machine import Machine
from promissory.workers.nesting import NESTING_MAX, encode, nested_too_deep
from promissory.workers.signature import check_annotation, name_of

T = TypeVar("T")

_decode_bool = msgspec.json.Decoder(bool).decode
_decode_index = msgspec.json.Decoder(OplogIndex | None).decode


@overload
def awakeable(expected: None, /, timeout: float | None = None) -> tuple[str, DurableFuture[None]]: ...
@overload
def awakeable(expected: type[T], /, timeout: float | None = None) -> tuple[str, DurableFuture[T]]: ...
@overload
def awakeable(expected: Any, /, timeout: float | None = None) -> tuple[str, DurableFuture[Any]]: ...
def awakeable(expected: Any, /, timeout: float | None = None) -> tuple[str, DurableFuture[Any]]:
    """Create a promise; return an id with which anybody can settle it, and the future of its value.

    The id is a capability, good for this one promise and nothing else: give it only to whoever is to decide. It is the
    same in every replay, and the promise is durable before anybody outside can see it.

    Args:
      expected: the value's type, any annotation: a class, `None`, `list[Order]`, `int | None`, `Any`.
      timeout: seconds after which it settles as timed out; None waits for ever.

    Raises:
      TypeError: no value of that type can be read from JSON.

    Raises (at the await):
      PromiseRejected: it was rejected; the message is the reason.
      TimedOut: its deadline passed.
      TerminalError: the payload does not fit the type.
    """
    here = machine()
    payload = _payload_of(expected)
    timeout_us = None if timeout is None else microseconds(timeout)
    index = here.emit(CreatePromise(timeout_us), 8)
    name = str(AwakeableId.of(here.created.seed, here.created.worker_id, index))
    return name, here.start(AwaitPromise(None, index), 8, payload.decode)


def resolve_awakeable(awakeable_id: str, value: Any = None) -> DurableFuture[bool]:
    """Settle an awakeable with a value; return True if it was this call that settled it.

    Raises:
      TerminalError: what is given is no awakeable id (code 400), or the value has no form as JSON.

    Raises (at the await):
      TerminalError: the id is forged (code 400), or its worker is gone.
    """
    here = machine()
    name = _checked_id(awakeable_id)
    data = _payload_of(Any).encode(value)
    return here.start(SettleAwakeable(name, Value(data)), len(name) + len(data), _decode_bool)


def reject_awakeable(awakeable_id: str, reason: str) -> DurableFuture[bool]:
    """Have the await of an awakeable raise `PromiseRejected`; return True if it was this call that settled it.

    Raises:
      TerminalError: as `resolve_awakeable`.
    """
    here = machine()
    name = _checked_id(awakeable_id)
    data = _checked_reason(reason)
    return here.start(SettleAwakeable(name, _rejection(reason)), len(name) + len(data), _decode_bool)


@attrs.frozen
class PromiseOutcome(Generic[T]):
    """How a durable promise was settled, by whoever came first."""

    settled: bool
    """Whether the call that returned this is the one that settled it."""
    _value: T | None = None
    error: TerminalError | None = None
    """What `get` raises: `PromiseRejected`, `TimedOut`, a `TerminalError` if the value does not fit; None: resolved."""

    @property
    def value(self) -> T:
        """The value that it was resolved with.

        Raises:
          TerminalError: `error`, if there is one.
        """
        if self.error is not None:
            raise self.error
        return self._value  # type: ignore[return-value]


class DurablePromise(Generic[T]):
    """A promise known by its name alone: awaited and settled in any order, from anywhere; see `durable_promise`.

    Each method returns a durable future that is to be awaited: one that the handler leaves behind is given up.
    """

    __slots__ = ("_owner", "_payload", "_timeout_us")

    def __init__(self, name: str, payload: Payload, timeout_us: int | None) -> None:
        self._owner = WorkerId(DURABLE_PROMISE, name)
        self._payload = payload
        self._timeout_us = timeout_us

    @property
    def name(self) -> str:
        """The name that everybody finds it by."""
        return self._owner.worker_name

    def peek(self) -> DurableFuture[T | None]:
        """Return the value; None while it is pending, or nobody has used the name yet. It creates nothing.

        Raises (at the await):
          PromiseRejected, TimedOut, TerminalError: as `get`.
        """
        here = machine()
        return _task(here, self._peek(here, self._find(here, None, creates=False)))

    def get(self) -> DurableFuture[T]:
        """Wait for the value.

        If nobody has used the name before, this creates the promise with the deadline that `durable_promise` was given.

        Raises (at the await):
          PromiseRejected: it was rejected; the message is the reason.
          PromiseDeleted: it was disposed of.
          TimedOut: its deadline passed.
          TerminalError: the value does not fit the type.
        """
        here = machine()
        due = None if self._timeout_us is None else here.timestamp + self._timeout_us
        return _task(here, self._get(here, self._find(here, due, creates=True)))

    def resolve(self, value: T) -> DurableFuture[PromiseOutcome[T]]:
        """Settle it with a value, unless it is settled; return the actual outcome, this value or an earlier one.

        Raises:
          TerminalError: the value does not fit the type or has no form as JSON.
        """
        here = machine()
        data = self._payload.encode(value)
        own = PromiseOutcome[T](True, self._payload.decode(data))
        found = self._find(here, None, creates=True)
        return _task(here, self._settle(here, found, functools.partial(CompletePromise, payload=data), len(data), own))

    def reject(self, reason: str) -> DurableFuture[PromiseOutcome[T]]:
        """Have everybody who waits for it get `PromiseRejected`, unless it is settled; return the actual outcome."""
        here = machine()
        data = _checked_reason(reason)
        own = PromiseOutcome[T](True, error=PromiseRejected(reason))
        found = self._find(here, None, creates=True)
        return _task(here, self._settle(here, found, functools.partial(RejectPromise, reason=reason), len(data), own))

    def __repr__(self) -> str:
        return f"<durable promise {self.name!r}>"

    def _find(self, here: Machine, due: int | None, *, creates: bool) -> HostCall[OplogIndex | None]:
        """Ask for the index of the promise in its own oplog: another after each time that it was disposed of."""
        return here.start(NamedPromise(self.name, due, creates), len(self.name), _decode_index)

    async def _peek(self, here: Machine, found: HostCall[OplogIndex | None]) -> T | None:
        index = await found
        if index is None:
            return None
        value: T | None = await here.start(PollPromise(self._owner, index), 8, self._payload.decode_settled)
        return value

    async def _get(self, here: Machine, found: HostCall[OplogIndex | None]) -> T:
        index = _known(await found)
        value: T = await here.start(AwaitPromise(self._owner, index), 8, self._payload.decode)
        return value

    async def _settle(
        self,
        here: Machine,
        found: HostCall[OplogIndex | None],
        request: Callable[[WorkerId, OplogIndex], Request],
        size_bytes: int,
        own: PromiseOutcome[T],
    ) -> PromiseOutcome[T]:
        index = _known(await found)
        if await here.start(request(self._owner, index), size_bytes, _decode_bool):
            return own
        try:
            return PromiseOutcome(
                False, await here.start(PollPromise(self._owner, index), 8, self._payload.decode_settled)
            )
        except TerminalError as error:
            return PromiseOutcome(False, error=error)


@overload
def durable_promise(name: str, expected: None, /, timeout: float | None = None) -> DurablePromise[None]: ...
@overload
def durable_promise(name: str, expected: type[T], /, timeout: float | None = None) -> DurablePromise[T]: ...
@overload
def durable_promise(name: str, expected: Any = Any, /, timeout: float | None = None) -> DurablePromise[Any]: ...
def durable_promise(name: str, expected: Any = Any, /, timeout: float | None = None) -> DurablePromise[Any]:
    """Return the durable promise of a name: whoever names it, wherever, means the same one.

    This writes nothing: the promise is created by whoever waits for it or settles it first, and keeps its outcome until
    it is disposed of.

    Args:
      name: 1 to 256 bytes of UTF-8 without control characters.
      expected: the value's type, any annotation.
      timeout: seconds after which it settles as timed out, for everybody, if it is `get` here that creates it. (The
        limit of one's own patience is `wait_for`.)

    Raises:
      TerminalError: the name is out of limits.
      TypeError: no value of that type can be read from JSON.
    """
    try:
        check_worker_name(name)
    except BadArguments as error:
        raise TerminalError(f"the name of a durable promise: {error.message}", 400) from None
    return DurablePromise(name, _payload_of(expected), None if timeout is None else microseconds(timeout))


class Payload:
    """What promises carry, to JSON and back, by an annotation."""

    __slots__ = ("_decode", "annotation")

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self._decode = msgspec.json.Decoder(annotation).decode

    def encode(self, value: Any) -> bytes:
        """Return a value as JSON.

        Raises:
          TerminalError: it has no such form, is nested too deeply, or does not fit the annotation.
        """
        try:
            data = encode(value)
        except MemoryError:
            raise
        except Exception as error:  # a value's own hooks may raise anything
            raise TerminalError(f"the value of a promise cannot be written as JSON: {error}", 400) from None
        if self.annotation is not Any:
            self.decode(data)
        return data

    def decode(self, data: bytes | None) -> Any:
        """Return the value of a payload; an empty one is None.

        Raises:
          TerminalError: it is nested too deeply or does not fit the annotation; the message says where.
        """
        try:
            deep = nested_too_deep(data) if data else 0
            if deep:
                raise ValueError(f"nested {deep} deep, the limit is {NESTING_MAX}")
            return self._decode(data or b"null")
        except MemoryError:
            raise
        except Exception as error:
            raise TerminalError(f"the promise's value does not fit {name_of(self.annotation)}: {error}") from None

    def decode_settled(self, data: bytes | None) -> Any:
        """Return the value of a payload; None if there is none because the promise is pending."""
        return None if data is None else self.decode(data)


def _payload_of(annotation: Any) -> Payload:
    try:
        return _remembered(annotation)
    except TypeError:  # it cannot be hashed, or converted
        return _payload(annotation)


def _payload(annotation: Any) -> Payload:
    try:
        check_annotation("a promise's value", annotation)
    except BadHandler as error:
        raise TypeError(error.message) from None
    return Payload(annotation)


_remembered = functools.lru_cache(maxsize=1024)(_payload)


def _task(here: Machine, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
    invocation = here.invocation
    assert invocation is not None
    task = invocation.tasks[coroutine] = Task(invocation, coroutine)
    return task


def _known(index: OplogIndex | None) -> OplogIndex:
    if index is None:
        raise TerminalError("the durable promise could not be created")
    return index


def _checked_id(awakeable_id: str) -> str:
    if not isinstance(awakeable_id, str):
        raise TypeError(f"an awakeable id is a str, not {type(awakeable_id).__name__}")
    try:
        return str(AwakeableId.parse(awakeable_id))
    except BadArguments as error:
        raise TerminalError(error.message, 400) from None


def _checked_reason(reason: str) -> bytes:
    if not isinstance(reason, str):
        raise TypeError(f"the reason of a rejection is a str, not {type(reason).__name__}")
    return reason.encode()  # raises for what no record can hold


def _rejection(reason: str) -> Failure:
    return Failure(PromiseRejected.kind, reason, 500)
