"""Ephemeral components: a fresh worker per invocation, found by its key until its retention ends, then nothing."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
import trio

import promissory
from promissory.executor.testing.testbed import Testbed
from promissory.oplog.check import check
from promissory.oplog.errors import BadArguments, InvocationCancelled, NotFound, PromiseDeleted, TerminalError
from promissory.oplog.ids import InvocationId
from promissory.oplog.tables import Table

RETENTION_SECONDS = 86_400.0

runs: list[str] = []


def effect(tag: str) -> str:
    runs.append(tag)
    return tag


class Mailer(promissory.Worker, ephemeral=True):
    to: str = ""

    @promissory.handler
    async def mail(self, to: str) -> str:
        self.to = to
        await promissory.run(effect, to)
        return promissory.current_worker().worker_name

    @promissory.handler
    async def fail(self) -> None:
        raise ValueError("always")

    @promissory.handler
    async def refuse(self) -> None:
        raise TerminalError("no such address", 404)

    @promissory.handler
    async def promise(self) -> str:
        return str(promissory.create_promise(timeout=10_000_000))

    @promissory.handler
    async def hold(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.handler
    async def busy(self) -> None:
        runs.append(promissory.idempotency_key())
        await promissory.gather(promissory.sleep(50_000), promissory.worker(Desk, "other").hold())

    @promissory.query
    def sent_to(self) -> str:
        return self.to


class Desk(promissory.Worker):
    @promissory.handler
    async def call(self, to: str) -> str:
        return await promissory.worker(Mailer).mail(to)

    @promissory.handler
    async def call_by_name(self, uri: str, function: str) -> str:
        try:
            return str(await promissory.invoke_and_await(uri, function))
        except TerminalError as error:
            return f"{type(error).__name__} {error}"

    @promissory.handler
    async def three(self) -> list[str]:
        mailer = promissory.worker(Mailer)
        sent = await promissory.send(mailer.mail, "sent")
        later = await promissory.send_after(600, mailer.mail, "later")
        return [sent, later, await mailer.mail("called")]

    @promissory.handler
    async def hold(self) -> str:
        return await promissory.worker(Mailer).hold()

    @promissory.handler
    async def wait_for(self, promise: str) -> str:
        return (await promissory.await_promise(promissory.PromiseId.parse(promise))).decode()


@pytest.fixture
def mail(durable: Any) -> Any:
    runs.clear()
    durable.register(Mailer, Desk)
    return durable


def left(mail: Any) -> dict[str, int]:
    """Return how many rows each table has, empty tables left out; the record has no fault."""
    assert [str(finding) for finding in check(mail.executor.environment)] == []
    counts = {table.name: mail.executor.environment.count(table) for table in Table}
    return {name: count for name, count in counts.items() if count and name not in ("META", "COMPONENTS")}


async def retained(mail: Any) -> None:
    """Let the retention pass; the record has no fault before and after."""
    left(mail)
    await trio.sleep(RETENTION_SECONDS + 1)
    await mail.quiet()
    left(mail)


async def test_each_invocation_gets_a_worker_of_its_own(mail: Any) -> None:
    """Each has a new name, a UUIDv7 of its time; addressed by that name it answers queries and nothing else."""
    names = [await mail.invoke("mailer", "mail", to) for to in ("a", "b")]

    assert [uuid.UUID(name).version for name in names] == [7, 7]
    assert names[0] != names[1]
    assert uuid.UUID(names[0]).int >> 80 == mail.now() // 1_000
    assert [await mail.query(f"mailer/{name}", "sent_to") for name in names] == ["a", "b"]
    with pytest.raises(BadArguments, match="ephemeral"):
        await mail.invoke(f"mailer/{names[0]}", "mail", "again")
    with pytest.raises(BadArguments, match="ephemeral"):
        await mail.send(f"mailer/{names[0]}", "mail", "again")
    with pytest.raises(BadArguments, match="which worker"):
        await mail.query("mailer", "sent_to")
    with pytest.raises(BadArguments, match="ephemeral"):
        await mail.create("mailer/x")
    assert runs == ["a", "b"]


async def test_a_wrong_invocation_creates_nothing(mail: Any) -> None:
    """Arguments that do not fit and unknown functions are refused before there is a worker."""
    for function, args in (("mail", [1]), ("mail", []), ("nothing", [])):
        with pytest.raises((BadArguments, NotFound)):
            await mail.invoke("mailer", function, *args)
    assert left(mail) == {}


async def test_a_key_finds_the_worker_until_its_retention_ends(mail: Any) -> None:
    """The same key gives the same outcome, running, completed or after a crash; after the retention it runs anew."""
    first = await mail.invoke("mailer", "mail", "a", key="k")
    assert await mail.invoke("mailer", "mail", "a", key="k") == first
    assert await mail.invoke("mailer", "mail", "a", key="other") != first
    await mail.simulate_crash()
    assert await mail.invoke("mailer", "mail", "b", key="k") == first
    await trio.sleep(RETENTION_SECONDS - 100)
    assert await mail.invoke("mailer", "mail", "b", key="k") == first
    assert runs == ["a", "a"]

    await retained(mail)
    assert left(mail) == {}
    assert await mail.invoke("mailer", "mail", "c", key="k") != first
    assert runs == ["a", "a", "c"]


async def test_a_key_joins_the_running_invocation(mail: Any) -> None:
    """Two who ask with one key at the same time wait for one invocation."""
    got: list[str] = []

    async def ask() -> None:
        got.append(await mail.invoke("mailer", "hold", key="k"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        nursery.start_soon(ask)
        await mail.quiet()
        [promise] = await mail.promises()
        await mail.complete_promise(promise, b"once")
    assert got == ["once", "once"]
    assert len(await mail.workers()) == 1


@pytest.mark.parametrize("function", ["mail", "refuse", "promise", "busy", "hold"])
@pytest.mark.parametrize("crashes", [False, True])
async def test_nothing_is_left_after_the_retention(mail: Any, function: str, crashes: bool) -> None:
    """However the invocation ends, no table holds anything of it when its retention is over, restarts or not."""
    invocation = await mail.send("mailer", function, *(["a"] if function == "mail" else []), key="k")
    await mail.quiet()
    if function in ("busy", "hold"):
        await retained(mail)
        assert len([path for path in await mail.workers() if path.startswith("mailer/")]) in (1, 2)
        await mail.request("invocation.cancel", invocation=invocation)
        if function == "busy":
            await mail.delete("desk/other")
    await mail.quiet()
    if crashes:
        await mail.simulate_crash()
    assert any(path.startswith("mailer/") for path in await mail.workers())

    await retained(mail)
    if function == "busy":  # the call that it waited for was cancelled with it, and that worker's own call too
        await retained(mail)
    rows = left(mail)
    if function == "busy":
        assert await mail.workers() == []
        assert rows == {"OPLOG": 1, "WORKERS": 1, "WORKER_IDS": 1}, "the Removed of desk/other"
    else:
        assert rows == {}
    with pytest.raises(NotFound):
        await mail.attach(invocation)


async def test_the_retention_passes_while_nobody_runs(tmp_path: Path, autojump_clock: Any) -> None:
    """A retention that ended while the executor was down ends at the start, also after unclean ends."""
    for is_clean in (True, False):
        async with Testbed.opened(tmp_path / str(is_clean)) as mail:
            mail.register(Mailer, Desk)
            await mail.invoke("mailer", "mail", "a")
            for _ in range(3):
                if is_clean:
                    await mail.stop()
                else:
                    await mail.crash()
                await trio.sleep(RETENTION_SECONDS / 2)
                await mail.start()
            await trio.sleep(10)
            assert left(mail) == {}
            assert await mail.invoke("mailer", "mail", "b")


async def test_a_paused_one_stays(mail: Any) -> None:
    """One that gave up is kept until it is resumed or cancelled; its retention begins with its end."""
    invocation = await mail.send("mailer", "fail")
    await retained(mail)
    await retained(mail)
    [path] = await mail.workers()
    assert (await mail.show(path))["status"] == "paused"

    await mail.request("invocation.cancel", invocation=invocation)
    with pytest.raises(InvocationCancelled):
        await mail.attach(invocation)
    await trio.sleep(RETENTION_SECONDS - 100)
    assert await mail.workers() == [path]
    await retained(mail)
    assert left(mail) == {}


@pytest.mark.parametrize(
    "state", ["completed", "waiting", "retrying", "paused", "interrupted", "scheduled", "promised"]
)
@pytest.mark.parametrize("crashes", [False, True])
async def test_deleted_by_hand_it_leaves_nothing_either(mail: Any, state: str, crashes: bool) -> None:
    """Whatever an ephemeral worker is doing, deleting it leaves no row in any table, and its key is free."""
    function = {"completed": "mail", "retrying": "fail", "paused": "fail", "promised": "promise", "scheduled": "mail"}
    args = ["a"] if state in ("completed", "scheduled") else []
    delay = 1_000.0 if state == "scheduled" else None
    invocation = await mail.send("mailer", function.get(state, "hold"), *args, key="k", delay=delay)
    await trio.sleep(1_000 if state == "paused" else 0.01)
    [path] = await mail.workers()
    if state == "interrupted":
        await mail.interrupt(path)
    if crashes:
        await mail.simulate_crash()
        await mail.quiet()

    await mail.delete(path)
    await mail.quiet()
    assert left(mail) == {}
    with pytest.raises(NotFound):
        await mail.attach(invocation)
    with pytest.raises(NotFound):
        await mail.delete(path)
    await trio.sleep(2_000)
    assert left(mail) == {}
    await mail.simulate_crash()
    assert await mail.invoke("mailer", "mail", "again", key="k")


async def test_deleted_in_the_batch_that_made_it(mail: Any) -> None:
    """Made and deleted before either is durable, it leaves nothing."""
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(PromiseDeleted):
                await mail.invoke("mailer", "hold")

        nursery.start_soon(ask)
        while not len(mail.executor.residents):
            await trio.lowlevel.checkpoint()
        [activation] = list(mail.executor.residents)
        mail.executor.deletion.delete(activation, "test")
    await mail.quiet()
    assert left(mail) == {}


async def test_workers_use_ephemeral_ones(mail: Any) -> None:
    """Called, sent to or scheduled by a worker, each time there is a fresh one that knows its parent."""
    sent, later, called = await mail.invoke("desk/1", "three")

    paths = [path for path in await mail.workers() if path.startswith("mailer/")]
    assert len(paths) == 3
    parents = {str((await mail.oplog(path))[0]["parent"]).rpartition("/")[2] for path in paths}
    assert parents == {"1"}
    names = {InvocationId.parse(one).worker_id.worker_name for one in (sent, later)}
    assert {path.partition("/")[2] for path in paths} == names | {called}
    assert await mail.attach(sent) in names
    assert sorted(runs) == ["called", "sent"]
    await mail.simulate_crash()
    assert await mail.attach(later) in names
    assert sorted(runs) == ["called", "later", "sent"]

    await retained(mail)
    assert await mail.workers() == ["desk/1"]
    await mail.assert_replays("desk/1")
    with pytest.raises(NotFound):
        await mail.attach(sent)


async def test_a_worker_may_not_name_one(mail: Any) -> None:
    """A call to an ephemeral worker by its name is a `CallError`; a component without a name needs to be ephemeral."""
    name = await mail.invoke("mailer", "mail", "a")

    answer = await mail.invoke("desk/1", "call_by_name", f"worker://mailer/{name}", "hold")
    assert answer.startswith("CallError mailer is ephemeral")
    answer = await mail.invoke("desk/1", "call_by_name", "worker://desk", "hold")
    assert answer.startswith("CallError desk: which worker?")


@pytest.mark.parametrize("by_crash", [False, True])
async def test_a_caller_waits_for_one(mail: Any, by_crash: bool) -> None:
    """A caller of an ephemeral worker is suspended, and goes on with its result, or the error `deleted`."""
    invocation = await mail.send("desk/1", "hold")
    other = await mail.send("desk/2", "hold")
    await trio.sleep(100)
    first, second = await mail.promises()
    if by_crash:
        await mail.simulate_crash()
    await mail.complete_promise(first, b"done")
    assert await mail.attach(invocation) == "done"
    await mail.delete(second.rpartition("/")[0])
    with pytest.raises(PromiseDeleted):
        await mail.attach(other)
    assert (await mail.request("invocation.cancel", invocation=other)) == {"cancelled": False}


async def test_cancelling_reaches_the_ephemeral_callee(mail: Any) -> None:
    """The callee of a cancelled caller is found without a name and cancelled too."""
    invocation = await mail.send("desk/1", "hold")
    await trio.sleep(100)
    assert (await mail.request("invocation.cancel", invocation=invocation)) == {"cancelled": True}
    with pytest.raises(InvocationCancelled):
        await mail.attach(invocation)
    statuses = {path.partition("/")[0]: (await mail.show(path))["status"] for path in await mail.workers()}
    assert statuses == {"desk": "idle", "mailer": "idle"}
    await retained(mail)
    assert await mail.workers() == ["desk/1"]


async def test_its_promises_live_as_long_as_it(mail: Any) -> None:
    """A promise of an ephemeral worker may be settled after its end; when its retention ends its waiters are told."""
    settled, open_ = await mail.invoke("mailer", "promise"), await mail.invoke("mailer", "promise")
    waiting = [await mail.send(f"desk/{n}", "wait_for", promise) for n, promise in enumerate((settled, open_))]
    assert await mail.complete_promise(settled, b"settled") is True
    assert await mail.attach(waiting[0]) == "settled"
    await mail.simulate_crash()

    with pytest.raises(PromiseDeleted):
        await mail.attach(waiting[1])
    with pytest.raises(NotFound):
        await mail.complete_promise(open_, b"late")
    assert await mail.workers() == ["desk/0", "desk/1"]
    assert mail.executor.environment.count(Table.TIMERS) == 0
    assert mail.executor.environment.count(Table.WAITERS) == 0
