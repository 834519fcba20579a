"""How an invocation ends: returned, failed, cancelled, too large, or dropped from memory.

Whatever the way, nothing of it stays behind: its coroutines have ended, its open host calls are abandoned (dropping
aside, which records nothing), and `Completed` comes last.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from promissory.oplog.entries import Abandoned, Completed, Failure, Value
from promissory.oplog.errors import TerminalError, say
from promissory.workers.guard import Context, current
from promissory.workers.machine.futures import DONE, FAILED, PENDING, Cancelled, Invocation, Task, given_up

if TYPE_CHECKING:
    from promissory.workers.machine.machine import Machine

CANCEL_ROUNDS_MAX = 100
"""How often the coroutines that a handler leaves behind may await on after `Cancelled`."""

CODE_MAX = 2**31 - 1

CANCELLED = Failure("cancelled", "the invocation was cancelled", 409)


class Closing(Context):
    """Coroutines are dropped: whatever they still ask for is refused."""

    __slots__ = ()

    def refused(self) -> BaseException:
        """Return a `BaseException`, so that a `finally` that tries and tries again comes to its end."""
        return Cancelled(f"{self.describe()}: {self.refusal}")


def end(machine: Machine, invocation: Invocation, task: Task[Any], state: int, outcome: Any) -> None:
    """A coroutine returned or raised: tell its waiters, or people if nobody waits for its error any more."""
    task.ended = True
    if invocation.tasks:
        invocation.tasks.pop(task.coroutine, None)
    if task._state == PENDING:
        task._settle(state, outcome)
    elif state == FAILED and not isinstance(outcome, Cancelled) and not machine.too_large:
        machine.logs.append(("warning", f"a coroutine that was given up raised {say(outcome)}"))


def complete(machine: Machine, invocation: Invocation, main: Task[Any]) -> None:
    """The handler returned or raised: abandon what it left open and output its outcome.

    Raises:
      BaseException: what left the handler, if it is not terminal.
    """
    outcome = _outcome(invocation, main)
    if invocation.tasks:
        _cancel_tasks(machine, invocation)
    for start in list(invocation.calls):
        machine.abandon(start)
    size_bytes = len(outcome.message) if isinstance(outcome, Failure) else len(outcome.data or b"")
    if not machine.fits(size_bytes):
        fail_too_large(machine, invocation)
        return
    machine.outputs.append(Completed(machine.timestamp, invocation.index, outcome))
    release(machine, invocation)


def force(machine: Machine, invocation: Invocation) -> None:
    """Complete as cancelled without asking the handler."""
    close(machine, invocation)
    for start in list(invocation.calls):
        machine.abandon(start)
    machine.outputs.append(Completed(machine.timestamp, invocation.index, CANCELLED))
    release(machine, invocation)


def fail_too_large(machine: Machine, invocation: Invocation) -> None:
    """Put in place of the step's outputs the end of what was open before it, and the failure."""
    dropped = [output.start for output in machine.outputs if type(output) is Abandoned]
    open_before = sorted(start for start in (*invocation.calls, *dropped) if start <= machine.base)
    close(machine, invocation)
    for opened in (machine.open_runs, machine.open_asks, machine.open_calls):
        opened.clear()
    machine.logs = []
    machine.outputs = [Abandoned(machine.timestamp, start) for start in open_before]
    failure = Failure("terminal", machine.too_large, 500)
    machine.outputs.append(Completed(machine.timestamp, invocation.index, failure))
    release(machine, invocation)


def close(machine: Machine, invocation: Invocation) -> None:
    """Close every coroutine that has not ended; nothing that they do then is recorded."""
    outer = current.context
    current.context = Closing(machine.describe(), "it is closed and nothing is recorded any more")
    try:
        for task in (invocation.main, *invocation.tasks.values()):
            if task is not None and not task.ended:
                task.ended = True
                with contextlib.suppress(BaseException):
                    invocation.context.copy().run(task.coroutine.close)
    finally:
        current.context = outer


def release(machine: Machine, invocation: Invocation) -> None:
    """Break the cycles between an invocation and its coroutines, so that no collector is needed."""
    machine.invocation = None
    invocation.main = None
    if invocation.ready:
        invocation.ready.clear()
    if invocation.tasks:
        invocation.tasks.clear()
    if invocation.calls:
        invocation.calls.clear()


def failure_of(error: TerminalError) -> Failure:
    """Return a terminal error as it is recorded: its kind, its message as valid Unicode, its code."""
    try:
        message = str(error).encode(errors="backslashreplace").decode()
        code = int(error.code)
        if not -CODE_MAX <= code <= CODE_MAX:
            raise OverflowError
    except Exception as broken:
        message, code = f"{type(error).__name__} whose message cannot be had: {type(broken).__name__}", 500
    return Failure(error.kind, message, code)


def _outcome(invocation: Invocation, main: Task[Any]) -> Value | Failure:
    if main._state == DONE:
        try:
            return Value(invocation.handler.result.encode(main._outcome))
        except TerminalError as error:
            return failure_of(error)
    raised: BaseException = main._outcome
    if isinstance(raised, TerminalError):
        return failure_of(raised)
    if isinstance(raised, Cancelled) and invocation.cancelled:
        return CANCELLED
    raise raised


def _cancel_tasks(machine: Machine, invocation: Invocation) -> None:
    """Have every coroutine that is left behind find `Cancelled` at its await, until all have ended."""
    for _ in range(CANCEL_ROUNDS_MAX):
        for task in list(invocation.tasks.values()):
            if task._state == PENDING:
                task._state, task._outcome = FAILED, given_up()
            task.interrupt()
        machine.drain(invocation)
        if not invocation.tasks or machine.too_large:
            return
    raise RuntimeError(f"{machine.describe()} left coroutines behind that await on and on after `Cancelled`")
