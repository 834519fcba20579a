"""Calls and sends over HTTP: what goes in, what comes out, and how it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from promissory.executor.operations.inspection import Inspection
from tests.executor.http.conftest import Http, Serve

ORDER = {"order_id": "7", "items": ["tea"]}
JSON = "application/json"


def refused(response: Any, status: int, source: str, message: str) -> None:
    """Check the shape of a refusal."""
    assert response.status_code == status
    assert response.headers["content-type"] == JSON
    assert response.headers["x-restate-error-source"] == source
    body = response.json()
    assert set(body) == {"code", "message", "source"}
    assert (body["code"], body["source"]) == (status, source)
    assert message in body["message"]


async def test_a_call_answers_the_result(http: Http) -> None:
    """A call answers 200, the result as JSON, and the invocation's id."""
    response = await http.post("/cart/c1/add", json=ORDER)

    assert (response.status_code, response.content) == (200, b"1")
    assert response.headers["content-type"] == JSON
    assert response.headers["x-restate-id"].startswith("inv_1")


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("clear", b"", b""),
        ("clear", b"null", b""),
        ("maybe", b"", b"null"),
        ("maybe", b"null", b"null"),
        ("maybe", b' "x" ', b'"x"'),
        ("put", b'{"name": "tea", "count": 2}', b'["tea","tea"]'),
        ("put", b'["tea", 3]', b'["tea","tea","tea"]'),
        ("put", b'{"name": "tea"}', b'["tea"]'),
    ],
)
async def test_bodies_follow_from_the_parameters(http: Http, path: str, body: bytes, expected: bytes) -> None:
    """No parameters: empty. One: its value. Several: by name or by position. None answers nothing, null is a body."""
    response = await http.post(f"/cart/c1/{path}", content=body)

    assert (response.status_code, response.content) == (200, expected)
    assert response.headers.get("content-type") == (JSON if expected else None)
    assert "x-restate-id" in response.headers


@pytest.mark.parametrize("headers", [{}, {"content-type": JSON}, {"content-type": "text/plain"}])
async def test_content_types_are_taken_leniently(http: Http, headers: dict[str, str]) -> None:
    """A missing content type is JSON, and an empty body with a JSON one is void."""
    assert (await http.post("/cart/c1/clear", headers=headers)).status_code == 200
    assert (await http.post("/cart/c1/run", headers=headers, content=b'"x"')).content == b'"x"'


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("add", b'{"order_id": 7, "items": []}', "cart.add: Expected `str`, got `int` - at `$.order.order_id`"),
        ("add", b"", "missing argument `order`"),
        ("add", b"{", "not JSON"),
        ("run", b'"x"],["y"', "not JSON"),
        ("add", b'{"order_id": "7", "items": []}, 2', "unknown argument"),
        ("put", b'{"nome": "tea"}', "unknown argument `nome`"),
        ("clear", b"7", "cart.clear"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused(http: Http, path: str, body: bytes, message: str) -> None:
    """Wrong arguments are 400; the message names the path and the expected type."""
    refused(await http.post(f"/cart/c1/{path}", content=body), 400, "ingress", message)


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/nothing/c1/add", 404, "service 'nothing' not found, make sure to register the service before calling it."),
        ("/cart/c1/nothing", 404, "handler 'nothing' not found in service 'cart'"),
        ("/cart/add", 400, "bad path '/cart/add': expected /cart/worker/add"),
        ("/mailer/m1/deliver", 400, "bad path"),
        ("/cart", 400, "bad path '/cart'"),
        ("/", 400, "bad path '/'"),
        ("/cart/c1/add/more/still", 400, "bad path"),
        ("/cart//add", 400, "the worker's name is empty"),
        ("/cart/%zz/add", 400, "bad path"),
        ("/cart/%ff/add", 400, "not UTF-8"),
        ("/cart/%00/add", 400, "control character"),
    ],
)
async def test_paths_that_lead_nowhere(http: Http, path: str, status: int, message: str) -> None:
    """An unknown component or handler is 404, a path of no form 400."""
    refused(await http.post(path, json=ORDER), status, "ingress", message)


@pytest.mark.parametrize(("path", "name"), [("a%2Fb", "a%2Fb"), ("caf%C3%A9", "café"), ("100%25", "100%25")])
async def test_worker_names_are_decoded(served: Serve, path: str, name: str) -> None:
    """The worker's segment is decoded after the path is cut, so a name may hold a slash."""
    async with served() as (http, running):
        assert (await http.post(f"/cart/{path}/add", json=ORDER)).status_code == 200
        shown = Inspection(running.record, running.registry).worker(running.registry.worker_id(f"cart/{name}"))
        assert shown["worker"] == f"cart/{name}"


async def test_ephemeral_components_have_no_worker_segment(http: Http) -> None:
    """A path has no worker's segment if its component is ephemeral."""
    assert (await http.post("/mailer/deliver", json="tea")).json() == "TEA"
    assert (await http.post("/mailer/ping")).json() == "pong"
    sent = await http.post("/mailer/deliver/send", json="tea")
    assert (sent.status_code, sent.json()["status"]) == (202, "Accepted")


@pytest.mark.parametrize("prefix", ["", "/restate/call"])
async def test_queries(http: Http, prefix: str) -> None:
    """A query answers GET, HEAD and POST, without an invocation's id."""
    await http.post("/cart/c1/add", json=ORDER)
    for response in (await http.get(f"{prefix}/cart/c1/all"), await http.post(f"{prefix}/cart/c1/all")):
        assert (response.status_code, response.json()) == (200, [ORDER])
        assert "x-restate-id" not in response.headers
    head = await http.head(f"{prefix}/cart/c1/all")
    assert (head.status_code, head.content) == (200, b"")
    refused(await http.post(f"{prefix}/cart/c1/all", headers={"idempotency-key": "k"}), 400, "ingress", "query")


async def test_queries_are_not_sent(http: Http) -> None:
    """`/send` on a query is 400."""
    refused(await http.post("/cart/c1/all/send"), 400, "ingress", "query")


async def test_methods(http: Http) -> None:
    """Another method is 405 with what is allowed; OPTIONS asks for just that."""
    response = await http.get("/cart/c1/add")
    refused(response, 405, "ingress", "GET")
    assert response.headers["allow"] == "POST"
    response = await http.put("/cart/c1/all")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, POST")
    response = await http.request("OPTIONS", "/cart/c1/add")
    assert (response.status_code, response.headers["allow"]) == (204, "POST")


async def test_sends(http: Http) -> None:
    """A send answers 202 with the id; with a known key it says so."""
    for prefix in ("/cart/c1/add/send", "/restate/send/cart/c1/add"):
        sent = await http.post(prefix, json=ORDER, headers={"idempotency-key": prefix})
        again = await http.post(prefix, json={"order_id": "8", "items": []}, headers={"idempotency-key": prefix})
        assert (sent.status_code, again.status_code) == (202, 202)
        assert sent.json() == {"invocationId": sent.json()["invocationId"], "status": "Accepted"}
        assert again.json() == {**sent.json(), "status": "PreviouslyAccepted"}


@pytest.mark.parametrize("delay", ["PT3600S", "3600s", "1h", "3600000ms", "3600000"])
async def test_delays(http: Http, delay: str) -> None:
    """A delayed send says when it begins; a repeated one says what was decided first."""
    headers = {"idempotency-key": "k"}
    sent = await http.post(f"/cart/c1/add/send?delay={delay}", json=ORDER, headers=headers)
    again = await http.post("/cart/c1/add/send?delay=10s", json=ORDER, headers=headers)

    assert (sent.status_code, set(sent.json())) == (202, {"invocationId", "status", "executionTime"})
    assert again.json() == {**sent.json(), "status": "PreviouslyAccepted"}


async def test_delays_are_for_sends(http: Http) -> None:
    """`delay` on a call is 400; so is one that has no known form, or is too long."""
    refused(await http.post("/cart/c1/add?delay=1s", json=ORDER), 400, "ingress", "delayed")
    refused(await http.post("/cart/c1/add/send?delay=soon", json=ORDER), 400, "ingress", "bad delay 'soon'")
    refused(await http.post("/cart/c1/add/send?delay=9000w", json=ORDER), 400, "ingress", "100 years")


async def test_idempotency_keys(http: Http) -> None:
    """The same key gives the first result, whatever the body; an empty or endless one is 400."""
    headers = {"idempotency-key": "k"}
    first = await http.post("/cart/c1/add", json=ORDER, headers=headers)
    second = await http.post("/cart/c1/add", json={"order_id": "8", "items": []}, headers=headers)
    assert (first.content, first.headers["x-restate-id"]) == (second.content, second.headers["x-restate-id"])
    for key in ("", "k" * 300):
        refused(await http.post("/cart/c1/add", json=ORDER, headers={"idempotency-key": key}), 400, "ingress", "key")


@pytest.mark.parametrize(("code", "status"), [(404, 404), (500, 500), (418, 418), (200, 500), (7, 500)])
async def test_terminal_errors(http: Http, code: int, status: int) -> None:
    """A handler's terminal error has its own status, if HTTP has such a one for errors."""
    response = await http.post("/cart/c1/fail", json=code)
    refused(response, status, "invocation", "out of tea")
    assert response.headers["x-restate-id"].startswith("inv_1")


async def test_paused_workers(http: Http) -> None:
    """A call of a worker that pauses is 500 and says why."""
    refused(await http.post("/broken/b1/go"), 500, "invocation", "the worker is paused: NonDeterminismError")
