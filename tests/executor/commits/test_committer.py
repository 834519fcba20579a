"""Rules 3 and 7: nothing leaves before it is durable, and a failed commit fails whole."""

from __future__ import annotations

import resource
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
import trio.testing
from attrs import field

import promissory
from promissory.executor.config import Config
from promissory.executor.server.embedded import Embedded
from promissory.executor.turns.executor import Executor, running
from promissory.oplog.check import check
from promissory.oplog.environment import Environment, StorePanicked
from promissory.oplog.errors import StoreFailed
from promissory.oplog.tables import Table

performed: list[str] = []


async def send_mail(to: str) -> str:
    performed.append(to)
    return f"sent to {to}"


class Mailer(promissory.Worker):
    sent: list[str] = field(factory=list)

    @promissory.handler
    async def mail(self, to: str) -> str:
        self.sent.append(to)
        return await promissory.run(send_mail, to)

    @promissory.handler
    async def note(self, text: str) -> int:
        promissory.log.info(text)
        self.sent.append(text)
        return len(self.sent)

    @promissory.handler
    async def wait(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.query
    def all_sent(self) -> list[str]:
        return self.sent


@pytest.fixture(autouse=True)
def _nothing_performed() -> None:
    performed.clear()


class WithholdingStore:
    """A store that syncs a commit only when it is told to; what was not synced is gone when it is reopened."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._synced = threading.Semaphore(0)
        self._is_open = True
        self.withholds = False

    def commit(self, changes: Any, written: Callable[[], None] | None = None) -> None:
        if written is not None:
            written()
        if self.withholds:
            self._synced.acquire()
        if not self._is_open:
            raise StoreFailed("the store was closed")
        self._environment.commit(changes)

    def sync(self) -> None:
        """Sync everything from now on."""
        self.withholds = False
        self._synced.release()

    def close(self) -> None:
        """Drop what was not synced."""
        self._is_open = False
        self._synced.release()


@asynccontextmanager
async def withholding(data: Path) -> AsyncIterator[tuple[Embedded, WithholdingStore]]:
    """An executor as `serve` makes it, with its threads and the real clock, on a store that withholds."""
    with Environment(data) as environment:
        store = WithholdingStore(environment)
        async with trio.open_nursery() as nursery:
            executor = Executor(environment, nursery, Config(), commit=store.commit)
            try:
                executor.registry.add([Mailer])
                executor.start()
                yield Embedded(executor, nursery), store
            finally:
                store.close()
                nursery.cancel_scope.cancel()
                executor.close()


def asking(nursery: trio.Nursery, ask: Callable[[], Any]) -> tuple[list[Any], trio.Event]:
    """Ask in a task; return where the answer will be and what is set when it is there."""
    answers: list[Any] = []
    done = trio.Event()

    async def run() -> None:
        answers.append(await ask())
        done.set()

    nursery.start_soon(run)
    return answers, done


async def settled_worker(executor: Embedded) -> str:
    """Have a worker wait for a promise, durably, and return the promise."""
    await executor.send("worker://mailer/1", "wait")
    await trio.testing.wait_all_tasks_blocked()
    while not (rows := [row async for row in executor.stream("promise.list")]):
        await executor.executor.next_commit()
    return str(rows[0]["promise"])


@pytest.mark.parametrize(
    "ask",
    [
        lambda e: e.invoke("worker://mailer/1", "note", "hello"),
        lambda e: e.send("worker://mailer/1", "note", "hello"),
        lambda e: e.request("worker.create", worker="mailer/1"),
    ],
    ids=["invoke", "send", "create"],
)
async def test_no_reply_leaves_before_its_commit(tmp_path: Path, ask: Callable[[Embedded], Any]) -> None:
    """A reply waits until the commit that holds its cause is synced."""
    async with withholding(tmp_path) as (executor, store), trio.open_nursery() as nursery:
        await trio.testing.wait_all_tasks_blocked()
        store.withholds = True
        answers, done = asking(nursery, lambda: ask(executor))
        await trio.testing.wait_all_tasks_blocked()

        assert answers == []

        store.sync()
        with trio.fail_after(10):
            await done.wait()


@pytest.mark.parametrize("op", ["complete", "reject", "delete", "poll", "await", "query", "delete-worker", "interrupt"])
async def test_no_answer_shows_what_is_not_durable(tmp_path: Path, op: str) -> None:
    """Settling, deleting, looking and asking a query wait for the commit that holds what the answer says."""
    asks: dict[str, Callable[[Embedded, str], Any]] = {
        "complete": lambda e, p: e.complete_promise(p, b"again"),
        "reject": lambda e, p: e.reject_promise(p, "no"),
        "delete": lambda e, p: e.delete_promise(p),
        "poll": lambda e, p: e.poll_promise(p),
        "await": lambda e, p: e.await_promise(p),
        "query": lambda e, p: e.query("worker://mailer/1", "all_sent"),
        "delete-worker": lambda e, p: e.request("worker.delete", worker="mailer/1"),
        "interrupt": lambda e, p: e.request("worker.interrupt", worker="mailer/1"),
    }
    async with withholding(tmp_path) as (executor, store), trio.open_nursery() as nursery:
        promise = await settled_worker(executor)
        store.withholds = True
        _, first_done = asking(nursery, lambda: executor.complete_promise(promise, b"yes"))
        await trio.testing.wait_all_tasks_blocked()
        answers, done = asking(nursery, lambda: asks[op](executor, promise))
        await trio.testing.wait_all_tasks_blocked()

        assert answers == []
        assert not first_done.is_set()

        store.sync()
        with trio.fail_after(10):
            await done.wait()


async def test_what_is_listed_is_durable(tmp_path: Path) -> None:
    """Lists and oplogs show nothing that could still be lost."""
    async with withholding(tmp_path) as (executor, store), trio.open_nursery() as nursery:
        await trio.testing.wait_all_tasks_blocked()
        store.withholds = True
        _, done = asking(nursery, lambda: executor.send("worker://mailer/1", "wait"))
        await trio.testing.wait_all_tasks_blocked()

        assert [row async for row in executor.stream("worker.list")] == []
        assert [row async for row in executor.stream("promise.list")] == []
        assert [row async for row in executor.stream("invocation.list")] == []

        store.sync()
        with trio.fail_after(10):
            await done.wait()
        assert len([row async for row in executor.stream("worker.list")]) == 1


async def test_no_effect_and_no_log_line_leaves_before_its_commit(tmp_path: Path) -> None:
    """A `run` is performed, and a log line printed, only after the commit that holds its `Started` or `Logged`."""
    with structlog.testing.capture_logs() as logs:
        async with withholding(tmp_path) as (executor, store), trio.open_nursery() as nursery:
            await trio.testing.wait_all_tasks_blocked()
            store.withholds = True
            _, mailed = asking(nursery, lambda: executor.invoke("worker://mailer/1", "mail", "ada"))
            _, noted = asking(nursery, lambda: executor.invoke("worker://mailer/2", "note", "a line"))
            await trio.testing.wait_all_tasks_blocked()

            assert performed == []
            assert not [line for line in logs if line["event"] == "worker_log"]

            store.sync()
            with trio.fail_after(10):
                await mailed.wait()
                await noted.wait()
    assert performed == ["ada"]
    assert [line["message"] for line in logs if line["event"] == "worker_log"] == ["a line"]


async def test_what_was_not_synced_is_gone_and_nobody_was_told(tmp_path: Path) -> None:
    """A store that loses what it had not synced loses nothing that left the executor."""
    answers: list[Any] = []
    async with withholding(tmp_path) as (executor, store):
        await executor.invoke("worker://mailer/1", "note", "kept")
        store.withholds = True
        async with trio.open_nursery() as nursery:
            answers, _ = asking(nursery, lambda: executor.invoke("worker://mailer/1", "mail", "lost"))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    assert answers == []
    assert performed == []
    async with withholding(tmp_path) as (executor, _):
        assert await executor.query("worker://mailer/1", "all_sent") == ["kept"]


async def test_the_environment_of_an_executor_syncs(tmp_path: Path) -> None:
    """Every commit of a real executor is fsynced, data and meta page."""
    async with running(tmp_path, Config()) as executor:
        executor.start()
        flags = executor.environment.flags()

    assert flags["sync"] is True
    assert flags["metasync"] is True


class FailingStore:
    """A store whose next commits fail as often as it is told."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.failures = 0
        self.error: Exception = StoreFailed("commit failed: no")

    def commit(self, changes: Any, written: Callable[[], None] | None = None) -> None:
        if self.failures:
            self.failures -= 1
            raise self.error
        self._environment.commit(changes, written)


async def failing(durable: Any) -> FailingStore:
    """Reopen the executor on a store that fails when it is told to."""
    stores: list[FailingStore] = []

    def seam(environment: Environment) -> Any:
        stores.append(FailingStore(environment))
        return stores[-1].commit

    durable.seam = seam
    await durable.simulate_crash()
    return stores[0]


async def test_a_failed_commit_claims_no_success(durable: Any) -> None:
    """Whoever waits for a failed commit is told `StoreFailed`, nothing of it exists, and the next request works."""
    durable.register(Mailer)
    store = await failing(durable)
    await durable.invoke("mailer/1", "note", "kept")
    store.failures = 1

    with pytest.raises(StoreFailed):
        await durable.invoke("mailer/1", "note", "lost")

    await trio.sleep(1)
    assert await durable.query("mailer/1", "all_sent") == ["kept"]
    assert await durable.invoke("mailer/1", "note", "more") == 2


async def test_during_the_backoff_requests_are_refused(durable: Any) -> None:
    """After a failed commit nothing is accepted until the backoff is over."""
    durable.register(Mailer)
    store = await failing(durable)
    await durable.invoke("mailer/1", "note", "kept")
    store.failures = 1
    with pytest.raises(StoreFailed):
        await durable.invoke("mailer/1", "note", "lost")

    with pytest.raises(StoreFailed):
        await durable.query("mailer/1", "all_sent")

    await trio.sleep(1)
    assert await durable.query("mailer/1", "all_sent") == ["kept"]


@pytest.mark.parametrize("failures", [1, 3])
async def test_the_outcome_of_an_effect_survives_a_failed_commit(durable: Any, failures: int) -> None:
    """An effect whose `Ended` was not committed is not performed again: its outcome is kept and appended again."""
    durable.register(Mailer)
    store = await failing(durable)

    invocation = await durable.send("mailer/1", "mail", "ada")
    store.failures = failures

    await trio.sleep(60)
    assert await durable.attach(invocation) == "sent to ada"
    assert performed == ["ada"]


async def test_a_full_disk_is_said_to_be_full(durable: Any) -> None:
    """Any error of a commit, EIO included, fails it whole and loudly; the executor goes on when there is room."""
    durable.register(Mailer)
    store = await failing(durable)
    store.failures, store.error = 1, OSError(5, "Input/output error")

    with structlog.testing.capture_logs() as logs:
        with pytest.raises(StoreFailed, match="Input/output"):
            await durable.invoke("mailer/1", "note", "lost")
        await trio.sleep(1)

    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["commit_failed"]
    assert await durable.invoke("mailer/1", "note", "kept") == 1


async def test_a_panicked_store_ends_the_executor(tmp_path: Path) -> None:
    """When LMDB panics the outcome is unknown: nothing more is done, and the restart reads the truth."""

    def commit(changes: Any, written: Callable[[], None] | None = None) -> None:
        raise StorePanicked("LMDB panicked")

    with pytest.raises(BaseExceptionGroup) as caught, Environment(tmp_path) as environment:  # noqa: PT012
        async with trio.open_nursery() as nursery:
            executor = Executor(environment, nursery, Config(), commit=commit, threads=False)
            executor.registry.add([Mailer], remember=False)
            executor.start()
            await Embedded(executor, nursery).invoke("worker://mailer/1", "note", "unknown")
    assert caught.group_contains(StorePanicked)


async def test_units_share_a_commit(durable: Any) -> None:
    """Many requests of one moment are made durable together: one commit, not one each."""
    durable.register(Mailer)
    await durable.quiet()
    before = durable.executor.record.commits_count

    async with trio.open_nursery() as nursery:
        for n in range(50):
            nursery.start_soon(durable.invoke, f"mailer/{n}", "note", "x")

    assert durable.executor.record.commits_count - before <= 15
    assert durable.executor.environment.count(Table.WORKERS) == 50


async def test_what_nobody_waits_for_shares_the_next_commit(tmp_path: Path) -> None:
    """A commit that nobody waits for is put off until somebody does: then one sync serves both."""
    async with running(tmp_path, Config()) as executor, trio.open_nursery() as nursery:
        executor.committer.linger_seconds = 3_600
        executor.registry.add([Mailer])
        executor.start()
        await executor.durable()
        started = executor.record.commits_count
        client = Embedded(executor, nursery)
        answers, done = asking(nursery, lambda: client.invoke("worker://mailer/1", "wait"))
        await trio.testing.wait_all_tasks_blocked()
        assert executor.record.commits_count == started
        assert not executor.record.batch.is_empty

        with trio.fail_after(30):
            await client.request("promise.complete", promise="mailer/1/3", data=b"yes", by="test")
            await done.wait()
        assert answers == ["yes"]
        assert executor.record.commits_count - started <= 2, "the settling, and the result if that came later"
        nursery.cancel_scope.cancel()
    with Environment(tmp_path, readonly=True) as environment:
        assert list(check(environment)) == []


async def test_what_nobody_waits_for_is_durable_soon(tmp_path: Path) -> None:
    """What nobody waits for is not put off for ever: it is durable when its time is over."""
    async with running(tmp_path, Config()) as executor, trio.open_nursery() as nursery:
        executor.committer.linger_seconds = 0.01
        executor.registry.add([Mailer])
        executor.start()
        await executor.committer.drain()
        asking(nursery, lambda: Embedded(executor, nursery).invoke("worker://mailer/1", "wait"))
        with trio.fail_after(30):
            while executor.environment.count(Table.PROMISES) < 2:
                await executor.next_commit()
        nursery.cancel_scope.cancel()


async def test_an_orderly_end_puts_nothing_off(tmp_path: Path) -> None:
    """A stop makes durable at once what nobody waited for."""
    with trio.fail_after(30):
        async with running(tmp_path, Config()) as executor:
            executor.committer.linger_seconds = 3_600
            executor.registry.add([Mailer])
            executor.start()
            with executor.record.unit():
                executor.record.put(Table.META, b"late", b"row")
            await trio.testing.wait_all_tasks_blocked()
    with Environment(tmp_path, readonly=True) as environment:
        assert environment.get(Table.META, b"late") == b"row"


async def test_a_store_that_cannot_grow_fails_commits_and_recovers(tmp_path: Path) -> None:
    """When the file system refuses to let the data grow, nothing is lost or claimed; with room again all goes on."""
    text = "x" * 200_000
    async with running(tmp_path, Config()) as executor, trio.open_nursery() as nursery:
        executor.registry.add([Mailer])
        executor.start()
        client = Embedded(executor, nursery)
        assert await client.invoke("worker://mailer/1", "note", "kept") == 1
        over, go_on = trio.Event(), executor.committer._on_backoff_over
        executor.committer._on_backoff_over = lambda: (go_on(), over.set())[0]
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "data.mdb").stat().st_size + 65_536, hard))
        try:
            with pytest.raises(StoreFailed):
                await client.invoke("worker://mailer/1", "note", text)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        with trio.fail_after(30):
            await over.wait()
            assert await client.query("worker://mailer/1", "all_sent") == ["kept"]
            assert await client.invoke("worker://mailer/1", "note", text) == 2
        nursery.cancel_scope.cancel()
    with Environment(tmp_path, readonly=True) as environment:
        assert list(check(environment)) == []


async def test_nothing_is_handed_over_after_the_end(tmp_path: Path) -> None:
    """What is appended when the committer's thread has ended is left alone: handing it over would wait for ever."""
    async with running(tmp_path / "data", Config()) as executor:
        executor.start()
        await executor.committer.drain()
        ended = executor
    with ended.record.unit():
        ended.record.put(Table.META, b"late", b"row")

    ended.committer.flush()

    assert not ended.record.batch.is_empty
