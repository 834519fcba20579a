"""Notices that clients have hung up while they wait.

ASGI tells it only to who keeps asking, which takes a task for each request. Most requests are answered within
milliseconds, so a request gets such a task only when it has waited for a while: a hundred thousand short ones cost
nothing, ten thousand long ones a small task each.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
from starlette.types import Receive

from promissory.executor.client.wait import Waiter
from promissory.executor.http.door.refusals import ClientGone
from promissory.executor.http.upstream.background import spawn

TICK_SECONDS = 0.5
"""A request is watched after one to two of these."""


class Vigil:
    """Those who wait, and the tasks that watch their connections."""

    def __init__(self) -> None:
        self._young: dict[Waiter, tuple[int, Receive]] = {}
        self._watched: dict[Waiter, Callable[[], object]] = {}
        self._tick = 0
        self._is_ticking = False

    def begin(self, waiter: Waiter, receive: Receive) -> None:
        """Let a waiter know, by the error `ClientGone`, when its client hangs up; the body must have been read."""
        self._young[waiter] = (self._tick, receive)
        if not self._is_ticking:
            self._is_ticking = True
            spawn(self._age)

    def end(self, waiter: Waiter) -> None:
        """Forget a waiter."""
        if self._young.pop(waiter, None) is None:
            cancel = self._watched.pop(waiter, None)
            if cancel is not None:
                cancel()

    async def _age(self) -> None:
        try:
            while self._young:
                await anyio.sleep(TICK_SECONDS)
                self._tick += 1
                for waiter, (since, receive) in list(self._young.items()):
                    if since >= self._tick - 1:
                        break  # they are in the order in which they came
                    del self._young[waiter]
                    self._watched[waiter] = spawn(self._watch, waiter, receive)
        finally:
            self._is_ticking = False

    async def _watch(self, waiter: Waiter, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        if waiter.answer is None and waiter.error is None:
            waiter.error = ClientGone()
            waiter.wake()
