"""The check: a sound store has no findings, and each kind of damage is found for what it is."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promissory.oplog import entries as e
from promissory.oplog import fold
from promissory.oplog.check import Finding, check
from promissory.oplog.codec import encode_entry
from promissory.oplog.environment import Environment
from promissory.oplog.ids import ComponentId, OplogIndex, WorkerId, component_id
from promissory.oplog.tables import (
    PromiseKind,
    PromiseRow,
    PromiseState,
    Table,
    TimerKind,
    WorkerRow,
    by_status_key,
    call_key,
    ephemeral_key,
    oplog_key,
    outbox_key,
    timer_key,
    waiter_key,
    worker_id_key,
    worker_key,
)

Town = Any
"""The `Scribe` of the fixture `town`."""

EMPTY = (Table.OUTBOX, Table.INBOX, Table.COMPONENTS)
"""The tables that no town has rows of."""

CALL_ROW = PromiseRow(PromiseKind.CALL, PromiseState.PENDING, 5).encode()
APPROVAL = "061fee0c-98fe-5d33-9c47-8ba82899f876"


def kinds(environment: Environment) -> list[tuple[str, str | None, int | None]]:
    """Return what was found, without the messages; each must print as one line."""
    found = list(check(environment))
    assert all(len(str(finding).splitlines()) == 1 for finding in found)
    return [
        (finding.kind, finding.worker and finding.worker.removeprefix(APPROVAL), finding.index) for finding in found
    ]


def rewrite(town: Town, ordinal: int, index: int, entry: e.Entry) -> None:
    """Put a well-formed record in the place of another."""
    key = oplog_key(ordinal, index)
    town.environment.commit({Table.OPLOG: {key: encode_entry(key, entry)}})


def forge(town: Town, ordinal: int, index: int, body: bytes) -> None:
    """Put a record with a right checksum over any body in the place of another."""
    key = oplog_key(ordinal, index)
    body = b"\0" + body
    record = b"\x02" + zlib.crc32(body, zlib.crc32(key)).to_bytes(4, "big") + body
    town.environment.commit({Table.OPLOG: {key: record}})


def test_a_sound_store_has_no_findings(town: Town) -> None:
    """Nothing is found where nothing is wrong, in workers of every situation."""
    assert kinds(town.environment) == []
    assert all(town.environment.count(table) for table in Table if table not in EMPTY)


def test_an_empty_store_has_no_findings(environment: Environment) -> None:
    """A store without workers is sound."""
    assert kinds(environment) == []


def test_every_commit_of_a_life_is_sound(town: Town) -> None:
    """What follows, up to the end of the invocation and of the worker's life, stays sound."""
    town.add(1, e.Resumed, "cli")
    town.commit()
    assert kinds(town.environment) == []
    town.add(1, e.Interrupted, "cli")
    town.add(1, e.Cancelled, 14, None)
    town.add(1, e.Ended, 15, e.Value(None))
    town.commit()
    assert kinds(town.environment) == []
    town.add(1, e.Settled, 16, e.Failure("rejected", "no", 500), "cli")
    town.add(1, e.Ended, 17, e.SameAs(OplogIndex(26)))
    town.add(3, e.Ended, 3, e.Failure("rejected", "no", 500))
    town.add(1, e.Abandoned, 17)
    town.add(1, e.Abandoned, 18)
    town.add(1, e.Abandoned, 19)
    town.add(1, e.Completed, 14, e.Failure("cancelled", "no", 409))
    town.add(3, e.Ended, 4, e.Failure("cancelled", "no", 409))
    town.add(3, e.Applied, 6)
    town.commit()
    assert kinds(town.environment) == []


def lose_an_entry(town: Town) -> None:
    town.environment.commit({Table.OPLOG: {oplog_key(1, 9): None}})


def lose_the_first_entry(town: Town) -> None:
    town.environment.commit({Table.OPLOG: {oplog_key(1, 1): None}})


def flip_a_bit(town: Town) -> None:
    key = oplog_key(1, 9)
    record = bytearray(town.environment.get(Table.OPLOG, key))
    record[-1] ^= 1
    town.environment.commit({Table.OPLOG: {key: bytes(record)}})


def write_a_newer_record(town: Town) -> None:
    key = oplog_key(1, 9)
    town.environment.commit({Table.OPLOG: {key: b"\x03" + town.environment.get(Table.OPLOG, key)[1:]}})


def swap_two_records(town: Town) -> None:
    one, two = oplog_key(1, 7), oplog_key(1, 9)
    get = town.environment.get
    town.environment.commit({Table.OPLOG: {one: get(Table.OPLOG, two), two: get(Table.OPLOG, one)}})


def write_other_cbor(town: Town) -> None:
    forge(town, 1, 20, b"\x84\x18\x10" + cbor2.dumps(town.entry(1, 20).timestamp) + b"\x64info\x64here")


def write_an_unknown_kind(town: Town) -> None:
    forge(town, 1, 20, cbor2.dumps([99, town.entry(1, 20).timestamp, "info", "here"]))


def write_a_bad_key(town: Town) -> None:
    town.environment.commit({Table.OPLOG: {b"short": b""}})


def go_back_in_time(town: Town) -> None:
    rewrite(town, 1, 20, e.Logged(town.entry(1, 19).timestamp - 1, "info", "here"))


def begin_twice(town: Town) -> None:
    created = town.entry(2, 4)
    rewrite(town, 2, 5, created)


def begin_without_created(town: Town) -> None:
    rewrite(town, 3, 1, e.Logged(town.entry(3, 1).timestamp, "info", "here"))


def keep_a_dead_life(town: Town) -> None:
    town.add(3, e.Removed, town.rows[3].worker_id, "cli")
    town.commit()


def leave_indices_out_after_a_removal(town: Town) -> None:
    town.environment.commit({Table.OPLOG: {oplog_key(2, 4): None}})
    rewrite(town, 2, 5, e.Created(town.now, town.rows[2].worker_id, 1, b"[]", {}, None, bytes(32)))


def change_the_name(town: Town) -> None:
    stranger = WorkerId(component_id("approval"), "stranger")
    rewrite(town, 1, 1, e.Created(town.entry(1, 1).timestamp, stranger, 1, b"[]", {}, None, bytes(32)))


def end_what_never_started(town: Town) -> None:
    rewrite(town, 1, 20, e.Ended(town.entry(1, 20).timestamp, OplogIndex(1), e.Value(None)))


def end_what_is_to_come(town: Town) -> None:
    rewrite(town, 1, 20, e.Ended(town.entry(1, 20).timestamp, OplogIndex(21), e.Value(None)))


def end_a_promise(town: Town) -> None:
    rewrite(town, 1, 20, e.Ended(town.entry(1, 20).timestamp, OplogIndex(16), e.Value(None)))


def end_twice(town: Town) -> None:
    rewrite(town, 1, 20, e.Ended(town.entry(1, 20).timestamp, OplogIndex(4), e.Value(None)))


def end_what_is_abandoned(town: Town) -> None:
    rewrite(town, 1, 20, e.Ended(town.entry(1, 20).timestamp, OplogIndex(6), e.Value(None)))


def abandon_twice(town: Town) -> None:
    rewrite(town, 1, 20, e.Abandoned(town.entry(1, 20).timestamp, OplogIndex(6)))


def abandon_what_never_started(town: Town) -> None:
    rewrite(town, 1, 20, e.Abandoned(town.entry(1, 20).timestamp, OplogIndex(14)))


def share_no_outcome(town: Town) -> None:
    rewrite(town, 1, 20, e.Ended(town.entry(1, 20).timestamp, OplogIndex(17), e.SameAs(OplogIndex(7))))


def share_anothers_outcome(town: Town) -> None:
    rewrite(town, 1, 20, e.Ended(town.entry(1, 20).timestamp, OplogIndex(17), e.SameAs(OplogIndex(8))))


def start_in_a_completed_invocation(town: Town) -> None:
    rewrite(town, 1, 20, e.Started(town.entry(1, 20).timestamp, OplogIndex(2), e.Run("x")))


def start_in_no_invocation(town: Town) -> None:
    rewrite(town, 1, 20, e.Started(town.entry(1, 20).timestamp, OplogIndex(3), e.Run("x")))


def start_in_a_scheduled_invocation(town: Town) -> None:
    rewrite(town, 1, 20, e.Started(town.entry(1, 20).timestamp, OplogIndex(15), e.Run("x")))


def complete_twice(town: Town) -> None:
    rewrite(town, 1, 20, e.Completed(town.entry(1, 20).timestamp, OplogIndex(2), e.Value(b"1")))


def complete_nothing(town: Town) -> None:
    rewrite(town, 1, 20, e.Completed(town.entry(1, 20).timestamp, OplogIndex(3), e.Value(b"1")))


def complete_with_open_calls(town: Town) -> None:
    rewrite(town, 3, 4, e.Completed(town.entry(3, 4).timestamp, OplogIndex(2), e.Value(b"1")))


def settle_twice(town: Town) -> None:
    rewrite(town, 1, 9, e.Settled(town.entry(1, 9).timestamp, OplogIndex(3), e.Value(b"no"), "cli"))


def settle_what_is_deleted(town: Town) -> None:
    rewrite(town, 1, 20, e.Settled(town.entry(1, 20).timestamp, OplogIndex(3), e.Value(b"no"), "cli"))


def delete_twice(town: Town) -> None:
    rewrite(town, 1, 20, e.Deleted(town.entry(1, 20).timestamp, OplogIndex(3), "cli"))


def settle_no_promise(town: Town) -> None:
    rewrite(town, 1, 20, e.Settled(town.entry(1, 20).timestamp, OplogIndex(18), e.Value(b"no"), "cli"))


def cancel_no_invocation(town: Town) -> None:
    rewrite(town, 1, 20, e.Cancelled(town.entry(1, 20).timestamp, OplogIndex(16), None))


def cancel_what_is_scheduled_without_its_place(town: Town) -> None:
    rewrite(town, 1, 20, e.Cancelled(town.entry(1, 20).timestamp, OplogIndex(15), None))


def cancel_in_the_place_of_what_never_failed(town: Town) -> None:
    rewrite(town, 1, 20, e.Cancelled(town.entry(1, 20).timestamp, OplogIndex(14), OplogIndex(14)))


def fail_before_being_queued(town: Town) -> None:
    rewrite(town, 1, 21, e.Errored(town.entry(1, 21).timestamp, OplogIndex(15), 1, "x", "", None))


def end_a_call_twice(town: Town) -> None:
    rewrite(town, 5, 8, e.Ended(town.entry(5, 8).timestamp, OplogIndex(5), e.Value(b"1")))


def wait_for_a_call_of_somebody_else(town: Town) -> None:
    invoked = town.entry(4, 3)
    rewrite(town, 4, 3, msgspec.structs.replace(invoked, chain=(town.rows[3].worker_id,)))


def invoke_an_ephemeral_worker_again(town: Town) -> None:
    town.invoke(6)
    town.commit()


def spell_out_a_default(town: Town) -> None:
    invoked = town.entry(4, 2)
    forge(town, 4, 2, cbor2.dumps([2, invoked.timestamp, "submit", b"[]", invoked.key, None, None, [], None, None]))


def fail_in_the_future(town: Town) -> None:
    rewrite(town, 1, 21, e.Errored(town.entry(1, 21).timestamp, OplogIndex(21), 1, "x", "", None))


def apply_the_future(town: Town) -> None:
    rewrite(town, 1, 20, e.Applied(town.entry(1, 20).timestamp, OplogIndex(20)))


def revert_to_what_is_to_come(town: Town) -> None:
    rewrite(town, 1, 20, e.Reverted(town.entry(1, 20).timestamp, OplogIndex(20), "cli"))


def snapshot_while_an_invocation_runs(town: Town) -> None:
    rewrite(town, 1, 20, e.Snapshotted(town.entry(1, 20).timestamp, 1, b"{}"))


def let_the_future_wait(town: Town) -> None:
    rewrite(town, 4, 3, e.Snapshotted(town.entry(4, 3).timestamp, 1, b"{}", (OplogIndex(2), OplogIndex(3))))


def let_what_waits_be_out_of_order(town: Town) -> None:
    rewrite(town, 4, 3, e.Snapshotted(town.entry(4, 3).timestamp, 1, b"{}", (OplogIndex(2), OplogIndex(2))))


def trim_what_is_to_come(town: Town) -> None:
    rewrite(town, 1, 20, e.Trimmed(town.entry(1, 20).timestamp, OplogIndex(21), (OplogIndex(1),)))


def keep_what_is_not_trimmed(town: Town) -> None:
    rewrite(town, 1, 20, e.Trimmed(town.entry(1, 20).timestamp, OplogIndex(5), (OplogIndex(1), OplogIndex(5))))


def deliver_no_call(town: Town) -> None:
    rewrite(town, 1, 20, e.Delivered(town.entry(1, 20).timestamp, OplogIndex(14)))


def use_a_key_twice(town: Town) -> None:
    invoked = town.entry(1, 14)
    rewrite(town, 1, 14, e.Invoked(invoked.timestamp, "submit", b"[]", "first", None, None, (), None))


ENTRY_DAMAGE = [
    (lose_an_entry, ("gap", "/order%2F7", 10)),
    (lose_the_first_entry, ("gap", "/order%2F7", 2)),
    (flip_a_bit, ("record", "/order%2F7", 9)),
    (write_a_newer_record, ("record", "/order%2F7", 9)),
    (swap_two_records, ("record", "/order%2F7", 7)),
    (write_other_cbor, ("canonical", "/order%2F7", 20)),
    (write_an_unknown_kind, ("record", "/order%2F7", 20)),
    (write_a_bad_key, ("key", None, None)),
    (go_back_in_time, ("time", "/order%2F7", 20)),
    (begin_twice, ("life", "/again", 5)),
    (begin_without_created, ("life", "/waiting", 1)),
    (keep_a_dead_life, ("life", "/waiting", 5)),
    (leave_indices_out_after_a_removal, ("gap", "/again", 5)),
    (end_what_never_started, ("reference", "/order%2F7", 20)),
    (end_what_is_to_come, ("reference", "/order%2F7", 20)),
    (end_a_promise, ("reference", "/order%2F7", 20)),
    (end_twice, ("twice", "/order%2F7", 20)),
    (end_what_is_abandoned, ("twice", "/order%2F7", 20)),
    (abandon_twice, ("twice", "/order%2F7", 20)),
    (abandon_what_never_started, ("reference", "/order%2F7", 20)),
    (share_no_outcome, ("reference", "/order%2F7", 20)),
    (share_anothers_outcome, ("reference", "/order%2F7", 20)),
    (start_in_a_completed_invocation, ("reference", "/order%2F7", 20)),
    (start_in_no_invocation, ("reference", "/order%2F7", 20)),
    (start_in_a_scheduled_invocation, ("reference", "/order%2F7", 20)),
    (complete_twice, ("twice", "/order%2F7", 20)),
    (complete_nothing, ("reference", "/order%2F7", 20)),
    (complete_with_open_calls, ("open", "/waiting", 4)),
    (settle_twice, ("twice", "/order%2F7", 9)),
    (settle_what_is_deleted, ("twice", "/order%2F7", 20)),
    (delete_twice, ("twice", "/order%2F7", 20)),
    (settle_no_promise, ("reference", "/order%2F7", 20)),
    (cancel_no_invocation, ("reference", "/order%2F7", 20)),
    (cancel_what_is_scheduled_without_its_place, ("reference", "/order%2F7", 20)),
    (cancel_in_the_place_of_what_never_failed, ("reference", "/order%2F7", 20)),
    (fail_before_being_queued, ("reference", "/order%2F7", 21)),
    (end_a_call_twice, ("twice", "/calling", 8)),
    (wait_for_a_call_of_somebody_else, ("reference", "/ready", 3)),
    (invoke_an_ephemeral_worker_again, ("twice", "/fresh", 4)),
    (spell_out_a_default, ("canonical", "/ready", 2)),
    (fail_in_the_future, ("reference", "/order%2F7", 21)),
    (apply_the_future, ("reference", "/order%2F7", 20)),
    (revert_to_what_is_to_come, ("reference", "/order%2F7", 20)),
    (snapshot_while_an_invocation_runs, ("reference", "/order%2F7", 20)),
    (let_the_future_wait, ("reference", "/ready", 3)),
    (let_what_waits_be_out_of_order, ("reference", "/ready", 3)),
    (trim_what_is_to_come, ("reference", "/order%2F7", 20)),
    (keep_what_is_not_trimmed, ("reference", "/order%2F7", 20)),
    (deliver_no_call, ("reference", "/order%2F7", 20)),
    (use_a_key_twice, ("twice", "/order%2F7", 14)),
]


@pytest.mark.parametrize(("damage", "expected"), ENTRY_DAMAGE, ids=lambda value: getattr(value, "__name__", ""))
def test_damage_to_entries_is_found(
    town: Town, damage: Callable[[Town], None], expected: tuple[str, str | None, int | None]
) -> None:
    """Damage to an oplog is the first finding, and is laid at that worker's door only."""
    damage(town)

    found = kinds(town.environment)

    assert found[0] == expected
    assert {worker for _, worker, _ in found} == {expected[1]}


def lose_a_row(town: Town, table: Table) -> bytes:
    key = next(key for key, _ in town.environment.scan(table))
    town.environment.commit({table: {key: None}})
    return key


@pytest.mark.parametrize("table", [t for t in Table if t not in (Table.OPLOG, Table.META, *EMPTY)])
def test_a_lost_row_is_found(town: Town, table: Table) -> None:
    """A row missing from any derived table is found by its key."""
    key = lose_a_row(town, table)

    found = [
        finding for finding in check(town.environment) if f"{table.name.lower()} row {key.hex()}" in finding.message
    ]
    assert [finding.kind for finding in found] == ["missing"]


@pytest.mark.parametrize(
    ("table", "key", "row"),
    [
        (Table.WORKERS, worker_key(9), WorkerRow(9, WorkerId(ComponentId(bytes(16)), "x")).encode()),
        (Table.WORKERS, worker_key(0), b""),
        (Table.WORKER_IDS, worker_id_key(WorkerId(component_id("approval"), "ghost")), worker_key(1)),
        (Table.WORKER_IDS, b"\0", b""),
        (Table.PROMISES, oplog_key(1, 4), bytes(18)),
        (Table.PROMISES, oplog_key(7, 4), bytes(18)),
        (Table.PROMISES, b"\xff", b""),
        (Table.PROMISES, oplog_key(5, 4), CALL_ROW),
        (Table.PROMISES, oplog_key(5, 7), CALL_ROW),
        (Table.WORKER_IDS, ephemeral_key(component_id("approval"), bytes(16)), worker_key(6)),
        (Table.TIMERS, timer_key(5, 6, 3), bytes([TimerKind.EXPIRY])),
        (Table.TIMERS, timer_key(5, 4, 2), bytes([TimerKind.EXPIRY])),
        (Table.WAITERS, waiter_key(1, 16, 3, 9), b""),
        (Table.WAITERS, b"\0", b""),
        (Table.IDEMPOTENCY, oplog_key(1, 0) + bytes(8), worker_key(2)),
        (Table.TIMERS, timer_key(5, 1, 0), bytes([TimerKind.RETRY])),
        (Table.TIMERS, b"\0", b""),
        (Table.BY_STATUS, by_status_key(3, component_id("approval"), 5, 1), b""),
        (Table.BY_STATUS, b"\x02", b""),
        (Table.OUTBOX, outbox_key(0, 1, 3), b""),
        (Table.RUNNABLE, oplog_key(1, 3), b""),
        (Table.RUNNABLE, oplog_key(9, 0), b""),
        (Table.RUNNABLE, b"\0", b""),
    ],
)
def test_a_row_too_many_is_found(town: Town, table: Table, key: bytes, row: bytes) -> None:
    """A row that no oplog asks for is found, whatever its key and bytes."""
    town.environment.commit({table: {key: row}})

    found = list(check(town.environment))
    assert [finding.kind for finding in found] == ["extra"]
    assert f"{table.name.lower()} row {key.hex()}" in found[0].message


@pytest.mark.parametrize(
    "table",
    [Table.WORKERS, Table.WORKER_IDS, Table.PROMISES, Table.WAITERS, Table.IDEMPOTENCY, Table.TIMERS, Table.RUNNABLE],
)
def test_a_changed_row_is_found(town: Town, table: Table) -> None:
    """A row with other bytes than the oplogs ask for is found by its key."""
    key, row = next(town.environment.scan(table))
    town.environment.commit({table: {key: row[:-1] + b"~" if row else b"~"}})

    found = [
        finding for finding in check(town.environment) if f"{table.name.lower()} row {key.hex()}" in finding.message
    ]
    assert [finding.kind for finding in found] == ["different"]


def rows_of_calls_and_ephemeral_workers(town: Town) -> list[tuple[Table, bytes, tuple[str, int | None]]]:
    """Return the rows that a waited-for call and an ephemeral worker ask for, and whose they are."""
    digest = call_key(0, town.rows[5].worker_id, OplogIndex(5))[8:]
    due = town.entry(6, 3).timestamp + town.entry(6, 2).retention_us
    return [
        (Table.PROMISES, oplog_key(5, 3), ("/calling", 3)),
        (Table.WORKER_IDS, ephemeral_key(component_id("approval"), digest), ("/fresh", None)),
        (Table.TIMERS, timer_key(due, 6, 3), ("/fresh", 3)),
    ]


@pytest.mark.parametrize("which", range(3))
def test_rows_of_calls_and_ephemeral_workers_are_compared(town: Town, which: int) -> None:
    """What a call that is waited for and an ephemeral worker leave in the tables is asked for, byte for byte."""
    table, key, whose = rows_of_calls_and_ephemeral_workers(town)[which]
    row = town.environment.get(table, key)

    town.environment.commit({table: {key: row[:-1] + b"~"}})
    assert "different" in {kind for kind, _, _ in kinds(town.environment)}
    town.environment.commit({table: {key: None}})
    assert kinds(town.environment) == [("missing", *whose)]


def test_a_call_leaves_nothing_when_it_has_ended(town: Town) -> None:
    """Answered or given up, calls and asks of other workers ask for no row any more."""
    town.add(5, e.Ended, 3, e.Value(b"1"))
    town.add(5, e.Abandoned, 4)
    town.add(5, e.Abandoned, 11)
    town.add(5, e.Completed, 2, e.Value(b"1"))
    town.commit()

    assert kinds(town.environment) == []
    assert town.environment.get(Table.PROMISES, oplog_key(5, 3)) is None


def test_a_scheduled_invocation_that_is_cancelled_is_sound(town: Town) -> None:
    """From its cancelling to its end, the rows of a delayed invocation are what the oplogs ask for."""
    town.add(1, e.Cancelled, 15, 15)
    town.commit()
    assert kinds(town.environment) == []

    town.add(1, e.Completed, 15, e.Failure("cancelled", "cancelled", 409))
    town.commit()
    assert kinds(town.environment) == []


def test_an_ephemeral_worker_that_is_gone_leaves_nothing(town: Town) -> None:
    """Without a Removed and without any row the worker is gone, and each row that stayed is found."""
    kept = [
        (table, key, town.environment.get(table, key)) for table, key, _ in rows_of_calls_and_ephemeral_workers(town)
    ]
    town.vanish(6)
    town.commit()
    assert kinds(town.environment) == []

    for table, key, row in kept[1:]:
        town.environment.commit({table: {key: row}})
        assert [kind for kind, _, _ in kinds(town.environment)] == ["extra"]
        town.environment.commit({table: {key: None}})


def test_a_changed_row_says_what_changed(town: Town) -> None:
    """The finding of a worker's row names the fields that differ, stored and as they should be."""
    row = WorkerRow.decode(1, town.environment.get(Table.WORKERS, worker_key(1)))
    row.pending += 1
    town.environment.commit({Table.WORKERS: {worker_key(1): row.encode()}})

    (found,) = check(town.environment)
    assert found.message.endswith("pending is stored as 2, the oplogs say 1")
    assert str(found).startswith(f"different: {APPROVAL}/order%2F7: workers row")


def test_a_life_under_another_name_is_found(town: Town) -> None:
    """A Created that names another worker than the rows do makes them all wrong."""
    change_the_name(town)

    assert {"extra", "missing", "different"} <= {kind for kind, _, _ in kinds(town.environment)}


def test_a_second_life_under_another_name_is_found(town: Town) -> None:
    """A worker that is deleted and created again keeps its name."""
    stranger = WorkerId(component_id("approval"), "stranger")
    town.remove(2)
    town.commit()
    town.write(2, e.Created(town.now, stranger, 1, b"[]", {}, None, bytes(32)))
    town.commit()

    assert ("life", "/stranger", 6) in kinds(town.environment)


@pytest.mark.parametrize("row", [None, b"", b"garbage"])
def test_a_deleted_worker_without_its_row_is_found(town: Town, row: bytes | None) -> None:
    """Of a deleted worker the rows are all that tells its name: losing one is found once, not as a chain of others."""
    town.remove(2)
    town.commit()
    assert kinds(town.environment) == []
    town.environment.commit({Table.WORKERS: {worker_key(2): row}})

    assert kinds(town.environment) == [("missing" if row is None else "different", "#2", None)]


def test_settled_promises_with_waiters_must_be_runnable(town: Town) -> None:
    """A promise with an outcome and waiters has a row that says so, until the last of them is woken."""
    town.add(1, e.Settled, 16, e.Value(b"yes"), "cli")
    town.add(1, e.Ended, 17, e.SameAs(OplogIndex(22)))
    town.put(Table.RUNNABLE, oplog_key(1, 16), b"")
    town.commit()
    assert kinds(town.environment) == []

    town.environment.commit({Table.RUNNABLE: {oplog_key(1, 16): None}})
    assert kinds(town.environment) == [("missing", "/order%2F7", 16)]

    town.put(Table.RUNNABLE, oplog_key(1, 16), b"")
    town.add(3, e.Ended, 3, e.Value(b"yes"))
    town.commit()
    assert kinds(town.environment) == [("extra", "/order%2F7", 16)]


def test_waits_for_what_never_was_leave_no_row(town: Town) -> None:
    """A wait that was answered in its own unit, for lack of a worker or a promise, is sound."""
    nobody = WorkerId(component_id("approval"), "nobody")
    town.start(3, 2, e.AwaitPromise(nobody, OplogIndex(3)))
    town.add(3, e.Ended, 5, e.Failure("terminal", "no such promise", 404))
    town.start(3, 2, e.AwaitPromise(None, OplogIndex(99)))
    town.add(3, e.Ended, 7, e.Failure("terminal", "no such promise", 404))
    town.commit()

    assert kinds(town.environment) == []


def test_a_name_longer_than_any_key_is_survived(town: Town) -> None:
    """A wait that names a worker by more bytes than a key can have leads to no row and no error."""
    town.ids[WorkerId(component_id("approval"), "x" * 1000)] = None
    town.start(3, 2, e.AwaitPromise(WorkerId(component_id("approval"), "x" * 1000), OplogIndex(3)))
    town.commit()

    assert kinds(town.environment) == []


def test_a_number_that_fits_no_row_is_found(town: Town) -> None:
    """An entry whose number no row can hold is a finding, not an error."""
    rewrite(town, 2, 4, e.Created(town.now, town.rows[2].worker_id, 2**62, b"[]", {}, None, bytes(32)))

    assert kinds(town.environment) == [("record", "/again", 4)]


@pytest.mark.parametrize(
    ("table", "key", "row"),
    [
        (Table.META, b"format", None),
        (Table.META, b"format", bytes(4)),
        (Table.META, b"running", b"x"),
        (Table.META, b"unknown", bytes(8)),
        (Table.COMPONENTS, b"approval", b"\xff"),
        (Table.COMPONENTS, b"approval", cbor2.dumps(["m", "C", "/"])),
        (Table.COMPONENTS, b"\xff", cbor2.dumps(["m", "C", "/", 1])),
        (Table.COMPONENTS, b"NOT A NAME", cbor2.dumps(["m", "C", "/", 1])),
    ],
)
def test_settings_that_cannot_be_read_are_found(town: Town, table: Table, key: bytes, row: bytes | None) -> None:
    """A row of `meta` or `components` that is not what is written there is found."""
    town.environment.commit({table: {key: row}})

    assert kinds(town.environment) == [("row", None, None)]


def test_settings_are_sound(town: Town) -> None:
    """What the executor writes to `meta` and `components` is no finding."""
    town.environment.commit(
        {
            Table.META: {b"running": bytes(8), b"activating": worker_key(1)},
            Table.COMPONENTS: {b"approval": cbor2.dumps(["examples.approval", "Approval", "/srv", 1])},
        }
    )

    assert kinds(town.environment) == []


def test_damage_to_one_worker_hides_none_to_another(town: Town) -> None:
    """The rows of sound workers are compared although another worker is damaged."""
    lose_an_entry(town)
    lose = waiter_key(1, 16, 3, 3)
    town.environment.commit({Table.WAITERS: {lose: None}})

    assert [kind for kind in kinds(town.environment) if kind[1] == "/waiting"] == [("missing", "/waiting", 3)]


def test_a_check_leaves_no_reader(town: Town) -> None:
    """Finished, closed early or forgotten, a check ends its read transaction."""
    town.environment.commit({Table.PROMISES: {oplog_key(0, 1): b""}})
    list(check(town.environment))
    readers = town.environment.reader_count()
    for _ in range(50):
        assert next(check(town.environment)).kind == "extra"
    assert town.environment.reader_count() == readers


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_bad_data_never_raises(town: Town, any_entry: st.SearchStrategy[e.Entry], data: st.DataObject) -> None:
    """Whatever well-formed entries and whatever rows lie in the store, the check only finds."""
    oplog: dict[bytes, bytes | None] = {}
    for index in range(1, data.draw(st.integers(1, 6)) + 1):
        key = oplog_key(data.draw(st.integers(7, 8)), index)
        oplog[key] = encode_entry(key, data.draw(any_entry))
    table = data.draw(st.sampled_from(Table))
    row = {data.draw(st.binary(min_size=1, max_size=40)): data.draw(st.binary(max_size=40))}
    town.environment.commit({Table.OPLOG: oplog})
    town.environment.commit({table: dict(row)})
    try:
        assert all(isinstance(finding, Finding) for finding in check(town.environment))
    finally:
        town.environment.commit({Table.OPLOG: dict.fromkeys(oplog)})
        town.environment.commit({table: dict.fromkeys(row)})


def test_a_durable_promise_asks_for_its_rows(town: Town) -> None:
    """It is settled like any other promise; that it has a deadline that is none is a finding."""
    town.add(7, e.Settled, 1, e.Value(b"1"), "cli")
    town.put(Table.RUNNABLE, oplog_key(7, 1), b"")
    town.commit()
    assert kinds(town.environment) == []

    created = town.entry(7, 1)
    broken = msgspec.structs.replace(created, args=b'["soon"]')
    town.put(Table.OPLOG, oplog_key(7, 1), encode_entry(oplog_key(7, 1), broken))
    town.commit()
    assert [kind for kind, _, _ in kinds(town.environment)] == ["reference"]


def test_what_the_fold_refuses_is_found(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the fold refuse an entry that the life admits, that is a finding as well."""

    def refuse(*_: Any) -> None:
        raise fold.OplogCorrupt("refused")

    monkeypatch.setattr(fold, "apply", refuse)

    assert [kind for kind, _, _ in kinds(town.environment)] == ["reference"] * 8
