"""Pipelining on one connection: order, batches, loss, back-pressure."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import promissory.executor.client.link
from promissory.executor.client import Client, Disconnected
from promissory.executor.protocol.frames import encode_frame


def test_answers_in_any_order_reach_who_asked(converse: Any) -> None:
    """Pipelined requests are told apart by their ids, whatever the order of the answers."""
    results: dict[int, Any] = {}

    async def script(connection: Any) -> None:
        requests = [await connection.receive() for _ in range(50)]
        for request in reversed(requests):
            await connection.send({"id": request["id"], "ok": {"result": request["params"]}})

    async def body(client: Client) -> None:
        async def one(number: int) -> None:
            results[number] = await client.invoke("worker://a/b", "f", number)

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(one, number)

    converse(script, body)
    assert results == {number: [number] for number in range(50)}


def test_requests_of_one_turn_leave_in_one_write(converse: Any) -> None:
    """A lone request is written at once; those made beside it in the same turn follow together."""
    chunks: list[int] = []

    async def script(connection: Any) -> None:
        requests = [await connection.receive() for _ in range(200)]
        chunks.append(connection.chunks)
        await connection.send(*({"id": request["id"], "ok": None} for request in requests))

    async def body(client: Client) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(200):
                tasks.start_soon(client.request, "status")

    converse(script, body)
    assert chunks[0] <= 2


def test_two_requests_of_one_task_arrive_in_order_made(converse: Any) -> None:
    """Requests are sent in the order in which they were made, the first of a burst too."""
    numbers: list[int] = []

    async def script(connection: Any) -> None:
        for _ in range(300):
            request = await connection.answer(None)
            numbers.append(request["id"])

    async def body(client: Client) -> None:
        async def several() -> None:
            for _ in range(3):
                await client.request("status")

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(several)

    converse(script, body)
    assert numbers == sorted(numbers)


def test_a_request_larger_than_the_sockets_buffer_arrives_whole(converse: Any) -> None:
    """What the kernel does not take at once is written when there is room."""
    payload = bytes(range(256)) * 20_000
    seen: list[dict[str, Any]] = []

    async def script(connection: Any) -> None:
        seen.append(await connection.answer({"settled": True}))
        seen.append(await connection.answer({"settled": False}))

    async def body(client: Client) -> None:
        assert await client.complete_promise("a/b/3", payload) is True
        assert await client.complete_promise("a/b/3", b"") is False

    converse(script, body)
    assert seen[0]["data"] == payload
    assert seen[1] == {"id": 2, "op": "promise.complete", "promise": "a/b/3", "data": b""}


def test_a_cancelled_request_leaves_the_others_alone(converse: Any) -> None:
    """Cancelling one request loses only its answer, which may come late or never."""

    async def script(connection: Any) -> None:
        first = await connection.receive()
        second = await connection.receive()
        await connection.send({"id": first["id"], "ok": "late"}, {"id": second["id"], "ok": "mine"})

    async def body(client: Client) -> None:
        with anyio.move_on_after(0):
            await client.request("first")
        assert await client.request("second") == "mine"

    converse(script, body)


def test_losing_the_connection_ends_all_waiting(converse: Any) -> None:
    """When the connection goes, everyone who waits is told, and everyone who comes later."""
    lost: list[tuple[str, str | None]] = []

    async def script(connection: Any) -> None:
        for _ in range(3):
            await connection.receive()

    async def body(client: Client) -> None:
        async def one() -> None:
            try:
                await client.invoke("worker://a/b", "f")
            except Disconnected as exc:
                lost.append((str(exc), exc.invocation))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(one)
        with pytest.raises(Disconnected, match="lost"):
            await client.request("status")

    converse(script, body)
    assert lost == [("the connection to the executor was lost", None)] * 3


def test_the_executors_reason_for_ending_the_connection_is_told(converse: Any) -> None:
    """An error that is about the connection is the reason that waiters get."""

    async def script(connection: Any) -> None:
        await connection.receive()
        await connection.send({"error": {"code": "malformed_frame", "message": "a frame is not a map"}})

    async def body(client: Client) -> None:
        with pytest.raises(Disconnected, match="ended the connection: a frame is not a map"):
            await client.request("status")

    converse(script, body)


@pytest.mark.parametrize("junk", [b"\x00\x00\x00\x01\x80", b"\xff" * 64, encode_frame({"id": 1})])
def test_a_peer_out_of_step_is_left(converse: Any, junk: bytes) -> None:
    """What is no answer ends the waiting with a clear error, never a hang or a crash."""

    async def script(connection: Any) -> None:
        await connection.receive()
        await connection.stream.send(junk)

    async def body(client: Client) -> None:
        with pytest.raises(Disconnected, match="does not keep to the protocol"):
            await client.request("status")

    converse(script, body)


@pytest.mark.parametrize("junk", [{"id": [1]}, {"id": True, "ok": 1}, {"ok": 1}, {"id": 77, "item": 1}, {"id": "1"}])
def test_messages_for_nobody_are_passed_over(converse: Any, junk: dict[str, Any]) -> None:
    """A message whose id is not that of a waiting request changes nothing."""

    async def script(connection: Any) -> None:
        request = await connection.receive()
        await connection.send(junk, {"id": request["id"], "ok": "mine"})

    async def body(client: Client) -> None:
        assert await client.request("status") == "mine"

    converse(script, body)


def test_requests_wait_while_too_much_is_unsent(converse: Any) -> None:
    """A peer that does not read holds requests back before memory fills, and then all get through."""
    payload = b"x" * 1_000_000
    peak = 0

    async def script(connection: Any) -> None:
        for _ in range(30):
            await connection.answer({"settled": True})

    async def body(client: Client) -> None:
        async def one() -> None:
            nonlocal peak
            await client.complete_promise("a/b/3", payload)
            peak = max(peak, client._link._unsent_bytes)

        async with anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(one)

    converse(script, body)
    assert peak <= promissory.executor.client.link.UNSENT_BYTES_MAX + 1_100_000


def test_many_requests_in_flight_all_come_back(converse: Any, echo: Any) -> None:
    """Thousands of pipelined invocations come back, each with its own result."""
    results: set[int] = set()

    async def body(client: Client) -> None:
        async def one(number: int) -> None:
            (result,) = await client.invoke(f"worker://a/{number}", "f", number)
            results.add(result)

        async with anyio.create_task_group() as tasks:
            for number in range(3000):
                tasks.start_soon(one, number)

    converse(echo, body)
    assert results == set(range(3000))
