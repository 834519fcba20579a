"""What is listed and shown: read from durable snapshots, so nothing is seen before it is durable."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Iterator
from typing import Any

import msgspec

from promissory.executor.commits.record import Record
from promissory.executor.components.registry import Registry
from promissory.executor.operations.shown import component_map, invocation_status
from promissory.oplog import reading
from promissory.oplog.comparing import check_found
from promissory.oplog.entries import Completed, Created, Errored, Failure, Invoked
from promissory.oplog.environment import ordinal_range
from promissory.oplog.errors import BadArguments, NotFound, OplogError
from promissory.oplog.ids import ComponentId, InvocationId, OplogIndex, PromiseId, WorkerId
from promissory.oplog.render import render, rfc3339
from promissory.oplog.tables import (
    PAIR,
    STATUSES,
    U64,
    PromiseKind,
    PromiseRow,
    PromiseState,
    Table,
    WorkerRow,
    oplog_key,
    worker_id_key,
    worker_key,
)
from promissory.workers.component import Component

WORKER_STATUSES = ("running", "suspended", "idle", "retrying", "paused", "interrupted")
PROMISE_STATES = ("pending", "resolved", "rejected", "deleted")
INVOCATION_STATUSES = ("scheduled", "pending", "running", "completed", "failed")

LOOKED_UP_MAX = 16_384
"""How many workers of a status or component are found through `BY_STATUS`; a turn reads so many keys at once."""
_TIME_CHARACTERS = 13
"""The characters of a UUIDv7 that hold its time."""


class Inspection:
    """Rows for people and scripts, as maps of the admin protocol.

    Lists that look at more rows than they are asked for give None for each of the others, so that whoever goes through
    one can let others have their turn.
    """

    def __init__(self, record: Record, registry: Registry) -> None:
        self._env = record.environment
        self._registry = registry
        self._components: dict[Component, dict[str, Any]] = {}
        """What is shown of components: their schemas take milliseconds to make."""

    # Workers.

    def worker(self, worker_id: WorkerId) -> dict[str, Any]:
        """Return all that is known of one worker; of what its damaged entries said nothing is.

        Raises:
          NotFound: there is no such worker.
        """
        row = self._row(worker_id)
        shown = self._worker_map(row)
        created = self._readable(row, row.life)
        if isinstance(created, Created):
            shown["component_version"] = created.component_version
            shown["env"] = created.env
            shown["args"] = msgspec.json.decode(created.args)
            if created.parent is not None:
                shown["parent"] = self._registry.path_of(created.parent)
        if row.scheduled:
            shown["scheduled"] = list(self._scheduled(row))
        errored = self._readable(row, row.errored) if row.errored else None
        if isinstance(errored, Errored):
            shown["error"] = errored.error
            shown["traceback"] = errored.traceback
            shown["attempt"] = errored.attempt
            if errored.next_attempt is not None:
                shown["next_attempt_at"] = rfc3339(errored.next_attempt)
        return shown

    def _scheduled(self, row: WorkerRow) -> Iterator[dict[str, Any]]:
        """Iterate over the invocations of a worker whose time has not come."""
        for key, raw in self._env.scan(Table.PROMISES, *ordinal_range(row.ordinal)):
            if PromiseRow.decode(raw).state is PromiseState.SCHEDULED:
                index = OplogIndex(PAIR.unpack(key)[1])
                invoked = self._readable(row, index)
                if isinstance(invoked, Invoked) and invoked.due is not None:
                    invocation = str(InvocationId(row.worker_id, index))
                    yield {"invocation": invocation, "function": invoked.function, "due": rfc3339(invoked.due)}

    def workers(
        self, status: str | None = None, component: str | None = None, name: str = "", after: WorkerId | None = None
    ) -> Iterator[dict[str, Any] | None]:
        """Iterate over the workers, by age.

        Args:
          status: only those with this one.
          component: only those of this one, given by name or id.
          name: only those whose names begin so.
          after: only those younger than this one, which may have been deleted.

        Raises:
          BadArguments: there is no such status.
          NotFound: there never was such a worker to go on from.
        """
        _check("status", status, WORKER_STATUSES)
        wanted = None if component is None else self._registry.worker_id(f"{component}/-").component_id
        first = b""
        if after is not None:
            last = self._trace(after)
            first = (yield from self._place(after)) if last is None else worker_key(last.ordinal + 1)
        for key, raw in self._candidates(status, wanted, first):
            row = None if raw is None else WorkerRow.decode(U64.unpack(key)[0], raw)
            if (
                row is not None
                and row.life
                and (wanted is None or row.worker_id.component_id == wanted)
                and row.worker_id.worker_name.startswith(name)
                and (status is None or row.status == status)
            ):
                yield self._worker_map(row)
            else:
                yield None

    def _candidates(
        self, status: str | None, component: ComponentId | None, first: bytes
    ) -> Iterator[tuple[bytes, bytes | None]]:
        """Iterate over the rows of `WORKERS` from `first` on, at least those with that status and component.

        A few are looked up in one snapshot, so none is missed; of many the next is never far: all are gone through.
        """
        keys = None
        if status or component:
            names = WORKER_STATUSES if status is None else (status,)
            prefixes = [bytes([STATUSES.index(name)]) + (component or b"") for name in names]
            keys = self._env.keys(Table.BY_STATUS, prefixes, LOOKED_UP_MAX)
        if keys is None:
            yield from self._env.scan(Table.WORKERS, first)
            return
        for key in sorted(key[-8:] for key in keys):
            if key >= first:
                yield key, self._env.get(Table.WORKERS, key)

    def _row(self, worker_id: WorkerId) -> WorkerRow:
        row = self._trace(worker_id)
        if row is None or not row.life:
            raise self._unknown(worker_id)
        return row

    def _trace(self, worker_id: WorkerId) -> WorkerRow | None:
        """Return the row of a worker; a deleted one keeps its own, only an ephemeral one leaves nothing."""
        key = self._env.get(Table.WORKER_IDS, worker_id_key(worker_id))
        row = None if key is None else self._env.get(Table.WORKERS, key)
        if row is None or key is None:  # or it went between the two
            return None
        ordinal = U64.unpack(key)[0]
        return check_found(worker_id, ordinal, WorkerRow.decode(ordinal, row))

    def _unknown(self, worker_id: WorkerId) -> NotFound:
        return NotFound(f"there is no worker {self._registry.path_of(worker_id)}")

    def _place(self, gone: WorkerId) -> Generator[None, None, bytes]:
        """Find where those begin that are younger than an ephemeral worker of which nothing is left.

        Its name begins with the time of its creation. Those of the same millisecond may be older: they come again.

        Raises:
          NotFound: there never was such a worker.
        """
        component, name = self._registry.by_id(gone.component_id), gone.worker_name
        if component is None or not component.ephemeral or not _is_uuid7(name):
            raise self._unknown(gone)
        first = b""
        for key, raw in self._env.scan(Table.WORKERS):
            yield None
            ordinal = U64.unpack(key)[0]
            other = WorkerRow.decode(ordinal, raw).worker_id
            if other.component_id == gone.component_id:
                if other.worker_name[:_TIME_CHARACTERS] >= name[:_TIME_CHARACTERS]:
                    break
                first = worker_key(ordinal + 1)
        return first

    def _worker_map(self, row: WorkerRow) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "worker": self._registry.path_of(row.worker_id),
            "status": row.status,
            "last_index": row.last,
            "pending_invocations": row.pending + row.scheduled,
            "created_at": rfc3339(row.created_at),
        }
        if row.errored:
            try:
                errored = self._entry(row, row.errored)
            except OplogError as error:
                shown["last_error"] = str(error)
            else:
                if isinstance(errored, Errored):
                    shown["last_error"] = errored.error
        return shown

    def _readable(self, row: WorkerRow, index: int) -> Any:
        """Return an entry, or None where it cannot be read: a damaged worker can still be looked at."""
        try:
            return self._entry(row, index)
        except OplogError:
            return None

    def _entry(self, row: WorkerRow, index: int) -> Any:
        """Return an entry; None if there is none.

        Raises:
          OplogCorrupt, NewerFormat: it cannot be read; the error has the worker and the index.
        """
        raw = self._env.get(Table.OPLOG, oplog_key(row.ordinal, index))
        try:
            return None if raw is None else reading.entry(lambda _: raw, row.ordinal, index)
        except OplogError as error:
            raise error.of(self._registry.path_of(row.worker_id)) from None

    # Promises.

    def promises(
        self, state: str | None, component: str | None = None, after: PromiseId | None = None
    ) -> Iterator[dict[str, Any] | None]:
        """Iterate over the promises that were created as such, worker by worker.

        Args:
          state: only those in this one.
          component: only those of workers of this one, given by name or id.
          after: only those that follow this one, which may have been deleted.

        Raises:
          BadArguments: there is no such state.
          NotFound: there never was such a promise to go on from.
        """
        _check("state", state, PROMISE_STATES)
        wanted = None if component is None else self._registry.worker_id(f"{component}/-").component_id
        first = b"" if after is None else (yield from self._after(after))
        owner: WorkerRow | None = None
        for key, raw in self._env.scan(Table.PROMISES, first):
            ordinal, index = PAIR.unpack(key)
            row = PromiseRow.decode(raw)
            name = row.state.name.lower()
            if row.kind is not PromiseKind.PROMISE or (state is not None and name != state):
                yield None
                continue
            if owner is None or owner.ordinal != ordinal:
                worker = self._env.get(Table.WORKERS, worker_key(ordinal))
                owner = None if worker is None else WorkerRow.decode(ordinal, worker)
            if owner is not None and (wanted is None or owner.worker_id.component_id == wanted):
                path = self._registry.path_of(owner.worker_id)
                yield {"promise": f"{path}/{index}", "state": name, "created_at": rfc3339(row.created_at)}
            else:
                yield None

    def _after(self, promise: PromiseId) -> Generator[None, None, bytes]:
        """Find where the promises that follow one begin.

        Raises:
          NotFound: its worker has not come to its index, or never was.
        """
        row = self._trace(promise.worker_id)
        if row is None:
            return (yield from self._place(promise.worker_id))
        if promise.oplog_idx > row.last:
            raise NotFound(f"there is no promise {self._registry.path_of(promise.worker_id)}/{promise.oplog_idx}")
        return oplog_key(row.ordinal, promise.oplog_idx + 1)

    # Invocations.

    def invocation(self, invocation: InvocationId) -> dict[str, Any]:
        """Return what is known of one invocation.

        Raises:
          NotFound: there is no such invocation.
        """
        row = self._row(invocation.worker_id)
        raw = self._env.get(Table.PROMISES, oplog_key(row.ordinal, invocation.oplog_idx))
        promise = None if raw is None else PromiseRow.decode(raw)
        if promise is None or promise.kind is not PromiseKind.INVOCATION:
            raise NotFound(f"there is no invocation {invocation}")
        return self._invocation_map(row, invocation.oplog_idx, promise)

    def invocations(self, worker_id: WorkerId | None, status: str | None) -> Iterator[dict[str, Any] | None]:
        """Iterate over the invocations of one worker, or of all.

        Raises:
          NotFound: there is no such worker.
          BadArguments: there is no such status.
        """
        _check("status", status, INVOCATION_STATUSES)
        first, end = (b"", None) if worker_id is None else ordinal_range(self._row(worker_id).ordinal)
        row: WorkerRow | None = None
        for key, raw in self._env.scan(Table.PROMISES, first, end):
            ordinal, index = PAIR.unpack(key)
            promise = PromiseRow.decode(raw)
            if promise.kind is not PromiseKind.INVOCATION:
                yield None
                continue
            if row is None or row.ordinal != ordinal:
                worker = self._env.get(Table.WORKERS, worker_key(ordinal))
                row = None if worker is None else WorkerRow.decode(ordinal, worker)
            if row is not None and (status is None or invocation_status(row, index, promise) == status):
                yield self._invocation_map(row, index, promise)
            else:
                yield None

    def _invocation_map(self, row: WorkerRow, index: int, promise: PromiseRow) -> dict[str, Any]:
        """Return what is known of an invocation; one whose `Invoked` is damaged shows the damage as its error."""
        shown: dict[str, Any] = {
            "invocation": str(InvocationId(row.worker_id, OplogIndex(index))),
            "worker": self._registry.path_of(row.worker_id),
            "function": "",
            "status": invocation_status(row, index, promise),
            "key": "",
            "created_at": rfc3339(promise.created_at),
        }
        try:
            invoked = self._entry(row, index)
            if isinstance(invoked, Invoked):
                shown["function"], shown["key"] = invoked.function, invoked.key
                if invoked.caller is not None:
                    shown["caller"] = self._registry.path_of(invoked.caller)
                if invoked.due is not None:
                    shown["due"] = rfc3339(invoked.due)
            if promise.state is PromiseState.REJECTED:
                completed = self._entry(row, promise.outcome)
                if isinstance(completed, Completed) and isinstance(completed.outcome, Failure):
                    shown["error"] = completed.outcome.message
        except OplogError as error:
            shown["error"] = str(error)
        return shown

    # Oplogs.

    def last_index(self, worker_id: WorkerId) -> int:
        """Return the last durable index of a worker.

        Raises:
          NotFound: there is no such worker.
        """
        return self._row(worker_id).last

    def oplog(self, worker_id: WorkerId, first: int) -> Iterator[dict[str, Any]]:
        """Iterate over a worker's durable entries from an index on.

        Raises:
          NotFound: there is no such worker.
          OplogCorrupt: an entry cannot be read.
        """
        row = self._row(worker_id)
        try:
            for index, entry in reading.recorded(self._env.scan(Table.OPLOG, *ordinal_range(row.ordinal, first))):
                yield render(index, entry)
        except OplogError as error:
            raise error.of(self._registry.path_of(worker_id)) from None

    # Components.

    def components(self) -> list[dict[str, Any]]:
        """Return the available components with the JSON Schemas of their handlers."""
        components = self._registry.components()
        for component in components:
            if component not in self._components:
                self._components[component] = component_map(component)
        return [self._components[component] for component in components]


def _is_uuid7(name: str) -> bool:
    try:
        return uuid.UUID(name).version == 7 and str(uuid.UUID(name)) == name
    except ValueError:
        return False


def _check(what: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise BadArguments(f"{what} {value!r} is unknown", expected=", ".join(known))
