"""Forgetting: what a life asked for is taken back row by row, and nothing of anybody else."""

from __future__ import annotations

from typing import Any

import pytest

from promissory.oplog import entries as e
from promissory.oplog.check import check
from promissory.oplog.fold import waking
from promissory.oplog.forgetting import forget_life, forget_worker
from promissory.oplog.tables import DERIVED, Table, oplog_key

Town = Any
"""The `Scribe` of the fixture `town`."""

PLACES = {Table.TIMERS: 8, Table.WAITERS: 16, Table.BY_STATUS: 25}


def rows_of(town: Town, ordinal: int) -> dict[Table, list[bytes]]:
    """Return the keys of the derived rows that a worker's own oplog asks for."""
    found: dict[Table, list[bytes]] = {}
    for table in DERIVED:
        for key, row in town.environment.scan(table):
            at = PLACES.get(table, 0)
            if int.from_bytes(row if table is Table.WORKER_IDS else key[at : at + 8], "big") == ordinal:
                found.setdefault(table, []).append(key)
    return found


def forget(town: Town, ordinal: int) -> list[int]:
    row = town.rows[ordinal]
    entries = [(index, town.entry(ordinal, index)) for index in range(row.life, row.last + 1)]
    invoked = {index: entry for index, entry in entries if type(entry) is e.Invoked}
    return forget_life(row, entries, invoked.get, town.ids.get, town.put)


@pytest.mark.parametrize(("ordinal", "settleable"), [(2, []), (3, [2]), (5, [2]), (8, [3])])
def test_a_life_that_is_forgotten_leaves_its_removed(town: Town, ordinal: int, settleable: list[int]) -> None:
    """After a deletion only the `Removed` and the rows that find it are left, and the record is sound."""
    assert forget(town, ordinal) == settleable
    town.add(ordinal, e.Removed, town.rows[ordinal].worker_id, "test")
    town.commit()

    assert set(rows_of(town, ordinal)) == {Table.WORKERS, Table.WORKER_IDS}
    assert list(check(town.environment)) == []


def test_every_row_of_a_busy_worker_goes(town: Town) -> None:
    """Of a worker with promises, timers, waits and a retry every row goes but its own; its waiters stay to be told."""
    assert forget(town, 1) == [2, 3, 14, 15, 16]
    town.add(1, e.Removed, town.rows[1].worker_id, "test")
    for index in (14, 16):
        waking(1, index, True, town.put)
    town.commit()

    assert set(rows_of(town, 1)) == {Table.WORKERS, Table.WORKER_IDS, Table.RUNNABLE}
    assert list(check(town.environment)) == []


def test_an_ephemeral_worker_leaves_nothing(town: Town) -> None:
    """Of an ephemeral worker no entry and no row is left in any table."""
    invoked = town.entry(6, 2)
    forget(town, 6)
    forget_worker(town.rows[6], invoked, town.put)
    del town.rows[6]
    town.commit()

    assert rows_of(town, 6) == {}
    assert list(check(town.environment)) == []


def test_a_waking_comes_and_goes(town: Town) -> None:
    """A promise that has its outcome is runnable as long as somebody waits for it."""
    key = oplog_key(1, 16)
    waking(1, 16, True, town.put)
    assert town.get(Table.RUNNABLE, key) == b""
    waking(1, 16, False, town.put)
    assert town.get(Table.RUNNABLE, key) is None
