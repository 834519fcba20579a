"""The shop: what a cart takes and refuses, a crash at every moment of shopping, and the demo under `kill -9`."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import evolve

import promissory
from examples.shop import carrier
from examples.shop.cart import ShoppingCart
from examples.shop.daemon import Daemon, DaemonFailed
from examples.shop.demo import spread
from examples.shop.history import PurchaseHistory
from examples.shop.products import Order, OrderConfirmation, ProductItem
from examples.shop.proof import Found, claims_of, look
from examples.shop.shopper import Receipt, Shopper
from promissory.executor.client import Disconnected
from promissory.executor.commits.committer import Changes, Commit
from promissory.executor.testing.testbed import Crashed, Testbed
from promissory.oplog.environment import Environment
from promissory.oplog.errors import StoreFailed, TerminalError

ROOT = Path(__file__).resolve().parents[2]
TEA = ProductItem("tea", "Green tea", 4_50, 2)
POT = ProductItem("pot", "Teapot", 38_00)


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the carrier's book; the carrier always answers."""
    path = tmp_path / "carrier.txt"
    path.touch()
    monkeypatch.setenv("SHOP_CARRIER", str(path))
    monkeypatch.setattr(carrier, "random", lambda: 1.0)
    return path


@pytest.fixture
def shop(durable: Testbed, book: Path) -> Testbed:
    """Serve the shop."""
    durable.register(ShoppingCart, PurchaseHistory)
    return durable


def words_in(book: Path) -> list[str]:
    return [line.split()[1] for line in book.read_text().splitlines()]


async def filled(shop: Testbed, *items: ProductItem) -> ShoppingCart:
    cart = shop.worker(ShoppingCart, "c")
    await cart.initialize_cart("ada")
    for item in items:
        await cart.add_item(item)
    return cart


async def test_what_is_in_a_cart(shop: Testbed) -> None:
    """Items are added, added to, changed and removed, in the order in which they came."""
    cart = await filled(shop, TEA, POT, TEA)
    await cart.update_item_quantity("pot", 3)
    assert await promissory.ask(cart.get_cart_contents) == [
        ProductItem("tea", "Green tea", 4_50, 4),
        ProductItem("pot", "Teapot", 38_00, 3),
    ]

    await cart.remove_item("tea")
    await cart.initialize_cart("ada")
    assert [item.id for item in await promissory.ask(cart.get_cart_contents)] == ["pot"]


async def test_a_checkout_is_recorded_in_the_history(shop: Testbed, book: Path) -> None:
    """A checkout dispatches the order, records it once, confirms its total and empties the cart."""
    cart = await filled(shop, TEA, POT)
    confirmation = await cart.checkout()

    [order] = await promissory.ask(shop.worker(PurchaseHistory, "ada").get_orders)
    assert confirmation == OrderConfirmation(order.order_id, 47_00)
    assert (order.items, order.total) == ([TEA, POT], 47_00)
    assert await promissory.ask(cart.get_cart_contents) == []
    assert book.read_text() == f"{order.order_id} dispatched\n"


async def test_carts_of_one_user_share_a_history(shop: Testbed) -> None:
    """There is one history per user, whichever cart the order comes from."""
    for name in ("one", "two"):
        cart = shop.worker(ShoppingCart, name)
        await cart.initialize_cart("ada")
        await cart.add_item(TEA)
        await cart.checkout()

    assert len(await promissory.ask(shop.worker(PurchaseHistory, "ada").get_orders)) == 2
    assert await promissory.ask(shop.worker(PurchaseHistory, "bo").get_orders) == []


REFUSED: list[tuple[str, Callable[[ShoppingCart], Any], int]] = [
    ("nobody's", lambda cart: cart.initialize_cart(""), 400),
    ("somebody else's", lambda cart: cart.initialize_cart("bo"), 409),
    ("none of it", lambda cart: cart.add_item(ProductItem("tea", "Green tea", 1, 0)), 400),
    ("less than none", lambda cart: cart.update_item_quantity("pot", -1), 400),
    ("a price below nothing", lambda cart: cart.add_item(ProductItem("tea", "Green tea", -1)), 400),
    ("change what is not there", lambda cart: cart.update_item_quantity("tea", 1), 404),
    ("remove what is not there", lambda cart: cart.remove_item("tea"), 404),
]


@pytest.mark.parametrize(("ask", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_what_a_cart_refuses(shop: Testbed, ask: Callable[[ShoppingCart], Any], code: int) -> None:
    """What makes no sense is refused with a code of its kind, and the cart stays as it was."""
    cart = await filled(shop, POT)

    with pytest.raises(TerminalError) as refusal:
        await ask(cart)
    assert refusal.value.code == code
    assert await promissory.ask(cart.get_cart_contents) == [POT]


async def test_what_cannot_be_ordered(shop: Testbed, book: Path) -> None:
    """A cart that is not initialized or empty cannot be checked out, and the carrier hears nothing of it."""
    cart = shop.worker(ShoppingCart, "c")
    for _ in range(2):
        with pytest.raises(TerminalError, match=r"is not initialized|is empty") as refusal:
            await cart.checkout()
        assert refusal.value.code == 409
        await cart.initialize_cart("ada")

    assert book.read_text() == ""


async def test_a_silent_carrier_is_asked_again(shop: Testbed, book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dispatch that fails is tried again; the order is recorded once."""
    answers = iter([0.0, 0.1, 0.3, 0.4])
    monkeypatch.setattr(carrier, "random", lambda: next(answers))
    cart = await filled(shop, TEA)
    confirmation = await cart.checkout()

    assert words_in(book) == ["unanswered", "unanswered", "unanswered", "dispatched"]
    [order] = await promissory.ask(shop.worker(PurchaseHistory, "ada").get_orders)
    assert order.order_id == confirmation.order_id


@pytest.mark.parametrize(("quantity", "code", "attempts"), [(1, 500, 10), (21, 422, 0)], ids=["silent", "too big"])
async def test_a_dispatch_that_fails_for_good_is_undone(
    shop: Testbed, book: Path, monkeypatch: pytest.MonkeyPatch, quantity: int, code: int, attempts: int
) -> None:
    """When the carrier never answers, or refuses, the shopper is told, the parcel recalled, and the cart kept."""
    monkeypatch.setattr(carrier, "random", lambda: 0.0)
    item = ProductItem("tea", "Green tea", 4_50, quantity)
    cart = await filled(shop, item)

    with pytest.raises(TerminalError, match="was not placed") as refusal:
        await cart.checkout()
    assert refusal.value.code == code
    assert words_in(book) == ["unanswered"] * attempts + ["recalled"]
    assert await promissory.ask(cart.get_cart_contents) == [item]
    assert await promissory.ask(shop.worker(PurchaseHistory, "ada").get_orders) == []


async def test_a_crash_in_the_middle_of_a_dispatch(shop: Testbed, book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash after the parcel went out and before that was recorded: dispatched twice, recorded once."""

    def answer() -> float:
        monkeypatch.setattr(carrier, "random", lambda: 1.0)
        shop.crash_at_next_commit()
        return 1.0

    await filled(shop, TEA)
    monkeypatch.setattr(carrier, "random", answer)
    with pytest.raises(Disconnected):
        await shop.worker(ShoppingCart, "c", key="once").checkout()
    await shop.has_crashed.wait()
    await shop.start()
    confirmation = await shop.worker(ShoppingCart, "c", key="once").checkout()

    assert book.read_text() == f"{confirmation.order_id} dispatched\n" * 2
    [order] = await promissory.ask(shop.worker(PurchaseHistory, "ada").get_orders)
    assert order.order_id == confirmation.order_id


class CrashAt:
    """A seam that crashes instead of one of the commits, or right after it."""

    def __init__(self, number: int, *, after: bool) -> None:
        self.left = number
        self._after = after

    def __call__(self, environment: Environment) -> Commit:
        def commit(changes: Changes, written: Callable[[], None] | None = None) -> None:
            self.left -= 1
            if self._after or self.left:
                environment.commit(changes, written)
            if not self.left:
                raise Crashed("to order")

        return commit


def shopper_with_second_thoughts() -> Shopper:
    """Return one who does everything that shoppers do: refused first, then content."""
    for seed in count():
        shopper = Shopper(0, "ada", Random(seed))
        if shopper.is_greedy and shopper.dropped and shopper.second_thoughts:
            return shopper
    raise AssertionError


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_every_commit(tmp_path: Path, book: Path, autojump_clock: Any, after: bool) -> None:
    """Whichever commit the executor crashes at, whoever asks again ends with one order in the history."""
    for number in count(1):
        seam = CrashAt(number, after=after)
        book.write_text("")
        async with Testbed.opened(tmp_path / str(number), seam=seam) as durable:
            client: Any = durable
            durable.register(ShoppingCart, PurchaseHistory)
            receipt = None
            while receipt is None:
                try:
                    receipt = await shopper_with_second_thoughts().shop(client)
                except (Disconnected, StoreFailed):
                    await durable.has_crashed.wait()
                    await durable.start()
            found = await look(client, [receipt], book)
            claims = claims_of([receipt], found)
        assert [claim for claim in claims if not claim.is_so] == []
        if seam.left > 0:
            assert number > 10
            break


def test_kills_are_spread() -> None:
    """Each equal part of the day has its kill, after an order that there is."""
    for seed in range(100):
        moments = spread(5, 200, Random(seed))
        assert [(moment - 1) * 5 // 200 for moment in moments] == [0, 1, 2, 3, 4]
    assert spread(3, 3, Random(0)) == [1, 2, 3]
    assert spread(0, 3, Random(0)) == []


async def test_a_daemon_that_ends_by_itself_is_a_failure(tmp_path: Path) -> None:
    """Only a daemon that the demo has killed is started again; any other end is told, with what it wrote."""
    daemon = Daemon(tmp_path)
    daemon.data.write_text("this is no directory")

    with pytest.raises(DaemonFailed, match=r"(?s)ended with status 7.*promissory: "):
        await daemon.run()


def play(shoppers: int, kills: int) -> None:
    """Run the demo; its seed is in what it prints."""
    command = [sys.executable, "-m", "examples.shop.demo", "--shoppers", str(shoppers), "--kills", str(kills)]
    seed = secrets.randbits(32)
    done = subprocess.run([*command, "--seed", str(seed)], cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"--seed {seed}" in done.stdout


def test_a_short_day() -> None:
    """The demo, in short: every order acknowledged is in its history exactly once, whenever the daemon is killed."""
    play(shoppers=30, kills=2)


@pytest.mark.soak
@pytest.mark.parametrize("day", range(10))
def test_a_long_day(day: int) -> None:
    """The demo at length: thousands of orders, a kill every forty."""
    play(shoppers=1_000, kills=25)


RECEIPT = Receipt("c", "ada", "1", 9_00, [TEA])
ORDER = Order("1", [TEA], 9_00, datetime(2026, 1, 1, tzinfo=UTC))
FALSE: dict[str, Found] = {
    "lost": Found({"ada": []}, 0, "1 dispatched"),
    "twice": Found({"ada": [ORDER, ORDER]}, 0, "1 dispatched"),
    "in two histories": Found({"ada": [ORDER], "bo": [ORDER]}, 0, "1 dispatched"),
    "in a wrong history": Found({"ada": [], "bo": [ORDER]}, 0, "1 dispatched"),
    "asked for by nobody": Found({"ada": [ORDER, evolve(ORDER, order_id="2")]}, 0, "1 dispatched\n2 dispatched"),
    "another total": Found({"ada": [evolve(ORDER, total=9_01)]}, 0, "1 dispatched"),
    "other items": Found({"ada": [evolve(ORDER, items=[POT])]}, 0, "1 dispatched"),
    "not dispatched": Found({"ada": [ORDER]}, 0, "1 unanswered"),
    "recalled": Found({"ada": [ORDER]}, 0, "1 dispatched\n1 recalled"),
    "still in the cart": Found({"ada": [ORDER]}, 1, "1 dispatched"),
}


@pytest.mark.parametrize("found", FALSE.values(), ids=FALSE.keys())
def test_what_is_not_so_is_seen(found: Found) -> None:
    """Each way in which an order can go wrong makes a claim false; when none has, all claims are true."""
    right = Found({"ada": [ORDER]}, 0, "1 unanswered\n1 dispatched\n1 dispatched")

    assert [claim for claim in claims_of([RECEIPT], right) if not claim.is_so] == []
    assert [claim for claim in claims_of([RECEIPT], found) if not claim.is_so] != []
