"""Our own routes: health, metrics, the OpenAPI document, components, promises."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec

from promissory.executor.http.describe.metrics import Requests, exposition
from promissory.executor.http.describe.openapi import document
from promissory.executor.http.door.exchange import Exchange, json_answer
from promissory.executor.http.door.refusals import JSON, Answer, Refusal
from promissory.executor.http.families.paging import COUNT_MAX, number, page
from promissory.executor.http.upstream.served import Table
from promissory.executor.http.upstream.upstream import Daemon

HEALTH_SECONDS = 5.0
_PROMISES = 100
_ALL = ("all", "")


class Own:
    """`/health`, `/metrics`, `/openapi.json`, `/restate/health`, `/v1/components`, `/v1/promises`."""

    def __init__(self, daemon: Daemon, table: Table, requests: Requests) -> None:
        self._daemon = daemon
        self._table = table
        self._requests = requests
        self._document: tuple[Any, str, bytes] | None = None

    async def health(self, _: Exchange) -> Answer:
        """Answer 200 if the executor answers."""
        with anyio.move_on_after(HEALTH_SECONDS):
            status = await self._daemon.request("status", {})
            return json_answer({"status": "ok", "version": status["version"]})
        raise Refusal(503, f"the executor did not answer within {HEALTH_SECONDS:g} s")

    async def metrics(self, exchange: Exchange) -> Answer:
        """Answer with the executor's figures and the gateway's own, as Prometheus reads them."""
        figures = await self._daemon.request("metrics", {})
        body, content_type = exposition(figures, self._requests, exchange.header(b"accept") or "")
        return Answer(200, body, ((b"content-type", content_type.encode()),))

    async def openapi(self, exchange: Exchange) -> Answer:
        """Answer with the description of every route, and of every component that is registered now."""
        await self._table.refresh()
        listed, root = self._table.listed, exchange.scope.get("root_path") or "/"
        if self._document is None or self._document[0] is not listed or self._document[1] != root:
            self._document = (listed, root, msgspec.json.encode(document(listed, root)))
        return Answer(200, self._document[2], (JSON,))

    async def services(self, _: Exchange) -> Answer:
        """Answer with the names of the components."""
        await self._table.refresh()
        return json_answer({"services": [shown["component"] for shown in self._table.listed]})

    async def components(self, _: Exchange) -> Answer:
        """Answer with the components and their schemas."""
        await self._table.refresh()
        return json_answer({"components": self._table.listed})

    async def component(self, exchange: Exchange) -> Answer:
        """Answer with one component, by name or id."""
        asked = exchange.params["c"]
        await self._table.refresh()
        for shown in self._table.listed:
            if asked in (shown["component"], shown["id"]):
                return json_answer(shown)
        raise Refusal(404, f"component {asked!r} is not registered")

    async def promises(self, exchange: Exchange) -> Answer:
        """Answer with a page of promises, pending ones unless asked otherwise."""
        query = exchange.query()
        state = query.get("state", "pending")
        fields: dict[str, Any] = {"state": None if state in _ALL else state}
        if "component" in query:
            fields["component"] = query["component"]
        count = number(query, "limit", _PROMISES, most=COUNT_MAX)
        rows, cursor = await page(self._daemon, "promise.list", fields, "promise", count, query)
        return json_answer({"promises": rows, "cursor": cursor} if cursor else {"promises": rows})
