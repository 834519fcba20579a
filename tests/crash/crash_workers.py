"""The workers that are under load while their daemon is killed; `serve` imports this from its directory."""

from __future__ import annotations

import os
from pathlib import Path

import trio
from attrs import field

import promissory


def append_line(line: str) -> str:
    """Append one line to the file that shows which side effects were performed."""
    out = os.open(os.environ["CRASH_EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(out, f"{line}\n".encode())
    finally:
        os.close(out)
    return line


async def append_line_async(line: str) -> str:
    """Do the same on the executor's own loop."""
    return append_line(line)


def append_line_at_second_try(line: str) -> str:
    """Fail the first time that it is asked for this line, in whichever life of the daemon."""
    mark = Path(f"{os.environ['CRASH_EFFECTS']}.tried") / line
    mark.parent.mkdir(exist_ok=True)
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return append_line(line)
    raise ValueError("the first time")


QUICKLY = promissory.RetryPolicy(attempts=5, first_seconds=0.01)


class Counter(promissory.Worker):
    """Counts how often each key got through, and adds."""

    total: int = 0
    seen: dict[str, int] = field(factory=dict)

    @promissory.handler
    async def add(self, key: str, amount: int) -> list[int]:
        self.seen[key] = self.seen.get(key, 0) + 1
        self.total += amount
        return [amount, self.total]

    @promissory.handler
    async def add_with_effect(self, key: str, amount: int) -> list[int]:
        await promissory.run(append_line, f"{key} before", name="before")
        self.seen[key] = self.seen.get(key, 0) + 1
        self.total += amount
        total = self.total
        await promissory.run(append_line_async, f"{key} after", name="after")
        return [amount, total]

    @promissory.handler
    async def add_at_once(self, key: str, amount: int) -> list[int]:
        self.seen[key] = self.seen.get(key, 0) + 1

        async def nap() -> None:
            await promissory.sleep(0.002)
            await promissory.run(append_line, f"{key} slept", name="slept")

        first = promissory.run(append_line, f"{key} left", name="left")
        await promissory.gather(first, promissory.run(append_line_async, f"{key} right", name="right"), nap())
        self.total += amount
        return [amount, self.total]

    @promissory.query
    def keys(self) -> dict[str, int]:
        return self.seen

    @promissory.handler
    async def add_at_second_try(self, key: str, amount: int) -> list[int]:
        self.seen[key] = self.seen.get(key, 0) + 1
        await promissory.run(append_line_at_second_try, f"{key} tried", name="tried", retry=QUICKLY)
        self.total += amount
        return [amount, self.total]

    @promissory.query
    def sum(self) -> int:
        return self.total


class Gate(promissory.Worker):
    """Waits for somebody outside."""

    seen: dict[str, int] = field(factory=dict)
    waiting: dict[str, str] = field(factory=dict)

    @promissory.handler
    async def wait(self, key: str) -> str:
        promise = promissory.create_promise()
        self.waiting[key] = str(promise)
        await promissory.run(append_line, f"{key} asked", name="asked")
        payload = await promissory.await_promise(promise)
        self.seen[key] = self.seen.get(key, 0) + 1
        return payload.decode()

    @promissory.query
    def promise_of(self, key: str) -> str | None:
        return self.waiting.get(key)

    @promissory.query
    def keys(self) -> dict[str, int]:
        return self.seen


class Relay(promissory.Worker):
    """Waits for, and settles, promises of other workers."""

    seen: dict[str, int] = field(factory=dict)

    @promissory.handler
    async def follow(self, key: str, promise: str) -> str:
        payload = await promissory.await_promise(promise)
        self.seen[key] = self.seen.get(key, 0) + 1
        return payload.decode()

    @promissory.handler
    async def settle(self, key: str, promise: str, text: str) -> bool:
        settled = await promissory.complete_promise(promise, text.encode())
        self.seen[key] = self.seen.get(key, 0) + 1
        return settled

    @promissory.query
    def keys(self) -> dict[str, int]:
        return self.seen


async def wait_or_end() -> str:
    """Do what the file says: wait for ever, end the whole process, or neither."""
    says = Path(os.environ["CRASH_BOMB"]).read_text()
    if says == "wait":
        await trio.sleep_forever()
    if says == "end":
        os._exit(9)
    return "survived"


class Bomb(promissory.Worker):
    """Ends the process in its handler or in a side effect, for as long as the environment says so."""

    @promissory.handler
    async def go(self) -> str:
        if "CRASH_BOMB_HANDLER" in os.environ:
            os._exit(9)
        return await promissory.run(wait_or_end)

    @promissory.handler
    async def sleep(self) -> str:
        await promissory.sleep(0.5)
        if "CRASH_BOMB_HANDLER" in os.environ:
            os._exit(9)
        return "survived"
