"""Durable promises by name: found, awaited and settled in any order; the outcome is the first one's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import define, field

import promissory
from promissory.oplog.entries import (
    Abandoned,
    AwaitPromise,
    Completed,
    CompletePromise,
    NamedPromise,
    PollPromise,
    RejectPromise,
)
from promissory.oplog.ids import DURABLE_PROMISE, OplogIndex, WorkerId
from promissory.workers.promises import PromiseOutcome, durable_promise

UNFIT = "the promise's value does not fit `Decision`: Expected `object`, got `int`"
OWNER = WorkerId(DURABLE_PROMISE, "release/7")


@define
class Decision:
    approved: bool


class Naming(promissory.Worker):
    seen: list[Any] = field(factory=list)

    @promissory.handler
    async def peek(self) -> Any:
        return await durable_promise("release/7", int).peek()

    @promissory.handler
    async def get(self, timeout: float | None = None) -> Decision:
        return await durable_promise("release/7", Decision, timeout).get()

    @promissory.handler
    async def resolve(self, approved: bool) -> Any:
        promise = durable_promise("release/7", Decision)
        return told(await promise.resolve(Decision(approved)))

    @promissory.handler
    async def reject(self, reason: str) -> Any:
        return told(await durable_promise("release/7", Decision, 5).reject(reason))

    @promissory.handler
    async def wrong(self, what: str) -> None:
        if what == "value":
            await durable_promise("release/7", Decision).resolve("yes")  # type: ignore[arg-type]
        elif what == "object":
            await durable_promise("release/7").resolve(object())
        else:
            durable_promise({"empty": "", "long": "x" * 257, "control": "a\n"}[what])

    @promissory.handler
    async def race(self) -> Any:
        first, second = durable_promise("a", int), durable_promise("b", str)
        return list(await promissory.race(first.get(), second.get()))

    @promissory.handler
    async def impatient(self) -> str:
        try:
            await promissory.wait_for(durable_promise("release/7").get(), 3)
        except promissory.TimedOut:
            return "late"
        return "in time"

    @promissory.handler
    async def leave(self) -> None:
        durable_promise("release/7").resolve(1)
        await promissory.sleep(1)

    @promissory.handler
    async def void(self) -> Any:
        promise = durable_promise("release/7", None)
        return [await promise.get(), told(await promise.resolve(None))]


def told(outcome: PromiseOutcome[Any]) -> Any:
    """Return an outcome as data."""
    if outcome.error is not None:
        with pytest.raises(type(outcome.error)):
            print(outcome.value)
        return [outcome.settled, type(outcome.error).__name__, str(outcome.error)]
    return [outcome.settled, type(outcome.value).__name__, outcome.value]


def last(h: Any) -> int:
    """Return the one host call that is open."""
    (start,) = h.open_calls()
    return int(start)


def test_peeking_creates_nothing(host: Callable[..., Any]) -> None:
    """A name that nobody has used is pending, and stays unused."""
    h = host(Naming)
    invocation = h.invoke("peek")
    h.end(last(h), b"null")

    assert h.calls() == [NamedPromise("release/7", None, False)]
    assert h.outcome(invocation) is None
    assert h.player.running is None


@pytest.mark.parametrize(("payload", "value"), [(b"3", 3), (b"", "terminal"), (b'"x"', "terminal")])
def test_peeking_tells_the_value(host: Callable[..., Any], payload: bytes, value: Any) -> None:
    """What is settled is read by the type; what does not fit fails terminally."""
    h = host(Naming)
    invocation = h.invoke("peek")
    h.end(last(h), b"4")
    h.end(last(h), payload)

    assert h.calls()[1:] == [PollPromise(OWNER, OplogIndex(4))]
    assert getattr(h.outcome(invocation), "kind", h.outcome(invocation)) == value


def test_peeking_at_a_pending_promise_gives_none(host: Callable[..., Any]) -> None:
    """A poll that finds no outcome has no value."""
    h = host(Naming)
    invocation = h.invoke("peek")
    h.end(last(h), b"4")
    h.end(last(h), None)  # type: ignore[arg-type]

    assert h.outcome(invocation) is None
    assert h.player.running is None


def test_getting_creates_it_and_waits(host: Callable[..., Any]) -> None:
    """The promise is found, or created with its deadline, then awaited like any other."""
    h = host(Naming)
    h.invoke("get")
    h.end(last(h), b"1")
    h.end(last(h), b'{"approved":true}')
    invocation = h.invoke("get", 1.5)
    at = h.record[last(h) - 1].timestamp
    h.end(last(h), b"1")
    h.end(last(h), b'{"approved":false}')

    assert h.calls() == [
        NamedPromise("release/7", None, True),
        AwaitPromise(OWNER, OplogIndex(1)),
        NamedPromise("release/7", at + 1_500_000, True),
        AwaitPromise(OWNER, OplogIndex(1)),
    ]
    assert h.outcome(invocation) == {"approved": False}


@pytest.mark.parametrize("kind", ["rejected", "timed_out", "deleted"])
@pytest.mark.parametrize("function", ["peek", "get"])
def test_a_failed_promise_raises(host: Callable[..., Any], function: str, kind: str) -> None:
    """Rejected, past its deadline, disposed of: both raise what became of it."""
    h = host(Naming)
    invocation = h.invoke(function)
    h.end(last(h), b"1")
    h.fail(last(h), kind, "because", 500)

    assert (h.outcome(invocation).kind, h.outcome(invocation).message) == (kind, "because")


def test_who_settles_first_learns_its_own_outcome(host: Callable[..., Any]) -> None:
    """Nothing more is asked: the value, or the rejection, is the one that was given."""
    h = host(Naming)
    resolved = h.invoke("resolve", True)
    h.end(last(h), b"1")
    h.end(last(h), b"true")
    rejected = h.invoke("reject", "no")
    h.end(last(h), b"1")
    h.end(last(h), b"true")

    assert h.calls() == [
        NamedPromise("release/7", None, True),
        CompletePromise(OWNER, OplogIndex(1), b'{"approved":true}'),
        NamedPromise("release/7", None, True),
        RejectPromise(OWNER, OplogIndex(1), "no"),
    ]
    assert h.outcome(resolved) == [True, "Decision", {"approved": True}]
    assert h.outcome(rejected) == [True, "PromiseRejected", "no"]


@pytest.mark.parametrize(("function", "arg"), [("resolve", True), ("reject", "no")])
@pytest.mark.parametrize(
    ("kind", "said", "outcome"),
    [
        (None, b'{"approved":false}', [False, "Decision", {"approved": False}]),
        (
            None,
            b"3",
            [False, "TerminalError", "the promise's value does not fit `Decision`: Expected `object`, got `int`"],
        ),
        ("rejected", "earlier", [False, "PromiseRejected", "earlier"]),
        ("timed_out", "late", [False, "TimedOut", "late"]),
        ("deleted", "gone", [False, "PromiseDeleted", "gone"]),
    ],
)
def test_who_comes_later_learns_the_earlier_outcome(
    host: Callable[..., Any], function: str, arg: Any, kind: str | None, said: Any, outcome: Any
) -> None:
    """Neither raises: that somebody else was first is an answer, not an error."""
    h = host(Naming)
    invocation = h.invoke(function, arg)
    h.end(last(h), b"1")
    h.end(last(h), b"false")
    assert h.calls()[-1] == PollPromise(OWNER, OplogIndex(1))
    if kind is None:
        h.end(last(h), said)
    else:
        h.fail(last(h), kind, said)

    assert h.outcome(invocation) == outcome


def test_none_is_a_value(host: Callable[..., Any]) -> None:
    """A promise of nothing is settled with nothing."""
    h = host(Naming)
    invocation = h.invoke("void")
    for data in (b"1", b"", b"1", b"true"):
        h.end(last(h), data)

    assert h.outcome(invocation) == [None, [True, "NoneType", None]]
    assert h.calls()[-1] == CompletePromise(OWNER, OplogIndex(1), b"null")


@pytest.mark.parametrize("what", ["value", "object", "empty", "long", "control"])
def test_what_cannot_be_is_refused_at_once(host: Callable[..., Any], what: str) -> None:
    """A value that does not fit and a name out of limits are terminal errors; nothing is asked of the host."""
    h = host(Naming)
    invocation = h.invoke("wrong", what)

    assert h.outcome(invocation).kind == "terminal"
    assert h.calls() == []


def test_the_first_of_two_is_told(host: Callable[..., Any]) -> None:
    """Its futures go where durable futures go: what loses a race is abandoned, and nothing of it left open."""
    h = host(Naming)
    invocation = h.invoke("race")
    assert h.calls() == [NamedPromise("a", None, True), NamedPromise("b", None, True)]
    first, second = h.open_calls()
    h.end(second, b"1")
    h.end(h.open_calls()[-1], b'"yes"')

    assert h.outcome(invocation) == [1, "yes"]
    assert h.abandoned() == [first]


@pytest.mark.parametrize("found", [False, True])
def test_waiting_can_have_an_end(host: Callable[..., Any], found: bool) -> None:
    """`wait_for` gives the wait up, whether the promise was found by then or not; the promise stays."""
    h = host(Naming)
    invocation = h.invoke("impatient")
    find, timer = h.open_calls()
    if found:
        h.end(find, b"1")
    h.end(timer)

    assert h.outcome(invocation) == "late"
    assert h.open_calls() == []


def test_what_is_left_behind_is_given_up(host: Callable[..., Any]) -> None:
    """A future that nobody awaited by the handler's end does not go on without it."""
    h = host(Naming)
    invocation = h.invoke("leave")
    find, timer = h.open_calls()
    assert h.record[find - 1].request == NamedPromise("release/7", None, True)
    h.end(timer)

    assert [type(entry) for entry in h.record[-2:]] == [Abandoned, Completed]
    assert h.abandoned() == [find]
    assert h.outcome(invocation) is None


def test_one_that_goes_on_by_itself(host: Callable[..., Any]) -> None:
    """While the handler waits for something else, a settling that was begun is finished."""
    h = host(Naming)
    h.invoke("leave")
    h.end(h.open_calls()[0], b"1")

    assert h.calls()[-1] == CompletePromise(OWNER, OplogIndex(1), b"1")


def test_it_can_be_made_anywhere_and_used_in_handlers() -> None:
    """Naming a promise is nothing but a name; asking for it is a handler's."""
    promise = durable_promise("release/7", int)

    assert (promise.name, repr(promise)) == ("release/7", "<durable promise 'release/7'>")
    for use in (promise.peek, promise.get, lambda: promise.resolve(1), lambda: promise.reject("no")):
        with pytest.raises(RuntimeError, match="outside of a handler"):
            use()


def test_an_outcome_has_a_value_or_raises() -> None:
    """The value of a promise that was rejected is its error."""
    assert PromiseOutcome(True, 3).value == 3
    with pytest.raises(promissory.PromiseRejected, match="no"):
        print(PromiseOutcome[int](False, error=promissory.PromiseRejected("no")).value)
