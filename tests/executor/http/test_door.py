"""Who may come in: the token, the limits, other origins, and being mounted in another application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import trio
import trio.testing
from starlette.applications import Starlette
from starlette.routing import Mount

import promissory
from promissory.executor.http.door import bodies
from promissory.executor.http.door.refusals import ClientGone, Refusal
from promissory.executor.operations.inspection import Inspection
from tests.admin import serving
from tests.executor.http.conftest import CLASSES, Http, Serve, client_of
from tests.executor.http.test_ingress import refused

ORIGIN = {"origin": "https://shop.example"}


async def test_token(served: Serve) -> None:
    """Every route but health needs the token when there is one; the refusal has the family's shape."""
    async with served(token="sécret") as (http, _):
        for given in (None, "", "Bearer", "Bearer other", "Basic sécret", "Bearer sécretx"):
            headers = {} if given is None else {"authorization": given.encode()}
            response = await http.post("/cart/c1/clear", headers=headers)
            refused(response, 401, "ingress", "bearer token")
            assert response.headers["www-authenticate"] == "Bearer"
            for path in ("/v1/components", "/metrics", "/openapi.json"):
                assert (await http.get(path, headers=headers)).json() == {"error": "a bearer token is needed"}
            assert (await http.get("/restate/health", headers=headers)).status_code == 401
            assert (await http.post("/promise/peek", headers=headers)).status_code == 401
            assert (await http.get("/health", headers=headers)).status_code == 200
        for given in ("Bearer sécret", "bearer  sécret"):
            assert (await http.post("/cart/c1/clear", headers={"authorization": given.encode()})).status_code == 200


async def test_requests_beyond_the_limit(served: Serve) -> None:
    """Too many at once are 429, each family in its shape; health and settling still come in."""
    async with served(requests_max=2) as (http, _):
        sent = await http.post("/approval/a1/ask/send")
        awakeable = (await http.get("/approval/a1/ids")).json()[0]
        path = f"/restate/invocation/{sent.json()['invocationId']}/attach"
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(http.get, path)
            await trio.testing.wait_all_tasks_blocked(0.05)
            response = await http.post("/cart/c1/clear")
            refused(response, 429, "ingress", "2 requests are in flight")
            assert response.headers["retry-after"] == "1"
            assert (await http.get("/v1/components")).json() == {"error": "2 requests are in flight"}
            assert (await http.get("/health")).status_code == 200
            assert (await http.post(f"/restate/a/{awakeable}/resolve")).status_code == 202
        assert (await http.post("/cart/c1/clear")).status_code == 200


class Endless(httpx.AsyncByteStream):
    """A body without end."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return b"x" * 1000


async def pour(http: Http, path: str) -> httpx.Response:
    """Post a body without end."""
    request = http.build_request("POST", path)
    request.stream = Endless()
    return await http.send(request)


async def test_bodies_over_the_limit(served: Serve) -> None:
    """A body over the limit is 413, by its length alone or as soon as it is passed."""
    async with served(body_bytes_max=100_000) as (http, _):
        for path in ("/cart/c1/run", "/restate/a/prom_1x/resolve", "/promise/peek"):
            refused(await http.post(path, content=b"x" * 100_001), 413, "ingress", "100000 bytes")
            refused(await pour(http, path), 413, "ingress", "100000 bytes")
        for response in (
            await http.post("/v1/components/cart/workers", content=b"x" * 100_001),
            await pour(http, "/v1/components/cart/workers"),
        ):
            assert (response.status_code, list(response.json())) == (413, ["error"])


async def test_arguments_over_the_executors_limit(served: Serve) -> None:
    """What passes the gateway's limit and not the executor's is 413, too."""
    async with served(body_bytes_max=20 << 20) as (http, _):
        for size in (9 << 20, 17 << 20):
            refused(await http.post("/cart/c1/run", content=b'"' + b"x" * size + b'"'), 413, "ingress", "limit")
        assert (await http.post("/cart/c1/clear")).status_code == 200


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
@pytest.mark.parametrize("drips", [False, True])
def test_slow_bodies(backend: str, drips: bool) -> None:
    """A body that does not come in time is refused, whether nothing comes of it or a little at a time."""

    async def receive() -> Any:
        await anyio.sleep(0.01 if drips else 60)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def main() -> None:
        with pytest.raises(Refusal) as caught:
            await bodies.read(receive, {}, 1_000_000, 0.1)
        assert caught.value.status == 408
        assert (b"connection", b"close") in caught.value.headers

    anyio.run(main, backend=backend)


async def test_bodies_that_break_off() -> None:
    """Whoever hangs up within a body is not answered."""

    async def gone() -> Any:
        await trio.lowlevel.checkpoint()
        return {"type": "http.disconnect"}

    with pytest.raises(ClientGone):
        await bodies.read(gone, {}, 1_000)


async def test_other_origins_are_not_let_in(http: Http) -> None:
    """Without configuration nothing is said to browsers."""
    response = await http.post("/cart/c1/clear", headers=ORIGIN)
    assert not [name for name in response.headers if name.startswith("access-control")]


async def test_cors(served: Serve) -> None:
    """Configured origins may call, read our headers, and ask beforehand, without a token."""
    async with served(cors_origins=["https://shop.example"], token="t") as (http, _):
        ask = {**ORIGIN, "access-control-request-method": "POST", "access-control-request-headers": "idempotency-key"}
        response = await http.request("OPTIONS", "/cart/c1/clear", headers=ask)
        assert (response.status_code, response.headers["access-control-allow-origin"]) == (200, ORIGIN["origin"])
        assert response.headers["access-control-allow-headers"] == "idempotency-key"
        response = await http.post("/cart/c1/clear", headers={**ORIGIN, "authorization": "Bearer t"})
        assert response.headers["access-control-allow-origin"] == ORIGIN["origin"]
        assert "x-restate-id" in response.headers["access-control-expose-headers"]
        response = await http.request("OPTIONS", "/cart/c1/clear", headers={**ask, "origin": "https://other.example"})
        assert "access-control-allow-origin" not in response.headers


async def test_mounted(tmp_path: Path) -> None:
    """The application works below a path of another one, names with slashes included."""
    async with serving(tmp_path, CLASSES) as (running, path):
        application = promissory.http.app(path)
        async with client_of(Starlette(routes=[Mount("/durable/one", app=application)])) as http:
            assert (await http.post("/durable/one/cart/a%2Fb/clear")).status_code == 200
            assert Inspection(running.record, running.registry).worker(running.registry.worker_id("cart/a%2Fb"))
            assert (await http.get("/durable/one/v1/components/cart/workers/a%2Fb")).status_code == 200
            assert (await http.get("/durable/one/health")).status_code == 200
            assert (await http.get("/durable/one/openapi.json")).json()["servers"] == [{"url": "/durable/one"}]
            refused(await http.get("/durable/one/cart"), 400, "ingress", "bad path '/cart'")
        application.close()


async def test_lifespan(tmp_path: Path) -> None:
    """A server may run its lifespan, and need not."""
    async with serving(tmp_path, CLASSES) as (_, path):
        application = promissory.http.app(path)
        async with application.router.lifespan_context(application), client_of(application) as http:
            assert (await http.get("/health")).status_code == 200


def test_default_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a socket the environment names it, else it is that of the default data directory."""
    monkeypatch.delenv("PROMISSORY_SOCKET", raising=False)
    monkeypatch.delenv("PROMISSORY_DATA", raising=False)
    assert str(promissory.http._default_socket()) == "promissory-data/admin.sock"
    monkeypatch.setenv("PROMISSORY_DATA", "/data")
    assert str(promissory.http._default_socket()) == "/data/admin.sock"
    monkeypatch.setenv("PROMISSORY_SOCKET", "/run/s")
    assert str(promissory.http._default_socket()) == "/run/s"
