"""HTTP statuses and exit statuses over a table of refusals, with every message as it is and with none of its words."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

import promissory
from promissory.executor.cli import main
from promissory.executor.config import Config
from promissory.executor.http.door.refusals import Refusal
from promissory.executor.operations.inspection import Inspection
from promissory.executor.turns.executor import Executor
from promissory.oplog.errors import PromissoryError
from tests.admin import PATIENCE_SECONDS, serving

CONFIG = Config(payload_bytes_max=10_000, requests_in_flight_max=2)


class Cart(promissory.Worker):
    @promissory.handler
    async def put(self, name: str) -> str:
        return name

    @promissory.handler
    async def fail(self, code: int) -> None:
        raise promissory.TerminalError("out of tea: 7 bytes, 3 requests are in flight, it exists already", code)

    @promissory.handler
    async def wait(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.handler
    async def call(self, function: str) -> str:
        return str(await promissory.invoke_and_await("worker://cart/other", function))


class Broken(promissory.Worker):
    @promissory.handler
    async def go(self) -> None:
        raise promissory.NonDeterminismError("never twice the same")


ONE = "/v1/components/cart/workers"
NOBODY = "inv_1AAAA"

HTTP: list[tuple[int, str, str, bytes]] = [
    (200, "POST", "/cart/c/put", b'"tea"'),
    (400, "POST", "/cart/c/put", b"7"),
    (404, "POST", "/cart/c/pour", b"7"),
    (404, "POST", "/teapot/c/put", b'"tea"'),
    (400, "POST", "/cart/c%00/put", b'"tea"'),
    (418, "POST", "/cart/c/fail", b"418"),
    (500, "POST", "/cart/c/fail", b"200"),
    (404, "POST", "/cart/c/call", b'"pour"'),
    (500, "POST", "/broken/b/go", b""),
    (413, "POST", "/cart/c/put", b'"%b"' % (b"x" * 9_998)),
    (400, "POST", f"/restate/call/cart/c/put?key={'k' * 300}", b'"tea"'),
    (200, "POST", ONE, b'{"name": "new"}'),
    (409, "POST", ONE, b'{"name": "new"}'),
    (400, "POST", ONE, b'{"name": "newer", "args": [1]}'),
    (400, "POST", ONE, b'{"name": ""}'),
    (413, "POST", ONE, b'{"name": "large", "env": {"K": "%b"}}' % (b"x" * 10_000)),
    (404, "GET", f"{ONE}/nobody", b""),
    (404, "DELETE", f"{ONE}/nobody", b""),
    (400, "GET", "/v1/components/CART/workers/c", b""),
    (404, "POST", f"{ONE}/c/complete", b'{"oplogIdx": 999, "data": []}'),
    (400, "POST", f"{ONE}/c/complete", b'{"oplogIdx": 0, "data": []}'),
    (404, "GET", "/v1/components/teapot", b""),
    (404, "GET", f"{ONE}?cursor=cart/nobody", b""),
    (400, "GET", "/v1/promises?state=eaten", b""),
    (400, "GET", f"/restate/invocation/{NOBODY}/attach", b""),
    (404, "GET", "/restate/invocation/cart/c/put/nokey/output", b""),
    (404, "GET", "/restate/workflow/cart/nobody/output", b""),
    (400, "POST", "/restate/awakeables/prom_1x/resolve", b"1"),
    (400, "POST", "/promise/peek", b"{}"),
    (405, "PUT", "/cart/c/put", b'"tea"'),
]

COMMANDS: list[tuple[int, list[str]]] = [
    (0, ["components"]),
    (0, ["invoke", "cart/c", "put", '"tea"']),
    (1, ["invoke", "cart/c", "fail", "404"]),
    (1, ["invoke", "cart/c", "call", '"pour"']),
    (2, ["invoke", "cart/c", "put", "tea"]),
    (2, ["brew"]),
    (3, ["invoke", "cart/c", "pour"]),
    (3, ["invoke", "teapot/c", "put"]),
    (3, ["worker", "show", "cart/nobody"]),
    (3, ["worker", "delete", "cart/nobody"]),
    (3, ["promise", "complete", "cart/c/999"]),
    (3, ["stub", "teapot", "-o", "-"]),
    (3, ["verify", "--data", "nowhere"]),
    (3, ["oplog", "cart/c", "--data", "nowhere"]),
    (4, ["invoke", "cart/c", "put", "7"]),
    (4, ["invoke", "CART/c", "put"]),
    (4, ["invoke", "cart/c", "put", f'"{"x" * 10_000}"']),
    (4, ["invoke", "cart/c", "put", '"tea"', "--key", "k" * 300]),
    (4, ["worker", "create", "cart/c"]),
    (4, ["promise", "show", "cart/c"]),
    (4, ["invocation", "attach", NOBODY]),
    (4, ["register", "nothing_of_this_name"]),
    (5, ["invoke", "cart/w", "wait", "--timeout", "0.1"]),
    (6, ["invoke", "broken/b", "go"]),
    (7, ["status", "--socket", "nowhere"]),
]


@pytest.fixture(params=["words", "hashes"])
def _messages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave every message as it is, or put its hash in its place, on both sides."""
    if request.param == "hashes":
        for cls in (PromissoryError, Refusal):
            monkeypatch.setattr(cls, "__init__", wordless(cls))


def wordless(cls: Any) -> Any:
    original = cls.__init__
    place = 0 if cls is PromissoryError else 1

    def init(self: Any, *given: Any, **more: Any) -> None:
        original(self, *given[:place], hashed(given[place]), *given[place + 1 :], **more)

    return init


def hashed(message: str) -> str:
    return hashlib.sha256(message.encode(errors="replace")).hexdigest()


@asynccontextmanager
async def gateway(path: Path) -> AsyncIterator[httpx.AsyncClient]:
    application = promissory.http.app(path)
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=30) as client:
        yield client
    application.close()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Executor, Path]]:
    async with serving(tmp_path, [Cart, Broken], CONFIG) as (executor, path), gateway(path) as client:
        yield client, executor, path


@pytest.mark.usefixtures("_messages")
async def test_http_statuses_do_not_hang_on_words(served: Any) -> None:
    """Over HTTP each refusal has its status whatever its message says."""
    client, _, _ = served
    for status, method, path, body in HTTP:
        address, _, key = path.partition("?key=")
        headers = {"idempotency-key": key} if key else {}
        response = await client.request(method, address, content=body, headers=headers)
        assert response.status_code == status, (method, path, body[:80], response.text)


@pytest.mark.usefixtures("_messages")
async def test_http_statuses_of_what_comes_and_goes(served: Any, tmp_path: Path) -> None:
    """So have those that may be asked again: no outcome yet, too many at once, a failed store, no executor."""
    client, executor, _ = served
    sent = (await client.post("/cart/w/wait/send")).json()["invocationId"]
    output = await client.get(f"/restate/invocation/{sent}/output")
    assert (output.status_code, output.json()["source"]) == (470, "ingress")
    async with trio.open_nursery() as nursery:
        for name in ("x", "y"):
            nursery.start_soon(client.post, f"/cart/{name}/wait")
        with trio.fail_after(PATIENCE_SECONDS):
            while executor.watchers.count() < 2:
                await trio.sleep(0.01)
        assert (await client.post("/cart/z/put", content=b'"tea"')).status_code == 429
        nursery.cancel_scope.cancel()
    executor.committer.is_backing_off = True
    async with gateway(tmp_path / "data" / "admin.sock") as other:
        failed = await other.post("/cart/c/put", content=b'"tea"')
    assert failed.status_code == 503
    executor.committer.is_backing_off = False
    async with gateway(tmp_path / "nowhere.sock") as other:
        assert (await other.post("/cart/c/put", content=b'"tea"')).status_code == 503


@pytest.mark.usefixtures("_messages")
async def test_exit_statuses_do_not_hang_on_words(
    served: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each command ends with the status of its failure's class, and one line on stderr says why."""
    _, executor, path = served
    monkeypatch.setenv("PROMISSORY_SOCKET", str(path))
    monkeypatch.chdir(tmp_path)
    for status, argv in COMMANDS:
        found = await trio.to_thread.run_sync(main, argv)
        err = capsys.readouterr().err
        assert (found, err.count("\n")) == (status, 1 if status else 0), (argv, err)
    executor.committer.is_backing_off = True
    assert await trio.to_thread.run_sync(main, ["status"]) == 7
    executor.committer.is_backing_off = False
    assert capsys.readouterr().err.count("\n") == 1


async def test_an_error_of_ours_is_typed_and_short(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails within promissory is `internal`, with nothing of its insides in the answer, which the log has."""
    client, executor, path = served

    def fail(*_: object) -> Any:
        raise KeyError("secret")

    monkeypatch.setattr(type(executor.addressing), "find", fail)
    failed = await client.post("/promise/peek", content=b'{"promiseId": "p"}')

    assert (failed.status_code, failed.json()["source"]) == (500, "ingress")
    async with promissory.connect(path) as own:
        with pytest.raises(promissory.InternalError) as caught:
            await own.poll_promise("name:p")
    assert failed.json()["message"] == str(caught.value)
    assert "KeyError" not in failed.text
    assert "secret" not in failed.text


async def test_a_list_that_fails_fails_alone(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception of ours in the middle of a list is that list's answer; the connection's other requests go on."""
    _, _, path = served

    def rows(*_: object) -> Any:
        yield None
        raise KeyError("secret")

    monkeypatch.setattr(Inspection, "workers", rows)
    async with promissory.connect(path) as own:
        with pytest.raises(promissory.InternalError):
            await own.request("worker.list")
        assert await own.invoke("worker://cart/c", "put", "tea") == "tea"


async def test_a_store_that_backs_off_says_for_how_long(served: Any) -> None:
    """Who is refused since the store failed is told when it is tried again."""
    _, executor, path = served
    executor.committer.is_backing_off = True
    executor.committer._resumes_at = trio.current_time() + 7
    async with promissory.connect(path) as own:
        with pytest.raises(promissory.StoreFailed, match=r"it is tried again in [67]\.\d s"):
            await own.request("status")
    executor.committer.is_backing_off = False
