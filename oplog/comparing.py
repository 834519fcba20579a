"""What is found is held against what it was looked up by, and a worker's rows against its oplog.

A derived row with a flipped bit is a lie that no checksum covers. Where another row, or the oplog, says the same again,
the two are compared when they are at hand anyway; what differs is `OplogCorrupt`, and `verify --repair` mends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from promissory.oplog import entries as e
from promissory.oplog import fold
from promissory.oplog.environment import Snapshot
from promissory.oplog.errors import OplogCorrupt
from promissory.oplog.ids import WorkerId
from promissory.oplog.rebuild import Rebuilt
from promissory.oplog.tables import WORKER_FIELDS, Table, WorkerRow, is_named_by, worker_id_key

GetRow = Callable[[Table, bytes], "bytes | None"]
"""Returns the row of a table under a key, as appended; None if there is none."""

_MEND = "stop the executor and run promissory verify --repair"
_HELD_AGAINST = (Table.WORKER_IDS, Table.PROMISES, Table.IDEMPOTENCY, Table.TIMERS, Table.WAITERS)


def check_found(worker_id: WorkerId, ordinal: int, row: WorkerRow | None) -> WorkerRow:
    """Return the row of the worker that an id was looked up for, if it is that worker's.

    Args:
      worker_id: what was looked up in `WORKER_IDS`.
      ordinal: what was found there.
      row: the row of that ordinal in `WORKERS`.

    Raises:
      OplogCorrupt: there is no such row, or it is another worker's.
    """
    if row is None or row.worker_id != worker_id:
        found = "nobody" if row is None else str(row.worker_id)
        raise OplogCorrupt(
            f"worker_ids says that {worker_id} is worker {ordinal}, which is {found}: {_MEND}",
            worker=str(worker_id),
            expected=str(worker_id),
            found=found,
        )
    return row


def check_absent(snapshot: Snapshot, worker_id: WorkerId) -> None:
    """Make sure that no damaged row of `WORKER_IDS` hides a worker that was not found: its life would begin anew.

    A key with a flipped bit stays where it was. A search for what it was ends beside it, so both neighbours of where
    the worker's row would be are compared with the workers that they name. It costs two look-ups, for new workers only.

    Raises:
      OplogCorrupt: a row there names another worker than its key does.
      StoreFailed: LMDB finds its pages damaged.
    """
    for key, ordinal in snapshot.beside(Table.WORKER_IDS, worker_id_key(worker_id)):
        if not is_named_by(snapshot.get(Table.WORKERS, ordinal), key):
            raise OplogCorrupt(
                f"worker_ids has a wrong row where {worker_id} would be, so it may be there: {_MEND}",
                worker=str(worker_id),
                found=f"worker_ids row {key.hex()}: {ordinal.hex()}",
            )


def check_invocation(ordinal: int, key: bytes, index: int, entry: e.Entry) -> e.Invoked:
    """Return the invocation that a key of `IDEMPOTENCY` was found to stand for, if its entry says the same.

    Raises:
      OplogCorrupt: the entry is no invocation, or one with another key.
    """
    if type(entry) is not e.Invoked or fold.key_of(ordinal, entry) != key:
        raise OplogCorrupt(f"idempotency row {key.hex()}: entry {index} is not its invocation: {_MEND}", index=index)
    return entry


def check_worker(row: WorkerRow, entries: Iterable[e.Entry], get: GetRow, ordinal_of: fold.OrdinalOf) -> None:
    """Hold a worker's rows against the entries of its life, as read for replay: when it is first read back.

    Compared are its own row, and its rows in `WORKER_IDS`, `PROMISES`, `IDEMPOTENCY`, `TIMERS` and `WAITERS`; to look
    for rows that no entry asks for is left to `check`. Pure: it costs one fold, and one `get` a row.

    Args:
      row: the worker's row as appended; not changed. What `refresh` has still to write need not be written.
      entries: every entry of its life up to the last, from `Created` on, with or without `SameAs` in place.
      get: returns other rows as appended.
      ordinal_of: finds the owner of an awaited promise.

    Raises:
      OplogCorrupt: an entry cannot stand where it stands, or a row is not what the entries ask for; it has the worker
        and, where it is known, the index.
    """
    worker = str(row.worker_id)
    rebuilt = Rebuilt(row.ordinal, ordinal_of, row.life)
    for index, entry in enumerate(entries, row.life):
        problems = rebuilt.admit(index, entry)
        if problems:
            raise OplogCorrupt(f"entry {index}: {problems[0][1]}", worker=worker, index=index)
    for name in WORKER_FIELDS:
        wanted, found = getattr(rebuilt.row, name), getattr(row, name)
        if wanted != found:
            message = f"workers row of {worker}: {name} is {found}, its oplog says {wanted}: {_MEND}"
            raise OplogCorrupt(message, worker=worker, expected=str(wanted), found=str(found))
    for table in _HELD_AGAINST:
        for key, asked in rebuilt.rows.get(table, {}).items():
            stored = get(table, key)
            if stored != asked:
                found = "missing" if stored is None else stored.hex()
                message = f"{table.name.lower()} row {key.hex()} of {worker} is {found}: {_MEND}"
                raise OplogCorrupt(message, worker=worker, expected=asked.hex(), found=found)
