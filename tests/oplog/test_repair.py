"""Repair: whatever happened to the derived rows, they are again what the oplogs say; oplogs are never touched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from promissory.oplog import repair as module
from promissory.oplog.check import check
from promissory.oplog.environment import Environment
from promissory.oplog.errors import StoreFailed
from promissory.oplog.ids import WorkerId, component_id
from promissory.oplog.repair import repair
from promissory.oplog.tables import DERIVED, Table, WorkerRow, oplog_key, worker_id_key, worker_key
from tests.oplog.damage import Damage, damages

Town = Any
"""The `Scribe` of the fixture `town`."""

Tables = dict[Table, list[tuple[bytes, bytes]]]
EACH_EXAMPLE_PUTS_IT_BACK = [HealthCheck.function_scoped_fixture]


def tables(environment: Environment) -> Tables:
    return {table: list(environment.scan(table)) for table in Table}


def put_back(environment: Environment, before: Tables) -> None:
    for table in Table:
        rows: dict[bytes, bytes | None] = {key: None for key, _ in environment.scan(table)}
        environment.commit({table: {**rows, **dict(before[table])}})


@given(done=damages())
@settings(max_examples=60, suppress_health_check=EACH_EXAMPLE_PUTS_IT_BACK, deadline=None)
def test_any_damage_to_derived_rows_is_mended(town: Town, done: list[Damage]) -> None:
    """Whatever derived rows are lost, changed or added, a repair gives exactly the tables before."""
    before = tables(town.environment)
    for damage in done:
        damage(town.environment)
    damaged = tables(town.environment)

    mended = repair(town.environment)

    assert tables(town.environment) == before
    assert (mended > 0) == (damaged != before)
    assert repair(town.environment) == 0


def test_all_derived_tables_lost(town: Town) -> None:
    """From the oplogs alone every derived row comes back, and nothing is found."""
    before = tables(town.environment)
    for table in DERIVED:
        town.environment.commit({table: dict.fromkeys((key for key, _ in before[table]))})

    assert repair(town.environment) == sum(len(before[table]) for table in DERIVED)
    assert tables(town.environment) == before


class Crashing:
    """An environment whose commits end with the one of a number."""

    def __init__(self, environment: Environment, last: int) -> None:
        self._environment = environment
        self._left = last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environment, name)

    def commit(self, changes: Any) -> None:
        if not self._left:
            raise StoreFailed("a crash to order")
        self._left -= 1
        self._environment.commit(changes)


@pytest.mark.parametrize("last", range(0, 45, 7))
def test_a_repair_that_is_cut_short_is_ended_by_the_next(
    town: Town, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    """A crash at any commit of a repair leaves what a second run mends to the same tables."""
    monkeypatch.setattr(module, "BATCH_ROWS_MAX", 1)
    before = tables(town.environment)
    for table in DERIVED:
        town.environment.commit({table: {key: row[:-1] + b"\x07" for key, row in before[table] if row}})
        town.environment.commit({table: {key: None for key, row in before[table] if not row}})

    with pytest.raises(StoreFailed):
        repair(Crashing(town.environment, last))  # type: ignore[arg-type]
    repair(town.environment)

    assert tables(town.environment) == before


def rows_of_others(tables: Tables, ordinal: int) -> Iterator[tuple[Table, bytes, bytes]]:
    """Iterate over the derived rows that the oplogs of other workers ask for."""
    places = {Table.TIMERS: 8, Table.WAITERS: 16, Table.BY_STATUS: 25}
    for table in DERIVED:
        for key, row in tables[table]:
            at = places.get(table, 0)
            whose = row if table is Table.WORKER_IDS else key[at : at + 8]
            if int.from_bytes(whose, "big") != ordinal:
                yield table, key, row


@pytest.mark.parametrize(("ordinal", "index"), [(1, 1), (1, 9), (2, 4), (3, 3), (5, 1), (6, 2), (7, 1)])
def test_a_damaged_entry_is_kept_and_costs_no_other_worker(town: Town, ordinal: int, index: int) -> None:
    """With an entry that cannot be read and every derived row lost, the rows of all others come back; it is named."""
    before = tables(town.environment)
    place = oplog_key(ordinal, index)

    def is_lost(item: tuple[Table, bytes, bytes]) -> bool:
        """Whether it is a wait for the damaged worker when nothing says any more who that is."""
        is_wait = item[0] is Table.WAITERS and int.from_bytes(item[1][:8], "big") == ordinal
        return is_wait and place == next(key for key, _ in before[Table.OPLOG] if key[:8] == place[:8])

    town.environment.commit({Table.OPLOG: {place: b"bad"}})
    for table in DERIVED:
        town.environment.commit({table: dict.fromkeys((key for key, _ in before[table]))})

    repair(town.environment)

    after = tables(town.environment)
    assert town.environment.get(Table.OPLOG, place) == b"bad"
    assert [item for item in rows_of_others(after, ordinal) if item[0] is not Table.RUNNABLE] == [
        item for item in rows_of_others(before, ordinal) if item[0] is not Table.RUNNABLE and not is_lost(item)
    ]
    assert next((finding.kind, finding.index) for finding in check(town.environment)) == ("record", index)
    assert repair(town.environment) == 0


def test_the_rows_of_a_damaged_worker_stay(town: Town) -> None:
    """Of a worker with a damaged entry every row stays as it is."""
    town.environment.commit({Table.OPLOG: {oplog_key(1, 9): b"bad"}})
    before = tables(town.environment)

    assert repair(town.environment) == 0
    assert tables(town.environment) == before


@pytest.mark.parametrize("change", ["lost", "another's", "too short", "behind"])
def test_a_damaged_worker_whose_row_cannot_be_right_is_paused(town: Town, change: str) -> None:
    """No life begins anew upon entries that are there: the worker is found, paused, at its last index."""
    row = WorkerRow.decode(1, town.environment.get(Table.WORKERS, worker_key(1)))
    rows = {"lost": None, "too short": b"x"}
    if change == "another's":
        row.worker_id = WorkerId(component_id("approval"), "else")
    row.last -= change == "behind"
    town.environment.commit(
        {
            Table.OPLOG: {oplog_key(1, 9): b"bad"},
            Table.WORKERS: {worker_key(1): rows.get(change, row.encode())},
            Table.WORKER_IDS: {worker_id_key(town.rows[1].worker_id): None},
        }
    )

    repair(town.environment)

    found = WorkerRow.decode(1, town.environment.get(Table.WORKERS, worker_key(1)))
    assert (found.worker_id, found.status, found.life, found.last) == (town.rows[1].worker_id, "paused", 1, 21)
    assert town.environment.get(Table.WORKER_IDS, worker_id_key(found.worker_id)) == worker_key(1)


def test_keys_that_are_no_workers_are_kept(tmp_path: Path) -> None:
    """A key of the oplog that no writer makes is named and kept."""
    with Environment(tmp_path / "data") as environment:
        environment.commit({Table.OPLOG: {b"short": b"x", b"\xff" * 16: b"y"}})

        assert repair(environment) == 0
        assert [finding.kind for finding in check(environment)] == ["key", "record"]
