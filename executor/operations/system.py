"""Operations on the executor as a whole: its components, its status, its figures."""

from __future__ import annotations

import os
from functools import partial

import structlog

from promissory.executor.components.importing import load_all
from promissory.executor.operations.accepting import Accepting
from promissory.executor.operations.answers import Group, Operation, Reply, Stream
from promissory.executor.operations.inspection import Inspection
from promissory.executor.protocol import requests
from promissory.executor.turns.executor import Executor
from promissory.executor.version import VERSION
from promissory.oplog.errors import PromissoryError
from promissory.oplog.tables import Table


class SystemOperations(Group):
    """`component.*`, `status`, `metrics`."""

    def __init__(self, executor: Executor, accepting: Accepting, inspection: Inspection) -> None:
        super().__init__(executor, accepting, inspection)
        self._log = structlog.get_logger("promissory.admin")

    def by_name(self) -> dict[str, Operation]:
        """Return the operations by their names in the protocol."""
        return {
            "component.list": (requests.Nothing, self._list_components),
            "component.register": (requests.Register, self._register),
            "status": (requests.Nothing, self._status),
            "metrics": (requests.Nothing, self._metrics),
        }

    def _list_components(self, _: requests.Nothing, reply: Reply) -> None:
        reply.ok(self._inspection.components())

    def _register(self, request: requests.Register, reply: Reply) -> Stream:
        executor = self._executor

        async def register() -> None:
            try:
                # A user's module may take long to import, and the loop has workers to turn to.
                classes = await executor.aside(partial(load_all, request.modules, request.directory))
                names = executor.registry.add(classes, request.directory)
                await executor.durable()
            except PromissoryError as error:
                reply.error(error)
                return
            executor.resume_runnable()
            self._log.info("components_registered", components=names, peer=reply.peer)
            reply.ok(names)

        return register

    def _status(self, _: requests.Nothing, reply: Reply) -> None:
        executor = self._executor
        reply.ok(
            {
                "pid": os.getpid(),
                "version": VERSION,
                "workers": executor.environment.count(Table.WORKERS),
                "workers_in_memory": len(executor.residents),
                "entries": executor.environment.count(Table.OPLOG),
                "commits": executor.record.commits_count,
                "components": executor.registry.names(),
                "unavailable": executor.registry.unavailable(),
            }
        )

    def _metrics(self, _: requests.Nothing, reply: Reply) -> None:
        reply.ok(self._executor.statistics())
