"""Cancelling comes to the same wherever the executor crashes around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

import promissory.executor.turns.executor
from promissory.executor.testing.testbed import Testbed
from promissory.oplog.tables import Table
from tests.executor.hostcalls.office import Boss, Leaf, assert_cancelled, cancel, statuses
from tests.seams import Seam, through


async def test_one_in_the_queue_whose_turn_comes_meanwhile(
    tmp_path: Path, autojump_clock: Any, monkeypatch: Any
) -> None:
    """Cancelled while what ran before it ends, an invocation is cancelled, wherever the executor crashes."""
    monkeypatch.setattr(promissory.executor.turns.executor, "TURN_BUDGET_SECONDS", -1.0)
    for at in range(1, 9):
        async with Testbed.opened(tmp_path / str(at), seam=Seam(crash_at=1_000 + at)) as office:
            office.register(Leaf)
            await office.send("leaf/1", "hold", "first", key="1")
            second = await office.send("leaf/1", "hold", "second", key="2")
            [promise] = await office.promises()
            office.seam.count = 1_000

            async def end(office: Any = office, promise: str = promise, second: str = second) -> None:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(office.complete_promise, promise, b"done")
                    nursery.start_soon(cancel, office, second)

            await through(office, end)
            await assert_cancelled(office, second)
            await office.quiet()
            assert (await office.show("leaf/1"))["status"] == "idle"


@pytest.mark.parametrize("budget_seconds", [-1.0, 600.0])
async def test_crashed_at_any_commit_it_comes_to_the_same(
    tmp_path: Path, autojump_clock: Any, monkeypatch: Any, budget_seconds: float
) -> None:
    """Wherever the executor crashes around a cancellation, the same invocations end cancelled, in the same order."""
    monkeypatch.setattr(promissory.executor.turns.executor, "TURN_BUDGET_SECONDS", budget_seconds)
    for at in range(1, 16):
        async with Testbed.opened(tmp_path / str(at), seam=Seam(crash_at=at)) as office:
            office.register(Leaf, Boss)

            async def play(office: Any = office) -> None:
                wide = await office.send("boss/1", "fan_out", 3, key="wide")
                await office.quiet()
                await cancel(office, wide)
                clean = await office.send("boss/2", "stay", key="clean")
                await office.quiet()
                shown = await office.request("invocation.show", invocation=clean)
                if shown["status"] == "running" and await office.query("boss/2", "traced") == []:
                    await cancel(office, clean)
                await office.quiet()
                if (await office.request("invocation.show", invocation=clean))["status"] != "failed":
                    await cancel(office, clean)
                await assert_cancelled(office, wide, clean)
                await office.quiet()

            await through(office, play)
            assert set((await statuses(office)).values()) == {"idle"}
            for n in range(3):
                trace = await office.query(f"leaf/{n}", "traced")
                assert trace == [f"hold {n}", f"cancelled {n}"]
            assert office.executor.environment.count(Table.TIMERS) == 0
