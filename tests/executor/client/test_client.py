"""What the client asks and gives back: invocations, queries, promises, errors."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from promissory.executor.client import Client, Disconnected, connect
from promissory.oplog.errors import (
    BadArguments,
    LimitReached,
    NotFound,
    Paused,
    PromiseDeleted,
    PromiseRejected,
    PromissoryError,
    TerminalError,
)
from promissory.oplog.ids import ComponentId, OplogIndex, PromiseId, WorkerId

INVOCATION = "inv_1AAAA"


def test_invoke_sends_json_and_returns_builtins(converse: Any) -> None:
    """Arguments go as one JSON array, the result comes back decoded; a key only if there is one."""
    seen: list[dict[str, Any]] = []

    async def script(connection: Any) -> None:
        for _ in range(2):
            seen.append(await connection.answer({"invocation": INVOCATION, "result": b'{"total":[1,2.5,null]}'}))

    async def body(client: Client) -> None:
        result = await client.invoke("worker://cart/u-1", "add", {"sku": "tea"}, 2)
        assert result == {"total": [1, 2.5, None]}
        await client.invoke("worker://cart/u-1", "add", key="k")

    converse(script, body)
    fields = {"op": "invoke", "worker": "cart/u-1", "function": "add"}
    assert seen[0] == {"id": 1, **fields, "params": b'[{"sku":"tea"},2]'}
    assert seen[1] == {"id": 2, **fields, "params": b"[]", "key": "k"}


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        ({"code": "terminal", "message": "no stock", "status": 409}, TerminalError),
        ({"code": "paused", "message": "the worker is paused: ValueError: 7"}, Paused),
        ({"code": "not_found", "message": "no component 'x'"}, NotFound),
        ({"code": "of_next_year", "message": "?"}, PromissoryError),
    ],
)
def test_errors_are_raised_as_what_they_are(
    peer: Any, backend: str, path: str, wire: dict[str, Any], expected: type[PromissoryError]
) -> None:
    """The executor's error is raised as the class of its code, by itself and not in a group."""

    async def script(connection: Any) -> None:
        request = await connection.receive()
        await connection.send({"id": request["id"], "error": wire})

    async def main() -> None:
        async with peer(script):
            with pytest.raises(expected) as caught:
                async with connect(path) as client:
                    await client.invoke("worker://a/b", "f")
            assert type(caught.value) is expected
            assert str(caught.value) == wire["message"]

    anyio.run(main, backend=backend)


def test_an_announced_invocation_is_named_when_the_connection_goes(converse: Any) -> None:
    """Who was told the id learns from the error that the invocation goes on."""
    announced: list[str] = []

    async def script(connection: Any) -> None:
        request = await connection.receive()
        assert request["announce"] is True
        await connection.send({"id": request["id"], "item": {"invocation": INVOCATION}})

    async def body(client: Client) -> None:
        with pytest.raises(Disconnected, match=f"the invocation goes on: {INVOCATION}") as caught:
            await client.invoke("worker://a/b", "f", announce=announced.append)
        assert caught.value.invocation == INVOCATION

    converse(script, body)
    assert announced == [INVOCATION]


def test_an_error_in_announce_is_its_own_requests(converse: Any) -> None:
    """A callback that raises fails its request; the connection and the other requests go on."""

    async def script(connection: Any) -> None:
        request = await connection.receive()
        await connection.send({"id": request["id"], "item": {"invocation": INVOCATION}})
        await connection.answer("fine")

    async def body(client: Client) -> None:
        def announce(_: str) -> None:
            raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"):
            await client.invoke("worker://a/b", "f", announce=announce)
        assert await client.request("status") == "fine"

    converse(script, body)


def test_what_cannot_be_asked_is_refused_before_it_is_sent(converse: Any) -> None:
    """A bad URI, arguments that are no JSON and frames over the limit never reach the executor."""

    async def script(connection: Any) -> None:
        request = await connection.answer("first")
        assert request["op"] == "status"

    async def body(client: Client) -> None:
        with pytest.raises(BadArguments, match=r"'cart/u-1' is not of the form worker://COMPONENT/NAME"):
            await client.invoke("cart/u-1", "f")
        with pytest.raises(BadArguments, match="the arguments of f cannot be written as JSON"):
            await client.invoke("worker://cart/u-1", "f", object())
        with pytest.raises(LimitReached, match="over the limit"):
            await client.complete_promise("a/b/3", b"x" * (16 << 20))
        assert await client.request("status") == "first"

    converse(script, body)


def test_send_query_and_attach(converse: Any) -> None:
    """Each asks its operation and unpacks its answer."""
    seen: list[dict[str, Any]] = []

    async def script(connection: Any) -> None:
        seen.append(await connection.answer({"invocation": INVOCATION, "status": "accepted"}))
        seen.append(await connection.answer({"result": b'["x"]'}))
        seen.append(await connection.answer({"invocation": INVOCATION, "result": b"7"}))
        await connection.receive()

    async def body(client: Client) -> None:
        assert await client.send("worker://a/b", "f", 1, key="k", delay=1.5) == INVOCATION
        assert await client.query("worker://a/b", "q") == ["x"]
        assert await client.attach(INVOCATION) == 7
        with pytest.raises(Disconnected, match=f"goes on: {INVOCATION}"):
            await client.attach(INVOCATION)

    converse(script, body)
    call = {"worker": "a/b", "function": "f", "params": b"[1]", "key": "k"}
    assert seen[0] == {"id": 1, "op": "invoke", **call, "send": True, "delay_us": 1_500_000}
    assert seen[1] == {"id": 2, "op": "query", "worker": "a/b", "function": "q", "params": b"[]"}
    assert seen[2] == {"id": 3, "op": "invocation.attach", "invocation": INVOCATION}


def test_promises(converse: Any) -> None:
    """Await and poll give the payload or raise the outcome; a `PromiseId` does where its text does."""
    promise = PromiseId(WorkerId(ComponentId(bytes(16)), "b"), OplogIndex(3))
    seen: list[dict[str, Any]] = []
    answers = [
        {"promise": "a/b/3", "state": "resolved", "data": b"\x00yes"},
        {"promise": "a/b/3", "state": "pending"},
        {"promise": "a/b/3", "state": "resolved", "data": b""},
        {"promise": "a/b/3", "state": "rejected", "error": "too late"},
        {"promise": "a/b/3", "state": "deleted"},
        {"settled": True},
        {"deleted": True},
    ]

    async def script(connection: Any) -> None:
        for answer in answers:
            seen.append(await connection.answer(answer))

    async def body(client: Client) -> None:
        assert await client.await_promise(promise) == b"\x00yes"
        assert await client.poll_promise("a/b/3") is None
        assert await client.poll_promise("a/b/3") == b""
        with pytest.raises(PromiseRejected, match="too late"):
            await client.await_promise("a/b/3")
        with pytest.raises(PromiseDeleted, match="a/b/3 is deleted"):
            await client.await_promise("a/b/3")
        assert await client.reject_promise("a/b/3", "no") is True
        assert await client.delete_promise("a/b/3") is True

    converse(script, body)
    assert seen[0]["promise"] == "00000000-0000-0000-0000-000000000000/b/3"
    assert [request["op"] for request in seen[-2:]] == ["promise.reject", "promise.delete"]
    assert seen[-2]["message"] == "no"


def test_a_listing_is_collected_with_on_item(converse: Any) -> None:
    """Items that come before an answer go to `on_item`, in order."""

    async def script(connection: Any) -> None:
        request = await connection.receive()
        await connection.send(
            *({"id": request["id"], "item": number} for number in range(5)), {"id": request["id"], "ok": {"more": True}}
        )

    async def body(client: Client) -> None:
        items: list[int] = []
        assert await client.request("worker.list", limit=5, on_item=items.append) == {"more": True}
        assert items == [0, 1, 2, 3, 4]

    converse(script, body)
