"""A durable promise as a client has it: the methods of `promissory.DurablePromise`, as coroutines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from promissory.oplog.errors import PromiseDeleted, PromiseRejected, TerminalError, terminal_error
from promissory.oplog.ids import NAME_SCHEME
from promissory.workers.promises import Payload, PromiseOutcome

T = TypeVar("T")

Request = Callable[..., Awaitable[Any]]


class ClientPromise(Generic[T]):
    """A promise known by its name; `Asker.durable_promise` makes it.

    Args:
      request: performs an operation of the admin protocol.
      name: the promise's.
      payload: its value's type.
    """

    def __init__(self, request: Request, name: str, payload: Payload) -> None:
        self._request = request
        self._promise = f"{NAME_SCHEME}{name}"
        self._payload = payload

    async def peek(self) -> T | None:
        """Return the value; None while it is pending, or nobody has used the name yet. It creates nothing.

        Raises:
          PromiseRejected, TimedOut, TerminalError: as `get`.
        """
        answer = await self._request("promise.poll", promise=self._promise)
        return None if answer["state"] == "pending" else self._read(answer)

    async def get(self) -> T:
        """Wait for the value; the promise is created if nobody has used the name before.

        Raises:
          PromiseRejected: it was rejected; the message is the reason.
          PromiseDeleted: it was disposed of.
          TimedOut: its deadline passed.
          TerminalError: the value does not fit the type.
        """
        return self._read(await self._request("promise.await", promise=self._promise))

    async def resolve(self, value: T) -> PromiseOutcome[T]:
        """Settle it with a value, unless it is settled; return the actual outcome, which is durable then."""
        data = self._payload.encode(value)
        return self._outcome(await self._request("promise.complete", promise=self._promise, data=data))

    async def reject(self, reason: str) -> PromiseOutcome[T]:
        """Have everybody who waits for it get `PromiseRejected`, unless it is settled; return the actual outcome."""
        return self._outcome(await self._request("promise.reject", promise=self._promise, message=reason))

    async def dispose(self) -> bool:
        """Forget it: whoever waits gets `PromiseDeleted`, and the name is open again; False if there was none."""
        return bool((await self._request("promise.delete", promise=self._promise))["deleted"])

    def _read(self, answer: dict[str, Any]) -> T:
        value: T = self._payload.decode(settled_payload(answer))
        return value

    def _outcome(self, answer: dict[str, Any]) -> PromiseOutcome[T]:
        settled = bool(answer["settled"])
        try:
            return PromiseOutcome(settled, self._read(answer))
        except TerminalError as error:
            return PromiseOutcome(settled, error=error)


def settled_payload(answer: dict[str, Any]) -> bytes:
    """Return the payload of a settled promise as the protocol shows it.

    Raises:
      PromiseRejected, PromiseDeleted, TimedOut: it has none.
    """
    if answer["state"] == "resolved":
        return bytes(answer.get("data") or b"")
    message = str(answer.get("error") or f"promise {answer['promise']} is {answer['state']}")
    if answer["state"] == "deleted":
        raise PromiseDeleted(message, 404)
    raise terminal_error(str(answer.get("kind") or PromiseRejected.kind), message, int(answer.get("code") or 500))
