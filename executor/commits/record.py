"""The record as appended, durable or not yet: units go into a batch, batches into commits, and reads see them all.

Two rules beside those of a unit. Reads look at the batches that wait for their commit before they look at LMDB.
Whatever leaves the executor registers with `when_durable` and leaves when the commit that holds its cause is done, or
learns that it failed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from promissory.executor.commits.unit import ABSENT, Part, Unit
from promissory.oplog import fold, reading
from promissory.oplog.codec import encode_entry
from promissory.oplog.entries import Ended, Entry
from promissory.oplog.environment import Environment, prefix_end
from promissory.oplog.errors import OplogCorrupt, OplogError, StoreFailed
from promissory.oplog.ids import OplogIndex, WorkerId
from promissory.oplog.tables import PAIR, U64, PromiseRow, Table, WorkerRow, oplog_key, worker_id_key, worker_key

_OPLOG, _WAITERS = Table.OPLOG, Table.WAITERS

Durable = Callable[["StoreFailed | None"], None]
"""Called once: with None when the commit is durable, with the error when it failed."""


class Batch:
    """What one commit will hold: whole units only."""

    __slots__ = ("bytes_count", "callbacks", "changes", "entries_count", "is_awaited", "number", "waits")

    def __init__(self, number: int) -> None:
        self.number = number
        self.changes: dict[Table, dict[bytes, bytes | None]] = {table: {} for table in Table}
        self.waits: dict[bytes, set[bytes]] = {}
        """The keys of changed `WAITERS` rows by the promise they wait for."""
        self.entries_count = 0
        self.bytes_count = 0
        self.callbacks: list[Durable] = []
        self.is_awaited = False
        """Whether somebody can go on only when it is durable."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit and nobody waits."""
        return not self.callbacks and not any(self.changes.values())


class Record:
    """The oplogs of all workers and the tables computed from them, as appended.

    Args:
      environment: the durable store.
      clock: the time in microseconds since 1970, UTC.
    """

    def __init__(self, environment: Environment, clock: Callable[[], int]) -> None:
        self.environment = environment
        self._clock = clock
        self.wake: Callable[[], None] = lambda: None
        """Has the committer look at the open batch."""
        self.before_seal: Callable[[], None] = lambda: None
        """Puts what is written once for a batch."""
        self._last_now = 0
        self.batch = Batch(1)
        self._unit: Unit | None = None
        """The unit that is open now."""
        self.unit_number = 0
        """Counts the units; the open one's, or the last one's."""
        self.sealed: deque[Batch] = deque()
        """Batches that wait for their commit or are in it, oldest first."""
        self.entries_max = 4_096
        self.bytes_max = 64 << 20
        self.durable_number = 0
        """The number of the last batch that is durable."""
        self.commits_count = 0
        self.appended_count = 0
        last = environment.last_key(Table.WORKERS)
        self._next_ordinal = 1 if last is None else U64.unpack(last)[0] + 1
        self.entries_total = environment.count(Table.OPLOG)

    def now(self) -> int:
        """Return the time in microseconds: never less than the last time, or than a timestamp of a worker in memory."""
        now = self._clock()
        if now > self._last_now:
            self._last_now = now
        return self._last_now

    # Reading.

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return a row as appended."""
        changes = self.batch.changes[table]
        if key in changes:
            return changes[key]
        for batch in reversed(self.sealed):
            changes = batch.changes[table]
            if key in changes:
                return changes[key]
        return self.environment.get(table, key)

    def ordinal_of(self, worker_id: WorkerId) -> int | None:
        """Return the ordinal of a worker that is or once was; None if there never was one."""
        raw = self.get(Table.WORKER_IDS, worker_id_key(worker_id))
        return None if raw is None else U64.unpack(raw)[0]

    def worker_row(self, ordinal: int) -> WorkerRow | None:
        """Return a worker's row, decoded anew."""
        raw = self.get(Table.WORKERS, worker_key(ordinal))
        if raw is None:
            return None
        row = WorkerRow.decode(ordinal, raw)
        if row.last_timestamp > self._last_now:  # the clock was set back while nobody looked
            self._last_now = row.last_timestamp
        return row

    def promise_row(self, ordinal: int, index: int) -> PromiseRow | None:
        """Return the row of a promise or an invocation."""
        raw = self.get(Table.PROMISES, oplog_key(ordinal, index))
        return None if raw is None else PromiseRow.decode(raw)

    def entry(self, ordinal: int, index: int) -> Entry:
        """Return one entry.

        Raises:
          OplogCorrupt: it is missing or not what was written.
        """
        try:
            return reading.entry(self._oplog, ordinal, index)
        except OplogError as error:
            raise self._named(error, ordinal) from None

    def _named(self, error: OplogError, ordinal: int) -> OplogError:
        """Return an error of an entry with its worker, as people and callers need it."""
        raw = self.get(Table.WORKERS, worker_key(ordinal))
        try:
            worker = f"#{ordinal}" if raw is None else str(WorkerRow.decode(ordinal, raw).worker_id)
        except OplogCorrupt:  # its row cannot be read either: the ordinal is all that is left of its name
            worker = f"#{ordinal}"
        error.ordinal = ordinal
        return error.of(worker)

    def entries(self, ordinal: int, first: int, last: int) -> list[Entry]:
        """Return a worker's entries from `first` to `last`, both included, each `Ended` with its outcome in place.

        Raises:
          OplogCorrupt: one of them is missing or not what was written.
        """
        try:
            return reading.entries(self._oplog, self._durable_run, ordinal, first, last)
        except OplogError as error:
            raise self._named(error, ordinal) from None

    def _oplog(self, key: bytes) -> bytes | None:
        return self.get(_OPLOG, key)

    def _durable_run(self, first: bytes, count: int) -> list[tuple[bytes, bytes]]:
        return self.environment.read_run(_OPLOG, first, count)

    def waiters(self, ordinal: int, index: int, limit: int) -> list[tuple[int, int]]:
        """Return at most `limit` waits for a promise, as (waiter's ordinal, its `Started`), in key order."""
        prefix = oplog_key(ordinal, index)
        # What was made in the batch at hand is waited for in that batch only.
        if self.batch.changes[_OPLOG].get(prefix) is not None and prefix not in self.batch.waits:
            return []
        batches = [batch for batch in (*self.sealed, self.batch) if prefix in batch.waits]
        changed = {key: batch.changes[Table.WAITERS][key] for batch in batches for key in batch.waits[prefix]}
        keys = [
            key
            for key, _ in self.environment.read(Table.WAITERS, prefix, prefix_end(prefix), limit + len(changed))
            if key not in changed
        ]
        if changed:
            keys = sorted([*keys, *(key for key, row in changed.items() if row is not None)])
        return [PAIR.unpack_from(key, 16) for key in keys[:limit]]

    def outcome(self, ordinal: int, ended: Ended) -> Ended:
        """Return an `Ended` with its outcome in place, where it refers to another entry."""
        try:
            return reading.resolved(self._oplog, ordinal, ended)
        except OplogError as error:
            raise self._named(error, ordinal) from None

    # Appending.

    def new_ordinal(self) -> int:
        """Return an ordinal that no worker has."""
        self._next_ordinal += 1
        return self._next_ordinal - 1

    def put(self, table: Table, key: bytes, row: bytes | None) -> None:
        """Change one row as part of the open unit."""
        batch, unit = self.batch, self._unit
        assert unit is not None, "a row is put within a unit"
        changes = batch.changes[table]
        unit.former.append((table, key, changes.get(key, ABSENT)))
        changes[key] = row
        if table is _WAITERS:
            batch.waits.setdefault(key[:16], set()).add(key)

    def put_between_units(self, table: Table, key: bytes, row: bytes | None) -> None:
        """Change one row of the open batch that is written once for all its units: nothing of it is taken back."""
        assert self._unit is None, "a unit is open"
        self.batch.changes[table][key] = row

    def append(self, row: WorkerRow, entry: Entry, start: Entry | None = None) -> OplogIndex:
        """Append an entry to its worker's oplog and fold it into the tables, as part of the open unit.

        Args:
          row: the worker's row; changed in place.
          entry: what to append.
          start: the entry that an `Ended`, `Abandoned`, `Completed`, `Settled` or `Deleted` refers to.

        Returns:
          The entry's index.
        """
        index = row.last + 1
        key = oplog_key(row.ordinal, index)
        record = encode_entry(key, entry)
        fold.apply(row, index, entry, start, self.ordinal_of, self.put)
        batch, unit = self.batch, self._unit
        assert unit is not None, "an entry is appended within a unit"
        unit.former.append((_OPLOG, key, ABSENT))
        batch.changes[_OPLOG][key] = record
        batch.entries_count += 1
        self.appended_count += 1
        batch.bytes_count += len(record)
        return OplogIndex(index)

    def unit(self) -> Unit | Part:
        """Open a unit, as a context manager: what its block appends is kept whole or, by an exception, not at all.

        Within the block of another unit it is part of that one.
        """
        if self._unit is not None:
            return Part(self._unit)
        self.unit_number += 1
        self._unit = Unit(self, self.batch)
        return self._unit

    def on_kept(self, callback: Callable[[], None]) -> None:
        """Call `callback` once the open unit is whole: at once if none is open, never if it is dropped."""
        if self._unit is None:
            callback()
        else:
            self._unit.kept.append(callback)

    def on_dropped(self, callback: Callable[[], None]) -> None:
        """Call `callback` if the open unit is dropped."""
        if self._unit is not None:
            self._unit.undo.append(callback)

    def keep(self, unit: Unit) -> None:
        """Make a unit whole: the batch may be sealed after it, and `wake` gets it committed."""
        self._unit = None
        for callback in unit.kept:
            callback()
        for durable, hurries in unit.durable:
            self.when_durable(durable, hurries=hurries)
        batch = self.batch
        if batch.entries_count >= self.entries_max or batch.bytes_count >= self.bytes_max:
            self.seal()
        self.wake()

    def dropped(self, unit: Unit) -> None:
        """Have undone what was changed in memory on behalf of a unit that is dropped."""
        self._unit = None
        for callback in reversed(unit.undo):
            callback()

    def when_durable(self, callback: Durable, number: int | None = None, *, hurries: bool = True) -> None:
        """Call `callback` when everything appended so far (or batch `number`) is durable: at once if it is.

        Within a unit it waits for that unit too, and is forgotten if the unit is dropped.

        Args:
          callback: gets None, or the error when the commit failed.
          number: a batch's number; the default is the newest batch that holds anything.
          hurries: whether somebody waits for it; else the commit may be put off a little, to be shared.
        """
        if number is None and self._unit is not None:
            self._unit.durable.append((callback, hurries))
            return
        if number is None:
            number = self.batch.number if not self.batch.is_empty else self.batch.number - 1
        if number <= self.durable_number:
            callback(None)
            return
        batch = next((sealed for sealed in self.sealed if sealed.number == number), self.batch)
        batch.callbacks.append(callback)
        if hurries and not batch.is_awaited:
            batch.is_awaited = True
            self.wake()

    # Committing.

    def seal(self) -> None:
        """Close the open batch, if it holds anything, and open the next; never within a unit."""
        assert self._unit is None, "a batch is sealed between units"
        if not self.batch.is_empty:
            self.before_seal()
            self.sealed.append(self.batch)
            self.batch = Batch(self.batch.number + 1)

    def committed(self, batch: Batch) -> None:
        """Account for the oldest sealed batch, now durable, and tell those who waited."""
        self.sealed.popleft()
        self.durable_number = batch.number
        self.commits_count += 1
        self.entries_total += batch.entries_count
        for callback in batch.callbacks:
            callback(None)

    def failed(self, error: StoreFailed) -> None:
        """Drop everything that is not durable and tell those who waited for it."""
        dropped = [*self.sealed, self.batch]
        self.sealed.clear()
        self.durable_number = self.batch.number
        self.batch = Batch(self.batch.number + 1)
        for batch in dropped:
            for callback in batch.callbacks:
                callback(error)
