"""Awakeables and durable promises on a real executor: settled by whoever holds the id, or knows the name."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from attrs import define

import promissory
from promissory.oplog.errors import BadArguments, NotFound, PromiseDeleted, PromiseRejected, TerminalError, TimedOut


@define
class Decision:
    accepted: bool
    note: str = ""


class Clerk(promissory.Worker):
    letter: str = ""

    @promissory.handler
    async def decide(self, seconds: float | None = None) -> str:
        self.letter, decision = promissory.awakeable(Decision, seconds)
        try:
            decided = await decision
        except promissory.TimedOut:
            return "too late"
        return f"{decided.accepted} {decided.note}"

    @promissory.handler
    async def answer(self, letter: str, note: str) -> bool:
        return await promissory.resolve_awakeable(letter, Decision(accepted=True, note=note))

    @promissory.handler
    async def refuse(self, letter: str, reason: str) -> bool:
        return await promissory.reject_awakeable(letter, reason)

    @promissory.handler
    async def get(self, name: str, seconds: float | None = None) -> int:
        return await promissory.durable_promise(name, int, seconds).get()

    @promissory.handler
    async def peek(self, name: str) -> int | None:
        return await promissory.durable_promise(name, int).peek()

    @promissory.handler
    async def resolve(self, name: str, value: int) -> tuple[bool, int]:
        outcome = await promissory.durable_promise(name, int).resolve(value)
        return outcome.settled, outcome.value

    @promissory.handler
    async def late(self, seconds: float) -> str:
        promise = promissory.create_promise(timeout=0)
        await promissory.sleep(seconds)
        settled = await promissory.complete_promise(promise, b"x")
        try:
            await promissory.await_promise(promise)
        except promissory.TimedOut as error:
            return f"{settled} {error.code}"
        return "no"

    @promissory.query
    def shown(self) -> str:
        return self.letter


@pytest.fixture
async def office(durable: Any) -> Any:
    durable.register(Clerk)
    return durable


async def letter_of(office: Any, name: str = "clerk/a") -> tuple[str, str]:
    invocation = await office.send(name, "decide")
    await office.quiet()
    return invocation, await office.query(name, "shown")


async def test_whoever_holds_the_id_settles_it_and_only_once(office: Any) -> None:
    """A client resolves an awakeable by its id, before or after a crash; the second to try learns False."""
    invocation, letter = await letter_of(office)
    await office.simulate_crash()
    assert letter.startswith("prom_1")
    assert await office.query("clerk/a", "shown") == letter

    assert await office.resolve_awakeable(letter, Decision(accepted=True, note="fine"))
    assert not await office.resolve_awakeable(letter, Decision(accepted=False))
    assert not await office.reject_awakeable(letter, "late")

    assert await office.attach(invocation) == "True fine"


async def test_a_worker_settles_the_awakeable_of_another(office: Any) -> None:
    """A worker that was told the id resolves or rejects it as a client does."""
    first, letter = await letter_of(office, "clerk/a")
    second, other = await letter_of(office, "clerk/b")

    assert await office.invoke("clerk/c", "answer", letter, "ok") is True
    assert await office.invoke("clerk/c", "answer", letter, "again") is False
    assert await office.invoke("clerk/c", "refuse", other, "no room") is True

    assert await office.attach(first) == "True ok"
    with pytest.raises(PromiseRejected, match="no room"):
        await office.attach(second)


async def test_a_changed_id_is_refused_and_settles_nothing(office: Any) -> None:
    """An id with one character changed, or of another promise of the same worker, is refused by client and worker."""
    invocation, letter = await letter_of(office)
    for at in (6, 20, len(letter) - 3):
        forged = letter[:at] + ("A" if letter[at] != "A" else "B") + letter[at + 1 :]
        with pytest.raises((BadArguments, NotFound)):
            await office.resolve_awakeable(forged, Decision(accepted=True))
        with pytest.raises(TerminalError):
            await office.invoke("clerk/c", "answer", forged, "x")

    assert await office.resolve_awakeable(letter, Decision(accepted=True))
    assert await office.attach(invocation) == "True "


async def test_a_payload_that_does_not_fit_fails_the_await_and_wedges_nothing(office: Any) -> None:
    """What is no Decision ends the invocation terminally, and the worker goes on."""
    invocation, letter = await letter_of(office)
    await office.complete_promise(letter, b"[1, 2")

    with pytest.raises(TerminalError, match="does not fit"):
        await office.attach(invocation)
    assert (await office.show("clerk/a"))["status"] == "idle"


@pytest.mark.parametrize("seconds", [0, 5])
async def test_a_deadline_ends_the_wait(office: Any, seconds: float) -> None:
    """An awakeable with a deadline times out, also one whose deadline has passed when it is made."""
    began = trio.current_time()

    assert await office.invoke("clerk/a", "decide", seconds) == "too late"
    assert trio.current_time() - began == pytest.approx(seconds, abs=0.1)


async def test_past_its_deadline_a_promise_is_timed_out_for_whoever_looks(office: Any) -> None:
    """A completer that comes after the deadline learns False, though no timer has fired; readers see it timed out."""
    assert await office.invoke("clerk/a", "late", 1) == "False 408"


async def test_a_deadline_passed_while_nobody_was_there(office: Any) -> None:
    """After a downtime over the deadline the first reader finds the promise timed out."""
    invocation = await office.send("clerk/a", "decide", 60)
    await office.quiet()
    letter = await office.query("clerk/a", "shown")
    await office.crash()
    await trio.sleep(3600)
    await office.start()

    assert not await office.resolve_awakeable(letter, Decision(accepted=True))
    with pytest.raises(TimedOut):
        await office.await_promise(letter)
    assert await office.attach(invocation) == "too late"


async def test_a_durable_promise_is_the_same_for_all_who_know_its_name(office: Any) -> None:
    """Workers and clients meet at a name, whoever comes first; the outcome is kept."""
    waiting = await office.send("clerk/a", "get", "answer")
    promise = office.durable_promise("answer", int)
    assert await promise.peek() is None

    assert await office.invoke("clerk/b", "resolve", "answer", 42) == [True, 42]
    assert await office.invoke("clerk/c", "resolve", "answer", 43) == [False, 42]
    assert await office.attach(waiting) == 42
    assert await promise.get() == 42
    outcome = await promise.resolve(44)
    assert (outcome.settled, outcome.value) == (False, 42)
    await office.simulate_crash()
    assert await office.invoke("clerk/d", "get", "answer") == 42


async def test_peeking_creates_nothing(office: Any) -> None:
    """A name that nobody has used is pending, and stays unused by being looked at."""
    assert await office.durable_promise("unused").peek() is None
    assert await office.invoke("clerk/a", "peek", "unused") is None

    assert list(await office.workers()) == ["clerk/a"]


async def test_a_durable_promise_may_have_a_deadline(office: Any) -> None:
    """The deadline given by whoever creates the promise holds for everybody."""
    waiting = await office.send("clerk/a", "get", "soon", 30)
    with pytest.raises(TimedOut):
        await office.durable_promise("soon", int).get()
    with pytest.raises(TimedOut):
        await office.attach(waiting)


async def test_a_disposed_name_is_open_again(office: Any) -> None:
    """Disposing ends pending waits with `deleted`; the name then stands for a new promise."""
    waiting = await office.send("clerk/a", "get", "n")
    promise = office.durable_promise("n", int)
    await office.quiet()

    assert await promise.dispose()
    assert not await promise.dispose()
    with pytest.raises(PromiseDeleted):
        await office.attach(waiting)
    assert (await promise.reject("no")).settled
    with pytest.raises(PromiseRejected, match="no"):
        await office.invoke("clerk/b", "get", "n")
