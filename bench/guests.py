"""The workers that the bench invokes: each does one thing and nothing else."""

from __future__ import annotations

import workers


class Counter(workers.Worker):
    """Adds numbers: the least that a handler can do."""

    total: int = 0

    @workers.handler
    async def add(self, number: int) -> int:
        self.total += number
        return self.total


class Asker(workers.Worker):
    """Waits for one promise, which is entry 3 of a fresh worker's oplog."""

    @workers.handler
    async def ask(self) -> str:
        answer = await workers.await_promise(workers.create_promise())
        return answer.decode()


async def one_async() -> int:
    return 1


def one_sync() -> int:
    return 1


class Stepper(workers.Worker):
    """Performs side effects one after another."""

    @workers.handler
    async def steps_async(self, count: int) -> int:
        total = 0
        for _ in range(count):
            total += await workers.run(one_async)
        return total

    @workers.handler
    async def steps_sync(self, count: int) -> int:
        total = 0
        for _ in range(count):
            total += await workers.run(one_sync)
        return total


class Clerk(workers.Worker):
    """Has counters count: one, one behind the other, or many at once."""

    @workers.handler
    async def call(self, name: str) -> int:
        return await workers.worker(Counter, name).add(1)

    @workers.handler
    async def chain(self, names: list[str]) -> int:
        if not names:
            return 1
        return 1 + await workers.worker(Clerk, names[0]).chain(names[1:])

    @workers.handler
    async def fan(self, names: list[str]) -> int:
        counted = await workers.gather(*(workers.worker(Counter, name).add(1) for name in names))
        return len(counted)
