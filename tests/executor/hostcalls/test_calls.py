"""Workers call workers: typed, exactly once, the target made on demand and never touched by a call that fails."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field

import promissory
from promissory.executor.config import Config
from promissory.executor.testing.testbed import Testbed
from promissory.oplog.errors import CallError, PromiseDeleted, TerminalError
from promissory.oplog.tables import Table


@define
class Item:
    name: str
    price: int
    tags: list[str] = field(factory=list)


class Shelf(promissory.Worker):
    items: list[Item] = field(factory=list)
    keys: list[str] = field(factory=list)

    @promissory.handler
    async def add(self, item: Item) -> Item:
        self.items.append(item)
        self.keys.append(promissory.idempotency_key())
        return item

    @promissory.handler
    async def wait(self, promise: str) -> str:
        return (await promissory.await_promise(promissory.PromiseId.parse(promise))).decode()

    @promissory.handler
    async def own_wait(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.handler
    async def refuse(self) -> None:
        raise TerminalError("sold out", 451)

    @promissory.handler
    async def fail(self) -> None:
        raise ValueError("broken")

    @promissory.handler
    async def environment(self, depth: int = 0) -> dict[str, str]:
        if depth:
            below = promissory.worker(Shelf, f"{promissory.current_worker().worker_name}-{depth}")
            return await below.environment(depth - 1)
        return dict(promissory.environment())

    @promissory.query
    def names(self) -> list[str]:
        return [item.name for item in self.items]

    @promissory.query
    def seen_keys(self) -> list[str]:
        return self.keys


class Required(promissory.Worker):
    size: int

    @promissory.handler
    async def measure(self) -> int:
        return self.size


class Fragile(promissory.Worker):
    size: int = 0

    def __attrs_post_init__(self) -> None:
        raise (SystemExit(3) if exits else ValueError("cannot be made"))

    @promissory.handler
    async def measure(self) -> int:
        return self.size


exits = False


class Buyer(promissory.Worker):
    seen: list[Any] = field(factory=list)

    @promissory.handler
    async def buy(self, name: str) -> list[Any]:
        item = Item(name, 3)
        future = promissory.worker(Shelf, "1").add(item)
        item.tags.append("changed after the call")
        got = await future
        got.tags.append("changed by the caller")
        return [type(got).__name__, got.name, item.tags, got.tags]

    @promissory.handler
    async def call(self, uri: str, function: str) -> Any:
        return await promissory.invoke_and_await(uri, function)

    @promissory.handler
    async def try_call(self, uri: str, function: str, args: list[Any]) -> list[Any]:
        try:
            return ["value", await promissory.invoke_and_await(uri, function, *args)]
        except TerminalError as error:
            return [type(error).__name__, error.code, str(error)]

    @promissory.handler
    async def too_large(self, size_bytes: int) -> str:
        try:
            await promissory.worker(Shelf, "2").add(Item("x" * size_bytes, 1))
        except CallError as error:
            return str(error)
        return "it was taken"

    @promissory.handler
    async def ask_names(self) -> str:
        try:
            return str(await promissory.ask(promissory.worker(Shelf, "1").names))
        except CallError as error:
            return str(error)

    @promissory.handler
    async def twice(self) -> list[str]:
        shelf = promissory.worker(Shelf, "1")
        both = await promissory.gather(shelf.add(Item("a", 1)), shelf.add(Item("b", 2)))
        return [item.name for item in both]


@pytest.fixture
def shop(durable: Any) -> Any:
    global exits
    exits = False
    durable.register(Shelf, Buyer, Required, Fragile)
    return durable


def rows(shop: Any) -> dict[str, list[Any]]:
    """Return what the tables that know workers hold."""
    environment = shop.executor.environment
    return {table.name: list(environment.scan(table)) for table in (Table.WORKER_IDS, Table.IDEMPOTENCY, Table.TIMERS)}


async def test_values_cross_the_border_as_copies(shop: Any) -> None:
    """A call gets and gives attrs instances, each side its own: nothing that either changes later is seen elsewhere."""
    got = await shop.invoke("buyer/1", "buy", "tea")

    assert got == ["Item", "tea", ["changed after the call"], ["changed by the caller"]]
    assert (await shop.oplog("shelf/1"))[1]["params"] == [{"name": "tea", "price": 3, "tags": []}]
    assert await shop.query("shelf/1", "names") == ["tea"]


async def test_terminal_errors_are_raised_in_the_caller(shop: Any) -> None:
    """A callee's terminal error is recorded in the caller and raised at its await, with message and code."""
    assert await shop.invoke("buyer/1", "try_call", "worker://shelf/1", "refuse", []) == [
        "TerminalError",
        451,
        "sold out",
    ]
    with pytest.raises(TerminalError, match="sold out"):
        await shop.invoke("buyer/1", "call", "worker://shelf/1", "refuse")


@pytest.mark.parametrize(
    ("uri", "function", "args", "text"),
    [
        ("worker://nothing/1", "add", [], "not registered"),
        ("worker://shelf/new", "steal", [], "no function"),
        ("worker://shelf/new", "add", [{"name": 1, "price": 2}], "Expected `str`"),
        ("worker://shelf/new", "add", [], "add"),
        ("worker://shelf/new", "add", [{"name": "a", "price": 2}, 3], "add"),
        ("worker://shelf/new", "names", [], "query"),
        ("worker://shelf", "environment", [], "which worker"),
        ("worker://required/new", "measure", [], "required fields"),
        ("worker://fragile/new", "measure", [], "cannot be made"),
        ("worker://shelf/" + "x" * 300, "environment", [], "256"),
        ("http://shelf/1", "environment", [], "form"),
        ("worker://", "environment", [], "component"),
    ],
)
async def test_a_call_that_cannot_be_made_touches_nothing(
    shop: Any, uri: str, function: str, args: list[Any], text: str
) -> None:
    """A wrong call raises `CallError` in the caller at once; its target is neither made nor written to."""
    await shop.invoke("shelf/1", "environment")
    await shop.invoke("buyer/1", "try_call", "worker://shelf/1", "environment", [])
    before, oplog = rows(shop), await shop.oplog("shelf/1")

    error, code, message = await shop.invoke("buyer/1", "try_call", uri, function, args)

    assert error == "CallError"
    assert 400 <= code < 500
    assert text in message
    assert await shop.workers() == ["shelf/1", "buyer/1"]
    after = rows(shop)
    assert len(after.pop("IDEMPOTENCY")) == len(before.pop("IDEMPOTENCY")) + 1, "the client's own"
    assert after == before
    assert await shop.oplog("shelf/1") == oplog
    assert (await shop.show("buyer/1"))["status"] == "idle"


async def test_a_constructor_that_exits_ends_neither_caller_nor_executor(shop: Any) -> None:
    """A target whose constructor raises what ends a program is a `CallError`, for workers as for clients."""
    global exits
    exits = True

    error, _, message = await shop.invoke("buyer/1", "try_call", "worker://fragile/1", "measure", [])
    assert (error, "SystemExit(3)" in message) == ("CallError", True)
    with pytest.raises(promissory.BadHandler.__mro__[2], match="SystemExit"):
        await shop.invoke("fragile/1", "measure")
    assert await shop.workers() == ["buyer/1"]


async def test_arguments_and_answers_have_a_limit(tmp_path: Path, autojump_clock: Any) -> None:
    """Arguments or an answer beyond the payload's limit are a `CallError` in the caller; the target is not touched."""
    async with Testbed.opened(tmp_path, config=Config(payload_bytes_max=1_000)) as durable:
        durable.register(Shelf, Buyer)
        assert "limit is 1000" in await durable.invoke("buyer/1", "too_large", 2_000)
        assert await durable.workers() == ["buyer/1"]
        for name in "abcde":
            await durable.invoke("shelf/1", "add", Item(name * 300, 1))
        assert "limit is 1000" in await durable.invoke("buyer/1", "ask_names")
        assert "limit is 1000" not in await durable.invoke("buyer/1", "too_large", 20)


async def test_the_target_is_created_with_parent_and_environment(shop: Any) -> None:
    """A worker that a call creates knows its parent and inherits the environment, and so do those that it creates."""
    await shop.create("shelf/1", env={"REGION": "eu", "EMPTY": ""})

    assert await shop.invoke("shelf/1", "environment", 2) == {"REGION": "eu", "EMPTY": ""}
    created = {path: (await shop.oplog(path))[0] for path in await shop.workers()}
    assert list(created) == ["shelf/1", "shelf/1-2", "shelf/1-2-1"]
    parents = [str(entry["parent"]).rpartition("/")[2] for entry in created.values()]
    assert parents == ["None", "1", "1-2"]
    assert all(entry["env"] == {"REGION": "eu", "EMPTY": ""} for entry in created.values())


async def test_the_environment_is_in_the_same_order_live_and_in_replay(shop: Any) -> None:
    """What a handler sees of its environment does not depend on the order in which it was given."""
    await shop.create("shelf/1", env={"BB": "1", "A": "2", "C": "3", "\u00e9": "4", "x" * 300: "5"})

    assert list(await shop.invoke("shelf/1", "environment")) == ["A", "C", "BB", "\u00e9", "x" * 300]


async def test_an_existing_target_keeps_its_own_environment(shop: Any) -> None:
    """A call to a worker that exists changes neither its environment nor its parent."""
    await shop.create("shelf/1-1", env={"OWN": "yes"})
    await shop.create("shelf/1", env={"REGION": "eu"})

    assert await shop.invoke("shelf/1", "environment", 1) == {"OWN": "yes"}


async def test_the_callee_sees_a_stable_key(shop: Any) -> None:
    """A call's key is a UUIDv5, another one for each call, the same one after any replay."""
    assert await shop.invoke("buyer/1", "twice") == ["a", "b"]
    assert await shop.invoke("buyer/2", "twice") == ["a", "b"]
    keys = await shop.query("shelf/1", "seen_keys")
    await shop.simulate_crash()

    assert [uuid.UUID(key).version for key in keys] == [5] * 4
    assert len(set(keys)) == 4
    assert await shop.query("shelf/1", "seen_keys") == keys


async def test_a_client_cannot_enter_the_keys_of_calls(shop: Any) -> None:
    """An invocation with the key that a call shows is another invocation."""
    await shop.invoke("buyer/1", "twice")
    key = (await shop.query("shelf/1", "seen_keys"))[0]

    await shop.invoke("shelf/1", "add", Item("c", 3), key=key)
    assert await shop.query("shelf/1", "names") == ["a", "b", "c"]


async def test_the_caller_is_suspended_and_leaves_memory(shop: Any) -> None:
    """A worker that waits for a call is `suspended`, costs no memory, and goes on with the result."""
    invocation = await shop.send("buyer/1", "call", "worker://shelf/1", "own_wait")
    [promise] = await shop.promises()
    assert (await shop.show("buyer/1"))["status"] == "suspended"
    assert (await shop.show("shelf/1"))["status"] == "suspended"
    await trio.sleep(100)
    assert len(shop.executor.residents) == 0
    await shop.simulate_crash()
    await shop.quiet()
    assert len(shop.executor.residents) == 0, "nothing is runnable"

    await shop.complete_promise(promise, b"at last")
    assert await shop.attach(invocation) == "at last"
    assert shop.executor.environment.count(Table.RUNNABLE) == 0


async def test_the_caller_of_a_paused_worker_goes_on_waiting(shop: Any) -> None:
    """A callee that gives up keeps its caller waiting; resumed with mended code it answers."""
    invocation = await shop.send("buyer/1", "call", "worker://shelf/1", "fail")
    await trio.sleep(1_000)
    assert (await shop.show("shelf/1"))["status"] == "paused"
    assert (await shop.show("buyer/1"))["status"] == "suspended"

    class Mended(promissory.Worker, component="shelf"):
        @promissory.handler
        async def fail(self) -> str:
            return "mended"

    shop.register(Mended)
    await shop.resume("shelf/1")
    assert await shop.attach(invocation) == "mended"


async def test_deleting_the_callee_ends_the_call(shop: Any) -> None:
    """Whoever waits for a call of a deleted worker gets the error `deleted`, also when it is out of memory."""
    for is_resident in (True, False):
        invocation = await shop.send("buyer/1", "call", "worker://shelf/1", "own_wait")
        queued = await shop.send("buyer/2", "call", "worker://shelf/1", "own_wait")
        await trio.sleep(0.5 if is_resident else 100)
        await shop.delete("shelf/1")
        for one in (invocation, queued):
            with pytest.raises(PromiseDeleted):
                await shop.attach(one)
        assert shop.executor.environment.count(Table.RUNNABLE) == 0


async def test_deleting_the_caller_lets_the_callee_go_on(shop: Any) -> None:
    """The callee of a deleted worker ends as if nothing were; the caller's next life has nothing of it."""
    await shop.send("buyer/1", "call", "worker://shelf/1", "own_wait")
    [promise] = await shop.promises()
    await shop.delete("buyer/1")
    waiting = await shop.send("buyer/1", "call", "worker://shelf/2", "own_wait")
    second = next(one for one in await shop.promises() if one != promise)
    before = await shop.oplog("buyer/1")

    await shop.complete_promise(promise, b"for the first life")
    await shop.quiet()
    assert await shop.oplog("buyer/1") == before
    assert (await shop.show("shelf/1"))["status"] == "idle"
    await shop.complete_promise(second, b"for the second")
    assert await shop.attach(waiting) == "for the second"
