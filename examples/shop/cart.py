"""`shopping-cart`: one worker per cart. Its checkout dispatches the order and has the user's history record it."""

from __future__ import annotations

from attrs import evolve, field

import promissory
from examples.shop.carrier import dispatch_order, recall_order
from examples.shop.history import PurchaseHistory
from examples.shop.products import Order, OrderConfirmation, ProductItem, total_of
from promissory import TerminalError


class ShoppingCart(promissory.Worker):
    user_id: str = ""
    items: dict[str, ProductItem] = field(factory=dict)
    """By product id, in the order in which they were first added."""

    @promissory.handler
    async def initialize_cart(self, user_id: str) -> None:
        """Make the cart a user's; asking again for the same user changes nothing."""
        if not user_id:
            raise TerminalError("a cart needs a user", 400)
        if self.user_id not in ("", user_id):
            raise TerminalError("the cart belongs to somebody else", 409)
        self.user_id = user_id

    @promissory.handler
    async def add_item(self, item: ProductItem) -> None:
        """Add a product, or more of it; of one that is there already the new name and price hold for all."""
        check_quantity(item.quantity)
        if item.price < 0:
            raise TerminalError(f"a price cannot be {item.price}", 400)
        before = self.items.get(item.id)
        self.items[item.id] = evolve(item, quantity=item.quantity + (before.quantity if before else 0))

    @promissory.handler
    async def remove_item(self, product_id: str) -> None:
        self.item(product_id)
        del self.items[product_id]

    @promissory.handler
    async def update_item_quantity(self, product_id: str, quantity: int) -> None:
        check_quantity(quantity)
        self.items[product_id] = evolve(self.item(product_id), quantity=quantity)

    @promissory.handler
    async def checkout(self) -> OrderConfirmation:
        """Order what is in the cart and empty it; fails with the cart as it was, and nothing dispatched."""
        if not self.user_id:
            raise TerminalError("the cart is not initialized", 409)
        if not self.items:
            raise TerminalError("the cart is empty", 409)
        items = list(self.items.values())
        order = Order(str(promissory.uuid4()), items, total_of(items), promissory.now())
        try:
            await promissory.run(dispatch_order, order)
            await promissory.worker(PurchaseHistory, self.user_id).add_order(order)
        except TerminalError as error:
            # An attempt whose answer was lost may have got through.
            await promissory.run(recall_order, order.order_id)
            raise TerminalError(f"order {order.order_id} was not placed: {error}", error.code) from error
        self.items.clear()
        return OrderConfirmation(order.order_id, order.total)

    @promissory.query
    def get_cart_contents(self) -> list[ProductItem]:
        return list(self.items.values())

    def item(self, product_id: str) -> ProductItem:
        """Return an item of the cart."""
        if product_id not in self.items:
            raise TerminalError(f"there is no {product_id!r} in the cart", 404)
        return self.items[product_id]


def check_quantity(quantity: int) -> None:
    """Refuse what is no number of things."""
    if quantity < 1:
        raise TerminalError(f"a quantity cannot be {quantity}", 400)
