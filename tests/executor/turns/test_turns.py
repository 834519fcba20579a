"""The engine: workers take their steps, fail, are tried again, pause, and go on when resumed."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from attrs import field

import promissory
from promissory.oplog.environment import Environment
from promissory.oplog.errors import OplogCorrupt, Paused, PromissoryError, TerminalError
from promissory.oplog.tables import Table, oplog_key


class Greeter(promissory.Worker):
    greeted: list[str] = field(factory=list)

    @promissory.handler
    async def greet(self, name: str) -> str:
        self.greeted.append(name)
        return f"hello {name}"

    @promissory.handler
    async def wait(self) -> str:
        promise = promissory.create_promise()
        return (await promissory.await_promise(promise)).decode()

    @promissory.query
    def names(self) -> list[str]:
        return self.greeted


async def test_a_handler_is_called_and_its_result_comes_back(durable: Any) -> None:
    """An invocation creates its worker, is recorded, and its result is what the record says."""
    durable.register(Greeter)

    assert await durable.invoke("greeter/1", "greet", "ada") == "hello ada"
    assert await durable.query("greeter/1", "names") == ["ada"]
    assert [e["kind"] for e in await durable.oplog("greeter/1")] == ["Created", "Invoked", "Completed"]


async def test_a_waiting_worker_survives_a_crash(durable: Any) -> None:
    """A worker that waits for a promise goes on after a crash when the promise is completed."""
    durable.register(Greeter)
    invocation = await durable.send("greeter/1", "wait")
    [promise] = await durable.promises()

    await durable.simulate_crash()

    assert await durable.complete_promise(promise, b"now") is True
    assert await durable.attach(invocation) == "now"


attempts: list[str] = []
mended: set[str] = set()


class Fragile(promissory.Worker):
    done: list[str] = field(factory=list)

    @promissory.handler
    async def until(self, count: int, tag: str) -> str:
        attempts.append(tag)
        self.done.append(tag)
        if attempts.count(tag) < count:
            raise ValueError(f"attempt {attempts.count(tag)}")
        return tag

    @promissory.handler
    async def until_mended(self, tag: str) -> str:
        promise = promissory.create_promise()
        attempts.append(tag)
        if tag not in mended:
            raise ZeroDivisionError("not mended")
        promissory.complete_promise(promise, b"x")
        return tag

    @promissory.handler
    async def exits(self, how: str) -> None:
        raise {"exit": SystemExit, "base": BaseException, "generator": GeneratorExit}[how](how)

    @promissory.handler
    async def wait(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.query
    def all_done(self) -> list[str]:
        return self.done


@pytest.fixture
def fragile(durable: Any) -> Any:
    attempts.clear()
    mended.clear()
    durable.register(Fragile)
    return durable


async def test_a_failing_step_is_tried_again_with_backoff(fragile: Any) -> None:
    """An exception is noted, and after an exponential backoff the same input is applied to a worker read back."""
    began = trio.current_time()

    assert await fragile.invoke("fragile/1", "until", 4, "x") == "x"

    assert attempts.count("x") == 4
    errors = [entry for entry in await fragile.oplog("fragile/1") if entry["kind"] == "Errored"]
    assert [entry["attempt"] for entry in errors] == [1, 2, 3]
    assert 0.35 * 0.85 <= trio.current_time() - began <= 0.35 * 1.15 + 0.01
    assert await fragile.query("fragile/1", "all_done") == ["x"]
    assert (await fragile.show("fragile/1"))["status"] == "idle"


async def test_a_worker_that_keeps_failing_pauses(fragile: Any) -> None:
    """After the last attempt the worker pauses; whoever waits is told at once, with the worker's error."""
    with pytest.raises(Paused, match="not mended"):
        await fragile.invoke("fragile/1", "until_mended", "x", key="k")

    assert attempts == ["x"] * 10
    shown = await fragile.show("fragile/1")
    assert shown["status"] == "paused"
    assert (shown["attempt"], shown["error"]) == (10, "ZeroDivisionError: not mended")
    assert "until_mended" in shown["traceback"]
    with pytest.raises(Paused, match="not mended"):
        await fragile.invoke("fragile/1", "until_mended", "x", key="k")
    assert await fragile.request("worker.list", status="paused") == {"more": False}


async def test_resume_goes_on_once_the_code_is_mended(fragile: Any) -> None:
    """A resumed worker applies the failing input again, with its attempts counted anew, also after a crash."""
    for _ in range(2):
        with pytest.raises(Paused):
            await fragile.invoke("fragile/1", "until_mended", "x", key="k")
        assert len(attempts) % 10 == 0
        await fragile.simulate_crash()
        assert (await fragile.show("fragile/1"))["status"] == "paused"
        if len(attempts) == 20:
            mended.add("x")
        await fragile.resume("fragile/1")
        await trio.sleep(100)

    assert await fragile.invoke("fragile/1", "until_mended", "x", key="k") == "x"


async def test_resume_all_resumes_every_paused_worker(fragile: Any) -> None:
    """`resume` with `all` lets every paused worker go on and says how many."""
    for n in range(3):
        with pytest.raises(Paused):
            await fragile.invoke(f"fragile/{n}", "until_mended", "x", key="k")
    mended.add("x")

    assert await fragile.request("worker.resume", all=True) == {"resumed": 3}
    assert [await fragile.invoke(f"fragile/{n}", "until_mended", "x", key="k") for n in range(3)] == ["x"] * 3


async def test_a_retry_survives_a_crash(fragile: Any) -> None:
    """A worker between attempts is tried again after a restart, with its count going on."""
    invocation = await fragile.send("fragile/1", "until", 5, "x")
    await fragile.quiet()
    await trio.sleep(0.2)
    assert (await fragile.show("fragile/1"))["status"] == "retrying"
    before = len(attempts)
    await fragile.simulate_crash()

    assert await fragile.attach(invocation) == "x"
    assert 1 < before < len(attempts) == 5


@pytest.mark.parametrize("how", ["exit", "base", "generator"])
async def test_base_exceptions_are_retried_like_any_other(fragile: Any, how: str) -> None:
    """`SystemExit` and its like in a handler never reach the executor: they are errors of that step."""
    with pytest.raises(Paused, match=how):
        await fragile.invoke("fragile/1", "exits", how)
    assert await fragile.invoke("fragile/2", "until", 1, "fine") == "fine"


async def test_the_step_that_fails_costs_no_other_its_result(fragile: Any) -> None:
    """Invocations before a failing one keep their results, those after it wait for it."""
    assert await fragile.invoke("fragile/1", "until", 1, "before") == "before"
    await fragile.send("fragile/1", "until_mended", "x")
    after = await fragile.send("fragile/1", "until", 1, "after")
    await trio.sleep(200)
    assert "after" not in attempts

    mended.add("x")
    await fragile.resume("fragile/1")
    assert await fragile.attach(after) == "after"


async def test_an_interrupted_worker_takes_no_step_until_resumed(fragile: Any) -> None:
    """Interrupting stops a worker, also across a crash; what is appended meanwhile is applied after `resume`."""
    invocation = await fragile.send("fragile/1", "wait")
    [promise] = await fragile.promises()
    await fragile.interrupt("fragile/1")
    assert await fragile.complete_promise(promise, b"now") is True
    later = await fragile.send("fragile/1", "until", 1, "later")
    await fragile.simulate_crash()
    await trio.sleep(100)
    assert (await fragile.show("fragile/1"))["status"] == "interrupted"
    assert attempts == []

    await fragile.resume("fragile/1")

    assert await fragile.attach(invocation) == "now"
    assert await fragile.attach(later) == "later"


async def test_a_corrupt_entry_pauses_only_its_worker(durable: Any) -> None:
    """A worker whose record is damaged is paused with `OplogCorrupt` and the index; all others run."""
    durable.register(Greeter)
    for n in (1, 2):
        await durable.invoke(f"greeter/{n}", "greet", "ada")
    await durable.stop()
    with Environment(durable.data) as environment:
        key = oplog_key(1, 2)
        row = environment.get(Table.OPLOG, key)
        assert row is not None
        environment.commit({Table.OPLOG: {key: row[:-1] + bytes([row[-1] ^ 1])}})
    await durable.start()
    durable.excuse("greeter/1")
    durable.is_checked_at_end = False

    with pytest.raises(PromissoryError):
        await durable.invoke("greeter/1", "greet", "eve")

    shown = await durable.show("greeter/1")
    assert shown["status"] == "paused"
    assert "OplogCorrupt" in shown["error"]
    assert "entry 2" in shown["error"]
    assert await durable.invoke("greeter/2", "greet", "eve") == "hello eve"
    with pytest.raises(OplogCorrupt):
        await durable.query("greeter/1", "names")


async def test_code_that_does_something_else_pauses_the_worker(durable: Any) -> None:
    """When the code no longer does what is recorded, the worker pauses at once and says where they part."""

    class Greeter(promissory.Worker):  # the next version of the one above
        greeted: list[str] = field(factory=list)

        @promissory.handler
        async def wait(self) -> str:
            await promissory.sleep(1)
            return "changed"

    durable.register(globals()["Greeter"])
    invocation = await durable.send("greeter/1", "wait")
    [promise] = await durable.promises()
    durable.register(Greeter)
    await durable.simulate_crash()
    durable.excuse("greeter/1")
    await durable.complete_promise(promise, b"x")

    with pytest.raises(Paused, match="NonDeterminismError"):
        await durable.attach(invocation)
    durable.register(globals()["Greeter"])
    await durable.simulate_crash()
    await durable.resume("greeter/1")
    assert await durable.attach(invocation) == "x"


async def test_a_handler_that_is_gone_pauses_the_worker(durable: Any) -> None:
    """A recorded invocation of a function that the class no longer has pauses its worker, not others."""

    class Greeter(promissory.Worker):  # the next version of the one above
        greeted: list[str] = field(factory=list)

        @promissory.handler
        async def other(self) -> str:
            return "other"

    durable.register(globals()["Greeter"])
    await durable.send("greeter/1", "wait")
    durable.register(Greeter)
    await durable.simulate_crash()
    durable.excuse("greeter/1")

    with pytest.raises(Paused, match="wait"):
        await durable.invoke("greeter/1", "other")
    assert await durable.invoke("greeter/2", "other") == "other"


async def test_more_than_a_step_may_do_fails_the_invocation(durable: Any) -> None:
    """A step past its limits fails its invocation terminally; the worker goes on."""

    class Greedy(promissory.Worker):
        @promissory.handler
        async def many(self) -> None:
            for _ in range(5_000):
                promissory.create_promise()

        @promissory.handler
        async def fine(self) -> str:
            return "fine"

    durable.register(Greedy)

    with pytest.raises(TerminalError, match="4096"):
        await durable.invoke("greedy/1", "many")
    assert await durable.invoke("greedy/1", "fine") == "fine"
