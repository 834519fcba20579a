"""Workers in memory: few at a time, the least recently used leave first, and leaving changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import field

import promissory
from promissory.executor.config import Config
from promissory.executor.testing.testbed import Testbed
from promissory.workers.component import component_of


class Box(promissory.Worker):
    things: list[str] = field(factory=list)

    @promissory.handler
    async def put(self, thing: str) -> int:
        self.things.append(thing)
        return len(self.things)

    @promissory.handler
    async def wait(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.handler
    async def pass_on(self, promise: str, text: str) -> bool:
        return await promissory.complete_promise(promissory.PromiseId.parse(promise), text.encode())

    @promissory.query
    def all(self) -> list[str]:
        return self.things


async def test_a_resting_worker_leaves_memory(durable: Any) -> None:
    """A worker that is idle or waits leaves memory after `idle_seconds`, and is read back when needed."""
    durable.register(Box)
    await durable.invoke("box/idle", "put", "x")
    invocation = await durable.send("box/waiting", "wait")
    await durable.quiet()
    assert len(durable.executor.residents) == 2

    await trio.sleep(30)
    assert len(durable.executor.residents) == 0
    [promise] = await durable.promises()
    await durable.complete_promise(promise, b"y")
    assert await durable.attach(invocation) == "y"
    assert await durable.query("box/idle", "all") == ["x"]


async def test_a_worker_in_use_stays(durable: Any) -> None:
    """A worker that is used again and again is not dropped, and is replayed only once."""
    durable.register(Box)
    for n in range(20):
        await durable.invoke("box/1", "put", str(n))
        await trio.sleep(4)

    assert (await durable.request("metrics"))["counters"]["entries_replayed"] == 0


@pytest.mark.parametrize("memory_max", [1, 2, 7])
async def test_no_more_than_the_limit_stay(tmp_path: Path, autojump_clock: Any, memory_max: int) -> None:
    """Over the limit the least recently used leave; whatever they did before is there when they are back."""
    async with Testbed.opened(tmp_path, config=Config(workers_in_memory_max=memory_max)) as durable:
        durable.register(Box)
        for turn in range(3):
            for n in range(20):
                assert await durable.invoke(f"box/{n}", "put", f"{turn}") == turn + 1
                await durable.quiet()
                assert len(durable.executor.residents) <= memory_max + 1
        for n in range(20):
            assert await durable.query(f"box/{n}", "all") == ["0", "1", "2"]


async def test_workers_that_touch_each_other_need_no_room_for_both(tmp_path: Path, autojump_clock: Any) -> None:
    """With room for one worker, settling another's promise in a step harms neither."""
    async with Testbed.opened(tmp_path, config=Config(workers_in_memory_max=1)) as durable:
        durable.register(Box)
        waiting = [await durable.send(f"box/{n}", "wait") for n in range(10)]
        for n, promise in enumerate(await durable.promises()):
            owner = promise.split("/")[1]
            path = f"{_uuid()}/{owner}/{promise.split('/')[2]}"
            assert await durable.invoke(f"box/other{n}", "pass_on", path, owner) is True
        assert [await durable.attach(invocation) for invocation in waiting] == [str(n) for n in range(10)]


def _uuid() -> str:
    return str(promissory.WorkerId(component_of(Box).id, "x")).partition("/")[0]
