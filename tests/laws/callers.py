"""The shapes of the corpus that call: whom they call, and how often each of their calls must have taken effect."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from attrs import field

import promissory
from promissory.oplog.errors import TerminalError
from tests.laws.effects import attempted, effect, slow_effect


class Callee(promissory.Worker):
    """Counts how often it was called for each tag."""

    counts: dict[str, int] = field(factory=dict)

    def note(self, tag: str) -> str:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        return f"counted {tag}"

    @promissory.handler
    async def count(self, tag: str) -> str:
        return self.note(tag)

    @promissory.handler
    async def count_slowly(self, tag: str, seconds: float) -> str:
        self.note(tag)
        await promissory.sleep(seconds)
        return f"{tag} at last"

    @promissory.handler
    async def count_with_effect(self, tag: str) -> str:
        did = await promissory.run(slow_effect, f"{tag}.c", name=f"{tag}.c")
        return f"{self.note(tag)}, {did}"

    @promissory.handler
    async def count_at_third_try(self, tag: str) -> str:
        self.note(tag)
        attempted[tag] += 1
        if attempted[tag] < 3:
            raise ValueError("not yet")
        return f"{tag} at the third try"

    @promissory.handler
    async def refuse(self, tag: str) -> None:
        raise TerminalError(f"refused {self.note(tag)}", code=418)

    @promissory.handler
    async def wait(self, tag: str) -> str:
        self.note(tag)
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.handler
    async def forward(self, tag: str, names: list[str]) -> list[str]:
        own = self.note(f"{tag}.{len(names)}")
        return [own, *(await promissory.worker(Callee, names[0]).forward(tag, names[1:]) if names else ())]

    @promissory.handler
    async def call_back(self, tag: str, worker: str) -> str:
        try:
            await promissory.invoke_and_await(worker, "plain", tag)
        except promissory.CallCycleError as error:
            return f"{self.note(tag)} {error.code}"
        return "never"

    @promissory.query
    def counted(self) -> dict[str, int]:
        return self.counts


class Passing(promissory.Worker, ephemeral=True):
    """Lives for one invocation."""

    @promissory.handler
    async def pass_on(self, tag: str) -> str:
        did = await promissory.run(effect, f"{tag}.e", name=f"{tag}.e")
        return f"{did}, {await promissory.worker(Callee, 'z').count(tag)}"


class Caller(promissory.Worker, stub=True):
    """The handlers that call; `Subject` is one."""

    def note(self, text: str) -> str:
        """Add to the trace."""
        raise NotImplementedError

    @promissory.handler
    async def called(self, tag: str) -> str:
        return self.note(await promissory.worker(Callee, "x").count_with_effect(tag))

    @promissory.handler
    async def fanned(self, tag: str) -> list[str]:
        calls = [promissory.worker(Callee, "xyz"[n % 3]).count(f"{tag}.{n}") for n in range(5)]
        slow = promissory.worker(Callee, "y").count_slowly(f"{tag}.5", 3)
        done = await promissory.gather(slow, *calls)
        self.note(tag)
        return list(done)

    @promissory.handler
    async def chained(self, tag: str) -> list[str]:
        return await promissory.worker(Callee, "x").forward(tag, ["y", "z"])

    @promissory.handler
    async def sent(self, tag: str) -> str:
        first = await promissory.send(promissory.worker(Callee, "x").count_with_effect, f"{tag}.0")
        second, third = await promissory.gather(
            promissory.invoke("worker://callee/y", "count", f"{tag}.1"),
            promissory.send(promissory.worker(Passing).pass_on, f"{tag}.2"),
        )
        return self.note(f"{tag} {len({first, second, third})} {first[:5]}")

    @promissory.handler
    async def scheduled(self, tag: str) -> str:
        await promissory.send_after(20, promissory.worker(Callee, "x").count, f"{tag}.0")
        at = promissory.now() + timedelta(seconds=100)
        await promissory.schedule(at, "worker://callee/late", "count", f"{tag}.1")
        promissory.send_after(0, promissory.worker(Callee, "x").count, f"{tag}.2")
        return self.note(tag)

    @promissory.handler
    async def asked(self, tag: str) -> list[dict[str, int]]:
        own = promissory.worker(Callee, f"own-{tag}")
        before = await promissory.ask(own.counted)
        counting = own.count(tag)
        after = await promissory.gather(promissory.ask(promissory.worker(Callee, f"nobody-{tag}").counted), counting)
        return [before, after[0], await promissory.ask(own.counted)]

    @promissory.handler
    async def refused(self, tag: str) -> str:
        try:
            await promissory.worker(Callee, "x").refuse(f"{tag}.0")
        except TerminalError as error:
            self.note(f"{error} {error.code}")
        await promissory.gather(promissory.sleep(90_000), promissory.worker(Callee, "y").refuse(f"{tag}.1"))
        return "never"

    @promissory.handler
    async def unknown(self, tag: str) -> list[str]:
        calls = [
            ("worker://callee/x", "nothing", tag),
            ("worker://nobody/x", "count", tag),
            ("worker://callee/x", "count", 3),
            ("worker://callee/x", "counted"),
        ]
        failed = []
        for uri, function, *args in calls:
            try:
                await promissory.invoke_and_await(uri, function, *args)
            except promissory.CallError as error:
                failed.append(self.note(f"{error.code} {error}"))
        return failed

    @promissory.handler
    async def given_up(self, tag: str) -> list[str]:
        slow = [promissory.worker(Callee, f"slow-{n}-{tag}").count_slowly(f"{tag}.{n}", 80_000) for n in range(2)]
        position, _ = await promissory.race(slow[0], promissory.sleep(0.5))
        try:
            await promissory.wait_for(slow[1], 7)
        except promissory.TimedOut:
            self.note(f"{tag} timed out")
        return [str(position), await promissory.wait_for(promissory.worker(Callee, "x").count(f"{tag}.2"), 90_000)]

    @promissory.handler
    async def unawaited(self, tag: str) -> str:
        promissory.worker(Callee, "x").count_with_effect(f"{tag}.0")
        promissory.worker(Callee, "x").count(f"{tag}.1")
        promissory.ask(promissory.worker(Callee, "x").counted)
        return self.note(tag)

    @promissory.handler
    async def passed_on(self, tag: str) -> list[str]:
        one, two = await promissory.gather(*(promissory.worker(Passing).pass_on(f"{tag}.{n}") for n in range(2)))
        return [self.note(one), two]

    @promissory.handler
    async def answered(self, tag: str) -> str:
        return self.note(await promissory.worker(Callee, f"own-{tag}").wait(tag))

    @promissory.handler
    async def tried_again(self, tag: str) -> str:
        return await promissory.worker(Callee, "y").count_at_third_try(tag)

    @promissory.handler
    async def called_back(self, tag: str) -> str:
        me = promissory.current_worker()
        uri = f"worker://subject/{me.worker_name}"
        first = await promissory.worker(Callee, f"own-{tag}").call_back(tag, uri)
        try:
            await promissory.invoke_and_await(uri, "plain", tag)
        except promissory.CallCycleError as error:
            return f"{first} {error.code}"
        return "never"

    @promissory.handler
    async def called_off(self, tag: str) -> str:
        """Is cancelled by its client, whenever that comes round to it."""
        try:
            slow = promissory.worker(Callee, f"own-{tag}").count_slowly(f"{tag}.0", 90_000)
            await promissory.gather(slow, promissory.worker(Callee, f"own-{tag}").forward(f"{tag}.1", []))
        except promissory.Cancelled:
            await promissory.worker(Callee, f"late-{tag}").count(f"{tag}.2")
            raise
        return "never"


COUNTED: dict[str, tuple[str, ...]] = {
    "called": ("",),
    "fanned": (".0", ".1", ".2", ".3", ".4", ".5"),
    "chained": (".0", ".1", ".2"),
    "sent": (".0", ".1", ".2"),
    "scheduled": (".0", ".1", ".2"),
    "asked": ("",),
    "refused": (".0", ".1"),
    "unknown": (),
    "given_up": (".0", ".1", ".2"),
    "unawaited": (".0", ".1"),
    "passed_on": (".0", ".1"),
    "answered": ("",),
    "tried_again": ("",),
    "called_back": ("",),
    "called_off": (),
}
"""For each shape the calls that take effect, each exactly once, by what follows the shape's own tag."""

CALLED_OFF = "called_off"
"""How far this one comes is a matter of chance; none of its calls takes effect twice."""


def effects_of_calls(tags: dict[str, str]) -> Counter[str]:
    """Return how often each tag must have been counted, given the tags of invocations and their shapes."""
    return Counter({f"{tag}{suffix}": 1 for tag, shape in tags.items() for suffix in COUNTED.get(shape, ())})
