"""An admin socket in the test's own trio program, and a client that speaks frames and nothing more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from promissory import Worker
from promissory.executor.config import Config
from promissory.executor.protocol.frames import FrameReader, encode_frame
from promissory.executor.server.server import Server
from promissory.executor.turns.executor import Executor, running

PATIENCE_SECONDS = 30.0
"""No answer takes longer; reaching it is a failure."""


@asynccontextmanager
async def serving(
    directory: Path, classes: Sequence[type[Worker]], config: Config | None = None
) -> AsyncIterator[tuple[Executor, Path]]:
    """Run an executor behind its admin socket for as long as the block lasts; give it and the socket's path."""
    path = directory / "data" / "admin.sock"
    async with running(directory / "data", config or Config()) as executor:
        executor.registry.add(classes, remember=False)
        server = Server(executor, path)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.run)
                executor.start()
                # No worker has a turn before the start is durable: what a test asks first is to find it so.
                await executor.durable()
                yield executor, path
                nursery.cancel_scope.cancel()
        finally:
            server.close()


class RawClient:
    """One connection, frame by frame."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._reader = FrameReader()
        self._frames: list[dict[str, Any]] = []
        self._next_id = 0

    async def send(self, *messages: dict[str, Any]) -> None:
        """Send messages in one write."""
        await self.send_bytes(b"".join(encode_frame(message) for message in messages))

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes, whatever they are; silent when nobody takes them."""
        with trio.fail_after(PATIENCE_SECONDS):
            with suppress(trio.BrokenResourceError):
                await self.stream.send_all(data)

    async def receive(self) -> dict[str, Any] | None:
        """Return the next message; None when the server has closed."""
        with trio.fail_after(PATIENCE_SECONDS):
            while not self._frames:
                try:
                    data = await self.stream.receive_some(1 << 16)
                except trio.BrokenResourceError:
                    return None
                if not data:
                    return None
                self._frames += self._reader.feed(bytes(data))
        return self._frames.pop(0)

    async def answer(self, request_id: int) -> dict[str, Any]:
        """Return the last word on a request; what comes before it is dropped."""
        while True:
            message = await self.receive()
            assert message is not None, "the server closed the connection"
            if message.get("id") == request_id and "item" not in message:
                return message

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Perform a request and return its last word."""
        self._next_id += 1
        await self.send({"id": self._next_id, "op": op, **fields})
        return await self.answer(self._next_id)

    async def close(self) -> None:
        """Close the connection."""
        await self.stream.aclose()


@asynccontextmanager
async def raw(path: Path, *, hello: bool = True) -> AsyncIterator[RawClient]:
    """Connect; the server's hello is taken unless it is to be looked at."""
    stream = await trio.open_unix_socket(path)
    client = RawClient(stream)
    try:
        if hello:
            greeting = await client.receive()
            assert greeting is not None
            assert greeting["protocol"] == 1
        yield client
    finally:
        await trio.aclose_forcefully(stream)
