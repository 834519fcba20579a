"""What workers ask of other workers: to invoke a handler, waiting or not, and to answer a query.

A call hands over in memory: the callee's `Invoked` stands in the unit of the caller's `Started`, the caller's `Ended`
in that of the callee's `Completed`. So a chain of calls costs no commit of its own, and after a crash there is either
the whole hand-over or none of it. A call that cannot be made ends at once, and its target is not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from executor.config import Config
from executor.creation import Creation
from executor.cycles import UNREAD, Unread, stuck
from executor.queries import Queries
from executor.record import Record
from executor.registry import Registry
from executor.residents import Activation, Residents
from executor.timers import Timers
from oplog import entries as e
from oplog.errors import (
    CallCycleError,
    CallError,
    NonDeterminismError,
    NotFound,
    PromissoryError,
    RequestError,
    StoreFailed,
    TerminalError,
    say,
)
from oplog.ids import InvocationId, OplogIndex, WorkerId
from oplog.tables import U64, Condition, PromiseKind, Table, call_key, ephemeral_key
from workers.component import Component, Handler
from workers.ending import failure_of

CHAIN_MAX = 64
"""How many workers may wait for one another in a row."""


class Calls:
    """Makes the calls of workers and ends them; every method appends within the unit at hand.

    Args:
      record, registry, residents, creation, timers, queries: of the executor.
      config: limits.
    """

    def __init__(
        self,
        record: Record,
        registry: Registry,
        residents: Residents,
        creation: Creation,
        timers: Timers,
        queries: Queries,
        config: Config,
    ) -> None:
        self._record = record
        self._registry = registry
        self._residents = residents
        self._creation = creation
        self._timers = timers
        self._queries = queries
        self._config = config
        self._retention_us = int(config.retention_seconds * 1e6)
        self._asking: dict[tuple[int, int], object] = {}
        """The asks whose answers are under way."""
        self._held: dict[tuple[int, int], e.Ask] = {}
        """Asks of a component that is known but not served: they wait for it."""
        self.unread: set[int] = set()
        """Workers that could not be looked at, for want of their components."""
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
            component, handler = self._handler(request, "handler")
            chain = self._chain(request, chain, own, handler) if type(request) is e.Call else ()
            params = handler.check(request.params)
            if component.ephemeral:
                worker_id, retention_us = self._creation.fresh_id(component), self._retention_us
            else:
                worker_id, retention_us = request.worker, None
            assert caller.player is not None
            callee = self._creation.find_or_create(component, worker_id, caller.player.created.env, own)
        except (RequestError, TerminalError, NonDeterminismError) as error:
            self._end(caller, index, call_failure(error))
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
            self._end(caller, index, e.Value(msgspec.json.encode(name)))

    def _handler(self, request: e.Call | e.Send | e.Ask, kind: str) -> tuple[Component, Handler]:
        """Return the component and the handler or query that a request is for.

        Raises:
          NotFound: there is no such component or function.
          CallError: it is of the other kind, or too large.
        """
        worker, function = request.worker, request.function
        component = self._registry.by_id(worker.component_id)
        if component is None:
            raise NotFound(f"component {self._registry.component_name(worker.component_id)!r} is not registered")
        handler = component.handlers.get(function)
        if handler is None:
            raise NotFound(f"component {component.name!r} has no function {function!r}")
        if handler.kind != kind:
            raise CallError(f"{component.name}.{function} is a {handler.kind}, not a {kind}", 400)
        if (not worker.worker_name) is not (component.ephemeral and kind == "handler"):
            raise CallError(naming_error(component, kind), 400)
        limit = self._config.payload_bytes_max
        if len(request.params) > limit:
            raise CallError(f"the arguments have {len(request.params)} bytes, the limit is {limit}", 413)
        return component, handler

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
        self._end(caller, start, outcome)

    def _end(self, caller: Activation, start: OplogIndex, outcome: e.Outcome) -> None:
        """Append the `Ended` of a call that is still open."""
        if not caller.is_loaded or start in caller.open:
            self._residents.deliver(caller, e.Ended(self._record.now(), start, outcome))

    def find(
        self, caller: WorkerId, start: OplogIndex, request: e.Call | e.Send
    ) -> tuple[Activation, OplogIndex] | None:
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

    # Asking.

    def ask(self, asker: Activation, start: OplogIndex, request: e.Ask) -> None:
        """Have a query answered, now or when its worker has been read back; one that is under way is left alone."""
        key = (asker.ordinal, start)
        if key in self._asking:
            return
        if self._registry.why_unavailable(request.worker.component_id) is not None:
            self._held[key] = request
            return
        token = self._asking[key] = object()
        is_within_unit = True

        def answer(result: bytes | None, error: PromissoryError | None) -> None:
            if self._asking.get(key) is not token or isinstance(error, StoreFailed):
                return
            del self._asking[key]
            if result is not None and len(result) > self._config.payload_bytes_max:
                limit = self._config.payload_bytes_max
                error = CallError(f"the answer has {len(result)} bytes, the limit is {limit}", 413)
            self._answered(key, e.Value(result) if error is None else call_failure(error))
            if not is_within_unit:
                self._residents.end_unit()

        try:
            component, query = self._handler(request, "query")
            params = query.check(request.params)
            self._queries.ask(component, request.worker, request.function, params, answer, inside=True)
        except PromissoryError as error:
            answer(None, error)
        is_within_unit = False

    def _answered(self, key: tuple[int, int], outcome: e.Outcome) -> None:
        asker = self._residents.get(key[0])
        if asker is not None and asker.row.life:
            self._end(asker, OplogIndex(key[1]), outcome)

    def forget_ask(self, ordinal: int, start: int) -> None:
        """Drop the answer of an ask that was given up."""
        self._asking.pop((ordinal, start), None)
        self._held.pop((ordinal, start), None)

    def forget_asks(self) -> None:
        """Drop all answers that are under way: whoever asked is read back and asks again."""
        self._asking.clear()
        self._held.clear()

    def ask_held(self) -> None:
        """Ask, as a unit, what waited for a component that may be served by now."""
        held, self._held = self._held, {}
        for (ordinal, start), request in held.items():
            asker = self._residents.get(ordinal)
            if asker is not None and asker.row.life:
                self.ask(asker, OplogIndex(start), request)
        if held:
            self._residents.end_unit()

    # Waits without end.

    def look(self, activation: Activation) -> None:
        """End the newest call of a worker that waits, with others, for each other and for nothing else.

        Called when such a wait may have begun or narrowed: when the worker comes to rest.
        """
        assert activation.player is not None
        waited = activation.player.waited_calls
        if waited is None:
            return
        targets = self._targets(activation, waited)
        # Most often a call has just been made, and whom it went to is about to take it.
        if targets is None or any(one.player is not None and one.player.ready for one in targets):
            return
        ordinals = stuck(activation.ordinal, self._ways_out)
        if ordinals is not None:
            found = filter(None, map(self._residents.get, ordinals))
            paths = " -> ".join(one.path for one in (*found, activation))
            error = CallCycleError(f"the call would wait for itself: {paths}", 409)
            self._end(activation, waited[-1][0], failure_of(error))

    def look_again(self, activation: Activation) -> None:
        """Look at a worker that a person let go on: while it was stopped it counted as one that can go on."""
        row = activation.row
        if row.condition is Condition.NONE and row.running and not row.is_runnable:
            is_loaded = activation.is_loaded or self.read_back(activation)
            if is_loaded and activation.player is not None and not activation.player.ready:
                self.look(activation)

    def look_at_unread(self) -> None:
        """Look at the workers that counted as free because their components were unavailable: some may be no more."""
        unread, self.unread = self.unread, set()
        for activation in filter(None, map(self._residents.get, sorted(unread))):
            self.look_again(activation)
            self._residents.end_unit()

    def _ways_out(self, ordinal: int, may_read: bool) -> Iterable[int] | Unread | None:
        """Return the workers that one waits for; None if it can go on without them."""
        activation = self._residents.get(ordinal)
        if activation is None or not activation.row.life or activation.row.condition is not Condition.NONE:
            return None
        if not activation.is_loaded:
            if activation.row.is_runnable or not activation.row.running:
                return None
            if not may_read:
                return UNREAD
            if not self.read_back(activation):
                return None
        player = activation.player
        assert player is not None
        if player.ready:
            # Inputs without outputs, as a replay leaves them: it is looked at once it has applied them.
            self._residents.push(activation)
            return None
        waited = player.waited_calls
        if waited is None:
            return None
        targets = self._targets(activation, waited)
        return None if targets is None else [target.ordinal for target in targets]

    def _targets(self, caller: Activation, waited: Iterable[tuple[OplogIndex, WorkerId]]) -> list[Activation] | None:
        """Return the workers that calls went to; None if one of them is gone."""
        own = caller.row.worker_id
        found = []
        for start, worker in waited:
            target = self.target(own, start, worker)
            if target is None:
                return None
            found.append(target)
        return found

    def read_back(self, activation: Activation) -> bool:
        """Replay a worker to its end now; False if it cannot be. Set by the engine, which does so."""
        raise NotImplementedError


_CALLS = frozenset((e.Call, e.Send, e.Ask))


def naming_error(component: Component, kind: str) -> str:
    """Say how a component's workers are addressed, to who did it the other way."""
    if component.ephemeral and kind == "handler":
        return f"{component.name} is ephemeral: each invocation gets a worker of its own, give COMPONENT without a name"
    return f"{component.name}: which worker? give COMPONENT/NAME"


def call_failure(error: PromissoryError) -> e.Failure:
    """Return as a call's outcome why it could not be made or answered."""
    if isinstance(error, TerminalError):
        return failure_of(error)
    if isinstance(error, RequestError):
        return e.Failure("call", str(error), 404 if isinstance(error, NotFound) else 400)
    return e.Failure("call", say(error), 500)
