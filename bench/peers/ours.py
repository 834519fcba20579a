"""The workers of the bench beside Restate: `bench.peers.theirs` does the same, written for its SDK."""

from __future__ import annotations

import os
import socket

import promissory

_outbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


async def one() -> int:
    return 1


async def announce(note: str) -> None:
    _outbox.sendto(note.encode(), os.environ["BENCH_MAILBOX"])


class Counter(promissory.Worker):
    """Adds numbers: the least that a handler can do."""

    total: int = 0

    @promissory.handler
    async def add(self, number: int) -> int:
        self.total += number
        return self.total


class Clerk(promissory.Worker):
    """Has a counter count."""

    @promissory.handler
    async def call(self, name: str) -> int:
        return await promissory.worker(Counter, name).add(1)


class Stepper(promissory.Worker):
    """Performs side effects one after another."""

    @promissory.handler
    async def steps(self, count: int) -> int:
        total = 0
        for _ in range(count):
            total += await promissory.run(one)
        return total


class Approval(promissory.Worker):
    """Tells somebody outside the id of a promise, and waits for it."""

    @promissory.handler
    async def ask(self, tag: str) -> str:
        awakeable, answer = promissory.awakeable(str)
        await promissory.run(announce, f"{tag} {awakeable}")
        return await answer
