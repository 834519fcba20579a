"""Tasks that belong to no request: on asyncio as on trio, without a lifespan to hold them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import sniffio
import structlog

if TYPE_CHECKING:
    import trio

_tasks: set[asyncio.Task[None]] = set()
_log = structlog.get_logger("promissory.http")


def spawn(work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> Callable[[], object]:
    """Run something until it ends or its event loop does; an error of it is logged.

    Returns:
      What cancels it.
    """
    if sniffio.current_async_library() == "trio":
        import trio

        scope = trio.CancelScope()
        trio.lowlevel.spawn_system_task(_within, scope, work, *args)
        return scope.cancel
    task = asyncio.get_running_loop().create_task(work(*args))
    # The loop itself holds tasks only weakly.
    _tasks.add(task)
    task.add_done_callback(_ended)
    return task.cancel


def _ended(task: asyncio.Task[None]) -> None:
    _tasks.discard(task)
    if not task.cancelled():
        _complain(task.get_coro(), task.exception())


async def _within(scope: trio.CancelScope, work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
    with scope:
        try:
            await work(*args)
        except Exception as error:
            _complain(work, error)


def _complain(work: object, error: BaseException | None) -> None:
    if error is not None:
        _log.error("background_failed", work=getattr(work, "__qualname__", repr(work)), exc_info=error)
