"""What entries mean for the tables: each changes the rows it should, and only those."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest

from promissory.oplog import entries as e
from promissory.oplog import fold
from promissory.oplog.errors import OplogCorrupt
from promissory.oplog.ids import DURABLE_PROMISE, ComponentId, OplogIndex, WorkerId
from promissory.oplog.tables import (
    TIMER_ROWS,
    Condition,
    PromiseKind,
    PromiseRow,
    PromiseState,
    Status,
    Table,
    TimerKind,
    WorkerRow,
    by_status_key,
    call_key,
    ephemeral_key,
    idempotency_key,
    oplog_key,
    timer_key,
    waiter_key,
    worker_id_key,
    worker_key,
)

NAMED = WorkerId(ComponentId(bytes(16)), "a")
OTHER = WorkerId(ComponentId(bytes(16)), "b")
NOBODY = WorkerId(ComponentId(bytes(16)), "c")
RELEASE = WorkerId(DURABLE_PROMISE, "release")
ORDINAL = 7
INVOKED = e.Invoked(10, "f", b"[]", "k", None, None, (), None)
DELAYED = e.Invoked(10, "f", b"[]", "k", None, None, (), 99)
EPHEMERAL = e.Invoked(10, "f", b"[]", "k", None, None, (), None, 500)
EPHEMERAL_CALL = e.Invoked(10, "f", b"[]", None, OTHER, OplogIndex(4), (OTHER,), None, 500)

Changes = dict[tuple[Table, bytes], bytes | None]


def index(value: int) -> OplogIndex:
    return OplogIndex(value)


def started(request: e.Request) -> e.Started:
    return e.Started(20, index(2), request)


def row_with(**fields: Any) -> WorkerRow:
    """Return the row of a living worker after nine entries."""
    row = WorkerRow(ORDINAL, NAMED)
    row.life, row.last, row.pending, row.running = 1, 9, 1, 2
    for name, value in fields.items():
        setattr(row, name, value)
    return row


def apply(row: WorkerRow, entry: e.Entry, start: e.Entry | None = None) -> Changes:
    """Fold the next entry and return the rows that it changed."""
    changes: Changes = {}

    def put(table: Table, key: bytes, value: bytes | None) -> None:
        assert (table, key) not in changes
        changes[table, key] = value

    fold.apply(row, row.last + 1, entry, start, {NAMED: ORDINAL, OTHER: 8}.get, put)
    assert row.last_timestamp == entry.timestamp
    return changes


def promise(kind: PromiseKind, state: PromiseState, created_at: int, outcome: int = 0) -> bytes:
    return PromiseRow(kind, state, created_at, outcome).encode()


def test_every_kind_has_a_meaning() -> None:
    """No kind of entry is unknown to the fold."""
    assert set(fold._FOLD) == set(get_args(e.AnyEntry))


def test_entries_are_folded_in_order() -> None:
    """An entry that does not follow the last is refused, with both indices, and changes nothing."""
    row = row_with()
    before = row.encode()

    with pytest.raises(OplogCorrupt, match="entry 11 does not follow 9") as caught:
        fold.apply(row, 11, e.Interrupted(5, ""), None, lambda _: None, lambda *_: None)
    assert (caught.value.index, caught.value.expected, caught.value.found) == (11, "10", "11")
    assert row.encode() == before


def test_created_begins_a_life() -> None:
    """Created gives the worker its id, life, version and time."""
    row = WorkerRow(ORDINAL, NAMED)

    changes = apply(row, e.Created(5, NAMED, 3, b"[]", {}, None, bytes(32)))

    assert changes == {(Table.WORKER_IDS, worker_id_key(NAMED)): worker_key(ORDINAL)}
    assert (row.life, row.last, row.created_at, row.version, row.status) == (1, 1, 5, 3, "idle")


def test_invoked_queues() -> None:
    """Invoked makes a pending invocation that its key finds."""
    row = row_with(pending=0, running=0)

    changes = apply(row, INVOKED)

    assert changes == {
        (Table.PROMISES, oplog_key(ORDINAL, 10)): promise(PromiseKind.INVOCATION, PromiseState.PENDING, 10),
        (Table.IDEMPOTENCY, idempotency_key(ORDINAL, "f", "k")): worker_key(10),
    }
    assert (row.pending, row.status) == (1, "running")


def test_a_call_is_found_by_its_caller() -> None:
    """The invocation that another worker's call made is found by that call's identity."""
    call = e.Invoked(10, "f", b"[]", None, OTHER, index(4), (OTHER,), None)

    assert (Table.IDEMPOTENCY, call_key(ORDINAL, OTHER, index(4))) in apply(row_with(), call)


def test_a_delayed_invocation_waits_for_its_timer() -> None:
    """A delayed invocation is scheduled with a timer; its Ended takes the timer back and queues it."""
    row = row_with(pending=0, running=0)
    key, timer = oplog_key(ORDINAL, 10), timer_key(99, ORDINAL, 10)

    changes = apply(row, DELAYED)
    assert changes[Table.PROMISES, key] == promise(PromiseKind.INVOCATION, PromiseState.SCHEDULED, 10)
    assert changes[Table.TIMERS, timer] == TIMER_ROWS[TimerKind.INVOKE]
    assert (row.scheduled, row.pending, row.status) == (1, 0, "idle")

    assert apply(row, e.Ended(99, index(10), e.Value(None)), DELAYED) == {
        (Table.PROMISES, key): promise(PromiseKind.INVOCATION, PromiseState.PENDING, 10),
        (Table.TIMERS, timer): None,
    }
    assert (row.scheduled, row.pending, row.unapplied, row.status) == (0, 1, 0, "running")


def test_a_scheduled_invocation_is_cancelled_in_its_own_place() -> None:
    """A Cancelled in the place of a delayed invocation takes its timer back and queues it, to be completed."""
    row = row_with(pending=0, running=0)
    apply(row, DELAYED)

    assert apply(row, e.Cancelled(40, index(10), index(10)), DELAYED) == {
        (Table.PROMISES, oplog_key(ORDINAL, 10)): promise(PromiseKind.INVOCATION, PromiseState.PENDING, 10),
        (Table.TIMERS, timer_key(99, ORDINAL, 10)): None,
    }
    assert (row.scheduled, row.pending, row.unapplied, row.status) == (0, 1, 2, "running")

    apply(row, e.Completed(41, index(10), e.Failure("cancelled", "", 409)), DELAYED)
    assert (row.scheduled, row.pending, row.unapplied, row.status) == (0, 0, 0, "idle")


@pytest.mark.parametrize(
    ("start", "input_"),
    [(DELAYED, None), (DELAYED, index(2)), (DELAYED, index(5)), (INVOKED, index(2)), (INVOKED, None), (None, None)],
)
def test_a_cancelled_of_a_queued_invocation_is_an_input_only(start: e.Entry | None, input_: OplogIndex | None) -> None:
    """Whatever the place it takes, the cancelling of an invocation that was queued before changes no other row."""
    row = row_with(errored=8, errored_input=2 if input_ == 2 else 5)

    assert apply(row, e.Cancelled(40, index(2), input_), start) == {}
    assert (row.scheduled, row.pending, row.unapplied) == (0, 1, 1)


@pytest.mark.parametrize(
    ("invoked", "key"),
    [
        (EPHEMERAL, idempotency_key(ORDINAL, "f", "k")),
        (EPHEMERAL_CALL, call_key(ORDINAL, OTHER, index(4))),
    ],
)
def test_an_ephemeral_worker_is_found_by_its_invocation(invoked: e.Invoked, key: bytes) -> None:
    """The invocation of an ephemeral worker puts a second row of its id, by what it was invoked with."""
    changes = apply(row_with(pending=0, running=0), invoked)

    assert changes == {
        (Table.PROMISES, oplog_key(ORDINAL, 10)): promise(PromiseKind.INVOCATION, PromiseState.PENDING, 10),
        (Table.IDEMPOTENCY, key): worker_key(10),
        (Table.WORKER_IDS, ephemeral_key(NAMED.component_id, key[8:])): worker_key(ORDINAL),
    }


def test_an_ephemeral_worker_goes_when_its_retention_ends() -> None:
    """The end of an ephemeral worker's invocation sets the timer of its own end, whatever the outcome."""
    for outcome in (e.Value(b"1"), e.Failure("terminal", "no", 500)):
        changes = apply(row_with(), e.Completed(40, index(2), outcome), EPHEMERAL)

        assert changes[Table.TIMERS, timer_key(540, ORDINAL, 10)] == TIMER_ROWS[TimerKind.EXPIRY]
    assert Table.TIMERS not in {table for table, _ in apply(row_with(), e.Completed(40, index(2), outcome), INVOKED)}


@pytest.mark.parametrize(
    ("request_", "opened"),
    [
        (e.AwaitPromise(None, index(3)), {(Table.WAITERS, waiter_key(ORDINAL, 3, ORDINAL, 10)): b""}),
        (e.AwaitPromise(OTHER, index(3)), {(Table.WAITERS, waiter_key(8, 3, ORDINAL, 10)): b""}),
        (e.AwaitPromise(NOBODY, index(3)), {}),
        (e.Sleep(30), {(Table.TIMERS, timer_key(50, ORDINAL, 10)): TIMER_ROWS[TimerKind.SLEEP]}),
        (
            e.Call(OTHER, "f", b"[]"),
            {(Table.PROMISES, oplog_key(ORDINAL, 10)): PromiseRow(PromiseKind.CALL, PromiseState.PENDING, 20).encode()},
        ),
        (e.Send(OTHER, "f", b"[]", None), {}),
        (e.Send(OTHER, "f", b"[]", 99), {}),
        (e.Ask(OTHER, "f", b"[]"), {}),
        (e.Run("x"), {}),
        (e.PollPromise(None, index(3)), {}),
        (e.CompletePromise(None, index(3), b""), {}),
        (e.DeletePromise(index(3)), {}),
    ],
)
@pytest.mark.parametrize("close", [e.Ended(40, index(10), e.Value(b"1")), e.Abandoned(40, index(10))])
def test_a_call_opens_rows_and_closes_them(
    request_: e.Request, opened: dict[tuple[Table, bytes], bytes], close: e.Entry
) -> None:
    """What a Started opens, its Ended or Abandoned takes back, all of it."""
    row = row_with()
    start = started(request_)

    assert apply(row, start) == opened
    assert row.open_runs == (type(request_) in (e.Run, e.Ask))
    assert apply(row, close, start) == dict.fromkeys(opened)
    assert row.open_runs == 0


def test_a_worker_with_an_open_ask_is_at_work() -> None:
    """An ask is the worker's own doing until it is answered, as a side effect is; a call is waited for."""
    row = row_with()
    apply(row, started(e.Ask(OTHER, "f", b"[]")))
    assert row.status == "running"

    row = row_with()
    apply(row, started(e.Call(OTHER, "f", b"[]")))
    assert row.status == "suspended"


def test_a_call_that_ended_has_nothing_to_abandon() -> None:
    """An Abandoned after the Ended of its call takes nothing back a second time."""
    row = row_with(open_runs=1)

    assert apply(row, e.Abandoned(40, index(3)), None) == {}
    assert row.open_runs == 1


@pytest.mark.parametrize("start", [None, INVOKED, e.Removed(5, NAMED, "")])
def test_closing_what_is_no_call_is_refused(start: e.Entry | None) -> None:
    """An Ended of anything but a Started or a delayed Invoked cannot stand."""
    with pytest.raises(OplogCorrupt, match="not a Started"):
        apply(row_with(), e.Ended(40, index(3), e.Value(None)), start)


def test_a_promise_has_a_row_and_a_deadline() -> None:
    """A promise is pending until it is settled, and its deadline's timer goes with it."""
    row = row_with()
    start = started(e.CreatePromise(30))
    key, timer = (Table.PROMISES, oplog_key(ORDINAL, 10)), (Table.TIMERS, timer_key(50, ORDINAL, 10))

    assert apply(row, start) == {
        key: promise(PromiseKind.PROMISE, PromiseState.PENDING, 20, 50),
        timer: TIMER_ROWS[TimerKind.DEADLINE],
    }
    assert apply(row, e.Settled(40, index(10), e.Value(b""), "cli"), start) == {
        key: promise(PromiseKind.PROMISE, PromiseState.RESOLVED, 20, 11),
        timer: None,
    }
    assert apply(row, e.Deleted(41, index(10), "cli"), start)[key] == promise(
        PromiseKind.PROMISE, PromiseState.DELETED, 20, 12
    )


def test_a_pending_promise_tells_its_deadline() -> None:
    """The row of a pending promise holds its deadline; one without, or with an outcome, has none."""
    for state, outcome, deadline in (
        (PromiseState.PENDING, 50, 50),
        (PromiseState.PENDING, 0, 0),
        (PromiseState.RESOLVED, 11, 0),
        (PromiseState.DELETED, 12, 0),
    ):
        assert PromiseRow(PromiseKind.PROMISE, state, 20, outcome).deadline == deadline


@pytest.mark.parametrize(("args", "due"), [(b"[]", None), (b"[50]", 50)])
def test_the_created_of_a_durable_promise_is_a_promise(args: bytes, due: int | None) -> None:
    """It is pending from then on, with its deadline and its timer, until it is settled or deleted."""
    row = WorkerRow(ORDINAL, RELEASE)
    created = e.Created(20, RELEASE, 1, args, {}, None, bytes(32))
    key, timer = (Table.PROMISES, oplog_key(ORDINAL, 1)), (Table.TIMERS, timer_key(due or 0, ORDINAL, 1))
    timed = due is not None

    assert apply(row, created) == {
        (Table.WORKER_IDS, worker_id_key(RELEASE)): worker_key(ORDINAL),
        key: promise(PromiseKind.PROMISE, PromiseState.PENDING, 20, due or 0),
        **({timer: TIMER_ROWS[TimerKind.DEADLINE]} if timed else {}),
    }
    assert row.status == "idle"
    assert apply(row, e.Settled(40, index(1), e.Value(b""), "cli"), created) == {
        key: promise(PromiseKind.PROMISE, PromiseState.RESOLVED, 20, 2),
        **({timer: None} if timed else {}),
    }
    assert apply(row, e.Deleted(41, index(1), "cli"), created)[key] == promise(
        PromiseKind.PROMISE, PromiseState.DELETED, 20, 3
    )


@pytest.mark.parametrize(
    "args", [b"", b"{}", b"[0]", b"[-1]", b"[null]", b'["5"]', b"[1, 2]", b"[9223372036854775808]"]
)
def test_what_is_no_deadline_is_refused(args: bytes) -> None:
    """The arguments of a durable promise are one time or nothing."""
    with pytest.raises(OplogCorrupt, match="deadline"):
        apply(WorkerRow(ORDINAL, RELEASE), e.Created(20, RELEASE, 1, args, {}, None, bytes(32)))


def test_a_rejection_is_told_from_a_value() -> None:
    """Failures leave promises and invocations rejected."""
    failure = e.Failure("terminal", "no", 500)
    start = started(e.CreatePromise(None))

    assert apply(row_with(), e.Settled(40, index(3), failure, ""), start) == {
        (Table.PROMISES, oplog_key(ORDINAL, 3)): promise(PromiseKind.PROMISE, PromiseState.REJECTED, 20, 10)
    }
    assert apply(row_with(), e.Completed(40, index(2), failure), INVOKED) == {
        (Table.PROMISES, oplog_key(ORDINAL, 2)): promise(PromiseKind.INVOCATION, PromiseState.REJECTED, 10, 10)
    }


@pytest.mark.parametrize(
    "start", [None, INVOKED, started(e.Run("x")), e.Created(5, NAMED, 1, b"[]", {}, None, bytes(32))]
)
def test_settling_what_is_no_promise_is_refused(start: e.Entry | None) -> None:
    """Settled and Deleted of anything but a created promise cannot stand."""
    for entry in (e.Settled(40, index(3), e.Value(b""), ""), e.Deleted(40, index(3), "")):
        with pytest.raises(OplogCorrupt, match="not a promise"):
            apply(row_with(), entry, start)


def test_completed_ends_the_invocation() -> None:
    """Completed leaves the worker idle, or ready for the next in the queue."""
    row = row_with(unapplied=3)
    apply(row, e.Completed(40, index(2), e.Value(b"1")), INVOKED)
    assert (row.pending, row.running, row.unapplied, row.status) == (0, 0, 0, "idle")

    row = row_with(pending=2)
    apply(row, e.Completed(40, index(2), e.Value(b"1")), INVOKED)
    assert row.status == "running"


def test_cancelling_one_in_the_queue_leaves_what_runs_alone() -> None:
    """The end of an invocation that never ran ends no other, and no output of others says that it was applied."""
    row = row_with(pending=2)
    apply(row, e.Cancelled(40, index(5), None), INVOKED)
    apply(row, started(e.CreatePromise(None)))
    assert (row.running, row.unapplied, row.status) == (2, 2, "running")

    apply(row, e.Completed(41, index(5), e.Failure("cancelled", "", 409)), INVOKED)
    assert (row.pending, row.running, row.unapplied) == (1, 2, 2)
    apply(row, e.Applied(42, index(12)))
    assert (row.running, row.status) == (2, "suspended")


def test_inputs_make_a_worker_runnable_until_they_are_applied() -> None:
    """An input is unapplied until an output or an Applied says that it got through."""
    row = row_with(open_runs=1)
    apply(row, e.Ended(40, index(3), e.Value(b"1")), started(e.Run("x")))
    assert (row.unapplied, row.status) == (1, "running")
    apply(row, e.Applied(41, index(10)))
    assert (row.unapplied, row.status) == (0, "suspended")

    apply(row, e.Cancelled(42, index(2), None))
    assert row.status == "running"
    apply(row, started(e.CreatePromise(None)))
    assert row.status == "suspended"

    row.unapplied = 2
    apply(row, started(e.CreatePromise(None)))
    assert (row.unapplied, row.status) == (2, "running")


def test_an_error_is_retried_on_time() -> None:
    """Errored sets the timer of the next attempt and takes back the last one's."""
    row = row_with()
    timer = timer_key(60, ORDINAL, 0)

    assert apply(row, e.Errored(40, index(2), 1, "x", "", 60)) == {(Table.TIMERS, timer): TIMER_ROWS[TimerKind.RETRY]}
    assert (row.status, row.errored, row.errored_input, row.attempt, row.next_attempt) == ("retrying", 10, 2, 1, 60)

    assert apply(row, e.Errored(61, index(2), 2, "x", "", 90)) == {
        (Table.TIMERS, timer): None,
        (Table.TIMERS, timer_key(90, ORDINAL, 0)): TIMER_ROWS[TimerKind.RETRY],
    }
    assert apply(row, e.Errored(91, index(2), 3, "x", "", None)) == {(Table.TIMERS, timer_key(90, ORDINAL, 0)): None}
    assert (row.status, row.attempt, row.next_attempt) == ("paused", 3, 0)


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        (started(e.CreatePromise(None)), "suspended"),
        (e.Applied(40, index(9)), "suspended"),
        (e.Resumed(40, "cli"), "suspended"),
        (e.Removed(40, NAMED, "cli"), "deleted"),
    ],
)
def test_an_error_matters_until_it_is_over(entry: e.Entry, status: str) -> None:
    """An output, an Applied, a person or the end of the life ends the row of attempts and its timer."""
    row = row_with(
        condition=Condition.RETRYING, errored=8, errored_input=2, attempt=1, next_attempt=60, last_timestamp=39
    )

    changes = apply(row, entry)

    assert changes[Table.TIMERS, timer_key(60, ORDINAL, 0)] is None
    assert (row.errored, row.errored_input, row.attempt, row.next_attempt) == (0, 0, 0, 0)
    assert row.status == status


def test_an_interrupted_worker_still_shows_its_error() -> None:
    """Interrupting a worker between attempts takes the next one back and leaves its error to be seen."""
    row = row_with(
        condition=Condition.RETRYING, errored=8, errored_input=2, attempt=1, next_attempt=60, last_timestamp=39
    )

    changes = apply(row, e.Interrupted(40, "cli"))

    assert changes[Table.TIMERS, timer_key(60, ORDINAL, 0)] is None
    assert (row.errored, row.next_attempt, row.status) == (8, 0, "interrupted")


@pytest.mark.parametrize("condition", [Condition.PAUSED, Condition.INTERRUPTED])
def test_only_a_person_ends_a_pause(condition: Condition) -> None:
    """What else happens to a paused or interrupted worker leaves it so, until Resumed."""
    row = row_with(condition=condition, errored=8, errored_input=2, attempt=9)
    apply(row, e.Ended(40, index(3), e.Value(b"1")), started(e.Run("x")))
    apply(row, INVOKED)
    assert (row.condition, row.errored) == (condition, 8)

    apply(row, e.Resumed(41, "cli"))
    assert (row.status, row.errored) == ("running", 0)


def test_removed_leaves_an_empty_life() -> None:
    """After Removed only identity, place and time are left, and the next life begins from them."""
    row = row_with(scheduled=2, open_runs=1, unapplied=4, version=3, created_at=5)
    apply(row, e.Removed(40, NAMED, "cli"))
    gone = WorkerRow(ORDINAL, NAMED)
    gone.condition, gone.last, gone.last_timestamp = Condition.REMOVED, 10, 40
    assert row.encode() == gone.encode()

    apply(row, e.Created(41, NAMED, 1, b"[]", {}, None, bytes(32)))
    assert (row.life, row.status) == (11, "idle")


@pytest.mark.parametrize(
    "entry",
    [
        e.Logged(40, "info", ""),
        e.Reverted(40, index(2), "x"),
        e.Delivered(40, index(2)),
    ],
)
def test_some_entries_change_no_row(entry: e.Entry) -> None:
    """Notes and orders move the worker's last index and nothing else."""
    row, expected = row_with(), row_with(last=10, last_timestamp=40)

    assert apply(row, entry) == {}
    assert row.encode() == expected.encode()


@pytest.mark.parametrize("entry", [e.Snapshotted(40, 3, b""), e.Updated(40, 3)])
def test_a_snapshot_and_an_update_name_the_version(entry: e.Entry) -> None:
    """A worker's version is that of its newest snapshot or update."""
    row = row_with()

    assert apply(row, entry) == {}
    assert row.version == 3


@pytest.mark.parametrize(
    ("change", "was_runnable", "runnable_row"),
    [
        ({}, False, []),
        ({"unapplied": 1}, False, [b""]),
        ({"unapplied": 1}, True, []),
        ({}, True, [None]),
    ],
)
def test_refresh_writes_what_changed(
    change: dict[str, int], was_runnable: bool, runnable_row: list[bytes | None]
) -> None:
    """The worker's row is written always, its runnable row only when it comes or goes."""
    row = row_with(**change)
    row.listed, row.listed_at = row.status_code, row.created_at
    changes: list[tuple[Table, bytes, bytes | None]] = []
    put: Callable[[Table, bytes, bytes | None], None] = lambda *what: changes.append(what)  # noqa: E731

    fold.refresh(row, was_runnable, put)

    assert changes[0] == (Table.WORKERS, worker_key(ORDINAL), row.encode())
    assert changes[1:] == [(Table.RUNNABLE, oplog_key(ORDINAL, 0), value) for value in runnable_row]


def listings(row: WorkerRow) -> list[tuple[bytes, bytes | None]]:
    """Return what a refresh changes in `BY_STATUS`."""
    changes: list[tuple[bytes, bytes | None]] = []
    fold.refresh(row, row.is_runnable, lambda table, *what: table is Table.BY_STATUS and changes.append(what))
    return changes


def test_a_worker_is_listed_by_its_status() -> None:
    """A worker has one row by its status, age and component, which changes only when the status or the life does."""
    row = WorkerRow(ORDINAL, NAMED)
    apply(row, e.Created(5, NAMED, 1, b"[]", {}, None, bytes(32)))
    idle, running = (by_status_key(status, NAMED.component_id, 5, ORDINAL) for status in (Status.IDLE, Status.RUNNING))
    assert listings(row) == [(idle, b"")]
    assert listings(row) == []

    invoked = e.Invoked(6, "f", b"[]", "k", None, None, (), None)
    apply(row, invoked)
    assert listings(row) == [(idle, None), (running, b"")]
    apply(row, e.Logged(7, "info", ""))
    assert listings(WorkerRow.decode(ORDINAL, row.encode())) == []
    apply(row, e.Removed(8, NAMED, "x"))
    assert listings(row) == [(running, None)]
    apply(row, e.Created(9, NAMED, 1, b"[]", {}, None, bytes(32)))
    assert listings(row) == [(by_status_key(Status.IDLE, NAMED.component_id, 9, ORDINAL), b"")]


def test_a_worker_within_one_unit_is_not_listed_twice() -> None:
    """A status that comes and goes before the rows are written changes no row."""
    row = WorkerRow(ORDINAL, NAMED)
    apply(row, e.Created(5, NAMED, 1, b"[]", {}, None, bytes(32)))
    fold.refresh(row, False, lambda *_: None)
    invoked = e.Invoked(6, "f", b"[]", "k", None, None, (), None)
    apply(row, invoked)
    apply(row, e.Completed(7, index(row.last), e.Value(None)), invoked)
    assert listings(row) == []


def test_a_life_has_its_own_snapshot_semantics_and_trimming() -> None:
    """The row names the last snapshot, the order of steps and what is trimmed of this life; the next begins anew."""
    row = WorkerRow(ORDINAL, NAMED)
    apply(row, e.Created(5, NAMED, 1, b"[]", {}, None, bytes(32), None, 4))
    apply(row, e.Snapshotted(6, 2, b"{}"))
    apply(row, e.Trimmed(7, index(2), (index(1),)))
    assert (row.version, row.semantics, row.snapshot, row.trimmed) == (2, 4, 2, 2)
    apply(row, e.Removed(8, NAMED, "x"))
    assert (row.version, row.semantics, row.snapshot, row.trimmed) == (0, 0, 0, 0)
