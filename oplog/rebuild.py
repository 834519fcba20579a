"""The derived tables computed anew from the oplogs, and held against those that are stored.

One walk over `OPLOG`. Keys are ordered by worker, so a worker's rows in the tables whose keys begin with its ordinal
are compared when its last entry has been read, and forgotten. The rows of the other derived tables are ordered by
something else; they are few (open waits, pending timers, runnable workers, an id or two each) and kept until the end.
Where an entry is missing or wrong nothing can be computed from it: that worker's rows are then not judged.

`check` tells what the walk finds, `repair` writes it: they cannot disagree.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import attrs

from promissory.oplog import entries as e
from promissory.oplog import fold
from promissory.oplog.codec import decode_entry, encode_entry
from promissory.oplog.environment import Snapshot, prefix_end
from promissory.oplog.errors import NewerFormat, OplogCorrupt
from promissory.oplog.ids import ComponentId, WorkerId
from promissory.oplog.life import Life, Problem
from promissory.oplog.tables import DERIVED, PAIR, PromiseState, Table, WorkerRow, worker_id_key, worker_key

BY_WORKER = (Table.WORKERS, Table.PROMISES, Table.IDEMPOTENCY)
"""The derived tables whose keys begin with the ordinal of the worker whose oplog asks for the row."""

ORDINAL_AT = {Table.TIMERS: 8, Table.WAITERS: 16, Table.RUNNABLE: 0, Table.BY_STATUS: 25, Table.OUTBOX: 4}
"""Where in its key another table has that ordinal."""

_PENDING = (bytes([PromiseState.PENDING]), bytes([PromiseState.SCHEDULED]))
_NOBODY = WorkerId(ComponentId(bytes(16)), "")

Rows: TypeAlias = dict[Table, dict[bytes, bytes]]


class Rebuilt:
    """One worker's entries, judged and folded again into the rows that they ask for. Pure.

    Args:
      ordinal: the worker's.
      ordinal_of: finds the owner of an awaited promise; None when there never was such a worker.
      first: the index of the first entry, if those of earlier lives are left out.
    """

    def __init__(self, ordinal: int, ordinal_of: fold.OrdinalOf, first: int = 1) -> None:
        self.ordinal = ordinal
        self.rows: Rows = {}
        """What the entries so far ask for, `finish` adds the last of it; means nothing if not `is_sound`."""
        self.is_sound = True
        """False once something is wrong with an entry."""
        self.has_id = False
        self.row = WorkerRow(ordinal, _NOBODY)
        """The worker's own row, as far as the entries were sound."""
        self.last = 0
        """The index of the last entry, sound or not."""
        self.life = 0
        """The index of the last `Created` that can be read."""
        self._ordinal_of = ordinal_of
        self._life = Life()
        self._life.last = self.row.last = first - 1
        self._problems: list[Problem] = []

    @property
    def worker_id(self) -> WorkerId | None:
        """Who the worker is, if an entry that can be read says so."""
        return self.row.worker_id if self.has_id else None

    def entry(self, key: bytes, index: int, record: bytes) -> list[Problem]:
        """Judge and fold the next entry; return what is wrong with it, most often nothing.

        Bad data never raises.
        """
        self.last = index
        try:
            entry = decode_entry(key, record)
        except (OplogCorrupt, NewerFormat) as error:
            self._life.lose(index)
            self._problems = [("record", error.message)]
        else:
            self.admit(index, entry)
            if encode_entry(key, entry) != record:
                self._problems.append(("canonical", "not the bytes that the writer gives this entry"))
        if any(kind != "canonical" for kind, _ in self._problems):
            self.is_sound = False
        return self._problems

    def admit(self, index: int, entry: e.Entry) -> list[Problem]:
        """Judge and fold the next entry, which is decoded already; return what is wrong with it."""
        self.last = index
        start, self._problems = self._life.admit(index, entry)
        if isinstance(entry, (e.Created, e.Removed)):
            if self.has_id and self.row.worker_id != entry.worker_id:
                self._problems.append(("life", f"{type(entry).__name__} says that this is {entry.worker_id}"))
            self.row.worker_id = entry.worker_id
            self.has_id = True
            self.life = index if type(entry) is e.Created else 0
        if type(entry) is e.Removed:
            self.row.last = index - 1
        if not self._problems and self.is_sound:
            try:
                fold.apply(self.row, index, entry, start, self._ordinal_of, self._put)
            except OplogCorrupt as error:
                self._problems.append(("reference", error.message))
        if self._problems:
            self.is_sound = False
        return self._problems

    def finish(self) -> list[Problem]:
        """Add the rows that the worker as a whole asks for, if every entry was sound."""
        if self.is_sound:
            try:
                fold.refresh(self.row, False, self._put)
            except struct.error as error:
                self.is_sound = False
                return [("record", f"a number does not fit the worker's row: {error}")]
        return []

    def _put(self, table: Table, key: bytes, row: bytes | None) -> None:
        rows = self.rows.setdefault(table, {})
        if row is None:
            rows.pop(key, None)
            return
        if table is Table.IDEMPOTENCY and key in rows:
            first = int.from_bytes(rows[key], "big")
            self._problems.append(("twice", f"invocation {first} has the same key"))
        rows[key] = row


@attrs.frozen
class Damage:
    """Something that is wrong with an oplog."""

    worker: Rebuilt | None
    """Whose it is; None if a key is nobody's."""
    index: int | None
    kind: str
    """One of the words at the head of `check`."""
    message: str


@attrs.frozen
class Difference:
    """A stored row that is not what the oplogs ask for."""

    table: Table
    key: bytes
    wanted: bytes | None
    """What the oplogs ask for; None: no such row."""
    found: bytes | None
    """What is stored; None: no such row."""


@attrs.frozen
class Unjudged:
    """A worker whose rows are not judged, since its entries do not tell what they should be."""

    worker: Rebuilt


class _Merge:
    """The rows of a table whose keys begin with an ordinal, taken worker by worker."""

    def __init__(self, rows: Iterator[tuple[bytes, bytes]]) -> None:
        self._rows = rows
        self._head = next(rows, None)

    def until(self, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the rows that are left before `end`; None is the end of the table."""
        while self._head is not None and (end is None or self._head[0] < end):
            yield self._head
            self._head = next(self._rows, None)


class Walk:
    """All oplogs of one snapshot, folded again and held against the derived tables.

    Memory is proportional to the open waits, pending timers and workers, plus the largest single worker.

    Args:
      snapshot: what is walked; it must stay open until `run` is exhausted.
      ordinal_of: finds the owner of an awaited promise.
      promise_of: returns the row of a promise, by its key, once every difference of `PROMISES` has been given.
    """

    def __init__(
        self, snapshot: Snapshot, ordinal_of: fold.OrdinalOf, promise_of: Callable[[bytes], bytes | None]
    ) -> None:
        self._snapshot = snapshot
        self._ordinal_of = ordinal_of
        self._promise_of = promise_of
        self._stored = {table: _Merge(snapshot.rows(table)) for table in BY_WORKER}
        self._expected: Rows = {table: {} for table in DERIVED if table not in BY_WORKER}
        self._unsound: set[int] = set()
        """The ordinals whose rows are not compared."""
        self._unnamed: set[int] = set()

    def run(self) -> Iterator[Damage | Difference | Unjudged]:
        """Iterate over everything that is wrong: a worker's damage before its rows, then the other tables."""
        worker: Rebuilt | None = None
        for key, record in self._snapshot.rows(Table.OPLOG):
            if len(key) != PAIR.size:
                yield Damage(None, None, "key", f"oplog: a key of {len(key)} bytes: {key.hex()}")
                continue
            ordinal, index = PAIR.unpack(key)
            if worker is None or worker.ordinal != ordinal:
                if worker is not None:
                    yield from self._finish(worker)
                worker = Rebuilt(ordinal, self._ordinal_of)
            for kind, message in worker.entry(key, index, record):
                yield Damage(worker, index, kind, message)
        if worker is not None:
            yield from self._finish(worker)
        for table, merge in self._stored.items():
            yield from self._compare(table, {}, merge.until(None))
        self._expect_wakings()
        for table, expected in self._expected.items():
            yield from self._compare(table, expected, self._snapshot.rows(table))

    def _finish(self, worker: Rebuilt) -> Iterator[Damage | Difference | Unjudged]:
        for kind, message in worker.finish():
            yield Damage(worker, worker.row.last, kind, message)
        begin = worker_key(worker.ordinal)
        end = prefix_end(begin)
        for table, merge in self._stored.items():
            yield from self._compare(table, {}, merge.until(begin))
            stored = merge.until(end)
            if worker.is_sound:
                yield from self._compare(table, worker.rows.get(table, {}), stored)
            else:
                deque(stored, maxlen=0)
        if not worker.has_id:
            self._unnamed.add(worker.ordinal)
        if not worker.is_sound:
            self._unsound.add(worker.ordinal)
            if worker.has_id:
                self._expected[Table.WORKER_IDS][worker_id_key(worker.row.worker_id)] = worker_key(worker.ordinal)
            yield Unjudged(worker)
            return
        for table, expected in self._expected.items():
            expected.update(worker.rows.get(table, {}))

    def _expect_wakings(self) -> None:
        """Expect a `RUNNABLE` row for every promise that has its outcome, or is gone, and still has waiters."""
        promises = {key[:16] for key in self._expected[Table.WAITERS]}
        if self._unsound:
            waits = self._snapshot.rows(Table.WAITERS)
            promises.update(key[:16] for key, row in waits if self._is_unjudged(Table.WAITERS, key, row))
        for promise in promises:
            raw = self._promise_of(promise)
            if raw is None or raw[1:2] not in _PENDING:
                self._expected[Table.RUNNABLE][promise] = b""

    def _compare(
        self, table: Table, expected: dict[bytes, bytes], stored: Iterable[tuple[bytes, bytes]]
    ) -> Iterator[Difference]:
        for key, row in stored:
            wanted = expected.pop(key, None)
            if wanted != row and not (wanted is None and self._is_unjudged(table, key, row)):
                yield Difference(table, key, wanted, row)
        for key, wanted in expected.items():
            if table is Table.WORKER_IDS or not self._is_unjudged(table, key, wanted):
                yield Difference(table, key, wanted, None)

    def _is_unjudged(self, table: Table, key: bytes, row: bytes) -> bool:
        """Whether the row belongs to a worker whose entries do not tell what it should be."""
        if table is Table.WORKER_IDS:
            ordinal = int.from_bytes(row[:8], "big")
            is_by_key = key[16:17] == b"\0"
            return ordinal in self._unnamed or (is_by_key and ordinal in self._unsound)
        at = ORDINAL_AT.get(table)
        return at is not None and int.from_bytes(key[at : at + 8], "big") in self._unsound
