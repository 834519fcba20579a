"""Batches: the entries that a commit appends say every row of it, deletions and wakings too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from promissory.oplog import entries as e
from promissory.oplog.batch import Appended, Changes, Gone, rows_of
from promissory.oplog.codec import decode_entry
from promissory.oplog.environment import Environment, prefix_end
from promissory.oplog.errors import OplogCorrupt
from promissory.oplog.ids import OplogIndex
from promissory.oplog.tables import DERIVED, PAIR, Table, oplog_key

Town = Any
"""The `Scribe` of the fixture `town`."""


class Compared(Environment):
    """An environment that computes the rows of each commit from its entries, and compares."""

    commits_count = 0

    def commit(self, changes: Any, written: Any = None) -> None:
        if Table.OPLOG in changes:
            self.compare(changes)
        super().commit(changes, written)

    def compare(self, changes: Changes) -> None:
        batch: list[Appended | Gone] = [
            Appended(ordinal, OplogIndex(index), decode_entry(key, record))
            for key, record in changes[Table.OPLOG].items()
            if record is not None
            for ordinal, index in [PAIR.unpack(key)]
        ]
        gone = [key for key, row in changes[Table.WORKERS].items() if row is None]
        batch.extend(Gone(int.from_bytes(key, "big")) for key in gone)
        computed = rows_of(batch, before(self))
        for table in (*DERIVED, Table.OPLOG):
            for key in {*changes[table], *computed[table]}:
                stored = self.get(table, key)
                assert changes[table].get(key, stored) == computed[table].get(key, stored), (table, key.hex())
        self.commits_count += 1


def before(environment: Environment) -> Any:
    class Before:
        get = staticmethod(environment.get)

        @staticmethod
        def keys(table: Table, prefix: bytes) -> Iterable[bytes]:
            return [key for key, _ in environment.scan(table, prefix, prefix_end(prefix))]

    return Before()


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Compared]:
    with Compared(tmp_path / "data") as opened:
        yield opened


def test_every_commit_of_a_town_follows_from_its_entries(town: Town) -> None:
    """Lives that begin, end and begin again, calls, timers, promises: all rows are computed alike."""
    assert town.environment.commits_count >= 9
    town.add(1, e.Resumed, "cli")
    town.add(1, e.Abandoned, 17)
    town.add(1, e.Abandoned, 18)
    town.add(1, e.Abandoned, 19)
    town.add(3, e.Cancelled, 2, None)
    town.commit()
    town.vanish(6)
    town.commit()


def test_a_promise_with_waiters_left_is_runnable(town: Town) -> None:
    """When a promise is settled and not all are woken it has its row; when the last is woken the row goes."""
    environment = town.environment
    key = oplog_key(1, 16)
    settled = e.Settled(town.now + 1, OplogIndex(16), e.Value(b"1"), "cli")
    changes = rows_of([Appended(1, OplogIndex(22), settled)], before(environment))
    assert changes[Table.RUNNABLE][key] == b""

    Environment.commit(environment, changes)
    woken = [
        Appended(1, OplogIndex(23), e.Ended(town.now + 2, OplogIndex(17), e.SameAs(OplogIndex(22)))),
        Appended(3, OplogIndex(5), e.Ended(town.now + 2, OplogIndex(3), e.Value(b"1"))),
    ]
    assert rows_of(woken[:1], before(environment))[Table.RUNNABLE].get(key, b"") == b""
    assert rows_of(woken, before(environment))[Table.RUNNABLE][key] is None


def test_a_call_that_has_ended_is_abandoned_without_rows(town: Town) -> None:
    """An `Abandoned` after its `Ended` takes nothing back a second time."""
    ended = Appended(1, OplogIndex(22), e.Ended(town.now + 1, OplogIndex(18), e.Value(b"1")))
    abandoned = Appended(1, OplogIndex(23), e.Abandoned(town.now + 2, OplogIndex(18)))

    together = rows_of([ended, abandoned], before(town.environment))
    assert together[Table.WORKERS] != rows_of([ended], before(town.environment))[Table.WORKERS]
    with pytest.raises(OplogCorrupt):
        rows_of([Appended(1, OplogIndex(24), abandoned.entry)], before(town.environment))
    with pytest.raises(OplogCorrupt, match="no worker 99"):
        rows_of([Appended(99, OplogIndex(1), ended.entry)], before(town.environment))
