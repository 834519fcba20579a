"""The client of an executor: everything that can be asked of one over its admin socket, under trio or asyncio.

    async with executor.connect("promissory-data/admin.sock") as client:
        await client.invoke("worker://approval/order-7", "submit", {"order_id": "7"})

Arguments and results are JSON, payloads of promises are bytes. A client may be used from many tasks at once; their
requests travel together on one connection and are answered in any order, but two for one worker are taken in the
order in which they were made.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from executor.client_link import Disconnected, ItemStream, Link, open_stream
from oplog.errors import BadArguments, PromiseDeleted, PromiseRejected

if TYPE_CHECKING:
    from oplog.ids import InvocationId, PromiseId

__all__ = ["Client", "Disconnected", "ItemStream", "connect"]

_SCHEME = "worker://"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@asynccontextmanager
async def connect(socket: str | Path) -> AsyncIterator[Client]:
    """Connect to the executor at an admin socket, for as long as the `async with` lasts.

    Raises:
      Disconnected: nobody listens there, or somebody who speaks another protocol.
    """
    path = str(socket)
    stream, reader = await open_stream(path)
    link = Link(stream, reader)
    client = Client(link, path)
    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.read)
            tasks.start_soon(link.write)
            try:
                yield client
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as exc:
                # Raised again outside, so that what the body raises does not come out wrapped in a group.
                failure = exc
            finally:
                tasks.cancel_scope.cancel()
    finally:
        await anyio.aclose_forcefully(stream)
        await client.close_streams()
    if failure is not None:
        try:
            raise failure
        finally:
            failure = None


class Client:
    """A connection to an executor; `connect` makes it."""

    def __init__(self, link: Link, path: str) -> None:
        self._link = link
        self._path = path
        self._streams: set[ItemStream] = set()

    async def request(self, op: str, /, *, on_item: Callable[[Any], None] | None = None, **fields: Any) -> Any:
        """Perform an operation of the admin protocol and return its value.

        Args:
          op: the operation's name.
          on_item: called with each item of an operation that sends some before its answer.
          **fields: the operation's fields.

        Raises:
          Disconnected: the connection is lost.
          PromissoryError: the executor's error, of the class that its code names.
        """
        return await self._link.request(op, fields, on_item)

    def stream(self, op: str, /, **fields: Any) -> ItemStream:
        """Return the items of a streaming operation, on a connection of their own.

        Use it as `async with client.stream(...) as items`, or `async for` to its end; a stream that is left half way
        is closed with the client.
        """
        return ItemStream(self._path, op, fields, self._streams)

    async def invoke(
        self,
        uri: str,
        function: str,
        /,
        *args: Any,
        key: str | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> Any:
        """Call a handler and wait for its result; for a query, answer it.

        The invocation is durable before anything comes back. Cancelled, or when the connection is lost, only the
        waiting ends: the invocation goes on.

        Args:
          uri: `worker://COMPONENT/NAME`.
          function: the handler's or query's name.
          *args: its arguments, anything that msgspec writes as JSON.
          key: the idempotency key: with one that was used before, the outcome of then.
          announce: called with the invocation's id as soon as it is durable.

        Returns:
          The result as JSON's builtins.

        Raises:
          TerminalError: the handler's own error.
          Paused: the worker gave up for now; the invocation stays and can be attached to.
          RequestError: the executor refused it; nothing was written.
          Disconnected: the connection is lost. Its `invocation` is set if that was announced; if not, whether there
            is one is not known, and asking again with the same key tells.
        """
        fields = _call(uri, function, args, key)
        if announce is None:
            return _decode((await self._link.request("invoke", fields))["result"])
        announced: list[str] = []

        def on_item(item: Any) -> None:
            announced.append(item["invocation"])
            announce(item["invocation"])

        fields["announce"] = True
        try:
            return _decode((await self._link.request("invoke", fields, on_item))["result"])
        except Disconnected as exc:
            if announced:
                raise Disconnected(exc.message, invocation=announced[0]) from exc
            raise

    async def send(
        self, uri: str, function: str, /, *args: Any, key: str | None = None, delay: float | None = None
    ) -> str:
        """Have a handler called and return the invocation's id, without waiting for the result.

        The invocation is durable on return.

        Args:
          uri: `worker://COMPONENT/NAME`.
          function: the handler's name.
          *args: its arguments.
          key: the idempotency key.
          delay: seconds until the invocation is queued.
        """
        fields = _call(uri, function, args, key)
        fields["send"] = True
        if delay is not None:
            fields["delay_us"] = round(delay * 1_000_000)
        answer = await self._link.request("invoke", fields)
        return str(answer["invocation"])

    async def query(self, uri: str, function: str, /, *args: Any) -> Any:
        """Ask a query and return its answer as JSON's builtins; it never creates a worker."""
        return _decode((await self._link.request("query", _call(uri, function, args, None)))["result"])

    async def attach(self, invocation: str | InvocationId) -> Any:
        """Wait for an invocation that there is already and return its result, as `invoke` does.

        Raises:
          NotFound: there is no such invocation.
          Disconnected: the connection is lost; the invocation goes on.
        """
        name = str(invocation)
        try:
            return _decode((await self._link.request("invocation.attach", {"invocation": name}))["result"])
        except Disconnected as exc:
            raise Disconnected(exc.message, invocation=name) from exc

    async def await_promise(self, promise: str | PromiseId) -> bytes:
        """Wait until a promise is settled and return its payload.

        Args:
          promise: `COMPONENT/NAME/INDEX`, the component by name or id.

        Raises:
          PromiseRejected: it was rejected; the message is the reason.
          PromiseDeleted: it, or its worker, was deleted.
          NotFound: there is no such promise.
        """
        return _payload(await self._link.request("promise.await", {"promise": str(promise)}))

    async def poll_promise(self, promise: str | PromiseId) -> bytes | None:
        """Return a promise's payload, or None while it is pending; raises as `await_promise` does."""
        answer = await self._link.request("promise.poll", {"promise": str(promise)})
        return None if answer["state"] == "pending" else _payload(answer)

    async def complete_promise(self, promise: str | PromiseId, payload: bytes) -> bool:
        """Resolve a promise; True if this call settled it. The outcome is durable on return, whoever gave it.

        Raises:
          NotFound: there is no such promise; nothing was written.
        """
        answer = await self._link.request("promise.complete", {"promise": str(promise), "data": payload})
        return bool(answer["settled"])

    async def reject_promise(self, promise: str | PromiseId, message: str) -> bool:
        """Reject a promise with a reason; True if this call settled it. The outcome is durable on return."""
        answer = await self._link.request("promise.reject", {"promise": str(promise), "message": message})
        return bool(answer["settled"])

    async def delete_promise(self, promise: str | PromiseId) -> bool:
        """Delete a promise; True if there was still something to delete. Whoever waits gets `PromiseDeleted`."""
        answer = await self._link.request("promise.delete", {"promise": str(promise)})
        return bool(answer["deleted"])

    async def close_streams(self) -> None:
        """Close every stream that was left half way."""
        for stream in list(self._streams):
            await stream.aclose()


def _call(uri: str, function: str, args: tuple[Any, ...], key: str | None) -> dict[str, Any]:
    if not uri.startswith(_SCHEME):
        raise BadArguments(f"{uri!r} is not of the form worker://COMPONENT/NAME")
    try:
        params = _encode(args)
    except Exception as exc:  # a value's own hooks may raise anything
        raise BadArguments(f"the arguments of {function} cannot be written as JSON: {exc}") from exc
    fields = {"worker": uri[len(_SCHEME) :], "function": function, "params": params}
    if key is not None:
        fields["key"] = key
    return fields


def _payload(answer: dict[str, Any]) -> bytes:
    if answer["state"] == "resolved":
        return bytes(answer.get("data") or b"")
    message = str(answer.get("error") or f"promise {answer['promise']} is {answer['state']}")
    raise PromiseDeleted(message, 404) if answer["state"] == "deleted" else PromiseRejected(message)
