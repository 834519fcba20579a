"""A circle of calls that closes while the code of one of its workers is not there."""

from __future__ import annotations

from typing import Any

import trio

import promissory
from promissory.oplog.errors import CallCycleError

THINGS = ("link/a", "link/b", "missing/m")


class Link(promissory.Worker):
    @promissory.handler
    async def wait_and_call(self, seconds: float, to: str) -> str:
        await promissory.sleep(seconds)
        return str(await promissory.invoke_and_await(f"worker://{to}", "hello"))

    @promissory.handler
    async def hello(self) -> str:
        return "hello"


class Missing(Link):
    """Does the same, and goes missing."""


async def test_it_is_found_when_the_code_is_back(durable: Any) -> None:
    """Whoever waits for itself by way of an unavailable component learns of it once that is registered again."""
    durable.register(Link, Missing)
    sent = [
        await durable.send("missing/m", "wait_and_call", 1, "link/b"),
        await durable.send("link/a", "wait_and_call", 2, "missing/m"),
        await durable.send("link/b", "wait_and_call", 7200, "link/a"),
    ]
    await trio.sleep(3600)
    durable._classes.pop("missing")
    await durable.simulate_crash()
    await trio.sleep(7200)
    assert {(await durable.show(one))["status"] for one in THINGS} == {"suspended"}

    durable.register(Missing)

    found = []
    for invocation in sent:
        try:
            found.append(await durable.attach(invocation))
        except CallCycleError:
            found.append("cycle")
    assert sorted(found) == ["cycle", "hello", "hello"] or found.count("cycle") == 2
    assert {(await durable.show(one))["status"] for one in THINGS} == {"idle"}
