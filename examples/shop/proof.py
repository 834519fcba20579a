"""What must be so when everybody has shopped: told, recorded and dispatched are compared, order by order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

import promissory
from examples.shop.cart import ShoppingCart
from examples.shop.history import PurchaseHistory
from examples.shop.products import Order, total_of
from examples.shop.shopper import Receipt
from promissory.executor.client import Client


@frozen
class Found:
    """What the shop and the carrier say."""

    histories: Mapping[str, Sequence[Order]]
    """By user."""
    full_carts: int
    carrier: str
    """The carrier's book: lines of an order's id and what became of it."""


@frozen
class Claim:
    """Something that must be so, as a number found and the number expected."""

    text: str
    found: int
    expected: int

    @property
    def is_so(self) -> bool:
        return self.found == self.expected


async def look(client: Client, receipts: Sequence[Receipt], carrier: Path) -> Found:
    """Ask every history and every cart, and read the carrier's book."""
    histories = {
        user: await promissory.ask(client.worker(PurchaseHistory, user).get_orders)
        for user in sorted({receipt.user_id for receipt in receipts})
    }
    contents = [
        await promissory.ask(client.worker(ShoppingCart, receipt.cart_id).get_cart_contents) for receipt in receipts
    ]
    return Found(histories, sum(bool(items) for items in contents), carrier.read_text())


def claims_of(receipts: Sequence[Receipt], found: Found) -> list[Claim]:
    """Hold what was found against what shoppers were told."""
    told = {receipt.order_id: receipt for receipt in receipts}
    recorded = [(user, order) for user, orders in found.histories.items() for order in orders]
    times = Counter(order.order_id for _, order in recorded)
    as_told = [order for user, order in recorded if is_as_told(user, order, told.get(order.order_id))]
    sums = [sum(order.total for _, order in recorded), sum(receipt.total for receipt in receipts)]
    words: dict[str, set[str]] = {"dispatched": set(), "recalled": set(), "unanswered": set()}
    for line in found.carrier.splitlines():
        order_id, word = line.split()
        words[word].add(order_id)
    return [
        Claim("orders acknowledged, each with an id of its own", len(told), len(receipts)),
        Claim("of these, in a history exactly once", sum(times[order_id] == 1 for order_id in told), len(told)),
        Claim("of these, with the right user, items and total", len(as_told), len(told)),
        Claim("orders in the histories", len(recorded), len(told)),
        Claim("of these, acknowledged to nobody", len(times.keys() - told.keys()), 0),
        Claim("of these, never dispatched", len(times.keys() - words["dispatched"]), 0),
        Claim("of these, recalled", len(times.keys() & words["recalled"]), 0),
        Claim("sum of the totals in the histories, in cents", *sums),
        Claim("carts that are not empty", found.full_carts, 0),
    ]


def is_as_told(user: str, order: Order, receipt: Receipt | None) -> bool:
    """Return whether a recorded order is what the shopper wanted and was told."""
    return (
        receipt is not None
        and (user, order.items, order.total) == (receipt.user_id, receipt.items, receipt.total)
        and order.total == total_of(order.items)
    )
