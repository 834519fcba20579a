"""What a handler awaits: futures that are settled by the record, or by coroutines of the worker's own.

1. A future belongs to one invocation and is settled at most once, in the order of the oplog.
2. Settling never runs code of the worker: it tells composites at once and queues coroutines behind all that are ready.
3. Giving up goes from the waiter down: a future that nobody else waits for, and that is still open, is given up too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from promissory.oplog.entries import Failure, Invoked, SameAs, Value
from promissory.oplog.errors import TerminalError, terminal_error
from promissory.oplog.ids import OplogIndex
from promissory.workers.guard import current

if TYPE_CHECKING:
    from random import Random

    from promissory.workers.component import Handler
    from promissory.workers.machine.machine import Machine

T = TypeVar("T")

PENDING, DONE, FAILED = 0, 1, 2


class Cancelled(BaseException):
    """Nobody waits for this coroutine any more: clean up and let it leave.

    A `BaseException`, so that `except Exception` does not swallow it.
    """


class Invocation:
    """All that one running invocation has open.

    It has context variables of its own (the precision of `decimal` is one): what a handler sets there, no other
    invocation sees, live as in replay.
    """

    __slots__ = (
        "calls",
        "cancelled",
        "context",
        "entry",
        "handler",
        "index",
        "machine",
        "main",
        "random",
        "ready",
        "tasks",
    )

    def __init__(self, machine: Machine, index: OplogIndex, entry: Invoked, handler: Handler) -> None:
        self.machine = machine
        self.index = index
        self.entry = entry
        self.handler = handler
        self.context = Context()
        self.main: Task[Any] | None = None
        self.ready: deque[Task[Any]] = deque()
        self.tasks: dict[Coroutine[Any, Any, Any], Task[Any]] = {}
        """Coroutines handed to `gather`, `race`, `wait_for` that have not ended, in the order they came."""
        self.calls: dict[OplogIndex, HostCall[Any]] = {}
        """Host calls without an outcome, by the index of their `Started`, in order."""
        self.random: Random | None = None
        self.cancelled = False


class DurableFuture(Generic[T]):
    """What a host function returns: already under way, and awaited when its value is needed."""

    __slots__ = ("_invocation", "_outcome", "_state", "_waiters")

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._state = PENDING
        self._outcome: Any = None
        self._waiters: list[Any] | None = None

    def __await__(self) -> Generator[DurableFuture[T], None, T]:
        if self._state == PENDING:
            if current.context is not self._invocation.machine:
                raise RuntimeError("a durable future can only be awaited by the handler that made it")
            yield self
        if self._state == DONE:
            value: T = self._outcome
            return value
        raise self._outcome

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {('pending', 'done', 'failed')[self._state]}>"

    def _settle(self, state: int, outcome: Any) -> None:
        self._state = state
        self._outcome = outcome
        waiters = self._waiters
        if waiters:
            self._waiters = None
            for waiter in waiters:
                waiter._wake(self)

    def _drop(self) -> None:
        """Give up: nobody waits any more."""
        raise NotImplementedError


def give_up(future: DurableFuture[Any], by: Task[Any] | Composite[Any]) -> None:
    """One waiter turns away; the last one to do so gives the future up, if it is still open."""
    waiters = future._waiters
    if waiters is not None and by in waiters:
        waiters.remove(by)
    if not waiters and future._state == PENDING:
        future._drop()


def given_up() -> RuntimeError:
    """Return the error of awaiting what was given up before."""
    return RuntimeError("this future was given up: nobody waited for it any more")


class HostCall(DurableFuture[T]):
    """A `Started` that waits for its `Ended`."""

    __slots__ = ("_decode", "_start")

    def __init__(self, invocation: Invocation, start: OplogIndex, decode: Callable[[Any], T]) -> None:
        self._invocation = invocation
        self._state = PENDING
        self._outcome = None
        self._waiters = None
        self._start = start
        self._decode = decode

    def end(self, outcome: Value | Failure | SameAs) -> None:
        """Settle with a recorded outcome; a value that the code cannot read fails the await terminally."""
        if type(outcome) is Value:
            try:
                self._outcome = self._decode(outcome.data)
            except TerminalError as error:
                self._settle(FAILED, error)
                return
            except (ValueError, TypeError) as error:
                self._settle(FAILED, TerminalError(f"the recorded outcome cannot be read: {error}"))
                return
            self._state = DONE
            waiters = self._waiters
            if waiters is not None:
                self._waiters = None
                for waiter in waiters:
                    waiter._wake(self)
        elif type(outcome) is Failure:
            self._settle(FAILED, terminal_error(outcome.kind, outcome.message, outcome.code))
        else:
            raise TypeError(f"{outcome!r} refers to another entry: the host resolves that")

    def _drop(self) -> None:
        self._state = FAILED
        self._outcome = given_up()
        self._invocation.machine.abandon(self._start)


class Task(DurableFuture[T]):
    """A coroutine that the machine steps: a handler's, or one handed to `gather`, `race`, `wait_for`.

    It is in the invocation's `ready` queue exactly while it is neither ended, nor running, nor awaiting a future.
    """

    __slots__ = ("awaits", "coroutine", "ended", "throw")

    def __init__(self, invocation: Invocation, coroutine: Coroutine[Any, Any, T]) -> None:
        super().__init__(invocation)
        self.coroutine = coroutine
        self.awaits: DurableFuture[Any] | None = None
        self.throw: BaseException | None = None
        self.ended = False
        invocation.ready.append(self)

    def _wake(self, future: DurableFuture[Any]) -> None:
        if self.awaits is future:
            self.awaits = None
            self._invocation.ready.append(self)

    def interrupt(self) -> None:
        """Give up what the coroutine awaits and have it find `Cancelled` there."""
        self.throw = Cancelled()
        awaited = self.awaits
        if awaited is not None:
            self.awaits = None
            give_up(awaited, self)
            self._invocation.ready.append(self)

    def _drop(self) -> None:
        self._state = FAILED
        self._outcome = given_up()
        self.interrupt()


class Composite(DurableFuture[T]):
    """A future made of others, which it waits for and gives up."""

    __slots__ = ("_children",)

    def __init__(self, invocation: Invocation, children: list[DurableFuture[Any]]) -> None:
        super().__init__(invocation)
        self._children = children

    def _watch(self) -> None:
        for child in self._children:
            if child._state == PENDING:
                if child._waiters is None:
                    child._waiters = []
                child._waiters.append(self)
        for child in self._children:
            if child._state != PENDING and self._state == PENDING:
                self._wake(child)

    def _wake(self, child: DurableFuture[Any]) -> None:
        raise NotImplementedError

    def _give_up_children(self) -> None:
        for child in self._children:
            if child._state == PENDING:
                give_up(child, self)

    def _drop(self) -> None:
        self._state = FAILED
        self._outcome = given_up()
        self._give_up_children()


class Gather(Composite[tuple[Any, ...]]):
    """All values in argument order, or the first error."""

    __slots__ = ("_missing",)

    def __init__(self, invocation: Invocation, children: list[DurableFuture[Any]]) -> None:
        super().__init__(invocation, children)
        self._missing = len(children)
        if children:
            self._watch()
        else:
            self._settle(DONE, ())

    def _wake(self, child: DurableFuture[Any]) -> None:
        if self._state != PENDING:
            return
        if child._state == FAILED:
            self._state = FAILED
            self._give_up_children()
            self._settle(FAILED, child._outcome)
            return
        self._missing -= 1
        if not self._missing:
            self._settle(DONE, tuple(c._outcome for c in self._children))


class Race(Composite[tuple[int, Any]]):
    """The position and value of the first outcome, or its error."""

    __slots__ = ()

    def __init__(self, invocation: Invocation, children: list[DurableFuture[Any]]) -> None:
        super().__init__(invocation, children)
        self._watch()

    def _wake(self, child: DurableFuture[Any]) -> None:
        if self._state != PENDING:
            return
        self._state = child._state
        self._give_up_children()
        outcome = child._outcome
        self._settle(child._state, (self._children.index(child), outcome) if child._state == DONE else outcome)


class WaitFor(Composite[T]):
    """The outcome of the first child, or the error when the second, a timer, comes first."""

    __slots__ = ("_error",)

    def __init__(
        self, invocation: Invocation, child: DurableFuture[T], timer: DurableFuture[Any], error: TerminalError
    ) -> None:
        super().__init__(invocation, [child, timer])
        self._error = error
        self._watch()

    def _wake(self, child: DurableFuture[Any]) -> None:
        if self._state != PENDING:
            return
        state, outcome = child._state, child._outcome
        if child is self._children[1] and state == DONE:
            state, outcome = FAILED, self._error
        self._state = state
        self._give_up_children()
        self._settle(state, outcome)
