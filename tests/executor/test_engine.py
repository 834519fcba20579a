"""The engine: workers take their steps, fail, are tried again, pause, and go on when resumed."""

from __future__ import annotations

from typing import Any

from attrs import field

import workers


class Greeter(workers.Worker):
    greeted: list[str] = field(factory=list)

    @workers.handler
    async def greet(self, name: str) -> str:
        self.greeted.append(name)
        return f"hello {name}"

    @workers.handler
    async def wait(self) -> str:
        promise = workers.create_promise()
        return (await workers.await_promise(promise)).decode()

    @workers.query
    def names(self) -> list[str]:
        return self.greeted


async def test_a_handler_is_called_and_its_result_comes_back(promissory: Any) -> None:
    """An invocation creates its worker, is recorded, and its result is what the record says."""
    promissory.register(Greeter)

    assert await promissory.invoke("greeter/1", "greet", "ada") == "hello ada"
    assert await promissory.query("greeter/1", "names") == ["ada"]
    assert [e["kind"] for e in await promissory.oplog("greeter/1")] == ["Created", "Invoked", "Completed"]


async def test_a_waiting_worker_survives_a_crash(promissory: Any) -> None:
    """A worker that waits for a promise goes on after a crash when the promise is completed."""
    promissory.register(Greeter)
    invocation = await promissory.send("greeter/1", "wait")
    [promise] = await promissory.promises()

    await promissory.simulate_crash()

    assert await promissory.complete_promise(promise, b"now") is True
    assert await promissory.attach(invocation) == "now"
