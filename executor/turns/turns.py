"""Takes the workers' steps: one worker, one turn at a time, in the order in which they got something to do.

A turn reads a worker back if it has to (in slices, so that a long oplog does not hold up the others), takes one
step, and appends it as one unit with what it asked of other workers and of promises. It never waits: effects, timers
and watchers hear of it when the unit is durable or later.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import structlog

from promissory.executor.commits.record import Record
from promissory.executor.components.registry import Registry
from promissory.executor.hostcalls.calls import Calls
from promissory.executor.hostcalls.deadlocks import Deadlocks
from promissory.executor.hostcalls.deletion import Deletion
from promissory.executor.hostcalls.hostcalls import HostCalls
from promissory.executor.hostcalls.promises import Promises
from promissory.executor.residents.boundary import Boundary
from promissory.executor.residents.failures import Failures
from promissory.executor.residents.queries import Queries, as_promissory
from promissory.executor.residents.replaying import rest
from promissory.executor.residents.residents import Activation, Residents, is_stopped
from promissory.executor.telemetry.metrics import Histogram
from promissory.oplog import entries as e
from promissory.oplog.errors import NotFound
from promissory.oplog.ids import OplogIndex, WorkerId
from promissory.oplog.tables import Condition, TimerKind
from promissory.workers.component import Component
from promissory.workers.machine.player import Player
from promissory.workers.machine.step import StepFailed

SLICE_ENTRIES = 512
"""How many recorded entries are replayed in one turn."""


class Turns:
    """The loop over ready workers; `run_some` is called from the executor's loop."""

    def __init__(
        self,
        record: Record,
        registry: Registry,
        residents: Residents,
        promises: Promises,
        queries: Queries,
        hostcalls: HostCalls,
        calls: Calls,
        deadlocks: Deadlocks,
        failures: Failures,
        deletion: Deletion,
        boundary: Boundary,
        step_in: Callable[[str, Callable[[], object]], object],
        replay_took: Histogram,
    ) -> None:
        self._record = record
        self._registry = registry
        self._residents = residents
        self._promises = promises
        self._queries = queries
        self._hostcalls = hostcalls
        self._calls = calls
        self._deadlocks = deadlocks
        self._failures = failures
        self._deletion = deletion
        self._boundary = boundary
        self._log = structlog.get_logger("promissory.turns")
        self._step_in = step_in
        self._replay_took = replay_took
        deadlocks.read_back = self.read_back
        self.is_stopped = False
        self._has_begun = False
        self.is_careful = False
        """Whether, after unclean ends, only the worker that `admit` names gets turns."""
        self._admitted: Activation | None = None
        self.held: list[Activation] = []
        """Those that wait to be admitted."""
        self.replayed_count = 0
        self.steps_count = 0

    def run_some(self, budget_seconds: float) -> bool:
        """Take turns until nobody is ready or the time is over.

        Returns:
          Whether somebody is still ready.
        """
        if not self._has_begun:
            return False
        self._residents.make_room()
        ready = self._residents.ready
        deadline = time.perf_counter() + budget_seconds
        while not self.is_stopped and (ready or self._promises.waking):
            if self._promises.waking:
                self._boundary.handle("wake", self._promises.wake_more)
            if ready:
                activation = ready.popleft()
                if self.is_careful and activation is not self._admitted:
                    self.held.append(activation)
                else:
                    activation.is_queued = False
                    try:
                        self.turn(activation)
                    except Exception as error:
                        self._undone(activation, OplogIndex(max(activation.row.last, 1)), error)
            if time.perf_counter() > deadline:
                break
        return not self.is_stopped and bool(ready or self._promises.waking)

    def begin(self) -> None:
        """Give turns from now on: the start is counted and durable."""
        self._has_begun = True
        self._residents.on_ready()

    def admit(self, activation: Activation) -> None:
        """Give turns to this worker and, while `is_careful`, to no other."""
        self._admitted = activation
        if activation in self.held:
            self.held.remove(activation)
            activation.is_queued = False
        self._residents.push(activation)

    def admit_all(self) -> None:
        """Give turns to every worker again, also to those held since the last one was named."""
        self.is_careful = False
        for activation in list(self.held):
            self.admit(activation)

    def turn(self, activation: Activation) -> None:
        """Do the next thing for a worker: a slice of its replay, its queries, or one step."""
        if not activation.row.life:
            self._queries.refuse(activation, NotFound(f"there is no worker {activation.path}"))
            return
        activation.last_used = self._record.now()
        if not activation.is_loaded:
            if not activation.queries and is_stopped(activation):
                return
            if not self._load(activation):
                return
        while activation.queries:
            self._queries.answer_now(activation, activation.queries.popleft())
        if is_stopped(activation):
            return
        assert activation.player is not None
        if activation.player.ready:
            self._step(activation, activation.player)
        if activation.is_loaded and activation.player is not None:
            if activation.player.ready:
                self._residents.push(activation)
            elif activation.row.unapplied:
                with self._record.unit():
                    self._rest(activation)

    # Reading back.

    def _load(self, activation: Activation) -> bool:
        """Replay one slice; return whether the worker has caught up with its record."""
        component = self._registry.by_id(activation.row.worker_id.component_id)
        if component is None:
            why = self._registry.not_served(activation.row.worker_id.component_id, worker=activation.path)
            self._queries.refuse(activation, why)
            return False
        try:
            if not self._replay_slice(activation, component):
                self._residents.push(activation)
                return False
        except Exception as error:
            fed = activation.fed
            activation.unload()
            self._queries.refuse(activation, as_promissory(error))
            self._failures.unreadable(activation, error, fed)
            return False
        if not is_stopped(activation):
            self._hostcalls.start_effects(activation)
        return True

    def _replay_slice(self, activation: Activation, component: Component) -> bool:
        """Replay a slice of a worker's record; return whether it has come to its end.

        Raises:
          PromissoryError: the record cannot be read, or the code does not do what it says.
        """
        row = activation.row
        if activation.player is None:
            activation.player = self.new_player(component, row.worker_id)
            activation.fed = row.life - 1
            activation.load_began = self._record.now()
        last = min(row.last, activation.fed + SLICE_ENTRIES)
        player = activation.player
        first = OplogIndex(activation.fed + 1)
        entries = self._record.entries(row.ordinal, first, last)
        player.feed_all(enumerate(entries, first))  # type: ignore[arg-type]
        self._residents.seen(activation, first, entries)
        self.replayed_count += len(entries)
        activation.fed = last
        if last < row.last:
            return False
        player.end_of_record()
        activation.is_loaded = True
        self._replay_took.observe((self._record.now() - activation.load_began) / 1e6)
        return True

    def read_back(self, activation: Activation) -> bool:
        """Replay a worker to its end at once; False if it cannot be, of which its own turn then says why."""
        component = self._registry.by_id(activation.row.worker_id.component_id)
        if component is None:
            self._deadlocks.unread.add(activation.ordinal)
            return False
        try:
            while not self._replay_slice(activation, component):
                pass
            if activation.player is not None and not activation.row.is_runnable:
                rest(activation.player, OplogIndex(activation.row.last))
        except Exception:
            activation.unload()
            self._residents.push(activation)
            return False
        activation.last_used = self._record.now()
        self._residents.on_ready()
        return True

    def new_player(self, component: Component, worker_id: WorkerId) -> Player:
        """Return a player whose worker is stepped watched and hidden from trio."""
        path = self._registry.path_of(worker_id)
        return Player(component, worker_id, step_in=partial(self._step_in, path))

    # Stepping.

    def _step(self, activation: Activation, player: Player) -> None:
        base = activation.row.last
        try:
            step = player.step(OplogIndex(base), max(self._record.now(), activation.row.last_timestamp))
            unavailable = self._calls.unavailable(step.outputs)
            if unavailable is not None:
                raise StepFailed(activation.row.worker_id, step.input, unavailable)
        except StepFailed as failure:
            activation.unload()
            activation.is_retry_due = False
            self._failures.errored(activation, failure.input, failure.cause)
            return
        self.steps_count += 1
        try:
            with self._record.unit():
                self._hostcalls.perform(activation, step)
                if step.logs:
                    self._failures.logged(activation, step.logs)
                if not player.ready:
                    # Before the look: only with this does the row of a retried step without outputs say that it went
                    # through.
                    self._rest(activation)
                    self._deadlocks.look(activation)
        except Exception as error:
            self._undone(activation, step.input, error)

    def _undone(self, activation: Activation, index: OplogIndex, error: Exception) -> None:
        """Account for a step whose unit was dropped: it is tried again, or its worker pauses with the reason.

        Where another worker's damaged entry was in the way, that worker pauses, and so does this one, which needs it.
        """
        owner = self._boundary.pause_owner(error)
        if not owner:
            self._log.exception("step_undone", worker=activation.path, index=index)
        if activation.row.condition is not Condition.PAUSED:
            self._failures.errored(activation, index, error)

    def _rest(self, activation: Activation) -> None:
        """Append that every input has been applied, unless the outputs say so already."""
        if activation.row.unapplied:
            self._residents.append(activation, e.Applied(self._record.now(), OplogIndex(activation.row.last)))

    # What others ask.

    def fire(self, kind: TimerKind, due: int, ordinal: int, index: int) -> None:
        """Do what a timer that is due is for, as a unit."""
        self._boundary.handle(f"timer {kind.name.lower()}", partial(self._due, kind, due, ordinal, index))

    def _due(self, kind: TimerKind, due: int, ordinal: int, index: int) -> None:
        activation = self._residents.get(ordinal)
        if activation is not None:
            _DUE[kind](self, activation, due, OplogIndex(index))

    def _retry(self, activation: Activation, _: int, __: OplogIndex) -> None:
        activation.is_retry_due = True
        self._residents.push(activation)

    def _expire_worker(self, activation: Activation, _: int, __: OplogIndex) -> None:
        self._deletion.delete(activation, "retention")

    def _expire_promise(self, activation: Activation, _: int, index: OplogIndex) -> None:
        self._promises.expire(activation, index)

    def _wake_up(self, activation: Activation, due: int, index: OplogIndex) -> None:
        known = e.Started(due, index, e.Sleep(0))
        self._residents.deliver(activation, e.Ended(self._record.now(), index, e.Value(b"null")), known=known)

    def _begin_delayed(self, activation: Activation, due: int, index: OplogIndex) -> None:
        row = self._record.promise_row(activation.ordinal, index)
        made_at = 0 if row is None else row.created_at
        known = e.Invoked(made_at, "", b"", None, None, None, (), due)
        self._residents.deliver(activation, e.Ended(self._record.now(), index, e.Value(b"null")), known=known)

    def deliver_effect(self, ordinal: int, start: int, outcome: e.Outcome) -> bool:
        """Append the outcome of an effect as a unit; return whether it is appended, or nobody can have it any more."""
        return self._boundary.handle("effect", partial(self._deliver_effect, ordinal, OplogIndex(start), outcome))

    def _deliver_effect(self, ordinal: int, start: OplogIndex, outcome: e.Outcome) -> None:
        activation = self._residents.get(ordinal)
        if activation is not None and activation.row.life:
            known = e.Started(0, start, e.Run(""))
            self._residents.deliver(activation, e.Ended(self._record.now(), start, outcome), known=known)


_DUE: dict[TimerKind, Callable[[Turns, Activation, int, OplogIndex], None]] = {
    TimerKind.RETRY: Turns._retry,
    TimerKind.EXPIRY: Turns._expire_worker,
    TimerKind.DEADLINE: Turns._expire_promise,
    TimerKind.SLEEP: Turns._wake_up,
    TimerKind.INVOKE: Turns._begin_delayed,
}
"""What each kind of timer is for."""
