"""What one task waits on until its answer is there, at the event loop's own price.

anyio's `Event` would do, at three times the cost: a client makes one of these for each request, tens of thousands a
second. A waiter is waited on by one task, once, and set by another task of the same loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from typing import Any

import sniffio


class Waiter:
    """An answer that is not there yet.

    Args:
      on_item: called with each item that comes before it.
    """

    __slots__ = ("answer", "error", "on_item")

    def __init__(self, on_item: Callable[[Any], None] | None) -> None:
        self.on_item = on_item
        self.answer: dict[str, Any] | None = None
        self.error: Exception | None = None

    async def wait(self) -> None:
        """Wait until `wake` is called; cancellable."""
        raise NotImplementedError

    def wake(self) -> None:
        """Let the waiting task go on; nothing if it was cancelled meanwhile."""
        raise NotImplementedError


class _AsyncioWaiter(Waiter):
    __slots__ = ("_future",)

    def __init__(self, on_item: Callable[[Any], None] | None) -> None:
        super().__init__(on_item)
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait(self) -> None:
        await self._future

    def wake(self) -> None:
        if not self._future.done():
            self._future.set_result(None)


def waiter_class() -> type[Waiter]:
    """Return the kind of waiter that belongs to the event loop that is running."""
    return _trio_waiter() if sniffio.current_async_library() == "trio" else _AsyncioWaiter


@cache
def _trio_waiter() -> type[Waiter]:
    # Imported here, since trio takes a tenth of a second that a program on asyncio, like our command line, can save.
    from trio.lowlevel import Abort, RaiseCancelT, Task, current_task, reschedule, wait_task_rescheduled

    class TrioWaiter(Waiter):
        __slots__ = ("_task",)

        def __init__(self, on_item: Callable[[Any], None] | None) -> None:
            super().__init__(on_item)
            self._task: Task | None = current_task()

        async def wait(self) -> None:
            await wait_task_rescheduled(self._abort)

        def _abort(self, _: RaiseCancelT) -> Abort:
            self._task = None
            return Abort.SUCCEEDED

        def wake(self) -> None:
            task, self._task = self._task, None
            if task is not None:
                reschedule(task)

    return TrioWaiter
