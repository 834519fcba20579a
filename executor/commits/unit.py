"""A unit: what one event appends, with its effects inside this executor; kept whole, or dropped whole.

1. Every row is put into a unit, and every unit into the open batch. There is no await within one, so a batch is sealed
   between units only and a commit never splits one.
2. An exception that leaves the block drops the unit: its rows are taken back, newest first, and whoever changed
   something in memory on its behalf undoes that. The other units of the batch notice nothing.
3. What may only happen if the unit is kept, a waiting client that is told for one, is registered with `on_kept`.

A unit that is opened within another is part of it: the outermost block decides. bbolt's `Tx` is the model: begin,
commit and rollback are an object there and not a habit.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from promissory.oplog.tables import Table

if TYPE_CHECKING:
    from promissory.executor.commits.record import Batch, Durable, Record

_WAITERS = Table.WAITERS
ABSENT = object()
"""Stands for the former value of a row that the batch did not have."""


class Unit:
    """One unit; `Record.unit` opens it, as a context manager.

    Args:
      record: where it belongs.
      batch: the open batch, which holds its rows from the first on.
    """

    __slots__ = (
        "_appended_count",
        "_batch",
        "_bytes_count",
        "_entries_count",
        "_record",
        "durable",
        "former",
        "kept",
        "undo",
    )

    def __init__(self, record: Record, batch: Batch) -> None:
        self._record = record
        self._batch = batch
        self._entries_count = batch.entries_count
        self._bytes_count = batch.bytes_count
        self._appended_count = record.appended_count
        self.former: list[tuple[Table, bytes, object]] = []
        """The rows that it changed, as the batch had them before, in order."""
        self.undo: list[Callable[[], None]] = []
        """Called if the unit is dropped, the newest first."""
        self.kept: list[Callable[[], None]] = []
        """Called once the unit is whole, in order; they may register with `when_durable`."""
        self.durable: list[tuple[Durable, bool]] = []
        """Called when it is durable; dropped with it. The flag: whether somebody waits."""

    def __enter__(self) -> Unit:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is None:
            self._record.keep(self)
        else:
            self._take_back()
            self._record.dropped(self)

    def _take_back(self) -> None:
        batch = self._batch
        for table, key, row in reversed(self.former):
            if row is not ABSENT:
                batch.changes[table][key] = row  # type: ignore[assignment]
                continue
            del batch.changes[table][key]
            if table is _WAITERS:
                keys = batch.waits[key[:16]]
                keys.discard(key)
                if not keys:
                    del batch.waits[key[:16]]
        batch.entries_count = self._entries_count
        batch.bytes_count = self._bytes_count
        self._record.appended_count = self._appended_count


class Part:
    """A block within an open unit: the unit goes on after it, or is dropped by the exception that leaves both."""

    __slots__ = ("_unit",)

    def __init__(self, unit: Unit) -> None:
        self._unit = unit

    def __enter__(self) -> Unit:
        return self._unit

    def __exit__(self, *_: object) -> None:
        pass
