"""gather, race, wait_for: values, errors, nesting, and what is given up."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import field

import promissory
from promissory.oplog.entries import Abandoned, Completed, Failure, Sleep, Started
from promissory.workers.machine.step import StepFailed


def effect(number: int) -> int:
    return number


class Many(promissory.Worker):
    heard: list[str] = field(factory=list)

    async def child(self, name: str, seconds: float = 1) -> str:
        try:
            await promissory.sleep(seconds)
        except promissory.Cancelled:
            self.heard.append(f"{name} cancelled")
            raise
        return name

    async def raising(self, seconds: float = 1) -> None:
        await promissory.sleep(seconds)
        raise promissory.TerminalError("child failed")

    @promissory.handler
    async def all(self) -> Any:
        return await promissory.gather(self.child("a"), promissory.run(effect, 1), promissory.gather())

    @promissory.handler
    async def all_or_error(self) -> Any:
        try:
            await promissory.gather(self.child("a", 9), self.raising(), promissory.sleep(8))
        except promissory.TerminalError as error:
            self.heard.append(str(error))
        await promissory.sleep(5)

    @promissory.handler
    async def first(self) -> Any:
        return await promissory.race(self.child("a"), promissory.run(effect, 1), promissory.sleep(7))

    @promissory.handler
    async def first_error(self) -> Any:
        return await promissory.race(self.raising(), promissory.sleep(7))

    @promissory.handler
    async def in_time(self, seconds: float) -> Any:
        return await promissory.wait_for(self.child("slow", 60), seconds)

    @promissory.handler
    async def already(self) -> Any:
        done = promissory.sleep(1)
        await done
        return [
            await promissory.wait_for(done, 1),
            await promissory.race(promissory.sleep(2), done, self.child("never")),
        ]

    @promissory.handler
    async def shared(self) -> Any:
        slow = promissory.sleep(9)
        await promissory.race(slow, promissory.sleep(1), promissory.gather(slow))
        await promissory.sleep(2)
        return "end"

    @promissory.handler
    async def watched(self) -> Any:
        slow = promissory.sleep(9)

        async def watch() -> str:
            await slow
            return "watched"

        watching = promissory.gather(watch())
        await promissory.race(slow, promissory.sleep(1))
        return (await watching)[0]

    @promissory.handler
    async def both_wait(self) -> Any:
        call = promissory.sleep(1)

        async def also() -> None:
            await call

        return (await promissory.race(call, also()))[0]

    @promissory.handler
    async def twice(self) -> Any:
        coroutine = self.child("once")
        return await promissory.gather(coroutine, coroutine)

    @promissory.handler
    async def given_up(self) -> Any:
        slow = promissory.sleep(9)
        await promissory.race(slow, promissory.sleep(1))
        await slow

    @promissory.handler
    async def misuse(self, what: str) -> None:
        if what == "nothing":
            await promissory.race()
        elif what == "number":
            await promissory.gather(3)  # type: ignore[call-overload]
        elif what == "used":
            coroutine = self.child("x", 0)
            coroutine.send(None)
            promissory.gather(coroutine)

    @promissory.handler
    async def knot(self) -> None:
        futures: list[Any] = []

        async def itself() -> None:
            await futures[0]

        futures.append(promissory.gather(itself()))
        await futures[0]

    @promissory.handler
    async def awaitable(self) -> Any:
        class Later:
            def __await__(self) -> Any:
                return promissory.run(effect, 4).__await__()

        return await promissory.gather(Later())


def starts(host: Any) -> dict[str, int]:
    """Return the index of each `Started` by what it asked for."""
    return {
        str(entry.request.duration_us // 1_000_000) if isinstance(entry.request, Sleep) else entry.request.name: i
        for i, entry in enumerate(host.record, 1)
        if isinstance(entry, Started)
    }


def test_gather_gives_values_in_argument_order(host: Any) -> None:
    """The order in which outcomes come does not show in the tuple."""
    h = host(Many)
    invocation = h.invoke("all")
    by = starts(h)
    h.end(by["1"])
    h.end(by["effect"], b"5")
    assert h.outcome(invocation) == ["a", 5, []]


def test_what_is_called_first_is_started_first(host: Any) -> None:
    """A host call starts when it is called; a coroutine when its turn comes."""
    h = host(Many)
    h.invoke("all")
    assert list(starts(h)) == ["effect", "1"]


def test_gather_raises_the_first_error_and_gives_up_the_rest(host: Any) -> None:
    """A coroutine gets `Cancelled`, a host call an `Abandoned`, and the handler the error."""
    h = host(Many)
    h.invoke("all_or_error")
    by = starts(h)
    h.end(by["1"])
    assert set(h.abandoned()) == {by["9"], by["8"]}
    assert h.player.state()["heard"] == ["a cancelled", "child failed"]
    h.end(starts(h)["5"])


def test_race_gives_position_and_value_and_gives_up_the_rest(host: Any) -> None:
    """The winner is decided by the order of the record."""
    h = host(Many)
    invocation = h.invoke("first")
    by = starts(h)
    h.end(by["effect"], b"3")
    assert h.outcome(invocation) == [1, 3]
    assert set(h.abandoned()) == {by["1"], by["7"]}
    assert h.player.state()["heard"] == ["a cancelled"]


def test_race_raises_the_error_of_the_first_outcome(host: Any) -> None:
    """An error wins a race too."""
    h = host(Many)
    invocation = h.invoke("first_error")
    h.end(starts(h)["1"])
    assert h.outcome(invocation) == Failure("terminal", "child failed", 500)


def test_wait_for_raises_timed_out_and_gives_up(host: Any) -> None:
    """When the timer is first, its child is cancelled and the handler gets a `TimedOut`."""
    h = host(Many)
    invocation = h.invoke("in_time", 5)
    by = starts(h)
    h.end(by["5"])
    assert h.outcome(invocation) == Failure("timed_out", "timed out after 5.0 s", 408)
    assert h.abandoned() == [by["60"]]
    assert h.player.state()["heard"] == ["slow cancelled"]


def test_wait_for_in_time_abandons_its_timer(host: Any) -> None:
    """When the child is first, its value is the result and the timer is let go."""
    h = host(Many)
    invocation = h.invoke("in_time", 5)
    by = starts(h)
    h.end(by["60"])
    assert h.outcome(invocation) == "slow"
    assert h.abandoned() == [by["5"]]


def test_what_has_an_outcome_already_wins_without_waiting(host: Any) -> None:
    """A settled future needs no timer, wins a race, and a loser that never began leaves no trace."""
    h = host(Many)
    invocation = h.invoke("already")
    h.end(starts(h)["1"])
    assert h.outcome(invocation) == [None, [1, None]]
    assert list(starts(h)) == ["1", "2"]
    assert h.player.state()["heard"] == []


def test_a_future_not_awaited_by_anybody_else_is_given_up_only_by_its_last_waiter(host: Any) -> None:
    """Two composites wait for one call; when both have turned away it is abandoned, once."""
    h = host(Many)
    h.invoke("shared")
    by = starts(h)
    h.end(by["1"])
    assert h.abandoned() == [by["9"]]
    h.end(starts(h)["2"])


def test_a_future_that_somebody_else_awaits_survives_a_lost_race(host: Any) -> None:
    """Giving up stops where another waiter is."""
    h = host(Many)
    invocation = h.invoke("watched")
    by = starts(h)
    h.end(by["1"])
    assert h.abandoned() == []
    h.end(by["9"])
    assert h.outcome(invocation) == "watched"


def test_one_outcome_may_wake_a_race_and_its_loser(host: Any) -> None:
    """A coroutine that is given up by the very outcome it waits for runs once."""
    h = host(Many)
    invocation = h.invoke("both_wait")
    h.end(starts(h)["1"])
    assert h.outcome(invocation) == 0


def test_a_coroutine_given_twice_runs_once(host: Any) -> None:
    """The same coroutine in two places is one child."""
    h = host(Many)
    invocation = h.invoke("twice")
    h.end(starts(h)["1"])
    assert h.outcome(invocation) == ["once", "once"]


def test_any_awaitable_made_of_ours_can_be_gathered(host: Any) -> None:
    """An object with `__await__` is waited for like a coroutine."""
    h = host(Many)
    invocation = h.invoke("awaitable")
    h.end(starts(h)["effect"], b"4")
    assert h.outcome(invocation) == [4]


def test_awaiting_what_was_given_up_is_an_error(make_host: Any) -> None:
    """It can have no outcome any more; the error says so instead of waiting for ever."""
    h = make_host(Many)
    h.invoke("given_up")
    with pytest.raises(StepFailed, match="given up"):
        h.end(starts(h)["1"])


@pytest.mark.parametrize(("what", "error"), [("nothing", ValueError), ("number", TypeError), ("used", RuntimeError)])
def test_misuse_is_refused_where_it_happens(make_host: Any, what: str, error: type[Exception]) -> None:
    """A race of nothing, what is no awaitable, and a coroutine that has begun are errors at the call."""
    h = make_host(Many)
    with pytest.raises(StepFailed) as caught:
        h.invoke("misuse", what)
    assert type(caught.value.cause) is error


def test_a_handler_that_waits_for_itself_is_found_out(make_host: Any) -> None:
    """Coroutines that wait only for each other would wait for ever: the step fails and says so."""
    h = make_host(Many)
    with pytest.raises(StepFailed, match="waits for itself"):
        h.invoke("knot")


def test_completed_is_the_last_output_of_its_step(host: Any) -> None:
    """What the handler leaves open is abandoned before `Completed`, in the order of its start."""
    h = host(Many)
    h.invoke("first")
    h.end(starts(h)["effect"], b"3")
    assert [type(entry) for entry in h.record[-3:]] == [Abandoned, Abandoned, Completed]
