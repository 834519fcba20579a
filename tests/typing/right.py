"""What a type checker must take, with the types it must see. Never run, only checked."""
# pyright: strict

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, assert_type

from attrs import define, field

import workers
from executor.client.asker import Asker
from workers.promises import (
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


class PurchaseHistory(workers.Worker):
    orders: list[Order] = field(factory=list[Order])

    @workers.handler
    async def add_order(self, order: Order, *, note: str = "") -> int:
        self.orders.append(order)
        return len(self.orders)

    @workers.handler
    async def clear(self) -> None:
        await self.add_order(Order("1", []))
        self.orders = []

    @workers.query
    def get_orders(self, since: int = 0) -> list[Order]:
        return self.orders[since:]


class Mailer(workers.Worker, ephemeral=True):
    @workers.handler
    async def mail(self, to: str) -> bool:
        return True


class Interface(workers.Worker, component="purchase-history", stub=True):
    @workers.handler
    async def add_order(self, order: Order, *, note: str = "") -> int:
        raise NotImplementedError


class Cart(workers.Worker):
    user: str = "user-1"

    @workers.handler
    async def checkout(self, order: Order) -> int:
        history = workers.worker(PurchaseHistory, self.user)
        assert_type(history, PurchaseHistory)
        assert_type(await history.add_order(order, note="n"), int)
        assert_type(await workers.gather(history.add_order(order), history.clear()), tuple[int, None])
        assert_type(await workers.race(history.add_order(order), workers.sleep(1)), tuple[int, int | None])
        assert_type(await workers.wait_for(history.add_order(order), 3), int)
        assert_type(await workers.gather(*[history.add_order(each) for each in [order]]), tuple[int, ...])
        return await workers.worker(Interface, "user-1").add_order(order)

    @workers.handler
    async def others(self, order: Order) -> None:
        history = workers.worker(PurchaseHistory, self.user)
        workers.send(history.add_order, order, note="not awaited")
        assert_type(await workers.send(history.add_order, order), str)
        assert_type(await workers.send_after(1.5, history.clear), str)
        assert_type(await workers.ask(history.get_orders), list[Order])
        assert_type(await workers.ask(history.get_orders, since=3), list[Order])
        assert_type(
            await workers.gather(workers.ask(history.get_orders), workers.send(history.clear)),
            tuple[list[Order], str],
        )
        assert_type(await workers.worker(Mailer).mail("me"), bool)

    @workers.handler
    async def by_name(self) -> None:
        result: Any = await workers.invoke_and_await("worker://purchase-history/user-1", "add_order", {"order_id": "1"})
        print(result)
        workers.invoke("worker://purchase-history/user-1", "clear")
        at = datetime(2030, 1, 1, tzinfo=UTC)
        assert_type(await workers.schedule(at, "worker://purchase-history/user-1", "clear"), str)


class Approval(workers.Worker):
    @workers.handler
    async def awakeables(self) -> None:
        name, future = awakeable(Order)
        assert_type(name, str)
        assert_type(future, workers.DurableFuture[Order])
        assert_type(await awakeable(Order, timeout=3)[1], Order)
        assert_type(await awakeable(None)[1], None)
        assert_type(await awakeable(list[Order], 1.5)[1], list[Order])
        assert_type(await workers.wait_for(awakeable(int)[1], 3), int)
        assert_type(await workers.race(future, workers.sleep(1)), tuple[int, Order | None])
        either = awakeable(Order | None)
        print(await either[1], await awakeable(Any)[1], await awakeable(Literal["yes", "no"])[1])
        assert_type(await resolve_awakeable(name, Order("1", [])), bool)
        assert_type(await resolve_awakeable(name), bool)
        assert_type(await reject_awakeable(name, "no"), bool)

    @workers.handler
    async def named(self) -> Order:
        promise = durable_promise("release", Order, timeout=3)
        assert_type(promise, DurablePromise[Order])
        assert_type(await promise.peek(), Order | None)
        assert_type(await promise.get(), Order)
        outcome = await promise.resolve(Order("1", []))
        assert_type(outcome, PromiseOutcome[Order])
        assert_type(outcome.value, Order)
        assert_type(outcome.error, workers.TerminalError | None)
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
    assert_type(await workers.ask(history.get_orders), list[Order])
    assert_type(await workers.send(history.add_order, order), str)
    assert_type(await client.worker(Mailer).mail("me"), bool)
    assert_type(await client.worker(Interface, name="user-1").add_order(order), int)
