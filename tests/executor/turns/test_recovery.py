"""Rule 6: restart alone resumes everything that was runnable, and a worker that ends the process is found out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

import promissory
from promissory.executor.testing.testbed import Testbed
from promissory.oplog.errors import Paused
from promissory.oplog.tables import Table
from tests.seams import Seam

performed: list[str] = []
fuses: list[Any] = []
ROOT = Path(__file__).resolve().parents[3]


async def step(tag: str) -> str:
    await trio.sleep(50)
    performed.append(tag)
    return tag


class Bomb(promissory.Worker):
    @promissory.handler
    async def explode(self) -> str:
        for fuse in fuses:
            fuse()
        return "defused"


class Steady(promissory.Worker):
    @promissory.handler
    async def steps(self, tag: str) -> list[str]:
        return [await promissory.run(step, f"{tag}{n}") for n in range(3)]

    @promissory.handler
    async def nap(self) -> str:
        await promissory.sleep(100)
        return "rested"

    @promissory.handler
    async def wait(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()


@pytest.fixture
def steady(durable: Any) -> Any:
    performed.clear()
    fuses.clear()
    durable.register(Steady, Bomb)
    return durable


async def test_everything_runnable_goes_on_by_itself(steady: Any) -> None:
    """Work in progress goes on after a crash without anybody asking for it."""
    for n in range(100):
        await steady.send(f"steady/{n}", "steps", f"{n}.")
    await steady.simulate_crash()
    await trio.sleep(500)

    assert len(set(performed)) == 300


async def test_a_start_touches_only_what_is_runnable(steady: Any) -> None:
    """Workers that wait stay where they are: a start replays none of them."""
    for n in range(200):
        await steady.send(f"steady/{n}", "wait")
    await steady.send("steady/runnable", "steps", "x")
    await steady.simulate_crash()
    await steady.quiet()

    statistics = await steady.request("metrics")
    assert statistics["gauges"]["workers_in_memory"] == 1
    assert statistics["counters"]["entries_replayed"] <= 3


async def test_a_worker_that_ends_the_process_is_paused(steady: Any) -> None:
    """After two unclean ends workers are activated one by one; the one named at the next is paused, the rest go on."""
    fuses.append(steady.crash_at_next_commit)
    for n in range(5):
        await steady.send(f"steady/{n}", "steps", f"{n}.")
    invocation = await steady.send("bomb/1", "explode", delay=1)
    for n in range(5, 10):
        await steady.send(f"steady/{n}", "steps", f"{n}.")
    ends = 0
    await trio.sleep(2)
    while steady.has_crashed.is_set():
        ends += 1
        assert ends <= 4
        await steady.start()
        await trio.sleep(60)

    assert (await steady.show("bomb/1"))["status"] == "paused"
    assert "ProcessEnded" in (await steady.show("bomb/1"))["error"]
    with pytest.raises(Paused):
        await steady.attach(invocation)
    await trio.sleep(500)
    assert {f"{n}.2" for n in range(10)} <= set(performed)
    fuses.clear()
    await steady.resume("bomb/1")
    assert await steady.attach(invocation) == "defused"


async def test_a_worker_that_a_request_activates_waits_to_be_named_too(steady: Any) -> None:
    """While workers are activated one at a time, one that a request wakes waits its turn, and is found out as well."""
    for n in range(5):
        await steady.send(f"steady/{n}", "steps", f"{n}.")
    await steady.simulate_crash()
    await steady.quiet()
    await steady.simulate_crash()
    fuses.append(steady.crash_at_next_commit)
    assert steady.executor.recovery.is_careful
    await steady.send("bomb/1", "explode")
    assert steady.executor.recovery.is_careful
    await steady.has_crashed.wait()
    await steady.start()
    await trio.sleep(60)

    assert [path for path in await steady.workers() if (await steady.show(path))["status"] == "paused"] == ["bomb/1"]
    fuses.clear()


async def test_resume_all_sees_who_is_paused_by_this_start(steady: Any) -> None:
    """A worker that the start itself pauses is among all paused workers for a request that comes right after it."""
    for n in range(5):
        await steady.send(f"steady/{n}", "steps", f"{n}.")
    await steady.simulate_crash()
    await steady.quiet()
    await steady.simulate_crash()
    fuses.append(steady.crash_at_next_commit)
    await steady.send("bomb/1", "explode")
    await steady.has_crashed.wait()
    fuses.clear()
    await steady.start()

    assert await steady.request("worker.resume", all=True) == {"resumed": 1}
    await trio.sleep(60)
    assert (await steady.show("bomb/1"))["status"] == "idle"


async def test_a_careful_start_can_be_stopped(steady: Any) -> None:
    """A stop while workers are activated one at a time waits for what is in flight and for nothing else."""
    for n in range(5):
        await steady.send(f"steady/{n}", "steps", f"{n}.")
    await steady.simulate_crash()
    await steady.quiet()
    await steady.simulate_crash()
    await steady.send("steady/5", "steps", "5.")
    assert steady.executor.recovery.is_careful
    with trio.fail_after(60):
        await steady.stop()
    await steady.start()


async def test_a_clean_end_is_not_counted(steady: Any) -> None:
    """Stopping in order leaves no trace of an unclean end, and surviving one for a while forgets it."""
    assert steady.executor.recovery.unclean_count == 0
    await steady.stop()
    await steady.start()
    assert steady.executor.recovery.unclean_count == 0
    await steady.durable()  # a start that is not durable yet has done nothing that could end it
    await steady.simulate_crash()
    assert steady.executor.recovery.unclean_count == 1
    await steady.durable()
    await steady.simulate_crash()
    assert steady.executor.recovery.unclean_count == 2
    assert steady.executor.recovery.is_careful
    await trio.sleep(60)
    await steady.simulate_crash()
    assert steady.executor.recovery.unclean_count == 1


async def test_careful_recovery_finishes_everything(steady: Any) -> None:
    """Activated one at a time, everything runnable still goes on to its end."""
    for n in range(20):
        await steady.send(f"steady/{n}", "steps", f"{n}.")
    await steady.simulate_crash()
    await steady.quiet()
    await steady.simulate_crash()
    assert steady.executor.recovery.is_careful
    await trio.sleep(1_000)

    assert steady.executor.recovery.is_done.is_set()
    assert len(set(performed)) == 60


async def test_an_unavailable_component_leaves_its_workers_waiting(steady: Any) -> None:
    """Workers of a component that is not there wait and harm nobody; they go on when it is back."""
    invocation = await steady.send("steady/1", "steps", "x")
    steady._classes.pop("steady")
    await steady.simulate_crash()
    await trio.sleep(100)
    assert performed == []
    assert await steady.invoke("bomb/1", "explode") == "defused"

    steady.register(Steady)
    assert await steady.attach(invocation) == ["x0", "x1", "x2"]


PROGRAM = """
import os, sys, trio, warnings
import promissory

class Bomb(promissory.Worker):
    @promissory.handler
    async def explode(self) -> None:
        os._exit(42)

class Fine(promissory.Worker):
    done: int = 0
    @promissory.handler
    async def work(self) -> int:
        self.done += 1
        return self.done

async def main():
    async with promissory.open(sys.argv[1], components=[Bomb, Fine]) as client:
        if sys.argv[2] == "first":
            await client.send("worker://fine/1", "work", delay=3600)
            await client.send("worker://bomb/1", "explode", delay=1)
            await trio.sleep_forever()
        await client.executor.recovery.is_done.wait()
        assert await client.invoke("worker://fine/2", "work", key="k") == 1
        shown = await client.request("worker.show", worker="bomb/1")
        print(shown["status"], shown["error"].partition(":")[0])

trio.run(main)
"""


def test_a_real_process_that_is_ended_by_a_worker_survives(tmp_path: Path) -> None:
    """A worker that really ends its process is paused by the third restart at the latest; the others are served."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def run(which: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(program), str(tmp_path / "data"), which],
            env={"PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert run("first").returncode == 42
    for _ in range(4):
        again = run("again")
        if again.returncode != 42:
            break
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] == "paused ProcessEnded"


async def test_a_commit_that_fails_while_workers_go_on_one_at_a_time(tmp_path: Path, autojump_clock: Any) -> None:
    """After unclean ends a failed commit, whichever it is, neither keeps the others from going on nor doubles one."""
    for at in range(1, 12):
        seam = Seam()
        async with Testbed.opened(tmp_path / str(at), seam=seam) as steady:
            steady.register(Steady)
            await steady.durable()
            await steady.crash()
            await steady.start()
            steady.executor.turns.is_stopped = True
            sent = [await steady.send(f"steady/{n}", "nap") for n in range(3)]
            await steady.crash()
            seam.count, seam.fail_at = 0, at
            await steady.start()
            assert steady.executor.turns.is_careful
            await trio.sleep(1_000)
            assert not steady.executor.turns.is_careful
            assert [await steady.attach(invocation) for invocation in sent] == ["rested"] * 3
            assert steady.executor.environment.count(Table.TIMERS) == 0
