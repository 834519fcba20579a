"""Durable promises by name over HTTP, under both spellings and in both shapes."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from tests.executor.http.conftest import Http
from tests.executor.http.test_ingress import refused

SERVICES = ["durablePromiseServer", "promise"]


def shaped(service: str, name: str, **more: Any) -> dict[str, Any]:
    return {"promiseId": name, **more} if service == "promise" else {"request": {"promiseName": name}, **more}


async def ask(http: Http, service: str, operation: str, **more: Any) -> Any:
    response = await http.post(f"/{service}/{operation}", json=shaped(service, "prom-1", **more))
    assert response.status_code == 200
    return response.json()


@pytest.mark.parametrize("service", SERVICES)
async def test_resolve(http: Http, service: str) -> None:
    """The first outcome stays: every later attempt is answered with it."""
    assert await ask(http, service, "peek") is None
    assert await ask(http, service, "resolve", value={"name": "Barack"}) == {"value": {"name": "Barack"}}
    assert await ask(http, service, "resolve", value=2) == {"value": {"name": "Barack"}}
    assert await ask(http, service, "reject", errorMessage="help!") == {"value": {"name": "Barack"}}
    for operation in ("peek", "await"):
        for other in SERVICES:
            assert await ask(http, other, operation) == {"value": {"name": "Barack"}}


@pytest.mark.parametrize("service", SERVICES)
async def test_reject(http: Http, service: str) -> None:
    """A rejected promise has an error."""
    assert await ask(http, service, "reject", errorMessage="help!") == {"error": "help!"}
    assert await ask(http, service, "resolve", value=2) == {"error": "help!"}
    assert await ask(http, service, "await") == {"error": "help!"}


@pytest.mark.parametrize(
    ("given", "expected"), [({}, {}), ({"value": None}, {"value": None}), ({"value": 0}, {"value": 0})]
)
async def test_nothing_and_null(http: Http, given: Any, expected: Any) -> None:
    """No value gives an empty object, null a null."""
    assert await ask(http, "promise", "resolve", **given) == expected
    assert await ask(http, "promise", "peek") == expected


async def test_the_value_may_stand_beside_the_name(http: Http) -> None:
    """The value and the reason may stand in the `request`, too, and names may hold anything."""
    name = "a/b%é"
    response = await http.post("/durablePromiseServer/resolve", json={"request": {"promiseName": name, "value": 7}})
    assert response.json() == {"value": 7}
    assert (await http.post("/restate/call/promise/peek", json={"promiseId": name})).json() == {"value": 7}


async def test_waiting_and_disposing(http: Http) -> None:
    """Any number wait; disposing fails them, and opens the name again."""
    answers: list[Any] = []

    async def wait(service: str) -> None:
        answers.append(await http.post(f"/{service}/await", json=shaped(service, "prom-1")))

    async with trio.open_nursery() as nursery:
        for service in SERVICES:
            nursery.start_soon(wait, service)
        await trio.testing.wait_all_tasks_blocked(0.05)
        disposed = await http.post("/promise/dispose", json={"promiseId": "prom-1"})
        assert (disposed.status_code, disposed.content) == (200, b"")
    for answer in answers:
        refused(answer, 500, "invocation", "promise was disposed")
    assert await ask(http, "promise", "peek") is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, "promise")
        await trio.testing.wait_all_tasks_blocked(0.05)
        await ask(http, "durablePromiseServer", "resolve", value=1)
    assert answers[-1].json() == {"value": 1}
    assert (await http.post("/promise/dispose", json={"promiseId": "nobody"})).status_code == 200


@pytest.mark.parametrize(
    ("operation", "body", "message"),
    [
        ("peek", b"{}", "field `promiseName` (or `promiseId`) is missing"),
        ("peek", b'{"request": {}}', "field `promiseName`"),
        ("await", b'{"promiseId": 7}', "field `promiseId` is not a text"),
        ("reject", b'{"promiseId": "x"}', "field `errorMessage` is missing"),
        ("resolve", b'{"promiseId": ""}', "name is empty"),
        ("resolve", b"[1]", "not a JSON object"),
        ("resolve", b"", "not a JSON object"),
        ("resolve", b'{"request": 7}', "not a JSON object"),
    ],
)
async def test_refusals(http: Http, operation: str, body: bytes, message: str) -> None:
    """What is missing or of the wrong type is 400 and named."""
    for service in SERVICES:
        refused(await http.post(f"/{service}/{operation}", content=body), 400, "ingress", message)


async def test_other_paths_and_methods(http: Http) -> None:
    """Only POST, only these operations."""
    response = await http.get("/promise/peek")
    refused(response, 405, "ingress", "GET")
    assert response.headers["allow"] == "POST"
    refused(await http.post("/promise/steal"), 404, "ingress", "nothing")
