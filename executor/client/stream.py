"""A stream of items on a connection of its own.

So a slow consumer holds up nobody but the executor's end of this one stream, and to leave it is to close the
connection: the executor needs no other word.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, cast

import anyio
from anyio.abc import ByteStream

from promissory.executor.client.link import READ_BYTES, open_stream, value_of
from promissory.executor.protocol.frames import FrameReader, MalformedFrame, encode_frame
from promissory.oplog.errors import Disconnected, PromissoryError


class ItemStream:
    """The items of one streaming operation, as an async iterator on a connection of its own.

    It connects at the first item asked for. Cancelled while it waits, it loses nothing: the next item asked for is
    the next one. It is closed at its end, by an error, by `aclose`, on leaving `async with`, and with its client.
    """

    def __init__(self, path: str, op: str, fields: Mapping[str, Any], streams: set[ItemStream]) -> None:
        encode_frame({"id": 1, "op": op, **fields})  # what no frame can hold is refused where it is given
        self._path = path
        self._op = op
        self._fields = fields
        self._streams = streams
        self._stream: ByteStream | None = None
        self._reader = FrameReader()
        self._messages: deque[dict[str, Any]] = deque()
        self._closed = False
        self.value: Any = None
        """What the executor answered at the end of the items."""

    def __aiter__(self) -> ItemStream:
        return self

    async def __aenter__(self) -> ItemStream:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __anext__(self) -> Any:
        """Wait for the next item.

        Raises:
          Disconnected: there is no connection, or no longer.
          PromissoryError: the executor's error.
        """
        if self._closed:
            raise StopAsyncIteration
        try:
            while not self._messages:
                await self._receive()
        except PromissoryError:
            await self.aclose()
            raise
        message = self._messages.popleft()
        if "item" in message:
            return message["item"]
        await self.aclose()
        self.value = value_of(message)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close the connection; the executor stops sending."""
        self._closed = True
        self._streams.discard(self)
        stream, self._stream = self._stream, None
        if stream is not None:
            await anyio.aclose_forcefully(stream)

    async def _receive(self) -> None:
        if self._stream is None:
            await self._open()
        stream = cast("ByteStream", self._stream)
        try:
            self._messages.extend(self._reader.feed(await stream.receive(READ_BYTES)))
        except (anyio.EndOfStream, anyio.BrokenResourceError) as exc:
            raise Disconnected("the connection to the executor was lost") from exc
        except anyio.ClosedResourceError as exc:
            raise Disconnected("the stream was closed") from exc
        except MalformedFrame as exc:
            raise Disconnected(f"the executor does not keep to the protocol: {exc}") from exc

    async def _open(self) -> None:
        stream, reader, hello = await open_stream(self._path)
        try:
            await stream.send(encode_frame({"id": 1, "op": self._op, **hello.fitting(self._op, self._fields)}))
        except BaseException as exc:
            await anyio.aclose_forcefully(stream)
            if isinstance(exc, anyio.BrokenResourceError):
                raise Disconnected("the connection to the executor was lost") from exc
            raise
        self._stream, self._reader = stream, reader
        self._streams.add(self)
