"""Deeply nested JSON, whichever way it comes to a worker, pauses none: not live, and not in replay."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define

import promissory
from promissory.oplog.errors import BadArguments, TerminalError
from promissory.workers.nesting import NESTING_MAX

DEPTHS = (NESTING_MAX - 1, NESTING_MAX, NESTING_MAX + 1, *range(850, 1_000, 10), 100_000)


def nest(depth: int, value: Any = 1) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def written(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


@define
class Node:
    child: Node | None = None


class Deep(promissory.Worker):
    seed: Any = None
    kept: Any = None

    @promissory.handler
    async def keep(self, value: Any) -> Any:
        self.kept = value
        return value

    @promissory.handler
    async def learn(self, depth: int) -> str:
        try:
            self.kept = await promissory.run(nest, depth)
        except TerminalError as error:
            return str(error)
        return "learnt"

    @promissory.handler
    async def wait(self, name: str) -> str:
        try:
            self.kept = await promissory.durable_promise(name, Any).get()
        except TerminalError as error:
            return str(error)
        return "got"

    @promissory.handler
    async def wrap(self) -> Any:
        self.kept = [self.kept]
        return self.kept

    @promissory.handler
    async def pass_on(self) -> str:
        self.kept = [self.kept]
        try:
            await promissory.worker(Deep, "other").keep(self.kept)
            await promissory.invoke_and_await("worker://deep/other", "keep", self.kept)
        except TerminalError as error:
            return str(error)
        return "passed"

    @promissory.handler
    async def copy(self, node: Node) -> str:
        await promissory.run(str, node)
        return "copied"


@pytest.fixture
def deep(durable: Any) -> Any:
    durable.register(Deep)
    return durable


async def test_arguments(deep: Any) -> None:
    """An argument at the limit comes back; a deeper one, also of a constructor, is refused and creates nothing."""
    for depth in DEPTHS:
        params = b"[" + written(depth) + b"]"
        asked = deep.request("invoke", worker=f"deep/{depth}", function="keep", params=params)
        made = deep.request("worker.create", worker=f"deep/made-{depth}", args=params)
        if depth <= NESTING_MAX:
            assert (await asked)["result"] == written(depth)
            await made
            continue
        for request in (asked, made):
            with pytest.raises(BadArguments, match=f"nested {depth} deep, the limit is {NESTING_MAX}"):
                await request
    assert len(await deep.workers()) == 4
    await deep.simulate_crash()
    assert await deep.invoke(f"deep/{NESTING_MAX}", "learn", 1) == "learnt"
    assert await deep.invoke(f"deep/made-{NESTING_MAX}", "learn", 1) == "learnt"


async def test_results_of_effects(deep: Any) -> None:
    """What an effect gives is recorded if it is nested no deeper than the limit, else it fails terminally."""
    for depth in DEPTHS[:-1]:
        answer = await deep.invoke("deep/a", "learn", depth)
        assert answer == "learnt" if depth <= NESTING_MAX else f"nested more than {NESTING_MAX} deep" in answer
    await deep.simulate_crash()
    assert await deep.invoke("deep/a", "learn", 1) == "learnt"


async def test_values_of_promises(deep: Any) -> None:
    """Whoever settles a promise with what is nested too deeply fails the await."""
    for depth in DEPTHS:
        await deep.request("promise.complete", promise=f"name:{depth}", data=written(depth))
        answer = await deep.invoke("deep/a", "wait", str(depth))
        assert answer == "got" if depth <= NESTING_MAX else f"nested {depth} deep, the limit is" in answer
    await deep.simulate_crash()
    assert await deep.invoke("deep/a", "learn", 1) == "learnt"


@pytest.mark.parametrize("function", ["wrap", "pass_on"])
async def test_values_that_grow(deep: Any, function: str) -> None:
    """A worker that nests what it keeps once more each time fails those invocations, and replays."""
    first: int | None = None
    for count in range(1, 1_010):
        try:
            answer = await deep.invoke("deep/a", function)
        except TerminalError as error:
            answer = str(error)
        if first is None and f"nested more than {NESTING_MAX} deep" in answer:
            first = count
        assert (first is None) == (f"nested more than {NESTING_MAX} deep" not in answer)
    assert first == NESTING_MAX + 1
    await deep.simulate_crash()
    assert await deep.invoke("deep/a", "learn", 1) == "learnt"


async def test_arguments_of_effects(deep: Any) -> None:
    """Whatever a handler may be given, it can hand over to an effect, whose copy takes the most of the stack."""
    node: Node | None = None
    for _ in range(NESTING_MAX):
        node = Node(node)
    assert await deep.invoke("deep/a", "copy", node) == "copied"
