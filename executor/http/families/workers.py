"""Workers and their promises, in the shapes of Golem's API."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from promissory.executor.http.door.exchange import Exchange, json_answer
from promissory.executor.http.door.refusals import JSON, Answer, Refusal
from promissory.executor.http.families.paging import ALL, COUNT_MAX, number, page
from promissory.executor.http.upstream.served import ComponentRow, Table
from promissory.executor.http.upstream.upstream import Daemon
from promissory.oplog.errors import NotFound
from promissory.oplog.ids import check_component, escape, resolve_component, unescape

STATUSES = {
    "running": "Running",
    "idle": "Idle",
    "suspended": "Suspended",
    "interrupted": "Interrupted",
    "retrying": "Retrying",
    "paused": "Failed",
}
"""Ours, and what Golem calls them."""

_OURS = {theirs.lower(): ours for ours, theirs in STATUSES.items()}
_LIST_COUNT = 50
_OPLOG_COUNT = 100


class CreateBody(msgspec.Struct):
    """The body that creates a worker."""

    name: str
    args: msgspec.Raw = msgspec.Raw(b"[]")
    env: dict[str, str] = {}


class InvokeBody(msgspec.Struct):
    """The body that invokes a function."""

    params: msgspec.Raw = msgspec.Raw(b"[]")


class CompleteBody(msgspec.Struct, rename="camel"):
    """The body that completes a promise: its bytes as an array of numbers."""

    oplog_idx: int
    data: list[int]


class Workers:
    """`/v1/components/{c}/workers/…`."""

    def __init__(self, daemon: Daemon, table: Table) -> None:
        self._daemon = daemon
        self._table = table

    async def list(self, exchange: Exchange) -> Answer:
        """Answer with a page of a component's workers."""
        query = exchange.query()
        fields: dict[str, Any] = {"component": exchange.params["c"]}
        status = query.get("status")
        if status is not None:
            fields["status"] = _OURS.get(status.lower())
            if fields["status"] is None:
                raise Refusal(400, f"status {status!r} is unknown: it is one of {', '.join(STATUSES.values())}")
        if "name" in query:
            fields["name"] = query["name"]
        rows, cursor = await page(
            self._daemon, "worker.list", fields, "worker", number(query, "count", _LIST_COUNT, most=COUNT_MAX), query
        )
        shown = [found for row in rows if (found := await self._find(row["worker"])) is not None]
        return json_answer({"workers": shown, "cursor": cursor} if cursor else {"workers": shown})

    async def create(self, exchange: Exchange) -> Answer:
        """Create a worker."""
        body = _decode(await exchange.body(), CreateBody)
        component = exchange.params["c"]
        fields = {"worker": f"{component}/{escape(body.name)}", "args": bytes(body.args), "env": body.env}
        created = await self._daemon.request("worker.create", fields)
        shown = await self._daemon.request("worker.show", {"worker": created["worker"]})
        return json_answer({"workerId": worker_id(shown["worker"]), "componentVersion": shown["component_version"]})

    async def show(self, exchange: Exchange) -> Answer:
        """Answer with a worker's metadata."""
        return json_answer(metadata(await self._daemon.request("worker.show", _worker(exchange))))

    async def delete(self, exchange: Exchange) -> Answer:
        """Delete a worker."""
        await self._daemon.request("worker.delete", _worker(exchange))
        return json_answer({})

    async def invoke_and_await(self, exchange: Exchange) -> Answer:
        """Call a function and answer with its result."""
        done = await self._daemon.request("invoke", await self._invocation(exchange), exchange.receive)
        return Answer(200, b'{"result":%b}' % done["result"], (JSON,))

    async def invoke(self, exchange: Exchange) -> Answer:
        """Call a function and answer when the invocation is durable."""
        await self._daemon.request("invoke", {**await self._invocation(exchange), "send": True})
        return json_answer({})

    async def complete(self, exchange: Exchange) -> Answer:
        """Complete a promise: true if this call settled it."""
        body = _decode(await exchange.body(), CompleteBody)
        try:
            data = bytes(body.data)
        except ValueError:
            raise Refusal(400, "data is an array of bytes, numbers from 0 to 255") from None
        promise = f"{_worker(exchange)['worker']}/{body.oplog_idx}"
        answer = await self._daemon.request("promise.complete", {"promise": promise, "data": data})
        return json_answer(answer["settled"])

    async def interrupt(self, exchange: Exchange) -> Answer:
        """Interrupt a worker; with `recovery-immediately` it goes on at once."""
        wanted = exchange.query().get("recovery-immediately", "false").lower()
        if wanted not in ("true", "false"):
            raise Refusal(400, f"recovery-immediately is true or false, not {wanted!r}")
        await self._daemon.request("worker.interrupt", _worker(exchange))
        if wanted == "true":
            await self._daemon.request("worker.resume", _worker(exchange))
        return json_answer({})

    async def resume(self, exchange: Exchange) -> Answer:
        """Have a worker go on."""
        await self._daemon.request("worker.resume", _worker(exchange))
        return json_answer({})

    async def oplog(self, exchange: Exchange) -> Answer:
        """Answer with a chunk of a worker's oplog."""
        query = exchange.query()
        first = number(query, "from", 1, most=2**63 - 1)
        fields = {**_worker(exchange), "from": first, "limit": number(query, "count", _OPLOG_COUNT, most=COUNT_MAX)}
        last: int = (await self._daemon.request("worker.show", _worker(exchange)))["last_index"]
        rows: list[dict[str, Any]] = []
        more = await self._daemon.rows("oplog.read", fields, rows)
        entries = [{"oplogIndex": row.pop("index"), "entry": {"type": row.pop("kind"), **row}} for row in rows]
        shown: dict[str, Any] = {"entries": entries}
        if more and entries:
            shown["next"] = entries[-1]["oplogIndex"] + 1
        shown["firstIndexInChunk"] = entries[0]["oplogIndex"] if entries else first
        # What was appended after the worker was looked at may have been read.
        shown["lastIndex"] = max(last, entries[-1]["oplogIndex"]) if entries else last
        return json_answer(shown)

    async def cancel(self, exchange: Exchange) -> Answer:
        """Cancel every invocation of a worker with an idempotency key."""
        rows: list[dict[str, Any]] = []
        await self._daemon.rows("invocation.list", {**_worker(exchange), "limit": ALL}, rows)
        canceled = False
        for row in rows:
            if row["key"] == exchange.params["key"]:
                answer = await self._daemon.request("invocation.cancel", {"invocation": row["invocation"]})
                canceled |= answer["cancelled"]
        return json_answer({"canceled": canceled})

    async def _find(self, worker: str) -> dict[str, Any] | None:
        """Return a worker's metadata; None if it has been deleted since it was listed."""
        try:
            return metadata(await self._daemon.request("worker.show", {"worker": worker}))
        except NotFound:
            return None

    async def _invocation(self, exchange: Exchange) -> dict[str, Any]:
        """Return the fields of an invocation."""
        asked = exchange.query().get("function")
        if not asked:
            raise Refusal(400, "the parameter `function` is missing")
        component = await self._table.component(exchange.params["c"])
        function = _like(component, asked)
        if function is None:
            function = (await self._table.handler(component, asked)).name
        raw = await exchange.body()
        body = _decode(raw, InvokeBody) if raw else InvokeBody()
        fields = {**_worker(exchange), "function": function, "params": bytes(body.params)}
        key = exchange.header(b"idempotency-key")
        if key is not None:
            fields["key"] = key
        return fields


def metadata(shown: dict[str, Any]) -> dict[str, Any]:
    """Return a worker, as `worker.show` gives it, as Golem's metadata."""
    found = {
        "workerId": worker_id(shown["worker"]),
        "args": shown.get("args", []),
        "env": shown.get("env", {}),
        "status": STATUSES.get(shown["status"], shown["status"]),
        "componentVersion": shown.get("component_version", 0),
        "retryCount": shown.get("attempt", 0) if shown["status"] in ("retrying", "paused") else 0,
        "pendingInvocationCount": shown["pending_invocations"],
        "createdAt": shown["created_at"],
    }
    if "last_error" in shown:
        found["lastError"] = shown["last_error"]
    return found


def worker_id(worker: str) -> dict[str, str]:
    """Return COMPONENT/NAME as Golem's worker id."""
    component, _, name = worker.partition("/")
    return {"componentId": str(uuid.UUID(bytes=resolve_component(component))), "workerName": unescape(name)}


def _worker(exchange: Exchange) -> dict[str, Any]:
    """Return the field that names the worker in the path.

    Raises:
      BadArguments: what should be a component's name or id cannot be one.
    """
    return {"worker": f"{check_component(exchange.params['c'])}/{escape(exchange.params['w'])}"}


def _like(component: ComponentRow, asked: str) -> str | None:
    """Return the function with a name, `-` and `_` being alike; the very name comes first."""
    if asked in component.handlers:
        return asked
    alike = asked.replace("-", "_")
    return next((name for name in component.handlers if name.replace("-", "_") == alike), None)


def _decode(body: bytes, shape: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f"the body does not fit: {error}") from None
