"""Connecting and leaving: who is refused and how, and what passes through `async with`."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream

import promissory.executor.client.link
from promissory.executor.client import Disconnected, connect
from promissory.executor.protocol.frames import encode_frame
from promissory.oplog.errors import (
    LimitReached,
)

HELLO = {"protocol": 1, "executor": "0.1.0"}


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_the_bodys_own_errors_pass_as_they_are(
    peer: Any, echo: Any, backend: str, path: str, error: BaseException
) -> None:
    """What the body of `async with connect` raises comes out of it as it is."""

    async def main() -> None:
        async with peer(echo):
            with pytest.raises(type(error)) as caught:
                async with connect(path):
                    raise error
            assert caught.value is error

    anyio.run(main, backend=backend)


def test_a_deadline_around_the_client_ends_it(peer: Any, backend: str, path: str) -> None:
    """A client inside a cancelled scope is closed, and the scope knows that it was it."""

    async def script(connection: Any) -> None:
        await connection.receive()
        await anyio.sleep_forever()

    async def main() -> None:
        async with peer(script):
            with anyio.move_on_after(0.05) as scope:
                async with connect(path) as client:
                    await client.request("status")
            assert scope.cancelled_caught

    anyio.run(main, backend=backend)


def test_asyncios_own_timeout_works_around_the_client(peer: Any, path: str) -> None:
    """`asyncio.timeout` sees its own cancellation, though the client lives in a task group."""

    async def script(connection: Any) -> None:
        await connection.receive()
        await anyio.sleep_forever()

    async def main() -> None:
        async with peer(script):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), connect(path) as client:
                    await client.request("status")

    anyio.run(main, backend="asyncio")


async def refuse(backend: str, path: str, match: str) -> None:
    with pytest.raises(Disconnected, match=match) as caught:
        async with connect(path):
            pass
    assert "\n" not in str(caught.value)


def test_no_socket_is_a_clear_error(backend: str, path: str) -> None:
    """Without a socket the error names the path and asks whether `promissory serve` runs."""
    anyio.run(refuse, backend, path, f"no executor at {path}: there is no such socket", backend=backend)


def test_a_refused_connection_is_a_clear_error(backend: str, path: str) -> None:
    """A socket that nobody listens on any more is told from one that is not there."""
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    anyio.run(refuse, backend, path, "connection refused", backend=backend)


def test_a_path_that_is_too_long_is_a_clear_error(backend: str) -> None:
    """A path over the kernel's limit is an error of the connection like any other."""
    anyio.run(refuse, backend, "/" + "x" * 200, "path too long", backend=backend)


@pytest.mark.parametrize(
    ("greeting", "match"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "another protocol"),
        (encode_frame({"id": 1, "ok": 1}), "another protocol"),
        (encode_frame(HELLO) * 2, "another protocol"),
        (encode_frame({"protocol": 2}), "speaks protocol 2, this version speaks 1"),
        (b"", "closed the connection before its greeting"),
        (encode_frame(HELLO)[:7], "closed the connection before its greeting"),
    ],
)
def test_who_does_not_greet_as_an_executor_is_refused(backend: str, path: str, greeting: bytes, match: str) -> None:
    """Another protocol, another version, and a hang-up before the greeting each have their own line."""

    async def main() -> None:
        async def serve(stream: ByteStream) -> None:
            async with stream:
                await stream.send(greeting)

        async with await anyio.create_unix_listener(path) as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            await refuse(backend, path, match)
            tasks.cancel_scope.cancel()

    anyio.run(main, backend=backend)


def test_who_does_not_greet_at_all_is_given_up(backend: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that accepts and says nothing does not hang the client for ever."""
    monkeypatch.setattr(promissory.executor.client.link, "HELLO_SECONDS_MAX", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        anyio.run(refuse, backend, path, "did not greet within 0.05 s", backend=backend)


def test_a_refusal_in_place_of_the_greeting_is_raised(peer: Any, echo: Any, backend: str, path: str) -> None:
    """An executor that has too many connections says so as its first frame."""

    async def main() -> None:
        async with peer(echo, hello={"error": {"code": "limit_reached", "message": "256 connections are open"}}):
            with pytest.raises(LimitReached, match="256 connections"):
                async with connect(path):
                    pass

    anyio.run(main, backend=backend)


def test_a_closed_client_answers_no_more(peer: Any, echo: Any, backend: str, path: str) -> None:
    """A request that another task makes after `connect` has ended is refused at once."""

    async def main() -> None:
        async with peer(echo):
            async with connect(Path(path)) as client:
                pass
            with pytest.raises(Disconnected, match="the client is closed"):
                await client.request("status")

    anyio.run(main, backend=backend)
