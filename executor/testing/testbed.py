"""An executor to test workers with: on a directory, under a mock clock, with crashes to order.

Commits and synchronous `run`s happen on the loop, since a mock clock does not wait for threads. Commits are not
fsynced: what `simulate_crash` drops is what was not committed. Chance and entropy are seeded, so that a test that
fails does so again.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio
import trio.testing

from promissory.executor.client.methods import Asker
from promissory.executor.commits.committer import Changes, Commit
from promissory.executor.config import Config
from promissory.executor.residents.replaying import encoded_state, replay, rest
from promissory.executor.residents.residents import Activation
from promissory.executor.server.embedded import Embedded
from promissory.executor.turns.executor import Executor
from promissory.oplog.check import check
from promissory.oplog.environment import Environment
from promissory.oplog.errors import Disconnected, PromissoryError, StoreFailed
from promissory.oplog.ids import WORKER_SCHEME, OplogIndex
from promissory.oplog.tables import U64, Condition, Table
from promissory.workers.definition import Worker

EPOCH_US = 1_767_225_600_000_000
"""The time at which a test begins: 2026-01-01, UTC."""
PATIENCE_SECONDS = 1_000 * 366 * 86_400.0
"""When the clock jumps as far as this, nothing is left that could happen."""

Seam = Callable[[Environment], Commit]


class Crashed(StoreFailed):
    """Raised by a seam, in a commit or after it: the executor ends there as by `kill -9`."""


class Testbed(Asker):
    """An executor for tests; `opened` makes it, and the pytest fixture `durable` is one.

    It has the methods of `executor.client.Client`, with a worker as `COMPONENT/NAME` or `worker://COMPONENT/NAME`.

    Args:
      data: the data directory.
      nursery: where the executor runs.
      config: its limits.
      seam: makes its `commit` from its environment; the environment's own if not given. It may raise `Crashed`.
    """

    __test__ = False
    """Its name begins as those of test classes do: pytest must not collect it where it is imported."""

    def __init__(
        self, data: Path, nursery: trio.Nursery, config: Config | None = None, seam: Seam | None = None
    ) -> None:
        self.data = data
        self.config = config or Config()
        self.seam = seam
        self.is_replayed_at_end = True
        """Whether every worker is replayed when the fixture ends."""
        self.is_checked_at_end = True
        """Whether the whole record is checked when the fixture ends."""
        self.has_crashed = trio.Event()
        """Set when the executor has crashed and not been reopened."""
        self._nursery = nursery
        self._classes: dict[str, type[Worker]] = {}
        self._excused: set[str] = set()
        self._random = random.Random(0)
        self._embedded: Embedded | None = None
        self._is_crashing = False
        self._life = trio.CancelScope()
        self._end = trio.Event()
        self._ended = trio.Event()

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, data: Path, *, config: Config | None = None, seam: Seam | None = None
    ) -> AsyncIterator[Testbed]:
        """Run an executor for as long as the `async with` lasts; then replay every worker and check the record.

        Raises:
          AssertionError: a worker does not replay, or the record has a fault.
        """
        failure: BaseException | None = None
        async with trio.open_nursery() as nursery:
            promissory = cls(data, nursery, config, seam)
            try:
                await promissory.start()
                yield promissory
                await promissory.end()
            except trio.Cancelled:
                raise
            except BaseException as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            try:
                raise failure
            finally:
                failure = None

    # Setting up.

    @property
    def executor(self) -> Executor:
        """The executor that runs now."""
        assert self._embedded is not None, "the executor has crashed or was stopped"
        return self._embedded.executor

    def register(self, *classes: type[Worker]) -> None:
        """Serve worker classes; one with the name of an earlier one takes its place at the next start."""
        names = self.executor.registry.add(classes)
        self._classes.update(zip(names, classes, strict=True))
        self.executor.resume_runnable()

    def now(self) -> int:
        """Return the time in microseconds since 1970, UTC."""
        return EPOCH_US + round(trio.current_time() * 1e6)

    async def start(self) -> None:
        """Open the executor on what is durable; what was runnable goes on."""
        self._end, self._ended, self.has_crashed = trio.Event(), trio.Event(), trio.Event()
        await self._nursery.start(self._live)

    async def end(self) -> None:
        """Replay every worker, stop in order and check the record.

        Raises:
          AssertionError: a worker does not replay, or the record has a fault.
        """
        if self._embedded is not None:
            await self.quiet()
            await self.assert_all_replay()
            await self.stop()
        self.check()

    async def stop(self) -> None:
        """Stop the executor in order."""
        self._end.set()
        await self._ended.wait()

    async def crash(self) -> None:
        """End the executor as `kill -9` would: nothing more is committed, and nothing in memory is left."""
        self._crash()
        await self._ended.wait()

    def crash_at_next_commit(self) -> None:
        """Crash instead of the next commit; it may be called from anywhere, also by a handler or an effect."""
        self._is_crashing = True

    def _crash(self) -> None:
        self._is_crashing = True
        self._life.cancel()
        if self._embedded is not None:
            self._embedded.close("the executor crashed")

    async def simulate_crash(self) -> None:
        """Drop everything that is not durable, reopen and go on; whoever waits gets `Disconnected`."""
        await self.crash()
        await self.start()

    async def quiet(self) -> None:
        """Wait until nothing more happens before time passes."""
        await trio.testing.wait_all_tasks_blocked()

    # Asking.

    async def request(self, op: str, /, *, on_item: Callable[[Any], None] | None = None, **fields: Any) -> Any:
        """Perform an operation of the admin protocol; see `Asker.request`.

        Raises:
          Disconnected: the executor has crashed or was stopped.
          AssertionError: nothing is left to happen that could bring the answer.
        """
        if self._embedded is None:
            raise Disconnected("the executor has crashed or was stopped")
        with trio.move_on_after(PATIENCE_SECONDS):
            return await self._embedded.request(op, on_item=on_item, **fields)
        raise AssertionError(f"nothing is left to happen that could answer {op} {fields}")

    async def invoke(
        self,
        uri: str,
        function: str,
        /,
        *args: Any,
        key: str | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> Any:
        """Call a handler and wait for its result; see `Asker.invoke`."""
        return await super().invoke(_uri(uri), function, *args, key=key, announce=announce)

    async def send(
        self, uri: str, function: str, /, *args: Any, key: str | None = None, delay: float | None = None
    ) -> str:
        """Have a handler called and return the invocation's id; see `Asker.send`."""
        return await super().send(_uri(uri), function, *args, key=key, delay=delay)

    async def query(self, uri: str, function: str, /, *args: Any) -> Any:
        """Ask a query; see `Asker.query`."""
        return await super().query(_uri(uri), function, *args)

    async def create(self, worker: str, /, *args: Any, env: Mapping[str, str] | None = None) -> None:
        """Create a worker explicitly, with its constructor's arguments and its environment."""
        await self.request("worker.create", worker=_path(worker), args=msgspec.json.encode(args), env=dict(env or {}))

    async def delete(self, worker: str) -> None:
        """Delete a worker."""
        await self.request("worker.delete", worker=_path(worker))

    async def interrupt(self, worker: str) -> None:
        """Have a worker take no further step until it is resumed."""
        await self.request("worker.interrupt", worker=_path(worker))

    async def resume(self, worker: str) -> None:
        """Let a paused, retrying or interrupted worker go on."""
        await self.request("worker.resume", worker=_path(worker))

    async def show(self, worker: str) -> dict[str, Any]:
        """Return what `worker show` prints, once it is durable."""
        await self.durable()
        shown: dict[str, Any] = await self.request("worker.show", worker=_path(worker))
        return shown

    async def oplog(self, worker: str, first: int = 1) -> list[dict[str, Any]]:
        """Return a worker's entries as `oplog` prints them: index, kind, timestamp and the kind's fields."""
        await self.durable()
        return await self._items("oplog.read", worker=_path(worker), **{"from": first})

    async def promises(self, state: str | None = "pending") -> list[str]:
        """Return the promises in a state, as `COMPONENT/NAME/INDEX`; None means all."""
        await self.durable()
        return [row["promise"] for row in await self._items("promise.list", state=state)]

    async def workers(self) -> list[str]:
        """Return every worker, as COMPONENT/NAME."""
        await self.durable()
        return [row["worker"] for row in await self._items("worker.list")]

    async def _items(self, op: str, **fields: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        await self.request(op, on_item=found.append, **fields)
        return found

    async def durable(self) -> None:
        """Wait until all steps that can be taken now are taken and durable."""
        await self.quiet()

    # Replaying.

    def excuse(self, worker: str) -> None:
        """Leave a worker out when all are replayed: its test is about one that does not replay."""
        self._excused.add(_path(worker))

    async def assert_all_replay(self) -> None:
        """Do `assert_replays` for every worker of a registered component, but those that were excused."""
        if not self.is_replayed_at_end:
            return
        registry = self.executor.registry
        for key, _ in self.executor.environment.scan(Table.WORKERS):
            activation = self.executor.residents.get(U64.unpack(key)[0])
            if activation is None or activation.path in self._excused or not activation.row.life:
                continue
            if registry.by_id(activation.row.worker_id.component_id) is not None:
                await self.assert_replays(activation.path)

    async def assert_replays(self, worker: str) -> None:
        """Replay a worker's whole oplog, twice, against the code as it is now.

        What is compared: every recorded output; that the code waits where the record ends; and the worker's fields,
        as far as they can be written as JSON, between the two replays and the worker in memory.

        Raises:
          AssertionError: the first divergence, with its index, what was expected and what was found.
        """
        path = _path(worker)
        component, worker_id = self.executor.registry.locate(path)
        activation = self.executor.residents.find(worker_id)
        assert activation is not None, f"there is no worker {path}"
        assert activation.row.life, f"worker {path} was deleted"
        states = []
        live = activation.player
        at_rest = activation.row.condition == Condition.NONE and not activation.is_queued
        at_rest = at_rest and not self.executor.committer.is_backing_off
        if live is not None and activation.is_loaded and at_rest:
            states.append(encoded_state(live))
        try:
            for _ in range(2):
                player = replay(component, worker_id, self._entries(activation))
                try:
                    if at_rest:
                        rest(player, OplogIndex(activation.row.last))
                    states.append(encoded_state(player))
                finally:
                    player.close()
        except PromissoryError as error:
            raise AssertionError(f"{path} does not replay: {error}") from error
        for name in states[0]:
            values = [state.get(name, b"?") for state in states]
            if len(set(values)) > 1:
                shown = " / ".join(value.decode() for value in values)
                raise AssertionError(f"{path} does not replay: its field {name!r} is not the same each time: {shown}")

    def _entries(self, activation: Activation) -> Any:
        record, row = self.executor.record, activation.row
        return enumerate(record.entries(row.ordinal, row.life, row.last), row.life)

    def check(self) -> None:
        """Check the whole record, as `promissory verify` does, of an executor that has ended.

        Raises:
          AssertionError: something is wrong with it.
        """
        if self.is_checked_at_end:
            with Environment(self.data, readonly=True) as environment:
                findings = [str(finding) for finding in check(environment)]
            assert not findings, "the record has faults:\n" + "\n".join(findings)

    # One life of the executor.

    async def _live(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._is_crashing = False
        try:
            with Environment(self.data, sync=False) as environment:
                await self._run(environment, task_status)
        finally:
            embedded, self._embedded = self._embedded, None
            if embedded is not None:
                embedded.close()
            if self._is_crashing:
                self.has_crashed.set()
            self._ended.set()

    async def _run(self, environment: Environment, task_status: trio.TaskStatus[None]) -> None:
        commit = environment.commit if self.seam is None else self.seam(environment)

        def guarded(changes: Changes, written: Callable[[], None] | None = None) -> None:
            try:
                if self._is_crashing:
                    raise Crashed("the executor crashed")
                commit(changes, written)
            except Crashed:
                self._crash()
                raise

        async with trio.open_nursery() as nursery:
            self._life = nursery.cancel_scope
            executor = Executor(
                environment,
                nursery,
                self.config,
                clock=self.now,
                commit=guarded,
                threads=False,
                chance=self._random.random,
                entropy=self._random.randbytes,
            )
            executor.registry.add(list(self._classes.values()))
            executor.start()
            self._embedded = Embedded(executor, nursery, "test")
            task_status.started()
            await self._end.wait()
            await executor.stop()
            nursery.cancel_scope.cancel()


def _path(worker: str) -> str:
    return worker.removeprefix(WORKER_SCHEME)


def _uri(worker: str) -> str:
    return worker if worker.startswith(WORKER_SCHEME) else f"{WORKER_SCHEME}{worker}"
