"""Rule 4: a promise is settled once; the one that settled it is told so, also when it asks again."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import promissory
from promissory.oplog.errors import NotFound, PromiseDeleted, PromiseRejected


class Waiter(promissory.Worker):
    @promissory.handler
    async def create(self) -> str:
        return str(promissory.create_promise())

    @promissory.handler
    async def wait(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.handler
    async def wait_for(self, promise: str) -> str:
        return (await promissory.await_promise(promissory.PromiseId.parse(promise))).decode()

    @promissory.handler
    async def complete(self, promise: str, text: str) -> bool:
        return await promissory.complete_promise(promissory.PromiseId.parse(promise), text.encode())

    @promissory.handler
    async def poll(self, promise: str) -> str | None:
        payload = await promissory.poll_promise(promissory.PromiseId.parse(promise))
        return None if payload is None else payload.decode()

    @promissory.handler
    async def delete_own(self) -> bool:
        promise = promissory.create_promise()
        await promissory.delete_promise(promise)
        try:
            await promissory.await_promise(promise)
        except promissory.PromiseDeleted:
            return True
        return False


class Hasty(promissory.Worker):
    """Starts several calls on one promise within one step."""

    @promissory.handler
    async def complete_then_await(self) -> list[str]:
        promise = promissory.create_promise()
        completing = promissory.complete_promise(promise, b"x")
        awaiting = promissory.await_promise(promise)
        polling = promissory.poll_promise(promise)
        settled, payload, polled = await promissory.gather(completing, awaiting, polling)
        return [str(settled), payload.decode(), str(polled)]

    @promissory.handler
    async def complete_and_leave(self) -> str:
        promise = promissory.create_promise()
        promissory.poll_promise(promise)
        promissory.await_promise(promise)
        promissory.complete_promise(promise, b"left")
        return str(promise)

    @promissory.handler
    async def delete_and_leave(self) -> str:
        promise = promissory.create_promise()
        promissory.await_promise(promise)
        promissory.delete_promise(promise)
        promissory.delete_promise(promise)
        return str(promise)


async def test_calls_of_one_step_each_end_once(durable: Any) -> None:
    """A wait that the same step's completion wakes ends once, whichever of the two was called first."""
    durable.register(Hasty)

    assert await durable.invoke("hasty/1", "complete_then_await") == ["True", "x", "b'x'"]


async def test_what_is_left_open_is_done_but_not_waited_for(durable: Any) -> None:
    """A completion or deletion that nobody awaits happens all the same; an abandoned call gets no `Ended`."""
    durable.register(Hasty)

    assert await durable.await_promise(await durable.invoke("hasty/1", "complete_and_leave")) == b"left"
    with pytest.raises(PromiseDeleted):
        await durable.await_promise(await durable.invoke("hasty/1", "delete_and_leave"))
    assert "Ended" not in {entry["kind"] for entry in await durable.oplog("hasty/1")}


@pytest.fixture
async def promise(durable: Any) -> str:
    """A pending promise of a worker at rest."""
    durable.register(Waiter)
    return str(await durable.invoke("waiter/owner", "create"))


async def test_the_first_to_settle_wins(durable: Any, promise: str) -> None:
    """Who completes first learns True, everybody else False, and all see the first outcome."""
    assert await durable.complete_promise(promise, b"first") is True
    assert await durable.complete_promise(promise, b"second") is False
    assert await durable.reject_promise(promise, "no") is False
    assert await durable.await_promise(promise) == b"first"


async def test_many_at_once_have_one_winner(durable: Any, promise: str) -> None:
    """Of many who settle in the same moment exactly one learns True."""
    settled: list[bool] = []

    async def complete(n: int) -> None:
        settled.append(await durable.complete_promise(promise, str(n).encode()))

    async with trio.open_nursery() as nursery:
        for n in range(20):
            nursery.start_soon(complete, n)

    assert sorted(settled) == [False] * 19 + [True]


async def test_the_winner_asks_again_and_learns_true(durable: Any, promise: str) -> None:
    """Whoever settled a promise under a name is told True again, also after a crash; another name is told False."""
    first = await durable.request("promise.complete", promise=promise, data=b"x", by="me")
    await durable.simulate_crash()
    again = await durable.request("promise.complete", promise=promise, data=b"y", by="me")
    other = await durable.request("promise.complete", promise=promise, data=b"x", by="you")

    assert [answer["settled"] for answer in (first, again, other)] == [True, True, False]
    assert {answer["state"] for answer in (first, again, other)} == {"resolved"}


async def test_workers_settle_and_await_each_others_promises(durable: Any, promise: str) -> None:
    """A worker may wait for and complete another worker's promise; the outcome reaches all who wait."""
    waiting = [await durable.send(f"waiter/{n}", "wait_for", promise) for n in range(3)]

    assert await durable.invoke("waiter/x", "poll", promise) is None
    assert await durable.invoke("waiter/x", "complete", promise, "done") is True
    assert await durable.invoke("waiter/y", "complete", promise, "late") is False
    assert [await durable.attach(invocation) for invocation in waiting] == ["done"] * 3
    assert await durable.invoke("waiter/x", "poll", promise) == "done"


async def test_more_waiters_than_one_unit_wakes_are_all_woken(durable: Any, promise: str) -> None:
    """A promise with many waiters wakes every one, also when the executor crashes half way."""
    waiting = [await durable.send(f"waiter/{n}", "wait_for", promise) for n in range(600)]

    await durable.complete_promise(promise, b"all")
    await durable.simulate_crash()

    assert {await durable.attach(invocation) for invocation in waiting} == {"all"}


async def test_rejecting_raises_the_reason_where_it_is_awaited(durable: Any, promise: str) -> None:
    """A rejected promise raises `PromiseRejected` with the reason, for clients and as the outcome of a handler."""
    waiting = await durable.send("waiter/1", "wait_for", promise)

    assert await durable.reject_promise(promise, "too late") is True
    with pytest.raises(PromiseRejected, match="too late"):
        await durable.await_promise(promise)
    with pytest.raises(PromiseRejected, match="too late"):
        await durable.attach(waiting)


async def test_deleting_ends_every_wait(durable: Any, promise: str) -> None:
    """Deleting a promise gives `PromiseDeleted` to whoever waits, to whoever asks later, and to its owner."""
    waiting = await durable.send("waiter/1", "wait_for", promise)

    assert await durable.delete_promise(promise) is True
    assert await durable.delete_promise(promise) is False
    assert await durable.complete_promise(promise, b"x") is False
    with pytest.raises(PromiseDeleted):
        await durable.await_promise(promise)
    with pytest.raises(PromiseDeleted):
        await durable.attach(waiting)
    assert await durable.invoke("waiter/owner", "delete_own") is True


async def test_what_is_no_promise_cannot_be_settled(durable: Any, promise: str) -> None:
    """Completing an index that is not a created promise, an invocation's too, is `NotFound` and writes nothing."""
    before = await durable.oplog("waiter/owner")

    for other in ("waiter/owner/2", "waiter/owner/1", "waiter/owner/99", "waiter/nobody/3", "nothing/x/3"):
        with pytest.raises(NotFound):
            await durable.complete_promise(other, b"x")
        with pytest.raises(NotFound):
            await durable.delete_promise(other)
        with pytest.raises(NotFound):
            await durable.poll_promise(other)

    assert await durable.oplog("waiter/owner") == before
    assert await durable.workers() == ["waiter/owner"]


async def test_a_worker_that_waits_for_nothing_known_is_told(durable: Any, promise: str) -> None:
    """Awaiting a promise that does not exist raises where it is awaited; the executor goes on."""
    missing = promise.rpartition("/")[0] + "/77"

    with pytest.raises(promissory.TerminalError, match="no promise"):
        await durable.invoke("waiter/1", "wait_for", missing)
    assert await durable.invoke("waiter/1", "complete", promise, "x") is True


async def test_a_promise_may_be_settled_before_it_is_awaited(durable: Any, promise: str) -> None:
    """Awaiting a promise that is settled already gives its outcome at once."""
    await durable.complete_promise(promise, b"early")

    assert await durable.invoke("waiter/1", "wait_for", promise) == "early"


async def test_a_settled_promise_of_ones_own_is_not_recorded_twice(durable: Any) -> None:
    """The `Ended` of a wait for one's own promise refers to the `Settled` instead of repeating the payload."""
    durable.register(Waiter)
    invocation = await durable.send("waiter/1", "wait")
    [promise] = await durable.promises()
    await durable.complete_promise(promise, b"payload")
    assert await durable.attach(invocation) == "payload"

    kinds = [entry["kind"] for entry in await durable.oplog("waiter/1")]
    assert kinds == ["Created", "Invoked", "Started", "Started", "Settled", "Ended", "Completed"]
    assert await durable.promises("resolved") == [promise]
