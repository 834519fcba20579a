"""Operations on promises: wait for them, settle them, look at them."""

from __future__ import annotations

import os

from promissory.executor.operations.accepting import watch
from promissory.executor.operations.answers import Group, Operation, Reply, Stream
from promissory.executor.operations.shown import outcome_map
from promissory.executor.protocol import requests
from promissory.oplog.entries import Failure, Outcome, Value
from promissory.oplog.errors import LimitReached, NotFound, PromissoryError
from promissory.oplog.ids import NAME_SCHEME, PromiseId, WorkerId, resolve_component, split_promise
from promissory.oplog.tables import PromiseState


class PromiseOperations(Group):
    """`promise.*`."""

    def by_name(self) -> dict[str, Operation]:
        """Return the operations by their names in the protocol."""
        return {
            "promise.await": (requests.Promise, self._await_promise),
            "promise.poll": (requests.Promise, self._show_promise),
            "promise.show": (requests.Promise, self._show_promise),
            "promise.complete": (requests.Complete, self._complete),
            "promise.reject": (requests.Reject, self._reject),
            "promise.delete": (requests.Promise, self._delete_promise),
            "promise.list": (requests.Promises, self._list_promises),
        }

    def _await_promise(self, request: requests.Promise, reply: Reply) -> None:
        executor = self._executor
        activation, index = executor.addressing.find(request.promise, creates=True)
        executor.promises.row(activation, index, created=True)

        def watcher(outcome: Outcome | None, error: PromissoryError | None) -> None:
            if error is not None:
                reply.error(error)
                return
            state = PromiseState.RESOLVED if isinstance(outcome, Value) else PromiseState.REJECTED
            if isinstance(outcome, Failure) and outcome.kind == "deleted":
                state = PromiseState.DELETED
            reply.ok(outcome_map(f"{activation.path}/{index}", state, outcome))

        reply.on_close(
            watch(executor.record, executor.promises, executor.watchers, activation, index, watcher, pauses=False)
        )

    def _show_promise(self, request: requests.Promise, reply: Reply) -> None:
        executor = self._executor
        try:
            activation, index = executor.addressing.find(request.promise)
        except NotFound:
            if not request.promise.startswith(NAME_SCHEME):
                raise
            # Nobody has named it yet, which is no error: who asks may be the first.
            self._when_durable(reply, {"promise": request.promise, "state": "pending"})
            return
        row = executor.promises.row(activation, index, created=True)
        outcome = executor.promises.outcome(activation, row)
        self._when_durable(reply, outcome_map(f"{activation.path}/{index}", row.state, outcome))

    def _complete(self, request: requests.Complete, reply: Reply) -> None:
        if len(request.data) > self._executor.config.payload_bytes_max:
            limit = self._executor.config.payload_bytes_max
            raise LimitReached(f"the payload has {len(request.data)} bytes, the limit is {limit}", "size")
        self._settle(request.promise, Value(request.data), request.by, reply)

    def _reject(self, request: requests.Reject, reply: Reply) -> None:
        size_bytes, limit = len(request.message.encode()), self._executor.config.payload_bytes_max
        if size_bytes > limit:
            raise LimitReached(f"the message has {size_bytes} bytes, the limit is {limit}", "size")
        self._settle(request.promise, Failure("rejected", request.message, 500), request.by, reply)

    def _settle(self, promise: str, outcome: Outcome, by: str | None, reply: Reply) -> None:
        executor = self._executor
        activation, index = executor.addressing.find(promise, creates=True)
        promise = f"{activation.path}/{index}"
        settled = executor.promises.settle(activation, index, outcome, _author(by, reply))
        if settled:
            state = PromiseState.RESOLVED if isinstance(outcome, Value) else PromiseState.REJECTED
            actual = outcome_map(promise, state, outcome)
        else:
            row = executor.promises.row(activation, index, created=True)
            actual = outcome_map(promise, row.state, executor.promises.outcome(activation, row))
        actual["settled"] = settled
        self._when_durable(reply, actual)

    def _delete_promise(self, request: requests.Promise, reply: Reply) -> None:
        executor = self._executor
        try:
            activation, index = executor.addressing.find(request.promise)
        except NotFound:
            if not request.promise.startswith(NAME_SCHEME):
                raise
            self._when_durable(reply, {"deleted": False})
            return
        if request.promise.startswith(NAME_SCHEME):
            # The whole worker goes: the name is open again.
            executor.deletion.delete(activation, reply.peer)
            self._when_durable(reply, {"deleted": True})
            return
        deleted = executor.promises.delete(activation, index, reply.peer)
        self._when_durable(reply, {"deleted": deleted})

    def _list_promises(self, request: requests.Promises, reply: Reply) -> Stream:
        after = None
        if request.after is not None:
            component, name, index = split_promise(request.after)
            after = PromiseId(WorkerId(resolve_component(component), name), index)
        rows = self._inspection.promises(request.state, request.component, after)
        return self._stream(reply, rows, request.limit)


def _author(by: str | None, reply: Reply) -> str:
    """Return the name under which a client settles: its own, or one that nobody can use again."""
    if by is None:
        return f"{reply.peer}:{os.urandom(8).hex()}"
    if not 1 <= len(by) <= 256:
        raise LimitReached(f"the author's name has {len(by)} characters, allowed are 1 to 256", "length")
    return "client:" + by
