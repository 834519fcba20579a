"""The check behind `promissory verify`: every record is what the writer writes, every row what the oplogs say.

One snapshot, one walk (`rebuild.Walk`), whose findings are put in words here.

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

from collections.abc import Iterator

import attrs
import msgspec

from promissory.oplog.codec import decode_cbor
from promissory.oplog.environment import Environment, Snapshot
from promissory.oplog.errors import BadArguments, OplogCorrupt, StoreFailed
from promissory.oplog.ids import WorkerId, check_component_name
from promissory.oplog.rebuild import ORDINAL_AT, Damage, Difference, Walk
from promissory.oplog.tables import (
    FORMAT_VERSION,
    WORKER_FIELDS,
    PromiseRow,
    Table,
    WorkerRow,
    worker_id_key,
    worker_key,
)

_SETTINGS = {b"format": 4, b"running": 8, b"activating": 8, b"position": 8, b"epoch": 8, b"digest": 32}
"""The rows of `META` and their sizes in bytes."""


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


class _Check:
    """The state of one check."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def findings(self) -> Iterator[Finding]:
        """Check everything."""
        walk = Walk(self._snapshot, self._ordinal_of, lambda promise: self._snapshot.get(Table.PROMISES, promise))
        for found in walk.run():
            if isinstance(found, Damage):
                whose = found.worker
                worker = None if whose is None else self._name(whose.ordinal, whose.worker_id)
                yield Finding(found.kind, worker, found.index, found.message)
            elif isinstance(found, Difference):
                yield self._row_finding(found)
        yield from self._check_settings()

    def _ordinal_of(self, worker_id: WorkerId) -> int | None:
        try:
            raw = self._snapshot.get(Table.WORKER_IDS, worker_id_key(worker_id))
        except StoreFailed:  # a name that is longer than any key
            return None
        return None if raw is None else int.from_bytes(raw[:8], "big")

    def _name(self, ordinal: int, worker_id: WorkerId | None = None) -> str:
        """Return what findings call a worker."""
        known = worker_id or _stored_id(self._snapshot, ordinal)
        return f"#{ordinal}" if known is None else str(known)

    def _row_finding(self, found: Difference) -> Finding:
        table, key = found.table, found.key
        row = (found.wanted or b"") if found.found is None else found.found
        if table is Table.WORKER_IDS:
            ordinal, index = int.from_bytes(row[:8], "big"), None
        else:
            at = ORDINAL_AT.get(table, 0)
            ordinal = int.from_bytes(key[at : at + 8], "big")
            index = int.from_bytes(row if table is Table.IDEMPOTENCY else key[at + 8 : at + 16], "big")
        if found.wanted is None:
            kind, message = "extra", "the oplogs ask for no such row"
        elif found.found is None:
            kind, message = "missing", "the oplogs ask for this row"
        else:
            kind, message = "different", _difference(table, found.wanted, found.found)
        return Finding(kind, self._name(ordinal), index or None, f"{table.name.lower()} row {key.hex()}: {message}")

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
    names = WORKER_FIELDS if isinstance(row, WorkerRow) else row.__slots__
    return [(name, getattr(row, name)) for name in names]
