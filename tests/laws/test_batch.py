"""The law of copies: the entries of a batch and the rows before it say every row that the executor commits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from promissory.oplog.batch import Appended, Changes, Gone, rows_of
from promissory.oplog.codec import decode_entry
from promissory.oplog.environment import Environment, prefix_end
from promissory.oplog.ids import OplogIndex
from promissory.oplog.tables import DERIVED, PAIR, Table
from tests.laws import conftest

Stage = Any
"""The fixture of that name in conftest."""


class Durable:
    """The tables of an environment before a commit."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def get(self, table: Table, key: bytes) -> bytes | None:
        return self._environment.get(table, key)

    def keys(self, table: Table, prefix: bytes) -> Iterable[bytes]:
        return [key for key, _ in self._environment.scan(table, prefix, prefix_end(prefix))]


def batch_of(changes: Changes, environment: Environment) -> list[Appended | Gone]:
    """Return the entries that a commit appends, in their order, and the workers of which it leaves nothing."""
    batch: list[Appended | Gone] = []
    for key, record in changes.get(Table.OPLOG, {}).items():
        if record is not None:
            ordinal, index = PAIR.unpack(key)
            batch.append(Appended(ordinal, OplogIndex(index), decode_entry(key, record)))
    for key, row in changes.get(Table.WORKERS, {}).items():
        if row is None and environment.get(Table.WORKERS, key) is not None:
            batch.append(Gone(int.from_bytes(key, "big")))
    return batch


def differences(changes: Changes, computed: Changes, environment: Environment) -> list[Any]:
    """Return the rows that two sets of changes leave differently."""
    found = []
    for table in (*DERIVED, Table.OPLOG):
        one, other = changes.get(table, {}), computed[table]
        for key in {*one, *other}:
            before = environment.get(table, key)
            left, right = one.get(key, before), other.get(key, before)
            if left != right:
                found.append((table.name, key.hex(), left, right))
    return found


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_every_row_of_a_commit_follows_from_its_entries(stage: Stage, data: st.DataObject) -> None:
    """Whatever an executor commits, a copy that has the entries alone computes the same rows."""
    found: list[Any] = []
    entries_count = 0
    seam = conftest.Store.seam

    def held(store: Any, environment: Environment) -> Any:
        commit = seam(store, environment)

        def compare(changes: Any, written: Callable[[], None] | None = None) -> None:
            nonlocal entries_count
            batch = batch_of(changes, environment)
            entries_count += len(batch)
            found.extend(differences(changes, rows_of(batch, Durable(environment)), environment))
            commit(changes, written)

        return compare

    conftest.Store.seam = held  # type: ignore[method-assign]
    try:
        stage.play(data.draw(stage.scenarios()))
    finally:
        conftest.Store.seam = seam  # type: ignore[method-assign]
    assert found == []
    assert entries_count > 0
