"""The workers that the published clients call: one of each kind that their libraries know."""

from __future__ import annotations

from typing import Any

from attrs import define

import workers


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


class Greeter(workers.Worker, ephemeral=True):
    """A service: every call has a worker of its own."""

    @workers.handler
    async def greet(self, name: str) -> str:
        return f"Hello, {name}"

    @workers.handler
    async def hello(self) -> str:
        return "Hello"

    @workers.handler
    async def forget(self, name: str) -> None:
        pass

    @workers.handler
    async def echo(self, value: Any) -> Any:
        return value

    @workers.handler
    async def receipt(self, order: Order) -> Order:
        return Order(order.order_id, sorted(order.items), paid=True)

    @workers.handler
    async def letter(self, name: str, lines: list[str], urgent: bool = False) -> dict[str, Any]:
        return {"to": name, "lines": len(lines), "urgent": urgent}

    @workers.handler
    async def refuse(self, why: str, code: int = 500) -> str:
        raise workers.TerminalError(why, code)


class Counter(workers.Worker):
    """An object: a name and a state."""

    count: int = 0

    @workers.handler
    async def add(self, by: int) -> int:
        self.count += by
        return self.count

    @workers.handler
    async def reset(self) -> None:
        self.count = 0

    @workers.handler
    async def add_when(self, promise: str, by: int) -> int:
        """Add when a durable promise is resolved."""
        await workers.durable_promise(promise).get()
        self.count += by
        return self.count

    @workers.handler
    async def name(self) -> str:
        return workers.current_worker().worker_name

    @workers.query
    def value(self) -> int:
        return self.count

    @workers.query
    def plus(self, by: int) -> int:
        return self.count + by


class Signup(workers.Worker):
    """A workflow: `run` once, and a query that looks at it meanwhile."""

    state: str = "new"

    @workers.handler
    async def run(self, email: str) -> str:
        awakeable, clicked = workers.awakeable(str)
        self.state = "waiting"
        await workers.durable_promise(f"link of {email}").resolve(awakeable)
        code = await clicked
        self.state = "confirmed"
        return f"{email} confirmed with {code}"

    @workers.query
    def status(self) -> str:
        return self.state


class Desk(workers.Worker):
    """Handlers that wait for somebody outside; the durable promise `id of NAME` says for what."""

    @workers.handler
    async def anything(self) -> Any:
        return await self._await(Any)

    @workers.handler
    async def nothing(self) -> None:
        await self._await(None)

    @workers.handler
    async def decision(self) -> str:
        return (await self._await(Decision)).hello

    @workers.handler
    async def excuse(self) -> str:
        try:
            await self._await(Any)
        except workers.PromiseRejected as rejected:
            return f"rejected: {rejected}"
        return "resolved"

    async def _await(self, expected: Any) -> Any:
        awakeable, future = workers.awakeable(expected)
        await workers.durable_promise(f"id of {workers.current_worker().worker_name}").resolve(awakeable)
        return await future
