"""Durable timers: sleeps, delays and retries fire once, at their time, or at once when that has passed."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import promissory
from promissory.executor.config import Config
from promissory.executor.testing.testbed import Testbed
from promissory.oplog.tables import Table


class Sleeper(promissory.Worker):
    @promissory.handler
    async def sleep(self, seconds: float) -> str:
        before = promissory.now()
        await promissory.sleep(seconds)
        return f"{(promissory.now() - before).total_seconds():.3f}"

    @promissory.handler
    async def name(self) -> str:
        return promissory.current_worker().worker_name

    @promissory.handler
    async def give_up(self) -> str:
        await promissory.race(promissory.sleep(1), promissory.sleep(100_000))
        return "gave up"


@pytest.fixture
def sleeper(durable: Any) -> Any:
    durable.register(Sleeper)
    return durable


@pytest.mark.parametrize("seconds", [0.0, 0.001, 1.5, 59.9, 61.0, 86_400.0, 30 * 86_400.0, 10 * 365 * 86_400.0])
async def test_a_sleep_takes_its_time(sleeper: Any, seconds: float) -> None:
    """A sleep ends when its time has passed, not before, however long: near, beyond the horizon, years away."""
    began = trio.current_time()
    slept = await sleeper.invoke("sleeper/1", "sleep", seconds)

    assert seconds <= float(slept) <= seconds + 0.1
    assert seconds <= trio.current_time() - began <= seconds + 0.1


async def test_timers_fire_in_order(sleeper: Any) -> None:
    """Whatever the order in which they were set, timers fire in the order of their times."""
    ended: list[int] = []

    async def sleep(n: int) -> None:
        await sleeper.invoke(f"sleeper/{n}", "sleep", n * 25.0)
        ended.append(n)

    async with trio.open_nursery() as nursery:
        for n in (5, 1, 4, 2, 3):
            nursery.start_soon(sleep, n)

    assert ended == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("crash", [True, False])
async def test_a_timer_due_while_down_fires_at_once(sleeper: Any, crash: bool) -> None:
    """A timer whose time came while the executor was down fires when it starts."""
    invocation = await sleeper.send("sleeper/1", "sleep", 100.0)
    delayed = await sleeper.send("sleeper/2", "name", delay=100.0)
    await sleeper.quiet()
    await (sleeper.crash() if crash else sleeper.stop())
    await trio.sleep(1_000)
    await sleeper.start()
    began = trio.current_time()

    await sleeper.attach(invocation)
    assert await sleeper.attach(delayed) == "2"
    assert trio.current_time() - began < 0.1


async def test_a_timer_survives_many_crashes(sleeper: Any) -> None:
    """A timer not yet due waits for what is left of its time after a restart."""
    began = trio.current_time()
    invocation = await sleeper.send("sleeper/1", "sleep", 100.0)
    for _ in range(5):
        await trio.sleep(10)
        await sleeper.simulate_crash()

    await sleeper.attach(invocation)
    assert 100 <= trio.current_time() - began < 101


async def test_an_abandoned_sleep_leaves_no_timer(sleeper: Any) -> None:
    """A sleep that is given up takes its timer with it."""
    assert await sleeper.invoke("sleeper/1", "give_up") == "gave up"
    await sleeper.quiet()

    assert sleeper.executor.environment.count(Table.TIMERS) == 0


async def test_thousands_of_timers_fire_once_each(tmp_path: Any, autojump_clock: Any) -> None:
    """Many timers across the horizon, set before and after a restart, each fire once."""
    async with Testbed.opened(tmp_path, config=Config(workers_in_memory_max=50)) as durable:
        durable.register(Sleeper)
        sent = [await durable.send(f"sleeper/{n}", "sleep", float(n % 200)) for n in range(400)]
        await durable.simulate_crash()
        for n, invocation in enumerate(sent):
            assert float(await durable.attach(invocation)) >= n % 200
        entries = await durable.oplog("sleeper/399")
        assert [entry["kind"] for entry in entries].count("Ended") == 1
