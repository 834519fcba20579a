"""Durable timers: what is due fires, late rather than never; only the near future is kept in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import trio

from promissory.executor.commits.record import Record
from promissory.oplog.tables import TRIPLE, Table, TimerKind, timer_key

HORIZON_US = 60_000_000
"""How far ahead timers are in memory; those beyond are read from the store when they come within it."""
READ_MAX = 10_000

Fire = Callable[[TimerKind, int, int, int], None]
"""Called with the kind, the time, the worker's ordinal and the index of a timer that is due."""


class Timers:
    """All timers of an executor.

    Args:
      record: holds the `TIMERS` table and tells the time.
      fire: what to do with a timer that is due; it appends what takes the timer's row away.
    """

    def __init__(self, record: Record, fire: Fire) -> None:
        self._record = record
        self._fire = fire
        self._heap: list[tuple[int, int, int]] = []
        self._known_until = 0
        """Timers due before this are in the heap; later ones may be in the store only."""
        self._next_stored = 0
        """When the first timer beyond the heap is due; 0 when there is none."""
        self._changed = trio.Event()

    def add(self, due: int, ordinal: int, index: int) -> None:
        """Account for a timer whose row was just appended."""
        if due < self._known_until:
            heapq.heappush(self._heap, (due, ordinal, index))
            if self._heap[0][0] == due:
                self._changed.set()
        elif not self._next_stored or due < self._next_stored:
            self._next_stored = max(due, 1)
            self._changed.set()

    def read_back(self) -> None:
        """Forget what is in memory and read the near future from the store: at a start, after a failed commit."""
        self._heap = []
        self._known_until = 0
        self._next_stored = 1
        self._changed.set()

    def _read(self, now: int) -> None:
        """Bring the timers of the next minute into memory."""
        first = TRIPLE.pack(self._known_until, 0, 0)
        until = now + HORIZON_US
        rows = self._record.environment.read(Table.TIMERS, first, None, READ_MAX + 1)
        self._next_stored = 0
        known = set(self._heap)
        for key, _ in rows[:READ_MAX]:
            timer = TRIPLE.unpack(key)
            if timer[0] >= until:
                self._next_stored = timer[0]
                break
            if timer not in known:
                heapq.heappush(self._heap, timer)
        else:
            if len(rows) > READ_MAX:
                until = TRIPLE.unpack(rows[READ_MAX - 1][0])[0]
                self._next_stored = max(until, 1)
        self._known_until = max(until, self._known_until)
        # Rows that wait for their commit are in no read yet; the next look finds them.
        for batch in (*self._record.sealed, self._record.batch):
            for key, row in batch.changes[Table.TIMERS].items():
                if row is not None:
                    timer = TRIPLE.unpack(key)
                    if timer[0] < self._known_until:
                        heapq.heappush(self._heap, timer)
                    elif not self._next_stored or timer[0] < self._next_stored:
                        self._next_stored = timer[0]

    async def run(self) -> None:
        """Fire timers until cancelled."""
        while True:
            now = self._record.now()
            if self._next_stored and self._next_stored < now + HORIZON_US:
                self._read(now)
            while self._heap and self._heap[0][0] <= now:
                self._fire_one(heapq.heappop(self._heap))
            due = [self._heap[0][0]] if self._heap else []
            if self._next_stored:
                due.append(max(self._next_stored - HORIZON_US // 2, now + 1))
            self._changed = trio.Event()
            if due:
                with trio.move_on_after(max(0.0, (min(due) - now) / 1e6)):
                    await self._changed.wait()
            else:
                await self._changed.wait()

    def _fire_one(self, timer: tuple[int, int, int]) -> None:
        row = self._record.get(Table.TIMERS, timer_key(*timer))
        if row is not None:
            self._fire(TimerKind(row[0]), *timer)
