"""What a type checker must take, with the types it must see. Never run, only checked."""
# pyright: strict

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, assert_type

from attrs import define, field

import promissory
from promissory.executor.client.methods import Asker
from promissory.workers.promises import (
    DurablePromise,
    PromiseOutcome,
    awakeable,
    durable_promise,
    reject_awakeable,
    resolve_awakeable,
)


@define
class Order:
    order_id: str
    items: list[str]


class PurchaseHistory(promissory.Worker):
    orders: list[Order] = field(factory=list[Order])

    @promissory.handler
    async def add_order(self, order: Order, *, note: str = "") -> int:
        self.orders.append(order)
        return len(self.orders)

    @promissory.handler
    async def clear(self) -> None:
        await self.add_order(Order("1", []))
        self.orders = []

    @promissory.query
    def get_orders(self, since: int = 0) -> list[Order]:
        return self.orders[since:]


class Mailer(promissory.Worker, ephemeral=True):
    @promissory.handler
    async def mail(self, to: str) -> bool:
        return True


class Interface(promissory.Worker, component="purchase-history", stub=True):
    @promissory.handler
    async def add_order(self, order: Order, *, note: str = "") -> int:
        raise NotImplementedError


class Cart(promissory.Worker):
    user: str = "user-1"

    @promissory.handler
    async def checkout(self, order: Order) -> int:
        history = promissory.worker(PurchaseHistory, self.user)
        assert_type(history, PurchaseHistory)
        assert_type(await history.add_order(order, note="n"), int)
        assert_type(await promissory.gather(history.add_order(order), history.clear()), tuple[int, None])
        assert_type(await promissory.race(history.add_order(order), promissory.sleep(1)), tuple[int, int | None])
        assert_type(await promissory.wait_for(history.add_order(order), 3), int)
        assert_type(await promissory.gather(*[history.add_order(each) for each in [order]]), tuple[int, ...])
        return await promissory.worker(Interface, "user-1").add_order(order)

    @promissory.handler
    async def others(self, order: Order) -> None:
        history = promissory.worker(PurchaseHistory, self.user)
        promissory.send(history.add_order, order, note="not awaited")
        assert_type(await promissory.send(history.add_order, order), str)
        assert_type(await promissory.send_after(1.5, history.clear), str)
        assert_type(await promissory.ask(history.get_orders), list[Order])
        assert_type(await promissory.ask(history.get_orders, since=3), list[Order])
        assert_type(
            await promissory.gather(promissory.ask(history.get_orders), promissory.send(history.clear)),
            tuple[list[Order], str],
        )
        assert_type(await promissory.worker(Mailer).mail("me"), bool)

    @promissory.handler
    async def by_name(self) -> None:
        result: Any = await promissory.invoke_and_await(
            "worker://purchase-history/user-1", "add_order", {"order_id": "1"}
        )
        print(result)
        promissory.invoke("worker://purchase-history/user-1", "clear")
        at = datetime(2030, 1, 1, tzinfo=UTC)
        assert_type(await promissory.schedule(at, "worker://purchase-history/user-1", "clear"), str)


class Approval(promissory.Worker):
    @promissory.handler
    async def awakeables(self) -> None:
        name, future = awakeable(Order)
        assert_type(name, str)
        assert_type(future, promissory.DurableFuture[Order])
        assert_type(await awakeable(Order, timeout=3)[1], Order)
        assert_type(await awakeable(None)[1], None)
        assert_type(await awakeable(list[Order], 1.5)[1], list[Order])
        assert_type(await promissory.wait_for(awakeable(int)[1], 3), int)
        assert_type(await promissory.race(future, promissory.sleep(1)), tuple[int, Order | None])
        either = awakeable(Order | None)
        print(await either[1], await awakeable(Any)[1], await awakeable(Literal["yes", "no"])[1])
        assert_type(await resolve_awakeable(name, Order("1", [])), bool)
        assert_type(await resolve_awakeable(name), bool)
        assert_type(await reject_awakeable(name, "no"), bool)

    @promissory.handler
    async def named(self) -> Order:
        promise = durable_promise("release", Order, timeout=3)
        assert_type(promise, DurablePromise[Order])
        assert_type(await promise.peek(), Order | None)
        assert_type(await promise.get(), Order)
        outcome = await promise.resolve(Order("1", []))
        assert_type(outcome, PromiseOutcome[Order])
        assert_type(outcome.value, Order)
        assert_type(outcome.error, promissory.TerminalError | None)
        assert_type((await promise.reject("no")).settled, bool)
        assert_type(await durable_promise("done", None).get(), None)
        assert_type(await durable_promise("all", list[Order]).get(), list[Order])
        await durable_promise("maybe", Order | None).resolve(None)
        await durable_promise("any").resolve({"a": 1})
        return await promise.get()


async def from_outside(client: Asker, order: Order) -> None:
    history = client.worker(PurchaseHistory, "user-1", key="order-1")
    assert_type(history, PurchaseHistory)
    assert_type(await history.add_order(order), int)
    assert_type(await promissory.ask(history.get_orders), list[Order])
    assert_type(await promissory.send(history.add_order, order), str)
    assert_type(await client.worker(Mailer).mail("me"), bool)
    assert_type(await client.worker(Interface, name="user-1").add_order(order), int)
