"""Reading: every entry, in order, with the outcome that it shares in its place; what is missing or wrong is named."""

from __future__ import annotations

from typing import Any

import pytest

from promissory.oplog import entries as e
from promissory.oplog import reading
from promissory.oplog.check import check
from promissory.oplog.errors import NewerFormat, OplogCorrupt
from promissory.oplog.ids import OplogIndex
from promissory.oplog.tables import Table, oplog_key

Town = Any
"""The `Scribe` of the fixture `town`."""


class Store:
    """The oplogs of a town, of which the last entries of a worker may not be durable yet."""

    def __init__(self, town: Town, last: int = 1_000) -> None:
        self._town = town
        self._last = last
        self.gets_count = 0

    def get(self, key: bytes) -> bytes | None:
        self.gets_count += 1
        record: bytes | None = self._town.get(Table.OPLOG, key)
        return record

    def run(self, first: bytes, count: int) -> list[tuple[bytes, bytes]]:
        rows = self._town.environment.read_run(Table.OPLOG, first, count)
        return [row for row in rows if int.from_bytes(row[0][8:], "big") <= self._last]


def read(store: Store, ordinal: int, first: int, last: int) -> list[e.Entry]:
    return reading.entries(store.get, store.run, ordinal, first, last)


@pytest.mark.parametrize("durable", [0, 1, 5, 8, 9, 20, 21])
def test_entries_come_whole_wherever_they_lie(town: Town, durable: int) -> None:
    """The same entries come from a store that has any number of them durable; none that is is asked for singly."""
    store = Store(town, durable)

    found = read(store, 1, 1, 21)

    assert found[8] == e.Ended(found[8].timestamp, OplogIndex(5), e.Value(b"yes"))
    assert found[:8] + found[9:] == [town.entry(1, index) for index in range(1, 22) if index != 9]
    assert store.gets_count == 21 - durable


def test_an_outcome_before_the_slice_is_found(town: Town) -> None:
    """An `Ended` may share the outcome of an entry that stands before what is read."""
    assert read(Store(town), 1, 9, 10)[0].outcome == e.Value(b"yes")  # type: ignore[attr-defined]


def test_the_outcome_of_an_invocation_can_be_shared(town: Town) -> None:
    """A worker that waited for its own earlier invocation has the outcome of its `Completed`, as FORMAT.md says."""
    town.add(1, e.Resumed, "cli")
    wait = town.start(1, 14, e.AwaitPromise(None, OplogIndex(2)))
    ended = town.add(1, e.Ended, wait, e.SameAs(OplogIndex(12)))
    town.commit()
    store = Store(town)

    assert read(store, 1, ended, ended)[0].outcome == e.Value(b'"yes"')  # type: ignore[attr-defined]
    assert reading.resolved(store.get, 1, town.entry(1, ended)).outcome == e.Value(b'"yes"')
    assert list(check(town.environment)) == []


def test_what_has_no_outcome_cannot_be_shared(town: Town) -> None:
    """A reference to an entry of another kind is corrupt, whether or not it is in the slice."""
    ended = e.Ended(5, OplogIndex(5), e.SameAs(OplogIndex(7)))

    with pytest.raises(OplogCorrupt, match="entry 7 has no outcome"):
        reading.resolved(Store(town).get, 1, ended)


@pytest.mark.parametrize("index", [1, 7, 21])
@pytest.mark.parametrize(
    ("record", "message", "error"),
    [(None, "is missing", OplogCorrupt), (b"bad", "3 bytes", OplogCorrupt), (b"\x7f12345", "version", NewerFormat)],
)
def test_a_bad_entry_is_named(
    town: Town, index: int, record: bytes | None, message: str, error: type[Exception]
) -> None:
    """An entry that is missing or cannot be read is told by its index, however it is read."""
    key = oplog_key(1, index)
    town.environment.commit({Table.OPLOG: {key: record}})
    store = Store(town)

    with pytest.raises(error, match=f"entry {index}.*{message}") as caught:
        read(store, 1, 1, 21)
    assert caught.value.index == index  # type: ignore[attr-defined]
    if record is not None:
        with pytest.raises(error, match=f"entry {index}.*{message}"):
            list(reading.recorded(town.environment.scan(Table.OPLOG)))


def test_entries_are_shown_as_recorded(town: Town) -> None:
    """For people a shared outcome stays the reference that it is."""
    found = dict(reading.recorded(Store(town).run(oplog_key(1, 1), 21)))

    assert found[OplogIndex(9)].outcome == e.SameAs(OplogIndex(8))  # type: ignore[attr-defined]
