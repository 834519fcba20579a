"""Two hundred people shop, and the daemon is killed five times meanwhile; then every order is looked for.

The daemon is a process of its own and is ended by SIGKILL, within the very acknowledgement of an order. Shoppers
connect again and ask again, with the same idempotency keys. At the end every order that was acknowledged must be in
the history of its user once, with its items and its total, and no other. Exits with 1 if any of that is not so.
"""

from __future__ import annotations

import argparse
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import trio
from attrs import define, field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.shop.daemon import ROOT, Daemon, DaemonFailed
from examples.shop.proof import Claim, claims_of, look
from examples.shop.shopper import Receipt, Shopper
from promissory.executor.client import Disconnected
from promissory.oplog.errors import TerminalError

SHOPPERS_PER_USER = 5
TOGETHER_MAX = 40
"""How many shop at the same time."""


@define
class Day:
    """One day at the shop.

    Args:
      daemon: where the shop is.
      shoppers: who comes.
      kill_at: the numbers of acknowledged orders at which the daemon is killed, ascending.
      progress: where to show how far it is.
      bar: the bar there.
    """

    daemon: Daemon
    shoppers: list[Shopper]
    kill_at: list[int]
    progress: Progress
    bar: TaskID
    receipts: list[Receipt] = field(factory=list)
    complaints: list[str] = field(factory=list)
    """Of shoppers who were refused what they should have got."""
    lost_connections: int = 0

    async def pass_by(self) -> list[Claim]:
        """Have everybody shop, prove the claims, and close the shop in order."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.daemon.run)
            await self._serve_all()
            while self.kill_at:  # orders came too fast for the daemon to be killed in between
                async with self.daemon.connected():
                    self._strike()
            async with self.daemon.connected() as client:
                found = await look(client, self.receipts, self.daemon.carrier)
            self.daemon.stop()
        return claims_of(self.receipts, found)

    async def _serve_all(self) -> None:
        places = trio.CapacityLimiter(TOGETHER_MAX)
        async with trio.open_nursery() as nursery:
            for shopper in self.shoppers:
                nursery.start_soon(self._serve, shopper, places)

    async def _serve(self, shopper: Shopper, places: trio.CapacityLimiter) -> None:
        async with places:
            try:
                self.receipts.append(await self._receipt(shopper))
            except TerminalError as error:
                self.complaints.append(f"{shopper.cart_id}: {error}")
            if self.kill_at and len(self.receipts) >= self.kill_at[0] and self.daemon.is_serving:
                self._strike()
            self.progress.update(self.bar, completed=len(self.receipts), kills=self.daemon.kill_count)

    async def _receipt(self, shopper: Shopper) -> Receipt:
        while True:
            try:
                async with self.daemon.connected() as client:
                    return await shopper.shop(client)
            except Disconnected:
                self.lost_connections += 1

    def _strike(self) -> None:
        """Kill the daemon, before it can do anything more."""
        self.kill_at.pop(0)
        self.daemon.kill()


def spread(kills: int, orders: int, rng: Random) -> list[int]:
    """Return when to kill: at a random order of each of so many equal parts of the day."""
    return [rng.randrange(orders * part // kills, max(orders * (part + 1) // kills, 1)) + 1 for part in range(kills)]


def verify(data: Path) -> int:
    """Return the exit status of `promissory verify`."""
    command = [sys.executable, "-m", "promissory", "verify", "--data", str(data)]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode


def report(console: Console, day: Day, claims: list[Claim], seconds: float) -> None:
    """Print what happened and what was looked for."""
    attempts = day.daemon.carrier.read_text().split().count
    console.print(
        f"{len(day.receipts)} orders in {seconds:.1f} s: the daemon killed {day.daemon.kill_count} times, "
        f"{day.lost_connections} connections lost, {day.daemon.resumed_count} carts resumed; "
        f"the carrier took {attempts('dispatched')} parcels and {attempts('unanswered')} times did not answer; "
        f"{sum(len(shopper.refused_keys) for shopper in day.shoppers)} checkouts refused"
    )
    table = Table("claim", "found", "expected", "")
    for claim in claims:
        table.add_row(claim.text, str(claim.found), str(claim.expected), "yes" if claim.is_so else "[red]NO[/]")
    console.print(table)
    for complaint in [*day.complaints, *day.daemon.complaints]:
        console.print(complaint, markup=False)


def play(directory: Path, console: Console, shoppers: int, kills: int, seed: int) -> bool:
    """Let one day pass, and return whether all of it is so."""
    rng = Random(seed)
    users = -(-shoppers // SHOPPERS_PER_USER)
    people = [Shopper(number, f"user-{number % users}", Random(rng.random())) for number in range(shoppers)]
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("orders, killed {task.fields[kills]} times"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bar = progress.add_task("", total=shoppers, kills=0)
        day = Day(Daemon(directory), people, spread(kills, shoppers, rng), progress, bar)
        began = time.monotonic()
        claims = trio.run(day.pass_by)
        seconds = time.monotonic() - began
    claims += [
        Claim("shoppers who got what they wanted", len(day.receipts), shoppers),
        Claim("kills", day.daemon.kill_count, kills),
        Claim("errors in the daemon's log", len(day.daemon.complaints), 0),
        Claim("exit status of `promissory verify`", verify(day.daemon.data), 0),
    ]
    report(console, day, claims, seconds)
    return all(claim.is_so for claim in claims)


def main() -> int:
    """Run the demo in a temporary directory; return 0 if all of it was so."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.shop.demo", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--shoppers", type=int, default=200)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, help="decides who buys what and when the daemon is killed")
    options = parser.parse_args()
    if not 0 <= options.kills <= options.shoppers:
        parser.error("there must be at least as many shoppers as kills")
    seed = secrets.randbits(32) if options.seed is None else options.seed
    console = Console()
    console.print(f"{options.shoppers} shoppers, {options.kills} kills, --seed {seed}", highlight=False)
    with tempfile.TemporaryDirectory(prefix="promissory-shop-") as directory:
        try:
            is_so = play(Path(directory), console, options.shoppers, options.kills, seed)
        except* DaemonFailed as group:
            console.print(*group.exceptions, markup=False)
            is_so = False
    console.print("all of it is so" if is_so else "[red]not all of it is so[/]")
    return 0 if is_so else 1


if __name__ == "__main__":
    sys.exit(main())
