"""Performs what a step's outputs ask of the host: what stays inside the executor now, effects after the commit."""

from __future__ import annotations

from promissory.executor.commits.record import Record
from promissory.executor.components.registry import Registry
from promissory.executor.hostcalls.asks import Asks
from promissory.executor.hostcalls.calls import Calls
from promissory.executor.hostcalls.cancelling import Cancelling
from promissory.executor.hostcalls.effects import Effects
from promissory.executor.hostcalls.naming import Addressing
from promissory.executor.hostcalls.promises import Promises, settled_at
from promissory.executor.residents.residents import Activation, Residents
from promissory.executor.residents.timers import Timers
from promissory.executor.telemetry.metrics import Histogram
from promissory.oplog import entries as e
from promissory.oplog.errors import BadArguments, NotFound
from promissory.oplog.ids import OplogIndex, WorkerId
from promissory.workers.machine.step import Step


class HostCalls:
    """Appends a step's outputs and does what they ask for, within the unit at hand."""

    def __init__(
        self,
        record: Record,
        registry: Registry,
        residents: Residents,
        promises: Promises,
        effects: Effects,
        timers: Timers,
        calls: Calls,
        cancelling: Cancelling,
        addressing: Addressing,
        asks: Asks,
        took: Histogram,
    ) -> None:
        self._record = record
        self._registry = registry
        self._residents = residents
        self._promises = promises
        self._effects = effects
        self._timers = timers
        self._calls = calls
        self._cancelling = cancelling
        self._addressing = addressing
        self._asks = asks
        self._took = took

    def perform(self, activation: Activation, step: Step) -> None:
        """Append the outputs of a step and perform them, in their order."""
        outputs = step.outputs
        if not outputs:
            return
        base = activation.row.last
        last = outputs[-1]
        open_ = activation.open
        invoked: e.Entry | None = None
        if type(last) is e.Completed:
            invoked = open_.get(last.invocation)
            if invoked is None:
                invoked = self._record.entry(activation.ordinal, last.invocation)
        given_up = [(start, open_.get(start)) for start in step.cancels] if step.cancels else None
        append = self._residents.append
        for entry in outputs:
            append(activation, entry)
        for index, entry in enumerate(outputs, base + 1):
            kind = type(entry)
            if kind is e.Started:
                self._start(activation, OplogIndex(index), entry, invoked)  # type: ignore[arg-type]
            elif kind is e.Completed:
                self._complete(activation, index, entry, invoked)  # type: ignore[arg-type]
            elif kind is e.Abandoned:
                self._effects.abandon(activation.ordinal, entry.start)  # type: ignore[attr-defined]
                self._asks.forget(activation.ordinal, entry.start)  # type: ignore[attr-defined]
        if given_up:
            for start, started in given_up:
                if type(started) is e.Started and type(started.request) is e.Call:
                    self._cancelling.cancel_call(activation, start, started.request)

    def start_effects(self, activation: Activation) -> None:
        """Perform what a worker that was read back has open and is not under way: side effects, and queries."""
        player = activation.player
        assert player is not None
        for start, call in player.open_runs.items():
            self._effects.start(activation.ordinal, start, activation.path, call)
        if player.open_asks:
            with self._record.unit():
                for start, ask in list(player.open_asks.items()):
                    self._asks.ask(activation, start, ask)

    def _start(self, activation: Activation, index: OplogIndex, entry: e.Started, invoked: e.Entry | None) -> None:
        request = entry.request
        kind = type(request)
        if kind is e.Run:
            call = activation.player.open_runs.get(index) if activation.player is not None else None
            if call is not None:
                self._effects.start(activation.ordinal, index, activation.path, call)
        elif kind is e.Call or kind is e.Send:
            if invoked is None:
                invoked = activation.open.get(entry.invocation)
            chain = invoked.chain if type(invoked) is e.Invoked else ()
            self._calls.invoke(activation, index, request, chain)  # type: ignore[arg-type]
        elif kind is e.Sleep:
            due = entry.timestamp + request.duration_us  # type: ignore[union-attr]
            self._timers.add(due, activation.ordinal, index)
        elif kind is e.CreatePromise:
            if request.timeout_us is not None:  # type: ignore[union-attr]
                due = entry.timestamp + request.timeout_us  # type: ignore[union-attr]
                self._timers.add(due, activation.ordinal, index)
        elif kind is e.Ask:
            if index in activation.open:
                self._asks.ask(activation, index, request)  # type: ignore[arg-type]
        else:
            self._call_promise(activation, index, request)

    def _complete(self, activation: Activation, index: int, entry: e.Completed, invoked: e.Entry | None) -> None:
        self._promises.wake(activation, entry.invocation, entry.outcome)
        if type(invoked) is e.Invoked:
            self._took.observe((entry.timestamp - invoked.timestamp) / 1e6)
            if invoked.chain:
                self._calls.completed(invoked, entry.outcome)
            if invoked.retention_us is not None:
                self._timers.add(entry.timestamp + invoked.retention_us, activation.ordinal, index)

    # Promises.

    def _call_promise(self, activation: Activation, index: OplogIndex, request: e.Request) -> None:
        outcome: e.Outcome | None
        if index not in activation.open and type(request) in (e.AwaitPromise, e.PollPromise):
            # Given up within its own step, or woken by a settling there: it has what it gets.
            return
        try:
            if type(request) is e.NamedPromise:
                outcome = self._find_named(activation, request)
            else:
                outcome = self._promise_outcome(activation, index, request)
        except NotFound as error:
            outcome = e.Failure("terminal", str(error), 404)
        except BadArguments as error:
            outcome = e.Failure("terminal", str(error), 400)
        if outcome is not None and index in activation.open:
            self._residents.deliver(activation, e.Ended(self._record.now(), index, outcome))

    def _find_named(self, activation: Activation, request: e.NamedPromise) -> e.Outcome:
        parent = activation.row.worker_id
        found = self._addressing.named(request.name, request.due, creates=request.creates, parent=parent)
        return e.Value(b"null" if found is None else str(found[1]).encode())

    def _promise_outcome(self, activation: Activation, index: OplogIndex, request: e.Request) -> e.Outcome | None:
        """Return the outcome of a call on a promise; None when it is to be waited for or was delivered already.

        Raises:
          NotFound: there is no such promise.
          BadArguments: an awakeable id is malformed or forged.
        """
        promises = self._promises
        if type(request) is e.SettleAwakeable:
            by = f"{activation.row.worker_id}/{index}"
            settled = promises.settle(*self._addressing.awakeable(request.awakeable), request.outcome, by)
            return e.Value(b"true" if settled else b"false")
        owner_id: WorkerId | None = getattr(request, "owner", None)
        owner = activation if owner_id is None else self._residents.find(owner_id)
        promise: OplogIndex = request.promise  # type: ignore[union-attr]
        if owner is None:
            missing = activation.path if owner_id is None else self._registry.path_of(owner_id)
            raise NotFound(f"there is no promise {missing}/{promise}")
        if type(request) is e.AwaitPromise:
            row = promises.row(owner, promise, created=False)
            outcome = promises.outcome(owner, row)
            # Not open any more: its deadline had passed, and looking at it has ended this wait with the others.
            if outcome is not None and index in activation.open:
                promises.end_wait(activation, index, outcome, settled_at(row) if owner is activation else 0)
            return None
        if type(request) is e.PollPromise:
            row = promises.row(owner, promise, created=False)
            return promises.outcome(owner, row) or e.Value(None)
        by = f"{activation.row.worker_id}/{index}"
        if type(request) is e.CompletePromise or type(request) is e.RejectPromise:
            given = (
                e.Value(request.payload)
                if type(request) is e.CompletePromise
                else e.Failure("rejected", request.reason, 500)  # type: ignore[union-attr]
            )
            settled = promises.settle(owner, promise, given, by)
            return e.Value(b"true" if settled else b"false")
        promises.delete(owner, promise, by)
        return e.Value(b"null")
