"""Tests of `executor.record`: what is appended, seen before it is durable, and told when it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from promissory.executor.commits.record import Record
from promissory.executor.residents.residents import Residents
from promissory.oplog.entries import Created, Invoked, Logged
from promissory.oplog.environment import Environment
from promissory.oplog.errors import StoreFailed
from promissory.oplog.ids import WorkerId, component_id
from promissory.oplog.tables import Table, oplog_key

WORKER = WorkerId(component_id("counter"), "one")


class Clock:
    """A clock that the test sets."""

    now = 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    with Environment(tmp_path / "data") as environment:
        yield environment


@pytest.fixture
def clock() -> Clock:
    return Clock()


def commit(record: Record) -> None:
    record.seal()
    while record.sealed:
        batch = record.sealed[0]
        record.environment.commit(batch.changes)
        record.committed(batch)


def create(record: Record) -> Residents:
    residents = Residents(record, str, 10)
    with record.unit():
        residents.create(Created(record.now(), WORKER, 1, b"[]", {}, None, bytes(32)), None)
    return residents


def test_what_is_appended_is_seen_before_it_is_durable(environment: Environment, clock: Clock) -> None:
    """Reads see what is appended: in the open batch, in a sealed one, and when it is durable."""
    record = Record(environment, clock)
    residents = create(record)
    activation = residents.find(WORKER)
    assert activation is not None
    seen = [record.entry(activation.ordinal, 1)]
    record.seal()
    seen.append(record.entry(activation.ordinal, 1))
    commit(record)
    seen.append(record.entry(activation.ordinal, 1))

    assert seen[0] == seen[1] == seen[2]
    assert environment.get(Table.OPLOG, oplog_key(activation.ordinal, 1)) is not None


def test_time_does_not_go_back_over_a_restart(environment: Environment, clock: Clock) -> None:
    """A clock that was set back between two starts gives no entry an earlier timestamp than the one before it."""
    before = Record(environment, clock)
    create(before)
    commit(before)
    clock.now = 5
    after = Record(environment, clock)
    residents = Residents(after, str, 10)
    activation = residents.find(WORKER)
    assert activation is not None

    with after.unit():
        index = residents.append(activation, Logged(after.now(), "info", "later"))

    assert after.entry(activation.ordinal, index).timestamp == 1_000_000


def test_whoever_waits_is_told_once_with_the_commit(environment: Environment, clock: Clock) -> None:
    """A callback is called with the commit that holds its cause, and at once when nothing is left to commit."""
    record = Record(environment, clock)
    create(record)
    told: list[StoreFailed | None] = []
    record.when_durable(told.append)

    assert told == []
    commit(record)
    assert told == [None]
    record.when_durable(told.append)
    assert told == [None, None]


def test_a_failed_commit_drops_all_that_came_after_it(environment: Environment, clock: Clock) -> None:
    """After a failure nothing of the sealed batches nor of the open one is left, and everybody hears of it."""
    record = Record(environment, clock)
    residents = create(record)
    record.seal()
    activation = residents.find(WORKER)
    assert activation is not None
    with record.unit():
        residents.append(activation, Invoked(record.now(), "add", b"[1]", "key", None, None, (), None))
    told: list[StoreFailed | None] = []
    record.when_durable(told.append)
    failure = StoreFailed("no")

    record.failed(failure)
    residents.drop_all()

    assert told == [failure]
    assert record.ordinal_of(WORKER) is None
    assert record.batch.is_empty
    assert not record.sealed


def test_a_batch_is_closed_by_the_unit_that_crosses_its_limit(environment: Environment, clock: Clock) -> None:
    """A unit is never split: the one that crosses the limit is in the batch whole, and the next opens another."""
    record = Record(environment, clock)
    record.entries_max = 3
    residents = create(record)
    activation = residents.find(WORKER)
    assert activation is not None
    with record.unit():
        for _ in range(4):
            residents.append(activation, Logged(record.now(), "info", "x"))
    with record.unit():
        residents.append(activation, Logged(record.now(), "info", "y"))

    assert [batch.entries_count for batch in record.sealed] == [5]
    assert record.batch.entries_count == 1
