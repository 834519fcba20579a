"""The workers of the daemon that is fuzzed; `serve` imports this from its directory."""

from __future__ import annotations

from attrs import define, field

import promissory


@define
class Point:
    x: int
    y: float = 0.0


class Target(promissory.Worker):
    """Takes arguments of many types, and waits for promises."""

    last: str = ""
    count: int = 0
    points: list[Point] = field(factory=list)

    @promissory.handler
    async def take(self, text: str, numbers: list[int], more: dict[str, float] | None = None) -> int:
        self.last = text[:100]
        self.count += 1
        return sum(numbers)

    @promissory.handler
    async def draw(self, point: Point) -> Point:
        self.points = [point]
        return point

    @promissory.handler
    async def wait(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).hex()

    @promissory.query
    def look(self, what: str = "") -> list[str]:
        return [what, self.last]
