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

import promissory
from promissory.executor.turns.executor import Executor
from tests.admin import serving


@attrs.define
class Order:
    order_id: str
    items: list[str]


class Cart(promissory.Worker):
    orders: list[Order] = field(factory=list)

    @promissory.handler
    async def add(self, order: Order) -> int:
        self.orders.append(order)
        return len(self.orders)

    @promissory.handler
    async def put(self, name: str, count: int = 1) -> list[str]:
        return [name] * count

    @promissory.handler
    async def clear(self) -> None:
        self.orders.clear()

    @promissory.handler
    async def maybe(self, word: str | None = None) -> str | None:
        return word

    @promissory.handler
    async def fail(self, code: int) -> None:
        raise promissory.TerminalError("out of tea", code)

    @promissory.handler
    async def crash(self) -> None:
        await promissory.run(_boom)

    @promissory.handler
    async def wait(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.handler
    async def run(self, word: str) -> str:
        return word

    @promissory.query
    def all(self, most: int = 10) -> list[Order]:
        return self.orders[:most]


def _boom() -> None:
    raise RuntimeError("boom")


class Approval(promissory.Worker):
    issued: list[str] = field(factory=list)

    @promissory.handler
    async def ask(self) -> dict[str, Any] | None:
        awakeable, decision = promissory.awakeable(dict[str, Any] | None)
        self.issued.append(awakeable)
        return await decision

    @promissory.query
    def ids(self) -> list[str]:
        return self.issued


class Mailer(promissory.Worker, ephemeral=True):
    @promissory.handler
    async def deliver(self, text: str) -> str:
        return text.upper()

    @promissory.handler
    async def ping(self) -> str:
        return "pong"


class Broken(promissory.Worker):
    @promissory.handler
    async def go(self) -> None:
        raise promissory.NonDeterminismError("never twice the same")


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
    """A context manager that gives a client and the executor; its arguments are those of `promissory.http.app`."""

    @asynccontextmanager
    async def open_served(**options: Any) -> AsyncIterator[tuple[Http, Executor]]:
        async with serving(tmp_path, CLASSES) as (running, path):
            application = promissory.http.app(path, **options)
            async with client_of(application) as client:
                yield client, running
            application.close()

    return open_served


@pytest.fixture
async def http(served: Serve) -> AsyncIterator[Http]:
    async with served() as (client, _):
        yield client
