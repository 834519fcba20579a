"""Hides trio and asyncio while a handler is stepped, so that neither can be touched from there.

A handler that opened a nursery inside the executor's own task would take the whole run down. So while a step runs,
trio's current task and runner, and asyncio's running loop, are objects whose every attribute is a violation: the
first thing that trio or asyncio does with them raises `NonDeterminismError`, even if the handler catches it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from trio._core._run import GLOBAL_RUN_CONTEXT

from promissory.workers import guard

T = TypeVar("T")


class _Hidden:
    """Stands where trio keeps its task and runner and asyncio its loop."""

    __slots__ = ("_library",)

    def __init__(self, library: str) -> None:
        object.__setattr__(self, "_library", library)

    def _refuse(self) -> NoReturn:
        raise guard.violation(f"uses {object.__getattribute__(self, '_library')}")

    def __getattr__(self, name: str) -> NoReturn:
        self._refuse()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        self._refuse()


_TRIO: Any = _Hidden("trio")
_ASYNCIO: Any = _Hidden("asyncio")


def hidden(step: Callable[[], T]) -> T:
    """Run a step where neither trio nor asyncio is to be seen; both are back when it ends, however it ends.

    Must be called from a trio task.
    """
    context = GLOBAL_RUN_CONTEXT
    task, runner = context.task, context.runner
    context.task = _TRIO
    context.runner = _TRIO
    asyncio._set_running_loop(_ASYNCIO)
    try:
        return step()
    finally:
        asyncio._set_running_loop(None)
        context.task = task
        context.runner = runner
