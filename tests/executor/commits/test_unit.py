"""Tests of `executor.commits.unit`: what one event appends is kept whole, or nothing of it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from promissory.executor.commits.record import Record
from promissory.executor.residents.residents import Residents
from promissory.oplog.entries import (
    AwaitPromise,
    Created,
    CreatePromise,
    Ended,
    Invoked,
    Logged,
    Settled,
    Started,
    Value,
)
from promissory.oplog.environment import Environment
from promissory.oplog.ids import ComponentId, OplogIndex, WorkerId
from promissory.oplog.tables import Table

WORKER = WorkerId(ComponentId(bytes(16)), "worker")
OTHER = WorkerId(ComponentId(bytes(16)), "other")


class Oops(Exception):
    """Leaves a unit."""


def fail(record: Record, act: Any) -> None:
    """Do something in a unit that an exception leaves."""
    with record.unit():
        act()
        raise Oops


@pytest.fixture
def record(tmp_path: Path) -> Any:
    with Environment(tmp_path) as environment:
        yield Record(environment, lambda: 1_000_000)


def make(residents: Residents, worker: WorkerId) -> Any:
    return residents.create(Created(1, worker, 1, b"[]", {}, None, bytes(32)), None)


def settle_for_two(residents: Residents, first: Any, second: Any) -> None:
    """Create a promise, have two wait for it, settle it, and end both waits."""
    index = residents.append(first, Invoked(2, "f", b"[]", "k", None, None, (), None))
    residents.append(second, Invoked(2, "f", b"[]", "k", None, None, (), None))
    promise = residents.append(first, Started(3, index, CreatePromise(None)))
    residents.append(first, Started(3, index, AwaitPromise(None, promise)))
    residents.append(second, Started(3, OplogIndex(2), AwaitPromise(WORKER, promise)))
    residents.append(first, Settled(4, promise, Value(b"x"), "me"))
    residents.deliver(first, Ended(4, OplogIndex(4), Value(b"x")))
    residents.deliver(second, Ended(4, OplogIndex(3), Value(b"x")))


def everything(record: Record, residents: Residents) -> Any:
    changes = {table: dict(rows) for table, rows in record.batch.changes.items()}
    rows = {activation.path: activation.row.encode() for activation in residents}
    counts = record.batch.entries_count, record.batch.bytes_count, record.appended_count
    return changes, {key: set(keys) for key, keys in record.batch.waits.items()}, rows, counts


def test_a_dropped_unit_leaves_all_as_it_was(record: Record) -> None:
    """Rows, counts, workers and waits are as before the unit, whatever it did; the units before it stay."""
    residents = Residents(record, lambda worker: worker.worker_name, 10)
    with record.unit():
        first = make(residents, WORKER)
        second = make(residents, OTHER)
    before = everything(record, residents)

    def act() -> None:
        settle_for_two(residents, first, second)
        make(residents, WorkerId(ComponentId(bytes(16)), "third"))

    with pytest.raises(Oops):
        fail(record, act)

    assert everything(record, residents) == before
    with record.unit():
        settle_for_two(residents, first, second)
    assert (first.row.last, second.row.last) == (6, 4)


def test_a_worker_that_a_dropped_unit_created_never_was(record: Record) -> None:
    """It is found neither in memory nor in the record, and the batch is empty."""
    residents = Residents(record, str, 10)
    with pytest.raises(Oops):
        fail(record, lambda: make(residents, WORKER))

    assert len(residents) == 0
    assert residents.find(WORKER) is None
    assert record.batch.is_empty


def test_who_is_told_of_a_unit(record: Record) -> None:
    """Callbacks of a unit that is kept are called in order; those of one that is dropped never are, but to undo."""
    told: list[str] = []
    for name, error in (("kept", None), ("dropped", Oops())):
        try:
            with record.unit():
                record.put(Table.META, b"key", name.encode())
                record.on_kept(lambda name=name: told.append(f"{name}: kept"))  # type: ignore[misc]
                record.on_dropped(lambda name=name: told.append(f"{name}: undone"))  # type: ignore[misc]
                record.when_durable(lambda _, name=name: told.append(f"{name}: durable"))  # type: ignore[misc]
                if error is not None:
                    raise error
        except Oops:
            pass
    record.seal()
    record.committed(record.sealed[0])

    assert told == ["kept: kept", "dropped: undone", "kept: durable"]


def test_a_unit_within_a_unit_is_part_of_it(record: Record) -> None:
    """What the inner block appended goes with the outer one."""

    def act() -> None:
        with record.unit():
            record.put(Table.META, b"inner", b"1")

    with pytest.raises(Oops):
        fail(record, act)

    assert record.get(Table.META, b"inner") is None


def test_an_exception_that_an_outer_block_catches_keeps_the_unit(record: Record) -> None:
    """An inner block that fails does not end the unit: who catches the exception decides."""
    residents = Residents(record, str, 10)
    with record.unit():
        activation = make(residents, WORKER)
        with pytest.raises(Oops):
            fail(record, lambda: residents.append(activation, Logged(2, "info", "x")))

    assert activation.row.last == 2


def test_nothing_is_appended_outside_a_unit(record: Record) -> None:
    """Neither an entry nor a row can be put without one."""
    residents = Residents(record, str, 10)
    with pytest.raises(AssertionError):
        make(residents, WORKER)
    with pytest.raises(AssertionError):
        record.put(Table.META, b"key", b"row")
