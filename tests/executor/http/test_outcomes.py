"""Results of invocations that were made before, by id, by key, and of workflows."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.executor.http.conftest import Http, Serve
from tests.executor.http.test_ingress import refused

WAITING = "cart/c1/3"


async def complete(http: Http) -> None:
    response = await http.post("/v1/components/cart/workers/c1/complete", json={"oplogIdx": 3, "data": list(b"yes")})
    assert response.json() is True


async def test_by_id(http: Http) -> None:
    """`attach` and `output` give the result, as the call itself does."""
    sent = (await http.post("/cart/c1/run/send", json="tea")).json()["invocationId"]
    for operation in ("attach", "output"):
        response = await http.get(f"/restate/invocation/{sent}/{operation}")
        assert (response.status_code, response.content) == (200, b'"tea"')
        assert response.headers["x-restate-id"] == sent


@pytest.mark.parametrize(("function", "expected"), [("clear", b""), ("maybe", b"null")])
async def test_nothing_and_null(http: Http, function: str, expected: bytes) -> None:
    """A handler that returns None by its annotation has an empty body here, too."""
    sent = (await http.post(f"/cart/c1/{function}/send")).json()["invocationId"]
    assert (await http.get(f"/restate/invocation/{sent}/attach")).content == expected


async def test_attach_waits_and_output_does_not(http: Http) -> None:
    """`attach` answers when the invocation has completed; until then `output` is 470."""
    sent = (await http.post("/cart/c1/wait/send")).json()["invocationId"]
    response = await http.get(f"/restate/invocation/{sent}/output")
    refused(response, 470, "ingress", "the invocation exists but has not completed yet")
    async with trio.open_nursery() as nursery:

        async def attach() -> None:
            assert (await http.get(f"/restate/invocation/{sent}/attach")).json() == "yes"

        nursery.start_soon(attach)
        await trio.testing.wait_all_tasks_blocked(0.05)
        await complete(http)


async def test_by_key(http: Http) -> None:
    """The idempotency key finds the invocation, of an ephemeral component, too."""
    key = "a/b c"
    await http.post("/cart/c1/run", json="tea", headers={"idempotency-key": key})
    await http.post("/mailer/deliver", json="tea", headers={"idempotency-key": key})
    for operation in ("attach", "output"):
        assert (await http.get(f"/restate/invocation/cart/c1/run/a%2Fb%20c/{operation}")).json() == "tea"
        assert (await http.get(f"/restate/invocation/mailer/deliver/a%2Fb%20c/{operation}")).json() == "TEA"


async def test_workflows(http: Http) -> None:
    """A workflow's result is that of the handler `run` of its worker."""
    await http.post("/cart/w%2F1/clear")
    await http.post("/cart/w%2F1/run/send", json="tea")
    for operation in ("attach", "output"):
        assert (await http.get(f"/restate/workflow/cart/w%2F1/{operation}")).json() == "tea"


UNKNOWN = "inv_1CPBFTuSWU1C0ANNB_8kQlgAAAAAAAAACYzE"


@pytest.mark.parametrize(
    "path",
    [
        f"invocation/{UNKNOWN}",
        "invocation/cart/c1/run/unknown",
        "invocation/mailer/deliver/unknown",
        "invocation/cart/c1/nothing/k",
        "workflow/cart/unknown",
    ],
)
async def test_what_is_unknown(http: Http, path: str) -> None:
    """`attach` and `output` refuse what is unknown in words of their own."""
    response = await http.get(f"/restate/{path}/attach")
    refused(response, 404, "invocation", "not found")
    assert response.content == b'{"code":404,"message":"not found","source":"invocation"}'
    refused(await http.get(f"/restate/{path}/output"), 404, "ingress", "invocation not found")


async def test_bad_ids(http: Http) -> None:
    """What is no invocation's id is 400; another method is 405."""
    for operation in ("attach", "output"):
        refused(await http.get(f"/restate/invocation/inv_2/{operation}"), 400, "ingress", "not an invocation id")
        response = await http.post(f"/restate/invocation/inv_2/{operation}")
        refused(response, 405, "ingress", "POST")
        assert response.headers["allow"] == "GET, HEAD"


async def test_errors_are_those_of_the_handler(served: Serve) -> None:
    """A failed invocation attaches to its terminal error."""
    async with served() as (http, _):
        sent = (await http.post("/cart/c1/fail/send", json=418)).json()["invocationId"]
        refused(await http.get(f"/restate/invocation/{sent}/attach"), 418, "invocation", "out of tea")
