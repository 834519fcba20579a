"""Tasks that belong to no request: on asyncio as on trio, without a lifespan to hold them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import sniffio
import structlog

_tasks: set[asyncio.Task[None]] = set()
_log = structlog.get_logger("promissory.http")


def spawn(work: Callable[..., Awaitable[None]], *args: Any) -> None:
    """Run something until it ends or its event loop does; an error of it is logged."""
    if sniffio.current_async_library() == "trio":
        import trio

        trio.lowlevel.spawn_system_task(_logged, work, *args)
        return
    task = asyncio.get_running_loop().create_task(_logged(work, *args))
    # The loop itself holds tasks only weakly.
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _logged(work: Callable[..., Awaitable[None]], *args: Any) -> None:
    try:
        await work(*args)
    except Exception:
        _log.exception("background_failed", work=getattr(work, "__qualname__", repr(work)))
