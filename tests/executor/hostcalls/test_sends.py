"""Not waiting: sends, delayed ones and scheduled ones, which fire late rather than never, once, unless cancelled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import field

import promissory
from promissory.executor.testing.testbed import Testbed
from promissory.oplog.errors import InvocationCancelled, TerminalError
from promissory.oplog.tables import Table

attempts: list[str] = []


class Log(promissory.Worker):
    lines: list[str] = field(factory=list)
    times: list[datetime] = field(factory=list)

    @promissory.handler
    async def write(self, line: str) -> int:
        self.lines.append(line)
        self.times.append(promissory.now())
        return len(self.lines)

    @promissory.handler
    async def hold(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.query
    def read(self) -> list[str]:
        return self.lines

    @promissory.query
    def when(self) -> list[datetime]:
        return self.times


class Sender(promissory.Worker):
    sent: list[str] = field(factory=list)

    @promissory.handler
    async def post(self, line: str) -> str:
        return await promissory.send(promissory.worker(Log, "1").write, line)

    @promissory.handler
    async def send_and_leave(self, line: str) -> None:
        promissory.send(promissory.worker(Log, "1").write, line)
        promissory.invoke("worker://log/1", "write", f"{line} by name")

    @promissory.handler
    async def call_and_leave(self, line: str) -> None:
        promissory.worker(Log, "1").write(line)

    @promissory.handler
    async def send_and_fail(self, line: str, times: int) -> str:
        promissory.send(promissory.worker(Log, "1").write, line)
        attempts.append(line)
        if len(attempts) <= times:
            raise ValueError("after the send")
        return "sent"

    @promissory.handler
    async def after(self, seconds: float, line: str) -> str:
        return await promissory.send_after(seconds, promissory.worker(Log, "1").write, line)

    @promissory.handler
    async def at(self, at: datetime, line: str) -> str:
        return await promissory.schedule(at, "worker://log/1", "write", line)

    @promissory.handler
    async def naive(self) -> str:
        try:
            await promissory.schedule(datetime(2030, 1, 1), "worker://log/1", "write", "x")
        except ValueError as error:
            return str(error)
        return "it was taken"

    @promissory.handler
    async def far(self, seconds: float) -> str:
        try:
            return await promissory.send_after(seconds, promissory.worker(Log, "1").write, "far")
        except ValueError as error:
            return f"{type(error).__name__}: {error}"

    @promissory.handler
    async def to_self(self, left: int) -> str:
        self.sent.append(f"turn {left}")
        if left:
            own = promissory.worker(Sender, promissory.current_worker().worker_name)
            await promissory.send(own.to_self, left - 1)
        return f"turn {left}"

    @promissory.handler
    async def wrong(self, uri: str) -> str:
        try:
            return await promissory.invoke(uri, "write", 1)
        except promissory.CallError as error:
            return str(error)

    @promissory.query
    def turns(self) -> list[str]:
        return self.sent


@pytest.fixture
def post(durable: Any) -> Any:
    attempts.clear()
    durable.register(Log, Sender)
    return durable


async def invocations(post: Any, worker: str = "log/1") -> list[dict[str, Any]]:
    await post.quiet()
    found: list[dict[str, Any]] = []
    await post.request("invocation.list", on_item=found.append, worker=worker)
    return found


async def cancel(post: Any, invocation: str) -> bool:
    return bool((await post.request("invocation.cancel", invocation=invocation))["cancelled"])


async def test_a_send_gives_the_id_of_its_invocation(post: Any) -> None:
    """The id that comes back can be attached to, in this life of the executor and in the next."""
    invocation = await post.invoke("sender/1", "post", "a")

    assert await post.attach(invocation) == 1
    await post.simulate_crash()
    assert await post.attach(invocation) == 1
    assert await post.query("log/1", "read") == ["a"]


async def test_a_send_that_nobody_awaits_is_performed(post: Any) -> None:
    """Sends, and calls, whose handler ends in the same step take effect all the same."""
    await post.invoke("sender/1", "send_and_leave", "a")
    await post.invoke("sender/1", "call_and_leave", "b")
    await post.quiet()

    assert await post.query("log/1", "read") == ["a", "a by name", "b"]
    assert (await post.show("sender/1"))["status"] == "idle"


async def test_a_step_that_fails_sends_nothing(post: Any) -> None:
    """A send counts with its step: one that fails has sent nothing, its retry sends once."""
    invocation = await post.send("sender/1", "send_and_fail", "a", 3)
    await post.quiet()
    assert await post.workers() == ["sender/1"]

    assert await post.attach(invocation) == "sent"
    assert len(attempts) == 4
    await post.quiet()
    assert await post.query("log/1", "read") == ["a"]


async def test_a_wrong_send_is_refused_at_once(post: Any) -> None:
    """What cannot be sent raises `CallError` in the sender and touches nothing."""
    assert "Expected `str`" in await post.invoke("sender/1", "wrong", "worker://log/1")
    assert "not registered" in await post.invoke("sender/1", "wrong", "worker://nothing/1")
    assert await post.workers() == ["sender/1"]


async def test_a_worker_may_send_to_itself(post: Any) -> None:
    """A send closes no cycle: its target runs it when the sender is done."""
    await post.invoke("sender/1", "to_self", 3)
    await post.quiet()

    assert await post.query("sender/1", "turns") == ["turn 3", "turn 2", "turn 1", "turn 0"]


async def test_a_scheduled_invocation_is_seen_and_survives_a_crash(post: Any) -> None:
    """It is listed as scheduled, counts as pending in `worker show`, and fires at its time after a crash."""
    invocation = await post.invoke("sender/1", "after", 3_600, "later")
    [shown] = await invocations(post)
    assert (shown["invocation"], shown["status"], shown["function"]) == (invocation, "scheduled", "write")
    assert (await post.show("log/1"))["pending_invocations"] == 1
    assert (await post.show("log/1"))["status"] == "idle"
    started = trio.current_time()

    await post.simulate_crash()
    assert await post.query("log/1", "read") == []
    assert (await invocations(post))[0]["status"] == "scheduled"
    assert await post.attach(invocation) == 1

    assert trio.current_time() - started == pytest.approx(3_600, abs=1)
    assert (await post.show("log/1"))["pending_invocations"] == 0
    assert post.executor.environment.count(Table.TIMERS) == 0


async def test_what_was_due_while_nobody_ran_fires_late(tmp_path: Path, autojump_clock: Any) -> None:
    """An invocation whose time passed while the executor was down runs, once, at the next start."""
    async with Testbed.opened(tmp_path) as post:
        post.register(Log, Sender)
        invocation = await post.invoke("sender/1", "after", 60, "late")
        await post.stop()
        await trio.sleep(86_400)
        await post.start()
        assert await post.attach(invocation) == 1
        await trio.sleep(1_000)
        assert await post.query("log/1", "read") == ["late"]


async def test_scheduled_at_a_time(post: Any) -> None:
    """`schedule` fires at its time, whatever the zone it is given in, and at once if that is past."""
    start = datetime.fromtimestamp(post.now() / 1e6, UTC)
    zone = (start + timedelta(hours=2)).astimezone(tz=datetime.now().astimezone().tzinfo)
    later = await post.invoke("sender/1", "at", zone, "later")
    past = await post.invoke("sender/1", "at", start - timedelta(days=365), "past")
    ancient = await post.invoke("sender/1", "at", datetime(1950, 1, 1, tzinfo=UTC), "ancient")

    assert await post.attach(past) == 1
    assert await post.attach(ancient) == 2
    assert await post.attach(later) == 3
    times = [datetime.fromisoformat(text) for text in await post.query("log/1", "when")]
    assert abs(times[2] - start - timedelta(hours=2)) < timedelta(seconds=1)
    assert times[1] - start < timedelta(seconds=1)


async def test_the_past_keeps_no_other_timer_from_firing(post: Any) -> None:
    """What is due at the epoch or before, made before timers have been read back, leaves the others alone."""
    soon = await post.invoke("sender/1", "after", 600, "soon")
    await post.quiet()
    post.executor.timers.read_back()
    post.executor.timers.add(0, 999, 1)

    assert await post.attach(soon) == 1


async def test_a_time_without_a_zone_is_refused(post: Any) -> None:
    """A naive datetime raises, and says what to give."""
    assert "time zone" in await post.invoke("sender/1", "naive")


@pytest.mark.parametrize("seconds", [1e9, 1e12, 1e300, -1.0])
async def test_a_delay_has_limits(post: Any, seconds: float) -> None:
    """Whatever the delay, the executor goes on: it is kept for that long, or refused with a clear error."""
    answer = await post.invoke("sender/1", "far", seconds)

    assert answer.startswith(("inv_1", "ValueError", "OverflowError"))
    assert await post.invoke("sender/1", "post", "still here")
    if answer.startswith("inv_1"):
        assert await cancel(post, answer)


async def test_cancelled_before_its_time_it_never_runs(post: Any) -> None:
    """A scheduled invocation can be cancelled until it starts; it then never runs, crash or not."""
    invocation = await post.invoke("sender/1", "after", 3_600, "never")

    assert await cancel(post, invocation) is True
    assert await cancel(post, invocation) is False
    with pytest.raises(InvocationCancelled):
        await post.attach(invocation)
    await post.simulate_crash()
    await trio.sleep(10_000)
    with pytest.raises(InvocationCancelled):
        await post.attach(invocation)
    assert await post.query("log/1", "read") == []
    assert (await post.show("log/1"))["status"] == "idle"
    assert (await post.show("log/1"))["pending_invocations"] == 0
    assert post.executor.environment.count(Table.TIMERS) == 0


async def test_cancelled_twice_at_once_or_while_others_run(post: Any) -> None:
    """Two cancellations in one moment are one; what runs on the worker meanwhile is not disturbed."""
    held = await post.send("log/1", "hold")
    [promise] = await post.promises()
    scheduled = [await post.invoke("sender/1", "after", seconds, "x") for seconds in (5, 50, 500)]

    async with trio.open_nursery() as nursery:
        for invocation in scheduled[1:]:
            nursery.start_soon(cancel, post, invocation)
            nursery.start_soon(cancel, post, invocation)
    await post.quiet()
    for invocation in scheduled[1:]:
        with pytest.raises(InvocationCancelled):
            await post.attach(invocation)
    assert (await post.show("log/1"))["status"] == "suspended"
    assert (await post.show("log/1"))["pending_invocations"] == 2

    await trio.sleep(100)
    await post.complete_promise(promise, b"held")
    assert await post.attach(held) == "held"
    assert await post.attach(scheduled[0]) == 1


async def test_it_cannot_be_cancelled_after_its_end(post: Any) -> None:
    """Cancelling an invocation that has run says so and changes nothing."""
    invocation = await post.invoke("sender/1", "after", 1, "done")
    assert await post.attach(invocation) == 1
    before = await post.oplog("log/1")

    assert await cancel(post, invocation) is False
    assert await post.oplog("log/1") == before
    assert await post.attach(invocation) == 1


async def test_the_result_of_a_send_goes_to_nobody(post: Any) -> None:
    """The sender of what fails terminally never hears of it; deleting either does not disturb the other."""
    await post.invoke("sender/1", "after", 60, "orphan")
    await post.delete("sender/1")
    await trio.sleep(100)
    assert await post.query("log/1", "read") == ["orphan"]

    invocation = await post.invoke("sender/1", "after", 60, "gone")
    await post.delete("log/1")
    await trio.sleep(100)
    assert await post.query("log/1", "read") == []
    with pytest.raises((TerminalError, promissory.BadHandler.__mro__[2])):
        await post.attach(invocation)
    assert post.executor.environment.count(Table.TIMERS) == 0
