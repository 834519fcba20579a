"""The client, in a process of its own on one connection: performs workloads and prints what they took, as JSON."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

import msgspec
import trio

from promissory.executor.client import Client, connect

IN_FLIGHT = 64
WORKERS = 1_000
STEPS = 10
SECONDS = 3.0
ALONE_COUNT = 400
CHAIN = 10
CHAINS_COUNT = 60
FAN = 100
FANS_IN_FLIGHT = 4


class Window(msgspec.Struct, frozen=True):
    """What one workload did, and when."""

    count: int
    """Invocations, flows or steps."""
    began: float
    """By `time.monotonic`, which all processes share."""
    ended: float
    p50_seconds: float = 0.0
    """Of one, where they are done one at a time."""

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.count / (self.ended - self.began)


async def keep_in_flight(
    act: Callable[[int], Awaitable[None]], *, seconds: float = SECONDS, in_flight: int = IN_FLIGHT
) -> Window:
    """Keep so many acts in flight for so long; each gets its number."""
    numbers = count()
    done = 0
    began = time.monotonic()
    deadline = began + seconds

    async def one_after_another() -> None:
        nonlocal done
        while time.monotonic() < deadline:
            await act(next(numbers))
            done += 1

    async with trio.open_nursery() as nursery:
        for _ in range(in_flight):
            nursery.start_soon(one_after_another)
    return Window(done, began, time.monotonic())


async def create(client: Client) -> Window:
    """Create the workers that the other workloads invoke."""
    uris = iter([f"worker://{component}/w-{n}" for component in ("counter", "stepper") for n in range(WORKERS)])
    began = time.monotonic()

    async def some() -> None:
        for uri in uris:
            await client.request("worker.create", worker=uri.removeprefix("worker://"))

    async with trio.open_nursery() as nursery:
        for _ in range(IN_FLIGHT):
            nursery.start_soon(some)
    return Window(2 * WORKERS, began, time.monotonic())


async def invoke(client: Client) -> Window:
    """Invoke a thousand workers in turn, many in flight."""
    uris = [f"worker://counter/w-{n}" for n in range(WORKERS)]

    async def act(number: int) -> None:
        await client.invoke(uris[number % WORKERS], "add", 1)

    await keep_in_flight(act, seconds=SECONDS / 6)
    return await keep_in_flight(act)


async def alone(client: Client) -> Window:
    """Invoke one worker, one invocation at a time."""

    async def act() -> None:
        await client.invoke("worker://counter/w-0", "add", 1)

    return await one_at_a_time(act, ALONE_COUNT)


async def one_at_a_time(act: Callable[[], Awaitable[None]], times: int) -> Window:
    """Perform an act so many times after a few to warm up, and take the time of each."""
    for _ in range(times // 10):
        await act()
    took: list[float] = []
    began = time.monotonic()
    for _ in range(times):
        start = time.perf_counter()
        await act()
        took.append(time.perf_counter() - start)
    return Window(times, began, time.monotonic(), statistics.median(took))


async def call(client: Client) -> Window:
    """Invoke a thousand workers that each call another one and wait, many in flight."""

    async def act(number: int) -> None:
        await client.invoke(f"worker://clerk/w-{number % WORKERS}", "call", f"w-{number % WORKERS}")

    await keep_in_flight(act, seconds=SECONDS / 3)
    return await keep_in_flight(act)


async def chain(client: Client) -> Window:
    """Invoke a chain of ten workers, one chain at a time."""
    names = [f"chain-{n}" for n in range(1, CHAIN)]

    async def act() -> None:
        if await client.invoke("worker://clerk/chain-0", "chain", names) != CHAIN:
            raise RuntimeError("the chain is broken")

    return await one_at_a_time(act, CHAINS_COUNT)


async def ten_alone(client: Client) -> Window:
    """Invoke ten workers one after another, one invocation at a time."""

    async def act() -> None:
        for n in range(CHAIN):
            await client.invoke(f"worker://clerk/chain-{n}", "chain", [])

    return await one_at_a_time(act, CHAINS_COUNT)


async def fan(client: Client) -> Window:
    """Invoke workers that call a hundred others at once."""

    async def act(number: int) -> None:
        names = [f"w-{(number * FAN + n) % WORKERS}" for n in range(FAN)]
        if await client.invoke(f"worker://clerk/fan-{number % 64}", "fan", names) != FAN:
            raise RuntimeError("a result was lost")

    await keep_in_flight(act, seconds=SECONDS / 6, in_flight=FANS_IN_FLIGHT)
    window = await keep_in_flight(act, in_flight=FANS_IN_FLIGHT)
    return Window(window.count * FAN, window.began, window.ended)


async def promise(client: Client) -> Window:
    """Invoke fresh workers that wait for a promise, complete each promise once the invocation is durable."""
    async with trio.open_nursery() as nursery:

        async def complete(name: str) -> None:
            if not await client.complete_promise(f"asker/{name}/3", b"yes"):
                raise RuntimeError(f"{name}: the promise was settled before")

        async def act(number: int) -> None:
            name = f"w-{number}"
            answer = await client.invoke(
                f"worker://asker/{name}", "ask", announce=lambda _: nursery.start_soon(complete, name)
            )
            if answer != "yes":
                raise RuntimeError(f"{name}: {answer!r}")

        return await keep_in_flight(act)


async def _steps(client: Client, function: str) -> Window:
    uris = [f"worker://stepper/w-{n}" for n in range(WORKERS)]

    async def act(number: int) -> None:
        if await client.invoke(uris[number % WORKERS], function, STEPS) != STEPS:
            raise RuntimeError("a step was lost")

    window = await keep_in_flight(act)
    return Window(window.count * STEPS, window.began, window.ended)


async def steps_async(client: Client) -> Window:
    """Invoke handlers of ten async side effects."""
    return await _steps(client, "steps_async")


async def steps_sync(client: Client) -> Window:
    """Invoke handlers of ten sync side effects."""
    return await _steps(client, "steps_sync")


WORKLOADS: dict[str, Callable[[Client], Awaitable[Window]]] = {
    work.__name__: work
    for work in (create, alone, invoke, promise, steps_async, steps_sync, call, chain, ten_alone, fan)
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.load")
    parser.add_argument("socket", type=Path)
    parser.add_argument("workloads", nargs="+", choices=WORKLOADS)
    options = parser.parse_args()

    async def run() -> dict[str, Window]:
        async with connect(options.socket) as client:
            return {name: await WORKLOADS[name](client) for name in options.workloads}

    sys.stdout.buffer.write(msgspec.json.encode(trio.run(run)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
