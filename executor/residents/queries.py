"""Queries: answered from a worker's state, never recorded, never before what they saw is durable."""

from __future__ import annotations

from collections.abc import Callable

from promissory.executor.commits.record import Record
from promissory.executor.residents.residents import Activation, Answer, Query, Residents
from promissory.oplog.entries import Created
from promissory.oplog.errors import BadArguments, PromissoryError, StoreFailed, WorkerError, say
from promissory.oplog.ids import OplogIndex, WorkerId
from promissory.workers.component import Component
from promissory.workers.machine.player import Player

NewPlayer = Callable[[Component, WorkerId], Player]
"""Gives a player that steps its worker as the engine does."""


class Queries:
    """Answers queries."""

    def __init__(self, record: Record, residents: Residents, new_player: NewPlayer) -> None:
        self._record = record
        self._residents = residents
        self._new_player = new_player

    def ask(
        self,
        component: Component,
        worker_id: WorkerId,
        function: str,
        params: bytes,
        answer: Answer,
        *,
        inside: bool = False,
    ) -> None:
        """Answer a query: from memory if the worker is there, else when it has been read back.

        A worker that does not exist is answered for by a fresh instance; nothing is written.

        Args:
          component: the worker's component, which has this query.
          worker_id: the worker.
          function: the query's name.
          params: a JSON array that was checked.
          answer: called when the answer is known and all that it rests on is durable.
          inside: the answer goes to a worker of this executor, so it need not wait: what is appended after it can
            only be durable with it.

        Raises:
          BadArguments: the worker does not exist, and cannot without arguments.
        """
        activation = self._residents.find(worker_id)
        query = Query(function, params, answer, inside)
        if activation is None or not activation.row.life:
            self._ask_fresh(component, worker_id, query)
        elif activation.is_loaded:
            self.answer_now(activation, query)
        else:
            activation.queries.append(query)
            self._residents.push(activation)

    def _ask_fresh(self, component: Component, worker_id: WorkerId, query: Query) -> None:
        if component.requires_args:
            raise BadArguments(f"{component.name} has required fields: create the worker first")
        player = self._new_player(component, worker_id)
        created = Created(self._record.now(), worker_id, component.version, b"[]", {}, None, bytes(32))
        try:
            player.feed(OplogIndex(1), created)
            query.answer(player.query(query.function, query.params), None)
        except Exception as error:
            query.answer(None, as_promissory(error))
        finally:
            player.close()

    def answer_now(self, activation: Activation, query: Query) -> None:
        """Answer from a loaded worker, once its last entry is durable."""
        assert activation.player is not None
        activation.last_used = self._record.now()
        result: bytes | None = None
        error: PromissoryError | None = None
        try:
            result = activation.player.query(query.function, query.params)
        except Exception as failure:
            error = as_promissory(failure)

        if query.is_inside:
            query.answer(result, error)
            return

        def durable(failure: StoreFailed | None) -> None:
            query.answer(result if failure is None else None, failure or error)

        self._record.when_durable(durable, activation.batch_number)

    def refuse(self, activation: Activation, error: PromissoryError) -> None:
        """Answer every query that waits for a worker with an error."""
        while activation.queries:
            activation.queries.popleft().answer(None, error)


def as_promissory(error: BaseException) -> PromissoryError:
    """Return an error of the tree for whatever a query raised."""
    if isinstance(error, PromissoryError):
        return error
    return WorkerError(say(error))
