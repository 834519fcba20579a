"""Results of invocations that were made before: waited for (`attach`) or asked for (`output`)."""

from __future__ import annotations

from typing import Any

from promissory.executor.http.door.exchange import Exchange
from promissory.executor.http.door.refusals import Answer, Refusal, refusal_of
from promissory.executor.http.families.ingress import result_answer
from promissory.executor.http.families.paging import ALL
from promissory.executor.http.upstream.served import Table
from promissory.executor.http.upstream.upstream import Daemon
from promissory.oplog.errors import NotFound, PromissoryError
from promissory.oplog.ids import escape

_UNKNOWN = {
    "attach": Refusal(404, "not found", "invocation"),
    "output": Refusal(404, "invocation not found"),
}


class Outcomes:
    """`/restate/invocation/…` and `/restate/workflow/…`."""

    def __init__(self, daemon: Daemon, table: Table) -> None:
        self._daemon = daemon
        self._table = table

    async def by_id(self, exchange: Exchange) -> Answer:
        """Answer for an invocation's id."""
        return await self._outcome(exchange, exchange.params["invocation"])

    async def by_key(self, exchange: Exchange) -> Answer:
        """Answer for a component, a worker unless it is ephemeral, a handler and an idempotency key."""
        params = exchange.params
        worker = params["component"]
        if "worker" in params:
            worker += "/" + escape(params["worker"])
        fields = {"worker": worker, "function": params["handler"], "key": params["key"]}
        try:
            found = await self._daemon.request("invocation.find", fields)
        except PromissoryError as error:
            raise _refusal(error, _operation(exchange)) from None
        return await self._outcome(exchange, found["invocation"])

    async def of_workflow(self, exchange: Exchange) -> Answer:
        """Answer for the first invocation of the handler `run` of a worker."""
        params = exchange.params
        fields = {"worker": f"{params['component']}/{escape(params['worker'])}", "limit": ALL}
        runs: list[str] = []

        def note(row: dict[str, Any]) -> None:
            if not runs and row["function"] == "run":
                runs.append(row["invocation"])

        try:
            await self._daemon.request("invocation.list", fields, on_item=note)
        except PromissoryError as error:
            raise _refusal(error, _operation(exchange)) from None
        if not runs:
            raise _UNKNOWN[_operation(exchange)]
        return await self._outcome(exchange, runs[0])

    async def _outcome(self, exchange: Exchange, invocation: str) -> Answer:
        operation = _operation(exchange)
        await exchange.body()
        try:
            fields = {"invocation": invocation}
            done = await self._daemon.request(f"invocation.{operation}", fields, exchange.receive)
        except PromissoryError as error:
            raise _refusal(error, operation) from None
        is_void = done["result"] == b"null" and await self._is_void(invocation)
        return result_answer(done["result"], is_void, done["invocation"])

    async def _is_void(self, invocation: str) -> bool:
        """Whether an invocation's handler returns None by its annotation."""
        try:
            shown = await self._daemon.request("invocation.show", {"invocation": invocation})
            component = await self._table.component(shown["worker"].partition("/")[0])
        except (PromissoryError, Refusal):
            return False
        handler = component.handlers.get(shown["function"])
        return handler is not None and handler.is_void


def _operation(exchange: Exchange) -> str:
    """Return what the path ends with: `attach` or `output`."""
    return exchange.segments[-1]


def _refusal(error: PromissoryError, operation: str) -> Refusal:
    return _UNKNOWN[operation] if isinstance(error, NotFound) else refusal_of(error)
