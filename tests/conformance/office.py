"""The workers that the published clients call: one of each kind that their libraries know."""

from __future__ import annotations

from typing import Any

from attrs import define

import promissory


@define
class Order:
    """What a counter's customer hands in."""

    order_id: str
    items: list[str]
    paid: bool = False


@define
class Decision:
    """What an approver sends."""

    hello: str


class Greeter(promissory.Worker, ephemeral=True):
    """A service: every call has a worker of its own."""

    @promissory.handler
    async def greet(self, name: str) -> str:
        return f"Hello, {name}"

    @promissory.handler
    async def hello(self) -> str:
        return "Hello"

    @promissory.handler
    async def forget(self, name: str) -> None:
        pass

    @promissory.handler
    async def echo(self, value: Any) -> Any:
        return value

    @promissory.handler
    async def receipt(self, order: Order) -> Order:
        return Order(order.order_id, sorted(order.items), paid=True)

    @promissory.handler
    async def letter(self, name: str, lines: list[str], urgent: bool = False) -> dict[str, Any]:
        return {"to": name, "lines": len(lines), "urgent": urgent}

    @promissory.handler
    async def refuse(self, why: str, code: int = 500) -> str:
        raise promissory.TerminalError(why, code)


class Counter(promissory.Worker):
    """An object: a name and a state."""

    count: int = 0

    @promissory.handler
    async def add(self, by: int) -> int:
        self.count += by
        return self.count

    @promissory.handler
    async def reset(self) -> None:
        self.count = 0

    @promissory.handler
    async def add_when(self, promise: str, by: int) -> int:
        """Add when a durable promise is resolved."""
        await promissory.durable_promise(promise).get()
        self.count += by
        return self.count

    @promissory.handler
    async def name(self) -> str:
        return promissory.current_worker().worker_name

    @promissory.query
    def value(self) -> int:
        return self.count

    @promissory.query
    def plus(self, by: int) -> int:
        return self.count + by


class Signup(promissory.Worker):
    """A workflow: `run` once, and a query that looks at it meanwhile."""

    state: str = "new"

    @promissory.handler
    async def run(self, email: str) -> str:
        awakeable, clicked = promissory.awakeable(str)
        self.state = "waiting"
        await promissory.durable_promise(f"link of {email}").resolve(awakeable)
        code = await clicked
        self.state = "confirmed"
        return f"{email} confirmed with {code}"

    @promissory.query
    def status(self) -> str:
        return self.state


class Desk(promissory.Worker):
    """Handlers that wait for somebody outside; the durable promise `id of NAME` says for what."""

    @promissory.handler
    async def anything(self) -> Any:
        return await self._await(Any)

    @promissory.handler
    async def nothing(self) -> None:
        await self._await(None)

    @promissory.handler
    async def decision(self) -> str:
        return (await self._await(Decision)).hello

    @promissory.handler
    async def excuse(self) -> str:
        try:
            await self._await(Any)
        except promissory.PromiseRejected as rejected:
            return f"rejected: {rejected}"
        return "resolved"

    async def _await(self, expected: Any) -> Any:
        awakeable, future = promissory.awakeable(expected)
        await promissory.durable_promise(f"id of {promissory.current_worker().worker_name}").resolve(awakeable)
        return await future
