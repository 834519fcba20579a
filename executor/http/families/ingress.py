"""Calls and sends, as Restate's clients make them: the one route that nearly all requests take.

So it is answered in front of Starlette's router, from the path's segments and the table of components alone, and
arguments and results pass through as the bytes that they are.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any

from promissory.executor.http.door.exchange import Exchange, json_answer, not_allowed
from promissory.executor.http.door.paths import decoded
from promissory.executor.http.door.refusals import JSON, Answer, Refusal
from promissory.executor.http.families.delays import delay_us
from promissory.executor.http.upstream.served import ComponentRow, HandlerRow, Table
from promissory.executor.http.upstream.upstream import Daemon
from promissory.oplog.errors import PromissoryError
from promissory.oplog.ids import escape
from promissory.oplog.render import rfc3339


class Ingress:
    """`/{component}/{worker}/{handler}[/send]`, without the worker for an ephemeral component."""

    def __init__(self, daemon: Daemon, table: Table) -> None:
        self._daemon = daemon
        self._table = table

    def answer(self, exchange: Exchange) -> Awaitable[Answer]:
        """Answer a request on the plain form of the path."""
        segments = exchange.segments
        is_send = len(segments) > 2 and segments[-1] == "send"
        return self._answer(exchange, segments[:-1] if is_send else segments, is_send)

    def call(self, exchange: Exchange) -> Awaitable[Answer]:
        """Answer `/restate/call/…`."""
        return self._answer(exchange, exchange.segments[2:], is_send=False)

    def send(self, exchange: Exchange) -> Awaitable[Answer]:
        """Answer `/restate/send/…`."""
        return self._answer(exchange, exchange.segments[2:], is_send=True)

    async def _answer(self, exchange: Exchange, segments: list[str], is_send: bool) -> Answer:
        if not 2 <= len(segments) <= 3:
            raise _bad_path(exchange)
        component = self._table.known(segments[0])
        if component is None:
            component = await self._table.component(decoded(segments[0]))
        function = decoded(segments[-1])
        handler = component.handlers.get(function)
        if handler is None:
            handler = await self._table.handler(component, function)
        worker = _worker(exchange, component, handler, segments)
        method = exchange.method
        if method != "POST" and (is_send or not handler.is_query or method not in ("GET", "HEAD")):
            return not_allowed(method, "GET, HEAD, POST" if handler.is_query and not is_send else "POST")
        fields: dict[str, Any] = {
            "worker": worker,
            "function": function,
            "params": handler.arguments(await exchange.body()),
        }
        if b"idempotency-key" in exchange.headers:
            fields["key"] = _key(exchange)
        if is_send:
            return await self._send(exchange, fields)
        if exchange.scope["query_string"] and "delay" in exchange.query():
            raise Refusal(400, "a call cannot be delayed: add /send to the path")
        done = await self._daemon.request("invoke", fields, exchange.receive)
        return result_answer(done["result"], handler.is_void, done.get("invocation"))

    async def _send(self, exchange: Exchange, fields: dict[str, Any]) -> Answer:
        fields["send"] = True
        delay = exchange.query().get("delay")
        if delay is not None:
            fields["delay_us"] = delay_us(delay)
        sent = await self._daemon.request("invoke", fields)
        is_new = sent["status"] == "accepted"
        shown = {"invocationId": sent["invocation"], "status": "Accepted" if is_new else "PreviouslyAccepted"}
        due = None if delay is None else await self._due(sent["invocation"], fields["delay_us"] if is_new else None)
        if due is not None:
            shown["executionTime"] = due
        return json_answer(shown, 202)

    async def _due(self, invocation: str, its_delay_us: int | None) -> str | None:
        """Return when an invocation begins; None if it is known already and was not delayed, or has begun.

        Args:
          invocation: its id.
          its_delay_us: its delay if it was made just now; if it was made earlier, so was its time.
        """
        try:
            shown = await self._daemon.request("invocation.show", {"invocation": invocation})
            due: str | None = shown.get("due")
        except PromissoryError:
            due = None
        if due is None and its_delay_us is not None:
            due = rfc3339(time.time_ns() // 1_000 + its_delay_us)
        return due


def result_answer(result: bytes, is_void: bool, invocation: str | None) -> Answer:
    """Return a handler's result: nothing at all if it returns None by its annotation, else JSON."""
    headers = () if invocation is None else ((b"x-restate-id", invocation.encode()),)
    if is_void and result == b"null":
        return Answer(200, b"", headers)
    return Answer(200, result, (JSON, *headers))


def _worker(exchange: Exchange, component: ComponentRow, handler: HandlerRow, segments: list[str]) -> str:
    """Return the worker as the admin protocol names it."""
    has_name = len(segments) == 3
    # A query of an ephemeral component is about one of its workers.
    if has_name is (component.is_ephemeral and not handler.is_query):
        raise _bad_path(exchange, component)
    if not has_name:
        return component.name
    name = segments[1]
    return f"{component.name}/{name if '%' not in name else escape(decoded(name))}"


def _bad_path(exchange: Exchange, component: ComponentRow | None = None) -> Refusal:
    form = "/component/worker/handler[/send], or /component/handler[/send] for an ephemeral component"
    if component is not None:
        form = f"/{component.name}{'' if component.is_ephemeral else '/worker'}/{decoded(exchange.segments[-1])}"
    path = "/" + "/".join(exchange.segments)
    return Refusal(400, f"bad path {path[:256]!r}: expected {form}")


def _key(exchange: Exchange) -> str:
    key = exchange.header(b"idempotency-key")
    if not key:
        raise Refusal(400, "the idempotency key is empty")
    return key
