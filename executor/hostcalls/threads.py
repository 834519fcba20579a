"""Threads for synchronous side effects: started when needed, kept, and cheap to hand work to and back.

`trio.to_thread` gives each call a task to wait in and a wake-up of its own. Here any number of calls wait in one
queue, and what the threads have finished is handed to the loop together, by one wake-up.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

import trio

Finished: TypeAlias = Callable[[Any, "BaseException | None"], None]
"""Called on the loop with what a function returned or raised."""


class Threads:
    """At most `threads_max` threads that call functions; they end with the process or with `close`."""

    def __init__(self, threads_max: int) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._threads_max = max(1, threads_max)
        self._threads_count = 0
        self._busy_count = 0
        self._calls: queue.SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...], Finished] | None] = (
            queue.SimpleQueue()
        )
        self._finished: deque[tuple[Finished, Any, BaseException | None]] = deque()

    def submit(self, function: Callable[..., Any], args: tuple[Any, ...], finished: Finished) -> None:
        """Have a thread call a function; `finished` is called on the loop afterwards."""
        self._busy_count += 1
        self._calls.put((function, args, finished))
        if self._threads_count < min(self._busy_count, self._threads_max):
            self._threads_count += 1
            name = f"promissory-run-{self._threads_count}"
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def close(self) -> None:
        """Let the threads end, each after the call it is in; nobody waits for them."""
        for _ in range(self._threads_count):
            self._calls.put(None)

    def _run(self) -> None:
        while True:
            call = self._calls.get()
            if call is None:
                return
            function, args, finished = call
            result, error = None, None
            try:
                result = function(*args)
            except BaseException as raised:
                error = raised
            self._finished.append((finished, result, error))
            try:
                self._token.run_sync_soon(self._hand_back, idempotent=True)
            except trio.RunFinishedError:
                return

    def _hand_back(self) -> None:
        while self._finished:
            finished, result, error = self._finished.popleft()
            self._busy_count -= 1
            finished(result, error)
