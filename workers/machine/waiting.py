"""What a running invocation waits for: the host calls that could let it go on.

A host call counts if a coroutine awaits it, itself or through `gather`, `race`, `wait_for`. One that nobody awaits
lets nobody go on.
"""

from __future__ import annotations

from typing import Any

from promissory.oplog.ids import OplogIndex, WorkerId
from promissory.workers.machine.futures import DurableFuture, Invocation, Task


def is_awaited(future: DurableFuture[Any]) -> bool:
    """Tell whether a coroutine waits for a future, through whatever is made of it."""
    seen = {future}
    reached = [future]
    while reached:
        for waiter in reached.pop()._waiters or ():
            if isinstance(waiter, Task):
                return True
            if waiter not in seen:
                seen.add(waiter)
                reached.append(waiter)
    return False


def awaited(invocation: Invocation, calls: dict[OplogIndex, WorkerId]) -> dict[OplogIndex, WorkerId]:
    """Return those of the open calls of workers that are awaited, oldest first."""
    return {start: worker for start, worker in calls.items() if is_awaited(invocation.calls[start])}


def awaited_alone(invocation: Invocation, calls: dict[OplogIndex, WorkerId]) -> dict[OplogIndex, WorkerId] | None:
    """Return the open calls of workers that are awaited if nothing else is, else None.

    Args:
      invocation: the running one.
      calls: all its open calls and the workers called, oldest first.
    """
    others = len(invocation.calls) - len(calls)
    # The latest first: the timer of a `wait_for` comes after all that it may cut short.
    for start in reversed(invocation.calls):
        if not others:
            break
        if start not in calls:
            if is_awaited(invocation.calls[start]):
                return None
            others -= 1
    return awaited(invocation, calls) or None
