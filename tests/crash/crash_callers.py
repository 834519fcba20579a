"""The workers under load that call each other; `serve` imports this from its directory."""

from __future__ import annotations

from datetime import timedelta

from attrs import field
from crash_workers import append_line, append_line_async

import workers


class Tally(workers.Worker):
    """Counts how often each tag got through."""

    seen: dict[str, int] = field(factory=dict)

    def note(self, tag: str) -> str:
        self.seen[tag] = self.seen.get(tag, 0) + 1
        return tag

    @workers.handler
    async def count(self, tag: str) -> str:
        return self.note(tag)

    @workers.handler
    async def count_with_effect(self, tag: str) -> str:
        await workers.run(append_line, f"{tag} counted", name="counted")
        return self.note(tag)

    @workers.handler
    async def count_late(self, tag: str) -> str:
        self.note(tag)
        await workers.sleep(0.002)
        return tag

    @workers.handler
    async def nap(self, tag: str) -> None:
        self.note(tag)
        await workers.sleep(36_000)

    @workers.handler
    async def forward(self, tag: str, names: list[str]) -> list[str]:
        own = self.note(f"{tag}.{len(names)}")
        if not names:
            return [own]
        return [own, *await workers.worker(Tally, names[0]).forward(tag, names[1:])]

    @workers.query
    def keys(self) -> dict[str, int]:
        return self.seen


class Courier(workers.Worker, ephemeral=True):
    """Lives for one delivery."""

    @workers.handler
    async def deliver(self, tag: str, name: str) -> str:
        await workers.run(append_line_async, f"{tag} delivered", name="delivered")
        return await workers.worker(Tally, name).count(tag)


class Caller(workers.Worker):
    """Has tallies count tags that begin with its client's key, each way that there is."""

    seen: dict[str, int] = field(factory=dict)

    def note(self, key: str) -> None:
        self.seen[key] = self.seen.get(key, 0) + 1

    @workers.handler
    async def fan_out(self, key: str, names: list[str]) -> list[str]:
        self.note(key)
        late = workers.worker(Tally, names[0]).count_late(f"{key}.0")
        effect = workers.worker(Tally, names[1]).count_with_effect(f"{key}.1")
        return list(await workers.gather(late, effect, workers.worker(Tally, names[2]).count(f"{key}.2")))

    @workers.handler
    async def chain(self, key: str, names: list[str]) -> list[str]:
        self.note(key)
        return await workers.worker(Tally, names[0]).forward(key, names[1:])

    @workers.handler
    async def send_on(self, key: str, names: list[str]) -> list[str]:
        self.note(key)
        at = workers.now() + timedelta(seconds=0.03)
        sent = (
            workers.send(workers.worker(Tally, names[0]).count, f"{key}.0"),
            workers.send_after(0.02, workers.worker(Tally, names[1]).count_with_effect, f"{key}.1"),
            workers.schedule(at, f"worker://tally/{names[2]}", "count", f"{key}.2"),
        )
        return list(await workers.gather(*sent))

    @workers.handler
    async def give_up(self, key: str, names: list[str]) -> int:
        self.note(key)
        late = workers.worker(Tally, names[0]).count_late(f"{key}.0")
        workers.worker(Tally, names[1]).count_with_effect(f"{key}.1")
        position, _ = await workers.race(late, workers.sleep(0.002))
        workers.worker(Tally, names[2]).count(f"{key}.2")
        return position

    @workers.handler
    async def pass_on(self, key: str, names: list[str]) -> list[str]:
        self.note(key)
        couriers = [workers.worker(Courier).deliver(f"{key}.{n}", name) for n, name in enumerate(names)]
        return list(await workers.gather(*couriers))

    @workers.handler
    async def linger(self, key: str, names: list[str]) -> None:
        """Go on for hours, unless cancelled."""
        try:
            await workers.worker(Tally, f"own-{key}").nap(f"{key}.0")
        except workers.Cancelled:
            await workers.worker(Tally, names[1]).count(f"{key}.1")
            raise

    @workers.handler
    async def meet(self, key: str, names: list[str]) -> str:
        """Call one that may be calling this one at the same time."""
        self.note(key)
        try:
            await workers.worker(Caller, names[0]).greet(key)
        except workers.CallCycleError:
            return "cycle"
        return "met"

    @workers.handler
    async def greet(self, key: str) -> None:
        self.note(f"{key} greeted")

    @workers.query
    def keys(self) -> dict[str, int]:
        return self.seen
