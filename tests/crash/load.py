"""The load on a daemon that is about to be killed, and the ledger of what its clients were told."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from promissory.executor.client import Client, Disconnected, connect
from promissory.oplog.errors import NotFound, StoreFailed, TerminalError
from tests.crash.calls import LINGER, TALLIES, random_call

CLIENTS = 32
COUNTERS = 12
SHARED_GATES = 4
ASKS_MAX = 400
"""How often a client looks for a gate's promise before it goes on with something else."""


@dataclass(frozen=True)
class Call:
    """One invocation, as often as it is asked for: always with the same key."""

    worker: str
    function: str
    args: tuple[Any, ...]
    key: str

    @property
    def uri(self) -> str:
        return f"worker://{self.worker}"


@dataclass
class Ledger:
    """What was asked for and what was acknowledged, over all lives of the daemon."""

    asked: dict[str, Call] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    """Acknowledged results by key."""
    invocations: dict[str, str] = field(default_factory=dict)
    """Acknowledged invocation ids by key."""
    promises: dict[str, str] = field(default_factory=dict)
    """The promise of a gate's call, by key."""
    offered: dict[str, set[bytes]] = field(default_factory=dict)
    """Payloads that anybody may have settled a promise with."""
    settled: dict[str, bytes] = field(default_factory=dict)
    """The payload of a promise that a client was told it had settled."""
    known_settled: set[str] = field(default_factory=set)
    """Promises of which a client was told that they are settled, by whomever."""
    acknowledged: int = 0
    serial: int = 0
    goal: int = 0
    at_goal: Callable[[], None] = lambda: None
    """Called once, within the very acknowledgement that reaches `goal`."""

    def new_key(self) -> str:
        self.serial += 1
        return f"k{self.serial}"

    def acknowledge(self) -> None:
        self.acknowledged += 1
        if self.acknowledged == self.goal:
            self.at_goal()

    def note_result(self, call: Call, result: Any) -> None:
        """Take down a result; a second one for a key must be the first again."""
        self.acknowledge()
        before = self.results.setdefault(call.key, result)
        assert before == result, f"{call}: was {before!r}, is {result!r}"

    def note_invocation(self, call: Call, invocation: str) -> None:
        """Take down an invocation's id; a key has one for ever."""
        self.acknowledge()
        before = self.invocations.setdefault(call.key, invocation)
        assert before == invocation, f"{call}: was {before}, is {invocation}"

    def unsettled_gates(self) -> list[str]:
        """Return the keys of gate calls whose promise nobody is known to have settled."""
        return [key for key, promise in self.promises.items() if promise not in self.known_settled]


async def perform(client: Client, ledger: Ledger, call: Call) -> Any:
    """Invoke, or join what was invoked before, and take down what comes back."""
    ledger.asked[call.key] = call
    if call.function == LINGER:
        return await call_off(client, ledger, call)
    result = await client.invoke(
        call.uri,
        call.function,
        *call.args,
        key=call.key,
        announce=lambda invocation: ledger.note_invocation(call, invocation),
    )
    ledger.note_result(call, result)
    return result


async def call_off(client: Client, ledger: Ledger, call: Call) -> Any:
    """Have a handler called and cancelled, and take down how it ended."""
    await send(client, ledger, call)
    await client.cancel(ledger.invocations[call.key])
    try:
        result = await client.attach(ledger.invocations[call.key])
    except TerminalError as error:
        result = f"{error.kind}: {error}"
    ledger.note_result(call, result)
    return result


async def send(client: Client, ledger: Ledger, call: Call, delay: float | None = None) -> None:
    """Have it invoked, now or later, without waiting for the result."""
    ledger.asked[call.key] = call
    invocation = await client.send(call.uri, call.function, *call.args, key=call.key, delay=delay)
    ledger.note_invocation(call, invocation)


async def find_promise(client: Client, ledger: Ledger, call: Call, asks_max: int = ASKS_MAX) -> str | None:
    """Ask a gate for the promise of a call; None if it has not begun."""
    for _ in range(asks_max):
        promise = await client.query(call.uri, "promise_of", call.key)
        if promise is not None:
            ledger.acknowledge()
            assert ledger.promises.setdefault(call.key, promise) == promise
            return str(promise)
    return None


async def settle(client: Client, ledger: Ledger, promise: str, payload: bytes) -> None:
    """Complete a promise and take down who did."""
    ledger.offered.setdefault(promise, set()).add(payload)
    if await client.complete_promise(promise, payload):
        assert ledger.settled.setdefault(promise, payload) == payload, f"{promise} was settled twice"
    ledger.known_settled.add(promise)
    ledger.acknowledge()


class Load:
    """One of the clients: does one random thing after another until its connection ends."""

    def __init__(self, ledger: Ledger, rng: random.Random) -> None:
        self._ledger = ledger
        self._rng = rng

    async def run(self, client: Client) -> None:
        actions: list[Callable[[Client], Any]] = [
            self._add,
            self._gate,
            self._settle,
            self._read,
            self._again,
            self._relay,
            self._interrupt,
            self._call,
        ]
        while True:
            (action,) = self._rng.choices(actions, weights=(40, 15, 15, 14, 7, 8, 2, 20))
            await action(client)

    async def _add(self, client: Client) -> None:
        ledger, rng = self._ledger, self._rng
        function = rng.choice(["add", "add", "add_with_effect", "add_at_once", "add_at_second_try"])
        key = ledger.new_key()
        call = Call(f"counter/c{rng.randrange(COUNTERS)}", function, (key, rng.randrange(1, 100)), key)
        if rng.random() < 0.1:
            await send(client, ledger, call, delay=rng.random() * 0.5)
        else:
            await perform(client, ledger, call)

    async def _gate(self, client: Client) -> None:
        ledger, rng = self._ledger, self._rng
        key = ledger.new_key()
        name = f"g{rng.randrange(SHARED_GATES)}" if rng.random() < 0.1 else key
        call = Call(f"gate/{name}", "wait", (key,), key)
        await send(client, ledger, call)
        if name == key:
            await find_promise(client, ledger, call)

    async def _settle(self, client: Client) -> None:
        waiting = self._ledger.unsettled_gates()
        if waiting:
            promise = self._ledger.promises[self._rng.choice(waiting)]
            await settle(client, self._ledger, promise, b"opened %d" % self._rng.randrange(1000))

    async def _relay(self, client: Client) -> None:
        ledger, rng = self._ledger, self._rng
        if not ledger.promises:
            return
        promise = ledger.promises[rng.choice(list(ledger.promises))]
        key = ledger.new_key()
        if rng.random() < 0.5:
            await send(client, ledger, Call(f"relay/f-{key}", "follow", (key, promise), key))
            return
        text = f"relayed {key}"
        ledger.offered.setdefault(promise, set()).add(text.encode())
        call = Call(f"relay/s{rng.randrange(4)}", "settle", (key, promise, text), key)
        if await perform(client, ledger, call):
            assert ledger.settled.setdefault(promise, text.encode()) == text.encode(), f"{promise} was settled twice"
        ledger.known_settled.add(promise)

    async def _call(self, client: Client) -> None:
        key = self._ledger.new_key()
        worker, function, args = random_call(self._rng, key)
        await perform(client, self._ledger, Call(worker, function, args, key))

    async def _interrupt(self, client: Client) -> None:
        rng = self._rng
        worker = rng.choice([f"counter/c{rng.randrange(COUNTERS)}", f"tally/t{rng.randrange(TALLIES)}"])
        with suppress(NotFound):
            await client.request("worker.interrupt", worker=worker)
            await client.request("worker.resume", worker=worker)

    async def _read(self, client: Client) -> None:
        ledger, rng = self._ledger, self._rng
        await client.query(f"worker://counter/c{rng.randrange(COUNTERS)}", "sum")
        if ledger.settled:
            await check_promise(client, ledger, rng.choice(list(ledger.settled)))
        if ledger.invocations:
            key = rng.choice(list(ledger.invocations))
            shown = await client.request("invocation.show", invocation=ledger.invocations[key])
            assert shown["key"] == key
        await client.request("status")

    async def _again(self, client: Client) -> None:
        if self._ledger.results:
            key = self._rng.choice(list(self._ledger.results))
            await perform(client, self._ledger, self._ledger.asked[key])


async def check_promise(client: Client, ledger: Ledger, promise: str) -> bytes:
    """Assert that a settled promise has the payload that somebody was told of, and return it."""
    shown = await client.request("promise.show", promise=promise)
    assert shown["state"] == "resolved", shown
    payload = bytes(shown["data"])
    assert payload in ledger.offered[promise], f"{promise} has {payload!r}, nobody's"
    assert ledger.settled.setdefault(promise, payload) == payload, f"{promise} has {payload!r}"
    return payload


async def load_until_it_dies(
    socket: Path, ledger: Ledger, rng: random.Random, strike: Callable[[], None], wait: Callable[[], Any]
) -> None:
    """Keep 32 clients busy, strike at a random moment, and return when every client has noticed.

    Half of the strikes fall within the moment in which an acknowledgement arrives: whatever was told too early, before
    it was durable, is then lost.
    """
    reached = trio.Event()
    was_struck = False
    extra_seconds = rng.choice([None, rng.random() * 0.02])

    def strike_now() -> None:
        nonlocal was_struck
        was_struck = True
        strike()

    def at_goal() -> None:
        if extra_seconds is None:
            strike_now()
        reached.set()

    ledger.goal = ledger.acknowledged + rng.randrange(20, 1500)
    ledger.at_goal = at_goal

    async def one(load: Load) -> None:
        try:
            async with connect(socket) as client:
                await load.run(client)
        except (Disconnected, StoreFailed) as error:
            if not was_struck or (isinstance(error, StoreFailed) and "stopping" not in str(error)):
                raise

    async def end_it() -> None:
        await reached.wait()
        if extra_seconds is not None:
            await trio.sleep(extra_seconds)
            strike_now()
        await trio.to_thread.run_sync(wait)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_it)
            for _ in range(CLIENTS):
                nursery.start_soon(one, Load(ledger, random.Random(rng.random())))
