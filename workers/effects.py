"""`run`: a side effect that the host performs outside of the worker, and whose outcome is recorded once."""

from __future__ import annotations

import copy
import functools
import inspect
import weakref
from collections.abc import Awaitable, Callable
from types import FunctionType
from typing import Any, TypeVar, TypeVarTuple, Unpack, get_type_hints, overload

from promissory.oplog.entries import Run
from promissory.oplog.ids import PromiseId, WorkerId
from promissory.workers.definition import Worker
from promissory.workers.guard import current
from promissory.workers.host import machine, microseconds
from promissory.workers.machine.futures import DurableFuture
from promissory.workers.machine.machine import Machine
from promissory.workers.machine.runs import RunCall, Shape
from promissory.workers.retry import RetryPolicy
from promissory.workers.signature import Result, result_of

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_SHAPE = "__promissory_shape__"
"""The attribute of a function in which its `Shape` is kept."""

_DEFAULT_RETRY = RetryPolicy()
_ATOMS = frozenset({str, int, float, bool, bytes, type(None), complex, PromiseId, WorkerId})


@overload
def run(
    function: Callable[[Unpack[Ts]], Awaitable[T]],
    /,
    *args: *Ts,
    name: str | None = None,
    retry: RetryPolicy | None = None,
    timeout: float | None = None,
) -> DurableFuture[T]: ...


@overload
def run(
    function: Callable[[Unpack[Ts]], T],
    /,
    *args: *Ts,
    name: str | None = None,
    retry: RetryPolicy | None = None,
    timeout: float | None = None,
) -> DurableFuture[T]: ...


def run(
    function: Callable[[Unpack[Ts]], Any],
    /,
    *args: *Ts,
    name: str | None = None,
    retry: RetryPolicy | None = None,
    timeout: float | None = None,
) -> DurableFuture[Any]:
    """Perform a side effect outside of the worker and return its recorded result.

    The effect is performed at least once: if the process dies between the effect and the commit of its outcome, it
    is performed again. The outcome is recorded, and awaited, once.

    Args:
      function: a sync function, run in a thread, or an async one, run under trio.
      args: data for it; it gets copies.
      name: what the record and the operator see; the function's qualified name if not given.
      retry: how failed attempts are repeated; a default `RetryPolicy()` if not given.
      timeout: seconds for one attempt; past it the attempt has failed.

    Raises (at the await):
      TerminalError: the function raised one, or its last attempt failed.
    """
    context = current.context
    here = context if context.__class__ is Machine else machine()
    shape: Shape | None = getattr(function, _SHAPE, None)
    # A wrapper made by `functools.wraps` has the attributes of what it wraps.
    if shape is None or shape.function() is not function:
        shape = _learn(function)
    if timeout is not None:
        microseconds(timeout)
    copies = args if not args or _ATOMS.issuperset(map(type, args)) else copy.deepcopy(args)
    request = shape.request if name is None else Run(_checked(name))
    future = here.start(request, len(request.name), shape.result.decode)
    here.open_runs[future._start] = RunCall(function, copies, request.name, retry or _DEFAULT_RETRY, timeout, shape)
    return future


def _checked(name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the name of a run is a str, not {type(name).__name__}")
    name.encode()  # raises for what no record can hold
    return name


def _learn(function: Callable[..., Any]) -> Shape:
    """Examine a function, and note what was found where the next call finds it quickly."""
    shape = _examine(function)
    if type(function) is FunctionType:
        shape.function = weakref.ref(function)
        setattr(function, _SHAPE, shape)
    return shape


def _examine(function: Callable[..., Any]) -> Shape:
    plain: Any = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    if not callable(plain):
        raise TypeError(f"run takes a function and its arguments, not {type(plain).__name__}")
    if isinstance(getattr(plain, "__self__", None), Worker):
        raise TypeError(
            f"run takes no method of a worker ({plain.__name__}): make it a function and pass what it needs"
        )
    if not hasattr(plain, "__qualname__"):
        plain = type(plain).__call__
    name = plain.__qualname__.removesuffix(".__call__")
    return Shape(Run(name), inspect.iscoroutinefunction(plain), _result(name, plain))


def _result(name: str, annotated: Any) -> Result:
    if isinstance(annotated, type):
        return result_of(Any)
    try:
        annotation = get_type_hints(annotated, include_extras=True).get("return", Any)
    except Exception as error:
        raise ValueError(f"run({name}): its annotations cannot be evaluated where it is defined: {error}") from None
    try:
        return result_of(annotation)
    except TypeError as error:
        raise ValueError(f"run({name}): its result cannot be recorded: {error}") from None
