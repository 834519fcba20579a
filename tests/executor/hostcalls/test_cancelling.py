"""Cancelling an invocation: found at its await, cleaned up after, and passed on to the calls that it waits for."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import promissory
from promissory.oplog.errors import InvocationCancelled, NotFound, PromissoryError
from promissory.oplog.ids import InvocationId, OplogIndex
from promissory.oplog.tables import Table
from tests.executor.hostcalls.office import Boss, Leaf, assert_cancelled, cancel, performed, statuses


@pytest.fixture
def office(durable: Any) -> Any:
    performed.clear()
    durable.register(Leaf, Boss)
    return durable


@pytest.mark.parametrize("is_resident", [True, False])
async def test_a_running_one_is_cancelled_at_its_await(office: Any, is_resident: bool) -> None:
    """The handler finds `Cancelled` at its await, who waits outside `InvocationCancelled`; the worker is idle then."""
    told: list[int] = []

    async def wait() -> None:
        with pytest.raises(InvocationCancelled) as caught:
            await office.invoke("leaf/1", "hold", key="k")
        told.append(caught.value.code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(0.01 if is_resident else 100)
        invocation = await office.send("leaf/1", "hold", key="k")
        assert await cancel(office, invocation) is True

    assert told == [409]
    assert await office.query("leaf/1", "traced") == ["hold x", "cancelled x"]
    assert await cancel(office, invocation) is False
    assert (await office.show("leaf/1"))["status"] == "idle"
    await assert_cancelled(office, invocation)
    assert await office.invoke("leaf/1", "note", "goes on") == "goes on"


async def test_cleaning_up_may_use_the_host(office: Any) -> None:
    """After `Cancelled` a handler's effects, promises and calls work as before."""
    promise = await office.invoke("leaf/owner", "create")
    invocation = await office.send("boss/1", "clean_up", promise)
    await office.quiet()

    assert await cancel(office, invocation) is True
    await assert_cancelled(office, invocation)
    assert await office.await_promise(promise) == b"given back"
    assert await office.query("boss/1", "traced") == ["cleaned", "told"]
    assert await office.query("leaf/1", "traced") == ["told"]
    assert performed == ["cleaned"]
    assert office.executor.environment.count(Table.TIMERS) == 0


async def test_a_handler_may_return_a_value_instead(office: Any) -> None:
    """An invocation that catches `Cancelled` and returns completes with what it returned; its effect is stopped."""
    invocation = await office.send("boss/1", "insist")
    await office.quiet()

    assert await cancel(office, invocation) is True
    assert await office.attach(invocation) == "a value all the same"
    await trio.sleep(10_000)
    assert performed == []


async def test_the_second_cancel_does_not_ask(office: Any) -> None:
    """A handler that stays after `Cancelled` is completed by the second cancel, also after a crash between the two."""
    invocation = await office.send("boss/1", "stay")
    await office.quiet()
    assert await cancel(office, invocation) is True
    await office.simulate_crash()
    assert (await office.show("boss/1"))["status"] == "suspended"

    assert await cancel(office, invocation) is True
    await assert_cancelled(office, invocation)
    assert await cancel(office, invocation) is False
    assert office.executor.environment.count(Table.TIMERS) == 0


async def test_one_in_the_queue_never_begins(office: Any) -> None:
    """A pending invocation that is cancelled never runs; what runs and what is queued behind it goes on untouched."""
    held = await office.send("leaf/1", "hold")
    queued = [await office.send("leaf/1", "note", tag) for tag in "abc"]
    [promise] = await office.promises()

    assert await cancel(office, queued[1]) is True
    await assert_cancelled(office, queued[1])
    assert (await office.show("leaf/1"))["status"] == "suspended"
    assert (await office.show("leaf/1"))["pending_invocations"] == 3
    await office.simulate_crash()
    await office.quiet()
    assert len(office.executor.residents) == 0, "nothing is runnable"

    await office.complete_promise(promise, b"done")
    assert [await office.attach(one) for one in (held, queued[0], queued[2])] == ["done", "a", "c"]
    assert await office.query("leaf/1", "traced") == ["hold x", "a", "c"]


async def test_a_failing_one_is_cancelled_and_its_worker_goes_on(office: Any) -> None:
    """On a retrying or paused worker the cancellation takes the place of the input that fails."""
    for seconds, status in ((1.1, "retrying"), (1_000, "paused")):
        for function in ("fail", "fail_at_once"):
            failing = await office.send("boss/1", function)
            behind = await office.send("boss/1", "note", "behind")
            await trio.sleep(seconds if function == "fail" or seconds > 2 else 0.01)
            assert (await office.show("boss/1"))["status"] == status

            assert await cancel(office, failing) is True
            await assert_cancelled(office, failing)
            assert "failed" not in await office.attach(behind)
            assert (await office.show("boss/1"))["status"] == "idle"
            assert "last_error" not in await office.show("boss/1")
    assert office.executor.environment.count(Table.TIMERS) == 0


async def test_cancelling_one_behind_a_failing_one(office: Any) -> None:
    """A queued invocation of a paused worker is cancelled when the worker goes on; the pause stays what it is."""
    failing = await office.send("boss/1", "fail_at_once")
    behind = await office.send("boss/1", "note", "behind")
    await trio.sleep(1_000)

    assert await cancel(office, behind) is True
    assert (await office.show("boss/1"))["status"] == "paused"
    assert await cancel(office, failing) is True
    await assert_cancelled(office, failing, behind)
    assert (await office.show("boss/1"))["status"] == "idle"


async def test_an_interrupted_worker_applies_it_at_resume(office: Any) -> None:
    """While a person has stopped a worker nothing of it ends; the cancellation waits, failing or not."""
    await office.send("boss/2", "fail")
    await trio.sleep(1.1)
    found: list[dict[str, Any]] = []
    await office.request("invocation.list", on_item=found.append, worker="boss/2")
    invocations = {"leaf/1": await office.send("leaf/1", "hold"), "boss/2": found[0]["invocation"]}
    await office.quiet()
    for path, invocation in invocations.items():
        await office.interrupt(path)
        assert await cancel(office, invocation) is True
        await trio.sleep(100)
        assert (await office.show(path))["status"] == "interrupted"
        await office.simulate_crash()
        assert (await office.show(path))["status"] == "interrupted"

        await office.resume(path)
        await assert_cancelled(office, invocation)
        assert (await office.show(path))["status"] == "idle"


async def test_a_scheduled_one_behind_inputs_that_wait(office: Any) -> None:
    """Made and cancelled while the worker has other inputs to apply, a scheduled invocation ends like any other."""
    held = await office.send("leaf/1", "hold")
    [promise] = await office.promises()
    await office.interrupt("leaf/1")
    await office.complete_promise(promise, b"done")
    scheduled = await office.send("leaf/1", "note", "never", delay=1_000)
    assert await cancel(office, scheduled) is True

    await office.resume("leaf/1")
    await assert_cancelled(office, scheduled)
    assert await office.attach(held) == "done"
    assert await office.query("leaf/1", "traced") == ["hold x"]
    assert (await office.show("leaf/1"))["status"] == "idle"


async def test_it_goes_down_three_levels(office: Any) -> None:
    """Each worker of a chain finds `Cancelled` at its call, the last one at its promise."""
    deep = await office.request("invoke", worker="boss/a", function="call", params=b'{"path":["b","c","d"]}', send=True)
    await trio.sleep(100)
    assert await statuses(office) == dict.fromkeys(["boss/a", "boss/b", "boss/c", "leaf/d"], "suspended")

    assert await cancel(office, deep["invocation"]) is True
    await assert_cancelled(office, deep["invocation"])
    await office.quiet()
    assert [await office.query(f"boss/{name}", "traced") for name in "abc"] == [["cancelled"]] * 3
    assert await office.query("leaf/d", "traced") == ["hold d", "cancelled d"]
    assert set((await statuses(office)).values()) == {"idle"}
    assert office.executor.environment.count(Table.RUNNABLE) == 0


async def test_it_goes_down_through_gather(office: Any) -> None:
    """All whom a `gather` waits for are cancelled; one that has ended already is not disturbed."""
    wide = await office.send("boss/1", "fan_out", 5)
    promises = await office.promises()
    await office.complete_promise(promises[2], b"ended")
    await office.quiet()

    assert await cancel(office, wide) is True
    await assert_cancelled(office, wide)
    await office.quiet()
    traces = [await office.query(f"leaf/{n}", "traced") for n in range(5)]
    assert [len(trace) for trace in traces] == [2, 2, 1, 2, 2]
    assert set((await statuses(office)).values()) == {"idle"}


async def test_it_does_not_go_to_what_nobody_waits_for(office: Any) -> None:
    """Calls that were given up before, calls that are not awaited, and sends, go on."""
    invocation = await office.send("boss/1", "let_go")
    await trio.sleep(10)
    assert await cancel(office, invocation) is True
    await assert_cancelled(office, invocation)

    shown = await statuses(office)
    assert {path: status for path, status in shown.items() if status == "suspended"} == dict.fromkeys(
        ["leaf/given-up", "leaf/not-awaited", "leaf/sent"], "suspended"
    )
    assert await office.query("leaf/awaited", "traced") == ["hold x", "cancelled x"]


async def test_forced_while_it_cleans_up_by_a_call(office: Any) -> None:
    """A call under way in the clean-up is cancelled with the invocation when that is forced."""

    class Careful(promissory.Worker):
        @promissory.handler
        async def work(self) -> str:
            try:
                return await promissory.worker(Leaf, "1").hold("work")
            finally:
                await promissory.worker(Leaf, "2").hold("clean")

    office.register(Careful)
    invocation = await office.send("careful/1", "work")
    await office.quiet()
    assert await cancel(office, invocation) is True
    await office.quiet()
    assert await statuses(office) == {"careful/1": "suspended", "leaf/1": "idle", "leaf/2": "suspended"}

    assert await cancel(office, invocation) is True
    await assert_cancelled(office, invocation)
    assert await statuses(office) == {"careful/1": "idle", "leaf/1": "idle", "leaf/2": "idle"}
    assert await office.query("leaf/2", "traced") == ["hold clean", "cancelled clean"]


async def test_what_is_no_invocation_cannot_be_cancelled(office: Any) -> None:
    """Cancelling what is unknown, or a promise, is refused and writes nothing."""
    invocation = await office.send("leaf/1", "hold")
    await office.quiet()
    before = await office.oplog("leaf/1")
    promise = InvocationId.parse(invocation)
    for text in (str(InvocationId(promise.worker_id, OplogIndex(3))), "inv_1xx", invocation[:-1], ""):
        with pytest.raises(PromissoryError):
            await cancel(office, text)
    assert await office.oplog("leaf/1") == before
    await office.delete("leaf/1")
    with pytest.raises(NotFound):
        await cancel(office, invocation)
