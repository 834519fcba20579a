"""Stubs of clients: the requests they become, and results in the types of their class."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

import promissory
from promissory.executor.client.methods import Asker
from promissory.oplog.errors import BadArguments, BadHandler, TerminalError


@attrs.define
class Item:
    name: str


class History(promissory.Worker):
    @promissory.handler
    async def add(self, item: Item, times: int = 1) -> Item:
        return item

    @promissory.query
    def items(self, since: int = 0) -> list[Item]:
        return []


class Mailer(promissory.Worker, ephemeral=True):
    @promissory.handler
    async def mail(self, to: str) -> None:
        pass


class Recorder(Asker):
    """An asker whose requests go nowhere."""

    def __init__(self, result: bytes = b"null") -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.result = result

    async def request(self, op: str, /, *, on_item: Any = None, **fields: Any) -> Any:
        self.requests.append((op, fields))
        return {"result": self.result, "invocation": "inv_1x"}


async def test_a_handler_of_a_stub_is_invoked() -> None:
    """The result is of the class's own type."""
    asker = Recorder(b'{"name":"pen"}')
    assert await asker.worker(History, "a/b").add(Item("pen"), times=2) == Item("pen")
    fields = {"worker": "history/a%2Fb", "function": "add", "params": b'[{"name":"pen"},2]'}
    assert asker.requests == [("invoke", fields)]


async def test_the_key_of_a_stub_goes_with_its_invocations() -> None:
    """With calls and sends, not with queries."""
    asker = Recorder(b"[]")
    stub = asker.worker(History, "u", key="k")
    assert await promissory.send(stub.add, Item("a")) == "inv_1x"
    assert await promissory.send_after(1.5, stub.add, Item("a")) == "inv_1x"
    assert await promissory.ask(stub.items) == []
    fields = {"worker": "history/u", "function": "add", "params": b'[{"name":"a"}]', "key": "k", "send": True}
    assert asker.requests == [
        ("invoke", fields),
        ("invoke", fields | {"delay_us": 1_500_000}),
        ("query", {"worker": "history/u", "function": "items", "params": b"[]"}),
    ]


async def test_a_query_of_a_stub_is_asked() -> None:
    """The answer is of the class's own type."""
    asker = Recorder(b'[{"name":"pen"}]')
    assert await promissory.ask(asker.worker(History, "u").items, since=3) == [Item("pen")]
    assert asker.requests == [("query", {"worker": "history/u", "function": "items", "params": b"[3]"})]


async def test_an_ephemeral_component_is_invoked_without_a_name() -> None:
    """A fresh worker is made for each invocation."""
    asker = Recorder()
    await asker.worker(Mailer).mail("me")
    assert asker.requests == [("invoke", {"worker": "mailer", "function": "mail", "params": b'["me"]'})]


async def test_what_does_not_fit_is_refused_before_anything_is_asked() -> None:
    """A name, the arguments, a query that is called, a class that cannot be served."""
    asker = Recorder()
    stub: Any = asker.worker(History, "u")
    with pytest.raises(BadArguments, match="empty"):
        asker.worker(History)
    with pytest.raises(BadArguments, match="ephemeral"):
        asker.worker(Mailer, "x")
    with pytest.raises(BadArguments, match="missing argument `item`"):
        stub.add()
    with pytest.raises(BadArguments, match="written as JSON"):
        promissory.send(stub.add, object())
    with pytest.raises(TypeError, match=r"promissory\.ask\(stub\.items"):
        stub.items()

    class Broken(promissory.Worker):
        @promissory.handler
        def plain(self) -> None:
            pass

    with pytest.raises(BadHandler):
        asker.worker(Broken, "x")
    assert asker.requests == []


async def test_a_result_of_another_type_is_an_error() -> None:
    """The class of here and the class of there differ."""
    with pytest.raises(TerminalError, match=r"the result of history\.add cannot be read: .*name"):
        await Recorder(b"{}").worker(History, "u").add(Item("pen"))
