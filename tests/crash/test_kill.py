"""A real daemon under load, killed at random moments: what anybody was told is there, and nothing happened twice."""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import trio

from promissory.executor.cli.offline import verify
from promissory.executor.client import Client, connect
from promissory.oplog.codec import decode_entry
from promissory.oplog.entries import Ended, Invoked, Run, Started
from promissory.oplog.environment import Environment
from promissory.oplog.tables import PAIR, Table
from tests.crash.calls import LINGER, assert_nobody_waits, count_tags
from tests.crash.load import (
    COUNTERS,
    Call,
    Ledger,
    check_promise,
    find_promise,
    load_until_it_dies,
    perform,
    send,
    settle,
)
from tests.daemons import Daemon, Daemons

ROUNDS = 20
HERE = Path(__file__).resolve().parent
RECHECKED_MAX = 300
"""How many of the results of all rounds are asked for again after each restart; at the end it is all of them."""
CANCELLED_RECHECKED_MAX = 10
TOGETHER_MAX = 64
BAD_EVENTS = ("operation_failed", "connection_failed", "malformed_frame", "store_panicked", "commit_failed")


class Generation:
    """The rounds on one data directory."""

    def __init__(self, directory: Path, daemons: Daemons, seed: int) -> None:
        self.rng = random.Random(seed)
        self.ledger = Ledger()
        self.data = directory / "data"
        self.effects = directory / "effects.txt"
        self.effects.touch()
        self.performed: Counter[str] = Counter()
        self.ended: set[str] = set()
        self._daemons = daemons
        self.daemon: Daemon
        self.resumed_count = 0
        self.careful_count = 0
        self._arrived: set[str] = set()
        """The keys whose sent invocations have all been seen to end."""

    def start(self) -> None:
        """Start the daemon; at times killed while it starts, or while it recovers."""
        self.daemon = self._start()
        if self.rng.random() < 0.25:
            self._die_early()
            self.check_the_dead()
            self.daemon = self._start()
        self.daemon.serving()

    def _start(self) -> Daemon:
        return self._daemons.start(
            self.data, "crash_workers", "crash_callers", cwd=HERE, environment={"CRASH_EFFECTS": str(self.effects)}
        )

    def _die_early(self) -> None:
        longest_seconds = 0.5
        if self.rng.random() < 0.7:
            self.daemon.serving()
            longest_seconds = 0.1
        trio.run(trio.sleep, self.rng.random() * longest_seconds)
        self.daemon.kill()

    async def load(self) -> None:
        """Load the daemon until it ends: mostly by a crash, at times in order, so that not all starts are careful."""
        daemon = self.daemon
        number = signal.SIGKILL if self.rng.random() < 0.8 else signal.SIGTERM
        await load_until_it_dies(
            daemon.socket, self.ledger, self.rng, lambda: daemon.signal(number), lambda: daemon.wait()
        )
        if number == signal.SIGTERM:
            assert daemon.process.returncode == 0
            assert daemon.events("stopped")

    def check_the_dead(self) -> None:
        """Assert what must be so of the record and of the effects while no daemon runs."""
        self.careful_count += sum(line["one_at_a_time"] for line in self.daemon.events("unclean_end"))
        bad = [line for event in BAD_EVENTS for line in self.daemon.events(event)]
        assert not bad, bad
        assert not [text for text in self.daemon.texts() if text], self.daemon.texts()
        performed = Counter(self.effects.read_text().splitlines())
        for line, count in (performed - self.performed).items():
            assert count == 1, f"{line!r} was performed {count} times in one life of the daemon"
            assert line not in self.ended, f"{line!r} was performed again although its Ended was durable"
        self.performed = performed
        if (self.data / "data.mdb").exists():
            assert not list(verify(self.data))
            self.ended = ended_runs(self.data)
            assert self.ended <= set(performed)

    async def check_the_living(self, *, everything: bool) -> None:
        """Assert what must be so after a restart, and finish what was in flight when the daemon ended."""
        async with connect(self.daemon.socket) as client:
            await self._resume_innocents(client)
            await self._ask_again(client, everything)
            await self._open_gates(client, everything)
            await self._count_keys(client)
            await self._count_calls(client, everything)
            if everything:
                await assert_nobody_waits(client)

    async def _resume_innocents(self, client: Client) -> None:
        """Whoever was being activated when the process ended may be paused, and nobody else."""
        key = self.ledger.new_key()
        # What is durable after this holds what the start itself appended.
        await send(client, self.ledger, Call(f"gate/{key}", "wait", (key,), key))
        async with client.stream("worker.list", status="paused") as paused:
            rows = [row async for row in paused]
        for row in rows:
            assert row["last_error"].startswith("ProcessEnded: "), row
        self.resumed_count += len(rows)
        async with client.stream("worker.list", status="interrupted") as interrupted:
            for worker in [row["worker"] async for row in interrupted]:
                await client.request("worker.resume", worker=worker)
        assert await client.request("worker.resume", all=True) == {"resumed": len(rows)}

    async def _ask_again(self, client: Client, everything: bool) -> None:
        """Every acknowledged result is the same; what was not acknowledged gets through now, once."""
        ledger = self.ledger
        known = list(ledger.results)
        if not everything:
            known = self.rng.sample(known, min(len(known), RECHECKED_MAX))
        lost = [
            key
            for key, call in ledger.asked.items()
            if key not in ledger.results and call.function not in ("wait", "follow")
        ]
        await together([lambda key=key: perform(client, ledger, ledger.asked[key]) for key in known + lost])
        with_id = list(ledger.invocations)
        sample = with_id if everything else self.rng.sample(with_id, min(len(with_id), RECHECKED_MAX))

        async def show(key: str) -> None:
            shown = await client.request("invocation.show", invocation=ledger.invocations[key])
            call = ledger.asked[key]
            assert (shown["key"], shown["worker"], shown["function"]) == (key, call.worker, call.function)

        await together([lambda key=key: show(key) for key in sample])

    async def _open_gates(self, client: Client, everything: bool) -> None:
        """Complete promises: whoever waits for them, of whichever life of the daemon, wakes with their value."""
        ledger, rng = self.ledger, self.rng
        await together([lambda promise=promise: check_promise(client, ledger, promise) for promise in ledger.settled])
        gates = [c for c in ledger.asked.values() if c.function == "wait" and c.key not in ledger.results]
        alone = [c for c in gates if c.worker == f"gate/{c.key}" and (everything or rng.random() < 0.5)]
        await together([lambda call=call: self._open(client, call) for call in alone])
        if everything:
            # These queue at shared gates: each begins when the one before it is through.
            await together([lambda call=call: self._open(client, call) for call in gates if call not in alone])
        for call in [c for c in ledger.asked.values() if c.function == "follow" and c.key not in ledger.results]:
            promise = call.args[1]
            if promise in ledger.known_settled:
                result = await perform(client, ledger, call)
                assert result.encode() == await check_promise(client, ledger, promise)

    async def _open(self, client: Client, call: Any) -> None:
        ledger = self.ledger
        await client.send(call.uri, call.function, *call.args, key=call.key)
        promise = await find_promise(client, ledger, call, asks_max=100_000)
        assert promise is not None
        if promise not in ledger.known_settled:
            await settle(client, ledger, promise, b"opened at last")
        result = await perform(client, ledger, call)
        assert result.encode() == await check_promise(client, ledger, promise)

    async def _count_keys(self, client: Client) -> None:
        """No key has been executed twice, and the sums are those of the keys."""
        ledger = self.ledger
        by_worker: dict[str, set[str]] = {}
        for key in ledger.results:
            if ledger.asked[key].function != LINGER:
                by_worker.setdefault(ledger.asked[key].worker, set()).add(key)

        async def count(worker: str, keys: set[str]) -> None:
            seen = await client.query(f"worker://{worker}", "keys")
            assert keys <= set(seen)
            assert set(seen.values()) == {1}, {key: n for key, n in seen.items() if n != 1}

        await together([lambda w=worker, k=keys: count(w, k) for worker, keys in by_worker.items()])
        for number in range(COUNTERS):
            worker = f"counter/c{number}"
            calls = [c for c in ledger.asked.values() if c.worker == worker]
            assert all(call.key in ledger.results for call in calls)
            assert await client.query(f"worker://{worker}", "sum") == sum(call.args[1] for call in calls)

    async def _count_calls(self, client: Client, everything: bool) -> None:
        """Every call of a worker took effect once; what was only sent does so before its own result is there."""
        ledger = self.ledger
        sent = [key for key in ledger.results if ledger.asked[key].function == "send_on" and key not in self._arrived]
        await together([lambda key=key: self._arrive(client, key) for key in sent])
        done = [(ledger.asked[key].function, key) for key in ledger.results]
        cancelled = [key for function, key in done if function == LINGER]
        if not everything:
            cancelled = self.rng.sample(cancelled, min(len(cancelled), CANCELLED_RECHECKED_MAX))
        await count_tags(client, done, cancelled)

    async def _arrive(self, client: Client, key: str) -> None:
        tags = [await client.attach(invocation) for invocation in self.ledger.results[key]]
        assert tags == [f"{key}.{n}" for n in range(3)]
        self._arrived.add(key)


def ended_runs(data: Path) -> set[str]:
    """Return "KEY NAME" of every side effect whose `Ended` is durable."""
    runs: dict[tuple[int, int], str] = {}
    keys: dict[tuple[int, int], str] = {}
    ended: set[str] = set()
    with Environment(data, readonly=True) as environment:
        for key, record in environment.scan(Table.OPLOG):
            ordinal, index = PAIR.unpack(key)
            entry = decode_entry(key, record)
            if isinstance(entry, Invoked):
                # A call has no key: what it is given first says whose it is.
                keys[ordinal, index] = entry.key or json.loads(entry.params)[0]
            elif isinstance(entry, Started) and isinstance(entry.request, Run):
                runs[ordinal, index] = f"{keys[ordinal, entry.invocation]} {entry.request.name}"
            elif isinstance(entry, Ended) and (ordinal, entry.start) in runs:
                name = runs[ordinal, entry.start]
                assert name not in ended, f"{name} has ended twice"
                ended.add(name)
    return ended


async def together(jobs: list[Any]) -> None:
    """Do many things at once, not all of them."""
    todo = iter(jobs)

    async def work() -> None:
        for job in todo:
            await job()

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for _ in range(min(TOGETHER_MAX, len(jobs))):
                nursery.start_soon(work)


def test_kill_at_random_moments(tmp_path: Path, daemons: Daemons, generation: int, seed: int) -> None:
    """What was acknowledged survives `kill -9` at any moment, and no key is ever executed twice."""
    rounds = Generation(tmp_path, daemons, seed)
    for _ in range(ROUNDS):
        rounds.start()

        async def one_round() -> None:
            await rounds.check_the_living(everything=False)
            await rounds.load()

        trio.run(one_round)
        rounds.check_the_dead()
    rounds.start()
    trio.run(lambda: rounds.check_the_living(everything=True))
    assert rounds.daemon.stop() == 0
    rounds.check_the_dead()
    ledger = rounds.ledger
    assert set(ledger.results) == set(ledger.asked)
    print(
        f"{len(ledger.asked)} invocations, {len(ledger.settled)} promises, {len(rounds.ended)} effects, "
        f"{sum(rounds.performed.values()) - len(rounds.performed)} performed again, "
        f"{rounds.careful_count} careful starts, {rounds.resumed_count} paused"
    )
