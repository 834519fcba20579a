"""The operations of the admin socket: each takes a request's fields and answers through a `Reply`.

What only appends or looks answers by itself, when the commit that it rests on is durable; nothing here waits. What
streams returns a coroutine function, which the connection runs in a task of its own, so that it can be held back.
"""

from __future__ import annotations

from typing import Any

import structlog

from promissory.executor.operations.accepting import Accepting
from promissory.executor.operations.answers import Operation, Reply, Stream
from promissory.executor.operations.inspection import Inspection
from promissory.executor.operations.invocations import InvocationOperations
from promissory.executor.operations.promises import PromiseOperations
from promissory.executor.operations.system import SystemOperations
from promissory.executor.operations.workers import WorkerOperations
from promissory.executor.protocol import requests
from promissory.executor.turns.executor import Executor
from promissory.oplog.errors import InternalError, NotFound, PromissoryError, StoreFailed

__all__ = ["Operations", "Reply", "Stream"]


class Operations:
    """All operations on one executor."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._record = executor.record
        self._log = structlog.get_logger("promissory.admin")
        self._by_name: dict[str, Operation] = {}
        accepting = Accepting(executor)
        inspection = Inspection(executor.record, executor.registry)
        for group in (InvocationOperations, PromiseOperations, WorkerOperations, SystemOperations):
            self._by_name |= group(executor, accepting, inspection).by_name()

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
                raise StoreFailed(f"the store has failed; {self._executor.committer.backs_off_for()}")
            shape, operation = known
            request = requests.convert(fields, shape)
            with self._record.unit():
                stream = operation(request, reply)
            return None if stream is None else self._guarded(op, stream, reply)
        except PromissoryError as error:
            self._executor.boundary.pause_owner(error)
            self._refuse(reply, error)
        except Exception:
            self._failed(op, reply)
        return None

    def _guarded(self, op: object, stream: Stream, reply: Reply) -> Stream:
        """Return a stream that fails alone: what it raises is its own answer, and its connection goes on."""

        async def guarded() -> None:
            try:
                await stream()
            except Exception:
                self._failed(op, reply)

        return guarded

    def _failed(self, op: object, reply: Reply) -> None:
        """Answer for an exception that is nobody's fault but ours: the log gets it, the asker only that it was."""
        self._log.exception("operation_failed", op=op)
        reply.error(InternalError("the executor failed at this request: its log says how"))

    def _refuse(self, reply: Reply, error: PromissoryError) -> None:
        """Refuse a request; what the refusal rests on may wait for its commit, but not for one after a backoff."""
        if self._executor.committer.is_backing_off:
            reply.error(error)
            return
        self._record.when_durable(lambda failure: reply.error(failure or error))
