"""The pure state machine around one worker: inputs are applied, outputs come back.

1. One call of `begin`, `apply` or `complete` is one step. It runs every ready coroutine, first in first out, until all
   wait or the invocation is complete; `Completed` is always its last output.
2. A step does no I/O and reads no clock: time, randomness and indices come from its inputs and its base index.
3. It quiesces or it raises; after it raised the machine is dead.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from promissory.oplog.entries import (
    Abandoned,
    Ask,
    Cancelled,
    Completed,
    Created,
    Ended,
    Entry,
    Invoked,
    Request,
    Started,
)
from promissory.oplog.errors import BadHandler
from promissory.oplog.ids import OplogIndex, WorkerId
from promissory.workers.guard import Context, current, install, looks_like_a_missing_loop
from promissory.workers.machine import ending, waiting
from promissory.workers.machine.futures import DONE, FAILED, PENDING, DurableFuture, HostCall, Invocation, Task

if TYPE_CHECKING:
    from promissory.workers.component import Component, Handler
    from promissory.workers.machine.runs import RunCall

T = TypeVar("T")

STEP_OUTPUTS_MAX = 4096
STEP_BYTES_MAX = 16 * 1024 * 1024


class StepTooLarge(BaseException):
    """Leaves a handler whose step is past a limit; the invocation has already failed."""


class Machine(Context):
    """One worker instance and its running invocation, if any.

    Raises:
      BadArguments: the recorded arguments do not fit the constructor (any more).
      NonDeterminismError: the constructor reaches past its host.
    """

    __slots__ = (
        "base",
        "cancels",
        "component",
        "created",
        "instance",
        "invocation",
        "logs",
        "open_asks",
        "open_calls",
        "open_runs",
        "outputs",
        "room",
        "room_bytes",
        "time",
        "timestamp",
        "too_large",
        "waited",
    )

    def __init__(self, component: Component, created: Created) -> None:
        super().__init__("", "")
        install()
        self.component = component
        self.created = created
        self.instance = component.construct(created.args)
        self.invocation: Invocation | None = None
        self.open_runs: dict[OplogIndex, RunCall] = {}
        """Side effects without an outcome that the running invocation still waits for."""
        self.open_asks: dict[OplogIndex, Ask] = {}
        """Queries of other workers without an answer, likewise."""
        self.open_calls: dict[OplogIndex, WorkerId] = {}
        """Calls of workers without an outcome and who was called, likewise; oldest first."""
        self.waited: dict[OplogIndex, WorkerId] | None = None
        """Those of the open calls that alone are awaited, if that has been found out and still holds."""
        self.cancels: list[OplogIndex] = []
        """Calls that the step's `Cancelled` gave up while they were awaited."""
        self.time = created.timestamp
        """The greatest timestamp of the inputs applied so far."""
        self.base = 0
        self.timestamp = 0
        self.outputs: list[Entry] = []
        self.logs: list[tuple[str, str]] = []
        self.room = STEP_OUTPUTS_MAX
        """How many more host calls and log lines the step may have; below 0 it is past its limit, as with bytes."""
        self.room_bytes = STEP_BYTES_MAX
        self.too_large = ""
        """Why the step is past a limit, if it is."""

    def describe(self) -> str:
        """Name the handler that runs."""
        handler = "?" if self.invocation is None else self.invocation.entry.function
        return f"handler `{handler}` of `{self.component.name}`"

    # Steps

    def begin(self, index: OplogIndex, invoked: Invoked, queued: int, base: int, timestamp: int) -> list[Entry]:
        """Begin an invocation.

        Args:
          index: where it was invoked.
          invoked: the entry there.
          queued: when it was queued: the timestamp of that entry or, if it was delayed, of the end of its delay.
          base: the index before that of the first output.
          timestamp: the outputs' own.

        Raises:
          BadHandler: the class has no such handler (any more).
          BadArguments: the recorded parameters do not fit it (any more).
          NonDeterminismError: the handler reached past its host.
          BaseException: whatever left the handler without being terminal.
        """
        self._open_step(queued, base, timestamp)
        outer = current.context
        current.context = self
        try:
            handler = self._handler(invoked.function)
            args, kwargs = handler.parameters.decode(invoked.params)
            invocation = self.invocation = Invocation(self, index, invoked, handler)
            invocation.main = Task(invocation, handler.function(self.instance, *args, **kwargs))
            invocation.context.run(self._run, invocation)
        finally:
            current.context = outer
            if self.violated is not None:
                raise self.violated
        return self.outputs

    def apply(self, entry: Entry, base: int, timestamp: int, *, force: bool = False) -> list[Entry]:
        """Apply an `Ended` or `Cancelled`; one that concerns nothing open has no outputs.

        Args:
          entry: the input.
          base: the index before that of the first output.
          timestamp: the outputs' own.
          force: complete a cancelled invocation without asking its handler.

        Raises:
          NonDeterminismError: the handler reached past its host.
          BaseException: whatever left the handler without being terminal.
        """
        self._open_step(entry.timestamp, base, timestamp)
        invocation = self.invocation
        if invocation is None:
            return self.outputs
        outer = current.context
        current.context = self
        try:
            if type(entry) is Ended:
                call = invocation.calls.pop(entry.start, None)
                if call is None:
                    return self.outputs
                if self.open_calls:
                    self.open_calls.pop(entry.start, None)
                    call.end(entry.outcome)
                    self._narrow(invocation, entry.start)
                else:
                    call.end(entry.outcome)
                if invocation.ready:
                    invocation.context.run(self._run, invocation)
            else:
                self._cancel(invocation, entry, force)
        finally:
            current.context = outer
            if self.violated is not None:
                raise self.violated
        return self.outputs

    def complete(self, index: OplogIndex, entry: Entry, base: int, timestamp: int) -> list[Entry]:
        """Complete as cancelled an invocation that has not begun."""
        self._open_step(entry.timestamp, base, timestamp)
        return [Completed(timestamp, index, ending.CANCELLED)]

    def close(self) -> None:
        """Drop the running invocation's coroutines; what their `finally` blocks ask of the host is refused."""
        if self.invocation is not None:
            ending.close(self, self.invocation)
            ending.release(self, self.invocation)

    # What host functions need

    def start(self, request: Request, size_bytes: int, decode: Callable[[Any], T]) -> HostCall[T]:
        """Output a `Started` and return the future of its `Ended`."""
        invocation = self.invocation
        assert invocation is not None
        start = self.emit(request, size_bytes)
        call = invocation.calls[start] = HostCall(invocation, start, decode)
        return call

    def emit(self, request: Request, size_bytes: int) -> OplogIndex:
        """Output a `Started` and return its index.

        Raises:
          StepTooLarge: the step is past a limit.
        """
        self.room = room = self.room - 1
        self.room_bytes = room_bytes = self.room_bytes - size_bytes
        if room < 0 or room_bytes < 0:
            raise self._overfull()
        outputs = self.outputs
        outputs.append(Started(self.timestamp, self.invocation.index, request))  # type: ignore[union-attr]
        return OplogIndex(self.base + len(outputs))

    def log(self, level: str, message: str) -> None:
        """Note a line for people.

        Raises:
          StepTooLarge: the step is past a limit.
        """
        self.room -= 1
        if self.room < 0 or not self.fits(len(message)):
            raise self._overfull()
        self.logs.append((level, message))

    def fits(self, size_bytes: int) -> bool:
        """Count so many bytes and see whether the step is still within its limits."""
        self.room_bytes -= size_bytes
        if self.room_bytes < 0:
            self._overfull()
        return not self.too_large

    def abandon(self, start: OplogIndex) -> None:
        """Output that nobody waits for a host call any more."""
        if self.invocation is not None and self.invocation.calls.pop(start, None) is not None:
            self.open_runs.pop(start, None)
            self.open_asks.pop(start, None)
            self.open_calls.pop(start, None)
            self.outputs.append(Abandoned(self.timestamp, start))

    def waited_calls(self) -> tuple[tuple[OplogIndex, WorkerId], ...] | None:
        """Return the calls that alone can let the running invocation go on, oldest first; see `Player`."""
        if not self.open_calls or self.invocation is None:
            return None
        if self.waited is None:
            self.waited = waiting.awaited_alone(self.invocation, self.open_calls)
        return tuple(self.waited.items()) if self.waited else None

    def random(self) -> random.Random:
        """Return the running invocation's own randomness."""
        invocation = self.invocation
        assert invocation is not None
        if invocation.random is None:
            digest = hashlib.sha256(self.created.seed + invocation.index.to_bytes(8, "big")).digest()
            invocation.random = random.Random(int.from_bytes(digest, "big"))
        return invocation.random

    # Within a step

    def _open_step(self, time: int, base: int, timestamp: int) -> None:
        if time > self.time:
            self.time = time
        self.base = base
        self.timestamp = timestamp
        self.outputs = []
        self.logs = []
        if self.cancels:
            self.cancels = []
        self.room = STEP_OUTPUTS_MAX
        self.room_bytes = STEP_BYTES_MAX
        self.too_large = ""

    def _overfull(self) -> StepTooLarge:
        self.too_large = (
            f"{self.describe()} did too much in one step: more than {STEP_OUTPUTS_MAX} host calls and log lines "
            f"or {STEP_BYTES_MAX} bytes"
        )
        return StepTooLarge(self.too_large)

    def _handler(self, function: str) -> Handler:
        handler = self.component.handlers.get(function)
        if handler is None or handler.kind != "handler":
            raise BadHandler(f"{self.component.name} has no handler {function!r} (any more)")
        return handler

    def _cancel(self, invocation: Invocation, entry: Entry, force: bool) -> None:
        """Have the handler find `Cancelled` at its await; the second time it is not asked any more."""
        assert type(entry) is Cancelled
        if entry.invocation != invocation.index:
            return
        calls = waiting.awaited(invocation, self.open_calls)
        self.waited = None
        if invocation.cancelled or force:
            ending.force(self, invocation)
        else:
            invocation.cancelled = True
            assert invocation.main is not None
            invocation.main.interrupt()
            invocation.context.run(self._run, invocation)
        self.cancels = [o.start for o in self.outputs if type(o) is Abandoned and o.start in calls]

    def _narrow(self, invocation: Invocation, start: OplogIndex) -> None:
        """Note that a call is not awaited any more; if more than that happens, all is to be found out again."""
        if invocation.ready or self.outputs:
            self.waited = None
        elif self.waited is not None:
            self.waited.pop(start, None)

    def _run(self, invocation: Invocation) -> None:
        main = invocation.main
        assert main is not None
        self.drain(invocation, main)
        if self.too_large:
            ending.fail_too_large(self, invocation)
        elif main.ended:
            ending.complete(self, invocation, main)
        elif not invocation.calls:
            raise RuntimeError(f"{self.describe()} waits for itself: no host call is open that could wake it")

    def drain(self, invocation: Invocation, until: Task[Any] | None = None) -> None:
        """Run the ready coroutines, first in first out, each up to its next await or its end.

        Args:
          invocation: theirs.
          until: stop when this one has ended.
        """
        ready = invocation.ready
        while ready:
            task = ready.popleft()
            try:
                if task.throw is None:
                    awaited = task.coroutine.send(None)
                else:
                    throw, task.throw = task.throw, None
                    awaited = task.coroutine.throw(throw)
            except StopIteration as stop:
                ending.end(self, invocation, task, DONE, stop.value)
            except BaseException as error:
                if self.violated is None and looks_like_a_missing_loop(error):
                    self.violation("enters an event loop")
                ending.end(self, invocation, task, FAILED, error)
            else:
                if not isinstance(awaited, DurableFuture):
                    raise self.violation(f"awaits something that is not durable ({type(awaited).__name__})")
                if awaited._invocation is not invocation:
                    raise self.violation("awaits a future of another invocation")
                if awaited._state != PENDING or task.throw is not None:
                    ready.append(task)
                else:
                    task.awaits = awaited
                    if awaited._waiters is None:
                        awaited._waiters = [task]
                    else:
                        awaited._waiters.append(task)
            if self.too_large or (task is until and task.ended):
                return
