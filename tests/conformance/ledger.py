"""The workers whose routes are fuzzed: typed arguments of all kinds, and nothing that fails by itself."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from attrs import define, field

import promissory


class Currency(enum.Enum):
    """What amounts are in."""

    EUR = "eur"
    CHF = "chf"


@define
class Posting:
    """A line of the ledger."""

    account: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    cents: Annotated[int, msgspec.Meta(ge=-(10**12), le=10**12)]
    currency: Currency = Currency.EUR
    at: datetime | None = None
    tags: list[str] = field(factory=list)
    more: dict[str, float | str | None] = field(factory=dict)


class Ledger(promissory.Worker):
    """A worker with a name: state, several parameters, promises of its own."""

    owner: str = ""
    limit: int = 0
    postings: list[Posting] = field(factory=list)

    @promissory.handler
    async def post(self, posting: Posting) -> int:
        self.postings = [*self.postings[-99:], posting]
        return len(self.postings)

    @promissory.handler
    async def transfer(self, to: str, cents: int, currency: Currency = Currency.EUR, note: str | None = None) -> Any:
        return [to, cents, currency, note]

    @promissory.handler
    async def clear(self) -> None:
        self.postings = []

    @promissory.handler
    async def open(self) -> int:
        """Create a promise, and return its index."""
        return promissory.create_promise().oplog_idx

    @promissory.handler
    async def ticket(self) -> str:
        """Create an awakeable, and return its id."""
        return promissory.awakeable(Any)[0]

    @promissory.handler
    async def after(self, promise: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]) -> Any:
        """Wait for a durable promise."""
        try:
            return await promissory.durable_promise(promise).get()
        except promissory.TerminalError as error:
            raise promissory.TerminalError(str(error), 409) from None

    @promissory.query
    def last(self, count: Annotated[int, msgspec.Meta(ge=0, le=100)] = 10) -> list[Posting]:
        return self.postings[-count:] if count else []

    @promissory.query
    def total(self) -> dict[str, int]:
        return {currency.value: sum(p.cents for p in self.postings if p.currency is currency) for currency in Currency}


class Mint(promissory.Worker, ephemeral=True):
    """A service."""

    @promissory.handler
    async def echo(self, value: Any) -> Any:
        return value

    @promissory.handler
    async def flip(self, side: Literal["head", "tail"], times: Annotated[int, msgspec.Meta(ge=0, le=9)] = 1) -> str:
        return side if times % 2 == 0 else {"head": "tail", "tail": "head"}[side]

    @promissory.handler
    async def ping(self) -> None:
        pass

    @promissory.handler
    async def refuse(self, code: Annotated[int, msgspec.Meta(ge=400, le=499)]) -> None:
        raise promissory.TerminalError("refused", code)
