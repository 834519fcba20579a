"""What is bought and sold. Money is whole cents: sums of integers are exact, and JSON has them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from attrs import frozen


@frozen
class ProductItem:
    id: str
    name: str
    price: int
    """Of one of them, in cents."""
    quantity: int = 1


@frozen
class Order:
    order_id: str
    items: list[ProductItem]
    total: int
    """In cents."""
    ordered_at: datetime


@frozen
class OrderConfirmation:
    order_id: str
    total: int
    """In cents."""


def total_of(items: Iterable[ProductItem]) -> int:
    """Return what the items cost together, in cents."""
    return sum(item.price * item.quantity for item in items)
