"""Who waits from outside for an outcome: clients on the socket and callers in this process.

Nothing here is durable. A watcher is told once, after the commit that holds what it is told; a client that lost its
connection asks again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from executor.record import Record
from oplog.entries import Failure, Outcome
from oplog.errors import PromissoryError, StoreFailed

Watcher: TypeAlias = Callable[["Outcome | None", "PromissoryError | None"], None]
"""Called once: with the outcome, or with why there is none to be had now."""

DELETED = Failure("deleted", "the promise was deleted", 410)


class Watchers:
    """All watchers, by worker and index of the promise or invocation."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._by_worker: dict[int, dict[int, list[Watcher]]] = {}

    def add(self, ordinal: int, index: int, watcher: Watcher) -> Callable[[], None]:
        """Have a watcher told of an outcome to come; returns what takes it back."""
        watchers = self._by_worker.setdefault(ordinal, {}).setdefault(index, [])
        watchers.append(watcher)

        def take_back() -> None:
            if watcher in watchers:
                watchers.remove(watcher)
            if not watchers:
                self._forget(ordinal, index)

        return take_back

    def settle(self, ordinal: int, index: int, outcome: Outcome) -> None:
        """Tell those who wait for an outcome that was just appended, when it is durable."""
        by_index = self._by_worker.get(ordinal)
        if by_index is not None and index in by_index:
            watchers = by_index[index]
            self._forget(ordinal, index)
            self._tell(watchers, outcome, None)

    def fail(self, ordinal: int, error: PromissoryError, is_concerned: Callable[[int], bool]) -> None:
        """Tell those who wait for something of a worker that it will not come now, when its cause is durable."""
        for index in [index for index in self._by_worker.get(ordinal, ()) if is_concerned(index)]:
            watchers = self._by_worker[ordinal][index]
            self._forget(ordinal, index)
            self._tell(watchers, None, error)

    def drop_unless(self, is_durable: Callable[[int, int], bool], error: StoreFailed) -> None:
        """After a failed commit, tell those whose promise is gone with it."""
        for ordinal, by_index in list(self._by_worker.items()):
            for index in [index for index in by_index if not is_durable(ordinal, index)]:
                watchers = by_index[index]
                self._forget(ordinal, index)
                for watcher in list(watchers):
                    watcher(None, error)

    def drop_all(self, error: PromissoryError) -> None:
        """Tell everybody that the executor ends."""
        everybody, self._by_worker = self._by_worker, {}
        for by_index in everybody.values():
            for watchers in by_index.values():
                for watcher in list(watchers):
                    watcher(None, error)

    def count(self) -> int:
        """Return how many wait."""
        return sum(len(watchers) for by_index in self._by_worker.values() for watchers in by_index.values())

    def _forget(self, ordinal: int, index: int) -> None:
        by_index = self._by_worker.get(ordinal)
        if by_index is not None:
            by_index.pop(index, None)
            if not by_index:
                del self._by_worker[ordinal]

    def _tell(self, watchers: list[Watcher], outcome: Outcome | None, error: PromissoryError | None) -> None:
        def durable(failure: StoreFailed | None) -> None:
            for watcher in list(watchers):
                if failure is None:
                    watcher(outcome, error)
                else:
                    watcher(None, failure)

        self._record.when_durable(durable)
