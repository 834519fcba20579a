"""A commit seam that crashes the executor, or fails, at a commit given by its number; and getting on all the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from promissory.executor.client import Disconnected
from promissory.executor.testing.testbed import Crashed
from promissory.oplog.environment import Environment
from promissory.oplog.errors import StoreFailed


class Seam:
    """Counts commits; crashes instead of one of them, or has one fail.

    Args:
      crash_at: the number of the commit in whose place the executor crashes; 0 is none.
      fail_at: the number of the commit that fails; 0 is none.
    """

    def __init__(self, *, crash_at: int = 0, fail_at: int = 0) -> None:
        self.count = 0
        self.crash_at = crash_at
        self.fail_at = fail_at

    def __call__(self, environment: Environment) -> Any:
        def commit(changes: Any, written: Callable[[], None] | None = None) -> None:
            self.count += 1
            if self.count == self.crash_at:
                raise Crashed("a crash to order")
            if self.count == self.fail_at:
                raise StoreFailed("no space left on device")
            environment.commit(changes, written)

        return commit


async def through(durable: Any, act: Callable[[], Awaitable[Any]]) -> Any:
    """Do something that may be done again until it is done, starting the executor anew when it has crashed."""
    while True:
        try:
            return await act()
        except (Disconnected, BaseExceptionGroup):
            await durable.crash()
            await durable.start()
