"""The workers that the bench invokes: each does one thing and nothing else."""

from __future__ import annotations

import promissory


class Counter(promissory.Worker):
    """Adds numbers: the least that a handler can do."""

    total: int = 0

    @promissory.handler
    async def add(self, number: int) -> int:
        self.total += number
        return self.total


class Asker(promissory.Worker):
    """Waits for one promise, which is entry 3 of a fresh worker's oplog."""

    @promissory.handler
    async def ask(self) -> str:
        answer = await promissory.await_promise(promissory.create_promise())
        return answer.decode()


async def one_async() -> int:
    return 1


def one_sync() -> int:
    return 1


class Stepper(promissory.Worker):
    """Performs side effects one after another."""

    @promissory.handler
    async def steps_async(self, count: int) -> int:
        total = 0
        for _ in range(count):
            total += await promissory.run(one_async)
        return total

    @promissory.handler
    async def steps_sync(self, count: int) -> int:
        total = 0
        for _ in range(count):
            total += await promissory.run(one_sync)
        return total


class Clerk(promissory.Worker):
    """Has counters count: one, one behind the other, or many at once."""

    @promissory.handler
    async def call(self, name: str) -> int:
        return await promissory.worker(Counter, name).add(1)

    @promissory.handler
    async def chain(self, names: list[str]) -> int:
        if not names:
            return 1
        return 1 + await promissory.worker(Clerk, names[0]).chain(names[1:])

    @promissory.handler
    async def fan(self, names: list[str]) -> int:
        counted = await promissory.gather(*(promissory.worker(Counter, name).add(1) for name in names))
        return len(counted)
