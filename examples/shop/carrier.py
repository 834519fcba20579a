"""The carrier, a stranger to promissory: it takes a parcel, refuses one that is too big, and often does not answer.

Workers come here by `promissory.run`, which tries again what raises. Chance, files and clocks are at home here: a
handler may use none of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import random

import promissory
from examples.shop.products import Order

PARCEL_ITEMS_MAX = 20


def dispatch_order(order: Order) -> None:
    """Hand the parcel over.

    Performed at least once: the carrier is told the order's id, which is the same each time.

    Raises:
      ConnectionError: no answer, one time in three; `run` tries again.
      TerminalError: the parcel is too big, which no further attempt can change.
    """
    if sum(item.quantity for item in order.items) > PARCEL_ITEMS_MAX:
        raise promissory.TerminalError(f"no parcel holds more than {PARCEL_ITEMS_MAX} items", 422)
    if random() < 1 / 3:
        _write(f"{order.order_id} unanswered")
        raise ConnectionError("the carrier does not answer")
    _write(f"{order.order_id} dispatched")


def recall_order(order_id: str) -> None:
    """Have the parcel brought back, if the carrier has it."""
    _write(f"{order_id} recalled")


def _write(line: str) -> None:
    with Path(os.environ.get("SHOP_CARRIER", "carrier.txt")).open("a") as book:
        book.write(f"{line}\n")
