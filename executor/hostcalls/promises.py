"""Promises: settled once, by whoever comes first; their waiters woken, in this unit or in later ones.

A promise's truth is in its owner's oplog: a `Started` created it, a `Settled` or `Deleted` there ended it. An
invocation is a promise that its `Completed` settles, for waiting only.
"""

from __future__ import annotations

from promissory.executor.commits.record import Record
from promissory.executor.residents.residents import Activation, Residents
from promissory.executor.residents.watchers import DELETED, Watchers
from promissory.oplog.entries import (
    AwaitPromise,
    Completed,
    CreatePromise,
    Deleted,
    Ended,
    Failure,
    Outcome,
    SameAs,
    Settled,
    Started,
)
from promissory.oplog.errors import NotFound, OplogCorrupt
from promissory.oplog.fold import waking
from promissory.oplog.ids import OplogIndex
from promissory.oplog.tables import PAIR, PromiseKind, PromiseRow, PromiseState, Table

WAKES_PER_UNIT_MAX = 256

LATE = Failure("timed_out", "the promise's deadline passed", 408)


class Promises:
    """What can be done with promises; every method appends within the unit at hand."""

    def __init__(self, record: Record, residents: Residents, watchers: Watchers) -> None:
        self._record = record
        self._residents = residents
        self._watchers = watchers
        self.settled_count = 0
        self.waking: list[tuple[int, int]] = []
        """Settled promises that have more waiters than one unit wakes."""

    def row(self, owner: Activation, index: int, *, created: bool) -> PromiseRow:
        """Return the row of a promise; one whose deadline has passed is settled by being looked at.

        Args:
          owner: the worker that has it.
          index: which.
          created: accept only a promise created as such, not an invocation. A call is neither.

        Raises:
          NotFound: there is none.
        """
        row = self._record.promise_row(owner.ordinal, index) if owner.row.life else None
        if row is None or row.kind is PromiseKind.CALL or (created and row.kind is not PromiseKind.PROMISE):
            raise NotFound(f"there is no promise {owner.path}/{index}", worker=owner.path, index=index)
        if row.deadline and row.deadline <= self._record.now():
            self._settle(owner, OplogIndex(index), row, LATE, "deadline")
            return self.row(owner, index, created=created)
        return row

    def outcome(self, owner: Activation, row: PromiseRow) -> Outcome | None:
        """Return the outcome of a promise or an invocation; None while it is pending."""
        if not row.is_settled:
            return None
        if row.state is PromiseState.DELETED:
            return DELETED
        entry = self._record.entry(owner.ordinal, row.outcome)
        if isinstance(entry, (Settled, Completed)):
            return entry.outcome
        raise OplogCorrupt(f"entry {row.outcome} has no outcome", worker=owner.path, index=row.outcome)

    def settle(self, owner: Activation, index: OplogIndex, outcome: Outcome, by: str) -> bool:
        """Settle a promise, if nobody has.

        Args:
          owner: the worker that has it.
          index: which.
          outcome: a value or a rejection.
          by: who settles it; asking again with the same name gives the same answer.

        Returns:
          Whether `by` is the one that settled it.

        Raises:
          NotFound: there is no such promise; nothing is written.
        """
        row = self.row(owner, index, created=True)
        if row.is_settled:
            if row.state is PromiseState.DELETED:
                return False
            settled = self._record.entry(owner.ordinal, row.outcome)
            return isinstance(settled, Settled) and settled.by == by
        self._settle(owner, index, row, outcome, by)
        return True

    def expire(self, owner: Activation, index: OplogIndex) -> None:
        """Settle a promise whose deadline has come, if nobody has settled it."""
        row = self._record.promise_row(owner.ordinal, index) if owner.row.life else None
        if row is not None and row.deadline:
            self._settle(owner, index, row, LATE, "deadline")

    def _settle(self, owner: Activation, index: OplogIndex, row: PromiseRow, outcome: Outcome, by: str) -> None:
        settled = self._residents.append(owner, Settled(self._record.now(), index, outcome, by), creation_of(row))
        owner.open.pop(index, None)
        self.settled_count += 1
        self.wake(owner, index, outcome, settled)

    def delete(self, owner: Activation, index: OplogIndex, by: str) -> bool:
        """Delete a promise: whoever waits for it, or will, gets the error `deleted`.

        Returns:
          False if it was deleted before.

        Raises:
          NotFound: there is no such promise; nothing is written.
        """
        row = self.row(owner, index, created=True)
        if row.state is PromiseState.DELETED:
            return False
        self._residents.append(owner, Deleted(self._record.now(), index, by), creation_of(row))
        owner.open.pop(index, None)
        if not row.is_settled:
            self.wake(owner, index, DELETED)
        return True

    def wake(self, owner: Activation, index: int, outcome: Outcome, settled: int = 0) -> None:
        """Give the waiters of a promise or invocation its outcome: the first of them in this unit, the others later.

        Args:
          owner: the worker that has it.
          index: which.
          outcome: what they get.
          settled: where the `Settled` with the outcome stands, if there is one.
        """
        self._watchers.settle(owner.ordinal, index, outcome)
        if self._wake_some(owner, index, outcome, settled):
            waking(owner.ordinal, index, True, self._record.put)
            self.waking.append((owner.ordinal, index))

    def wake_more(self) -> None:
        """Wake further waiters of one promise that has many, as one unit; `waking` says whether there are any."""
        ordinal, index = self.waking.pop(0)
        owner = self._residents.get(ordinal)
        row = None if owner is None else self._record.promise_row(ordinal, index)
        is_more = False
        with self._record.unit():
            if owner is not None and row is not None and (outcome := self.outcome(owner, row)) is not None:
                is_more = self._wake_some(owner, index, outcome, settled_at(row))
            if is_more:
                self.waking.append((ordinal, index))
            else:
                waking(ordinal, index, False, self._record.put)

    def _wake_some(self, owner: Activation, index: int, outcome: Outcome, settled: int) -> bool:
        """Wake at most `WAKES_PER_UNIT_MAX` waiters; return whether there are more."""
        waiters = self._record.waiters(owner.ordinal, index, WAKES_PER_UNIT_MAX + 1)
        promise = OplogIndex(index)
        own = Started(0, promise, AwaitPromise(None, promise))
        foreign = Started(0, promise, AwaitPromise(owner.row.worker_id, promise))
        for ordinal, start in waiters[:WAKES_PER_UNIT_MAX]:
            waiter = self._residents.get(ordinal)
            if waiter is owner:
                self.end_wait(waiter, OplogIndex(start), outcome, settled, own)
            elif waiter is not None:
                self.end_wait(waiter, OplogIndex(start), outcome, 0, foreign)
        return len(waiters) > WAKES_PER_UNIT_MAX

    def end_wait(
        self, waiter: Activation, start: OplogIndex, outcome: Outcome, settled: int, known: Started | None = None
    ) -> None:
        """Append the `Ended` of one wait.

        Args:
          waiter: who waits.
          start: its `Started`.
          outcome: what it gets.
          settled: where the waiter's own `Settled` with the same outcome stands, if there is one: it is not repeated.
          known: what stands for its `Started`, which need not be read then.
        """
        ended = Ended(self._record.now(), start, outcome)
        if settled:
            same = Ended(ended.timestamp, start, SameAs(OplogIndex(settled)))
            self._residents.deliver(waiter, same, ended, known)
        else:
            self._residents.deliver(waiter, ended, known=known)

    def read_back(self) -> None:
        """After a start or a failed commit, find the settled promises whose waiters are not all woken."""
        self.waking = [
            (ordinal, index)
            for ordinal, index in map(PAIR.unpack, (key for key, _ in self._record.environment.scan(Table.RUNNABLE)))
            if index
        ]


def creation_of(row: PromiseRow) -> Started:
    """Return what stands for the entry that created a promise: as much of it as its row says."""
    timeout_us = row.deadline - row.created_at if row.deadline else None
    return Started(row.created_at, OplogIndex(1), CreatePromise(timeout_us))


def settled_at(row: PromiseRow) -> int:
    """Return where the `Settled` of a promise stands; 0 if it has none."""
    is_settled = row.kind is PromiseKind.PROMISE and row.state is not PromiseState.DELETED
    return row.outcome if is_settled else 0
