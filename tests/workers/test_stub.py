"""Stubs: what they take and refuse, and the classes that they are made of."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime
from typing import Any

import pytest

import promissory
from promissory.workers.component import component_of
from promissory.workers.machine.step import StepFailed
from tests.workers.guests import History, Item, Mailer


class Clumsy(promissory.Worker):
    @promissory.handler
    async def one(self) -> None:
        pass

    @promissory.handler
    async def wrong(self, what: str) -> Any:
        history: Any = promissory.worker(History, "u")
        match what:
            case "missing":
                await history.add()
            case "unknown":
                await history.add(Item("a"), nope=1)
            case "too many":
                await history.add(1, 2, 3)
            case "twice":
                await history.add(1, item=2)
            case "keyword":
                await history.strict(1, 2)
            case "unencodable":
                await promissory.send(history.add, object())
            case "surrogate":
                await promissory.ask(history.total, "\ud800")
            case "stub":
                await history.add(history)
            case "no name":
                promissory.worker(History)
            case "long name":
                promissory.worker(History, "x" * 257)
            case "name in vain":
                promissory.worker(Mailer, "x")
            case "function":
                await promissory.invoke_and_await("worker://history/u", "\ud800")
            case "value":
                await promissory.invoke("worker://history/u", "add", object())

    @promissory.handler
    async def misuse(self, what: str) -> Any:
        history: Any = promissory.worker(History, "u")
        match what:
            case "query called":
                await history.total()
            case "handler asked":
                await promissory.ask(history.add, Item("a"))
            case "query sent":
                await promissory.send(history.total)
            case "own method":
                await promissory.send(self.one)
            case "function":
                await promissory.send_after(1, History.add, self, Item("a"))  # type: ignore[arg-type]
            case "no worker":
                promissory.worker(Item, "x")  # type: ignore[type-var]
            case "naive time":
                promissory.schedule(datetime(2030, 1, 1), "worker://history/u", "add")
            case "copied":
                promissory.run(print, history)
            case "attribute":
                history.nope()
            case "plain":
                history.plain()
            case "state":
                return history.items
            case "set":
                history.items = []
            case "set handler":
                history.add = None
        return None


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", "history.add: missing argument `item` - at `$.item`"),
        ("unknown", "history.add: unknown argument `nope` - at `$.nope`"),
        ("too many", "history.add: takes 2 positional arguments, not 3"),
        ("twice", "history.add: argument `item` is given twice"),
        ("keyword", "history.strict: missing argument `c` - at `$.c`"),
        ("unencodable", "history.add: the arguments cannot be written as JSON"),
        ("surrogate", "history.total: the arguments cannot be written as JSON"),
        ("stub", "history.add: the arguments cannot be written as JSON"),
        ("no name", "the worker's name is empty"),
        ("long name", "the limit is 256"),
        ("name in vain", "mailer is ephemeral"),
        ("function", "cannot be written as JSON"),
        ("value", "'add' cannot be written as JSON"),
    ],
)
def test_what_cannot_be_called_is_a_call_error_at_once(host: Any, what: str, message: str) -> None:
    """It is raised where the call is made, terminally, and nothing is recorded."""
    h = host(Clumsy)
    outcome = h.outcome(h.invoke("wrong", what))
    assert (outcome.kind, outcome.code) == ("call", 400)
    assert message in outcome.message
    assert h.calls() == []


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("query called", TypeError, r"await promissory\.ask\(stub\.total, \.\.\.\)"),
        ("handler asked", TypeError, r"history\.add is a handler: call it"),
        ("query sent", TypeError, r"history\.total is a query: ask it"),
        ("own method", TypeError, r"'Clumsy\.one' is not taken from a stub"),
        ("function", TypeError, r"'History\.add' is not taken from a stub"),
        ("no worker", TypeError, r"subclass of promissory\.Worker"),
        ("naive time", ValueError, "no time zone"),
        ("copied", TypeError, r"<stub of history/u> cannot be copied"),
        ("attribute", AttributeError, "history has no handler or query 'nope'"),
        ("plain", AttributeError, "history has no handler or query 'plain'"),
        ("state", AttributeError, "'items' is a field of history"),
        ("set", AttributeError, "items"),
        ("set handler", AttributeError, "add"),
    ],
)
def test_misuse_of_a_stub_says_what_to_write(make_host: Any, what: str, error: type[Exception], message: str) -> None:
    """A mistake in the code is retried, and mended, as any other."""
    h = make_host(Clumsy)
    with pytest.raises(StepFailed) as caught:
        h.invoke("misuse", what)
    with pytest.raises(error, match=message):
        raise caught.value.cause
    assert h.calls() == []


def test_a_stub_shows_what_it_is() -> None:
    """Its attributes are the handlers and queries; it is neither copied nor pickled."""
    stub: Any = promissory.worker(History, "a/b")
    assert repr(stub) == "<stub of history/a%2Fb>"
    assert repr(promissory.worker(Mailer)) == "<stub of mailer>"
    assert dir(stub) == ["add", "strict", "total"]
    assert repr(stub.add) == "history.add"
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be copied"):
            copied(stub)


def test_a_stub_made_outside_of_a_handler_calls_in_one_only() -> None:
    """To make a stub asks nothing of a host; to call does."""
    stub = promissory.worker(History, "u")
    for attempt in (
        lambda: stub.add(Item("a")),
        lambda: promissory.send(stub.add, Item("a")),
        lambda: promissory.send_after(1, stub.add, Item("a")),
        lambda: promissory.ask(stub.total),
        lambda: promissory.invoke("worker://history/u", "add"),
    ):
        with pytest.raises(RuntimeError, match="outside of a handler"):
            attempt()


def test_a_class_can_be_an_interface_only() -> None:
    """It says so, and what is subclassed from it does not."""

    class Remote(promissory.Worker, component="history", stub=True):
        @promissory.handler
        async def add(self, item: Item) -> Item:
            raise NotImplementedError

    class Local(Remote, component="history"):
        pass

    assert component_of(Remote).is_stub
    assert not component_of(Local).is_stub
    assert not component_of(History).is_stub
    assert component_of(Remote).id == component_of(History).id


def test_an_ephemeral_worker_needs_no_arguments() -> None:
    """Nobody could give them."""

    class Needy(promissory.Worker, ephemeral=True):
        server: str
        port: int = 25

    with pytest.raises(promissory.BadHandler, match=r"needy is ephemeral.* `server` a default"):
        component_of(Needy)
