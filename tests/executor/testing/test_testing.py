"""The plugin for whoever tests workers: crashes, replays, time, and what it says when a worker does not replay."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import field

import promissory
import promissory.executor.testing
from promissory.executor.testing.testbed import Testbed
from promissory.oplog.errors import Paused

ROOT = Path(__file__).resolve().parents[3]


class Subject(promissory.Worker):
    seen: list[str] = field(factory=list)

    @promissory.handler
    async def month(self) -> str:
        before = promissory.now()
        await promissory.sleep(timedelta(days=30).total_seconds())
        return str((promissory.now() - before).days)

    @promissory.handler
    async def clock(self) -> None:
        self.seen.append(str(time.time_ns()))

    @promissory.handler
    async def clock_out(self) -> str:
        await promissory.run(str, name=f"at {time.time_ns()}")
        return "done"

    @promissory.handler
    async def order(self) -> str:
        return "".join(str(id(thing) % 7) for thing in {object() for _ in range(50)})

    @promissory.handler
    async def never(self) -> bytes:
        return await promissory.await_promise(promissory.create_promise())

    @promissory.handler
    async def fine(self) -> str:
        self.seen.append("fine")
        return "fine"

    @promissory.query
    def all_seen(self) -> list[str]:
        return self.seen


async def test_a_month_passes_at_once(durable: Any) -> None:
    """Time passes only when everybody waits, and then at once."""
    durable.register(Subject)
    began = time.monotonic()

    assert await durable.invoke("subject/1", "month") == "30"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("function", ["clock", "clock_out", "order"])
async def test_a_handler_that_does_not_replay_fails_its_test(
    tmp_path: Path, autojump_clock: Any, function: str
) -> None:
    """A handler that read a clock or the order of a set fails when the fixture ends, with the place."""
    with pytest.raises(AssertionError, match="subject/1 does not replay"):  # noqa: PT012 - the end of the block raises
        async with Testbed.opened(tmp_path) as durable:
            durable.register(Subject)
            await durable.invoke("subject/1", function)


async def test_a_replay_can_be_asked_for_at_any_time(durable: Any) -> None:
    """`assert_replays` names the first divergence; a worker can be excused from the replay at the end."""
    durable.register(Subject)
    await durable.invoke("subject/1", "fine")
    await durable.assert_replays("subject/1")
    await durable.invoke("subject/1", "clock_out")
    durable.excuse("subject/1")

    with pytest.raises(AssertionError, match=r"index \d+: the record has .*run at"):
        await durable.assert_replays("worker://subject/1")


async def test_a_replay_is_of_the_code_as_it_is(durable: Any) -> None:
    """After the class was changed, `assert_replays` says whether old oplogs still replay."""
    durable.register(Subject)
    await durable.send("subject/1", "never")
    await durable.quiet()

    class Subject2(promissory.Worker, component="subject"):
        seen: list[str] = field(factory=list)

        @promissory.handler
        async def never(self) -> bytes:
            await promissory.sleep(1)
            return b""

    durable.register(Subject2)
    with pytest.raises(AssertionError, match="create_promise"):
        await durable.assert_replays("subject/1")
    durable.register(Subject)


async def test_a_wait_that_nothing_can_end_says_so(durable: Any) -> None:
    """Waiting for what can never come fails instead of hanging."""
    durable.register(Subject)

    with pytest.raises(AssertionError, match="nothing is left"):
        await durable.invoke("subject/1", "never")


async def test_a_crash_drops_what_is_not_durable(durable: Any) -> None:
    """What was answered is there after a crash; what was asked for and not yet committed is gone."""
    durable.register(Subject)
    await durable.invoke("subject/1", "fine")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_ignoring, durable.invoke, "subject/2", "fine")
        await trio.lowlevel.checkpoint()
        await durable.simulate_crash()

    assert await durable.query("subject/1", "all_seen") == ["fine"]


async def _ignoring(ask: Any, *args: Any) -> None:
    from promissory.executor.client import Disconnected

    try:
        await ask(*args)
    except Disconnected:
        return


async def test_a_divergence_found_live_pauses_the_worker(durable: Any) -> None:
    """A worker that does not replay after a crash is paused, as in the daemon, and whoever waits is told."""
    durable.register(Subject)
    assert await durable.invoke("subject/1", "clock_out") == "done"
    await durable.simulate_crash()
    durable.excuse("subject/1")

    with pytest.raises(Paused, match="NonDeterminismError"):
        await durable.invoke("subject/1", "fine")


PLUGIN = """
import promissory

class Clock(promissory.Worker):
    @promissory.handler
    async def read(self) -> int:
        import time
        return time.time_ns()

    @promissory.handler
    async def fine(self) -> int:
        return 1

async def test_good(durable):
    durable.register(Clock)
    assert await durable.invoke("clock/1", "fine") == 1

async def test_bad(durable):
    durable.register(Clock)
    await durable.invoke("clock/1", "read")
"""


def test_the_plugin_works_without_trio_mode(tmp_path: Path) -> None:
    """In a project without any settings the fixture makes its tests trio tests, and bad handlers fail them."""
    (tmp_path / "test_mine.py").write_text(PLUGIN)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    installed = "promissory" in {entry.name for entry in _entry_points()}
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            *([] if installed else ["-p", "promissory.executor.testing"]),
            "-p",
            "no:cacheprovider",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert "1 failed, 1 passed" in result.stdout, result.stdout
    assert "clock/1 does not replay" in result.stdout


def _entry_points() -> Any:
    from importlib.metadata import entry_points

    return entry_points(group="pytest11")


def test_importing_the_plugin_is_cheap() -> None:
    """The plugin imports neither trio nor lmdb nor the executor before a test asks for them."""
    heavy = ("trio", "lmdb", "anyio", "msgspec", "promissory.workers")
    code = f"import promissory.executor.testing, sys; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert found.stdout == "[]\n"
    assert promissory.testing.Testbed is Testbed
