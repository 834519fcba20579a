"""What a start does: everything runnable goes on, in time proportional to what is runnable.

`meta` counts unclean ends in a row. After two, workers are activated one at a time, each named in `meta` first; the
one that is named when the process ends uncleanly once more is paused, and the others go on.
"""

from __future__ import annotations

import structlog
import trio

from promissory.executor.commits.record import Record
from promissory.executor.hostcalls.effects import Effects
from promissory.executor.hostcalls.promises import Promises
from promissory.executor.residents.boundary import Boundary
from promissory.executor.residents.failures import Failures
from promissory.executor.residents.residents import Activation, Residents
from promissory.executor.turns.turns import Turns
from promissory.oplog.errors import WorkerError
from promissory.oplog.ids import OplogIndex
from promissory.oplog.tables import PAIR, TRIPLE, U64, Condition, Table, TimerKind, WorkerRow

_RUNNING_KEY = b"running"
"""Present while an executor has the data open; it says how many unclean ends came before."""
_ACTIVATING_KEY = b"activating"
"""The ordinal of the worker that is being activated, after unclean ends."""

CAREFUL_AFTER_UNCLEAN = 2
READY_MAX = 64
"""How many workers are ready before recovery waits for the engine."""
TURN_SECONDS = 0.001
"""How often, after unclean ends, it is looked whether a worker has had its turn."""
SETTLE_SECONDS = 0.25
"""How long, after unclean ends, a worker's side effects may show that they end the process."""
SURVIVED_SECONDS = 5.0
"""An executor that lived this long after its recovery ends the row of unclean ends."""


class ProcessEnded(WorkerError):
    """The process ended, uncleanly, while this worker was being activated."""

    kind = "process_ended"


class Recovery:
    """Resumes what was runnable and keeps count of unclean ends."""

    def __init__(
        self,
        record: Record,
        residents: Residents,
        promises: Promises,
        turns: Turns,
        failures: Failures,
        effects: Effects,
        boundary: Boundary,
    ) -> None:
        self._boundary = boundary
        self._record = record
        self._residents = residents
        self._promises = promises
        self._turns = turns
        self._failures = failures
        self._effects = effects
        self._log = structlog.get_logger("promissory.recovery")
        self.unclean_count = 0
        self.is_careful = False
        self.is_done = trio.Event()
        self._is_closed = False

    def open(self) -> None:
        """Count the unclean end before this start, if there was one, and pause the worker that it names."""
        env = self._record.environment
        before = env.get(Table.META, _RUNNING_KEY)
        self.unclean_count = 0 if before is None else U64.unpack(before)[0] + 1
        self.is_careful = self.unclean_count >= CAREFUL_AFTER_UNCLEAN
        self._turns.is_careful = self.is_careful
        self._count()
        named = env.get(Table.META, _ACTIVATING_KEY)
        if named is not None:
            with self._record.unit():
                self._record.put(Table.META, _ACTIVATING_KEY, None)
            self._boundary.handle("pause", lambda: self._pause_named(U64.unpack(named)[0]))
        if self.unclean_count:
            self._log.warning("unclean_end", in_a_row=self.unclean_count, one_at_a_time=self.is_careful)

    def _count(self) -> None:
        """Have the count durable before any worker has its turn: a first step that ends the process is counted."""
        self._put(_RUNNING_KEY, U64.pack(self.unclean_count))
        self._record.when_durable(lambda failure: self._turns.begin() if failure is None else self._count())

    def _pause_named(self, ordinal: int) -> None:
        activation = self._residents.get(ordinal)
        if activation is None or not activation.row.life or activation.row.condition == Condition.INTERRUPTED:
            return
        error = ProcessEnded("the process ended while this worker was being activated", worker=activation.path)
        index = OplogIndex(activation.row.errored_input or activation.row.last)
        self._failures.pause_or_retry(activation, index, activation.row.attempt + 1, error, None)

    def close(self) -> None:
        """Note a clean end; the commit that follows makes it durable."""
        self._is_closed = True
        with self._record.unit():
            self._record.put(Table.META, _RUNNING_KEY, None)
            self._record.put(Table.META, _ACTIVATING_KEY, None)

    async def run(self) -> None:
        """Have everything that was runnable go on."""
        self._promises.read_back()
        count = 0
        for key, _ in self._record.environment.scan(Table.RUNNABLE):
            ordinal, index = PAIR.unpack(key)
            if index:
                continue
            activation = self._residents.get(ordinal)
            if activation is None:
                continue
            count += 1
            if self.is_careful:
                await self._activate_carefully(ordinal)
            else:
                self._residents.push(activation)
                while len(self._residents.ready) >= READY_MAX:
                    await self._turn()
        if self.is_careful:
            count += await self._fire_carefully()
            held = self._turns.held
            while held:  # those that requests have woken meanwhile
                activation = held[0]
                await self._activate_carefully(activation.ordinal)
                if held and held[0] is activation:  # it is gone
                    held.pop(0)
            await self._name(None)
        self.is_careful = False
        self._turns.admit_all()
        self.is_done.set()
        if count or self.unclean_count:
            self._log.info("recovered", workers=count)
        if self.unclean_count:
            await trio.sleep(SURVIVED_SECONDS)
            self._put(_RUNNING_KEY, U64.pack(0))
            await self._durable()

    async def _fire_carefully(self) -> int:
        """Fire the timers that are due, one worker at a time too; return how many."""
        count = 0
        due = TRIPLE.pack(self._record.now() + 1, 0, 0)
        for key, kind in self._record.environment.scan(Table.TIMERS, b"", due):
            at, ordinal, index = TRIPLE.unpack(key)
            activation = await self._named(ordinal)
            if activation is not None and self._record.get(Table.TIMERS, key) is not None:
                count += 1
                self._turns.fire(TimerKind(kind[0]), at, ordinal, index)
                self._turns.admit(activation)
                await self._settled(activation)
        return count

    async def _activate_carefully(self, ordinal: int) -> None:
        activation = await self._named(ordinal)
        if activation is not None:
            self._turns.admit(activation)
            await self._settled(activation)

    async def _named(self, ordinal: int) -> Activation | None:
        """Name a worker in `meta` and return it as it is after that: a failed commit drops all that are in memory."""
        activation = self._residents.get(ordinal)
        if activation is not None:
            await self._name(activation.row)
        return self._residents.get(ordinal)

    async def _settled(self, activation: Activation) -> None:
        # A failed commit drops it from memory marked as queued; until commits are taken again nobody has a turn.
        while self._residents.ready or (activation.is_queued and self._residents.get(activation.ordinal) is activation):
            await self._turn()
            await trio.sleep(TURN_SECONDS)
        await self._durable()
        with trio.move_on_after(SETTLE_SECONDS):
            while self._effects.is_in_flight(activation.ordinal):
                await trio.sleep(SETTLE_SECONDS / 25)

    async def _turn(self) -> None:
        """Let the engine have its turn; once it takes none, wait to be ended by whoever has stopped it."""
        if self._turns.is_stopped:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()

    async def _name(self, row: WorkerRow | None) -> None:
        self._put(_ACTIVATING_KEY, None if row is None else U64.pack(row.ordinal))
        await self._durable()

    def _put(self, key: bytes, row: bytes | None) -> None:
        if not self._is_closed:
            with self._record.unit():
                self._record.put(Table.META, key, row)

    async def _durable(self) -> None:
        done = trio.Event()
        self._record.when_durable(lambda _: done.set())
        self._record.wake()
        await done.wait()
