"""Comparing: a derived row with a flipped bit is found when it is used, before anything is built upon it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promissory.oplog import entries as e
from promissory.oplog import fold
from promissory.oplog.comparing import check_absent, check_found, check_invocation, check_worker
from promissory.oplog.errors import OplogCorrupt
from promissory.oplog.ids import OplogIndex, WorkerId, component_id
from promissory.oplog.tables import Table, WorkerRow, idempotency_key, worker_id_key, worker_key

Town = Any
"""The `Scribe` of the fixture `town`."""

EACH_EXAMPLE_PUTS_IT_BACK = [HealthCheck.function_scoped_fixture]
HELD_AGAINST = (Table.WORKER_IDS, Table.PROMISES, Table.IDEMPOTENCY, Table.TIMERS, Table.WAITERS)


def row_of(town: Town, ordinal: int) -> WorkerRow:
    return WorkerRow.decode(ordinal, town.environment.get(Table.WORKERS, worker_key(ordinal)))


def held(town: Town, ordinal: int, row: WorkerRow | None = None) -> None:
    row = row or row_of(town, ordinal)
    entries = [town.entry(ordinal, index) for index in range(row.life, row.last + 1)]
    check_worker(row, entries, town.get, town.ids.get)


def test_sound_workers_pass(town: Town) -> None:
    """The rows of workers in every situation are what their oplogs say, in a second life too."""
    for ordinal in town.rows:
        held(town, ordinal)


def test_rows_that_are_not_written_yet_pass(town: Town) -> None:
    """A worker whose row is written at the end of the batch is compared as it is in memory."""
    town.add(1, e.Resumed, "cli")
    row = row_of(town, 1)
    fold.apply(row, row.last + 1, town.entry(1, 22), None, town.ids.get, lambda *_: None)

    held(town, 1, row)


@given(data=st.data())
@settings(suppress_health_check=EACH_EXAMPLE_PUTS_IT_BACK, deadline=None)
def test_a_flipped_bit_of_a_workers_row_is_found(town: Town, data: st.DataObject) -> None:
    """Whatever bit of a worker's row is flipped, the row is refused or differs from its oplog."""
    ordinal = data.draw(st.sampled_from([1, 3, 5, 6, 7]))
    raw = bytearray(town.environment.get(Table.WORKERS, worker_key(ordinal)))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8

    def use() -> None:
        row = WorkerRow.decode(ordinal, bytes(raw))
        check_found(town.rows[ordinal].worker_id, ordinal, row)
        entries = [town.entry(ordinal, index) for index in range(1, town.rows[ordinal].last + 1)]
        check_worker(row, entries[max(row.life - 1, 0) :], town.get, town.ids.get)

    with pytest.raises(OplogCorrupt):
        use()


@pytest.mark.parametrize("table", HELD_AGAINST)
@pytest.mark.parametrize("is_lost", [True, False])
def test_each_lost_or_changed_row_is_found(town: Town, table: Table, is_lost: bool) -> None:
    """Every row that a worker's entries ask for is missed when it is gone or other than asked."""
    places = {Table.TIMERS: 8, Table.WAITERS: 16}
    for key, row in list(town.environment.scan(table)):
        if not row and not is_lost:
            continue
        at = places.get(table, 0)
        ordinal = int.from_bytes(row if table is Table.WORKER_IDS else key[at : at + 8], "big")
        town.environment.commit({table: {key: None if is_lost else row[:-1] + b"\x7f"}})
        with pytest.raises(OplogCorrupt, match=table.name.lower()) as caught:
            held(town, ordinal)
        assert caught.value.worker == str(town.rows[ordinal].worker_id)
        town.environment.commit({table: {key: row}})


def test_an_entry_that_cannot_stand_there_is_named(town: Town) -> None:
    """An entry against the rules of a life is refused with worker and index."""
    row = row_of(town, 1)
    entries = [town.entry(1, index) for index in range(1, 22)]
    entries[19] = e.Ended(entries[19].timestamp, OplogIndex(4), e.Value(None))

    with pytest.raises(OplogCorrupt, match="entry 20: call 4 has ended already") as caught:
        check_worker(row, entries, town.get, town.ids.get)
    assert (caught.value.index, caught.value.worker) == (20, str(row.worker_id))


def test_what_is_found_is_who_was_looked_for(town: Town) -> None:
    """An id that leads to another worker, or to none, is damage and not an answer."""
    row = row_of(town, 1)

    assert check_found(row.worker_id, 1, row) is row
    for other in (row_of(town, 3), None):
        with pytest.raises(OplogCorrupt, match="verify --repair"):
            check_found(row.worker_id, 3, other)


@given(data=st.data())
@settings(suppress_health_check=EACH_EXAMPLE_PUTS_IT_BACK, deadline=None)
def test_a_flipped_bit_of_an_id_hides_nobody(town: Town, data: st.DataObject) -> None:
    """A worker whose key in `worker_ids` has any bit flipped where it stands is not taken for one that never was."""
    rows = list(town.environment.scan(Table.WORKER_IDS))
    place = data.draw(st.integers(0, len(rows) - 1))
    key = rows[place][0]
    bit = data.draw(st.integers(0, 8 * len(key) - 1))
    flipped = bytearray(key)
    flipped[bit // 8] ^= 1 << bit % 8
    name = key[16:].decode(errors="replace")
    if key[16:17] == b"\0":
        return
    keys = [found for found, _ in rows]
    keys[place] = bytes(flipped)

    class Page:
        """A page as LMDB searches it, with the flipped key in its old place."""

        def beside(self, table: Table, key: bytes) -> list[tuple[bytes, bytes]]:
            low, high = 0, len(keys)
            while low < high:
                middle = (low + high) // 2
                low, high = (middle + 1, high) if keys[middle] < key else (low, middle)
            return [(keys[at], rows[at][1]) for at in (low - 1, low) if 0 <= at < len(keys)]

        def get(self, table: Table, key: bytes) -> bytes | None:
            row: bytes | None = town.environment.get(table, key)
            return row

    with pytest.raises(OplogCorrupt, match="may be there"):
        check_absent(Page(), WorkerId(town.rows[int.from_bytes(rows[place][1], "big")].worker_id.component_id, name))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a", "zzz", "order/70"])
def test_who_never_was_may_be_made(town: Town, name: str) -> None:
    """Beside sound rows a new worker may begin its life, wherever its id comes to stand."""
    for component in (component_id("approval"), component_id("other"), component_id("durable-promise")):
        with town.environment.snapshot() as snapshot:
            check_absent(snapshot, WorkerId(component, name))
    with town.environment.snapshot() as snapshot:
        for neighbour in town.ids:
            assert snapshot.beside(Table.WORKER_IDS, worker_id_key(neighbour))[0][0] == worker_id_key(neighbour)


def test_a_key_stands_for_its_invocation(town: Town) -> None:
    """A row of `idempotency` that leads to another entry is damage."""
    key = idempotency_key(1, "submit", "first")

    assert check_invocation(1, key, 2, town.entry(1, 2)) == town.entry(1, 2)
    for index in (3, 14):
        with pytest.raises(OplogCorrupt, match=f"entry {index}"):
            check_invocation(1, key, index, town.entry(1, index))
