"""Workers that the tests of calls call."""

from __future__ import annotations

import attrs
from attrs import field

import workers


@attrs.define
class Item:
    name: str
    price: int = 1


class History(workers.Worker):
    items: list[Item] = field(factory=list)

    @workers.handler
    async def add(self, item: Item, times: int = 1, *, note: str = "-") -> Item:
        return item

    @workers.handler
    async def strict(self, a: int, b: int = 2, *, c: int) -> int:
        return a + b + c

    @workers.query
    def total(self, since: int = 0) -> list[Item]:
        return self.items

    def plain(self) -> None:
        """Neither a handler nor a query."""


class Mailer(workers.Worker, ephemeral=True):
    @workers.handler
    async def mail(self, to: str) -> None:
        pass
