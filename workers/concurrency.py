"""`gather`, `race`, `wait_for`: several things at once, by durable futures and coroutines of the worker's own."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar, overload

from promissory.oplog.errors import TimedOut
from promissory.workers.host import machine, start_sleep
from promissory.workers.machine.futures import PENDING, DurableFuture, Gather, Invocation, Race, Task, WaitFor

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
T5 = TypeVar("T5")


@overload
def gather(a: Awaitable[T1], /) -> DurableFuture[tuple[T1]]: ...
@overload
def gather(a: Awaitable[T1], b: Awaitable[T2], /) -> DurableFuture[tuple[T1, T2]]: ...
@overload
def gather(a: Awaitable[T1], b: Awaitable[T2], c: Awaitable[T3], /) -> DurableFuture[tuple[T1, T2, T3]]: ...
@overload
def gather(
    a: Awaitable[T1], b: Awaitable[T2], c: Awaitable[T3], d: Awaitable[T4], /
) -> DurableFuture[tuple[T1, T2, T3, T4]]: ...
@overload
def gather(
    a: Awaitable[T1], b: Awaitable[T2], c: Awaitable[T3], d: Awaitable[T4], e: Awaitable[T5], /
) -> DurableFuture[tuple[T1, T2, T3, T4, T5]]: ...
@overload
def gather(*awaitables: Awaitable[T]) -> DurableFuture[tuple[T, ...]]: ...
def gather(*awaitables: Awaitable[Any]) -> DurableFuture[Any]:
    """Wait for all and return their values in argument order.

    The first error is raised; what is still open then is given up.
    """
    invocation = _invocation()
    return Gather(invocation, [_future(invocation, awaitable) for awaitable in awaitables])


@overload
def race(a: Awaitable[T1], b: Awaitable[T2], /) -> DurableFuture[tuple[int, T1 | T2]]: ...
@overload
def race(a: Awaitable[T1], b: Awaitable[T2], c: Awaitable[T3], /) -> DurableFuture[tuple[int, T1 | T2 | T3]]: ...
@overload
def race(*awaitables: Awaitable[T]) -> DurableFuture[tuple[int, T]]: ...
def race(*awaitables: Awaitable[Any]) -> DurableFuture[Any]:
    """Wait for the first outcome and return its position among the arguments and its value, or raise its error.

    The others are given up.

    Raises:
      ValueError: there is nothing to wait for.
    """
    invocation = _invocation()
    if not awaitables:
        raise ValueError("race() of nothing would never end")
    return Race(invocation, [_future(invocation, awaitable) for awaitable in awaitables])


def wait_for(awaitable: Awaitable[T], seconds: float) -> DurableFuture[T]:
    """Wait at most so many seconds.

    Raises (at the await):
      TimedOut: the time is over; what was waited for is given up.
    """
    here = machine()
    invocation = _invocation()
    child = _future(invocation, awaitable)
    if child._state != PENDING:
        return child
    error = TimedOut(f"timed out after {seconds} s", 408)
    return WaitFor(invocation, child, start_sleep(here, seconds), error)


def _invocation() -> Invocation:
    invocation = machine().invocation
    assert invocation is not None
    return invocation


def _future(invocation: Invocation, awaitable: Awaitable[T]) -> DurableFuture[T]:
    if isinstance(awaitable, DurableFuture):
        if awaitable._invocation is not invocation:
            raise RuntimeError(f"{awaitable!r} belongs to another invocation")
        return awaitable
    if not inspect.iscoroutine(awaitable):
        if not inspect.isawaitable(awaitable):
            raise TypeError(f"{awaitable!r} is neither a durable future nor a coroutine")
        awaitable = _wait(awaitable)
    coroutine: Coroutine[Any, Any, T] = awaitable
    task = invocation.tasks.get(coroutine)
    if task is None:
        if inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED:
            raise RuntimeError(f"{coroutine!r} has been awaited already")
        task = invocation.tasks[coroutine] = Task(invocation, coroutine)
    return task


async def _wait(awaitable: Awaitable[T]) -> T:
    return await awaitable
