"""Operations on workers and their oplogs."""

from __future__ import annotations

from promissory.executor.operations.answers import Group, Operation, Reply, Stream
from promissory.executor.protocol import requests
from promissory.executor.residents.residents import Activation
from promissory.oplog.entries import Interrupted
from promissory.oplog.errors import BadArguments, NotFound, PromissoryError
from promissory.oplog.tables import Condition


class WorkerOperations(Group):
    """`worker.*`, `oplog.*`."""

    def by_name(self) -> dict[str, Operation]:
        """Return the operations by their names in the protocol."""
        return {
            "worker.create": (requests.Create, self._create_worker),
            "worker.show": (requests.Worker, self._show_worker),
            "worker.list": (requests.Workers, self._list_workers),
            "worker.delete": (requests.Worker, self._delete_worker),
            "worker.interrupt": (requests.Worker, self._interrupt),
            "worker.resume": (requests.Resume, self._resume),
            "oplog.read": (requests.Oplog, self._read_oplog),
            "oplog.follow": (requests.Oplog, self._follow_oplog),
        }

    def _activation(self, text: str) -> Activation:
        activation = self._executor.residents.find(self._executor.registry.worker_id(text))
        if activation is None or not activation.row.life:
            raise NotFound(f"there is no worker {text}")
        return activation

    def _create_worker(self, request: requests.Create, reply: Reply) -> None:
        activation = self._accepting.create(request.worker, request.args, request.env)
        self._when_durable(reply, {"worker": activation.path})

    def _show_worker(self, request: requests.Worker, reply: Reply) -> None:
        reply.ok(self._inspection.worker(self._executor.registry.worker_id(request.worker)))

    def _list_workers(self, request: requests.Workers, reply: Reply) -> Stream:
        after = None if request.after is None else self._executor.registry.worker_id(request.after)
        inspection = self._inspection
        rows = inspection.workers(request.status, request.component, request.name or "", after)
        return self._stream(reply, rows, request.limit)

    def _delete_worker(self, request: requests.Worker, reply: Reply) -> None:
        activation = self._activation(request.worker)
        self._executor.deletion.delete(activation, reply.peer)
        self._when_durable(reply, {"worker": activation.path})

    def _interrupt(self, request: requests.Worker, reply: Reply) -> None:
        activation = self._activation(request.worker)
        if activation.row.condition is not Condition.INTERRUPTED:
            self._executor.residents.append(activation, Interrupted(self._record.now(), reply.peer))
        self._when_durable(reply, {"worker": activation.path})

    def _resume(self, request: requests.Resume, reply: Reply) -> None:
        executor = self._executor
        if request.all:
            # Lists are of what is durable: a worker that pauses in the open batch is not in them yet.
            self._record.when_durable(
                lambda failure: self._resume_all(reply) if failure is None else reply.error(failure)
            )
            return
        if request.worker is None:
            raise BadArguments("resume needs a worker, or all")
        activation = self._activation(request.worker)
        executor.resume(activation, reply.peer)
        self._when_durable(reply, {"worker": activation.path})

    def _resume_all(self, reply: Reply) -> None:
        paused = [row["worker"] for row in self._inspection.workers("paused", None) if row is not None]
        for path in paused:
            self._executor.resume(self._activation(path), reply.peer)
        self._when_durable(reply, {"resumed": len(paused)})

    # Oplogs.

    def _read_oplog(self, request: requests.Oplog, reply: Reply) -> Stream:
        worker_id = self._executor.registry.worker_id(request.worker)
        rows = self._inspection.oplog(worker_id, _first(request.first))
        return self._stream(reply, rows, request.limit)

    def _follow_oplog(self, request: requests.Oplog, reply: Reply) -> Stream:
        worker_id = self._executor.registry.worker_id(request.worker)
        inspection = self._inspection
        inspection.last_index(worker_id)

        first = _first(request.first)

        async def follow() -> None:
            next_index = first
            try:
                while True:
                    for row in inspection.oplog(worker_id, next_index):
                        reply.item(row)
                        next_index = row["index"] + 1
                        await reply.drained()
                    await self._executor.next_commit()
            except PromissoryError as error:
                reply.error(error)

        return follow


def _first(index: int) -> int:
    if not 0 <= index < 2**63:
        raise BadArguments(f"index {index} is out of range")
    return index
