"""Workers ask queries of workers: answered from memory or after reading back, recorded, and never left open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import define, field

import promissory
import promissory.executor.turns.executor
import promissory.executor.turns.turns
from promissory.executor.client import Disconnected
from promissory.executor.testing.testbed import Testbed
from promissory.oplog.errors import CallError, StoreFailed, TerminalError, WorkerError
from promissory.oplog.tables import Table
from tests.seams import Seam


@define
class Report:
    total: int
    parts: list[int] = field(factory=list)


class Counter(promissory.Worker):
    parts: list[int] = field(factory=list)

    @promissory.handler
    async def add(self, part: int) -> int:
        self.parts.append(part)
        return len(self.parts)

    @promissory.handler
    async def hold(self) -> str:
        self.parts.append(-1)
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.handler
    async def fail(self) -> None:
        self.parts.append(99)
        raise ValueError("broken")

    @promissory.query
    def report(self, factor: int = 1) -> Report:
        return Report(sum(self.parts) * factor, self.parts)

    @promissory.query
    def refuse(self) -> int:
        raise TerminalError("not today", 418)

    @promissory.query
    def break_(self) -> int:
        raise ZeroDivisionError("no")

    @promissory.query
    def exit(self) -> int:
        raise SystemExit(3)

    @promissory.handler
    async def ask_oneself(self) -> int:
        self.parts.append(7)
        own = promissory.worker(Counter, promissory.current_worker().worker_name)
        return (await promissory.ask(own.report)).total


class Sized(promissory.Worker):
    size: int

    @promissory.query
    def measure(self) -> int:
        return self.size


class CounterStub(promissory.Worker, component="counter", stub=True):
    """What others think a counter is."""

    @promissory.query
    def missing(self) -> int: ...

    @promissory.query
    def add(self, part: int) -> int: ...


class Asker(promissory.Worker):
    last: int = 0

    @promissory.handler
    async def total(self, name: str, factor: int = 1) -> int:
        report = await promissory.ask(promissory.worker(Counter, name).report, factor=factor)
        report.parts.append(1_000)
        self.last = report.total
        return self.last

    @promissory.handler
    async def raced(self, name: str) -> str:
        future = promissory.ask(promissory.worker(Counter, name).report)
        position, value = await promissory.race(future, promissory.sleep(0))
        return f"{position} {value}"

    @promissory.handler
    async def failing(self, what: str) -> str:
        counter, stub = promissory.worker(Counter, "1"), promissory.worker(CounterStub, "1")
        asked: dict[str, Callable[[], Any]] = {
            "refuse": lambda: promissory.ask(counter.refuse),
            "break": lambda: promissory.ask(counter.break_),
            "exit": lambda: promissory.ask(counter.exit),
            "missing": lambda: promissory.ask(stub.missing),
            "handler": lambda: promissory.ask(stub.add, 1),
            "sized": lambda: promissory.ask(promissory.worker(Sized, "1").measure),
        }
        try:
            return str(await asked[what]())
        except TerminalError as error:
            return f"{type(error).__name__} {error.code} {error}"


@pytest.fixture
def asking(durable: Any) -> Any:
    durable.register(Counter, Asker, Sized)
    return durable


@pytest.fixture
def one_turn_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop is looked at after each turn, and a worker of more than two entries is read back in several."""
    monkeypatch.setattr(promissory.executor.turns.executor, "TURN_BUDGET_SECONDS", -1.0)
    monkeypatch.setattr(promissory.executor.turns.turns, "SLICE_ENTRIES", 2)


async def test_an_answer_is_typed_and_recorded(asking: Any) -> None:
    """The answer is the query's type, a copy, recorded in the asker and not in the asked."""
    await asking.invoke("counter/1", "add", 3)
    await asking.invoke("counter/1", "add", 4)
    before = await asking.oplog("counter/1")

    assert await asking.invoke("asker/1", "total", "1", 2) == 14
    assert await asking.query("counter/1", "report") == {"total": 7, "parts": [3, 4]}
    assert await asking.oplog("counter/1") == before
    await asking.invoke("counter/1", "add", 5)
    await asking.simulate_crash()
    await asking.assert_replays("asker/1")


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("refuse", "TerminalError 418 not today"),
        ("break", "CallError 500 "),
        ("exit", "CallError 500 "),
        ("missing", "CallError 404 component 'counter' has no function 'missing'"),
        ("handler", "CallError 400 counter.add is a handler"),
        ("sized", "CallError 400 sized has required fields"),
    ],
)
async def test_what_cannot_be_answered_is_raised(asking: Any, what: str, error: str) -> None:
    """A query's own error, and whatever keeps it from being asked, is raised at the await; nothing is created."""
    await asking.invoke("counter/1", "add", 3)

    assert (await asking.invoke("asker/1", "failing", what)).startswith(error)
    assert await asking.workers() == ["counter/1", "asker/1"]
    assert asking.executor.environment.count(Table.RUNNABLE) == 0


async def test_a_query_that_exits_ends_nothing(asking: Any) -> None:
    """A query that raises what ends a program is an error to its asker, whether or not its worker exists."""
    for _ in range(2):
        with pytest.raises(WorkerError, match="SystemExit"):
            await asking.query("counter/1", "exit")
        await asking.invoke("counter/1", "add", 3)


async def test_asking_never_creates_a_worker(asking: Any) -> None:
    """A worker that does not exist, or was deleted, is answered for as it would begin; nothing is written."""
    assert await asking.invoke("asker/1", "total", "nobody") == 0
    await asking.invoke("counter/1", "add", 3)
    await asking.delete("counter/1")
    assert await asking.invoke("asker/1", "total", "1") == 0
    assert await asking.workers() == ["asker/1"]


async def test_a_worker_may_ask_itself(asking: Any) -> None:
    """A query of one's own worker sees the state at the await."""
    await asking.invoke("counter/1", "add", 3)

    assert await asking.invoke("counter/1", "ask_oneself") == 10


@pytest.mark.parametrize("is_resident", [True, False])
async def test_workers_that_wait_or_fail_answer(asking: Any, is_resident: bool) -> None:
    """A suspended worker answers from its state; one that keeps failing from before the input that fails."""
    await asking.invoke("counter/1", "add", 3)
    held = await asking.send("counter/1", "hold")
    await asking.invoke("counter/2", "add", 3)
    await asking.send("counter/2", "fail")
    await trio.sleep(0.01 if is_resident else 1_000)
    if not is_resident:
        assert len(asking.executor.residents) == 0

    assert await asking.invoke("asker/1", "total", "1") == 2
    assert await asking.invoke("asker/1", "total", "2") == 3
    await asking.interrupt("counter/1")
    assert await asking.invoke("asker/1", "total", "1") == 2
    await asking.resume("counter/1")
    [promise] = await asking.promises()
    await asking.complete_promise(promise, b"x")
    assert await asking.attach(held) == "x"


async def test_an_answer_that_comes_too_late_is_dropped(asking: Any, one_turn_a_time: None) -> None:
    """An ask that a race gave up is abandoned; its answer disturbs nobody."""
    for part in range(20):
        await asking.invoke("counter/1", "add", part)
    await trio.sleep(100)

    assert await asking.invoke("asker/1", "raced", "1") == "1 None"
    assert await asking.invoke("asker/1", "total", "1") == 190
    kinds = [entry["kind"] for entry in await asking.oplog("asker/1")]
    assert kinds[:7] == ["Created", "Invoked", "Started", "Started", "Ended", "Abandoned", "Completed"]


async def test_an_asker_may_be_deleted_meanwhile(asking: Any, one_turn_a_time: None) -> None:
    """The answer for a deleted worker goes nowhere, not to its next life either."""
    for part in range(20):
        await asking.invoke("counter/1", "add", part)
    await trio.sleep(100)
    await asking.send("asker/1", "total", "1")
    while not asking.executor.asks._asking:
        await trio.lowlevel.checkpoint()
    await asking.delete("asker/1")
    assert await asking.invoke("asker/1", "total", "1") == 190
    await asking.quiet()

    assert not asking.executor.asks._asking
    kinds = [entry["kind"] for entry in await asking.oplog("asker/1")]
    assert kinds == ["Removed", "Created", "Invoked", "Started", "Ended", "Completed"]


async def test_an_asked_worker_may_be_deleted_meanwhile(asking: Any, one_turn_a_time: None) -> None:
    """Asked while it is read back and deleted then, a worker answers with an error, to workers and clients."""
    for part in range(20):
        await asking.invoke("counter/1", "add", part)
    await trio.sleep(100)
    invocation = await asking.send("asker/1", "total", "1")
    while not asking.executor.asks._asking:
        await trio.lowlevel.checkpoint()
    await asking.delete("counter/1")

    with pytest.raises(CallError, match="no worker"):
        await asking.attach(invocation)


@pytest.mark.parametrize("kind", ["crash", "fail"])
async def test_an_ask_survives(tmp_path: Path, autojump_clock: Any, one_turn_a_time: None, kind: str) -> None:
    """Whichever commit is lost, by a crash or a full disk, the ask is answered in the end and nobody hangs."""
    for at in range(1, 12):
        seam = Seam(**{f"{kind}_at": 100 + at})
        async with Testbed.opened(tmp_path / str(at), seam=seam) as asking:
            asking.register(Counter, Asker)
            for part in range(10):
                await asking.invoke("counter/1", "add", part)
            await trio.sleep(100)
            seam.count = 100

            async def insist(ask: Callable[[], Any], asking: Any = asking) -> Any:
                while True:
                    try:
                        return await ask()
                    except StoreFailed:
                        await trio.sleep(1)
                    except Disconnected:
                        if asking.has_crashed.is_set():
                            await asking.start()
                        await trio.sleep(1)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(insist, lambda a=asking: a.query("counter/1", "report"))
                nursery.start_soon(insist, lambda a=asking: a.invoke("counter/2", "add", 1, key="k"))
                nursery.start_soon(insist, lambda a=asking: a.query("counter/1", "report"))
                assert await insist(lambda a=asking: a.invoke("asker/1", "total", "1", key="k")) == 45
            assert await asking.query("counter/2", "report") == {"total": 1, "parts": [1]}
            assert asking.executor.environment.count(Table.RUNNABLE) == 0


async def test_a_query_that_waits_when_a_commit_fails_is_refused(
    tmp_path: Path, autojump_clock: Any, one_turn_a_time: None
) -> None:
    """A client whose query waits for a worker to be read back is told when everything in memory is dropped."""
    seam = Seam()
    async with Testbed.opened(tmp_path, seam=seam) as asking:
        asking.register(Counter)
        for part in range(50):
            await asking.invoke("counter/1", "add", part)
        await trio.sleep(100)
        refused: list[str] = []

        async def expect(ask: Callable[..., Any], *args: Any) -> None:
            try:
                await ask(*args)
            except StoreFailed:
                refused.append(args[0])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect, asking.query, "counter/1", "report")
            await trio.lowlevel.checkpoint()
            seam.fail_at = seam.count + 1
            nursery.start_soon(expect, asking.invoke, "counter/2", "add", 1)
        assert sorted(refused) == ["counter/1", "counter/2"]
        await trio.sleep(1)
        assert (await asking.query("counter/1", "report"))["total"] == 1225


async def test_an_ask_waits_for_a_component_that_is_unavailable(
    tmp_path: Path, autojump_clock: Any, one_turn_a_time: None
) -> None:
    """Asked before a restart after which its component's module does not import, it is answered once that is back."""
    async with Testbed.opened(tmp_path) as asking:
        asking.register(Counter, Asker)
        for part in range(100):
            await asking.invoke("counter/1", "add", part)
        await trio.sleep(100)
        invocation = await asking.send("asker/1", "total", "1")
        while not asking.executor.asks._asking:
            await trio.lowlevel.checkpoint()
        while len(list(asking.executor.environment.scan(Table.RUNNABLE))) == 0:
            await trio.lowlevel.checkpoint()
        await asking.crash()
        del asking._classes["counter"]
        await asking.start()
        await trio.sleep(100)
        assert (await asking.show("asker/1"))["status"] == "running"
        kinds = [entry["kind"] for entry in await asking.oplog("asker/1")]
        assert kinds == ["Created", "Invoked", "Started"]

        asking.register(Counter)
        assert await asking.attach(invocation) == 4950
