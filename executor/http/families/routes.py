"""The routes beside calls and sends: which path and method is answered by what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from starlette.types import Receive, Scope, Send

from promissory.executor.http.door.exchange import Exchange, Work, not_allowed
from promissory.executor.http.door.paths import decoded
from promissory.executor.http.door.refusals import Answer
from promissory.executor.http.families.awakeables import Awakeables
from promissory.executor.http.families.durable import DurablePromises
from promissory.executor.http.families.ingress import Ingress
from promissory.executor.http.families.operational import Own
from promissory.executor.http.families.outcomes import Outcomes
from promissory.executor.http.families.workers import Workers

EXCHANGE = "promissory.exchange"
"""Where the scope holds the request's `Exchange`."""

Methods: TypeAlias = Mapping[str, Work]
Routes: TypeAlias = "list[tuple[str, Methods]]"


class Endpoint:
    """What answers on one path: an ASGI application that knows its methods.

    Args:
      methods: what answers each; one that has GET has HEAD too.
    """

    def __init__(self, methods: Methods) -> None:
        self._methods = {**methods, "HEAD": methods["GET"]} if "GET" in methods else {**methods}
        self._allowed = ", ".join(sorted(self._methods))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange: Exchange = scope[EXCHANGE]
        params: dict[str, str] = scope["path_params"]

        async def work(_: Exchange) -> Answer:
            found = self._methods.get(exchange.method)
            if found is None:
                return not_allowed(exchange.method, self._allowed)
            exchange.params = {name: decoded(value) for name, value in params.items()}
            return await found(exchange)

        await exchange.answer_with(work)


def routes(
    ingress: Ingress,
    outcomes: Outcomes,
    awakeables: Awakeables,
    durable: DurablePromises,
    workers: Workers,
    own: Own,
) -> Routes:
    """Return every route but those of calls and sends in their plain form, in the order in which they are tried."""
    return [
        *_own(own),
        *_durable(durable),
        *_restate(ingress, outcomes, awakeables),
        *_workers(workers),
    ]


def _own(own: Own) -> Routes:
    return [
        ("/health", {"GET": own.health}),
        ("/metrics", {"GET": own.metrics}),
        ("/openapi.json", {"GET": own.openapi}),
        ("/restate/health", {"GET": own.services}),
        ("/v1/promises", {"GET": own.promises}),
        ("/v1/components", {"GET": own.components}),
        ("/v1/components/{c}", {"GET": own.component}),
    ]


def _restate(ingress: Ingress, outcomes: Outcomes, awakeables: Awakeables) -> Routes:
    found: Routes = [
        ("/restate/call/{rest:path}", dict.fromkeys(_ANY, ingress.call)),
        ("/restate/send/{rest:path}", dict.fromkeys(_ANY, ingress.send)),
    ]
    for name in ("awakeables", "a"):
        found += [
            (f"/restate/{name}/{{id}}/resolve", {"POST": awakeables.resolve}),
            (f"/restate/{name}/{{id}}/reject", {"POST": awakeables.reject}),
        ]
    by_key = "/restate/invocation/{component}/{worker}/{handler}/{key}"
    for path, work in (
        ("/restate/invocation/{invocation}", outcomes.by_id),
        ("/restate/invocation/{component}/{handler}/{key}", outcomes.by_key),
        (by_key, outcomes.by_key),
        ("/restate/workflow/{component}/{worker}", outcomes.of_workflow),
    ):
        found += [(f"{path}/{operation}", {"GET": work}) for operation in ("attach", "output")]
    return found


_ANY = ("GET", "POST", "OPTIONS", "PUT", "PATCH", "DELETE")
"""For routes that know by themselves what is allowed."""


def _durable(durable: DurablePromises) -> Routes:
    operations: dict[str, Work] = {
        "peek": durable.peek,
        "await": durable.wait,
        "resolve": durable.resolve,
        "reject": durable.reject,
        "dispose": durable.dispose,
    }
    prefixes = [f"{prefix}/{name}" for name in ("promise", "durablePromiseServer") for prefix in ("", "/restate/call")]
    return [(f"{prefix}/{name}", {"POST": work}) for prefix in prefixes for name, work in operations.items()]


def _workers(workers: Workers) -> Routes:
    all_workers = "/v1/components/{c}/workers"
    one = all_workers + "/{w}"
    return [
        (all_workers, {"GET": workers.list, "POST": workers.create}),
        (one, {"GET": workers.show, "DELETE": workers.delete}),
        (f"{one}/invoke-and-await", {"POST": workers.invoke_and_await}),
        (f"{one}/invoke", {"POST": workers.invoke}),
        (f"{one}/complete", {"POST": workers.complete}),
        (f"{one}/interrupt", {"POST": workers.interrupt}),
        (f"{one}/resume", {"POST": workers.resume}),
        (f"{one}/oplog", {"GET": workers.oplog}),
        (f"{one}/invocations/{{key}}", {"DELETE": workers.cancel}),
    ]
