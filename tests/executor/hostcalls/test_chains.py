"""Chains of callers: one commit for all of it, a limit to their length, and no way back into them."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import promissory
import promissory.executor.turns.executor
from promissory.oplog.errors import CallCycleError, CallError
from promissory.oplog.tables import Table


class Link(promissory.Worker):
    """Calls the next one: 3 calls 2, 2 calls 1."""

    @promissory.handler
    async def run(self, left: int) -> list[str]:
        if left == 0:
            return ["end"]
        return [promissory.current_worker().worker_name, *await promissory.worker(Link, str(left - 1)).run(left - 1)]

    @promissory.handler
    async def loop(self, path: list[str]) -> str:
        if not path:
            return "end"
        return await promissory.worker(Link, path[0]).loop(path[1:])

    @promissory.handler
    async def unawaited(self, other: str, path: list[str]) -> str:
        future = promissory.worker(Link, other).loop(path)
        await promissory.sleep(1)
        try:
            return await future
        except CallCycleError as error:
            return str(error)


@pytest.fixture
def links(durable: Any) -> Any:
    durable.register(Link)
    return durable


async def test_a_chain_of_ten_costs_one_commit(links: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten workers that call one another are one commit before the reply, new ones and ones out of memory alike."""
    monkeypatch.setattr(promissory.executor.turns.executor, "TURN_BUDGET_SECONDS", 600.0)
    await links.durable()
    for again in range(3):
        record = links.executor.record
        before = record.commits_count
        assert len(await links.invoke("link/10", "run", 10)) == 11
        assert record.commits_count - before == 1, again
        if again == 1:
            await trio.sleep(100)
            assert len(links.executor.residents) == 0


async def test_more_than_64_callers_in_a_row_are_refused(links: Any) -> None:
    """64 workers may wait for one another; the call of one more fails in its caller."""
    assert len(await links.invoke("link/64", "run", 64)) == 65
    with pytest.raises(CallError, match="64"):
        await links.invoke("link/65", "run", 65)
    assert "link/0" in await links.workers()


@pytest.mark.parametrize("path", [["a"], ["b", "a"], ["b", "c", "a"], ["b", "c", "b"]])
async def test_a_call_back_into_the_chain_fails_at_once(links: Any, path: list[str]) -> None:
    """A call whose chain of callers holds its target raises `CallCycleError` that names the chain."""
    with pytest.raises(CallCycleError, match="link/") as caught:
        await links.invoke("link/a", "loop", path)

    begin = path[-1]
    chain = ["a", *path][["a", *path].index(begin) :]
    assert " -> ".join(f"link/{name}" for name in chain) in str(caught.value)
    assert links.executor.environment.count(Table.RUNNABLE) == 0


async def test_a_call_that_is_not_awaited_may_not_close_a_cycle_either(links: Any) -> None:
    """The chain is looked at when a call is made, awaited or not; whoever awaits it later gets the error."""
    assert "link/a -> link/a" in await links.invoke("link/a", "unawaited", "a", [])
    assert "link/b -> link/c -> link/b" in await links.invoke("link/b", "unawaited", "c", ["b"])


class Ring(promissory.Worker):
    """Waits for a promise or not, then calls the next in the ring."""

    @promissory.handler
    async def late(self, other: str) -> str:
        await promissory.race(promissory.run(str), promissory.run(str))
        return await promissory.worker(Ring, other).quick()

    @promissory.handler
    async def after(self, other: str) -> str:
        await promissory.await_promise(promissory.create_promise())
        return await promissory.worker(Ring, other).quick()

    @promissory.handler
    async def quick(self) -> str:
        return "quick"


@pytest.mark.parametrize("seconds", [1, 100])
async def test_a_circle_closes_through_one_whose_last_input_came_to_nothing(durable: Any, seconds: float) -> None:
    """A worker out of memory, whose record ends with the outcome of what it had given up, hides no circle."""
    durable.register(Ring)
    first = await durable.send("ring/a", "after", "b")
    second = await durable.send("ring/b", "late", "a")
    await trio.sleep(seconds)
    [promise] = await durable.promises()
    await durable.complete_promise(promise, b"")

    with pytest.raises(CallCycleError):
        await durable.attach(first)
    assert await durable.attach(second) == "quick"
    assert durable.executor.environment.count(Table.RUNNABLE) == 0
