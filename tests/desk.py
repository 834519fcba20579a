"""A worker that does one of everything, and a client that tells values from refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from attrs import define, field

import promissory
from promissory.executor.config import Config
from promissory.executor.turns.executor import Executor
from tests.admin import RawClient, raw, serving


@define
class Item:
    name: str
    count: int = 1


class Desk(promissory.Worker):
    """Does one of everything."""

    seen: list[str] = field(factory=list)

    @promissory.handler
    async def order(self, items: list[Item], note: str = "") -> int:
        self.seen.append(note)
        return sum(item.count for item in items)

    @promissory.handler
    async def wait(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.handler
    async def fail(self, message: str) -> None:
        raise promissory.TerminalError(message, 418)

    @promissory.handler
    async def unmended(self) -> None:
        raise ValueError("not mended")

    @promissory.handler
    async def name(self) -> dict[str, str]:
        return dict(promissory.environment())

    @promissory.query
    def notes(self, first: int = 0) -> list[str]:
        return self.seen[first:]

    @promissory.query
    def broken(self) -> list[str]:
        raise ValueError("no answer")


class Safe(promissory.Worker):
    """Has to be created with what it keeps."""

    secret: str
    size: int = 1

    @promissory.query
    def content(self) -> list[str]:
        return [self.secret] * self.size


LIMITS = Config(payload_bytes_max=1000, retry_attempts_max=1)
CLASSES = [Desk, Safe]


class Asked(RawClient):
    """A client whose every answer is either a value or a refusal."""

    executor: Executor

    async def value(self, op: str, **fields: Any) -> Any:
        answer = await self.ask(op, **fields)
        assert "ok" in answer, answer
        return answer["ok"]

    async def refusal(self, op: str, **fields: Any) -> dict[str, Any]:
        answer = await self.ask(op, **fields)
        assert "error" in answer, answer
        return answer["error"]

    async def items(self, op: str, **fields: Any) -> tuple[list[dict[str, Any]], Any]:
        """Return the items of a stream and what it ends with."""
        self._next_id += 1
        await self.send({"id": self._next_id, "op": op, **fields})
        found = []
        while True:
            message = await self.receive()
            assert message is not None
            if "item" not in message:
                return found, message["ok"]
            found.append(message["item"])

    async def call(self, worker: str, function: str, *args: Any, **fields: Any) -> Any:
        answer = await self.value("invoke", worker=worker, function=function, params=json(args), **fields)
        return msgspec.json.decode(answer["result"])

    async def waiting(self, name: str) -> tuple[str, str]:
        """Have a desk wait; return its invocation and its promise."""
        sent = await self.value("invoke", worker=f"desk/{name}", function="wait", send=True)
        await self.value("query", worker=f"desk/{name}", function="notes")
        return sent["invocation"], f"desk/{name}/3"

    def entries(self) -> int:
        return self.executor.record.entries_total + self.executor.record.batch.entries_count


def json(value: Any) -> bytes:
    return msgspec.json.encode(value)


@asynccontextmanager
async def desk(directory: Path) -> AsyncIterator[Asked]:
    async with serving(directory, CLASSES, LIMITS) as (executor, path), raw(path) as client:
        client.__class__ = Asked
        assert isinstance(client, Asked)
        client.executor = executor
        yield client
