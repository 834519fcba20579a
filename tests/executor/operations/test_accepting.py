"""Rule 5 and the door: keys, joining in flight, refusals that leave the worker untouched, results that fail."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from attrs import define, field

import promissory
from promissory.oplog.errors import BadArguments, Exists, LimitReached, NotFound, TerminalError
from promissory.oplog.tables import Table

performed: list[str] = []


@define
class Item:
    name: str
    count: int = 1


@define
class Order:
    items: list[Item]


def ship(tag: str) -> str:
    performed.append(tag)
    return tag


class Shop(promissory.Worker):
    orders: int = 0

    @promissory.handler
    async def order(self, order: Order) -> int:
        self.orders += 1
        return self.orders

    @promissory.handler
    async def shipped(self, tag: str) -> str:
        await promissory.run(ship, tag)
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.handler
    async def shipped_too(self, tag: str) -> str:
        return await promissory.run(ship, tag)

    @promissory.handler
    async def wrong(self) -> int:
        return "not a number"  # type: ignore[return-value]

    @promissory.handler
    async def unencodable(self) -> Any:
        return object()

    @promissory.handler
    async def refuse(self) -> None:
        raise TerminalError("sold out", code=410)

    @promissory.handler
    async def key(self) -> str:
        return promissory.idempotency_key()

    @promissory.query
    def count(self) -> int:
        return self.orders


class Counter(promissory.Worker):
    start: int = field()

    @promissory.handler
    async def value(self) -> int:
        return self.start + len(promissory.environment())


@pytest.fixture(autouse=True)
def _nothing_performed() -> None:
    performed.clear()


@pytest.fixture
def shop(durable: Any) -> Any:
    durable.register(Shop, Counter)
    return durable


async def test_a_key_runs_once(shop: Any) -> None:
    """An invocation with a known key gives the stored outcome and runs nothing, also after a crash."""
    order = {"items": [{"name": "tea"}]}

    assert await shop.invoke("shop/1", "order", order, key="k") == 1
    assert await shop.invoke("shop/1", "order", order, key="k") == 1
    await shop.simulate_crash()
    assert await shop.invoke("shop/1", "order", order, key="k") == 1
    assert await shop.invoke("shop/1", "order", order) == 2
    assert await shop.query("shop/1", "count") == 2


async def test_a_key_joins_the_invocation_in_flight(shop: Any) -> None:
    """Asking with the key of a running invocation waits for that one: one execution, one outcome for all."""
    results: list[str] = []

    async def ask() -> None:
        results.append(await shop.invoke("shop/1", "shipped", "x", key="k"))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
        await shop.quiet()
        [promise] = await shop.promises()
        assert results == []
        await shop.complete_promise(promise, b"done")

    assert results == ["done"] * 5
    assert performed == ["x"]


async def test_sending_with_a_known_key_says_so(shop: Any) -> None:
    """`send` tells whether the invocation is new; the id is the first one's."""
    fields = {"worker": "shop/1", "function": "refuse", "params": b"[]", "key": "k", "send": True}
    first = await shop.request("invoke", **fields)
    second = await shop.request("invoke", **fields)

    assert first["invocation"] == second["invocation"]
    assert [first["status"], second["status"]] == ["accepted", "previously-accepted"]


async def test_a_key_belongs_to_a_worker_and_a_function(shop: Any) -> None:
    """The same key means another invocation on another worker or function."""
    await shop.invoke("shop/1", "shipped_too", "a", key="k")
    await shop.invoke("shop/2", "shipped_too", "b", key="k")
    assert len(await shop.invoke("shop/1", "key", key="k")) == 1

    assert performed == ["a", "b"]


async def test_without_a_key_a_fresh_one_is_recorded(shop: Any) -> None:
    """An invocation without a key gets a UUIDv4, which the handler and the record show."""
    key = await shop.invoke("shop/1", "key")

    assert (len(key), key[14]) == (36, "4")
    assert [e["key"] for e in await shop.oplog("shop/1") if e["kind"] == "Invoked"] == [key]


@pytest.mark.parametrize(
    ("args", "where"),
    [
        (({"items": [{"name": "tea", "count": "many"}]},), r"\$\.order\.items\[0\]\.count"),
        (({"items": "tea"},), r"\$\.order\.items"),
        (({"item": []},), "item"),
        ((), "order"),
        (({"items": []}, 1), "argument"),
    ],
)
async def test_wrong_arguments_leave_the_worker_untouched(shop: Any, args: Any, where: str) -> None:
    """Arguments that do not fit are refused with their path; no worker is made and no entry written."""
    with pytest.raises(BadArguments, match=where):
        await shop.invoke("shop/1", "order", *args)

    assert await shop.workers() == []
    assert shop.executor.environment.count(Table.OPLOG) == 0


async def test_arguments_by_name_are_checked_too(shop: Any) -> None:
    """A JSON object gives arguments by name; an unknown name is refused."""
    good = await shop.request("invoke", worker="shop/1", function="order", params=b'{"order": {"items": []}}')
    assert good["result"] == b"1"

    with pytest.raises(BadArguments, match="colour"):
        await shop.request("invoke", worker="shop/1", function="order", params=b'{"order": {"items": []}, "colour": 1}')
    with pytest.raises(BadArguments):
        await shop.request("invoke", worker="shop/1", function="order", params=b"not json")


@pytest.mark.parametrize(
    ("path", "function", "error"),
    [
        ("nothing/1", "order", NotFound),
        ("shop/1", "nothing", NotFound),
        ("shop", "order", BadArguments),
        ("shop/", "order", BadArguments),
        ("shop/a/b", "order", BadArguments),
        ("shop/" + "x" * 257, "order", BadArguments),
        ("shop/a\nb", "order", BadArguments),
        ("SHOP/1", "order", BadArguments),
    ],
)
async def test_what_does_not_exist_is_refused(shop: Any, path: str, function: str, error: type[Exception]) -> None:
    """Unknown components and functions and names out of limits are typed errors, and nothing is written."""
    with pytest.raises(error):
        await shop.invoke(path, function, {"items": []})

    assert await shop.workers() == []


async def test_limits_are_kept(shop: Any) -> None:
    """Too long a key, too large arguments and a delay out of range are refused."""
    with pytest.raises(LimitReached, match="key"):
        await shop.invoke("shop/1", "key", key="k" * 257)
    with pytest.raises(LimitReached, match="bytes"):
        await shop.invoke("shop/1", "shipped", "x" * (9 << 20))
    with pytest.raises(BadArguments, match="delay"):
        await shop.send("shop/1", "key", delay=-1)

    assert await shop.workers() == []


@pytest.mark.parametrize("function", ["wrong", "unencodable"])
async def test_a_result_that_cannot_be_encoded_fails_that_invocation(shop: Any, function: str) -> None:
    """A result that does not fit its annotation, or is no data, ends that invocation with an error that says so."""
    with pytest.raises(TerminalError, match="result"):
        await shop.invoke("shop/1", function)

    assert (await shop.show("shop/1"))["status"] == "idle"
    assert await shop.invoke("shop/1", "order", {"items": []}) == 1


async def test_a_terminal_error_is_the_outcome(shop: Any) -> None:
    """`TerminalError` completes the invocation with its message and code, for everybody who attaches."""
    invocation = await shop.send("shop/1", "refuse")

    for _ in range(2):
        with pytest.raises(TerminalError, match="sold out") as caught:
            await shop.attach(invocation)
        assert caught.value.code == 410
    assert (await shop.request("invocation.show", invocation=invocation))["status"] == "failed"


async def test_required_fields_need_a_creation(shop: Any) -> None:
    """A class with required fields must be created first; its arguments are checked there."""
    with pytest.raises(BadArguments, match="create"):
        await shop.invoke("counter/1", "value")
    with pytest.raises(BadArguments, match="start"):
        await shop.create("counter/1", "three")
    assert await shop.workers() == []

    await shop.create("counter/1", 40, env={"A": "1", "B": "2"})
    assert await shop.invoke("counter/1", "value") == 42
    with pytest.raises(Exists, match="counter/1"):
        await shop.create("counter/1", 1)


async def test_attaching_to_nothing_is_not_found(shop: Any) -> None:
    """An invocation id that is none, or names no invocation, is refused."""
    invocation = await shop.send("shop/1", "key")

    with pytest.raises(BadArguments):
        await shop.attach("inv_1nonsense")
    await shop.attach(invocation)
    await shop.delete("shop/1")
    with pytest.raises(NotFound):
        await shop.attach(invocation)


async def test_invocations_of_one_worker_queue_in_order(shop: Any) -> None:
    """Invocations of one worker run one after the other, in the order they came."""
    first = await shop.send("shop/1", "shipped", "a")
    second = await shop.send("shop/1", "shipped_too", "b")
    await shop.quiet()
    assert performed == ["a"]
    rows = {row["invocation"]: row["status"] for row in await shop._items("invocation.list", worker="shop/1")}
    assert rows == {first: "running", second: "pending"}

    [promise] = await shop.promises()
    await shop.complete_promise(promise, b"go")

    assert await shop.attach(second) == "b"
    assert performed == ["a", "b"]


async def test_a_delayed_invocation_waits_for_its_time(shop: Any) -> None:
    """A delay holds an invocation back without blocking the worker; it is listed as scheduled."""
    began = trio.current_time()
    delayed = await shop.send("shop/1", "key", delay=3600)
    assert (await shop.request("invocation.show", invocation=delayed))["status"] == "scheduled"
    await shop.invoke("shop/1", "order", {"items": []})
    assert trio.current_time() == began

    await shop.attach(delayed)
    assert trio.current_time() - began >= 3600
