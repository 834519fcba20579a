"""What a type checker must refuse, line by line: mypy's codes, then pyright's. Never run, only checked."""

from __future__ import annotations

import promissory
from promissory.executor.client.methods import Asker
from promissory.workers.promises import awakeable, durable_promise, reject_awakeable, resolve_awakeable
from tests.typing.right import Interface, Mailer, Order, PurchaseHistory


async def wrong_arguments(order: Order) -> None:
    history = promissory.worker(PurchaseHistory, "user-1")
    await history.add_order("order-1")  # error: arg-type | reportArgumentType
    await history.add_order()  # error: call-arg | reportCallIssue
    await history.add_order(order, "note")  # error: call-arg | reportCallIssue
    await history.add_order(order, note=3)  # error: arg-type | reportArgumentType
    await history.add_order(order, comment="")  # error: call-arg | reportCallIssue
    await promissory.worker(Mailer).mail(3)  # error: arg-type | reportArgumentType
    await promissory.worker(Interface, "user-1").add_order(3)  # error: arg-type | reportArgumentType
    await promissory.gather(history.clear(), history.add_order(3))  # error: arg-type | reportArgumentType


async def wrong_results(order: Order) -> None:
    history = promissory.worker(PurchaseHistory, "user-1")
    text: str = await history.add_order(order)  # error: assignment | reportAssignmentType
    number: int = history.add_order(order)  # error: assignment | reportAssignmentType
    invocation: int = await promissory.send(history.add_order, order)  # error: assignment | reportAssignmentType
    orders: list[str] = await promissory.ask(history.get_orders)  # error: arg-type | reportAssignmentType
    both = await promissory.gather(history.add_order(order), history.clear())
    pair: tuple[str, None] = both  # error: assignment | reportAssignmentType
    print(text, number, invocation, orders, pair)


async def wrong_use(order: Order) -> None:
    history = promissory.worker(PurchaseHistory, "user-1")
    history.add_order(order)  # error: unused-coroutine | reportUnusedCoroutine
    history.delete_order(order)  # error: attr-defined | reportAttributeAccessIssue
    await history.get_orders()  # error: misc | reportGeneralTypeIssues
    count: int = 1 + await promissory.ask(history.add_order, order)  # error: arg-type | reportOperatorIssue
    await promissory.ask(history.get_orders, "3")  # error: arg-type | reportArgumentType
    await promissory.ask(history.get_orders, until=3)  # error: call-arg | reportCallIssue
    await promissory.send(history.get_orders)  # error: arg-type | reportArgumentType
    await promissory.send(history.add_order, 3)  # error: arg-type | reportArgumentType
    await promissory.send(history.add_order)  # error: call-arg | reportCallIssue
    await promissory.send(history.add_order(order))  # error: arg-type | reportArgumentType reportCallIssue
    await promissory.send_after("1", history.add_order, order)  # error: arg-type | reportArgumentType
    await promissory.send_after(1, history.add_order, order, 3)  # error: arg-type call-arg | reportCallIssue
    promissory.worker("purchase-history", "user-1")  # error: arg-type | reportArgumentType
    promissory.worker(Order, "user-1")  # error: type-var | reportArgumentType
    promissory.worker(PurchaseHistory, 3)  # error: arg-type | reportArgumentType
    promissory.invoke_and_await(history, "add_order", order)  # error: arg-type | reportArgumentType
    promissory.schedule("tomorrow", "worker://mailer", "mail")  # error: arg-type | reportArgumentType
    print(count)


async def wrong_promises(order: Order) -> None:
    name, future = awakeable(Order)
    text: str = await future  # error: assignment | reportAssignmentType
    awakeable()  # error: call-overload | reportCallIssue
    awakeable(Order, "3")  # error: call-overload | reportCallIssue reportArgumentType
    nothing: int = await awakeable(None)[1]  # error: assignment func-returns-value | reportAssignmentType
    await resolve_awakeable(future, order)  # error: arg-type | reportArgumentType
    await reject_awakeable(name)  # error: call-arg | reportCallIssue
    await reject_awakeable(name, order)  # error: arg-type | reportArgumentType
    promise = durable_promise("release", Order)
    text = await promise.get()  # error: assignment | reportAssignmentType
    text = (await promise.peek()).order_id  # error: union-attr | reportOptionalMemberAccess
    await promise.resolve("yes")  # error: arg-type | reportArgumentType
    await promise.reject(3)  # error: arg-type | reportArgumentType
    text = await promise.resolve(order)  # error: assignment | reportAssignmentType
    durable_promise(3, Order)  # error: call-overload | reportCallIssue reportArgumentType
    durable_promise("release", Order, timeout="3")  # error: call-overload | reportCallIssue reportArgumentType
    print(text, nothing)


async def wrong_from_outside(client: Asker, order: Order) -> None:
    history = client.worker(PurchaseHistory, "user-1")
    await history.add_order("order-1")  # error: arg-type | reportArgumentType
    text: str = await history.add_order(order)  # error: assignment | reportAssignmentType
    await promissory.send(history.add_order)  # error: call-arg | reportCallIssue
    client.worker(PurchaseHistory, "user-1", key=3)  # error: arg-type | reportArgumentType
    client.worker(PurchaseHistory, 3)  # error: arg-type | reportArgumentType
    client.worker(Order, "user-1")  # error: type-var | reportArgumentType
    print(text)
