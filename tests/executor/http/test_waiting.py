"""Those who wait: many on few connections, those who hang up, and what becomes of both when the executor goes away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import promissory
from promissory.executor.http.upstream import hangups as vigil
from promissory.executor.http.upstream import upstream as daemon
from promissory.executor.protocol.frames import FrameReader, encode_frame
from tests.admin import serving
from tests.executor.http.conftest import CLASSES, Serve, client_of
from tests.executor.http.test_ingress import refused

ATTACH = "/restate/invocation/inv_1x/attach"


class Peer:
    """An executor that answers only what it is told to."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._reader = FrameReader()
        self._frames: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        while not self._frames:
            self._frames += self._reader.feed(bytes(await self._stream.receive_some()))
        return self._frames.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        await self._stream.send_all(encode_frame(message))


@asynccontextmanager
async def peers(path: Path) -> AsyncIterator[trio.MemoryReceiveChannel[Peer]]:
    """Listen on a socket and give whoever connects."""
    listening = trio.socket.socket(trio.socket.AF_UNIX)
    await listening.bind(str(path))
    listening.listen()
    put, get = trio.open_memory_channel[Peer](10)

    async def greet(stream: trio.SocketStream) -> None:
        peer = Peer(stream)
        await peer.send({"protocol": 1, "executor": "0"})
        await put.send(peer)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, greet, [trio.SocketListener(listening)])
        yield get
        nursery.cancel_scope.cancel()


class Exchange:
    """A request over ASGI, made by hand, whose client can hang up."""

    def __init__(self, application: Any, path: str, body: bytes = b"", method: str = "GET") -> None:
        self._application = application
        self._scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [],
        }
        self._body: bytes | None = body
        self.hung_up = trio.Event()
        self.sent: list[dict[str, Any]] = []

    async def run(self) -> None:
        await self._application(self._scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        body, self._body = self._body, None
        if body is not None:
            await trio.lowlevel.checkpoint()
            return {"type": "http.request", "body": body}
        await self.hung_up.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.append(message)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vigil, "TICK_SECONDS", 0.001)


async def test_who_hangs_up_is_not_waited_for(tmp_path: Path, quick: None) -> None:
    """When a client hangs up while it waits, the executor is told that nobody waits any more."""
    application = promissory.http.app(tmp_path / "s")
    async with peers(tmp_path / "s") as arrivals, trio.open_nursery() as nursery:
        gone, stays = Exchange(application, ATTACH), Exchange(application, ATTACH)
        nursery.start_soon(gone.run)
        peer = await arrivals.receive()
        first = await peer.receive()
        nursery.start_soon(stays.run)
        second = await peer.receive()
        gone.hung_up.set()
        forget = await peer.receive()
        assert (forget["op"], forget["request"]) == ("forget", first["id"])
        await peer.send({"id": first["id"], "ok": {"invocation": "inv_1x", "result": b"1"}})
        await peer.send({"id": second["id"], "ok": {"invocation": "inv_1x", "result": b"2"}})
        await trio.testing.wait_all_tasks_blocked()
        assert gone.sent == []
        assert stays.sent[1]["body"] == b"2"
        application.close()


async def test_cancelled_requests_are_not_waited_for(tmp_path: Path) -> None:
    """A server that cancels a request has it forgotten, too."""
    application = promissory.http.app(tmp_path / "s")
    async with peers(tmp_path / "s") as arrivals, trio.open_nursery() as nursery:
        nursery.start_soon(Exchange(application, ATTACH).run)
        peer = await arrivals.receive()
        asked = await peer.receive()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            forget = await peer.receive()
        assert (forget["op"], forget["request"]) == ("forget", asked["id"])
        application.close()


async def test_answered_requests_leave_nothing(tmp_path: Path, quick: None) -> None:
    """After its answer nothing watches a request's client, and nothing is forgotten."""
    application = promissory.http.app(tmp_path / "s")
    async with peers(tmp_path / "s") as arrivals, trio.open_nursery() as nursery:
        exchange = Exchange(application, ATTACH)
        nursery.start_soon(exchange.run)
        peer = await arrivals.receive()
        asked = await peer.receive()
        watching = application._daemon._vigil
        await trio.sleep(0.05)
        assert len(watching._watched) == 1
        await peer.send({"id": asked["id"], "ok": {"invocation": "inv_1x", "result": b"1"}})
        await trio.testing.wait_all_tasks_blocked()
        assert (watching._watched, watching._young, watching._is_ticking) == ({}, {}, False)
        assert exchange.sent[0]["status"] == 200
        application.close()


async def test_many_wait_on_few_connections(served: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that wait share connections; all are answered when what they wait for is settled."""
    monkeypatch.setattr(daemon, "WAITING_MAX", 200)
    async with served() as (http, running):
        await http.post("/promise/peek", json={"promiseId": "p"})
        answers: list[Any] = []

        async def wait() -> None:
            answers.append((await http.post("/promise/await", json={"promiseId": "p"})).json())

        async with trio.open_nursery() as nursery:
            for _ in range(500):
                nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked(0.1)
            assert running.watchers.count() == 500
            await http.post("/promise/resolve", json={"promiseId": "p", "value": 7})
        assert answers == [{"value": 7}] * 500


async def test_without_an_executor(tmp_path: Path) -> None:
    """Without an executor every family says 503; when it is back, the same application goes on."""
    path = tmp_path / "data" / "admin.sock"
    application = promissory.http.app(path)

    async def check_away(http: Any) -> None:
        for route in ("/cart/c1/clear", "/promise/peek", "/restate/a/prom_1x/resolve"):
            refused(await http.post(route, json={"promiseId": "p"}), 503, "ingress", "")
        for route in ("/health", "/v1/components", "/v1/components/cart/workers", "/metrics", "/openapi.json"):
            response = await http.get(route)
            assert (response.status_code, list(response.json())) == (503, ["error"])

    async with client_of(application) as http:
        for _ in range(2):
            await check_away(http)
            async with serving(tmp_path, CLASSES):
                assert (await http.post("/cart/c1/clear")).status_code == 200
                assert (await http.get("/health")).status_code == 200
            await trio.testing.wait_all_tasks_blocked()
        await check_away(http)


async def test_the_executor_goes_away_meanwhile(tmp_path: Path) -> None:
    """Who waits when the executor goes away is told 503."""
    application = promissory.http.app(tmp_path / "data" / "admin.sock")
    answers: list[Any] = []
    async with client_of(application) as http, trio.open_nursery() as nursery:

        async def wait() -> None:
            answers.append(await http.post("/cart/c1/wait"))

        async with serving(tmp_path, CLASSES):
            for _ in range(3):
                nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked(0.05)
    for answer in answers:
        refused(answer, 503, "ingress", "")
    assert len(answers) == 3
