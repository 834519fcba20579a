"""The check behind `promissory verify`: every record is what the writer writes, every row what the oplogs say.

One snapshot, one walk over `OPLOG`. Keys are ordered by worker, so a worker's rows in `WORKERS`, `PROMISES` and
`IDEMPOTENCY` are compared when its last entry has been read, and forgotten. The rows of the other derived tables are
ordered by something else; they are few (open waits, pending timers, runnable workers, an id or two each) and kept until
the end. Where an entry is missing or wrong nothing can be computed from it: that worker's rows are then not compared.

The kinds of findings:

    key         a key that no writer makes
    record      bytes that are no entry: length, version, checksum, CBOR, kind, fields
    canonical   an entry in other bytes than the writer's
    gap         missing entries
    life        an entry outside a life, or a life that begins or ends wrongly
    time        a timestamp that goes back
    reference   a reference to an entry that is not there or is of another kind
    twice       something that happens once has happened again
    open        a call that is open although its invocation is completed
    missing     a row that the oplogs ask for
    extra       a row that they do not ask for
    different   a row with other bytes than they ask for
    row         a row of `META` or `COMPONENTS` that cannot be read
    store       LMDB cannot read its own pages; the check ended there
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import attrs
import msgspec

from promissory.oplog import entries as e
from promissory.oplog import fold
from promissory.oplog.codec import decode_cbor, decode_entry, encode_entry
from promissory.oplog.environment import Environment, Snapshot, prefix_end
from promissory.oplog.errors import BadArguments, NewerFormat, OplogCorrupt, StoreFailed
from promissory.oplog.ids import ComponentId, WorkerId, check_component_name
from promissory.oplog.life import Life, Problem
from promissory.oplog.tables import (
    DERIVED,
    FORMAT_VERSION,
    PAIR,
    PromiseRow,
    PromiseState,
    Table,
    WorkerRow,
    worker_id_key,
    worker_key,
)

_BY_WORKER = (Table.WORKERS, Table.PROMISES, Table.IDEMPOTENCY)
"""The derived tables whose keys begin with the ordinal of the worker whose oplog asks for the row."""

_ORDINAL_AT = {Table.TIMERS: 8, Table.WAITERS: 16, Table.RUNNABLE: 0}
"""Where in its key another table has that ordinal."""

_SETTINGS = {b"format": 4, b"running": 8, b"activating": 8}
"""The rows of `META` and their sizes in bytes."""

_PENDING = (bytes([PromiseState.PENDING]), bytes([PromiseState.SCHEDULED]))
_NOBODY = WorkerId(ComponentId(bytes(16)), "")

_Rows: TypeAlias = dict[Table, dict[bytes, bytes]]


@attrs.frozen
class Finding:
    """One thing that is wrong with the data."""

    kind: str
    """One of the words at the head of this module."""
    worker: str | None
    index: int | None
    message: str

    def __str__(self) -> str:
        place = "".join(f"{part}: " for part in (self.worker, self.index) if part is not None)
        return " ".join(f"{self.kind}: {place}{self.message}".split())


def check(environment: Environment) -> Iterator[Finding]:
    """Check a whole environment and iterate over what is wrong with it; bad data never raises.

    The iterator holds one LMDB snapshot until it is exhausted or closed. Memory is proportional to the open waits,
    pending timers and workers, plus the largest single worker.
    """
    try:
        with environment.snapshot() as snapshot:
            yield from _Check(snapshot).findings()
    except StoreFailed as error:
        yield Finding("store", None, None, error.message)


class _Worker:
    """One worker's entries, folded again into the rows that they ask for."""

    def __init__(self, snapshot: Snapshot, ordinal: int) -> None:
        self.ordinal = ordinal
        self.rows: _Rows = {}
        self.is_sound = True
        """False once something is wrong with an entry: `rows` then means nothing."""
        self.has_id = False
        self._snapshot = snapshot
        self._life = Life()
        self._row = WorkerRow(ordinal, _NOBODY)
        self._problems: list[Problem] = []

    def entry(self, key: bytes, index: int, record: bytes) -> Iterator[Finding]:
        """Check the next entry and fold it."""
        try:
            entry = decode_entry(key, record)
        except (OplogCorrupt, NewerFormat) as error:
            self._life.lose(index)
            self._problems = [("record", error.message)]
        else:
            self._admit(key, index, entry)
            if encode_entry(key, entry) != record:
                self._problems.append(("canonical", "not the bytes that the writer gives this entry"))
        for kind, message in self._problems:
            self.is_sound = self.is_sound and kind == "canonical"
            yield Finding(kind, self.name, index, message)

    def _admit(self, key: bytes, index: int, entry: e.Entry) -> None:
        start, self._problems = self._life.admit(index, entry)
        if isinstance(entry, (e.Created, e.Removed)):
            if self.has_id and self._row.worker_id != entry.worker_id:
                self._problems.append(("life", f"{type(entry).__name__} says that this is {entry.worker_id}"))
            self._row.worker_id = entry.worker_id
            self.has_id = True
        if type(entry) is e.Removed:
            self._row.last = index - 1
        if self._problems or not self.is_sound:
            return
        try:
            fold.apply(self._row, index, entry, start, self._ordinal_of, self._put)
        except OplogCorrupt as error:
            self._problems.append(("reference", error.message))

    def finish(self) -> Iterator[Finding]:
        """Add the rows that the worker as a whole asks for, if every entry was sound."""
        if not self.is_sound:
            return
        try:
            fold.refresh(self._row, False, self._put)
        except struct.error as error:
            self.is_sound = False
            yield Finding("record", self.name, self._row.last, f"a number does not fit the worker's row: {error}")
            return

    @property
    def name(self) -> str:
        """What findings call the worker."""
        known = self._row.worker_id if self.has_id else _stored_id(self._snapshot, self.ordinal)
        return f"#{self.ordinal}" if known is None else str(known)

    def _put(self, table: Table, key: bytes, row: bytes | None) -> None:
        rows = self.rows.setdefault(table, {})
        if row is None:
            rows.pop(key, None)
            return
        if table is Table.IDEMPOTENCY and key in rows:
            first = int.from_bytes(rows[key], "big")
            self._problems.append(("twice", f"invocation {first} has the same key"))
        rows[key] = row

    def _ordinal_of(self, worker_id: WorkerId) -> int | None:
        try:
            raw = self._snapshot.get(Table.WORKER_IDS, worker_id_key(worker_id))
        except StoreFailed:  # a name that is longer than any key
            return None
        return None if raw is None else int.from_bytes(raw[:8], "big")


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


class _Check:
    """The state of one check."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._stored = {table: _Merge(snapshot.rows(table)) for table in _BY_WORKER}
        self._expected: _Rows = {table: {} for table in DERIVED if table not in _BY_WORKER}
        self._unsound: set[int] = set()
        """The ordinals whose rows are not compared."""
        self._unnamed: set[int] = set()

    def findings(self) -> Iterator[Finding]:
        """Check everything."""
        worker: _Worker | None = None
        for key, record in self._snapshot.rows(Table.OPLOG):
            if len(key) != PAIR.size:
                yield Finding("key", None, None, f"oplog: a key of {len(key)} bytes: {key.hex()}")
                continue
            ordinal, index = PAIR.unpack(key)
            if worker is None or worker.ordinal != ordinal:
                if worker is not None:
                    yield from self._finish(worker)
                worker = _Worker(self._snapshot, ordinal)
            yield from worker.entry(key, index, record)
        if worker is not None:
            yield from self._finish(worker)
        for table, merge in self._stored.items():
            yield from self._compare(table, {}, merge.until(None))
        self._expect_wakings()
        for table, expected in self._expected.items():
            yield from self._compare(table, expected, self._snapshot.rows(table))
        yield from self._check_settings()

    def _finish(self, worker: _Worker) -> Iterator[Finding]:
        yield from worker.finish()
        begin = worker_key(worker.ordinal)
        end = prefix_end(begin)
        for table, merge in self._stored.items():
            yield from self._compare(table, {}, merge.until(begin))
            stored = merge.until(end)
            if worker.is_sound:
                yield from self._compare(table, worker.rows.get(table, {}), stored)
            else:
                deque(stored, maxlen=0)
        if not worker.is_sound:
            self._unsound.add(worker.ordinal)
            return
        if not worker.has_id:
            self._unnamed.add(worker.ordinal)
        for table, expected in self._expected.items():
            expected.update(worker.rows.get(table, {}))

    def _expect_wakings(self) -> None:
        """Expect a `RUNNABLE` row for every promise that has its outcome, or is gone, and still has waiters."""
        promises = {key[:16] for key in self._expected[Table.WAITERS]}
        if self._unsound:
            waits = self._snapshot.rows(Table.WAITERS)
            promises.update(key[:16] for key, row in waits if self._is_unjudged(Table.WAITERS, key, row))
        for promise in promises:
            raw = self._snapshot.get(Table.PROMISES, promise)
            if raw is None or raw[1:2] not in _PENDING:
                self._expected[Table.RUNNABLE][promise] = b""

    def _compare(
        self, table: Table, expected: dict[bytes, bytes], stored: Iterable[tuple[bytes, bytes]]
    ) -> Iterator[Finding]:
        for key, row in stored:
            wanted = expected.pop(key, None)
            if wanted == row or (wanted is None and self._is_unjudged(table, key, row)):
                continue
            if wanted is None:
                yield self._row_finding("extra", table, key, row, "the oplogs ask for no such row")
            else:
                yield self._row_finding("different", table, key, row, _difference(table, wanted, row))
        for key, wanted in expected.items():
            if not self._is_unjudged(table, key, wanted):
                yield self._row_finding("missing", table, key, wanted, "the oplogs ask for this row")

    def _is_unjudged(self, table: Table, key: bytes, row: bytes) -> bool:
        """Whether the row belongs to a worker whose entries do not tell what it should be."""
        if table is Table.WORKER_IDS:
            ordinal = int.from_bytes(row[:8], "big")
            return ordinal in self._unsound or ordinal in self._unnamed
        at = _ORDINAL_AT.get(table)
        return at is not None and int.from_bytes(key[at : at + 8], "big") in self._unsound

    def _row_finding(self, kind: str, table: Table, key: bytes, row: bytes, message: str) -> Finding:
        if table is Table.WORKER_IDS:
            ordinal, index = int.from_bytes(row[:8], "big"), None
        else:
            at = _ORDINAL_AT.get(table, 0)
            ordinal = int.from_bytes(key[at : at + 8], "big")
            index = int.from_bytes(row if table is Table.IDEMPOTENCY else key[at + 8 : at + 16], "big")
        worker_id = _stored_id(self._snapshot, ordinal)
        name = f"#{ordinal}" if worker_id is None else str(worker_id)
        return Finding(kind, name, index or None, f"{table.name.lower()} row {key.hex()}: {message}")

    def _check_settings(self) -> Iterator[Finding]:
        """Decode the rows that no oplog tells."""
        if self._snapshot.get(Table.META, b"format") is None:
            yield Finding("row", None, None, "meta row b'format' is missing")
        for key, row in self._snapshot.rows(Table.META):
            problem = _setting_problem(key, row)
            if problem is not None:
                yield Finding("row", None, None, f"meta row {key!r}: {problem}")
        for key, row in self._snapshot.rows(Table.COMPONENTS):
            try:
                check_component_name(key.decode())
                msgspec.convert(decode_cbor(row), tuple[str, str, str, int])
            except (UnicodeDecodeError, BadArguments, OplogCorrupt, msgspec.ValidationError) as error:
                yield Finding("row", None, None, f"components row {key!r}: {error}")


def _setting_problem(key: bytes, row: bytes) -> str | None:
    size_bytes = _SETTINGS.get(key)
    if size_bytes is None:
        return "nothing is known by this name"
    if len(row) != size_bytes:
        return f"stored are {len(row)} bytes, expected {size_bytes}"
    if key == b"format" and row != FORMAT_VERSION.to_bytes(4, "big"):
        return f"stored {row.hex()}, this version writes {FORMAT_VERSION}"
    return None


def _stored_id(snapshot: Snapshot, ordinal: int) -> WorkerId | None:
    """Return what `WORKERS` says who a worker is, if it can be read."""
    raw = snapshot.get(Table.WORKERS, worker_key(ordinal))
    try:
        return None if raw is None else WorkerRow.decode(ordinal, raw).worker_id
    except OplogCorrupt:
        return None


def _difference(table: Table, wanted: bytes, row: bytes) -> str:
    """Say what differs: field by field where the row has fields."""
    try:
        if table is Table.WORKERS:
            pairs = _fields(WorkerRow.decode(0, row)), _fields(WorkerRow.decode(0, wanted))
        elif table is Table.PROMISES:
            pairs = _fields(PromiseRow.decode(row)), _fields(PromiseRow.decode(wanted))
        else:
            raise OplogCorrupt("a row of one field")
    except OplogCorrupt:
        return f"stored {row.hex()}, the oplogs say {wanted.hex()}"
    return "; ".join(
        f"{name} is stored as {found}, the oplogs say {asked}"
        for (name, found), (_, asked) in zip(*pairs, strict=True)
        if found != asked
    )


def _fields(row: WorkerRow | PromiseRow) -> list[tuple[str, object]]:
    return [(name, getattr(row, name)) for name in row.__slots__]
