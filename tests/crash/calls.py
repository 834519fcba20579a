"""The load's calls among workers, and how often each must have taken effect: once."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from promissory.executor.client import Client

TALLIES = 6
CALLERS = 5
MEETERS = 3
LINGER = "linger"
"""It never ends by itself: its client cancels it."""
COUNTING = ("fan_out", "chain", "send_on", "give_up", "pass_on")
"""Each has three tags counted, by one tally each."""
BUSY_STATUSES = ("running", "suspended", "retrying", "paused", "interrupted")


def random_call(rng: random.Random, key: str) -> tuple[str, str, tuple[Any, ...]]:
    """Return a worker, a handler of it that calls others, and its arguments."""
    function = rng.choices([*COUNTING, "meet", LINGER], weights=(4, 4, 4, 3, 2, 4, 2))[0]
    if function == "meet":
        here, there = rng.sample(range(MEETERS), 2)
        return f"caller/m{here}", function, (key, [f"m{there}"])
    worker = f"caller/{key}" if function == LINGER else f"caller/c{rng.randrange(CALLERS)}"
    # In one order everywhere: whoever waits for a tally waits for none before it.
    names = [f"t{number}" for number in sorted(rng.sample(range(TALLIES), 3))]
    return worker, function, (key, names)


def tags_of(function: str, key: str) -> set[str]:
    """Return the tags that an ended invocation has had counted, or will without anybody's help."""
    return {f"{key}.{n}" for n in range(3)} if function in COUNTING else set()


async def count_tags(client: Client, done: Iterable[tuple[str, str]], cancelled: Iterable[str]) -> None:
    """Assert that every call of the invocations that are done took effect, and none twice.

    Args:
      client: of the executor.
      done: function and key of each.
      cancelled: the keys of those of which a part took effect.
    """
    counted: dict[str, int] = {}
    for number in range(TALLIES):
        for tag, count in (await client.query(f"worker://tally/t{number}", "keys")).items():
            assert tag not in counted, f"{tag} was counted by two"
            counted[tag] = count
    assert set(counted.values()) <= {1}, {tag: n for tag, n in counted.items() if n != 1}
    missing = set().union(*(tags_of(*one) for one in done)) - set(counted)
    assert not missing
    for key in cancelled:
        naps = await client.query(f"worker://tally/own-{key}", "keys")
        assert naps in ({}, {f"{key}.0": 1})


async def assert_nobody_waits(client: Client) -> None:
    """Assert that no worker has anything left to do or to wait for."""
    for status in BUSY_STATUSES:
        async with client.stream("worker.list", status=status) as rows:
            assert [row["worker"] async for row in rows] == []
