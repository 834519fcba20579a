"""Deleting a worker: its waiters are told, its own waits are taken back, and no index is ever used twice."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import promissory
from promissory.oplog.errors import NotFound, PromiseDeleted
from promissory.oplog.tables import Table

performed: list[str] = []


async def forever(tag: str) -> None:
    try:
        await trio.sleep(10_000)
        performed.append(tag)
    finally:
        performed.append(f"{tag} stopped")


class Mortal(promissory.Worker):
    lives: int = 0

    @promissory.handler
    async def create(self) -> str:
        return str(promissory.create_promise())

    @promissory.handler
    async def wait_for(self, promise: str) -> str:
        return (await promissory.await_promise(promissory.PromiseId.parse(promise))).decode()

    @promissory.handler
    async def wait(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.handler
    async def busy(self) -> None:
        await promissory.gather(promissory.sleep(5_000), promissory.run(forever, "x"))

    @promissory.handler
    async def live(self) -> int:
        self.lives += 1
        return self.lives

    @promissory.handler
    async def fail(self) -> None:
        raise ValueError("always")


@pytest.fixture
def mortal(durable: Any) -> Any:
    performed.clear()
    durable.register(Mortal)
    return durable


async def test_everybody_who_waits_is_told(mortal: Any) -> None:
    """Clients and workers that wait for a deleted worker's promises and invocations get the error `deleted`."""
    promise = await mortal.invoke("mortal/owner", "create")
    waiting = await mortal.send("mortal/waiter", "wait_for", promise)
    errors: list[str] = []

    async def expect(ask: Any, *args: Any) -> None:
        with pytest.raises(PromiseDeleted):
            await ask(*args)
        errors.append(ask.__name__)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect, mortal.await_promise, promise)
        nursery.start_soon(expect, mortal.invoke, "mortal/owner", "wait")
        nursery.start_soon(expect, mortal.attach, waiting)
        await mortal.quiet()
        await mortal.delete("mortal/owner")

    assert sorted(errors) == ["attach", "await_promise", "invoke"]
    with pytest.raises(NotFound):
        await mortal.show("mortal/owner")
    with pytest.raises(NotFound):
        await mortal.await_promise(promise)


async def test_a_new_life_begins_after_the_old(mortal: Any) -> None:
    """The next life starts anew after the `Removed`; promises of the old are not found, its keys are forgotten."""
    assert await mortal.invoke("mortal/1", "live", key="k") == 1
    promise = await mortal.invoke("mortal/1", "create")
    await mortal.delete("mortal/1")
    await mortal.simulate_crash()

    assert await mortal.invoke("mortal/1", "live", key="k") == 1
    entries = await mortal.oplog("mortal/1")
    assert [entry["kind"] for entry in entries][:3] == ["Removed", "Created", "Invoked"]
    assert entries[1]["index"] == entries[0]["index"] + 1 > 5
    with pytest.raises(NotFound):
        await mortal.complete_promise(promise, b"x")


async def test_deleting_takes_back_what_the_worker_waited_for(mortal: Any) -> None:
    """A deleted worker's timers, waits and effects are gone; the async effect is told to stop."""
    await mortal.send("mortal/1", "busy")
    promise = await mortal.invoke("mortal/owner", "create")
    await mortal.send("mortal/2", "wait_for", promise)
    await mortal.quiet()
    await mortal.delete("mortal/1")
    await mortal.delete("mortal/2")
    await mortal.quiet()

    assert performed == ["x stopped"]
    for table in (Table.TIMERS, Table.WAITERS, Table.RUNNABLE):
        assert mortal.executor.environment.count(table) == 0
    assert await mortal.complete_promise(promise, b"x") is True
    await trio.sleep(20_000)
    assert performed == ["x stopped"]


@pytest.mark.parametrize("state", ["idle", "waiting", "retrying", "paused", "interrupted", "scheduled", "queued"])
async def test_a_worker_can_be_deleted_in_any_state(mortal: Any, state: str) -> None:
    """Whatever a worker is doing it can be deleted, in memory or not, and lives again."""
    await mortal.invoke("mortal/1", "live")
    if state in ("waiting", "interrupted", "queued"):
        await mortal.send("mortal/1", "wait")
        if state == "queued":
            await mortal.send("mortal/1", "live")
        if state == "interrupted":
            await mortal.interrupt("mortal/1")
    elif state in ("retrying", "paused"):
        await mortal.send("mortal/1", "fail")
        await mortal.quiet()
        if state == "paused":
            await trio.sleep(100)
    elif state == "scheduled":
        await mortal.send("mortal/1", "live", delay=1_000)
    await mortal.quiet()
    await mortal.delete("mortal/1")
    await mortal.simulate_crash()
    await trio.sleep(2_000)

    assert await mortal.invoke("mortal/1", "live") == 1
    await mortal.delete("mortal/1")
    with pytest.raises(NotFound):
        await mortal.delete("mortal/1")


async def test_a_long_oplog_can_be_deleted(mortal: Any) -> None:
    """Deleting a life of thousands of entries leaves one."""
    for _ in range(700):
        await mortal.invoke("mortal/1", "live")
    await mortal.delete("mortal/1")
    await mortal.quiet()

    assert mortal.executor.environment.count(Table.OPLOG) == 1
    assert mortal.executor.environment.count(Table.IDEMPOTENCY) == 0
    assert mortal.executor.environment.count(Table.PROMISES) == 0
