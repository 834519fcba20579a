"""The workers under load that call each other; `serve` imports this from its directory."""

from __future__ import annotations

from datetime import timedelta

from attrs import field
from crash_workers import append_line, append_line_async

import promissory


class Tally(promissory.Worker):
    """Counts how often each tag got through."""

    seen: dict[str, int] = field(factory=dict)

    def note(self, tag: str) -> str:
        self.seen[tag] = self.seen.get(tag, 0) + 1
        return tag

    @promissory.handler
    async def count(self, tag: str) -> str:
        return self.note(tag)

    @promissory.handler
    async def count_with_effect(self, tag: str) -> str:
        await promissory.run(append_line, f"{tag} counted", name="counted")
        return self.note(tag)

    @promissory.handler
    async def count_late(self, tag: str) -> str:
        self.note(tag)
        await promissory.sleep(0.002)
        return tag

    @promissory.handler
    async def nap(self, tag: str) -> None:
        self.note(tag)
        await promissory.sleep(36_000)

    @promissory.handler
    async def forward(self, tag: str, names: list[str]) -> list[str]:
        own = self.note(f"{tag}.{len(names)}")
        if not names:
            return [own]
        return [own, *await promissory.worker(Tally, names[0]).forward(tag, names[1:])]

    @promissory.query
    def keys(self) -> dict[str, int]:
        return self.seen


class Courier(promissory.Worker, ephemeral=True):
    """Lives for one delivery."""

    @promissory.handler
    async def deliver(self, tag: str, name: str) -> str:
        await promissory.run(append_line_async, f"{tag} delivered", name="delivered")
        return await promissory.worker(Tally, name).count(tag)


class Caller(promissory.Worker):
    """Has tallies count tags that begin with its client's key, each way that there is."""

    seen: dict[str, int] = field(factory=dict)

    def note(self, key: str) -> None:
        self.seen[key] = self.seen.get(key, 0) + 1

    @promissory.handler
    async def fan_out(self, key: str, names: list[str]) -> list[str]:
        self.note(key)
        late = promissory.worker(Tally, names[0]).count_late(f"{key}.0")
        effect = promissory.worker(Tally, names[1]).count_with_effect(f"{key}.1")
        return list(await promissory.gather(late, effect, promissory.worker(Tally, names[2]).count(f"{key}.2")))

    @promissory.handler
    async def chain(self, key: str, names: list[str]) -> list[str]:
        self.note(key)
        return await promissory.worker(Tally, names[0]).forward(key, names[1:])

    @promissory.handler
    async def send_on(self, key: str, names: list[str]) -> list[str]:
        self.note(key)
        at = promissory.now() + timedelta(seconds=0.03)
        sent = (
            promissory.send(promissory.worker(Tally, names[0]).count, f"{key}.0"),
            promissory.send_after(0.02, promissory.worker(Tally, names[1]).count_with_effect, f"{key}.1"),
            promissory.schedule(at, f"worker://tally/{names[2]}", "count", f"{key}.2"),
        )
        return list(await promissory.gather(*sent))

    @promissory.handler
    async def give_up(self, key: str, names: list[str]) -> int:
        self.note(key)
        late = promissory.worker(Tally, names[0]).count_late(f"{key}.0")
        promissory.worker(Tally, names[1]).count_with_effect(f"{key}.1")
        position, _ = await promissory.race(late, promissory.sleep(0.002))
        promissory.worker(Tally, names[2]).count(f"{key}.2")
        return position

    @promissory.handler
    async def pass_on(self, key: str, names: list[str]) -> list[str]:
        self.note(key)
        couriers = [promissory.worker(Courier).deliver(f"{key}.{n}", name) for n, name in enumerate(names)]
        return list(await promissory.gather(*couriers))

    @promissory.handler
    async def linger(self, key: str, names: list[str]) -> None:
        """Go on for hours, unless cancelled."""
        try:
            await promissory.worker(Tally, f"own-{key}").nap(f"{key}.0")
        except promissory.Cancelled:
            await promissory.worker(Tally, names[1]).count(f"{key}.1")
            raise

    @promissory.handler
    async def meet(self, key: str, names: list[str]) -> str:
        """Call one that may be calling this one at the same time."""
        self.note(key)
        try:
            await promissory.worker(Caller, names[0]).greet(key)
        except promissory.CallCycleError:
            return "cycle"
        return "met"

    @promissory.handler
    async def greet(self, key: str) -> None:
        self.note(f"{key} greeted")

    @promissory.query
    def keys(self) -> dict[str, int]:
        return self.seen
