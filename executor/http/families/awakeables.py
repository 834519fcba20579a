"""Awakeables, settled by whoever holds their ids: the id is the capability, so these routes ask for no token."""

from __future__ import annotations

from typing import Any

from promissory.executor.http.door.exchange import Exchange
from promissory.executor.http.door.paths import decoded
from promissory.executor.http.door.refusals import Answer, Refusal
from promissory.executor.http.upstream.upstream import Daemon
from promissory.oplog.errors import NotFound
from promissory.oplog.ids import AWAKEABLE_PREFIX

_OUTCOMES = {"resolved": b"already-resolved", "rejected": b"already-rejected"}


class Awakeables:
    """`/restate/awakeables/{id}/…` and `/restate/a/{id}/…`."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    async def settle(self, exchange: Exchange) -> Answer:
        """Resolve or reject, as the last of a path's four segments says; answered in front of the router."""
        exchange.params = {"id": decoded(exchange.segments[2])}
        return await (self.resolve if exchange.segments[3] == "resolve" else self.reject)(exchange)

    async def resolve(self, exchange: Exchange) -> Answer:
        """Resolve: the body is the payload, whatever its type."""
        return await self._settle(exchange, "promise.complete", {"data": await exchange.body()})

    async def reject(self, exchange: Exchange) -> Answer:
        """Reject: the body is the reason."""
        reason = (await exchange.body()).decode(errors="replace")
        return await self._settle(exchange, "promise.reject", {"message": reason})

    async def _settle(self, exchange: Exchange, op: str, fields: dict[str, Any]) -> Answer:
        """Settle, and answer 202 whoever was first: the published clients throw on anything else."""
        awakeable = exchange.params["id"]
        if not awakeable.startswith(AWAKEABLE_PREFIX):
            # The executor would take it for the name of some other promise, which nobody has proved to know.
            raise Refusal(400, f"bad awakeable id {awakeable[:256]!r}: it does not begin with {AWAKEABLE_PREFIX}")
        try:
            answer = await self._daemon.request(op, {"promise": awakeable, **fields})
        except NotFound:
            outcome = b"unknown"
        else:
            outcome = b"settled" if answer["settled"] else _OUTCOMES.get(answer["state"], b"unknown")
        return Answer(202, b"", ((b"x-promise-outcome", outcome),))
