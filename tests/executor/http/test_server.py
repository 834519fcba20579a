"""The application behind a real server, on asyncio: keep-alive, pipelines, clients that hang up or close half."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import uvicorn

import promissory
from promissory.executor.http import connections
from promissory.executor.http.connections import Connection
from promissory.executor.http.upstream import hangups as vigil
from promissory.executor.turns.executor import Executor
from tests.admin import serving
from tests.executor.http.conftest import CLASSES


@asynccontextmanager
async def listening(tmp_path: Path) -> AsyncIterator[tuple[Executor, int]]:
    """Serve the application on a port of its own, in a thread."""
    async with serving(tmp_path, CLASSES) as (running, path):
        config = uvicorn.Config(
            promissory.http.app(path),
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield running, listener.getsockname()[1]
        finally:
            server.should_exit = True
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(thread.join)
            listener.close()


def request(method: str, path: str, body: bytes = b"") -> bytes:
    return b"%b %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (
        method.encode(),
        path.encode(),
        len(body),
        body,
    )


class Raw:
    """A connection, byte by byte."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._bytes = b""

    async def answer(self, *, head: bool = False) -> tuple[int, bytes]:
        """Return the next response's status and body."""
        with trio.fail_after(30):
            while b"\r\n\r\n" not in self._bytes:
                await self._more()
            start, _, self._bytes = self._bytes.partition(b"\r\n\r\n")
            lines = start.lower().split(b"\r\n")
            size = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
            while not head and len(self._bytes) < size:
                await self._more()
        body, self._bytes = (b"", self._bytes) if head else (self._bytes[:size], self._bytes[size:])
        return int(lines[0].split()[1]), body

    async def _more(self) -> None:
        data = await self.stream.receive_some()
        assert data, "the server closed the connection"
        self._bytes += data


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[Raw]:
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        yield Raw(stream)


async def test_keep_alive_and_pipelines(tmp_path: Path) -> None:
    """Requests on one connection are answered in order; HEAD has no body; what was refused does no harm."""
    async with listening(tmp_path) as (_, port), connection(port) as raw:
        await raw.stream.send_all(request("POST", "/cart/a%2Fb/run", b'"1"') + request("POST", "/cart/c/run", b'"2"'))
        assert [await raw.answer(), await raw.answer()] == [(200, b'"1"'), (200, b'"2"')]
        await raw.stream.send_all(request("HEAD", "/cart/c/all"))
        assert await raw.answer(head=True) == (200, b"")
        await raw.stream.send_all(b"POST /cart/c/run HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n")
        assert (await raw.answer())[0] == 413


class Waits:
    """Sees the wait for an invocation begin, and be dropped.

    Args:
      running: whom to look at.
      monkeypatch: puts things back.
    """

    def __init__(self, running: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
        self._watchers = running.watchers
        self._add = running.watchers.add
        self._began, self._dropped = trio.Event(), trio.Event()
        monkeypatch.setattr(running.watchers, "add", self._watched)
        monkeypatch.setattr(vigil, "TICK_SECONDS", 0.01)

    def _watched(self, *args: Any) -> Any:
        take_back = self._add(*args)
        self._began.set()

        def taken_back() -> None:
            take_back()
            self._dropped.set()

        return taken_back

    async def begun(self) -> None:
        """Wait until it has begun."""
        with trio.fail_after(30):
            await self._began.wait()

    async def dropped(self) -> None:
        """Wait until it is dropped, and nobody waits."""
        with trio.fail_after(30):
            await self._dropped.wait()
        assert self._watchers.count() == 0


@pytest.mark.parametrize("how", ["close", "half"])
async def test_who_hangs_up_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The wait of a client that hangs up, or closes its half, is dropped; the invocation goes on."""
    async with listening(tmp_path) as (running, port), connection(port) as other:
        waits = Waits(running, monkeypatch)
        async with connection(port) as raw:
            await raw.stream.send_all(request("POST", "/cart/c1/wait"))
            await waits.begun()
            if how == "half":
                await raw.stream.send_eof()
            else:
                await raw.stream.aclose()
            await waits.dropped()
        body = b'{"oplogIdx": 3, "data": []}'
        await other.stream.send_all(request("POST", "/v1/components/cart/workers/c1/complete", body))
        assert await other.answer() == (200, b"true")


async def test_who_hangs_up_a_pipeline_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait of a client that hangs up is dropped, too, if another request came after it on the connection."""
    async with listening(tmp_path) as (running, port), connection(port) as raw:
        waits = Waits(running, monkeypatch)
        await raw.stream.send_all(request("POST", "/cart/c1/wait") + request("GET", "/health"))
        await waits.begun()
        await raw.stream.aclose()
        await waits.dropped()


@pytest.mark.parametrize("start", [b"", b"GET /health HTTP/1.1\r\nx-a: b\r\n"], ids=["silent", "half a head"])
async def test_who_never_says_what_they_want_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    """A connection on which no whole head comes is closed after its time, without an answer."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.05)
    async with listening(tmp_path) as (_, port), connection(port) as raw:
        if start:
            await raw.stream.send_all(start)
        with trio.fail_after(30):
            assert await raw.stream.receive_some() == b""


async def test_a_second_head_has_its_time_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an answer, too, half a head ends the connection; a whole one in time does not."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.0)
    async with listening(tmp_path) as (_, port), connection(port) as raw:
        for _ in range(2):
            await raw.stream.send_all(request("GET", "/cart/c1/all"))
            assert (await raw.answer())[0] == 200
        await raw.stream.send_all(b"GET /health HTTP/1.1\r\n")
        with trio.fail_after(30):
            assert await raw.stream.receive_some() == b""


@pytest.mark.parametrize("count", [1, 100])
async def test_heads_have_a_limit(tmp_path: Path, count: int) -> None:
    """A head that does not end within the limit is answered 431 and the connection closed, in one header or many."""
    filler = b"x" * (connections.HEAD_BYTES_MAX * 4 // count)
    async with listening(tmp_path) as (_, port), connection(port) as raw:
        await raw.stream.send_all(b"GET /health HTTP/1.1\r\nhost: x\r\n")
        with suppress(trio.BrokenResourceError):
            for number in range(count):
                await raw.stream.send_all(b"x-%d: %b\r\n" % (number, filler))
        received = b""
        with trio.fail_after(30), suppress(trio.BrokenResourceError):
            while data := await raw.stream.receive_some():
                received += data
        assert received == b"" or received.startswith(b"HTTP/1.1 431 ")
