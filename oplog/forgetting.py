"""What a deletion means for the derived tables: the inverse of `fold`, row by row, in the same words.

Here as in `fold` nothing is read: what is known of the worker is handed in, and the rows go to `put`. A row that was
never there may be taken back: entries that are closed have none any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from promissory.oplog import entries as e
from promissory.oplog.errors import OplogCorrupt
from promissory.oplog.fold import OrdinalOf, deadline, is_promise, key_of, put_waiter, sleep_key, unlist
from promissory.oplog.tables import (
    Put,
    Table,
    WorkerRow,
    ephemeral_key,
    oplog_key,
    timer_key,
    worker_id_key,
    worker_key,
)


def forget_life(
    row: WorkerRow,
    entries: Iterable[tuple[int, e.Entry]],
    invoked_at: Callable[[int], e.Invoked | None],
    ordinal_of: OrdinalOf,
    put: Put,
) -> list[int]:
    """Take back every row that entries of a life asked for, but the worker's own; the entries go too.

    Args:
      row: the worker's; not changed. Its `Removed`, or `forget_worker`, is what ends the life there.
      entries: those of the life that can be read, all or a part, with their indices.
      invoked_at: returns the `Invoked` at an index of this life; None if it cannot be read.
      ordinal_of: finds the owner of an awaited promise.
      put: receives the rows.

    Returns:
      The promises and invocations among them, in order: whoever waits for one must be told, and their `RUNNABLE` rows
      taken back by `waking`.
    """
    settleable = []
    for index, entry in entries:
        if is_promise(entry) or type(entry) is e.Invoked:
            settleable.append(index)
        _forget_entry(row, index, entry, invoked_at, ordinal_of, put)
        put(Table.OPLOG, oplog_key(row.ordinal, index), None)
    return settleable


def _forget_entry(
    row: WorkerRow,
    index: int,
    entry: e.Entry,
    invoked_at: Callable[[int], e.Invoked | None],
    ordinal_of: OrdinalOf,
    put: Put,
) -> None:
    ordinal, kind = row.ordinal, type(entry)
    if is_promise(entry):
        put(Table.PROMISES, oplog_key(ordinal, index), None)
        with suppress(OplogCorrupt):
            due = deadline(entry)  # type: ignore[arg-type]
            if due is not None:
                put(Table.TIMERS, timer_key(due, ordinal, index), None)
    elif kind is e.Invoked:
        _forget_invocation(ordinal, index, entry, put)
    elif kind is e.Completed:
        invoked = invoked_at(entry.invocation)  # type: ignore[attr-defined]
        if invoked is not None and invoked.retention_us is not None:
            put(Table.TIMERS, timer_key(entry.timestamp + invoked.retention_us, ordinal, index), None)
    elif kind is e.Started:
        _forget_call(row, index, entry, ordinal_of, put)


def _forget_invocation(ordinal: int, index: int, invoked: Any, put: Put) -> None:
    put(Table.PROMISES, oplog_key(ordinal, index), None)
    put(Table.IDEMPOTENCY, key_of(ordinal, invoked), None)
    if invoked.due is not None:
        put(Table.TIMERS, timer_key(invoked.due, ordinal, index), None)


def _forget_call(row: WorkerRow, index: int, started: Any, ordinal_of: OrdinalOf, put: Put) -> None:
    request = started.request
    kind = type(request)
    if kind is e.AwaitPromise:
        put_waiter(row, index, request, ordinal_of, put, None)
    elif kind is e.Sleep:
        put(Table.TIMERS, sleep_key(row.ordinal, index, started), None)
    elif kind is e.Call:
        put(Table.PROMISES, oplog_key(row.ordinal, index), None)


def forget_worker(row: WorkerRow, invoked: e.Invoked, put: Put) -> None:
    """Take back the worker's own rows too: of an ephemeral one nothing stays, since its name is never used again.

    Args:
      row: the worker's; it is taken off its list.
      invoked: its one invocation.
      put: receives the rows.
    """
    worker_id = row.worker_id
    if row.next_attempt:
        put(Table.TIMERS, timer_key(row.next_attempt, row.ordinal, 0), None)
    put(Table.WORKER_IDS, ephemeral_key(worker_id.component_id, key_of(0, invoked)[8:]), None)
    put(Table.WORKER_IDS, worker_id_key(worker_id), None)
    put(Table.WORKERS, worker_key(row.ordinal), None)
    put(Table.RUNNABLE, oplog_key(row.ordinal, 0), None)
    unlist(row, put)
