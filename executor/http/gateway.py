"""The application: who may come in, and which family of routes answers.

It is a Starlette application with a door of its own in front. The door looks at the path as it was sent, asks for
the token, counts the requests in flight, and answers calls, sends and the settling of awakeables itself; all other
routes go through Starlette's router, on the still encoded path. Measured with CPython 3.11 and uvloop, the door and
what is behind it take 30 µs for a call, sockets and uvicorn not counted; Starlette's middleware and router in front of
them would add 27 µs.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from promissory.executor.http.describe.metrics import Requests
from promissory.executor.http.door.exchange import Exchange, Shape, Work
from promissory.executor.http.door.origins import is_foreign
from promissory.executor.http.door.paths import split
from promissory.executor.http.door.refusals import Answer, Refusal, ingress_answer, worker_answer
from promissory.executor.http.families.awakeables import Awakeables
from promissory.executor.http.families.durable import DurablePromises
from promissory.executor.http.families.ingress import Ingress
from promissory.executor.http.families.operational import Own
from promissory.executor.http.families.outcomes import Outcomes
from promissory.executor.http.families.routes import EXCHANGE, Endpoint, routes
from promissory.executor.http.families.workers import Workers
from promissory.executor.http.upstream.served import Table
from promissory.executor.http.upstream.upstream import Daemon

SETTLING_MAX = 1_000
"""So many requests beyond the limit may settle awakeables: they are what lets others come to their end."""

_ROUTED = {
    "restate": ingress_answer,
    "durablePromiseServer": ingress_answer,
    "promise": ingress_answer,
    "v1": worker_answer,
    "health": worker_answer,
    "metrics": worker_answer,
    "openapi.json": worker_answer,
}
"""The first segments that are no component's name, and how their routes refuse."""


class Gateway(Starlette):
    """The application.

    Args:
      socket: the executor's admin socket.
      token: what requests must carry, if anything.
      cors_origins: the origins whose pages may call; `*` is any.
      requests_max: how many requests may be in flight; more are refused.
      body_bytes_max: the largest body.
    """

    def __init__(
        self, socket: Path, token: str | None, cors_origins: Sequence[str], requests_max: int, body_bytes_max: int
    ) -> None:
        self._daemon = Daemon(socket)
        self._token = None if token is None else token.encode()
        self._origins = frozenset(cors_origins)
        self._requests_max = requests_max
        self._body_bytes_max = body_bytes_max
        self.requests = Requests()
        table = Table(self._daemon)
        self._ingress = Ingress(self._daemon, table)
        self._awakeables = Awakeables(self._daemon)
        families = routes(
            self._ingress,
            Outcomes(self._daemon, table),
            self._awakeables,
            DurablePromises(self._daemon),
            Workers(self._daemon, table),
            Own(self._daemon, table, self.requests),
        )
        super().__init__(routes=[Route(path, Endpoint(methods)) for path, methods in families], lifespan=_lifespan)
        self.router.redirect_slashes = False
        self.router.default = _nowhere
        self._door: ASGIApp = self._serve
        if cors_origins:
            self._door = CORSMiddleware(
                self._serve,
                allow_origins=cors_origins,
                allow_methods=("GET", "HEAD", "POST", "DELETE", "OPTIONS"),
                allow_headers=("*",),
                expose_headers=("x-restate-id", "x-restate-error-source", "x-promise-outcome"),
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hold a lifespan."""
        if scope["type"] == "http":
            await self._door(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def close(self) -> None:
        """Hang up; the next request connects again."""
        self._daemon.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        shape: Shape = ingress_answer
        refusal: Refusal | None = None
        segments: list[str] = []
        try:
            segments = split(scope)
        except Refusal as error:
            refusal = error
        if segments:
            shape = _ROUTED.get(segments[0], ingress_answer)
        exchange = Exchange(scope, receive, send, segments, shape, self._body_bytes_max)
        settles = _settles_awakeable(segments)
        requests = self.requests
        requests.total += 1
        requests.in_flight += 1
        try:
            refusal = refusal or self._refusal(exchange, settles)
            if refusal is not None:
                await exchange.answer_with(_refuse(refusal))
            elif settles and exchange.method == "POST":
                await exchange.answer_with(self._awakeables.settle)
            elif segments and segments[0] in _ROUTED:
                # Below where it is mounted the application is alone: the parameters of that path are none of ours.
                path = "/" + "/".join(segments)
                inner = {**scope, "path": path, "root_path": "", "path_params": {}, EXCHANGE: exchange}
                await super().__call__(inner, receive, send)
            else:
                await exchange.answer_with(self._ingress.answer)
        finally:
            requests.in_flight -= 1

    def _refusal(self, exchange: Exchange, settles: bool) -> Refusal | None:
        """Return why a request may not come in."""
        segments = exchange.segments
        if segments == ["health"]:
            return None
        if self.requests.in_flight > self._requests_max + (SETTLING_MAX if settles else 0):
            self.requests.refused += 1
            return Refusal(429, f"{self._requests_max} requests are in flight", headers=((b"retry-after", b"1"),))
        if settles:
            return None
        if self._token is not None:
            # No page of another origin can send it without asking first whether it may.
            if not self._is_authorized(exchange):
                return Refusal(401, "a bearer token is needed", headers=((b"www-authenticate", b"Bearer"),))
        elif is_foreign(exchange.method, exchange.headers, self._origins):
            return Refusal(403, "a page of another origin may not do this: see `http_cors_origins`")
        return None

    def _is_authorized(self, exchange: Exchange) -> bool:
        scheme, _, given = exchange.headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token or b"")


def _settles_awakeable(segments: list[str]) -> bool:
    return (
        len(segments) == 4
        and segments[0] == "restate"
        and segments[1] in ("a", "awakeables")
        and segments[3] in ("resolve", "reject")
    )


def _refuse(refusal: Refusal) -> Work:
    async def work(_: Exchange) -> Answer:
        raise refusal

    return work


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer for a path that no route has."""
    if scope["type"] != "http":
        await send({"type": "websocket.close", "code": 1000})
        return
    exchange: Exchange = scope[EXCHANGE]
    await exchange.answer_with(_refuse(Refusal(404, f"there is nothing at {scope['path'][:256]}")))


@asynccontextmanager
async def _lifespan(app: Gateway) -> AsyncIterator[None]:
    try:
        yield
    finally:
        app.close()
