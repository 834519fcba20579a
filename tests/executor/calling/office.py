"""Workers to cancel, and what their tests ask of the executor that they are in."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from attrs import field

import workers
from oplog.errors import InvocationCancelled

performed: list[str] = []


def effect(tag: str) -> str:
    performed.append(tag)
    return tag


async def slow(tag: str) -> str:
    await trio.sleep(1_000)
    performed.append(tag)
    return tag


class Leaf(workers.Worker):
    trace: list[str] = field(factory=list)

    @workers.handler
    async def hold(self, tag: str = "x") -> str:
        self.trace.append(f"hold {tag}")
        try:
            return (await workers.await_promise(workers.create_promise())).decode()
        except workers.Cancelled:
            self.trace.append(f"cancelled {tag}")
            raise

    @workers.handler
    async def note(self, tag: str) -> str:
        self.trace.append(tag)
        return tag

    @workers.handler
    async def create(self) -> str:
        return str(workers.create_promise())

    @workers.query
    def traced(self) -> list[str]:
        return self.trace


class Boss(workers.Worker):
    trace: list[str] = field(factory=list)

    @workers.handler
    async def call(self, *, path: list[str]) -> str:
        target: Any = workers.worker(Boss, path[0]).call(path=path[1:]) if len(path) > 1 else None
        try:
            return await (target or workers.worker(Leaf, path[0]).hold(path[0]))
        except workers.Cancelled:
            self.trace.append("cancelled")
            raise

    @workers.handler
    async def fan_out(self, count: int) -> int:
        return len(await workers.gather(*(workers.worker(Leaf, str(n)).hold(str(n)) for n in range(count))))

    @workers.handler
    async def let_go(self) -> str:
        await workers.race(workers.worker(Leaf, "given-up").hold(), workers.sleep(1))
        workers.worker(Leaf, "not-awaited").hold()
        await workers.send(workers.worker(Leaf, "sent").hold)
        return await workers.worker(Leaf, "awaited").hold()

    @workers.handler
    async def clean_up(self, promise: str) -> None:
        try:
            await workers.sleep(10_000)
        except workers.Cancelled:
            self.trace.append(await workers.run(effect, "cleaned"))
            await workers.complete_promise(workers.PromiseId.parse(promise), b"given back")
            self.trace.append(await workers.worker(Leaf, "1").note("told"))
            raise

    @workers.handler
    async def insist(self) -> str:
        try:
            await workers.run(slow, "insisted")
        except workers.Cancelled:
            return "a value all the same"
        return "never"

    @workers.handler
    async def stay(self) -> str:
        try:
            await workers.sleep(10_000)
        except workers.Cancelled:
            self.trace.append("stays")
            await workers.sleep(10_000)
        return "never"

    @workers.handler
    async def fail(self) -> str:
        await workers.sleep(1)
        self.trace.append("failed")
        raise ValueError("always")

    @workers.handler
    async def fail_at_once(self) -> str:
        raise ValueError("at once")

    @workers.handler
    async def note(self, tag: str) -> list[str]:
        self.trace.append(tag)
        return self.trace

    @workers.query
    def traced(self) -> list[str]:
        return self.trace


async def cancel(office: Any, invocation: str) -> bool:
    return bool((await office.request("invocation.cancel", invocation=invocation))["cancelled"])


async def assert_cancelled(office: Any, *invocations: str) -> None:
    for invocation in invocations:
        with pytest.raises(InvocationCancelled) as caught:
            await office.attach(invocation)
        assert caught.value.code == 409


async def statuses(office: Any) -> dict[str, str]:
    return {path: (await office.show(path))["status"] for path in await office.workers()}
