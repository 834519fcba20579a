"""Registering on a running executor: beside the loop, and through the one writer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trio

import promissory
from promissory.executor.testing.testbed import Testbed
from promissory.oplog.environment import Environment
from promissory.oplog.errors import StoreFailed
from promissory.oplog.tables import Table
from tests.admin import raw, serving

SLOW = """
import promissory
with open({pipe!r}) as pipe:
    pipe.read()

class Slow(promissory.Worker):
    @promissory.query
    def here(self) -> bool:
        return True
"""


class Quick(promissory.Worker):
    @promissory.handler
    async def answer(self) -> int:
        return 1


async def test_a_slow_import_holds_nobody_up(tmp_path: Path) -> None:
    """While a module is being imported the executor answers; the component is served when the import is done."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "slow_to_import.py").write_text(SLOW.format(pipe=str(pipe)))
    async with serving(tmp_path / "data", [Quick]) as (_, path), raw(path) as client, raw(path) as other:
        register = {"op": "component.register", "modules": ["slow_to_import"], "directory": str(tmp_path)}
        await client.send({"id": 1, **register})
        # Opening it for writing waits until the import has come to its reading end.
        writer = await trio.to_thread.run_sync(lambda: pipe.open("w"))
        with trio.fail_after(30):
            answer = await other.ask("invoke", worker="quick/a", function="answer", params=b"[]")
        assert answer["ok"]["result"] == b"1"
        writer.close()
        with trio.fail_after(30):
            assert await client.receive() == {"id": 1, "ok": ["slow"]}
        answer = await other.ask("query", worker="slow/a", function="here", params=b"[]")
        assert answer["ok"]["result"] == b"true"


@pytest.mark.parametrize("fails", [False, True])
async def test_components_are_written_by_the_one_writer(tmp_path: Path, autojump_clock: Any, fails: bool) -> None:
    """The rows of components are in the first commits, and are written again if their commit fails."""
    tables: list[set[Table]] = []

    def seam(environment: Environment) -> Any:
        def commit(changes: Any, written: Any = None) -> None:
            tables.append({table for table, rows in changes.items() if rows})
            if fails and len(tables) == 1:
                raise StoreFailed("no")
            environment.commit(changes, written)

        return commit

    async with Testbed.opened(tmp_path, seam=seam) as durable:
        await trio.sleep(10)
        durable.register(Quick)
        await trio.sleep(10)
        assert await durable.invoke("quick/a", "answer") == 1
        assert [key for key, _ in durable.executor.environment.scan(Table.COMPONENTS)] == [b"quick"]

    assert Table.META in tables[0]
    assert any(Table.COMPONENTS in batch for batch in tables)
