"""A circle of calls that closes while the code of one of its workers is not there."""

from __future__ import annotations

from typing import Any

import trio

import workers
from oplog.errors import CallCycleError

THINGS = ("link/a", "link/b", "missing/m")


class Link(workers.Worker):
    @workers.handler
    async def wait_and_call(self, seconds: float, to: str) -> str:
        await workers.sleep(seconds)
        return str(await workers.invoke_and_await(f"worker://{to}", "hello"))

    @workers.handler
    async def hello(self) -> str:
        return "hello"


class Missing(Link):
    """Does the same, and goes missing."""


async def test_it_is_found_when_the_code_is_back(promissory: Any) -> None:
    """Whoever waits for itself by way of an unavailable component learns of it once that is registered again."""
    promissory.register(Link, Missing)
    sent = [
        await promissory.send("missing/m", "wait_and_call", 1, "link/b"),
        await promissory.send("link/a", "wait_and_call", 2, "missing/m"),
        await promissory.send("link/b", "wait_and_call", 7200, "link/a"),
    ]
    await trio.sleep(3600)
    promissory._classes.pop("missing")
    await promissory.simulate_crash()
    await trio.sleep(7200)
    assert {(await promissory.show(one))["status"] for one in THINGS} == {"suspended"}

    promissory.register(Missing)

    found = []
    for invocation in sent:
        try:
            found.append(await promissory.attach(invocation))
        except CallCycleError:
            found.append("cycle")
    assert sorted(found) == ["cycle", "hello", "hello"] or found.count("cycle") == 2
    assert {(await promissory.show(one))["status"] for one in THINGS} == {"idle"}
