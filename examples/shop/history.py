"""`purchase-history`: what a user has ordered, one worker per user."""

from __future__ import annotations

from attrs import field

import promissory
from examples.shop.products import Order


class PurchaseHistory(promissory.Worker):
    orders: list[Order] = field(factory=list)

    @promissory.handler
    async def add_order(self, order: Order) -> None:
        """Add an order; nothing here looks for doubles, since a call from a worker takes effect exactly once."""
        self.orders.append(order)

    @promissory.query
    def get_orders(self) -> list[Order]:
        return self.orders
