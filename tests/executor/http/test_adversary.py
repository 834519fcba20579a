"""Requests that did more, or less, than they may: what they do to others, whom they name, and where they come from."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from starlette.applications import Starlette
from starlette.routing import Mount

import promissory
from promissory.executor.http.listening import split_address
from promissory.executor.protocol.frames import FrameReader, encode_frame
from tests.admin import serving
from tests.app import App
from tests.daemons import Daemons
from tests.executor.http.conftest import CLASSES, Http, Serve, client_of
from tests.executor.http.test_ingress import ORDER, refused


class Keeper(promissory.Worker):
    """Takes any JSON, at its creation and later."""

    seed: Any = None
    kept: Any = None

    @promissory.handler
    async def keep(self, value: Any) -> None:
        self.kept = value


class Generous(promissory.Worker):
    """Has a default that no machine integer holds."""

    @promissory.handler
    async def most(self, limit: int = 2**64) -> int:
        return limit


class Before(promissory.Worker, component="changing"):
    """A component as it was."""

    @promissory.handler
    async def keep(self, value: Any, note: str = "") -> Any:
        return value


class After(promissory.Worker, component="changing"):
    """The same with a parameter less."""

    @promissory.handler
    async def keep(self, value: Any) -> Any:
        return value


# What one request does to the others.


@pytest.mark.parametrize("delay", ["999999999999999999", "999999999999999999w"])
async def test_endless_delays_harm_nobody(http: Http, delay: str) -> None:
    """A delay that no machine integer holds is 400, and whoever waits on the same connection goes on waiting."""
    answers: list[Any] = []
    sent = (await http.post("/approval/a1/ask/send")).json()
    awakeable = (await http.get("/approval/a1/ids")).json()[0]

    async def wait() -> None:
        answers.append(await http.get(f"/restate/invocation/{sent['invocationId']}/attach"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked(0.05)
        response = await http.post(f"/cart/c1/clear/send?delay={delay}")
        await http.post(f"/restate/a/{awakeable}/resolve", json={"yes": True})
    assert [answer.status_code for answer in answers] == [200]
    refused(response, 400, "ingress", "delay")


@pytest.mark.parametrize("seed", ["123456789012345678901234567890", "[" * 80 + "]" * 80], ids=["big", "deep"])
async def test_arguments_of_workers_harm_nobody(tmp_path: Path, seed: str) -> None:
    """A worker can be created with any JSON and shown, and whoever waits on the same connection goes on waiting."""
    async with serving(tmp_path, [*CLASSES, Keeper]) as (_, path):
        application = promissory.http.app(path)
        answers: list[Any] = []
        async with client_of(application) as http, trio.open_nursery() as nursery:

            async def wait() -> None:
                answers.append((await http.post("/promise/await", json={"promiseId": "p"})).status_code)

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked(0.05)
            created = await http.post("/v1/components/keeper/workers", content=f'{{"name": "k", "args": [{seed}]}}')
            shown = await http.get("/v1/components/keeper/workers/k")
            listed = await http.get("/v1/components/keeper/workers")
            await http.post("/promise/resolve", json={"promiseId": "p", "value": 7})
        application.close()
    assert answers == [200]
    assert [created.status_code, shown.status_code, listed.status_code] == [200, 200, 200]
    assert shown.json()["args"] == [json.loads(seed)]


async def test_defaults_of_parameters_harm_nobody(tmp_path: Path) -> None:
    """A handler may have any default that JSON can write: it can be called, and so can the other components."""
    async with serving(tmp_path, [*CLASSES, Generous]) as (_, path):
        application = promissory.http.app(path)
        async with client_of(application) as http:
            assert (await http.post("/cart/c1/clear")).status_code == 200
            assert (await http.post("/generous/g/most")).json() == 2**64
        application.close()


async def test_nested_arguments_pause_nobody(tmp_path: Path) -> None:
    """However deep an argument is nested, it is refused at the door or its handler gets it: no worker pauses."""
    async with serving(tmp_path, [Keeper]) as (_, path):
        application = promissory.http.app(path)
        async with client_of(application) as http:
            answers = {
                depth: await http.post(f"/keeper/k{depth}/keep", content="[" * depth + "]" * depth)
                for depth in range(100, sys.getrecursionlimit())
            }
            failed = await http.get("/v1/components/keeper/workers?status=Failed")
        application.close()
    assert {answer.status_code for answer in answers.values()} == {200, 400}
    assert failed.json() == {"workers": []}


# Who is away.


@pytest.mark.parametrize(("method", "path"), [("POST", "/cart/c1/clear"), ("GET", "/restate/health")])
async def test_everybody_learns_that_the_executor_is_away(tmp_path: Path, method: str, path: str) -> None:
    """Without an executor all of those who ask at once are told 503, not that there are no components."""
    statuses: list[int] = []
    async with client_of(promissory.http.app(tmp_path / "nobody.sock")) as http, trio.open_nursery() as nursery:

        async def ask() -> None:
            statuses.append((await http.request(method, path)).status_code)

        for _ in range(5):
            nursery.start_soon(ask)
    assert statuses == [503] * 5


async def test_who_gives_up_connecting_harms_nobody(tmp_path: Path) -> None:
    """When the request that connects is cancelled, one that waited for its connection makes one of its own."""
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    await listener.bind(str(tmp_path / "s"))
    listener.listen()
    connections = 0

    async def greet(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        if connections == 1:
            await trio.sleep_forever()  # it is busy, and will greet some time
        await stream.send_all(encode_frame({"protocol": 1, "executor": "0"}))
        reader = FrameReader()
        async for data in stream:
            for message in reader.feed(bytes(data)):
                await stream.send_all(encode_frame({"id": message["id"], "ok": {"version": "0"}}))

    application = promissory.http.app(tmp_path / "s")
    statuses: list[int] = []
    async with client_of(application) as http, trio.open_nursery() as nursery:

        async def ask() -> None:
            statuses.append((await http.get("/health")).status_code)

        nursery.start_soon(trio.serve_listeners, greet, [trio.SocketListener(listener)])
        async with trio.open_nursery() as second, trio.open_nursery() as first:
            first.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.05)
            second.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.05)
            first.cancel_scope.cancel()
        application.close()
        nursery.cancel_scope.cancel()
    assert statuses == [200]


async def test_arguments_are_read_by_what_is_served_now(tmp_path: Path) -> None:
    """After the executor came back with other code, the first call, too, reads its body by the new signature."""
    application = promissory.http.app(tmp_path / "data" / "admin.sock")
    async with client_of(application) as http:
        async with serving(tmp_path, [Before]):
            assert (await http.post("/changing/c/keep", json=["x"])).json() == "x"
        await trio.testing.wait_all_tasks_blocked(0.05)
        async with serving(tmp_path, [After]):
            assert (await http.post("/changing/c/keep", json=["x"])).json() == ["x"]
    application.close()


async def test_unavailable_components_are_not_unknown(tmp_path: Path) -> None:
    """Of a remembered component that does not import, calls say so, and what it answered is found by its key."""
    module = tmp_path / "fleeting_module.py"
    module.write_text(
        "import promissory\n\n"
        "class Fleeting(promissory.Worker):\n"
        "    @promissory.handler\n"
        "    async def say(self) -> str:\n"
        "        return 'said'\n"
    )
    async with serving(tmp_path, CLASSES) as (running, path):
        running.registry.add_modules(["fleeting_module"], str(tmp_path))
        application = promissory.http.app(path)
        async with client_of(application) as http:
            said = await http.post("/fleeting/f/say", headers={"idempotency-key": "k"})
            assert said.json() == "said"
        application.close()
    sys.path.remove(str(tmp_path))
    del sys.modules["fleeting_module"]
    module.unlink()
    async with serving(tmp_path, CLASSES) as (running, path):
        running.registry.load_remembered()
        application = promissory.http.app(path)
        async with client_of(application) as http:
            call = await http.post("/fleeting/f/say")
            by_id = await http.get(f"/restate/invocation/{said.headers['x-restate-id']}/output")
            by_key = await http.get("/restate/invocation/fleeting/f/say/k/output")
        application.close()
    assert (by_id.status_code, by_id.content) == (200, b'"said"')
    assert "unavailable" in call.json()["message"]
    assert by_key.content == b'"said"'


# What a request names.


async def test_completing_takes_no_other_kind_of_name(http: Http) -> None:
    """Golem's `complete` settles promises of the component in its path, never a durable promise."""
    response = await http.post(
        "/v1/components/name:bill/workers/w/complete", json={"oplogIdx": 3, "data": [*b'"paid"']}
    )
    assert response.status_code in (400, 404)
    assert (await http.post("/promise/peek", json={"promiseId": "bill/w/3"})).json() is None


@pytest.mark.parametrize("mounted", ["/{tenant:int}", "/{worker}"])
async def test_mounted_below_a_parameter(tmp_path: Path, mounted: str) -> None:
    """The parameters of the path that it is mounted below are none of its own routes' parameters."""
    async with serving(tmp_path, CLASSES) as (_, path):
        application = promissory.http.app(path)
        async with client_of(Starlette(routes=[Mount(mounted, app=application)])) as http:
            sent = await http.post("/7/mailer/deliver", json="x", headers={"idempotency-key": "k"})
            assert sent.status_code == 200
            assert (await http.get("/7/v1/components")).status_code == 200
            assert (await http.get("/7/restate/invocation/mailer/deliver/k/output")).json() == "X"
        application.close()


async def test_only_what_is_delayed_has_a_time(http: Http) -> None:
    """A repeated key never gets a time for an invocation that was not delayed, whatever the repetition asks for."""
    headers = {"idempotency-key": "k"}
    first = (await http.post("/cart/c1/clear/send", headers=headers)).json()
    again = (await http.post("/cart/c1/clear/send?delay=1h", headers=headers)).json()
    assert again == {"invocationId": first["invocationId"], "status": "PreviouslyAccepted"}


async def test_workflows_with_a_long_history(http: Http) -> None:
    """The result of `run` is found however many invocations of the worker came before it."""
    for _ in range(1_000):
        await http.post("/cart/w/clear")
    await http.post("/cart/w/run", json="done")
    assert (await http.get("/restate/workflow/cart/w/output")).json() == "done"


async def test_pages_go_on_after_who_is_gone(http: Http) -> None:
    """The next page of workers can be had although the last worker of the one before has been deleted meanwhile."""
    workers_ = "/v1/components/cart/workers"
    for name in ("a", "b", "c"):
        await http.post(workers_, json={"name": name})
    cursor = (await http.get(workers_, params={"count": 2})).json()["cursor"]
    await http.delete(f"{workers_}/b")
    response = await http.get(workers_, params={"cursor": cursor})
    assert response.status_code == 200
    assert [row["workerId"]["workerName"] for row in response.json()["workers"]] == ["c"]


@pytest.mark.parametrize("value", [b'"\xff"', b"1e999"], ids=["not UTF-8", "beyond floats"])
async def test_values_stay_what_they_are(http: Http, value: bytes) -> None:
    """A value that is taken is answered as it came; one that is no JSON is 400 and settles nothing."""
    response = await http.post("/promise/resolve", content=b'{"promiseId": "p", "value": %b}' % value)
    peeked = await http.post("/promise/peek", json={"promiseId": "p"})
    if response.status_code == 400:
        assert peeked.json() is None
    else:
        assert peeked.content == b'{"value":%b}' % value
        value.decode()


# Who comes in.


async def test_pages_of_other_origins_change_nothing(served: Serve) -> None:
    """A page of an origin that is not configured may not call, not even as its browser does without asking first."""
    async with served() as (http, _):
        page = {"origin": "https://other.example", "sec-fetch-site": "cross-site", "content-type": "text/plain"}
        await http.post("/cart/c1/add", content=json.dumps(ORDER), headers=page)
        assert (await http.get("/cart/c1/all")).json() == []


def test_endless_headers_are_refused(tmp_path: Path, daemons: Daemons) -> None:
    """A request's head has a limit, as its body does: nobody fills the gateway's memory with headers."""
    daemon = App(tmp_path, daemons).serve("jobs", "--http", "127.0.0.1:0")
    with socket.create_connection(split_address(str(daemon.wait_for("serving")["http"])), timeout=30) as client:
        header = b"x-filler: " + b"x" * 8_000 + b"\r\n"
        try:
            client.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n" + header * 1_000 + b"\r\n")
            start = client.recv(64)
        except ConnectionError:
            start = b""
    assert daemon.stop() == 0
    assert start == b"" or start.split()[1] in (b"400", b"431")
