"""Who waits from outside for an outcome: clients on the socket and callers in this process.

Nothing here is durable. A watcher is told once, after the commit that holds what it is told; a client that lost its
connection asks again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from promissory.executor.commits.record import Record
from promissory.oplog.entries import Failure, Outcome
from promissory.oplog.errors import PromissoryError, StoreFailed

Watcher: TypeAlias = Callable[["Outcome | None", "PromissoryError | None"], None]
"""Called once: with the outcome, or with why there is none to be had now."""

DELETED = Failure("deleted", "the promise was deleted", 410)


class Watchers:
    """All watchers, by worker's ordinal and index of the promise or invocation."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._waiting: dict[tuple[int, int], list[Watcher]] = {}

    def add(self, ordinal: int, index: int, watcher: Watcher) -> Callable[[], None]:
        """Have a watcher told of an outcome to come; returns what takes it back."""
        key = (ordinal, index)
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = [watcher]
        else:
            waiting.append(watcher)
        return partial(self._take_back, key, watcher)

    def _take_back(self, key: tuple[int, int], watcher: Watcher) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None and watcher in waiting:
            waiting.remove(watcher)
            if not waiting:
                del self._waiting[key]

    def settle(self, ordinal: int, index: int, outcome: Outcome) -> None:
        """Tell those who wait for an outcome that was just appended, when it is durable."""
        if (ordinal, index) in self._waiting:
            self._record.on_kept(partial(self._tell_when_durable, (ordinal, index), outcome, None))

    def _tell_when_durable(self, key: tuple[int, int], outcome: Outcome | None, error: PromissoryError | None) -> None:
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            self._record.when_durable(partial(_tell, waiting, outcome, error))

    def fail(self, ordinal: int, error: PromissoryError, is_concerned: Callable[[int], bool]) -> None:
        """Tell those who wait for something of a worker that it will not come now, when its cause is durable."""
        for key in [key for key in self._waiting if key[0] == ordinal and is_concerned(key[1])]:
            self._record.on_kept(partial(self._tell_when_durable, key, None, error))

    def drop_unless(self, is_durable: Callable[[int, int], bool], error: StoreFailed) -> None:
        """After a failed commit, tell those whose promise is gone with it."""
        for key in [key for key in self._waiting if not is_durable(*key)]:
            _tell(self._waiting.pop(key), None, error, None)

    def count(self) -> int:
        """Return how many wait."""
        return sum(map(len, self._waiting.values()))


def _tell(
    waiting: list[Watcher], outcome: Outcome | None, error: PromissoryError | None, failure: StoreFailed | None
) -> None:
    """Tell watchers an outcome or an error, or that the commit that holds it failed."""
    for watcher in waiting:
        watcher(None if failure else outcome, failure or error)
