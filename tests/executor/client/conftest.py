"""A peer that speaks frames over a real socket, and a client of it, under trio and under asyncio."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

from promissory.executor.client import Client, connect
from promissory.executor.protocol.frames import FrameReader, encode_frame

HELLO = {"protocol": 1, "executor": "0.1.0"}


class Connection:
    """The peer's end of one connection."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.chunks = 0
        self._reader = FrameReader()
        self._requests: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        while not self._requests:
            self._requests += self._reader.feed(await self.stream.receive(1 << 18))
            self.chunks += 1
        return self._requests.pop(0)

    async def send(self, *messages: dict[str, Any]) -> None:
        await self.stream.send(b"".join(encode_frame(message) for message in messages))

    async def answer(self, value: Any) -> dict[str, Any]:
        """Answer the next request with a value and return the request."""
        request = await self.receive()
        await self.send({"id": request["id"], "ok": value})
        return request


Script = Callable[[Connection], Awaitable[None]]
Body = Callable[[Client], Awaitable[None]]


@pytest.fixture
def path() -> Iterator[str]:
    directory = tempfile.mkdtemp(prefix="promissory-")  # tmp_path may be too long for a socket
    yield f"{directory}/admin.sock"
    shutil.rmtree(directory)


@pytest.fixture(params=["trio", "asyncio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def peer(path: str) -> Callable[..., Any]:
    """A context manager that runs a script for each connection; a hello of its own if given."""

    @asynccontextmanager
    async def serving(script: Script, hello: dict[str, Any] | None = None) -> AsyncIterator[None]:
        async def serve(stream: ByteStream) -> None:
            async with stream:
                connection = Connection(stream)
                with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    await connection.send(HELLO if hello is None else hello)
                    await script(connection)

        listener = await anyio.create_unix_listener(path)
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    return serving


@pytest.fixture
def converse(backend: str, path: str, peer: Callable[..., Any]) -> Callable[[Script, Body], None]:
    """Run a script as the peer and a body as its client, for ten seconds at most."""

    def run(script: Script, body: Body) -> None:
        async def main() -> None:
            with anyio.fail_after(10):
                async with peer(script), connect(path) as client:
                    await body(client)

        anyio.run(main, backend=backend)

    return run


@pytest.fixture
def echo() -> Script:
    """A script that answers every invocation with its own arguments."""

    async def script(connection: Connection) -> None:
        while True:
            request = await connection.receive()
            await connection.send({"id": request["id"], "ok": {"invocation": "inv_1AAAA", "result": request["params"]}})

    return script
