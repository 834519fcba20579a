"""Streams of items: their end, cancellation, being left, back-pressure."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import anyio
import pytest

from promissory.executor.client import Client, Disconnected, connect
from promissory.oplog.errors import (
    NotFound,
)


def test_a_stream_gives_its_items_and_then_its_value(converse: Any) -> None:
    """A stream iterates over the items, keeps what came with the end, and stays at its end."""

    async def script(connection: Any) -> None:
        with suppress(anyio.EndOfStream):
            request = await connection.receive()
            assert request == {"id": 1, "op": "oplog.read", "worker": "a/b"}
            await connection.send({"id": 1, "item": 1}, {"id": 1, "item": 2}, {"id": 1, "ok": {"more": False}})

    async def body(client: Client) -> None:
        stream = client.stream("oplog.read", worker="a/b")
        assert [item async for item in stream] == [1, 2]
        assert stream.value == {"more": False}
        assert [item async for item in stream] == []

    converse(script, body)


def test_a_stream_is_cancel_safe(peer: Any, backend: str, path: str) -> None:
    """A wait for an item may be cancelled: the next wait gets the item that comes next."""

    async def main() -> None:
        go_on = anyio.Event()

        async def script(connection: Any) -> None:
            with suppress(anyio.EndOfStream):
                await connection.receive()
                await connection.send({"id": 1, "item": 1})
                await go_on.wait()
                await connection.send({"id": 1, "item": 2})
                await anyio.sleep_forever()

        async with peer(script), connect(path) as client, client.stream("oplog.follow") as items:
            assert await anext(items) == 1
            with anyio.move_on_after(0.01) as scope:
                await anext(items)
            assert scope.cancelled_caught
            go_on.set()
            assert await anext(items) == 2

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("leave", ["with", "client", "break"])
def test_leaving_a_stream_ends_its_connection(peer: Any, backend: str, path: str, leave: str) -> None:
    """A stream that is left half way, and one that its client outlives, tells the executor by hanging up."""

    async def main() -> None:
        hung_up = anyio.Event()

        async def script(connection: Any) -> None:
            await connection.receive()
            await connection.send({"id": 1, "item": 1})
            try:
                await connection.receive()
            except anyio.EndOfStream:
                hung_up.set()

        with anyio.fail_after(10):
            async with peer(script):
                async with connect(path) as client:
                    stream = client.stream("oplog.follow")
                    if leave == "with":
                        async with stream:
                            assert await anext(stream) == 1
                        await hung_up.wait()
                    elif leave == "break":
                        async for _ in stream:
                            break
                    else:
                        assert await anext(stream) == 1
                await hung_up.wait()

    anyio.run(main, backend=backend)


def test_a_slow_stream_holds_up_nobody(peer: Any, backend: str, path: str) -> None:
    """While nobody takes a stream's items, the executor cannot send more of them, and requests go on."""

    async def main() -> None:
        sent = 0

        async def script(connection: Any) -> None:
            nonlocal sent
            request = await connection.receive()
            if request["op"] != "oplog.follow":
                await connection.send({"id": request["id"], "ok": "fine"})
                return
            while True:
                await connection.send({"id": 1, "item": b"x" * 100_000})
                sent += 1

        with anyio.fail_after(10):
            async with peer(script), connect(path) as client, client.stream("oplog.follow") as items:
                await anext(items)
                assert await client.request("status") == "fine"
                assert sent < 100

    anyio.run(main, backend=backend)


def test_a_streams_errors_are_raised_once_and_end_it(converse: Any) -> None:
    """The executor's error and a lost connection end a stream with a clear error."""

    async def script(connection: Any) -> None:
        request = await connection.receive()
        if request.get("worker") == "a/b":
            await connection.send({"id": 1, "item": 1}, {"id": 1, "error": {"code": "not_found", "message": "gone"}})

    async def body(client: Client) -> None:
        stream = client.stream("oplog.follow", worker="a/b")
        assert await anext(stream) == 1
        with pytest.raises(NotFound, match="gone"):
            await anext(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        with pytest.raises(Disconnected, match="lost"):
            await anext(client.stream("oplog.follow"))

    converse(script, body)
