"""Operations on invocations: make them, wait for them, look at them, cancel them."""

from __future__ import annotations

from typing import Any

from promissory.executor.operations.accepting import Accepted, Call
from promissory.executor.operations.answers import Group, Operation, Reply, Stream
from promissory.executor.protocol import requests
from promissory.oplog.entries import Failure, Outcome, Value
from promissory.oplog.errors import BadArguments, NotFound, NotReady, PromissoryError, terminal_error
from promissory.oplog.ids import InvocationId, WorkerId


class InvocationOperations(Group):
    """`invoke`, `query`, `invocation.*`."""

    def by_name(self) -> dict[str, Operation]:
        """Return the operations by their names in the protocol."""
        return {
            "invoke": (requests.Invoke, self._invoke),
            "query": (requests.Query, self._query),
            "invocation.attach": (requests.Invocation, self._attach),
            "invocation.output": (requests.Invocation, self._output),
            "invocation.find": (requests.Find, self._find),
            "invocation.show": (requests.Invocation, self._show_invocation),
            "invocation.list": (requests.Invocations, self._list_invocations),
            "invocation.cancel": (requests.Invocation, self._cancel),
        }

    def _invoke(self, request: requests.Invoke, reply: Reply) -> None:
        accepting = self._accepting
        component, worker_id, handler = accepting.handler(request.worker, request.function)
        if handler.kind == "query":
            if request.send or request.delay_us is not None or request.key is not None:
                raise BadArguments(f"{request.function} is a query: it is answered at once and takes no key")
            self._ask(component, worker_id, request.function, handler.check(request.params), reply)
            return
        call = Call(request.function, request.params, request.key, request.delay_us)
        accepted = accepting.accept(call, component, worker_id, handler)
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

        reply.on_close(self._accepting.watch(accepted, watcher))

    def _query(self, request: requests.Query, reply: Reply) -> None:
        component, worker_id, handler = self._accepting.handler(request.worker, request.function)
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
        activation, index = self._accepting.find(InvocationId.parse(request.invocation))
        self._answer_with_outcome(Accepted(activation, index, is_new=False), reply)

    def _output(self, request: requests.Invocation, reply: Reply) -> None:
        activation, index = self._accepting.find(InvocationId.parse(request.invocation))
        row = self._executor.promises.row(activation, index, created=False)
        if not row.is_settled:
            raise NotReady("the invocation exists but has not completed yet")
        self._answer_with_outcome(Accepted(activation, index, is_new=False), reply)

    def _find(self, request: requests.Find, reply: Reply) -> None:
        accepting = self._accepting
        worker_id = self._executor.registry.unavailable_id(request.worker)
        if worker_id is None:
            _, worker_id, _ = accepting.handler(request.worker, request.function)
        found = accepting.known(worker_id, request.function, request.key)
        if found is None:
            raise NotFound(f"no invocation of {request.worker} {request.function} has the key {request.key!r}")
        self._when_durable(reply, {"invocation": str(found.id)})

    def _show_invocation(self, request: requests.Invocation, reply: Reply) -> None:
        reply.ok(self._inspection.invocation(InvocationId.parse(request.invocation)))

    def _list_invocations(self, request: requests.Invocations, reply: Reply) -> Stream:
        worker_id = None if request.worker is None else self._executor.registry.worker_id(request.worker)
        return self._stream(reply, self._inspection.invocations(worker_id, request.status), request.limit)

    def _cancel(self, request: requests.Invocation, reply: Reply) -> None:
        activation, index = self._accepting.find(InvocationId.parse(request.invocation))
        cancelled = self._executor.cancelling.cancel(activation, index, reply.peer)
        self._when_durable(reply, {"cancelled": cancelled})
