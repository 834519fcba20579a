"""What the host notes beside a worker's steps: errors and what follows from them, and the lines that it logged."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from promissory.executor.commits.record import Record
from promissory.executor.residents.residents import Activation, Residents
from promissory.executor.residents.timers import Timers
from promissory.executor.residents.watchers import Watchers
from promissory.executor.telemetry import tracebacks
from promissory.oplog import entries as e
from promissory.oplog.errors import (
    BadArguments,
    BadHandler,
    NonDeterminismError,
    OplogError,
    Paused,
    StoreFailed,
    say,
)
from promissory.oplog.ids import OplogIndex
from promissory.oplog.tables import Condition, PromiseKind, PromiseState
from promissory.workers.retry import RetryPolicy

PAUSES_AT_ONCE = (NonDeterminismError, OplogError, BadHandler, BadArguments)
"""What no retry can mend."""


class Failures:
    """Appends `Errored`, `Logged` and `Resumed`, and tells people when they are durable.

    Args:
      record, residents, watchers, timers: of the executor.
      retry: how a failed step is repeated.
      chance: numbers in [0, 1) for the jitter.
    """

    def __init__(
        self,
        record: Record,
        residents: Residents,
        watchers: Watchers,
        timers: Timers,
        retry: RetryPolicy,
        chance: Callable[[], float],
    ) -> None:
        self._record = record
        self._residents = residents
        self._watchers = watchers
        self._timers = timers
        self._retry = retry
        self._chance = chance
        self._log = structlog.get_logger("promissory.worker")

    def errored(self, activation: Activation, index: OplogIndex, error: BaseException) -> None:
        """Append an `Errored` as a unit: plan the next attempt, or pause the worker after the last."""
        row = activation.row
        attempt = row.attempt + 1 if row.errored_input == index else 1
        delay_seconds = None
        if not isinstance(error, PAUSES_AT_ONCE):
            delay_seconds = self._retry.delay_seconds(attempt, self._chance())
        self.pause_or_retry(activation, index, attempt, error, delay_seconds)

    def unreadable(self, activation: Activation, error: Exception, fed: int) -> None:
        """Pause a worker whose record cannot be replayed beyond an index, unless it is stopped already."""
        at = getattr(error, "index", None) or fed
        index = OplogIndex(max(at, activation.row.life, 1))
        if activation.row.condition not in (Condition.PAUSED, Condition.INTERRUPTED):
            self.errored(activation, index, error)

    def pause_or_retry(
        self,
        activation: Activation,
        index: OplogIndex,
        attempt: int,
        error: BaseException,
        delay_seconds: float | None,
    ) -> None:
        """Append an `Errored` as a unit: the worker is tried again after a delay, or pauses if that is None."""
        row = self._record.promise_row(activation.ordinal, index)
        if row is not None and row.state is PromiseState.SCHEDULED:
            # No step is for an invocation whose time has not come: the life as a whole is at fault.
            index = OplogIndex(activation.row.life)
        now = self._record.now()
        next_attempt = None if delay_seconds is None else now + int(delay_seconds * 1e6)
        text = say(error)
        trace = tracebacks.of_error(error)
        with self._record.unit():
            self._residents.append(activation, e.Errored(now, index, attempt, text, trace, next_attempt))
            if next_attempt is not None:
                self._timers.add(next_attempt, activation.ordinal, 0)
            else:
                self._tell_paused(activation, text)
        log, path = self._log, activation.path

        def durable(failure: StoreFailed | None) -> None:
            if failure is None and next_attempt is None:
                log.error("worker_paused", worker=path, index=index, attempt=attempt, error=text)
            elif failure is None:
                log.warning(
                    "worker_retrying", worker=path, index=index, attempt=attempt, error=text, seconds=delay_seconds
                )

        self._record.when_durable(durable)

    def _tell_paused(self, activation: Activation, error: str) -> None:
        """Tell whoever waits from outside for an invocation of a worker that it paused."""
        record, ordinal = self._record, activation.ordinal

        def is_invocation(index: int) -> bool:
            row = record.promise_row(ordinal, index)
            return row is not None and row.kind is PromiseKind.INVOCATION

        self._watchers.fail(ordinal, paused_error(activation, error), is_invocation)

    def logged(self, activation: Activation, logs: list[tuple[str, str]]) -> None:
        """Append what a step logged, within the unit at hand; people see it when that is durable."""
        for level, message in logs:
            self._residents.append(activation, e.Logged(self._record.now(), level, message))
        log, path = self._log, activation.path

        def durable(failure: StoreFailed | None) -> None:
            if failure is None:
                for level, message in logs:
                    log.log(_LEVELS.get(level, 20), "worker_log", worker=path, message=message)

        self._record.when_durable(durable)

    def resumed(self, activation: Activation, by: str) -> None:
        """Append a `Resumed` within the unit at hand, if the worker is stopped: its attempts are counted anew."""
        if activation.row.condition is not Condition.NONE:
            activation.unload()
            self._residents.append(activation, e.Resumed(self._record.now(), by))


def paused_error(activation: Activation, error: str) -> Paused:
    """Return what whoever waits for a paused worker is told."""
    return Paused(f"the worker is paused: {error}", worker=activation.path)


_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
