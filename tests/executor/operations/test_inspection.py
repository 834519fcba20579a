"""Lists go on after what is gone, and give others their turn."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import trio

import promissory
from promissory.executor.operations.answers import TURN_ROWS
from promissory.oplog.environment import Environment
from promissory.oplog.errors import NotFound, OplogCorrupt
from promissory.oplog.ids import InvocationId, OplogIndex
from promissory.oplog.tables import Table, oplog_key

RETENTION_SECONDS = 86_400.0


class Desk(promissory.Worker):
    @promissory.handler
    async def hold(self, count: int = 1) -> None:
        promises = [promissory.create_promise() for _ in range(count)]
        await promissory.gather(*map(promissory.await_promise, promises))

    @promissory.handler
    async def nothing(self) -> None: ...


class Mailer(promissory.Worker, ephemeral=True):
    @promissory.handler
    async def mail(self) -> str:
        promissory.create_promise()
        return f"mailer/{promissory.current_worker().worker_name}"


@pytest.fixture
def mail(durable: Any) -> Any:
    durable.register(Desk, Mailer)
    return durable


async def listed(mail: Any, op: str, **fields: Any) -> list[str]:
    rows: list[dict[str, Any]] = []
    await mail.request(op, on_item=rows.append, **fields)
    return [row[op.partition(".")[0]] for row in rows]


async def test_workers_after_a_deleted_one(mail: Any) -> None:
    """Those younger than one that was deleted, or deleted and created again, are listed; it keeps its place."""
    for name in "abcd":
        await mail.create(f"desk/{name}")
    await mail.delete("desk/b")
    assert await listed(mail, "worker.list", after="desk/b") == ["desk/c", "desk/d"]
    assert await listed(mail, "worker.list", after="desk/b", limit=1) == ["desk/c"]
    await mail.create("desk/b")
    assert await listed(mail, "worker.list", after="desk/b") == ["desk/c", "desk/d"]
    await mail.delete("desk/d")
    assert await listed(mail, "worker.list", after="desk/d") == []


async def test_promises_after_a_deleted_one(mail: Any) -> None:
    """Those that follow one that was deleted, or whose worker was, are listed."""
    for name in "abc":
        await mail.send(f"desk/{name}", "hold", 2)
    await mail.quiet()
    promises = await listed(mail, "promise.list")
    assert len(promises) == 6
    await mail.request("promise.delete", promise=promises[2])
    assert await listed(mail, "promise.list", after=promises[2]) == promises[3:]
    await mail.delete("desk/b")
    assert await listed(mail, "promise.list", after=promises[2]) == promises[4:]
    assert await listed(mail, "promise.list", after=promises[3]) == promises[4:]


async def test_lists_after_an_ephemeral_worker_that_is_gone(mail: Any) -> None:
    """Nothing is left of it but the time in its name: those that began then or later are listed."""
    await mail.create("desk/a")
    early = await mail.invoke("mailer", "mail")
    await trio.sleep(1)
    await mail.create("desk/b")
    await trio.sleep(RETENTION_SECONDS / 2)
    late = [await mail.invoke("mailer", "mail")]
    await trio.sleep(1)
    late.append(await mail.invoke("mailer", "mail"))
    await trio.sleep(RETENTION_SECONDS / 2)
    await mail.quiet()
    assert await listed(mail, "worker.list", component="mailer") == late
    for after in (early, f"mailer/{uuid.UUID(int=7 << 76 | 2 << 62)}"):
        assert await listed(mail, "worker.list", component="mailer", after=after) == late
        assert await listed(mail, "promise.list", component="mailer", after=f"{after}/3") == [f"{w}/3" for w in late]
    await mail.delete(late[0])
    assert await listed(mail, "worker.list", component="mailer", after=late[0]) == late[1:]
    assert await listed(mail, "promise.list", after=f"{late[0]}/3") == [f"{late[1]}/3"]
    await mail.delete(late[1])
    assert await listed(mail, "worker.list", component="mailer", after=late[1]) == []


@pytest.mark.parametrize(
    ("op", "after"),
    [
        ("worker.list", "desk/never"),
        ("worker.list", "nobody/a"),
        ("worker.list", "mailer/never"),
        ("worker.list", f"mailer/{uuid.UUID(int=0)}"),
        ("worker.list", f"desk/{uuid.UUID(int=7 << 76 | 2 << 62)}"),
        ("promise.list", "desk/never/3"),
        ("promise.list", "mailer/never/3"),
        ("promise.list", "desk/a/4"),
        ("promise.list", f"desk/a/{2**63 - 1}"),
    ],
)
async def test_what_never_was_is_no_place(mail: Any, op: str, after: str) -> None:
    """Nobody goes on after a worker, or an index, that there never was."""
    await mail.invoke("desk/a", "nothing")
    with pytest.raises(NotFound):
        await listed(mail, op, after=after)


class Counting:
    """Counts the rows that scans of environments give."""

    def __init__(self) -> None:
        self.rows = 0
        self._scan = Environment.scan

    def scan(self, environment: Environment, *args: Any) -> Iterator[Any]:
        for row in self._scan(environment, *args):
            self.rows += 1
            yield row


class Turns(trio.abc.Instrument):
    """Sees how much is read in one turn of the event loop."""

    def __init__(self, counting: Counting) -> None:
        self._counting = counting
        self._before = 0
        self.longest = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._before = self._counting.rows

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.longest = max(self.longest, self._counting.rows - self._before)


@pytest.mark.parametrize(
    ("op", "fields", "count"),
    [
        ("worker.list", {"status": "suspended"}, 300),
        ("worker.list", {"component": "desk", "name": "x"}, 0),
        ("worker.list", {"name": "x"}, 0),
        ("worker.list", {"limit": 300}, 300),
        ("promise.list", {"state": "rejected"}, 0),
        ("promise.list", {"component": "mailer"}, 0),
        ("promise.list", {"limit": 300}, 300),
        ("invocation.list", {"status": "failed"}, 0),
        ("invocation.list", {"limit": 300}, 300),
    ],
)
async def test_lists_take_turns(
    mail: Any, monkeypatch: pytest.MonkeyPatch, op: str, fields: dict[str, Any], count: int
) -> None:
    """No list, whether what it reads is asked for or not, looks at more rows at once than a turn has."""
    for n in range(300):
        await mail.send(f"desk/{n}", "hold")
    await mail.quiet()
    counting = Counting()
    monkeypatch.setattr(Environment, "scan", lambda environment, *args: counting.scan(environment, *args))
    monkeypatch.setattr("promissory.executor.operations.inspection.LOOKED_UP_MAX", 100)
    turns = Turns(counting)
    trio.lowlevel.add_instrument(turns)
    rows = await listed(mail, op, **fields)
    trio.lowlevel.remove_instrument(turns)
    assert len(rows) == count
    assert counting.rows >= 300
    assert turns.longest <= TURN_ROWS


@pytest.mark.parametrize("looked_up_max", [0, 2, 100])
async def test_workers_of_a_status_or_component(mail: Any, monkeypatch: pytest.MonkeyPatch, looked_up_max: int) -> None:
    """Lists by status and component say the same whether they are looked up or gone through, by age, after any."""
    monkeypatch.setattr("promissory.executor.operations.inspection.LOOKED_UP_MAX", looked_up_max)
    for name in "abcdef":
        await mail.create(f"desk/{name}")
    for name in "be":
        await mail.interrupt(f"desk/{name}")
    mailer = await mail.invoke("mailer", "mail")
    await mail.delete("desk/c")
    await mail.create("desk/c")
    await mail.delete("desk/d")

    assert await listed(mail, "worker.list", status="interrupted") == ["desk/b", "desk/e"]
    assert await listed(mail, "worker.list", status="interrupted", after="desk/b") == ["desk/e"]
    assert await listed(mail, "worker.list", status="interrupted", after="desk/d") == ["desk/e"]
    assert await listed(mail, "worker.list", status="retrying") == []
    assert await listed(mail, "worker.list", status="idle", component="desk") == ["desk/a", "desk/c", "desk/f"]
    assert await listed(mail, "worker.list", component="desk") == [f"desk/{name}" for name in "abcef"]
    assert await listed(mail, "worker.list", component="mailer") == [mailer]


async def test_few_are_found_without_a_scan(mail: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many workers the few of a status are found without looking at the others."""
    for n in range(50):
        await mail.create(f"desk/{n}")
    await mail.interrupt("desk/7")
    counting = Counting()
    monkeypatch.setattr(Environment, "scan", lambda environment, *args: counting.scan(environment, *args))

    assert await listed(mail, "worker.list", status="interrupted") == ["desk/7"]
    assert counting.rows == 0


async def test_limits_count_what_is_listed(mail: Any) -> None:
    """Rows that are looked at and not asked for do not count, and none of them makes a list look unfinished."""
    for name in "abcdef":
        await mail.create(f"desk/{name}{'x' if name in 'be' else ''}")
    for name in "be":
        await mail.interrupt(f"desk/{name}x")
    rows: list[Any] = []
    end = await mail.request("worker.list", on_item=rows.append, status="interrupted", limit=2)
    assert ([row["worker"] for row in rows], end) == (["desk/bx", "desk/ex"], {"more": False})
    assert await mail.request("worker.list", on_item=rows.append, status="interrupted", limit=1) == {"more": True}


async def test_a_damaged_entry_is_named_by_worker_and_index(mail: Any) -> None:
    """Whoever looks at a record is told which entry of which worker cannot be read, in the message and beside it."""
    await mail.send("desk/a%2Fb", "hold")
    await mail.quiet()
    executor = mail.executor
    activation = executor.residents.find(executor.registry.worker_id("desk/a%2Fb"))
    key = oplog_key(activation.ordinal, 2)
    whole = executor.environment.get(Table.OPLOG, key)
    executor.environment.commit({Table.OPLOG: {key: b"bad"}})
    try:
        invocation = str(InvocationId(activation.row.worker_id, OplogIndex(2)))
        said = "entry 2 of desk/a%2Fb: record of 3 bytes"
        with pytest.raises(OplogCorrupt, match=said) as caught:
            await mail.request("oplog.read", on_item=lambda _: None, worker="desk/a%2Fb")
        assert (caught.value.worker, caught.value.index) == ("desk/a%2Fb", 2)
        rows: list[Any] = [await mail.request("invocation.show", invocation=invocation)]
        await mail.request("invocation.list", on_item=rows.append, worker="desk/a%2Fb")
        assert [said in row["error"] for row in rows] == [True, True]
        with pytest.raises(OplogCorrupt, match=f"entry 2 of {activation.row.worker_id}: ") as caught:
            executor.record.entry(activation.ordinal, 2)
        assert (caught.value.worker, caught.value.index) == (str(activation.row.worker_id), 2)
    finally:
        executor.environment.commit({Table.OPLOG: {key: whole}})
