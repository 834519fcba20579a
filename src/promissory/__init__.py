"""What a user imports: `import promissory`.

Whoever writes workers finds everything they need here: `Worker`, `handler`, `query`, the host functions that a handler
may call, and the errors. `connect` and `Client` reach a daemon, `open` runs an executor in one's own trio program,
`http` has the gateway as an ASGI application, `testing` a pytest fixture.

A name is imported when it is first asked for: a client loads nothing of the guest side, a worker nothing of the host
side. `open` is left out of `__all__`, so that a star import does not replace the built-in function.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promissory.executor import http, testing
    from promissory.executor.client import Client, connect
    from promissory.executor.server.embedded import open as open  # noqa: A004 - used as `promissory.open`
    from promissory.oplog.errors import (
        BadArguments,
        BadHandler,
        CallCycleError,
        CallError,
        Disconnected,
        Exists,
        InternalError,
        InvocationCancelled,
        LimitReached,
        Moved,
        NewerFormat,
        NonDeterminismError,
        NotFound,
        NotReady,
        OplogCorrupt,
        OplogError,
        Paused,
        PromiseDeleted,
        PromiseRejected,
        PromissoryError,
        RequestError,
        StoreFailed,
        TerminalError,
        TimedOut,
        WorkerError,
    )
    from promissory.oplog.ids import InvocationId, PromiseId, WorkerId
    from promissory.workers.calls import ask, invoke, invoke_and_await, schedule, send, send_after, worker
    from promissory.workers.concurrency import gather, race, wait_for
    from promissory.workers.definition import Worker, handler, query
    from promissory.workers.effects import run
    from promissory.workers.host import (
        await_promise,
        complete_promise,
        create_promise,
        current_worker,
        delete_promise,
        environment,
        idempotency_key,
        log,
        now,
        poll_promise,
        random,
        sleep,
        uuid4,
    )
    from promissory.workers.machine.futures import Cancelled, DurableFuture
    from promissory.workers.promises import (
        DurablePromise,
        PromiseOutcome,
        awakeable,
        durable_promise,
        reject_awakeable,
        resolve_awakeable,
    )
    from promissory.workers.retry import RetryPolicy

_HOMES = {
    "executor": ("http", "testing"),
    "executor.client": ("Client", "connect"),
    "executor.server.embedded": ("open",),
    "oplog.errors": (
        "BadArguments",
        "BadHandler",
        "CallCycleError",
        "CallError",
        "Disconnected",
        "Exists",
        "InternalError",
        "InvocationCancelled",
        "LimitReached",
        "Moved",
        "NewerFormat",
        "NonDeterminismError",
        "NotFound",
        "NotReady",
        "OplogCorrupt",
        "OplogError",
        "Paused",
        "PromiseDeleted",
        "PromiseRejected",
        "PromissoryError",
        "RequestError",
        "StoreFailed",
        "TerminalError",
        "TimedOut",
        "WorkerError",
    ),
    "oplog.ids": ("InvocationId", "PromiseId", "WorkerId"),
    "workers.calls": ("ask", "invoke", "invoke_and_await", "schedule", "send", "send_after", "worker"),
    "workers.concurrency": ("gather", "race", "wait_for"),
    "workers.definition": ("Worker", "handler", "query"),
    "workers.effects": ("run",),
    "workers.host": (
        "await_promise",
        "complete_promise",
        "create_promise",
        "current_worker",
        "delete_promise",
        "environment",
        "idempotency_key",
        "log",
        "now",
        "poll_promise",
        "random",
        "sleep",
        "uuid4",
    ),
    "workers.machine.futures": ("Cancelled", "DurableFuture"),
    "workers.promises": (
        "DurablePromise",
        "PromiseOutcome",
        "awakeable",
        "durable_promise",
        "reject_awakeable",
        "resolve_awakeable",
    ),
    "workers.retry": ("RetryPolicy",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "BadArguments",
    "BadHandler",
    "CallCycleError",
    "CallError",
    "Cancelled",
    "Client",
    "Disconnected",
    "DurableFuture",
    "DurablePromise",
    "Exists",
    "InternalError",
    "InvocationCancelled",
    "InvocationId",
    "LimitReached",
    "Moved",
    "NewerFormat",
    "NonDeterminismError",
    "NotFound",
    "NotReady",
    "OplogCorrupt",
    "OplogError",
    "Paused",
    "PromiseDeleted",
    "PromiseId",
    "PromiseOutcome",
    "PromiseRejected",
    "PromissoryError",
    "RequestError",
    "RetryPolicy",
    "StoreFailed",
    "TerminalError",
    "TimedOut",
    "Worker",
    "WorkerError",
    "WorkerId",
    "ask",
    "await_promise",
    "awakeable",
    "complete_promise",
    "connect",
    "create_promise",
    "current_worker",
    "delete_promise",
    "durable_promise",
    "environment",
    "gather",
    "handler",
    "http",
    "idempotency_key",
    "invoke",
    "invoke_and_await",
    "log",
    "now",
    "poll_promise",
    "query",
    "race",
    "random",
    "reject_awakeable",
    "resolve_awakeable",
    "run",
    "schedule",
    "send",
    "send_after",
    "sleep",
    "testing",
    "uuid4",
    "wait_for",
    "worker",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is first asked for."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{home}")
    # Of a package its parts are asked for by name, as modules.
    value = import_module(f"{module.__name__}.{name}") if home == "executor" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
