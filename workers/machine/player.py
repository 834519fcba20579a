"""One worker's life, replayed from its record and then live.

Replay: inputs queue. When an output is fed that no step has produced yet, steps are taken until one has outputs;
those must equal, but for the timestamp, what is fed next. At the end of the record the remaining steps are taken by
`step`, and the host appends what they return.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from promissory.oplog.entries import (
    Abandoned,
    Ask,
    Cancelled,
    Completed,
    Created,
    Ended,
    Entry,
    Invoked,
    Reverted,
    Snapshotted,
    Started,
    Trimmed,
    Updated,
)
from promissory.oplog.errors import BadArguments, BadHandler, NonDeterminismError, say
from promissory.oplog.ids import OplogIndex, WorkerId
from promissory.workers.component import Component
from promissory.workers.definition import Worker
from promissory.workers.machine.describe import describe, divergence, unplayable
from promissory.workers.machine.inbox import Inbox
from promissory.workers.machine.machine import Machine
from promissory.workers.machine.runs import RunCall
from promissory.workers.machine.step import Step, StepFailed

T = TypeVar("T")
StepIn = Callable[[Callable[[], Any]], Any]


class Player:
    """Plays a worker's oplog to its machine.

    Args:
      component: the worker's class.
      worker_id: the worker; messages name it.
      step_in: called with each piece of worker code to call, for the host to put what it must around it.
    """

    __slots__ = (
        "_base",
        "_component",
        "_dead",
        "_expected",
        "_inbox",
        "_inputs",
        "_machine",
        "_next",
        "_queue",
        "_step_in",
        "_step_input",
        "_timestamp",
        "worker_id",
    )

    def __init__(self, component: Component, worker_id: WorkerId, *, step_in: StepIn | None = None) -> None:
        self.worker_id = worker_id
        self._component = component
        self._step_in = step_in
        self._machine: Machine | None = None
        self._inbox = Inbox()
        self._inputs = self._inbox.inputs
        self._queue = self._inbox.queue
        self._expected: deque[Entry] = deque()
        """Outputs of the last step that have not been seen in the record yet; the first belongs at `_next`."""
        self._next = 0
        self._base = 0
        self._timestamp = 0
        self._step_input = OplogIndex(0)
        self._dead = False

    # What the host asks

    @property
    def ready(self) -> bool:
        """Whether a live step can be taken."""
        return bool(self._inputs) or (bool(self._queue) and self._running() is None)

    @property
    def running(self) -> OplogIndex | None:
        """The running invocation."""
        invocation = self._running()
        return None if invocation is None else invocation.index

    @property
    def open_runs(self) -> Mapping[OplogIndex, RunCall]:
        """Side effects that have been asked for, have no recorded outcome and are still waited for."""
        return {} if self._machine is None else self._machine.open_runs

    @property
    def open_asks(self) -> Mapping[OplogIndex, Ask]:
        """Queries that have been asked of other workers, have no recorded answer and are still waited for."""
        return {} if self._machine is None else self._machine.open_asks

    @property
    def waited_calls(self) -> tuple[tuple[OplogIndex, WorkerId], ...] | None:
        """The calls that alone can let the running invocation go on, and the workers called, oldest first.

        None if no invocation runs, an input is still to be applied, or something else, a deadline for one, is awaited
        as well. Costs nothing while no call is open.
        """
        machine = self._machine
        return None if machine is None or self._inputs else machine.waited_calls()

    @property
    def created(self) -> Created:
        """The entry that began the worker's life."""
        if self._machine is None:
            raise ValueError(f"{self.worker_id} has not been created yet")
        return self._machine.created

    @property
    def instance(self) -> Worker:
        """The worker itself."""
        return self._alive().instance

    def state(self) -> dict[str, Any]:
        """Return the values of the worker's fields."""
        instance = self.instance
        return {name: getattr(instance, name) for name in sorted(instance.__promissory_fields__)}

    def query(self, function: str, params: bytes) -> bytes:
        """Answer a query from the state as it is now; see `Component.query`."""
        instance = self.instance
        return self._call(lambda: self._component.query(instance, function, params))

    def close(self) -> None:
        """Drop the worker's coroutines; what they ask of the host while they end is refused. Safe to repeat."""
        self._dead = True
        machine = self._machine
        if machine is not None and machine.invocation is not None:
            self._call(machine.close)

    # Replay

    def feed(self, index: OplogIndex, entry: Entry) -> None:
        """Take the next recorded entry; live, the next input as it is appended.

        Raises:
          NonDeterminismError: the code does not do what is recorded; it has the index, the expected and the found.
          BadHandler: a recorded invocation is of a handler that the class no longer has.
          BadArguments: the recorded arguments no longer fit.
          NewerFormat: the entry is of a kind that this version cannot play.
        """
        self._feed_each(((index, entry),))

    def feed_all(self, entries: Iterable[tuple[OplogIndex, Entry]]) -> None:
        """Feed many entries at once, all of them within one call of `step_in`: for long replays.

        Raises:
          PromissoryError: as `feed`.
        """
        step_in = self._step_in
        self._step_in = None
        try:
            if step_in is None:
                self._feed_each(entries)
            else:
                step_in(lambda: self._feed_each(entries))
        finally:
            self._step_in = step_in

    def _feed_each(self, entries: Iterable[tuple[OplogIndex, Entry]]) -> None:
        expected, inputs = self._expected, self._inputs
        delayed, queue_invocations = self._inbox.delayed, self._inbox.queue_invocations
        for index, entry in entries:
            kind = type(entry)
            if expected:
                self._check(index, entry)
            elif kind is Ended:
                machine = self._machine
                machine.open_runs.pop(entry.start, None)  # type: ignore[union-attr, attr-defined]
                if machine.open_asks:  # type: ignore[union-attr]
                    machine.open_asks.pop(entry.start, None)  # type: ignore[union-attr, attr-defined]
                inputs.append((index, entry))
                if delayed:
                    queue_invocations()
            elif kind is Started:
                self._feed_output(index, entry)
            else:
                feeder = _FEEDERS.get(kind)
                if feeder is not None:
                    feeder(self, index, entry)

    def end_of_record(self) -> None:
        """Say that the next step is live.

        Raises:
          NonDeterminismError: the last recorded step has outputs that the record lacks.
        """
        if self._expected:
            raise self._diverged(OplogIndex(self._next), None, self._expected[0])

    # Live

    def step(self, base: OplogIndex, timestamp: int) -> Step:
        """Take one step; its outputs get the indices after `base` and the timestamp.

        Raises:
          StepFailed: worker code raised; nothing of the step counts and the player is dead.
        """
        if not self.ready:
            raise ValueError(f"{self.worker_id} has no step to take")
        self.end_of_record()
        self._base = base
        self._timestamp = timestamp
        try:
            outputs: list[Entry] = self._call(self._take)
        except BaseException as error:
            self.close()
            raise StepFailed(self.worker_id, self._step_input, error) from error
        machine = self._alive()
        return Step(self._step_input, outputs, machine.logs, machine.cancels)

    # Within

    def _running(self) -> Any:
        return None if self._machine is None else self._machine.invocation

    def _alive(self) -> Machine:
        if self._machine is None or self._dead:
            raise ValueError(f"{self.worker_id} has not been created yet or is closed")
        return self._machine

    def _call(self, function: Callable[[], T]) -> T:
        if self._step_in is None:
            return function()
        result: T = self._step_in(function)
        return result

    def _take(self) -> list[Entry]:
        """Take the next step: begin the oldest queued invocation if none runs, else apply the next input."""
        machine = self._machine
        assert machine is not None
        if self._queue and machine.invocation is None:
            index, entry, queued = self._inbox.oldest()
            self._step_input = index
            if type(entry) is Invoked:
                return machine.begin(index, entry, queued, self._base, self._timestamp)
            assert type(entry) is Cancelled
            return machine.complete(entry.invocation, entry, self._base, self._timestamp)
        index, entry = self._inputs.popleft()
        self._step_input = index
        if type(entry) is not Cancelled:
            outputs = machine.apply(entry, self._base, self._timestamp)
        elif self._inbox.take_back(entry.invocation):
            outputs = machine.complete(entry.invocation, entry, self._base, self._timestamp)
        else:
            outputs = machine.apply(entry, self._base, self._timestamp, force=index in self._inbox.unasked)
        if self._inputs:
            self._inbox.queue_invocations()
        return outputs

    def _feed_created(self, index: OplogIndex, entry: Entry) -> None:
        assert type(entry) is Created
        if entry.semantics or entry.state is not None:  # another order of steps, or a state that this cannot restore
            raise unplayable(self.worker_id, index, entry)
        self._machine = self._call(lambda: Machine(self._component, entry))

    def _feed_invoked(self, index: OplogIndex, entry: Entry) -> None:
        assert type(entry) is Invoked
        self._inbox.invoke(index, entry)

    def _feed_cancelled(self, index: OplogIndex, entry: Entry) -> None:
        assert type(entry) is Cancelled
        self._inbox.cancel(index, entry, self.running)

    def _feed_output(self, index: OplogIndex, entry: Entry) -> None:
        """Take steps until one has outputs, as the record says that one had; the first must be this."""
        self._base = index - 1
        self._timestamp = entry.timestamp
        take, step_in = self._take, self._step_in
        try:
            while self._inputs or (self._queue and self._running() is None):
                outputs: list[Entry] = take() if step_in is None else step_in(take)
                if outputs:
                    break
            else:
                outputs = []
        except (BadHandler, BadArguments, KeyboardInterrupt, MemoryError):
            self.close()
            raise
        except BaseException as error:
            self.close()
            found = str(error) if isinstance(error, NonDeterminismError) else say(error)
            raise divergence(self.worker_id, index, describe(entry), found) from error
        if not outputs or outputs[0] != entry:
            raise self._diverged(index, entry, outputs[0] if outputs else None)
        if len(outputs) > 1:
            self._expected.extend(outputs)
            self._expected.popleft()
            self._next = index + 1

    def _check(self, index: OplogIndex, entry: Entry) -> None:
        """Compare all but the timestamp with what the code did, and the place."""
        found = self._expected.popleft()
        if index != self._next:
            raise self._diverged(OplogIndex(self._next), None, found)
        if found != entry and msgspec.structs.replace(found, timestamp=entry.timestamp) != entry:
            raise self._diverged(index, entry, found)
        self._next = index + 1

    def _diverged(self, index: OplogIndex, entry: Entry | None, found: Entry | None) -> NonDeterminismError:
        self.close()
        return divergence(
            self.worker_id,
            index,
            "the end of the record" if entry is None else describe(entry),
            "nothing: it waits" if found is None else describe(found),
        )

    def _feed_unknown(self, index: OplogIndex, entry: Entry) -> None:
        raise unplayable(self.worker_id, index, entry)


_FEEDERS: dict[type[Entry], Callable[[Player, OplogIndex, Entry], None]] = {
    Created: Player._feed_created,
    Invoked: Player._feed_invoked,
    Cancelled: Player._feed_cancelled,
    Started: Player._feed_output,
    Abandoned: Player._feed_output,
    Completed: Player._feed_output,
    Snapshotted: Player._feed_unknown,
    Updated: Player._feed_unknown,
    Reverted: Player._feed_unknown,
    Trimmed: Player._feed_unknown,
}
