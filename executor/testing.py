"""A pytest plugin for whoever writes workers: the fixture `promissory`, an executor under trio's autojump clock.

    async def test_an_order_is_approved(promissory):
        promissory.register(Approval)
        invocation = await promissory.send("approval/order-7", "submit", {"order_id": "7", "item": "tea"})
        [promise] = await promissory.promises()
        await promissory.simulate_crash()
        await promissory.complete_promise(promise, b"yes")
        assert await promissory.attach(invocation) == "7: yes"

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
    from executor.testbed import Promissory

__all__ = ["Promissory", "promissory"]

# Nothing of trio or of the executor is imported before a test asks for it: this file is read by every run of pytest
# in an environment that has promissory installed.


def __getattr__(name: str) -> Any:
    """Import the class behind the fixture when it is asked for."""
    if name == "Promissory":
        from executor.testbed import Promissory

        return Promissory
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@pytest.fixture
async def promissory(tmp_path: Path) -> AsyncIterator[Promissory]:
    """An executor on a temporary directory; see `executor.testbed.Promissory`."""
    from executor.testbed import Promissory

    async with Promissory.opened(tmp_path / "promissory") as executor:
        yield executor


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have pytest-trio run every test that asks for `promissory`, under the autojump clock."""
    for item in items:
        if "promissory" not in getattr(item, "fixturenames", ()):
            continue
        if not config.pluginmanager.hasplugin("trio"):
            raise pytest.UsageError(f"{item.nodeid}: the fixture `promissory` needs pytest-trio")
        if inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.trio(run=run_with_autojump), append=False)


def run_with_autojump(function: Callable[[], Any], *, clock: Any = None, instruments: Any = (), **options: Any) -> Any:
    """Run an async function as `trio.run` does, under the autojump clock unless another is given."""
    import trio
    from trio.testing import MockClock

    clock = clock or MockClock(autojump_threshold=0)
    return trio.run(function, clock=clock, instruments=instruments, **options)
