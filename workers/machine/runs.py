"""A side effect as the machine hands it to its host: what to call, and what is known of the function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from promissory.oplog.entries import Run
from promissory.workers.retry import RetryPolicy
from promissory.workers.signature import Result


class Shape:
    """What is known of a function before it is called."""

    __slots__ = ("function", "is_async", "request", "result")

    def __init__(self, request: Run, is_async: bool, result: Result) -> None:
        self.function: Callable[[], Any] = lambda: None
        """Returns the function in whose attribute this is kept; `id` or its code would be an audit event each time."""
        self.request = request
        self.is_async = is_async
        self.result = result


class RunCall(msgspec.Struct, frozen=True, eq=False):
    """A side effect to perform: `function(*args)`, in a thread or, if `is_async`, under trio.

    `timeout` is in seconds and counts as a failed attempt; `retry` says what follows one. The host performs it when
    the `Started` is durable, and may do so again after a crash: its effect is at least once.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    name: str
    retry: RetryPolicy
    timeout: float | None
    shape: Shape

    @property
    def is_async(self) -> bool:
        """Whether the function is to be awaited."""
        return self.shape.is_async

    def encode(self, value: Any) -> bytes:
        """Return the function's result as the JSON to record.

        Raises:
          TerminalError: it cannot be encoded or does not fit the function's return annotation.
        """
        return self.shape.result.encode(value)
