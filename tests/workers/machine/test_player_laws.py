"""Replay laws, over a corpus of worker shapes and random histories of what happens to them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from attrs import field
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import promissory
from promissory.oplog.entries import (
    Abandoned,
    Ask,
    AwaitPromise,
    Call,
    Cancelled,
    Completed,
    CompletePromise,
    Ended,
    Failure,
    Invoked,
    NamedPromise,
    PollPromise,
    RejectPromise,
    Role,
    Run,
    Send,
    SettleAwakeable,
    Settled,
    Started,
    Value,
)
from promissory.oplog.errors import NonDeterminismError
from promissory.workers.promises import awakeable, durable_promise, reject_awakeable, resolve_awakeable


def effect(number: int) -> int:
    return number


class Corpus(promissory.Worker):
    seen: list[Any] = field(factory=list)

    @promissory.handler
    async def promise(self) -> str:
        promise = promissory.create_promise()
        self.seen.append(str(promise)[-1])
        payload = await promissory.await_promise(promise)
        return payload.decode(errors="replace")

    @promissory.handler
    async def runs(self, count: int) -> int:
        total = 0
        for number in range(count):
            total += await promissory.run(effect, number)
            self.seen.append([total, promissory.random(), str(promissory.uuid4()), promissory.now().isoformat()])
        return total

    @promissory.handler
    async def nested(self) -> list[Any]:
        async def child(number: int) -> int:
            first, _ = await promissory.gather(promissory.run(effect, number), promissory.sleep(number))
            self.seen.append(number)
            return first

        async def cleaning() -> None:
            try:
                await promissory.sleep(60)
            finally:
                self.seen.append("cleaned")
                promissory.create_promise()

        winner = await promissory.race(child(1), promissory.gather(child(2), cleaning()), promissory.sleep(9))
        try:
            await promissory.wait_for(promissory.race(cleaning(), promissory.run(effect, 7)), 5)
        except promissory.TimedOut:
            self.seen.append("late")
        return [winner[0]]

    @promissory.handler
    async def left_open(self) -> None:
        promissory.run(effect, 1)
        promissory.sleep(3)
        promissory.gather(promissory.sleep(1), self.never())
        await promissory.sleep(2)

    async def never(self) -> None:
        try:
            while True:
                await promissory.sleep(1)
        except promissory.Cancelled:
            self.seen.append("never")
            raise

    @promissory.handler
    async def failing(self, kind: int) -> None:
        if kind == 0:
            raise promissory.TerminalError("no use", 418)
        try:
            await promissory.run(effect, kind)
        except promissory.TerminalError as error:
            self.seen.append(str(error))
            await promissory.sleep(1)
            raise

    @promissory.handler
    async def stubborn(self) -> str:
        for _ in range(2):
            try:
                await promissory.sleep(1)
            except promissory.Cancelled:
                self.seen.append("not yet")
        return "done"

    @promissory.handler
    async def calls(self, alone: bool) -> list[Any]:
        others = [promissory.worker(Corpus, f"other-{n}") for n in range(5)]
        others[0].runs(1)  # type: ignore[unused-coroutine]
        promissory.send(others[0].promise)
        promissory.race(others[0].promise(), others[0].runs(2))

        async def child(other: Corpus) -> Any:
            try:
                return await other.stubborn()
            finally:
                self.seen.append("child")

        mine = [promissory.race(child(others[1]), others[2].runs(3)), others[3].promise()]
        if not alone:
            mine.append(promissory.ask(others[4].count))
        try:
            self.seen.append(await promissory.gather(*mine))
        except promissory.TerminalError as error:
            self.seen.append(error.code)
        return [await promissory.send_after(3, others[0].runs, 3), await others[1].failing(2)]

    @promissory.handler
    async def awakeables(self) -> list[Any]:
        (first, one), (second, two) = awakeable(str), awakeable(int | None, 60)
        self.seen += [first, second]
        resolve_awakeable(second, 3)
        try:
            self.seen.append(await promissory.race(one, two))
        except promissory.TerminalError as error:
            self.seen.append(str(error))
        return [await reject_awakeable(first, "no"), await promissory.wait_for(awakeable(str)[1], 5)]

    @promissory.handler
    async def named(self, expected: bool) -> list[Any]:
        promise = durable_promise("release", str if expected else None, 60)
        durable_promise("left behind").reject("no")
        try:
            self.seen.append(await promissory.gather(promise.peek(), promise.get()))
        except promissory.TerminalError as error:
            self.seen.append(str(error))
        won, outcome = await promissory.race(promise.resolve("yes" if expected else None), promise.reject("no"))
        return [won, outcome.settled, str(outcome.error), await promissory.wait_for(promise.get(), 5)]

    @promissory.query
    def count(self) -> int:
        return len(self.seen)


CALLS = [
    ("promise", ()),
    ("runs", (3,)),
    ("runs", (0,)),
    ("nested", ()),
    ("left_open", ()),
    ("failing", (0,)),
    ("failing", (1,)),
    ("stubborn", ()),
    ("calls", (True,)),
    ("calls", (False,)),
    ("awakeables", ()),
    ("named", (True,)),
    ("named", (False,)),
]

RESULTS = {"runs": b"1", "promise": b'"p"', "stubborn": b'"s"', "count": b"2"}

PAYLOADS = (b"null", b'"value"', b"", b"17", b"[")
"""What promises may hold; not all of it fits everywhere."""

choices = st.lists(
    st.one_of(
        st.tuples(st.just("invoke"), st.integers(0, len(CALLS) - 1)),
        st.tuples(st.just("delayed"), st.integers(0, len(CALLS) - 1)),
        st.tuples(st.just("due"), st.integers(0, 9)),
        st.tuples(st.just("end"), st.integers(0, 9)),
        st.tuples(st.just("end"), st.integers(0, 9)),
        st.tuples(st.just("fail"), st.integers(0, 9)),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("settle"), st.just(0)),
        st.tuples(st.just("note"), st.just(0)),
    ),
    max_size=40,
)


def happen(host: Any, what: str, number: int) -> None:
    """Have one thing happen to the worker, without taking a step for it yet."""
    calls = host.open_calls()
    invoked = [i for i, entry in enumerate(host.record, 1) if isinstance(entry, Invoked)]
    ended = {entry.start for entry in host.record if isinstance(entry, Ended)}
    delayed = [i for i in invoked if host.record[i - 1].due is not None and i not in ended]
    if what in ("invoke", "delayed"):
        function, args = CALLS[number]
        host.queue(function, *args, due=5 if what == "delayed" else None)
    elif what == "due" and delayed:
        host.put(Ended(host.tick(), delayed[number % len(delayed)], Value(None)))
    elif what == "end" and calls:
        start = calls[number % len(calls)]
        host.put(Ended(host.tick(), start, Value(result(host.record[start - 1].request, number))))
    elif what == "fail" and calls:
        host.put(Ended(host.tick(), calls[number % len(calls)], Failure("rejected", "because", 500)))
    elif what == "cancel" and invoked:
        host.put(Cancelled(host.tick(), invoked[number % len(invoked)], None))
    elif what == "note":
        host.put(Settled(host.tick(), 1, Value(b"x"), "somebody"))
    elif what == "settle":
        host.settle()


def result(request: Any, number: int) -> bytes:
    """Return what may come of a host call."""
    if isinstance(request, Run):
        return b"%d" % number
    if isinstance(request, Send):
        return b'"inv_1%d"' % number
    if isinstance(request, SettleAwakeable | RejectPromise | CompletePromise):
        return b"true" if number % 2 else b"false"
    if isinstance(request, NamedPromise):
        return b"1" if request.creates or number % 2 else b"null"
    if isinstance(request, AwaitPromise | PollPromise):
        return PAYLOADS[number % len(PAYLOADS)]
    return RESULTS.get(request.function, b"null") if isinstance(request, (Call, Ask)) else b"null"


def live(make_host: Any, history: list[tuple[str, int]]) -> Any:
    host = make_host(Corpus)
    for what, number in history:
        happen(host, what, number)
    host.settle()
    return host


law = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@example(history=[("invoke", 3), ("settle", 0), ("end", 1), ("end", 1)])
@given(history=choices)
@law
def test_replay_of_a_live_run_gives_the_same_state_and_goes_on_the_same_way(make_host: Any, history: Any) -> None:
    """Whatever happened to a worker, and whenever it was stepped, its record alone brings it back."""
    host = live(make_host, history)

    again = host.replay()
    host.rest(again)

    assert host.player.state() == again.state()
    assert host.player.running == again.running
    assert sorted(host.player.open_runs) == sorted(again.open_runs)
    assert host.player.open_asks == again.open_asks
    assert host.player.waited_calls == again.waited_calls
    for player in (host.player, again):
        player.close()


@given(history=choices, rest=choices)
@law
def test_a_replayed_worker_goes_on_exactly_as_the_one_that_never_left(make_host: Any, history: Any, rest: Any) -> None:
    """Leaving memory at any moment changes nothing of what a worker does later."""
    stayed = live(make_host, history)
    left = live(make_host, history)
    left.player.close()
    left.player = left.replay()

    for host in (stayed, left):
        for what, number in rest:
            happen(host, what, number)
        host.settle()

    assert stayed.record == left.record
    assert stayed.cancels == left.cancels
    assert set(stayed.cancels) <= set(stayed.abandoned())
    assert stayed.player.state() == left.player.state()
    stayed.player.close()
    left.player.close()


@given(history=choices)
@law
def test_nothing_but_the_waited_calls_lets_an_invocation_go_on(make_host: Any, history: Any) -> None:
    """When calls are all that is waited for, no code runs before one of them has its outcome."""
    host = live(make_host, [("invoke", CALLS.index(("calls", (True,)))), ("settle", 0), *history])
    waited = host.player.waited_calls
    if waited is not None:
        starts = [start for start, _ in waited]
        assert [(start, host.record[start - 1].request.worker) for start in starts] == list(waited)
        before, length = repr(host.player.state()), len(host.record)
        for start in set(host.open_calls()) - set(starts):
            if start in host.open_calls():
                host.end(start, result(host.record[start - 1].request, 1))
        assert repr(host.player.state()) == before
        assert {type(entry) for entry in host.record[length:]} <= {Ended, Abandoned}
        assert host.player.waited_calls == waited
        host.end(starts[0], result(host.record[starts[0] - 1].request, 1))
        assert host.player.waited_calls != waited
    host.player.close()


@given(history=choices)
@law
def test_replay_of_a_prefix_of_units_is_a_prefix(make_host: Any, history: Any) -> None:
    """Cut after any unit, a record replays, and its remaining steps repeat the record as far as inputs are equal."""
    host = live(make_host, history)

    for cut in host.units:
        player = host.replay(host.record[:cut])
        index = cut
        while player.ready and index < len(host.record):
            outputs = player.step(index, host.record[index].timestamp).outputs
            if host.record[index].role is not Role.OUTPUT:
                break
            assert outputs == host.record[index : index + len(outputs)]
            index += len(outputs)
        player.close()
    host.player.close()


@given(history=choices, place=st.integers(0, 1000))
@law
def test_a_changed_output_is_found_where_it_stands(make_host: Any, history: Any, place: int) -> None:
    """The first difference between record and code is reported with its index, the expected and the found."""
    host = live(make_host, history)
    outputs = [i for i, entry in enumerate(host.record) if entry.role is Role.OUTPUT]
    if not outputs:
        return
    at = outputs[place % len(outputs)]
    entry = host.record[at]
    if isinstance(entry, Started):
        changed: Any = msgspec.structs.replace(entry, request=Run("something else"))
    elif isinstance(entry, Abandoned):
        changed = msgspec.structs.replace(entry, start=entry.start + 1000)
    else:
        assert isinstance(entry, Completed)
        changed = msgspec.structs.replace(entry, outcome=Value(b'"something else"'))

    with pytest.raises(NonDeterminismError) as caught:
        host.replay([*host.record[:at], changed, *host.record[at + 1 :]])

    assert caught.value.index == at + 1
    assert caught.value.worker == str(host.worker_id)
    assert caught.value.expected
    assert caught.value.found
    assert caught.value.expected != caught.value.found
    host.player.close()


@given(history=choices, place=st.integers(0, 1000))
@law
def test_a_lost_output_is_noticed(make_host: Any, history: Any, place: int) -> None:
    """A record that lacks one of a step's outputs does not replay as if nothing were amiss."""
    host = live(make_host, history)
    splits = [i for i, entry in enumerate(host.record, 1) if entry.role is Role.OUTPUT and i not in host.units]
    host.player.close()
    if not splits:
        return
    cut = splits[place % len(splits)]

    with pytest.raises(NonDeterminismError) as caught:
        host.replay(host.record[:cut])

    assert caught.value.index == cut + 1
    assert caught.value.expected == "the end of the record"
