"""What the author of a worker imports: `import workers`.

A worker is a subclass of `Worker` with fields, handlers and queries. The functions here ask the worker's host; they
can only be called by a handler. Nothing here does I/O: the executor steps the worker through a `player.Player`.
"""

from oplog.errors import (
    BadHandler,
    CallCycleError,
    CallError,
    InvocationCancelled,
    NonDeterminismError,
    PromiseDeleted,
    PromiseRejected,
    TerminalError,
    TimedOut,
)
from oplog.ids import PromiseId, WorkerId
from workers.calls import ask, invoke, invoke_and_await, schedule, send, send_after, worker
from workers.component import Component, Handler, component_of
from workers.concurrency import gather, race, wait_for
from workers.definition import Worker, handler, query
from workers.effects import RunCall, run
from workers.futures import Cancelled, DurableFuture
from workers.host import (
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
from workers.player import Player
from workers.promises import (
    DurablePromise,
    PromiseOutcome,
    awakeable,
    durable_promise,
    reject_awakeable,
    resolve_awakeable,
)
from workers.retry import RetryPolicy
from workers.step import Step, StepFailed

__all__ = [
    "BadHandler",
    "CallCycleError",
    "CallError",
    "Cancelled",
    "Component",
    "DurableFuture",
    "DurablePromise",
    "Handler",
    "InvocationCancelled",
    "NonDeterminismError",
    "Player",
    "PromiseDeleted",
    "PromiseId",
    "PromiseOutcome",
    "PromiseRejected",
    "RetryPolicy",
    "RunCall",
    "Step",
    "StepFailed",
    "TerminalError",
    "TimedOut",
    "Worker",
    "WorkerId",
    "ask",
    "await_promise",
    "awakeable",
    "complete_promise",
    "component_of",
    "create_promise",
    "current_worker",
    "delete_promise",
    "durable_promise",
    "environment",
    "gather",
    "handler",
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
    "uuid4",
    "wait_for",
    "worker",
]
