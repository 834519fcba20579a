"""The side effects of `run`: performed after the commit that holds their `Started`, their outcomes delivered once.

An effect is known by worker and index, whether or not its worker is in memory. Its outcome is kept until the `Ended`
that holds it is durable; after a failed commit it is appended again, never performed again.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable
from typing import Protocol

import structlog
import trio

from executor.record import Record
from oplog.entries import Failure, Outcome, Value
from oplog.errors import StoreFailed, TerminalError
from workers.effects import RunCall


class Deliver(Protocol):
    """Appends the `Ended` of a finished effect, as a unit."""

    def __call__(self, ordinal: int, start: int, outcome: Outcome) -> None:
        """Append it."""


class Effect:
    """One side effect: about to be performed, being performed, or finished and not yet durable."""

    __slots__ = ("call", "ordinal", "outcome", "path", "scope", "start")

    def __init__(self, ordinal: int, start: int, path: str, call: RunCall) -> None:
        self.ordinal = ordinal
        self.start = start
        self.path = path
        self.call = call
        self.scope: trio.CancelScope | None = None
        self.outcome: Outcome | None = None


class Effects:
    """All effects in flight.

    Args:
      record: tells when a commit is durable.
      nursery: where effects are performed.
      deliver: appends an outcome.
      threads_max: how many synchronous functions run at the same time.
      inline: perform synchronous functions on the loop, for tests under a clock that does not wait for threads.
      jitter: gives a number in [0, 1) for the backoff between attempts.
    """

    def __init__(
        self,
        record: Record,
        nursery: trio.Nursery,
        deliver: Deliver,
        threads_max: int,
        *,
        inline: bool = False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._record = record
        self._nursery = nursery
        self._deliver = deliver
        self._limiter = trio.CapacityLimiter(max(1, threads_max))
        self._inline = inline
        self._jitter = jitter
        self._in_flight: dict[tuple[int, int], Effect] = {}
        self._log = structlog.get_logger("promissory.effects")
        self._none = trio.Event()
        self.is_stopping = False
        self.performed_count = 0

    def __len__(self) -> int:
        return len(self._in_flight)

    def start(self, ordinal: int, start: int, path: str, call: RunCall) -> None:
        """Perform an effect once everything appended so far is durable; one that is in flight is left alone."""
        key = (ordinal, start)
        if key in self._in_flight:
            return
        effect = self._in_flight[key] = Effect(ordinal, start, path, call)

        def durable(error: StoreFailed | None) -> None:
            if self._in_flight.get(key) is not effect:
                return
            if error is not None or self.is_stopping:
                self._forget(effect)
            else:
                self._nursery.start_soon(self._perform, effect)

        self._record.when_durable(durable)

    def abandon(self, ordinal: int, start: int) -> None:
        """Tell an effect to stop, if it can be told, and drop its outcome."""
        effect = self._in_flight.pop((ordinal, start), None)
        if effect is not None and effect.scope is not None and effect.call.is_async:
            effect.scope.cancel()

    async def none_in_flight(self) -> None:
        """Wait until no effect is in flight and no outcome waits for its commit."""
        while self._in_flight:
            self._none = trio.Event()
            await self._none.wait()

    def _forget(self, effect: Effect) -> None:
        key = (effect.ordinal, effect.start)
        if self._in_flight.get(key) is effect:
            del self._in_flight[key]
            if not self._in_flight:
                self._none.set()

    def is_in_flight(self, ordinal: int) -> bool:
        """Whether a worker has an effect in flight."""
        return any(key[0] == ordinal for key in self._in_flight)

    def deliver_again(self) -> None:
        """After a failed commit, append again the outcomes that were not durable."""
        for effect in list(self._in_flight.values()):
            if effect.outcome is not None:
                self._hand_over(effect, effect.outcome)

    def cancel_all(self) -> None:
        """Stop every effect; their outcomes are dropped, and they are performed again after a restart."""
        in_flight, self._in_flight = self._in_flight, {}
        self._none.set()
        for effect in in_flight.values():
            if effect.scope is not None:
                effect.scope.cancel()

    async def _perform(self, effect: Effect) -> None:
        with trio.CancelScope() as effect.scope:
            if self._in_flight.get((effect.ordinal, effect.start)) is effect:
                outcome = await self._attempts(effect)
                self._hand_over(effect, outcome)

    def _hand_over(self, effect: Effect, outcome: Outcome) -> None:
        key = (effect.ordinal, effect.start)
        if self._in_flight.get(key) is not effect:
            return
        effect.outcome = outcome
        self._deliver(effect.ordinal, effect.start, outcome)

        def durable(error: StoreFailed | None) -> None:
            if error is None:
                self._forget(effect)

        self._record.when_durable(durable)

    async def _attempts(self, effect: Effect) -> Outcome:
        """Perform an effect until it succeeds, fails for good or is out of attempts."""
        call = effect.call
        attempt = 0
        while True:
            attempt += 1
            try:
                return Value(await self._once(call))
            except TerminalError as error:
                return Failure(error.kind, str(error), error.code)
            except trio.Cancelled:
                raise
            except (Exception, BaseExceptionGroup) as error:
                why = f"{type(error).__name__}: {error}"
                delay_seconds = call.retry.delay_seconds(attempt, self._jitter())
                self._log.warning(
                    "run_failed",
                    worker=effect.path,
                    index=effect.start,
                    run=call.name,
                    attempt=attempt,
                    error=why,
                    retry_seconds=delay_seconds,
                    traceback="".join(traceback.format_exception(error)) if delay_seconds is None else None,
                )
                if delay_seconds is None:
                    return Failure("terminal", f"{call.name} failed after {attempt} attempts: {why}", 500)
                await trio.sleep(delay_seconds)

    async def _once(self, call: RunCall) -> bytes:
        """Perform one attempt and return its result, encoded.

        Raises:
          TimeoutError: it took longer than the call's timeout.
        """
        self.performed_count += 1
        with trio.CancelScope() as scope:
            if call.timeout is not None:
                scope.deadline = trio.current_time() + call.timeout
            if call.is_async:
                result = await call.function(*call.args)
            elif self._inline:
                result = call.function(*call.args)
            else:
                result = await trio.to_thread.run_sync(
                    call.function, *call.args, abandon_on_cancel=True, limiter=self._limiter
                )
        if scope.cancelled_caught:
            raise TimeoutError(f"no result after {call.timeout} s")
        return call.encode(result)
