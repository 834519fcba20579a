"""Awakeables over HTTP: 202 whoever was first, a header that says who, and ids that nobody can make up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.executor.http.conftest import Http, Serve
from tests.executor.http.test_ingress import refused


async def issued(http: Http) -> tuple[str, str]:
    """Have a worker wait for an awakeable; its id, and the invocation's."""
    sent = (await http.post("/approval/a1/ask/send")).json()["invocationId"]
    return (await http.get("/approval/a1/ids")).json()[-1], sent


async def outcome(http: Http, sent: str) -> Any:
    return await http.get(f"/restate/invocation/{sent}/attach")


def settled(response: Any, expected: str) -> None:
    assert (response.status_code, response.content) == (202, b"")
    assert response.headers["x-promise-outcome"] == expected


@pytest.mark.parametrize("route", ["awakeables", "a"])
async def test_resolve(http: Http, route: str) -> None:
    """The body is the payload; a later attempt is 202, too, and told that it lost."""
    awakeable, sent = await issued(http)
    settled(await http.post(f"/restate/{route}/{awakeable}/resolve", json={"hello": "world"}), "settled")
    settled(await http.post(f"/restate/{route}/{awakeable}/resolve", json={}), "already-resolved")
    settled(await http.post(f"/restate/{route}/{awakeable}/reject", content="no"), "already-resolved")
    assert (await outcome(http, sent)).json() == {"hello": "world"}


@pytest.mark.parametrize("route", ["awakeables", "a"])
async def test_reject(http: Http, route: str) -> None:
    """The body is the reason; the handler's await fails with it."""
    awakeable, sent = await issued(http)
    headers = {"content-type": "text/plain"}
    settled(await http.post(f"/restate/{route}/{awakeable}/reject", content="Very bad!", headers=headers), "settled")
    settled(await http.post(f"/restate/{route}/{awakeable}/resolve", json={}), "already-rejected")
    refused(await outcome(http, sent), 500, "invocation", "Very bad!")


async def test_nothing_is_void(http: Http) -> None:
    """An empty payload is None."""
    awakeable, sent = await issued(http)
    settled(await http.post(f"/restate/a/{awakeable}/resolve"), "settled")
    assert (await outcome(http, sent)).content == b"null"


async def test_payload_that_cannot_be_read(http: Http) -> None:
    """A payload that does not fit fails that await, and the worker goes on."""
    awakeable, sent = await issued(http)
    settled(await http.post(f"/restate/a/{awakeable}/resolve", content=b"{"), "settled")
    assert (await outcome(http, sent)).status_code >= 400
    _, sent = await issued(http)
    assert (await http.get(f"/restate/invocation/{sent}/output")).status_code == 470


async def test_gone_promises_are_no_error(http: Http) -> None:
    """The id of a promise that is gone is 202 and `unknown`."""
    awakeable, _ = await issued(http)
    await http.delete("/v1/components/approval/workers/a1")
    settled(await http.post(f"/restate/awakeables/{awakeable}/resolve", json={}), "unknown")


async def test_forged_ids(http: Http) -> None:
    """A malformed or forged id is 400, and so is the name of any promise that is not an awakeable's id."""
    awakeable, _ = await issued(http)
    middle = awakeable[:-8] + ("A" if awakeable[-8] != "A" else "B") + awakeable[-7:]
    for bad in (middle, awakeable[:-1], awakeable + "A", "prom_1", "sign_1x", "name:x", "approval%2Fa1%2F3"):
        for operation in ("resolve", "reject"):
            response = await http.post(f"/restate/awakeables/{bad}/{operation}", json={})
            refused(response, 400, "ingress", "bad awakeable id '")


async def test_no_token_is_needed(served: Serve) -> None:
    """The id is the capability."""
    async with served(token="secret") as (http, _):
        http.headers["authorization"] = "Bearer secret"
        awakeable, _ = await issued(http)
        del http.headers["authorization"]
        settled(await http.post(f"/restate/a/{awakeable}/resolve", json={}), "settled")
        refused(await http.post("/restate/a/prom_1x/resolve"), 400, "ingress", "bad awakeable id 'prom_1x': ")
        assert (await http.post(f"/restate/a/{awakeable}/resolve/more")).status_code == 401
