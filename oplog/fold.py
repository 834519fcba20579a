"""What an entry means for the derived tables: one pure step, used when appending and when checking alike.

The worker's row is changed in place; every other row that the entry adds, changes or deletes goes to `put`. Two rows
do not follow from one entry: that of the worker itself, with where it is listed, which the caller has `refresh` write
once for a unit; and the `RUNNABLE` row of a promise that has its outcome and waiters left, which `waking` writes.
What a deletion takes back is `forgetting`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from promissory.oplog import entries as e
from promissory.oplog.errors import OplogCorrupt
from promissory.oplog.ids import DURABLE_PROMISE, INDEX_MAX, OplogIndex, WorkerId
from promissory.oplog.tables import (
    TIMER_ROWS,
    Condition,
    PromiseKind,
    PromiseState,
    Put,
    Status,
    Table,
    TimerKind,
    WorkerRow,
    by_status_key,
    call_key,
    encode_promise,
    ephemeral_key,
    idempotency_key,
    oplog_key,
    timer_key,
    waiter_key,
    worker_id_key,
    worker_key,
)

# Looking up an enumeration's member costs as much as the put itself.
_WORKERS, _PROMISES, _IDEMPOTENCY = Table.WORKERS, Table.PROMISES, Table.IDEMPOTENCY
_BY_STATUS = Table.BY_STATUS
_PROMISE, _INVOCATION, _CALL = PromiseKind.PROMISE, PromiseKind.INVOCATION, PromiseKind.CALL
_RUNNING = Status.RUNNING.value
_PENDING, _RESOLVED, _REJECTED = PromiseState.PENDING, PromiseState.RESOLVED, PromiseState.REJECTED

_Deadline = Annotated[int, msgspec.Meta(ge=1, le=INDEX_MAX)]
_decode_deadline = msgspec.json.Decoder(Annotated[list[_Deadline], msgspec.Meta(max_length=1)]).decode

OrdinalOf = Callable[[WorkerId], "int | None"]
"""Finds a worker's ordinal; None when there never was such a worker."""


def apply(row: WorkerRow, index: int, entry: e.Entry, start: e.Entry | None, ordinal_of: OrdinalOf, put: Put) -> None:
    """Fold one entry into its worker's row and hand the other rows it changes to `put`.

    Args:
      row: the worker's row before the entry; changed in place.
      index: where the entry stands; must be `row.last + 1`.
      entry: the entry.
      start: the `Started`, `Invoked` or `Created` that an `Ended`, `Cancelled`, `Abandoned`, `Completed`, `Settled` or
        `Deleted` refers to; None for other kinds, and for an `Abandoned` whose call has already ended. A `Cancelled`
        whose invocation is completed may have either.
      ordinal_of: finds the owner of an awaited promise.
      put: receives the changed rows.

    Raises:
      OplogCorrupt: the entry cannot stand here.
    """
    if index != row.last + 1:
        raise OplogCorrupt(
            f"entry {index} does not follow {row.last}",
            worker=str(row.worker_id),
            index=index,
            expected=str(row.last + 1),
            found=str(index),
        )
    row.last = index
    row.last_timestamp = entry.timestamp
    _FOLD[type(entry)](row, OplogIndex(index), entry, start, ordinal_of, put)


def refresh(row: WorkerRow, was_runnable: bool, put: Put) -> bool:
    """Write the worker's row, and its `RUNNABLE` and `BY_STATUS` rows where they changed.

    Args:
      row: the worker's; what it says of the row that stands in `BY_STATUS` is brought up to date.
      was_runnable: whether its `RUNNABLE` row stands.
      put: receives the rows.

    Returns:
      Whether the worker is runnable now.
    """
    put(_WORKERS, worker_key(row.ordinal), row.encode())
    status = row.status_code
    if status != row.listed or row.created_at != row.listed_at:
        unlist(row, put)
        if status:
            put(_BY_STATUS, by_status_key(status, row.worker_id.component_id, row.created_at, row.ordinal), b"")
        row.listed, row.listed_at = status, row.created_at
    is_runnable = status == _RUNNING
    if is_runnable != was_runnable:
        put(Table.RUNNABLE, oplog_key(row.ordinal, 0), None if was_runnable else b"")
    return is_runnable


def waking(ordinal: int, index: int, is_more: bool, put: Put) -> None:
    """Add or take back the `RUNNABLE` row of a promise that has its outcome, or is gone.

    Args:
      ordinal: of the worker that has it.
      index: which.
      is_more: whether somebody still waits for it.
      put: receives the row.
    """
    put(Table.RUNNABLE, oplog_key(ordinal, index), b"" if is_more else None)


def unlist(row: WorkerRow, put: Put) -> None:
    """Take back the worker's row in `BY_STATUS`, if it has one."""
    if row.listed:
        put(_BY_STATUS, by_status_key(row.listed, row.worker_id.component_id, row.listed_at, row.ordinal), None)
        row.listed = 0


def _clear_next_attempt(row: WorkerRow, put: Put) -> None:
    if row.next_attempt:
        put(Table.TIMERS, timer_key(row.next_attempt, row.ordinal, 0), None)
    row.next_attempt = 0


def _clear_error(row: WorkerRow, put: Put) -> None:
    _clear_next_attempt(row, put)
    row.errored = row.errored_input = row.attempt = 0


def _went_through(row: WorkerRow, put: Put) -> None:
    """End the row of attempts at an input whose step has succeeded; only a person ends a pause."""
    if row.errored and row.condition in (Condition.NONE, Condition.RETRYING):
        row.condition = Condition.NONE
        _clear_error(row, put)


def _output(row: WorkerRow, put: Put) -> None:
    """Account for an output: the step that an input had failed in went through, and one input was applied."""
    if row.unapplied == 1:
        row.unapplied = 0
    _went_through(row, put)


def _created(row: WorkerRow, index: OplogIndex, entry: e.Created, _s: Any, _o: OrdinalOf, put: Put) -> None:
    row.life = index
    row.created_at = entry.timestamp
    row.version = entry.component_version
    row.semantics = entry.semantics
    row.condition = Condition.NONE
    put(Table.WORKER_IDS, worker_id_key(entry.worker_id), worker_key(row.ordinal))
    if is_promise(entry):
        _open_promise(row, index, entry, put)


def is_promise(entry: e.Entry | None) -> bool:
    """Whether an entry creates a promise: a `Started` that says so, or the `Created` of a durable promise."""
    kind = type(entry)
    if kind is e.Started:
        return type(entry.request) is e.CreatePromise  # type: ignore[union-attr]
    return kind is e.Created and entry.worker_id.component_id == DURABLE_PROMISE  # type: ignore[union-attr]


def deadline(entry: e.Started | e.Created) -> int | None:
    """Return when the promise that an entry creates settles as timed out, in microseconds; None: never.

    Raises:
      OplogCorrupt: the arguments of a durable promise are no deadline.
    """
    if type(entry) is e.Created:
        try:
            return next(iter(_decode_deadline(entry.args)), None)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise OplogCorrupt(f"the arguments of a durable promise are its deadline or nothing: {error}") from None
    timeout_us: int | None = entry.request.timeout_us  # type: ignore[union-attr]
    return None if timeout_us is None else entry.timestamp + timeout_us


def _open_promise(row: WorkerRow, index: OplogIndex, entry: e.Started | e.Created, put: Put) -> None:
    due = deadline(entry)
    put(_PROMISES, oplog_key(row.ordinal, index), encode_promise(_PROMISE, _PENDING, entry.timestamp, due or 0))
    if due is not None:
        put(Table.TIMERS, timer_key(due, row.ordinal, index), TIMER_ROWS[TimerKind.DEADLINE])


def _invoked(row: WorkerRow, index: OplogIndex, entry: e.Invoked, _s: Any, _o: OrdinalOf, put: Put) -> None:
    state = _PENDING
    if entry.due is None:
        row.pending += 1
    else:
        row.scheduled += 1
        state = PromiseState.SCHEDULED
        put(Table.TIMERS, timer_key(entry.due, row.ordinal, index), TIMER_ROWS[TimerKind.INVOKE])
    put(_PROMISES, oplog_key(row.ordinal, index), encode_promise(_INVOCATION, state, entry.timestamp, 0))
    key = key_of(row.ordinal, entry)
    put(_IDEMPOTENCY, key, worker_key(index))
    if entry.retention_us is not None:
        put(Table.WORKER_IDS, ephemeral_key(row.worker_id.component_id, key[8:]), worker_key(row.ordinal))


def key_of(ordinal: int, entry: e.Invoked) -> bytes:
    """Return the key in `IDEMPOTENCY` of an invocation: its client's key, or its caller's identity."""
    if entry.caller is not None and entry.caller_start is not None:
        return call_key(ordinal, entry.caller, entry.caller_start)
    return idempotency_key(ordinal, entry.function, entry.key or "")


def _started(row: WorkerRow, index: OplogIndex, entry: e.Started, _s: Any, ordinal_of: OrdinalOf, put: Put) -> None:
    _output(row, put)
    row.running = entry.invocation
    request: Any = entry.request
    kind = type(request)
    if kind is e.Run or kind is e.Ask:
        row.open_runs += 1
    elif kind is e.Call:
        put(_PROMISES, oplog_key(row.ordinal, index), encode_promise(_CALL, _PENDING, entry.timestamp, 0))
    elif kind is e.AwaitPromise:
        put_waiter(row, index, request, ordinal_of, put, b"")
    elif kind is e.CreatePromise:
        _open_promise(row, index, entry, put)
    elif kind is e.Sleep:
        put(Table.TIMERS, sleep_key(row.ordinal, index, entry), TIMER_ROWS[TimerKind.SLEEP])


def sleep_key(ordinal: int, index: int, entry: e.Started) -> bytes:
    """Return the key in `TIMERS` of a sleep."""
    return timer_key(entry.timestamp + entry.request.duration_us, ordinal, index)  # type: ignore[union-attr]


def put_waiter(
    row: WorkerRow, index: int, request: e.AwaitPromise, ordinal_of: OrdinalOf, put: Put, value: bytes | None
) -> None:
    """Add or (value None) take back the row of a wait; a wait for a worker that never was has none."""
    owner = row.ordinal if request.owner is None else ordinal_of(request.owner)
    if owner is not None:
        put(Table.WAITERS, waiter_key(owner, request.promise, row.ordinal, index), value)


def _close(row: WorkerRow, index: int, start: e.Entry | None, ordinal_of: OrdinalOf, put: Put) -> None:
    """Take back what a `Started` had opened."""
    if type(start) is not e.Started:
        why = f"entry {row.last} refers to {index}, which is not a Started"
        raise OplogCorrupt(why, worker=str(row.worker_id), index=row.last)
    request: Any = start.request
    kind = type(request)
    if kind is e.Run or kind is e.Ask:
        row.open_runs -= 1
    elif kind is e.Call:
        put(_PROMISES, oplog_key(row.ordinal, index), None)
    elif kind is e.AwaitPromise:
        put_waiter(row, index, request, ordinal_of, put, None)
    elif kind is e.Sleep:
        put(Table.TIMERS, sleep_key(row.ordinal, index, start), None)


def _ended(row: WorkerRow, _i: OplogIndex, entry: e.Ended, start: Any, ordinal_of: OrdinalOf, put: Put) -> None:
    if type(start) is e.Invoked and start.due is not None:
        _end_delay(row, entry.start, start, start.due, put)
        return
    _close(row, entry.start, start, ordinal_of, put)
    row.unapplied += 1


def _end_delay(row: WorkerRow, index: OplogIndex, invoked: e.Invoked, due: int, put: Put) -> None:
    """Queue a scheduled invocation."""
    row.scheduled -= 1
    row.pending += 1
    put(_PROMISES, oplog_key(row.ordinal, index), encode_promise(_INVOCATION, _PENDING, invoked.timestamp, 0))
    put(Table.TIMERS, timer_key(due, row.ordinal, index), None)


def _abandoned(row: WorkerRow, _i: OplogIndex, entry: e.Abandoned, start: Any, ordinal_of: OrdinalOf, put: Put) -> None:
    _output(row, put)
    # None: its `Ended` was appended before this, in a step that did not know of it yet.
    if start is not None:
        _close(row, entry.start, start, ordinal_of, put)


def _cancelled(row: WorkerRow, _i: OplogIndex, entry: e.Cancelled, start: Any, _o: OrdinalOf, put: Put) -> None:
    # Of one that does not run it may be applied after outputs of others: only `Applied` says that it was.
    row.unapplied += 1 if entry.invocation == row.running else 2
    # It takes the place of the invocation: of one that fails to begin, or else of one that was not queued until now.
    if entry.input == entry.invocation != row.errored_input and type(start) is e.Invoked and start.due is not None:
        _end_delay(row, entry.invocation, start, start.due, put)


def _completed(row: WorkerRow, index: OplogIndex, entry: e.Completed, start: Any, _o: OrdinalOf, put: Put) -> None:
    _output(row, put)
    row.pending -= 1
    if row.running == entry.invocation:  # not one that was cancelled in the queue
        row.running = 0
    if not row.pending:
        row.unapplied = 0  # what is left of the inputs concerned nobody else
    state = _RESOLVED if type(entry.outcome) is e.Value else _REJECTED
    promise = encode_promise(_INVOCATION, state, start.timestamp, index)
    put(_PROMISES, oplog_key(row.ordinal, entry.invocation), promise)
    if start.retention_us is not None:
        due = entry.timestamp + start.retention_us
        put(Table.TIMERS, timer_key(due, row.ordinal, index), TIMER_ROWS[TimerKind.EXPIRY])


def _settled(row: WorkerRow, index: OplogIndex, entry: e.Settled, start: Any, _o: OrdinalOf, put: Put) -> None:
    state = _RESOLVED if type(entry.outcome) is e.Value else _REJECTED
    _end_promise(row, entry.promise, start, state, index, put)


def _deleted(row: WorkerRow, index: OplogIndex, entry: e.Deleted, start: Any, _o: OrdinalOf, put: Put) -> None:
    _end_promise(row, entry.promise, start, PromiseState.DELETED, index, put)


def _end_promise(row: WorkerRow, promise: int, start: Any, state: PromiseState, index: int, put: Put) -> None:
    if not is_promise(start):
        why = f"entry {index} refers to {promise}, which is not a promise"
        raise OplogCorrupt(why, worker=str(row.worker_id), index=index)
    put(_PROMISES, oplog_key(row.ordinal, promise), encode_promise(_PROMISE, state, start.timestamp, index))
    due = deadline(start)
    if due is not None:
        put(Table.TIMERS, timer_key(due, row.ordinal, promise), None)


def _errored(row: WorkerRow, index: OplogIndex, entry: e.Errored, _s: Any, _o: OrdinalOf, put: Put) -> None:
    _clear_error(row, put)
    row.errored, row.errored_input, row.attempt = index, entry.input, entry.attempt
    if entry.next_attempt is None:
        row.condition = Condition.PAUSED
        return
    row.next_attempt = entry.next_attempt
    row.condition = Condition.RETRYING
    put(Table.TIMERS, timer_key(entry.next_attempt, row.ordinal, 0), TIMER_ROWS[TimerKind.RETRY])


def _interrupted(row: WorkerRow, _i: OplogIndex, _e: Any, _s: Any, _o: OrdinalOf, put: Put) -> None:
    _clear_next_attempt(row, put)  # the error stays to be seen
    row.condition = Condition.INTERRUPTED


def _resumed(row: WorkerRow, _i: OplogIndex, _e: Any, _s: Any, _o: OrdinalOf, put: Put) -> None:
    _clear_error(row, put)
    row.condition = Condition.NONE


def _removed(row: WorkerRow, _i: OplogIndex, entry: e.Removed, _s: Any, _o: OrdinalOf, put: Put) -> None:
    _clear_error(row, put)
    put(Table.WORKER_IDS, worker_id_key(entry.worker_id), worker_key(row.ordinal))
    row.condition = Condition.REMOVED
    row.life = row.created_at = row.version = row.pending = row.scheduled = 0
    row.running = row.open_runs = row.unapplied = row.snapshot = row.semantics = row.trimmed = 0


def _applied(row: WorkerRow, _i: OplogIndex, _e: Any, _s: Any, _o: OrdinalOf, put: Put) -> None:
    row.unapplied = 0
    _went_through(row, put)


def _snapshotted(row: WorkerRow, index: OplogIndex, entry: e.Snapshotted, _s: Any, _o: OrdinalOf, _p: Put) -> None:
    row.version = entry.component_version
    row.snapshot = index


def _updated(row: WorkerRow, _i: OplogIndex, entry: e.Updated, _s: Any, _o: OrdinalOf, _p: Put) -> None:
    row.version = entry.component_version


def _trimmed(row: WorkerRow, _i: OplogIndex, entry: e.Trimmed, _s: Any, _o: OrdinalOf, _p: Put) -> None:
    row.trimmed = entry.below


def _nothing(*_: Any) -> None:
    """Some entries change no row but the worker's last index."""


_FOLD: dict[type[e.Entry], Callable[..., None]] = {
    e.Created: _created,
    e.Invoked: _invoked,
    e.Started: _started,
    e.Ended: _ended,
    e.Cancelled: _cancelled,
    e.Abandoned: _abandoned,
    e.Completed: _completed,
    e.Snapshotted: _snapshotted,
    e.Updated: _updated,
    e.Reverted: _nothing,
    e.Settled: _settled,
    e.Deleted: _deleted,
    e.Errored: _errored,
    e.Interrupted: _interrupted,
    e.Resumed: _resumed,
    e.Logged: _nothing,
    e.Removed: _removed,
    e.Applied: _applied,
    e.Trimmed: _trimmed,
    e.Delivered: _nothing,
}
