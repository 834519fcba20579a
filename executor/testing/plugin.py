"""A pytest plugin for whoever writes workers: the fixture `durable`, an executor under trio's autojump clock.

    async def test_an_order_is_approved(durable):
        durable.register(Approval)
        invocation = await durable.send("approval/order-7", "submit", {"order_id": "7", "item": "tea"})
        [promise] = await durable.promises()
        await durable.simulate_crash()
        await durable.complete_promise(promise, b"yes")
        assert await durable.attach(invocation) == "7: yes"

Time passes only when everybody waits, and then at once: a handler may sleep for a month. When the fixture ends, every
worker's oplog is replayed against the code, so a handler that reads a clock fails its own test. Needs pytest-trio.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from promissory.executor.testing.testbed import Testbed

# Nothing of trio or of the executor is imported before a test asks for it: this file is read by every run of pytest
# in an environment that has promissory installed.


@pytest.fixture
async def durable(tmp_path: Path) -> AsyncIterator[Testbed]:
    """An executor on a temporary directory; see `testbed.Testbed`."""
    from promissory.executor.testing.testbed import Testbed

    async with Testbed.opened(tmp_path / "promissory") as executor:
        yield executor


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have pytest-trio run every test that asks for `durable`, under the autojump clock."""
    for item in items:
        if "durable" not in getattr(item, "fixturenames", ()):
            continue
        if not config.pluginmanager.hasplugin("trio"):
            raise pytest.UsageError(f"{item.nodeid}: the fixture `durable` needs pytest-trio")
        if inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.trio(run=run_with_autojump), append=False)


def run_with_autojump(function: Callable[[], Any], *, clock: Any = None, instruments: Any = (), **options: Any) -> Any:
    """Run an async function as `trio.run` does, under the autojump clock unless another is given."""
    import trio
    from trio.testing import MockClock

    clock = clock or MockClock(autojump_threshold=0)
    return trio.run(function, clock=clock, instruments=instruments, **options)
