"""What a running invocation waits for, and which calls a cancellation takes with it."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

import promissory
from promissory.oplog.entries import Ended, Value
from promissory.oplog.ids import OplogIndex
from promissory.workers.machine.machine import STEP_OUTPUTS_MAX
from promissory.workers.machine.player import Player
from promissory.workers.machine.step import StepFailed
from tests.workers.guests import History, Item


def effect() -> int:
    return 1


def call(name: str) -> Any:
    return promissory.worker(History, name).add(Item("x"))


async def waits(name: str) -> Any:
    return await call(name)


async def tidies(name: str) -> Any:
    try:
        return await call(name)
    finally:
        await promissory.sleep(1)


class Waits(promissory.Worker):
    @promissory.handler
    async def wait(self, how: str) -> Any:
        made = eval(how, {**globals(), "self": self})  # the cases below are the tests'
        return str(await made)

    @promissory.handler
    async def beside(self) -> None:
        call("not awaited")
        promissory.sleep(1)
        promissory.run(effect)
        await call("a")

    @promissory.handler
    async def background(self) -> None:
        promissory.gather(waits("background"), call("let go"))
        await call("a")

    @promissory.handler
    async def goes_on(self) -> None:
        with contextlib.suppress(promissory.Cancelled):
            await promissory.gather(call("a"), promissory.race(call("b"), waits("c")))
        await call("d")

    @promissory.handler
    async def cleans_up(self) -> None:
        call("beside")
        try:
            await call("a")
        finally:
            await call("b")

    @promissory.handler
    async def cleans_up_too_much(self) -> None:
        try:
            await call("a")
        finally:
            for _ in range(STEP_OUTPUTS_MAX + 1):
                call("b")

    @promissory.handler
    async def fails_cancelled(self) -> None:
        try:
            await call("a")
        finally:
            raise ValueError

    @promissory.handler
    async def one_after_the_other(self) -> None:
        await call("a")
        await promissory.sleep(1)
        await call("b")


def names(host: Any, starts: Any) -> list[str]:
    """Return the names of the workers called by the calls at these indices."""
    return [host.record[start - 1].request.worker.worker_name for start in starts]


def waited(host: Any) -> list[str] | None:
    """Return the names of the workers whose calls are all that is waited for; the same in a replay."""
    found = host.player.waited_calls
    again = host.replay()
    if not host.player.ready:
        assert host.waited_calls(again) == found
    again.close()
    if found is None:
        return None
    for start, worker in found:
        assert host.record[start - 1].request.worker == worker
    assert list(found) == sorted(found)
    return names(host, [start for start, _ in found])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("call('a')", ["a"]),
        ("promissory.gather(call('a'), call('b'))", ["a", "b"]),
        ("promissory.race(call('b'), call('a'))", ["b", "a"]),
        ("promissory.gather(waits('a'), call('b'))", ["b", "a"]),
        ("promissory.gather(promissory.race(call('a'), waits('b')), promissory.gather(waits('c')))", ["a", "b", "c"]),
        ("promissory.gather(*[call('a')] * 3, call('b'))", ["a", "b"]),
        ("promissory.gather(promissory.gather(), call('a'))", ["a"]),
        ("promissory.sleep(1)", None),
        ("promissory.run(effect)", None),
        ("promissory.await_promise(promissory.create_promise())", None),
        ("promissory.ask(promissory.worker(History, 'a').total)", None),
        ("promissory.send(promissory.worker(History, 'a').add, Item('x'))", None),
        ("promissory.wait_for(call('a'), 1)", None),
        ("promissory.wait_for(waits('a'), 1)", None),
        ("promissory.gather(call('a'), promissory.wait_for(call('b'), 1))", None),
        ("promissory.race(call('a'), promissory.sleep(1))", None),
        ("promissory.gather(call('a'), promissory.run(effect))", None),
        ("promissory.gather(waits('a'), promissory.gather(promissory.race(promissory.sleep(1), call('b'))))", None),
        ("promissory.race(call('a'), promissory.await_promise(promissory.create_promise()))", None),
    ],
)
def test_the_calls_that_are_all_that_is_waited_for(host: Any, how: str, expected: list[str] | None) -> None:
    """Through whatever they are awaited; a promise, a `run`, a query, a deadline beside them and they are not all."""
    h = host(Waits)
    h.invoke("wait", how)
    assert waited(h) == expected


def test_a_shared_future_is_looked_at_once(host: Any) -> None:
    """However often it is shared: forty times doubled it would never end."""
    how = "call('a')"
    h = host(Waits)
    h.invoke("wait", f"__import__('functools').reduce(lambda f, _: promissory.gather(f, f), range(40), {how})")
    assert waited(h) == ["a"]
    h.fail(h.open_calls()[0])


def test_what_nobody_awaits_does_not_count(host: Any) -> None:
    """Neither calls nor timers nor effects that were begun and not awaited."""
    h = host(Waits)
    h.invoke("beside")
    assert waited(h) == ["a"]


def test_a_coroutine_in_the_background_counts(host: Any) -> None:
    """It can go on, whoever awaits it; a call handed to a `gather` that nobody awaits lets nobody go on."""
    h = host(Waits)
    h.invoke("background")
    assert waited(h) == ["a", "background"] or waited(h) == ["background", "a"]


def test_a_wait_narrows_with_each_outcome(host: Any) -> None:
    """It is looked at when every input has been applied."""
    h = host(Waits)
    h.invoke("wait", "promissory.gather(call('a'), call('b'), call('c'))")
    a, b, c = h.open_calls()
    h.end(b, b'{"name":"x"}')
    assert waited(h) == ["a", "c"]
    h.put(Ended(h.tick(), OplogIndex(a), Value(b'{"name":"x"}')))
    assert waited(h) is None
    h.settle()
    assert waited(h) == ["c"]
    h.end(c, b'{"name":"x"}')
    assert waited(h) is None
    assert h.player.running is None


def test_only_what_runs_waits(host: Any) -> None:
    """Before there is a worker, and between invocations, nothing is waited for."""
    h = host(Waits)
    assert waited(h) is None
    assert Player(h.component, h.worker_id).waited_calls is None
    h.invoke("one_after_the_other")
    assert waited(h) == ["a"]
    h.queue("wait", "call('queued')")
    assert waited(h) == ["a"]
    h.end(h.open_calls()[0], b'{"name":"x"}')
    assert waited(h) is None
    h.end(h.open_calls()[0])
    assert waited(h) == ["b"]
    h.player.close()
    assert h.player.waited_calls is None


def test_a_call_that_lost_a_race_is_let_go_and_not_cancelled(host: Any) -> None:
    """The other side goes on; only a cancellation goes down."""
    h = host(Waits)
    h.invoke("wait", "promissory.race(call('a'), call('b'))")
    a, b = h.open_calls()
    h.end(a, b'{"name":"x"}')
    assert h.abandoned() == [b]
    assert h.cancels == []


def test_a_deadline_lets_a_call_go(host: Any) -> None:
    """As does the error of another in a `gather`."""
    h = host(Waits)
    h.invoke("wait", "promissory.gather(call('a'), promissory.wait_for(call('b'), 1))")
    a, b, timer = h.open_calls()
    h.end(timer)
    assert sorted(h.abandoned()) == [a, b]
    assert h.cancels == []


def test_a_cancellation_goes_down_to_the_calls_that_are_awaited(host: Any) -> None:
    """Through gathers, races and coroutines; what the handler begins afterwards is not among them."""
    h = host(Waits)
    invocation = h.invoke("goes_on")
    assert waited(h) == ["a", "b", "c"]
    h.cancel(invocation)
    assert sorted(names(h, h.cancels)) == ["a", "b", "c"]
    assert sorted(h.cancels) == sorted(h.abandoned())
    assert waited(h) == ["d"]


def test_a_call_that_was_not_awaited_is_not_cancelled(host: Any) -> None:
    """It is abandoned when the handler ends, as without a cancellation."""
    h = host(Waits)
    invocation = h.invoke("beside")
    h.cancel(invocation)
    assert names(h, h.cancels) == ["a"]
    assert len(h.abandoned()) == 4


def test_a_coroutine_in_the_background_is_cancelled_with_its_call(host: Any) -> None:
    """It awaited it."""
    h = host(Waits)
    invocation = h.invoke("background")
    h.cancel(invocation)
    assert sorted(names(h, h.cancels)) == ["a", "background"]


def test_the_second_cancellation_takes_the_calls_of_the_cleaning_up_with_it(host: Any) -> None:
    """The handler is not asked; only what it awaited then is cancelled."""
    h = host(Waits)
    invocation = h.invoke("cleans_up")
    h.cancel(invocation)
    assert names(h, h.cancels) == ["a"]
    assert waited(h) == ["b"]
    h.cancels.clear()
    h.cancel(invocation)
    assert names(h, h.cancels) == ["b"]
    assert sorted(names(h, h.abandoned())) == ["a", "b", "beside"]
    assert h.outcome(invocation).kind == "cancelled"


def test_a_forced_cancellation_takes_the_awaited_calls_with_it(make_host: Any) -> None:
    """When the handler fails at its cancellation, the next one takes its place."""
    h = make_host(Waits)
    invocation = h.invoke("fails_cancelled")
    with pytest.raises(StepFailed):
        h.cancel(invocation)
    failing = len(h.record)
    h.player = h.replay()
    h.cancel(invocation, failing)
    assert names(h, h.cancels) == ["a"]
    assert h.outcome(invocation).kind == "cancelled"
    h.assert_replays()


def test_a_cancellation_whose_step_is_too_large_takes_the_call_with_it(host: Any) -> None:
    """The call was given up, whatever became of the cleaning up."""
    h = host(Waits)
    invocation = h.invoke("cleans_up_too_much")
    h.cancel(invocation)
    assert names(h, h.cancels) == names(h, h.abandoned()) == ["a"]
    assert h.outcome(invocation).code == 500


def test_a_step_after_a_cancellation_cancels_nothing(host: Any) -> None:
    """Each step says what it gave up itself; a cancellation of another invocation gives nothing up."""
    h = host(Waits)
    invocation = h.invoke("cleans_up")
    h.cancel(invocation)
    h.cancels.clear()
    h.end(h.open_calls()[-1], b'{"name":"x"}')
    assert h.outcome(invocation).kind == "cancelled"
    other = h.invoke("cleans_up")
    h.cancel(invocation)
    queued = h.queue("cleans_up")
    h.cancel(queued)
    assert h.cancels == []
    assert h.outcome(queued).kind == "cancelled"
    assert h.outcome(other) is None


def test_a_coroutine_that_tidies_up_after_it_was_given_up_can_go_on(host: Any) -> None:
    """As long as it has not ended, what it awaits counts."""
    h = host(Waits)
    h.invoke("wait", "promissory.gather(promissory.race(tidies('a'), call('b')), call('c'))")
    _, b, c = sorted(h.open_calls(), key=lambda start: h.record[start - 1].request.worker.worker_name)
    h.end(b, b'{"name":"x"}')
    assert waited(h) is None
    h.end(h.open_calls()[-1])
    assert waited(h) == ["c"]
    assert h.open_calls() == [c]
    assert h.cancels == []
