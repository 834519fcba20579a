"""Workers to cancel, and what their tests ask of the executor that they are in."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from attrs import field

import promissory
from promissory.oplog.errors import InvocationCancelled

performed: list[str] = []


def effect(tag: str) -> str:
    performed.append(tag)
    return tag


async def slow(tag: str) -> str:
    await trio.sleep(1_000)
    performed.append(tag)
    return tag


class Leaf(promissory.Worker):
    trace: list[str] = field(factory=list)

    @promissory.handler
    async def hold(self, tag: str = "x") -> str:
        self.trace.append(f"hold {tag}")
        try:
            return (await promissory.await_promise(promissory.create_promise())).decode()
        except promissory.Cancelled:
            self.trace.append(f"cancelled {tag}")
            raise

    @promissory.handler
    async def note(self, tag: str) -> str:
        self.trace.append(tag)
        return tag

    @promissory.handler
    async def create(self) -> str:
        return str(promissory.create_promise())

    @promissory.query
    def traced(self) -> list[str]:
        return self.trace


class Boss(promissory.Worker):
    trace: list[str] = field(factory=list)

    @promissory.handler
    async def call(self, *, path: list[str]) -> str:
        target: Any = promissory.worker(Boss, path[0]).call(path=path[1:]) if len(path) > 1 else None
        try:
            return await (target or promissory.worker(Leaf, path[0]).hold(path[0]))
        except promissory.Cancelled:
            self.trace.append("cancelled")
            raise

    @promissory.handler
    async def fan_out(self, count: int) -> int:
        return len(await promissory.gather(*(promissory.worker(Leaf, str(n)).hold(str(n)) for n in range(count))))

    @promissory.handler
    async def let_go(self) -> str:
        await promissory.race(promissory.worker(Leaf, "given-up").hold(), promissory.sleep(1))
        promissory.worker(Leaf, "not-awaited").hold()
        await promissory.send(promissory.worker(Leaf, "sent").hold)
        return await promissory.worker(Leaf, "awaited").hold()

    @promissory.handler
    async def clean_up(self, promise: str) -> None:
        try:
            await promissory.sleep(10_000)
        except promissory.Cancelled:
            self.trace.append(await promissory.run(effect, "cleaned"))
            await promissory.complete_promise(promissory.PromiseId.parse(promise), b"given back")
            self.trace.append(await promissory.worker(Leaf, "1").note("told"))
            raise

    @promissory.handler
    async def insist(self) -> str:
        try:
            await promissory.run(slow, "insisted")
        except promissory.Cancelled:
            return "a value all the same"
        return "never"

    @promissory.handler
    async def stay(self) -> str:
        try:
            await promissory.sleep(10_000)
        except promissory.Cancelled:
            self.trace.append("stays")
            await promissory.sleep(10_000)
        return "never"

    @promissory.handler
    async def fail(self) -> str:
        await promissory.sleep(1)
        self.trace.append("failed")
        raise ValueError("always")

    @promissory.handler
    async def fail_at_once(self) -> str:
        raise ValueError("at once")

    @promissory.handler
    async def note(self, tag: str) -> list[str]:
        self.trace.append(tag)
        return self.trace

    @promissory.query
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
