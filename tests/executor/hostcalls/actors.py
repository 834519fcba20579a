"""A worker that does as it is told, for tests of who waits for whom."""

from __future__ import annotations

from collections import Counter
from typing import Any

import trio

import promissory
from promissory.oplog.errors import CallCycleError, TerminalError

ATTEMPTS: Counter[str] = Counter()


class Actor(promissory.Worker):
    """Does as it is told, by plans: what to do, and with what; a plan within a plan is done on the way."""

    @promissory.handler
    async def do(self, plan: list[Any]) -> Any:
        return await self.begin(plan)

    def begin(self, plan: list[Any]) -> Any:
        """Do a plan, at the await or when it is given to `gather` or `race`."""
        return getattr(self, plan[0])(*plan[1:])

    async def say(self, text: str) -> str:
        return text

    async def rest(self, seconds: float, plan: list[Any]) -> Any:
        await promissory.sleep(seconds)
        return await self.begin(plan)

    async def call(self, name: str, plan: list[Any]) -> Any:
        try:
            return await promissory.worker(Actor, name).do(plan)
        except CallCycleError:
            return f"cycle to {name}"

    async def send(self, name: str, plan: list[Any], then: list[Any]) -> Any:
        await promissory.send(promissory.worker(Actor, name).do, plan)
        return await self.begin(then)

    async def gather(self, *plans: list[Any]) -> list[Any]:
        return list(await promissory.gather(*map(self.begin, plans)))

    async def race(self, *plans: list[Any]) -> Any:
        return (await promissory.race(*map(self.begin, plans)))[1]

    async def within(self, seconds: float, plan: list[Any]) -> Any:
        try:
            return await promissory.wait_for(self.begin(plan), seconds)
        except promissory.TimedOut:
            return "timed out"

    async def fail(self) -> Any:
        raise TerminalError("failed")

    async def promise(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()

    async def run(self, seconds: float) -> str:
        return await promissory.run(slow, seconds)

    async def retry(self, count: int, plan: list[Any]) -> Any:
        ATTEMPTS["made"] += 1
        if ATTEMPTS["made"] < count:
            raise ValueError("not yet")
        return await self.begin(plan)

    async def check(self, count: int, plan: list[Any]) -> Any:
        result = await self.begin(plan)
        return await self.retry(count, ["say", result])

    async def unmended(self, plan: list[Any]) -> Any:
        if not ATTEMPTS["mended"]:
            raise promissory.NonDeterminismError("not mended")
        return await self.begin(plan)


async def slow(seconds: float) -> str:
    await trio.sleep(seconds)
    return "ran"


def call_later(name: str, plan: Any = ("say", "hello"), seconds: float = 1) -> list[Any]:
    """Return a plan to call somebody when all that a test sends has begun."""
    return ["rest", seconds, ["call", name, plan]]


def call_now(name: str) -> list[Any]:
    return ["call", name, ["say", "hello"]]


TO_A, TO_B, TO_C = call_later("a"), call_later("b"), call_later("c")
