"""The Python client of `restate-sdk` works against the gateway, unchanged: calls, sends, delays, idempotency keys."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeAlias

import pytest
import restate
from restate.client_types import HttpError, RestateClient

With: TypeAlias = Callable[[Callable[[RestateClient], Awaitable[Any]]], Any]

greeter = restate.Service("greeter")
counter = restate.VirtualObject("counter")
signup = restate.Workflow("signup")


# The client reads the names and annotations of these functions; none of them runs.


@greeter.handler()
async def greet(ctx: restate.Context, name: str) -> str: ...  # type: ignore[empty-body]


@greeter.handler()
async def hello(ctx: restate.Context) -> str: ...  # type: ignore[empty-body]


@greeter.handler()
async def forget(ctx: restate.Context, name: str) -> None: ...


@greeter.handler()
async def echo(ctx: restate.Context, value: Any) -> Any: ...


@greeter.handler()
async def letter(ctx: restate.Context, arguments: dict[str, Any]) -> dict[str, Any]: ...  # type: ignore[empty-body]


@greeter.handler()
async def refuse(ctx: restate.Context, arguments: dict[str, Any]) -> str: ...  # type: ignore[empty-body]


@counter.handler()
async def add(ctx: restate.ObjectContext, by: int) -> int: ...  # type: ignore[empty-body]


@counter.handler()
async def reset(ctx: restate.ObjectContext) -> None: ...


@counter.handler()
async def name(ctx: restate.ObjectContext) -> str: ...  # type: ignore[empty-body]


@counter.handler()
async def add_when(ctx: restate.ObjectContext, arguments: dict[str, Any]) -> int: ...  # type: ignore[empty-body]


@counter.handler(kind="shared")
async def value(ctx: restate.ObjectSharedContext) -> int: ...  # type: ignore[empty-body]


@signup.main()
async def run(ctx: restate.WorkflowContext, email: str) -> str: ...  # type: ignore[empty-body]


@signup.handler()
async def status(ctx: restate.WorkflowSharedContext) -> str: ...  # type: ignore[empty-body]


@pytest.fixture
def client(url: str) -> With:
    """Run an async function with a client, under asyncio as its users do."""

    def run_with(program: Callable[[RestateClient], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with restate.create_client(url) as connected, asyncio.timeout(60):
                return await program(connected)

        return asyncio.run(main())

    return run_with


async def durable(client: RestateClient, operation: str, promise: str, **more: Any) -> Any:
    """Ask for a durable promise, as a program in Python does it over the same client."""
    body = json.dumps({"promiseId": promise, **more}).encode()
    return json.loads(await client.generic_call("promise", operation, body))


def test_service_calls(client: With) -> None:
    """`service_call` with one argument, none, no result, several by name, and any JSON."""

    async def program(client: RestateClient) -> list[Any]:
        return [
            await client.service_call(greet, "Zoë ☕"),
            await client.service_call(hello, None),
            await client.service_call(forget, "me"),
            await client.service_call(echo, {"deep": [1, 2.5, None]}),
            await client.service_call(letter, {"name": "Ada", "lines": ["a"]}),
            await client.service_call(greet, "Ada", headers={"x-of-mine": "1"}),
        ]

    assert client(program) == [
        "Hello, Zoë ☕",
        "Hello",
        None,
        {"deep": [1, 2.5, None]},
        {"to": "Ada", "lines": 1, "urgent": False},
        "Hello, Ada",
    ]


def test_object_calls(client: With) -> None:
    """`object_call` keeps a state for each name and answers queries; the client leaves encoding names to httpx."""

    async def program(client: RestateClient) -> list[Any]:
        return [
            await client.object_call(add, key="py-object", arg=3),
            await client.object_call(add, key="py-object", arg=4),
            await client.object_call(value, key="py-object", arg=None),
            await client.object_call(reset, key="py-object", arg=None),
            await client.object_call(value, key="py-object", arg=None),
            await client.object_call(name, key="Zoë ☕ b", arg=None),
            await client.object_call(name, key="a%2Fb", arg=None),
        ]

    assert client(program) == [3, 7, 7, None, 0, "Zoë ☕ b", "a/b"]


def test_sends(client: With) -> None:
    """`service_send` and `object_send` return the invocation's id; with a key, always the same."""

    async def program(client: RestateClient) -> list[Any]:
        return [
            await client.service_send(greet, "Ada"),
            await client.object_send(add, key="py-sends", arg=5, idempotency_key="k"),
            await client.object_send(add, key="py-sends", arg=6, idempotency_key="k"),
            await client.object_call(add, key="py-sends", arg=1),
            await client.service_send(hello, None, idempotency_key="py-sends"),
            await client.service_send(hello, None, idempotency_key="py-sends"),
        ]

    plain, sent, again, total, greeted, greeted_again = client(program)
    assert {handle.invocation_id[:5] for handle in (plain, sent, greeted)} == {"inv_1"}
    assert again.invocation_id == sent.invocation_id
    assert greeted_again.invocation_id == greeted.invocation_id
    assert total == 6


def test_delayed_sends(client: With) -> None:
    """`send_delay`, which this client sends as a bare number, is in milliseconds."""

    async def program(client: RestateClient) -> list[Any]:
        soon = timedelta(milliseconds=30)
        await client.object_send(add, key="py-delays", arg=100, send_delay=timedelta(days=1))
        sent = await client.object_send(add, key="py-delays", arg=1, send_delay=soon, idempotency_key="k")
        await client.service_send(greet, "Ada", send_delay=timedelta())
        done = await client.object_call(add, key="py-delays", arg=9, idempotency_key="k")
        return [sent.invocation_id[:5], done, await client.object_call(value, key="py-delays", arg=None)]

    # The call with the key of the delayed one waits for it, so only the day's has not run.
    assert client(program) == ["inv_1", 1, 1]


def test_idempotency(client: With) -> None:
    """One key is one execution, also for calls in flight."""

    async def program(client: RestateClient) -> list[Any]:
        arguments = {"promise": "py-keys", "by": 7}
        first, second, _ = await asyncio.gather(
            client.object_call(add_when, key="py-keys", arg=arguments, idempotency_key="k"),
            client.object_call(add_when, key="py-keys", arg=arguments, idempotency_key="k"),
            durable(client, "resolve", "py-keys", value=1),
        )
        return [
            first,
            second,
            await client.service_call(greet, "Ada", idempotency_key="py-keys"),
            await client.service_call(greet, "Bob", idempotency_key="py-keys"),
        ]

    assert client(program) == [7, 7, "Hello, Ada", "Hello, Ada"]


def test_workflows(client: With) -> None:
    """`workflow_send` starts one, `workflow_call` asks it meanwhile and, with the same key, waits for its result."""

    async def program(client: RestateClient) -> list[Any]:
        email = "bob@example.org"
        sent = await client.workflow_send(run, key="py-1", arg=email, idempotency_key="run")
        link = (await durable(client, "await", f"link of {email}"))["value"]
        waiting = await client.workflow_call(status, key="py-1", arg=None)
        await client.generic_call(
            "restate", f"a/{link}/resolve", b'"4711"', headers={"content-type": "application/json"}
        )
        done = await client.workflow_call(run, key="py-1", arg=email, idempotency_key="run")
        return [sent.invocation_id[:5], waiting, done, await client.workflow_call(status, key="py-1", arg=None)]

    assert client(program) == ["inv_1", "waiting", "bob@example.org confirmed with 4711", "confirmed"]


def test_generic_calls(client: With) -> None:
    """`generic_call` and `generic_send` carry bytes, without a content type."""

    async def program(client: RestateClient) -> list[Any]:
        sent = await client.generic_send("counter", "add", b"2", key="py-generic", send_delay=timedelta())
        return [
            sent.invocation_id[:5],
            await client.generic_call("greeter", "greet", b'"Ada"'),
            await client.generic_call("greeter", "hello", b""),
            await client.generic_call("greeter", "forget", b'"Ada"'),
            await client.generic_call("counter", "add", b" 3 ", key="py-generic-2", idempotency_key="k"),
        ]

    assert client(program) == ["inv_1", b'"Hello, Ada"', b'"Hello"', b"", b"3"]


@pytest.mark.parametrize(
    ("handler", "argument", "code", "source"),
    [
        (refuse, {"why": "I am a teapot", "code": 418}, 418, "invocation"),
        (refuse, {"why": "no"}, 500, "invocation"),
        (greet, 1, 400, "ingress"),
        (letter, {"name": "Ada"}, 400, "ingress"),
    ],
)
def test_errors(client: With, handler: Any, argument: Any, code: int, source: str) -> None:
    """What a handler ends with, and what is refused before it, is an `HttpError` with the status and the body."""
    with pytest.raises(HttpError) as raised:
        client(lambda client: client.service_call(handler, argument))

    assert raised.value.status_code == code
    error = json.loads(raised.value.body or "")
    assert (error["code"], error["source"]) == (code, source)
