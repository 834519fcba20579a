"""Watches for handlers that block the loop, from a thread of its own, while they block.

After `warning_seconds` it logs the worker's name, after `stack_seconds` the stack of the blocked thread. A step says
when it begins and ends by setting one attribute; the thread looks a few times a second and only while steps are taken.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from promissory.executor.residents.hiding import hidden
from promissory.executor.telemetry import tracebacks

T = TypeVar("T")


class Watchdog:
    """The thread that watches.

    Args:
      warning_seconds: how long a step may take before it is named.
      stack_seconds: how long before its stack is logged.
    """

    def __init__(self, warning_seconds: float, stack_seconds: float) -> None:
        self._warning_seconds = warning_seconds
        self._stack_seconds = stack_seconds
        self._step: tuple[str, float] | None = None
        self._watched = threading.get_ident()
        self._end = threading.Event()
        self._log = structlog.get_logger("promissory.watchdog")
        self._thread = threading.Thread(target=self._run, name="promissory-watchdog", daemon=True)
        self._thread.start()

    def watching(self, path: str, step: Callable[[], T]) -> T:
        """Run a step, hidden from trio and asyncio, and watch how long it takes."""
        self._step = (path, time.monotonic())
        try:
            return hidden(step)
        finally:
            self._step = None

    def close(self) -> None:
        """End the thread."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        warned: tuple[str, float] | None = None
        shown: tuple[str, float] | None = None
        while not self._end.wait(self._warning_seconds / 2):
            step = self._step
            if step is None:
                continue
            blocked_seconds = time.monotonic() - step[1]
            if step is not warned and blocked_seconds >= self._warning_seconds:
                warned = step
                self._log.warning("handler_blocks", worker=step[0], seconds=round(blocked_seconds, 3))
            if step is not shown and blocked_seconds >= self._stack_seconds:
                shown = step
                frame = sys._current_frames().get(self._watched)
                stack = tracebacks.of_frame(frame) if frame is not None else None
                self._log.error("handler_blocks", worker=step[0], seconds=round(blocked_seconds, 3), stack=stack)
