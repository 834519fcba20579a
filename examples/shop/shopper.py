"""A shopper: fills a cart over the network and checks out, however often the connection is lost meanwhile."""

from __future__ import annotations

from itertools import count
from random import Random

from attrs import evolve, frozen

from examples.shop.carrier import PARCEL_ITEMS_MAX
from examples.shop.cart import ShoppingCart
from examples.shop.products import ProductItem
from promissory.executor.client import Client
from promissory.oplog.errors import TerminalError

CATALOGUE = [
    ProductItem("tea", "Green tea", 4_50),
    ProductItem("pot", "Teapot", 38_00),
    ProductItem("cup", "Cup", 7_95),
    ProductItem("tray", "Tray", 21_20),
    ProductItem("honey", "Honey", 6_49),
    ProductItem("book", "The Book of Tea", 12_99),
]
TOO_MANY = ProductItem("bricks", "Tea bricks", 17_77, PARCEL_ITEMS_MAX + 1)
TOO_MANY_CODE, SILENCE_CODE = 422, 500


@frozen
class Receipt:
    """What a shopper was told, and what it is about."""

    cart_id: str
    user_id: str
    order_id: str
    total: int
    items: list[ProductItem]


class Shopper:
    """One shopper with a cart of its own; the user may have other shoppers too.

    Args:
      number: which one.
      user_id: whose history the order goes to.
      rng: decides what is bought, now: it is the same each time that `shop` is called.
    """

    def __init__(self, number: int, user_id: str, rng: Random) -> None:
        self.cart_id = f"cart-{number}"
        self.user_id = user_id
        self.refused_keys: set[str] = set()
        """The checkouts that failed because of the carrier."""
        self._first = [evolve(item, quantity=rng.randint(1, 3)) for item in rng.sample(CATALOGUE, rng.randint(2, 4))]
        self.second_thoughts = {item.id: rng.randint(1, 5) for item in self._first if rng.random() < 0.3}
        self.dropped = self._first[0].id if rng.random() < 0.3 else None
        self.is_greedy = rng.random() < 0.1
        """Whether this shopper wants more at first than a parcel holds."""

    async def shop(self, client: Client) -> Receipt:
        """Do everything, from the first step to the last.

        After a lost connection it is called again, and makes the same calls with the same idempotency keys: what was
        done before is not done again but answered as it was then.

        Raises:
          Disconnected: the connection is lost.
          TerminalError: something was refused that should not have been.
        """
        await self._cart(client, "initialize").initialize_cart(self.user_id)
        for item in self._first:
            await self._cart(client, f"add {item.id}").add_item(item)
        for product_id, quantity in self.second_thoughts.items():
            await self._cart(client, f"update {product_id}").update_item_quantity(product_id, quantity)
        if self.dropped is not None:
            await self._cart(client, "drop").remove_item(self.dropped)
        if self.is_greedy:
            await self._cart(client, "add too many").add_item(TOO_MANY)
        for attempt in count(1):
            key = f"checkout {attempt}"
            try:
                confirmation = await self._cart(client, key).checkout()
            except TerminalError as refusal:
                if refusal.code not in (TOO_MANY_CODE, SILENCE_CODE):
                    raise
                self.refused_keys.add(key)
                if refusal.code == TOO_MANY_CODE:
                    await self._cart(client, f"repent {attempt}").remove_item(TOO_MANY.id)
            else:
                break
        return Receipt(self.cart_id, self.user_id, confirmation.order_id, confirmation.total, self._wanted())

    def _cart(self, client: Client, key: str) -> ShoppingCart:
        return client.worker(ShoppingCart, self.cart_id, key=key)

    def _wanted(self) -> list[ProductItem]:
        """Return what must be in the order."""
        return [
            evolve(item, quantity=self.second_thoughts.get(item.id, item.quantity))
            for item in self._first
            if item.id != self.dropped
        ]
