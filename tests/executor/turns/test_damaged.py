"""A damaged entry pauses the worker that owns it, once, whatever event meets it; nobody else notices."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio

import promissory
from promissory.oplog.check import check
from promissory.oplog.entries import Errored
from promissory.oplog.environment import Environment
from promissory.oplog.tables import Table
from tests.damage import flip, places


class Gate(promissory.Worker):
    @promissory.handler
    async def make(self) -> str:
        return str(promissory.create_promise())

    @promissory.handler
    async def wait(self, promise: str) -> str:
        return (await promissory.await_promise(promise)).decode()

    @promissory.handler
    async def nap(self) -> str:
        await promissory.sleep(86_400)
        return "slept"

    @promissory.handler
    async def hold(self, seconds: float) -> str:
        await promissory.wait_for(promissory.await_promise(promissory.create_promise(seconds)), 10 * seconds)
        return "held"

    @promissory.handler
    async def call(self, name: str) -> str:
        return await promissory.worker(Gate, name).nap()

    @promissory.handler
    async def work(self) -> str:
        return await promissory.run(linger)

    @promissory.handler
    async def pass_on(self, promise: str) -> bool:
        return await promissory.complete_promise(promise, b"passed on")

    @promissory.query
    def answers(self) -> str:
        return "here"


async def linger() -> str:
    await trio.sleep(60)
    return "worked"


@pytest.fixture
def gate(durable: Any) -> Any:
    durable.register(Gate)
    durable.is_replayed_at_end = durable.is_checked_at_end = False
    return durable


async def damage(gate: Any, name: str, index: int) -> None:
    """Stop the executor, damage one entry, and start it again."""
    await gate.quiet()
    await gate.stop()
    flip(gate.data, name, index)
    await gate.start()


async def assert_only_this_one_is_paused(gate: Any, name: str, index: int) -> None:
    """The worker is paused with an error that names it and the index; the others answer, after a restart too."""
    for _ in range(2):
        shown = {worker: await gate.show(worker) for worker in await gate.workers() if worker.startswith("gate/")}
        paused = [worker for worker, row in shown.items() if row["status"] == "paused"]
        assert paused == [f"gate/{name}"]
        error = shown[f"gate/{name}"]["error"]
        assert f"entry {index}" in error
        assert name in error
        assert await gate.query("gate/other", "answers") == "here"
        await gate.stop()
        await gate.start()
        await gate.quiet()
    await gate.stop()
    with Environment(gate.data, readonly=True) as environment:
        assert [(found.kind, found.index) for found in check(environment)] == [("record", index)]
    await gate.start()


def errored_count(gate: Any, name: str) -> int:
    """Return how often it was noted that a worker cannot go on; its damaged entry is passed over."""
    executor = gate.executor
    ordinal, life, last = places(executor.environment)[name]
    count = 0
    for index in range(life, last + 1):
        with suppress(promissory.OplogCorrupt):
            count += isinstance(executor.record.entry(ordinal, index), Errored)
    return count


async def test_a_timer_of_a_damaged_worker(gate: Any) -> None:
    """The timer of a worker whose `Started` is damaged falls due: the daemon lives, the worker pauses, once."""
    await gate.send("gate/napper", "nap")
    await gate.send("gate/other", "nap")
    await damage(gate, "napper", 3)
    await trio.sleep(90_000)
    await gate.quiet()
    await gate.query("gate/other", "answers")
    assert errored_count(gate, "napper") == 1

    await assert_only_this_one_is_paused(gate, "napper", 3)


async def test_a_promise_whose_waiters_include_a_damaged_worker(gate: Any) -> None:
    """It is settled for all the others; the damaged waiter pauses, and no row is left over."""
    promise = await gate.invoke("gate/owner", "make")
    sent = [await gate.send(f"gate/w{n}", "wait", promise) for n in range(3)]
    await gate.create("gate/other")
    await damage(gate, "w0", 3)

    assert await gate.complete_promise(promise, b"yes") is True
    assert [await gate.attach(invocation) for invocation in sent[1:]] == ["yes", "yes"]
    await gate.quiet()

    await assert_only_this_one_is_paused(gate, "w0", 3)


async def test_a_callee_of_a_damaged_worker_ends(gate: Any) -> None:
    """The callee completes as if nothing were; its caller pauses."""
    await gate.send("gate/caller", "call", "callee")
    await gate.create("gate/other")
    await damage(gate, "caller", 3)
    await trio.sleep(90_000)
    await gate.quiet()

    assert (await gate.show("gate/callee"))["status"] == "idle"
    await assert_only_this_one_is_paused(gate, "caller", 3)


async def test_the_deadline_of_a_damaged_workers_promise(gate: Any) -> None:
    """The deadline passes, the daemon lives, and the worker pauses."""
    await gate.send("gate/holder", "hold", 100.0)
    await gate.create("gate/other")
    await damage(gate, "holder", 3)
    await trio.sleep(200)
    await gate.quiet()

    await assert_only_this_one_is_paused(gate, "holder", 3)


async def test_the_outcome_of_a_damaged_workers_effect(gate: Any) -> None:
    """An effect that ends after its worker's entry was damaged on disk does not end the daemon."""
    await gate.send("gate/worker", "work")
    await gate.create("gate/other")
    await gate.quiet()
    await gate.simulate_crash()
    await damage(gate, "worker", 3)
    await trio.sleep(120)
    await gate.quiet()

    await assert_only_this_one_is_paused(gate, "worker", 3)


async def test_whoever_needs_a_damaged_outcome_pauses_too(gate: Any) -> None:
    """A worker that settles a promise whose outcome cannot be read pauses with the reason, and so does the owner."""
    promise = await gate.invoke("gate/owner", "make")
    await gate.complete_promise(promise, b"yes")
    await gate.create("gate/other")
    await gate.quiet()
    settled = places(gate.executor.environment)["owner"][2]
    await damage(gate, "owner", settled)
    await gate.send("gate/second", "pass_on", promise)
    await gate.quiet()

    shown = {name: (await gate.show(f"gate/{name}"))["status"] for name in ("owner", "second", "other")}
    assert shown == {"owner": "paused", "second": "paused", "other": "idle"}
    with pytest.raises(promissory.PromissoryError, match=f"entry {settled}"):
        await gate.request("promise.await", promise=promise)


async def test_a_request_about_a_damaged_entry_names_it(gate: Any) -> None:
    """Whoever attaches to an invocation whose result is damaged is told which entry it is, and the worker pauses."""
    invocation = await gate.send("gate/owner", "make")
    await gate.attach(invocation)
    await gate.create("gate/other")
    await damage(gate, "owner", places(gate.executor.environment)["owner"][2])
    with pytest.raises(promissory.PromissoryError) as caught:
        await gate.attach(invocation)

    assert caught.value.index is not None
    assert (await gate.show("gate/owner"))["status"] == "paused"


async def test_lists_go_on_over_damaged_entries(gate: Any) -> None:
    """Workers and invocations are listed beside a damaged one, which shows the damage."""
    await gate.send("gate/napper", "nap")
    await gate.send("gate/other", "nap")
    for index in (1, 2):
        await damage(gate, "napper", index)
    rows: list[Any] = []
    await gate.request("invocation.list", on_item=rows.append)

    assert [row["function"] for row in rows] == ["", "nap"]
    assert "entry 2" in rows[0]["error"]
    assert await gate.workers() == ["gate/napper", "gate/other"]


async def test_a_key_that_leads_to_another_invocation_answers_nobody(gate: Any) -> None:
    """A damaged row of a key gives neither another invocation's result nor a second execution."""
    await gate.invoke("gate/owner", "make", key="first")
    await gate.invoke("gate/owner", "make", key="second")
    environment = gate.executor.environment
    rows = dict(environment.scan(Table.IDEMPOTENCY))
    environment.commit({Table.IDEMPOTENCY: dict(zip(rows, reversed(rows.values()), strict=True))})
    before = places(environment)["owner"]
    for key in ("first", "second"):
        with pytest.raises(promissory.OplogCorrupt, match="not its invocation"):
            await gate.invoke("gate/owner", "make", key=key)

    assert places(environment)["owner"] == before
