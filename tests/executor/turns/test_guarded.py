"""Whatever a handler does that it must not do, the executor is unharmed and all other workers go on."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from typing import Any

import pytest
import trio

import promissory
from promissory.oplog.errors import Paused


class Rude(promissory.Worker):
    """Does in its handlers everything that a handler must not do."""

    count: int = 0

    @promissory.handler
    async def do(self, what: str) -> None:
        self.count += 1
        try:
            await RUDE[what]()
        except Exception:
            if what.startswith("caught"):
                return
            raise

    @promissory.handler
    async def fine(self) -> int:
        return self.count


async def _nursery() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 0)


async def _trio_sleep() -> None:
    await trio.sleep(1)


async def _cancel_scope() -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await trio.lowlevel.checkpoint()


async def _asyncio_sleep() -> None:
    await asyncio.sleep(1)


async def _asyncio_zero() -> None:
    await asyncio.sleep(0)


async def _thread() -> None:
    threading.Thread(target=print).start()


async def _file() -> None:
    with open("/etc/hostname") as file:  # noqa: PTH123
        file.read()


async def _socket() -> None:
    socket.create_connection(("127.0.0.1", 9))


async def _subprocess() -> None:
    subprocess.run(["true"], check=False)


async def _to_thread() -> None:
    await trio.to_thread.run_sync(print)


async def _foreign() -> None:
    class Foreign:
        def __await__(self) -> Any:
            yield "not ours"

    await Foreign()


RUDE: dict[str, Any] = {
    "nursery": _nursery,
    "caught nursery": _nursery,
    "trio sleep": _trio_sleep,
    "cancel scope": _cancel_scope,
    "asyncio sleep": _asyncio_sleep,
    "asyncio sleep(0)": _asyncio_zero,
    "thread": _thread,
    "file": _file,
    "caught file": _file,
    "socket": _socket,
    "subprocess": _subprocess,
    "caught subprocess": _subprocess,
    "to_thread": _to_thread,
    "foreign awaitable": _foreign,
}


@pytest.mark.parametrize("what", list(RUDE))
async def test_what_a_handler_must_not_do_pauses_only_its_worker(durable: Any, what: str) -> None:
    """Reaching past the host is a `NonDeterminismError` that says what to do instead; the executor is unharmed."""
    durable.register(Rude)

    with pytest.raises(Paused, match="NonDeterminismError"):
        await durable.invoke("rude/1", "do", what)

    shown = await durable.show("rude/1")
    assert shown["status"] == "paused"
    assert "run" in shown["error"]
    assert shown["attempt"] == 1
    assert await durable.invoke("rude/2", "fine") == 0
