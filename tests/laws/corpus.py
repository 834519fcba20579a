"""The corpus: one worker class whose handlers are the shapes that the laws are tested on, with those of `callers`.

Results and traces must not depend on the order in which effects end nor on how long the executor was down.
"""

from __future__ import annotations

from attrs import field

import workers
from oplog.errors import TerminalError
from tests.laws.callers import COUNTED, Caller
from tests.laws.effects import attempted, effect, flaky_effect, hopeless_effect, slow_effect


class Subject(Caller):
    trace: list[str] = field(factory=list)

    def note(self, text: str) -> str:
        self.trace.append(text)
        return text

    @workers.handler
    async def plain(self, tag: str) -> str:
        workers.log.info(tag)
        return self.note(f"{tag} {len(self.trace)}")

    @workers.handler
    async def promise(self, tag: str) -> str:
        promise_id = workers.create_promise()
        polled = await workers.poll_promise(promise_id)
        payload = await workers.await_promise(promise_id)
        return self.note(f"{tag} {polled is None or polled} {payload.decode()}")

    @workers.handler
    async def promises(self, tag: str) -> list[str]:
        created = [workers.create_promise() for _ in range(3)]
        await workers.complete_promise(created[1], b"mine")
        payloads = await workers.gather(*(workers.await_promise(promise_id) for promise_id in created))
        self.note(tag)
        await workers.delete_promise(created[0])
        return [payload.decode() for payload in payloads]

    @workers.handler
    async def runs(self, tag: str) -> list[str]:
        return [self.note(await workers.run(effect, f"{tag}.{n}", name=f"{tag}.{n}")) for n in range(3)]

    @workers.handler
    async def slow(self, tag: str) -> str:
        first = await workers.run(slow_effect, f"{tag}.0", name=f"{tag}.0")
        await workers.sleep(30)
        return self.note(first + await workers.run(flaky_effect, f"{tag}.1", name=f"{tag}.1"))

    @workers.handler
    async def hopeless(self, tag: str) -> str:
        try:
            await workers.run(hopeless_effect, tag)
        except TerminalError as error:
            self.note(str(error))
        raise TerminalError(f"{tag} failed", code=418)

    @workers.handler
    async def retried(self, tag: str) -> str:
        did = await workers.run(effect, f"{tag}.0", name=f"{tag}.0")
        attempted[tag] += 1
        self.note(f"{tag} got this far")
        if attempted[tag] < 3:
            raise ValueError("not yet")
        return did + await workers.run(slow_effect, f"{tag}.1", name=f"{tag}.1")

    @workers.handler
    async def gathered(self, tag: str) -> list[str]:
        async def one(n: int) -> str:
            await workers.sleep(n)
            return await workers.run(effect, f"{tag}.{n}", name=f"{tag}.{n}")

        inner = workers.gather(one(3), workers.run(slow_effect, f"{tag}.4", name=f"{tag}.4"))
        first, second, both = await workers.gather(one(1), one(2), inner)
        self.note(tag)
        return [first, second, *both]

    @workers.handler
    async def raced(self, tag: str) -> list[str]:
        async def never() -> str:
            try:
                return (await workers.await_promise(workers.create_promise())).decode()
            finally:
                self.note(f"{tag} let go")

        inner = workers.race(workers.sleep(90_000), workers.run(slow_effect, f"{tag}.0", name=f"{tag}.0"))
        position, value = await workers.race(never(), inner, workers.sleep(80_000))
        return [str(position), str(value)]

    @workers.handler
    async def timed_out(self, tag: str) -> str:
        try:
            await workers.wait_for(workers.await_promise(workers.create_promise()), 7)
        except workers.TimedOut:
            self.note(f"{tag} timed out")
        got = await workers.wait_for(workers.run(effect, f"{tag}.0", name=f"{tag}.0"), 90_000)
        return f"{got} {workers.random() < 1} {workers.uuid4().version}"

    @workers.handler
    async def left_open(self, tag: str) -> str:
        workers.create_promise()
        workers.sleep(50_000)
        workers.run(effect, f"{tag}.0", name=f"{tag}.0")
        return self.note(tag)

    @workers.handler
    async def let_go(self, tag: str) -> str:
        await workers.race(workers.run(slow_effect, f"{tag}.0", name=f"{tag}.0"), workers.sleep(0.1))
        return self.note(tag)

    @workers.handler
    async def hasty(self, tag: str) -> list[str]:
        promise_id = workers.create_promise()
        completing = workers.complete_promise(promise_id, tag.encode())
        awaiting = workers.await_promise(promise_id)
        polled = workers.poll_promise(promise_id)
        done = await workers.gather(awaiting, polled, completing)
        left = workers.create_promise()
        workers.await_promise(left)
        workers.complete_promise(left, b"left")
        workers.delete_promise(promise_id)
        return [self.note(str(value)) for value in done]

    @workers.handler
    async def cancelled(self, tag: str) -> list[str]:
        async def stubborn(n: int) -> str:
            try:
                await workers.gather(workers.sleep(90_000), workers.await_promise(workers.create_promise()))
                return "never"
            except workers.Cancelled:
                self.note(f"{tag} {n} cleaned up")
                raise
            finally:
                self.note(f"{tag} {n} over")

        async def fails() -> str:
            await workers.sleep(2)
            raise TerminalError(f"{tag} fails")

        try:
            await workers.gather(stubborn(0), fails(), workers.race(stubborn(1), workers.sleep(0.1)))
        except TerminalError as error:
            self.note(str(error))
        return list(self.trace)

    @workers.handler
    async def open_promise(self) -> str:
        return str(workers.create_promise())

    @workers.handler
    async def crossing(self, tag: str, promise: str) -> list[str]:
        promise_id = workers.PromiseId.parse(promise)
        waiting = workers.await_promise(promise_id)
        polled = await workers.poll_promise(promise_id)
        payload, settled = await workers.gather(waiting, workers.complete_promise(promise_id, tag.encode()))
        return [self.note(payload.decode()), str(polled), str(settled)]

    @workers.query
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
