"""Host functions: what a handler asks of its host. Each one that is awaited is under way once it is called."""

from __future__ import annotations

import math
import uuid as _uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import msgspec

from promissory.oplog.entries import AwaitPromise, CompletePromise, CreatePromise, DeletePromise, PollPromise, Sleep
from promissory.oplog.errors import BadArguments, TerminalError
from promissory.oplog.ids import OplogIndex, PromiseId, WorkerId
from promissory.workers.guard import current
from promissory.workers.machine.futures import DurableFuture, HostCall
from promissory.workers.machine.machine import Machine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_MAX = 100 * 366 * 24 * 3600
_decode_bool = msgspec.json.Decoder(bool).decode


def machine() -> Machine:
    """Return the machine whose step this is.

    Raises:
      RuntimeError: this is no handler's step: a thread, a query, a constructor, a `finally` of a dropped worker.
    """
    context = current.context
    if context.__class__ is Machine:
        return context
    if context is None:
        raise RuntimeError("outside of a handler: only a handler, in its own thread, has this function of `workers`")
    raise context.refused()


def create_promise(timeout: float | None = None) -> PromiseId:
    """Create a promise and return its id at once; the promise is durable before anybody outside can see the id.

    Args:
      timeout: seconds after which it settles as timed out; None waits for ever.
    """
    here = machine()
    timeout_us = None if timeout is None else microseconds(timeout)
    return PromiseId(here.created.worker_id, here.emit(CreatePromise(timeout_us), 8))


def await_promise(promise: PromiseId | str) -> DurableFuture[bytes]:
    """Wait for a promise, this worker's or another's, and return its payload.

    Raises (at the await):
      PromiseRejected: it was rejected; the message is the reason.
      PromiseDeleted: it, or its worker, is gone.
      TimedOut: its deadline passed.
      TerminalError: there is no such promise.
    """
    here = machine()
    owner, index = _promise(here, promise)
    return here.start(AwaitPromise(owner, index), 8, _payload)


def poll_promise(promise: PromiseId | str) -> DurableFuture[bytes | None]:
    """Return a promise's payload, or None while it is pending.

    Raises (at the await):
      PromiseRejected, PromiseDeleted, TimedOut, TerminalError: as `await_promise`.
    """
    here = machine()
    owner, index = _promise(here, promise)
    return here.start(PollPromise(owner, index), 8, _as_it_is)


def complete_promise(promise: PromiseId | str, payload: bytes) -> DurableFuture[bool]:
    """Settle a promise with a payload and return True if it was this call that settled it.

    Raises (at the await):
      TerminalError: there is no such promise.
    """
    here = machine()
    if not isinstance(payload, (bytes, bytearray, memoryview)):
        raise TypeError(f"the payload of a promise is bytes, not {type(payload).__name__}")
    data = bytes(payload)
    owner, index = _promise(here, promise)
    return here.start(CompletePromise(owner, index, data), len(data), _decode_bool)


def delete_promise(promise: PromiseId | str) -> DurableFuture[None]:
    """Delete a promise of this worker; whoever waits for it gets `PromiseDeleted`.

    Raises:
      TerminalError: it is another worker's.
    """
    here = machine()
    owner, index = _promise(here, promise)
    if owner is not None:
        raise TerminalError(f"promise {promise} belongs to another worker: only its owner may delete it", 403)
    return here.start(DeletePromise(index), 8, _nothing)


def sleep(seconds: float) -> DurableFuture[None]:
    """Wait, durably: the time passes while the worker is not in memory or the executor is down."""
    return start_sleep(machine(), seconds)


def start_sleep(here: Machine, seconds: float) -> HostCall[None]:
    """Start a timer of the machine's running invocation."""
    return here.start(Sleep(microseconds(seconds)), 8, _nothing)


def now() -> datetime:
    """Return the time, in UTC, of the latest input the worker has seen: the same in every replay."""
    return _EPOCH + timedelta(microseconds=machine().time)


def random() -> float:
    """Return a number from 0 up to 1: the same in every replay."""
    return machine().random().random()


def uuid4() -> _uuid.UUID:
    """Return a random UUID: the same in every replay."""
    return _uuid.UUID(int=machine().random().getrandbits(128), version=4)


def current_worker() -> WorkerId:
    """Return the id of the worker whose handler runs."""
    return machine().created.worker_id


def environment() -> Mapping[str, str]:
    """Return what the worker was created with besides its arguments."""
    return MappingProxyType(machine().created.env)


def idempotency_key() -> str:
    """Return the key of the running invocation; a call's is made from its caller, as a UUID."""
    invocation = machine().invocation
    assert invocation is not None
    entry = invocation.entry
    if entry.key is not None:
        return entry.key
    return str(_uuid.uuid5(_uuid.NAMESPACE_URL, f"promissory:call:{entry.caller}/{entry.caller_start}"))


class Log:
    """Lines for people, noted in the oplog with the step that wrote them: once, and not again in replay."""

    __slots__ = ()

    def debug(self, message: object) -> None:
        """Note what helps to find a mistake."""
        _log("debug", message)

    def info(self, message: object) -> None:
        """Note what happened."""
        _log("info", message)

    def warning(self, message: object) -> None:
        """Note what should not have happened."""
        _log("warning", message)

    def error(self, message: object) -> None:
        """Note what went wrong."""
        _log("error", message)


log = Log()


def microseconds(seconds: float) -> int:
    """Return a duration in whole microseconds.

    Raises:
      ValueError: it is negative, not finite, or more than a hundred years.
    """
    if not 0 <= seconds <= _SECONDS_MAX:
        raise ValueError(f"{seconds!r} seconds: a duration is between 0 and {_SECONDS_MAX} seconds")
    return math.ceil(seconds * 1_000_000) if isinstance(seconds, float) else int(seconds * 1_000_000)


def _log(level: str, message: object) -> None:
    machine().log(level, str(message).encode(errors="backslashreplace").decode())


def _promise(here: Machine, promise: PromiseId | str) -> tuple[WorkerId | None, OplogIndex]:
    if not isinstance(promise, PromiseId):
        if not isinstance(promise, str):
            raise TypeError(f"a promise is given by its PromiseId or the text of it, not {type(promise).__name__}")
        try:
            promise = PromiseId.parse(promise)
        except BadArguments as error:
            raise TerminalError(str(error), 400) from None
    owner = promise.worker_id
    return (None if owner == here.created.worker_id else owner), promise.oplog_idx


def _payload(data: bytes | None) -> bytes:
    if data is None:
        raise ValueError("a promise has a payload")
    return data


def _as_it_is(data: bytes | None) -> bytes | None:
    return data


def _nothing(data: Any) -> None:
    return None
