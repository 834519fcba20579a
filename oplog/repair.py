"""`promissory verify --repair`: the derived tables written anew from the oplogs.

Every run computes all rows from `OPLOG` and writes those that differ, in batches of bounded size. What is written
depends on the oplogs alone, which no run changes, so a run that follows a crash ends where the first would have.
`OPLOG`, `META` and `COMPONENTS` are kept as they are, damaged entries too. The rows of a worker with a damaged entry
stay as they are; if its own row is lost or cannot be right, it gets one that says that it is paused, so that no second
life begins upon its entries.
"""

from __future__ import annotations

from contextlib import suppress

from promissory.oplog import fold
from promissory.oplog.codec import decode_entry
from promissory.oplog.entries import Created, Removed
from promissory.oplog.environment import KEY_BYTES_MAX, Environment, Snapshot, prefix_end
from promissory.oplog.errors import NewerFormat, OplogCorrupt
from promissory.oplog.ids import ComponentId, WorkerId
from promissory.oplog.rebuild import Difference, Rebuilt, Unjudged, Walk
from promissory.oplog.tables import PAIR, Condition, Table, WorkerRow, worker_id_key, worker_key

BATCH_ROWS_MAX = 4_096
"""The rows of one commit."""


def repair(environment: Environment) -> int:
    """Write the derived tables anew; durable on return.

    What cannot be mended, damaged entries and the rows that only they could tell, `check` names afterwards.

    Args:
      environment: open for writing, so that no executor has it.

    Returns:
      How many rows were added, changed or deleted.

    Raises:
      StoreFailed: LMDB cannot read its pages, or a commit failed; what was committed before is right, and another run
        does the rest.
    """
    writer = _Writer(environment)
    with environment.snapshot() as snapshot:
        ids = _ids(snapshot)
        walk = Walk(snapshot, lambda worker_id: ids.get(worker_id_key(worker_id)), writer.promise)
        for found in walk.run():
            if isinstance(found, Difference):
                writer.put(found.table, found.key, found.wanted)
            elif isinstance(found, Unjudged):
                _stand_in(snapshot, found.worker, ids, writer)
    writer.flush()
    return writer.rows_count


class _Writer:
    """Gathers changed rows and commits them, so many at a time."""

    def __init__(self, environment: Environment) -> None:
        self.rows_count = 0
        self._environment = environment
        self._changes: dict[Table, dict[bytes, bytes | None]] = {}
        self._waiting_count = 0

    def put(self, table: Table, key: bytes, row: bytes | None) -> None:
        if len(key) > KEY_BYTES_MAX:  # an entry that no writer wrote asks for it
            return
        self._changes.setdefault(table, {})[key] = row
        self.rows_count += 1
        self._waiting_count += 1
        if self._waiting_count >= BATCH_ROWS_MAX:
            self.flush()

    def flush(self) -> None:
        if self._waiting_count:
            self._environment.commit(self._changes)
        self._changes, self._waiting_count = {}, 0

    def promise(self, key: bytes) -> bytes | None:
        """Return the row of a promise as it is now."""
        self.flush()
        return self._environment.get(Table.PROMISES, key)


def _ids(snapshot: Snapshot) -> dict[bytes, int]:
    """Return the ordinal of every worker by its key in `WORKER_IDS`, as the first entry of each says.

    Of those whose first entry cannot be read the stored rows are believed.
    """
    found: dict[bytes, int] = {}
    unnamed = set()
    first: bytes | None = b""
    while first is not None and (item := next(snapshot.rows(Table.OPLOG, first), None)) is not None:
        key, record = item
        if len(key) != PAIR.size:
            first = key + b"\0"
            continue
        first = prefix_end(key[:8])
        ordinal = int.from_bytes(key[:8], "big")
        entry = None
        with suppress(OplogCorrupt, NewerFormat):
            entry = decode_entry(key, record)
        if isinstance(entry, (Created, Removed)):
            found.setdefault(worker_id_key(entry.worker_id), ordinal)
        else:
            unnamed.add(ordinal)
    for key, row in snapshot.rows(Table.WORKER_IDS):
        ordinal = int.from_bytes(row[:8], "big")
        if ordinal in unnamed:
            found.setdefault(key, ordinal)
    return found


def _stand_in(snapshot: Snapshot, worker: Rebuilt, ids: dict[bytes, int], writer: _Writer) -> None:
    """Give a worker that has a damaged entry a row, if the one that is stored cannot be its own."""
    ordinal = worker.ordinal
    key = worker_key(ordinal)
    raw = snapshot.get(Table.WORKERS, key)
    row: WorkerRow | None = None
    if raw is not None:
        with suppress(OplogCorrupt):
            row = WorkerRow.decode(ordinal, raw)
    worker_id = worker.worker_id
    if row is not None and worker_id in (None, row.worker_id) and row.last >= worker.last:
        return
    if worker_id is None and row is not None:
        worker_id = row.worker_id
    if worker_id is None:
        named = (name for name, found in ids.items() if found == ordinal and name[16:17] != b"\0")
        worker_id = next((WorkerId(ComponentId(name[:16]), name[16:].decode()) for name in named), None)
    if worker_id is None:
        return
    row = worker.row
    row.worker_id = worker_id
    row.condition = Condition.PAUSED
    row.last = worker.last
    row.life = worker.life or worker.last
    fold.refresh(row, row.is_runnable, writer.put)
