"""How invocations end, and what they leave behind: nothing."""

from __future__ import annotations

import contextlib
import decimal
from typing import Any

import pytest
from attrs import define, field

import promissory
from promissory.oplog.entries import Abandoned, Cancelled, Completed, CreatePromise, Failure, Started
from promissory.workers.machine.step import StepFailed


def effect(number: int) -> int:
    return number


@define
class Point:
    x: int


class OutOfStock(promissory.TerminalError):
    pass


class Broken(promissory.TerminalError):
    def __str__(self) -> str:
        raise ValueError("no text")


class Ends(promissory.Worker):
    heard: list[str] = field(factory=list)

    @promissory.handler
    async def raises(self, what: str) -> None:
        match what:
            case "kind":
                raise OutOfStock("none left", 409)
            case "surrogate":
                raise promissory.TerminalError("\ud800")
            case "broken":
                raise Broken("x")
            case "rejected":
                raise promissory.PromiseRejected("no")
            case "cancelled":
                raise promissory.Cancelled
            case "exit":
                raise SystemExit(3)

    @promissory.handler
    async def wrong(self) -> int:
        return "three"  # type: ignore[return-value]

    @promissory.handler
    async def opaque(self):  # type: ignore[no-untyped-def]
        return object()

    @promissory.handler
    async def nan(self) -> float:
        return float("nan")

    @promissory.handler
    async def attrs_result(self) -> Point:
        return Point(3)

    @promissory.handler
    async def leaves(self) -> None:
        promissory.create_promise()
        promissory.run(effect, 1)
        promissory.sleep(1)
        promissory.gather(self.child("a"), self.child("b"))
        await promissory.sleep(2)

    async def child(self, name: str) -> None:
        try:
            await promissory.sleep(10)
        finally:
            self.heard.append(name)
            await promissory.sleep(20)

    @promissory.handler
    async def undying(self) -> None:
        async def undying() -> None:
            while True:
                with contextlib.suppress(promissory.Cancelled):
                    await promissory.sleep(1)

        promissory.gather(undying())
        await promissory.sleep(2)

    @promissory.handler
    async def complaining(self) -> None:
        async def complain() -> None:
            try:
                await promissory.sleep(1)
            finally:
                raise ValueError("complaint")

        await promissory.race(complain(), promissory.sleep(2))
        await promissory.sleep(3)

    @promissory.handler
    async def cleans_up(self) -> str:
        try:
            await promissory.gather(promissory.sleep(1), self.child("c"))
        except promissory.Cancelled:
            await promissory.run(effect, 1)
            raise
        return "done"

    @promissory.handler
    async def goes_on(self) -> str:
        with contextlib.suppress(promissory.Cancelled):
            await promissory.sleep(1)
        await promissory.sleep(2)
        return "went on"

    @promissory.handler
    async def many(self, count: int) -> None:
        promissory.sleep(1)
        await promissory.sleep(2)
        for _ in range(count):
            promissory.run(effect, 1)

    @promissory.handler
    async def greedy(self) -> None:
        try:
            for _ in range(5000):
                promissory.create_promise()
        except BaseException:
            self.heard.append("caught")
            promissory.log.info("on and on")

    @promissory.handler
    async def large(self, size: int) -> str:
        promise = promissory.create_promise()
        await promissory.complete_promise(promise, bytes(size))
        return "x" * size

    @promissory.handler
    async def chatty(self) -> None:
        for _ in range(5000):
            promissory.log.info("again")

    @promissory.handler
    async def precision(self, digits: int) -> str:
        if digits:
            decimal.getcontext().prec = digits
        await promissory.sleep(1)
        return str(decimal.Decimal(1) / 3)


@pytest.mark.parametrize(
    ("what", "failure"),
    [
        ("kind", Failure("terminal", "none left", 409)),
        ("surrogate", Failure("terminal", "\\ud800", 500)),
        ("broken", Failure("terminal", "Broken whose message cannot be had: ValueError", 500)),
        ("rejected", Failure("rejected", "no", 500)),
    ],
)
def test_a_terminal_error_completes_the_invocation_with_itself(host: Any, what: str, failure: Failure) -> None:
    """Kind, message and code are recorded as valid data, whatever class was raised."""
    h = host(Ends)
    assert h.outcome(h.invoke("raises", what)) == failure


@pytest.mark.parametrize(("what", "cause"), [("cancelled", promissory.Cancelled), ("exit", SystemExit)])
def test_other_exceptions_fail_the_step(make_host: Any, what: str, cause: type[BaseException]) -> None:
    """`BaseException`s included: `Cancelled` too, when nobody cancelled the invocation."""
    h = make_host(Ends)
    with pytest.raises(StepFailed) as caught:
        h.invoke("raises", what)
    assert type(caught.value.cause) is cause


@pytest.mark.parametrize(
    ("function", "words"), [("wrong", "`int`, got `str`"), ("opaque", "object"), ("nan", "`float`, got `null`")]
)
def test_a_result_that_does_not_fit_fails_the_invocation_and_says_what(host: Any, function: str, words: str) -> None:
    """No retry could change it, so the invocation fails terminally."""
    h = host(Ends)
    outcome = h.outcome(h.invoke(function))
    assert outcome.kind == "terminal"
    assert words in outcome.message


def test_a_result_is_recorded_as_json(host: Any) -> None:
    """Results are data: attrs classes become objects."""
    h = host(Ends)
    assert h.outcome(h.invoke("attrs_result")) == {"x": 3}


def test_what_is_open_at_the_return_is_cancelled_and_abandoned(host: Any) -> None:
    """Coroutines get `Cancelled` until they end, host calls an `Abandoned`; a promise goes on."""
    h = host(Ends)
    h.invoke("leaves")
    open_calls = h.open_calls()
    h.end(open_calls[2])
    assert h.player.state()["heard"] == ["a", "b"]
    assert h.open_calls() == []
    assert isinstance(h.record[-1], Completed)
    promises = [i for i, e in enumerate(h.record, 1) if isinstance(e, Started) and isinstance(e.request, CreatePromise)]
    assert not set(promises) & set(h.abandoned())
    assert len(h.abandoned()) == len(set(h.abandoned()))


def test_a_coroutine_that_does_not_end_fails_the_step(make_host: Any) -> None:
    """Awaiting on and on after `Cancelled` is bounded."""
    h = make_host(Ends)
    h.invoke("undying")
    with pytest.raises(StepFailed, match="await on and on"):
        h.end(h.open_calls()[0])


def test_the_error_of_a_given_up_coroutine_is_logged(host: Any) -> None:
    """Nobody waits for it any more, but people may want to know."""
    h = host(Ends)
    h.invoke("complaining")
    h.end(h.open_calls()[0])
    assert h.logs == [("warning", "a coroutine that was given up raised ValueError: complaint")]
    h.end(h.open_calls()[0])


def test_cancelling_raises_at_the_await_and_lets_the_handler_clean_up(host: Any) -> None:
    """What the handler awaited is given up; it may still use the host; its outcome is `cancelled`."""
    h = host(Ends)
    invocation = h.invoke("cleans_up")
    h.cancel(invocation)
    assert h.player.state()["heard"] == ["c"]
    assert h.outcome(invocation) is None
    (run,) = h.player.open_runs
    h.end(run, b"1")
    assert h.outcome(invocation) == Failure("cancelled", "the invocation was cancelled", 409)
    assert h.open_calls() == []


def test_a_handler_may_refuse_to_be_cancelled_once(host: Any) -> None:
    """The first `Cancelled` asks; the second one completes the invocation without asking."""
    h = host(Ends)
    refusing = h.invoke("goes_on")
    h.cancel(refusing)
    h.end(h.open_calls()[0])
    assert h.outcome(refusing) == "went on"

    forced = h.invoke("goes_on")
    h.cancel(forced)
    h.cancel(forced)
    assert h.outcome(forced).kind == "cancelled"
    assert h.open_calls() == []


def test_cancelling_what_has_not_begun_or_is_over(host: Any) -> None:
    """A queued or delayed invocation completes as cancelled; a completed one keeps its outcome."""
    h = host(Ends)
    running, queued = h.invoke("goes_on"), h.queue("goes_on")
    delayed = h.queue("goes_on", due=5)
    h.cancel(queued)
    h.cancel(delayed)
    assert h.outcome(queued).kind == h.outcome(delayed).kind == "cancelled"
    h.end(delayed)
    h.end(h.open_calls()[0])
    h.end(h.open_calls()[0])
    assert h.outcome(running) == "went on"
    h.cancel(running)
    assert sum(isinstance(entry, Completed) for entry in h.record) == 3
    assert sum(isinstance(entry, Cancelled) for entry in h.record) == 3


def test_a_step_past_its_limit_fails_the_invocation(host: Any) -> None:
    """Its outputs are replaced by the end of what was open before, and the failure."""
    h = host(Ends)
    invocation = h.invoke("many", 4097)
    first, second = h.open_calls()
    h.end(second)
    assert h.outcome(invocation).kind == "terminal"
    assert "4096" in h.outcome(invocation).message
    assert [type(entry) for entry in h.record[-2:]] == [Abandoned, Completed]
    assert h.record[-2].start == first
    assert dict(h.player.open_runs) == {}


def test_a_step_at_its_limit_completes(host: Any) -> None:
    """Exactly as many host calls as the limit are fine, and so are their `Abandoned`s."""
    h = host(Ends)
    invocation = h.invoke("many", 4096)
    h.end(h.open_calls()[1])
    assert len(h.abandoned()) == 4097
    assert not isinstance(h.outcome(invocation), Failure)


@pytest.mark.parametrize(("function", "args"), [("greedy", ()), ("chatty", ()), ("large", (17 * 2**20,))])
def test_limits_count_promises_log_lines_and_bytes_and_cannot_be_caught(
    host: Any, function: str, args: tuple[Any, ...]
) -> None:
    """Catching the error does not help: the invocation has failed."""
    h = host(Ends)
    invocation = h.invoke(function, *args)
    assert h.outcome(invocation).kind == "terminal"
    assert h.calls() == []
    assert h.logs == []


def test_a_result_past_the_limit_fails_the_invocation(host: Any) -> None:
    """The outcome's bytes count too."""
    h = host(Ends)
    invocation = h.invoke("large", 15 * 2**20)
    h.end(h.open_calls()[0], b"true")
    assert isinstance(h.outcome(invocation), str)
    # The payload's step and the result's are two; each has its own limit.


def test_context_variables_belong_to_an_invocation(host: Any) -> None:
    """What a handler sets in its context, no other invocation sees; not even after leaving memory."""
    h = host(Ends)
    precise = h.invoke("precision", 3)
    assert decimal.getcontext().prec == 28
    h.end(h.open_calls()[0])
    plain = h.invoke("precision", 0)
    h.end(h.open_calls()[0])
    assert len(h.outcome(precise)) < len(h.outcome(plain))
