"""`connect`, and the `Client` that it gives: the operations of the admin protocol on one connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from promissory.executor.client.link import Link, open_stream
from promissory.executor.client.methods import Asker
from promissory.executor.client.stream import ItemStream


@asynccontextmanager
async def connect(socket: str | Path) -> AsyncIterator[Client]:
    """Connect to the executor at an admin socket, for as long as the `async with` lasts.

    Raises:
      Disconnected: nobody listens there, or somebody who speaks another protocol.
    """
    path = str(socket)
    stream, reader, hello = await open_stream(path)
    link = Link(stream, reader, hello)
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


class Client(Asker):
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

    async def close_streams(self) -> None:
        """Close every stream that was left half way."""
        for stream in list(self._streams):
            await stream.aclose()
