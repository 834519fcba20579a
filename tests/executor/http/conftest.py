"""An executor and the application in front of it, in the test's own trio program, and some workers to call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import httpx
import pytest
from attrs import field

import executor.http
import workers
from executor.core import Executor
from tests.admin import serving


@attrs.define
class Order:
    order_id: str
    items: list[str]


class Cart(workers.Worker):
    orders: list[Order] = field(factory=list)

    @workers.handler
    async def add(self, order: Order) -> int:
        self.orders.append(order)
        return len(self.orders)

    @workers.handler
    async def put(self, name: str, count: int = 1) -> list[str]:
        return [name] * count

    @workers.handler
    async def clear(self) -> None:
        self.orders.clear()

    @workers.handler
    async def maybe(self, word: str | None = None) -> str | None:
        return word

    @workers.handler
    async def fail(self, code: int) -> None:
        raise workers.TerminalError("out of tea", code)

    @workers.handler
    async def crash(self) -> None:
        await workers.run(_boom)

    @workers.handler
    async def wait(self) -> str:
        return (await workers.await_promise(workers.create_promise())).decode()

    @workers.handler
    async def run(self, word: str) -> str:
        return word

    @workers.query
    def all(self, most: int = 10) -> list[Order]:
        return self.orders[:most]


def _boom() -> None:
    raise RuntimeError("boom")


class Approval(workers.Worker):
    issued: list[str] = field(factory=list)

    @workers.handler
    async def ask(self) -> dict[str, Any] | None:
        awakeable, decision = workers.awakeable(dict[str, Any] | None)
        self.issued.append(awakeable)
        return await decision

    @workers.query
    def ids(self) -> list[str]:
        return self.issued


class Mailer(workers.Worker, ephemeral=True):
    @workers.handler
    async def deliver(self, text: str) -> str:
        return text.upper()

    @workers.handler
    async def ping(self) -> str:
        return "pong"


class Broken(workers.Worker):
    @workers.handler
    async def go(self) -> None:
        raise workers.NonDeterminismError("never twice the same")


CLASSES = [Cart, Approval, Mailer, Broken]

Http: TypeAlias = httpx.AsyncClient
Serve: TypeAlias = Callable[..., AbstractAsyncContextManager[tuple[Http, Executor]]]


@asynccontextmanager
async def client_of(application: Any, **more: Any) -> AsyncIterator[Http]:
    """Give a client of an ASGI application, in this event loop."""
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=30, **more) as client:
        yield client


@pytest.fixture
def served(tmp_path: Path) -> Serve:
    """A context manager that gives a client and the executor; its arguments are those of `executor.http.app`."""

    @asynccontextmanager
    async def open_served(**options: Any) -> AsyncIterator[tuple[Http, Executor]]:
        async with serving(tmp_path, CLASSES) as (running, path):
            application = executor.http.app(path, **options)
            async with client_of(application) as client:
                yield client, running
            application.close()

    return open_served


@pytest.fixture
async def http(served: Serve) -> AsyncIterator[Http]:
    async with served() as (client, _):
        yield client
