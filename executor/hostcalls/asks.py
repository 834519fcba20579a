"""Queries that workers ask of workers: answered when whom they are asked of is in memory, recorded with the asker.

What is asked has no effect, so after a crash or a failed commit it is simply asked again.
"""

from __future__ import annotations

from functools import partial

from promissory.executor.commits.record import Record
from promissory.executor.components.registry import Registry
from promissory.executor.hostcalls.callees import call_failure, handler_of
from promissory.executor.hostcalls.calls import Calls
from promissory.executor.residents.queries import Queries
from promissory.executor.residents.residents import Activation, Residents
from promissory.oplog import entries as e
from promissory.oplog.errors import CallError, PromissoryError, StoreFailed
from promissory.oplog.ids import OplogIndex


class Asks:
    """Has queries answered and hands the answers to those who asked.

    Args:
      record, registry, residents, queries, calls: of the executor.
      payload_bytes_max: the longest answer.
    """

    def __init__(
        self,
        record: Record,
        registry: Registry,
        residents: Residents,
        queries: Queries,
        calls: Calls,
        payload_bytes_max: int,
    ) -> None:
        self._record = record
        self._registry = registry
        self._residents = residents
        self._queries = queries
        self._calls = calls
        self._payload_bytes_max = payload_bytes_max
        self._asking: dict[tuple[int, int], object] = {}
        """The asks whose answers are under way."""
        self._held: dict[tuple[int, int], e.Ask] = {}
        """Asks of a component that is known but not served: they wait for it."""

    def ask(self, asker: Activation, start: OplogIndex, request: e.Ask) -> None:
        """Have a query answered, now or when its worker has been read back; one that is under way is left alone."""
        key = (asker.ordinal, start)
        if key in self._asking:
            return
        if self._registry.why_unavailable(request.worker.component_id) is not None:
            self._held[key] = request
            return
        token = self._asking[key] = object()
        # Its `Started` may be in the open unit: dropped with it, its index is another's.
        self._record.on_dropped(partial(self.forget, *key))

        def answer(result: bytes | None, error: PromissoryError | None) -> None:
            if self._asking.get(key) is not token or isinstance(error, StoreFailed):
                return
            del self._asking[key]
            limit = self._payload_bytes_max
            if result is not None and len(result) > limit:
                error = CallError(f"the answer has {len(result)} bytes, the limit is {limit}", 413)
            with self._record.unit():
                self._answered(key, e.Value(result) if error is None else call_failure(error))

        try:
            component, query = handler_of(self._registry, request, "query", self._payload_bytes_max)
            params = query.check(request.params)
            self._queries.ask(component, request.worker, request.function, params, answer, inside=True)
        except PromissoryError as error:
            answer(None, error)

    def _answered(self, key: tuple[int, int], outcome: e.Outcome) -> None:
        asker = self._residents.get(key[0])
        if asker is not None and asker.row.life:
            start = OplogIndex(key[1])
            self._calls.end(asker, start, outcome, e.Started(0, start, e.Ask(asker.row.worker_id, "", b"")))

    def forget(self, ordinal: int, start: int) -> None:
        """Drop the answer of an ask that was given up."""
        self._asking.pop((ordinal, start), None)
        self._held.pop((ordinal, start), None)

    def forget_all(self) -> None:
        """Drop all answers that are under way: whoever asked is read back and asks again."""
        self._asking.clear()
        self._held.clear()

    def ask_held(self) -> None:
        """Ask, each as a unit, what waited for a component that may be served by now."""
        held, self._held = self._held, {}
        for (ordinal, start), request in held.items():
            asker = self._residents.get(ordinal)
            if asker is not None and asker.row.life:
                with self._record.unit():
                    self.ask(asker, OplogIndex(start), request)
