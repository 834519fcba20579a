"""The side effects of `run`: performed after the commit that holds their `Started`, their outcomes delivered once.

An effect is known by worker and index, whether or not its worker is in memory. Its outcome is kept until the `Ended`
that holds it is durable; after a failed commit it is appended again, never performed again.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import structlog
import trio

from promissory.executor.commits.record import Record
from promissory.executor.hostcalls.threads import Threads
from promissory.executor.telemetry import tracebacks
from promissory.oplog.entries import Failure, Outcome, Value
from promissory.oplog.errors import StoreFailed, TerminalError, readable, say
from promissory.workers.machine.ending import failure_of
from promissory.workers.machine.runs import RunCall

PERFORMERS_IDLE_MAX = 64
"""How many tasks are kept for further asynchronous functions."""


class Deliver(Protocol):
    """Appends the `Ended` of a finished effect, as a unit."""

    def __call__(self, ordinal: int, start: int, outcome: Outcome) -> bool:
        """Append it; return whether that could be done."""


class Effect:
    """One side effect: about to be performed, being performed, or finished and not yet durable."""

    __slots__ = ("call", "is_abandoned", "is_begun", "is_delivered", "ordinal", "outcome", "path", "scope", "start")

    def __init__(self, ordinal: int, start: int, path: str, call: RunCall) -> None:
        self.ordinal = ordinal
        self.start = start
        self.path = path
        self.call = call
        self.scope: trio.CancelScope | None = None
        self.outcome: Outcome | None = None
        self.is_begun = False
        self.is_delivered = False
        """Whether the `Ended` with its outcome is appended."""
        self.is_abandoned = False
        """Given up by a step that is not durable yet: it is neither begun, nor stopped, nor its outcome appended."""


class Effects:
    """All effects in flight.

    Args:
      record: tells when a commit is durable.
      nursery: where effects are performed.
      deliver: appends an outcome.
      threads_max: how many synchronous functions run at the same time.
      payload_bytes_max: the longest result that is recorded.
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
        payload_bytes_max: int = 8 << 20,
        inline: bool = False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._record = record
        self._nursery = nursery
        self._deliver = deliver
        self._threads = None if inline else Threads(threads_max)
        self._payload_bytes_max = payload_bytes_max
        self._jitter = jitter
        self._in_flight: dict[tuple[int, int], Effect] = {}
        self._waiting: deque[Effect] = deque()
        self._idle: list[trio.Event] = []
        self._is_waking = False
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
            elif not effect.is_abandoned:
                effect.is_begun = True
                self._begin(effect)

        self._record.on_dropped(partial(self._forget, effect))
        self._record.when_durable(durable)

    def abandon(self, ordinal: int, start: int) -> None:
        """Once it is durable that an effect was given up, tell it to stop, if it can be told, and drop its outcome."""
        effect = self._in_flight.get((ordinal, start))
        if effect is None:
            return
        effect.is_abandoned = True

        def dropped() -> None:
            effect.is_abandoned = False

        def durable(error: StoreFailed | None) -> None:
            if error is not None and effect.is_begun:
                # The step that gave it up never was; an outcome that came meanwhile is delivered after the backoff.
                effect.is_abandoned = False
                return
            self._forget(effect)
            if effect.scope is not None and effect.call.is_async:
                effect.scope.cancel()

        self._record.on_dropped(dropped)
        self._record.when_durable(durable)

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
            if effect.outcome is not None and not effect.is_delivered:
                self._hand_over(effect, effect.outcome)

    def cancel_all(self) -> None:
        """Stop every effect; their outcomes are dropped, and they are performed again after a restart."""
        in_flight, self._in_flight = self._in_flight, {}
        self._none.set()
        for effect in in_flight.values():
            if effect.scope is not None:
                effect.scope.cancel()

    def close(self) -> None:
        """Let the threads end."""
        if self._threads is not None:
            self._threads.close()

    # Performing.

    def _begin(self, effect: Effect) -> None:
        call = effect.call
        if self._threads is None or call.is_async or call.timeout is not None:
            self._waiting.append(effect)
            self._wake_performer()
        else:
            self.performed_count += 1
            self._threads.submit(call.function, call.args, partial(self._returned, effect))

    def _wake_performer(self) -> None:
        if self._is_waking:
            return
        self._is_waking = True
        if self._idle:
            self._idle.pop().set()
        else:
            self._nursery.start_soon(self._performer)

    async def _performer(self) -> None:
        """Perform one effect after another; one that blocks holds up this task only, since it has woken the next.

        An effect that never blocks costs no task of its own, which is half of what it would cost otherwise.
        """
        while True:
            self._is_waking = False
            while self._waiting:
                effect = self._waiting.popleft()
                if self._waiting:
                    self._wake_performer()
                await self._perform(effect)
            if len(self._idle) >= PERFORMERS_IDLE_MAX:
                return
            woken = trio.Event()
            self._idle.append(woken)
            await woken.wait()

    async def _perform(self, effect: Effect, attempt: int = 1, delay_seconds: float = 0) -> None:
        """Perform an effect, from an attempt on, until it has an outcome; hand that over."""
        with trio.CancelScope() as effect.scope:
            if delay_seconds:
                await trio.sleep(delay_seconds)
            while self._in_flight.get((effect.ordinal, effect.start)) is effect:
                try:
                    outcome: Outcome | float = Value(await self._once(effect.call))
                except BaseException as error:
                    if isinstance(error, trio.Cancelled):
                        raise
                    if effect.scope.cancel_called:
                        # Told to stop, it raised something of its own: nobody waits for it any more.
                        return
                    outcome = self._failed(effect, attempt, error)
                if not isinstance(outcome, float):
                    self._hand_over(effect, outcome)
                    return
                attempt += 1
                await trio.sleep(outcome)

    async def _once(self, call: RunCall) -> bytes:
        """Perform one attempt and return its result, encoded.

        Raises:
          TimeoutError: it took longer than the call's timeout.
        """
        self.performed_count += 1
        if call.timeout is None and call.is_async:
            return self._encoded(call, await call.function(*call.args))
        with trio.CancelScope() as scope:
            if call.timeout is not None:
                scope.deadline = trio.current_time() + call.timeout
            if call.is_async:
                result = await call.function(*call.args)
            elif self._threads is None:
                result = call.function(*call.args)
            else:
                result = await trio.to_thread.run_sync(call.function, *call.args, abandon_on_cancel=True)
        if scope.cancelled_caught:
            raise TimeoutError(f"no result after {call.timeout} s")
        return self._encoded(call, result)

    def _encoded(self, call: RunCall, result: Any) -> bytes:
        """Return a result as it is recorded.

        Raises:
          TerminalError: it cannot be encoded, or is over the limit of a payload: trying again changes neither.
        """
        data = call.encode(result)
        if len(data) > self._payload_bytes_max:
            raise TerminalError(f"{call.name} returned {len(data)} bytes, the limit is {self._payload_bytes_max}")
        return data

    def _returned(self, effect: Effect, result: Any, error: BaseException | None) -> None:
        """Account for the first attempt of a synchronous function; further ones have a task to wait in."""
        if self._in_flight.get((effect.ordinal, effect.start)) is not effect:
            return
        outcome: Outcome | float
        try:
            if error is not None:
                raise error
            outcome = Value(self._encoded(effect.call, result))
        except BaseException as raised:
            outcome = self._failed(effect, 1, raised)
        if isinstance(outcome, float):
            self._nursery.start_soon(self._perform, effect, 2, outcome)
        else:
            self._hand_over(effect, outcome)

    def _failed(self, effect: Effect, attempt: int, error: BaseException) -> Outcome | float:
        """Return the outcome of a failed attempt if it was the last, else the seconds until the next."""
        if isinstance(error, TerminalError):
            return self._recorded(failure_of(error))
        call = effect.call
        why = say(error)
        delay_seconds = call.retry.delay_seconds(attempt, self._jitter())
        self._log.warning(
            "run_failed",
            worker=effect.path,
            index=effect.start,
            run=call.name,
            attempt=attempt,
            error=why,
            retry_seconds=delay_seconds,
            traceback=tracebacks.of_error(error) if delay_seconds is None else None,
        )
        if delay_seconds is None:
            return Failure("terminal", f"{call.name} failed after {attempt} attempts: {why}", 500)
        return delay_seconds

    def _recorded(self, failure: Failure) -> Failure:
        """Return a failure whose message has the limit of a payload."""
        size_bytes = len(failure.message.encode())
        if size_bytes <= self._payload_bytes_max:
            return failure
        return Failure(failure.kind, f"{readable(failure.message)} (its message had {size_bytes} bytes)", failure.code)

    def _hand_over(self, effect: Effect, outcome: Outcome) -> None:
        key = (effect.ordinal, effect.start)
        if self._in_flight.get(key) is not effect:
            return
        effect.outcome = outcome
        if effect.is_abandoned:
            return
        effect.is_delivered = True
        if not self._deliver(effect.ordinal, effect.start, outcome):
            # Kept until the restart: performing it again would do twice what it did once.
            effect.is_delivered = False
            return

        def durable(error: StoreFailed | None) -> None:
            if error is None:
                self._forget(effect)
            else:
                effect.is_delivered = False

        self._record.when_durable(durable, hurries=False)
