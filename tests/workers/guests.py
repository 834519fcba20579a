"""Workers that the tests of calls call."""

from __future__ import annotations

import attrs
from attrs import field

import promissory


@attrs.define
class Item:
    name: str
    price: int = 1


class History(promissory.Worker):
    items: list[Item] = field(factory=list)

    @promissory.handler
    async def add(self, item: Item, times: int = 1, *, note: str = "-") -> Item:
        return item

    @promissory.handler
    async def strict(self, a: int, b: int = 2, *, c: int) -> int:
        return a + b + c

    @promissory.query
    def total(self, since: int = 0) -> list[Item]:
        return self.items

    def plain(self) -> None:
        """Neither a handler nor a query."""


class Mailer(promissory.Worker, ephemeral=True):
    @promissory.handler
    async def mail(self, to: str) -> None:
        pass
