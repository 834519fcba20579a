"""Side effects: attempts, timeouts, abandoning, and delivery to workers that are not in memory."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import promissory
from promissory.oplog.environment import Environment
from promissory.oplog.errors import StoreFailed, TerminalError

performed: list[str] = []
NO_RETRY = promissory.RetryPolicy(attempts=1)


async def steady(tag: str, seconds: float) -> str:
    performed.append(f"{tag} began")
    try:
        await trio.sleep(seconds)
    except trio.Cancelled:
        performed.append(f"{tag} stopped")
        raise
    performed.append(f"{tag} done")
    return tag


def third_time(tag: str) -> int:
    performed.append(tag)
    if performed.count(tag) < 3:
        raise OSError("not yet")
    return performed.count(tag)


def refuse() -> None:
    performed.append("refused")
    raise TerminalError("no more", code=409)


def unencodable() -> Any:
    performed.append("made")
    return object()


async def sore_loser() -> None:
    try:
        await trio.sleep(1_000)
    finally:
        performed.append("sore")
        raise ValueError("not like this")


async def sore_losers() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sore_loser)
        nursery.start_soon(trio.sleep, 1_000)


async def nested_failure() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 1)
        raise ValueError("inside")


def exits() -> None:
    raise SystemExit(3)


class Doer(promissory.Worker):
    @promissory.handler
    async def steady(self, tag: str, seconds: float) -> str:
        return await promissory.run(steady, tag, seconds)

    @promissory.handler
    async def third(self, attempts: int) -> int:
        return await promissory.run(third_time, "t", retry=promissory.RetryPolicy(attempts=attempts))

    @promissory.handler
    async def refused(self) -> None:
        await promissory.run(refuse)

    @promissory.handler
    async def unencodable(self) -> None:
        await promissory.run(unencodable)

    @promissory.handler
    async def bad(self, which: str) -> None:
        await promissory.run({"nested": nested_failure, "exits": exits}[which], retry=NO_RETRY)

    @promissory.handler
    async def late(self) -> str:
        try:
            await promissory.run(steady, "late", 100.0, timeout=5, retry=NO_RETRY)
        except TerminalError as error:
            return str(error)
        return "in time"

    @promissory.handler
    async def raced(self) -> int:
        position, _ = await promissory.race(promissory.run(steady, "slow", 100.0), promissory.sleep(3))
        return position

    @promissory.handler
    async def stops(self, which: str) -> int:
        loser = {"one": sore_loser, "many": sore_losers}[which]
        position, _ = await promissory.race(promissory.run(loser), promissory.sleep(3))
        return position

    @promissory.handler
    async def tight(self) -> int:
        position, _ = await promissory.race(promissory.run(steady, "tight", 3.3), promissory.sleep(3))
        return position


@pytest.fixture
def doer(durable: Any) -> Any:
    performed.clear()
    durable.register(Doer)
    return durable


async def test_an_effect_is_tried_again(doer: Any) -> None:
    """An effect that raises is tried again after a backoff, without a step of its worker, until it succeeds."""
    assert await doer.invoke("doer/1", "third", 5) == 3
    assert [entry["kind"] for entry in await doer.oplog("doer/1")].count("Errored") == 0


async def test_the_last_attempt_is_the_outcome(doer: Any) -> None:
    """After its last attempt an effect's outcome is a `TerminalError` that says what happened."""
    with pytest.raises(TerminalError, match=r"2 attempts.*not yet"):
        await doer.invoke("doer/1", "third", 2)
    assert len(performed) == 2


async def test_a_terminal_error_of_an_effect_is_not_retried(doer: Any) -> None:
    """`TerminalError` in an effect is its outcome at once, with message and code."""
    with pytest.raises(TerminalError, match="no more") as caught:
        await doer.invoke("doer/1", "refused")
    assert caught.value.code == 409
    assert performed == ["refused"]


async def test_a_result_that_cannot_be_recorded_is_not_retried(doer: Any) -> None:
    """A result that is no data is a terminal error: performing the effect again would not help."""
    with pytest.raises(TerminalError):
        await doer.invoke("doer/1", "unencodable")
    assert performed == ["made"]


@pytest.mark.parametrize("which", ["nested", "exits"])
async def test_whatever_an_effect_raises_stays_its_own(doer: Any, which: str) -> None:
    """Exception groups and `SystemExit` of an effect fail that effect, not the executor."""
    with pytest.raises(TerminalError):
        await doer.invoke("doer/1", "bad", which)
    assert await doer.invoke("doer/2", "steady", "x", 1.0) == "x"


async def test_a_timeout_is_a_failed_attempt(doer: Any) -> None:
    """An attempt that takes too long is stopped and counts as failed."""
    assert "no result after 5" in await doer.invoke("doer/1", "late")
    assert performed == ["late began", "late stopped"]


async def test_an_abandoned_effect_is_told_to_stop(doer: Any) -> None:
    """An async effect that is given up is cancelled and its outcome dropped."""
    assert await doer.invoke("doer/1", "raced") == 1
    await doer.quiet()
    assert performed == ["slow began", "slow stopped"]


async def test_an_effect_outlives_its_worker_in_memory(doer: Any) -> None:
    """A worker leaves memory while its effect runs; the effect is not started again and its outcome wakes it."""
    invocation = await doer.send("doer/1", "steady", "x", 500.0)
    await trio.sleep(100)
    assert len(doer.executor.residents) == 0
    assert (await doer.show("doer/1"))["status"] == "running"

    assert await doer.attach(invocation) == "x"
    assert performed == ["x began", "x done"]


async def test_an_open_effect_is_performed_again_after_a_crash(doer: Any) -> None:
    """An effect whose outcome is not durable is performed again after a crash, under the same index."""
    invocation = await doer.send("doer/1", "steady", "x", 500.0)
    await trio.sleep(100)
    await doer.simulate_crash()

    assert await doer.attach(invocation) == "x"
    assert performed == ["x began", "x stopped", "x began", "x done"]
    assert [entry["kind"] for entry in await doer.oplog("doer/1")].count("Started") == 1


async def test_an_interrupted_worker_performs_nothing_before_it_is_resumed(doer: Any) -> None:
    """Open effects of an interrupted worker are not performed again until it is resumed."""
    invocation = await doer.send("doer/1", "steady", "x", 500.0)
    await trio.sleep(100)
    await doer.interrupt("doer/1")
    await doer.simulate_crash()
    await trio.sleep(1_000)
    assert performed == ["x began", "x stopped"]

    await doer.resume("doer/1")
    assert await doer.attach(invocation) == "x"


async def test_stopping_waits_for_effects_within_the_grace(doer: Any) -> None:
    """A stop in order lets effects finish; one beyond the grace is stopped and performed again later."""
    quick = await doer.send("doer/quick", "steady", "quick", 5.0)
    slow = await doer.send("doer/slow", "steady", "slow", 50.0)
    await doer.quiet()
    await doer.stop()
    assert sorted(performed) == ["quick began", "quick done", "slow began", "slow stopped"]

    await doer.start()
    assert await doer.attach(quick) == "quick"
    assert await doer.attach(slow) == "slow"
    assert performed.count("quick began") == 1


async def test_an_effect_is_told_to_stop_only_when_giving_it_up_is_durable(doer: Any) -> None:
    """When the commit that holds its `Abandoned` fails, the effect goes on: it is neither stopped nor begun again."""
    failing: list[bool] = []

    def seam(environment: Environment) -> Any:
        def commit(changes: Any, written: Any = None) -> None:
            if failing:
                failing.pop()
                raise StoreFailed("no")
            environment.commit(changes, written)

        return commit

    doer.seam = seam
    await doer.simulate_crash()
    invocation = await doer.send("doer/1", "raced")
    await trio.sleep(2.9)
    failing.extend([True, True])
    await trio.sleep(0.15)
    assert performed == ["slow began"]

    await trio.sleep(10)
    assert await doer.attach(invocation) == 1
    await doer.quiet()
    assert performed == ["slow began", "slow stopped"]


async def test_an_effect_may_finish_while_giving_it_up_is_undone(doer: Any) -> None:
    """An effect that ends between a failed giving-up and the next try is neither lost nor performed twice."""
    failing: list[bool] = []

    def seam(environment: Environment) -> Any:
        def commit(changes: Any, written: Any = None) -> None:
            if failing:
                failing.pop()
                raise StoreFailed("no")
            environment.commit(changes, written)

        return commit

    doer.seam = seam
    await doer.simulate_crash()
    invocation = await doer.send("doer/1", "tight")
    await trio.sleep(2.9)
    failing.extend([True] * 4)
    await trio.sleep(60)

    assert await doer.attach(invocation) in (0, 1)
    assert [line for line in performed if "began" in line] == ["tight began"]


@pytest.mark.parametrize("which", ["one", "many"])
async def test_an_effect_that_raises_when_told_to_stop_harms_nobody(doer: Any, which: str) -> None:
    """Whatever a cancelled effect raises on its way out is dropped; the executor goes on."""
    assert await doer.invoke("doer/1", "stops", which) == 1
    await trio.sleep(100)

    assert performed == ["sore"]
    assert await doer.invoke("doer/2", "steady", "x", 1.0) == "x"


async def test_a_crash_of_an_effect_while_the_executor_stops_is_dropped(doer: Any) -> None:
    """An effect beyond the grace that raises when it is stopped does not disturb the end in order."""
    await doer.send("doer/1", "stops", "many")
    await doer.send("doer/2", "stops", "one")
    await doer.quiet()
    await doer.stop()
    assert performed == ["sore", "sore"]
    await doer.start()
    assert doer.executor.recovery.unclean_count == 0


async def test_an_effect_that_ends_during_the_backoff_is_recorded_once(doer: Any) -> None:
    """An outcome that comes while nothing may be committed is appended once, when commits are taken again."""
    failing: list[bool] = []

    def seam(environment: Environment) -> Any:
        def commit(changes: Any, written: Any = None) -> None:
            if failing:
                failing.pop()
                raise StoreFailed("no")
            environment.commit(changes, written)

        return commit

    doer.seam = seam
    await doer.simulate_crash()
    invocation = await doer.send("doer/1", "steady", "x", 1.05)
    await trio.sleep(1)
    failing.append(True)
    with pytest.raises(StoreFailed):
        await doer.send("doer/2", "steady", "y", 1.0)
    await trio.sleep(10)

    assert await doer.attach(invocation) == "x"
    assert [entry["kind"] for entry in await doer.oplog("doer/1")].count("Ended") == 1
