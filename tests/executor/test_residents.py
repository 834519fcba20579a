"""Workers in memory: few at a time, the least recently used leave first, and leaving changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import field

import workers
from executor.config import Config
from executor.testbed import Promissory


class Box(workers.Worker):
    things: list[str] = field(factory=list)

    @workers.handler
    async def put(self, thing: str) -> int:
        self.things.append(thing)
        return len(self.things)

    @workers.handler
    async def wait(self) -> str:
        return (await workers.await_promise(workers.create_promise())).decode()

    @workers.handler
    async def pass_on(self, promise: str, text: str) -> bool:
        return await workers.complete_promise(workers.PromiseId.parse(promise), text.encode())

    @workers.query
    def all(self) -> list[str]:
        return self.things


async def test_a_resting_worker_leaves_memory(promissory: Any) -> None:
    """A worker that is idle or waits leaves memory after `idle_seconds`, and is read back when needed."""
    promissory.register(Box)
    await promissory.invoke("box/idle", "put", "x")
    invocation = await promissory.send("box/waiting", "wait")
    await promissory.quiet()
    assert len(promissory.executor.residents) == 2

    await trio.sleep(30)
    assert len(promissory.executor.residents) == 0
    [promise] = await promissory.promises()
    await promissory.complete_promise(promise, b"y")
    assert await promissory.attach(invocation) == "y"
    assert await promissory.query("box/idle", "all") == ["x"]


async def test_a_worker_in_use_stays(promissory: Any) -> None:
    """A worker that is used again and again is not dropped, and is replayed only once."""
    promissory.register(Box)
    for n in range(20):
        await promissory.invoke("box/1", "put", str(n))
        await trio.sleep(4)

    assert (await promissory.request("metrics"))["counters"]["entries_replayed"] == 0


@pytest.mark.parametrize("memory_max", [1, 2, 7])
async def test_no_more_than_the_limit_stay(tmp_path: Path, autojump_clock: Any, memory_max: int) -> None:
    """Over the limit the least recently used leave; whatever they did before is there when they are back."""
    async with Promissory.opened(tmp_path, config=Config(workers_in_memory_max=memory_max)) as promissory:
        promissory.register(Box)
        for turn in range(3):
            for n in range(20):
                assert await promissory.invoke(f"box/{n}", "put", f"{turn}") == turn + 1
                await promissory.quiet()
                assert len(promissory.executor.residents) <= memory_max + 1
        for n in range(20):
            assert await promissory.query(f"box/{n}", "all") == ["0", "1", "2"]


async def test_workers_that_touch_each_other_need_no_room_for_both(tmp_path: Path, autojump_clock: Any) -> None:
    """With room for one worker, settling another's promise in a step harms neither."""
    async with Promissory.opened(tmp_path, config=Config(workers_in_memory_max=1)) as promissory:
        promissory.register(Box)
        waiting = [await promissory.send(f"box/{n}", "wait") for n in range(10)]
        for n, promise in enumerate(await promissory.promises()):
            owner = promise.split("/")[1]
            path = f"{_uuid()}/{owner}/{promise.split('/')[2]}"
            assert await promissory.invoke(f"box/other{n}", "pass_on", path, owner) is True
        assert [await promissory.attach(invocation) for invocation in waiting] == [str(n) for n in range(10)]


def _uuid() -> str:
    return str(workers.WorkerId(workers.component_of(Box).id, "x")).partition("/")[0]
