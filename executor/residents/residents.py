"""The workers in memory: found or created, appended to, and dropped again when they have rested long enough.

An `Activation` is what is in memory of one worker: always its row, and its player once it has been replayed. Every
entry of every worker goes through `Residents.append` or `deliver`, within a unit, so rows, players and oplogs cannot
part. The workers that a dropped unit had touched lose their players and are as they were before it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from promissory.executor.commits.record import Record
from promissory.oplog import fold
from promissory.oplog.comparing import check_absent, check_found
from promissory.oplog.entries import (
    Abandoned,
    Cancelled,
    Completed,
    Created,
    Deleted,
    Ended,
    Entry,
    Invoked,
    Settled,
    Started,
)
from promissory.oplog.errors import PromissoryError
from promissory.oplog.ids import OplogIndex, WorkerId
from promissory.oplog.tables import Condition, WorkerRow

if TYPE_CHECKING:
    from promissory.workers.machine.player import Player


Answer = Callable[["bytes | None", "PromissoryError | None"], None]
"""Called once: with the JSON of the result, or with the error."""


class Query:
    """One query that waits for its worker to be read back."""

    __slots__ = ("answer", "function", "is_inside", "params")

    def __init__(self, function: str, params: bytes, answer: Answer, is_inside: bool) -> None:
        self.function = function
        self.params = params
        self.answer = answer
        self.is_inside = is_inside


class Activation:
    """One worker in memory."""

    __slots__ = (
        "batch_number",
        "fed",
        "is_changed",
        "is_loaded",
        "is_queued",
        "is_retry_due",
        "last_used",
        "load_began",
        "open",
        "path",
        "player",
        "queries",
        "row",
        "runnable_row",
        "unit_number",
    )

    def __init__(self, row: WorkerRow, path: str) -> None:
        self.row = row
        self.path = path
        """COMPONENT/NAME, for people."""
        self.runnable_row = row.is_runnable
        """Whether its `RUNNABLE` row stands, as appended."""
        self.player: Player | None = None
        self.is_loaded = False
        """Whether the player has seen every entry; what is appended from then on is fed to it."""
        self.fed = 0
        """The last index that the player has seen while it is being loaded."""
        self.open: dict[int, Entry] = {}
        """What later entries may refer to, by index: open `Started`s, pending promises and invocations. Complete
        only when loaded."""
        self.is_queued = False
        self.is_retry_due = False
        """Whether the time of the next attempt has come."""
        self.is_changed = False
        """Whether the open batch lacks its row."""
        self.batch_number = 0
        """The batch that holds its last entry."""
        self.unit_number = 0
        """The unit that touched it last."""
        self.last_used = 0
        self.load_began = 0
        self.queries: deque[Query] = deque()

    @property
    def ordinal(self) -> int:
        """The worker's ordinal."""
        return self.row.ordinal

    def unload(self) -> None:
        """Drop the player; what it did and is not appended never was."""
        if self.player is not None:
            self.player.close()
        self.player = None
        self.is_loaded = False
        self.fed = 0
        self.open = {}


class Residents:
    """All workers in memory.

    Args:
      record: where entries are appended.
      path_of: gives a worker's COMPONENT/NAME.
      memory_max: how many to keep; beyond it the least recently used leave, if they are at rest.
    """

    def __init__(self, record: Record, path_of: Callable[[WorkerId], str], memory_max: int) -> None:
        self._record = record
        self._path_of = path_of
        self._memory_max = memory_max
        self._by_ordinal: OrderedDict[int, Activation] = OrderedDict()
        self._by_id: dict[WorkerId, Activation] = {}
        self._changed: list[Activation] = []
        """Those whose rows the open batch still lacks."""
        record.before_seal = self.write_rows
        self.ready: deque[Activation] = deque()
        """Those that have something to do, in the order they got it."""
        self.on_ready: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        return len(self._by_ordinal)

    def __iter__(self) -> Iterator[Activation]:
        return iter(self._by_ordinal.values())

    # Finding.

    def find(self, worker_id: WorkerId) -> Activation | None:
        """Return a worker that is, or once was and is deleted; None if there never was one.

        Raises:
          OplogCorrupt: what is found is another worker, or a damaged row may hide this one.
        """
        activation = self._by_id.get(worker_id)
        if activation is not None:
            self._by_ordinal.move_to_end(activation.row.ordinal)
            return activation
        ordinal = self._record.ordinal_of(worker_id)
        if ordinal is None:
            with self._record.environment.snapshot() as snapshot:
                check_absent(snapshot, worker_id)
            return None
        activation = self.get(ordinal)
        check_found(worker_id, ordinal, None if activation is None else activation.row)
        return activation

    def get(self, ordinal: int) -> Activation | None:
        """Return the worker of an ordinal; None if there is none."""
        activation = self._by_ordinal.get(ordinal)
        if activation is not None:
            self._by_ordinal.move_to_end(ordinal)
            return activation
        row = self._record.worker_row(ordinal)
        return None if row is None else self._admit(row)

    def _admit(self, row: WorkerRow) -> Activation:
        activation = Activation(row, self._path_of(row.worker_id))
        self._by_ordinal[row.ordinal] = activation
        self._by_id[row.worker_id] = activation
        return activation

    def create(self, created: Created, former: Activation | None) -> Activation:
        """Begin a life of a worker: its first, or the next after the former one, as `find` gives it, was deleted."""
        activation = former or self._admit(WorkerRow(self._record.new_ordinal(), created.worker_id))
        self.append(activation, created)
        return activation

    def _touch(self, activation: Activation) -> None:
        """Have a worker be again, if the open unit is dropped, as it is now."""
        activation.unit_number = self._record.unit_number
        row = activation.row
        self._record.on_dropped(partial(self._restore, activation, row.numbers(), activation.is_changed))

    def _restore(self, activation: Activation, numbers: tuple[int, ...], was_changed: bool) -> None:
        """Undo what a dropped unit did to a worker; its player, which may have seen it, is gone."""
        activation.unload()
        row = activation.row
        row.restore(numbers)
        if activation.is_changed and not was_changed:
            self._changed.remove(activation)
        elif was_changed and not activation.is_changed:
            self._changed.append(activation)
        activation.is_changed = was_changed
        if not row.last:
            # It was created in that unit: there is no such worker.
            self._by_ordinal.pop(row.ordinal, None)
            self._by_id.pop(row.worker_id, None)
            return
        self._by_ordinal[row.ordinal] = activation
        self._by_id[row.worker_id] = activation
        if row.is_runnable or activation.queries:
            self.push(activation)

    # Appending.

    def append(self, activation: Activation, entry: Entry, known: Entry | None = None) -> OplogIndex:
        """Append an entry to a worker's oplog as part of the open unit; the player does not see it.

        Args:
          activation: the worker.
          entry: what to append.
          known: what stands for the entry that it refers to, if the caller knows that from rows: it is not read then.

        Raises:
          OplogCorrupt: the entry that it refers to cannot be read.
        """
        if activation.unit_number != self._record.unit_number:
            self._touch(activation)
        kind = type(entry)
        start = self._start_of(activation, entry, known) if kind in _REFERRING else None
        index = self._record.append(activation.row, entry, start)
        if activation.is_loaded and kind in _OPENING:
            activation.open[index] = entry
        activation.batch_number = self._record.batch.number
        if not activation.is_changed:
            activation.is_changed = True
            self._changed.append(activation)
        return index

    def deliver(
        self, activation: Activation, entry: Entry, whole: Entry | None = None, known: Entry | None = None
    ) -> OplogIndex:
        """Append an input and let the worker apply it in its turn.

        Args:
          activation: the worker.
          entry: what to append.
          whole: the same with its outcome in place, if the entry only refers to it.
          known: as for `append`.
        """
        index = self.append(activation, entry, known)
        if activation.is_loaded and activation.player is not None:
            activation.player.feed(index, whole or entry)
        self.push(activation)
        return index

    def _start_of(self, activation: Activation, entry: Entry, known: Entry | None) -> Entry | None:
        """Return the entry that this one refers to, and forget it if this one closes it."""
        kind = type(entry)
        if kind is Ended:
            found = activation.open.get(entry.start)  # type: ignore[attr-defined]
            if type(found) is Started:
                del activation.open[entry.start]  # type: ignore[attr-defined]
            index = entry.start  # type: ignore[attr-defined]
        elif kind is Completed:
            index = entry.invocation  # type: ignore[attr-defined]
            found = activation.open.pop(index, None)
        elif kind is Abandoned:
            # Not open any more: its `Ended` waits to be applied, and the step that abandons it does not know.
            return activation.open.pop(entry.start, None)  # type: ignore[attr-defined]
        elif kind is Settled or kind is Deleted:
            index = entry.promise  # type: ignore[attr-defined]
            found = activation.open.get(index)
        elif kind is Cancelled:
            index = entry.invocation  # type: ignore[attr-defined]
            found = activation.open.get(index)
        else:
            return None
        found = found or known
        return found if found is not None else self._record.entry(activation.row.ordinal, index)

    def write_rows(self) -> None:
        """Write the rows of the workers that the open batch changed, once each; called before it is sealed."""
        for activation in self._changed:
            activation.is_changed = False
            activation.runnable_row = fold.refresh(
                activation.row, activation.runnable_row, self._record.put_between_units
            )
        self._changed.clear()

    def push(self, activation: Activation) -> None:
        """Have the engine look at a worker."""
        if not activation.is_queued:
            activation.is_queued = True
            if not self.ready:
                self.on_ready()
            self.ready.append(activation)

    def seen(self, activation: Activation, first: OplogIndex, entries: list[Entry]) -> None:
        """Account for recorded entries that were fed to the player, so that later ones can refer to them."""
        open_ = activation.open
        for index, entry in enumerate(entries, first):
            kind = type(entry)
            if kind is Started or kind is Invoked:
                open_[index] = entry
            elif kind is Ended or kind is Abandoned:
                open_.pop(entry.start, None)  # type: ignore[attr-defined]
            elif kind is Completed:
                open_.pop(entry.invocation, None)  # type: ignore[attr-defined]
            elif kind is Settled or kind is Deleted:
                open_.pop(entry.promise, None)  # type: ignore[attr-defined]

    # Leaving memory.

    def make_room(self) -> None:
        """Drop the least recently used of those at rest, as far as there are too many.

        Call it between units and turns only: whoever is in the middle of one may be at rest.
        """
        excess = len(self._by_ordinal) - self._memory_max
        if excess > 0:
            resting = [a for _, a in zip(range(excess + 64), self._by_ordinal.values(), strict=False) if at_rest(a)]
            for activation in resting[:excess]:
                self.drop(activation)

    def drop_idle(self, before: int) -> int | None:
        """Drop the workers at rest that were last used before a time, in microseconds.

        Returns:
          When the next one will have been idle since `before`'s distance: its last use, or None if there is none.
        """
        idle: list[Activation] = []
        oldest: int | None = None
        for activation in self._by_ordinal.values():
            if activation.last_used > before:
                oldest = activation.last_used
                break
            if at_rest(activation):
                idle.append(activation)
            elif oldest is None:
                oldest = activation.last_used
        for activation in idle:
            self.drop(activation)
        return oldest

    def drop(self, activation: Activation) -> None:
        """Drop one worker; what it appended stays."""
        activation.unload()
        if activation.is_changed:
            self.write_rows()
        del self._by_ordinal[activation.row.ordinal]
        del self._by_id[activation.row.worker_id]

    def forget(self, activation: Activation) -> None:
        """Drop a worker that is gone with the open unit; whoever still has it finds that it has no life."""
        if activation.unit_number != self._record.unit_number:
            self._touch(activation)
        activation.unload()
        activation.row.life = 0
        if activation.is_changed:
            activation.is_changed = False
            self._changed.remove(activation)
        del self._by_ordinal[activation.row.ordinal]
        del self._by_id[activation.row.worker_id]

    def drop_all(self) -> None:
        """Drop every worker, as a crash would."""
        for activation in self._by_ordinal.values():
            activation.unload()
        self._by_ordinal.clear()
        self._by_id.clear()
        self._changed.clear()
        self.ready.clear()


_OPENING = frozenset((Started, Invoked))
_REFERRING = frozenset((Ended, Completed, Abandoned, Settled, Deleted, Cancelled))


def at_rest(activation: Activation) -> bool:
    """Whether a worker can leave memory: nothing is to be done for it now."""
    return not activation.is_queued and not activation.queries


def is_stopped(activation: Activation) -> bool:
    """Whether a worker may not be stepped now."""
    condition = activation.row.condition
    return condition != Condition.NONE and not (condition == Condition.RETRYING and activation.is_retry_due)
