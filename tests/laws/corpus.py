"""The corpus: one worker class whose handlers are the shapes that the laws are tested on, with those of `callers`.

Results and traces must not depend on the order in which effects end nor on how long the executor was down.
"""

from __future__ import annotations

from attrs import field

import promissory
from promissory.oplog.errors import TerminalError
from tests.laws.callers import COUNTED, Caller
from tests.laws.effects import attempted, effect, flaky_effect, hopeless_effect, slow_effect


class Subject(Caller):
    trace: list[str] = field(factory=list)

    def note(self, text: str) -> str:
        self.trace.append(text)
        return text

    @promissory.handler
    async def plain(self, tag: str) -> str:
        promissory.log.info(tag)
        return self.note(f"{tag} {len(self.trace)}")

    @promissory.handler
    async def promise(self, tag: str) -> str:
        promise_id = promissory.create_promise()
        polled = await promissory.poll_promise(promise_id)
        payload = await promissory.await_promise(promise_id)
        return self.note(f"{tag} {polled is None or polled} {payload.decode()}")

    @promissory.handler
    async def promises(self, tag: str) -> list[str]:
        created = [promissory.create_promise() for _ in range(3)]
        await promissory.complete_promise(created[1], b"mine")
        payloads = await promissory.gather(*(promissory.await_promise(promise_id) for promise_id in created))
        self.note(tag)
        await promissory.delete_promise(created[0])
        return [payload.decode() for payload in payloads]

    @promissory.handler
    async def runs(self, tag: str) -> list[str]:
        return [self.note(await promissory.run(effect, f"{tag}.{n}", name=f"{tag}.{n}")) for n in range(3)]

    @promissory.handler
    async def slow(self, tag: str) -> str:
        first = await promissory.run(slow_effect, f"{tag}.0", name=f"{tag}.0")
        await promissory.sleep(30)
        return self.note(first + await promissory.run(flaky_effect, f"{tag}.1", name=f"{tag}.1"))

    @promissory.handler
    async def hopeless(self, tag: str) -> str:
        try:
            await promissory.run(hopeless_effect, tag)
        except TerminalError as error:
            self.note(str(error))
        raise TerminalError(f"{tag} failed", code=418)

    @promissory.handler
    async def retried(self, tag: str) -> str:
        did = await promissory.run(effect, f"{tag}.0", name=f"{tag}.0")
        attempted[tag] += 1
        self.note(f"{tag} got this far")
        if attempted[tag] < 3:
            raise ValueError("not yet")
        return did + await promissory.run(slow_effect, f"{tag}.1", name=f"{tag}.1")

    @promissory.handler
    async def gathered(self, tag: str) -> list[str]:
        async def one(n: int) -> str:
            await promissory.sleep(n)
            return await promissory.run(effect, f"{tag}.{n}", name=f"{tag}.{n}")

        inner = promissory.gather(one(3), promissory.run(slow_effect, f"{tag}.4", name=f"{tag}.4"))
        first, second, both = await promissory.gather(one(1), one(2), inner)
        self.note(tag)
        return [first, second, *both]

    @promissory.handler
    async def raced(self, tag: str) -> list[str]:
        async def never() -> str:
            try:
                return (await promissory.await_promise(promissory.create_promise())).decode()
            finally:
                self.note(f"{tag} let go")

        inner = promissory.race(promissory.sleep(90_000), promissory.run(slow_effect, f"{tag}.0", name=f"{tag}.0"))
        position, value = await promissory.race(never(), inner, promissory.sleep(80_000))
        return [str(position), str(value)]

    @promissory.handler
    async def timed_out(self, tag: str) -> str:
        try:
            await promissory.wait_for(promissory.await_promise(promissory.create_promise()), 7)
        except promissory.TimedOut:
            self.note(f"{tag} timed out")
        got = await promissory.wait_for(promissory.run(effect, f"{tag}.0", name=f"{tag}.0"), 90_000)
        return f"{got} {promissory.random() < 1} {promissory.uuid4().version}"

    @promissory.handler
    async def left_open(self, tag: str) -> str:
        promissory.create_promise()
        promissory.sleep(50_000)
        promissory.run(effect, f"{tag}.0", name=f"{tag}.0")
        return self.note(tag)

    @promissory.handler
    async def let_go(self, tag: str) -> str:
        await promissory.race(promissory.run(slow_effect, f"{tag}.0", name=f"{tag}.0"), promissory.sleep(0.1))
        return self.note(tag)

    @promissory.handler
    async def hasty(self, tag: str) -> list[str]:
        promise_id = promissory.create_promise()
        completing = promissory.complete_promise(promise_id, tag.encode())
        awaiting = promissory.await_promise(promise_id)
        polled = promissory.poll_promise(promise_id)
        done = await promissory.gather(awaiting, polled, completing)
        left = promissory.create_promise()
        promissory.await_promise(left)
        promissory.complete_promise(left, b"left")
        promissory.delete_promise(promise_id)
        return [self.note(str(value)) for value in done]

    @promissory.handler
    async def cancelled(self, tag: str) -> list[str]:
        async def stubborn(n: int) -> str:
            try:
                await promissory.gather(promissory.sleep(90_000), promissory.await_promise(promissory.create_promise()))
                return "never"
            except promissory.Cancelled:
                self.note(f"{tag} {n} cleaned up")
                raise
            finally:
                self.note(f"{tag} {n} over")

        async def fails() -> str:
            await promissory.sleep(2)
            raise TerminalError(f"{tag} fails")

        try:
            await promissory.gather(stubborn(0), fails(), promissory.race(stubborn(1), promissory.sleep(0.1)))
        except TerminalError as error:
            self.note(str(error))
        return list(self.trace)

    @promissory.handler
    async def open_promise(self) -> str:
        return str(promissory.create_promise())

    @promissory.handler
    async def crossing(self, tag: str, promise: str) -> list[str]:
        promise_id = promissory.PromiseId.parse(promise)
        waiting = promissory.await_promise(promise_id)
        polled = await promissory.poll_promise(promise_id)
        payload, settled = await promissory.gather(waiting, promissory.complete_promise(promise_id, tag.encode()))
        return [self.note(payload.decode()), str(polled), str(settled)]

    @promissory.query
    def traced(self) -> list[str]:
        return self.trace


SHAPES = (
    "plain",
    "promise",
    "promises",
    "runs",
    "slow",
    "hopeless",
    "retried",
    "gathered",
    "raced",
    "timed_out",
    "left_open",
    "crossing",
    "hasty",
    "let_go",
    "cancelled",
    *COUNTED,
)
ALONE = {"raced", "timed_out", "left_open", "cancelled"}
"""Their promises are never settled: their workers' names say so."""
