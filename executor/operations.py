"""The operations of the admin socket: each takes a request's fields and answers through a `Reply`.

What only appends or looks answers by itself, when the commit that it rests on is durable; nothing here waits. What
streams returns a coroutine function, which the connection runs in a task of its own, so that it can be held back.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeAlias

import msgspec
import structlog
import trio

from executor import requests
from executor.core import Executor
from executor.inspection import outcome_map
from executor.invocations import Accepted, Call, watch
from executor.residents import Activation
from oplog.entries import Failure, Interrupted, Outcome, Value
from oplog.errors import BadArguments, LimitReached, NotFound, PromissoryError, StoreFailed, terminal_error
from oplog.ids import InvocationId, OplogIndex, WorkerId, split_promise
from oplog.tables import Condition, PromiseState, Table

VERSION = "0.1.0"


class Reply(Protocol):
    """Where the answer to one request goes."""

    peer: str
    """Who asks, for the record."""

    def ok(self, value: Any) -> None:
        """Answer; the last word."""

    def error(self, error: PromissoryError, invocation: str | None = None) -> None:
        """Refuse; the last word."""

    def item(self, value: Any) -> None:
        """Send one item of a stream."""

    async def drained(self) -> None:
        """Wait until the asker has taken enough of what was sent."""

    def on_close(self, callback: Callable[[], None]) -> None:
        """Have something called if the asker goes away before the answer."""


Stream: TypeAlias = Callable[[], Awaitable[None]]


class Operations:
    """All operations on one executor."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._record = executor.record
        self._log = structlog.get_logger("promissory.admin")
        self._by_name: dict[str, tuple[type[msgspec.Struct], Callable[[Any, Reply], Stream | None]]] = {
            "invoke": (requests.Invoke, self._invoke),
            "query": (requests.Query, self._query),
            "invocation.attach": (requests.Invocation, self._attach),
            "invocation.show": (requests.Invocation, self._show_invocation),
            "invocation.list": (requests.Invocations, self._list_invocations),
            "invocation.cancel": (requests.Invocation, self._cancel),
            "promise.await": (requests.Promise, self._await_promise),
            "promise.poll": (requests.Promise, self._show_promise),
            "promise.show": (requests.Promise, self._show_promise),
            "promise.complete": (requests.Complete, self._complete),
            "promise.reject": (requests.Reject, self._reject),
            "promise.delete": (requests.Promise, self._delete_promise),
            "promise.list": (requests.Promises, self._list_promises),
            "worker.create": (requests.Create, self._create_worker),
            "worker.show": (requests.Worker, self._show_worker),
            "worker.list": (requests.Workers, self._list_workers),
            "worker.delete": (requests.Worker, self._delete_worker),
            "worker.interrupt": (requests.Worker, self._interrupt),
            "worker.resume": (requests.Resume, self._resume),
            "oplog.read": (requests.Oplog, self._read_oplog),
            "oplog.follow": (requests.Oplog, self._follow_oplog),
            "component.list": (requests.Nothing, self._list_components),
            "component.register": (requests.Register, self._register),
            "status": (requests.Nothing, self._status),
            "metrics": (requests.Nothing, self._metrics),
        }

    def perform(self, op: object, fields: dict[str, Any], reply: Reply) -> Stream | None:
        """Do what a request asks for; the answer comes through `reply`, now or later, exactly once.

        Returns:
          For a stream, what the caller must run in a task; else None.
        """
        try:
            known = self._by_name.get(op) if isinstance(op, str) else None
            if known is None:
                raise NotFound(f"there is no operation {op!r}", expected=", ".join(self._by_name))
            if self._executor.is_stopping:
                raise StoreFailed("the executor is stopping")
            if self._executor.committer.is_backing_off:
                raise StoreFailed("the store has failed; the executor tries again shortly")
            shape, operation = known
            return operation(requests.convert(fields, shape), reply)
        except PromissoryError as error:
            self._refuse(reply, error)
        except Exception as error:
            self._log.exception("operation_failed", op=op)
            reply.error(PromissoryError(f"internal error: {type(error).__name__}: {error}"))
        return None

    def _refuse(self, reply: Reply, error: PromissoryError) -> None:
        """Refuse a request; what the refusal rests on may wait for its commit."""
        self._record.when_durable(lambda failure: reply.error(failure or error))

    # Invocations.

    def _invoke(self, request: requests.Invoke, reply: Reply) -> None:
        invocations = self._executor.invocations
        component, worker_id, handler = invocations.handler(request.worker, request.function)
        if handler.kind == "query":
            if request.send or request.delay_us is not None or request.key is not None:
                raise BadArguments(f"{request.function} is a query: it is answered at once and takes no key")
            self._ask(component, worker_id, request.function, handler.check(request.params), reply)
            return
        call = Call(request.worker, request.function, request.params, request.key, request.delay_us)
        accepted = invocations.accept(call, component, worker_id, handler)
        if request.send:
            value = {
                "invocation": str(accepted.id),
                "status": "accepted" if accepted.is_new else "previously-accepted",
            }
            self._when_durable(reply, value)
            return
        if request.announce:
            announced = {"invocation": str(accepted.id)}
            self._record.when_durable(lambda failure: None if failure else reply.item(announced))
        self._answer_with_outcome(accepted, reply)

    def _answer_with_outcome(self, accepted: Accepted, reply: Reply) -> None:
        def watcher(outcome: Outcome | None, error: PromissoryError | None) -> None:
            invocation = str(accepted.id)
            if type(outcome) is Value:
                reply.ok({"invocation": invocation, "result": outcome.data})
            elif isinstance(outcome, Failure):
                reply.error(terminal_error(outcome.kind, outcome.message, outcome.code), invocation)
            elif error is not None:
                reply.error(error, invocation)

        reply.on_close(self._executor.invocations.watch(accepted, watcher))

    def _query(self, request: requests.Query, reply: Reply) -> None:
        component, worker_id, handler = self._executor.invocations.handler(request.worker, request.function)
        if handler.kind != "query":
            raise BadArguments(f"{request.function} is a handler, not a query: invoke it")
        self._ask(component, worker_id, request.function, handler.check(request.params), reply)

    def _ask(self, component: Any, worker_id: WorkerId, function: str, params: bytes, reply: Reply) -> None:
        def answer(result: bytes | None, error: PromissoryError | None) -> None:
            if error is not None:
                reply.error(error)
            else:
                reply.ok({"result": result})

        self._executor.queries.ask(component, worker_id, function, params, answer)

    def _attach(self, request: requests.Invocation, reply: Reply) -> None:
        activation, index = self._executor.invocations.find(InvocationId.parse(request.invocation))
        self._answer_with_outcome(Accepted(activation, index, is_new=False), reply)

    def _show_invocation(self, request: requests.Invocation, reply: Reply) -> None:
        reply.ok(self._executor.inspection.invocation(InvocationId.parse(request.invocation)))

    def _list_invocations(self, request: requests.Invocations, reply: Reply) -> Stream:
        worker_id = None if request.worker is None else self._executor.registry.worker_id(request.worker)
        return self._stream(reply, self._executor.inspection.invocations(worker_id, request.status), request.limit)

    def _cancel(self, request: requests.Invocation, reply: Reply) -> None:
        activation, index = self._executor.invocations.find(InvocationId.parse(request.invocation))
        cancelled = self._executor.cancelling.cancel(activation, index, reply.peer)
        self._executor.residents.end_unit()
        self._when_durable(reply, {"cancelled": cancelled})

    # Promises.

    def _owner(self, text: str) -> tuple[Activation, OplogIndex]:
        component, name, index = split_promise(text)
        worker_id = self._executor.registry.worker_id(f"{component}/-")
        activation = self._executor.residents.find(WorkerId(worker_id.component_id, name))
        if activation is None:
            raise NotFound(f"there is no promise {text}")
        return activation, index

    def _await_promise(self, request: requests.Promise, reply: Reply) -> None:
        activation, index = self._owner(request.promise)
        self._executor.promises.row(activation, index, created=True)

        def watcher(outcome: Outcome | None, error: PromissoryError | None) -> None:
            if error is not None:
                reply.error(error)
                return
            state = PromiseState.RESOLVED if isinstance(outcome, Value) else PromiseState.REJECTED
            if isinstance(outcome, Failure) and outcome.kind == "deleted":
                state = PromiseState.DELETED
            reply.ok(outcome_map(f"{activation.path}/{index}", state, outcome))

        executor = self._executor
        reply.on_close(
            watch(executor.record, executor.promises, executor.watchers, activation, index, watcher, pauses=False)
        )

    def _show_promise(self, request: requests.Promise, reply: Reply) -> None:
        activation, index = self._owner(request.promise)
        row = self._executor.promises.row(activation, index, created=True)
        outcome = self._executor.promises.outcome(activation, row)
        self._when_durable(reply, outcome_map(f"{activation.path}/{index}", row.state, outcome))

    def _complete(self, request: requests.Complete, reply: Reply) -> None:
        if len(request.data) > self._executor.config.payload_bytes_max:
            limit = self._executor.config.payload_bytes_max
            raise LimitReached(f"the payload has {len(request.data)} bytes, the limit is {limit}")
        self._settle(request.promise, Value(request.data), request.by, reply)

    def _reject(self, request: requests.Reject, reply: Reply) -> None:
        size_bytes, limit = len(request.message.encode()), self._executor.config.payload_bytes_max
        if size_bytes > limit:
            raise LimitReached(f"the message has {size_bytes} bytes, the limit is {limit}")
        self._settle(request.promise, Failure("rejected", request.message, 500), request.by, reply)

    def _settle(self, promise: str, outcome: Outcome, by: str | None, reply: Reply) -> None:
        activation, index = self._owner(promise)
        settled = self._executor.promises.settle(activation, index, outcome, _author(by, reply))
        self._executor.residents.end_unit()
        self._when_durable(reply, {"settled": settled})

    def _delete_promise(self, request: requests.Promise, reply: Reply) -> None:
        activation, index = self._owner(request.promise)
        deleted = self._executor.promises.delete(activation, index, reply.peer)
        self._executor.residents.end_unit()
        self._when_durable(reply, {"deleted": deleted})

    def _list_promises(self, request: requests.Promises, reply: Reply) -> Stream:
        return self._stream(reply, self._executor.inspection.promises(request.state), request.limit)

    # Workers.

    def _activation(self, text: str) -> Activation:
        activation = self._executor.residents.find(self._executor.registry.worker_id(text))
        if activation is None or not activation.row.life:
            raise NotFound(f"there is no worker {text}")
        return activation

    def _create_worker(self, request: requests.Create, reply: Reply) -> None:
        activation = self._executor.invocations.create(request.worker, request.args, request.env)
        self._when_durable(reply, {"worker": activation.path})

    def _show_worker(self, request: requests.Worker, reply: Reply) -> None:
        reply.ok(self._executor.inspection.worker(self._executor.registry.worker_id(request.worker)))

    def _list_workers(self, request: requests.Workers, reply: Reply) -> Stream:
        rows = self._executor.inspection.workers(request.status, request.component)
        return self._stream(reply, rows, request.limit)

    def _delete_worker(self, request: requests.Worker, reply: Reply) -> None:
        activation = self._activation(request.worker)
        self._executor.deletion.delete(activation, reply.peer)
        self._when_durable(reply, {"worker": activation.path})

    def _interrupt(self, request: requests.Worker, reply: Reply) -> None:
        activation = self._activation(request.worker)
        if activation.row.condition is not Condition.INTERRUPTED:
            self._executor.residents.append(activation, Interrupted(self._record.now(), reply.peer))
            self._executor.residents.end_unit()
        self._when_durable(reply, {"worker": activation.path})

    def _resume(self, request: requests.Resume, reply: Reply) -> None:
        executor = self._executor
        if request.all:
            # Lists are of what is durable: a worker that pauses in the open batch is not in them yet.
            self._record.when_durable(
                lambda failure: self._resume_all(reply) if failure is None else reply.error(failure)
            )
            return
        if request.worker is None:
            raise BadArguments("resume needs a worker, or all")
        activation = self._activation(request.worker)
        executor.resume(activation, reply.peer)
        self._when_durable(reply, {"worker": activation.path})

    def _resume_all(self, reply: Reply) -> None:
        paused = [row["worker"] for row in self._executor.inspection.workers("paused", None)]
        for path in paused:
            self._executor.resume(self._activation(path), reply.peer)
        self._when_durable(reply, {"resumed": len(paused)})

    # Oplogs.

    def _read_oplog(self, request: requests.Oplog, reply: Reply) -> Stream:
        worker_id = self._executor.registry.worker_id(request.worker)
        rows = self._executor.inspection.oplog(worker_id, _first(request.first))
        return self._stream(reply, rows, request.limit)

    def _follow_oplog(self, request: requests.Oplog, reply: Reply) -> Stream:
        worker_id = self._executor.registry.worker_id(request.worker)
        inspection = self._executor.inspection
        inspection.last_index(worker_id)

        first = _first(request.first)

        async def follow() -> None:
            next_index = first
            try:
                while True:
                    for row in inspection.oplog(worker_id, next_index):
                        reply.item(row)
                        next_index = row["index"] + 1
                        await reply.drained()
                    await self._executor.next_commit()
            except PromissoryError as error:
                reply.error(error)

        return follow

    # The executor.

    def _list_components(self, _: requests.Nothing, reply: Reply) -> None:
        reply.ok(self._executor.inspection.components())

    def _register(self, request: requests.Register, reply: Reply) -> None:
        names = self._executor.registry.add_modules(request.modules, request.directory)
        self._executor.resume_runnable()
        self._log.info("components_registered", components=names, peer=reply.peer)
        reply.ok(names)

    def _status(self, _: requests.Nothing, reply: Reply) -> None:
        executor = self._executor
        reply.ok(
            {
                "pid": os.getpid(),
                "version": VERSION,
                "workers": executor.environment.count(Table.WORKERS),
                "workers_in_memory": len(executor.residents),
                "entries": executor.environment.count(Table.OPLOG),
                "commits": executor.record.commits_count,
                "components": executor.registry.names(),
            }
        )

    def _metrics(self, _: requests.Nothing, reply: Reply) -> None:
        reply.ok(self._executor.statistics())

    # Answers.

    def _when_durable(self, reply: Reply, value: Any) -> None:
        self._record.when_durable(lambda failure: reply.ok(value) if failure is None else reply.error(failure))

    def _stream(self, reply: Reply, rows: Iterable[dict[str, Any]], limit: int | None) -> Stream:
        if limit is not None and limit < 0:
            raise BadArguments(f"limit {limit} is negative")

        async def send() -> None:
            try:
                for count, row in enumerate(rows):
                    if count == limit:
                        reply.ok({"more": True})
                        return
                    reply.item(row)
                    await reply.drained()
                    if count % 64 == 63:
                        await trio.lowlevel.checkpoint()
                reply.ok({"more": False})
            except PromissoryError as error:
                reply.error(error)

        return send


def _first(index: int) -> int:
    if not 0 <= index < 2**63:
        raise BadArguments(f"index {index} is out of range")
    return index


def _author(by: str | None, reply: Reply) -> str:
    """Return the name under which a client settles: its own, or one that nobody can use again."""
    if by is None:
        return f"{reply.peer}:{os.urandom(8).hex()}"
    if not 1 <= len(by) <= 256:
        raise LimitReached(f"the author's name has {len(by)} characters, allowed are 1 to 256")
    return "client:" + by
