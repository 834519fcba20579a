"""The door for invocations: checked, deduplicated by key, appended, and answered when their outcome is durable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from promissory.executor.commits.record import Record
from promissory.executor.hostcalls.callees import is_misnamed, naming_error
from promissory.executor.hostcalls.promises import Promises
from promissory.executor.residents.failures import paused_error
from promissory.executor.residents.residents import Activation
from promissory.executor.residents.watchers import Watcher, Watchers
from promissory.executor.turns.executor import Executor
from promissory.oplog.comparing import check_invocation
from promissory.oplog.entries import Errored, Invoked
from promissory.oplog.errors import BadArguments, Exists, LimitReached, NotFound
from promissory.oplog.ids import InvocationId, OplogIndex, WorkerId
from promissory.oplog.tables import U64, Condition, PromiseKind, Table, ephemeral_key, idempotency_key
from promissory.workers.component import Component, Handler

DELAY_US_MAX = 100 * 366 * 86_400 * 1_000_000


class Call(msgspec.Struct, frozen=True):
    """A handler or query to call, as it comes in."""

    function: str
    params: bytes
    """A JSON array, or a JSON object by name."""
    key: str | None = None
    delay_us: int | None = None


class Accepted(msgspec.Struct, frozen=True):
    """An invocation that was appended, or was there already."""

    activation: Activation
    index: OplogIndex
    is_new: bool

    @property
    def id(self) -> InvocationId:
        """The invocation's id."""
        return InvocationId(self.activation.row.worker_id, self.index)


class Accepting:
    """Accepts invocations and attaches to them.

    Args:
      executor: what takes them.
    """

    def __init__(self, executor: Executor) -> None:
        self._record = executor.record
        self._registry = executor.registry
        self._residents = executor.residents
        self._watchers = executor.watchers
        self._promises = executor.promises
        self._timers = executor.timers
        self._creation = executor.creation
        self._config = executor.config
        self._counters = executor.counters
        self._retention_us = int(executor.config.retention_seconds * 1e6)

    def handler(self, worker: str, function: str) -> tuple[Component, WorkerId, Handler]:
        """Return the component, id and handler that a call names; the id of a fresh ephemeral worker has no name.

        Raises:
          NotFound: the component or the function does not exist.
          BadArguments: the worker's name is out of limits, is missing, or is given to an ephemeral component.
        """
        component, worker_id = self._registry.locate(worker)
        handler = component.handlers.get(function)
        if handler is None:
            known = ", ".join(component.handlers)
            raise NotFound(f"component {component.name!r} has no function {function!r}", expected=known)
        if is_misnamed(component, worker_id, handler.kind):
            raise BadArguments(naming_error(component, handler.kind))
        return component, worker_id, handler

    def accept(self, call: Call, component: Component, worker_id: WorkerId, handler: Handler) -> Accepted:
        """Append an invocation as a unit, or find the one with its key; the worker takes it in its turn.

        Returns:
          The invocation; durable when the record says so (`Record.when_durable`).

        Raises:
          BadArguments: the arguments do not fit; nothing is written.
          LimitReached: the key or the arguments are too long; nothing is written.
        """
        self._check_limits(call)
        params = handler.check(call.params)
        if call.key is not None:
            known = self.known(worker_id, call.function, call.key)
            if known is not None:
                return known
        retention_us = None
        if component.ephemeral:
            worker_id, retention_us = self._creation.fresh_id(component), self._retention_us
        activation = self._creation.find_or_create(component, worker_id, {}, None)
        now = self._record.now()
        due = None if call.delay_us is None else now + call.delay_us
        key = call.key if call.key is not None else self._creation.fresh_key()
        invoked = Invoked(now, call.function, params, key, None, None, (), due, retention_us)
        index = self._residents.deliver(activation, invoked)
        if due is not None:
            self._timers.add(due, activation.ordinal, index)
        self._counters.invocations_accepted += 1
        return Accepted(activation, index, is_new=True)

    def known(self, worker_id: WorkerId, function: str, key: str) -> Accepted | None:
        """Return the invocation that a key stands for already; the worker of an ephemeral component has no name.

        Raises:
          OplogCorrupt: the key leads to another invocation: its row, or the entry there, is damaged.
        """
        if worker_id.worker_name:
            activation = self._residents.find(worker_id)
            if activation is None:
                return None
            row_key = idempotency_key(activation.ordinal, function, key)
            found = self._record.get(Table.IDEMPOTENCY, row_key)
            if found is None:
                return None
            index = OplogIndex(U64.unpack(found)[0])
            check_invocation(activation.ordinal, row_key, index, self._record.entry(activation.ordinal, index))
            return Accepted(activation, index, is_new=False)
        digest = idempotency_key(0, function, key)[8:]
        found = self._record.get(Table.WORKER_IDS, ephemeral_key(worker_id.component_id, digest))
        activation = None if found is None else self._residents.get(U64.unpack(found)[0])
        # The one invocation of an ephemeral worker follows its `Created`.
        return None if activation is None else Accepted(activation, OplogIndex(activation.row.life + 1), is_new=False)

    def _check_limits(self, call: Call) -> None:
        if len(call.params) > self._config.payload_bytes_max:
            limit = self._config.payload_bytes_max
            raise LimitReached(f"the arguments have {len(call.params)} bytes, the limit is {limit}", "size")
        if call.key is not None and not 1 <= len(call.key) <= self._config.idempotency_key_chars_max:
            limit = self._config.idempotency_key_chars_max
            raise LimitReached(
                f"the idempotency key has {len(call.key)} characters, allowed are 1 to {limit}", "length"
            )
        if call.delay_us is not None and not 0 <= call.delay_us <= DELAY_US_MAX:
            raise BadArguments("the delay must be from 0 seconds to 100 years")

    def create(self, worker: str, args: bytes, env: Mapping[str, str]) -> Activation:
        """Create a worker explicitly, as a unit.

        Raises:
          Exists: there is one already; nothing is written.
          BadArguments: its arguments do not fit, or it is ephemeral; nothing is written.
          LimitReached: arguments and environment are too long; nothing is written.
          NotFound: the component is not registered.
        """
        component, worker_id = self._registry.locate(worker)
        if component.ephemeral or not worker_id.worker_name:
            raise BadArguments(naming_error(component, "handler"))
        size_bytes = len(args) + sum(len(name.encode()) + len(value.encode()) for name, value in env.items())
        if size_bytes > self._config.payload_bytes_max:
            limit = self._config.payload_bytes_max
            raise LimitReached(f"arguments and environment have {size_bytes} bytes, the limit is {limit}", "size")
        activation = self._residents.find(worker_id)
        if activation is not None and activation.row.life:
            raise Exists(f"worker {activation.path} exists already", worker=activation.path)
        return self._creation.create(component, worker_id, component.check_args(args), env, None, activation)

    # Waiting.

    def find(self, invocation: InvocationId) -> tuple[Activation, OplogIndex]:
        """Return the worker and the index of an invocation.

        Raises:
          NotFound: there is no such invocation.
        """
        activation = self._residents.find(invocation.worker_id)
        if activation is not None and activation.row.life:
            row = self._record.promise_row(activation.ordinal, invocation.oplog_idx)
            if row is not None and row.kind is PromiseKind.INVOCATION:
                return activation, invocation.oplog_idx
        raise NotFound(f"there is no invocation {invocation}")

    def watch(self, accepted: Accepted, watcher: Watcher) -> Callable[[], None]:
        """Tell a watcher the outcome of an invocation, or at once that its worker is paused.

        Returns:
          What takes the watcher back.
        """
        activation, index = accepted.activation, accepted.index
        if accepted.is_new and activation.row.condition is not Condition.PAUSED:
            return self._watchers.add(activation.row.ordinal, index, watcher)
        return watch(self._record, self._promises, self._watchers, activation, index, watcher, pauses=True)


def watch(
    record: Record,
    promises: Promises,
    watchers: Watchers,
    activation: Activation,
    index: OplogIndex,
    watcher: Watcher,
    *,
    pauses: bool,
) -> Callable[[], None]:
    """Tell a watcher the outcome of a promise or invocation when it is there and durable."""
    row = promises.row(activation, index, created=False)
    outcome = promises.outcome(activation, row)
    error = None
    if outcome is None:
        if not pauses or activation.row.condition is not Condition.PAUSED:
            return watchers.add(activation.ordinal, index, watcher)
        error = paused_error(activation, last_error(record, activation))
    watching: list[Any] = [watcher]

    def durable(failure: Any) -> None:
        for one in watching:
            one(None if failure else outcome, failure or error)

    record.when_durable(durable)
    return watching.clear


def last_error(record: Record, activation: Activation) -> str:
    """Return the text of a worker's last error."""
    if not activation.row.errored:
        return "unknown"
    entry = record.entry(activation.ordinal, activation.row.errored)
    return entry.error if isinstance(entry, Errored) else "unknown"
