"""Golem's routes: workers, their promises, their oplogs."""

from __future__ import annotations

from typing import Any

import pytest

from promissory.oplog.ids import WorkerId, component_id
from tests.executor.http.conftest import Http

ORDER = {"order_id": "7", "items": ["tea"]}
CART = "/v1/components/cart/workers"
CART_ID = str(WorkerId(component_id("cart"), "-")).partition("/")[0]


def refused(response: Any, status: int, message: str) -> None:
    assert response.status_code == status
    body = response.json()
    text = body["errors"][0] if status == 400 else body["error"]
    assert body == ({"errors": [text]} if status == 400 else {"error": text})
    assert message in text


async def test_create_and_show(http: Http) -> None:
    """A worker is created once; its metadata have Golem's names."""
    body = {"name": "a/b", "args": [], "env": {"K": "V"}}
    created = await http.post(CART, json=body)
    expected = {"workerId": {"componentId": CART_ID, "workerName": "a/b"}, "componentVersion": 1}
    assert (created.status_code, created.json()) == (200, expected)
    refused(await http.post(CART, json=body), 409, "exists already")
    for component in ("cart", CART_ID):
        shown = (await http.get(f"/v1/components/{component}/workers/a%2Fb")).json()
        assert shown.pop("createdAt").endswith("Z")
        assert shown == {
            **expected,
            "args": [],
            "env": {"K": "V"},
            "status": "Idle",
            "retryCount": 0,
            "pendingInvocationCount": 0,
        }
    assert (await http.delete(f"{CART}/a%2Fb")).json() == {}
    refused(await http.get(f"{CART}/a%2Fb"), 404, "there is no worker")
    refused(await http.delete(f"{CART}/a%2Fb"), 404, "there is no worker")


async def test_lists_go_on_at_a_cursor(http: Http) -> None:
    """Every worker is on one page, those of other components on none."""
    for n in range(7):
        await http.post(CART, json={"name": f"w{n}"})
    await http.post("/v1/components/approval/workers", json={"name": "other"})
    names: list[str] = []
    query: dict[str, Any] = {"count": 3}
    for expected in (3, 3, 1):
        page = (await http.get(CART, params=query)).json()
        assert len(page["workers"]) == expected
        names += [worker["workerId"]["workerName"] for worker in page["workers"]]
        query["cursor"] = page.get("cursor")
    assert "cursor" not in page
    assert names == [f"w{n}" for n in range(7)]
    assert len((await http.get(CART, params={"name": "w3"})).json()["workers"]) == 1
    assert len((await http.get(CART, params={"status": "Idle"})).json()["workers"]) == 7
    assert (await http.get(CART, params={"status": "failed"})).json() == {"workers": []}
    refused(await http.get(CART, params={"status": "lost"}), 400, "Suspended")
    refused(await http.get(CART, params={"count": "many"}), 400, "count is a number")


async def test_invoke_and_await(http: Http) -> None:
    """Parameters are plain JSON, names match with `-` and `_` alike, a key gives the first result."""
    path = f"{CART}/c1/invoke-and-await"
    headers = {"Idempotency-Key": "k"}
    for params in ([ORDER], {"order": ORDER}):
        response = await http.post(path, params={"function": "add"}, json={"params": params}, headers=headers)
        assert (response.status_code, response.content) == (200, b'{"result":1}')
    assert (await http.post(path, params={"function": "clear"}, json={"params": []})).json() == {"result": None}
    assert (await http.post(path, params={"function": "all"})).json() == {"result": []}
    refused(await http.post(path, params={"function": "add"}, json={"params": [7]}), 400, "$.order")
    refused(await http.post(path, params={"function": "add"}, content=b"{"), 400, "the body does not fit")
    refused(await http.post(path, params={"function": "nothing"}), 404, "not found")
    refused(await http.post(path), 400, "`function` is missing")
    refused(await http.post(path, params={"function": "fail"}, json={"params": [418]}), 418, "out of tea")
    refused(await http.post("/v1/components/nothing/workers/x/invoke?function=f"), 404, "'nothing' not found")


async def test_promises(http: Http) -> None:
    """`complete` tells whether this call settled the promise."""
    assert (await http.post(f"{CART}/c1/invoke?function=wait")).json() == {}
    path = f"{CART}/c1/complete"
    refused(await http.post(path, json={"oplogIdx": 99, "data": []}), 404, "no promise")
    refused(await http.post(path, json={"oplogIdx": 3, "data": [256]}), 400, "from 0 to 255")
    refused(await http.post(path, json={"oplogIdx": 3}), 400, "data")
    for expected in (b"true", b"false"):
        response = await http.post(path, json={"oplogIdx": 3, "data": [52, 50]})
        assert (response.status_code, response.content) == (200, expected)


async def test_interrupt_and_resume(http: Http) -> None:
    """An interrupted worker rests until it is resumed, unless it is to recover at once."""
    await http.post(CART, json={"name": "c1"})
    for path, expected in (
        ("interrupt", "Interrupted"),
        ("resume", "Idle"),
        ("interrupt?recovery-immediately=true", "Idle"),
        ("interrupt?recovery-immediately=false", "Interrupted"),
    ):
        assert (await http.post(f"{CART}/c1/{path}")).json() == {}
        assert (await http.get(f"{CART}/c1")).json()["status"] == expected
    refused(await http.post(f"{CART}/c1/interrupt?recovery-immediately=maybe"), 400, "true or false")
    refused(await http.post(f"{CART}/c2/interrupt"), 404, "there is no worker")


async def test_a_worker_that_gave_up_has_failed(http: Http) -> None:
    """A paused worker is `Failed`, with its last error."""
    refused(await http.post("/v1/components/broken/workers/b1/invoke-and-await?function=go"), 500, "paused")
    shown = (await http.get("/v1/components/broken/workers/b1")).json()
    assert (shown["status"], shown["retryCount"], shown["pendingInvocationCount"]) == ("Failed", 1, 1)
    assert "never twice the same" in shown["lastError"]


async def test_oplogs(http: Http) -> None:
    """An oplog comes in chunks that say where the next begins."""
    await http.post("/cart/c1/add", json=ORDER)
    chunk = (await http.get(f"{CART}/c1/oplog?count=2")).json()
    assert [entry["oplogIndex"] for entry in chunk["entries"]] == [1, 2]
    assert [entry["entry"]["type"] for entry in chunk["entries"]] == ["Created", "Invoked"]
    assert chunk["entries"][1]["entry"]["params"] == [ORDER]
    assert (chunk["next"], chunk["firstIndexInChunk"], chunk["lastIndex"]) == (3, 1, 3)
    chunk = (await http.get(f"{CART}/c1/oplog?from=3")).json()
    assert chunk["entries"][0]["entry"]["type"] == "Completed"
    assert ("next" not in chunk, chunk["firstIndexInChunk"], chunk["lastIndex"]) == (True, 3, 3)
    assert (await http.get(f"{CART}/c1/oplog?from=9")).json()["entries"] == []
    refused(await http.get(f"{CART}/c9/oplog"), 404, "there is no worker")


async def test_cancel_by_key(http: Http) -> None:
    """Every invocation with the key is cancelled, whatever its function."""
    key = {"Idempotency-Key": "a/b"}
    await http.post(f"{CART}/c1/invoke?function=wait", headers=key)
    await http.post(f"{CART}/c1/invoke?function=clear", headers=key)
    path = f"{CART}/c1/invocations/a%2Fb"
    assert (await http.delete(path)).json() == {"canceled": True}
    response = await http.get("/restate/invocation/cart/c1/wait/a%2Fb/attach")
    assert (response.status_code, response.json()["source"]) == (409, "invocation")
    assert (await http.delete(path)).json() == {"canceled": False}
    refused(await http.delete(f"{CART}/c9/invocations/k"), 404, "there is no worker")


@pytest.mark.parametrize(
    ("method", "path", "allow"), [("PUT", CART, "GET, HEAD, POST"), ("GET", f"{CART}/c/resume", "POST")]
)
async def test_methods(http: Http, method: str, path: str, allow: str) -> None:
    """Another method is 405, in this family's shape."""
    response = await http.request(method, path)
    refused(response, 405, method)
    assert response.headers["allow"] == allow
    refused(await http.get("/v1/nowhere"), 404, "nothing")
