"""Something that one request does and others wait for, since they need the same."""

from __future__ import annotations

import copy
from types import TracebackType

import anyio

from promissory.oplog.errors import PromissoryError


class Attempt:
    """One try: done, failed, or given up, if whoever made it was cancelled; made in a `with` block."""

    def __init__(self) -> None:
        self._ended = anyio.Event()
        self._is_done = False
        self._error: PromissoryError | None = None

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_done = error is None
        self._error = error if isinstance(error, PromissoryError) else None
        self._ended.set()

    async def ended(self) -> None:
        """Wait until it has ended, however it did."""
        await self._ended.wait()

    async def is_done(self) -> bool:
        """Wait until it has ended, and return whether it was done; if not, whoever waits must make another.

        Raises:
          PromissoryError: it failed.
        """
        await self._ended.wait()
        if self._error is not None:
            # One of its own for each who waits: they would all add to one's traceback.
            raise copy.copy(self._error)
        return self._is_done
