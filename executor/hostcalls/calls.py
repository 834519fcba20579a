"""Invocations of workers by workers: made, and ended when those who wait for them are told the outcome.

A call hands over in memory: the callee's `Invoked` stands in the unit of the caller's `Started`, the caller's `Ended`
in that of the callee's `Completed`. So a chain of calls costs no commit of its own, and after a crash there is either
the whole hand-over or none of it. A call that cannot be made ends at once, and its target is not touched.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from promissory.executor.commits.record import Record
from promissory.executor.components.registry import Registry
from promissory.executor.config import Config
from promissory.executor.hostcalls.callees import call_failure, handler_of
from promissory.executor.residents.creation import Creation
from promissory.executor.residents.residents import Activation, Residents
from promissory.executor.residents.timers import Timers
from promissory.oplog import entries as e
from promissory.oplog.errors import (
    CallCycleError,
    CallError,
    NonDeterminismError,
    NotFound,
    RequestError,
    TerminalError,
)
from promissory.oplog.ids import InvocationId, OplogIndex, WorkerId
from promissory.oplog.tables import U64, PromiseKind, Table, call_key, ephemeral_key
from promissory.workers.component import Handler

CHAIN_MAX = 64
"""How many workers may wait for one another in a row."""


class Calls:
    """Makes the calls of workers and ends them; every method appends within the unit at hand.

    Args:
      record, registry, residents, creation, timers: of the executor.
      config: limits.
    """

    def __init__(
        self,
        record: Record,
        registry: Registry,
        residents: Residents,
        creation: Creation,
        timers: Timers,
        config: Config,
    ) -> None:
        self._record = record
        self._registry = registry
        self._residents = residents
        self._creation = creation
        self._timers = timers
        self._payload_bytes_max = config.payload_bytes_max
        self._retention_us = int(config.retention_seconds * 1e6)
        self.made_count = 0

    # Invoking.

    def invoke(
        self, caller: Activation, index: OplogIndex, request: e.Call | e.Send, chain: tuple[WorkerId, ...]
    ) -> None:
        """Append what a call asks for to its target, or end it with why that cannot be.

        Args:
          caller: who calls.
          index: its `Started`.
          request: what the `Started` asks for.
          chain: the workers that wait for the calling invocation, the nearest last.
        """
        waits = type(request) is e.Call and index in caller.open
        own = caller.row.worker_id
        try:
            component, handler = handler_of(self._registry, request, "handler", self._payload_bytes_max)
            chain = self._chain(request, chain, own, handler) if type(request) is e.Call else ()
            params = handler.check(request.params)
            if component.ephemeral:
                worker_id, retention_us = self._creation.fresh_id(component), self._retention_us
            else:
                worker_id, retention_us = request.worker, None
            assert caller.player is not None
            callee = self._creation.find_or_create(component, worker_id, caller.player.created.env, own)
        except (RequestError, TerminalError, NonDeterminismError) as error:
            self.end(caller, index, call_failure(error))
            return
        due = request.due if type(request) is e.Send else None
        now = self._record.now()  # not before: a callee that is created here is older than its invocation
        invoked = e.Invoked(now, request.function, params, None, own, index, chain if waits else (), due, retention_us)
        invocation = self._residents.deliver(callee, invoked)
        self.made_count += 1
        if due is not None:
            self._timers.add(due, callee.ordinal, invocation)
        if type(request) is e.Send:
            name = str(InvocationId(worker_id, invocation))
            self.end(caller, index, e.Value(msgspec.json.encode(name)))

    def _chain(
        self, request: e.Call, chain: tuple[WorkerId, ...], own: WorkerId, handler: Handler
    ) -> tuple[WorkerId, ...]:
        """Return the chain of those that wait for a call.

        Raises:
          CallCycleError: its target is one of them.
          CallError: there are too many.
        """
        longer = (*chain, own)
        if request.worker in longer:
            paths = [self._registry.path_of(one) for one in (*longer[longer.index(request.worker) :], request.worker)]
            raise CallCycleError(f"the call of {handler.name} would wait for itself: {' -> '.join(paths)}", 409)
        if len(longer) > CHAIN_MAX:
            raise CallError(f"more than {CHAIN_MAX} workers would wait for one another in a row", 508)
        return longer

    def unavailable(self, outputs: Sequence[e.Entry]) -> NotFound | None:
        """Return why a step's calls cannot be made now but may be later: a known component's module did not import."""
        for entry in outputs:
            if type(entry) is e.Started and type(entry.request) in _CALLS:
                component_id = entry.request.worker.component_id  # type: ignore[union-attr]
                if self._registry.by_id(component_id) is None:
                    why = self._registry.why_unavailable(component_id)
                    if why is not None:
                        return NotFound(why)
        return None

    # Ending.

    def completed(self, invoked: e.Invoked, outcome: e.Outcome) -> None:
        """Give the outcome of a completed invocation to the worker that waits for it, if one does and still waits."""
        if not invoked.chain or invoked.caller is None or invoked.caller_start is None:
            return
        caller = self._residents.find(invoked.caller)
        if caller is None or not caller.row.life:
            return
        start = invoked.caller_start
        if not caller.is_loaded:
            row = self._record.promise_row(caller.ordinal, start)
            if row is None or row.kind is not PromiseKind.CALL:
                return
        self.end(caller, start, outcome, e.Started(0, start, e.Call(invoked.caller, invoked.function, b"")))

    def end(self, caller: Activation, start: OplogIndex, outcome: e.Outcome, known: e.Started | None = None) -> None:
        """Append the `Ended` of a call, or an ask, that is still open."""
        if not caller.is_loaded or start in caller.open:
            self._residents.deliver(caller, e.Ended(self._record.now(), start, outcome), known=known)

    def find(self, caller: WorkerId, start: OplogIndex, request: e.Call) -> tuple[Activation, OplogIndex] | None:
        """Return the worker and the index of the invocation that a call made; None if there is none (any more)."""
        callee = self.target(caller, start, request.worker)
        if callee is None or not callee.row.life:
            return None
        found = self._record.get(Table.IDEMPOTENCY, call_key(callee.ordinal, caller, start))
        return None if found is None else (callee, OplogIndex(U64.unpack(found)[0]))

    def target(self, caller: WorkerId, start: OplogIndex, worker: WorkerId) -> Activation | None:
        """Return the worker that a call to `worker` went to; an ephemeral one is found by the call."""
        if worker.worker_name:
            return self._residents.find(worker)
        key = ephemeral_key(worker.component_id, call_key(0, caller, start)[8:])
        ordinal = self._record.get(Table.WORKER_IDS, key)
        return None if ordinal is None else self._residents.get(U64.unpack(ordinal)[0])


_CALLS = frozenset((e.Call, e.Send))
