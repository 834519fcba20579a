"""The executor, put together: the one place where its parts are made, started, read back and stopped.

`open` runs an executor in the caller's own trio program; the daemon is the same object behind a socket.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import structlog
import trio

from promissory.executor.commits.committer import LINGER_SECONDS, Commit, Committer, CommitThread, inline
from promissory.executor.commits.record import Record
from promissory.executor.components.registry import Registry
from promissory.executor.config import Config
from promissory.executor.hostcalls.asks import Asks
from promissory.executor.hostcalls.calls import Calls
from promissory.executor.hostcalls.cancelling import Cancelling
from promissory.executor.hostcalls.deadlocks import Deadlocks
from promissory.executor.hostcalls.deletion import Deletion
from promissory.executor.hostcalls.effects import Effects
from promissory.executor.hostcalls.hostcalls import HostCalls
from promissory.executor.hostcalls.naming import Addressing
from promissory.executor.hostcalls.promises import Promises
from promissory.executor.residents.boundary import Boundary
from promissory.executor.residents.creation import Creation
from promissory.executor.residents.failures import Failures
from promissory.executor.residents.hiding import hidden
from promissory.executor.residents.queries import Queries
from promissory.executor.residents.residents import Activation, Residents
from promissory.executor.residents.timers import Timers
from promissory.executor.residents.watchdog import Watchdog
from promissory.executor.residents.watchers import Watchers
from promissory.executor.telemetry.metrics import Counters, Latencies
from promissory.executor.turns.recovery import Recovery
from promissory.executor.turns.turns import Turns
from promissory.oplog.environment import Environment
from promissory.oplog.errors import StoreFailed
from promissory.oplog.ids import WorkerId
from promissory.oplog.tables import PAIR, Table
from promissory.workers.component import Component
from promissory.workers.machine.player import Player

T = TypeVar("T")

TURN_BUDGET_SECONDS = 0.005
"""How long the engine takes turns before the loop looks at sockets again."""


def wall_clock_us() -> int:
    """Return the time in microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def _hidden(_: str, step: Callable[[], object]) -> object:
    return hidden(step)


class Executor:
    """All parts of one executor.

    Args:
      environment: the open data; the executor does not close it.
      nursery: where its own tasks and the side effects run.
      config: limits.
      clock: the time in microseconds since 1970, UTC.
      commit: the seam to the store; the environment's own if not given.
      threads: False has commits and synchronous side effects on the loop itself, for tests under a clock that does
        not wait for threads.
      chance: numbers in [0, 1) for the jitter of backoffs.
      entropy: random bytes for seeds and keys.
    """

    def __init__(
        self,
        environment: Environment,
        nursery: trio.Nursery,
        config: Config,
        *,
        clock: Callable[[], int] = wall_clock_us,
        commit: Commit | None = None,
        threads: bool = True,
        chance: Callable[[], float] = random.random,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.config = config
        self.environment = environment
        self._nursery = nursery
        commit = commit or environment.commit
        self._thread = CommitThread(commit) if threads else None
        self.latencies = Latencies()
        self.counters = Counters()
        self.record = Record(environment, clock)
        self.record.entries_max, self.record.bytes_max = config.batch_entries_max, config.batch_bytes_max
        self.committer = Committer(
            self.record,
            self._thread.submit if self._thread is not None else inline(commit),
            self._read_back,
            self._go_on,
            is_eager=threads,
            linger_seconds=LINGER_SECONDS if threads else 0,
            observe=self.latencies.commit.observe,
        )
        self.record.wake = self.committer.wake
        self.registry = Registry(environment, self._remember)
        self.residents = Residents(self.record, self.registry.path_of, config.workers_in_memory_max)
        self.residents.on_ready = self._on_ready
        self.watchers = Watchers(self.record)
        self.promises = Promises(self.record, self.residents, self.watchers)
        self._entropy = entropy
        self.queries = Queries(self.record, self.residents, self._new_player)
        self.creation = Creation(self.record, self.registry, self.residents, self._new_player, entropy)
        self.turns: Turns
        self._assemble(threads, chance)
        self._ready = trio.Event()
        self._resident = trio.Event()
        self._log = structlog.get_logger("promissory.executor")
        self.is_stopping = False

    def _assemble(self, threads: bool, chance: Callable[[], float]) -> None:
        """Make what takes steps, on top of what records them."""
        config, record, residents = self.config, self.record, self.residents
        self.effects = Effects(
            record,
            self._nursery,
            lambda ordinal, start, outcome: self.turns.deliver_effect(ordinal, start, outcome),
            config.threads_max,
            payload_bytes_max=config.payload_bytes_max,
            inline=not threads,
            jitter=chance,
        )
        self.timers = Timers(record, lambda kind, due, ordinal, index: self.turns.fire(kind, due, ordinal, index))
        self.watchdog = Watchdog(config.block_warning_seconds, config.block_stack_seconds) if threads else None
        self.failures = Failures(record, residents, self.watchers, self.timers, config.handler_retry, chance)
        self.boundary = Boundary(record, residents, self.failures)
        self.calls = Calls(record, self.registry, residents, self.creation, self.timers, config)
        self.asks = Asks(self.record, self.registry, residents, self.queries, self.calls, config.payload_bytes_max)
        self.deadlocks = Deadlocks(record, residents, self.calls)
        self.addressing = Addressing(record, self.registry, residents, self.timers, self._entropy)
        self.cancelling = Cancelling(record, residents, self.failures, self.calls)
        self.deletion = Deletion(record, residents, self.promises, self.watchers, self.effects, self.calls, self.asks)
        hostcalls = HostCalls(
            record,
            self.registry,
            residents,
            self.promises,
            self.effects,
            self.timers,
            self.calls,
            self.cancelling,
            self.addressing,
            self.asks,
            self.latencies.invocation,
        )
        self.turns = Turns(
            record,
            self.registry,
            residents,
            self.promises,
            self.queries,
            hostcalls,
            self.calls,
            self.deadlocks,
            self.failures,
            self.deletion,
            self.boundary,
            _hidden if self.watchdog is None else self.watchdog.watching,
            self.latencies.replay,
        )
        self.recovery = Recovery(
            record, residents, self.promises, self.turns, self.failures, self.effects, self.boundary
        )

    def _remember(self, rows: Mapping[bytes, bytes]) -> None:
        with self.record.unit():
            for key, row in rows.items():
                self.record.put(Table.COMPONENTS, key, row)

    async def aside(self, act: Callable[[], T]) -> T:
        """Do what may take long beside the loop, in a thread; on the loop where the executor has no threads."""
        return act() if self._thread is None else await trio.to_thread.run_sync(act)

    def _new_player(self, component: Component, worker_id: WorkerId) -> Player:
        return self.turns.new_player(component, worker_id)

    def start(self) -> None:
        """Start the executor's tasks; what was runnable goes on."""
        self.recovery.open()
        self.timers.read_back()
        self._nursery.start_soon(self.committer.run)
        self._nursery.start_soon(self._take_turns)
        self._nursery.start_soon(self._run_timers)
        self._nursery.start_soon(self._drop_idle)
        self._nursery.start_soon(self.recovery.run)

    async def _run_timers(self) -> None:
        """Fire timers; after unclean ends recovery fires those that are due, one at a time, and goes first."""
        if self.recovery.is_careful:
            await self.recovery.is_done.wait()
        await self.timers.run()

    def run_ready(self) -> None:
        """Take turns now, for as long as the loop can spare; what is left goes on by itself."""
        if not self.committer.is_backing_off and self.turns.run_some(TURN_BUDGET_SECONDS):
            self._ready.set()
        if self._thread is not None:
            self.committer.flush()

    async def _take_turns(self) -> None:
        while True:
            await self._ready.wait()
            self._ready = trio.Event()
            self.run_ready()
            await trio.lowlevel.checkpoint()

    def _on_ready(self) -> None:
        self._ready.set()
        self._resident.set()

    async def _drop_idle(self) -> None:
        """Drop workers that have rested for `idle_seconds`; sleeps until the oldest may have."""
        idle_us = int(self.config.idle_seconds * 1e6)
        while True:
            await self._resident.wait()
            self._resident = trio.Event()
            oldest: int | None = self.record.now()
            while oldest is not None:
                await trio.sleep(max(0.05, (oldest + idle_us - self.record.now()) / 1e6))
                oldest = self.residents.drop_idle(self.record.now() - idle_us)

    # After a failed commit.

    def _read_back(self, error: StoreFailed) -> None:
        """Drop everything in memory that is not durable."""
        for activation in self.residents:
            self.queries.refuse(activation, error)
        self.residents.drop_all()
        self.asks.forget_all()
        self.turns.held.clear()
        env = self.environment
        self.watchers.drop_unless(
            lambda ordinal, index: env.get(Table.PROMISES, PAIR.pack(ordinal, index)) is not None, error
        )
        self.timers.read_back()
        self.promises.waking = []

    def _go_on(self) -> None:
        """After the backoff: everything runnable goes on, from what is durable."""
        self.registry.remember_again()
        self.effects.deliver_again()
        self.promises.read_back()
        self.resume_runnable()

    def resume_runnable(self) -> None:
        """Have every worker with something to do go on; also when a component has become available."""
        for key, _ in self.environment.scan(Table.RUNNABLE):
            ordinal, index = PAIR.unpack(key)
            activation = None if index else self.residents.get(ordinal)
            if activation is not None:
                self.residents.push(activation)
        self.asks.ask_held()
        self.deadlocks.look_at_unread()
        self._ready.set()

    def resume(self, activation: Activation, by: str) -> None:
        """Let a paused, retrying or interrupted worker go on, as a unit; its attempts are counted anew."""
        with self.record.unit():
            self.failures.resumed(activation, by)
            self.deadlocks.look_again(activation)
        self.residents.push(activation)

    async def durable(self) -> None:
        """Wait until everything appended so far is durable.

        Raises:
          StoreFailed: the commit failed.
        """
        done = trio.Event()
        failures: list[StoreFailed] = []

        def tell(failure: StoreFailed | None) -> None:
            if failure is not None:
                failures.append(failure)
            done.set()

        self.record.when_durable(tell)
        await done.wait()
        if failures:
            raise failures[0]

    async def next_commit(self) -> None:
        """Wait until something more is durable than now."""
        await self.committer.next_commit()

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Return the `counters` since the start, the `gauges` as they are now, and the `histograms`, each by name."""
        return {
            "counters": {
                "invocations_accepted": self.counters.invocations_accepted,
                "calls_made": self.calls.made_count,
                "promises_settled": self.promises.settled_count,
                "steps": self.turns.steps_count,
                "entries_appended": self.record.appended_count,
                "entries_replayed": self.turns.replayed_count,
                "effects_performed": self.effects.performed_count,
                "commits": self.record.commits_count,
            },
            "gauges": {
                "effects_in_flight": len(self.effects),
                "workers_in_memory": len(self.residents),
                "workers_ready": len(self.residents.ready),
                "watchers": self.watchers.count(),
            },
            "histograms": self.latencies.as_map(),
        }

    # The end.

    async def stop(self) -> None:
        """Stop in order: no new steps, `run`s in flight get the grace, everything appended is committed.

        Stopping twice does nothing the second time.
        """
        if self.is_stopping:
            return
        self.is_stopping = True
        self.effects.is_stopping = True
        self.turns.is_stopped = True
        with trio.move_on_after(self.config.stop_grace_seconds):
            await self.effects.none_in_flight()
        self.effects.cancel_all()
        self.recovery.close()
        with trio.move_on_after(self.config.stop_grace_seconds):
            await self.committer.drain()
        self.residents.drop_all()

    def close(self) -> None:
        """End the executor's threads; its tasks must have ended."""
        self.effects.close()
        self.committer.close()
        if self._thread is not None:
            self._thread.close()
        if self.watchdog is not None:
            self.watchdog.close()


@asynccontextmanager
async def running(
    data: Path, config: Config, *, clock: Callable[[], int] = wall_clock_us, threads: bool = True
) -> AsyncIterator[Executor]:
    """Open an executor on a data directory for as long as the block lasts; it is stopped in order at its end.

    The caller registers its components and then calls `start`.

    Raises:
      Locked, NewerFormat, StoreFailed: the data directory cannot be opened.
    """
    with Environment(data) as environment:
        async with trio.open_nursery() as nursery:
            executor = Executor(environment, nursery, config, clock=clock, threads=threads)
            try:
                yield executor
                await executor.stop()
            finally:
                nursery.cancel_scope.cancel()
                executor.close()
