"""Deleting a worker: one unit that ends everybody's waits for it, takes back its own, and leaves its `Removed`.

An ephemeral worker's name is never used again, so it leaves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from promissory.executor.commits.record import Record
from promissory.executor.hostcalls.asks import Asks
from promissory.executor.hostcalls.calls import Calls
from promissory.executor.hostcalls.effects import Effects
from promissory.executor.hostcalls.promises import Promises
from promissory.executor.residents.residents import Activation, Residents
from promissory.executor.residents.watchers import DELETED, Watchers
from promissory.oplog import entries as e
from promissory.oplog.environment import ordinal_range
from promissory.oplog.errors import OplogCorrupt, PromiseDeleted
from promissory.oplog.fold import waking
from promissory.oplog.forgetting import forget_life, forget_worker
from promissory.oplog.ids import OplogIndex
from promissory.oplog.tables import Table, oplog_key, waiter_key


class Deletion:
    """Deletes workers, whatever state they are in."""

    def __init__(
        self,
        record: Record,
        residents: Residents,
        promises: Promises,
        watchers: Watchers,
        effects: Effects,
        calls: Calls,
        asks: Asks,
    ) -> None:
        self._record = record
        self._residents = residents
        self._promises = promises
        self._watchers = watchers
        self._effects = effects
        self._calls = calls
        self._asks = asks

    def delete(self, activation: Activation, by: str) -> None:
        """End a worker's life as a unit: `Removed` stays, so no index is ever used twice; the rest goes.

        The next life begins at the index after it. Of an ephemeral worker nothing stays.
        """
        with self._record.unit():
            self._delete(activation, by)

    def _delete(self, activation: Activation, by: str) -> None:
        record, ordinal, life = self._record, activation.ordinal, activation.row.life
        last = activation.row.last
        activation.unload()
        readable = list(self._readable(ordinal, life, last))
        settleable = self._forget_entries(activation, readable)
        for table in (Table.PROMISES, Table.IDEMPOTENCY):
            first, end = ordinal_range(ordinal)
            for key, _ in record.environment.scan(table, first, end):
                record.put(table, key, None)
        for index in range(life, last + 1):
            record.put(Table.OPLOG, oplog_key(ordinal, index), None)
        for index in settleable:
            self._wake_all(activation, index)
        invocations = [(index, entry) for index, entry in readable if type(entry) is e.Invoked]
        for _, invoked in invocations:
            self._calls.completed(invoked, DELETED)
        ephemeral = next((entry for _, entry in invocations if entry.retention_us is not None), None)
        if ephemeral is None:
            self._residents.append(activation, e.Removed(record.now(), activation.row.worker_id, by))
        else:
            self._leave_nothing(activation, ephemeral)
        self._watchers.fail(ordinal, PromiseDeleted(f"worker {activation.path} was deleted", 410), lambda _: True)

    def _leave_nothing(self, activation: Activation, invoked: e.Invoked) -> None:
        forget_worker(activation.row, invoked, self._record.put)
        self._residents.forget(activation)

    def _forget_entries(self, activation: Activation, entries: Sequence[tuple[int, e.Entry]]) -> list[int]:
        """Take back the rows that entries of this life had made; return its promises and invocations."""
        record, ordinal = self._record, activation.ordinal
        for index, entry in entries:
            request = entry.request if type(entry) is e.Started else None
            if type(request) is e.Run:
                self._effects.abandon(ordinal, index)
            elif type(request) is e.Ask:
                self._asks.forget(ordinal, index)
        invoked = {index: entry for index, entry in entries if type(entry) is e.Invoked}
        return forget_life(activation.row, entries, invoked.get, record.ordinal_of, record.put)

    def _readable(self, ordinal: int, life: int, last: int) -> Iterator[tuple[int, e.Entry]]:
        """Iterate over the entries that can be read: a corrupt one must not keep its worker from being deleted."""
        for index in range(life, last + 1):
            try:
                yield index, self._record.entry(ordinal, index)
            except OplogCorrupt:
                continue

    def _wake_all(self, activation: Activation, index: int) -> None:
        record = self._record
        waking(activation.ordinal, index, False, record.put)
        wait = e.AwaitPromise(activation.row.worker_id, OplogIndex(index))
        while waiters := record.waiters(activation.ordinal, index, 256):
            for ordinal, start in waiters:
                waiter = self._residents.get(ordinal)
                if waiter is None:
                    record.put(Table.WAITERS, waiter_key(activation.ordinal, index, ordinal, start), None)
                else:
                    known = e.Started(0, OplogIndex(start), wait)
                    self._residents.deliver(waiter, e.Ended(record.now(), OplogIndex(start), DELETED), known=known)
