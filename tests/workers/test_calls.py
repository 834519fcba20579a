"""Calls of other workers: the request each one records, the value it returns, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import field

import promissory
from promissory.oplog.entries import Ask, Call, Completed, Failure, Send, Started
from promissory.oplog.ids import WorkerId, component_id
from promissory.workers.component import component_of
from promissory.workers.machine.machine import STEP_BYTES_MAX
from promissory.workers.machine.player import Player
from tests.workers.guests import History, Item, Mailer


class Caller(promissory.Worker):
    got: list[Any] = field(factory=list)

    @promissory.handler
    async def one(self) -> Any:
        got = await promissory.worker(History, "user/1").add(Item("pen", 3))
        assert isinstance(got, Item)
        return got

    @promissory.handler
    async def ways(self) -> None:
        history = promissory.worker(History, "u")
        promissory.send(history.add, Item("a"))
        promissory.send(history.add, Item("a"), 2)
        promissory.send(history.add, times=2, item=Item("a"))
        promissory.send(history.add, Item("a"), note="n")
        promissory.send(history.strict, 1, c=3)
        promissory.send(history.strict, 1, 5, c=3)

    @promissory.handler
    async def mails(self) -> None:
        await promissory.gather(
            promissory.worker(Mailer).mail("a"), promissory.invoke_and_await("worker://mailer", "mail", "b")
        )

    @promissory.handler
    async def sends(self) -> list[str]:
        history = promissory.worker(History, "u")
        return [await promissory.send(history.add, Item("a")), await promissory.send_after(1.5, history.add, Item("b"))]

    @promissory.handler
    async def asks(self) -> None:
        self.got += await promissory.ask(promissory.worker(History, "u").total, since=3)

    @promissory.handler
    async def by_name(self, uri: str) -> Any:
        return await promissory.invoke_and_await(uri, "add", {"name": "pen"}, 2)

    @promissory.handler
    async def sends_by_name(self, at: datetime) -> Any:
        return await promissory.gather(
            promissory.invoke("worker://history/u", "add", 1), promissory.schedule(at, "worker://history/u", "add")
        )

    @promissory.handler
    async def caught(self) -> str:
        try:
            await promissory.worker(History, "u").add(Item("a"))
        except promissory.CallError as error:
            return f"{type(error).__name__} {error.code}: {error}"
        return "none"

    @promissory.handler
    async def itself(self) -> None:
        await promissory.worker(Caller, promissory.current_worker().worker_name).one()

    @promissory.handler
    async def leaves(self) -> str:
        history = promissory.worker(History, "u")
        history.add(Item("a"))  # type: ignore[unused-coroutine]
        promissory.send(history.add, Item("b"))
        promissory.ask(history.total)
        return "left"

    @promissory.handler
    async def large(self, first: int) -> None:
        history = promissory.worker(History, "u")
        history.add(Item("a"))  # type: ignore[unused-coroutine]
        promissory.ask(history.total)
        for _ in range(first):
            await promissory.sleep(1)
        while True:
            promissory.send(history.add, Item("x" * (STEP_BYTES_MAX // 4)))


HISTORY = WorkerId(component_of(History).id, "u")


def test_a_call_is_recorded_with_its_target_and_its_result_is_of_the_class(host: Any) -> None:
    """The worker is named as it is; the result comes back as the handler's annotation says."""
    h = host(Caller)
    invocation = h.invoke("one")
    worker = WorkerId(component_of(History).id, "user/1")
    assert h.calls() == [Call(worker, "add", b'[{"name":"pen","price":3}]')]
    h.end(h.open_calls()[0], b'{"name":"pen","price":4}')
    assert h.outcome(invocation) == {"name": "pen", "price": 4}


def test_arguments_are_recorded_in_the_order_of_the_signature(host: Any) -> None:
    """By position, by keyword, or left out; defaults at the end stay the callee's own."""
    h = host(Caller)
    h.invoke("ways")
    item = b'{"name":"a","price":1}'
    assert [request.params for request in h.calls()] == [
        b"[" + item + b"]",
        b"[" + item + b",2]",
        b"[" + item + b",2]",
        b"[" + item + b',1,"n"]',
        b"[1,3]",
        b"[1,3,5]",
    ]
    decoded = component_of(History).handlers["strict"].parameters.decode(b"[1,3,5]")
    assert decoded == ((1, 5), {"c": 3})


def test_an_ephemeral_target_has_no_name(host: Any) -> None:
    """By class or by name: the host makes a fresh worker for each call."""
    h = host(Caller)
    h.invoke("mails")
    fresh = WorkerId(component_id("mailer"), "")
    assert h.calls() == [Call(fresh, "mail", b'["a"]'), Call(fresh, "mail", b'["b"]')]
    for start in h.open_calls():
        h.end(start)


def test_sending_returns_the_invocations_id(host: Any) -> None:
    """At once, or after a delay that counts from the time of the step."""
    h = host(Caller)
    invocation = h.invoke("sends")
    h.end(h.open_calls()[0], b'"inv_1a"')
    now = h.clock
    assert h.calls() == [
        Send(HISTORY, "add", b'[{"name":"a","price":1}]', None),
        Send(HISTORY, "add", b'[{"name":"b","price":1}]', now + 1_500_000),
    ]
    h.end(h.open_calls()[0], b'"inv_1b"')
    assert h.outcome(invocation) == ["inv_1a", "inv_1b"]


def test_a_query_is_asked_and_answered_in_the_classes_types(host: Any) -> None:
    """It is open until it has its answer, in replay as well."""
    h = host(Caller)
    h.invoke("asks")
    assert h.player.open_asks == {3: Ask(HISTORY, "total", b"[3]")} == h.replay().open_asks
    h.end(3, b'[{"name":"a"}]')
    assert h.player.open_asks == {} == h.replay().open_asks
    assert h.player.state()["got"] == [Item("a")]


@pytest.mark.parametrize(
    ("uri", "worker"),
    [
        ("worker://history/a%2Fb", WorkerId(component_id("history"), "a/b")),
        (f"worker://{WorkerId(component_id('history'), 'x')}", WorkerId(component_id("history"), "x")),
    ],
)
def test_a_worker_can_be_called_by_name(host: Any, uri: str, worker: WorkerId) -> None:
    """By the component's name or id; arguments and result are JSON's builtins."""
    h = host(Caller)
    invocation = h.invoke("by_name", uri)
    assert h.calls() == [Call(worker, "add", b'[{"name":"pen"},2]')]
    h.end(h.open_calls()[0], b'{"name":[1]}')
    assert h.outcome(invocation) == {"name": [1]}


@pytest.mark.parametrize(
    ("at", "due"),
    [
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 1_000_000),
        (datetime(1970, 1, 1, 1, 0, 1, tzinfo=timezone(timedelta(hours=1))), 1_000_000),
        (datetime(1969, 1, 1, tzinfo=UTC), 0),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), 253_402_300_799_999_999),
    ],
)
def test_sending_by_name_at_once_or_at_a_time(host: Any, at: datetime, due: int) -> None:
    """The time is absolute; one that has passed is due at once."""
    h = host(Caller)
    invocation = h.invoke("sends_by_name", at.isoformat())
    assert h.calls() == [Send(HISTORY, "add", b"[1]", None), Send(HISTORY, "add", b"[]", due)]
    h.end(3, b'"inv_1a"')
    h.end(4, b'"inv_1b"')
    assert h.outcome(invocation) == ["inv_1a", "inv_1b"]


@pytest.mark.parametrize(
    "uri", ["history/u", "worker://History/u", "worker://history/", "worker://history/a/b", "worker://history/%2f", ""]
)
def test_a_wrong_uri_is_refused_at_once(host: Any, uri: str) -> None:
    """Nothing is recorded of the call."""
    h = host(Caller)
    outcome = h.outcome(h.invoke("by_name", uri))
    assert (outcome.kind, outcome.code) == ("call", 400)
    assert h.calls() == []


@pytest.mark.parametrize(
    ("kind", "text"), [("call", "CallError 404: no"), ("call_cycle", "CallCycleError 404: no"), ("terminal", None)]
)
def test_a_call_that_could_not_be_made_raises_a_call_error(host: Any, kind: str, text: str | None) -> None:
    """The callee's own errors are not among them."""
    h = host(Caller)
    invocation = h.invoke("caught")
    h.fail(h.open_calls()[0], kind, "no", 404)
    assert h.outcome(invocation) == (text or Failure("terminal", "no", 404))


def test_a_result_that_the_class_cannot_hold_fails_terminally(host: Any) -> None:
    """No retry changes what is recorded."""
    h = host(Caller)
    invocation = h.invoke("one")
    h.end(h.open_calls()[0], b'{"price":1}')
    outcome = h.outcome(invocation)
    assert outcome.kind == "terminal"
    assert "missing required field `name`" in outcome.message


def test_a_worker_can_call_itself(host: Any) -> None:
    """That it would wait for itself is for the host to find."""
    h = host(Caller)
    h.invoke("itself")
    assert h.calls() == [Call(h.worker_id, "one", b"[]")]


def test_what_nobody_waits_for_is_a_call_all_the_same(host: Any) -> None:
    """It is recorded as begun, and let go when the handler returns."""
    h = host(Caller)
    invocation = h.invoke("leaves")
    assert [type(request) for request in h.calls()] == [Call, Send, Ask]
    assert h.abandoned() == [3, 4, 5]
    assert isinstance(h.record[-1], Completed)
    assert h.outcome(invocation) == "left"
    assert h.player.open_asks == {}
    assert h.player.waited_calls is None
    assert h.cancels == []


@pytest.mark.parametrize("before", [0, 1])
def test_arguments_count_for_the_size_of_a_step(host: Any, before: int) -> None:
    """A step past its limit fails its invocation and leaves no call open."""
    h = host(Caller)
    invocation = h.invoke("large", before)
    assert len(h.player.open_asks) == before
    if before:
        h.end(h.open_calls()[-1])
    assert h.outcome(invocation).message.startswith("handler `large` of `caller` did too much in one step")
    assert h.abandoned() == ([3, 4] if before else [])
    assert h.player.open_asks == {}
    assert h.player.waited_calls is None
    machine = h.player._machine
    assert machine is not None
    assert machine.open_calls == {}


def test_a_changed_call_is_a_difference_to_the_record(host: Any, make_host: Any) -> None:
    """The target, the function and the arguments are part of the record."""
    h = host(Caller)
    h.invoke("by_name", "worker://history/a")
    changed = list(h.record)
    changed[2] = Started(1, 2, Call(WorkerId(component_id("history"), "b"), "add", b'[{"name":"pen"},2]'))
    with pytest.raises(promissory.NonDeterminismError, match=r"invoke_and_await .*/b add .* the code does .*/a add"):
        h.replay(changed)


def test_a_player_knows_how_its_life_began(host: Any) -> None:
    """The host passes on what the worker was created with."""
    h = host(Caller, env={"A": "b"})
    assert h.player.created is h.record[0]
    with pytest.raises(ValueError, match="has not been created yet"):
        _ = Player(h.component, h.worker_id).created
