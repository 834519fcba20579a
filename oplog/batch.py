"""A whole batch as rows: what every copy of a record computes alike from the entries alone.

The executor knows more than the entries when it appends, and writes rows as it goes, by the same `fold`, `refresh`,
`forgetting` and `waking`; a law holds the two against each other. Pure: what was before is asked of `Before`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Protocol, TypeAlias

import attrs

from promissory.oplog import entries as e
from promissory.oplog import fold, reading
from promissory.oplog.codec import encode_entry
from promissory.oplog.errors import OplogCorrupt
from promissory.oplog.forgetting import forget_life, forget_worker
from promissory.oplog.ids import OplogIndex, WorkerId
from promissory.oplog.tables import (
    PromiseRow,
    Table,
    WorkerRow,
    oplog_key,
    worker_id_key,
    worker_key,
)

Changes: TypeAlias = dict[Table, dict[bytes, "bytes | None"]]
"""The rows to put, None to delete: what `Environment.commit` takes."""


@attrs.frozen
class Appended:
    """An entry that a batch appends."""

    ordinal: int
    index: OplogIndex
    entry: e.Entry


@attrs.frozen
class Gone:
    """An ephemeral worker of which a batch leaves nothing."""

    ordinal: int


class Before(Protocol):
    """The tables as they are before a batch."""

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return the row under a key, or None."""

    def keys(self, table: Table, prefix: bytes) -> Iterable[bytes]:
        """Return the keys that begin with a prefix."""


def rows_of(batch: Iterable[Appended | Gone], before: Before) -> Changes:
    """Return every row that a batch adds, changes or deletes, its records among them.

    Args:
      batch: whole units, in the order in which they were appended. Of a life that ends in it, entries that it also
        began with may be left out.
      before: the tables.

    Raises:
      OplogCorrupt: an entry cannot stand where it stands, or a row or entry that it needs cannot be read.
    """
    computed = _Batch(before)
    for part in batch:
        if type(part) is Appended:
            computed.append(part)
        else:
            computed.vanish(part.ordinal)
    computed.finish()
    return computed.changes


class _Batch:
    """The tables as they are in the middle of a batch."""

    def __init__(self, before: Before) -> None:
        self.changes: Changes = {table: {} for table in Table}
        self._before = before
        self._rows: dict[int, WorkerRow] = {}
        self._was_runnable: dict[int, bool] = {}

    def append(self, part: Appended) -> None:
        ordinal, index, entry = part.ordinal, part.index, part.entry
        row = self._row(ordinal, entry)
        if type(entry) is e.Removed:
            self._forget(row)
            row.last = index - 1
        fold.apply(row, index, entry, self._start_of(row, entry), self._ordinal_of, self._put)
        key = oplog_key(ordinal, index)
        self._put(Table.OPLOG, key, encode_entry(key, entry))

    def vanish(self, ordinal: int) -> None:
        row = self._row(ordinal, None)
        invoked = next((entry for _, entry in self._life(row) if type(entry) is e.Invoked), None)
        self._forget(row)
        if invoked is not None:
            forget_worker(row, invoked, self._put)
        del self._rows[ordinal], self._was_runnable[ordinal]

    def finish(self) -> None:
        """Write what is written once for a batch."""
        for ordinal, row in self._rows.items():
            fold.refresh(row, self._was_runnable[ordinal], self._put)
        changed = self.changes
        promises = {key[:16] for table in (Table.PROMISES, Table.WAITERS) for key in changed[table]}
        for promise in promises:
            ordinal, index = int.from_bytes(promise[:8], "big"), int.from_bytes(promise[8:], "big")
            is_more = self._has_outcome(promise) and self._is_awaited(promise)
            if is_more != (self.get(Table.RUNNABLE, promise) is not None):
                fold.waking(ordinal, index, is_more, self._put)

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return a row as it is now."""
        changes = self.changes[table]
        return changes[key] if key in changes else self._before.get(table, key)

    def _put(self, table: Table, key: bytes, row: bytes | None) -> None:
        self.changes[table][key] = row

    def _record(self, key: bytes) -> bytes | None:
        return self.get(Table.OPLOG, key)

    def _ordinal_of(self, worker_id: WorkerId) -> int | None:
        raw = self.get(Table.WORKER_IDS, worker_id_key(worker_id))
        return None if raw is None else int.from_bytes(raw, "big")

    def _row(self, ordinal: int, entry: e.Entry | None) -> WorkerRow:
        row = self._rows.get(ordinal)
        if row is None:
            raw = self._before.get(Table.WORKERS, worker_key(ordinal))
            if raw is not None:
                row = WorkerRow.decode(ordinal, raw)
            elif isinstance(entry, (e.Created, e.Removed)):
                row = WorkerRow(ordinal, entry.worker_id)
            else:
                raise OplogCorrupt(f"there is no worker {ordinal} for an entry to be appended to")
            self._rows[ordinal] = row
            self._was_runnable[ordinal] = row.is_runnable
        return row

    def _start_of(self, row: WorkerRow, entry: Any) -> e.Entry | None:
        """Return the entry that this one refers to, as `fold.apply` wants it."""
        kind = type(entry)
        if kind is e.Ended or kind is e.Abandoned:
            index = entry.start
        elif kind is e.Completed or kind is e.Cancelled:
            index = entry.invocation
        elif kind is e.Settled or kind is e.Deleted:
            index = entry.promise
        else:
            return None
        start = reading.entry(self._record, row.ordinal, index)
        if kind is e.Abandoned and any(
            type(later) is e.Ended and later.start == index for _, later in self._life(row, index + 1)
        ):
            return None
        return start

    def _life(self, row: WorkerRow, first: int = 0) -> Iterator[tuple[int, e.Entry]]:
        """Iterate over the entries of a life that can be read, from an index on."""
        for index in range(first or row.life, row.last + 1 if row.life else 0):
            with suppress(OplogCorrupt):
                yield index, reading.entry(self._record, row.ordinal, index)

    def _forget(self, row: WorkerRow) -> None:
        entries = list(self._life(row))
        invoked = {index: entry for index, entry in entries if type(entry) is e.Invoked}
        forget_life(row, entries, invoked.get, self._ordinal_of, self._put)
        prefix = worker_key(row.ordinal)
        for table in (Table.OPLOG, Table.PROMISES, Table.IDEMPOTENCY):
            for key in self._before.keys(table, prefix):
                if table is not Table.OPLOG or int.from_bytes(key[8:], "big") >= row.life:
                    self._put(table, key, None)

    def _has_outcome(self, promise: bytes) -> bool:
        raw = self.get(Table.PROMISES, promise)
        return raw is None or PromiseRow.decode(raw).is_settled

    def _is_awaited(self, promise: bytes) -> bool:
        changed = self.changes[Table.WAITERS]
        if any(row is not None for key, row in changed.items() if key.startswith(promise)):
            return True
        return any(key not in changed for key in self._before.keys(Table.WAITERS, promise))
