"""Waits that nobody will end: programs that can still go on are left alone, cycles that close late are found."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

import promissory
from promissory.executor.config import Config
from promissory.executor.testing.testbed import Testbed
from promissory.oplog.errors import CallCycleError, StoreFailed, TerminalError
from tests.executor.hostcalls.actors import ATTEMPTS, TO_A, TO_B, TO_C, Actor, call_later, call_now
from tests.seams import Seam, through

Outcomes = list[tuple[float, Any]]


async def outcomes(durable: Any, *plans: tuple[str, list[Any]]) -> Outcomes:
    """Send plans to actors, all at once; return when each had ended and what it came to."""
    found: dict[int, tuple[float, Any]] = {}
    start = trio.current_time()

    async def one(number: int, invocation: str) -> None:
        try:
            result = await durable.attach(invocation)
        except TerminalError as error:
            result = str(error)
        found[number] = (trio.current_time() - start, result)

    sent = [await durable.send(f"actor/{name}", "do", plan) for name, plan in plans]
    async with trio.open_nursery() as nursery:
        for number, invocation in enumerate(sent):
            nursery.start_soon(one, number, invocation)
    return [found[number] for number in range(len(plans))]


LIVE = {
    "a race with an edge outside": (
        [
            ("a", ["rest", 1, ["race", call_now("b"), ["call", "c", ["rest", 4, ["say", "out"]]]]]),
            ("b", TO_A),
        ],
        [(5, "out"), (5, "hello")],
    ),
    "a gather whose edge outside fails": (
        [("a", ["rest", 1, ["gather", call_now("b"), ["call", "c", ["rest", 4, ["fail"]]]]]), ("b", TO_A)],
        [(5, "failed"), (5, "hello")],
    ),
    "a deadline": (
        [("a", ["rest", 1, ["within", 4, call_now("b")]]), ("b", TO_A)],
        [(5, "timed out"), (5, "hello")],
    ),
    "a deadline around several": (
        [
            ("a", ["within", 5, ["gather", TO_B, TO_C]]),
            ("b", TO_A),
            ("c", TO_B),
        ],
        [(5, "timed out"), (5, "hello"), (5, "hello")],
    ),
    "a race with a side effect": (
        [("a", ["rest", 1, ["race", call_now("b"), ["run", 4]]]), ("b", TO_A)],
        [(5, "ran"), (5, "hello")],
    ),
    "a race with a sleep of a coroutine's": (
        [("a", ["rest", 1, ["race", call_now("b"), ["rest", 4, ["say", "up"]]]]), ("b", TO_A)],
        [(5, "up"), (5, "hello")],
    ),
    "queued behind one that sleeps": (
        [("b", ["rest", 5, ["say", "slept"]]), ("a", TO_B), ("c", TO_A), ("d", TO_C)],
        [(5, "slept"), (5, "hello"), (5, "hello"), (5, "hello")],
    ),
    "queued behind one that runs": (
        [("b", ["run", 5]), ("a", TO_B), ("c", TO_A)],
        [(5, "ran"), (5, "hello"), (5, "hello")],
    ),
    "sent, calls back": (
        [("a", ["send", "b", ["call", "a", ["say", "back"]], ["rest", 5, ["say", "sent"]]])],
        [(5, "sent")],
    ),
    "retried": (
        [
            ("b", ["rest", 1, ["retry", 5, ["say", "at last"]]]),
            ("a", TO_B),
            ("c", TO_A),
        ],
        [(1, "at last"), (1, "hello"), (1, "hello")],
    ),
    "the same worker twice": (
        [("a", ["gather", TO_B, call_later("b", TO_C)]), ("b", ["rest", 2, ["say", "slept"]])],
        [(3, ["hello", "hello"]), (2, "slept")],
    ),
}


@pytest.mark.parametrize("program", LIVE)
async def test_programs_that_can_go_on_are_left_alone(durable: Any, program: str) -> None:
    """Whoever has one way to go on is not taken for stuck, and goes on that way."""
    durable.register(Actor)
    ATTEMPTS.clear()
    plans, expected = LIVE[program]

    found = await outcomes(durable, *plans)

    assert [(int(seconds), result) for seconds, result in found] == expected


# Cycles that close late: an hour after those who wait have begun to, two hours before somebody comes round to them.

LATE = 7200
PLACES = {
    "in memory": Config(idle_seconds=1e6),
    "out of memory": Config(idle_seconds=0.1),
    "one at a time in memory": Config(workers_in_memory_max=1, idle_seconds=1e6),
    "restarted": Config(),
}
STUCK = {
    "behind one another": (
        [("a", TO_B), ("b", call_later("a", seconds=LATE))],
        ["hello", "cycle to a"],
    ),
    "a ring": (
        [("a", TO_B), ("b", TO_C), ("c", call_later("a", seconds=LATE))],
        ["hello", "hello", "cycle to a"],
    ),
    "a chain of callers": (
        [("a", ["call", "b", ["call", "c", call_later("a", seconds=LATE)]])],
        ["cycle to a"],
    ),
    "a gather narrows": (
        [("a", ["rest", 1, ["gather", call_now("b"), call_later("c", ["rest", LATE, ["say", "out"]])]]), ("b", TO_A)],
        [["cycle to b", "out"], "hello"],
    ),
    "a race has no way left": (
        [("a", ["race", TO_B, TO_C]), ("b", TO_A), ("c", call_later("a", seconds=LATE))],
        ["hello", "hello", "cycle to a"],
    ),
    "a gather leads back twice": (
        [("a", ["rest", LATE, ["gather", call_now("b"), call_now("c")]]), ("b", TO_A), ("c", TO_A)],
        [["cycle to b", "cycle to c"], "hello", "hello"],
    ),
    "what was sent waits for its sender": (
        [("a", ["send", "b", call_later("a", seconds=LATE), TO_B])],
        ["hello"],
    ),
    "a deadline passes": (
        [("a", ["gather", TO_B, ["within", LATE, ["promise"]]]), ("b", TO_A)],
        [["cycle to b", "timed out"], "hello"],
    ),
    "after retries": (
        [("a", TO_B), ("b", ["rest", LATE, ["retry", 3, call_now("a")]])],
        ["hello", "cycle to a"],
    ),
    "a gather narrows after retries": (
        [("a", ["gather", TO_B, ["check", 3, ["call", "c", ["rest", LATE, ["say", "out"]]]]]), ("b", TO_A)],
        [["cycle to b", "out"], "hello"],
    ),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("program", STUCK)
async def test_a_cycle_that_closes_late_is_found(tmp_path: Path, autojump_clock: Any, program: str, place: str) -> None:
    """Wherever those who wait are when nobody can go on any more, the call that came last fails, and all end."""
    plans, expected = STUCK[program]
    async with acting(tmp_path, place) as durable:
        sent = [await durable.send(f"actor/{name}", "do", plan) for name, plan in plans]
        await trio.sleep(LATE / 2)
        await leave(durable, place)

        assert [await durable.attach(invocation) for invocation in sent] == expected


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("closes", ["before", "while", "after"])
async def test_a_cycle_through_a_stopped_worker_is_found_when_it_goes_on(
    tmp_path: Path, autojump_clock: Any, closes: str, place: str
) -> None:
    """A worker that a person stopped may go on otherwise; once resumed it is looked at, whenever the cycle closed."""
    seconds = {"before": LATE, "while": 2 * LATE, "after": 4 * LATE}[closes]
    async with acting(tmp_path, place) as durable:
        plans = [TO_B, TO_C, call_later("a", seconds=seconds)]
        sent = [await durable.send(f"actor/{name}", "do", plan) for name, plan in zip("abc", plans, strict=True)]
        await trio.sleep(LATE / 2)
        await durable.interrupt("actor/b")
        await trio.sleep(LATE * 2)
        await leave(durable, place)
        statuses = {name: (await durable.show(f"actor/{name}"))["status"] for name in "abc"}
        assert statuses == {"a": "suspended", "b": "interrupted", "c": "suspended"}

        await durable.resume("actor/b")

        failed = ["hello", "hello", "cycle to a"] if closes == "after" else ["hello", "cycle to c", "hello"]
        assert [await durable.attach(invocation) for invocation in sent] == failed


@pytest.mark.parametrize("place", PLACES)
async def test_a_paused_worker_closes_the_cycle_once_it_is_mended(
    tmp_path: Path, autojump_clock: Any, place: str
) -> None:
    """While one of them is paused nobody is stuck, since a person may help; then its call fails."""
    async with acting(tmp_path, place) as durable:
        a = await durable.send("actor/a", "do", TO_B)
        b = await durable.send("actor/b", "do", ["rest", 5, ["unmended", call_now("a")]])
        await trio.sleep(LATE)
        await leave(durable, place)
        assert (await durable.show("actor/b"))["status"] == "paused"
        assert (await durable.show("actor/a"))["status"] == "suspended"

        ATTEMPTS["mended"] = 1
        await durable.resume("actor/b")

        assert [await durable.attach(a), await durable.attach(b)] == ["hello", "cycle to a"]


@pytest.mark.parametrize("place", PLACES)
async def test_a_cycle_is_found_though_somebody_gave_up_in_a_queue(
    tmp_path: Path, autojump_clock: Any, place: str
) -> None:
    """An invocation that is cancelled before it began leaves the one that waits before it as it was."""
    async with acting(tmp_path, place) as durable:
        a = await durable.send("actor/a", "do", TO_B)
        b = await durable.send("actor/b", "do", call_later("a", seconds=LATE))
        queued = await durable.send("actor/a", "do", ["say", "never"])
        await trio.sleep(LATE / 2)
        assert await durable.cancel(queued)
        await trio.sleep(LATE / 4)
        assert (await durable.show("actor/a"))["status"] == "suspended"
        await leave(durable, place)

        assert [await durable.attach(a), await durable.attach(b)] == ["hello", "cycle to a"]


async def test_the_error_names_those_who_wait(durable: Any) -> None:
    """Whoever reads the error knows which workers wait for one another."""
    durable.register(Raw)
    await durable.send("raw/a", "call", 1, "b")
    await durable.send("raw/b", "call", 2, "c")
    closing = await durable.send("raw/c", "call", 3, "a")

    with pytest.raises(CallCycleError, match="raw/c -> raw/a -> raw/b -> raw/c") as raised:
        await durable.attach(closing)

    assert raised.value.code == 409


@pytest.mark.parametrize("program", [name for name in STUCK if "retries" not in name])
@pytest.mark.parametrize("what", ["crash_at", "fail_at"])
async def test_a_crash_at_any_unit_forgets_no_cycle(
    tmp_path: Path, autojump_clock: Any, program: str, what: str
) -> None:
    """Wherever between their steps the executor ends, or a commit fails, nobody waits for ever after it."""
    plans, expected = STUCK[program]
    config = Config(batch_entries_max=1, idle_seconds=0.1)
    n = commits_count = 0
    while n <= commits_count:
        seam = Seam(**{what: n})
        async with Testbed.opened(tmp_path / str(n), config=config, seam=seam) as durable:
            durable.register(Actor)
            results = await through(durable, lambda: send_and_attach(durable, plans))
        commits_count = commits_count or seam.count
        assert repr(results).count("cycle") == repr(expected).count("cycle"), f"{what} {n}: {results}"
        n += 1


async def send_and_attach(durable: Any, plans: list[tuple[str, list[Any]]]) -> list[Any]:
    sent, results = [], []
    for number, (name, plan) in enumerate(plans):
        sent.append(await insist(partial(durable.send, f"actor/{name}", "do", plan, key=str(number))))
    for invocation in sent:
        results.append(await insist(partial(durable.attach, invocation)))
    await trio.sleep(2 * LATE)
    await durable.workers()
    return results


async def insist(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask again for as long as commits fail."""
    while True:
        try:
            return await ask()
        except StoreFailed:
            await trio.sleep(0.2)


# Programs by chance.

NAMES = "abcd"
SECONDS = st.sampled_from([0.0, 1.0, 1.0, 2.0, 5.0])


@st.composite
def a_plan(draw: st.DrawFn, at: int, depth: int, upwards: bool) -> list[Any]:
    """Draw what one actor does: as a tree of plans, whose calls go upwards only or anywhere."""
    whom = st.sampled_from(range(at + 1 if upwards else 0, len(NAMES)))
    leaves = ["say", "fail", "run", "rest"]
    kind = draw(st.sampled_from(leaves if not depth else [*leaves, "gather", "race", "within", *3 * ["call"], "send"]))
    if kind in ("call", "send") and upwards and at == len(NAMES) - 1:
        kind = "say"
    own = a_plan(at, max(depth - 1, 0), upwards)
    if kind in ("call", "send"):
        to = draw(whom)
        plan = draw(a_plan(to, depth - 1, upwards))
        return [kind, NAMES[to], plan] if kind == "call" else [kind, NAMES[to], plan, draw(own)]
    if kind in ("gather", "race"):
        return [kind, *draw(st.lists(own, min_size=1, max_size=3))]
    if kind in ("within", "rest"):
        return [kind, draw(SECONDS), draw(own) if depth else ["say", "rested"]]
    return [kind] if kind == "fail" else [kind, draw(SECONDS) if kind == "run" else "said"]


@settings(deadline=None)
@given(st.data(), st.booleans(), st.sampled_from([Config(), Config(workers_in_memory_max=1), Config(idle_seconds=0.1)]))
def test_programs_by_chance_end(data: st.DataObject, upwards: bool, config: Config) -> None:
    """Whatever a few workers ask of one another, all of it ends; nothing fails where no call can lead back."""
    starts = data.draw(st.lists(st.sampled_from(range(len(NAMES))), min_size=1, max_size=5))
    plans = [(NAMES[at], data.draw(a_plan(at, 4, upwards))) for at in starts]

    async def main() -> None:
        with tempfile.TemporaryDirectory() as directory:
            async with Testbed.opened(Path(directory), config=config) as durable:
                durable.register(Actor)
                found = await outcomes(durable, *plans)
                await trio.sleep(60)  # what was sent and not waited for may still run
                assert not (upwards and "cycle" in repr(found))
                for worker in await durable.workers():
                    assert (await durable.show(worker))["status"] == "idle"

    trio.run(main, clock=MockClock(autojump_threshold=0))


class Raw(promissory.Worker):
    @promissory.handler
    async def call(self, seconds: float, name: str) -> None:
        if seconds:
            await promissory.sleep(seconds)
            await promissory.worker(Raw, name).call(0, "")


@asynccontextmanager
async def acting(directory: Path, place: str) -> AsyncIterator[Testbed]:
    """Run an executor with actors in it."""
    ATTEMPTS.clear()
    async with Testbed.opened(directory / "data", config=PLACES[place]) as durable:
        durable.register(Actor)
        yield durable


async def leave(durable: Testbed, place: str) -> None:
    """Have those who wait be where a test wants them."""
    if place == "restarted":
        await durable.simulate_crash()
    durable.executor.residents.make_room()
    loaded = [activation.path for activation in durable.executor.residents if activation.is_loaded]
    if place == "in memory":
        assert loaded
    elif place == "one at a time in memory":
        assert len(loaded) <= 1
    else:
        assert not loaded
