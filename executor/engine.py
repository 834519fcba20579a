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

from executor import tracebacks
from executor.effects import Effects
from executor.promises import Promises
from executor.queries import Queries, as_promissory
from executor.record import Record
from executor.registry import Registry
from executor.residents import Activation, Residents, is_stopped
from executor.timers import Timers
from executor.watchers import Watchers
from oplog import entries as e
from oplog.errors import (
    BadArguments,
    BadHandler,
    NonDeterminismError,
    NotFound,
    OplogError,
    Paused,
    StoreFailed,
    say,
)
from oplog.ids import OplogIndex, WorkerId
from oplog.tables import Condition, PromiseKind, TimerKind
from workers.component import Component
from workers.player import Player
from workers.retry import RetryPolicy
from workers.step import StepFailed

SLICE_ENTRIES = 512
"""How many recorded entries are replayed in one turn."""

PAUSES_AT_ONCE = (NonDeterminismError, OplogError, BadHandler, BadArguments)
"""What no retry can mend."""


class Engine:
    """The loop over ready workers; `run_some` is called from the executor's loop."""

    def __init__(
        self,
        record: Record,
        registry: Registry,
        residents: Residents,
        watchers: Watchers,
        promises: Promises,
        effects: Effects,
        timers: Timers,
        queries: Queries,
        retry: RetryPolicy,
        step_in: Callable[[str, Callable[[], object]], object],
        chance: Callable[[], float],
    ) -> None:
        self._record = record
        self._registry = registry
        self._residents = residents
        self._watchers = watchers
        self._promises = promises
        self._effects = effects
        self._timers = timers
        self._queries = queries
        self._retry = retry
        self._step_in = step_in
        self._chance = chance
        self._log = structlog.get_logger("promissory.worker")
        self.is_stopped = False
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
        self._residents.make_room()
        ready = self._residents.ready
        deadline = time.perf_counter() + budget_seconds
        while not self.is_stopped and (ready or self._promises.waking):
            if self._promises.waking:
                self._promises.wake_more()
            if ready:
                activation = ready.popleft()
                if self.is_careful and activation is not self._admitted:
                    self.held.append(activation)
                else:
                    activation.is_queued = False
                    self.turn(activation)
            if time.perf_counter() > deadline:
                break
        return not self.is_stopped and bool(ready or self._promises.waking)

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
                self._residents.append(activation, e.Applied(self._record.now(), OplogIndex(activation.row.last)))
                self._residents.end_unit()

    # Reading back.

    def _load(self, activation: Activation) -> bool:
        """Replay one slice; return whether the worker has caught up with its record."""
        row = activation.row
        component = self._registry.by_id(row.worker_id.component_id)
        if component is None:
            why = NotFound(f"component {activation.path.partition('/')[0]} is not available", worker=activation.path)
            self._queries.refuse(activation, why)
            return False
        try:
            if activation.player is None:
                activation.player = self.new_player(component, row.worker_id)
                activation.fed = row.life - 1
            last = min(row.last, activation.fed + SLICE_ENTRIES)
            player = activation.player
            first = OplogIndex(activation.fed + 1)
            entries = self._record.entries(row.ordinal, first, last)
            player.feed_all(enumerate(entries, first))  # type: ignore[arg-type]
            self._residents.seen(activation, first, entries)
            self.replayed_count += len(entries)
            activation.fed = last
            if activation.fed < row.last:
                self._residents.push(activation)
                return False
            player.end_of_record()
        except Exception as error:
            self._fail_to_load(activation, error)
            return False
        activation.is_loaded = True
        if not is_stopped(activation):
            self.start_effects(activation)
        return True

    def new_player(self, component: Component, worker_id: WorkerId) -> Player:
        """Return a player whose worker is stepped watched and hidden from trio."""
        path = self._registry.path_of(worker_id)
        return Player(component, worker_id, step_in=partial(self._step_in, path))

    def begin_life(self, component: Component, index: OplogIndex, created: e.Created) -> Player:
        """Return the player of a worker that is about to be created: its constructor may refuse, so it goes first.

        Raises:
          BadArguments, NonDeterminismError: as `Component.construct`.
        """
        player = self.new_player(component, created.worker_id)
        player.feed(index, created)
        return player

    def start_effects(self, activation: Activation) -> None:
        """Perform the open side effects of a worker that are not in flight."""
        assert activation.player is not None
        for start, call in activation.player.open_runs.items():
            self._effects.start(activation.ordinal, start, activation.path, call)

    def _fail_to_load(self, activation: Activation, error: Exception) -> None:
        """Pause a worker whose record cannot be replayed, and answer its queries with why."""
        at = getattr(error, "index", None) or activation.fed
        index = OplogIndex(max(at, activation.row.life, 1))
        activation.unload()
        why = as_promissory(error)
        self._queries.refuse(activation, why)
        if activation.row.condition not in (Condition.PAUSED, Condition.INTERRUPTED):
            self._note_error(activation, index, error)

    # Stepping.

    def _step(self, activation: Activation, player: Player) -> None:
        now = self._record.now()
        base = activation.row.last
        try:
            step = player.step(OplogIndex(base), max(now, activation.row.last_timestamp))
        except StepFailed as failure:
            activation.unload()
            activation.is_retry_due = False
            self._note_error(activation, failure.input, failure.cause)
            return
        self.steps_count += 1
        append = self._residents.append
        for entry in step.outputs:
            append(activation, entry)
        for index, entry in enumerate(step.outputs, base + 1):
            self._perform(activation, OplogIndex(index), entry)
        if step.logs:
            self._note_logs(activation, step.logs)
        self._residents.end_unit()

    def _perform(self, activation: Activation, index: OplogIndex, entry: e.Entry) -> None:
        """Do what an output asks for: what stays inside the executor now, effects after the commit."""
        if type(entry) is e.Completed:
            self._promises.wake(activation, entry.invocation, entry.outcome)
        elif type(entry) is e.Started:
            kind = type(entry.request)
            if kind is e.Run:
                call = activation.player.open_runs.get(index) if activation.player is not None else None
                if call is not None:
                    self._effects.start(activation.ordinal, index, activation.path, call)
            elif kind is e.Sleep:
                due = entry.timestamp + entry.request.duration_us  # type: ignore[union-attr]
                self._timers.add(due, activation.ordinal, index)
            elif kind is e.CreatePromise:
                if entry.request.timeout_us is not None:  # type: ignore[union-attr]
                    due = entry.timestamp + entry.request.timeout_us  # type: ignore[union-attr]
                    self._timers.add(due, activation.ordinal, index)
            else:
                self._perform_promise_call(activation, index, entry.request)
        elif type(entry) is e.Abandoned:
            self._effects.abandon(activation.ordinal, entry.start)

    def _perform_promise_call(self, activation: Activation, index: OplogIndex, request: e.Request) -> None:
        outcome: e.Outcome | None
        if index not in activation.open and type(request) in (e.AwaitPromise, e.PollPromise):
            # Given up within its own step, or woken by a settling there: it has what it gets.
            return
        try:
            outcome = self._call_promise(activation, index, request)
        except NotFound as error:
            outcome = e.Failure("terminal", str(error), 404)
        if outcome is not None and index in activation.open:
            self._residents.deliver(activation, e.Ended(self._record.now(), index, outcome))

    def _call_promise(self, activation: Activation, index: OplogIndex, request: e.Request) -> e.Outcome | None:
        """Return the outcome of a call on a promise; None when it is to be waited for or was delivered already.

        Raises:
          NotFound: there is no such promise.
        """
        promises = self._promises
        owner_id: WorkerId | None = getattr(request, "owner", None)
        owner = activation if owner_id is None else self._residents.find(owner_id)
        promise: OplogIndex = request.promise  # type: ignore[union-attr]
        if owner is None:
            missing = activation.path if owner_id is None else self._registry.path_of(owner_id)
            raise NotFound(f"there is no promise {missing}/{promise}")
        if type(request) is e.AwaitPromise:
            row = promises.row(owner, promise, created=False)
            outcome = promises.outcome(owner, row)
            if outcome is not None:
                promises.end_wait(owner, promise, activation, index, outcome)
            return None
        if type(request) is e.PollPromise:
            row = promises.row(owner, promise, created=False)
            return promises.outcome(owner, row) or e.Value(None)
        by = f"{activation.row.worker_id}/{index}"
        if type(request) is e.CompletePromise:
            settled = promises.settle(owner, promise, e.Value(request.payload), by)
            return e.Value(b"true" if settled else b"false")
        promises.delete(owner, promise, by)
        return e.Value(b"null")

    # Notes.

    def _note_error(self, activation: Activation, index: OplogIndex, error: BaseException) -> None:
        """Append an `Errored` and either plan the next attempt or pause the worker."""
        row = activation.row
        attempt = row.attempt + 1 if row.errored_input == index else 1
        delay_seconds = None
        if not isinstance(error, PAUSES_AT_ONCE):
            delay_seconds = self._retry.delay_seconds(attempt, self._chance())
        self.pause_or_retry(activation, index, attempt, error, delay_seconds)

    def pause_or_retry(
        self,
        activation: Activation,
        index: OplogIndex,
        attempt: int,
        error: BaseException,
        delay_seconds: float | None,
    ) -> None:
        """Append an `Errored` as a unit: the worker is tried again after a delay, or pauses if that is None."""
        row = activation.row
        now = self._record.now()
        next_attempt = None if delay_seconds is None else now + int(delay_seconds * 1e6)
        text = say(error)
        trace = tracebacks.of_error(error)
        errored = e.Errored(now, index, attempt, text, trace, next_attempt)
        self._residents.append(activation, errored)
        self._residents.end_unit()
        if next_attempt is not None:
            self._timers.add(next_attempt, row.ordinal, 0)
        else:
            self.tell_paused(activation, text)
        log, path = self._log, activation.path

        def durable(failure: StoreFailed | None) -> None:
            if failure is None and next_attempt is None:
                log.error("worker_paused", worker=path, index=index, attempt=attempt, error=text)
            elif failure is None:
                log.warning(
                    "worker_retrying", worker=path, index=index, attempt=attempt, error=text, seconds=delay_seconds
                )

        self._record.when_durable(durable)

    def tell_paused(self, activation: Activation, error: str) -> None:
        """Tell whoever waits from outside for an invocation of a worker that it paused."""
        invocations = self._record
        ordinal = activation.ordinal

        def is_invocation(index: int) -> bool:
            row = invocations.promise_row(ordinal, index)
            return row is not None and row.kind is PromiseKind.INVOCATION

        self._watchers.fail(ordinal, paused_error(activation, error), is_invocation)

    def _note_logs(self, activation: Activation, logs: list[tuple[str, str]]) -> None:
        for level, message in logs:
            self._residents.append(activation, e.Logged(self._record.now(), level, message))
        log, path = self._log, activation.path

        def durable(failure: StoreFailed | None) -> None:
            if failure is None:
                for level, message in logs:
                    log.log(_LEVELS.get(level, 20), "worker_log", worker=path, message=message)

        self._record.when_durable(durable)

    # What others ask.

    def fire(self, kind: TimerKind, ordinal: int, index: int) -> None:
        """Do what a timer that is due is for."""
        activation = self._residents.get(ordinal)
        if activation is None:
            return
        if kind is TimerKind.RETRY:
            activation.is_retry_due = True
            self._residents.push(activation)
        elif kind is TimerKind.DEADLINE:
            late = e.Failure("timed_out", "the promise's deadline passed", 408)
            self._promises.settle(activation, OplogIndex(index), late, "deadline")
            self._residents.end_unit()
        else:
            ended = e.Ended(self._record.now(), OplogIndex(index), e.Value(b"null"))
            self._residents.deliver(activation, ended)
            self._residents.end_unit()

    def deliver_effect(self, ordinal: int, start: int, outcome: e.Outcome) -> None:
        """Append the outcome of an effect as a unit."""
        activation = self._residents.get(ordinal)
        if activation is not None and activation.row.life:
            self._residents.deliver(activation, e.Ended(self._record.now(), OplogIndex(start), outcome))
            self._residents.end_unit()


def paused_error(activation: Activation, error: str) -> Paused:
    """Return what whoever waits for a paused worker is told."""
    return Paused(f"the worker is paused: {error}", worker=activation.path)


_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
