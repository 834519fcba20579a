"""The client of row 6, in a process of its own: suspends very many workers, or completes some, one at a time."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import trio
import trio.testing

from promissory.executor.client import Client, connect
from promissory.oplog.ids import InvocationId, OplogIndex, WorkerId, component_id

IN_FLIGHT = 64
POLL_SECONDS = 0.05

_APPROVAL = component_id("approval")
_INVOKED, _PROMISE = OplogIndex(2), 3
"""The places of the invocation and of the promise in the oplog of a fresh worker."""


async def suspend(client: Client, numbers: range) -> None:
    """Invoke so many fresh workers; return when each waits for its promise and its side effect is recorded."""
    rest = iter(numbers)

    async def one_after_another() -> None:
        for number in rest:
            order = {"order_id": f"order-{number}", "item": "book"}
            await client.send(f"worker://approval/order-{number}", "submit", order)

    async with trio.open_nursery() as nursery:
        for _ in range(IN_FLIGHT):
            nursery.start_soon(one_after_another)
    while True:
        metrics = await client.request("metrics")
        performed_count = metrics["counters"]["effects_performed"]
        if performed_count >= len(numbers) and not metrics["gauges"]["effects_in_flight"]:
            return
        await trio.sleep(POLL_SECONDS)


async def complete(client: Client, numbers: range) -> float:
    """Complete promises one at a time; return the p50 in seconds from the request to the invocation's result."""
    took: list[float] = []
    for number in numbers:
        name = f"order-{number}"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_expect, client, name)
            await trio.testing.wait_all_tasks_blocked()
            await client.request("metrics")  # answered after the request to attach has been taken
            start = time.perf_counter()
            nursery.start_soon(client.complete_promise, f"approval/{name}/{_PROMISE}", b"yes")
        took.append(time.perf_counter() - start)
    return statistics.median(took)


async def _expect(client: Client, name: str) -> None:
    result = await client.attach(InvocationId(WorkerId(_APPROVAL, name), _INVOKED))
    if result != f"{name}: yes":
        raise RuntimeError(f"{name}: {result!r}")


def main() -> int:
    what, socket, first, count = sys.argv[1:]
    numbers = range(int(first), int(first) + int(count))

    async def run() -> float | None:
        async with connect(Path(socket)) as client:
            if what == "complete":
                return await complete(client, numbers)
            await suspend(client, numbers)
            return None

    print(trio.run(run) or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
